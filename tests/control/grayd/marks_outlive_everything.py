#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""marks_outlive_everything.py - marks of before, kills, and a reboot.

Why: an order that the old logic began belongs to it until it is settled,
whatever the share becomes, and that must be known before the first decision.
So marks come in from a file before the start: for a moment, again for what
came meanwhile, and compared. From then on they stand: through kill -9 of
grayd, and through a reboot that takes the runtime folder away.

usage: marks_outlive_everything.py BUILD
"""
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Dead, Grayd, Told, marks_of, wait_until  # noqa: E402

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
strategy: {canary: {steps: [{setWeight: 50}, {setWeight: 100}]}}
"""
OLD = [f"old-{n}" for n in range(40)]
NEW = [f"new-{n}" for n in range(40)]


def rows(units, state):
    return [{"unit": unit, "state": state} for unit in units]


def put(grayd, marks, what="import", status=200, **more):
    reply = grayd.ask("POST", f"/v1/releases/order-2/marks/{what}",
                      {"marks": marks, **more})
    assert reply.status == status, reply.text
    return reply.body


def records(grayd, action):
    with grayd.database() as db:
        all_of = [json.loads(t) for t, in db.execute("SELECT text FROM audit")]
    return [r for r in all_of if r["action"] == action]


def before_the_start(grayd):
    first = rows(OLD[:30], "out") + rows(NEW[:30], "in")
    put(grayd, first, status=200, asOf="2026-01-31T07:00:00Z",
        reason="cut-over")
    # What came meanwhile, and two of which the file says otherwise.
    newer = rows(OLD[1:], "out") + rows(NEW[1:], "in") + \
        rows(NEW[:1], "out") + rows(OLD[:1], "in")
    said = put(grayd, newer, asOf="2026-01-31T07:30:00Z", reason="catch-up")
    assert (said["put"], said["same"], said["conflicts"]) == \
        (20, 58, [{"unit": "new-0", "state": "in"},
                  {"unit": "old-0", "state": "out"}]), said
    said = put(grayd, newer, what="verify")
    assert (said["same"], said["missing"], said["other"]) == (78, 0, 2), said
    assert said["otherUnits"] == [
        {"unit": "new-0", "wanted": "out", "state": "in"},
        {"unit": "old-0", "wanted": "in", "state": "out"}], said
    said = put(grayd, rows(["x-1"], "in"), what="verify")
    assert (said["missing"], said["missingUnits"]) == (1, ["x-1"]), said
    put(grayd, rows(["x-1"], "in"), status=400, asOf="yesterday")
    kept = records(grayd, "marks-import")
    assert [(r["actor"], r.get("reason"), r["outcome"]) for r in kept] == [
        ("root", "cut-over", "done"), ("root", "catch-up", "done"),
        ("root", None, "refused")], kept
    assert kept[1]["after"]["asOf"] == "2026-01-31T07:30:00Z"
    assert kept[1]["after"]["conflicts"] == 2


def a_part_that_was_cut_off_is_said_again(grayd):
    """grayd dies before, and behind, the journal's commit: nothing is lost,
    and nothing is in twice."""
    for number, point in enumerate(("before-marks-put", "after-marks-put")):
        part = rows([f"cut-{number}-{n}" for n in range(10)], "out")
        grayd.arm(point)
        try:
            put(grayd, part)
            raise AssertionError("grayd lives")
        except Dead:
            grayd.died()
        grayd.arm()
        assert grayd.start()
        wait_until("the table is read", lambda: marks_of(
            grayd, "order-2")["table"]["state"] == "ready")
        said = put(grayd, part)
        assert (said["put"], said["same"]) == \
            ((10, 0) if number == 0 else (0, 10)), (point, said)


def only_while_nobody_comes(grayd):
    assert grayd.verb("order-2", "start").status == 200
    said = put(grayd, rows(["late-1"], "in"), status=409)
    assert said["code"] == "already-started", said
    assert grayd.verb("order-2", "freeze").status == 200
    assert put(grayd, rows(["late-1"], "in"))["put"] == 1
    assert grayd.verb("order-2", "thaw").status == 200


