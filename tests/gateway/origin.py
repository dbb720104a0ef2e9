#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""origin.py - small services that say what reached them.

usage: origin.py http|fastcgi|uwsgi|grpc ADDRESS PIDFILE NAME

Why: stories compare what a service was sent, to the byte; so `http` answers
with the raw head it read (to /hold.. only once the file PIDFILE.go is
there; to /half.. never all of it; after an upgrade
the other's bytes in capitals), `fastcgi` and `uwsgi` with the parameters they got,
one a line, sorted.  `grpc` answers with its name and ends with the trailer
grpc-status: 0, or the number behind a colon in NAME.  ADDRESS is a port of 127.0.0.1 or the path of a socket.
Every answer carries X-Served-By: NAME.  Ends on SIGTERM or SIGQUIT.
Read next: gw, run.
"""
import os
import signal
import socket
import struct
import sys
import threading
import time


def read_exactly(conn, size):
    data = b""
    while len(data) < size:
        piece = conn.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def http(conn, name):
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            piece = conn.recv(65536)
            if not piece:
                return
            data += piece
        head, data = data.split(b"\r\n\r\n", 1)
        length = 0
        for line in head.split(b"\r\n")[1:]:
            key, value = line.split(b":", 1)
            if key.lower() == b"content-length":
                length = int(value)
        while len(data) < length:
            data += conn.recv(65536)
        data = data[length:]
        if b"\nUpgrade: websocket" in head:
            conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: "
                         b"websocket\r\nConnection: upgrade\r\n"
                         b"X-Served-By: " + name + b"\r\n\r\n")
            while piece := conn.recv(65536):
                conn.sendall(piece.upper())
            return
        if head.startswith(b"GET /half"):
            conn.sendall(b"HTTP/1.1 200 OK\r\nX-Served-By: " + name
                         + b"\r\nContent-Length: 1000\r\n\r\nhalf")
            conn.recv(1)  # until the gateway gives up
            return
        if head.startswith(b"GET /hold"):
            for _ in range(3000):
                if os.path.exists(sys.argv[3] + ".go"):
                    break
                time.sleep(0.01)  # bounded wait
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                     b"X-Served-By: " + name + b"\r\nContent-Length: "
                     + str(len(head)).encode() + b"\r\n\r\n" + head)


def answer_params(params, name):
    lines = sorted(k + b"=" + v for k, v in params)
    return (b"Status: 200 OK\r\nContent-Type: text/plain\r\nX-Served-By: "
            + name + b"\r\n\r\n" + b"\n".join(lines) + b"\n")


def fastcgi_pairs(data):
    at = 0
    while at < len(data):
        sizes = []
        for _ in range(2):
            size = data[at]
            at += 1
            if size & 0x80:
                size = struct.unpack(">I", data[at - 1:at + 3])[0] & 0x7FFFFFFF
                at += 3
            sizes.append(size)
        yield (data[at:at + sizes[0]],
               data[at + sizes[0]:at + sizes[0] + sizes[1]])
        at += sum(sizes)


def fastcgi(conn, name):
    params = b""
    while True:
        head = read_exactly(conn, 8)
        _, kind, request, size, padding, _ = struct.unpack(">BBHHBB", head)
        body = read_exactly(conn, size + padding)[:size]
        if kind == 4:
            params += body
        if kind == 5 and size == 0:
            break
    out = answer_params(fastcgi_pairs(params), name)
    for start in range(0, len(out), 65535):
        piece = out[start:start + 65535]
        conn.sendall(struct.pack(">BBHHBB", 1, 6, request, len(piece), 0, 0)
                     + piece)
    conn.sendall(struct.pack(">BBHHBB", 1, 6, request, 0, 0, 0)
                 + struct.pack(">BBHHBB", 1, 3, request, 8, 0, 0) + bytes(8))


def uwsgi(conn, name):
    _, size, _ = struct.unpack("<BHB", read_exactly(conn, 4))
    data = read_exactly(conn, size)
    params = []
    at = 0
    while at < len(data):
        pair = []
        for _ in range(2):
            length = struct.unpack("<H", data[at:at + 2])[0]
            pair.append(data[at + 2:at + 2 + length])
            at += 2 + length
        params.append(tuple(pair))
    out = answer_params(params, name)
    conn.sendall(out.replace(b"Status: 200 OK", b"HTTP/1.0 200 OK", 1))


def literal(name, value):
    """A header field for HPACK: nothing indexed, nothing compressed."""
    return (b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value)


def grpc(conn, name):
    """As much of HTTP/2 as one call after another needs."""
    name, _, status = name.partition(b":")

    def frame(kind, flags, stream, payload=b""):
        conn.sendall(struct.pack(">I", len(payload))[1:]
                     + bytes([kind, flags]) + struct.pack(">I", stream)
                     + payload)

    read_exactly(conn, len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
    frame(4, 0, 0)
    while True:
        head = read_exactly(conn, 9)
        size = int.from_bytes(head[:3], "big")
        kind, flags = head[3], head[4]
        stream = int.from_bytes(head[5:], "big")
        body = read_exactly(conn, size)
        if kind == 4 and not flags & 1:
            frame(4, 1, 0)
        if kind == 6 and not flags & 1:
            frame(6, 1, 0, body)
        if kind in (0, 1) and flags & 1:
            frame(1, 4, stream, b"\x88"
                  + literal(b"content-type", b"application/grpc")
                  + literal(b"x-served-by", name))
            frame(0, 0, stream, b"\0" + struct.pack(">I", len(name)) + name)
            frame(1, 5, stream, literal(b"grpc-status", status or b"0"))


def serve(handler, conn, name):
    try:
        handler(conn, name)
    except (EOFError, OSError):
        pass
    finally:
        conn.close()


def main():
    kind, address, pidfile, name = sys.argv[1:5]
    handler = {"http": http, "fastcgi": fastcgi, "uwsgi": uwsgi,
               "grpc": grpc}[kind]
    if address.startswith("/"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
    else:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(address)))
    listener.listen(128)
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    with open(pidfile, "w") as out:
        out.write(str(os.getpid()) + "\n")
    for number in (signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, lambda *_: os._exit(0))
    while True:
        conn, _ = listener.accept()
        threading.Thread(target=serve, args=(handler, conn, name.encode()),
                         daemon=True).start()


main()
