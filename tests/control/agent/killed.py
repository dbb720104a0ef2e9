#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""killed.py - kill -9 of an agent at each named point of a bundle.

Why: a host dies at any moment, and comes back with its server away.  Then its
folder must be whole: the policy of before or the new one, nothing that was
stopped open again, and no file that is half of something.  The same after the
folder was lost too (a reboot).  When the server is back, the bundle comes into
force, once.
"""
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_case import Case, hash_scope, sha256, wait_until  # noqa: E402

BRING = """bundle-accepted words-tightened bundle-tightened bundle-kept
blob-fetched bundle-fetched marks-prepared keys-put policy-published
words-loosened copy-begun copy-filled copy-turned bundle-in-force
bundle-before-turn bundle-turned""".split()
OTHER = ["before-close-scope", "reported"]
# The word stands in the folder from here on, at the latest.
TIGHT = BRING[BRING.index("bundle-tightened"):]
# All that it needs is on this host: the bundle comes into force alone.
HERE = BRING[BRING.index("bundle-fetched"):]
LOOSE = BRING[BRING.index("words-loosened"):]
# A word is copied to the disk when it is set, before the server hears that it
# was: these points are met first on the way there.
UNCOPIED = ["copy-begun", "copy-filled"]
SCOPE = hash_scope("cart-2")


class Story:
    def __init__(self, case):
        self.case, self.share = case, 10

    def next(self, word):
        self.share = round(self.share + 0.01, 2)
        return self.case.say_shop(str(self.share), words={SCOPE: word})

    def whole(self, before):
        """What readers see, and what is kept, with nobody at work."""
        agent = self.case.agent
        status = agent.status()
        assert status is not None, "the folder cannot be read"
        assert status["revision"] in (before, self.case.server.revision), \
            (status["revision"], before)
        for name in agent.blobs():
            if not name.endswith(".part"):
                with open(f"{agent.state}/agent/blobs/{name}", "rb") as f:
                    assert sha256(f.read()) == name, name

    def step(self, point, word, reboot):
        case, agent, server = self.case, self.case.agent, self.case.server
        # What was said last is done with, or its points would be met first.
        wait_until("the bundle before is done with", lambda:
                   f"bundle {server.sequence} is in force" in agent.errors())
        before, was = agent.revision(), agent.word()
        agent.arm(point)
        sequence = self.next(word)
        agent.died()
        agent.arm()
        server.stop()
        where = (point, word, reboot)
        if not reboot:
            self.whole(before)
            if word == "no-admit" and point in TIGHT:
                assert agent.word() == "no-admit", where
        else:
            shutil.rmtree(agent.runtime)
        # Alone: what was on its way goes on as far as it can without the
        # server, and nothing opens.
        assert agent.start(), agent.errors()[-2000:]
        self.whole(before)
        if point in HERE and not point.startswith("copy-"):
            assert agent.revision() == server.revision, where
        if word == "no-admit" and point in TIGHT and \
                not (reboot and point in UNCOPIED):
            assert agent.word() == "no-admit", where
        if word == "open" and was == "no-admit" and point not in LOOSE:
            assert agent.word() == "no-admit", where
        server.start()
        case.in_force(sequence)
        assert agent.revision() == server.revision, where
        wait_until(f"the word of the server: {where}",
                   lambda: agent.word() == word)
        wait_until("nothing is half fetched", lambda:
                   not any(n.endswith(".part") for n in agent.blobs()))

    def other(self, point):
        """Points of what goes on beside."""
        case, agent, server = self.case, self.case.agent, self.case.server
        agent.arm(point)
        sequence = server.say(words={SCOPE: "baseline"})
        agent.died()
        agent.arm()
        assert agent.start(), agent.errors()[-2000:]
        case.in_force(sequence)
        assert agent.word() == "baseline"
        case.reported("its scope is closed",
                      lambda r: r["marks"]["closed"] == sequence)
        case.in_force(self.next("open"))


def main():
    with Case() as case:
        case.server.spread_ms = 20
        case.say_shop("10")
        assert case.agent.start(), case.agent.errors()
        case.in_force(1)
        story = Story(case)
        for number, point in enumerate(BRING):
            story.step(point, "no-admit", reboot=number % 2 == 0)
            story.step(point, "open", reboot=number % 2 == 1)
        for point in OTHER:
            story.other(point)
        missed = set(BRING + OTHER) - set(case.agent.passed())
        assert not missed, f"never passed: {missed}"
        assert case.agent.stop() == 0
        print(f"{2 * len(BRING) + len(OTHER)} kills: as it should be")


if __name__ == "__main__":
    main()