def a_repair_is_one_unit_by_who_may(grayd):
    body = {"unit": "old-39", "state": "in", "reason": "its row is new"}
    token = grayd.ask("POST", "/v1/tokens", {
        "name": "op", "role": "operator", "scopes": [""],
        "ttlSeconds": 60}).body["token"]
    path = "/v1/releases/order-2/marks/repair"
    assert grayd.ask("POST", path, body,
                     Authorization="Bearer " + token).status == 403
    assert grayd.ask("POST", path, dict(body, reason="")).status == 400
    said = grayd.ask("POST", path, body)
    assert said.status == 200, said.text
    assert (said.body["before"], said.body["after"]) == ("out", "in")
    said = grayd.ask("POST", path, dict(body, state="out"))
    assert said.status == 409 and "stays in" in said.body["detail"], said.text
    row = grayd.ask("GET", "/v1/releases/order-2/marks/unit?unit=old-39").body
    assert [(h["state"], h["actor"], h["reason"]) for h in row["history"]] == [
        ("out", "root", "catch-up"), ("in", "root", "its row is new")], row
    # Whoever watches changes sees both, as any other.
    seen = grayd.ask("GET", "/v1/changes?limit=1000").body["changes"]
    assert {"marks-import", "marks-repair", "freeze"} <= \
        {c["action"] for c in seen if c["resource"] == "Release/order-2"}
    done = [r for r in records(grayd, "marks-repair")
            if r["outcome"] == "done"]
    assert done[0]["before"]["state"] == "out", done


def as_they_were(told):
    assert told.news(OLD[:39]) == set()
    assert told.news(NEW) == set(NEW)
    assert told.news(["old-39", "late-1"]) == {"old-39", "late-1"}


def through_kills(grayd, told):
    came = [f"came-{n}" for n in range(100)]
    inside = told.news(came)
    assert 20 < len(inside) < 80
    grayd.kill()
    as_they_were(told)  # nobody notices
    here = grayd.host("marks", "get", "order-2", "old-1")
    assert here.stdout.startswith("old-1: out"), here
    assert grayd.start()
    as_they_were(told)
    assert told.news(came) == inside
    # To the end: who was outside stays so, and status says how many.
    assert grayd.verb("order-2", "promote").status == 200
    as_they_were(told)
    row = grayd.ask("GET", "/v1/releases/order-2").body
    assert (row["state"], row["phase"]) == ("Promoted", "Converging"), row
    assert row["marks"]["out"] == 59 + len(came) - len(inside)
    assert row["marks"]["outEnds"] is None and row["marks"]["forecast"]
    return came, inside


def through_a_reboot(build, grayd, came, inside):
    grayd.kill()
    shutil.rmtree(grayd.runtime)
    grayd.spawn("--restore")
    assert grayd.process.wait(60) == 0, grayd.errors()[-2000:]
    grayd.process.stdout.close()
    grayd.process = None
    with Told(build, grayd, "order-2", "again") as told:
        # The policy is back and the tables are not: an empty one would say
        # that nobody was ever told anything, and the old logic would run.
        for unit in NEW[:3] + OLD[:3] + ["nobody-1"]:
            assert told.ask(unit) == "hold", unit
        assert grayd.start()
        wait_until("the table is read again", lambda: marks_of(
            grayd, "order-2")["table"]["state"] == "ready")
        wait_until("the reader has it", lambda: told.ask("new-1") == "new")
        as_they_were(told)
        assert told.news(came) == inside


def main():
    build = sys.argv[1]
    with Grayd(build) as grayd:
        assert grayd.start()
        assert grayd.apply(DOCS).status == 200
        before_the_start(grayd)
        print("before_the_start", flush=True)
        a_part_that_was_cut_off_is_said_again(grayd)
        only_while_nobody_comes(grayd)
        a_repair_is_one_unit_by_who_may(grayd)
        print("a_repair_is_one_unit_by_who_may", flush=True)
        with Told(build, grayd, "order-2") as told:
            as_they_were(told)
            came, inside = through_kills(grayd, told)
        print("through_kills", flush=True)
        through_a_reboot(build, grayd, came, inside)
        print("through_a_reboot")


if __name__ == "__main__":
    main()
