#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""requests.py - requests as the wild has them, and a client that sends bytes.

Why: identity must hold for what real clients send (odd case and order of
headers, repeated headers, strange cookies, undecoded paths, bodies), so they
are made here byte by byte from a seed.  A request knows two forms: `clean`,
and `sent` with forged colours put in; stripping must turn one into the other.
"""
import random
import socket
import threading

NAMES = ["Accept", "accept-language", "User-Agent", "X-Real-IP", "X-A", "x-b",
         "X-Forwarded-For", "REFERER", "x-request-id", "traceparent", "b3",
         "X-Gr", "X-Gray", "gray", "x-tag", "Origin", "DNT", "x-grey-lane",
         "Cache-Control", "Pragma", "Via", "X_Under_Score"]
VALUES = ["", "1", "text/html,*/*;q=0.8", "a b\tc", "gray.lane=red", "caf\u00e9",
          "\"quoted, value\"", "x" * 300, "00-abc-def-01", "=;,", "a=b; c=d"]
PATHS = ["/", "/a", "/a/b/../c", "//a//b", "/%61%2e%2E/x", "/a?b=c&d", "/?",
         "/a;b=c", "/cart/7?uid=3", "/\u00e9", "/" + "p" * 500]
# Names that no client may send past an entrance; values that would matter.
FORGED_HEADERS = [
    ("X-Gray-Lane", "red"), ("x-gray-arms", "gray-2"), ("X-GRAY-CTX", "v1.a.b.c"),
    ("x-gray-anything", "1"), ("X-Gray-Shadow", "1"), ("x-mse-tag", "red"),
    ("X-Higress-Tag", "red"), ("dubbo-tag", "red"), ("service-lane", "red"),
    ("x-opensergo-traffic", "red"), ("N-D-Version", "v2"),
    ("x-lane-code", "red"), ("X-SC-LB-Hint", "red")]
FORGED_MEMBERS = ["gray.lane=red", "gray.arms=gray-2", "gray.class=shadow"]
FORGED_COOKIES = ["gray=v1.k.p.m", "__Host-gray=v1.k.p.m", "gray="]


class Request:
    def __init__(self, chance, number):
        self.key = f"s{number}"
        # nginx buffers a chunked body and frames it by its length
        self.method = chance.choice(["GET"] * 6 + ["POST", "PUT", "DELETE"])
        self.target = chance.choice(PATHS)
        if chance.random() < 0.01:
            self.target = "http://absolute.example" + self.target
        self.uid = chance.randrange(1, 10 ** 6) if chance.random() < 0.9 \
            else None
        self.body = b""
        self.chunked = False
        if self.method in ("POST", "PUT"):
            self.body = bytes(chance.randrange(256)
                              for _ in range(chance.randrange(1200)))
            self.chunked = chance.random() < 0.2
        self.clean = self.headers(chance)
        self.sent = list(self.clean)
        self.forged = chance.random() < 0.25
        if self.forged:
            self.forge(chance)

    def headers(self, chance):
        lines = [(chance.choice(NAMES), chance.choice(VALUES))
                 for _ in range(chance.choice([0, 1, 3, 8, 17, 20, 21, 40]))]
        if chance.random() < 0.3:
            lines.append(("Baggage", chance.choice(
                ["a=1", "a=1,b=2;p=q", "user=%20x, b=2", "gray=1"])))
        self.cookies = [chance.choice(["a=1", "b", "theme=dark", "grays=1",
                                       "xgray=1", "=", "q=\"1\""])
                        for _ in range(chance.randrange(4))]
        if self.uid is not None:
            self.cookies.insert(chance.randrange(len(self.cookies) + 1),
                                f"uid={self.uid}")
        if self.cookies:
            lines.append((chance.choice(["Cookie", "cookie"]),
                          "; ".join(self.cookies)))
        chance.shuffle(lines)
        lines.insert(chance.randrange(len(lines) + 1), ("X-Seq", self.key))
        lines.insert(chance.randrange(2), ("Host", "shop.example"))
        if self.chunked:
            lines.append(("Transfer-Encoding", "chunked"))
        elif self.body or self.method in ("POST", "PUT"):
            lines.append(("Content-Length", str(len(self.body))))
        return lines

    def forge(self, chance):
        for name, value in chance.sample(FORGED_HEADERS,
                                         chance.randrange(1, 4)):
            self.sent.insert(chance.randrange(len(self.sent) + 1),
                             (name, value))
        for i, (name, value) in enumerate(self.sent):
            if name == "Baggage" and chance.random() < 0.7:
                members = value.split(",")
                members.insert(chance.randrange(len(members) + 1),
                               chance.choice(FORGED_MEMBERS))
                self.sent[i] = (name, ",".join(members))
            if name.lower() == "cookie" and chance.random() < 0.7:
                cookies = list(self.cookies)
                cookies.insert(chance.randrange(len(cookies) + 1),
                               chance.choice(FORGED_COOKIES))
                self.sent[i] = (name, "; ".join(cookies))
        if not any(n == "Baggage" for n, _ in self.sent) and \
                chance.random() < 0.3:
            self.sent.append(("baggage", chance.choice(FORGED_MEMBERS)))

    def wire(self, lines):
        head = f"{self.method} {self.target} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in lines) + "\r\n"
        body = self.body
        if self.chunked:
            half = len(body) // 2
            body = b"".join(b"%x\r\n%s\r\n" % (len(part), part)
                            for part in (body[:half], body[half:]) if part) \
                + b"0\r\n\r\n"
        return head.encode("utf-8") + body


def make(count, seed):
    chance = random.Random(seed)
    return [Request(chance, number) for number in range(count)]


def read_answers(peer, count):
    """Status of each of `count` answers, all with Content-Length bodies."""
    statuses = []
    buffer = b""
    while len(statuses) < count:
        end = buffer.find(b"\r\n\r\n")
        if end >= 0:
            head = buffer[:end].lower()
            at = head.find(b"\r\ncontent-length:")
            length = int(head[at + 17:].split(b"\r\n")[0]) if at >= 0 else 0
            if len(buffer) >= end + 4 + length:
                statuses.append(int(head[9:12]))
                buffer = buffer[end + 4 + length:]
                continue
        more = peer.recv(1 << 18)
        if not more:
            raise ConnectionError(f"closed after {len(statuses)} answers, "
                                  f"the last {statuses[-1:]}")
        buffer += more
    return statuses


def send_all(port, wires, connections=4, batch=25):
    """Sends all, pipelined in batches; {status: how many}."""
    statuses = {}
    errors = []
    lock = threading.Lock()

    def work(mine):
        try:
            with socket.create_connection(("127.0.0.1", port),
                                          timeout=60) as peer:
                for at in range(0, len(mine), batch):
                    part = mine[at:at + batch]
                    peer.sendall(b"".join(part))
                    with lock:
                        for status in read_answers(peer, len(part)):
                            statuses[status] = statuses.get(status, 0) + 1
        except (OSError, ConnectionError) as error:
            errors.append(repr(error))

    threads = [threading.Thread(target=work, args=(wires[i::connections],))
               for i in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise ConnectionError("; ".join(errors))
    return statuses
