#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""plan_counts_whom_it_drops.py - {00,01} -> {0} names 01 and counts its marks.

Why: a policy that got narrower is a number of people. Who is in is known here
from what a library was answered, unit by unit, and by nothing of grayd's: its
plan must come to the same numbers, from its journal and, without grayd, from
the folder. Who lets them go says how many, and no other number is taken.

usage: plan_counts_whom_it_drops.py BUILD
"""
import json
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Grayd, Told, in_force, marks_of, wait_until  # noqa: E402

DOCS = """
kind: Service
name: cart
baseline: {{version: v1}}
versions:
  v1: {{endpoints: ["127.0.0.1:9201"]}}
  v2: {{endpoints: ["127.0.0.1:9202"]}}
---
kind: Release
name: user-2
services: [{{service: cart, version: v2}}]
unit: {{cookie: uid}}
salt: {salt}
stickiness: {kept}
admission: {{match: [{match}]{more}}}
strategy: {{canary: {{steps: [{{setWeight: 50}}]}}}}
"""
BOTH = "{idTail: ['00', '01']}"
ONE = "{idTail: ['0']}"
NUMBERS = [str(n * 100 + tail) for n in range(1, 121) for tail in (0, 1, 2)]
TEXTS = [f"user-{n}{tail}" for n in range(1, 41) for tail in ("00", "01")]
# A text that is no number, though it looks like one.
TEXTS += [f"00{n}01" for n in range(1, 20)]


def docs(match=BOTH, salt="user-2", kept="monotonic", more=""):
    return DOCS.format(match=match, salt=salt, kept=kept, more=more)


def plan(grayd, text, **more):
    reply = grayd.ask("POST", "/v1/plan", {
        "files": [{"name": "shop.yaml", "text": text}], **more})
    assert reply.status == 200, reply.text
    return reply.body


def codes(body):
    return [f["code"] for f in body["findings"] if f["severity"] == "error"]


def sentence(body, code):
    return next(f["sentence"] for f in body["findings"] if f["code"] == code)


def gray(grayd, *words, text=None):
    return subprocess.run([grayd.gray, *words], input=text,
                          capture_output=True, text=True,
                          env={**os.environ, "GRAY_SERVER":
                               f"unix:{grayd.socket}"})


def names_01_and_counts_it(grayd, ends):
    body = plan(grayd, docs(ONE))
    assert not body["accepted"]
    assert codes(body) == ["tail-dropped"], body["findings"]
    assert "drops 01:" in sentence(body, "tail-dropped")
    drops = body["drops"]
    assert [(d["release"], d["kind"], d["what"]) for d in drops] == \
        [("user-2", "tail-dropped", "01")], drops
    assert drops[0]["marks"] == len(ends["01"]), (drops, len(ends["01"]))
    assert drops[0]["counted"] == "exact", drops
    assert len(drops[0]["examples"]) == 5
    assert set(drops[0]["examples"]) <= ends["01"], drops
    counted = sentence(body, "marks-drop")
    everyone = len(ends["00"] | ends["01"])
    assert f"{len(ends['01'])} of the {everyone} units" in counted, counted
    assert f"{len(ends['01'])} end in 01" in counted, counted
    # Monotonic: their marks keep them in.
    assert f"{len(ends['01'])} of them stay in by their marks" in counted
    assert "; 0 fall out at once" in counted, counted
    # As a person sees it.
    path = f"{grayd.folder}/one.yaml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(docs(ONE))
    seen = gray(grayd, "plan", "-f", path)
    assert seen.returncode == 1, seen.stderr
    assert counted in " ".join(seen.stdout.split()), seen.stdout
    return path


def only_the_number_is_taken(grayd, path, ends):
    """Less, more, none at all: refused, with both numbers."""
    before = grayd.ask("GET", "/v1/status").body["revision"]
    exact = len(ends["01"])
    for wrong in (exact - 1, exact + 1, 0):
        reply = grayd.apply(docs(ONE), allowDrop=wrong)
        assert reply.status == 422, reply.text
        told = sentence(reply.body, "drop-count")
        assert f"{wrong} units were allowed to drop, and {exact} would" in \
            told, told
    assert grayd.apply(docs(ONE)).status == 422
    later = grayd.apply(docs(ONE), allowDrop=exact,
                        effectiveAt="2099-01-01T00:00:00Z")
    assert later.status == 400 and later.body["pointer"] == "/allowDrop"
    seen = gray(grayd, "apply", "-f", path, "--allow-drop", str(exact + 1))
    assert seen.returncode == 1, seen.stderr
    assert f"and {exact} would" in seen.stderr, seen.stderr
    seen = gray(grayd, "apply", "-f", path, "--allow-drop", "user-2")
    assert seen.returncode == 2, seen.stderr
    assert grayd.ask("GET", "/v1/status").body["revision"] == before
    body = plan(grayd, docs(ONE), allowDrop=exact)
    assert body["accepted"], body["findings"]


EXTRA = """
kind: Service
name: extra
baseline: {{version: v1}}
versions:
  v1: {{endpoints: ["127.0.0.1:{port}"]}}
