#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a_freeze_holds_for_rows.py - nobody new in, once the call has returned.

Why: what was decided before a freeze and is committed after it would be an
order of the new logic that nobody expects.  While 16 clients make orders, two
services are frozen and thawed again and again: no order that was asked for, or
answered, after the freeze returned may be of the new logic, and what was made
then stays outside after the thaw.

usage: a_freeze_holds_for_rows.py BUILD sqlite|postgres
STORY_FREEZES: how often (20)
"""
import os
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


def frozen_times(here, times):
    """[(returned, thawed)] by the clock of the history."""
    windows = []
    for _ in range(times):
        more(here)
        here.story.gray("freeze", here.release, "--runtime",
                        here.story.runtime, "--wait", 20, "--reason", "books")
        returned = time.monotonic()
        more(here)
        windows.append((returned, time.monotonic()))
        here.story.gray("thaw", here.release, "--runtime", here.story.runtime,
                        "--wait", 20, "--reason", "closed")
    return windows


def made_within(history, windows, moment):
    """Orders answered in a frozen time whose `moment` lies in it, too."""
    return [asked for asked in history if asked["status"] == 201 and
            any(begin < asked[moment] and asked["answered"] < end
                for begin, end in windows)]


def inside(made):
    return [asked for asked in made if asked["body"]["logic"] == "new"]


def main():
    kind = sys.argv[2]
    times = int(os.environ.get("STORY_FREEZES", "20"))
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
        made = list(here.history)
        outside = made_within(made, windows, "sent")
        late = inside(outside)
        check(not late, f"asked for after the freeze: {late[:2]}")
        late = inside(made_within(made, windows, "answered"))
        check(not late, f"{len(late)} answered after the freeze, as "
              f"{late[:1]}")
        here.publish("all", 100)
        check(len(outside) > 50 * times, f"only {len(outside)} while frozen")
        for asked in outside[::20]:
            here.ask("pay", asked["order"])
        as_it_must_be(here.judge(all_served=True))
        print(f"{times} freezes, {len(made)} orders, {len(outside)} of them "
              "while frozen")


if __name__ == "__main__":
    main()
