#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_commands.py - every verb of `gray`, run as a person runs it.

Why: exit codes, what goes to which output, and what is left in the folder can
only be seen from outside.  usage: test_commands.py GRAY READER ROOT
"""
import grp
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

GRAY, READER, ROOT = "", "", ""
(OK, REFUSED, USAGE, SYSTEM, NOT_FOUND, INCOMPLETE, DENIED, STALE,
 UNREACHABLE) = range(9)

SERVICE = """
kind: Service
name: cart
baseline: {version: v1}
versions:
  v1: {endpoints: ["127.0.0.1:1"]}
  v2: {endpoints: ["127.0.0.1:2"]}
"""


def release(name="cart-2", share=10, unit="cookie: uid", more=""):
    return f"""
---
kind: Release
name: {name}
services: [{{service: cart, version: v2}}]
unit: {{{unit}}}
admission: {{share: {share}}}
{more}
"""


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="gray-cli-", dir="/dev/shm")
        self.runtime = os.path.join(self.dir, "run")
        self.docs = os.path.join(self.dir, "docs.yaml")
        self.readers = []
        self.write(SERVICE + release())

    def tearDown(self):
        for reader in self.readers:
            reader.stdin.close()
            reader.wait(10)
            reader.stdout.close()
        shutil.rmtree(self.dir)

    def write(self, text, name="docs.yaml"):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def run_gray(self, *words, code=OK, stdin=None, env=None):
        done = subprocess.run(
            [GRAY, *words], input=stdin, capture_output=True, text=True,
            timeout=60, check=False,
            env={**os.environ, "GRAY_RUNTIME": self.runtime,
                 "GRAY_CONFIG": self.dir + "/contexts.json",
                 **(env or {})})
        self.assertEqual(
            done.returncode, code,
            f"gray {' '.join(words)}\n{done.stdout}\n{done.stderr}")
        return done

    def facts(self, *words, code=OK, stdin=None):
        return json.loads(
            self.run_gray(*words, "-o", "json", code=code,
                          stdin=stdin).stdout)

    def publish(self, code=OK, more=()):
        return self.facts("publish", "-f", self.docs, *more, code=code)

    def reader(self, how="obey"):
        process = subprocess.Popen(
            [READER, self.runtime, how], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self.readers.append(process)
        self.assertEqual(process.stdout.readline(), "ready\n")
        return process

    def control(self):
        with open(os.path.join(self.runtime, "control"), "rb") as f:
            return f.read()

    def word(self, name="cart-2", key="word"):
        for row in self.facts("status")["releases"]:
            if row["release"] == name:
                return row[key]
        return None


class Publish(Case):
    def test_first_and_second(self):
        first = self.publish()
        self.assertEqual((first["generation"], first["revision"]), (1, 1))
        self.assertTrue(first["published"])
        self.assertEqual(first["releases"][0]["percent"], 10.0)
        self.assertEqual(first["releases"][0]["services"], "cart=v2")
        self.assertEqual(first["releases"][0]["priority"], 0)
        self.write(SERVICE + release(share=20))
        second = self.publish()
        self.assertEqual((second["generation"], second["revision"]), (2, 2))
        self.assertEqual(second["releases"][0]["share"], 200000)

    def test_says_it_to_a_person(self):
        text = self.run_gray("publish", "-f", self.docs).stdout
        self.assertIn("generation 1, revision 1", text)
        self.assertRegex(text, r"cart-2 +10 % +open .*cart=v2")

    def test_lowered_share_is_refused_and_changes_nothing(self):
        self.publish()
        before = self.control()
        self.write(SERVICE + release(share=5))
        done = self.run_gray("publish", "-f", self.docs, code=REFUSED)
        self.assertEqual(done.stdout, "")
        # every way out that is named can be gone
        self.assertIn("gray freeze cart-2", done.stderr)
        self.assertIn("gray stop cart-2", done.stderr)
        self.assertIn("another name with salt: cart-2", done.stderr)
        self.assertIn("nothing was changed", done.stderr)
        self.assertEqual(self.control(), before)
        answer = self.publish(code=REFUSED)
        self.assertFalse(answer["published"])
        self.assertTrue(answer["findings"][0]["code"])
        self.assertEqual(self.facts("status")["generation"], 1)

    def test_bad_document_names_its_place(self):
        self.write(SERVICE + "colour: red\n")
        done = self.run_gray("publish", "-f", self.docs, code=REFUSED)
        self.assertRegex(done.stderr, r"docs\.yaml:\d+:\d+: error: .*\[")
        self.assertFalse(os.path.exists(self.runtime))

    def test_what_is_left_out_must_be_meant(self):
        lane = "---\nkind: Lane\nname: red\nservices: [cart]\n"
        pay = SERVICE.replace("name: cart", "name: pay")
        self.write(SERVICE + release() + "---" + pay + lane)
        self.publish()
        before = self.control()
        one = self.write(SERVICE, "one.yaml")
        done = self.run_gray("publish", "-f", one, code=REFUSED)
        for document in ("Release/cart-2", "Service/pay", "Lane/red"):
            self.assertRegex(done.stderr,
                             rf"error: .*--prune .*\({document}\)")
        self.assertIn("nothing was changed", done.stderr)
        self.assertEqual(self.control(), before)
        self.run_gray("plan", "-f", one, code=REFUSED)
        self.assertTrue(self.facts("plan", "-f", one, "--prune")["ok"])
        self.assertEqual(self.control(), before)
        done = self.run_gray("publish", "-f", one, "--prune")
        self.assertIn("warning: this ends the release cart-2", done.stderr)
        self.assertEqual(self.facts("status")["releases"], [])
        # one who falls out is refused with or without the word
        self.publish()
        self.write(SERVICE + release(share=5) + "---" + pay + lane)
        self.publish(more=["--prune"], code=REFUSED)

    def test_dry_run_writes_nothing(self):
        answer = self.publish(more=["--dry-run"])
        self.assertFalse(answer["published"])
        self.assertEqual(answer["revision"], 1)
        self.assertFalse(os.path.exists(self.runtime))
        self.publish()
        before = self.control()
        self.write(SERVICE + release(share=50))
        self.assertEqual(self.publish(more=["--dry-run"])["revision"], 2)
        self.assertEqual(self.control(), before)

    def test_strict_marks_without_a_writer_are_said(self):
        self.write(SERVICE + release(more="durability: strict"))
        done = self.run_gray("publish", "-f", self.docs)
        self.assertIn("only grayd makes marks durable", done.stderr)
        self.write(SERVICE + release())
        done = self.run_gray("publish", "-f", self.docs)
        self.assertNotIn("only grayd", done.stderr)

    def test_words_survive(self):
        self.write(SERVICE + release() + release("zero", 1, more="priority: 1"))
        self.publish()
        self.run_gray("stop", "zero")
        # A release before it in every order takes no other's word.
        self.write(SERVICE + release() + release("zero", 1, more="priority: 1")
                   + release("alpha", 1, more="priority: 9"))
        rows = {r["release"]: r["word"] for r in self.publish()["releases"]}
        self.assertEqual(rows, {"alpha": "open", "cart-2": "open",
                                "zero": "baseline"})
        ranks = {r["release"]: r["priority"]
                 for r in self.facts("status")["releases"]}
        self.assertEqual(ranks, {"alpha": 9, "cart-2": 0, "zero": 1})

    def test_waits_for_readers(self):
        self.publish()
        self.reader()
        self.write(SERVICE + release(share=20))
        readers = self.publish(more=["--wait", "20"])["readers"]
        self.assertEqual((readers["live"], readers["acknowledged"]), (1, 1))
        deaf = self.reader("deaf")
        self.write(SERVICE + release(share=30))
        done = self.run_gray("publish", "-f", self.docs, "--wait", "0.3",
                             code=INCOMPLETE)
        self.assertIn("generation 3", done.stdout)
        # who does not wait is not told that something is amiss
        done = self.run_gray("publish", "-f", self.docs)
        self.assertIn("acknowledged so far (--wait", done.stdout)
        done = self.run_gray("publish", "-f", self.docs, "--wait", "0.3",
                             code=INCOMPLETE)
        self.assertIn(f"(pid {deaf.pid}) did not acknowledge", done.stderr)

    def test_unreadable_policy_needs_a_word(self):
        self.publish()
        for name in os.listdir(self.runtime):
            if re.fullmatch(r"policy(\.\d+)?\.snap", name):
                with open(os.path.join(self.runtime, name), "r+b") as f:
                    f.seek(200)
                    f.write(b"\xff" * 64)
        self.write(SERVICE + release(share=5))
        done = self.run_gray("publish", "-f", self.docs, code=SYSTEM)
        self.assertIn("--ignore-unreadable", done.stderr)
        answer = self.publish(more=["--ignore-unreadable"])
        self.assertEqual(answer["revision"], 2)

    def test_not_on_tmpfs(self):
        with tempfile.TemporaryDirectory(dir=os.path.dirname(GRAY)) as folder:
            done = self.run_gray("publish", "-f", self.docs, "--runtime",
                                 os.path.join(folder, "run"), code=SYSTEM)
            self.assertIn("tmpfs", done.stderr)

    def test_modes_are_the_same_under_every_umask(self):
        def modes(umask):
            self.runtime = os.path.join(self.dir, f"run-{umask:o}")
            before = os.umask(umask)
            try:
                self.publish()
                self.reader()
                self.run_gray("stop", "cart-2")
                self.run_gray("keys", "rotate")
            finally:
                os.umask(before)
            found = {"": os.stat(self.runtime).st_mode}
            for place, folders, files in os.walk(self.runtime):
                for name in folders + files:
                    path = os.path.join(place, name)
                    found[os.path.relpath(path, self.runtime)] = \
                        os.lstat(path).st_mode
            return found

        wanted = modes(0o022)
        self.assertIn("actions.log", wanted)
        self.assertIn("readers/nginx-0.wake", wanted)
        self.assertEqual(wanted["actions.log"] & 0o777, 0o644)
        for umask in (0, 0o077, 0o177):
            self.assertEqual(modes(umask), wanted, f"{umask:o}")

    def test_two_at_once_do_not_both_win(self):
        self.publish()
        count = 8
        for i in range(count):
            self.write(SERVICE + release(share=20 + i), f"docs-{i}.yaml")
        racers = [subprocess.Popen(
            [GRAY, "publish", "-f", os.path.join(self.dir, f"docs-{i}.yaml"),
             "--runtime", self.runtime, "-o", "json"], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                  for i in range(count)]
        won = []
        for racer in racers:
            out, err = racer.communicate(timeout=60)
            answer = json.loads(out)
            self.assertEqual(racer.returncode == OK, answer["published"], err)
            if answer["published"]:
                won.append((answer["revision"], answer["generation"],
                            answer["releases"][0]["share"]))
            else:
                self.assertEqual(racer.returncode, REFUSED, err)
        won.sort()
        # Each winner stood on the one before, so shares never fell.
        self.assertEqual([w[0] for w in won], list(range(2, len(won) + 2)))
        self.assertEqual([w[0] for w in won], [w[1] for w in won])
        self.assertEqual([w[2] for w in won], sorted(w[2] for w in won))
        self.assertTrue(won)

    def test_usage(self):
        self.run_gray("publish", code=USAGE)
        self.run_gray("publish", "-f", self.docs, "--wait", "x", code=USAGE)
        self.run_gray("publish", "-f", self.docs, "--group", "no-such-group",
                      code=NOT_FOUND)
        self.run_gray("publish", "-f", self.dir + "/none", code=REFUSED)

    def test_full_output_is_an_error(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([GRAY, "lint", "-f", self.docs], stdout=full,
                                  stderr=subprocess.DEVNULL, check=False)
        self.assertEqual(done.returncode, SYSTEM)


class Documents(Case):
    def test_lint(self):
        self.assertTrue(self.facts("lint", "-f", self.docs)["ok"])
        self.assertIn("good: 1 services, 1 releases",
                      self.run_gray("lint", "-f", self.docs).stdout)
        self.write(SERVICE + release(share=101))
        answer = self.facts("lint", "-f", self.docs, code=REFUSED)
        self.assertFalse(answer["ok"])
        self.assertGreater(answer["findings"][0]["line"], 0)
        self.run_gray("lint", code=USAGE)

    def test_lint_runs_the_gate_of_cost(self):
        costly = ", ".join(f"{{header: {{name: x-{i}, contains: a}}}}"
                           for i in range(40))
        self.write(SERVICE + release().replace(
            "{share: 10}", f"{{share: 10, require: {{all: [{costly}]}}}}"))
        for verb in ("lint", "plan", "publish"):
            answer = self.facts(verb, "-f", self.docs, code=REFUSED)
            self.assertIn("error", [f["severity"]
                                    for f in answer["findings"]])
        self.assertFalse(os.path.exists(self.runtime))

    def test_lint_reads_standard_input(self):
        self.run_gray("lint", "-f", "-", stdin=SERVICE)

    def test_plan_writes_nothing(self):
        text = self.run_gray("plan", "-f", self.docs).stdout
        self.assertIn("no policy is in force", text)
        self.assertIn("anonymous-baseline", text)
        self.assertIn("plain-http-cookie", text)
        self.assertRegex(text, r"costs at most \d+ ns")
        self.assertFalse(os.path.exists(self.runtime))
        self.publish()
        before = self.control()
        self.write(SERVICE + release(share=20))
        answer = self.facts("plan", "-f", self.docs)
        self.assertTrue(answer["ok"])
        self.assertEqual(answer["releases"], [
            {"release": "cart-2", "shareBefore": 100000,
             "shareAfter": 200000}])
        self.assertEqual(self.control(), before)

    def test_plan_refuses_what_publish_refuses(self):
        self.publish()
        self.write(SERVICE + release(share=5))
        answer = self.facts("plan", "-f", self.docs, code=REFUSED)
        self.assertFalse(answer["ok"])
        codes = [f["code"] for f in answer["findings"]]
        refused = self.publish(code=REFUSED)
        self.assertEqual(codes, [f["code"] for f in refused["findings"]])

    def test_a_plan_is_a_page(self):
        """The verdict first, then what is refused and what helps, in 80
        columns."""
        old = self.write(SERVICE + release(share=50), "old.yaml")
        lines = self.run_gray("plan", "-f", self.docs, "--against", old,
                              code=REFUSED).stdout.splitlines()
        self.assertEqual(lines[0], "REFUSED for 1 reason; nothing was "
                                   "written.")
        self.assertIn(": error: ", lines[1])
        self.assertLess(max(map(len, lines[2:])), 81)
        self.assertIn("cart-2   50 %  10 %", lines)
        text = self.run_gray("plan", "-f", old, "--against",
                             self.docs).stdout
        self.assertTrue(text.startswith("Every gate passes; nothing was "
                                        "written."), text)

    def test_plan_replays_requests(self):
        self.publish()
        self.write(SERVICE + release(share=30))
        visits = "".join('{"path": "/", "headers": {"cookie": "uid=%d"}}\n' % i
                         for i in range(1000)) + "no request\n"
        done = self.run_gray("plan", "-f", self.docs, "--replay", "-", "-o",
                             "json", stdin=visits)
        self.assertIn("1001", done.stderr)
        impact = json.loads(done.stdout)["impact"]
        self.assertFalse(impact["measured"])
        row, = impact["replay"]["releases"]
        self.assertEqual(impact["replay"]["replayed"], 1000)
        self.assertTrue(60 < row["before"] < 140 and
                        250 < row["after"] < 350, row)
        self.assertEqual((row["comes"], row["drops"], len(row["come"])),
                         (row["after"] - row["before"], 0, 3))
        text = self.run_gray("plan", "-f", self.docs, "--replay", "-",
                             stdin=visits).stdout
        self.assertIn("of 1,000 recorded requests", text)
        # who they are is what sample says of them
        for unit in row["come"]:
            told = self.run_gray("explain", "-f", self.docs, "--header",
                                 f"cookie: uid={unit}").stdout
            self.assertIn("cart-2", told)
        self.run_gray("plan", "-f", self.docs, "--replay", "/nowhere",
                      code=SYSTEM)
        self.run_gray("plan", "--weight", "cart-2=20", code=USAGE)

    def test_plan_against_documents(self):
        old = self.write(SERVICE + release(share=50), "old.yaml")
        self.run_gray("plan", "-f", self.docs, "--against", old, code=REFUSED)
        self.run_gray("plan", "-f", old, "--against", self.docs)
        self.run_gray("plan", "-f", old, "--against", self.docs, "--runtime",
                      self.runtime, code=USAGE)
        self.run_gray("plan", code=USAGE)

    def test_plan_names_kinds_of_anonymous(self):
        for kind in ("cookie", "random"):
            self.write(SERVICE + release().replace(
                "{share: 10}", f"{{share: 10, anonymous: {kind}}}"))
            notes = self.facts("plan", "-f", self.docs)["notes"]
            self.assertIn(f"anonymous-{kind}", [n["code"] for n in notes])

    def test_diff(self):
        old = self.write(SERVICE + release(share=5), "old.yaml")
        text = self.run_gray("diff", "-f", self.docs, "--against", old).stdout
        self.assertIn("share", text)
        self.assertIn("cart-2", text)
        same = self.run_gray("diff", "-f", old, "--against", old).stdout
        self.assertNotIn("cart-2", same)
        self.facts("diff", "-f", self.docs, "--against", old)
        self.run_gray("diff", "-f", self.docs, "--runtime", self.runtime,
                      code=NOT_FOUND)
        self.publish()
        self.run_gray("diff", "-f", self.docs, "--runtime", self.runtime)
        self.run_gray("diff", code=USAGE)


class Explain(Case):
    def test_documents_and_folder_agree(self):
        self.publish()
        lines = "".join(
            json.dumps({"path": "/", "headers": {"cookie": f"uid={i}"}}) + "\n"
            for i in range(500))
        name = self.write(lines, "lines")
        by_docs = self.run_gray("explain", "-f", self.docs, "--requests", name,
                                "-o", "json").stdout
        by_folder = self.run_gray("explain", "--requests", "-", "-o", "json",
                                  stdin=lines).stdout
        self.assertEqual(by_docs, by_folder)
        answers = [json.loads(line) for line in by_docs.splitlines()]
        self.assertEqual(len(answers), 500)
        admitted = [a for a in answers if a["arms"] == "cart-2"]
        for answer in answers:
            bucket = answer["releases"][0]["bucket"]
            self.assertEqual(answer["arms"] == "cart-2", bucket < 100000)
        self.assertTrue(20 <= len(admitted) <= 80, len(admitted))

    def test_bad_lines_leave_the_others_answered(self):
        name = self.write('{"path":"/"}\nnonsense\n\n{"path":"/","x":1}\n'
                          '{"path":"/b"}\n', "lines")
        done = self.run_gray("explain", "-f", self.docs, "--requests", name,
                             "-o", "json", code=REFUSED)
        self.assertEqual(len(done.stdout.splitlines()), 2)
        self.assertIn(":2: error: ", done.stderr)
        self.assertIn("[bad-json]", done.stderr)
        self.assertRegex(done.stderr, r":4: error: .*\[unknown-key\]")

    def test_one_request_by_options(self):
        text = self.run_gray("explain", "-f", self.docs, "--header",
                             "cookie: uid=7", "--path", "/x").stdout
        self.assertIn("cart-2", text)
        self.assertIn("BUCKET", text)
        answer = self.facts(
            "explain", "-f", self.docs, "--header", "Cookie: uid=7",
            "--method", "POST", "--host", "a.b", "--source", "10.0.0.1",
            "--now", "2026-01-01T00:00:00Z", "--attr", "a=b", "--label", "c=d",
            "--caller", "web", "--class", "load", "--revision", "9",
            "--lane", "red", "--arms", "x", "--random", "3")
        self.assertEqual(answer["revision"], 9)
        self.assertEqual(answer["class"], "load")

    def test_a_request_does_not_steer_the_terminal(self):
        self.write(SERVICE + release(unit="query: uid"))
        done = self.run_gray("explain", "-f", self.docs, "--path",
                             "/?uid=a%1b%5b1mb%c2%9bc")
        self.assertIn("a?[1mb", done.stdout)
        self.assertNotIn("\x1b", done.stdout)
        done = self.run_gray("explain", "-f", self.docs, "--requests", "-",
                             stdin='{"path":"/","\\u001b[1m":1}', code=REFUSED)
        self.assertNotIn("\x1b", done.stderr)

    def test_words_are_heard(self):
        self.publish()
        self.run_gray("stop", "cart-2")
        answer = self.facts("explain", "--header", "cookie: uid=1")
        self.assertEqual(answer["releases"][0]["word"], "baseline")
        self.assertEqual(answer["reason"], "stopped")

    def test_bypass_is_said(self):
        self.publish()
        self.run_gray("bypass", "on")
        done = self.run_gray("explain", "--header", "cookie: uid=1")
        self.assertIn("bypass is on", done.stderr)

    def test_refusals(self):
        self.run_gray("explain", "--path", "/", code=SYSTEM)
        self.run_gray("explain", "-f", self.docs, "--runtime", "x", code=USAGE)
        self.run_gray("explain", "-f", self.docs, "--path", "x y", code=USAGE)
        self.run_gray("explain", "-f", self.docs, "--now", "noon", code=USAGE)
        self.run_gray("explain", "-f", self.docs, "--requests", "-", "--path",
                      "/", code=USAGE)
        self.run_gray("explain", "-f", self.docs, "--requests",
                      self.dir + "/none", code=SYSTEM)


class Sample(Case):
    def check(self, unit, pattern, *options):
        self.write(SERVICE + release(share=50, unit=unit))
        answer = self.facts("sample", "cart-2", "-f", self.docs, "-n", "3",
                            *options)
        self.assertEqual((len(answer["in"]), len(answer["out"])), (3, 3))
        for row in answer["in"] + answer["out"]:
            self.assertRegex(row["curl"], pattern)
            self.assertEqual(row["bucket"] < 500000, row in answer["in"])
        return answer

    def test_every_place_of_a_unit(self):
        self.check("cookie: uid", r"^curl -s -b 'uid=\d+' 'http://127.0.0.1/'$")
        self.check("header: x-user", r"-H 'x-user: \d+' 'http://127")
        self.check("query: id", r"'http://127.0.0.1/a\?b=1&id=\d+'$",
                   "--path", "/a?b=1")
        self.check("path: {segment: 2}", r"'http://127.0.0.1/a/\d+/c'$",
                   "--path", "/a/b/c")
        self.check("attr: user", r"# as whoever makes attribute user = \d+$")
        self.check("header: x-user", r"^curl -s -H 'host: a.b' -H 'x-a: b' -H",
                   "--host", "a.b", "--header", "x-a: b")

    def test_the_ids_are_what_they_are_said_to_be(self):
        answer = self.check("cookie: uid", "uid")
        for side in ("in", "out"):
            for row in answer[side]:
                told = self.facts("explain", "-f", self.docs, "--header",
                                  f"cookie: uid={row['id']}")
                self.assertEqual(told["arms"],
                                 "cart-2" if side == "in" else "")

    def test_ids_of_a_file(self):
        name = self.write("alice\nbob\ncarol\nit's\n", "ids")
        self.write(SERVICE + release(share=100))
        done = self.run_gray("sample", "cart-2", "-f", self.docs, "--ids",
                             name, "-n", "4")
        self.assertIn("uid=it'\\''s", done.stdout)
        self.assertIn("0 of 4 ids wanted are out", done.stderr)

    def test_refusals(self):
        done = self.run_gray("sample", "card-2", "-f", self.docs,
                             code=NOT_FOUND)
        self.assertIn("did you mean: cart-2", done.stderr)
        self.run_gray("sample", code=USAGE)
        self.run_gray("sample", "cart-2", "-f", self.docs, "-n", "0",
                      code=USAGE)


class Keys(Case):
    def test_even_ids(self):
        ids = "".join(f"{i}\n" for i in range(20000))
        answer = self.facts("keys", "check", "-", "--salt", "cart-2", stdin=ids)
        self.assertEqual([t["verdict"] for t in answer["tests"]],
                         ["even", "even", "even"])

    def test_sharded_tail_is_named(self):
        ids = "".join(f"{i}0{i % 4}\n" for i in range(5000))
        answer = self.facts("keys", "check", "-", stdin=ids, code=REFUSED)
        self.assertEqual([t["verdict"] for t in answer["tests"]],
                         ["sharded", "sharded", "even"])
        self.assertIn("already divided", answer["tests"][1]["advice"])

    def test_uneven_tail_and_repeats(self):
        ids = "".join(f"{i}{0 if i % 3 else i % 10}\n" for i in range(5000))
        answer = self.facts("keys", "check", "-", stdin=ids + ids,
                            code=REFUSED)
        self.assertEqual(answer["tests"][0]["verdict"], "uneven")
        self.assertEqual(answer["repeated"], answer["ids"])

    def test_few_ids(self):
        answer = self.facts("keys", "check", "-", stdin="1\n2\n")
        self.assertEqual({t["verdict"] for t in answer["tests"]}, {"too-few"})
        self.run_gray("keys", "check", self.dir + "/none", code=SYSTEM)
        self.run_gray("keys", "check", code=USAGE)

    def test_rotate(self):
        self.publish()
        path = os.path.join(self.runtime, "keys")
        with open(path, "rb") as f:
            before = f.read()
        self.run_gray("keys", "rotate")
        with open(path, "rb") as f:
            self.assertNotEqual(f.read(), before)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o640)
        self.run_gray("keys", "rotate", "--runtime", self.dir + "/none/none",
                      code=SYSTEM)


class Words(Case):
    def test_stop_and_open(self):
        self.publish()
        done = self.run_gray("stop", "cart-2", "--reason", "errors")
        self.assertIn("sends everyone to the baseline", done.stdout)
        self.assertIn("undo: gray open cart-2", done.stdout)
        self.assertEqual(self.word(), "baseline")
        status = self.run_gray("status").stdout
        self.assertRegex(status, r"stop +cart-2 +by .* errors")
        self.assertIn("already", self.run_gray("stop", "cart-2").stdout)
        self.run_gray("open", "cart-2")
        self.assertEqual(self.word(), "open")
        self.assertIn("already", self.run_gray("open", "cart-2").stdout)

    def test_stop_of_the_irreversible_admits_nobody(self):
        self.write(SERVICE + release(more="dataCompat: irreversible"))
        self.publish()
        row = self.facts("stop", "cart-2")["releases"][0]
        self.assertEqual((row["before"], row["after"]), ("open", "no-admit"))
        self.assertEqual(row["undo"], "gray open cart-2")
        self.run_gray("open", "cart-2")
        self.assertEqual(self.word(), "open")

    def test_stop_all(self):
        self.write(SERVICE + release() + release("b", 1, more="priority: 1"))
        self.publish()
        rows = self.facts("stop", "--all")["releases"]
        self.assertEqual({r["release"] for r in rows}, {"cart-2", "b"})
        self.assertEqual((self.word(), self.word("b")), ("baseline",) * 2)
        self.run_gray("open", "--all")
        self.assertEqual((self.word(), self.word("b")), ("open",) * 2)

    def test_undo_command_names_the_folder(self):
        self.publish()
        row = self.facts("stop", "cart-2", "--runtime",
                         self.runtime)["releases"][0]
        self.run_gray(*row["undo"].split()[1:], env={"GRAY_RUNTIME": "/none"})
        self.assertEqual(self.word(), "open")

    def test_freeze_and_thaw(self):
        self.publish()
        self.assertFalse(self.word(key="wordOfHost"))
        self.run_gray("freeze", "cart-2")
        self.assertEqual(self.word(), "no-admit")
        self.assertTrue(self.word(key="wordOfHost"))
        self.run_gray("thaw", "cart-2")
        self.assertEqual(self.word(), "open")
        self.assertTrue(self.word(key="wordOfHost"))

    def test_freeze_needs_marks(self):
        self.write(SERVICE + release(more="stickiness: none"))
        self.publish()
        done = self.run_gray("freeze", "cart-2", code=REFUSED)
        self.assertIn("gray stop cart-2", done.stderr)
        self.assertEqual(self.word(), "open")

    def test_no_verb_undoes_a_stronger_one(self):
        self.publish()
        self.run_gray("kill", "cart-2")
        for verb in ("open", "thaw"):
            done = self.run_gray(verb, "cart-2", code=REFUSED)
            self.assertIn("gray unkill cart-2", done.stderr)
        for verb in ("freeze", "stop"):
            self.run_gray(verb, "cart-2")
        self.assertEqual(self.word(), "killed")
        self.run_gray("unkill", "cart-2")
        self.assertEqual(self.word(), "open")
        self.run_gray("stop", "cart-2")
        self.run_gray("thaw", "cart-2", code=REFUSED)
        self.run_gray("unkill", "cart-2", code=REFUSED)
        # What is told to undo a weaker verb undoes the stronger word.
        row = self.facts("freeze", "cart-2")["releases"][0]
        self.assertEqual((self.word(), row["changed"]), ("baseline", False))
        self.run_gray(*row["undo"].split()[1:])
        self.assertEqual(self.word(), "open")

    def test_killing_the_irreversible_needs_a_reason(self):
        self.write(SERVICE + release(more="dataCompat: irreversible"))
        self.publish()
        self.run_gray("kill", "cart-2", code=REFUSED)
        self.assertEqual(self.word(), "open")
        self.run_gray("kill", "cart-2", "--reason", "wrong prices")
        self.assertEqual(self.word(), "killed")

    def test_readers_who_do_not_hear_are_named(self):
        self.publish()
        self.reader()
        answer = self.facts("freeze", "cart-2", "--wait", "20")
        self.assertEqual(answer["readers"]["acknowledged"], 1)
        deaf = self.reader("deaf")
        done = self.run_gray("thaw", "cart-2", "--wait", "0.3",
                             code=INCOMPLETE)
        self.assertIn(f"(pid {deaf.pid})", done.stderr)
        self.assertEqual(self.word(), "open")

    def test_stop_works_when_the_policy_cannot_be_read(self):
        self.publish()
        for name in os.listdir(self.runtime):
            if re.fullmatch(r"policy(\.\d+)?\.snap", name):
                os.truncate(os.path.join(self.runtime, name), 100)
        row = self.facts("stop", "cart-2")["releases"][0]
        self.assertEqual(row["after"], "no-admit")
        self.assertEqual(len(self.facts("stop", "--all")["releases"]), 1)

    def test_a_release_that_left_the_documents_can_be_stopped(self):
        self.write(SERVICE + release() + release("old", 0, more="priority: 1"))
        self.publish()
        self.write(SERVICE + release())
        self.publish()
        self.assertEqual(self.facts("stop", "old")["releases"][0]["after"],
                         "no-admit")

    def test_refusals(self):
        self.run_gray("stop", "cart-2", code=SYSTEM)
        self.publish()
        done = self.run_gray("stop", "cart2", code=NOT_FOUND)
        self.assertIn("did you mean: cart-2", done.stderr)
        self.run_gray("stop", code=USAGE)
        self.run_gray("stop", "cart-2", "--all", code=USAGE)

    def test_bypass(self):
        self.publish()
        self.assertTrue(self.facts("bypass", "on")["bypass"])
        self.assertTrue(self.facts("status")["bypass"])
        # Publishing goes on under a bypass, compared as ever.
        self.write(SERVICE + release(share=5))
        self.publish(code=REFUSED)
        self.run_gray("bypass", "off")
        self.assertFalse(self.facts("status")["bypass"])
        self.run_gray("bypass", code=USAGE)
        self.run_gray("bypass", "on", "--runtime", self.dir + "/none",
                      code=SYSTEM)


class Looking(Case):
    def test_status(self):
        self.run_gray("status", code=SYSTEM)
        self.publish()
        self.reader()
        answer = self.facts("status")
        self.assertEqual(answer["revision"], 1)
        self.assertEqual([r["alive"] for r in answer["readers"]], [True])
        self.assertEqual([(a["action"], a["revision"])
                          for a in answer["lastActions"]], [("publish", 1)])
        text = self.run_gray("status").stdout
        self.assertRegex(text, r"generation 1, revision 1")
        self.assertRegex(text, r"nginx +\d+ +alive")

    def test_status_says_who_did_what_last(self):
        self.publish()
        for words in (("stop", "cart-2"), ("open", "cart-2"),
                      ("bypass", "on"), ("bypass", "off"),
                      ("freeze", "cart-2", "--reason", "a\n\x1b[1mb")):
            self.run_gray(*words)
        # A line that somebody broke is passed over.
        with open(self.runtime + "/actions.log", "a", encoding="utf-8") as f:
            f.write("{nonsense\n[]\n{}\n")
        last = self.facts("status")["lastActions"]
        self.assertEqual([a["action"] for a in last],
                         ["publish", "bypass off", "freeze"])
        self.assertEqual((last[2]["before"], last[2]["after"]),
                         ("open", "no-admit"))
        self.assertNotIn("\x1b", self.run_gray("status").stdout)

    def test_status_of_a_damaged_folder(self):
        self.publish()
        os.truncate(os.path.join(self.runtime, "policy.1.snap"), 100)
        done = self.run_gray("status", code=SYSTEM)
        self.assertIn("generation 1", done.stdout)
        # readers have one still, and a bare publish would be refused
        self.assertNotIn("no policy is in force", done.stdout)
        self.run_gray("publish", "-f", self.docs, code=SYSTEM)
        self.assertIn("--ignore-unreadable", done.stdout)
        self.run_gray("publish", "-f", self.docs, "--ignore-unreadable")

    def test_a_folder_that_is_not_trusted(self):
        self.publish()
        os.chmod(self.runtime, 0o777)
        for folder in (self.runtime, self.docs):
            done = self.run_gray("publish", "-f", self.docs, "--runtime",
                                 folder, code=SYSTEM)
            self.assertNotIn("--ignore-unreadable", done.stderr)
        checks = json.loads(self.run_gray("doctor", "-o", "json",
                                          code=REFUSED).stdout)["checks"]
        self.assertEqual([c["level"] for c in checks
                          if c["check"] == "folder"], ["fail"])
        self.assertNotIn("control", [c["check"] for c in checks])

    def test_top(self):
        self.publish()
        text = self.run_gray("top", "-n", "2", "--interval", "0.05").stdout
        self.assertEqual(text.count("SERVICE"), 2)
        self.assertNotIn("\033", text)
        done = self.run_gray("top", "-n", "2", "--interval", "0.05", "-o",
                             "json")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(len(lines), 2)
        self.run_gray("top", "--interval", "0", code=USAGE)
        self.run_gray("top", "--runtime", self.dir + "/none", code=SYSTEM)

    def test_doctor(self):
        self.publish()
        self.reader()
        done = self.run_gray("doctor", "-o", "json", "--module",
                             "/dev/null/none", code=REFUSED)
        checks = {c["check"]: c for c in json.loads(done.stdout)["checks"]}
        self.assertEqual(checks["module"]["level"], "fail")
        self.assertTrue(checks["module"]["advice"])
        for name in ("nginx", "tmpfs", "folder", "keys", "policy", "readers"):
            self.assertEqual(checks[name]["level"], "ok", checks[name])
        for name in ("tcp_migrate_req", "somaxconn", "clock"):
            self.assertIn(checks[name]["level"], ("ok", "warn"))
        # nginx itself is asked: what is no module is refused.
        fake = self.write("no module", "fake.so")
        done = self.run_gray("doctor", "--module", fake, code=REFUSED)
        self.assertRegex(done.stdout, r"fail +module +nginx refuses")

    def test_input_that_is_none(self):
        folder = tempfile.mkdtemp(dir=self.dir)
        for words in (("keys", "check", folder),
                      ("explain", "-f", self.docs, "--requests", folder),
                      ("sample", "cart-2", "-f", self.docs, "--ids", folder)):
            done = self.run_gray(*words, code=SYSTEM)
            self.assertIn(folder + ": Is a directory", done.stderr)
            self.assertEqual(done.stdout, "")
        # the limit of one id, and one byte more
        self.run_gray("keys", "check", "-", stdin="1" * 1024 + "\n")
        done = self.run_gray("keys", "check", "-", code=REFUSED,
                             stdin="1\n" + "2" * 1025 + "\n")
        self.assertIn("-:2: more than 1024 bytes", done.stderr)

    def test_sample_ids_survive_a_query(self):
        self.write(SERVICE + release(share=50, unit="query: user"))
        wild = ["a b", "x&y=1", "%41", "a#b", "\u00e9", "a+b", "1'2", "-._~"]
        ids = self.write("\n".join(wild), "ids")
        answer = self.facts("sample", "cart-2", "-f", self.docs, "--ids", ids,
                            "-n", "9")
        rows = answer["in"] + answer["out"]
        self.assertEqual(len(rows), len(wild))
        for row in rows:
            target = re.search(r"'http://127.0.0.1(/\S*)'", row["curl"])[1]
            one = self.facts("explain", "-f", self.docs, "--path", target)
            self.assertEqual(one["releases"][0]["unit"], row["id"])
            self.assertEqual(one["bucket"], row["bucket"])

    def test_options_of_a_request_are_pairs(self):
        for words in (("--header", "x-canary"), ("--attr", "region"),
                      ("--label", "=a"), ("--header", ": a")):
            for verb in (("explain",), ("sample", "cart-2")):
                done = self.run_gray(*verb, "-f", self.docs, *words,
                                     code=USAGE)
                self.assertIn(words[1], done.stderr)

    def test_bytes_of_a_request_are_kept(self):
        self.write(SERVICE + release(more="""
  allow: [{header: {name: x-a, present: true}}]
