# SPDX-License-Identifier: Apache-2.0
"""in_flight.py - an endpoint that is busy is left alone.

One request is held by one of two endpoints: until it is let go, every other
one must go to the other.  Then the same while a new fleet, in which endpoints
have other numbers, comes between; what was counted under the old one must
neither be counted nor taken off under the new.  Called by
requests_in_flight_steer_the_choice.vtc.
"""
import os
import threading

from gateway import WORK, ask, gw, status, until

held = []


def hold():
    held.append(ask("/hold"))


def busy():
    return sum(one["in_flight"] for one in status()["series"])


def let_go(thread):
    for name in "abc":
        open("%s/%s.pid.go" % (WORK, name), "w").close()
    thread.join()
    until(lambda: busy() == 0)


def start():
    thread = threading.Thread(target=hold)
    thread.start()
    until(lambda: busy() == 1)
    return thread


def fleet(*names, before=""):
    gw("policy", text=before + """
kind: Service
name: cart
baseline: {version: v1}
versions:
  v1: {endpoints: [%s]}
""" % ", ".join('"unix:%s/%s.sock"' % (WORK, name) for name in names))


first = start()
others = {ask("/").served for _ in range(30)}
let_go(first)
assert len(others) == 1 and held[0].served not in others, (held, others)
# both again
until(lambda: {ask("/").served for _ in range(10)} == {"a", "b"})

# a policy that brings no new fleet leaves the counts alone
for name in "abc":
    os.unlink("%s/%s.pid.go" % (WORK, name))
second = start()
before = status()["policy_generation"]
fleet("a", "b")
until(lambda: status()["policy_generation"] > before)

# a new fleet comes while one is held
fleet("c", "b", "a")
until(lambda: "c" in {ask("/").served for _ in range(10)})
let_go(second)
assert held[1].status == 200
for _ in range(3):
    until(lambda: {ask("/").served for _ in range(12)} == {"a", "b", "c"})
# nothing was taken off that was never counted: a held one is still avoided
for name in "abc":
    os.unlink("%s/%s.pid.go" % (WORK, name))
third = start()
seen = [ask("/").served for _ in range(60)]
let_go(third)
assert seen.count(held[2].served) == 0, (held[2].served, seen)

# another service comes before ours: all numbers of the policy are others
fleet("c", "b", "a", before="""
kind: Service
name: aaa
baseline: {version: v1}
versions:
  v1: {endpoints: ["unix:%s/v1.sock"]}
---
""" % WORK)
newest = status()["policy_generation"]
until(lambda: all(r["policy_generation"] == newest
                  for r in status()["readers"] if r["alive"]))
assert {ask("/").served for _ in range(30)} == {"a", "b", "c"}
