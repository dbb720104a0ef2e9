#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hosts_are_fed.py - bundles, reports and rights, by agents written by hand.

Why: what goes to hosts is believed by its signature alone, what comes from
them is believed of that host alone, and a number never means two things,
whatever kills the server.

usage: hosts_are_fed.py BUILD
"""
import hashlib
import json
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agents import Agent, row, signed_by  # noqa: E402
from harness import SHOP, Connection, Grayd, wait_until  # noqa: E402

SCOPE = "ddcb28fda903dac5"  # of cart-2
SHARED = ("policy", "fleet", "keys")


def what_is_signed_holds_by_openssl_alone(grayd, one):
    verifier = grayd.ask("GET", "/v1/audit/checkpoints").text.split("\n")[0]
    origin = verifier.split("+")[0]
    assert one.note.startswith(origin + "/bundle\n{"), one.note
    # The name of the key is that of the audit's: the first line parts them.
    assert signed_by(one.note, verifier, grayd.folder)
    forged = one.note.replace('"revision":', '"revision":1', 1)
    assert not signed_by(forged, verifier, grayd.folder)
    text = one.note.split("\n")[1]
    assert text == json.dumps(json.loads(text), sort_keys=True,
                              separators=(",", ":")), "not canonical"


def every_file_is_what_its_hash_says(grayd, one):
    files = [one.manifest[k] for k in SHARED] + one.manifest["lists"]
    for file in files:
        reply = one.ask("GET", "/v1/blobs/" + file["sha256"])
        assert reply.status == 200
        assert reply.headers["Content-Type"] == "application/octet-stream"
        assert int(reply.headers["Content-Length"]) == file["size"]
    raw = raw_blob(grayd, one, one.manifest["policy"]["sha256"])
    assert hashlib.sha256(raw).hexdigest() == one.manifest["policy"]["sha256"]
    assert one.ask("GET", "/v1/blobs/" + "0" * 64).status == 404


def raw_blob(grayd, agent, sha256):
    done = subprocess.run(
        ["curl", "-s", "--unix-socket", grayd.socket, "-H",
         "Authorization: Bearer " + agent.token,
         "http://localhost/v1/blobs/" + sha256], capture_output=True)
    return done.stdout


def a_host_is_itself_and_nobody_else(grayd, one):
    other = Agent(grayd, "h1x")  # begins as h1 does
    for reply in (
            other.report(host="h1", path="h1"),
            other.report(path="h1"),
            other.admit(0, path="h1"),
            other.ask("GET", "/v1/bundle?host=h1"),
            one.ask("GET", "/v1/bundle?host=h1x"),
            one.ask("GET", "/v1/status"),
            one.ask("GET", "/v1/hosts"),
            one.ask("POST", "/v1/releases/cart-2/stop", {}),
            one.ask("DELETE", "/v1/hosts/h1x"),
            one.ask("POST", "/v1/tokens", {
                "name": "x", "role": "admin", "scopes": [""],
                "ttlSeconds": 60})):
        assert reply.status == 403, reply.text
    # The path and the body are of one host.
    reply = one.report(host="h1x", path="h1")
    assert reply.status == 400 and reply.body["pointer"] == "/host"
    # Nobody else gets what is for hosts, an admin as little: keys are in it.
    for path in ("/v1/bundle?host=h1",
                 "/v1/blobs/" + one.manifest["keys"]["sha256"]):
        assert grayd.ask("GET", path).status == 403
    # A token that was good a moment ago ends at once.
    assert other.poll() == 200 and other.report().status == 200
    assert grayd.ask("DELETE", "/v1/tokens/" + other.token.split("_")[1]) \
        .status == 200
    for reply in (other.report(), other.ask("GET", "/v1/bundle?host=h1x")):
        assert reply.status == 401, reply.text
    assert grayd.ask("DELETE", "/v1/hosts/h1x").status == 200
    # A token for two hosts, or for every one, is not made.
    for scopes in ([""], ["h1", "h2"], []):
        reply = grayd.ask("POST", "/v1/tokens", {
            "name": "x", "role": "agent", "scopes": scopes,
            "ttlSeconds": 60})
        assert reply.status == 400, reply.text


def what_is_torn_or_odd_changes_nothing(grayd, one):
    before = grayd.ask("GET", "/v1/hosts").body["hosts"][0]
    path = "/v1/hosts/h1/report"
    for body in ({}, [], {"host": "h1"},
                 {"host": "h1", "sequence": "1", "epoch": 0, "readers": []},
                 {"host": "h1", "sequence": 1, "epoch": 0, "readers": {}},
                 {"host": "h1", "sequence": 1, "epoch": 0,
                  "readers": [{"epoch": 1}]},
                 {"host": 1, "sequence": 1, "epoch": 0, "readers": []}):
        assert one.ask("POST", path, body).status == 400, body
    done = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
         "--unix-socket", grayd.socket, "-H",
         "Authorization: Bearer " + one.token, "-H",
         "Content-Type: application/json", "--data-binary",
         '{"host":"h1","sequence":1,"epoch":0,"readers":[',
         "http://localhost" + path], capture_output=True, text=True)
    assert done.stdout == "400", done
    after = grayd.ask("GET", "/v1/hosts").body["hosts"][0]
    assert (before["sequence"], before["heardAt"]) == \
        (after["sequence"], after["heardAt"])
    # Negative and unknown members are not an error, and mean nothing.
    assert one.report(clockMs=-5, lateMs=-1, whatever=[1]).status == 200
    assert one.ask("GET", "/v1/bundle?host=h1&wait=56").status == 400
    assert one.ask("GET", "/v1/bundle").status == 400


def a_poll_waits_for_the_next_bundle(grayd, one):
    one.poll()
    said = {}
    thread = threading.Thread(
        target=lambda: said.update(status=one.poll(wait=50)))
    thread.start()
    wait_until("it waits", lambda: metric(grayd, "grayd_hosts_polls") == 1)
    before = one.manifest["sequence"]
    assert grayd.verb("cart-2", "start").status == 200
    thread.join()
    assert said["status"] == 200 and one.manifest["sequence"] > before
    # A second poll of the same host ends the first.
    first = {}
    thread = threading.Thread(
        target=lambda: first.update(status=Agent.poll(one, wait=50)))
    thread.start()
    wait_until("it waits", lambda: metric(grayd, "grayd_hosts_polls") == 1)
    assert one.poll(wait=1) == 304
    thread.join()
    assert first["status"] == 304
    # What changes nothing for hosts makes no bundle.
    assert grayd.ask("POST", "/v1/tokens", {
        "name": "x", "role": "viewer", "scopes": [""],
        "ttlSeconds": 60}).status == 201
    assert one.poll() == 304


def metric(grayd, name):
    for line in grayd.ask("GET", "/metrics").text.splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    return None


def words_that_tighten_go_before_the_policy(grayd, one):
    one.poll()
    one.report()
    before = one.manifest
    grayd.arm("bundle-tightened")
    try:
        grayd.verb("cart-2", "abort", {"reason": "r"})
    except Exception:
        pass
    grayd.died()
    grayd.arm()
    # It was noted under a number of its own before it went out, and nothing
    # was published by then.
    with open(grayd.state + "/bundle") as f:
        noted = int(f.read().split()[0])
    assert noted == before["sequence"] + 1, (noted, before["sequence"])
    assert grayd.start()
    one.poll()
    assert one.manifest["sequence"] > noted
    assert one.word(SCOPE)["word"] == "baseline"
    assert one.word(SCOPE)["epoch"] == noted
    assert grayd.verb("cart-2", "retry").status == 200
    one.poll()
    assert one.word(SCOPE)["word"] == "open"
    assert one.word(SCOPE)["epoch"] == one.manifest["sequence"]


def a_number_never_means_two_things(grayd, one):
    """Kills between commit and answer, at every place on the way."""
    seen = {}
    for point in ("after-commit", "bundle-tightened", "after-tighten",
                  "policy-published", "after-publish", "before-answer"):
        for verb in ("freeze", "thaw"):
            grayd.arm(point)
            try:
                grayd.verb("cart-2", verb)
            except Exception:
                grayd.died()
            grayd.arm()
            if grayd.process is None:
                assert grayd.start()
            one.poll()
            contents = {k: v for k, v in one.manifest.items()
                        if k != "sequence"}
            number = one.manifest["sequence"]
            assert number >= max(seen, default=0), (point, verb)
            assert seen.setdefault(number, contents) == contents, (point, verb)
            if grayd.ask("GET", "/v1/releases/cart-2").body["word"] == \
                    "no-admit":
                grayd.verb("cart-2", "thaw")
    # Keys that are made anew are another bundle.
    one.poll()
    before = one.manifest
    done = grayd.host("keys", "rotate")
    assert done.returncode == 0, done.stderr
    wait_until("another bundle comes", lambda: one.poll(wait=1) == 200)
    assert one.manifest["keys"] != before["keys"]
    assert one.manifest["policy"] == before["policy"]


def what_a_person_does_on_a_host_is_so_everywhere(grayd, one):
    one.poll()
    one.report()
    told = one.report(words=[{"scope": SCOPE, "word": "killed",
                              "actor": "alice", "reason": "3 a.m.",
                              "at": 5}]).body["sequence"]
    wait_until("it is the release's state", lambda: grayd.ask(
        "GET", "/v1/releases/cart-2").body["killed"])
    release = grayd.ask("GET", "/v1/releases/cart-2").body
    assert release["by"] == "h1: alice" and release["reason"] == "3 a.m."
    wait_until("it comes back", lambda: one.poll(wait=1) == 200)
    assert one.word(SCOPE)["word"] == "killed"
    assert one.word(SCOPE)["epoch"] > told
    # Somebody says otherwise, and the host had not heard it yet when it said
    # the old word again: that is not said anew.
    assert grayd.verb("cart-2", "unkill", {"reason": "good"}).status == 200
    for _ in range(5):
        one.report(words=[{"scope": SCOPE, "word": "killed",
                           "actor": "alice", "at": 5}])
    assert grayd.verb("cart-2", "pause").status == 200  # a tick later
    assert not grayd.ask("GET", "/v1/releases/cart-2").body["killed"]
    wait_until("it comes", lambda: one.poll(wait=1) == 200)
    assert one.word(SCOPE)["word"] == "open"
    one.report()
    # It only ever tightens, and knows no release that is not there.
    one.report(words=[{"scope": SCOPE, "word": "open"},
                      {"scope": "00000000000000aa", "word": "killed"},
                      {"scope": "nonsense", "word": "killed"}])
    assert grayd.verb("cart-2", "resume").status == 200


def answers_name_hosts_that_have_not_followed(grayd, one):
    one.poll()
    one.report()
    said = grayd.apply(SHOP.replace("9202", "9203")).body["inForce"]
    assert said["hosts"] == 1 and said["hostsAcknowledged"] == 0, said
    assert said["hostsBehind"] == ["h1"], said
    one.poll()
    one.report()
    follower = threading.Thread(target=lambda: (one.poll(wait=20),
                                                one.report()))
    follower.start()
    wait_until("it waits", lambda: metric(grayd, "grayd_hosts_polls") == 1)
    said = grayd.apply(SHOP).body["inForce"]
    follower.join()
    assert said["hostsAcknowledged"] == 1 and "hostsBehind" not in said, said


def what_hosts_admitted_is_kept_once_and_compared(grayd, one):
    two = Agent(grayd, "h2").joined()
    one.joined()
    records = [row(str(i), scope=SCOPE) for i in range(7000, 7010)]
    assert one.admit(0, *records).body == {"through": 10}
    assert one.admit(0, *records).body == {"through": 10}  # said again
    assert one.admit(5, *records[5:]).body == {"through": 10}
    gap = one.admit(12, records[0])
    assert gap.status == 409 and gap.body["code"] == "gap", gap.text
    assert gap.body["through"] == 10
    for bad in ({"unit": "x", "state": "maybe", "scope": SCOPE},
                {"unit": "x", "state": "in", "scope": "12"},
                {"unit": "x" * 2000, "state": "in", "scope": SCOPE},
                {"unit": "x", "state": "in", "scope": SCOPE, "attempt": -1},
                {"unit": "", "state": "in", "scope": SCOPE}):
        refused = one.admit(10, records[0], bad)
        assert refused.status == 400, refused.text
        assert refused.body["pointer"].startswith("/records"), refused.text
    assert one.report(marks={"lag": 0, "closed": None, "journal": "j1"}) \
        .body["admissionsThrough"] == 10
    # Two hosts told one unit two things; another one they told alike.
    two.admit(0, row("7000", scope=SCOPE), row("7001", "out", scope=SCOPE))
    marks = grayd.ask("GET", "/v1/releases/cart-2").body["marks"]
    assert (marks["in"], marks["conflicts"]) == (10, 1), marks
    found = grayd.ask("GET", "/v1/releases/cart-2/marks/conflicts").body
    assert found["count"] == 1
    assert [(t["host"], t["state"]) for t in found["conflicts"][0]["told"]] \
        == [("h1", "in"), ("h2", "out")], found
    said = subprocess.run(
        [grayd.gray, "marks", "conflicts", "cart-2"], text=True,
        capture_output=True,
        env=dict(os.environ, GRAY_SERVER="unix:" + grayd.socket))
    assert said.returncode == 1, said
    assert "7001: h1 in, h2 out" in said.stdout, said.stdout
    # Lists, exports and look-ups see all hosts.
    listed, after = [], ""
    while True:
        page = grayd.ask("GET", "/v1/releases/cart-2/marks?limit=5"
                         + after).body
        listed += page["marks"]
        if "next" not in page:
            break
        after = f"&after={page['next']}"
    assert len(listed) == 12, len(listed)
    lines = grayd.ask("GET", "/v1/releases/cart-2/marks/export").text
    assert len(lines.splitlines()) == 12
    unit = grayd.ask("GET",
                     "/v1/releases/cart-2/marks/unit?unit=7001").body
    assert [(h["host"], h["state"]) for h in unit["hosts"]] == \
        [("h1", "in"), ("h2", "out")], unit
    # All of it outlives a kill.
    grayd.kill()
    assert grayd.start()
    assert one.report(marks={"lag": 0, "closed": None, "journal": "j1"}) \
        .body["admissionsThrough"] == 10
    assert one.admit(10, row("7010", scope=SCOPE)).body == {"through": 11}
    assert grayd.ask("GET", "/v1/releases/cart-2") \
        .body["marks"]["conflicts"] == 1


def what_cannot_be_taken_back_there_is_refused(grayd, one):
    """Marks of other hosts are: so nothing is done as if they were not."""
    state = grayd.ask("GET", "/v1/releases/cart-2").body
    refused = grayd.verb("cart-2", "retreat", {"to": 0.5, "reason": "r"})
    assert refused.status == 409, refused.text
    assert refused.body["code"] == "hosts-keep-marks", refused.text
    assert grayd.ask("GET", "/v1/releases/cart-2").body["share"] == \
        state["share"]
    # Its word is everywhere at once, so an abort needs none of them gone.
    assert grayd.verb("cart-2", "abort", {"reason": "r"}).status == 200
    refused = grayd.verb("cart-2", "retry", {"reason": "r"})
    assert refused.body["code"] == "hosts-keep-marks", refused.text


def a_herd_is_held_at_the_gate(grayd, one):
    """300 connections that all ask at once, with a token or without."""
    path = "/v1/bundle?host=h1&wait=0"
    herd = []
    for _ in range(300):
        herd.append(Connection(grayd.socket))
        herd[-1].connect()
    wait_until("nobody came for a second", quiet(grayd, one))
    began = time.monotonic()
    answers = []
    for number, connection in enumerate(herd):
        token = one.token if number % 2 else "gray_0123456789abcdef_no"
        connection.request("GET", path,
                           headers={"Authorization": "Bearer " + token})
        answers.append(connection.getresponse())
        answers[-1].read()
    took = time.monotonic() - began
    let_in = [a for a in answers if a.status != 503]
    assert 50 <= len(let_in) <= 50 * (int(took) + 1), (len(let_in), took)
    assert {a.status for a in let_in} == {200, 401}
    for answer in answers:
        if answer.status == 503:  # whoever it is: nobody was looked up
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.headers["Connection"] == "close"
    # People are not held, and who is in may ask as often as he likes.
    assert grayd.ask("GET", "/v1/status").status == 200
    inside = herd[next(i for i, a in enumerate(answers) if a.status == 200)]
    for _ in range(100):
        inside.request("GET", path,
                       headers={"Authorization": "Bearer " + one.token})
        reply = inside.getresponse()
        reply.read()
        assert reply.status == 200, reply.status
    for connection in herd:
        connection.close()
    text = grayd.ask("GET", "/metrics").text
    assert 'grayd_hosts_connections_total{outcome="refused"} ' in text


def quiet(grayd, one):
    """True when a second has gone by in which no host came."""
    until = time.monotonic() + 1.1
    return lambda: time.monotonic() > until


def who_is_gone_is_forgotten_when_no_lease_runs(grayd, one):
    one.poll()
    one.report()
    gone = grayd.ask("DELETE", "/v1/hosts/h1")
    assert gone.status == 409 and gone.body["code"] == "lease-runs", gone.text
    assert grayd.ask("DELETE", "/v1/hosts/nobody").status == 404
    wait_until("its lease is over",
               lambda: {h["name"]: h for h in grayd.ask("GET", "/v1/hosts")
                        .body["hosts"]}["h1"]["leaseLeftMs"] == 0)
    rows = {h["name"]: h for h in grayd.ask("GET", "/v1/hosts")
            .body["hosts"]}
    assert rows["h1"]["state"] == "away", rows
    assert grayd.ask("DELETE", "/v1/hosts/h1?dryRun=true").status == 200
    said = subprocess.run(
        [grayd.gray, "hosts", "forget", "h1", "--reason", "sold"], text=True,
        capture_output=True,
        env=dict(os.environ, GRAY_SERVER="unix:" + grayd.socket))
    assert said.returncode == 0, said.stderr
    assert "h1" not in [h["name"] for h in
                        grayd.ask("GET", "/v1/hosts").body["hosts"]]
    last = grayd.ask("GET", "/v1/audit?limit=1000").body["records"][-1]
    assert (last["action"], last["resource"], last["reason"]) == \
        ("host-forget", "Host/h1", "sold"), last
    grayd.kill()
    assert grayd.start()
    assert "h1" not in [h["name"] for h in
                        grayd.ask("GET", "/v1/hosts").body["hosts"]]


def main():
    build = sys.argv[1]
    with Grayd(build) as grayd:
        assert grayd.start()
        assert grayd.apply(SHOP).status == 200
        one = Agent(grayd, "h1").joined()
        for part in (what_is_signed_holds_by_openssl_alone,
                     every_file_is_what_its_hash_says,
                     a_host_is_itself_and_nobody_else,
                     what_is_torn_or_odd_changes_nothing,
                     a_poll_waits_for_the_next_bundle,
                     words_that_tighten_go_before_the_policy,
                     a_number_never_means_two_things,
                     what_a_person_does_on_a_host_is_so_everywhere,
                     answers_name_hosts_that_have_not_followed,
                     what_hosts_admitted_is_kept_once_and_compared,
                     what_cannot_be_taken_back_there_is_refused,
                     a_herd_is_held_at_the_gate,
                     who_is_gone_is_forgotten_when_no_lease_runs):
            part(grayd, one)
            print(part.__name__, flush=True)


if __name__ == "__main__":
    main()
