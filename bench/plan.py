#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""plan.py - how long a plan takes that asks a million marks.

Why: whoever narrows a policy is told how many of those who are in would drop
out, and waits for it.  A real grayd, a million units that came in by import,
half of them numbers, half texts; the journal is on this machine's disk.  The
same tails in other words (nothing drops, so nothing is counted) stand beside
it, for what is the plan's own.

usage: plan.py BUILD [MARKS]
Prints `name value unit`, one a line.
"""
import json
import sys
import time

import gateway
import grayd

PART, ROUNDS = 10000, 7
TAILS = [f"{n:02}" for n in range(100)]


def documents(v1, v2, tails, more=()):
    found = json.loads(gateway.documents(v1, v2, "monotonic"))
    rules = [{"idTail": tails}, *more]
    found[1]["admission"] = {"match": rules}
    found[1]["strategy"] = {"canary": {"steps": [{"setWeight": 100}]}}
    return found


def unit(number):
    number += 100
    return str(number) if number % 2 == 0 else f"user-{number}"


def fill(server, marks):
    for first in range(0, marks, PART):
        rows = [{"unit": unit(n), "state": "in"}
                for n in range(first, min(first + PART, marks))]
        server.ask("POST", "/v1/releases/cart-2/marks/import",
                   {"marks": rows, "reason": "r"})


def timed(server, text):
    took = []
    for _ in range(ROUNDS):
        start = time.monotonic()
        plan = server.ask("POST", "/v1/plan", text)
        took.append((time.monotonic() - start) * 1000)
    return sorted(took)[ROUNDS // 2], plan


def main():
    marks = int(sys.argv[2]) if len(sys.argv) > 2 else 1000000
    bench = gateway.Bench(sys.argv[1])
    server = grayd.Grayd(bench)
    try:
        def policy(*more):
            return server.apply(documents(bench.v1, bench.v2, *more))
        server.ask("POST", "/v1/apply", policy(TAILS))
        fill(server, marks)
        server.ask("POST", "/v1/releases/cart-2/start",
                   {"reason": "r"})
        same, plan = timed(server, policy(TAILS[:50], [
            {"idTail": TAILS[50:]}]))
        if not plan["accepted"]:
            raise RuntimeError(json.dumps(plan)[:500])
        took, plan = timed(server, policy(TAILS[1:]))
        (drop,) = plan["drops"]
        if (drop["what"], drop["counted"], drop["marks"]) != \
                ("00", "exact", marks // 100):
            raise RuntimeError(json.dumps(plan["drops"]))
    finally:
        server.close()
        bench.close()
    name = "1m" if marks == 1000000 else str(marks)
    print(f"plan_{name}_marks_ms {took:.0f} ms")
    print(f"plan_{name}_marks_none_ms {same:.1f} ms", flush=True)


if __name__ == "__main__":
    main()
