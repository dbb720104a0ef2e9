#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""the_main_job_ends_well.py - `make run ONCE=1`, smaller, as a test.

Why: it is what a person sees first.  All four steps with 4,000 users must end
with exit code 0 and every step as wanted, by the logs of the services, although
grayd is killed on the way; with one of its ports taken it must end at once,
name the port and leave nothing behind.  The audit that it prints last is read
here from the store itself: who did each step and why, what was denied, and the
chain by a computation of its own.

usage: the_main_job_ends_well.py BUILD
"""
import importlib.util
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile

from harness import free_port, wait_until
import orders  # tests/oracle/orders.py, found by the harness

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
# actor, action, outcome, reason: the whole story, in its order
STORY = [
    ("first-admin", "token-make", "done", "for ci"),
    ("first-admin", "token-make", "done", "for alice"),
    ("first-admin", "token-make", "done", "for order-ci"),
    ("first-admin", "token-make", "done", "for olga"),
    ("ci", "apply", "done", "the cart that gives a discount"),
    ("alice", "start", "done", "testers are happy"),
    ("alice", "promote", "done", None),
    ("alice", "pause", "done", "lunch"),
    ("order-ci", "promote", "denied", None),
    ("alice", "resume", "done", None),
    ("alice", "promote", "done", None),
    ("alice", "promote", "done", None),
    ("alice", "kill", "done", "prices look wrong"),
    ("alice", "unkill", "done", "it was the price list"),
    ("olga", "start", "done", "taxes in columns of their own"),
    ("olga", "promote", "done", None),
    ("olga", "freeze", "done", "the books are being closed"),
    ("olga", "thaw", "done", "they are closed"),
    ("olga", "promote", "done", None),
]
SHARES = {"start": [1, 10], "promote": [10, 50, 100, 50, 100]}


def grayd_harness():
    """tests/control/grayd/harness.py; its name is taken by our own."""
    path = os.path.join(ROOT, "tests", "control", "grayd", "harness.py")
    spec = importlib.util.spec_from_file_location("grayd_harness", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(build, folder, ports, **more):
    env = dict(os.environ, GRAY_BUILD=build, SHOP_USERS="4000",
               SHOP_PORT=str(ports[0]), SHOP_TLS_PORT=str(ports[1]),
               SHOP_INNER_PORT=str(ports[2]), SHOP_GRAYD_PORT=str(ports[3]),
               GRAY_RUNTIME=os.path.join(folder, "runtime"), **more)
    return subprocess.Popen([os.path.join(ROOT, "examples", "shop", "run")],
                            env=env, cwd=ROOT, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def end(process, seconds=150):
    """Its exit code and all that it said, printed."""
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.terminate()
        said, _ = process.communicate(timeout=30)
        print(said)
        raise
    print(said)
    return process.returncode, said


def run(build, folder, ports):
    return end(start(build, folder, ports, ONCE="1"))


def nothing_left(folder):
    left = subprocess.run(["pgrep", "-f", folder], capture_output=True,
                          text=True, check=False).stdout.split()
    assert not left, f"left running: {left}"
    assert not os.listdir(folder), os.listdir(folder)


def check_audit(build):
    """The store's own tables, the chain by an own computation."""
    state = os.path.join(build, "shop-run", "state")
    with sqlite3.connect(f"file:{state}/store/store.db?mode=ro",
                         uri=True) as db:
        rows = db.execute("SELECT sequence, text, hash FROM audit "
                          "ORDER BY sequence").fetchall()
    records = []
    for sequence, record, stored, computed in grayd_harness().chain_of(rows):
        assert stored == computed, f"the chain breaks at {sequence}"
        assert record["seq"] == sequence == len(records) + 1, record
        records.append(record)
    told = [(r["actor"], r["action"], r["outcome"], r.get("reason"))
            for r in records if r["via"] == "token"]
    assert told == STORY, json.dumps(told, indent=1)
    for verb, shares in SHARES.items():
        seen = [r["after"]["percent"] for r in records
                if r["action"] == verb and r["outcome"] == "done"]
        assert seen == shares, (verb, seen)


def check_orders(build):
    """The rows that `make run` left, by the judge of orders."""
    path = os.path.join(build, "shop-run", "orders.db")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        db.row_factory = sqlite3.Row
        rows = {table: [dict(row) for row in db.execute(
            f"SELECT * FROM {table}")] for table in ("orders", "ledger")}
    for row in rows["orders"]:
        row["mark"] = row["mark"].hex()
    wrong = []
    found, done = orders.judge_rows(rows, wrong.append)
    assert not wrong, wrong
    assert len(found) == 300 and len(done) == 300, (len(found), len(done))
    logics = {name: logic for name, (_, (logic,)) in found.items()}
    for prefix, wanted in (("before", {"old"}), ("at-10", {"old", "new"}),
                           ("at-50", {"old", "new"}), ("frozen", {"old"}),
                           ("at-100", {"new"})):
        met = {logic for name, logic in logics.items()
               if name.startswith(prefix + "-")}
        assert met == wanted, (prefix, met)


def ends_well(build, folder):
    code, said = run(build, folder, [free_port() for _ in range(4)])
    assert code == 0, f"exit code {code}"
    assert "every step as wanted" in said
    assert "requests, 0 failed;" in said
    assert "grayd is killed (kill -9)" in said
    for actor, action, outcome, reason in STORY:
        assert any(actor in line and action in line and outcome in line and
                   (reason or "") in line for line in said.splitlines()), \
            f"the audit does not show {action} by {actor}"
    nothing_left(folder)
    check_audit(build)
    check_orders(build)


def names_a_taken_port(build, folder):
    for place in range(4):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            ports = [free_port() for _ in range(4)]
            ports[place] = port
            code, said = run(build, folder, ports)
        assert code == 1, f"exit code {code}"
        assert str(port) in said, "the taken port is not named"
        nothing_left(folder)


def stays_until_ctrl_c(build, folder):
    """Without ONCE: up until SIGINT, then nothing is left behind."""
    ports = [free_port() for _ in range(4)]
    process = start(build, folder, ports)
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C ends everything"):
                break
        assert process.poll() is None, "".join(said)
        # the commands that it prints to try are true
        text = "".join(said)
        server = text.split("export GRAY_SERVER=")[1].split()[0]
        gray = os.path.join(build, "bin", "gray")
        changes = subprocess.run(
            [gray, "changes"], capture_output=True, text=True,
            env=dict(os.environ, GRAY_SERVER=server), check=False)
        assert changes.returncode == 0 and "alice" in changes.stdout, changes
    finally:
        process.send_signal(signal.SIGINT)
        code, _ = end(process, 60)
    assert code == 0, f"exit code {code}"
    wait_until(lambda: not os.path.exists(folder + "/runtime"), "end")
    nothing_left(folder)


def main():
    build = os.path.abspath(sys.argv[1])
    folder = tempfile.mkdtemp(prefix="gray-run-", dir="/dev/shm")
    try:
        ends_well(build, folder)
        names_a_taken_port(build, folder)
        stays_until_ctrl_c(build, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
