#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ends_cleanly.py - SIGTERM in the middle of a flood of spoilt requests.

Why: libmicrohttpd 0.9.75 reads a null pointer when it wants to refuse what it
cannot parse while its daemon is being stopped: about every second end under
such a flood was a crash before connections were seen out first (rest/drain.c).
Calls that were taken are answered, idle connections do not hold up the end.

usage: ends_cleanly.py BUILD
"""
import os
import random
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import LIMIT_S, SHOP, Dead, Grayd  # noqa: E402

ENDS = 15
SPOILT = [b"GET / HTTP/1.1\r\n x\r\n\r\n", b"GARBAGE\r\n\r\n",
          b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
          b"POST /v1/apply HTTP/1.1\r\nHost: localhost\r\n"
          b"Content-Length: zz\r\n\r\n",
          b"GET /%zz HTTP/1.1\r\nHost:: x\r\nA\r\n\r\n",
          b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"]


def flood(port, stop, sent):
    while not stop.is_set():
        try:
            with socket.create_connection(("127.0.0.1", port),
                                          timeout=LIMIT_S) as s:
                s.sendall(random.choice(SPOILT))
                sent.append(1)
                if random.random() < 0.5:
                    s.recv(100)
        except OSError:
            pass


def changes(grayd, done, stop):
    """Calls that go on until the end; each is answered or not taken."""
    weight = 1
    while not stop.is_set():
        try:
            reply = grayd.verb("cart-2", "set-weight",
                               {"weight": round(weight + 0.1, 1)})
        except Dead:
            return
        if reply.status != 200:
            return
        weight = reply.body["release"]["percent"]
        done.append(weight)


def main():
    ended = []
    for _ in range(ENDS):
        with Grayd(sys.argv[1]) as grayd:
            assert grayd.start(listen="127.0.0.1:0")
            assert grayd.apply(SHOP).status == 200
            stop, sent, done = threading.Event(), [], []
            crowd = [threading.Thread(target=flood,
                                      args=(grayd.port, stop, sent))
                     for _ in range(6)]
            crowd.append(threading.Thread(target=changes,
                                          args=(grayd, done, stop)))
            idle = socket.create_connection(("127.0.0.1", grayd.port))
            for thread in crowd:
                thread.start()
            while len(sent) < 300 or len(done) < 3:
                assert grayd.process.poll() is None
            ended.append(grayd.stop())
            if ended[-1] != 0:
                print(grayd.errors()[-4000:], flush=True)
            stop.set()
            for thread in crowd:
                thread.join()
            idle.close()
            assert grayd.start()
            now = grayd.ask("GET", "/v1/releases/cart-2").body["percent"]
            assert now >= done[-1], (now, done[-1])
    assert ended == [0] * ENDS, ended
    print(f"{ENDS} ends, each with exit code 0")


if __name__ == "__main__":
    main()
