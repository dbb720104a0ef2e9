#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a_hole_is_filled_or_stopped_as_declared.py - marks that are not there.

A unit comes to a stage that only reads, and its mark is missing, damaged or
cannot be read.  What is done then is said by the release, and by nobody else:

  missing      onMissing: baseline   the old version, nothing is written
               onMissing: backfill   decided by the rules; whoever is in then
                                     is in the journal, and stays in
  damaged      onUnknown: refuse     503 by both versions (entities alone may
                                     say so), nothing is written
               onUnknown: baseline   the old version, nothing is written
               until a person repairs it: recorded, audited, served again
  unreadable   (the table is being rebuilt; its file is gone) as damaged

Damage is done to the journal's own bytes, in two ways: a record whose key can
still be believed, and one of which only the unit can.  Through both gateways
and libgray, judged from the answers and the journal.  What the order service
does with holes in its rows: tests/shop/a_row_and_its_mark_come_apart.py.
"""
import contextlib
import os
import re
import shutil

from harness import check, wait_until
from marked import ORDERS, USERS, Host, marks
from what_was_decided_stays import Unreadable

VIA = ("one", "two", "told")
# A journal whose last 4,096 records are damaged is not written to any more:
# that is told by marks_in_trouble.py.
MORE_RECORDS = 4200
RECORD_HEAD = 80       # of a record in front of its unit (tests/oracle)
KEY_AT, TIME_AT = 24, 48


def path(*words):
    return {"any": [{"path": {"exact": word}} for word in words]}


USER_STAGES = {"stages": [
    {"name": "enter", "writes": True, "when": path("/", "/enter")},
    {"name": "look", "when": path("/look")},
    {"name": "fill", "onMissing": "backfill", "when": path("/fill")}]}
ORDER_STAGES = {"strictTimeout": "10s", "stages": [
    {"name": "create", "writes": True, "onUnknown": "refuse",
     "when": path("/create")},
    {"name": "pay", "when": path("/pay")},
    {"name": "view", "onUnknown": "baseline", "when": path("/view")}]}
# what the stages above say of who cannot be known
DECLARED = {USERS: {"/": "old", "/enter": "old", "/look": "old",
                    "/fill": "old"},
            ORDERS: {"/create": "hold", "/pay": "hold", "/view": "old"}}
FRESH = iter(range(1_000_000, 9_000_000))


def fresh(count):
    return [next(FRESH) for _ in range(count)]


def told(host, units, target, via=None):
    """{unit: what it is told}, by the paths in turn or by one."""
    return {unit: ask(host, unit, target, via or VIA[n % len(VIA)])
            for n, unit in enumerate(units)}


def ask(host, unit, target, via):
    return host.ask(unit, target, via,
                    "oid" if target in DECLARED[ORDERS] else "uid")


def of(answers, word):
    return {unit for unit, said in answers.items() if said == word}


def kept(host, release):
    """{unit: state} of the journal's end, each unit with one mark."""
    history = marks.History(host.journal(release))
    check(not history.wrong, f"{release}: {history.wrong}")
    return {unit: history.state(unit) for unit in history.of}


def drained(host, release, target):
    """Somebody new comes in by each path, and is in the journal: so is all
    that was told there before."""
    last = {comes_in(host, via, target) for via in VIA}
    wait_until(lambda: last <= {u for u, s in kept(host, release).items()
                                if s == "in"}, f"{release}: {last} are kept")


def comes_in(host, via, target):
    def somebody():
        unit = next(FRESH)
        return unit if ask(host, unit, target, via) == "new" else 0
    return wait_until(somebody, f"somebody comes in by {via}")


def all_told(host, release, units, wanted, when):
    """Each unit, at each stage by each path, is told what is declared; the
    wanted word of a stage may be a function of the unit."""
    for target, word in wanted.items():
        for via in VIA:
            if release == USERS and via == "told" and target == "/":
                continue  # libgray is told the stage by its word
            for unit, said in told(host, units, target, via).items():
                want = word(unit) if callable(word) else word
                check(said == want, f"{when}: unit {unit} at {target} by "
                      f"{via} is told {said}, declared is {want}")


# ---- nobody has heard of the unit -------------------------------------------------


