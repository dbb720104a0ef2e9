#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_slow.py - ten thousand connections that say nearly nothing.

Why: they must cost little, delay nobody, and end by themselves.
usage: test_slow.py SERVED
"""
import resource
import select
import sys
import time
import unittest

from harness import LIMIT_S, Served, head

SERVED = ""
WANTED = 10000


class Slow(unittest.TestCase):
    def test_ten_thousand(self):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        count = min(WANTED, most - 1000)
        with Served(SERVED) as served:
            before = served.rss()
            slow = [self.open(served, i) for i in range(count)]
            try:
                grown = served.rss() - before
                times = self.others(served)
                print(f"{count} slow connections: {grown >> 20} MiB; others "
                      f"answered in {times[len(times) // 2]:.1f} ms, the "
                      f"slowest in {times[-1]:.1f} ms")
                self.assertLess(grown, count * 40960)
                self.ends(slow)
            finally:
                for s in slow:
                    s.close()
            self.gone(served)

    def open(self, served, number):
        """A part of a head, a head, a part of a body, or nothing."""
        s = served.connect(local=False)
        data = (b"", b"GET /healthz HTTP/1.1\r\nHost: loc",
                head("POST", "/v1/apply", served.admin, 1 << 20) + b"{",
                b"POST /v1/apply HTTP/1.1\r\n")[number % 4]
        if data:
            s.sendall(data)
        return s

    def others(self, served):
        times = []
        for i in range(300):
            begun = time.monotonic()
            answer = served.ask("GET", "/v1/releases/a" if i % 2 else
                                "/healthz", served.admin)
            times.append((time.monotonic() - begun) * 1000)
            self.assertEqual(answer.status, 200)
        return sorted(times)

    def ends(self, slow):
        """The server closes each of them by itself."""
        poll = select.poll()
        waiting = {s.fileno(): s for s in slow}
        for number in waiting:
            poll.register(number, select.POLLIN | select.POLLHUP)
        until = time.monotonic() + LIMIT_S
        while waiting and time.monotonic() < until:
            for number, _ in poll.poll(1000):
                try:
                    data = waiting[number].recv(65536)
                except ConnectionResetError:
                    data = b""
                if not data:
                    poll.unregister(number)
                    del waiting[number]
        self.assertEqual(len(waiting), 0, "connections stay open")

    def gone(self, served):
        for _ in range(100000):
            text = served.ask("GET", "/metrics", served.admin).body
            if b"\ngrayd_body_bytes 0\n" in text and \
                    b"\ngrayd_connections 1\n" in text:
                return
        self.fail("something stayed behind")


if __name__ == "__main__":
    SERVED = sys.argv.pop(1)
    unittest.main(verbosity=1)
