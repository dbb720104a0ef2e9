#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""freeze.py - how long "nobody new, from now on" takes, and whether it is so.

Why: whoever freezes waits until it is true of every worker and of the disk, so
the time is from sending the call to its answer, which says that the scope is
closed.  64 clients of wrk never stop meanwhile: each request is an order that
nobody has heard of, half of them are let in, two workers write marks as fast
as they can.  An `entity` release with an admission lease; state on this
machine's disk.  Between a freeze and its thaw the journal may get no IN: that
is counted, in the journal itself by tests/oracle/journal.py.

usage: freeze.py BUILD
Prints `name value unit`, one a line.
"""
import json
import os
import subprocess
import sys
import time

import gateway
import grayd

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             "..", "tests", "oracle"))
import journal  # noqa: E402

ROUNDS, CLIENTS = 120, 64
REACH_S = 60    # bounds every wait
NEWS = 200      # requests between one call and the next
ORDERS = """
local number = 0
function setup(thread)
    number = number + 1
    thread:set("first", number * 1000000000)
end
function request()
    first = first + 1
    return wrk.format("GET", nil, {Cookie = "uid=" .. first})
end
"""


def documents(v1, v2):
    found = json.loads(gateway.documents(v1, v2, "entity"))
    found[1]["admission"] = {"share": 50}
    return found


def last_record(server):
    """The number of the journal's newest record; of one release alone.  A
    release's own figures count its marks, which would be load of another
    kind."""
    return server.ask("GET", "/v1/status")["marks"]["journal"]["sequence"]


def load(bench, port):
    """wrk, for longer than we need; it is ended."""
    script = os.path.join(bench.dir, "orders.lua")
    with open(script, "w", encoding="utf-8") as f:
        f.write(ORDERS)
    return bench.spawn(["wrk", "-t", "2", "-c", str(CLIENTS), "-d", "600s",
                        "-s", script, f"http://127.0.0.1:{port}/cart/7"])


def goes_on(server, more=NEWS):
    """The load itself is the clock: until so many more are recorded."""
    wanted = last_record(server) + more
    deadline = time.monotonic() + REACH_S
    while last_record(server) < wanted:
        if time.monotonic() > deadline:
            raise RuntimeError("nobody makes orders any more")
        time.sleep(0.01)


def verb(server, word):
    """Where the marks thread is busy for a second, that is said, and asked
    for again: of a freeze it is part of the time."""
    deadline = time.monotonic() + REACH_S
    while True:
        try:
            return server.ask("POST", f"/v1/releases/cart-2/{word}",
                              {"reason": "r"})
        except RuntimeError as error:
            if '"busy"' not in str(error) or time.monotonic() > deadline:
                raise
            print(error, file=sys.stderr)


def sync(server):
    """Ms of one sync of this disk, under the same load."""
    with open(os.path.join(server.state, "synced"), "ab") as f:
        f.write(bytes(4096))
        f.flush()
        start = time.monotonic()
        os.fdatasync(f.fileno())
        return (time.monotonic() - start) * 1000


def one_round(server):
    """(ms of the call, what the journal had when it returned, and before the
    thaw)."""
    start = time.monotonic()
    said = verb(server, "freeze")
    took = (time.monotonic() - start) * 1000
    since = last_record(server)
    if not said["admission"]["closed"] or said["admission"]["late"]:
        raise RuntimeError(f"freeze: {said}")
    goes_on(server)  # OUT is written still
    until = last_record(server)
    verb(server, "thaw")
    goes_on(server)
    return took, since, until, sync(server)


def newly_in(server, windows):
    """Records that say IN and came between a return and the thaw."""
    records = journal.read(os.path.join(server.state, "marks"), "cart-2")
    inside = [r.sequence for r in records if r.state == "in"]
    if len(inside) < ROUNDS:
        raise RuntimeError(f"{len(inside)} orders were let in in all")
    return sum(since < number <= until for number in inside
               for since, until in windows), len(records)


def main():
    bench = gateway.Bench(sys.argv[1])
    server = grayd.Grayd(bench)
    try:
        server.ask("POST", "/v1/apply", server.apply(
            documents(bench.v1, bench.v2)))
        port = grayd.start_nginx(bench, server)
        server.ask("POST", "/v1/releases/cart-2/start",
                   {"weight": 50, "reason": "r"})
        wrk = load(bench, port)
        goes_on(server)
        begun = time.monotonic()
        rounds = [one_round(server) for _ in range(ROUNDS)]
        seconds = time.monotonic() - begun
        wrk.terminate()
        wrk.wait(20)
        took = sorted(r[0] for r in rounds)
        print("each round's ms:", [round(r[0]) for r in rounds],
              file=sys.stderr)
        late, records = newly_in(server, [r[1:3] for r in rounds])
        grayd.show("freeze_ack", took)
        print(f"freeze_ack_max_ms {took[-1]:.1f} ms")
        grayd.show("freeze_disk_sync", [r[3] for r in rounds])
        print(f"freeze_new_in_after {late} marks")
        print(f"freeze_load_marks_s {records / seconds:.0f} marks/s",
              flush=True)
    finally:
        server.close()
        bench.close()


if __name__ == "__main__":
    main()
