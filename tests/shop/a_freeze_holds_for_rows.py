#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a_freeze_holds_for_rows.py - nobody new in, once the call has returned.

Why: what was decided before a freeze and is committed after it would be an
order of the new logic that nobody expects.  While 16 clients make orders, two
services are frozen and thawed again and again: no order that was asked for
after the freeze returned is of the new logic, the rows of the new logic are
the same at the return and at the thaw, and what was made meanwhile stays
outside for life.  Each freeze meets an order whose transaction stands just
before its commit.  Last, a service is stopped (SIGSTOP) with an order decided
and not committed, so that the freeze cannot wait for it: when it goes on, the
order is made by the old logic.

usage: a_freeze_holds_for_rows.py BUILD sqlite|postgres
STORY_FREEZES: how often (12)
"""
import os
import signal
import sys
import threading
import time

from scene import Story, as_it_must_be, check, shop, wait_until

CLIENTS = 16
MORE = 150  # orders made between two moments
NAMES = ("orders", "orders-b")


def client(here, number, ended):
    connection = here.connect(NAMES[number % len(NAMES)])
    turn = 0
    while not ended.is_set():
        turn += 1
        here.ask("create", f"c{number}-{turn}", connection=connection)
    connection.close()


def more(here):
    """Waits for so many orders more."""
    before = len(here.history)
    wait_until(lambda: len(here.history) >= before + MORE, "no orders", 60)


def freeze(here, *more, codes=(0,)):
    return here.story.gray("freeze", here.release, "--runtime",
                           here.story.runtime, "--reason", "books", *more,
                           codes=codes)


def thaw(here):
    here.story.gray("thaw", here.release, "--runtime", here.story.runtime,
                    "--wait", 20, "--reason", "closed")


def frozen_times(here, times):
    """[(called, returned, thawed)] by the clock of the history."""
    windows = []
    output = os.path.join(here.story.dir, "output.log")
    for number in range(times):
        more(here)
        slow = threading.Thread(target=here.ask,
                                args=("create", f"slow-{number}"),
                                kwargs={"fault": "stall"})
        slow.start()
        stalls = f"orders: slow-{number} stalls\n"
        wait_until(lambda: stalls in here.story.read(output), stalls)
        called = time.monotonic()
        freeze(here, "--wait", 20)
        returned = time.monotonic()
        rows = here.store.inside()
        more(here)
        slow.join()
        later = here.store.inside() - rows
        check(not later, f"made by the new logic after the freeze: {later}")
        windows.append((called, returned, time.monotonic()))
        thaw(here)
    return windows


def stopped(here):
    """Decided, not committed, and not to be waited for."""
    service = here.services["orders"]
    sleeper = threading.Thread(target=here.ask, args=("create", "asleep"),
                               kwargs={"fault": "stop"})
    sleeper.start()

    def state():
        with open(f"/proc/{service.pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    wait_until(lambda: state() == "T", "the service stops itself")
    said = freeze(here, "--wait", 1, codes=(5,))
    check("asleep" not in here.store.inside(), "committed in its sleep")

    def woken():  # it stops itself each time that it tries
        service.send_signal(signal.SIGCONT)
        return not sleeper.is_alive()
    wait_until(woken, "the order is answered")
    asked = next(a for a in here.history if a["order"] == "asleep")
    check(asked["status"] == 201 and asked["body"]["logic"] == "old",
          f"a process that slept through the freeze let in: {asked}")
    check("readers: 4 live, 2 acknowledged" in said, said)
    thaw(here)
    here.ask("pay", "asleep")
    check(here.history[-1]["body"]["logic"] == "old", here.history[-1])


def made_within(history, windows, moment):
    """Orders answered in a frozen time whose `moment` lies in it, too."""
    return [asked for asked in history if asked["status"] == 201 and
            any(begin < asked[moment] and asked["answered"] < end
                for begin, end in windows)]


def inside(made):
    return [asked for asked in made if asked["body"]["logic"] == "new"]


def judge_windows(here, windows, times):
    made = list(here.history)
    outside = made_within(made, [w[1:] for w in windows], "sent")
    late = inside(outside)
    check(not late, f"asked for after the freeze: {late[:2]}")
    check(len(outside) > 50 * times, f"only {len(outside)} while frozen")
    met = [a["order"] for a in inside(made) if a["order"].startswith("slow") and
           any(a["sent"] < called < a["answered"] for called, _, _ in windows)]
    check(len(met) > times // 8, f"{len(met)} freezes met an open order")
    here.publish("all", 100)
    for asked in outside[::20]:
        here.ask("pay", asked["order"])
    print(f"{times} freezes, {len(met)} of them met an order of the new logic "
          f"before its commit; {len(made)} orders, {len(outside)} while frozen")


def main():
    kind = sys.argv[2]
    times = int(os.environ.get("STORY_FREEZES", "12"))
    with Story(f"a_freeze_holds_for_rows ({kind})") as story, \
            shop(story, kind) as here:
        here.publish("half", 50)
        here.plan["half"]["share"] = None   # frozen for a part of it
        for name in NAMES:
            here.start(name=name)
        ended = threading.Event()
        clients = [threading.Thread(target=client, args=(here, i, ended))
                   for i in range(CLIENTS)]
        for one in clients:
            one.start()
        try:
            windows = frozen_times(here, times)
        finally:
            ended.set()
            for one in clients:
                one.join()
        judge_windows(here, windows, times)
        here.enter("asleep", 100, frozen=True)
        stopped(here)
        as_it_must_be(here.judge(all_served=True))


if __name__ == "__main__":
    main()
