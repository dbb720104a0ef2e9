#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a_host_restarts.py - the runtime folder is gone, and nginx is about to start.

Why: what was killed yesterday must be killed before the first request of
today, with grayd not started yet; and a copy that is damaged is not believed.
usage: a_host_restarts.py BUILD
"""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../grayd"))
from harness import SHOP, Grayd  # noqa: E402

KEYS = ("share", "word", "wordOfHost", "services")


def facts(grayd):
    row = grayd.in_folder()["cart-2"]
    return {key: row[key] for key in KEYS}


def restore(grayd):
    done = subprocess.run(
        [grayd.program, "--restore", "--state", grayd.state, "--runtime",
         grayd.runtime], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def well(reply):
    assert reply.status == 200, reply.text
    return reply


def before_grayd(grayd):
    """Killed at 1 %; the folder goes, and comes back as it was."""
    assert grayd.start()
    well(grayd.apply(SHOP))
    well(grayd.verb("cart-2", "start"))
    well(grayd.verb("cart-2", "kill", {"reason": "wrong prices"}))
    yesterday = facts(grayd)
    assert yesterday["share"] == 10000 and yesterday["word"] == "killed", \
        yesterday
    grayd.kill()
    shutil.rmtree(grayd.runtime)
    assert restore(grayd)[0] == 0
    assert facts(grayd) == yesterday, facts(grayd)
    code, said = restore(grayd)
    assert code == 0 and "nothing to restore" in said, said


def with_grayd(grayd):
    """It goes on where it was, and takes back what it killed."""
    assert grayd.start()
    well(grayd.verb("cart-2", "unkill"))
    assert facts(grayd)["word"] == "open"
    well(grayd.verb("cart-2", "freeze"))
    assert grayd.stop() == 0


def with_a_damaged_copy(grayd):
    """Refused with the name of the file; grayd itself knows better."""
    shutil.rmtree(grayd.runtime)
    words = grayd.state + "/last-good/words"
    with open(words, "r+", encoding="utf-8") as f:
        text = f.read().replace(" 1\n", " 0\n")
        f.seek(0)
        f.write(text)
    code, said = restore(grayd)
    assert code == 3 and "last-good/words is damaged" in said, (code, said)
    assert not os.path.exists(grayd.runtime)
    assert grayd.start()
    assert facts(grayd)["word"] == "no-admit"
    assert grayd.stop() == 0
    shutil.rmtree(grayd.runtime)
    assert restore(grayd)[0] == 0
    assert facts(grayd)["word"] == "no-admit"


def main(build):
    with Grayd(build) as grayd:
        grayd.program = os.path.join(build, "bin/grayd")
        before_grayd(grayd)
        with_grayd(grayd)
        with_a_damaged_copy(grayd)


if __name__ == "__main__":
    main(sys.argv[1])
