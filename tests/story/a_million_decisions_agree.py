#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a_million_decisions_agree.py - gateway and libgray decide alike, a million times.

Invented policies, as in gateway_library_and_cli_agree.py (which asks the CLI
as well, and counts what was met), and many more requests of each: every one
goes through real nginx, and its X-Gray-Explain must be, to the byte, what
gray_client_explain() says of the same request from the same folder
(agree_gateway.c).  One policy in four keeps marks; there nginx is asked once
before, so that what marks say is compared.

STORY_REQUESTS=N: how many; `make agree` has a million, `make test` 100,000.
"""
import json
import os
import re
import subprocess

from gateway_library_and_cli_agree import ENTRANCES, SERVER, forget_marks
from harness import Story, check

REQUESTS = int(os.environ.get("STORY_REQUESTS", "100000"))
EACH = 2500  # requests of a policy
POLICIES = max(4, REQUESTS // EACH)
SEED = 11


def documents_of(folder, number):
    path = os.path.join(folder, f"policy-{number:04d}.json")
    with open(path, encoding="utf-8") as file:
        documents = json.load(file)
    marked = number % 4 == 3
    for document in documents:
        admission = document.get("admission", {})
        if admission.get("anonymous") == "random":
            admission["anonymous"] = "baseline"
        if document["kind"] == "Release" and not marked:
            forget_marks(document)
    return documents, marked


def ask(story, number, *more):
    """(compared, left out, asked again) of one policy."""
    ports = [f"{name}={story.port('entrance' + name)}" for name in ENTRANCES]
    done = subprocess.run(
        [os.path.join(story.build, "tests/story/agree_gateway"), story.runtime,
         "--seed", str(SEED), "--policy", str(number), "--requests", str(EACH),
         *(word for port in ports for word in ("--port", port)), *more],
        capture_output=True, text=True, check=False, timeout=300)
    check(done.returncode == 0, f"policy {number}: {done.stderr[-6000:]}")
    return [int(word) for word in re.findall(r"\d+", done.stdout)]


def main():
    with Story("a_million_decisions_agree") as story:
        folder = os.path.join(story.dir, "invented")
        os.mkdir(folder)
        subprocess.run(
            [os.path.join(story.build, "tests", "story", "agree"), "--write",
             folder, "--policies", str(POLICIES), "--requests", str(POLICIES),
             "--seed", str(SEED)], check=True, stdout=subprocess.DEVNULL)
        conf = story.conf(f"    gray_runtime {story.runtime};\n" + "".join(
            SERVER.format(port=story.port("entrance" + name), entrance=line)
            for name, line in ENTRANCES.items()), workers=1)
        compared = left_out = again = 0
        for number in range(POLICIES):
            documents, marked = documents_of(folder, number)
            subprocess.run(["rm", "-rf", story.runtime], check=True)
            story.publish(documents, wait=False)
            story.nginx(conf)
            if marked:
                ask(story, number, "--first")
            one, two, three = ask(story, number)
            story.stop_nginx()
            compared, left_out, again = (compared + one, left_out + two,
                                         again + three)
        print(f"{compared} decisions of {POLICIES} policies are the same to "
              f"the byte; {left_out} HTTP cannot ask, {again} were asked again")
        check(compared >= 0.9 * POLICIES * EACH, "too many were left out")
        check(again <= compared // 1000, "too many were asked again")


if __name__ == "__main__":
    main()
