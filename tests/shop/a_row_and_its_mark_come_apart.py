#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a_row_and_its_mark_come_apart.py - rows without marks, marks without rows.

Why: a restored backup, a script that cleaned up, a bad disk: sooner or later a
row has lost its mark, or a mark its row.  Then the other logic must not do
what is left to do.  What is planted by hand, and what docs/shop.md says of it:

  a mark of 16 zeros    old for life where the old logic made the row,
                        stopped (503) where the new one did
  a mark with a bad     stopped: whose it is cannot be known
  byte, another order's
  no row, but a ledger  stopped: no stage is done, no row is made anew
  neither               an order like one that never was: decided by the rules

The share is 100 % when it is asked, so who decides anew says "new".  Judged
from the rows: what was stopped is as it was, byte for byte.  Last, a service
that ignores marks does the same, and the rows must show it.

usage: a_row_and_its_mark_come_apart.py BUILD sqlite|postgres
"""
import sys

from scene import Story, as_it_must_be, check, judge, shop

EACH = 60
NOTHING = "00" * 16
STAGES = ("pay", "create", "refund")


class Holes:
    """Orders of both logics that are still whole; each hole takes some."""

    def __init__(self, here, prefix):
        self.here = here
        made = here.create(prefix, EACH)
        self.left = {logic: [n for n, l in made.items() if l == logic]
                     for logic in ("old", "new")}
        check(min(map(len, self.left.values())) > 10, f"50 %: {made}")

    def take(self, logic, count=2):
        return [self.left[logic].pop() for _ in range(count)]

    def row(self, name):
        """The order's row and what the ledger has of it."""
        rows = self.here.store.rows()
        return [[r for r in rows[t] if r["order_id"] == name]
                for t in ("orders", "ledger")]


def stopped(holes, name, what, statuses=(503,)):
    """No stage of it is done by anybody, and nothing is written."""
    before = holes.row(name)
    for stage in STAGES:
        asked = holes.here.ask(stage, name)
        check(asked["status"] in statuses and
              (asked["status"] != 503 or asked["again"]),
              f"{what}: {stage} of {name} is answered {asked['status']} "
              f"{asked['body']}")
    check(holes.row(name) == before, f"{what}: {name} was {before}, and is "
          f"{holes.row(name)}")


def old_for_life(holes, name, what):
    for stage in STAGES:
        asked = holes.here.ask(stage, name)
        check(asked["status"] == 200 and asked["body"]["logic"] == "old",
              f"{what}: {stage} of {name} is answered {asked}")
    (row,), ledger = holes.row(name)
    check(judge.logics_of(row) == {"old"} and row["state"] == "refunded" and
          {entry["logic"] for entry in ledger} == {"old"} and
          row["mark"] == NOTHING, f"{what}: {name} is {row}, {ledger}")


def without_a_mark(holes):
    for name in holes.take("old"):
        holes.here.set_mark(name, NOTHING)
        old_for_life(holes, name, "a row of the old logic without a mark")
    for name in holes.take("new"):
        holes.here.set_mark(name, NOTHING)
        stopped(holes, name, "a row of the new logic without a mark")


def with_a_wrong_mark(holes):
    marks = holes.here.marks()
    for logic in ("old", "new"):
        for at, name in enumerate(holes.take(logic, 4)):
            digits = marks[name]
            bad = f"{int(digits[8 * at:8 * at + 2], 16) ^ 0x41:02x}"
            holes.here.set_mark(name, digits[:8 * at] + bad +
                                digits[8 * at + 2:])
            stopped(holes, name, f"a mark of the {logic} logic, its byte "
                    f"{4 * at} damaged")
    one, other = holes.take("old", 1) + holes.take("new", 1)
    holes.here.set_mark(one, marks[other])
    holes.here.set_mark(other, marks[one])
    for name in (one, other):
        stopped(holes, name, "another order's mark")


def without_a_row(holes):
    """404 to who asks for more; 500 to who asks for it anew: the ledger
    knows that it was made."""
    for logic in ("old", "new"):
        for name in holes.take(logic):
            holes.here.store.change(
                f"DELETE FROM orders WHERE order_id = '{name}'")
            stopped(holes, name, f"a row of the {logic} logic is gone",
                    (404, 500))


def without_anything(holes):
    for name in holes.take("old"):
        for table in ("orders", "ledger"):
            holes.here.store.change(
                f"DELETE FROM {table} WHERE order_id = '{name}'")
        asked = holes.here.ask("pay", name)
        check(asked["status"] == 404, f"paid without a row: {asked}")
        asked = holes.here.ask("create", name)
        check(asked["status"] == 201 and asked["body"]["logic"] == "new",
              f"an order like a new one: {asked}")
        (row,), ledger = holes.row(name)
        check(judge.logics_of(row) == {"new"} and len(ledger) == 1,
              f"made anew: {row}, {ledger}")


def the_others(holes):
    """Whoever has both is served as ever."""
    whole = {n for names in holes.left.values() for n in names}
    for name in whole:
        for stage in STAGES:
            asked = holes.here.ask(stage, name)
            check(asked["status"] == 200, f"{name} is whole: {asked}")
    here = holes.here
    rows = {table: [r for r in found if r["order_id"] in whole]
            for table, found in here.store.rows().items()}
    as_it_must_be(judge.judge([a for a in here.history
                               if a["order"] in whole], rows, here.plan))


def planted(here):
    """A service that ignores marks does new rows by the old logic."""
    holes = Holes(here, "planted")
    here.stop()
    here.start("--bug", "ignore-mark")
    here.publish("planted, all", 100)
    name = holes.take("new", 1)[0]
    here.set_mark(name, NOTHING)
    here.ask("pay", name)
    (row,), _ = holes.row(name)
    check(judge.logics_of(row) == {"old", "new"}, f"--bug ignore-mark is not "
          f"seen in {row}")


def main():
    kind = sys.argv[2]
    with Story(f"a_row_and_its_mark_come_apart ({kind})") as story, \
            shop(story, kind) as here:
        here.publish("half", 50)
        here.start()
        holes = Holes(here, "order")
        here.publish("all", 100)
        for part in (without_a_mark, with_a_wrong_mark, without_a_row,
                     without_anything, the_others):
            part(holes)
            print(part.__name__, flush=True)
        here.stop()
        here.start(release="orders-3")
        here.publish("half again", 50)
        planted(here)


if __name__ == "__main__":
    main()
