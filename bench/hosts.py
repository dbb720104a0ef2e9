#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hosts.py - how many hosts one grayd feeds, and how soon all have a change.

Why: after a change thousands of hosts are to follow within moments, and while
nothing changes they are to cost next to nothing. A real grayd on TCP, agents
of bench_agents (each its own connection and token; they come at the 50 a
second that a server lets in, so ten thousand take 200 s); a change is a weight,
so that every host gets a new policy and fetches it. Times are from sending the
change to the last host that had it, on the same processors.

usage: hosts.py BUILD [AGENTS [REPORTING]]     (default: 1000 1000)
Prints `name value unit`, one a line.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

import grayd

DOCS = """
kind: Service
name: cart
baseline: {version: v1}
versions:
  v1: {endpoints: ["127.0.0.1:9201"]}
  v2: {endpoints: ["127.0.0.1:9202"]}
---
kind: Release
name: cart-2
services: [{service: cart, version: v2}]
unit: {cookie: uid}
strategy: {canary: {steps: [{setWeight: 1}, {setWeight: 100}]}}
"""
CHANGES = 20


class Bench:
    def __init__(self, build):
        self.build = build
        self.dir = tempfile.mkdtemp(prefix="gray-bench-", dir="/dev/shm")


def resident_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(next(line for line in f
                        if line.startswith("VmRSS")).split()[1])


def cpu_s(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make_tokens(server, path, agents):
    with open(path, "w", encoding="ascii") as f:
        for i in range(agents):
            server.http.request(
                "POST", "/v1/tokens", json.dumps({
                    "name": f"a{i}", "role": "agent", "scopes": [f"h{i}"],
                    "ttlSeconds": 86400}),
                {"Authorization": server.auth,
                 "Content-Type": "application/json"})
            made = json.loads(server.http.getresponse().read())
            f.write(f"h{i} {made['token']}\n")


def numbers(line):
    words = line.split()
    assert words[0] == "bundle", line
    return int(words[1]), [float(w) for w in words[2:8]], int(words[9])


def run(bench, server, agents, reporting):
    tokens = bench.dir + "/tokens"
    make_tokens(server, tokens, agents)
    server.http.close()
    before = resident_kb(server.process.pid)
    client = subprocess.Popen(
        [bench.build + "/bench/bench_agents", str(server.port), tokens, "50",
         str(reporting)], stdout=subprocess.PIPE, text=True)
    try:
        measure(server, client, agents, reporting, before)
    finally:
        client.kill()
        client.wait()
        client.stdout.close()


def measure(server, client, agents, reporting, before):
    began = time.monotonic()
    words = client.stdout.readline().split()
    assert words[:2] == ["waiting", str(agents)], words
    print(f"agents_came_s {time.monotonic() - began:.0f} s")
    print(f"agents_turned_away {words[3]} connections")
    client.stdout.readline()
    if reporting:
        time.sleep(reporting / 50 + 5)  # their second connections come, too
    grown = resident_kb(server.process.pid) - before
    print(f"agent_idle_kb {grown / agents:.1f} KiB")
    cpu, at = cpu_s(server.process.pid), time.monotonic()
    time.sleep(10)
    spent = (cpu_s(server.process.pid) - cpu) / (time.monotonic() - at)
    print(f"agents_idle_cpu {spent * 100:.1f} %")
    server.http.close()  # it said nothing for too long, and begins anew
    named, had, had99 = [], [], []
    both = cpu_s(server.process.pid), cpu_s(client.pid)
    for weight in range(2, 2 + CHANGES):
        start = time.monotonic() * 1000
        server.ask("POST", "/v1/releases/cart-2/set-weight",
                   {"weight": weight})
        _, times, _ = numbers(client.stdout.readline())
        named.append(times[2] - start)
        had.append(times[5] - start)
        had99.append(times[4] - start)
    spent = [(cpu_s(p) - b) * 1000 / CHANGES for p, b in
             zip((server.process.pid, client.pid), both)]
    print(f"fanout_cpu_ms {spent[0]:.0f} ms (the agents: {spent[1]:.0f})")
    print(f"agents_per_grayd {agents} hosts")
    print(f"snapshot_fanout_p99_ms {sorted(had99)[-1]:.0f} ms")
    print(f"snapshot_fanout_p50_ms {sorted(had99)[CHANGES // 2]:.0f} ms")
    print(f"manifest_fanout_last_ms {max(named):.0f} ms")
    print(f"snapshot_fanout_last_ms {max(had):.0f} ms")


def main():
    agents = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    reporting = int(sys.argv[3]) if len(sys.argv) > 3 else agents
    bench = Bench(sys.argv[1])
    server = grayd.Grayd(bench)
    try:
        server.ask("POST", "/v1/apply", {"files": [
            {"name": "shop.yaml", "text": DOCS}]})
        server.ask("POST", "/v1/releases/cart-2/start", {})
        run(bench, server, agents, reporting)
    finally:
        server.process.terminate()
        server.process.wait()
        shutil.rmtree(server.state, ignore_errors=True)
        shutil.rmtree(bench.dir, ignore_errors=True)


if __name__ == "__main__":
    main()
