#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""the_server_is_away.py - what goes on alone, and what ends by itself.

Why: a host that is cut off must serve as it was, and must not let anybody into
a scope with a lease once the server can no longer count on it.  A program with
libgray asks for units of two releases: `user-2`, strict with a lease, and
`order-2`, without one.  Its records come to the server by number, whoever was
away; a word that a person sets on the host meanwhile wins until the server has
been told and answers.
"""
import importlib.util
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_case import Case, hash_scope, wait_until  # noqa: E402

DOCS = """
kind: Service
name: cart
baseline: {version: v1}
versions:
  v1: {endpoints: ["127.0.0.1:9201"]}
  v2: {endpoints: ["127.0.0.1:9202"]}
---
kind: Service
name: order
baseline: {version: v1}
versions:
  v1: {endpoints: ["127.0.0.1:9203"]}
  v2: {endpoints: ["127.0.0.1:9204"]}
---
kind: Release
name: user-2
services: [{service: cart, version: v2}]
unit: {cookie: uid}
durability: strict
admissionLease: 2s
admission: {share: 100}
---
kind: Release
name: order-2
services: [{service: order, version: v2}]
unit: {cookie: oid}
admission: {share: 100}
"""
LEASE_MS = 1500
USERS, ORDERS = hash_scope("user-2"), hash_scope("order-2")


def told_program(build):
    """tests/control/grayd/harness.py's Told, on an agent's folder."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                        "../grayd/harness.py")
    spec = importlib.util.spec_from_file_location("grayd_harness", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Told


class Asker:
    """Ever new units; `told` has two releases, by the first word."""

    def __init__(self, told):
        self.told, self.number = told, 0

    def fresh(self, word):
        """What a unit that nobody saw is told, once its mark is made."""
        self.number += 1
        unit = str(self.number)
        self.told.ask(unit, word)
        return self.told.ask(unit, word), unit

    def until(self, word, said):
        def look():
            answer, unit = self.fresh(word)
            return unit if answer == said else None
        return wait_until(f"a new one of {word} is told {said}", look)


def cpu_s(agent):
    with open(f"/proc/{agent.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def boot_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def leases(case, asker):
    agent, server = case.agent, case.server
    # Whoever has never been granted one lets nobody in.
    server.grant = lambda report: 0
    case.in_force(1)
    asker.until("order", "new")
    assert {asker.fresh("user")[0] for _ in range(20)} == {"old"}
    server.grant = lambda r: LEASE_MS if r["epoch"] >= server.epoch else 0
    inside = asker.until("user", "new")
    # Renewed for as long as the server is heard.
    end = agent.told()["leaseUntilNs"]
    wait_until("the lease is renewed", lambda:
               agent.told()["leaseUntilNs"] > end + LEASE_MS * 1000000)
    assert asker.fresh("user")[0] == "new"

    # Away: it ends by itself, at most so long after the last report.
    server.stop()
    wait_until("it is noticed", lambda: not agent.told()["reachable"])
    until = agent.told()["leaseUntilNs"]
    assert until - boot_ns() <= LEASE_MS * 1000000
    busy = cpu_s(agent)
    wait_until("the lease is over", lambda: boot_ns() > until)
    assert cpu_s(agent) - busy < LEASE_MS / 2000, "it waits by running"
    assert {asker.fresh("user")[0] for _ in range(50)} == {"old"}
    assert asker.told.ask(inside, "user") == "new", "who is in stays in"
    assert asker.fresh("order")[0] == "new", "without a lease it goes on"
    assert "the lease is over" in agent.host("status").stdout
    return inside


def late_answer(case, asker):
    """A freeze overtakes the answer to a report of before: the answer grants
    nothing, whatever stands in it."""
    agent, server = case.agent, case.server
    seen = []

    def hold(report):
        seen.append(report["epoch"])
        if len(seen) == 1:  # the freeze comes while this one is on its way
            case.server.say(words={USERS: "no-admit"})
            wait_until("the freeze is in the folder",
                       lambda: agent.word("user-2") == "no-admit")
            seen.append(agent.told()["leaseUntilNs"])
            return 60000
        return 0
    before = agent.told()["leaseUntilNs"]
    server.grant = hold
    case.reported("the epoch of the freeze",
                  lambda r: r["epoch"] == server.epoch and seen)
    wait_until("its scope is closed", lambda: case.server.last().get(
        "marks", {}).get("closed") == server.epoch)
    assert agent.told()["leaseUntilNs"] < before + 30 * 10**9
    assert asker.fresh("user")[0] == "old"
    server.grant = lambda r: LEASE_MS if r["epoch"] >= server.epoch else 0
    server.say(words={USERS: "open"})
    return asker.until("user", "new")


def host_word(case, asker, inside):
    agent, server = case.agent, case.server
    # The server has an opinion of its own, from before.
    case.in_force(server.say(words={ORDERS: "open"}))
    server.stop()
    done = agent.host("kill", "order-2", "--local", "--reason", "it burns")
    assert done.returncode == 0, done.stderr
    wait_until("it stands", lambda: agent.word("order-2") == "killed")
    # Not even a restart gives it up; nor does a server that was not told.
    agent.kill()
    assert agent.start(), agent.errors()
    assert agent.word("order-2") == "killed"
    server.say(words={USERS: "open"})
    server.start()
    case.in_force(server.sequence)
    assert agent.word("order-2") == "killed"
    said = case.reported("the word is told", lambda r: any(
        w["scope"] == ORDERS for w in r["words"]))
    word = next(w for w in said["words"] if w["scope"] == ORDERS)
    assert word["word"] == "killed" and word["reason"] == "it burns", word
    assert "words set on this host: 1" in agent.host("status").stdout
    server.say(words={USERS: "open"})  # of another release: no answer
    case.in_force(server.sequence)
    assert agent.word("order-2") == "killed"
    server.say(words={ORDERS: "open"})  # now a person there has spoken
    case.in_force(server.sequence)
    wait_until("it is open", lambda: agent.word("order-2") == "open")
    wait_until("nothing is told of it any more",
               lambda: server.last()["words"] == [])
    assert asker.told.ask(inside, "user") == "new"

    # Stopped and opened again by hand, with nobody else to say anything.
    server.stop()
    for verb, said in (("stop", "old"), ("open", "new")):
        done = agent.host(verb, "order-2", "--local", "--reason", "a test")
        assert done.returncode == 0, done.stderr
        asker.until("order", said)
    server.start()
    wait_until("it is heard again", lambda: agent.told()["reachable"])
    case.in_force(server.say(words={USERS: "open"}))
    assert agent.word("order-2") == "open"


def records(case, asker):
    """By number, each once, in a row; and anew for a journal that is new."""
    agent, server = case.agent, case.server
    unit = asker.until("user", "new")

    def has(number):
        return any(r["unit"] == number and r["state"] == "in" and
                   r["scope"] == USERS for r in server.records)
    wait_until("the record comes", lambda: has(unit))
    units = [(r["scope"], r["unit"]) for r in server.records
             if r["kind"] == "admit"]
    assert len(units) == len(set(units)), "a record came twice"
    assert [r["sequence"] for r in server.records] == \
        list(range(1, len(server.records) + 1))
    count, journal = len(server.records), server.journal
    # A server that lost its disk is told again, from the first one on.
    server.records = []
    wait_until("all of them come again", lambda: len(server.records) >= count)
    # Away for a while: they wait in the journal.
    server.stop()
    wait_until("it is noticed", lambda: not agent.told()["reachable"])
    for _ in range(300):
        asker.fresh("order")
    wait_until("they are in the journal",
               lambda: agent.told()["admissions"] >= count + 300)
    assert agent.told()["admissionsThrough"] == count
    server.start()
    wait_until("what was made meanwhile comes",
               lambda: len(server.records) >= count + 300)
    assert server.journal == journal
    # A journal that was moved away has another name.
    assert agent.stop() == 0
    shutil.move(agent.state + "/marks", agent.folder + "/old-marks")
    shutil.rmtree(agent.runtime)
    assert agent.start(), agent.errors()
    wait_until("another journal is named",
               lambda: server.last()["marks"]["journal"] != journal)


def main():
    with Case() as case:
        case.server.lease_ms, case.server.spread_ms = LEASE_MS, 50
        files = case.source.publish(DOCS)
        case.server.grant = lambda report: 0
        case.server.say(files, case.source.revision())
        assert case.agent.start(), case.agent.errors()
        case.in_force(1)
        told_class = told_program(case.build)
        with told_class(case.build, case.agent, "user-2",
                        other="order-2") as told:
            asker = Asker(told)
            inside = leases(case, asker)
            case.server.start()
            late = late_answer(case, asker)
            host_word(case, asker, late)
            records(case, asker)
            assert told.ask(inside, "user") in ("new", "old", "hold")
        assert case.agent.stop() == 0
        print("as it should be")


if __name__ == "__main__":
    main()