def missing(host):
    """Of users, at 50 %; libgray is asked about users alone."""
    missed, filled = fresh(120), fresh(240)
    for via in VIA:
        said = told(host, missed, "/look", via)
        check(of(said, "old") == set(missed), "no mark, onMissing: baseline, "
              f"by {via}: {list(said.items())[:5]}")
    said = told(host, filled, "/fill")
    check(60 < len(of(said, "new")) < 180 and
          of(said, "new") | of(said, "old") == set(filled),
          f"no mark, onMissing: backfill at 50 %: {list(said.items())[:9]}")
    drained(host, USERS, "/enter")
    marked = kept(host, USERS)
    check(not set(missed) & set(marked), "onMissing: baseline wrote: "
          f"{sorted(set(missed) & set(marked))[:5]}")
    inside = {u for u in filled if marked.get(u) == "in"}
    check(inside == of(said, "new"), "onMissing: backfill told "
          f"{len(of(said, 'new'))} units new, and {len(inside)} are in the "
          "journal")
    # The rules are those of the stage that writes; and now it is the mark.
    rules = told(host, [u for u in filled if u not in inside], "/enter")
    check(not of(rules, "new"), "the rules let in by /enter whom they did not "
          f"by /fill: {of(rules, 'new')}")
    host.verb(USERS, "freeze")
    all_told(host, USERS, filled[:60],
             {"/look": said.get, "/fill": said.get, "/enter": said.get},
             "filled, then frozen")
    frozen = told(host, fresh(30), "/fill")
    check(not of(frozen, "new"), f"filled in while frozen: {frozen}")
    host.verb(USERS, "thaw")


def missing_orders(host):
    """An order that no stage has made: never decided later on."""
    nobody = fresh(60)
    for target in ("/pay", "/view"):
        for via in VIA:
            said = told(host, nobody, target, via)
            check(of(said, "old") == set(nobody), f"an order without a mark "
                  f"at {target} by {via}: {list(said.items())[:5]}")
    drained(host, ORDERS, "/create")
    check(not set(nobody) & set(kept(host, ORDERS)), "an update stage wrote")


# ---- nobody can know -----------------------------------------------------------------


@contextlib.contextmanager
def nothing_written(host, release, units, target):
    """Of these units, while inside; `target` is where the release writes."""
    before = [r for r in host.journal(release) if r.unit in units]
    yield
    drained(host, release, target)
    after = [r for r in host.journal(release) if r.unit in units]
    check(after == before, f"{release}: recorded of who cannot be known: "
          f"{after[len(before):][:5]}")


def unreadable(host, release, target, known):
    """The table says that it is being rebuilt."""
    strangers = fresh(20)
    with nothing_written(host, release, set(strangers) | set(known), target):
        with Unreadable(host, release):
            all_told(host, release, [*known, *strangers], DECLARED[release],
                     "while the table is rebuilt")
    all_told(host, release, known, dict.fromkeys(DECLARED[release], known.get),
             "after the table was rebuilt")


def restart_readers(host, asked):
    for gate in host.gates.values():
        gate.stop()
    host.kill_told()
    yield
    for gate in host.gates.values():
        gate.start()
    host.start_told(of_orders=asked)


def gone(host, release, target, known):
    """The table's file is gone, and nobody who reads has it mapped."""
    tables = [p for p, _ in Unreadable(host, release).places]
    strangers = fresh(20)
    with nothing_written(host, release, set(strangers) | set(known), target):
        for _ in restart_readers(host, release):
            for table in tables:
                os.rename(table, os.path.join(host.dir,
                                              os.path.basename(table)))
        all_told(host, release, [*known, *strangers], DECLARED[release],
                 "without the table's file")
        for _ in restart_readers(host, release):
            for table in tables:
                os.rename(os.path.join(host.dir, os.path.basename(table)),
                          table)
    all_told(host, release, known, dict.fromkeys(DECLARED[release], known.get),
             "with the table's file again")


# ---- the mark is damaged ----------------------------------------------------------------


def damage(journal, units):
    """Flips a byte of every copy of these units' records: of the moment, or,
    for each second unit, of the key."""
    with open(journal, "r+b") as f:
        data = f.read()
        for number, unit in enumerate(units):
            at = KEY_AT if number % 2 else TIME_AT
            # the unit's text is followed by its actor and reason: none here
            places = [m.start() for m in re.finditer(
                re.escape(str(unit).encode()) + rb"(?=\0|[^0-9])", data)]
            check(places, f"{unit} does not stand in {journal}")
            for place in places:
                f.seek(place - RECORD_HEAD + at)
                f.write(bytes([data[place - RECORD_HEAD + at] ^ 0x55]))


def reboot(host, meanwhile=lambda: None):
    """The machine is started anew: tables are read from the journal."""
    check(host.grayd.stop() == 0, "grayd ends badly")
    for _ in restart_readers(host, ORDERS):
        meanwhile()
        shutil.rmtree(host.runtime)
        check(host.grayd.start(), host.grayd.errors()[-2000:])