"""


def not_beside_another_change(grayd, ends):
    """Counted for one policy, and another one is in force: refused."""
    done = threading.Event()

    def others():
        port = 9300
        while not done.is_set():
            port += 1
            assert grayd.apply(EXTRA.format(port=port)).status == 200
    thread = threading.Thread(target=others)
    thread.start()
    try:
        for _ in range(200):
            reply = grayd.apply(docs(ONE), allowDrop=len(ends["01"]),
                                dry_run=True)
            if reply.status == 422:
                told = sentence(reply.body, "drop-count")
                assert "another change came while they were counted" in told
                return
            assert reply.status == 200, reply.text
    finally:
        done.set()
        thread.join()
    raise AssertionError("no change ever came between")


def other_ways_to_drop(grayd, ends):
    """What no test of a tail says: each counted whole, with the engine."""
    everyone = ends["00"] | ends["01"]
    salted = plan(grayd, docs(salt="other"))
    (drop,) = salted["drops"]
    assert drop["kind"] == "salt-changed" and drop["counted"] == "exact"
    # Whoever the new salt deals a bucket above the share.
    assert 0.3 * len(everyone) < drop["marks"] < 0.7 * len(everyone), drop
    entity = plan(grayd, docs(kept="entity"))
    assert codes(entity) == ["marks-changed"], entity["findings"]
    gone = plan(grayd, docs("{idTail: ['7']}"))
    assert sum(d["marks"] for d in gone["drops"]) == len(everyone), gone
    range_of = "{unit: {range: {start: 0, end: 5000}}}"
    ranged = plan(grayd, docs("{all: [" + BOTH + ", " + range_of + "]}"))
    (drop,) = ranged["drops"]
    outside = {u for u in everyone if not u.isdigit() or int(u) >= 5000}
    assert (drop["kind"], drop["marks"]) == ("drops", len(outside)), drop
    assert drop["atOnce"] == 0, drop
    # A deny by tail would throw out those who are in, marks or not.
    denied = plan(grayd, docs(more=", deny: [{idTail: ['01']}]"))
    (drop,) = denied["drops"]
    assert drop["marks"] == drop["atOnce"] == len(ends["01"]), drop
    assert "all fall out at once" in sentence(denied, "marks-drop")
    # By id it is meant, and nobody has to allow it.
    two = sorted(ends["01"])[:2]
    named = plan(grayd, docs(more=", deny: [{unit: {in: [%s]}}]" % ", ".join(
        f"'{u}'" for u in two)))
    assert named["accepted"], named["findings"]
    (drop,) = named["drops"]
    assert drop["meant"] and drop["marks"] == 2, drop
    # What lets everyone in who was in drops nobody, however it is written.
    wider = plan(grayd, docs("{not: {not: {any: [{idTail: ['1']}, "
                             "{idTail: ['00']}]}}}"))
    assert wider["accepted"] and wider["drops"] == [], wider["findings"]


def then_it_is_done(grayd, told, path, ends):
    exact = len(ends["01"])
    seen = gray(grayd, "apply", "-f", path, "--allow-drop", str(exact),
                "--reason", "tails were wrong")
    assert seen.returncode == 0, seen.stderr
    in_force(grayd, told)
    # Their marks keep in who was in; nobody new comes by 01.
    assert told.news(sorted(ends["01"])) == ends["01"]
    fresh = [str(n * 100 + 1) for n in range(500, 560)]
    assert told.news(fresh) == set()
    again = plan(grayd, docs(ONE))
    assert again["accepted"] and again["drops"] == [], again


def without_grayd(grayd, path, ends):
    """The folder has no names, but a number is its own key."""
    grayd.stop()
    with open(path, "w", encoding="utf-8") as file:
        file.write(docs("{idTail: ['00']}").replace(
            "strategy: {canary: {steps: [{setWeight: 50}]}}", "").replace(
                "admission: {match", "admission: {share: 50, match"))
    numbers = {u for u in ends["all"] if u.isdigit() and u == str(int(u))}
    hashed = len(ends["all"]) - len(numbers)
    # 0 -> 00 drops who came in by other tens since, and none of the marks.
    seen = grayd.host("plan", "-f", path, "-o", "json")
    facts = json.loads(seen.stdout)
    drops = [d for d in facts["drops"] if d["what"] != "00"]
    assert all(d["counted"] == "atLeast" for d in drops), drops
    assert sum(d["marks"] for d in drops) == len(
        [u for u in numbers if u.endswith("0") and not u.endswith("00")])
    assert f"of {hashed} more units only a hash is kept" in seen.stdout
    # Not all are known, so no number is the exact one.
    seen = grayd.host("publish", "-f", path, "--allow-drop", "0")
    assert seen.returncode == 1, seen.stderr
    assert "the exact number is not known" in seen.stderr, seen.stderr


def main():
    with Grayd(sys.argv[1]) as grayd:
        grayd.start()
        assert grayd.apply(docs()).status == 200
        assert grayd.verb("user-2", "start").status == 200
        with Told(sys.argv[1], grayd, "user-2") as told:
            in_force(grayd, told)
            came = told.news(NUMBERS + TEXTS)
            ends = {tail: {u for u in came if u.endswith(tail)}
                    for tail in ("00", "01")}
            assert came == ends["00"] | ends["01"]
            assert len(ends["00"]) > 40 and len(ends["01"]) > 40
            assert any(not u.isdigit() for u in ends["01"])
            wait_until("all are in the journal", lambda: (lambda m: m["in"] ==
                       len(came) and m["notDurable"] == 0)(
                           marks_of(grayd, "user-2")))
            path = names_01_and_counts_it(grayd, ends)
            only_the_number_is_taken(grayd, path, ends)
            not_beside_another_change(grayd, ends)
            other_ways_to_drop(grayd, ends)
            then_it_is_done(grayd, told, path, ends)
            tens = told.news([str(n) for n in range(100010, 100400, 10)])
            wait_until("all are in the journal", lambda: marks_of(
                grayd, "user-2")["notDurable"] == 0)
            ends["all"] = came | tens
        without_grayd(grayd, path, ends)
    print("{00,01} -> {0} names 01 and counts its marks")


if __name__ == "__main__":
    main()
