#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""the_log_and_the_marks_agree.py - a Check over what the gateway did.

Why: R1 and R2 stand on what nginx writes: its decision log, the marks that
grayd journals, and the rows that the two versions of a service wrote.  Users
pass through a real gateway while a release grows from 10 % over 40 % (with a
rule that is changed between) and is frozen; a row is written by whichever
version served them.  Nothing differs.  Then a line is taken out of the log, a
row out of the new version's, one is put where nobody was in, and a user is
taken back whose row stays: just these are found.

usage: the_log_and_the_marks_agree.py BUILD
"""
import contextlib
import http.client
import importlib.util
import json
import os
import sqlite3
import sys
import time

from scene import HERE, Story, check, wait_until

spec = importlib.util.spec_from_file_location(
    "grayd_harness", os.path.join(HERE, "../control/grayd/harness.py"))
grayd_harness = importlib.util.module_from_spec(spec)
spec.loader.exec_module(grayd_harness)


class Scene:
    def __init__(self, story, grayd):
        self.story, self.grayd = story, grayd
        self.log = os.path.join(story.dir, "gray.jsonl")
        self.path = os.path.join(story.dir, "rows.db")
        self.environment = dict(os.environ,
                                GRAY_SERVER="unix:" + grayd.socket)
        self.served = {}
        self.sql("CREATE TABLE requests (id TEXT, uid TEXT, region TEXT, "
                 "at_ms INTEGER)",
                 "CREATE TABLE new (id TEXT, uid TEXT, at_ms INTEGER, fixed)",
                 "CREATE TABLE old (id TEXT, uid TEXT, at_ms INTEGER)")

    def sql(self, *statements):
        with contextlib.closing(sqlite3.connect(self.path, 30)) as db:
            for statement in statements:
                db.execute(*statement if isinstance(statement, tuple)
                           else (statement,))
            db.commit()

    def gray(self, *words, code=0):
        return self.story.gray(*words, codes=(code,), env=self.environment)

    def apply(self, *documents):
        reply = self.grayd.apply(json.dumps(list(documents)))
        check(reply.status == 200, reply.text)

    def testers(self, *users):
        return {"kind": "List", "name": "testers", "ids": list(users)}

    def release(self):
        return {"kind": "Release", "name": "cart-2", "unit": {"cookie": "uid"},
                "services": [{"service": "cart", "version": "v2"}],
                "admission": {"allow": [{"list": "testers"}],
                              "require": {"header": {
                                  "name": "x-region", "in": ["hz", "bj"]}}},
                "strategy": {"canary": {"steps": [{"setWeight": 10},
                                                  {"setWeight": 40}]}}}

    def check_document(self):
        rows = {"source": "rows", "key": ["id"], "unit": "uid",
                "createdAt": {"column": "at_ms", "is": "ms"}}
        return {"kind": "Check", "name": "carts", "release": "cart-2",
                "mode": "moves",
                "sources": [{"name": "rows", "sqlite": {"path": self.path}}],
                "upstream": dict(rows, query="SELECT * FROM requests",
                                 attributes=[{"header": "x-region",
                                              "column": "region"}]),
                "gray": dict(rows, query="SELECT * FROM new",
                             corrected="fixed"),
                "old": dict(rows, query="SELECT * FROM old"),
                "decisions": {"logs": [self.log]}, "slack": "150ms",
                "recheck": []}

    def acknowledged(self):
        wait_until(lambda: all(
            row["acknowledged"] for row in
            self.grayd.ask("GET", "/v1/status").body["readers"]),
            "a worker does not hear grayd")
        at = time.monotonic()   # no row is near to a change
        wait_until(lambda: time.monotonic() > at + 0.4, "time stands still")

    def users(self, first, count):
        """Each asks once; the version that served writes his row."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.story.port("entrance"), timeout=30)
        rows = []
        for number in range(first, first + count):
            uid, region = f"u{number}", ("hz", "bj", "sz")[number % 3]
            at = int(time.time() * 1000)
            connection.request("GET", f"/cart/{number}", headers={
                "Cookie": f"uid={uid}", "x-region": region})
            answer = connection.getresponse()
            version = answer.getheader("x-version")
            answer.read()
            check(answer.status == 200 and version in ("v1", "v2"),
                  f"{answer.status} {version}")
            self.served[uid] = version
            rows.append(("INSERT INTO requests VALUES (?, ?, ?, ?)",
                         (f"r{number}", uid, region, at)))
            side = "INSERT INTO new VALUES (?, ?, ?, NULL)" \
                if version == "v2" else "INSERT INTO old VALUES (?, ?, ?)"
            rows.append((side, (f"r{number}", uid, at + 1)))
        connection.close()
        self.sql(*rows)
        self.acknowledged()

    def logged(self):
        """Every admission is in the log and in the journal."""
        new = {uid for uid, version in self.served.items() if version == "v2"}

        def there():
            with open(self.log, encoding="utf-8") as f:
                text = f.read()
            marks = self.grayd.ask(
                "GET", "/v1/releases/cart-2").body["marks"]
            return all(f'"unit":"{uid}"' in text for uid in new) and \
                marks["in"] == len(new) and marks["notDurable"] == 0
        wait_until(there, "an admission is not written down")
        return sorted(new)

    def found(self, code):
        text = self.gray("recon", "run", "carts", "--since", "begin",
                         code=code)
        report = self.grayd.ask("GET", "/v1/checks/carts/report").body
        return {row["id"] for row in report["differences"]}, report, text


