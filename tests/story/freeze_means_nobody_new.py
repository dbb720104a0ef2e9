#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""freeze_means_nobody_new.py - once freeze has returned, nobody new comes in.

64 clients are busy on all paths while it is called, again and again.  Judged
from answers and journal alone: whoever is told "new" after the return was in
the journal at that moment, and the journal gets no IN until the thaw; orders
that are created meanwhile are outside, and stay there.  The disk is a slow one, so
that there is always something under way.

Then a worker is stopped in the middle (SIGSTOP) and cannot acknowledge: the
call returns all the same when its admission lease is over, and the worker,
continued, answers no IN to what was waiting in its sockets.
"""
import os
import random
import signal
import time

from harness import check, wait_until
from marked import ORDERS, USERS, Host, marks

LEASE_S = 2
TIMES = 3  # freezes of busy clients
# A busy machine is no reason to give up waiting.
STRICT = {"durability": "strict", "admissionLease": f"{LEASE_S}s",
          "strictTimeout": "10s"}


def go_on(host, users=1500, orders=150):
    """The load itself is the clock."""
    for kind, more in (("users", users), ("orders", orders)):
        target = host.answered(kind) + more
        wait_until(lambda k=kind, t=target: host.answered(k) >= t,
                   f"{more} more answers to {kind}")


def freeze_both(host):
    for release in (USERS, ORDERS):
        host.verb(release, "freeze")


def thaw_both(host):
    for release in (USERS, ORDERS):
        host.verb(release, "thaw")


def busy(host):
    for _ in range(TIMES):
        go_on(host)
        freeze_both(host)
        go_on(host)
        thaw_both(host)
    go_on(host)


def in_flight(host, since):
    """Answers that were asked for before `since` and came later."""
    return [a for kind in ("users", "orders") for a in host.answers(kind)
            if a.sent < since < a.answered and a.said <= marks.NEW]


def stopped(host, dice):
    """A worker that holds requests is stopped; freeze does not wait for it
    for ever; what it answers when it goes on is judged with the rest."""
    gate = host.gates["one"]
    victim = dice.choice(gate.workers())
    os.kill(victim, signal.SIGSTOP)
    try:
        # Whoever is not stopped goes on; the other sockets fill.
        go_on(host, 200, 40)
        took = []
        for release in (USERS, ORDERS):
            begun = time.monotonic()
            host.verb(release, "freeze")
            took.append(time.monotonic() - begun)
            check(took[-1] > LEASE_S, f"freeze waited {took[-1]:.2f} s for a "
                  f"worker that may admit for {LEASE_S} s")
        since = time.monotonic_ns()
    finally:
        os.kill(victim, signal.SIGCONT)
    late = wait_until(lambda: in_flight(host, since),
                      "the worker answers what waited for it")
    go_on(host)
    print(f"a stopped worker: freeze took {took[0]:.2f} and {took[1]:.2f} s "
          f"with a lease of {LEASE_S} s, {len(late)} answers came later")
    thaw_both(host)
    go_on(host)


def outside_for_ever(host):
    """Orders created while it was frozen; everybody is let in, and they are
    asked for once more, on each path."""
    frozen = marks.Windows(host.acts[ORDERS], "freeze")
    created = [a.unit for a in host.answers("orders")
               if a.stage == 1 and a.said == marks.OLD and frozen.sure(a)]
    check(len(created) > 50, f"{len(created)} orders were created frozen")
    host.verb(ORDERS, "set-weight", weight=100)
    for number, unit in enumerate(created[:60]):
        via = ("one", "two", "told")[number % 3]
        for target in ("/pay", "/create"):
            said = host.ask(unit, target, via)
            check(said == "old", f"order {unit}, created while it was frozen, "
                  f"is {said} at {target} by {via}")
    print(f"{len(created)} orders were created while it was frozen")


def main():
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    with Host("freeze_means_nobody_new") as host:
        host.shops()
        host.grayd_on_slow_disk()
        host.apply(host.documents(users=STRICT, orders=STRICT))
        for name in ("one", "two"):
            host.gate(name)
        host.start_told()
        for release in (USERS, ORDERS):
            host.verb(release, "start", weight=50)
        # Ever new users, so that there is always somebody to let in.
        users = host.ask_start("users", connections=48, units=50_000_000,
                               rate=4000, seconds=600)
        orders = host.ask_start("orders", connections=16, units=8_000_000,
                                rate=2500, seconds=600)
        busy(host)
        stopped(host, random.Random(seed))
        tallies = [host.ask_end(child) for child in (users, orders)]
        outside_for_ever(host)
        check(host.grayd.stop() == 0, "grayd ends badly")
        host.judge("users", USERS, strict=True)
        host.judge("orders", ORDERS)
        for tally in tallies:
            check(tally["failed"] + tally["odd"] + tally["refused"] == 0,
                  f"requests failed: {tally}")
            check(tally["new"] > 1000, f"hardly anybody came in: {tally}")


if __name__ == "__main__":
    main()
