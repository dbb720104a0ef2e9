#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""marks_in_trouble.py - marks cannot be made durable, and nobody is hurt.

The writer is stopped, killed, its disk full, its folder read-only, its journal
damaged; a ring is full because nobody empties it.  Each time: strict scopes let
nobody new in, whoever is in is served by the new version and whoever is outside
by the old one, no request fails (but those that SEMANTICS 4 refuses: orders
whose mark cannot be read), the operator is told why, and all is well after
the repair.  Users and orders are asked all the time; answers and journal are
judged in the end.

The state lies on a small file system in a mount namespace of the story's own.
"""
import os
import shutil
import signal
import subprocess

from harness import check, wait_until
from marked import GRAYD, ORDERS, USERS, Host, marks

VIA = ("one", "two", "told")
STATE_MIB = 48
RING_PEOPLE = 8000  # a ring holds about 2,500 records


class Trouble:
    def __init__(self, host):
        self.host, self.next = host, 100_000_000
        self.inside = self.outside = None

    def fresh(self, count=1):
        self.next += count
        return range(self.next - count, self.next)

    def create(self, count=6):
        return [self.host.ask(unit, "/create", VIA[n % 3])
                for n, unit in enumerate(self.fresh(count))]

    def settle_some(self):
        """Orders that are in and such that are outside, known from now on."""
        told = {u: self.host.ask(u, "/create", VIA[u % 3])
                for u in self.fresh(60)}
        self.inside = [u for u in told if told[u] == "new"]
        self.outside = [u for u in told if told[u] == "old"]
        check(self.inside and self.outside, f"half of 60 orders: {told}")

    def all_served(self, what, allowed=()):
        for wanted, units in (("new", self.inside), ("old", self.outside)):
            for via in VIA:
                for unit in units[:12]:
                    said = self.host.ask(unit, "/pay", via)
                    check(said == wanted or said in allowed, f"{what}: order "
                          f"{unit} was {wanted}, by {via} it is {said}")

    def closed(self, what):
        """No strict scope lets anybody in any more, and then never."""
        wait_until(lambda: "new" not in self.create(24),
                   f"{what}: strict scopes stop admitting")
        for _ in range(3):
            said = self.create(24)
            check(set(said) <= {"old", "hold"},
                  f"{what}: an order that nobody can keep: {said}")

    def well(self, what):
        wait_until(lambda: "new" in self.create(24),
                   f"{what} is over, and orders are let in again")
        self.all_served(f"after {what}")
        print(what, flush=True)

    def told_of(self, what, *words):
        """The operator is told, by the host's own status or by grayd's."""
        def says():
            text = self.host.gray("status", "--runtime", self.host.runtime,
                                  "-o", "json")
            try:
                text += self.host.grayd.ask("GET", "/v1/status").text
                text += self.host.grayd.ask("GET", "/readyz").text
            except GRAYD.Dead:
                pass
            text += self.host.grayd.errors()
            return all(word in text for word in words)
        wait_until(says, f"{what}: the operator is told {words}")


def stopped_writer(t):
    grayd = t.host.grayd.process
    grayd.send_signal(signal.SIGSTOP)
    try:
        t.closed("a stopped writer")
        t.all_served("a stopped writer")
        said = t.host.gray("status", "--runtime", t.host.runtime)
        check("dead" in said or "writer" in said,
              f"gray status says nothing of the writer: {said}")
    finally:
        grayd.send_signal(signal.SIGCONT)
    t.well("a stopped writer")


def killed_writer(t):
    t.host.grayd.kill()
    t.closed("a killed writer")
    t.all_served("a killed writer")
    check(t.host.grayd.start(), t.host.grayd.errors())
    t.well("a killed writer")


def full_ring(t):
    """So many users come in while nobody empties the rings that each is full:
    strict scopes are closed, who comes in by an async one stays in, and is in
    the journal later on all the same."""
    host, grayd = t.host, t.host.grayd.process
    people = t.fresh(RING_PEOPLE)
    grayd.send_signal(signal.SIGSTOP)
    try:
        told = {u: host.ask(u, "/", VIA[u % 2]) for u in people}
        check(set(told.values()) == {"old", "new"}, "full rings: a request "
              f"failed: {set(told.values())}")
        t.closed("full rings")
        t.all_served("full rings")
    finally:
        grayd.send_signal(signal.SIGCONT)
    t.well("full rings")
    inside = {u for u in told if told[u] == "new"}
    check(len(inside) > RING_PEOPLE / 2, f"{len(inside)} came in")
    for unit in list(inside)[:500]:
        said = host.ask(unit, "/", VIA[unit % 3])
        check(said == "new", f"user {unit} came in while rings were full, and "
              f"is {said} now")
    wait_until(lambda: inside <= marks.History(host.journal(USERS)).inside(),
               "whoever came in while rings were full is journaled", 60)


def full_disk(t):
    ballast = os.path.join(t.host.grayd.state, "ballast")
    fill(ballast)
    t.closed("a full disk")
    t.all_served("a full disk")
    t.told_of("a full disk", "full")
    os.unlink(ballast)
    t.well("a full disk")


def fill(path):
    with open(path, "wb", buffering=0) as f:
        for size in (1 << 20, 65536, 4096):
            try:
                while f.write(b"x" * size) == size:
                    pass
            except OSError:
                pass


def read_only(t):
    """grayd cannot start on it; what is in memory goes on being served."""
    host = t.host
    check(host.grayd.stop() == 0, "grayd ends badly")
    subprocess.run(["mount", "-o", "remount,ro", host.grayd.state], check=True)
    started = host.grayd.start()
    try:
        t.closed("a read-only folder")
        t.all_served("a read-only folder")
        t.told_of("a read-only folder", "ead-only")
    finally:
        if started:
            host.grayd.stop()
        host.grayd.process = None
        subprocess.run(["mount", "-o", "remount,rw", host.grayd.state],
                       check=True)
    check(host.grayd.start(), host.grayd.errors())
    t.well("a read-only folder")


def damaged_page(t):
    """The machine is started anew with a journal that has rotten pages: what
    cannot be believed is UNKNOWN or HOLD, never the wrong version."""
    host = t.host
    check(host.grayd.stop() == 0, "grayd ends badly")
    for gate in host.gates.values():
        gate.stop()
    host.kill_told()
    path = os.path.join(host.grayd.state, "marks/data.mdb")
    shutil.copy(path, path + ".kept")
    size = os.path.getsize(path)
    with open(path, "r+b") as f:
        for at in range(16384, size, max(4096, size // 16 // 4096 * 4096)):
            f.seek(at + 1000)
            f.write(b"\xa5" * 900)
    shutil.rmtree(host.runtime)
    check(host.grayd.start(), "a damaged journal keeps grayd from starting: "
          + host.grayd.errors()[-2000:])
    for gate in host.gates.values():
        gate.start()
    host.start_told()
    t.all_served("a damaged journal", allowed=("hold",))
    t.told_of("a damaged journal", "damaged")
    check(host.grayd.stop() == 0, "grayd ends badly")
    os.replace(path + ".kept", path)
    check(host.grayd.start(), host.grayd.errors())
    wait_until(lambda: "hold" not in [host.ask(u, "/pay")
                                      for u in t.inside + t.outside],
               "the journal that was put back is believed")
    t.well("a damaged journal")


def main():
    GRAYD.in_own_mounts()
    with Host("marks_in_trouble") as host:
        os.mkdir(host.grayd.state)
        subprocess.run(["mount", "-t", "tmpfs", "-o",
                        f"size={STATE_MIB}m,mode=0700", "none",
                        host.grayd.state], check=True)
        try:
            story(host)
        finally:
            host.grayd.stop()
            subprocess.run(["umount", host.grayd.state], check=True)


def story(host):
    host.shops()
    check(host.grayd.start(), host.grayd.errors())
    host.apply(host.documents())
    for name in ("one", "two"):
        host.gate(name, workers=1)
    host.start_told()
    host.verb(ORDERS, "start", weight=50)
    host.verb(USERS, "start", weight=90)
    trouble = Trouble(host)
    trouble.settle_some()
    askers = [host.ask_start("users", connections=16, units=3000, rate=800,
                             seconds=600),
              host.ask_start("orders", connections=16, units=8_000_000,
                             rate=400, seconds=600)]
    for part in (stopped_writer, killed_writer, full_ring, full_disk,
                 read_only):
        part(trouble)
    for asker in askers:
        tally = host.ask_end(asker)
        check(tally["failed"] + tally["odd"] == 0, f"requests failed: {tally}")
    check(host.grayd.stop() == 0, "grayd ends badly")
    host.judge("users", USERS, settled=True)
    host.judge("orders", ORDERS)
    check(host.grayd.start(), host.grayd.errors())
    damaged_page(trouble)


if __name__ == "__main__":
    main()
