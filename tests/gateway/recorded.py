#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""recorded.py - gray_record: what is written, of whom, and what it is good for.

Called by recorded_requests_say_what_the_policy_asked_and_no_more.vtc: asks its
listeners, then holds the lines against what was asked.  What `gray explain`
says of each line is what the gateway said of the request.
"""
import json
import os
import time

from gateway import RUN, WORK, ask, gray, until


def lines(name):
    path = f"{WORK}/{name}.jsonl"
    if not os.path.exists(path):
        return []
    with open(path, encoding="ascii") as file:
        return [json.loads(line) for line in file if line.endswith("\n")]


told = [
    ask("/private/7?token=1", {"Cookie": "sid=secret; uid=1007",
                               "Authorization": "Bearer abc",
                               "X-Other": "o"}).explain,
    ask("/?tester=yes&x=2", {"Cookie": "uid=9"}).explain,
    ask("/", [("x-canary", "no"), ("x-canary", "always")]).explain,
    ask("/").explain,
]
ask("/", {"Cookie": "uid=5"}, sock="app.sock")
ask("/", {"Cookie": "uid=6", "Baggage": "gray.arms=cart-2"}, sock="inner.sock")
ask("/", {"Cookie": "uid=7"}, sock="silent.sock")
for user in range(23):
    ask("/", {"Cookie": f"uid={user}"}, sock="sampled.sock")

until(lambda: len(lines("all")) >= 5 and len(lines("sampled")) >= 4)
found = lines("all")
for line in found:
    assert abs(line.pop("now") / 1000 - time.time()) < 60, line
assert found == [
    {"path": "/", "headers": {"cookie": "uid=1007"}},
    {"path": "/?tester=yes", "headers": {"cookie": "uid=9"}},
    {"path": "/", "headers": {"x-canary": ["no", "always"]}},
    {"path": "/", "headers": {}},
    {"path": "/", "headers": {"cookie": "uid=5"}, "entrance": "app"},
], found
assert [line["headers"]["cookie"] for line in lines("sampled")] == [
    "uid=4", "uid=9", "uid=14", "uid=19"], lines("sampled")

again = gray("explain", "--requests", f"{WORK}/all.jsonl", "--runtime", RUN,
             "--local", "-o", "json").stdout
for one, other in zip(told, again.splitlines()):
    other = json.loads(other)
    assert (one["arms"], one["version"]) == \
        (other["arms"], other["version"]), (one, other)

# an entrance counts what it decided, inner listeners do not; a service counts
# the arms that come to it, whoever gave them
status = json.loads(ask("/status").body)
flows = {(f["arm"], f["service"]): f["requests"] for f in status["flows"]}
assert status["entered"] == 4 + 1 + 1 + 23 + 1, status["entered"]  # and this
assert flows["cart-2", "cart"] == flows["cart-2", ""] + 1, flows
