#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""three_hosts.py - what a server promises of its hosts holds on real links.

Three hosts in network namespaces, each with an agent, nginx and a program with
libgray, all busy; one server.  h2 is cut off (its link is taken down), h3 is
behind a slow way on which somebody tears and forges.

  freeze      returns by acknowledgement where hosts are heard, and by the
              lease where one is cut off; after that nobody comes in on any
              host, whatever it can hear: judged from answers and journals
  instant     a change with a moment turns on all hosts at it, within the skew
  cut off     goes on serving, and comes back without one flip
  forged      what is changed or torn on the way is not put in force, and said

usage: three_hosts.py BUILD
"""
import threading
import time

from fleet import Fleet
from harness import check, wait_until
from marked import ORDERS, USERS, marks

SKEW_MS = 250  # between clocks of hosts, as bundles say it
LEASE_S = 2  # of the releases; that of hosts is ten seconds
STRICT = {"durability": "strict", "admissionLease": f"{LEASE_S}s",
          "strictTimeout": "5s"}


def busy(fleet):
    """Ever new units on every host, so that there is always who may come in."""
    askers = []
    for machine in fleet.machines:
        for kind, rate in (("users", 300), ("orders", 150)):
            askers.append((machine, machine.ask_start(
                kind, connections=8, units=50_000_000, rate=rate,
                seconds=600)))
    return askers


def go_on(fleet, users=150, orders=40):
    """The load itself is the clock."""
    for machine in fleet.machines:
        for kind, more in (("users", users), ("orders", orders)):
            target = machine.answered(kind) + more
            wait_until(lambda m=machine, k=kind, t=target: m.answered(k) >= t,
                       f"{more} more answers to {kind} of {machine.host_name}",
                       60)


def freeze(fleet):
    return [fleet.verb(release, "freeze") for release in (USERS, ORDERS)]


def thaw(fleet, *machines):
    for release in (USERS, ORDERS):
        fleet.verb(release, "thaw")
    fleet.follow(*(machines or fleet.machines))
    for machine in machines or fleet.machines:
        wait_until(lambda m=machine: m.word(USERS) == "open" and
                   m.word(ORDERS) == "open", "the thaw is everywhere")


def all_connected(fleet):
    took = freeze(fleet)
    go_on(fleet)
    check(max(took) < 5, f"a freeze of hosts that hear took {took}")
    for machine in fleet.machines:
        check(machine.word(USERS) == "no-admit", machine.host_name)
    thaw(fleet)
    go_on(fleet)
    print(f"all connected: freeze took {took[0]:.2f} and {took[1]:.2f} s",
          flush=True)


class Watcher(threading.Thread):
    """Asks one host for one unit, again and again; wall-clock moments."""

    def __init__(self, machine, unit):
        super().__init__(daemon=True)
        self.machine, self.unit = machine, unit
        self.answers, self.over = [], False

    def run(self):
        while not self.over:
            sent = time.time()
            said = self.machine.ask(self.unit)
            self.answers.append((sent, time.time(), said))


def one_instant(fleet, documents):
    """A unit is let in by name, from an instant on: old before it, new after
    it and the skew, whichever host is asked."""
    h1 = fleet.machines[0]
    fresh = iter(range(1, 1000))
    unit = wait_until(lambda: next(
        (u for u in map(str, fresh)
         if all(m.ask(u) == "old" for m in fleet.machines)), None),
        "a unit that is outside everywhere")
    documents = [dict(d) for d in documents]
    for document in documents:
        if document["name"] == USERS:
            document["admission"] = {**document["admission"],
                                     "allow": [{"list": "named"}]}
    documents.append({"kind": "List", "name": "named", "ids": [unit]})
    at = round(time.time() + 4, 3)
    said = fleet.apply(documents, effectiveAt=time.strftime(
        "%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03d}Z")
    check("scheduled" in said, f"it is to wait: {said}")
    wait_until(lambda: all(m.status().get("next") for m in fleet.machines),
               "it lies ready on every host")
    check(time.time() < at, "it came after its instant")
    watchers = [Watcher(m, unit) for m in fleet.machines]
    for watcher in watchers:
        watcher.start()
    wait_until(lambda: all(w.answers and w.answers[-1][2] == "new"
                           for w in watchers), "all have turned")
    skew = SKEW_MS / 1000
    firsts = []
    for watcher in watchers:
        watcher.over = True
        watcher.join()
        name = watcher.machine.host_name
        for sent, answered, what in watcher.answers:
            check(what != "new" or answered >= at,
                  f"{name} turned {at - answered:.3f} s too early")
            check(what == "new" or sent <= at + skew,
                  f"{name} said {what} {sent - at:.3f} s after the instant")
        firsts.append(next(a for s, a, w in watcher.answers if w == "new"))
    fleet.follow()
    check(h1.status()["revision"] == fleet.machines[1].status()["revision"],
          "they have one revision")
    print(f"one instant: first answers {', '.join(f'{1000 * (f - at):.0f}' for f in firsts)}"
          " ms after it", flush=True)


def slow(fleet):
    """300 ms each way and a few KiB a second: late, and not waited for as if
    it were away."""
    wire = fleet.wires[3]
    by_kernel = fleet.net.slow(3, 300, 200)
    if not by_kernel:
        wire.delay_s, wire.bytes_s = 0.3, 4000
    took = freeze(fleet)
    go_on(fleet)
    check(max(took) < 12, f"a freeze with a slow host took {took}")
    thaw(fleet)
    print(f"h3 is slow ({'netem' if by_kernel else 'a relay'}): freeze took "
          f"{took[0]:.2f} and {took[1]:.2f} s", flush=True)


def cut_off(fleet):
    h1, h2, h3 = fleet.machines
    sequence = h2.said()["sequence"]
    inside = wait_until(lambda: next(
        (a.unit for a in h2.answers("users") if a.said == marks.NEW), None),
        "somebody is in at h2")
    fleet.net.cut(2)
    took = freeze(fleet)
    until = h2.said()["leaseUntilNs"]
    check(time.clock_gettime_ns(time.CLOCK_BOOTTIME) >= until,
          "freeze returned while h2 had a lease")
    check(h2.word(USERS) == "open", "h2 cannot know of it")
    go_on(fleet)
    check(h2.ask(str(inside)) == "new", "who is in stays in, cut off or not")
    rows = fleet.hosts()
    check(rows["h2"]["state"] == "away", f"h2 is {rows['h2']}")
    wait_until(lambda: not h2.said()["reachable"], "h2 notices", 90)
    shown = h2.gray("status", "--runtime", h2.runtime)
    check("is not heard" in shown and "the lease is over" in shown, shown)
    # The others go on, with another share, while it is away.
    thaw(fleet, h1, h3)
    fleet.verb(USERS, "set-weight", weight=80)
    fleet.follow(h1, h3)
    go_on(fleet)
    check(h2.said()["sequence"] == sequence, "h2 heard of nothing")
    fleet.net.mend(2)
    fleet.follow()
    check(h2.status()["revision"] == h1.status()["revision"], "h2 is behind")
    # It lets in again who may come in, and keeps who was in.
    before = len([a for a in h2.answers("users") if a.said == marks.NEW])
    wait_until(lambda: len([a for a in h2.answers("users")
                            if a.said == marks.NEW]) > before,
               "h2 lets in again")
    check(h2.ask(str(inside)) == "new", "who is in stays in")
    print(f"h2 is cut off: freeze took {took[0]:.2f} and {took[1]:.2f} s",
          flush=True)


def forged(fleet):
    """Somebody on h3's way, with a certificate that h3 believes."""
    h1, _, h3 = fleet.machines
    wire = fleet.wires[3]
    wire.delay_s = wire.bytes_s = 0

    def changed(path, data):
        at = data.find(b'"revision":')
        return data[:at + 11] + b"9" + data[at + 11:] \
            if path.startswith("/v1/bundle") and at >= 0 else data

    def scribbled(path, data):
        return data[:-8] + b"scribble" if "/blobs/" in path else data

    weight = 71
    for code, lie in (("forged", {"tamper": changed}),
                      ("bad-blob", {"tamper": scribbled}),
                      ("broken", {"tear": lambda path: "/blobs/" in path})):
        before = h3.status()
        for name, value in lie.items():
            setattr(wire, name, value)
        fleet.verb(USERS, "set-weight", weight=weight)
        weight += 1
        wait_until(lambda: (h3.said().get("refused") or {}).get("code") ==
                   code, f"h3 refuses it as {code}", 60)
        after = h3.status()
        for key in ("revision", "generation", "releases"):
            check(before[key] == after[key], f"{code} changed {key}")
        wait_until(lambda: fleet.hosts()["h3"]["state"] == "refuses",
                   "the server names it", 60)
        fleet.follow(fleet.machines[0], fleet.machines[1])
        wire.tamper = wire.tear = None
        fleet.follow()
        check(h3.status()["revision"] == h1.status()["revision"],
              "h3 is behind")
        go_on(fleet, 60, 20)
    print("torn and forged: refused, said, and mended", flush=True)


