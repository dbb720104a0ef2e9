#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""orders_survive_kills.py - one row, one mark, whatever dies when.

Why: the mark and what it says were written by one transaction, or were not.
Two order services share a database; 16 clients all make, pay and refund the
same orders and ask again until they are served, while one service after the
other is killed (kill -9) at a random moment, or just between the row and the
ledger, and the share grows under them.
At the end every order has one row, one mark and one logic, and nothing that
was acknowledged is gone.

usage: orders_survive_kills.py BUILD sqlite|postgres [SEED]
STORY_KILLS: how often (50), of each kind
"""
import os
import random
import signal
import sys
import threading
import time

from scene import Story, as_it_must_be, check, shop, wait_until

CLIENTS = 16
ORDERS = 6       # a kill
STAGES = ("create", "pay", "refund")
NAMES = ("orders", "orders-b")
PATIENCE = 60.0  # seconds in which every order must be served


def client(here, number, orders, failed):
    """Every stage of every order, again and again until it is served."""
    deadline = time.monotonic() + PATIENCE
    turn = number
    connections = [here.connect(name) for name in NAMES]
    for order in orders:
        for stage in STAGES:
            while True:
                asked = here.ask(stage, order,
                                 connection=connections[turn % len(NAMES)])
                if asked["status"] in (200, 201):
                    break
                turn += 1               # the other one may live
                if time.monotonic() > deadline:
                    failed.append(asked)
                    return
    for connection in connections:
        connection.close()


def killed_between(here, name, order, stage):
    """The service dies between the row and the ledger of this stage."""
    other = here.connect(NAMES[1 - NAMES.index(name)])
    for before in STAGES[:STAGES.index(stage)]:
        asked = here.ask(before, order, connection=other)
        check(asked["status"] in (200, 201), asked)
    asked = here.ask(stage, order, connection=here.connect(name),
                     fault="kill")
    check(asked["status"] is None, f"the service did not die: {asked}")
    died = here.services.pop(name)
    died.wait(20)
    here.story.children.remove(died)
    here.start(name=name)
    other.close()
    failed = []
    client(here, 0, [order], failed)
    check(not failed, f"not served after the kill: {failed}")


def one_kill(here, number, share, dice):
    """16 clients on these orders; a kill and a growth in the middle."""
    orders = [f"k{number}-{i}" for i in range(ORDERS)]
    failed = []
    clients = [threading.Thread(target=client,
                                args=(here, i, orders[:], failed))
               for i in range(CLIENTS)]
    before = len(here.history)
    all_asked = CLIENTS * ORDERS * len(STAGES)
    moments = sorted(dice.randrange(all_asked) for _ in range(2))
    for one in clients:
        one.start()

    def reached(moment):
        wait_until(lambda: len(here.history) - before >= moment or
                   not any(c.is_alive() for c in clients), "no requests", 60)
    reached(moments[0])
    here.publish(f"at {share} %", share)
    here.plan[here.phase]["share"] = None   # requests cross the growth
    reached(moments[1])
    name = NAMES[number % len(NAMES)]
    here.stop(signal.SIGKILL, name=name)
    here.start(name=name)
    stage = STAGES[number % len(STAGES)]
    killed_between(here, name, f"between{number}-{stage}", stage)
    orders.append(f"between{number}-{stage}")
    for one in clients:
        one.join()
    check(not failed, f"not served within {PATIENCE} s: {failed[:3]}")
    return orders


def main():
    kind = sys.argv[2]
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(2 ** 32)
    kills = int(os.environ.get("STORY_KILLS", "50"))
    dice = random.Random(seed)
    print(f"seed {seed}")
    with Story(f"orders_survive_kills ({kind})") as story, \
            shop(story, kind) as here:
        here.publish("begin", 0)
        for name in NAMES:
            here.start(name=name)
        made, snapshots = [], []
        for number in range(kills):
            made += one_kill(here, number, number * 100 // max(kills - 1, 1),
                             dice)
            if number % 10 == 9:
                snapshots.append(here.marks())
        as_it_must_be(here.judge(snapshots))
        rows = {row["order_id"]: row for row in here.store.rows()["orders"]}
        check(sorted(rows) == sorted(made), "an order has no row")
        check(all(row["state"] == "refunded" for row in rows.values()),
              "an order is not refunded")
        unanswered = sum(a["status"] is None for a in here.history)
        logics = {"new": 0, "old": 0}
        for row in rows.values():
            logics["old" if row["net_amount"] is None else "new"] += 1
        check(min(logics.values()) > 0, f"only one logic was met: {logics}")
        check(unanswered > 0, "no kill met a request")
        print(f"{2 * kills} kills, {len(here.history)} requests, {unanswered} "
              f"without an answer; orders: {logics}")


if __name__ == "__main__":
    main()
