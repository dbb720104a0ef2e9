#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""floods.py - too much of everything, and others are answered meanwhile.

Why: whoever reaches the port can send bytes; that must cost grayd little and
nobody else anything. The transport alone is judged in tests/control/rest; here
are the store, the audit and the policy behind it: a real change, and a read of
it, go through while the flood lasts, and the memory of the whole is bounded.

usage: floods.py BUILD [seed]
"""
import json
import os
import random
import resource
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import LIMIT_S, SHOP, Dead, Grayd, wait_until  # noqa: E402

MIB = 1 << 20
BODY = 200 * MIB
SLOW = 10000
MUTATIONS = 3000
DENIED = 5000
GROWN_MAX = 512 * MIB  # 10,000 connections at 40 KiB, and room for a body
SEEDS = [
    b"GET /v1/releases/cart-2 HTTP/1.1\r\nHost: localhost\r\n"
    b"If-None-Match: \"3\"\r\n\r\n",
    b"GET /v1/documents?kind=List&limit=3&after=List/testers HTTP/1.1\r\n"
    b"Host: localhost\r\n\r\n",
    b"GET /v1/changes?since=2h HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"DELETE /v1/documents/List/nobody?reason=x HTTP/1.1\r\n"
    b"Host: localhost\r\nIf-Match: \"1\"\r\n\r\n",
]
BODIES = [
    ("/v1/apply?dryRun=true", {"files": [{"name": "s.yaml", "text": SHOP}],
                               "reason": "r", "allowDrop": 0}),
    ("/v1/plan", {"files": [{"name": "s.yaml", "text": SHOP}]}),
    ("/v1/releases/cart-2/set-weight?dryRun=true", {"weight": 12.5,
                                                    "reason": "r"}),
    ("/v1/releases/cart-2/undo?dryRun=true", {"toRevision": 3,
                                              "reason": "r"}),
    ("/v1/lists/testers/ids?dryRun=true", {"add": ["a"], "remove": ["b"]}),
    ("/v1/explain", {"requests": [{"path": "/cart", "headers": {
        "cookie": "uid=7"}}], "revision": 2}),
    ("/v1/tokens?dryRun=true", {"name": "n", "role": "viewer",
                                "scopes": ["a"], "ttlSeconds": 60}),
]


def rss(grayd):
    with open(f"/proc/{grayd.process.pid}/status") as f:
        for line in f:
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def connect(grayd, local=True):
    if local:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(LIMIT_S)
        s.connect(grayd.socket)
        return s
    return socket.create_connection(("127.0.0.1", grayd.port), LIMIT_S)


class Others:
    """Somebody who works while the flood lasts: each call is answered."""

    def __init__(self, grayd, what):
        self.grayd, self.what = grayd, what
        self.took = {"GET": [], "POST": []}
        self.stop = threading.Event()
        self.failed = None
        self.thread = threading.Thread(target=self.work)

    def work(self):
        number = 0
        while not self.stop.is_set():
            number += 1
            for method, path, body in (
                    ("GET", "/v1/releases/cart-2", None),
                    ("POST", "/v1/lists/testers/ids",
                     {"add": [f"id{number}"]})):
                begun = time.monotonic()
                try:
                    reply = self.grayd.ask(method, path, body)
                except Dead as dead:
                    self.failed = str(dead)
                    return
                if reply.status != 200:
                    self.failed = reply.text
                    return
                self.took[method].append((time.monotonic() - begun) * 1000)
            self.stop.wait(0.01)

    def __enter__(self):
        self.before = rss(self.grayd)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        assert self.failed is None, (self.what, self.failed)
        grown = rss(self.grayd) - self.before
        out = []
        for method, took in self.took.items():
            took.sort()
            assert took, self.what
            out.append(f"{method} {len(took)} answered, "
                       f"{took[len(took) // 2]:.1f} ms, "
                       f"the slowest {took[-1]:.1f} ms")
        print(f"{self.what}: {'; '.join(out)}; memory {grown / MIB:+.1f} MiB",
              flush=True)
        assert grown < GROWN_MAX, grown


def answer(s):
    """The status line's number; None: closed without one."""
    data = b""
    try:
        while b"\r\n" not in data:
            more = s.recv(65536)
            if not more:
                return None
            data += more
    except (ConnectionResetError, TimeoutError):
        return None
    assert data.startswith(b"HTTP/1."), data
    return int(data.split(b" ")[1])


