#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""an_application_asks_grayd.py - what libgray admits is a mark like any other.

No gateway here: a program that knows gray.h alone, a grayd, and the journal,
read by other eyes.  The program maps the tables read-only, so each new mark is
grayd's work.  600 orders are created and paid by eight threads at once: each
has one record, and is told the same ever after; one that was created frozen
stays outside.  Then grayd stands still (SIGSTOP): an order that asks is held,
because its mark may still be made, and is never told otherwise than what it
got; who is in is served all the while.
"""
import collections
import itertools
import os
import signal
import threading

from harness import check, wait_until
from marked import ORDERS, USERS, Host

ORDERS_EACH, THREADS = 75, 8


def create_all(host, first):
    """{order: what it was told}, asked by threads of one process, twice."""
    told, wrong = {}, []

    def work(number):
        for i in range(ORDERS_EACH):
            unit = first + i * THREADS + number
            said = [host.ask(unit, target, "told")
                    for target in ("/create", "/create", "/pay")]
            told[unit] = said[0]
            if len(set(said)) != 1 or said[0] not in ("new", "old"):
                wrong.append((unit, said))
    threads = [threading.Thread(target=work, args=(n,))
               for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not wrong, f"orders with two answers: {wrong[:5]}")
    return told


def judge(host, told):
    """One record an order, and it says what the order was told."""
    records = collections.defaultdict(list)
    for record in host.journal(ORDERS):
        records[record.unit].append(record.state)
    for unit, said in told.items():
        check(records[unit] == ["in" if said == "new" else "out"],
              f"order {unit} was told {said}, the journal says "
              f"{records[unit]}")


def frozen(host):
    host.verb(ORDERS, "freeze")
    told = create_all(host, 20_000)
    check(set(told.values()) == {"old"}, "somebody came in while frozen")
    host.verb(ORDERS, "thaw")
    host.verb(ORDERS, "set-weight", weight=100)
    for unit in list(told)[:50]:
        check(host.ask(unit, "/create", "told") == "old",
              f"order {unit} was created while frozen")
    judge(host, told)


def stands(pid):
    words = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/stat", encoding="ascii") as f:
            words.append(f.read().rsplit(")", 1)[1].split()[0])
    return set(words) == {"T"}


def standing_still(host, insider):
    """`insider` is an order that is in."""
    pid = host.grayd.process.pid
    held = []
    os.kill(pid, signal.SIGSTOP)  # its threads stop one after the other
    wait_until(lambda: stands(pid), "grayd does not stand still")
    try:
        said = [host.ask(30_000 + i, "/create", "told") for i in range(20)]
        held = [30_000 + i for i in range(20) if said[i] == "hold"]
        check(held, f"no order was held: {collections.Counter(said)}")
        check("new" not in said, "an order came in by nobody's record")
        check(host.ask(insider, "/pay", "told") == "new",
              "who is in is not served")
        check(host.ask("never-created", "/pay", "told") == "old",
              "an order that nobody created")
        # Its writer is dead for a second: nobody is asked any more.
        wait_until(lambda: host.ask(31_000, "/create", "told") == "old",
                   "a dead writer is never noticed")
    finally:
        os.kill(pid, signal.SIGCONT)
    # Until it has told that it lives, nothing is asked of it: the old logic
    # creates what comes, without a record.
    fresh = itertools.count(32_000)
    wait_until(lambda: host.ask(next(fresh), "/create", "told") == "new",
               "grayd goes on, and nobody asks it")
    told = {}
    for unit in held:
        def answered(unit=unit):
            told[unit] = host.ask(unit, "/create", "told")
            return told[unit] in ("new", "old")
        wait_until(answered, f"order {unit} is held for ever")
        check(host.ask(unit, "/pay", "told") == told[unit],
              f"order {unit} flips")
    judge(host, told)
    print(f"{len(held)} of 20 orders were held while grayd stood still")


def main():
    with Host("an_application_asks_grayd") as host:
        check(host.grayd.start(), host.grayd.errors())
        host.apply(host.documents(orders={"strictTimeout": "10s"}))
        for release in (USERS, ORDERS):
            host.verb(release, "start", weight=50)
        host.start_told()
        told = create_all(host, 10_000)
        counts = collections.Counter(told.values())
        print(f"created and paid through libgray: {dict(counts)}")
        check(min(counts["new"], counts["old"]) > len(told) // 3,
              "that is not half of them")
        judge(host, told)
        frozen(host)
        host.apply(host.documents(orders={"strictTimeout": "100ms"}))
        standing_still(host, next(u for u in told if told[u] == "new"))
        for unit, said in told.items():
            check(host.ask(unit, "/pay", "told") == said, f"{unit} flipped")


if __name__ == "__main__":
    main()
