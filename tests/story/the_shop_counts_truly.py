#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shop answers for its whole chain and its users count every failure.

The other stories judge by what these two programs write down, so they are
tried alone first, behind stock nginx without the module: pipelined requests
and bodies, draining, one log line a request, every uid once, and each kind of
failure told apart.
"""
import json
import os
import signal
import socket
import subprocess
import threading

from harness import Story, check

STOCK = """
    upstream web {{ server 127.0.0.1:{web}; keepalive 64; }}
    upstream cart {{ server 127.0.0.1:{cart}; keepalive 64; }}
    upstream order {{ server 127.0.0.1:{order}; keepalive 64; }}
    server {{ listen 127.0.0.1:{entrance};
              location / {{ proxy_pass http://web; }} }}
    server {{ listen 127.0.0.1:{inner};
              location /cart {{ proxy_pass http://cart; }}
              location /order {{ proxy_pass http://order; }} }}
"""


def talk(port, data):
    """Everything that comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        peer.sendall(data)
        answer = b""
        while True:
            more = peer.recv(65536)
            if not more:
                return answer
            answer += more


def bodies(answer):
    return [json.loads(part[part.index(b"{"):part.index(b"}") + 1])
            for part in answer.split(b"HTTP/1.1 ")[1:]]


def chain(story):
    port = story.port("entrance")
    answer = talk(port, b"GET /a HTTP/1.1\r\nHost: x\r\nCookie: a=1; uid=42\r\n"
                        b"Connection: close\r\n\r\n")
    check(bodies(answer) == [{"web": "v1", "cart": "v2", "discount": 10,
                              "order": "v1", "uid": "42"}],
          f"the chain answers {answer}")


def pipelined(story):
    answer = talk(story.port("web-v1"),
                  b"GET /1 HTTP/1.1\r\nCookie: uid=1\r\n\r\n"
                  b"POST /2 HTTP/1.1\r\nCookie: uid=2\r\nContent-Length: 5\r\n"
                  b"\r\nhello"
                  b"GET /3 HTTP/1.1\r\nCookie: uid=3\r\nConnection: close\r\n"
                  b"\r\n")
    check([b["uid"] for b in bodies(answer)] == ["1", "2", "3"],
          f"pipelined requests are answered {answer}")
    answer = talk(story.port("web-v1"), b"GET /1\r\n\r\n")
    check(answer.startswith(b"HTTP/1.1 400 "), "a bad head is not a 400")
    answer = talk(story.port("web-v1"), b"POST / HTTP/1.1\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    check(answer.startswith(b"HTTP/1.1 400 "), "a chunked body is not refused")


def forwarded(story):
    """Cookie, baggage, traceparent and x-gray-lane go on; nothing else."""
    listener = socket.create_server(("127.0.0.1", 0))
    log = os.path.join(story.dir, "lone.log")
    port = story.port("lone")
    story.start(os.path.join(story.bin, "shop"), "--service", "web",
                "--version", "v1", "--listen", f"127.0.0.1:{port}", "--log",
                log, "--next",
                f"http://127.0.0.1:{listener.getsockname()[1]}")
    story.wait_port(port)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nCookie: uid=1\r\nBaggage: a=b\r\n"
                       b"traceparent: 00-1\r\nX-Gray-Lane: red\r\n"
                       b"X-Other: secret\r\nAuthorization: secret\r\n\r\n")
        peer, _ = listener.accept()
        with peer:
            head = peer.recv(65536)
            peer.sendall(b"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n")
            check(client.recv(65536).startswith(b"HTTP/1.1 502 "),
                  "a failing next service is not a 502")
    listener.close()
    lines = head.lower().split(b"\r\n")
    for wanted in (b"cookie: uid=1", b"baggage: a=b", b"traceparent: 00-1",
                   b"x-gray-lane: red"):
        check(wanted in lines, f"{wanted} was not passed on: {head}")
    check(b"secret" not in head, f"passed on what it must not: {head}")


def drained(story):
    slow = story.shop("order", "slow", "--delay", "400", chain=False)
    with socket.create_connection(("127.0.0.1", story.port("order-slow")),
                                  timeout=10) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nCookie: uid=9\r\n\r\n")
        log = story.logs[-1]
        slow.send_signal(signal.SIGTERM)
        answer = peer.recv(65536)
        check(b"200 OK" in answer, "a request begun before SIGTERM is lost")
        check(peer.recv(1) == b"", "the connection outlives the shop")
    check(slow.wait(10) == 0, "the shop does not end well")
    check(" order slow 9 GET / 200\n" in story.read(log), "no log line")


def every_uid_once(story):
    tally = story.users("--users", 5000, "--by", "cart", "--expect-status", 200)
    check(tally["requests"] == tally["status"]["200"] == 5000, f"{tally}")
    check(tally["by"][0][:2] == ["v2", 5000], f"{tally}")
    story.logged(5000, ["web", "cart", "order"])
    for service in ("web", "cart", "order"):
        uids = sorted(int(row[3]) for row in story.log_rows()
                      if row[1] == service and row[3].isdigit()
                      and row[0] >= story.begun_ms)
        check(uids == list(range(1, 5001)),
              f"{service} did not see each uid once")


def answer_once_then_close(listener, answers, stop):
    """Answers `answers` requests a connection, then closes on the next."""
    while not stop.is_set():
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        with peer:
            for _ in range(answers):
                if not peer.recv(65536):
                    break
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            peer.recv(65536)


def stale_connections(story):
    for options, stale, failed in (((), 9, 0), (("--no-retry",), 0, 5)):
        listener = socket.create_server(("127.0.0.1", 0))
        stop = threading.Event()
        server = threading.Thread(target=answer_once_then_close,
                                  args=(listener, 1, stop), daemon=True)
        server.start()
        tally = story.users("--users", 10, "--connections", 1, *options,
                            ok=False, port=listener.getsockname()[1])
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        server.join(5)
        check(tally["stale_retries"] == stale and tally["failed"] == failed
              and tally["failures"]["reset"] == failed,
              f"stale connections are counted {tally}")


def failures_told_apart(story):
    story.shop("web", "bad", "--fail", "250")
    port = story.port("web-bad")
    tally = story.users("--users", 100, ok=False, port=port)
    check(tally["failures"]["status_5xx"] == 25, f"5xx: {tally}")
    tally = story.users("--users", 10, ok=False, port=story.port("nobody"))
    check(tally["failures"]["connect"] == 10, f"connect: {tally}")
    for expected, failed in (("content-type: application/json", 0),
                             ("content-type: text/html", 10),
                             ("!content-type", 10), ("!x-none", 0),
                             ("x-none", 10)):
        tally = story.users("--users", 10, "--expect-header", expected,
                            ok=False)
        check(tally["failures"]["unexpected"] == failed,
              f"{expected}: {tally}")
    story.shop("order", "sleepy", "--delay", "3000", chain=False)
    tally = story.users("--users", 3, "--timeout", 200, ok=False,
                        port=story.port("order-sleepy"))
    check(tally["failures"]["timeout"] == 3, f"timeout: {tally}")
    tally = story.users("--users", 1000000, "--seconds", 1, ok=False)
    check(tally["complete"] is False and tally["failed"] == 0,
          f"time does not bound it: {tally}")


def only_loopback(story):
    for target in ("10.1.2.3:80", "0.0.0.0:80", "localhost:80"):
        done = subprocess.run([os.path.join(story.bin, "users"), "--target",
                               target], capture_output=True, check=False)
        check(done.returncode == 2, f"{target} is not refused")
    done = subprocess.run(
        [os.path.join(story.bin, "shop"), "--check",
         f"127.0.0.1:{story.port('web-v1')}"], capture_output=True, text=True,
        check=False)
    check(done.returncode == 1 and str(story.port("web-v1")) in done.stderr,
          f"a port in use is not named: {done}")


def main():
    with Story("the_shop_counts_truly", needs_gray=False) as story:
        for service, version in (("web", "v1"), ("cart", "v2"),
                                 ("order", "v1")):
            story.shop(service, version)
        story.nginx(story.conf(STOCK.format(
            entrance=story.port("entrance"), inner=story.port("inner"),
            web=story.port("web-v1"), cart=story.port("cart-v2"),
            order=story.port("order-v1")), module=False))
        story.begun_ms = 0
        every_uid_once(story)
        chain(story)
        pipelined(story)
        forwarded(story)
        stale_connections(story)
        failures_told_apart(story)
        drained(story)
        only_loopback(story)


if __name__ == "__main__":
    main()
