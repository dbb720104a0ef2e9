#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""host_wins.py - what a person sets on the host stands, grayd dead or alive.

Why: at three in the morning grayd may be the thing that is broken. A word
that `gray kill` writes into the folder must survive grayd's return, become
what grayd says too, with who and why, and be taken back by a person alone.

usage: host_wins.py BUILD
"""
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import SHOP, Grayd, wait_until  # noqa: E402


def release(grayd):
    return grayd.ask("GET", "/v1/releases/cart-2").body


def records(grayd):
    with grayd.database() as db:
        return [json.loads(t) for t, in db.execute(
            "SELECT text FROM audit ORDER BY sequence")]


def on_host(grayd, *words):
    said = grayd.host(*words)
    assert said.returncode in (0, 5), said.stderr


def adopted(grayd, what, seen):
    wait_until(what, lambda: seen(release(grayd)))
    row = release(grayd)
    folder = grayd.in_folder()["cart-2"]
    assert folder["word"] == row["word"], (folder, row)
    wait_until("the word is grayd's own",
               lambda: not grayd.in_folder()["cart-2"]["wordOfHost"])
    return row


def alive(grayd):
    on_host(grayd, "kill", "cart-2", "--reason", "orders double")
    row = adopted(grayd, "killed", lambda r: r["killed"])
    assert row["state"] == "Progressing" and row["word"] == "killed"
    last = records(grayd)[-1]
    assert last["actor"] == "host: root", last
    assert last["action"] == "kill" and last["reason"] == "orders double"
    assert last["outcome"] == "done" and last["via"] == "host"
    # A person takes it back in grayd.
    assert grayd.verb("cart-2", "unkill").status == 200
    assert grayd.in_folder()["cart-2"]["word"] == "open"


def dead(grayd):
    grayd.kill()
    on_host(grayd, "freeze", "cart-2", "--reason", "night")
    assert grayd.start()
    row = adopted(grayd, "frozen", lambda r: r["state"] == "Frozen")
    assert row["word"] == "no-admit" and row["percent"] == 1
    # The other direction: grayd says frozen, the host opened it meanwhile.
    grayd.kill()
    on_host(grayd, "thaw", "cart-2")
    assert grayd.start()
    row = adopted(grayd, "thawed", lambda r: r["state"] != "Frozen")
    assert row["word"] == "open" and row["state"] == "Paused"
    # Everyone was sent back on the host: an abort, undone by retry alone.
    grayd.kill()
    on_host(grayd, "stop", "cart-2")
    assert grayd.start()
    row = adopted(grayd, "aborted", lambda r: r["state"] == "Aborted")
    assert row["word"] == "baseline" and row["percent"] == 0
    assert grayd.in_folder()["cart-2"]["share"] == 0
    assert grayd.verb("cart-2", "retry").status == 200
    assert release(grayd)["attempt"] == 2
    assert grayd.in_folder()["cart-2"]["word"] == "open"


def folder_lost(grayd):
    """The host was switched off: its tmpfs is empty, grayd remembers."""
    assert grayd.verb("cart-2", "kill", {"reason": "r"}).status == 200
    before = grayd.in_folder()["cart-2"]
    grayd.kill()
    shutil.rmtree(grayd.runtime)
    assert grayd.start()
    after = grayd.in_folder()["cart-2"]
    assert after["word"] == "killed" and after["share"] == before["share"]
    assert grayd.verb("cart-2", "unkill").status == 200


def bypass(grayd):
    grayd.kill()
    on_host(grayd, "bypass", "on")
    assert grayd.start()
    assert grayd.ask("GET", "/v1/status").body["bypass"] is True
    assert records(grayd)[-1]["action"] == "bypass"
    off = grayd.ask("POST", "/v1/bypass", {"on": False, "reason": "over"})
    assert off.status == 200
    assert grayd.ask("GET", "/v1/status").body["bypass"] is False
    on_host(grayd, "bypass", "on")
    wait_until("the bypass is adopted", lambda:
               grayd.ask("GET", "/v1/status").body["bypass"] is True)


def main():
    with Grayd(sys.argv[1]) as grayd:
        assert grayd.start()
        assert grayd.apply(SHOP).status == 200
        assert grayd.verb("cart-2", "start").status == 200
        for part in (alive, dead, folder_lost, bypass):
            part(grayd)
            print(part.__name__)


if __name__ == "__main__":
    main()
