#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""the_rows_say_what_was_decided.py - a Check over the shop's own orders.

Why: the order service keeps its marks in its rows, and grayd the rules of every
day; whether they fit is what a Check says.  Orders are made at 50 %, in a
freeze and after it; nothing differs.  Then rows are changed by hand, past the
service, one of each kind that rows can have: exactly these are found, are
suspects first and alarms after the last look, in the audit and in status; the
release goes no further, but for who may say so with the exact number; what is
explained holds back no more; what is mended is resolved; and a kill of grayd
forgets none of it.  A step that waits for a Check waits for a run that ended
well, and a database that does not answer is a failed run and no good one.

usage: the_rows_say_what_was_decided.py BUILD sqlite|postgres
"""
import importlib.util
import json
import os
import subprocess
import sys
import time

from scene import HERE, SERVICE, Story, check, shop, wait_until

spec = importlib.util.spec_from_file_location(
    "grayd_harness", os.path.join(HERE, "../control/grayd/harness.py"))
grayd_harness = importlib.util.module_from_spec(spec)
spec.loader.exec_module(grayd_harness)

STEPS = [{"setWeight": 50}, {"check": {"name": "orders-rows"}},
         {"setWeight": 80}]


class Scene:
    def __init__(self, story, grayd, here):
        self.story, self.grayd, self.here = story, grayd, here
        self.environment = dict(os.environ,
                                GRAY_SERVER="unix:" + grayd.socket)

    def gray(self, *words, code=0):
        done = subprocess.run([os.path.join(self.story.bin, "gray"), *words],
                              env=self.environment, capture_output=True,
                              text=True, timeout=120, check=False)
        check(done.returncode == code,
              f"gray {' '.join(words)}: {done.returncode}\n{done.stdout}"
              f"{done.stderr}")
        return done.stdout + done.stderr

    def acknowledged(self):
        wait_until(lambda: all(
            row["acknowledged"] for row in
            self.grayd.ask("GET", "/v1/status").body["readers"]),
            "the service does not hear grayd")

    def sql(self, sqlite, postgres):
        return postgres if self.here.store.name == "postgres" else sqlite

    def source(self, broken=False):
        if self.here.store.name == "postgres":
            word = self.here.store.word.removeprefix("postgres:")
            return {"name": "shop", "postgresql": {
                "connection": word.replace("user=shop", "user=nobody")
                if broken else word}}
        return {"name": "shop", "sqlite": {
            "path": self.here.store.path + (".gone" if broken else "")}}

    def document(self, broken=False):
        mark = self.sql("hex(mark)", "encode(mark, 'hex')")
        return {
            "kind": "Check", "name": "orders-rows", "release": "orders-2",
            "stage": "create", "mode": "moves",
            "sources": [self.source(broken)],
            "upstream": {"source": "shop", "query": "SELECT * FROM requests",
                         "key": ["order_id"],
                         "createdAt": {"column": "at_ms", "is": "ms"}},
            "marks": {"source": "shop", "key": ["order_id"], "mark": "mark",
                      "query": f"SELECT order_id, {mark} AS mark FROM orders"},
            "gray": {"source": "shop", "key": ["order_id"], "query":
                     "SELECT order_id, net_amount + tax_amount AS total, "
                     "tax_amount FROM orders WHERE net_amount IS NOT NULL"},
            "old": {"source": "shop", "key": ["order_id"], "query":
                    "SELECT order_id, amount, price_cents FROM orders "
                    "WHERE net_amount IS NULL"},
            "compare": [{"upstream": "amount", "gray": "total"}],
            "constraints": [{"old": "amount", "equals": "amount"},
                            {"old": "price_cents", "present": True}],
            "slack": "50ms", "recheck": ["1s", "2s"]}

    def apply(self, *documents):
        reply = self.grayd.apply(json.dumps(list(documents)))
        check(reply.status == 200, reply.text)

    def orders(self, prefix, count):
        """What was asked for is written down by who asks, too."""
        made = {}
        for number in range(count):
            order = f"{prefix}-{number}"
            self.here.store.change(
                "INSERT INTO requests VALUES "
                f"('{order}', 12000, {int(time.time() * 1000)})")
            asked = self.here.ask("create", order)
            check(asked["status"] == 201, f"create: {asked}")
            made[order] = asked["body"]["logic"]
        self.far_from_changes()
        return made

    def report(self):
        return self.grayd.ask("GET", "/v1/checks/orders-rows/report").body

    def found(self):
        return {row["id"]: row["state"] for row in
                self.report()["differences"]}

    def far_from_changes(self):
        """A row near to a change may belong to either side of it: the next
        ones do not."""
        at = time.monotonic()
        wait_until(lambda: time.monotonic() > at + 0.2, "time stands still")


def history(scene):
    """Orders by three revisions, and in a freeze."""
    scene.far_from_changes()
    made = scene.orders("half", 40)
    scene.gray("freeze", "orders-2", "--reason", "books")
    scene.far_from_changes()
    frozen = scene.orders("frozen", 20)
    check(set(frozen.values()) == {"old"}, frozen)
    scene.gray("thaw", "orders-2")
    scene.acknowledged()
    scene.far_from_changes()
    made.update(scene.orders("again", 20))
    return made


def plant(scene, made):
    """By hand, past the service: {id of the difference: SQL that mends it}."""
    change = scene.here.store.change
    new = [order for order, logic in made.items() if logic == "new"]
    old = [order for order, logic in made.items() if logic == "old"]
    check(len(new) > 8 and len(old) > 8, made)
    where = "WHERE order_id = '%s'"
    keep = "CREATE TABLE kept AS SELECT * FROM orders " + where % new[1]
    change("UPDATE orders SET net_amount = net_amount + 1 " + where % new[0])
    change(keep)
    change("DELETE FROM orders " + where % new[1])
    change("DELETE FROM requests " + where % new[2])
    change("UPDATE orders SET amount = amount - 5 " + where % old[0])
    # the old logic's row with the mark of one that is in
    change("UPDATE orders SET net_amount = 1, tax_amount = 1 " +
           where % old[1])
    return {
        f"R3/{new[0]}/total": "UPDATE orders SET net_amount = net_amount - 1 "
                              + where % new[0],
        f"R6/{new[1]}/no-mark": "INSERT INTO orders SELECT * FROM kept",
        f"R3/{new[2]}/no-upstream":
            f"INSERT INTO requests VALUES ('{new[2]}', 12000, "
            f"{int(time.time() * 1000)})",
        f"R4/{old[0]}/amount": "UPDATE orders SET amount = amount + 5 " +
                               where % old[0],
        f"R4/{old[1]}/gray-row": "UPDATE orders SET net_amount = NULL, "
                                 "tax_amount = NULL " + where % old[1]}


def alarms(scene, planted):
    out = scene.gray("recon", "run", "orders-rows", "--since", "begin",
                     code=1)
    wanted = set(planted)
    missing = wanted - set(scene.found())
    check(not missing, f"not found: {missing}\n{out}")
    # the row that is gone is missing on both sides
    more = set(scene.found()) - wanted
    check(all("/no-old" in one for one in more), f"invented: {more}")
    check("suspect" in scene.found().values(), scene.found())
    wait_until(lambda: set(scene.found().values()) == {"alarm"},
               "no alarm after the last look")
    check(wanted <= set(scene.found()), f"a look lost one: {scene.found()}")
    wait_until(lambda: "recon-alarm" in scene.gray("changes"), "no event")
    text = scene.gray("status")
    check("gray recon report orders-rows" in text, text)
    return set(scene.found())


def gate(scene, planted):
    """Nobody goes on, but who says exactly over how many."""
    blocking = scene.report()["blocking"]
    check(blocking == 3, scene.report())
    text = scene.gray("promote", "orders-2", code=1)
    check("[unexplained]" in text, text)
    scene.gray("promote", "orders-2", "--unexplained", "2", "--reason", "x",
               code=1)
    scene.gray("freeze", "orders-2")   # what stops is never refused
    text = scene.gray("thaw", "orders-2", code=1)
    check("[unexplained]" in text, text)
    scene.gray("thaw", "orders-2", "--unexplained", str(blocking), "--reason",
               "books are closed")
    scene.gray("recon", "explain", "orders-rows", "R3/nobody/total",
               "--reason", "x", code=4)
    first = sorted(planted)[0]
    scene.gray("recon", "explain", "orders-rows", first, "--reason", "known")
    check(scene.found()[first] == "explained", scene.found())
    check(scene.report()["blocking"] == blocking - 1, scene.report())


def killed(scene, known):
    scene.grayd.kill()
    check(scene.grayd.start("--any-filesystem"), scene.grayd.errors())
    wait_until(lambda: set(scene.found()) == known, "a kill forgot some")
    check("explained" in scene.found().values(), scene.found())
    scene.gray("promote", "orders-2", code=1)


def mended(scene, planted):
    for sql in planted.values():
        scene.here.store.change(sql)
    scene.gray("recon", "run", "orders-rows", "--since", "begin")
    check(scene.found() == {}, scene.found())
    check(scene.report()["resolved"] >= 4, scene.report())


def waits_for_a_run(scene):
    """The step wants one that began since the release stands here."""
    scene.gray("resume", "orders-2")
    text = scene.gray("promote", "orders-2", code=1)
    check("[check-wanted]" in text, text)
    scene.apply(scene.document(broken=True))
    text = scene.gray("recon", "run", "orders-rows", code=1)
    check("failed" in text, text)
    text = scene.gray("promote", "orders-2", code=1)
    check("[check-failed]" in text, text)
    scene.apply(scene.document())
    scene.gray("recon", "run", "orders-rows", "--since", "begin")
    scene.gray("promote", "orders-2")


def a_slow_database_is_nobody_s_burden(scene):
    """A run that hangs in a query holds up no change, and is ended when its
    Check is another one."""
    slow = scene.document()
    slow["timeout"] = "300s"
    slow["upstream"]["query"] = scene.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
        "SELECT 'x' AS order_id, 1 AS amount, count(*) AS at_ms FROM n",
        "SELECT order_id, amount, at_ms FROM requests, pg_sleep(300)")
    scene.apply(slow)
    scene.gray("recon", "run", "orders-rows", "--wait", "0")
    wait_until(lambda: scene.report()["run"] > scene.report()["done"],
               "the run does not begin")
    scene.gray("pause", "orders-2")
    scene.gray("resume", "orders-2")
    check(scene.report()["running"], "it was to hang")
    scene.apply(scene.document())
    wait_until(lambda: not scene.report()["running"], "it goes on")


def main():
    kind = sys.argv[2]
    with Story(f"the_rows_say_what_was_decided ({kind})") as story, \
            grayd_harness.Grayd(sys.argv[1]) as grayd:
        grayd.program = os.path.join(story.bin, "grayd")
        check(grayd.start("--any-filesystem"), grayd.errors())
        story.runtime = grayd.runtime
        with shop(story, kind) as here:
            scene = Scene(story, grayd, here)
            scene.apply(SERVICE, dict(here.release_document(), strategy={
                "canary": {"steps": STEPS}}))
            scene.gray("start", "orders-2")
            here.start()
            scene.acknowledged()
            here.store.change("CREATE TABLE requests (order_id TEXT, amount "
                              "INTEGER, at_ms BIGINT)")
            made = history(scene)
            scene.apply(scene.document())
            out = scene.gray("recon", "run", "orders-rows", "--since",
                             "begin")
            last = scene.report()["last"]
            for rule in ("R2", "R6"):
                check(last["rules"][rule]["judged"] == 80, out)
            check(last["notCovered"] == ["tax_amount"], out)
            planted = plant(scene, made)
            known = alarms(scene, planted)
            gate(scene, planted)
            killed(scene, known)
            mended(scene, planted)
            waits_for_a_run(scene)
            a_slow_database_is_nobody_s_burden(scene)
            print(f"80 orders, {len(planted)} planted, {len(known)} found")


if __name__ == "__main__":
    main()
