#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a_freeze_keeps_its_promise.py - when freeze has returned, nobody new is in.

Why: "frozen" is said to people who then repair data, so it must be true of a
reader that was stopped in the middle as well: the call waits for it, at most
as long as its admission lease, and says so. Where a release has no lease
nothing is promised, and the reader is named instead. Nothing else waits
meanwhile, and a kill of grayd forgets none of it.

usage: a_freeze_keeps_its_promise.py BUILD
"""
import os
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Grayd, Told, marks_of, wait_until  # noqa: E402

RELEASE = """
---
kind: Release
name: {name}
services: [{{service: {service}, version: v2}}]
unit: {{cookie: uid}}
{more}
strategy: {{canary: {{steps: [{{setWeight: 50}}, {{setWeight: 100}}]}}}}
"""
SERVICE = """
---
kind: Service
name: {name}
baseline: {{version: v1}}
versions:
  v1: {{endpoints: ["127.0.0.1:9201"]}}
  v2: {{endpoints: ["127.0.0.1:9202"]}}
"""
DOCS = "".join(
    SERVICE.format(name=f"s{i}") + RELEASE.format(name=name, service=f"s{i}",
                                                  more=more)
    for i, (name, more) in enumerate((
        ("leased", "admissionLease: 3s"), ("bare", ""),
        ("order", "stickiness: entity\nadmissionLease: 3s"),
        ("other", ""))))
NEXT = iter(range(1000000))


def units(count):
    """Of whom nobody has heard."""
    return [str(next(NEXT)) for _ in range(count)]


def in_thread(call):
    said = {}
    thread = threading.Thread(target=lambda: said.update(reply=call()))
    thread.start()
    return thread, said


def everybody_acknowledges(grayd, told):
    inside = told.news(units(100))
    assert 20 < len(inside) < 80
    said = grayd.verb("leased", "freeze").body["admission"]
    assert said["closed"] and said["late"] == [], said
    assert "all 1 readers acknowledged" in said["sentence"], said
    before = marks_of(grayd, "leased")["in"]
    assert told.news(units(100)) == set()
    assert told.news(inside) == inside  # those in stay in
    assert marks_of(grayd, "leased")["in"] == before
    assert grayd.verb("leased", "thaw").status == 200
    assert told.news(units(100))


def a_stopped_reader_has_its_lease(grayd, told):
    told.signal(signal.SIGSTOP)
    try:
        thread, said = in_thread(lambda: grayd.verb("leased", "freeze"))
        # The word holds at once, other changes do not wait, and status says
        # whom it waits for.
        wait_until("the word is there",
                   lambda: grayd.in_folder()["leased"]["word"] == "no-admit")
        wait_until("status names the reader", lambda: [
            r["pid"] for r in grayd.ask("GET", "/v1/releases/leased")
            .body["admission"]["late"]] == [told.process.pid])
        assert grayd.verb("other", "start").status == 200
        assert "reply" not in said
        again, also = in_thread(lambda: grayd.verb("leased", "freeze"))
        thread.join()
        again.join()
    finally:
        told.signal(signal.SIGCONT)
    for reply in (said["reply"], also["reply"]):
        admission = reply.body["admission"]
        assert admission["closed"], admission
        assert admission["waitedMs"] >= admission["leaseMs"] == 3000
        assert [r["pid"] for r in admission["late"]] == [told.process.pid]
        assert "lease of 3 s ran out" in admission["sentence"], admission
    wait_until("it has woken, and is not named any more", lambda: grayd.ask(
        "GET", "/v1/releases/leased").body["admission"]["late"] == [])
    before = marks_of(grayd, "leased")["in"]
    assert told.news(units(100)) == set()
    assert marks_of(grayd, "leased")["in"] == before
    assert grayd.verb("leased", "thaw").status == 200


def without_a_lease_it_names_the_reader(grayd, told):
    told.signal(signal.SIGSTOP)
    try:
        said = subprocess.run(
            [grayd.gray, "freeze", "bare", "--wait", "0"], text=True,
            capture_output=True,
            env=dict(os.environ, GRAY_SERVER="unix:" + grayd.socket))
        assert said.returncode == 5, said
        assert f"(pid {told.process.pid})" in said.stdout, said.stdout
        assert "no admission lease" in said.stdout, said.stdout
        admission = grayd.ask("GET", "/v1/releases/bare").body["admission"]
        assert not admission["closed"], admission
    finally:
        told.signal(signal.SIGCONT)
    wait_until("it has heard it", lambda: grayd.ask(
        "GET", "/v1/releases/bare").body["admission"]["closed"])
    assert grayd.verb("bare", "thaw").status == 200


def stop_of_what_cannot_go_back_waits_too(grayd, told):
    told.signal(signal.SIGSTOP)
    try:
        said = grayd.verb("order", "stop")
    finally:
        told.signal(signal.SIGCONT)
    assert said.body["release"]["state"] == "Frozen"
    assert said.body["admission"]["closed"]
    assert said.body["admission"]["waitedMs"] >= 3000
    assert grayd.verb("order", "thaw").status == 200
    # All at once: nobody waits for the slowest, and each row says how far.
    said = grayd.ask("POST", "/v1/stop", {})
    rows = {r["release"]["name"]: r for r in said.body["moved"]}
    assert rows["order"]["release"]["state"] == "Frozen"
    assert rows["order"]["admission"]["sentence"], rows["order"]
    assert "admission" not in rows["leased"]  # aborted: a word is enough
    for name in ("leased", "bare", "other"):
        assert grayd.verb(name, "retry").status == 200, name


def a_kill_forgets_nothing(grayd, told):
    told.signal(signal.SIGSTOP)
    try:
        thread, said = in_thread(lambda: try_freeze(grayd))
        wait_until("the word is there",
                   lambda: grayd.in_folder()["leased"]["word"] == "no-admit")
        grayd.kill()
        thread.join()
        assert grayd.start()
    finally:
        told.signal(signal.SIGCONT)
    wait_until("it is closed again", lambda: closed(grayd))
    assert marks_of(grayd, "leased")["closed"]
    assert told.news(units(100)) == set()
    # What is on the host while grayd is dead becomes a freeze like another.
    assert grayd.verb("leased", "thaw").status == 200
    grayd.kill()
    done = grayd.host("freeze", "leased", "--reason", "night")
    assert done.returncode == 0, done.stderr
    assert "no admission lease was waited for" in done.stdout, done.stdout
    assert grayd.start()
    wait_until("it is closed", lambda: closed(grayd))


def closed(grayd):
    return grayd.ask("GET", "/v1/releases/leased").body.get(
        "admission", {}).get("closed")


def try_freeze(grayd):
    try:
        return grayd.verb("leased", "freeze")
    except Exception as error:  # grayd dies meanwhile
        return error


def main():
    build = sys.argv[1]
    with Grayd(build) as grayd:
        assert grayd.start()
        assert grayd.apply(DOCS).status == 200
        for name in ("leased", "bare", "order"):
            assert grayd.verb(name, "start").status == 200
        with Told(build, grayd, "leased") as told:
            for part in (everybody_acknowledges,
                         a_stopped_reader_has_its_lease,
                         without_a_lease_it_names_the_reader,
                         stop_of_what_cannot_go_back_waits_too,
                         a_kill_forgets_nothing):
                part(grayd, told)
                print(part.__name__, flush=True)


if __name__ == "__main__":
    main()
