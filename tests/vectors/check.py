#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check.py - the frozen vectors, against plain Python and against `gray`.

Why: docs/vectors/ promises that any implementation that gives these answers
decides as Graylane does.  One that was written from the documents alone must
give them, and so must the engine, or the promise is empty.

usage: check.py python VECTORS     replays hashes, buckets and decisions here
       check.py gray VECTORS GRAY REPLAY  the same requests through `gray
                                   explain`; those with marks through replay.c
       check.py print VECTORS NAME what Python answers, to make new vectors
Read next: decide.py, ../../docs/vectors/README.md.
"""
import json
import os
import subprocess
import sys

import conditions
from decide import Policy
from hashing import bucket, murmur3
from request import Request

SAME = ("release", "arms", "lane", "version", "reason", "rule", "bucket",
        "class")
SHOWN = 5


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def load_lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


# What a line leaves out when it says just this.
PLAIN = {"release": "", "arms": "", "lane": "", "rule": "", "bucket": None,
         "class": "live"}


def group(answer):
    """As answers are written: releases of the same outcome share one."""
    outcomes = {}
    for name, found in answer["releases"].items():
        outcomes.setdefault(json.dumps(found), []).append(name)
    answer = {k: v for k, v in answer.items()
              if k not in PLAIN or v != PLAIN[k]}
    return dict(answer, releases=[dict(json.loads(text), of=names)
                                  for text, names in outcomes.items()])


def ungroup(answer):
    releases = {}
    for outcome in answer["releases"]:
        for name in outcome.pop("of"):
            assert name not in releases, f"{name} stands twice"
            releases[name] = outcome
    return {**PLAIN, **answer, "releases": releases}


def check_buckets(vectors):
    frozen = load(os.path.join(vectors, "buckets.json"))
    wrong = [v for v in frozen["murmur3"]
             if murmur3(v["text"].encode()) != v["hash"]]
    for v in frozen["buckets"]:
        salt, unit = v["salt"].encode(), v["unit"].encode()
        if (murmur3(salt + b":" + unit), bucket(salt, unit)) != (
                v["hash"], v["bucket"]):
            wrong.append(v)
    for v in wrong:
        print(f"buckets.json: not so: {json.dumps(v)[:200]}")
    print(f"buckets.json: {len(frozen['murmur3'])} hashes, "
          f"{len(frozen['buckets'])} buckets, {len(wrong)} wrong")
    return not wrong and len(frozen["buckets"]) > 0


def by_python(folder, name):
    policy = Policy(load(os.path.join(folder, name + ".policy.json")))
    for line in load_lines(os.path.join(folder, name + ".requests.jsonl")):
        yield policy.decide(Request(line), is_marked(name))


def is_marked(name):
    """Requests that say what was recorded, and answers that say what is to be."""
    return name == "marks"


def facts(line, marked):
    """An explain line without what belongs to this engine."""
    answer = {key: line[key] for key in SAME}
    answer["releases"] = {}
    for verdict in line["releases"]:
        found = {"in": verdict["in"], "reason": verdict["reason"]}
        if verdict["rule"]:
            found["rule"] = verdict["rule"]
        if verdict["bucket"] is not None:
            found["bucket"] = verdict["bucket"]
        if verdict["variant"]:
            found["variant"] = verdict["variant"]
        for key in ("stage", "record", "hold", "pending"):
            if marked and verdict[key]:
                found[key] = verdict[key]
        answer["releases"][verdict["release"]] = found
    return answer


def by_gray(gray, replay, folder, name):
    path = os.path.join(folder, name)
    policy, requests = path + ".policy.json", path + ".requests.jsonl"
    done = subprocess.run(
        [replay, policy, requests] if is_marked(name) else
        [gray, "explain", "-f", policy, "--requests", requests, "-o", "json"],
        stdout=subprocess.PIPE, check=True)
    for line in done.stdout.decode().splitlines():
        yield facts(json.loads(line), is_marked(name))


def compare(name, wanted, found):
    wrong = 0
    if len(wanted) != len(found):
        print(f"{name}: {len(wanted)} answers are frozen, {len(found)} given")
        wrong = 1
    for number, (a, b) in enumerate(zip(wanted, found), 1):
        if a == b:
            continue
        wrong += 1
        for key in sorted(set(a) | set(b)):
            if wrong <= SHOWN and a.get(key) != b.get(key):
                print(f"{name}: answer {number}: {key}\n"
                      f"  frozen {json.dumps(a.get(key))}\n"
                      f"  given  {json.dumps(b.get(key))}")
    print(f"{name}: {len(wanted)} decisions, {wrong} wrong")
    return wrong == 0 and len(wanted) > 0


def check_met():
    """Each condition held somewhere and failed somewhere."""
    wanted = sorted(conditions.OPERATORS | {"time"})
    unmet = [f"{op} was never {str(answer).lower()}"
             for op in wanted for answer in (True, False)
             if conditions.found[op, answer] == 0]
    print(f"{len(wanted)} conditions met", *unmet, sep="; ")
    return not unmet


def names_in(folder):
    ending = ".policy.json"
    return sorted(f[:-len(ending)] for f in os.listdir(folder)
                  if f.endswith(ending))


def main(args):
    if len(args) < 2 or len(args) != {"gray": 4, "print": 3}.get(args[0], 2):
        print(__doc__, file=sys.stderr)
        return 2
    folder = os.path.join(args[1], "decisions")
    if args[0] == "print":
        for answer in by_python(folder, args[2]):
            print(json.dumps(group(answer), separators=(",", ":")))
        return 0
    names = names_in(folder)
    good = args[0] == "gray" or check_buckets(args[1])
    good &= bool(names)
    for name in names:
        wanted = [ungroup(answer) for answer in load_lines(
            os.path.join(folder, name + ".answers.jsonl"))]
        given = (by_gray(args[2], args[3], folder, name) if args[0] == "gray"
                 else by_python(folder, name))
        good &= compare(name, wanted, list(given))
    if args[0] == "python":
        good &= check_met()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
