# SPDX-License-Identifier: Apache-2.0
"""harness.py - a real grayd on folders of its own, asked through its socket.

Why: what a control plane must keep true shows only from outside: in what it
answers, in its store after a kill, in the folder that readers map. The grayd
here is the product's, built with named places to die at (failpoint.h) and with
every reply held against its schema.
"""
import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

LIMIT_S = 60  # bounds every wait
STEP_S = 0.01  # of a bounded poll
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


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=LIMIT_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT_S)
        self.sock.connect(self.path)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers = status, headers
        self.text = body.decode("utf-8", "replace")

    @property
    def body(self):
        return json.loads(self.text)


class Dead(Exception):
    """grayd ended while it was asked."""


class Grayd:
    """One grayd with state and runtime folders; use with `with`."""

    def __init__(self, build, gray=None):
        self.program = os.path.join(build, "tests/control/grayd/grayd_failing")
        self.gray = gray or os.path.join(build, "bin/gray")
        self.folder = tempfile.mkdtemp(prefix="grayd-", dir="/dev/shm")
        self.state = self.folder + "/state"
        self.runtime = self.folder + "/run"
        self.socket = self.folder + "/grayd.sock"
        self.process = None
        self.port = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.errors()[-4000:])
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def errors(self):
        path = self.folder + "/stderr"
        return open(path, errors="replace").read() if os.path.exists(path) \
            else ""

    def arm(self, point=None):
        """Dies at this named point from now on; None: nowhere."""
        path = self.folder + "/failpoint"
        if point is None:
            if os.path.exists(path):
                os.unlink(path)
            return
        with open(path + ".new", "w") as f:
            f.write(point)
        os.rename(path + ".new", path)

    def spawn(self, *options, listen="none"):
        env = dict(os.environ, GRAYD_FAILPOINT=self.folder + "/failpoint",
                   GRAYD_FAILPOINT_LOG=self.folder + "/passed")
        self.process = subprocess.Popen(
            [self.program, "--state", self.state, "--runtime", self.runtime,
             "--socket", self.socket, "--listen", listen, *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=open(self.folder + "/stderr", "ab"), env=env)

    def start(self, *options, listen="none"):
        """Starts, and waits until it answers. False when it died on its way."""
        self.spawn(*options, listen=listen)
        line = self.process.stdout.readline().decode()
        if not line.startswith("grayd ready"):
            self.process.wait(LIMIT_S)
            return False
        self.port = int(line.split("port ")[1].split(",")[0])
        return True

    def stop(self):
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(LIMIT_S)
        self.process.stdout.close()
        self.process = None
        assert "Sanitizer" not in self.errors(), self.errors()[-3000:]
        return code

    def kill(self):
        self.process.kill()
        self.process.wait(LIMIT_S)
        self.process.stdout.close()
        self.process = None

    def died(self):
        """Waits for a kill by a failpoint."""
        code = self.process.wait(LIMIT_S)
        self.process.stdout.close()
        self.process = None
        assert code == -signal.SIGKILL, (code, self.errors()[-2000:])

    # ---- asking ----

    def ask(self, method, path, body=None, **headers):
        connection = Connection(self.socket)
        head = {k.replace("_", "-"): v for k, v in headers.items()}
        text = None
        if body is not None:
            text = json.dumps(body)
            head["Content-Type"] = "application/json"
        try:
            try:
                connection.request(method, path, text, head)
            except BrokenPipeError:
                pass  # refused before the body was sent: the answer is there
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise Dead(str(error)) from error
        finally:
            connection.close()

    def apply(self, text, **more):
        headers = more.pop("headers", {})
        query = "?dryRun=true" if more.pop("dry_run", False) else ""
        return self.ask("POST", "/v1/apply" + query, {
            "files": [{"name": "shop.yaml", "text": text}], **more}, **headers)

    def verb(self, release, verb, body=None, **headers):
        """Asked again while marks are still being taken back."""
        end = time.monotonic() + LIMIT_S
        while True:
            reply = self.ask("POST", f"/v1/releases/{release}/{verb}",
                             body or {}, **headers)
            if reply.status != 409 or \
                    reply.body["code"] != "still-revoking":
                return reply
            assert time.monotonic() < end, reply.text
            time.sleep(STEP_S)

    # ---- looking from outside ----

    def database(self):
        """The store's own tables, read with another program's eyes."""
        return sqlite3.connect(f"file:{self.state}/store/store.db?mode=ro",
                               uri=True, timeout=LIMIT_S)

    def in_folder(self):
        """What `gray status` says of the runtime folder: {release: row}."""
        out = subprocess.run([self.gray, "status", "--runtime", self.runtime,
                              "-o", "json"], capture_output=True, text=True)
        assert out.returncode == 0, out.stderr
        status = json.loads(out.stdout)
        return {row["release"]: row for row in status["releases"]}

    def host(self, *words):
        return subprocess.run([self.gray, *words, "--runtime", self.runtime],
                              capture_output=True, text=True)


class Told:
    """A program of somebody's with libgray: says whether units are in. Asked by
    another word than "user": of the release `other`."""

    def __init__(self, build, grayd, release, name="told", other=None):
        self.path = f"{grayd.folder}/{name}"
        self.process = subprocess.Popen(
            [os.path.join(build, "tests/story/told"), self.path,
             grayd.runtime, release, other or release])
        wait_until("told listens", lambda: os.path.exists(self.path))
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LIMIT_S)
        self.socket.connect(self.path)
        self.lines = self.socket.makefile("rw")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()
        self.process.kill()
        self.process.wait(LIMIT_S)
        os.unlink(self.path)

    def ask(self, unit, word="user"):
        """A request of this unit to the target "/WORD"."""
        self.lines.write(f"{word} {unit}\n")
        self.lines.flush()
        return self.lines.readline().strip()

    def news(self, units, word="user"):
        """Those of them that are in. Asked twice: an application waits for
        grayd to make its mark, and not for ever."""
        for unit in units:
            self.ask(unit, word)
        return {unit for unit in units if self.ask(unit, word) == "new"}

    def signal(self, number):
        self.process.send_signal(number)


