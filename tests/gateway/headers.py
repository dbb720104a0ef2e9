#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""headers.py - does taking headers off leave the others as they were?

usage: headers.py SOCKET_OF_GRAY SOCKET_OF_PLAIN
       headers.py --h2 URL_OF_GRAY URL_OF_PLAIN

Why: nginx keeps headers in parts of twenty with pointers into them; whoever
takes one off can lose, double or reorder others.  Here forged headers stand
first, last, alone, between, and as whole parts among 0 to 61 honest ones; the
service behind the gray server must read the very bytes that it reads behind a
plain one without the forged ones.
"""
import socket
import subprocess
import sys

FORGED = [b"X-Gray-Lane: red", b"x-mse-tag: blue", b"X-Gray-Arms: cart-2",
          b"Dubbo-Tag: x", b"cookie: gray=v1.0.aa.bb"]


# A Cookie header and what must be left of it: ours is mostly last, alone or
# spelt as no browser would, and then goes another way through the code.
COOKIES = [
    (b"a=1; gray=v1.x", b"a=1"), (b"gray=v1.x; a=1", b"a=1"),
    (b"a=1; gray=v1.x; b=2", b"a=1; b=2"), (b"a=1;gray=v1.x", b"a=1"),
    (b"a=1; gray = v1.x", b"a=1"), (b"a=1; gray=", b"a=1"),
    (b"a=1; gray=v1.x ", b"a=1"), (b"a=1; b=2; gray=x", b"a=1; b=2"),
    (b"a=1;; gray=v1.x", b"a=1;"), (b"a=1; gray=x; gray=y", b"a=1"),
    (b"a=1; __Host-gray=v1.x", b"a=1"), (b"a=gray; gray=v1.x", b"a=gray"),
    (b"a=1; __Host-gray=x; gray=y", b"a=1"), (b"a=1; gray=x=gray", b"a=1"),
    (b"a=1; gray", b"a=1; gray"), (b"a=1; ungray=x", b"a=1; ungray=x"),
    (b"a=1; GRAY=x", b"a=1; GRAY=x"), (b"a=gray=x", b"a=gray=x"),
    (b"a=1; gray.=x", b"a=1; gray.=x"), (b"; gray=x; a=1", b"; a=1"),
]


def ask(conn, lines):
    conn.sendall(b"GET /x?y HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")
    data = b""
    while b"\r\n\r\n" not in data:
        piece = conn.recv(65536)
        if not piece:
            sys.exit("connection closed after %r" % data)
        data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 200"):
        sys.exit("answered %r to %r" % (head, lines))
    size = [int(line.split(b":")[1]) for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")][0]
    while len(body) < size:
        body += conn.recv(65536)
    return body


def places(honest):
    """The honest headers with some forged ones among them."""
    host = honest[:1]
    rest = honest[1:]
    yield honest
    for n in (1, 3, len(FORGED)):
        yield FORGED[:n] + honest
        yield honest + FORGED[:n]
        yield host + FORGED[:n] + rest
        middle = len(rest) // 2
        yield host + rest[:middle] + FORGED[:n] + rest[middle:]
    # a whole part of twenty and more of nothing but forgeries
    many = [b"X-Gray-%d: x" % i for i in range(25)]
    yield many + honest
    yield honest + many
    yield host + rest[:len(rest) // 2] + many + rest[len(rest) // 2:]


def ask_h2(url, lines):
    command = ["curl", "-sS", "-f", "--max-time", "10",
               "--http2-prior-knowledge"]
    for line in lines:
        command += ["-H", line]
    return subprocess.run(command + [url], check=True,
                          capture_output=True).stdout


def main_h2(gray, plain):
    """Names come from tables there, and nginx joins the cookies itself."""
    forged = ["x-gray-lane: red", "x-mse-tag: blue", "x-gray-7: x"]
    checks = 0
    for count in (0, 1, 18, 19, 20, 21, 40, 41):
        honest = ["x-h%d: value %d" % (i, i) for i in range(count)]
        want = ask_h2(plain, ["host: shop", "cookie: a=1; b=2"] + honest)
        for lines in (forged + honest, honest + forged,
                      honest[:count // 2] + forged + honest[count // 2:]):
            got = ask_h2(gray, ["host: shop",
                                "cookie: a=1; gray=v1.x; b=2"] + lines)
            if got != want:
                sys.exit("h2: sent %r\nwant %r\ngot  %r"
                         % (lines, want, got))
            checks += 1
    print("%d requests alike" % checks)


def main():
    gray, plain = (socket.socket(socket.AF_UNIX) for _ in range(2))
    gray.connect(sys.argv[1])
    plain.connect(sys.argv[2])
    checks = 0
    for count in (0, 1, 2, 18, 19, 20, 21, 22, 39, 40, 41, 42, 61):
        honest = [b"Host: shop"] + [b"X-H%d: value %d" % (i, i)
                                    for i in range(count)]
        want = ask(plain, honest)
        for lines in places(honest):
            got = ask(gray, lines)
            if got != want:
                sys.exit("%d honest, sent %r\nwant %r\ngot  %r"
                         % (count, lines, want, got))
            checks += 1
    for sent, left in COOKIES:
        want = ask(plain, [b"Host: shop", b"Cookie: " + left, b"X-H: 1"])
        got = ask(gray, [b"Host: shop", b"Cookie: " + sent, b"X-H: 1"])
        if got != want:
            sys.exit("sent %r\nwant %r\ngot  %r" % (sent, want, got))
        checks += 1
    # what nginx keeps pointers to must survive a new list
    honest = [b"Host: shop", b"X-Forwarded-For: 1.2.3.4", b"Cookie: a=1",
              b"X-Forwarded-For: 5.6.7.8", b"Cookie: b=2"]
    want = ask(plain, honest)
    for lines in places(honest):
        if any(b"gray=" in line for line in lines):
            continue
        got = ask(gray, lines)
        if got != want:
            sys.exit("sent %r\nwant %r\ngot  %r" % (lines, want, got))
        checks += 1
    print("%d requests alike" % checks)


if sys.argv[1] == "--h2":
    main_h2(sys.argv[2], sys.argv[3])
else:
    main()
