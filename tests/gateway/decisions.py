# SPDX-License-Identifier: Apache-2.0
"""decisions.py - what stands in the decision log.

Each line has what explain says, under the same names, and when, where and in
which trace it was said.  Called by
the_decision_log_says_who_was_let_in_and_why.vtc.
"""
import json
import os
import signal
import socket
import time

from gateway import RUN, WORK, ask, gray, until


def lines(name="decisions.log"):
    with open(WORK + "/" + name) as file:
        return [json.loads(line) for line in file]


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ask("/", {"Cookie": "uid=alice",
          "traceparent": "00-%s-00f067aa0ba902b7-01" % TRACE})
explained = ask("/", {"Cookie": "uid=bob"}).explain
ask("/", {"Cookie": "uid=mallory"})
ask("/")                                   # no unit: nothing to say
ask("/", [("x-gray-lane", "a"), ("x-gray-lane", "b\"\\\xff")])
until(lambda: len(lines()) >= 4)

alice, bob, mallory, twice = lines()
assert alice["event"] == "admit" and alice["reason"] == "share", alice
assert alice["trace_id"] == TRACE and alice["host"] == socket.gethostname()
assert abs(alice["time"] / 1000 - time.time()) < 30, alice
assert alice["release"] == "cart-2" and alice["revision"] == 1
assert alice["releases"][0]["unit"] == "alice"
assert any(step["step"] == "deny" for step in alice["trace"])
assert {k: bob[k] for k in explained} == explained
assert mallory["event"] == "refuse" and mallory["rule"] == "deny[0]", mallory
assert twice["event"] == "duplicate-control", twice

# an override is said too
gray("kill", "cart-2", "--runtime", RUN)
until(lambda: ask("/", {"Cookie": "uid=alice"}).served == "v1")
until(lambda: lines()[-1]["event"] == "override")
assert lines()[-1]["reason"] == "killed"
gray("unkill", "cart-2", "--runtime", RUN)
until(lambda: ask("/", {"Cookie": "uid=alice"}).served == "v2")

# nginx -s reopen: the log goes on in the new file, no line is lost
ask("/", {"Cookie": "uid=before"})
os.rename(WORK + "/decisions.log", WORK + "/decisions.old")
with open(WORK + "/nginx.pid") as file:
    os.kill(int(file.read()), signal.SIGUSR1)
until(lambda: os.path.exists(WORK + "/decisions.log"))


def units(name):
    return [r["unit"] for line in lines(name) for r in line.get("releases", [])]


ask("/", {"Cookie": "uid=after"})
until(lambda: "after" in units("decisions.log") + units("decisions.old"))
until(lambda: "before" in units("decisions.log") + units("decisions.old"))

# one in four of what is no event of its own
for _ in range(16):
    ask("/", sock="sampled.sock")
until(lambda: len(lines("sampled.log")) == 4)
assert all(line["event"] == "sample" and line["reason"] == "no-unit"
           for line in lines("sampled.log"))

# a burst larger than both buffers is dropped and counted, never waited for
ask("/", {"Cookie": "uid=x"}, sock="silent.sock")
