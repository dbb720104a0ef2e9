#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""who_may.py - what a scope covers, where the table leaves it to the handler.

Why: routes.def says EACH where only the handler knows the names: of files, of
lists, of what waits. The walk over the table (tests/control/rest) cannot see
inside; here two teams share one grayd, and the other team's name must not be
seen, moved or steered. Whoever tries is recorded, and no secret is told.

usage: who_may.py BUILD
"""
import base64
import hashlib
import json
import os
import re
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import LIMIT_S, Grayd, wait_until  # noqa: E402

BRIEF_S = 60  # the shortest life of a token
TEAM = """
kind: Service
name: {t}
baseline: {{version: v1}}
versions:
  v1: {{endpoints: ["127.0.0.1:9201"]}}
  v2: {{endpoints: ["127.0.0.1:9202"]}}
---
kind: Release
name: {t}-2
services: [{{service: {t}, version: v2}}]
unit: {{cookie: uid}}
strategy: {{canary: {{steps: [{{setWeight: 1}}, {{setWeight: 10}}]}}}}
---
kind: List
name: {t}-testers
ids: [alice]
---
kind: Lane
name: {t}-red
services: [{t}]
rules: [{{name: red, when: {{header: {{name: x-team, exact: {t}}}}}}}]
---
"""
RELEASE = """
kind: Release
name: {name}
services: [{{service: {service}, version: v2}}]
unit: {{cookie: uid}}
salt: s
priority: {priority}
"""
LANE = """
kind: Lane
name: {name}
services: [{service}]
rules: [{{name: r, when: {{header: {{name: x, exact: y}}}}}}]
"""
VARIANTS = """
kind: Release
name: cart-ab
unit: {cookie: uid}
variants:
  - {name: a, weight: 50, services: [{service: cart, version: v2}]}
  - {name: b, weight: 50, services: [{service: zebra, version: v2}]}
