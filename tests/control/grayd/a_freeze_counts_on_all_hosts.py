#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a_freeze_counts_on_all_hosts.py - frozen is said of every host, or not said.

Why: who freezes a release then repairs data, and a host behind a broken
network has not heard. So the call waits for each host: until it reported the
word with its readers and marks, or until the lease that it was granted is
over; a kill of the server in between forgets no host that may have one.

usage: a_freeze_counts_on_all_hosts.py BUILD
"""
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agents import Agent  # noqa: E402
from harness import Grayd, wait_until  # noqa: E402

DOCS = """
kind: Service
name: cart
baseline: {version: v1}
versions:
  v1: {endpoints: ["127.0.0.1:9201"]}
  v2: {endpoints: ["127.0.0.1:9202"]}
---
kind: Release
name: leased
services: [{service: cart, version: v2}]
unit: {cookie: uid}
admissionLease: 3s
strategy: {canary: {steps: [{setWeight: 50}, {setWeight: 100}]}}
---
kind: Service
name: pay
baseline: {version: v1}
versions:
  v1: {endpoints: ["127.0.0.1:9203"]}
  v2: {endpoints: ["127.0.0.1:9204"]}
---
kind: Release
name: bare
services: [{service: pay, version: v2}]
unit: {cookie: uid}
strategy: {canary: {steps: [{setWeight: 50}, {setWeight: 100}]}}
"""
LEASE_MS = 10000


def in_thread(call):
    said = {}
    thread = threading.Thread(target=lambda: said.update(reply=call()))
    thread.start()
    return thread, said


def freeze(grayd, release="leased"):
    return in_thread(lambda: grayd.verb(release, "freeze"))


def hears(agent, word="no-admit"):
    """Until its poll brings a bundle with that word in it."""
    wait_until("the word comes", lambda: agent.poll(wait=1) == 200 and
               any(w["word"] == word for w in agent.manifest["words"]))


def thaw(grayd, *agents):
    assert grayd.verb("leased", "thaw").status == 200
    for agent in agents:
        agent.poll()
        assert agent.report().body["leaseMs"] == LEASE_MS


def admission(grayd, release="leased"):
    return grayd.ask("GET", f"/v1/releases/{release}").body.get("admission",
                                                                {})


def every_host_acknowledges(grayd, one, two):
    thread, said = freeze(grayd)
    hears(one)
    # It has the bundle; a reader of it and its marks have not followed yet.
    epoch = one.manifest["epoch"]
    late = [{"id": "nginx-0", "epoch": epoch - 1, "alive": True}]
    assert one.report(readers=late).body["leaseMs"] == LEASE_MS
    one.report(marks={"lag": 9, "closed": epoch - 1})
    hears(two)
    two.report()
    wait_until("it waits for one alone", lambda: [
        h["host"] for h in admission(grayd).get("hosts", [])] == ["h1"])
    assert "reply" not in said
    one.report(marks={"lag": 0, "closed": epoch})
    thread.join()
    done = said["reply"].body["admission"]
    assert done["closed"] and "hosts" not in done, done
    assert done["waitedMs"] < 3000, done  # nobody's lease was waited for
    thaw(grayd, one, two)


def a_host_that_is_cut_off_is_waited_for_and_named(grayd, one, two):
    granted = time.monotonic()
    assert two.report().body["leaseMs"] == LEASE_MS  # the last that is heard
    thread, said = freeze(grayd)
    hears(one)
    one.report()
    wait_until("status names it, and until when", lambda: [
        (h["host"], h["leaseLeftMs"] > 0)
        for h in admission(grayd).get("hosts", [])] == [("h2", True)])
    assert "h2" in admission(grayd)["sentence"]
    # What it says now with the old words in force gets no more lease.
    assert two.report().body["leaseMs"] == 0
    assert one.report().body["leaseMs"] == LEASE_MS
    # Nothing else waits.
    assert grayd.verb("bare", "start").status == 200
    thread.join()
    assert time.monotonic() - granted >= LEASE_MS / 1000
    done = said["reply"].body["admission"]
    assert done["closed"], done
    assert [h["host"] for h in done["hosts"]] == ["h2"], done
    assert "1 of 2 hosts has not acknowledged (h2)" in done["sentence"], done
    rows = {h["name"]: h for h in grayd.ask("GET", "/v1/hosts").body["hosts"]}
    assert rows["h2"]["leaseLeftMs"] == 0 and rows["h2"]["lag"] > 0, rows
    thaw(grayd, one, two)


def a_late_reader_of_a_host_has_its_own_lease(grayd, one, two):
    thread, said = freeze(grayd)
    hears(one)
    hears(two)
    two.report()
    late = [{"id": "nginx-7", "pid": 7, "epoch": 1, "alive": True}]
    while thread.is_alive():  # the host itself goes on well
        assert one.report(readers=late).body["leaseMs"] == LEASE_MS
        thread.join(0.2)
    done = said["reply"].body["admission"]
    assert done["closed"] and 3000 <= done["waitedMs"] < LEASE_MS, done
    assert done["hosts"][0]["readers"] == [{"id": "nginx-7", "pid": 7}], done
    thaw(grayd, one, two)


def a_killed_server_still_counts_on_them(grayd, one, two):
    """Both were granted a lease by a server that is no more."""
    assert two.report().body["leaseMs"] == LEASE_MS
    grayd.kill()
    assert grayd.start()
    began = time.monotonic()
    rows = grayd.ask("GET", "/v1/hosts").body["hosts"]
    assert [(h["name"], h["state"], h["leaseLeftMs"] > 0) for h in rows] == \
        [("h1", "unheard", True), ("h2", "unheard", True)], rows
    done = grayd.verb("leased", "freeze").body["admission"]
    assert done["closed"], done
    assert {h["host"] for h in done["hosts"]} == {"h1", "h2"}, done
    assert time.monotonic() - began >= LEASE_MS / 1000 - 0.5
    for agent in (one, two):
        agent.poll()
        agent.report()
    thaw(grayd, one, two)


def a_kill_while_it_waits_forgets_nothing(grayd, one, two):
    thread, said = in_thread(lambda: try_freeze(grayd))
    hears(one)
    one.report()
    grayd.kill()
    thread.join()
    assert grayd.start()
    wait_until("the words are there", lambda: one.poll() in (200, 304))
    one.report()
    wait_until("it waits for two alone", lambda: [
        h["host"] for h in admission(grayd).get("hosts", [])] == ["h2"])
    assert not admission(grayd)["closed"]
    hears(two)
    two.report()
    wait_until("it is closed", lambda: admission(grayd)["closed"])
    thaw(grayd, one, two)


def try_freeze(grayd):
    try:
        return grayd.verb("leased", "freeze")
    except Exception as error:  # grayd dies meanwhile
        return error


def without_a_lease_hosts_are_named(grayd, one, two):
    done = grayd.verb("bare", "freeze").body["admission"]
    assert not done["closed"], done
    assert {h["host"] for h in done["hosts"]} == {"h1", "h2"}, done
    assert "may still let units in" in done["sentence"], done
    for agent in (one, two):
        agent.poll()
        agent.report()
    wait_until("both have it", lambda: admission(grayd, "bare")["closed"])
    assert grayd.verb("bare", "thaw").status == 200


def main():
    build = sys.argv[1]
    with Grayd(build) as grayd:
        assert grayd.start()
        assert grayd.apply(DOCS).status == 200
        assert grayd.verb("leased", "start").status == 200
        one, two = Agent(grayd, "h1").joined(), Agent(grayd, "h2").joined()
        for part in (every_host_acknowledges,
                     a_host_that_is_cut_off_is_waited_for_and_named,
                     a_late_reader_of_a_host_has_its_own_lease,
                     a_killed_server_still_counts_on_them,
                     a_kill_while_it_waits_forgets_nothing,
                     without_a_lease_hosts_are_named):
            part(grayd, one, two)
            print(part.__name__, flush=True)


if __name__ == "__main__":
    main()