def cli(host, *words, **more):
    return host.gray(*words, "--server", "unix:" + host.grayd.socket, **more)


def more_records(host):
    """Orders of before, so that the damaged ones are not the last."""
    name = os.path.join(host.dir, "before.csv")
    with open(name, "w", encoding="utf-8") as f:
        f.writelines(f"{unit},out\n" for unit in fresh(MORE_RECORDS))
    host.verb(ORDERS, "freeze")
    cli(host, "marks", "import", ORDERS, name, "--reason", "of before")
    host.verb(ORDERS, "thaw")


def damaged(host, known, users):
    """`known`: {order: what it is told}, as many in as out; `users`: in."""
    held = [*sorted(of(known, "new"))[:4], *sorted(of(known, "old"))[:4]]
    whole = {u: said for u, said in known.items() if u not in held}
    more_records(host)
    reboot(host, lambda: damage(
        os.path.join(host.grayd.state, "marks/data.mdb"), [*held, *users]))
    check(f"{len(held) + len(users)} of them are damaged" in
          host.grayd.errors(), "grayd does not say what is damaged: " +
          host.grayd.errors()[-1500:])
    with nothing_written(host, ORDERS, set(held), "/create"):
        all_told(host, ORDERS, held, DECLARED[ORDERS], "with a damaged mark")
        all_told(host, ORDERS, whole, dict.fromkeys(
            DECLARED[ORDERS], whole.get), "beside a damaged mark")
    for unit in users:  # users of a gateway alone: libgray is at the orders
        for target, word in DECLARED[USERS].items():
            for via in ("one", "two"):
                said = ask(host, unit, target, via)
                check(said == word, f"user {unit} with a damaged mark at "
                      f"{target} by {via} is told {said}, declared {word}")
    check(f"{len(held)} DAMAGED" in cli(host, "status", ORDERS),
          "gray status does not say: " + cli(host, "status", ORDERS))
    repaired(host, known, held, users)
    reboot(host)
    all_served(host, known, users, "repaired and read again")


def all_served(host, known, users, when):
    all_told(host, ORDERS, known, dict.fromkeys(DECLARED[ORDERS], known.get),
             when)
    for unit in users:
        for target in DECLARED[USERS]:
            said = ask(host, unit, target, "one")
            check(said == "new", f"{when}: user {unit} at {target}: {said}")


def repaired(host, known, held, users):
    """By a person, one after the other."""
    for release, units in ((ORDERS, held), (USERS, users)):
        for unit in units:
            state = {"new": "in", "old": "out"}[known.get(unit, "new")]
            said = cli(host, "marks", "repair", release, unit, state,
                       "--reason", f"row of {unit}")
            check(said == f"{unit}: hold -> {state}\n", f"repair says {said}")
    cli(host, "marks", "repair", ORDERS, sorted(of(known, "new"))[0], "out",
        "--reason", "nobody is put outside", codes=(1,))
    all_served(host, known, users, "repaired")
    audit = cli(host, "audit", "list", "-o", "json", "-n", 100)
    for unit in (*held, *users):
        record = [r for release in (ORDERS, USERS)
                  for r in host.journal(release) if r.unit == unit][-1]
        check(record.actor, f"nobody repaired {unit}: {record}")
        check(f"row of {unit}" in audit, f"the audit lacks the repair of "
              f"{unit}")


def main():
    with Host("a_hole_is_filled_or_stopped_as_declared") as host:
        host.shops()
        check(host.grayd.start(), host.grayd.errors())
        host.apply(host.documents(users=USER_STAGES, orders=ORDER_STAGES))
        for name in ("one", "two"):
            host.gate(name, workers=1)
        for release in (USERS, ORDERS):
            host.verb(release, "start", weight=50)
        host.start_told(of_orders=USERS)
        missing(host)
        print("missing, of users", flush=True)
        users = told(host, fresh(40), "/enter")
        users = {u: users[u] for u in sorted(of(users, "new"))[:6]}
        drained(host, USERS, "/enter")
        unreadable(host, USERS, "/enter", users)
        gone(host, USERS, "/enter", users)
        print("unreadable, of users", flush=True)
        host.kill_told()
        host.start_told()
        missing_orders(host)
        print("missing, of orders", flush=True)
        orders = told(host, fresh(40), "/create")
        unreadable(host, ORDERS, "/create", orders)
        gone(host, ORDERS, "/create", orders)
        print("unreadable, of orders", flush=True)
        damaged(host, orders, list(users)[:2])
        print("damaged, and repaired", flush=True)


if __name__ == "__main__":
    main()
