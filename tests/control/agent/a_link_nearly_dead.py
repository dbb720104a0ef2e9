#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a_link_nearly_dead.py - a connection that stands and carries nothing.

Why: a link that is cut says so; one that is half open, or so slow that nothing
arrives in a lifetime, looks like a server that has no news.  A poll that the
server has forgotten is found by the reports; a server that says nothing at all
by the time that an answer may take; a file that comes with ten bytes a second
by its speed, and the words of its bundle are in force long before.

usage: a_link_nearly_dead.py BUILD
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_case import Case, hash_scope, wait_until  # noqa: E402

SCOPE = hash_scope("cart-2")


def half_open_poll(case):
    """The server does not know of the poll that the agent waits for."""
    server = case.server
    wait_until("it polls", lambda: server.polls and server.polls[-1][1] > 0)
    server.zombies = len(server.polls)
    sequence = server.say(words={SCOPE: "no-admit"})
    case.in_force(sequence)
    assert case.agent.word() == "no-admit"
    assert case.agent.told()["reachable"]


def silence(case):
    """Nothing is answered any more; connections stand."""
    server, agent = case.server, case.agent
    server.silent = True
    told = wait_until("it is noticed", lambda: (
        lambda t: t if t.get("reachable") is False else None)(agent.told()))
    assert "nothing came" in told["why"], told
    server.zombies = len(server.polls)
    server.silent = False
    wait_until("it is heard again", lambda: agent.told()["reachable"])


def ten_bytes_a_second(case):
    server, agent = case.server, case.agent
    before = agent.revision()
    server.bytes_s = 10
    sequence = case.say_shop("20", words={SCOPE: "killed"})
    wait_until("the word is in force", lambda: agent.word() == "killed")
    case.reported("its epoch is told", lambda r: r["epoch"] == sequence and
                  r["sequence"] < sequence)
    assert agent.told()["refused"] is None, "it is still on its way"
    refused = wait_until("the file is given up",
                         lambda: agent.told()["refused"])
    assert refused["code"] == "broken", refused
    assert "hardly anything" in refused["sentence"], refused
    assert agent.revision() == before
    server.bytes_s = 0
    case.in_force(sequence)
    assert not any(n.endswith(".part") for n in agent.blobs())
    assert agent.revision() == server.revision


def main():
    with Case() as case:
        case.server.spread_ms = 100
        case.server.lease_ms = 1500  # so it reports each half second
        first = case.say_shop("10")
        assert case.agent.start(), case.agent.errors()
        case.in_force(first)
        half_open_poll(case)
        silence(case)
        ten_bytes_a_second(case)
        assert case.agent.stop() == 0
        print("as it should be")


if __name__ == "__main__":
    main()
