#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dimensions_open_one_by_one.py - create at 100 %, and only then pay.

Why: one variable at a time. promote leads through the weights of the first
dimension, from its whole to the first weight of the next, and Promoted is the
whole of the last; nobody comes in where it is not their turn, and a kill of
grayd does not change whose turn it is.

usage: dimensions_open_one_by_one.py BUILD
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Grayd, Told, in_force, taken_back  # noqa: E402

DOCS = """
kind: Service
name: order
baseline: {version: v1}
versions:
  v1: {endpoints: ["127.0.0.1:9201"]}
  v2: {endpoints: ["127.0.0.1:9202"]}
---
kind: Release
name: order-2
services: [{service: order, version: v2}]
unit: {cookie: oid}
stickiness: entity
dataCompat: reversible
stages:
  - {name: create, writes: true, when: {path: {prefix: /create}}}
  - {name: pay, writes: true, when: {path: {prefix: /pay}}}
dimensions: [create, pay]
strategy: {canary: {steps: [{setWeight: 30}, {setWeight: 100}]}}
"""
# percent of create, of pay, dimension, state
WALK = ((30, 0, "create", "Progressing"), (100, 0, "create", "Progressing"),
        (100, 30, "pay", "Progressing"), (100, 100, "pay", "Promoted"))


def share(told, word, number):
    """Of units that this stage never met."""
    units = [f"{word}-{number}-{n}" for n in range(100)]
    return len(told.news(units, word))


def near(seen, percent):
    return seen == percent if percent in (0, 100) else 10 < seen < 55


def retreats(grayd, told):
    """A share is of one dimension: those who created stay in."""
    units = [f"both-{n}" for n in range(100)]
    made, paid = told.news(units, "create"), told.news(units, "pay")
    assert made == set(units) and near(len(paid), 30)
    reply = grayd.verb("order-2", "retreat", {"to": 5, "reason": "r"})
    assert reply.status == 200, reply.text
    taken_back(grayd, "order-2")
    in_force(grayd, told)
    assert told.news(units, "create") == made
    assert told.news(units, "pay") < paid
    reply = grayd.verb("order-2", "promote")  # back to 30 %, once more
    assert reply.status == 200, reply.text
    in_force(grayd, told)


def main():
    build = sys.argv[1]
    with Grayd(build) as grayd:
        assert grayd.start()
        reply = grayd.apply(DOCS)
        assert reply.status == 200, reply.text
        with Told(build, grayd, "order-2") as told:
            for number, (create, pay, dimension, state) in enumerate(WALK):
                reply = grayd.verb("order-2", "promote" if number else
                                   "start")
                assert reply.status == 200, reply.text
                if number == 2:
                    grayd.kill()
                    assert grayd.start()
                row = grayd.ask("GET", "/v1/releases/order-2").body
                assert (row["dimension"], row["state"]) == \
                    (dimension, state), row
                in_force(grayd, told)
                seen = share(told, "create", number), share(told, "pay",
                                                            number)
                assert near(seen[0], create) and near(seen[1], pay), \
                    (number, seen)
                if number == 2:
                    retreats(grayd, told)
            # A smaller share of the same is said otherwise.
            reply = grayd.verb("order-2", "set-weight", {"weight": 50})
            assert reply.body["code"] in ("would-shrink",
                                          "not-in-this-state"), reply.text
    print("create, then pay")


if __name__ == "__main__":
    main()
