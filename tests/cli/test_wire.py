#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_wire.py - what lies between gray and grayd: who, where, and breaks.

Why: a change whose answer was lost is done once; a token goes to nobody but
the server that it is for; and an answer may be anything.
usage: test_wire.py GRAY GRAYD
"""
import json
import os
import signal
import subprocess
import threading

from grayd_case import (Case, DENIED, LIMIT_S, NOT_FOUND, OK, PROGRAMS,
                        REFUSED, SYSTEM, UNREACHABLE, USAGE, Wire, main)

ANSWER_MAX = 64 << 20


class Breaks(Case):
    def wire(self, **more):
        wire = Wire(self.dir + "/wire", **({"behind": self.socket} | more))
        self.addCleanup(wire.close)
        return wire, {"GRAY_SERVER": "unix:" + wire.path}

    def test_a_lost_answer_is_asked_for_again_with_the_same_key(self):
        self.apply()
        wire, env = self.wire()
        wire.drop = 2
        moved = self.facts("start", "cart-2", env=env)
        self.assertEqual(moved["release"]["state"], "Progressing")
        changes = wire.changes()
        self.assertEqual(len(changes), 3)
        self.assertEqual(len(set(changes)), 1, "one call, one key")
        self.assertTrue(changes[0][1].startswith("gray-"))
        self.assertEqual(len(self.actions("start")), 1)
        self.assertEqual(len(self.facts("history", "release",
                                        "cart-2")["versions"]), 2)
        # the next change has another key
        self.gray("pause", "cart-2", env=env)
        self.assertEqual(len(set(wire.changes())), 2)

    def test_who_gives_up_says_the_key(self):
        self.apply()
        wire, env = self.wire()
        wire.drop = 1000
        done = self.gray("start", "cart-2", env=env, code=UNREACHABLE)
        key = wire.changes()[0][1]
        self.assertIn(f"say it again with --key {key}", done.stderr)
        self.assertGreater(len(wire.changes()), 1)
        self.gray("start", "cart-2", "--key", key)
        self.assertEqual(len(self.actions("start")), 1)

    def test_deletions_are_repeated_too(self):
        self.apply()
        self.gray("lane", "disable", "red")
        wire, env = self.wire()
        wire.drop = 1
        self.gray("delete", "Lane", "red", env=env)
        self.assertEqual(len(wire.changes()), 2)

    def test_tokens_are_made_once_or_not_known(self):
        wire, env = self.wire()
        wire.drop = 1
        done = self.gray("token", "create", "ci", "--role", "viewer", env=env,
                         code=UNREACHABLE)
        self.assertIn("look before it is said again", done.stderr)
        self.assertEqual([c[1] for c in wire.changes()], [None])

    def test_grayd_restarts_between_call_and_answer(self):
        self.apply()
        wire, env = self.wire()
        wire.drop = 1
        before = wire.one

        def restart(stream):
            before(stream)
            if len(wire.changes()) == 1 and self.process is not None:
                self.end(signal.SIGKILL)
                self.start()
        wire.one = restart
        self.gray("start", "cart-2", env=env)
        self.assertEqual(len(self.actions("start")), 1)

    def test_answers_that_are_none(self):
        head = b"HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: "
        for status, body, code in (
                (b"200 OK", b"<html>", SYSTEM), (b"502 Bad", b"<html>", SYSTEM),
                (b"302 Found\r\nLocation: http://127.0.0.1:1/", b"{}", SYSTEM),
                (b"404 Not", b"{}", NOT_FOUND)):
            wire, env = self.wire(
                behind=None, answer=[(head % status) +
                                     b"%d\r\n\r\n" % len(body) + body])
            self.gray("whoami", env=env, code=code)
            wire.close()
            self.assertEqual(len(wire.calls), 1)

    def test_an_answer_has_a_limit(self):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
        for length, code in ((ANSWER_MAX, OK), (ANSWER_MAX + 1, SYSTEM)):
            pad = length - len(b'{"name":""}')
            wire, env = self.wire(behind=None, answer=[
                head % length, b'{"name":"', b"x" * pad, b'"}'])
            done = self.gray("whoami", "-o", "json", env=env, code=code)
            self.assertEqual("more than 67108864 bytes" in done.stderr,
                             code == SYSTEM)
            wire.close()

    def test_what_answers_say_does_not_steer_the_terminal(self):
        body = json.dumps({"type": "x", "title": "x", "status": 409,
                           "code": "refused", "detail": "a\x1b[2Jb",
                           "findings": [{"severity": "error", "code": "\x1b]",
                                         "sentence": "\x9b\x07c"}]}).encode()
        _, env = self.wire(behind=None, answer=[
            b"HTTP/1.1 409 No\r\nContent-Length: %d\r\n\r\n" % len(body) +
            body])
        done = self.gray("whoami", env=env, code=REFUSED)
        self.assertIn("a?[2Jb", done.stderr)
        for byte in ("\x1b", "\x07", "\x9b"):
            self.assertNotIn(byte, done.stderr)


class Watching(Case):
    def test_each_change_once_through_a_death(self):
        self.apply()
        watch = subprocess.Popen(
            [PROGRAMS["gray"], "watch", "-o", "json", "-n", "6", "--timeout",
             "50"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.env())
        self.addCleanup(watch.stderr.close)
        self.addCleanup(watch.stdout.close)
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(
            iter(watch.stdout.readline, "")))
        reader.start()
        number = 0
        while not lines:  # until it listens
            self.gray("list", "add", "testers", f"y{number}")
            number += 1
            self.assertLess(number, 500)
        self.end(signal.SIGKILL)
        self.start()
        for i in range(6):
            self.gray("list", "add", "testers", f"z{i}")
        self.assertEqual(watch.wait(LIMIT_S), OK)
        reader.join(LIMIT_S)
        seen = [json.loads(line)["sequence"] for line in lines]
        self.assertEqual(len(seen), 6)
        self.assertEqual(seen, sorted(set(seen)))
        told = [r["sequence"] for r in self.facts("changes")["changes"]]
        first = told.index(seen[0])
        self.assertEqual(told[first:first + 6], seen)
        self.assertIn("trying again after record", watch.stderr.read())

    def test_nothing_happens(self):
        self.assertEqual(self.gray("watch", "--timeout", "0.3").stdout, "")
        self.gray("watch", code=UNREACHABLE,
                  env={"GRAY_SERVER": "unix:/nonexistent"})


class Identities(Case):
    listen = "127.0.0.1:0"

    def token(self, name, role, *scopes):
        path = f"{self.dir}/{name}.token"
        self.gray("token", "create", name, "--role", role, "--into", path,
                  *[w for s in scopes for w in ("--scope", s)])
        return path

    def test_roles_scopes_and_strangers(self):
        self.apply()
        url = f"http://127.0.0.1:{self.port}"
        viewer = self.token("eve", "viewer")
        other = self.token("pay", "operator", "pay")
        mine = self.token("cart", "operator", "cart")
        def run(path, *words, **more):
            return self.gray(*words, "--server", url, "--token-file", path,
                             **more)
        done = self.gray("whoami", "--server", url, code=DENIED)
        self.assertIn("--token-file FILE", done.stderr)
        self.assertIn("eve at", run(viewer, "whoami").stdout)
        self.assertIn("[forbidden]", run(viewer, "start", "cart-2",
                                         code=DENIED).stderr)
        run(other, "start", "cart-2", code=DENIED)
        run(mine, "start", "cart-2")
        run(mine, "audit", "list", code=DENIED)
        run(mine, "undo", "cart-2", "--to-revision", "2", "--reason", "x",
            code=DENIED)
        wrong = self.write("gray_0123456789abcdef_" + "A" * 43 + "\n",
                           "wrong", 0o600)
        run(wrong, "whoami", code=DENIED)
        with open(mine, encoding="ascii") as f:
            secret = f.read().strip()
        done = self.gray("whoami", "--server", url,
                         env={"GRAY_TOKEN": secret,
                              # a proxy would see the token in clear
                              "http_proxy": "http://127.0.0.1:1"})
        self.assertIn("cart at", done.stdout)
        self.gray("whoami", "--server", url, "--token-file", "-",
                  stdin=secret + "\n")
        self.gray("whoami", "--server", url, env={"GRAY_TOKEN": "a b"},
                  code=USAGE)
        outcomes = {r["outcome"] for r in self.actions("start")}
        self.assertIn("denied", outcomes)

    def test_secrets_that_others_may_read(self):
        path = self.token("eve", "viewer")
        url = f"http://127.0.0.1:{self.port}"
        words = ("whoami", "--server", url, "--token-file", path)
        self.gray(*words)
        for mode in (0o640, 0o604, 0o602):
            os.chmod(path, mode)
            done = self.gray(*words, code=USAGE)
            self.assertIn(f"mode {mode:04o}", done.stderr)
        self.gray("whoami", "--token-file", self.dir + "/none", code=USAGE)
        self.gray("whoami", "--token-file", self.dir, code=USAGE)
        for text in ("", "two words", "x" * 4097):
            self.gray("whoami", "--token-file",
                      self.write(text, "odd", 0o600), code=USAGE)

    def test_a_token_does_not_go_over_a_network_in_clear(self):
        path = self.token("eve", "viewer")
        for url in ("http://gray.example:7170", "http://127.0.0.1.example",
                    "http://127.evil", "http://[::2]:1"):
            done = self.gray("whoami", "--server", url, "--token-file", path,
                             code=USAGE)
            self.assertIn("in clear", done.stderr)


class Secured(Case):
    listen = "127.0.0.1:0"

    def setUp(self):
        self.options = ()
        self.keys = "/dev/shm/gray-tls-%d" % os.getpid()
        os.makedirs(self.keys, mode=0o700)
        self.addCleanup(lambda: subprocess.run(["rm", "-rf", self.keys],
                                               check=True))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes",
             "-keyout", self.keys + "/key.pem", "-out",
             self.keys + "/cert.pem", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost"],
            check=True, capture_output=True)
        self.options = ("--tls-certificate", self.keys + "/cert.pem",
                        "--tls-key", self.keys + "/key.pem")
        super().setUp()

    def test_only_whom_the_ca_vouches_for(self):
        path = self.dir + "/eve"
        self.gray("token", "create", "eve", "--role", "viewer", "--into",
                  path)
        ca = self.keys + "/cert.pem"
        words = ("whoami", "--token-file", path, "--server")
        url = f"https://localhost:{self.port}"
        done = self.gray(*words, url, code=UNREACHABLE)
        self.assertIn("is not believed", done.stderr)
        self.assertIn("eve at", self.gray(*words, url, "--ca", ca).stdout)
        # the right key under another name is another server
        self.gray(*words, f"https://127.0.0.1:{self.port}", "--ca", ca,
                  code=UNREACHABLE)
        self.gray("context", "add", "tls", "--server", url, "--ca", ca,
                  "--token-file", path)
        self.assertIn("eve at", self.gray("whoami", "--context",
                                          "tls").stdout)


class Contexts(Case):
    def setUp(self):
        super().setUp()
        self.place = "unix:" + self.socket
        self.file = self.dir + "/contexts.json"

    def context(self, *words, **more):
        return self.gray("context", *words, env={"GRAY_SERVER": None}, **more)

    def test_add_use_list_remove(self):
        self.assertIn("no context", self.context("list").stdout)
        self.context("add", "here", "--server", self.place)
        self.context("add", "there", "--server", "https://gray.example/",
                     "--token-file", "-", stdin="secret-word\n")
        self.assertEqual(os.stat(self.file).st_mode & 0o777, 0o600)
        text = self.context("list").stdout
        self.assertRegex(text, r"here +unix:")
        self.assertNotIn("secret-word", text +
                         self.context("list", "-o", "json").stdout)
        # none is the current one before somebody says so
        self.assertIn("[]", json.dumps([
            c for c in json.loads(self.context(
                "list", "-o", "json").stdout)["contexts"] if c["current"]]))
        self.context("use", "here")
        self.assertRegex(self.context("list").stdout, r"here +yes +unix:")
        self.assertIn("root at", self.gray(
            "whoami", env={"GRAY_SERVER": None}).stdout)
        self.context("use", "there")
        self.assertEqual(
            [c["current"] for c in json.loads(
                self.context("list", "-o", "json").stdout)["contexts"]],
            [False, True])
        self.assertIn("root at", self.gray(
            "whoami", "--context", "here", env={"GRAY_SERVER": None}).stdout)
        self.assertIn("root at", self.gray(
            "whoami", "--server", self.place,
            env={"GRAY_SERVER": None}).stdout)
        self.assertIn("did you mean: here",
                      self.context("use", "hero", code=NOT_FOUND).stderr)
        self.context("add", "here", "--server", self.place, code=REFUSED)
        self.context("add", "x", code=USAGE)
        self.context("add", "x", "--server", "gopher://x", code=USAGE)
        self.context("remove", "there")
        self.context("remove", "there", code=NOT_FOUND)
        self.gray("whoami", "--context", "there", code=NOT_FOUND)

    def test_a_file_that_others_may_read_is_refused(self):
        self.context("add", "here", "--server", self.place)
        for mode in (0o640, 0o604, 0o660):
            os.chmod(self.file, mode)
            done = self.gray("whoami", env={"GRAY_SERVER": None}, code=USAGE)
            self.assertIn(f"mode {mode:04o}", done.stderr)
            self.context("list", code=USAGE)
        # who says the server needs no file
        self.gray("whoami")

    def test_files_that_are_none(self):
        for text in ("{", "[]", '{"contexts":[{"name":1}]}',
                     '{"contexts":[],"contexts":[]}',
                     json.dumps({"contexts": [{"name": str(i), "server": "x"}
                                              for i in range(257)]}),
                     " " * ((1 << 20) + 1)):
            self.write(text, "contexts.json", 0o600)
            self.context("list", code=USAGE)
        self.write('{"contexts":[]}' + " " * ((1 << 20) - 15),
                   "contexts.json", 0o600)
        self.context("list")
        self.write(json.dumps({"contexts": [{"name": str(i), "server": "x"}
                                            for i in range(256)]}),
                   "contexts.json", 0o600)
        self.context("list")
        self.context("add", "one-more", "--server", self.place, code=USAGE)


if __name__ == "__main__":
    main()
