#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a_scribbler_harms_nobody.py - an application that writes nonsense wherever it may.

It runs as another user (uid 65534).  First it tries to change every single
thing in the runtime folder: what it could must be its own, but for grayd's
bell.  Then it writes random bytes, other readers' bytes and numbers that hurt
over its own file and its ring, rings the bell, leaves odd files in readers/ -
while users and orders go through a gateway and through another program with
libgray, and an operator widens, freezes and thaws.

Nobody flips, no mark is made twice, no strict one is lost, nobody comes in
after the freeze (tests/oracle/marks.py); no process ends; the gateway's routes
show exactly the requests that were sent through it; and the operator is told
whose file is not believed.
"""
import json
import os
import shutil
import subprocess
import time

from harness import check, wait_until
from marked import ORDERS, USERS, Host

NOBODY = 65534
ROUNDS = 60_000
MAY = {"open", "utime"}  # what anybody may do to grayd's bell


def scribbler_start(host):
    """From a place that everybody can reach."""
    place = os.path.join(host.dir, "public")
    os.mkdir(place, 0o755)
    for path in ("tests/story/scribbler", "lib/libgray.so.0"):
        shutil.copy(os.path.join(host.build, path), place)
    for path in (host.dir, place):
        os.chmod(path, 0o755)
    return host.start(
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
        os.path.join(place, "scribbler"), host.runtime, ROUNDS, 7,
        env={"LD_LIBRARY_PATH": place}, stdout=subprocess.PIPE)


def tried(child, runtime):
    """What it could change is its own."""
    said = json.loads(child.stdout.readline())
    own = said["own"]
    check(own.startswith(runtime + "/readers/library-"), said)
    foreign = []
    for line in said["changed"]:
        how, path = line.rsplit(" ", 1)
        if path in (own, own + ".wake") or line == \
                f"create in {runtime}/readers":
            continue
        if path == runtime + "/marks/wake" and how in MAY:
            continue
        foreign.append(line)
    check(not foreign, f"an application could: {foreign}")
    check(said["refused"] > 60, f"too little was tried: {said}")
    return os.path.basename(own)


def through_gateway(host):
    """What the routes of the gateway counted, from the status of the folder."""
    said = json.loads(host.gray("status", "--runtime", host.runtime, "-o",
                                "json"))
    return sum(row["started"] for row in said["series"]), said


def asked_of(host, via):
    return sum(answer.via == via for kind in ("users", "orders")
               for answer in host.answers(kind))


def operate(host):
    """Widens, freezes and thaws beside the scribbling."""
    host.verb(USERS, "set-weight", weight=60)
    for verb in ("freeze", "thaw"):
        for release in (USERS, ORDERS):
            host.verb(release, verb)
    host.verb(ORDERS, "set-weight", weight=60)


def scribbling(host, child):
    """The operator works until there is nothing more to scribble."""
    operate(host)
    line = child.stdout.readline()
    check(line == b"done\n", f"the scribbler ended: {line}, {child.poll()}")
    operate_last = time.monotonic()
    host.verb(USERS, "set-weight", weight=80)
    return time.monotonic() - operate_last


def told_to_the_operator(host, own):
    def named():
        _, said = through_gateway(host)
        return any(row["id"] == own and row["uid"] == NOBODY
                   for row in said["bad"])
    wait_until(named, f"{own} is believed")
    text = host.gray("status", "--runtime", host.runtime)
    check("not believed" in text and f"(uid {NOBODY})" in text, text[-800:])
    body = host.grayd.ask("GET", "/v1/status").body
    check(body["badReaders"] >= 1, body)
    check("not believed" in host.gray("doctor", "--runtime", host.runtime,
                                      codes=(0, 1, 2, 3, 4)), "gray doctor")


def main():
    if os.geteuid() != 0:
        print("skipped: only root can be somebody else")
        raise SystemExit(77)
    with Host("a_scribbler_harms_nobody") as host:
        host.shops()
        check(host.grayd.start(), host.grayd.errors())
        host.apply(host.documents())
        host.gate("one")
        host.start_told()
        for release in (USERS, ORDERS):
            host.verb(release, "start", weight=40)
        workers, grayd = host.gates["one"].workers(), host.grayd.process.pid
        users = host.ask_start("users", via=("one", "told"), connections=16,
                               units=20_000, rate=3000, seconds=36000, seed=5)
        orders = host.ask_start("orders", via=("one", "told"), connections=8,
                                units=8_000_000, rate=1000, seconds=36000,
                                seed=6)
        child = scribbler_start(host)
        own = tried(child, host.runtime)
        took = scribbling(host, child)
        told_to_the_operator(host, own)
        tallies = [host.ask_end(c) for c in (users, orders)]
        print(f"scribbled {ROUNDS} times over {own}; the change after it took "
              f"{took:.2f} s; {tallies}")
        for tally in tallies:
            check(tally["odd"] == 0 and tally["failed"] == 0, tally)
        check(host.gates["one"].workers() == workers and
              host.grayd.process.pid == grayd and
              host.grayd.process.poll() is None and
              host.told.poll() is None, "somebody ended")
        counted, _ = through_gateway(host)
        sent = asked_of(host, 0)
        check(counted == sent, f"{sent} requests were sent through the "
              f"gateway, its routes show {counted}")
        host.end(child)
        check(host.grayd.stop() == 0, "grayd ends badly")
        host.judge("users", USERS, settled=True)
        host.judge("orders", ORDERS)


if __name__ == "__main__":
    main()