"""


class Person:
    """Asks with a token, and keeps what was denied."""

    def __init__(self, grayd, name, role, *scopes, seconds=3600):
        made = grayd.ask("POST", "/v1/tokens", {
            "name": name, "role": role, "scopes": list(scopes),
            "ttlSeconds": seconds})
        assert made.status == 201, made.text
        self.grayd, self.name, self.role = grayd, name, role
        self.token, self.id = made.body["token"], made.body["identity"]["id"]
        self.auth = {"Authorization": "Bearer " + self.token}
        self.denied = []

    def ask(self, method, path, body=None, **headers):
        reply = self.grayd.ask(method, path, body, **self.auth, **headers)
        if reply.status in (401, 403):
            self.denied.append((reply.headers["X-Request-Id"],
                                reply.body["code"]))
        return reply

    def apply(self, text, **more):
        return self.ask("POST", "/v1/apply", {
            "files": [{"name": "f.yaml", "text": text}], **more})

    def verb(self, release, verb, **body):
        return self.ask("POST", f"/v1/releases/{release}/{verb}", body)


def refused(reply, code="forbidden"):
    assert (reply.status, reply.body["code"]) == (403, code), reply.text


def good(reply, status=200):
    assert reply.status == status, reply.text
    return reply


def revision(grayd):
    return grayd.ask("GET", "/v1/documents").body["revision"]


def seen(grayd, ann, carl):
    """Lists show what is covered, and tell nothing of the rest."""
    waiting = good(carl.apply(TEAM.format(t="zebra").replace("9202", "9209"),
                              effectiveAt="2099-01-01T00:00:00Z"), 202)
    for path in ("/v1/documents", "/v1/releases", "/v1/status", "/v1/changes",
                 "/v1/scheduled", "/v1/documents?limit=1", "/v1/whoami",
                 "/v1/changes?since=1h", "/v1/documents?kind=List"):
        for person, own, other in ((ann, "cart", "zebra"),
                                   (carl, "zebra", "cart")):
            reply = good(person.ask("GET", path))
            assert other not in reply.text, (path, reply.text)
            if "since" not in path and "changes" not in path and \
                    path != "/v1/scheduled":
                assert own in reply.text, (path, reply.text)
    for page in ("/v1/documents?limit=1", "/v1/releases?limit=1"):
        names, after = [], ""
        while True:  # bounded: each page goes on behind the one before
            body = good(carl.ask("GET", page + after)).body
            names += [d["name"] for d in
                      body.get("documents", body.get("releases"))]
            if "next" not in body:
                break
            after = "&after=" + body["next"]
        assert len(names) == (4 if "documents" in page else 1), names
        assert all(n.startswith("zebra") for n in names), names
    ids = [row["id"] for row in carl.ask("GET", "/v1/scheduled")
           .body["scheduled"]]
    assert ids == [waiting.body["scheduled"]]
    assert ann.ask("GET", "/v1/scheduled").body["scheduled"] == []
    before = revision(grayd)
    refused(ann.ask("DELETE", f"/v1/scheduled/{ids[0]}"))
    assert revision(grayd) == before
    good(carl.ask("DELETE", f"/v1/scheduled/{ids[0]}"))
    assert carl.ask("DELETE", f"/v1/scheduled/{ids[0]}").status == 404
    # What is not a document's name is no name: a scope that happens to begin
    # like an id shows nobody's tokens and nobody's schedule.
    hexa = Person(grayd, "hexa", "viewer", *"0123456789abcdef")
    for row in hexa.ask("GET", "/v1/changes").body["changes"]:
        assert row["resource"].split("/")[0] not in ("Token", "Scheduled"), row


def steered(grayd, ann, root):
    """Nobody steers a service of another name, by whatever document."""
    before = revision(grayd)
    own = RELEASE.format(name="cart-3", service="cart", priority=1)
    for text in (RELEASE.format(name="zebra-3", service="cart", priority=1),
                 RELEASE.format(name="cart-3", service="zebra", priority=1),
                 LANE.format(name="cart-x", service="zebra"),
                 LANE.format(name="zebra-x", service="cart"), VARIANTS,
                 TEAM.format(t="zebra").replace("9202", "9210"),
                 own + "---" + RELEASE.format(name="cart-4", service="zebra",
                                              priority=2)):
        refused(ann.apply(text))
        refused(ann.ask("POST", "/v1/plan", {"files": [
            {"name": "f.yaml", "text": text}]}))
        refused(ann.apply(text, effectiveAt="2099-01-01T00:00:00Z"))
    assert revision(grayd) == before
    # Nor do findings about what stands already name what is not hers.
    for reply in (ann.ask("POST", "/v1/plan", {"files": [
            {"name": "f.yaml", "text": own}]}), ann.apply(own)):
        assert "zebra" not in good(reply).text, reply.text
        assert "List/cart-testers" in reply.text, reply.text
    # Nor what is expected of traffic; a weight is thought of within scope.
    for weights in ([{"release": "zebra-2", "weight": 5}],
                    [{"release": "cart-2"}, {"release": "zebra-2"}]):
        refused(ann.ask("POST", "/v1/plan", {"weights": weights}))
    reply = good(ann.ask("POST", "/v1/plan", {
        "weights": [{"release": "cart-2", "weight": 5}],
        "replay": [{"path": "/", "headers": {"cookie": f"uid={i}"}}
                   for i in range(200)]}))
    assert "zebra" not in reply.text, reply.text
    shares = {r["release"]: (r["shareBefore"], r["shareAfter"])
              for r in reply.body["impact"]["releases"]}
    assert reply.body["accepted"] and \
        shares == {"cart-2": (0, 50000), "cart-3": (0, 0)}, reply.text
    replayed = reply.body["impact"]["replay"]
    comes = {r["release"]: r["comes"] for r in replayed["releases"]}
    assert replayed["replayed"] == 200 and 0 < comes["cart-2"] < 40 and \
        comes["cart-3"] == 0, replayed
    assert revision(grayd) == before + 1  # ann's own, and no plan
    # From own to foreign, and what somebody else made in between: not back.
    foreign = RELEASE.format(name="cart-3", service="zebra", priority=1)
    refused(ann.apply(foreign))
    good(root.apply(foreign, allowDrop=0))
    refused(ann.apply(own))
    refused(ann.ask("DELETE", "/v1/documents/Release/cart-3"))
    good(root.apply(LANE.format(name="cart-x", service="zebra")))
    for word in ("enable", "disable"):
        refused(ann.ask("POST", f"/v1/lanes/cart-x/{word}", {}))
        refused(ann.ask("POST", f"/v1/lanes/zebra-red/{word}", {}))
    good(ann.ask("POST", "/v1/lanes/cart-red/disable", {}))
    good(ann.ask("POST", "/v1/lanes/cart-red/enable", {}))
    good(root.ask("POST", "/v1/lanes/cart-x/disable", {}))
    good(root.ask("DELETE", "/v1/documents/Lane/cart-x"))
    good(root.apply(own, allowDrop=0))
    good(ann.ask("DELETE", "/v1/documents/Release/cart-3"))
    refused(ann.ask("POST", "/v1/lists/zebra-testers/ids", {"add": ["bob"]}))
    good(ann.ask("POST", "/v1/lists/cart-testers/ids", {"add": ["bob"]}))
    refused(ann.ask("DELETE", "/v1/documents/List/zebra-testers"))
    refused(ann.verb("zebra-2", "start"))
    refused(ann.ask("POST", "/v1/explain", {"requests": [{"path": "/"}]}))


def overridden(grayd, ann, alan, root):
    """Gates are overridden by an approver, and within his scope."""
    good(ann.verb("cart-2", "start"))
    stood = revision(grayd)
    good(ann.verb("cart-2", "set-weight", weight=5))
    only = TEAM.format(t="cart")
    drop = RELEASE.format(name="cart-5", service="cart", priority=3)
    refused(ann.apply(only, prune=True))
    refused(ann.apply(only, allowDrop=0))
    refused(ann.apply(only, overCapacity=True))
    refused(ann.verb("cart-2", "set-weight", weight=6, overCapacity=True))
    refused(ann.ask("POST", "/v1/plan", {
        "weights": [{"release": "cart-2", "weight": 6}],
        "overCapacity": True}))
    good(alan.ask("POST", "/v1/plan", {
        "weights": [{"release": "cart-2", "weight": 6}],
        "overCapacity": True}))
    refused(ann.verb("cart-2", "undo", toRevision=stood, reason="r"))
    refused(ann.ask("POST", "/v1/lists/cart-testers/ids",
                    {"remove": ["bob"], "allowDrop": 0}))
    # alan may, but prune would take out what is not his.
    refused(alan.apply(only, prune=True))
    good(alan.verb("cart-2", "undo", toRevision=stood, reason="r"))
    assert grayd.ask("GET", "/v1/releases/cart-2").body["percent"] == 1
    good(alan.ask("POST", "/v1/lists/cart-testers/ids",
                  {"remove": ["bob"], "allowDrop": 0}))
    good(root.apply(drop))
    both = TEAM.format(t="zebra") + only
    good(root.apply(both, prune=True))
    assert grayd.ask("GET", "/v1/releases/cart-5").status == 404


def stopped(grayd, ann, carl):
    """The one button stops what is in scope and nothing else."""
    good(carl.verb("zebra-2", "start"))
    reply = good(ann.ask("POST", "/v1/stop", {"reason": "r"}))
    assert [m["release"]["name"] for m in reply.body["moved"]] == ["cart-2"]
    assert "zebra" not in reply.text
    assert grayd.in_folder()["zebra-2"]["share"] == 10000
    assert grayd.in_folder()["cart-2"]["word"] == "baseline"


class Stream:
    """/v1/events as bytes come."""

    def __init__(self, grayd, person):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LIMIT_S)
        self.socket.connect(grayd.socket)
        self.socket.sendall(
            (f"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n"
             f"Authorization: {person.auth['Authorization']}\r\n\r\n")
            .encode())
        self.text = b""
        self.until(b"\r\n\r\n")
        assert self.text.startswith(b"HTTP/1.1 200"), self.text

    def until(self, what):
        """Reads until it is there; None: to the end."""
        while what is None or what not in self.text:
            more = self.socket.recv(65536)
            if not more:
                assert what is None, self.text
                return
            self.text += more


def ended(grayd, carl, brief):
    """A revoked token is nobody at once, also where it watches already."""
    gone = Person(grayd, "gone", "operator", "cart")
    stream, other = Stream(grayd, gone), Stream(grayd, carl)
    ids = "/v1/lists/cart-testers/ids"
    good(gone.ask("POST", ids, {"add": ["first"]}))
    stream.until(b"event: list-ids")
    good(grayd.ask("DELETE", f"/v1/tokens/{gone.id}"))
    assert gone.ask("GET", "/v1/whoami").status == 401
    assert gone.ask("POST", ids, {"add": ["x"]}).status == 401
    good(grayd.ask("POST", ids, {"add": ["second"]}))
    stream.until(None)
    assert stream.text.count(b"event: ") == 1, stream.text
    good(carl.ask("POST", "/v1/lists/zebra-testers/ids", {"add": ["a"]}))
    other.until(b"List/zebra-testers")
    assert b"cart" not in other.text, other.text
    # One that expires, and watches when it does.
    stream = Stream(grayd, brief)
    wait_until("the token expires",
               lambda: grayd.ask("GET", "/v1/whoami", **brief.auth)
               .status == 401, BRIEF_S + LIMIT_S)
    good(grayd.ask("POST", ids, {"add": ["third"]}))
    stream.until(None)
    assert b"event: " not in stream.text, stream.text
    return [gone]


def recorded(grayd, people):
    """Who tried, as what, and why not: of every attempt, by its request."""
    wanted = {request: (person, code) for person in people
              for request, code in person.denied}
    found = {}

    def all_there():
        after = 0
        while after is not None:  # bounded: pages go on
            body = grayd.ask("GET", f"/v1/audit?limit=1000&after={after}").body
            for row in body["records"]:
                if row.get("request") in wanted:
                    found[row["request"]] = row
            after = body.get("next")
        return len(found) == len(wanted)
    wait_until("every denied attempt is recorded", all_there)
    for request, (person, code) in wanted.items():
        row = found[request]
        assert row["outcome"] == "denied" and row["code"] == code, row
        if code == "forbidden":
            assert (row["actor"], row["role"], row["via"]) == \
                (person.name, person.role, "token"), row
        else:
            assert "actor" not in row, row
    return len(wanted)


def secrets_of(grayd, people):
    """What must never be said, in the ways in which it could be."""
    first = open(grayd.state + "/first-token").read().strip()
    texts = {}
    for name, token in [("first", first)] + [(p.name, p.token)
                                             for p in people]:
        secret = token.split("_", 2)[2]
        raw = base64.urlsafe_b64decode(secret + "=")
        texts[name] = secret
        for what in (raw, secret.encode(), token.encode()):
            digest = hashlib.sha256(what).digest()
            for form in (digest.hex(), base64.b64encode(digest).decode(),
                         base64.urlsafe_b64encode(digest).decode()):
                texts[f"hash of {name} {len(what)} {form[:4]}"] = \
                    form.rstrip("=")
        texts["hex of " + name] = raw.hex()
    keys = open(grayd.runtime + "/keys", "rb").read()
    # The header says its kind; what has no two alike bytes in a row is secret.
    pieces = [keys[at:at + 16] for at in range(0, len(keys) - 15, 8)]
    pieces = [p for p in pieces if len(set(p)) > 12]
    assert pieces
    pem = open(grayd.state + "/audit/key").read().split("-----")[2]
    der = base64.b64decode("".join(pem.split()))
    for at, piece in enumerate(pieces + [der[-32:]]):
        texts[f"key {at}"] = piece.hex()
        for shift in range(3):  # base64 from any place of three
            text = base64.b64encode(b"\0" * shift + piece).decode()
            texts[f"key {at} {shift}"] = text[4:20]
    texts["audit key"] = "".join(pem.split())
    return texts


def told(grayd, people, viewer):
    """Every GET route as root, by the first token and as a viewer."""
    texts = secrets_of(grayd, people)
    routes = open(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                               "../../../control/call/routes.def")).read()
    paths = re.findall(r'GRAYD_ROUTE\(\w+,\s+GET,\s+"([^"]+)"', routes)
    assert len(paths) >= 20, paths
    first = open(grayd.state + "/first-token").read().strip()
    said = [("stderr", grayd.errors())]
    for auth in ({}, {"Authorization": "Bearer " + first}, viewer.auth):
        for path in paths:
            if path == "/v1/events":
                continue
            for kind, name in (("Release", "cart-2"), ("List", "cart-testers")):
                url = path.replace("{kind}", kind).replace("{name}", name) \
                    .replace("{id}", "1")
                reply = grayd.ask("GET", url, **auth)
                said.append((url, str(reply.headers) + reply.text))
    for at in range(0, 30):
        reply = grayd.ask("GET", f"/v1/changes?after={at}&limit=1000")
        said.append((f"changes {at}", reply.text))
    for folder, _, names in os.walk(grayd.folder):
        for name in names:  # what is written beside the store and the keys
            if name in ("first-token", "key", "keys") or "/store" in folder:
                continue
            path = os.path.join(folder, name)
            if not os.path.isfile(path):
                continue
            with open(path, "rb") as f:
                said.append((name, f.read().decode("latin-1")))
    for where, text in said:
        for name, secret in texts.items():
            assert secret not in text, f"{where} tells {name}"
    with grayd.database() as db:  # hashes stand there, secrets do not
        rows = db.execute("SELECT text FROM version").fetchall()
        rows += db.execute("SELECT text FROM audit").fetchall()
    for row, in rows:
        text = row.decode() if isinstance(row, bytes) else row
        for person in people:
            assert texts[person.name] not in text
    return len(said), len(texts)


def main():
    with Grayd(sys.argv[1]) as grayd:
        assert grayd.start(listen="127.0.0.1:0")
        root = Person(grayd, "ruth", "admin", "")
        ann = Person(grayd, "ann", "operator", "cart")
        alan = Person(grayd, "alan", "approver", "cart")
        carl = Person(grayd, "carl", "operator", "zebra")
        vera = Person(grayd, "vera", "viewer", "cart")
        brief = Person(grayd, "brief", "viewer", "cart", seconds=BRIEF_S)
        people = [root, ann, alan, carl, vera, brief]
        refused(ann.apply(TEAM.format(t="cart") + TEAM.format(t="zebra")))
        good(root.apply(TEAM.format(t="cart") + TEAM.format(t="zebra")))
        refused(vera.apply(TEAM.format(t="cart")))
        seen(grayd, ann, carl)
        steered(grayd, ann, root)
        overridden(grayd, ann, alan, root)
        stopped(grayd, ann, carl)
        people += ended(grayd, carl, brief)
        attempts = recorded(grayd, people)
        answers, texts = told(grayd, people, vera)
        print(json.dumps({"denied and recorded": attempts,
                          "answers searched": answers, "secrets": texts}))


if __name__ == "__main__":
    main()