def marks_of(grayd, release):
    return grayd.ask("GET", f"/v1/releases/{release}").body["marks"]


def taken_back(grayd, release):
    """Waits until no mark is being revoked."""
    wait_until("all are taken back",
               lambda: marks_of(grayd, release)["queued"] == 0)


def in_force(grayd, told):
    """Until the library has what grayd says: it is asked, so it looks."""
    def look():
        told.ask("0")
        return all(r["acknowledged"] for r in
                   grayd.ask("GET", "/v1/status").body["readers"])
    wait_until("every reader has it", look)


def wait_until(what, seen, limit=LIMIT_S):
    """Polls, bounded, until `seen()` is true."""
    end = time.monotonic() + limit
    while not seen():
        assert time.monotonic() < end, "never: " + what
        time.sleep(STEP_S)


def chain_of(records):
    """h = SHA-256(0x00 | h' | record), as the manual says; an own computation.
    Yields (sequence, record, stored hash, computed hash)."""
    before = bytes(32)
    for sequence, text, stored in records:
        raw = text.encode() if isinstance(text, str) else text
        before = hashlib.sha256(b"\0" + before + raw).digest()
        yield sequence, json.loads(raw), stored, before


def in_own_mounts():
    """Runs this program again where what it mounts is seen by nobody else, and
    ends with its exit code; returns in that second run."""
    if os.environ.get("GRAYD_OWN_MOUNTS") == "1":
        return
    enter = ["unshare", "-m", "--propagation", "private"]
    # In a chroot the root is no mount, and there is nothing to make private.
    if subprocess.run(enter + ["true"], stderr=subprocess.DEVNULL).returncode:
        enter[-1] = "unchanged"
    done = subprocess.run(enter + [sys.executable] + sys.argv,
                          env=dict(os.environ, GRAYD_OWN_MOUNTS="1"),
                          timeout=LIMIT_S * 5)
    sys.exit(done.returncode)
