# SPDX-License-Identifier: Apache-2.0
"""grayd_case.py - a real grayd for each test, and gray run as a person does.

Why: what a command says, prints and returns hangs on what grayd really
answers, on its socket, its folder and its death; so nothing is played here
but the wire between the two, where it must break.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

(OK, REFUSED, USAGE, SYSTEM, NOT_FOUND, INCOMPLETE, DENIED, STALE,
 UNREACHABLE) = range(9)
LIMIT_S = 60
PROGRAMS = {}

SHOP = """
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
admission: {allow: [{list: testers}]}
strategy: {canary: {steps: [{setWeight: 1}, {pause: {}}, {setWeight: 10},
                            {pause: {}}, {setWeight: 50}]}}
---
kind: List
name: testers
ids: [alice]
---
kind: Lane
name: red
services: [cart]
rules: [{name: red, when: {header: {name: x-team, exact: red}}}]
"""


class Case(unittest.TestCase):
    listen = "none"
    options = ()

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="gray-remote-", dir="/dev/shm")
        self.state, self.runtime = self.dir + "/state", self.dir + "/run"
        self.socket = self.dir + "/grayd.sock"
        self.process = None
        self.port = 0
        self.addCleanup(self.clean)  # also when grayd does not start
        self.docs = self.write(SHOP)
        self.start()

    def clean(self):
        try:
            if self.process is not None:
                self.end(signal.SIGTERM)
        finally:
            if self.process is not None:
                self.process.kill()
                self.process.wait(LIMIT_S)
            shutil.rmtree(self.dir)

    def write(self, text, name="docs.yaml", mode=None):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        if mode is not None:
            os.chmod(path, mode)
        return path

    # ---- grayd ----

    def start(self):
        with open(self.dir + "/stderr", "ab") as errors:
            self.process = subprocess.Popen(
                [PROGRAMS["grayd"], "--state", self.state, "--runtime",
                 self.runtime, "--socket", self.socket, "--listen",
                 self.listen, *self.options], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=errors, text=True,
                env={**os.environ, "MALLOC_PERTURB_": "232"})
        line = self.process.stdout.readline()
        self.assertTrue(line.startswith("grayd ready"), line + self.errors())
        self.port = int(line.split("port ")[1].split(",")[0])

    def errors(self):
        with open(self.dir + "/stderr", encoding="utf-8",
                  errors="replace") as f:
            return f.read()

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait(LIMIT_S)
        self.process.stdout.close()
        self.process = None

    # ---- gray ----

    def env(self, **more):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith("GRAY_")}
        env.update(HOME=self.dir, GRAY_CONFIG=self.dir + "/contexts.json",
                   GRAY_SERVER="unix:" + self.socket)
        env.update(more)
        return {k: v for k, v in env.items() if v is not None}

    def gray(self, *words, code=OK, stdin=None, env=None):
        done = subprocess.run(
            [PROGRAMS["gray"], *words], input=stdin, capture_output=True,
            text=True, timeout=LIMIT_S, check=False,
            env=self.env(**(env or {})))
        self.assertEqual(
            done.returncode, code,
            f"gray {' '.join(words)}\n{done.stdout}\n{done.stderr}")
        return done

    def facts(self, *words, code=OK, stdin=None, env=None):
        return json.loads(self.gray(*words, "-o", "json", code=code,
                                    stdin=stdin, env=env).stdout)

    def apply(self, *more):
        return self.facts("apply", "-f", self.docs, *more)

    def state_of(self, name="cart-2"):
        return self.facts("status", name)["state"]

    def actions(self, word):
        """Records of the audit with this action."""
        return [r for r in self.facts("audit", "list", "-n", "1000")["records"]
                if r["action"] == word]

    def wait_until(self, what, seen):
        end = time.monotonic() + LIMIT_S
        while not seen():
            self.assertLess(time.monotonic(), end, "never: " + what)
            time.sleep(0.02)  # a bounded wait


def read_message(stream):
    """A head and a body with a Content-Length; None at the end."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = stream.recv(65536)
        if not piece:
            return None
        head += piece
    head, body = head.split(b"\r\n\r\n", 1)
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        piece = stream.recv(65536)
        if not piece:
            return None
        body += piece
    return head + b"\r\n\r\n" + body


class Wire:
    """A socket before grayd's. Each connection carries one call; the answers
    to the next `drop` calls that are no GET are lost after grayd gave them.
    With `answer` there is no grayd behind it: that is sent instead."""

    def __init__(self, path, behind=None, answer=None):
        self.path, self.behind, self.answer = path, behind, answer
        self.drop = 0
        self.calls = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(16)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            with stream:
                try:
                    self.one(stream)
                except OSError:
                    pass

    def one(self, stream):
        call = read_message(stream)
        if call is None:
            return
        first = call.split(b"\r\n", 1)[0].decode()
        key = [l.split(": ", 1)[1] for l in call.decode("latin-1").split("\r\n")
               if l.lower().startswith("idempotency-key: ")]
        self.calls.append((first.rsplit(" ", 1)[0], key[0] if key else None))
        if self.answer is not None:
            for piece in self.answer:
                stream.sendall(piece)
            return
        with socket.socket(socket.AF_UNIX) as grayd:
            grayd.settimeout(LIMIT_S)
            grayd.connect(self.behind)
            grayd.sendall(call)
            answer = read_message(grayd)
        if self.drop > 0 and not first.startswith("GET"):
            self.drop -= 1
            return
        stream.sendall(answer)

    def close(self):
        if self.thread is None:
            return
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(LIMIT_S)
        self.thread = None
        self.listener.close()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def changes(self):
        return [c for c in self.calls if not c[0].startswith("GET")]


def main():
    PROGRAMS["gray"], PROGRAMS["grayd"] = map(os.path.abspath, sys.argv[1:3])
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
