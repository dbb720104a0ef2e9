# SPDX-License-Identifier: Apache-2.0
"""agent_case.py - a real `grayd --agent`, and a small server of the test's own.

Why: what an agent must withstand no real server sends: bundles that are torn,
forged, older, of another server; answers that never come.  The server here
speaks the protocol of docs/agent.md, holds polls as the real one does, and
says exactly what a test tells it to.  Policies are real ones, compiled by
`gray publish` into a folder of their own.
"""
import hashlib
import http.server
import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             "../../vectors"))
from hashing import SCOPE_KEY, siphash  # noqa: E402  its own computation

LIMIT_S = 60
STEP_S = 0.01  # of a bounded poll
TOKEN = "gray_agent_of_a_test"
SHOP = """
kind: Service
name: cart
baseline: {version: v1}
versions:
  v1: {endpoints: ["127.0.0.1:%(v1)d"]}
  v2: {endpoints: ["127.0.0.1:%(v2)d"]}
---
kind: Release
name: cart-2
services: [{service: cart, version: v2}]
unit: {cookie: uid}
admission: {share: %(share)s, allow: [{list: testers}]}
---
kind: List
name: testers
ids: [alice]
"""


def wait_until(what, seen, limit=LIMIT_S):
    """Polls, bounded, until `seen()` is true; returns that."""
    end = time.monotonic() + limit
    while True:
        value = seen()
        if value:
            return value
        assert time.monotonic() < end, "never: " + what
        time.sleep(STEP_S)


def build_folder():
    return os.path.abspath(sys.argv[1])


