#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_events.py - /v1/events: who is told what, from where, and for how long.

usage: test_events.py SERVED
"""
import json
import resource
import sys
import unittest

from harness import Served, head, receive, send

SERVED = ""
EVENTS_MAX, RING = 2000, 1024


class Watcher:
    """One client of /v1/events; reads whole events."""

    def __init__(self, served, token, query="", headers=(), local=False):
        self.s = served.connect(local)
        self.s.sendall(head("GET", "/v1/events" + query, token,
                            headers=headers))
        self.data, self.raw, self.pings = b"", b"", 0
        while b"\r\n\r\n" not in self.raw:
            self.raw += self.more()
        top, self.raw = self.raw.split(b"\r\n\r\n", 1)
        self.status = int(top.split()[1])
        self.top = top.decode().lower()

    def more(self):
        more = self.s.recv(65536)
        if not more:
            raise EOFError
        return more

    def chunk(self):
        while b"\r\n" not in self.raw:
            self.raw += self.more()
        size, self.raw = self.raw.split(b"\r\n", 1)
        size = int(size, 16)
        while len(self.raw) < size + 2:
            self.raw += self.more()
        self.data, self.raw = self.data + self.raw[:size], self.raw[size + 2:]
        if size == 0:
            raise EOFError

    def next(self, comments=False):
        """(id, event, data) of the next event; comments are passed over."""
        while True:
            while b"\n\n" not in self.data:
                self.chunk()
            event, self.data = self.data.split(b"\n\n", 1)
            lines = dict(line.split(": ", 1) for line in
                         event.decode().split("\n") if not line[0] == ":")
            if "id" in lines:
                return (int(lines["id"]), lines["event"],
                        json.loads(lines["data"]))
            if b": ping" in event:
                if comments:
                    return None
                self.pings += 1
                if self.pings > 2:
                    raise AssertionError("nothing came but pings")

    def close(self):
        self.s.close()


class Events(unittest.TestCase):
    def setUp(self):
        self.served = Served(SERVED)
        self.watchers = []

    def tearDown(self):
        self.served.stop()
        for w in self.watchers:
            w.close()

    def watch(self, token=None, *more, **how):
        self.watchers.append(Watcher(self.served, token or self.served.admin,
                                     *more, **how))
        return self.watchers[-1]

    def test_records_come_as_they_happen(self):
        w = self.watch()
        self.assertEqual(w.status, 200)
        self.assertIn("content-type: text/event-stream", w.top)
        self.served.record(1, "Release/cart-2")
        number, event, data = w.next()
        self.assertEqual((number, event), (1, "test"))
        self.assertEqual(data["sequence"], 1)
        self.assertEqual(data["resource"], "Release/cart-2")
        self.assertRegex(data["at"], r"^20\d\d-\d\d-\d\dT.*Z$")
        self.assertNotIn("seq", data)
        # one at a time, many times: no wake is lost
        for number in range(2, 300):
            self.served.record(1)
            self.assertEqual(w.next()[0], number)
        w.close()

    def test_only_what_was_done_and_is_in_scope(self):
        all_, cart = self.watch(), self.watch(
            self.served.tokens["viewer", "cart"])
        for resource_, outcome in (("Release/pay-1", "done"),
                                   ("Release/cart-2", "denied"),
                                   ("Release/cart-2", "dry-run"),
                                   ("Release/cart-2", "refused"),
                                   ("Document/cart", "done")):
            self.served.record(1, resource_, outcome)
        self.served.ask("POST", "/v1/stop", self.served.admin)  # about all
        self.served.record(1, "Release/cart-3")
        self.assertEqual([all_.next()[0] for _ in range(4)], [1, 5, 6, 7])
        self.assertEqual([cart.next()[0] for _ in range(2)], [5, 7])

    def test_it_resumes(self):
        self.served.record(50)
        w = self.watch(None, "?after=40")
        self.assertEqual([w.next()[0] for _ in range(10)],
                         list(range(41, 51)))
        w.close()
        w = self.watch(None, "", ["Last-Event-ID: 48"])
        self.assertEqual([w.next()[0] for _ in range(2)], [49, 50])
        self.served.record(1)
        self.assertEqual(w.next()[0], 51)
        w.close()
        # a query says more than a header
        w = self.watch(None, "?after=50", ["Last-Event-ID: 1"])
        self.assertEqual(w.next()[0], 51)
        for query in ("?after=52", "?after=-1", "?after=a", "?after=", "?a=1"):
            answer = self.served.ask("GET", "/v1/events" + query,
                                     self.served.admin)
            self.assertEqual((answer.status, answer.code()),
                             (400, "bad-query"), query)

    def test_far_behind_nothing_is_missing(self):
        """More records than the ring keeps: read from the store."""
        count = 3 * RING + 7
        self.served.record(count)
        w = self.watch(None, "?after=0")
        self.assertEqual([w.next()[0] for _ in range(count)],
                         list(range(1, count + 1)))
        self.served.record(1)
        self.assertEqual(w.next()[0], count + 1)

    def test_one_who_does_not_read_delays_nobody(self):
        lazy = self.watch()
        keen = self.watch()
        self.served.record(5000)
        self.assertEqual([keen.next()[0] for _ in range(5000)],
                         list(range(1, 5001)))
        self.assertEqual([lazy.next()[0] for _ in range(5000)],
                         list(range(1, 5001)))

    def test_a_revoked_token_ends_its_stream(self):
        viewer = self.served.tokens["viewer", ""]
        w, other = self.watch(viewer), self.watch()
        self.served.record(1)
        self.assertEqual((w.next()[0], other.next()[0]), (1, 1))
        self.served.ask("DELETE", "/v1/tokens/" + viewer.split("_")[1],
                        self.served.admin)
        with self.assertRaises(EOFError):
            while w.next(comments=True) is not None:
                pass  # a ping would mean that it lives on
        self.assertEqual(other.next()[0], 2)

    def test_a_quiet_stream_is_pinged(self):
        w = self.watch()
        self.assertIsNone(w.next(comments=True))
        self.served.record(1)
        self.assertEqual(w.next()[0], 1)

    def test_as_many_as_are_allowed(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, (
            resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        before = self.served.rss()
        watchers = [self.watch() for _ in range(EVENTS_MAX)]
        answer = self.served.ask("GET", "/v1/events", self.served.admin)
        self.assertEqual((answer.status, answer.code()), (503, "busy"))
        self.assertEqual(answer.headers["retry-after"], "5")
        text = self.served.ask("GET", "/metrics", self.served.admin).body
        self.assertIn(f"\ngrayd_events_watchers {EVENTS_MAX}\n".encode(), text)
        self.served.record(3)
        for w in watchers:
            self.assertEqual([w.next()[0] for _ in range(3)], [1, 2, 3])
        grown = (self.served.rss() - before) >> 20
        print(f"{EVENTS_MAX} watchers: {grown} MiB")
        self.assertLess(grown, 160)
        watchers.pop().close()  # its place is free once it was noticed
        for _ in range(1000):
            self.served.record(1)
            s = self.served.connect()
            send(s, "GET", "/v1/events", self.served.admin)
            if s.recv(12) == b"HTTP/1.1 200":
                break
            s.close()
        else:
            self.fail("no place was given back")
        s.close()
        # grayd stops with all of them open, and each is told the end
        self.served.stop()
        with self.assertRaises(EOFError):
            while True:
                watchers[0].next()
        for w in watchers:
            w.close()

    def test_over_the_socket_and_in_http_1_0(self):
        w = self.watch(None, local=True)
        self.served.record(1)
        self.assertEqual(w.next()[0], 1)
        with self.served.connect() as s:
            s.sendall(b"GET /v1/events?after=0 HTTP/1.0\r\nHost: localhost\r\n"
                      b"Authorization: Bearer %s\r\n\r\n" %
                      self.served.admin.encode())
            data = b""
            while b"\nid: 1\n" not in data:
                more = s.recv(65536)
                self.assertNotEqual(more, b"")
                data += more
            self.assertNotIn(b"chunked", data)

    def test_a_head_watches_nothing(self):
        with self.served.connect() as s:
            send(s, "HEAD", "/v1/events", self.served.admin)
            answer = receive(s, "HEAD")
            self.assertEqual((answer.status, answer.headers["content-type"]),
                             (200, "text/event-stream"))
            self.assertEqual(s.recv(10), b"")  # nothing behind the head
        text = self.served.ask("GET", "/metrics", self.served.admin).body
        self.assertIn(b"\ngrayd_events_watchers 0\n", text)


if __name__ == "__main__":
    SERVED = sys.argv.pop(1)
    unittest.main(verbosity=1)