def killed(fleet):
    """An agent, and then the server, die in the middle: nobody flips."""
    h1 = fleet.machines[0]
    h1.grayd.kill()
    go_on(fleet, 60, 20)
    h1.grayd.start()
    fleet.follow()
    fleet.server.kill()
    go_on(fleet, 60, 20)
    fleet.start_server()
    fleet.follow()
    go_on(fleet, 60, 20)


def main():
    with Fleet("three_hosts", 3, wires=(3,)) as fleet:
        first = fleet.machines[0]
        documents = first.documents(users=STRICT, orders=STRICT)
        fleet.apply(documents)
        for machine in fleet.machines:
            machine.begin()
        fleet.follow()
        for release in (USERS, ORDERS):
            fleet.verb(release, "start", weight=50)
        fleet.follow()
        wait_until(lambda: all(h.get("leaseLeftMs", 0) > 0
                               for h in fleet.hosts().values()),
                   "every host has a lease")
        askers = busy(fleet)
        go_on(fleet)
        all_connected(fleet)
        one_instant(fleet, documents)
        slow(fleet)
        forged(fleet)
        cut_off(fleet)
        killed(fleet)
        tallies = [m.ask_end(child) for m, child in askers]
        for machine in fleet.machines:
            machine.judge("users", USERS, strict=True)
            machine.judge("orders", ORDERS)
        for tally in tallies:
            check(tally["failed"] + tally["odd"] == 0,
                  f"requests failed: {tally}")
            check(tally["new"] > 50, f"hardly anybody came in: {tally}")


if __name__ == "__main__":
    main()