""".strip("\n")).replace("{share: 10}", "\n  share: 10"))
        with open("/dev/null", encoding="utf-8") as none:
            out = subprocess.run(
                [GRAY, "explain", "-f", self.docs, "-o", "json", "--header",
                 b"x-a: \xff", "--header", "cookie: uid=1"], stdin=none,
                capture_output=True, check=True).stdout
        self.assertEqual(json.loads(out)["reason"], "allow")

    @unittest.skipUnless(os.geteuid() == 0, "root alone gives groups away")
    def test_keys_are_for_nginx(self):
        with open("/etc/nginx/nginx.conf", encoding="utf-8") as f:
            said = re.search(r"^user\s+(\S+?)(?:\s+(\S+?))?;", f.read(), re.M)
        nginx = grp.getgrnam(said[2] or said[1]).gr_gid if said else 0
        keys = os.path.join(self.runtime, "keys")

        # nobody chose: nginx's workers may read, as its configuration says
        self.publish()
        self.assertEqual(os.stat(keys).st_gid, nginx)
        # keys that lie there before the first publication are kept: a copy
        # outlives a reboot, and several gateways believe each other
        other = os.path.join(self.dir, "other")
        os.mkdir(other)
        shutil.copy2(keys, other)
        self.facts("publish", "-f", self.docs, "--runtime", other)
        with open(keys, "rb") as a, open(other + "/keys", "rb") as b:
            self.assertEqual(a.read(), b.read())
        # what was chosen stays
        adm = grp.getgrnam("adm").gr_gid
        self.run_gray("keys", "rotate", "--group", "adm")
        self.run_gray("keys", "rotate")
        self.assertEqual(os.stat(keys).st_gid, adm)
        # keys of root's own group are nobody's choice
        os.chown(keys, 0, 0)
        self.run_gray("keys", "rotate")
        self.assertEqual(os.stat(keys).st_gid, nginx)
        # the folder's group comes before nginx's
        os.remove(keys)
        os.chown(self.runtime, 0, adm)
        self.publish()
        self.assertEqual(os.stat(keys).st_gid, adm)
        self.run_gray("keys", "rotate", "--group", "none-such",
                      code=NOT_FOUND)

    def test_doctor_sees_faults(self):
        self.publish()
        self.reader("deaf")
        self.write(SERVICE + release(share=20))
        self.publish()
        os.chmod(os.path.join(self.runtime, "keys"), 0o644)
        done = self.run_gray("doctor", "-o", "json", "--nginx",
                             self.dir + "/none", code=REFUSED)
        levels = {c["check"]: c["level"]
                  for c in json.loads(done.stdout)["checks"]}
        self.assertEqual(levels["nginx"], "fail")
        self.assertEqual(levels["keys"], "fail")
        self.assertEqual(levels["readers"], "fail")


class Reference(Case):
    def rows(self, name, macro):
        with open(os.path.join(ROOT, "engine", name), encoding="utf-8") as f:
            return len(re.findall(rf"^{macro}\(", f.read(), re.M))

    def test_tables_are_whole(self):
        answer = self.facts("conditions")
        self.assertEqual(len(answer["conditions"]),
                         self.rows("conditions.def", "GRAY_CONDITION"))
        self.assertEqual(len(answer["sources"]),
                         self.rows("sources.def", "GRAY_SOURCE"))
        self.assertEqual(len(self.facts("reasons")),
                         self.rows("reasons.def", "GRAY_REASON"))
        self.assertGreater(len(self.facts("problems")), 40)
        for verb in ("conditions", "reasons", "problems"):
            self.assertTrue(self.run_gray(verb).stdout)

    def test_version(self):
        self.assertRegex(self.run_gray("version").stdout, r"^gray \d+\.\d+")
        self.assertEqual(self.run_gray("--version").stdout,
                         self.run_gray("version").stdout)
        self.assertIn("layout", self.facts("version"))

    def test_help(self):
        self.assertEqual(self.run_gray().stdout, self.run_gray("help").stdout)
        text = self.run_gray("help", "exit-codes").stdout
        self.assertEqual([int(l.split()[0]) for l in text.splitlines()],
                         list(range(9)))
        self.assertEqual(self.run_gray("help", "stop").stdout,
                         self.run_gray("stop", "--help").stdout)
        self.assertIn("keys rotate", self.run_gray("help", "keys").stdout)
        done = self.run_gray("help", "stpo", code=NOT_FOUND)
        self.assertIn("did you mean: stop", done.stderr)
        done = self.run_gray("pubish", code=USAGE)
        self.assertIn("did you mean: publish", done.stderr)
        self.assertIn("valid: lint, plan", done.stderr)

    def test_every_command_has_help_and_an_example_that_parses(self):
        text = self.run_gray("help").stdout
        commands = re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", text, re.M)
        self.assertGreater(len(commands), 20)
        for command in commands:
            help_text = self.run_gray("help", *command.split()).stdout
            self.assertIn(f"gray {command}",
                          help_text.split("example:")[1])

    def test_documents_are_in_step(self):
        for form, path in (("markdown", "docs/cli.md"),
                           ("man", "docs/man/gray.1")):
            with open(os.path.join(ROOT, path), encoding="utf-8") as f:
                self.assertEqual(
                    self.run_gray("help", "--as", form).stdout, f.read(),
                    f"{path}: make it again by gray help --as {form}")

    def test_manual_page_is_clean(self):
        man = shutil.which("man")
        if man is None:
            self.skipTest("no man")
        done = subprocess.run(
            [man, "--warnings", "-E", "UTF-8", "-l",
             os.path.join(ROOT, "docs/man/gray.1")], capture_output=True,
            text=True, check=True, env={**os.environ, "MANPAGER": "cat"})
        self.assertEqual(done.stderr, "")

    def complete(self, *words):
        script = ('eval "$("$0" completion bash)"; COMP_WORDS=("$@"); '
                  "COMP_CWORD=$(($#-1)); _gray; echo \"${COMPREPLY[*]}\"")
        done = subprocess.run(["bash", "-c", script, GRAY, "gray", *words],
                              capture_output=True, text=True, check=True,
                              cwd=self.dir)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_bash_completion(self):
        self.assertEqual(self.complete("st"), ["status", "start", "stop"])
        self.assertEqual(self.complete("keys", "r"), ["rotate"])
        self.assertEqual(self.complete("publish", "--dr"), ["--dry-run"])
        self.assertEqual(self.complete("lint", "-o", ""), ["table", "json"])
        self.assertIn("docs.yaml", self.complete("lint", "-f", "doc"))

    def test_zsh_completion(self):
        script = self.run_gray("completion", "zsh").stdout
        self.assertIn("publish", script)
        zsh = shutil.which("zsh")
        if zsh is None:
            self.skipTest("no zsh")
        subprocess.run([zsh, "-n", self.write(script, "_gray")], check=True)
        self.run_gray("completion", "fish", code=USAGE)


if __name__ == "__main__":
    GRAY, READER, ROOT = sys.argv[1:4]
    GRAY, READER = os.path.abspath(GRAY), os.path.abspath(READER)
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