def large(grayd):
    """200 MB, said and sent, by somebody known and by nobody."""
    piece = b" " * MIB
    with Others(grayd, "200 MB bodies"):
        for path in ("/v1/apply", "/v1/releases/cart-2/start"):
            for token, status in ((None, 413), ("gray_x", 401)):
                s = connect(grayd)
                auth = f"Authorization: Bearer {token}\r\n" if token else ""
                s.sendall((f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{auth}"
                           f"Content-Type: application/json\r\n"
                           f"Content-Length: {BODY}\r\n\r\n").encode())
                sent = 0
                try:
                    while sent < BODY:
                        s.sendall(piece)
                        sent += len(piece)
                except OSError:
                    pass  # refused early
                assert answer(s) == status, path
                assert sent < BODY, "the whole body was taken"
                s.close()
        # In chunks nobody says how much comes.
        s = connect(grayd)
        s.sendall(b"POST /v1/apply HTTP/1.1\r\nHost: localhost\r\n"
                  b"Content-Type: application/json\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n")
        sent = 0
        try:
            while sent < BODY:
                s.sendall(b"100000\r\n" + piece + b"\r\n")
                sent += len(piece)
        except OSError:
            pass
        assert answer(s) in (413, None)
        assert sent < BODY, sent  # 64 MiB are taken, the rest is thrown away
        s.close()


