#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_host.py - the same commands on the host, with grayd dead or hanging.

Why: a release must be stoppable at three in the morning whatever grayd does,
and what was done then must be what grayd finds and keeps.
usage: test_host.py GRAY GRAYD
"""
import os
import signal
import sqlite3

from grayd_case import (Case, NOT_FOUND, REFUSED, SYSTEM, UNREACHABLE, USAGE,
                        main)


class Dead(Case):
    def setUp(self):
        super().setUp()
        self.apply()
        self.gray("start", "cart-2")
        self.end(signal.SIGKILL)

    def on_host(self, *words, **more):
        done = self.gray(*words, "--server", "unix:" + self.socket,
                         "--runtime", self.runtime, **more)
        self.assertIn(f"grayd does not answer at unix:{self.socket}; acting "
                      f"on {self.runtime}, grayd takes it over when it "
                      "returns\n", done.stderr)
        return done

    def test_each_that_goes_on_does(self):
        for words, seen in (
                (("status",), "cart-2"),
                (("explain", "--header", "cookie: uid=7"), "cart-2"),
                (("freeze", "cart-2"), "admits nobody new"),
                (("thaw", "cart-2"), "follows its share again"),
                (("kill", "cart-2", "--reason", "x"), "is killed"),
                (("unkill", "cart-2"), "follows its share again"),
                (("stop", "--all"), "sends everyone to the baseline"),
                (("open", "cart-2"), "follows its share again"),
                (("bypass", "on"), "bypass is on"),
                (("bypass", "off"), "bypass is off")):
            self.assertIn(seen, self.on_host(*words).stdout)
        self.on_host("stop", "cart-3", code=NOT_FOUND)
        self.on_host("status", "cart-2", "--timeout", "1", code=USAGE)

    def test_what_only_grayd_knows_is_not_dropped_in_silence(self):
        for option in (("--dry-run",), ("--key", "k"), ("--if-revision", "3")):
            done = self.on_host("stop", "cart-2", *option, code=USAGE)
            self.assertIn("needs grayd; nothing was done", done.stderr)
        self.assertIn("open", self.on_host("status").stdout)

    def test_everything_else_says_what_to_do(self):
        for words in (("apply", "-f", self.docs), ("get",), ("whoami",),
                      ("start", "cart-2"), ("plan", "-f", self.docs),
                      ("watch",), ("audit", "list"), ("list", "add", "a", "b"),
                      ("token", "list"), ("changes",)):
            done = self.gray(*words, code=UNREACHABLE)
            self.assertIn("systemctl start grayd", done.stderr)
            self.assertIn("gray publish", done.stderr)
        # a grayd of another host is no reason to act on this one
        self.gray("stop", "cart-2", "--server", "http://127.0.0.1:1",
                  "--runtime", self.runtime, code=UNREACHABLE)
        self.assertIn("open", self.on_host("status").stdout)

    def test_stopped_while_grayd_was_dead_stays_stopped(self):
        self.on_host("stop", "cart-2", "--reason", "wrong prices")
        self.start()
        self.assertIn("host-word: cart-2: what ", self.errors())
        release = self.facts("status", "cart-2")
        self.assertEqual((release["state"], release["word"]),
                         ("Aborted", "baseline"))
        self.assertEqual(release["reason"], "wrong prices")
        history = self.facts("history", "release", "cart-2")["versions"]
        self.assertEqual([v["state"] for v in history][:2],
                         ["Aborted", "Progressing"])
        self.assertTrue(self.facts("audit", "verify")["good"])
        # and through grayd it begins anew, on the host too
        self.gray("retry", "cart-2")
        folder = self.facts("status", "--local",
                            env={"GRAY_RUNTIME": self.runtime})
        self.assertEqual(folder["releases"][0]["word"], "open")

    def test_the_default_socket_that_never_was_says_nothing(self):
        os.unlink(self.runtime + "/grayd.lock")
        nobody = {"GRAY_SERVER": None, "GRAY_RUNTIME": self.runtime}
        done = self.gray("status", env=nobody)
        self.assertEqual(done.stderr, "")
        done = self.gray("status", "--runtime", self.runtime)
        self.assertEqual(done.stderr, "")
        done = self.gray("diff", "-f", self.docs, env=nobody)
        self.assertIn("cart-2", done.stdout)
        self.assertEqual(done.stderr, "")

    def test_audit_of_a_dead_grayd(self):
        report = self.facts("audit", "verify", "--state", self.state)
        self.assertTrue(report["good"])
        kept = report["records"]
        store = sqlite3.connect(self.state + "/store/store.db")
        tables = store.execute(
            "SELECT name, sql FROM sqlite_master WHERE type='table' AND "
            "name LIKE '%audit%'").fetchall()
        name, column = tables[0][0], "record"
        columns = [c[1] for c in
                   store.execute(f"PRAGMA table_info({name})").fetchall()]
        column = next(c for c in columns if c in ("record", "text"))
        for (trigger,) in store.execute(
                "SELECT name FROM sqlite_master WHERE type='trigger'"
                ).fetchall():
            store.execute(f"DROP TRIGGER {trigger}")
        store.execute(f"UPDATE {name} SET {column} = replace({column}, "
                      "'\"root\"', '\"toor\"') WHERE rowid = 2")
        store.commit()
        store.close()
        report = self.facts("audit", "verify", "--state", self.state,
                            code=REFUSED)
        self.assertEqual((report["good"], report["firstBad"]), (False, 2))
        text = self.gray("audit", "verify", "--state", self.state,
                         code=REFUSED).stdout
        self.assertIn("first bad record: 2", text)
        self.assertGreaterEqual(kept, 3)
        self.gray("audit", "verify", "--state", self.dir + "/none",
                  code=SYSTEM)


class Alive(Case):
    def test_publish_leaves_grayds_folder_alone(self):
        self.apply()
        before = self.facts("status")["generation"]
        done = self.gray("publish", "-f", self.docs, "--runtime",
                         self.runtime, code=REFUSED)
        self.assertIn("gray apply -f DOCS", done.stderr)
        self.assertEqual(self.facts("status")["generation"], before)
        self.end(signal.SIGTERM)
        self.gray("publish", "-f", self.docs, "--runtime", self.runtime,
                  "--dry-run", "--ignore-unreadable")
        self.start()

    def test_words_of_the_host_beside_a_living_grayd(self):
        self.apply()
        self.gray("start", "cart-2")
        done = self.gray("stop", "cart-2", "--local",
                         env={"GRAY_RUNTIME": self.runtime})
        self.assertNotIn("does not answer", done.stderr)
        self.wait_until("grayd takes the host's word over",
                        lambda: self.state_of() == "Aborted")

    def test_a_grayd_that_hangs_is_given_up(self):
        self.apply()
        self.gray("start", "cart-2")
        self.process.send_signal(signal.SIGSTOP)
        try:
            done = self.gray("stop", "cart-2", "--runtime", self.runtime,
                             "--server", "unix:" + self.socket, "--wait", "0")
        finally:
            self.process.send_signal(signal.SIGCONT)
        self.assertIn("going on with the runtime folder", done.stderr)
        self.assertIn("sends everyone to the baseline", done.stdout)
        self.wait_until("grayd takes it over",
                        lambda: self.state_of() == "Aborted")


if __name__ == "__main__":
    main()
