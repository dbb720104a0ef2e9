#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""grayd.py - what grayd costs: changes, reads, watchers, large policies.

Why: an operator waits for a change to be in force, dashboards poll, and every
screen of a team watches. A real grayd with a store on this machine's disk and a
real nginx with two workers and the module; a change's time is from sending it
to its answer, which says that both workers have acknowledged it.

usage: grayd.py BUILD
Prints `name value unit`, one a line.
"""
import http.client
import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import gateway

CHANGES, RULES, WATCHERS, TOLD = 200, 100000, 1000, 20
WRK = ["wrk", "-t", "1", "-c", "16", "-d", "5s"]


class Grayd:
    def __init__(self, bench):
        self.state = tempfile.mkdtemp(prefix="gray-bench-")  # a real disk
        self.runtime = os.path.join(bench.dir, "runtime")
        self.process = subprocess.Popen(
            [bench.build + "/bin/grayd", "--state", self.state, "--runtime",
             self.runtime, "--socket", bench.dir + "/sock", "--listen",
             "127.0.0.1:0"], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        line = self.process.stdout.readline().decode()
        self.port = int(line.split("port ")[1].split(",")[0])
        with open(self.state + "/first-token", encoding="ascii") as f:
            self.auth = "Bearer " + f.read().strip()
        self.http = http.client.HTTPConnection("127.0.0.1", self.port,
                                               timeout=120)

    def ask(self, method, path, body=None):
        text = json.dumps(body) if body is not None else None
        headers = {"Authorization": self.auth}
        if text is not None:
            headers["Content-Type"] = "application/json"
        self.http.request(method, path, text, headers)
        answer = self.http.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {data.decode()[:500]}")
        return json.loads(data)

    def change(self, path, body, readers=2):
        """How long until every reader had it, in ms."""
        start = time.monotonic()
        said = self.ask("POST", path, body)["inForce"]
        took = (time.monotonic() - start) * 1000
        if not readers <= said["readers"] == said["acknowledged"]:
            raise RuntimeError(f"{path}: {said}")
        return took

    def apply(self, documents):
        return {"files": [{"name": "a.json", "text": json.dumps(documents)}]}

    def rss(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.process.stdout.close()
        shutil.rmtree(self.state, ignore_errors=True)


def start_nginx(bench, grayd):
    """Two workers on the folder that grayd writes; their port."""
    port = gateway.free_port()
    command = bench.prepare("gray", port)
    with open(command[-1], encoding="utf-8") as f:
        body = f.read()
    with open(command[-1], "w", encoding="utf-8") as f:
        f.write(re.sub(r"gray_runtime [^;]+", "gray_runtime " + grayd.runtime,
                       body.replace("master_process off;",
                                    "worker_processes 2;")))
    bench.spawn(command)
    for _ in range(600):
        if len(grayd.ask("GET", "/v1/status")["readers"]) >= 2:
            return port
        time.sleep(0.05)
    raise RuntimeError("nginx does not read the folder")


def show(name, took):
    took.sort()
    print(f"{name}_p50_ms {took[len(took) // 2]:.1f} ms")
    print(f"{name}_p99_ms {took[len(took) * 99 // 100]:.1f} ms", flush=True)


def changes(grayd, documents):
    """Verbs and documents in turn."""
    took = []
    for i in range(CHANGES // 2):
        took.append(grayd.change("/v1/releases/cart-2/set-weight",
                                 {"weight": 11 + 0.25 * i}))
        documents[0]["versions"]["v1"]["endpoints"] = [
            {"address": documents[2], "weight": 1 + i % 7}]
        took.append(grayd.change("/v1/apply", grayd.apply(documents[:1])))
    show("apply_to_effective", took)


def reads(grayd):
    out = subprocess.run(
        WRK + ["-H", "Authorization: " + grayd.auth,
               f"http://127.0.0.1:{grayd.port}/v1/releases/cart-2"],
        check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in out:
        raise RuntimeError(out)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)
    print(f"rest_get_rps {float(rate):.0f} requests/s", flush=True)


def watch(grayd):
    """A thousand streams; how late the last of them hears of a commit."""
    before = grayd.rss()
    selector = selectors.DefaultSelector()
    streams = []
    for _ in range(WATCHERS):
        s = socket.create_connection(("127.0.0.1", grayd.port), 60)
        s.sendall((f"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n"
                   f"Authorization: {grayd.auth}\r\n\r\n").encode())
        streams.append(s)
    for s in streams:
        while b"\r\n\r\n" not in s.recv(4096):
            pass
        selector.register(s, selectors.EVENT_READ)
    lags = []
    for number in range(TOLD):
        mark = f"id-{number}-end".encode()
        grayd.change("/v1/lists/testers/ids", {"add": [f"t{number}"],
                                               "reason": mark.decode()})
        waiting, heard = WATCHERS, {}
        while waiting > 0:
            ready = selector.select(30)
            if not ready:
                raise RuntimeError(f"{waiting} watchers hear nothing")
            for key, _ in ready:
                text = heard.get(key.fd, b"") + key.fileobj.recv(65536)
                heard[key.fd] = text
                waiting -= mark in text and text.endswith(b"\n\n\r\n")
        at = re.search(rb'"at":"([^"]+)Z"', heard[streams[0].fileno()])
        seconds, millis = at.group(1).decode().split(".")
        begun = time.mktime(time.strptime(seconds + " UTC",
                                          "%Y-%m-%dT%H:%M:%S %Z"))
        begun += int(millis) / 1000 - time.timezone
        lags.append((time.time() - begun) * 1000)
    each = (grayd.rss() - before) / WATCHERS
    lags.sort()
    print(f"sse_clients_kb_each {each:.1f} KiB")
    print(f"sse_clients_lag_ms {lags[TOLD // 2]:.0f} ms")
    print(f"sse_clients_lag_max_ms {lags[-1]:.0f} ms", flush=True)
    for s in streams:
        s.close()


def large(grayd, documents):
    """A release with a hundred thousand rules, and a verb on it."""
    release = documents[1]
    release["admission"] = {"share": 50, "match": [
        {"header": {"name": "x-tenant", "exact": f"tenant-{i}"}}
        for i in range(RULES)]}
    release["name"] = release["salt"] = "large-2"
    release["priority"] = 1
    took = grayd.change("/v1/apply", grayd.apply([release]))
    print(f"publish_100k_rules_ms {took:.0f} ms", flush=True)
    took = []
    for i in range(5):
        took.append(grayd.change("/v1/releases/large-2/set-weight",
                                 {"weight": 60 + i}))
    took.sort()
    print(f"verb_100k_rules_ms {took[2]:.0f} ms")
    took = [grayd.change("/v1/releases/large-2/kill", {"reason": "r"})]
    print(f"kill_100k_rules_ms {took[0]:.1f} ms", flush=True)


def main():
    bench = gateway.Bench(sys.argv[1])
    grayd = Grayd(bench)
    try:
        documents = json.loads(gateway.documents(bench.v1, bench.v2,
                                                 "monotonic"))
        documents.append({"kind": "List", "name": "testers", "ids": ["a"]})
        grayd.ask("POST", "/v1/apply", grayd.apply(documents))
        documents[2] = f"127.0.0.1:{bench.v1}"
        start_nginx(bench, grayd)
        changes(grayd, documents)
        reads(grayd)
        watch(grayd)
        large(grayd, documents)
    finally:
        grayd.close()
        bench.close()


if __name__ == "__main__":
    main()
