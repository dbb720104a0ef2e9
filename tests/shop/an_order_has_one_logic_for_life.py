#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""an_order_has_one_logic_for_life.py - rows with marks, while the share grows.

Why: the business row is the strongest grade of a mark.  Orders are made at
1, 50 and 100 %, during a freeze and after it, and are paid and refunded later
than they were made: each stays with the logic that made it.  An order whose
row cannot be read is refused, by an injected fault and by a row that somebody
else really holds, and by a server that is gone.  The double record is replayed as it happened elsewhere:
first write not hit, look-up timed out, share grown.  A release that is killed,
bypassed or gone leaves its orders waiting, and no order changes hands.  Last, the same is done by
services with a fault planted, and the judge must object to each.

usage: an_order_has_one_logic_for_life.py BUILD sqlite|postgres
"""
import sys

from scene import Story, as_it_must_be, check, judge, shop

EACH = 60
STAGES = ("pay", "refund")


def finish(here, names, stage):
    for name in names:
        here.ask(stage, name)


def late_everywhere(here, names):
    """Nobody can read these rows: no stage of them is served."""
    for name in names:
        for stage in ("create", "look", *STAGES):
            here.ask(stage, name, late=True)


def grow(here):
    """1 -> 50 -> freeze -> 100 frozen -> thaw; {phase: {order: logic}}."""
    made, snapshots = {}, []
    here.publish("one", 1)
    made["one"] = here.create("one", EACH)
    here.publish("half", 50)
    made["half"] = here.create("half", EACH)
    finish(here, list(made["one"])[:30], "pay")
    snapshots.append(here.marks())
    here.story.gray("freeze", here.release, "--runtime", here.story.runtime,
                    "--reason", "the books are closed")
    here.enter("ice", 50, frozen=True)
    made["ice"] = here.create("ice", EACH)
    here.publish("ice at all", 100, frozen=True)
    made["ice at all"] = here.create("cold", EACH)
    finish(here, made["half"], "pay")
    snapshots.append(here.marks())
    here.story.gray("thaw", here.release, "--runtime", here.story.runtime,
                    "--reason", "they are open")
    here.enter("all", 100)
    made["all"] = here.create("all", EACH)
    return made, snapshots


def life(here):
    here.start()
    made, snapshots = grow(here)
    for orders in made.values():
        late_everywhere(here, list(orders)[:5])
    for orders in made.values():
        for name in orders:
            here.ask("create", name)        # the client asks again
            for stage in STAGES:
                here.ask(stage, name)
            here.ask("look", name)
    as_it_must_be(here.judge(snapshots, all_served=True))
    # the judge had something to judge
    outside = [n for p in ("one", "half", "ice", "ice at all")
               for n, logic in made[p].items() if logic == "old"]
    inside = [n for orders in made.values()
              for n, logic in orders.items() if logic == "new"]
    check(len(outside) > 2 * EACH and len(inside) > EACH,
          f"{len(outside)} orders outside, {len(inside)} inside")
    print(f"{len(here.history)} requests, {len(outside)} orders stayed "
          f"outside at 100 %, {len(inside)} inside")


def double_record(here):
    """The fault that marks are for, word by word."""
    here.publish("first", 0)
    first = here.ask("create", "A-1")           # first write: not hit
    check(first["status"] == 201 and first["body"]["logic"] == "old", first)
    here.publish("grown", 100)                  # the share grew
    for stage in ("pay", "create", "refund"):   # the look-up times out
        asked = here.ask(stage, "A-1", late=True)
        check(asked["status"] == 503, f"{stage} unknowing: {asked}")
    paid = here.ask("pay", "A-1")
    check(paid["body"]["logic"] == "old", paid)
    rows = here.store.rows()
    mine = [row for row in rows["orders"] if row["order_id"] == "A-1"]
    check(len(mine) == 1 and mine[0]["mark"] == first["body"]["mark"] and
          mine[0]["net_amount"] is None, f"one mark, one logic: {mine}")
    check([e["logic"] for e in rows["ledger"] if e["order_id"] == "A-1"] ==
          ["old", "old"], "one logic did both")


def really_locked(here):
    """Not injected: somebody holds the row longer than we wait."""
    inside = here.ask("create", "held-in")
    check(inside["body"]["logic"] == "new", inside)
    for name in ("A-1", "held-in"):
        with here.store.locked(name):
            asked = here.ask("refund", name)
        check(asked["status"] == 503 and asked["again"],
              f"the row was held: {asked}")
    here.ask("pay", "held-in")
    for name in ("A-1", "held-in"):
        asked = here.ask("refund", name)
        check(asked["status"] == 200, f"and is served again: {asked}")


def refused(here, name, stage, why):
    asked = here.ask(stage, name)
    check(asked["status"] == 503 and asked["again"], f"{why}: {asked}")


def overridden(here):
    """Killed, bypassed, without its release: an order of the new logic waits,
    nobody new is in, and all goes on as it was when that is over."""
    ways = [
        ("killed", ("kill", here.release, "--reason", "prices"),
         ("unkill", here.release)),
        ("bypass", ("bypass", "on", "--reason", "a test"), ("bypass", "off")),
        ("gone", None, None)]
    for way, begin, end in ways:
        check(here.ask("create", f"{way}-in")["body"]["logic"] == "new", way)
        if begin is None:
            here.publish_without()
        else:
            here.story.gray(*begin, "--runtime", here.story.runtime)
        here.enter(f"while {way}", 0)
        for stage in ("create", "pay", "refund"):
            refused(here, f"{way}-in", stage, f"while {way}")
        made = here.ask("create", f"{way}-new")
        check(made["status"] == 201 and made["body"]["logic"] == "old", made)
        check(here.ask("pay", f"{way}-new")["status"] == 200, way)
        if end is None:
            here.publish("back", 100)
        else:
            here.story.gray(*end, "--runtime", here.story.runtime)
            here.enter(f"after {way}", 100)
        for name, logic in ((f"{way}-in", "new"), (f"{way}-new", "old")):
            for stage in ("create", *STAGES):
                asked = here.ask(stage, name)
                check(asked["status"] == 200 and
                      asked["body"]["logic"] == logic, f"{way}: {asked}")


def server_gone(here):
    """Every connection breaks, nobody answers, then the server is back."""
    names = [f"gone-{number}" for number in range(5)]
    for name in names:
        check(here.ask("create", name)["status"] == 201, name)
    here.store.stop()
    for name in names + ["gone-new"]:
        for stage in ("create", "pay", "look"):
            asked = here.ask(stage, name)
            check(asked["status"] == 503 and asked["again"],
                  f"without a server: {asked}")
    here.store.start()
    for name in names:
        for stage in ("create", *STAGES):
            asked = here.ask(stage, name)
            check(asked["status"] == 200, f"the server is back: {asked}")


def planted(here, bug, sentence):
    """What the judge must say of a service with this fault in it."""
    here.history.clear()
    here.start("--bug", bug, release=bug)
    here.publish("a half", 50)
    for number in range(10):
        here.ask("create", f"{bug}-{number}")
    marks = here.marks()
    here.publish("everyone", 100)
    for number in range(10):
        name = f"{bug}-{number}"
        here.ask("pay", name, late=bug == "unknown-as-absent")
        here.ask("refund", name)
    here.stop()
    rows = here.store.rows()
    rows = {table: [row for row in found if row["order_id"].startswith(bug)]
            for table, found in rows.items()}
    said = judge.judge(here.history, rows, here.plan,
                       [{k: v for k, v in marks.items() if k in
                         {r["order_id"] for r in rows["orders"]}}])
    check(any(sentence in line for line in said),
          f"--bug {bug} is not seen: {said[:5]}")
    print(f"--bug {bug}: {len(said)} objections, as {said[0]}")


def main():
    kind = sys.argv[2]
    with Story(f"an_order_has_one_logic_for_life ({kind})") as story, \
            shop(story, kind) as here:
        here.publish("begin", 0)
        life(here)
        here.stop()
        here.start("--timeout", "200", release="orders-3")
        double_record(here)
        really_locked(here)
        overridden(here)
        if kind == "postgres":
            server_gone(here)
        as_it_must_be(here.judge())
        here.stop()
        planted(here, "ignore-mark", "double record")
        planted(here, "unknown-as-absent", "although its row could not")
        planted(here, "rewrite-mark", "changed from")


if __name__ == "__main__":
    main()
