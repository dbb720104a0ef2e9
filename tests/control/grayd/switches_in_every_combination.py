#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""switches_in_every_combination.py - freeze, pause, stop, kill, bypass, host.

Why: each switch alone is tried everywhere; at three in the morning three of
them are on at once, said in some order by people who do not know of each
other. So all 2^6 sets of them are said, each in an order by chance, and a
model of a few lines says what must hold: whether anybody new is let in, and
whether those in stay in. The judge is what a program with libgray is told,
and the number of marks.

usage: switches_in_every_combination.py BUILD [SEED]
"""
import itertools
import os
import random
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import (Grayd, Told, marks_of, taken_back,  # noqa: E402
                     wait_until)

DOCS = """
kind: Service
name: cart
baseline: {version: v1}
versions:
  v1: {endpoints: ["127.0.0.1:9201"]}
  v2: {endpoints: ["127.0.0.1:9202"]}
---
kind: Release
name: user-2
services: [{service: cart, version: v2}]
unit: {cookie: uid}
admission: {share: 60}
"""
SWITCHES = ("pause", "freeze", "stop", "kill", "bypass", "host")
NEW = 12  # units that nobody has heard of, asked in each combination
NUMBERS = itertools.count(1000)


class Model:
    """What SEMANTICS 5 says, and no more."""

    def __init__(self):
        self.state, self.killed, self.bypass = "Progressing", False, False

    def say(self, switch):
        """True: it must be taken; False: it must be refused."""
        before = self.state
        if switch == "kill":
            self.killed = True
        elif switch == "bypass":
            self.bypass = True
        elif switch == "stop":
            self.state = "Aborted"
        elif switch == "pause":
            if before == "Progressing":
                self.state = "Paused"
            return before in ("Progressing", "Paused")
        elif switch == "freeze":
            if before in ("Progressing", "Paused"):
                self.state = "Frozen"
            return before != "Aborted"
        elif switch == "host" and not self.killed and \
                before in ("Progressing", "Paused"):
            self.state = "Frozen"  # the word of the host is only ever stronger
        return True

    @property
    def lets_in(self):
        return self.state in ("Progressing", "Paused") and \
            not self.killed and not self.bypass

    @property
    def keeps(self):
        return self.state != "Aborted" and not self.killed and \
            not self.bypass


def release(grayd):
    return grayd.ask("GET", "/v1/releases/user-2").body


def bypass(grayd, on):
    reply = grayd.ask("POST", "/v1/bypass", {"on": on, "reason": "r"})
    assert reply.status == 200, reply.text


def throw(grayd, model, switch):
    if switch == "bypass":
        model.say(switch)
        bypass(grayd, True)
    elif switch == "host":
        model.say(switch)
        done = grayd.host("freeze", "user-2")
        assert done.returncode == 0, done
        wait_until("grayd has taken it over", lambda:
                   not grayd.in_folder()["user-2"]["wordOfHost"])
    else:
        reply = grayd.verb("user-2", switch, {"reason": "r"})
        assert (reply.status == 200) == model.say(switch), \
            (switch, vars(model), reply.text)


def judge(grayd, told, model, marked, what):
    row = release(grayd)
    assert (row["state"], row["killed"]) == (model.state, model.killed), \
        (what, row, vars(model))
    before = marks_of(grayd, "user-2")["in"]
    fresh = [str(next(NUMBERS)) for _ in range(NEW)]
    came = told.news(fresh)
    if model.lets_in:
        assert came, what
    else:
        assert came == set(), (what, came)
        assert marks_of(grayd, "user-2")["in"] <= before, what  # I3
    stay = told.news(marked)
    assert stay == (set(marked) if model.keeps else set()), (what, stay)
    return came


def back(grayd, told, model, marked):
    """Takes every switch back; what was stopped begins anew."""
    if model.bypass:
        bypass(grayd, False)
    if model.killed:
        assert grayd.verb("user-2", "unkill").status == 200
    if model.state == "Aborted":
        taken_back(grayd, "user-2")
        assert marks_of(grayd, "user-2")["in"] == 0
        assert grayd.verb("user-2", "retry").status == 200
    elif model.state == "Frozen":
        assert grayd.verb("user-2", "thaw").status == 200
        assert grayd.verb("user-2", "resume").status == 200
    elif model.state == "Paused":
        assert grayd.verb("user-2", "resume").status == 200
    wait_until("units come in again",
               lambda: told.news(marked) == set(marked))


def main():
    build = sys.argv[1]
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else \
        random.SystemRandom().randrange(1 << 32)
    dice = random.Random(seed)
    print("seed", seed, flush=True)
    with Grayd(build) as grayd:
        assert grayd.start()
        assert grayd.apply(DOCS).status == 200
        with Told(build, grayd, "user-2") as told:
            marked = sorted(told.news([str(n) for n in range(20)]))
            assert marked
            closed = 0
            for count in range(len(SWITCHES) + 1):
                for chosen in itertools.combinations(SWITCHES, count):
                    order = list(chosen)
                    dice.shuffle(order)
                    model = Model()
                    judge(grayd, told, model, marked, "open")
                    for switch in order:
                        throw(grayd, model, switch)
                        judge(grayd, told, model, marked, (order, switch))
                    closed += not model.lets_in
                    back(grayd, told, model, marked)
            print("64 combinations,", closed, "of them let nobody in")
            assert closed == 62  # all but none, and pause alone


if __name__ == "__main__":
    main()
