#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""killed.py - kill -9 of grayd at named points of every change, and at random.

Why: what was acknowledged must be there after a kill, what was not must be
there whole or not at all, and saying it again with the same key must end in
the same place with one record. Judged from the store's tables, an own
computation of the audit's chain, and the folder that readers map.

usage: killed.py BUILD [random kills]
"""
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import SHOP, Dead, Grayd, chain_of, wait_until  # noqa: E402

POINTS = """call-taken apply-read apply-checked verb-moved before-commit
store-written store-committed store-noted after-commit after-tighten
before-publish words-tightened policy-published words-loosened copy-begun
copy-filled copy-turned after-publish bypass-committed before-answer
settled""".split()
AT_START = """token-made token-written start-opened start-adopted before-publish
policy-published words-loosened copy-filled copy-turned""".split()
HOST = """host-word-seen store-written store-committed host-word-adopted
after-publish""".split()
TIGHTENS = {"freeze": "no-admit", "kill": "killed", "stop": "baseline",
            "abort": "baseline"}
TIGHTENED = "after-tighten before-publish words-tightened".split()
LATE = "before-checkpoint after-checkpoint before-effects-done".split()


def verb(name, **body):
    return name, lambda g, key: g.verb("cart-2", name, body,
                                       Idempotency_Key=key)


def other(name, method, path, body=None):
    return name, lambda g, key: g.ask(method, path, body, Idempotency_Key=key)


STORY = [
    ("apply", lambda g, key: g.apply(SHOP, reason="first",
                                     headers={"Idempotency-Key": key})),
    verb("start"), verb("set-weight", weight=5), verb("pause"),
    verb("resume"), verb("promote"), verb("freeze"), verb("thaw"),
    verb("kill", reason="bad"), verb("unkill"),
    other("list-ids", "POST", "/v1/lists/testers/ids", {"add": ["bob"]}),
    other("lane-disable", "POST", "/v1/lanes/red/disable", {}),
    other("lane-enable", "POST", "/v1/lanes/red/enable", {}),
    other("bypass", "POST", "/v1/bypass", {"on": True, "reason": "test"}),
    other("bypass", "POST", "/v1/bypass", {"on": False, "reason": "test"}),
    verb("stop"), verb("retry"), verb("abort", reason="bad"), verb("retry"),
    # Revision 4 is the set-weight above: each change makes one.
    verb("undo", reason="back", toRevision=4), verb("resume"),
    verb("promote", full=True), verb("finish"),
]


def view(grayd):
    """What the store says, without what moments and people say."""
    out = {}
    with grayd.database() as db:
        for space, name, text in db.execute(
                "SELECT space, name, text FROM version WHERE until IS NULL"):
            value = json.loads(text)
            if space == "release":
                value = {k: value[k] for k in
                         ("state", "share", "attempt", "killed")}
            if space != "token":
                out[space + " " + name] = value
    return out


def check(grayd, done):
    """The store, the audit and the folder after a kill and a start."""
    with grayd.database() as db:
        revisions = [r for r, in db.execute(
            "SELECT revision FROM revision WHERE revision > 0 "
            "ORDER BY revision")]
        records = db.execute("SELECT sequence, text, hash FROM audit "
                             "ORDER BY sequence").fetchall()
    assert revisions == list(range(1, len(revisions) + 1)), revisions
    made = []
    for at, (sequence, record, stored, computed) in enumerate(
            chain_of(records), 1):
        assert sequence == at and record["seq"] == at
        assert stored == computed, f"the chain breaks at {sequence}"
        if record["outcome"] == "done":
            made.append(record["revision"])
    # One record a revision: nothing twice, nothing without one.
    assert made == revisions, (made, revisions)
    actions = [json.loads(t)["action"] for _, t, _ in records
               if json.loads(t)["outcome"] == "done"
               and json.loads(t)["action"] != "token-make"]
    assert actions == done, (actions, done)


def folder_agrees(grayd):
    """What readers map is what the store says."""
    wanted = grayd.ask("GET", "/v1/releases").body["releases"]
    seen = grayd.in_folder()
    for row in wanted:
        have = seen[row["name"]]
        assert have["share"] == row["share"], (have, row)
        assert have["word"] == row["word"], (have, row)


def same(first, again):
    for body in (first, again):
        body.pop("inForce", None)
        body.pop("admission", None)  # waited for, not kept
    assert first == again, (first, again)


def step(grayd, number, action, ask, point, done):
    """One change with a kill at a point; afterwards it is done, once."""
    key = f"{number}-{point}"
    grayd.arm(point)
    try:
        reply = ask(grayd, key)
        killed = False
        assert reply.status in (200, 201), (action, reply.text)
    except Dead:
        killed = True
        grayd.died()
    grayd.arm()
    if killed:
        if action in TIGHTENS and point in TIGHTENED:
            # Committed, not compiled yet: the word is in the folder already.
            word = grayd.in_folder()["cart-2"]["word"]
            assert word == TIGHTENS[action], (action, point, word)
        assert grayd.start(), grayd.errors()[-2000:]
    reply = ask(grayd, key)
    assert reply.status == 200, (action, point, reply.text)
    done.append(action)
    check(grayd, done)
    return killed, reply


def walk_points(build):
    """The whole story again and again, each time with another point."""
    passed = set()
    for at, point in enumerate(POINTS):
        with Grayd(build) as grayd:
            done, kills = [], 0
            assert grayd.start()
            for number, (action, ask) in enumerate(STORY):
                killed, reply = step(grayd, number, action, ask, point, done)
                kills += killed
                if killed:
                    passed.add(point)
                    same(reply.body, ask(grayd, f"{number}-{point}").body)
                folder_agrees(grayd)
            check(grayd, done)
            print(f"{point}: {kills} kills", flush=True)
    assert passed == set(POINTS), set(POINTS) - passed


def walk_start(build):
    """Kills while a grayd starts; the first token is made once."""
    for point in AT_START:
        with Grayd(build) as grayd:
            died = False
            grayd.arm(point)
            if not grayd.start():
                died = True
                grayd.process = None
                grayd.arm()
                assert grayd.start()
            else:
                grayd.arm()
            assert grayd.apply(SHOP).status == 200
            assert grayd.verb("cart-2", "start").status == 200
            grayd.kill()
            # A machine that was switched off: the folder is gone.
            os.rename(grayd.runtime, grayd.runtime + ".gone")
            grayd.arm(point)
            if not grayd.start():
                died = True
                grayd.process = None
                grayd.arm()
                assert grayd.start()
            grayd.arm()
            assert died, f"{point} is never reached at a start"
            check(grayd, ["apply", "start"])
            folder_agrees(grayd)
            with open(grayd.state + "/first-token") as f:
                token = f.read().strip()
            who = grayd.ask("GET", "/v1/whoami",
                            Authorization="Bearer " + token)
            assert who.body["role"] == "admin", who.text


def walk_host(build):
    """Kills while grayd takes over what a person set on the host."""
    for point in HOST:
        with Grayd(build) as grayd:
            assert grayd.start()
            assert grayd.apply(SHOP).status == 200
            assert grayd.verb("cart-2", "start").status == 200
            grayd.arm(point)
            said = grayd.host("kill", "cart-2", "--reason", "night")
            assert said.returncode in (0, 5), said.stderr
            grayd.died()
            grayd.arm()
            assert grayd.start()
            wait_until("the host's word is adopted",
                       lambda: grayd.ask("GET", "/v1/releases/cart-2")
                       .body["killed"])
            wait_until("the word is grayd's own", lambda: not
                       grayd.in_folder()["cart-2"]["wordOfHost"])
            check(grayd, ["apply", "start", "kill"])
            folder_agrees(grayd)


def walk_late(build):
    """Kills in what is done behind the changes."""
    for point in LATE:
        with Grayd(build) as grayd:
            assert grayd.start()
            grayd.arm(point)
            try:
                grayd.apply(SHOP)
            except Dead:
                pass
            if point != "before-effects-done" and grayd.process.poll() is None:
                grayd.process.terminate()  # the end signs a checkpoint
            grayd.died()
            grayd.arm()
            assert grayd.start()
            assert grayd.apply(SHOP).status == 200
            check(grayd, ["apply"])
            folder_agrees(grayd)


RANDOM = [verb("set-weight", weight=w) for w in (1, 2, 5, 10, 20, 40)] + [
    verb(v, reason="r") for v in ("start", "pause", "resume", "promote",
                                  "freeze", "thaw", "kill", "unkill", "stop",
                                  "retry")]


def at_random(build, kills, seed):
    """kill -9 at any moment, under a stream of changes; nothing acknowledged
    is lost and nothing is done twice."""
    dice = random.Random(seed)
    with Grayd(build) as grayd:
        assert grayd.start()
        assert grayd.apply(SHOP).status == 200
        done, number = ["apply"], 0
        for _ in range(kills):
            killer = threading.Timer(dice.uniform(0.0, 0.04),
                                     grayd.process.kill)
            killer.start()
            pending = None
            while pending is None:
                action, ask = dice.choice(RANDOM)
                number += 1
                before = view(grayd)
                try:
                    reply = ask(grayd, str(number))
                except Dead:
                    pending = (action, ask, before)
                    break
                assert reply.status in (200, 409), reply.text
                if reply.status == 200 and reply.body["changed"]:
                    done.append(action)
            killer.join()
            grayd.kill()
            assert grayd.start(), grayd.errors()[-2000:]
            # What was not acknowledged: said again, it is there once or it
            # was refused and nothing was changed.
            action, ask, before = pending
            with grayd.database() as db:
                count, = db.execute("SELECT count(*) FROM audit WHERE "
                                    "json_extract(text, '$.outcome') = 'done'"
                                    ).fetchone()
            assert count in (len(done) + 1, len(done) + 2), (count, len(done))
            if count == len(done) + 1:  # the first token's, and those
                assert view(grayd) == before, "half a change"
            reply = ask(grayd, str(number))
            assert reply.status in (200, 409), reply.text
            if reply.status == 200 and reply.body["changed"]:
                done.append(action)
            folder_agrees(grayd)
        check(grayd, done)
        print(f"{kills} random kills, {number} changes, seed {seed}")


def main():
    build = sys.argv[1]
    kills = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    begin = time.monotonic()
    for walk in (walk_points, walk_start, walk_host, walk_late):
        walk(build)
        print(f"{walk.__name__}: {time.monotonic() - begin:.1f} s", flush=True)
    at_random(build, kills, random.SystemRandom().randrange(1 << 32))
    print(f"{time.monotonic() - begin:.1f} s")


if __name__ == "__main__":
    main()