def history(scene):
    scene.users(0, 150)                               # at 10 %
    scene.gray("promote", "cart-2")
    scene.acknowledged()
    scene.users(150, 150)                             # at 40 %
    scene.apply(scene.testers("u1", "u302", "u305"))  # other rules
    scene.acknowledged()
    scene.users(300, 150)
    scene.gray("freeze", "cart-2", "--reason", "books")
    scene.users(450, 100)                             # nobody new
    scene.gray("thaw", "cart-2")
    scene.acknowledged()
    scene.users(550, 50)


def plant(scene, new):
    """{what must be found}"""
    with open(scene.log, encoding="utf-8") as f:
        lines = [line for line in f if f'"unit":"{new[0]}"' not in line]
    with open(scene.log, "w", encoding="utf-8") as f:
        f.writelines(lines)
    old = next(uid for uid, version in scene.served.items()
               if version == "v1")
    missing = f"r{new[1][1:]}"
    scene.sql(f"DELETE FROM new WHERE uid = '{new[1]}'",
              f"INSERT INTO new SELECT id, uid, at_ms, NULL FROM old "
              f"WHERE uid = '{old}'")
    listed = os.path.join(scene.story.dir, "back")
    with open(listed, "w", encoding="utf-8") as f:
        f.write(new[2] + "\n")
    scene.gray("retreat", "cart-2", "--list", listed, "--reason", "broken")
    wait_until(lambda: scene.grayd.ask(
        "GET", "/v1/releases/cart-2").body["marks"]["revoked"] == 1,
        "nobody is taken back")
    return {f"R1/{new[0]}/no-decision", f"R6/{new[1]}/{missing}/no-gray",
            f"R4/{old}/r{old[1:]}/gray-row",
            f"R7/{new[2]}/r{new[2][1:]}/gray-row"}


def main():
    with Story("the_log_and_the_marks_agree") as story, \
            grayd_harness.Grayd(sys.argv[1]) as grayd:
        grayd.program = os.path.join(story.bin, "grayd")
        check(grayd.start("--any-filesystem"), grayd.errors())
        story.runtime = grayd.runtime
        scene = Scene(story, grayd)
        for version in ("v1", "v2"):
            story.shop("cart", version, chain=False)
        scene.apply(story.service("cart", "v1", "v2"),
                    scene.testers("u1"), scene.release())
        story.nginx(story.gray_conf("cart", http=f"""
    gray_log {scene.log};
    add_header x-version $gray_version_used;
"""))
        scene.gray("start", "cart-2")
        scene.acknowledged()
        scene.apply(scene.check_document())
        history(scene)
        new = scene.logged()
        differences, report, text = scene.found(0)
        last = report["last"]["rules"]
        check(not differences and last["R1"]["judged"] == len(new) and
              last["R2"]["judged"] == len(new) and
              last["R6"]["judged"] == 600, text)
        planted = plant(scene, new)
        differences, report, text = scene.found(1)
        check(differences == planted,
              f"found {differences}, planted {planted}\n{text}")
        print(f"600 requests, {len(new)} units in, {len(planted)} planted "
              "and found")


if __name__ == "__main__":
    main()
