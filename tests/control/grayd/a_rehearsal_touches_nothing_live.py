#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a_rehearsal_touches_nothing_live.py - freeze, rollback, thaw on a shadow.

Why: a plan that was never rehearsed is not trusted, and nobody rehearses what
may harm. So while a rehearsal runs, again and again, the release beside it
goes on: its state, its word, its marks and what units are told do not move.
What was found is kept with the document that it was found of; a rehearsal in
which a step does not do what it should says so.

usage: a_rehearsal_touches_nothing_live.py BUILD
"""
import json
import os
import signal
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Grayd, Told, marks_of, wait_until  # noqa: E402

DOCS = """
kind: Service
name: cart
baseline: {{version: v1}}
versions:
  v1: {{endpoints: ["127.0.0.1:9201"]}}
  v2: {{endpoints: ["127.0.0.1:9202"]}}
---
kind: Release
name: user-2
services: [{{service: cart, version: v2}}]
unit: {{cookie: uid}}
{more}
strategy: {{canary: {{steps: [{{setWeight: 30}}]}}}}
"""
UNITS = [str(n) for n in range(200)]


def live(grayd):
    """Everything of the release that a rehearsal must leave alone."""
    row = grayd.ask("GET", "/v1/releases/user-2").body
    marks = {k: row["marks"][k] for k in
             ("in", "out", "revoked", "void", "late", "closed", "table")}
    word = grayd.in_folder()["user-2"]
    status = grayd.ask("GET", "/v1/status").body
    return {"state": row["state"], "share": row["share"],
            "attempt": row["attempt"], "revision": row["revision"],
            "may": row["may"], "marks": marks, "word": word["word"],
            "generation": status["generation"],
            "hostWords": status["hostWords"],
            "releases": [r["name"] for r in status["releases"]]}


def rehearse(grayd, **body):
    reply = grayd.ask("POST", "/v1/releases/user-2/rehearse", body)
    assert reply.status == 200, reply.text
    return reply.body


def passes(grayd, told):
    inside = told.news(UNITS)
    wait_until("all is on disk",
               lambda: marks_of(grayd, "user-2")["notDurable"] == 0)
    before = live(grayd)
    seen, ended = [], threading.Event()

    def ask():
        while not ended.is_set():
            seen.append(told.news(UNITS))

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        for number in range(5):
            said = rehearse(grayd, reason=f"drill {number}")
            assert said["passed"], said
            assert [s["step"] for s in said["steps"]] == \
                ["admit", "freeze", "rollback", "thaw"]
            wait_until("units were asked meanwhile",
                       lambda: len(seen) > number)
    finally:
        ended.set()
        asker.join()
    assert all(told_in == inside for told_in in seen)
    assert live(grayd) == before
    kept = grayd.ask("GET", "/v1/releases/user-2").body["rehearsal"]
    assert (kept["passed"], kept["current"], kept["by"], kept["reason"]) == \
        (True, True, "root", "drill 4"), kept
    with grayd.database() as db:
        records = [json.loads(t) for t, in db.execute("SELECT text FROM audit")]
    assert len([r for r in records if r["action"] == "rehearse"]) == 5


def one_at_a_time(grayd):
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(grayd.ask(
        "POST", "/v1/releases/user-2/rehearse", {}).status))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(replies) <= {200, 503} and 200 in replies, replies


def fails_where_a_reader_is_deaf(grayd, told):
    """Without a lease a stopped reader breaks the promise of freeze."""
    before = live(grayd)
    told.signal(signal.SIGSTOP)
    try:
        said = rehearse(grayd)
    finally:
        told.signal(signal.SIGCONT)
    assert not said["passed"], said
    assert said["steps"][-1]["step"] == "freeze", said
    assert "1 readers did not acknowledge" in said["steps"][-1]["sentence"]
    assert live(grayd) == before


def is_of_one_document(grayd):
    assert grayd.apply(DOCS.format(more="priority: 7")).status == 200
    kept = grayd.ask("GET", "/v1/releases/user-2").body["rehearsal"]
    assert kept["current"] is False, kept
    reply = grayd.ask("POST", "/v1/releases/nix/rehearse", {})
    assert reply.status == 404, reply.text


def main():
    build = sys.argv[1]
    with Grayd(build) as grayd:
        assert grayd.start()
        assert grayd.apply(DOCS.format(more="")).status == 200
        assert grayd.verb("user-2", "start").status == 200
        with Told(build, grayd, "user-2") as told:
            passes(grayd, told)
            print("passes", flush=True)
            one_at_a_time(grayd)
            fails_where_a_reader_is_deaf(grayd, told)
            print("fails_where_a_reader_is_deaf", flush=True)
        is_of_one_document(grayd)
        print("is_of_one_document")


if __name__ == "__main__":
    main()
