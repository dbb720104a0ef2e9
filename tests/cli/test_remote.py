#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_remote.py - every command that asks grayd, as table and as JSON.

Why: the table of commands says what exists; here each of them does its work
once against a grayd that lives, and none may be forgotten.
usage: test_remote.py GRAY GRAYD
"""
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess

from grayd_case import (Case, INCOMPLETE, LIMIT_S, NOT_FOUND, OK, PROGRAMS,
                        REFUSED, SHOP, STALE, USAGE, main)


class Everything(Case):
    """The story of one release, told by every command."""

    def both(self, *words, code=OK, **more):
        """As JSON and as a table; a change is said twice by its key."""
        self.said.add(words[0])
        self.said.add(" ".join(words[:2]))
        keyed = more.pop("keyed", None)
        if keyed:
            words = (*words, "--key", keyed)
        facts = self.facts(*words, code=code, **more)
        text = self.gray(*words, code=code, **more).stdout
        self.assertNotEqual(text, "")
        self.assertRaises(ValueError, json.loads, text)
        return facts, text

    def test_each_command_does_its_work(self):
        self.said = set()
        me, text = self.both("whoami")
        self.assertEqual((me["role"], me["via"]), ("admin", "socket"))
        self.assertIn("root at unix:", text)
        self.documents()
        self.marks()
        self.release()
        self.small_changes()
        self.looking()
        self.reconciled()
        self.tokens()
        self.hosts()
        self.audit()
        commands = self.gray("help", "--as", "markdown").stdout
        for words, options in re.findall(
                r"### gray ([a-z -]+)\n.*?\nOptions:([^\n]*)", commands,
                re.S):
            if "--server" in options and not words.startswith("context"):
                self.assertIn(words, self.said, f"gray {words} is not tested")

    def hosts(self):
        self.assertIn("no host has reported", self.gray("hosts").stdout)
        made = self.facts("token", "create", "a", "--role", "agent", "--scope",
                          "h1")
        self.assertRegex(self.gray("token", "list").stdout,
                         r"agent +h1 ")  # one host, and no beginning
        done = subprocess.run(
            ["curl", "-s", "--unix-socket", self.socket, "-H",
             "Authorization: Bearer " + made["token"], "-H",
             "Content-Type: application/json", "-d", json.dumps(
                 {"host": "h1", "sequence": 0, "epoch": 0, "readers": [],
                  "refused": {"sequence": 7, "sentence": "torn"}}),
             "http://localhost/v1/hosts/h1/report"], capture_output=True,
            text=True)
        self.assertEqual(json.loads(done.stdout)["leaseMs"], 0, done)
        rows, text = self.both("hosts")
        self.assertEqual([h["name"] for h in rows["hosts"]], ["h1"])
        self.assertRegex(text, "h1 +refuses .*refuses bundle 7: torn")
        self.assertIn("refuses bundle 7", self.gray("status").stdout)
        found, text = self.both("marks", "conflicts", "cart-2")
        self.assertEqual(found["count"], 0)
        self.assertIn("0 units were told differently", text)
        self.said.add("hosts forget")
        self.assertIn("would be forgotten", self.gray(
            "hosts", "forget", "h1", "--dry-run").stdout)
        self.assertIn("h1 is forgotten", self.gray(
            "hosts", "forget", "h1", "--reason", "r").stdout)
        self.gray("hosts", "forget", "h1", code=NOT_FOUND)

    def documents(self):
        changed, text = self.both("apply", "-f", self.docs, "--reason", "one",
                                  "--wait", "5", keyed="apply-1")
        self.assertEqual(changed["revision"], 2)
        self.assertEqual(len(changed["changes"]), 4)
        self.assertEqual(changed["readers"], [])
        self.assertRegex(text, "added Release/cart-2")
        self.assertRegex(text, "revision 2 was made before, by the same key")
        again = self.facts("apply", "-f", self.docs)
        self.assertEqual((again["revision"], again["changes"]), (2, []))
        self.assertIn("no difference; revision 2 stays",
                      self.gray("apply", "-f", self.docs).stdout)
        kinds, text = self.both("get")
        self.assertEqual([d["kind"] for d in kinds["documents"]],
                         ["Lane", "List", "Release", "Service"])
        self.assertEqual(len(self.facts("get", "release")["documents"]), 1)
        one, text = self.both("get", "Service", "cart")
        self.assertEqual(one["document"]["name"], "cart")
        self.assertIn("by root", text)
        whole, text = self.both("describe", "release", "cart-2")
        self.assertEqual(whole["release"]["state"], "Initialized")
        self.assertEqual(len(whole["versions"]), 1)
        self.assertIn("may: start set-weight", text)
        self.both("history", "Release", "cart-2")
        # what a plan says is refused, apply refuses
        other = self.write(SHOP.replace("version: v2}]", "version: v3}]"),
                           "other.yaml")
        plan, text = self.both("plan", "-f", other, code=REFUSED)
        self.assertFalse(plan["accepted"])
        self.assertIn("REFUSED for 1 reason; nothing was written", text)
        done = self.gray("apply", "-f", other, code=REFUSED)
        self.assertRegex(done.stderr, r"other\.yaml:\d+:\d+: error: .*\[")
        self.assertIn("[findings]", done.stderr)
        problem = self.facts("apply", "-f", other, code=REFUSED)
        self.assertEqual((problem["status"], problem["code"]),
                         (422, "findings"))
        more = self.write(SHOP.replace("[alice]", "[alice, bob]"), "more.yaml")
        diff, text = self.both("diff", "-f", more)
        self.assertEqual([c["name"] for c in diff["changes"]], ["testers"])
        self.assertIn("testers", text)
        self.assertEqual(self.facts("plan", "-f", more)["accepted"], True)

    def marks(self):
        """Before the release starts: who is in already."""
        csv = self.write("unit,state\n1007,in\n\"a,\"\"b\"\"\",out\n",
                         "units.csv")
        lines = self.write('{"unit": "1007", "state": "in", "variant": 0}\n'
                           '{"unit": "1008", "state": "in"}\n'
                           '{"unit": "a,\\"b\\"", "state": "in"}\n',
                           "units.jsonl")
        done = self.facts("marks", "import", "cart-2", csv, "--as-of",
                          "2026-01-31T07:00:00Z", "--reason", "cut-over")
        self.assertEqual((done["put"], done["conflicts"]), (2, 0))
        text = self.gray("marks", "import", "cart-2", lines,
                         code=REFUSED).stdout
        self.assertIn("3 rows: 1 put, 1 the same, 1 conflicts", text)
        self.assertIn('a,"b": out stands here, and stays', text)
        done, text = self.both("marks", "import", "cart-2", lines, "--verify",
                               code=REFUSED)
        self.assertEqual([done[k] for k in ("same", "missing", "other")],
                         [2, 0, 1])
        self.assertIn('a,"b": out here, in in the file', text)
        self.said.update(["marks import", "marks export"])
        mark, text = self.both("marks", "get", "cart-2", "1007")
        self.assertEqual((mark["state"], mark["durable"]), ("in", True))
        self.assertEqual(mark["history"][0]["reason"], "cut-over")
        self.assertIn("1007: in, variant 0, attempt 1", text)
        here = json.loads(self.gray(
            "marks", "get", "cart-2", "1007", "--runtime", self.runtime, "-o",
            "json").stdout)
        self.assertEqual({k: here[k] for k in here},
                         {k: mark[k] for k in here})
        rows, text = self.both("marks", "list", "cart-2", "in")
        self.assertEqual([r["unit"] for r in rows["marks"]], ["1007", "1008"])
        self.assertEqual(len(self.facts("marks", "list", "cart-2", "-n", "1")
                             ["marks"]), 1)
        out = self.gray("marks", "export", "cart-2").stdout
        self.assertEqual([json.loads(line)["unit"]
                          for line in out.splitlines()],
                         ["1007", 'a,"b"', "1008"])
        again = self.write(out, "out.jsonl")
        self.gray("marks", "import", "cart-2", again, "--verify")
        done, text = self.both("marks", "repair", "cart-2", 'a,"b"', "in",
                               "--reason", "its row is new")
        self.assertEqual((done["before"], done["after"]), ("out", "in"))
        self.assertIn('a,"b": in -> in', text)
        done, text = self.both("marks", "settle", "cart-2", "1007", "nobody",
                               "--reason", "its refund is through",
                               code=REFUSED)
        self.assertEqual([done[k] for k in ("settled", "already", "unknown")],
                         [1, 0, 1])
        self.assertIn("nobody", text)
        # More than a part, a page and a piece hold.
        many = self.write("".join(f"gone-{n},revoked\n" for n in range(2500)),
                          "many.csv")
        done = self.facts("marks", "import", "cart-2", many)
        self.assertEqual((done["rows"], done["put"]), (2500, 2500))
        rows = self.facts("marks", "list", "cart-2", "revoked", "-n", "0")
        self.assertEqual([r["unit"] for r in rows["marks"]],
                         [f"gone-{n}" for n in range(2500)])
        out = self.gray("marks", "export", "cart-2", "revoked").stdout
        self.assertEqual(out.count("\n"), 2500)
        self.gray("marks", "list", "cart-2", "inside", code=USAGE)
        self.gray("marks", "repair", "cart-2", "1", "in", code=USAGE)
        self.gray("marks", "get", "nix", "1", code=NOT_FOUND)
        for wrong in ("1007", "1007,in,x", '"1007,in', "1007,maybe",
                      "1,in,0,0,0", '{"unit": 7}', "{", '"1"x,in'):
            place = self.write(wrong + "\n", "wrong")
            done = self.gray("marks", "import", "cart-2", place, code=USAGE)
            self.assertIn("wrong:1: ", done.stderr)
        told, text = self.both("rehearse", "cart-2", "--reason", "drill")
        self.assertTrue(told["passed"])
        self.assertEqual([s["step"] for s in told["steps"]],
                         ["admit", "freeze", "rollback", "thaw"])
        text = self.gray("status", "cart-2").stdout
        self.assertIn("units: 3 in, 0 out", text)
        self.assertIn("rehearsed: ", text)
        self.assertIn("writer ok", text)

    def release(self):
        def verb(word, *more, state, reason=None):
            words = (word, "cart-2", *more)
            if reason:
                words += ("--reason", reason)
            dry = self.facts(*words, "--dry-run")
            self.assertEqual(dry["dryRun"], True)
            self.assertEqual(dry["release"]["state"], state)
            moved, text = self.both(*words, keyed=f"{word}-{len(self.said)}")
            self.assertEqual(moved["release"]["state"], state, word)
            self.assertIn(moved["sentence"], text)
            if moved["changed"]:
                self.assertIn(" -> ", text)
                if moved["undo"]:
                    self.assertIn("undo: " + moved["undo"], text)
                self.assertIn("readers: 0 live, 0 have it", text)
            return moved

        verb("start", state="Progressing")
        self.assertEqual(verb("promote", state="Progressing")
                         ["release"]["percent"], 10)
        verb("set-weight", "25%", state="Progressing")
        done = self.gray("set-weight", "cart-2", "5", code=REFUSED)
        self.assertIn("[would-shrink]", done.stderr)
        self.assertIn("gray freeze cart-2", done.stderr)  # what to do instead
        verb("pause", state="Paused")
        self.assertIn("[would-grow]", self.gray(
            "retreat", "cart-2", "--to", "30", "--reason", "x",
            code=REFUSED).stderr)
        for wrong in ((), ("--to", "1", "--last", "2"), ("--last", "0"),
                      ("7", "--to", "1")):
            self.gray("retreat", "cart-2", *wrong, "--reason", "x", code=USAGE)
        moved, text = self.both("retreat", "cart-2", "--to", "20", "--reason",
                                "too many", keyed="retreat")
        self.assertEqual((moved["release"]["percent"],
                          moved["release"]["attempt"]), (20, 2))
        self.settled()
        self.gray("retreat", "cart-2", "1007", "--reason", "wrong one")
        self.settled()
        self.assertEqual(self.facts("marks", "get", "cart-2", "1007")["state"],
                         "revoked")
        units = self.write("1008\n", "list")
        self.gray("retreat", "cart-2", "--list", units, "--reason", "also")
        self.settled()
        self.gray("retreat", "cart-2", "--last", "1", "--reason", "also")
        self.settled()
        verb("resume", state="Progressing")
        verb("freeze", state="Frozen")
        verb("open", state="Paused")  # of a frozen one: thaw
        verb("freeze", state="Frozen")
        verb("thaw", state="Paused")
        verb("kill", state="Paused", reason="wrong")
        self.assertIn("gray unkill cart-2",
                      self.gray("open", "cart-2", code=REFUSED).stderr)
        verb("unkill", state="Paused")
        verb("abort", "--keep", state="Aborted", reason="so")
        self.assertIn("gray retry cart-2",
                      self.gray("open", "cart-2", code=REFUSED).stderr)
        self.both("retry", "cart-2", keyed="retry")
        verb("stop", state="Aborted")
        states, text = self.both("history", "release", "cart-2")
        self.assertIn("Frozen", [v["state"] for v in states["versions"]])
        self.assertEqual(len(self.facts("history", "release", "cart-2", "-n",
                                        "2")["versions"]), 2)
        back = [v["revision"] for v in states["versions"]
                if v["state"] == "Paused"][-1]
        verb("undo", "--to-revision", str(back), state="Paused",
             reason="back")
        self.gray("undo", "cart-2", "--reason", "x", code=USAGE)
        verb("promote", "--full", state="Promoted")
        self.gray("status", "cart-2", "--timeout", "0")
        verb("finish", state="Completed")
        self.gray("start", "cart-2", code=REFUSED)

    def checks(self):
        found = self.facts("doctor", "--runtime", self.runtime, "--state",
                           self.state, "--nginx", "/bin/false", code=REFUSED)
        return {c["check"]: c["level"] for c in found["checks"]}

    def settled(self):
        """Until no mark of cart-2 is being taken back."""
        self.wait_until("all are taken back", lambda: self.facts(
            "status", "cart-2")["marks"]["queued"] == 0)

    def reconciled(self):
        shop = os.path.join(self.dir, "checked.db")
        with contextlib.closing(sqlite3.connect(shop)) as db:
            db.executescript(
                "CREATE TABLE asked (id TEXT, at_ms INTEGER);"
                "CREATE TABLE made (id TEXT, total INTEGER, at_ms INTEGER);"
                "INSERT INTO made VALUES ('nobody', 5, 1000)")
        rows = {"source": "shop", "key": ["id"],
                "createdAt": {"column": "at_ms", "is": "ms"}}
        self.gray("apply", "-f", self.write(json.dumps({
            "kind": "Check", "name": "rows", "release": "cart-2",
            "mode": "moves", "sources": [
                {"name": "shop", "sqlite": {"path": shop}}],
            "upstream": dict(rows, query="SELECT * FROM asked"),
            "gray": dict(rows, query="SELECT * FROM made")}), "check.json"))
        report, text = self.both("recon", "run", "rows", "--since", "begin",
                                 code=REFUSED)
        self.assertEqual(report["unexplained"], {"R4": 1})
        self.assertEqual(report["last"]["notCovered"], ["total"])
        self.assertIn("R4/nobody/gray-alone", text)
        _, text = self.both("recon", "report", "rows", code=REFUSED)
        self.assertIn("number columns of the gray rows that nobody compares: "
                      "total", text)
        self.assertIn("gray recon report rows", self.gray("status").stdout)
        self.both("recon", "explain", "rows", "R4/nobody/gray-alone",
                  "--reason", "by hand", keyed="known")
        report, text = self.both("recon", "report", "rows")
        self.assertEqual(report["differences"][0]["explained"]["reason"],
                         "by hand")
        self.gray("recon", "explain", "rows", "R4/nobody/gray-alone",
                  code=USAGE)
        self.gray("recon", "explain", "rows", "R1/x/y", "--reason", "x",
                  code=NOT_FOUND)
        self.gray("recon", "report", "none", code=NOT_FOUND)
        self.gray("recon", "run", "rows", "--since", "soon", code=USAGE)
        with contextlib.closing(sqlite3.connect(shop)) as db:
            db.execute("DELETE FROM made")
            db.commit()
        report = self.facts("recon", "run", "rows", "--since", "begin")
        self.assertEqual(report["differences"], [])

    def small_changes(self):
        changed, text = self.both("list", "add", "testers", "bob", "carol",
                                  "--reason", "x", keyed="ids")
        self.assertIn("changed List/testers", text)
        ids = self.write("dave\n\nerin\n", "ids")
        self.gray("list", "add", "testers", "--ids", ids)
        self.assertEqual(
            set(self.facts("get", "list", "testers")["document"]["ids"]),
            {"alice", "bob", "carol", "dave", "erin"})
        self.both("list", "remove", "testers", "bob", "--allow-drop",
                  "0", keyed="out")
        self.both("lane", "disable", "red", keyed="off")
        self.both("lane", "enable", "red", keyed="on")
        self.both("lane", "disable", "red", keyed="off-again")
        self.both("bypass", "on", "--reason", "x", keyed="bypass")
        self.assertTrue(self.facts("status")["bypass"])
        self.both("bypass", "off", "--reason", "x", keyed="bypass-off")
        later = self.write(SHOP.replace("[alice]", "[alice, carol, dave, erin, zoe]"),
                           "later")
        waits = self.facts("apply", "-f", later, "--at",
                           "2199-01-01T00:00:00Z")["scheduled"]
        rows, text = self.both("scheduled", "list")
        self.assertEqual([r["id"] for r in rows["scheduled"]], [waits])
        self.both("scheduled", "cancel", waits, keyed="cancel")
        self.assertEqual(self.facts("scheduled", "list")["scheduled"], [])
        self.both("delete", "lane", "red", "--reason", "gone", keyed="delete")
        self.gray("get", "Lane", "red", code=NOT_FOUND)

    def looking(self):
        status, text = self.both("status")
        self.assertEqual(status["revision"], status["revisionInForce"])
        self.assertIn("no reader is alive", text)
        self.assertIn("grayd ", text)
        answers, text = self.both("explain", "--header", "cookie: uid=7")
        self.assertEqual(answers["releases"][0]["release"], "cart-2")
        changes, text = self.both("changes", "--since", "2h")
        self.assertIn("lane-disable",
                      [c["action"] for c in changes["changes"]])
        self.said.add("watch")
        watch = subprocess.Popen(
            [PROGRAMS["gray"], "watch", "-n", "1", "--timeout", "30"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.env())
        self.addCleanup(watch.stderr.close)
        self.addCleanup(watch.stdout.close)
        number = 0
        while watch.poll() is None:  # it may begin late, so change again
            self.gray("list", "add", "testers", f"x{number}", "--reason",
                      "seen")
            number += 1
            self.assertLess(number, 500)
        self.assertEqual(watch.returncode, OK)
        self.assertRegex(watch.stdout.read(),
                         r"root  list-ids List/testers  seen\n")
        checks = self.facts("doctor", "--runtime", self.runtime, "--state",
                            self.state, "--nginx", "/bin/false", code=REFUSED)
        self.said.add("doctor")
        levels = {c["check"]: c["level"] for c in checks["checks"]}
        self.assertEqual([levels[c] for c in (
            "grayd", "grayd-revision", "grayd-clock", "grayd-state",
            "marks", "marks-beat", "marks-lease", "marks-writer")],
            ["ok"] * 8)
        os.chmod(self.state, 0o755)
        checks = self.facts("doctor", "--runtime", self.runtime, "--state",
                            self.state, "--nginx", "/bin/false", code=REFUSED)
        self.assertEqual({c["check"]: c["level"] for c in checks["checks"]}
                         ["grayd-state"], "fail")
        os.chmod(self.state, 0o700)

    def tokens(self):
        place = self.dir + "/ci.token"
        made = self.facts("token", "create", "ci", "--role", "operator",
                          "--scope", "cart", "--ttl", "1h", "--into", place)
        self.said.add("token create")
        self.assertEqual(made["token"], "")
        self.assertEqual(os.stat(place).st_mode & 0o777, 0o600)
        with open(place, encoding="ascii") as f:
            secret = f.read().strip()
        self.assertTrue(secret.startswith("gray_"))
        self.gray("token", "create", "ci", "--role", "viewer", "--into", place,
                  code=REFUSED)
        text = self.gray("token", "create", "eve", "--role", "viewer").stdout
        self.assertIn("this is shown once", text)
        self.assertIn("nothing was made", self.gray(
            "token", "create", "no", "--role", "viewer", "--dry-run").stdout)
        self.gray("token", "create", "x", code=USAGE)
        self.gray("token", "create", "x", "--role", "viewer", "--ttl", "2y",
                  code=USAGE)
        rows, text = self.both("token", "list")
        self.assertEqual({r["name"] for r in rows["tokens"]},
                         {"first-admin", "ci", "eve"})
        self.assertNotIn(secret, text + json.dumps(rows))
        self.both("token", "revoke", made["identity"]["id"], "--reason",
                  "gone", keyed="revoke")
        self.gray("token", "revoke", "0123456789abcdef", code=NOT_FOUND)

    def audit(self):
        records, text = self.both("audit", "list", "-n", "3")
        self.assertEqual(len(records["records"]), 3)
        self.assertIn("OUTCOME", text)
        codes = {r.get("code")
                 for r in self.facts("audit", "list", "-n", "1000")["records"]}
        self.assertIn("would-shrink", codes)  # refused ones are kept too
        report, text = self.both("audit", "verify")
        self.assertTrue(report["good"])
        self.assertGreater(report["checkpoints"], 0)
        kept, _ = self.facts("audit", "export", self.dir + "/a"), None
        self.said.add("audit export")
        self.gray("audit", "export", self.dir + "/a", code=3)  # is there
        os.rename(self.dir + "/a", self.dir + "/b")
        self.gray("audit", "export", self.dir + "/a", code=3)  # its notes are
        self.assertFalse(os.path.exists(self.dir + "/a"))
        os.rename(self.dir + "/b", self.dir + "/a")
        self.assertEqual(
            self.gray("audit", "export", "-").stdout.count("\n"),
            self.facts("audit", "verify", self.dir + "/a", "--verifier",
                       kept["verifier"])["records"])
        proof, text = self.both("audit", "prove", "1", "--verifier",
                                kept["verifier"])
        self.assertTrue(proof["holds"])
        self.gray("audit", "prove", "1")
        wrong = kept["verifier"].split("+")
        wrong[-1] = wrong[-1][:-4] + ("AAAA" if wrong[-1][-4:] != "AAAA"
                                      else "BBBB")
        self.gray("audit", "prove", "1", "--verifier", "+".join(wrong),
                  code=REFUSED)
        self.gray("audit", "prove", "99999", code=NOT_FOUND)
        self.end(signal.SIGKILL)
        # Its silence is seen from outside, and so is a table that is none.
        self.wait_until("the writer is missed", lambda: "fail" == self.checks(
            )["marks-beat"])
        tables = self.runtime + "/marks"
        with open(os.path.join(tables, next(
                n for n in os.listdir(tables) if "." in n)), "r+b") as f:
            f.truncate(100)
        self.assertEqual(self.checks()["marks"], "fail")
        report, text = self.both("audit", "verify", "--state", self.state)
        self.assertTrue(report["good"])


class Refusals(Case):
    def test_wrong_words(self):
        for words in (("get", "Relase"), ("describe", "x", "y"),
                      ("history", "x", "y"), ("start",), ("start", "a", "b"),
                      ("set-weight", "cart-2", "101"), ("list", "add", "a"),
                      ("list", "ad"), ("lane", "enable"), ("apply",),
                      ("apply", "-f", self.docs, "--wait", "x"),
                      ("abort", "cart-2", "--keep", "--leave"),
                      ("stop",), ("stop", "cart-2", "--all"),
                      ("status", "--timeout", "3"), ("watch", "-n", "-1"),
                      ("token", "create", "x", "--role", "king"),
                      ("audit", "verify", "x", "--state", "y"),
                      ("changes", "--since", "yesterday"),
                      ("whoami", "--server", "ftp://x"),
                      ("whoami", "--server", "http://a@b"),
                      ("whoami", "--server", "unix:x"),
                      ("whoami", "--server", "unix:/x", "--context", "y"),
                      ("start", "cart-2", "--if-revision", "two"),
                      ("start", "cart-2", "--key", "")):
            self.gray(*words, code=USAGE)
        self.assertIn("did you mean: Release",
                      self.gray("get", "Relase", code=USAGE).stderr)

    def test_nothing_of_that_name(self):
        self.apply()
        for words in (("get", "Release", "cart-3"), ("start", "cart-3"),
                      ("history", "Release", "nix"), ("status", "nix"),
                      ("delete", "List", "nix"), ("lane", "enable", "nix"),
                      ("list", "add", "nix", "x"), ("open", "nix"),
                      ("scheduled", "cancel", "nix")):
            self.gray(*words, code=NOT_FOUND)
        problem = self.facts("start", "cart-3", code=NOT_FOUND)
        self.assertEqual(problem["code"], "not-found")

    def test_another_revision_is_in_force(self):
        self.apply()
        done = self.gray("apply", "-f", self.docs, "--if-revision", "1",
                         code=STALE)
        self.assertIn("[stale]", done.stderr)
        self.gray("apply", "-f", self.docs, "--if-revision", "2")
        self.gray("start", "cart-2", "--if-revision", "1", code=STALE)
        self.assertEqual(self.state_of(), "Initialized")

    def test_a_key_belongs_to_one_change(self):
        self.apply()
        self.gray("start", "cart-2", "--key", "k")
        self.gray("start", "cart-2", "--key", "k")
        self.assertEqual(len(self.actions("start")), 1)
        done = self.gray("pause", "cart-2", "--key", "k", code=REFUSED)
        self.assertIn("[key-reused]", done.stderr)
        self.gray("stop", "--all", "--key", "s")
        self.gray("pause", "cart-2", "--key", "x" * 129, code=USAGE)

    def test_ids_of_files_go_along_up_to_the_limit(self):
        self.write("a1\r\na2\n\n", "ids.txt")
        docs = self.write(
            SHOP.replace("ids: [alice]", "file: ids.txt"), "files.yaml")
        self.gray("apply", "-f", docs)
        self.assertEqual(
            self.facts("get", "List", "testers")["document"]["ids"],
            ["a1", "a2"])
        os.unlink(self.dir + "/ids.txt")
        done = self.gray("apply", "-f", docs, code=REFUSED)
        self.assertIn("ids.txt", done.stderr)
        with open(self.dir + "/ids.txt", "wb") as f:
            f.truncate((64 << 20) + 1)
        done = self.gray("apply", "-f", docs, code=REFUSED)
        self.assertIn("gray list add NAME --ids FILE", done.stderr)
        self.write("x" * 1025 + "\n", "ids.txt")
        self.gray("apply", "-f", docs, code=REFUSED)
        self.write("x" * 1024 + "\n", "ids.txt")
        self.gray("apply", "-f", docs, "--allow-drop", "0")

    def test_units_that_would_drop_out(self):
        self.apply()
        self.gray("start", "cart-2")
        done = self.gray("list", "remove", "testers", "alice", code=REFUSED)
        self.assertIn("[findings]", done.stderr)
        self.gray("list", "remove", "testers", "alice", "--allow-drop",
                  "testers", code=USAGE)
        done = self.gray("list", "remove", "testers", "alice",
                         "--allow-drop", "7", code=REFUSED)
        self.assertIn("7 units were allowed to drop, and 0 would",
                      done.stderr)
        self.gray("list", "remove", "testers", "alice", "--allow-drop",
                  "0")

    def test_no_document_is_not_sent(self):
        bad = self.write("kind: [", "bad.yaml")
        done = self.gray("apply", "-f", bad, code=REFUSED)
        self.assertRegex(done.stderr, r"bad\.yaml:2:\d+: error")
        self.assertEqual(self.actions("apply"), [])
        self.gray("apply", "-f", self.dir + "/none.yaml", code=REFUSED)


class Pipelines(Case):
    def test_status_waits_for_the_end(self):
        self.apply()
        self.gray("start", "cart-2")
        done = self.gray("status", "cart-2", "--timeout", "0.3",
                         code=INCOMPLETE)
        self.assertIn("Progressing after 0.3 s", done.stderr)
        waiting = subprocess.Popen(
            [PROGRAMS["gray"], "status", "cart-2", "--timeout", "30", "-o",
             "json"], stdout=subprocess.PIPE, text=True, env=self.env())
        self.gray("promote", "cart-2", "--full")
        out, _ = waiting.communicate(timeout=LIMIT_S)
        self.assertEqual(waiting.returncode, OK)
        self.assertEqual(json.loads(out)["state"], "Promoted")
        self.gray("abort", "cart-2", "--reason", "x")
        done = self.gray("status", "cart-2", "--timeout", "30", code=REFUSED)
        self.assertIn("Aborted: it did not come to its end", done.stderr)

    def test_all_of_them(self):
        self.apply()
        self.gray("start", "cart-2")
        moved = self.facts("freeze", "--all")["moved"]
        self.assertEqual([m["release"]["state"] for m in moved], ["Frozen"])
        self.gray("thaw", "--all")
        stopped = self.facts("stop", "--all", "--reason", "x")["moved"]
        self.assertEqual([m["release"]["state"] for m in stopped],
                         ["Aborted"])
        text = self.gray("stop", "--all").stdout
        self.assertIn("already; nothing was changed", text)


class SameBytes(Case):
    def test_explanations_are_the_folders(self):
        self.apply()
        self.gray("start", "cart-2", "100%")
        lines = "".join(
            json.dumps({"path": "/\u00e9\"{}[],\\", "now":
                        "2026-01-01T00:00:00Z",
                        "headers": {"cookie": f"uid={i}"}}) + "\n"
            for i in range(1200))
        name = self.write(lines, "lines")
        words = ("explain", "--requests", name, "-o", "json")
        by_grayd = self.gray(*words).stdout
        by_folder = self.gray(*words, "--local",
                              env={"GRAY_RUNTIME": self.runtime}).stdout
        self.assertEqual(by_grayd, by_folder)
        self.assertEqual(len(by_grayd.splitlines()), 1200)
        broken = self.write('{"path":"/"}\nnonsense\n{"path":"/b"}\n', "bad")
        done = self.gray("explain", "--requests", broken, "-o", "json",
                         code=REFUSED)
        self.assertEqual(len(done.stdout.splitlines()), 2)
        self.assertIn(":2: error: ", done.stderr)
        revision = self.facts("status")["revision"]
        old = self.facts("explain", "--revision", "2", "--header",
                         "cookie: uid=7")
        self.assertEqual(old["revision"], 2)
        self.gray("explain", "--revision", str(revision + 1), "--header",
                  "cookie: uid=7", code=NOT_FOUND)


if __name__ == "__main__":
    main()
