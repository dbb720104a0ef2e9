#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_shares.py - the oracle sees each kind of fault that it is there for.

Why: an oracle that never objects is worse than none.  A clean history must
pass; the same history with one fault planted must be refused with the right
sentence.
"""
import copy
import hashlib
import sys

import shares

USERS = [1, 4000]


def bucket(salt, uid):
    """Any fair bucket will do: the oracle knows of none."""
    digest = hashlib.sha256(f"{salt}:{uid}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2 ** 32 * 100


def history(spec, salts=("one", "two")):
    """Rows of the logs and the plan, one pass of all users a step."""
    plan = {"users": USERS, "steps": []}
    rows = []
    for number, (one, two) in enumerate(spec):
        begin = 1000 * (number + 1)
        for uid in range(USERS[0], USERS[0] + USERS[1]):
            cart = "v2" if bucket(salts[0], uid) < one else "v1"
            web = "v2" if bucket(salts[1], uid) < two else "v1"
            rows.append([begin + 5, "cart", cart, str(uid), 200])
            rows.append([begin + 6, "order", cart, str(uid), 200])
            rows.append([begin + 7, "web", web, str(uid), 200])
        plan["steps"].append({
            "name": f"step {number}", "from": begin, "to": begin + 1000,
            "releases": [
                {"name": "cart-2", "share": one,
                 "services": {"cart": "v2", "order": "v2"}},
                {"name": "web-2", "share": two, "services": {"web": "v2"}}]})
    return plan, rows


GROWTH = [(0, 0), (1, 10), (10, 10), (50, 10), (100, 100)]


def rows_of(rows, service, step):
    return [row for row in rows
            if row[1] == service and row[0] // 1000 == step + 1]


def in_at(plan, rows, step):
    return [row for row in rows_of(rows, "cart", step) if row[2] == "v2"]


def swap(row):
    row[2] = "v1" if row[2] == "v2" else "v2"


def one_admitted_at_zero(plan, rows):
    swap(rows_of(rows, "web", 0)[7])


def one_left_out_at_hundred(plan, rows):
    swap(rows_of(rows, "web", 4)[7])


def too_many(plan, rows):
    out = [row for row in rows_of(rows, "web", 1) if row[2] == "v1"]
    for row in out[:80]:
        swap(row)


def dropped(plan, rows):
    uid = in_at(plan, rows, 1)[0][3]
    for service in ("cart", "order"):
        swap(next(r for r in rows_of(rows, service, 2) if r[3] == uid))


def wavering(plan, rows):
    row = copy.copy(rows_of(rows, "cart", 3)[5])
    swap(row)
    rows.append(row)


def chain_apart(plan, rows):
    swap(rows_of(rows, "order", 3)[11])


def missing(plan, rows):
    rows.remove(rows_of(rows, "web", 2)[3])


def failed(plan, rows):
    rows_of(rows, "web", 2)[3][4] = 502


OFFENCES = [
    (one_admitted_at_zero, "wanted nobody"),
    (one_left_out_at_hundred, "wanted everybody"),
    (too_many, "users met it, wanted 400"),
    (dropped, "fell out"),
    (wavering, "several versions"),
    (chain_apart, "disagree"),
    (missing, "never served"),
    (failed, "without status 200"),
]


def main():
    wrong = []
    violations, _ = shares.judge(*history(GROWTH))
    if violations:
        wrong.append(f"a clean history is refused: {violations}")
    for plant, sentence in OFFENCES:
        plan, rows = history(GROWTH)
        plant(plan, rows)
        violations, _ = shares.judge(plan, rows)
        if not any(sentence in line for line in violations):
            wrong.append(f"{plant.__name__} is not seen: {violations}")
    violations, _ = shares.judge(*history([(50, 10)], salts=("a", "a")))
    if not any("not independent" in line for line in violations):
        wrong.append(f"one salt for two releases is not seen: {violations}")
    for line in wrong:
        print(line)
    print(f"{len(OFFENCES) + 2 - len(wrong)} of {len(OFFENCES) + 2} as it "
          "should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
