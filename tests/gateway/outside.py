# SPDX-License-Identifier: Apache-2.0
"""outside.py - an order that was created outside stays outside.

P1 for data: the first answer is kept, IN or OUT, whatever the share becomes.
Called by an_order_decided_outside_stays_outside_at_100_percent.vtc.
"""
import json

from gateway import RUN, WORK, ask, gray, until


def told(order, sock="http.sock"):
    answer = ask("/", {"Cookie": "oid=" + order}, sock=sock)
    return answer.served, answer.explain["reason"]


def publish(share):
    with open(WORK + "/docs.yaml", encoding="utf-8") as file:
        docs = file.read()
    with open(WORK + "/docs.yaml", "w", encoding="utf-8") as file:
        file.write(docs.replace("share: 10", "share: %d" % share))
    gray("publish", "-f", WORK + "/docs.yaml", "--runtime", RUN, "--wait",
         "10")


def lines():
    with open(WORK + "/decisions.log", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


rows = json.loads(gray("sample", "order-2", "--runtime", RUN, "-n", "20", "-o",
                       "json").stdout)
inside, outside = ([row["id"] for row in rows[side]] for side in ("in", "out"))

assert {told(o) for o in inside[:10]} == {("v2", "share")}
assert {told(o) for o in outside[:10]} == {("v1", "out-of-share")}
assert {told(o) for o in outside[:10]} == {("v1", "mark-out")}

# created while it was frozen: outside, too
gray("freeze", "order-2", "--runtime", RUN)
frozen = inside[10:15]
assert {told(o) for o in frozen} == {("v1", "no-admit")}
assert {told(o) for o in inside[:10]} == {("v2", "mark")}
gray("thaw", "order-2", "--runtime", RUN)
assert {told(o) for o in frozen} == {("v1", "mark-out")}

publish(100)
for sock in ("http.sock", "two.sock"):
    assert {told(o, sock) for o in inside[:10]} == {("v2", "mark")}, sock
    assert {told(o, sock) for o in outside[:10]} == {("v1", "mark-out")}, sock
    assert {told(o, sock) for o in frozen} == {("v1", "mark-out")}, sock
# who comes now is in, also by the second nginx first
assert {told(o, "two.sock") for o in outside[10:]} == {("v2", "share")}
assert {told(o) for o in outside[10:]} == {("v2", "mark")}

# the log says each decision of a stage: once when it was made, not at each look
until(lambda: sum(line["event"] == "stage" for line in lines()) == 15)
assert {unit["unit"] for line in lines() if line["event"] == "stage"
        for unit in line["releases"]} == set(outside[:10] + frozen)
