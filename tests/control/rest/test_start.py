#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_start.py - where it listens, what it refuses to, and how it ends.

usage: test_start.py SERVED
"""
import os
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import unittest

from harness import LIMIT_S, Served, head, receive

SERVED = ""


class Start(unittest.TestCase):
    def refused(self, *options):
        served = Served(SERVED, *options)
        try:
            self.assertIsNotNone(served.refused, options)
            return served.refused
        finally:
            served.stop()

    def test_what_cannot_be_listened_on_is_said(self):
        for address, code in (("127.0.0.1", "bad-listen"),
                              ("::1:7170", "bad-listen"),
                              ("127.0.0.1:", "bad-listen"),
                              (":7170", "bad-listen"),
                              ("127.0.0.1:http", "bad-listen"),
                              ("127.0.0.1:99999999", "bad-listen"),
                              ("a" * 300 + ":1", "bad-listen"),
                              ("0.0.0.0:0", "tls-missing"),
                              ("[::]:0", "tls-missing")):
            said = self.refused("listen=" + address)
            self.assertTrue(said.startswith(code + ": "), said)
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
            said = self.refused(f"listen=127.0.0.1:{port}")
        self.assertTrue(said.startswith("cannot-listen: "), said)
        self.assertIn("in use", said)

    def test_no_tcp_at_all(self):
        with Served(SERVED, "listen=") as served:
            self.assertEqual(served.port, 0)
            self.assertEqual(served.ask("GET", "/healthz", local=True).status,
                             200)

    def test_ipv6(self):
        try:
            with socket.create_server(("::1", 0), family=socket.AF_INET6):
                pass
        except OSError:
            self.skipTest("no ::1 here")
        with Served(SERVED, "listen=[::1]:0") as served:
            with socket.create_connection(("::1", served.port), LIMIT_S) as s:
                s.sendall(head("GET", "/healthz",
                               headers=[f"Host: [::1]:{served.port}"]))
                self.assertEqual(receive(s).status, 200)

    def certificate(self, folder):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", folder + "/key.pem", "-out", folder + "/cert.pem"],
            check=True, capture_output=True)
        return folder + "/cert.pem", folder + "/key.pem"

    def test_tls(self):
        folder = tempfile.mkdtemp(prefix="gray-tls-", dir="/dev/shm")
        try:
            cert, key = self.certificate(folder)
            for options in ((f"certificate={cert}",), (f"key={key}",),
                            (f"certificate={cert}", f"key={cert}"),
                            (f"certificate={folder}/no", f"key={key}")):
                said = self.refused(*options)
                self.assertTrue(said.startswith("bad-tls: "), said)
            with Served(SERVED, f"certificate={cert}",
                        f"key={key}") as served:
                self.tls(served, cert)
        finally:
            shutil.rmtree(folder)

    def tls(self, served, cert):
        context = ssl.create_default_context(cafile=cert)
        with context.wrap_socket(served.connect(),
                                 server_hostname="localhost") as s:
            self.assertIn(s.version(), ("TLSv1.2", "TLSv1.3"))
            s.sendall(head("GET", "/v1/whoami", served.admin))
            self.assertEqual(receive(s).json()["name"], "admin-all")
            body = b'{"files":[{"name":"a","text":"%s"}]}' % (b"x" * 300000)
            s.sendall(head("POST", "/v1/apply", served.admin, len(body)))
            s.sendall(body)
            self.assertEqual(receive(s).status, 200)
        with served.connect() as s:  # in the clear: no answer of ours
            s.sendall(head("GET", "/healthz"))
            try:
                self.assertNotIn(b"HTTP/1.1 200", s.recv(1000))
            except ConnectionResetError:
                pass
        self.assertEqual(served.ask("GET", "/healthz", local=True).status, 200)

    def test_the_socket(self):
        with Served(SERVED) as served:
            mode = os.stat(served.path)
            self.assertTrue(stat.S_ISSOCK(mode.st_mode))
            self.assertEqual(stat.S_IMODE(mode.st_mode), 0o666)
            folder = os.stat(os.path.dirname(served.path))
            self.assertEqual(stat.S_IMODE(folder.st_mode), 0o755)
            served.process.stdin.close()
            self.assertEqual(served.process.wait(LIMIT_S), 0)
            self.assertFalse(os.path.exists(served.path))

    def test_a_socket_is_replaced_only_when_nobody_listens(self):
        for make, good in ((self.dead, True), (self.live, False),
                           (self.no_socket, False)):
            kept = []

            class Prepared(Served):
                pass
            original = os.mkdir

            def mkdir(path, *mode):
                original(path, *mode)
                if path.endswith("/state"):
                    door = os.path.dirname(path) + "/door"
                    original(door, 0o700)
                    kept.append(make(door + "/grayd.sock"))
            os.mkdir = mkdir
            try:
                served = Prepared(SERVED)
            finally:
                os.mkdir = original
            if good:
                self.assertIsNone(served.refused)
                self.assertEqual(served.ask("GET", "/healthz",
                                            local=True).status, 200)
            else:
                self.assertTrue(served.refused.startswith("in-use: "))
                self.assertTrue(os.path.exists(served.path))
            served.stop()
            if kept[0] is not None:
                kept[0].close()

    def dead(self, path):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)

    def live(self, path):
        s = socket.socket(socket.AF_UNIX)
        s.bind(path)
        s.listen()
        return s

    def no_socket(self, path):
        with open(path, "w", encoding="ascii"):
            pass

    def test_what_waits_is_answered_before_the_end(self):
        """A call held in the control thread, a half body, an idle one."""
        with Served(SERVED) as served:
            held, half, idle = (served.connect() for _ in range(3))
            held.sendall(head("POST", "/v1/lanes/hold/enable", served.admin, 2)
                         + b"{}")
            half.sendall(head("POST", "/v1/stop", served.admin, 2) + b"{")
            for _ in range(1000000):
                text = served.ask("GET", "/metrics", served.admin).body
                if b'grayd_queue_length{queue="control"} 1\n' in text:
                    break
            else:
                self.fail("it never waited")
            # others are answered meanwhile
            self.assertEqual(served.ask("GET", "/v1/releases/a",
                                        served.admin).status, 200)
            self.assertEqual(served.ask("GET", "/v1/status",
                                        served.admin).status, 200)
            self.assertEqual(receive(held).status, 200)
            served.stop()
            self.assertEqual(idle.recv(10), b"")
            for s in (held, half, idle):
                s.close()

    def test_a_client_that_went_while_it_waited(self):
        with Served(SERVED) as served:
            for _ in range(20):
                with served.connect() as s:
                    s.sendall(head("POST", "/v1/lanes/hold/enable",
                                   served.admin, 2) + b"{}")
            for _ in range(1000000):
                served.ask("GET", "/v1/status", served.admin)
                if b'queue="control"} 0\n' in served.ask(
                        "GET", "/metrics", served.admin).body:
                    break
            else:
                self.fail("they still wait")


if __name__ == "__main__":
    SERVED = sys.argv.pop(1)
    unittest.main(verbosity=1)
