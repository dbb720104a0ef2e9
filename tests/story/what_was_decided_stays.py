#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""what_was_decided_stays.py - the cases that the design standard tells by name.

  outside stays outside    an order created outside, while the share goes to
                           100 %; one created during a freeze, after the thaw
  the double record        the first request is not hit, the look-up of the
                           second says nothing, the share has grown meanwhile:
                           exactly one mark, and never two answers
  refused, not run         an order that is in, while its mark cannot be read,
                           is run by neither version
  abort moves the marked   users who are marked go back within the call

Through both gateways and libgray; judged from what the services answered and
from the journal.
"""
import os
import re
import struct

from harness import check, wait_until
from marked import ORDERS, USERS, Host, marks

VIA = ("one", "two", "told")
READY, REBUILDING = 2, 1


def told(host, units, target, via=None):
    """{unit: what it is told}, by the paths in turn or by one."""
    return {unit: host.ask(unit, target, via or VIA[n % len(VIA)])
            for n, unit in enumerate(units)}


def of(told_of, word):
    return {unit for unit, said in told_of.items() if said == word}


def same_everywhere(host, wanted, target, when):
    for via in VIA:
        now = told(host, wanted, target, via)
        moved = {u: (wanted[u], now[u]) for u in wanted if now[u] != wanted[u]}
        check(not moved, f"{when}: {len(moved)} units moved at {target} by "
              f"{via}, such as {list(moved.items())[:3]}; the journal: "
              f"{[r for r in host.journal(ORDERS) if r.unit in moved][:6]}")


def states(host, release):
    """{unit: state at the end}; two marks of one unit are a failure."""
    history = marks.History(host.journal(release))
    check(not history.wrong, f"{release}: {history.wrong}")
    return {unit: history.state(unit) for unit in history.of}


def outside_stays_outside(host):
    host.verb(ORDERS, "start", weight=10)
    first = told(host, range(1000, 1200), "/create")
    check(of(first, "new") and of(first, "old"), f"10 % of 200: {first}")
    host.verb(ORDERS, "freeze")
    frozen = told(host, range(2000, 2050), "/create")
    check(of(frozen, "old") == set(frozen), f"created while frozen: {frozen}")
    host.verb(ORDERS, "thaw")
    for weight in (50, 100):
        host.verb(ORDERS, "set-weight", weight=weight)
        for target in ("/pay", "/create"):
            same_everywhere(host, first, target, f"at {weight} %")
            same_everywhere(host, frozen, target, f"at {weight} %, created "
                            "while it was frozen")
    fresh = told(host, range(3000, 3010), "/create")
    check(of(fresh, "new") == set(fresh), f"100 % is not everybody: {fresh}")
    kept = states(host, ORDERS)
    for unit, said in {**first, **frozen, **fresh}.items():
        wanted = {"new": "in", "old": "out"}[said]
        check(kept.get(unit) == wanted, f"order {unit} was told {said}, the "
              f"journal says {kept.get(unit)}")
    return first


# ---- the look-up that says nothing --------------------------------------------


class Unreadable:
    """While inside, the table of a release says that it is being rebuilt: the
    number in front of its name in the file's head (runtime/marks.h)."""

    def __init__(self, host, release):
        folder = os.path.join(host.runtime, "marks")
        self.places = []
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if re.fullmatch(r"[0-9a-f]{16}\.\d+", name):
                with open(path, "rb") as f:
                    at = f.read(4096).find(release.encode() + b"\0") - 4
                if at > 0:
                    self.places.append((path, at))
        check(self.places, f"{release} has no table in {os.listdir(folder)}")

    def write(self, found, state):
        for path, at in self.places:
            with open(path, "r+b") as f:
                f.seek(at)
                is_so = struct.unpack("<I", f.read(4))[0]
                check(is_so == found, f"the state in {path} is {is_so}")
                f.seek(at)
                f.write(struct.pack("<I", state))

    def __enter__(self):
        self.write(READY, REBUILDING)
        return self

    def __exit__(self, *_):
        self.write(REBUILDING, READY)


def never(answers, words, what):
    bad = {u: s for u, s in answers.items() if s in words}
    check(not bad, f"{what}: {list(bad.items())[:5]}")


def the_double_record(host):
    """Orders and users who are outside at 10 %, and would be in at 100 %."""
    host.verb(USERS, "start", weight=10)
    users = told(host, range(5000, 5060), "/")
    missed = of(users, "old")
    check(missed and of(users, "new"), f"10 % of 60: {users}")
    before = states(host, USERS)
    with Unreadable(host, USERS):
        host.verb(USERS, "set-weight", weight=100)
        for via in VIA:
            blind = told(host, missed, "/", via)
            never(blind, ("new",), f"a look-up that said nothing let in by "
                  f"{via}")
    check(not set(states(host, USERS)) & missed,
          "somebody was recorded while nothing could be known")
    for via in VIA:
        seen = told(host, missed, "/", via)
        check(of(seen, "new") == missed, f"at 100 %: {seen}")
    settled(host, USERS, set(users))
    check(set(before) <= of(users, "new"), f"marked at 10 %: {before}")


def settled(host, release, units):
    """All of them are in the journal, in, and once."""
    wait_until(lambda: units <= {u for u, s in states(host, release).items()
                                 if s == "in"},
               f"{release}: each has one mark", 30)


def refused_not_run(host, orders):
    """Of orders that are in, and such that are outside."""
    with Unreadable(host, ORDERS):
        for via in VIA:
            blind = told(host, orders, "/pay", via)
            check(of(blind, "hold") == set(blind), "the mark cannot be read, "
                  f"and by {via} it was answered: {list(blind.items())[:5]}")
            never(told(host, [9001, 9002, 9003], "/create", via), ("new",),
                  f"let in without a look by {via}")
    for via in VIA:
        now = told(host, orders, "/pay", via)
        check(now == orders, f"it came back as something else by {via}")
    states(host, ORDERS)


def abort_moves_the_marked(host):
    asker = host.ask_start("users", connections=64, units=20000, rate=8000,
                           seconds=60)
    host.verb(USERS, "set-weight", weight=100)
    wait_until(lambda: host.answered("users") > 20000, "users are asked")
    host.verb(USERS, "abort")
    since = host.answered("users")
    wait_until(lambda: host.answered("users") > since + 8000,
               "users are asked after the abort")
    tally = host.ask_end(asker)
    check(tally["new"] > 5000 and tally["odd"] + tally["failed"] == 0,
          f"{tally}")
    wait_until(lambda: "in" not in states(host, USERS).values(),
               "everybody is revoked in the background", 60)
    host.judge("users", USERS)


def main():
    with Host("what_was_decided_stays") as host:
        host.shops()
        check(host.grayd.start(), host.grayd.errors())
        # A busy machine is no reason to give up waiting for a mark.
        host.apply(host.documents(orders={"strictTimeout": "10s"}))
        for name in ("one", "two"):
            host.gate(name, workers=1)
        host.start_told()
        first = outside_stays_outside(host)
        print("outside stays outside", flush=True)
        refused_not_run(host, first)
        print("refused, not run", flush=True)
        the_double_record(host)
        print("the double record", flush=True)
        abort_moves_the_marked(host)
        print("abort moves the marked", flush=True)


if __name__ == "__main__":
    main()
