#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""two_operators.py - a thousand verbs of two people on one release.

Why: two people at three in the morning must not end in a state that neither
asked for. Whatever they say at once, the history is one line: each record
begins where the one before ended, revisions rise in the order in which calls
ended and began, and a repeated or outdated call changes nothing.

usage: two_operators.py BUILD
"""
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import SHOP, Grayd, chain_of  # noqa: E402

CALLS = 1000
VERBS = [("set-weight", {"weight": w}) for w in (1, 3, 10, 30, 60)] + [
    ("start", {}), ("pause", {}), ("resume", {}), ("promote", {}),
    ("freeze", {}), ("thaw", {}), ("kill", {"reason": "r"}), ("unkill", {}),
    ("abort", {"reason": "r"}), ("retry", {}), ("stop", {})]


def operator(grayd, name, token, seed, calls, out):
    dice = random.Random(seed)
    auth = {"Authorization": "Bearer " + token}
    for number in range(calls):
        verb, body = dice.choice(VERBS)
        headers = dict(auth)
        if dice.random() < 0.3:  # looks first, and says what it saw
            seen = grayd.ask("GET", "/v1/releases/cart-2", **auth)
            headers["If-Match"] = seen.headers["ETag"]
        key = None
        if dice.random() < 0.3:
            key = headers["Idempotency-Key"] = f"{name}-{number}"
        begin = time.monotonic()
        reply = grayd.ask("POST", f"/v1/releases/cart-2/{verb}", body,
                          **{k.replace("-", "_"): v
                             for k, v in headers.items()})
        end = time.monotonic()
        assert reply.status in (200, 409, 412), reply.text
        if reply.status == 412:
            assert "If-Match" in headers
        if reply.status == 200:
            if key and reply.body["changed"]:
                again = grayd.ask("POST", f"/v1/releases/cart-2/{verb}", body,
                                  **{k.replace("-", "_"): v
                                     for k, v in headers.items()})
                first, second = reply.body, again.body
                for said in (first, second):  # looked at, not kept
                    said.pop("inForce", None)
                    said.pop("admission", None)
                assert again.status == 200 and second == first
            out.append((name, verb, begin, end, reply.body["revision"],
                        reply.body["changed"]))


def token(grayd, name):
    made = grayd.ask("POST", "/v1/tokens", {
        "name": name, "role": "operator", "scopes": [""], "ttlSeconds": 3600})
    assert made.status == 201, made.text
    return made.body["token"]


def main():
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    with Grayd(sys.argv[1]) as grayd:
        assert grayd.start()
        assert grayd.apply(SHOP).status == 200
        out, people = [], []
        for i, name in enumerate(("alice", "bob")):
            people.append(threading.Thread(
                target=operator, args=(grayd, name, token(grayd, name),
                                       seed + i, CALLS // 2, out)))
        for thread in people:
            thread.start()
        for thread in people:
            thread.join()
        with grayd.database() as db:
            rows = list(chain_of(db.execute(
                "SELECT sequence, text, hash FROM audit ORDER BY sequence")))
    moved = []
    for sequence, record, stored, computed in rows:
        assert stored == computed, sequence
        if record["outcome"] == "done" and \
                record.get("resource") == "Release/cart-2" and \
                record["action"] != "apply":
            moved.append(record)
    # The version chain: each begins where the one before ended.
    for before, after in zip(moved, moved[1:]):
        was = {k: v for k, v in before["after"].items() if k != "revision"}
        now = {k: v for k, v in after["before"].items() if k != "revision"}
        assert was == now, (before["seq"], after["seq"])
        assert before["revision"] < after["revision"]
    done = [row for row in out if row[5]]
    assert len(done) == len(moved), (len(done), len(moved))
    assert {r["revision"] for r in moved} == {row[4] for row in done}
    # Real time: what ended before another began has the lower revision.
    for _, _, _, end, low, _ in done:
        for _, _, begin, _, high, _ in done:
            assert end > begin or low < high, (low, high)
    actors = {record["actor"] for record in moved}
    assert actors == {"alice", "bob"}, actors
    refused = sum(json.dumps(r).count('"refused"') for _, r, _, _ in rows)
    print(f"{len(out)} answered, {len(moved)} changes in one line, "
          f"{refused} refused and recorded")


if __name__ == "__main__":
    main()