def hash_scope(release):
    """The scope of a release, as bundles have it."""
    return f"{siphash(release.encode(), SCOPE_KEY) or 1:016x}"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Source:
    """Files of a bundle, made by `gray publish`."""

    def __init__(self, build):
        self.gray = os.path.join(build, "bin/gray")
        self.folder = tempfile.mkdtemp(prefix="agent-source-", dir="/dev/shm")
        self.runtime = os.path.join(self.folder, "run")

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def publish(self, text, *more):
        path = os.path.join(self.folder, "documents.yaml")
        with open(path, "w") as f:
            f.write(text)
        done = subprocess.run([self.gray, "publish", "-f", path, "--runtime",
                               self.runtime, *more], capture_output=True,
                              text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.files()

    def read(self, name):
        with open(os.path.join(self.runtime, name), "rb") as f:
            return f.read()

    def files(self):
        lists = os.path.join(self.runtime, "lists")
        return {"policy": self.read("policy.snap"),
                "fleet": self.read("fleet.snap"), "keys": self.read("keys"),
                "lists": {n: self.read("lists/" + n)
                          for n in sorted(os.listdir(lists))}}

    def revision(self):
        out = subprocess.run([self.gray, "status", "--runtime", self.runtime,
                              "-o", "json"], capture_output=True, text=True)
        return json.loads(out.stdout)["revision"]


class Signer:
    def __init__(self, build, name="one"):
        self.program = os.path.join(build, "tests/control/agent/agent_signer")
        self.folder = tempfile.mkdtemp(prefix="agent-signer-", dir="/dev/shm")
        self.origin = "test.example/" + name
        self.key = self.run("key").strip()

    def run(self, what, text=""):
        done = subprocess.run([self.program, self.folder, self.origin, what],
                              input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def sign(self, manifest, subject="bundle"):
        return self.run(subject, json.dumps(
            manifest, sort_keys=True, separators=(",", ":")) + "\n").encode()

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = LIMIT_S

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", kind="application/json", **headers):
        self.send_response(status)
        if status != 304:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if status != 304:
            self.wfile.write(body)

    def handle(self):
        try:
            super().handle()
        except OSError:
            pass  # it left

    def do_GET(self):
        self.server.case.get(self)

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        self.server.case.post(self, json.loads(self.rfile.read(length)))


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def get_request(self):
        connection, _ = super().get_request()
        self.case.came.append(time.monotonic())
        self.case.connections.append(connection)
        return connection, ("host", 0)

    def handle_error(self, *_):
        pass


class Server:
    """The test's own server; everything that it says can be said otherwise."""

    def __init__(self, build, signer, name="server-1"):
        self.build, self.signer, self.name = build, signer, name
        self.folder = tempfile.mkdtemp(prefix="agent-server-", dir="/dev/shm")
        self.path = os.path.join(self.folder, "socket")
        self.lock = threading.Condition()
        self.note, self.sequence, self.epoch = None, 0, 0
        self.files, self.words = None, {}
        self.blobs = {}
        self.reports, self.polls, self.asked = [], [], []
        self.records, self.journal = [], None
        self.came, self.connections = [], []
        self.lease_ms, self.spread_ms = 10000, 100
        self.tamper = None        # bytes of a note -> other bytes
        self.tamper_blob = None   # (hash, bytes) -> other bytes
        self.ahead_ms = 0         # its clock
        self.refuse = None        # (status, headers) of every answer
        self.zombies = 0          # polls of before this one are never answered
        self.silent = False       # nothing is answered any more
        self.bytes_s = 0          # of a blob; 0: at once
        self.grant = lambda report: \
            self.lease_ms if report["epoch"] >= self.epoch else 0
        self.server = None

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.server = UnixServer(self.path, Handler)
        self.server.case = self
        threading.Thread(target=self.server.serve_forever,
                         kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self):
        """Nobody listens any more, and what was under way is cut."""
        if self.server is None:
            return
        self.server.shutdown()
        self.server.server_close()
        self.server = None
        os.unlink(self.path)
        with self.lock:
            self.lock.notify_all()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.connections.clear()

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- what is said -------------------------------------------------------

    def manifest(self, **more):
        files = self.files
        blob = lambda data: {"sha256": sha256(data), "size": len(data)}
        said = {"bundle": 1, "server": self.name, "sequence": self.sequence,
                "revision": self.revision, "epoch": self.epoch,
                "effectiveAt": 0, "maxSkewMs": 250,
                "policy": blob(files["policy"]), "fleet": blob(files["fleet"]),
                "keys": blob(files["keys"]),
                "lists": [{"name": n, **blob(d)}
                          for n, d in files["lists"].items()],
                "words": [{"scope": s, "word": w, "epoch": e}
                          for s, (w, e) in self.words.items()]}
        return {**said, **more}

    def say(self, files=None, revision=None, words=None, **more):
        """The next bundle."""
        with self.lock:
            self.sequence = more.pop("sequence", self.sequence + 1)
            if files is not None:
                self.files, self.revision = files, revision
                for data in (files["policy"], files["fleet"], files["keys"],
                             *files["lists"].values()):
                    self.blobs[sha256(data)] = data
            for scope, word in (words or {}).items():
                self.epoch = self.sequence
                self.words[scope] = (word, self.epoch)
            self.note = self.signer.sign(self.manifest(**more))
            self.lock.notify_all()
        return self.sequence

    # ---- what is asked ------------------------------------------------------

    def turned_away(self, handler):
        if handler.headers.get("Authorization") != "Bearer " + TOKEN:
            handler.answer(401, b'{"detail":"who are you?"}')
            return True
        if self.refuse is not None:
            status, headers = self.refuse
            handler.answer(status, b'{"detail":"not now"}', **headers)
            return True
        return False

    def get(self, handler):
        path, _, query = handler.path.partition("?")
        self.asked.append(path)
        if self.turned_away(handler):
            return
        if path == "/v1/bundle":
            self.poll(handler, dict(q.split("=") for q in query.split("&")))
        elif path.startswith("/v1/blobs/"):
            name = path.rsplit("/", 1)[1]
            data = self.blobs.get(name)
            if data is None:
                handler.answer(404, b'{"detail":"no such file"}')
                return
            if self.tamper_blob is not None:
                data = self.tamper_blob(name, data)
            if self.bytes_s == 0:
                handler.answer(200, data, "application/octet-stream")
                return
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            apart_s = 1 / self.bytes_s  # it is the link that is slow
            for at in range(len(data)):
                handler.wfile.write(data[at:at + 1])
                time.sleep(apart_s)
        else:
            handler.answer(404, b'{"detail":"no such place"}')

    def poll(self, handler, query):
        known = (handler.headers.get("If-None-Match") or '""').strip('"')
        self.polls.append((known, int(query["wait"])))
        number = len(self.polls)
        end = time.monotonic() + int(query["wait"]) * 0.75
        with self.lock:
            while self.server is not None and \
                    (self.silent or number <= self.zombies or
                     (str(self.sequence) == known and
                      time.monotonic() < end)):
                self.lock.wait(0.1)
            note, sequence = self.note, self.sequence
        if str(sequence) == known:
            handler.answer(304)
            return
        if self.tamper is not None:
            note = self.tamper(note)
        handler.answer(200, note, "text/plain", ETag=f'"{sequence}"')

    def post(self, handler, body):
        self.asked.append(handler.path)
        while self.silent and self.server is not None:
            time.sleep(STEP_S)
        if self.turned_away(handler):
            return
        if handler.path.endswith("/report"):
            lease = self.grant(body)
            self.reports.append(body)
            answer = {"leaseMs": lease, "sequence": self.sequence,
                      "spreadMs": self.spread_ms,
                      "admissionsThrough": len(self.records),
                      "clockMs": int(time.time() * 1000) + self.ahead_ms}
        else:
            if body["journal"] != self.journal:
                self.journal, self.records = body["journal"], []
            if body["after"] > len(self.records):
                handler.answer(409, json.dumps(
                    {"code": "gap", "through": len(self.records)}).encode())
                return
            fresh = body["records"][len(self.records) - body["after"]:]
            self.records += fresh
            answer = {"through": len(self.records)}
        handler.answer(200, json.dumps(answer).encode())

    def last(self):
        return self.reports[-1] if self.reports else {}


class Agent:
    def __init__(self, build, server, name="h1"):
        self.build, self.server, self.name = build, server, name
        self.program = os.path.join(build,
                                    "tests/control/grayd/grayd_failing")
        self.gray = os.path.join(build, "bin/gray")
        self.folder = tempfile.mkdtemp(prefix="agent-", dir="/dev/shm")
        self.state = self.folder + "/state"
        self.runtime = self.folder + "/run"
        self.token = self.folder + "/token"
        with open(self.token, "w") as f:
            f.write(TOKEN + "\n")
        os.chmod(self.token, 0o600)
        self.process = None

    def errors(self):
        path = self.folder + "/stderr"
        return open(path, errors="replace").read() if os.path.exists(path) \
            else ""

    def arm(self, point=None):
        path = self.folder + "/failpoint"
        if point is None:
            if os.path.exists(path):
                os.unlink(path)
            return
        with open(path + ".new", "w") as f:
            f.write(point)
        os.rename(path + ".new", path)

    def passed(self):
        path = self.folder + "/passed"
        return open(path).read().split() if os.path.exists(path) else []

    def spawn(self, *more, key=None, url=None):
        env = dict(os.environ, GRAYD_FAILPOINT=self.folder + "/failpoint",
                   GRAYD_FAILPOINT_LOG=self.folder + "/passed")
        self.process = subprocess.Popen(
            [self.program, "--agent", "--state", self.state, "--runtime",
             self.runtime, "--server", url or "unix:" + self.server.path,
             "--server-key", key or self.server.signer.key, "--token-file",
             self.token, "--host-name", self.name, *more],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=open(self.folder + "/stderr", "ab"), env=env)

    def start(self, *more, **others):
        self.spawn(*more, **others)
        line = self.process.stdout.readline().decode()
        if not line.startswith("grayd agent ready"):
            self.code = self.process.wait(LIMIT_S)
            return False
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
        code = self.process.wait(LIMIT_S)
        self.process.stdout.close()
        self.process = None
        assert code == -signal.SIGKILL, (code, self.errors()[-2000:])

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- looking ------------------------------------------------------------

    def status(self):
        """What `gray status` says of the folder; None: there is none yet."""
        out = subprocess.run([self.gray, "status", "--runtime", self.runtime,
                              "-o", "json"], capture_output=True, text=True)
        return json.loads(out.stdout) if out.returncode == 0 else None

    def revision(self):
        status = self.status()
        return status["revision"] if status else 0

    def word(self, release="cart-2"):
        status = self.status()
        rows = {r["release"]: r for r in status["releases"]} if status else {}
        return rows.get(release, {}).get("word")

    def told(self):
        """The file for people."""
        try:
            with open(self.runtime + "/agent") as f:
                return json.load(f)
        except (OSError, ValueError):
            return {}

    def host(self, *words):
        return subprocess.run([self.gray, *words, "--runtime", self.runtime],
                              capture_output=True, text=True)

    def blobs(self):
        folder = self.state + "/agent/blobs"
        return sorted(os.listdir(folder)) if os.path.exists(folder) else []


class Case:
    """One signer, source, server and agent; use with `with`."""

    def __init__(self, build=None):
        self.build = build or build_folder()

    def __enter__(self):
        self.signer = Signer(self.build)
        self.source = Source(self.build)
        self.server = Server(self.build, self.signer).start()
        self.agent = Agent(self.build, self.server)
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.agent.errors()[-4000:])
        for part in (self.agent, self.server, self.source, self.signer):
            part.close()

    def shop(self, share="10", **ports):
        """Compiles a shop; the files of a bundle and their revision."""
        text = SHOP % {"share": share, "v1": ports.get("v1", 9201),
                       "v2": ports.get("v2", 9202)}
        files = self.source.publish(text)
        return files, self.source.revision()

    def say_shop(self, share="10", **more):
        files, revision = self.shop(share)
        return self.server.say(files, revision, **more)

    def in_force(self, sequence):
        """Waits until the agent says that it has this bundle."""
        wait_until(f"bundle {sequence} is in force",
                   lambda: self.agent.told().get("sequence") == sequence)

    def reported(self, what, seen):
        """Waits for a report of which this is true."""
        return wait_until(what, lambda: next(
            (r for r in reversed(self.server.reports) if seen(r)), None))
