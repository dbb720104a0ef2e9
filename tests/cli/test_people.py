#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_people.py - slips of tired people, and words meant to mislead them.

Why: a moment of yesterday, a scope from a terminal of another encoding, or a
reason that steers the reader's terminal each did the opposite of what was
typed or shown; none of it may pass in silence.
usage: test_people.py GRAY GRAYD
"""
import os
import resource
import subprocess

from grayd_case import (Case, DENIED, LIMIT_S, OK, PROGRAMS, REFUSED, SHOP,
                        SYSTEM, USAGE, main)


class People(Case):
    def raw(self, *words):
        """gray with words that are bytes."""
        return subprocess.run(
            [PROGRAMS["gray"], *words], capture_output=True, check=False,
            timeout=LIMIT_S, env=self.env())

    def test_a_moment_that_has_passed_is_not_now(self):
        for text in ("2020-01-01T00:00:00Z", "tomorrow", "03:00"):
            done = self.gray("apply", "-f", self.docs, "--at", text,
                             code=USAGE)
            self.assertIn(text, done.stderr)
        self.assertEqual(self.actions("apply"), [])
        self.apply()
        self.gray("apply", "-f", self.docs, "--at", "tomorrow", code=USAGE)
        done = self.gray("apply", "-f", self.docs, "--at",
                         "2099-01-01T00:00:00Z")
        self.assertIn("nothing was scheduled", done.stdout)

    def test_what_is_not_utf8_is_not_left_out(self):
        self.apply()
        for words in (("token", "create", "x", "--role", "operator",
                       "--scope", b"caf\xe9"),
                      ("start", "cart-2", "--reason", b"caf\xe9"),
                      ("apply", "-f", self.docs, "--at", b"2099\xff"),
                      ("context", "add", b"caf\xe9", "--server", "unix:/x")):
            done = self.raw(*words)
            self.assertEqual(done.returncode, USAGE, words)
            self.assertIn(b"not UTF-8", done.stderr)
        self.assertEqual(len(self.facts("token", "list")["tokens"]), 1)
        self.assertEqual(self.state_of(), "Initialized")
        # names of files are bytes
        name = os.fsencode(self.dir) + b"/caf\xe9"
        done = self.raw("token", "create", "x", "--role", "viewer", "--into",
                        name)
        self.assertEqual(done.returncode, OK, done.stderr)
        self.assertTrue(os.path.exists(name))

    def test_a_reason_steers_no_terminal(self):
        self.apply()
        self.gray("start", "cart-2", "--reason",
                  "a\x1b[31mred\x1b[0m\n\u202eback\u2066x \u4e2d\u6587")
        for words in (("describe", "Release", "cart-2"),
                      ("history", "release", "cart-2"), ("changes",),
                      ("audit", "list")):
            text = self.gray(*words).stdout
            self.assertIn("red", text)
            self.assertIn("\u4e2d\u6587", text)
            for bad in ("\x1b", "\u202e", "\u2066", "\nback"):
                self.assertNotIn(bad, text, words)

    def test_each_refusal_says_what_to_do(self):
        self.apply()
        done = self.gray("undo", "cart-2", "--reason", "x", code=USAGE)
        self.assertIn("--to-revision N; gray history release cart-2",
                      done.stderr)
        text = self.gray("describe", "Release", "cart-2").stdout
        self.assertLess(text.index("may:"), text.index('"kind"'))
        self.gray("token", "create", "x", "--role", "viewer", "--into",
                  self.dir + "/none/x", code=SYSTEM)
        self.assertEqual(len(self.facts("token", "list")["tokens"]), 1)
        self.gray("token", "create", "eve", "--role", "operator", "--scope",
                  "pay", "--scope", "order", "--into", self.dir + "/eve")
        self.assertRegex(self.gray("token", "list").stdout,
                         r"eve +operator +pay\* order\* ")
        done = self.gray("start", "cart-2", "--token-file",
                         self.dir + "/eve", code=DENIED)
        self.assertIn("gray whoami says", done.stderr)
        done = self.gray("delete", "Lane", "red", code=REFUSED)
        self.assertIn("gray lane disable red", done.stderr)
        self.assertNotIn("1 errors", done.stderr)
        self.gray("lane", "disable", "red")
        self.gray("delete", "Lane", "red")

    def test_aborted_says_where_everyone_is(self):
        self.apply()
        self.gray("start", "cart-2")
        text = self.gray("stop", "cart-2").stdout
        self.assertIn("its share is 0; everyone goes to the baseline", text)
        self.assertNotIn("stay", text)
        self.gray("retry", "cart-2")
        text = self.gray("abort", "cart-2", "--keep", "--reason", "x").stdout
        self.assertIn("those in stay in", text)

    def test_a_release_that_is_over_names_what_lets_it_go(self):
        self.apply()
        self.gray("start", "cart-2")
        self.gray("promote", "cart-2", "--full")
        self.gray("finish", "cart-2")
        done = self.gray("delete", "Release", "cart-2", code=REFUSED)
        self.assertNotIn("gray abort", done.stderr)
        self.assertIn("the baseline of its services first", done.stderr)
        self.gray("apply", "-f", self.write(SHOP.replace(
            "baseline: {version: v1}", "baseline: {version: v2}")))
        self.gray("delete", "Release", "cart-2")
        done = self.gray("apply", "-f", self.docs, code=REFUSED)
        self.assertIn("take Release/cart-2 out of the files", done.stderr)

    def test_a_wrong_word_to_grayd_leads_to_its_help(self):
        done = subprocess.run([PROGRAMS["grayd"], "--lisen", "none"],
                              capture_output=True, text=True, check=False,
                              timeout=LIMIT_S)
        self.assertEqual(done.returncode, 2)
        self.assertIn("grayd --help", done.stderr)

    def test_changes_name_what_they_changed(self):
        self.apply()
        text = self.gray("changes").stdout
        self.assertRegex(text, r"apply +Service/cart and 3 more ")

    def test_a_socket_has_no_port(self):
        self.process.kill()
        self.process.wait(LIMIT_S)
        done = self.gray("whoami", code=8)
        self.assertNotIn("port 80", done.stderr)
        self.assertIn("Connection refused", done.stderr)
        os.unlink(self.socket)
        done = self.gray("whoami", code=8)
        self.assertIn("No such file or directory", done.stderr)

    def test_a_watcher_sees_how_far_it_went(self):
        self.apply()
        with subprocess.Popen(
                [PROGRAMS["gray"], "watch", "-n", "1"], text=True,
                stdout=subprocess.PIPE, env=self.env()) as watch:
            self.wait_until("a watcher", lambda: "grayd_events_watchers 1" in
                            self.metrics())
            self.gray("start", "cart-2", "--reason", "go")
            text, _ = watch.communicate(timeout=LIMIT_S)
        self.assertIn("Release/cart-2  Initialized 0 % -> Progressing 1 %  go",
                      text)

    def metrics(self):
        return subprocess.run(
            ["curl", "-s", "--unix-socket", self.socket,
             "http://localhost/metrics"], capture_output=True, text=True,
            check=True, timeout=LIMIT_S).stdout

    def test_what_the_host_says_is_seen_while_the_disk_is_full(self):
        self.apply()
        self.gray("start", "cart-2")
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (0, 0))
        self.gray("set-weight", "cart-2", "20", code=SYSTEM)
        self.gray("stop", "cart-2", "--local",
                  env={"GRAY_RUNTIME": self.runtime})
        text = self.gray("status", "cart-2").stdout
        self.assertIn("cart-2: the host says stopped, and that is in force",
                      text)

    def test_the_one_button_works_while_the_disk_is_full(self):
        self.apply()
        self.gray("start", "cart-2")
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (0, 0))
        done = self.gray("stop", "cart-2", "--server",
                         "unix:" + self.socket, "--runtime", self.runtime)
        self.assertIn("going on with the runtime folder", done.stderr)
        self.assertIn("cart-2", done.stdout)

    def test_no_token_is_said_once(self):
        done = self.gray("whoami", "--token-file", self.dir + "/none",
                         code=USAGE)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        done = self.gray("whoami", env={"GRAY_TOKEN": "a b"}, code=USAGE)
        self.assertIn("$GRAY_TOKEN holds no token", done.stderr)


if __name__ == "__main__":
    main()
