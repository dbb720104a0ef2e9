#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nobody_flips_under_kill_9.py - a whole ramp, and everything dies all the time.

100,000 users and ever new orders go through two nginx instances and a program
with libgray, on one runtime folder that grayd writes.  The users' release goes
1, 10, 50, by retreat back to 10, 50, freeze, thaw, 100; that of the orders
(entity, strict) as far as 100 without a retreat.  Meanwhile workers, whole
nginx instances, the program and grayd are killed -9 three times a second.

Judged by tests/oracle/marks.py from answers and journal alone: no unit flips
without a recorded move, none has two marks, none that was told so under
strict is lost, nobody comes in after freeze returned.

STORY_KILLS=N: how many; `make chaos` has 10,000.
"""
import os
import random
import time

from harness import check, wait_until
from marked import ORDERS, USERS, Host, Operator

KILLS = int(os.environ.get("STORY_KILLS", "200"))
PAUSE_S = 1 / 3  # between two kills
PEOPLE = min(100_000, 500 * KILLS)
RATE = {"users": 9000, "orders": 2500}  # answers a second, at most
# when (share of all kills), verb, body
RAMP = [(0.0, "start", {"weight": 1}), (0.08, "set-weight", {"weight": 10}),
        (0.2, "set-weight", {"weight": 50}), (0.36, "retreat", {"to": 10}),
        (0.5, "set-weight", {"weight": 50}), (0.64, "freeze", {}),
        (0.78, "thaw", {}), (0.8, "set-weight", {"weight": 100})]


class Kills:
    """Who was killed how often; each victim comes back before the next."""

    def __init__(self, host, dice):
        self.host, self.dice, self.done, self.took = host, dice, {}, {}
        self.when = []  # (moment, who), for whoever looks into a failure
        self.victims = {"worker": 4, "master": 1, "told": 2, "grayd": 2}

    def count(self):
        return sum(self.done.values())

    def one(self):
        what = self.dice.choices(list(self.victims),
                                 list(self.victims.values()))[0]
        begun = time.monotonic()
        self.when.append((time.monotonic_ns(), what))
        getattr(self, what)()
        self.done[what] = self.done.get(what, 0) + 1
        self.took[what] = self.took.get(what, 0) + time.monotonic() - begun

    def worker(self):
        self.dice.choice(list(self.host.gates.values())) \
            .kill_worker(self.dice)

    def master(self):
        gate = self.dice.choice(list(self.host.gates.values()))
        gate.kill()
        gate.start()

    def told(self):
        self.host.kill_told()
        self.host.start_told()

    def grayd(self):
        self.host.grayd.kill()
        check(self.host.grayd.start(), "grayd does not come back: " +
              self.host.grayd.errors()[-2000:])


def ramp(host, kills):
    """The operator: goes on as the kills do, whoever dies meanwhile."""
    for at, verb, body in RAMP:
        wait_until(lambda at=at: kills.count() >= at * KILLS,
                   f"the kills go on as far as {at}", KILLS + 120)
        for release in (USERS, ORDERS):
            if verb == "retreat" and release == ORDERS:
                continue
            host.verb(release, verb, **body)


def kill_all_the_time(host, dice):
    kills = host.kills = Kills(host, dice)
    operator = Operator(lambda: ramp(host, kills))
    operator.start()
    due = time.monotonic()
    while kills.count() < KILLS:
        check(operator.failure is None, f"operator: {operator.failure}")
        kills.one()
        due = max(due + PAUSE_S, time.monotonic())
        wait_until(lambda: time.monotonic() >= due, "time goes on")
    operator.done(120)
    return kills


def main():
    seed = int(os.environ.get("STORY_SEED",
                              random.SystemRandom().randrange(1 << 32)))
    dice = random.Random(seed)
    print(f"seed {seed}", flush=True)
    with Host("nobody_flips_under_kill_9") as host:
        host.shops()
        check(host.grayd.start(), host.grayd.errors())
        host.apply(host.documents())
        for name in ("one", "two"):
            host.gate(name)
        host.start_told()
        users = host.ask_start("users", connections=48, units=PEOPLE,
                               rate=RATE["users"], seconds=36000,
                               seed=seed % 1000)
        orders = host.ask_start("orders", connections=16, units=8_000_000,
                                rate=RATE["orders"], seconds=36000,
                                seed=seed % 999)
        kills = kill_all_the_time(host, dice)
        tallies = [host.ask_end(child) for child in (users, orders)]
        print(f"{kills.count()} kills: {kills.done}; seconds until they were "
              f"back: { {k: round(v, 1) for k, v in kills.took.items()} }")
        print(tallies, flush=True)
        check(host.grayd.stop() == 0, "grayd ends badly")  # drains, syncs
        everybody = host.judge("users", USERS, settled=True)
        host.judge("orders", ORDERS)
        check(everybody.units == PEOPLE, f"{everybody.units} users were asked")
        for tally in tallies:
            check(tally["odd"] == 0, f"an answer of nobody's: {tally}")


if __name__ == "__main__":
    main()
