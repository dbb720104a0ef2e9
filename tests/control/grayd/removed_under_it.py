#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""removed_under_it.py - somebody removes grayd's folders while it runs.

Why: a clean-up job or a person in the wrong window removes a folder, and the
process goes on writing to files that have no name any more. The runtime folder
is grayd's to make again, whole, with words and bypass, without anybody's help
and without a word about it that nobody said; what was acknowledged lies in the
state folder, so without that nothing may be acknowledged.

usage: removed_under_it.py BUILD
"""
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import SHOP, Grayd, wait_until  # noqa: E402


def actions(grayd):
    records = grayd.ask("GET", "/v1/audit?limit=100").body["records"]
    return [(r["actor"], r["action"]) for r in records]


def remove(folder, other=None):
    """In one step: grayd makes it again while somebody empties it. What is to
    lie there instead comes a moment later."""
    os.rename(folder, folder + ".gone")
    if other is not None:
        os.rename(other, folder)
    shutil.rmtree(folder + ".gone")


def runtime(build):
    with Grayd(build) as grayd:
        assert grayd.start()
        assert grayd.apply(SHOP).status == 200
        assert grayd.verb("cart-2", "start").status == 200
        assert grayd.verb("cart-2", "freeze").status == 200
        on = grayd.ask("POST", "/v1/bypass", {"on": True, "reason": "r"})
        assert on.status == 200
        row = grayd.in_folder()["cart-2"]
        said = actions(grayd)

        def whole():
            return os.path.exists(grayd.runtime + "/control") and \
                grayd.in_folder().get("cart-2") == row and \
                grayd.ask("GET", "/readyz").status == 200
        remove(grayd.runtime)
        wait_until("the folder is there again", whole)
        status = grayd.ask("GET", "/v1/status").body
        assert status["bypass"] is True and status["revisionInForce"] == \
            grayd.ask("GET", "/v1/releases").body["revision"], status
        assert actions(grayd) == said, "nobody said anything"
        # A change that only sets a word finds the folder gone.
        remove(grayd.runtime)
        thawed = grayd.verb("cart-2", "thaw")
        assert thawed.status == 200 and "inForce" in thawed.body, thawed.text
        now = grayd.in_folder()["cart-2"]
        assert now["word"] == "open" and now["share"] == row["share"], now
        # Where it cannot be made, that is said until it can.
        other = grayd.runtime + ".other"
        os.mkdir(other)
        os.chmod(other, 0o777)  # refused: anybody may write there
        remove(grayd.runtime, other)
        wait_until("it says that it is behind", lambda:
                   grayd.ask("GET", "/readyz").status == 503)
        paused = grayd.verb("cart-2", "resume")
        assert paused.status == 200 and paused.body["notPublished"]
        os.rmdir(grayd.runtime)
        wait_until("it is well again", lambda:
                   grayd.ask("GET", "/readyz").status == 200)
        assert grayd.in_folder()["cart-2"]["share"] == row["share"]


def empty_runtime(build):
    with Grayd(build) as grayd:
        assert grayd.start()
        remove(grayd.runtime)
        wait_until("the folder is there again", lambda:
                   os.path.exists(grayd.runtime + "/control"))
        assert grayd.apply(SHOP).status == 200
        assert grayd.in_folder()["cart-2"]["share"] == 0


def state(build):
    with Grayd(build) as grayd:
        assert grayd.start()
        assert grayd.apply(SHOP).status == 200
        assert grayd.verb("cart-2", "start").status == 200
        before = grayd.in_folder()
        shutil.rmtree(grayd.state)
        refused = grayd.verb("cart-2", "set-weight", {"weight": 5})
        assert refused.status == 503, refused.text
        assert refused.body["code"] == "store-failed", refused.text
        assert grayd.in_folder() == before
        assert grayd.ask("GET", "/readyz").body["status"] == "store-failed"
        said = grayd.host("kill", "cart-2", "--reason", "r")
        assert said.returncode in (0, 5), said.stderr
        assert grayd.stop() == 0


def state_while_it_was_down(build):
    """A new store takes nothing out of force that it does not know."""
    with Grayd(build) as grayd:
        assert grayd.start()
        assert grayd.apply(SHOP).status == 200
        assert grayd.verb("cart-2", "start").status == 200
        before = grayd.in_folder()
        assert grayd.stop() == 0
        shutil.rmtree(grayd.state)
        assert grayd.start()
        assert grayd.in_folder() == before
        assert "policy-unknown" in grayd.errors()
        assert grayd.apply(SHOP).status == 200
        assert grayd.in_folder()["cart-2"]["share"] == 0
        assert grayd.stop() == 0


def main():
    for part in (runtime, empty_runtime, state, state_while_it_was_down):
        part(sys.argv[1])
        print(part.__name__, flush=True)


if __name__ == "__main__":
    main()