def slow(grayd):
    """Ten thousand that say a part and wait."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(SLOW, most - 1000)
    held = []
    with Others(grayd, f"{count} slow connections"):
        for number in range(count):
            s = connect(grayd, local=False)
            part = (b"", b"POST /v1/apply HTTP/1.1\r\nHost: local",
                    b"GET /v1/releases HTTP/1.1\r\nAuthorization: Bearer ")
            if part[number % 3]:
                s.sendall(part[number % 3])
            held.append(s)
        for s in held:
            s.close()


def mutated(dice, auth):
    """A request that was good once."""
    if dice.random() < 0.4:
        data = bytearray(dice.choice(SEEDS).replace(b"\r\n", auth, 1))
    else:
        path, body = dice.choice(BODIES)
        text = bytearray(json.dumps(body).encode())
        for _ in range(dice.randint(0, 4)):
            break_bytes(dice, text)
        length = len(text) if dice.random() < 0.9 else \
            dice.choice([0, -1, len(text) + 5, 1 << 40, 1 << 70])
        data = bytearray(
            f"POST {path} HTTP/1.1".encode() + auth + f"Host: localhost\r\n"
            f"Content-Type: application/json\r\n"
            f"Content-Length: {length}\r\n\r\n".encode() + text)
        if dice.random() < 0.7:
            return bytes(data)
    for _ in range(dice.randint(1, 5)):
        break_bytes(dice, data)
    return bytes(data)


def break_bytes(dice, data):
    at = dice.randrange(len(data) + 1)
    kind = dice.randrange(6)
    if kind == 0:
        data[at:at + 1] = bytes([dice.randrange(256)])
    elif kind == 1:
        del data[at:at + dice.randint(1, 30)]
    elif kind == 2:
        data[at:at] = data[max(0, at - 20):at] * dice.randint(1, 50)
    elif kind == 3:
        data[at:at] = dice.choice([
            b"\0", b"\r\n", b"[" * 100, b"{\"a\":" * 40, b"\xff\xfe",
            b"\\ud800", b"1e999", b"-", b"99999999999999999999", b"%00",
            b"\r\nContent-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n",
            b"null", b"\"" * 3, b"../" * 20, b": x\r\n" * 50])
    elif kind == 4:
        data[at:at] = bytes(dice.randrange(256)
                            for _ in range(dice.randint(1, 40)))
    elif data:
        other = dice.randrange(len(data))
        data[at:at] = data[other:other + 30]


def malformed(grayd, seed):
    """Nothing crashes; what is answered is HTTP, and is no 500."""
    print("seed", seed, flush=True)
    dice = random.Random(seed)
    seen = {}
    with open(grayd.state + "/first-token", "rb") as f:
        auth = b"\r\nAuthorization: Bearer " + f.read().strip() + b"\r\n"
    asked = []
    with Others(grayd, f"{MUTATIONS} mutated requests"):
        for _ in range(MUTATIONS):
            data = mutated(dice, auth)
            s = connect(grayd, local=dice.random() < 0.5)
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            asked.append((s, data))
        # What is half said is closed when grayd is tired of waiting.
        for s, data in asked:
            status = answer(s)
            s.close()
            seen[status] = seen.get(status, 0) + 1
            assert status != 500, data
            assert grayd.process.poll() is None, data
    print({str(k): v for k, v in sorted(seen.items(), key=str)})
    assert seen.get(200) and seen.get(400), seen


def audited(grayd, **wanted):
    with grayd.database() as db:
        texts = [json.loads(t) for t, in db.execute("SELECT text FROM audit")]
    return [r for r in texts if all(r.get(k) == v for k, v in wanted.items())]


def denied(grayd):
    """A thousand a second and more: all are counted, most one by one."""
    before = len(audited(grayd, outcome="denied", action="releases"))
    lost = sum(r["after"]["attempts"] for r in audited(grayd, action="flood"))
    request = (b"GET /v1/releases HTTP/1.1\r\nHost: localhost\r\n"
               b"Authorization: Bearer gray_x\r\n\r\n")

    def knock(number):
        s = connect(grayd, local=False)
        for _ in range(number):
            s.sendall(request)
            data = b""
            while b"\r\n\r\n" not in data:
                more = s.recv(65536)
                assert more
                data += more
            assert data.startswith(b"HTTP/1.1 401"), data
            want = int(data.lower().split(b"content-length: ")[1]
                       .split(b"\r\n")[0])
            body = data.split(b"\r\n\r\n", 1)[1]
            while len(body) < want:
                body += s.recv(65536)
        s.close()

    with Others(grayd, f"{DENIED} denied attempts"):
        begun = time.monotonic()
        threads = [threading.Thread(target=knock, args=(DENIED // 4,))
                   for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - begun

    def counted():
        now = len(audited(grayd, outcome="denied", action="releases"))
        gone = sum(r["after"]["attempts"]
                   for r in audited(grayd, action="flood"))
        return now - before + gone - lost == DENIED
    wait_until("every attempt is in the audit", counted)
    print(f"{DENIED / took:.0f} a second, "
          f"{len(audited(grayd, action='flood'))} records of floods")


def main():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else \
        random.SystemRandom().randrange(1 << 32)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with Grayd(sys.argv[1]) as grayd:
        assert grayd.start(listen="127.0.0.1:0")
        assert grayd.apply(SHOP).status == 200
        assert grayd.verb("cart-2", "start").status == 200
        large(grayd)
        malformed(grayd, seed)
        denied(grayd)
        slow(grayd)
        assert grayd.ask("GET", "/v1/releases/cart-2").body["percent"] == 1
        added = grayd.ask("GET", "/v1/documents/List/testers")
        assert len(added.body["document"]["ids"]) > 10
        assert grayd.stop() == 0
        said = grayd.host("status")
        assert said.returncode == 0, said.stderr
        assert grayd.start()
        assert grayd.ask("GET", "/readyz").status == 200


if __name__ == "__main__":
    main()
