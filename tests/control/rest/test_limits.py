#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_limits.py - every size at its limit and one beyond, and odd bytes.

usage: test_limits.py SERVED
"""
import hashlib
import json
import random
import sys
import unittest

from harness import LIMIT_S, Served, head, receive, send

SERVED = ""
MIB = 1 << 20
HEADERS_MAX, KEY_MAX, SEGMENT_MAX, TARGET_MAX = 16384, 128, 128, 8192
VALUE_MAX, ARGUMENTS_MAX, DEPTH_MAX, VALUES_MAX = 1024, 16, 32, 500000
BODIES_MAX, EVENTS_MAX = 256 * MIB, 2000


class Limits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.served = Served(SERVED)

    @classmethod
    def tearDownClass(cls):
        cls.served.stop()

    def ask(self, *arguments, **more):
        more.setdefault("token", self.served.admin)
        return self.served.ask(*arguments, **more)

    def alive(self):
        self.assertEqual(self.ask("GET", "/healthz").status, 200)

    # ---- sizes ------------------------------------------------------------

    def apply_of(self, size):
        start, end = b'{"files":[{"name":"a","text":"', b'"}]}'
        return start + b"x" * (size - len(start) - len(end)) + end

    def test_the_body_of_an_apply(self):
        for route in ("/v1/apply", "/v1/plan"):
            answer = self.ask("POST", route, body=self.apply_of(64 * MIB))
            self.assertEqual(answer.status, 200, answer.body)
            answer = self.ask("POST", route, body=self.apply_of(64 * MIB + 1))
            self.assertEqual((answer.status, answer.code()),
                             (413, "too-large"))
            self.assertEqual(answer.headers["connection"].lower(), "close")

    def test_the_body_of_other_routes(self):
        filler = b'{"reason":"r"' + b" " * (MIB - 14) + b"}"
        self.assertEqual(len(filler), MIB)
        self.assertEqual(self.ask("POST", "/v1/stop", body=filler).status, 200)
        self.assertEqual(self.ask("POST", "/v1/stop",
                                  body=filler + b" ").status, 413)

    def test_no_body_where_none_is_taken(self):
        self.assertEqual(self.ask("GET", "/v1/whoami", body=b"").status, 200)
        for method, path in (("GET", "/v1/whoami"), ("GET", "/healthz"),
                             ("DELETE", "/v1/documents/Release/a")):
            answer = self.ask(method, path, body=b"{}")
            self.assertEqual((answer.status, answer.code()),
                             (400, "bad-body"))
            self.assertEqual(answer.headers["connection"].lower(), "close")

    def test_a_large_body_is_refused_by_its_length(self):
        """200 MB: answered before a byte of it came."""
        before = self.served.rss()
        for token, status in ((self.served.admin, 413), ("gray_no", 401),
                              (self.served.tokens["viewer", ""], 403)):
            with self.served.connect() as s:
                s.sendall(head("POST", "/v1/apply", token, 200 * MIB))
                self.assertEqual(receive(s).status, status)
                self.assertEqual(s.recv(1), b"")
        # One that sends on whatever is answered
        answer = self.ask("POST", "/v1/apply", body=b"x" * (200 * MIB))
        self.assertEqual(answer.status, 413)
        self.assertLess(self.served.rss() - before, 8 * MIB)

    def test_chunks_are_counted(self):
        with self.served.connect() as s:
            s.sendall(head("POST", "/v1/stop", self.served.admin, headers=[
                "Transfer-Encoding: chunked",
                "Content-Type: application/json"]))
            s.sendall(b"2\r\n{}\r\n0\r\n\r\n")
            self.assertEqual(receive(s).status, 200)
        for size, status in ((MIB, 200), (MIB + 1, 413)):
            with self.served.connect() as s:
                s.sendall(head("POST", "/v1/stop", self.served.admin, headers=[
                    "Transfer-Encoding: chunked",
                    "Content-Type: application/json"]))
                body = b"{}" + b" " * (size - 2)
                for at in range(0, size, 4096):
                    piece = body[at:at + 4096]
                    s.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
                s.sendall(b"0\r\n\r\n")
                self.assertEqual(receive(s).status, status)
        # without an end: cut off
        with self.served.connect() as s:
            s.sendall(head("POST", "/v1/stop", self.served.admin, headers=[
                "Transfer-Encoding: chunked",
                "Content-Type: application/json"]))
            sent = 0
            with self.assertRaises(OSError):
                while sent < 200 * MIB:
                    s.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
                    sent += 65536
            self.assertLess(sent, 16 * MIB)
        self.alive()

    def test_bodies_together(self):
        """A fifth body of 64 MiB finds no room; the first four end well."""
        body = self.apply_of(64 * MIB)
        open_ones = []
        try:
            for number in range(4):
                s = self.served.connect()
                open_ones.append(s)
                s.sendall(head("POST", "/v1/apply", self.served.admin,
                               len(body)))
                s.sendall(body[:-5])
                for earlier in open_ones:  # none falls silent meanwhile
                    at = len(body) - 5 + number - open_ones.index(earlier)
                    earlier.sendall(body[at:at + 1])
            self.wait_for_bytes(BODIES_MAX)
            answer = self.ask("POST", "/v1/apply", body={"files": [
                {"name": "a", "text": "b"}]})
            self.assertEqual((answer.status, answer.code()), (503, "busy"))
            self.assertEqual(answer.headers["retry-after"], "1")
            self.alive()
            for number, s in enumerate(open_ones):
                s.sendall(body[len(body) - 1 - number:])
                self.assertEqual(receive(s).status, 200)
        finally:
            for s in open_ones:
                s.close()
        self.wait_for_bytes(0)
        answer = self.ask("POST", "/v1/apply",
                          body={"files": [{"name": "a", "text": "b"}]})
        self.assertEqual(answer.status, 200)

    def wait_for_bytes(self, wanted):
        for _ in range(100000):
            text = self.ask("GET", "/metrics").body.decode()
            if f"\ngrayd_body_bytes {wanted}\n" in text:
                return
        self.fail(f"never {wanted} bytes of bodies")

    def test_headers(self):
        def with_headers(size):
            plain = head("GET", "/healthz", headers=["X-A: "])
            rest, pad = size - len(plain), ""
            # one field is at most what fits; several make the sum
            pad = "x" * rest
            return head("GET", "/healthz", headers=["X-A: " + pad])
        for size, status in ((HEADERS_MAX, 200), (HEADERS_MAX + 1, 431)):
            data = with_headers(size)
            self.assertEqual(len(data), size)
            with self.served.connect() as s:
                s.sendall(data)
                self.assertEqual(receive(s).status, status)
        with self.served.connect() as s:  # far beyond: never kept
            try:
                s.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
                for _ in range(1000):
                    s.sendall(b"x" * 65536)
                self.fail("64 MB of a header were taken")
            except OSError:
                pass
        self.alive()

    def test_names_and_targets(self):
        name = "a" * SEGMENT_MAX
        self.assertEqual(self.ask("GET", "/v1/releases/" + name).status, 200)
        self.assertEqual(self.ask("GET", f"/v1/releases/{name}a").status, 400)
        long = "/v1/documents?after=" + "a" * VALUE_MAX
        self.assertEqual(self.ask("GET", long).status, 200)
        self.assertEqual(self.ask("GET", long + "a").status, 400)
        pad = "%61" * ((TARGET_MAX - 20) // 3)
        target = "/healthz?" + pad
        target += "a" * (TARGET_MAX - len(target))
        self.assertEqual(self.ask("GET", target).code(), "bad-query")
        self.assertEqual(self.ask("GET", target + "a").code(), "bad-request")
        many = "&".join(f"a{i}=1" for i in range(ARGUMENTS_MAX))
        answer = self.ask("GET", "/v1/documents?" + many)
        self.assertIn("none of the arguments", answer.json()["detail"])
        answer = self.ask("GET", "/v1/documents?" + many + "&b=1")
        self.assertIn("NAME=VALUE", answer.json()["detail"])

    def test_idempotency_keys(self):
        def key(text):
            return self.ask("POST", "/v1/releases/a/start", body=b"{}",
                            headers=["Idempotency-Key: " + text])
        answer = key("k" * KEY_MAX)
        self.assertEqual(answer.json()["undo"], "k" * KEY_MAX)
        for bad in ("k" * (KEY_MAX + 1), "", "a b", "a\x7f", "\udcc3\udca4"):
            self.assertEqual(key(bad).status, 400, bad)

    def test_depth_and_values_of_a_body(self):
        # depth 32 is the innermost bracket that is read
        for depth, status in ((DEPTH_MAX, 200), (DEPTH_MAX + 1, 400)):
            inner = b"[" * (depth - 3) + b"]" * (depth - 3)
            answer = self.ask("POST", "/v1/explain", body=b'{"requests":[{"a":'
                              + inner + b"}]}")
            self.assertEqual(answer.status, status, answer.body)
        for values, status in ((VALUES_MAX, 200), (VALUES_MAX + 1, 400)):
            # {, :, [, {, :, [ and a comma for each further number
            body = (b'{"requests":[{"a":[1' + b",1" * (values - 6) + b"]}]}")
            answer = self.ask("POST", "/v1/explain", body=body)
            self.assertEqual(answer.status, status, answer.body[:200])

    # ---- what bodies are --------------------------------------------------

    def test_json_is_read_strictly(self):
        """Each but for one thing is what the route takes."""
        files = b'"files":[{"name":"a","text":"b"}]'
        good = b"{" + files + b"}"
        self.assertEqual(self.ask("POST", "/v1/plan", body=good).status, 200)
        for bad in (b"{", b"[]", b"null", b"1", b'"a"', good + b"{}", b"\0",
                    b"{" + files + b"," + files + b"}", good[:-1] + b",}",
                    good[:-1] + b',"reason":NaN}', good.replace(b'"', b"'"),
                    good.replace(b"b", b"\xff"), good.replace(b"b", b"\n"),
                    good.replace(b"b", b"\\u0000"),
                    good.replace(b"b", b"\\ud800"), b"\xef\xbb\xbf" + good,
                    good[:-1] + b',"reason":1e999}',
                    good[:-1] + b',"reason":99999999999999999999}',
                    good + b" /* c */"):
            answer = self.ask("POST", "/v1/plan", body=bad)
            self.assertEqual((answer.status, answer.code()),
                             (400, "bad-body"), bad)
            self.assertIn("is no JSON that is read", answer.json()["detail"])

    def test_shapes(self):
        def pointer(body):
            answer = self.ask("POST", "/v1/apply", body=body)
            self.assertEqual(answer.status, 400, body)
            return answer.json()["pointer"]
        file = {"name": "a", "text": "b"}
        self.assertEqual(pointer({}), "")
        self.assertEqual(pointer({"files": []}), "/files")
        self.assertEqual(pointer({"files": [file, 1]}), "/files/1")
        self.assertEqual(pointer({"files": [{"name": "a"}]}), "/files/0")
        self.assertEqual(pointer({"files": [file], "a/~b": 1}), "/a~1~0b")
        self.assertEqual(pointer({"files": [file] * 1001}), "/files")
        self.assertEqual(pointer({"files": [file], "allowDrop": -1}),
                         "/allowDrop")
        self.assertEqual(pointer({"files": [file], "allowDrop": ["cart-2"]}),
                         "/allowDrop")
        self.assertEqual(pointer({"files": [file], "prune": 1}), "/prune")
        self.assertEqual(pointer({"files": [file], "reason": ""}), "/reason")
        good = {"files": [file] * 1000, "reason": "ä" * 400,
                "allowDrop": 12}
        self.assertEqual(self.ask("POST", "/v1/apply", body=good).status, 200)
        good["reason"] += "a"
        self.assertEqual(pointer(good), "/reason")

    def test_a_body_that_need_not_be(self):
        answer = self.ask("POST", "/v1/lanes/a/enable")
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.ask("POST", "/v1/bypass").status, 400)

    def test_media_types(self):
        for kind, status in (("application/json", 200),
                             ("Application/JSON; charset=UTF-8", 200),
                             ("application/json;charset=latin1", 415),
                             ("text/plain", 415), ("", 415),
                             ("application/x-www-form-urlencoded", 415),
                             ("application/jsonx", 415)):
            answer = self.ask("POST", "/v1/stop", body=b"{}",
                              headers=["Content-Type: " + kind])
            self.assertEqual(answer.status, status, kind)
        answer = self.ask("POST", "/v1/stop", body=b"{}",
                          headers=["Content-Encoding: gzip"])
        self.assertEqual(answer.status, 415)

    # ---- what requests say ------------------------------------------------

    def test_hosts(self):
        port = self.served.port
        for host, good in (("localhost", 1), (f"localhost:{port}", 1),
                           ("LOCALHOST", 1), ("127.0.0.1", 1), ("[::1]", 1),
                           (f"127.0.0.1:{port}", 1), (f"[::1]:{port}", 1),
                           ("evil.example", 0), ("localhost.evil.example", 0),
                           ("localhost:80x", 0), ("localhost:", 0), ("", 0),
                           ("127.0.0.1.evil", 0), ("[::1", 0),
                           ("127.0.0.2", 0)):
            answer = self.ask("GET", "/healthz", headers=["Host: " + host])
            self.assertEqual(answer.status, 200 if good else 400, host)
        with self.served.connect() as s:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
                      b"Host: evil.example\r\n\r\n")
            self.assertEqual(receive(s).status, 400)
        with self.served.connect() as s:
            s.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            self.assertIn(b" 400 ", s.recv(100))

    def test_queries(self):
        for query, status in (("kind=Release&limit=5", 200), ("kind=a%26b", 200),
                              ("kind=", 200), ("kind", 400), ("=a", 400),
                              ("kind=a&kind=b", 400), ("Kind=a", 400),
                              ("dryRun=true", 400), ("kind=%0a", 400),
                              ("kind=%e2%82", 400), ("&kind=a", 400)):
            answer = self.ask("GET", "/v1/documents?" + query)
            self.assertEqual(answer.status, status, query)
        for query, status in (("dryRun=true", 200), ("dryRun=false", 200),
                              ("dryRun=1", 400), ("dryRun=", 400),
                              ("reason=a", 400)):
            answer = self.ask("POST", "/v1/releases/a/start?" + query,
                              body=b"{}")
            self.assertEqual(answer.status, status, query)
            if status == 200:
                self.assertEqual(answer.json()["dryRun"], "true" in query)

    def test_conditions(self):
        for match, revision in (('"12"', 12), ('"18446744073709551"',
                                               18446744073709551)):
            answer = self.ask("POST", "/v1/releases/a/start", body=b"{}",
                              headers=["If-Match: " + match])
            self.assertEqual(answer.json()["revision"], revision)
            self.assertEqual(answer.json()["notPublished"], "if-match")
        for match in ("12", '""', 'W/"1"', '"1", "2"', '"a"', '"1" ',
                      '"' + "9" * 30 + '"'):
            answer = self.ask("POST", "/v1/releases/a/start", body=b"{}",
                              headers=["If-Match: " + match])
            if match != '"1" ':  # blanks at the end are the parser's
                self.assertEqual(answer.status, 400, match)
        answer = self.ask("GET", "/v1/releases/a")
        self.assertEqual(answer.headers["etag"], '"7"')
        for known, status in (('"7"', 304), ('"6"', 200), ('"6", "7"', 304),
                              ('W/"7"', 304), ("*", 304), ('"77"', 200)):
            answer = self.ask("GET", "/v1/releases/a",
                              headers=["If-None-Match: " + known])
            self.assertEqual(answer.status, status, known)
            self.assertEqual(answer.body == b"", status == 304)

    def test_the_hash_of_a_request(self):
        def ask(path, body, method="POST"):
            return self.ask(method, path, body=body).json()["sentence"]
        path, body = "/v1/releases/a/start", b'{"weight": 5}'
        expected = hashlib.sha256(b"POST\0" + path.encode() + b"\0" +
                                  body).hexdigest()
        self.assertEqual(ask(path, body), expected)
        large = b'{"weight": 5}' + b" " * 200000
        self.assertEqual(ask(path, large), hashlib.sha256(
            b"POST\0" + path.encode() + b"\0" + large).hexdigest())
        self.assertNotEqual(ask(path + "?dryRun=true", body), expected)
        self.assertNotEqual(ask("/v1/releases/b/start", body), expected)

    # ---- how bytes come -----------------------------------------------------

    def test_pipelined_requests(self):
        with self.served.connect() as s:
            one = (head("POST", "/v1/releases/a/start", self.served.admin, 2)
                   + b"{}" + head("GET", "/v1/releases/a", self.served.admin)
                   + head("POST", "/v1/plan", self.served.admin, 9) +
                   b'{"a": 1} ')
            s.sendall(one * 20)
            s.settimeout(LIMIT_S)
            data, wanted = b"", 60
            while data.count(b"HTTP/1.1 ") < wanted or \
                    not data.endswith(b"}\n"):
                more = s.recv(65536)
                self.assertNotEqual(more, b"")
                data += more
            codes = [int(line[9:12]) for line in data.split(b"\r\n")
                     if line.startswith(b"HTTP/1.1 ") or b"\nHTTP/1.1 " in
                     line for line in [line[line.index(b"HTTP/1.1 "):]]]
            self.assertEqual(codes, [200, 200, 400] * 20)

    def test_a_body_byte_by_byte(self):
        with self.served.connect() as s:
            body = b'{"weight": 5}'
            for byte in (head("POST", "/v1/releases/a/start",
                              self.served.admin, len(body)) + body):
                s.sendall(bytes([byte]))
            self.assertEqual(receive(s).status, 200)

    def test_expect_continue(self):
        with self.served.connect() as s:
            s.sendall(head("POST", "/v1/stop", self.served.admin, 2,
                           ["Expect: 100-continue"]))
            self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 100 "))
            s.sendall(b"{}")
            self.assertEqual(receive(s).status, 200)
        for token, size, status in ((self.served.admin, 65 * MIB, 413),
                                    ("gray_no", 2, 401)):
            with self.served.connect() as s:
                s.sendall(head("POST", "/v1/stop", token, size,
                               ["Expect: 100-continue"]))
                data = s.recv(100)
                self.assertTrue(data.startswith(b"HTTP/1.1 %d " % status),
                                data)

    def test_a_refused_body_is_no_second_request(self):
        """What follows a refused head is never read as a request."""
        inner = head("POST", "/v1/stop", self.served.admin, 2) + b"{}"
        before = self.ask("GET", "/v1/status").json()["called"]
        for path, method in (("/v1/whoami", "GET"), ("/v1/nothing", "GET"),
                             ("/v1/whoami", "POST"), ("/healthz", "DELETE"),
                             ("/v1/whoami", "HEAD")):
            with self.served.connect() as s:
                s.sendall(head(method, path, self.served.admin, len(inner))
                          + inner)
                data = b""
                try:
                    while more := s.recv(65536):
                        data += more
                except ConnectionResetError:
                    pass
                self.assertEqual(data.count(b"HTTP/1.1 "), 1, data)
        for lengths in ("Content-Length: 2\r\nTransfer-Encoding: chunked",
                        "Content-Length: 2\r\nContent-Length: 3",
                        "Transfer-Encoding: chunked, chunked",
                        "Transfer-Encoding: gzip",
                        "Content-Length: -1", "Content-Length: 2x",
                        "Content-Length: 99999999999999999999999"):
            with self.served.connect() as s:
                s.sendall(head("POST", "/v1/stop", self.served.admin, None, [
                    "Content-Type: application/json"])[:-2]
                    + lengths.encode() + b"\r\n\r\n" + b"{}" + inner)
                data = b""
                try:
                    while more := s.recv(65536):
                        data += more
                except ConnectionResetError:
                    pass
                # the library writes the head of some refusals twice
                for line in data.split(b"\r\n"):
                    if line.startswith(b"HTTP/1.1 "):
                        self.assertEqual(line[9:10], b"4", (lengths, data))
        after = self.ask("GET", "/v1/status").json()["called"]
        self.assertEqual(before, after)

    def test_odd_bytes(self):
        for odd in (b"\0" * 100, b"\r\n" * 50 + b"x", b"GET\r\n\r\n",
                    b"GET /healthz\r\n\r\n", b"GET /healthz HTTP/9.9\r\n\r\n",
                    b"GET /healthz HTTP/1.1\r\nHost localhost\r\n\r\n",
                    b"GET /healthz HTTP/1.1\r\n: x\r\n\r\n",
                    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n folded\r\n"
                    b"\r\n", b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n"
                    b"\r\nSM\r\n\r\n", b"GET " + b"/" * 9000 +
                    b" HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            with self.served.connect() as s:
                s.sendall(odd)
                s.shutdown(1)
                data = b""
                try:
                    while more := s.recv(65536):
                        data += more
                except ConnectionResetError:
                    pass
            self.alive()

    def test_spoilt_requests(self):
        """Good requests with bytes flipped, cut, doubled and put in between:
        a fixed row of them, so that a failure is the same tomorrow."""
        chance = random.Random(20261122)
        seeds = [head("GET", "/v1/releases/a?x=%41", self.served.admin),
                 head("POST", "/v1/plan", self.served.admin, 44) +
                 b'{"files":[{"name":"a","text":"b\\u00e4"}]}   ',
                 head("POST", "/v1/stop", self.served.admin, headers=[
                     "Transfer-Encoding: chunked", "Expect: 100-continue",
                     "Content-Type: application/json"]) +
                 b'5\r\n{"rea\r\n9;x=y\r\nson":"r"}\r\n0\r\nA: b\r\n\r\n',
                 head("DELETE", "/v1/documents/a/b?reason=r",
                      self.served.admin, headers=['If-Match: "1"',
                                                  "Idempotency-Key: k"])]
        for number in range(1500):
            data = bytearray(chance.choice(seeds))
            for _ in range(chance.randint(1, 4)):
                at = chance.randrange(len(data))
                end = min(len(data), at + chance.randint(1, 20))
                kind = chance.randrange(4)
                if kind == 0:
                    data[at] = chance.randrange(256)
                elif kind == 1 and len(data) > 40:
                    del data[at:end]
                elif kind == 2:
                    data[at:at] = data[at:end] * chance.choice((1, 1, 50))
                else:
                    data[at:at] = chance.randbytes(chance.randint(1, 8))
            with self.served.connect(number % 2 == 0) as s:
                try:
                    s.sendall(data)
                    s.setblocking(False)
                    s.recv(65536)
                except OSError:
                    pass  # no answer yet, or closed: both are good
            if number % 100 == 0:
                self.alive()
        self.alive()

    def test_heads_and_streams(self):
        answer = self.ask("HEAD", "/v1/releases/a")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.headers["etag"], '"7"')
        answer = self.ask("GET", "/v1/audit/export")
        self.assertEqual([json.loads(line)["n"] for line in
                          answer.body.splitlines()], list(range(10000)))
        answer = self.ask("GET", "/v1/releases/large")
        self.assertEqual(len(answer.json()["reason"]), MIB)
        for _ in range(20):  # gone in the middle: nothing stays behind
            with self.served.connect() as s:
                send(s, "GET", "/v1/audit/export", self.served.admin)
                s.recv(10)
        self.alive()


if __name__ == "__main__":
    SERVED = sys.argv.pop(1)
    unittest.main(verbosity=1)
