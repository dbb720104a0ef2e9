#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""marks_are_taken_back.py - retreat, abort and undo move who is in already.

Why: a share that shrinks stops nobody who has a mark. So each of the three
takes marks back, every one recorded with who and why, and in a later attempt
alone they come in again. A kill in the middle leaves none behind, and lets
nobody in meanwhile. Where data breaks by it, a person says how many.

usage: marks_are_taken_back.py BUILD
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import (Dead, Grayd, Told, in_force, marks_of,  # noqa: E402
                     taken_back, wait_until)

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
strategy: {canary: {steps: [{setWeight: 10}, {setWeight: 50},
                            {setWeight: 100}]}}
"""
ORDER = """
kind: Service
name: order
baseline: {version: v1}
versions:
  v1: {endpoints: ["127.0.0.1:9203"]}
  v2: {endpoints: ["127.0.0.1:9204"]}
---
kind: Release
name: order-2
services: [{service: order, version: v2}]
unit: {cookie: oid}
stickiness: entity
strategy: {canary: {steps: [{setWeight: 10}, {setWeight: 50}]}}
"""
UNITS = [str(n) for n in range(500)]


def history(grayd, unit, release="user-2"):
    reply = grayd.ask("GET", f"/v1/releases/{release}/marks/unit?unit={unit}")
    assert reply.status == 200, reply.text
    return reply.body


def said(reply, status=200):
    assert reply.status == status, reply.text
    return reply.body


def retreat_to_a_share(grayd, told):
    said(grayd.verb("user-2", "start"))
    in_force(grayd, told)
    ten = told.news(UNITS)
    assert marks_of(grayd, "user-2")["stillToEnter"] is None
    said(grayd.verb("user-2", "promote"))
    # Five times the share: about four times as many are still to come.
    marks = marks_of(grayd, "user-2")
    assert marks["stillToEnter"] == 4 * len(ten), marks
    assert f"about {10 * len(ten)} in all" in marks["estimate"], marks
    in_force(grayd, told)
    fifty = told.news(UNITS)
    assert ten < fifty and 150 < len(fifty) < 350, (len(ten), len(fifty))
    moved = said(grayd.verb("user-2", "retreat",
                            {"to": 10, "reason": "too many"}))
    assert moved["release"]["attempt"] == 2
    taken_back(grayd, "user-2")
    in_force(grayd, told)
    assert told.news(UNITS) == ten  # the last in were the first out
    for unit in sorted(fifty - ten)[:3]:
        row = history(grayd, unit)
        assert row["state"] == "revoked", row
        last = row["history"][-1]
        assert (last["actor"], last["reason"]) == ("root", "too many"), last
        assert [h["state"] for h in row["history"]] == ["in", "revoked"]
    assert marks_of(grayd, "user-2")["revoked"] == len(fifty) - len(ten)
    # Widened again they come in again, in the new attempt.
    said(grayd.verb("user-2", "promote"))
    in_force(grayd, told)
    assert told.news(UNITS) == fifty
    assert history(grayd, sorted(fifty - ten)[0])["attempt"] == 2
    return ten, fifty


def retreat_of_some(grayd, told, fifty):
    two = sorted(fifty)[:2]
    said(grayd.verb("user-2", "retreat", {"units": two, "reason": "wrong"}))
    taken_back(grayd, "user-2")
    assert told.news(UNITS) == fifty - set(two)
    newest = [str(n) for n in range(1000, 1100)]
    came = [unit for unit in newest if told.ask(unit) == "new"]
    wait_until("they are in the journal", lambda: marks_of(
        grayd, "user-2")["notDurable"] == 0)
    said(grayd.verb("user-2", "retreat", {"last": 5, "reason": "load"}))
    taken_back(grayd, "user-2")
    assert told.news(newest) == set(came[:-5])
    # Who was taken out of a share that stays comes in by a larger one.
    said(grayd.verb("user-2", "set-weight", {"weight": 60}))
    in_force(grayd, told)
    assert fifty <= told.news(UNITS)
    assert said(grayd.ask("GET", "/v1/releases/user-2"))["attempt"] == 3


def abort_moves_everybody_at_once(grayd, told):
    inside = told.news(UNITS)
    assert inside
    # grayd dies before the first mark is taken back: the word holds, and no
    # attempt begins until the marks are gone.
    grayd.arm("before-revoke")
    try:
        grayd.verb("user-2", "abort", {"reason": "prices"})
    except Dead:
        pass
    grayd.died()
    grayd.arm()
    assert told.news(UNITS) == set()  # by the word alone
    assert grayd.start()
    reply = grayd.ask("POST", "/v1/releases/user-2/retry", {})
    assert reply.status == 200 or \
        reply.body["code"] == "still-revoking", reply.text
    if reply.status == 200:  # it was quick: then they are all gone
        assert marks_of(grayd, "user-2")["in"] == 0
    else:
        taken_back(grayd, "user-2")
        assert marks_of(grayd, "user-2")["in"] == 0
        said(grayd.verb("user-2", "retry"))
    row = history(grayd, sorted(inside)[0])
    assert row["state"] == "revoked"
    assert row["history"][-1]["reason"] == "prices", row
    in_force(grayd, told)
    again = told.news(UNITS)
    assert again and again < inside  # the first weight
    return again


def undo_takes_back_what_came_since(grayd, told, ten):
    rows = grayd.ask("GET", "/v1/releases/user-2/history").body["versions"]
    revision = rows[0]["revision"]  # as it stands: 10 %
    said(grayd.verb("user-2", "promote"))
    in_force(grayd, told)
    assert told.news(UNITS) > ten
    said(grayd.verb("user-2", "undo", {"toRevision": revision,
                                       "reason": "step too far"}))
    taken_back(grayd, "user-2")
    in_force(grayd, told)
    assert told.news(UNITS) == ten


def what_breaks_needs_the_count(grayd):
    assert grayd.apply(ORDER).status == 200
    rows = [{"unit": str(n), "state": "in"} for n in range(7)]
    said(grayd.ask("POST", "/v1/releases/order-2/marks/import",
                   {"marks": rows}))
    said(grayd.verb("order-2", "start"))
    token = said(grayd.ask("POST", "/v1/tokens", {
        "name": "op", "role": "operator", "scopes": ["order"],
        "ttlSeconds": 60}), 201)["token"]
    for verb, body in (("abort", {}), ("kill", {}),
                       ("retreat", {"units": ["1", "2", "nobody"]})):
        count = 2 if verb == "retreat" else 7
        body["reason"] = "meant"
        reply = grayd.verb("order-2", verb, body,
                           Authorization="Bearer " + token)
        assert (reply.status, reply.body["code"]) == (403, "forbidden")
        for breaks in (None, count - 1):
            if breaks is not None:
                body["breaks"] = breaks
            reply = grayd.verb("order-2", verb, body)
            assert (reply.status, reply.body["code"]) == (409, "would-break")
            assert f"--breaks {count}" in reply.body["advice"], reply.text
        body["breaks"] = count
        if verb != "abort":  # the others are tried on what it would end
            said(grayd.verb("order-2", verb, body))
        if verb == "kill":
            said(grayd.verb("order-2", "unkill"))
    taken_back(grayd, "order-2")
    assert marks_of(grayd, "order-2")["in"] == 5
    # The one button asks nothing and breaks nothing.
    assert said(grayd.verb("order-2", "stop"))["release"]["state"] == "Frozen"
    assert marks_of(grayd, "order-2")["in"] == 5
    # A share: the count is of those whose buckets lie above it.
    said(grayd.verb("order-2", "thaw"))
    reply = grayd.verb("order-2", "retreat", {"to": 1, "reason": "r"})
    assert reply.body["code"] == "would-break", reply.text
    count = int(reply.body["detail"].split(": ")[1].split()[0])
    said(grayd.verb("order-2", "retreat",
                    {"to": 1, "reason": "r", "breaks": count}))
    taken_back(grayd, "order-2")
    assert marks_of(grayd, "order-2")["in"] == 5 - count
    denied = [json.loads(t) for t, in grayd.database().execute(
        "SELECT text FROM audit ORDER BY sequence")]
    assert [r for r in denied if r["outcome"] == "denied" and
            r.get("actor") == "op" and r["action"] == "kill"]
    assert [r for r in denied if r.get("code") == "would-break"]


def main():
    build = sys.argv[1]
    with Grayd(build) as grayd:
        assert grayd.start()
        assert grayd.apply(DOCS).status == 200
        with Told(build, grayd, "user-2") as told:
            _, fifty = retreat_to_a_share(grayd, told)
            print("retreat_to_a_share", flush=True)
            retreat_of_some(grayd, told, fifty)
            print("retreat_of_some", flush=True)
            ten = abort_moves_everybody_at_once(grayd, told)
            print("abort_moves_everybody_at_once", flush=True)
            undo_takes_back_what_came_since(grayd, told, ten)
            print("undo_takes_back_what_came_since", flush=True)
        what_breaks_needs_the_count(grayd)
        print("what_breaks_needs_the_count")


if __name__ == "__main__":
    main()
