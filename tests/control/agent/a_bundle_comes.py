#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a_bundle_comes.py - what a server says is in this host's folder, and once.

Why: this is the agent's daily work: a policy with its list, fleet and keys, a
freeze that is a word and no publication, another policy of which only what is
new is fetched, and a server that is away.
"""
import os
import stat
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_case import Case, hash_scope, sha256, wait_until  # noqa: E402


def main():
    scope = hash_scope("cart-2")
    with Case() as case:
        agent, server = case.agent, case.server
        first = case.say_shop("10")
        assert agent.start(), agent.errors()
        case.in_force(first)
        assert agent.revision() == server.revision
        keys = os.stat(agent.runtime + "/keys")
        assert stat.S_IMODE(keys.st_mode) == 0o640, oct(keys.st_mode)
        ours = open(agent.runtime + "/keys", "rb").read()
        assert ours[-80:] == server.files["keys"][-80:], "other keys"
        said = case.reported("the host's first bundle",
                             lambda r: r["sequence"] == first)
        assert said["host"] == "h1" and said["server"] == "server-1", said
        assert said["refused"] is None and said["words"] == [], said

        # A freeze is a word: nothing is fetched, nothing published.
        generation = agent.status()["generation"]
        fetched = [p for p in server.asked if "/blobs/" in p]
        second = server.say(words={scope: "no-admit"})
        case.in_force(second)
        assert agent.word() == "no-admit"
        assert agent.status()["generation"] == generation
        assert [p for p in server.asked if "/blobs/" in p] == fetched
        case.reported("the epoch of the freeze",
                      lambda r: r["epoch"] == second and
                      r["marks"]["closed"] == second)

        # Another share: the list is here already.
        third = case.say_shop("20", words={scope: "open"})
        case.in_force(third)
        assert agent.word() == "open"
        again = [p for p in server.asked if "/blobs/" in p][len(fetched):]
        lists = [sha256(d) for d in server.files["lists"].values()]
        assert not any(h in p for p in again for h in lists), again
        assert len(again) == len(set(again)) <= 3, again
        wanted = {sha256(server.files[k]) for k in ("policy", "fleet", "keys")}
        wait_until("what is not needed goes",
                   lambda: set(agent.blobs()) == wanted | set(lists))

        # Its clock is another one: that is said where it matters.
        server.ahead_ms = 5000
        wait_until("the clock is compared", lambda: 4000 < -agent.status()
                   ["clockOffsetMs"] < 6000)

        # The server is away: what was last good is served after any restart.
        server.stop()
        assert agent.stop() == 0
        assert agent.start(), agent.errors()
        assert agent.revision() == server.revision
        wait_until("it says that the server is away",
                   lambda: agent.told().get("reachable") is False)
        assert agent.told()["sequence"] == third
        server.start()
        wait_until("it hears the server again",
                   lambda: agent.told().get("reachable"))
        assert agent.stop() == 0
        print("as it should be")


if __name__ == "__main__":
    main()
