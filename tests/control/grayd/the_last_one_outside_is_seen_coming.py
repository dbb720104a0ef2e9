#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""the_last_one_outside_is_seen_coming.py - orders are closed, one by one.

Why: an order that began with the old version belongs to it until it is
settled, so the old version is needed until the last of them is; and people ask
when that will be.  The business says which are over, by hand, from a file, or
from its own program; grayd counts, tells a date by how they came so far, and
none while it has nothing to go by; and when the last one is settled the
release is through, without anybody's doing.  Nobody is told anything else by
it.  What counts is the journal, read by mdb_dump.

usage: the_last_one_outside_is_seen_coming.py BUILD
"""
import datetime
import json
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../../oracle")]
from harness import Dead, Grayd, Told, marks_of, wait_until  # noqa: E402
import journal  # noqa: E402
import marks as oracle  # noqa: E402

SERVICE = """
kind: Service
name: {name}
baseline: {{version: v1}}
versions:
  v1: {{endpoints: ["127.0.0.1:9201"]}}
  v2: {{endpoints: ["127.0.0.1:9202"]}}
---"""
ORDERS = """
kind: Release
name: {name}-2
services: [{{service: {name}, version: v2}}]
unit: {{cookie: oid}}
stickiness: entity
dataCompat: reversible
strategy: {{canary: {{steps: [{{setWeight: 10}}, {{setWeight: 100}}]}}}}
---"""
DOCS = SERVICE.format(name="order") + ORDERS.format(name="order") + \
    SERVICE.format(name="cart") + """
kind: Release
name: cart-2
services: [{service: cart, version: v2}]
unit: {cookie: uid}
stickiness: none
"""
UNITS = [f"o-{n}" for n in range(300)]
PACE_S = 0.1  # between two orders that are closed: what the pace is made of
SPAN_S = 12   # a pace is one of ten seconds, at least
PATH = "/v1/releases/order-2/marks/settled"


def settle(grayd, units, status=200, path=PATH, **more):
    reply = grayd.ask("POST", path, {"units": units, **more})
    assert reply.status == status, reply.text
    return reply.body


def counts(said):
    return tuple(said[k] for k in ("settled", "already", "unknown", "refused"))


def look(grayd):
    """(phase, open, settled, the date, why) as status says it."""
    row = grayd.ask("GET", "/v1/releases/order-2").body
    kept = row["marks"]
    assert kept["outOpen"] == kept["out"] - kept["settled"], kept
    ends = kept["outEnds"]
    if ends is not None:
        ends = datetime.datetime.fromisoformat(ends.replace("Z", "+00:00"))
    return (row["phase"], kept["outOpen"], kept["settled"], ends,
            kept["forecast"])


def cli(grayd, *words, code=0, stdin=None):
    done = subprocess.run([grayd.gray, *words, "--server",
                           "unix:" + grayd.socket], input=stdin,
                          capture_output=True, text=True)
    assert done.returncode == code, (words, done.returncode, done.stdout,
                                     done.stderr)
    return done.stdout


def audited(grayd, action):
    with grayd.database() as db:
        rows = [json.loads(t) for t, in db.execute("SELECT text FROM audit")]
    return [r for r in rows if r["action"] == action]


def in_journal(grayd):
    """{unit: how often it was said to be over}, and that nothing else moved."""
    records = journal.read(grayd.state + "/marks", "order-2")
    history = oracle.History(records)
    assert not history.wrong, history.wrong
    found = {}
    for record in records:
        if record.settles:
            found[record.unit] = found.get(record.unit, 0) + 1
    return found


class Orders:
    """What was told of each, and which were said to be over."""

    def __init__(self, grayd, told):
        self.grayd, self.told = grayd, told
        self.inside = told.news(UNITS, "pay")
        self.open = [u for u in UNITS if u not in self.inside]
        self.over = []

    def take(self, count):
        taken, self.open = self.open[:count], self.open[count:]
        self.over += taken
        return taken

    def as_they_were(self, told=None):
        told = told or self.told
        assert told.news(UNITS, "pay") == self.inside

    def agree(self):
        _, left, settled, _, _ = look(self.grayd)
        assert (left, settled) == (len(self.open), len(self.over)), \
            (left, settled, len(self.open), len(self.over))
        found = in_journal(self.grayd)
        assert found == {u: 1 for u in self.over}, found


def refused(grayd):
    assert settle(grayd, ["x"], 404, "/v1/releases/none/marks/settled")
    said = settle(grayd, ["x"], 409, "/v1/releases/cart-2/marks/settled")
    assert said["code"] == "no-marks", said
    for body in ({}, {"units": []}, {"units": [7]}, {"units": [""]},
                 {"units": ["x" * 1025]}, {"units": ["x"] * 10001},
                 {"units": ["x"], "space": 16}, {"units": ["x"], "y": 1}):
        assert grayd.ask("POST", PATH, body).status == 400, body
    token = grayd.ask("POST", "/v1/tokens", {
        "name": "eve", "role": "viewer", "scopes": [""],
        "ttlSeconds": 60}).body["token"]
    assert grayd.ask("POST", PATH, {"units": ["x"]},
                     Authorization="Bearer " + token).status == 403


def a_few_are_no_pace(grayd, orders):
    phase, left, settled, ends, why = look(grayd)
    assert (phase, left, settled, ends) == \
        ("Converging", len(orders.open), 0, None)
    assert "no end in sight" in why and "none was settled" in why, why
    assert f"outside: {left} open, 0 settled; no end in sight" in \
        cli(grayd, "status", "order-2")
    said = settle(grayd, orders.take(2) + ["never-told"], reason="closed")
    assert counts(said) == (2, 0, 1, 0) and said["out"] == 2, said
    assert said["unknownUnits"] == ["never-told"], said
    orders.as_they_were()
    phase, left, settled, ends, why = look(grayd)
    assert (phase, settled, ends) == ("Converging", 2, None)
    assert "too few" in why, why
    # One whole file of them is none either.
    said = cli(grayd, "marks", "settle", "order-2", "-f", "-", "--reason",
               "nightly", stdin="\n".join(orders.take(20)))
    assert said.startswith("20 settled (20 of them outside), 0 alr"), said
    assert look(grayd)[3] is None, look(grayd)
    orders.agree()


def a_pace_has_an_end_that_comes_nearer(grayd, orders):
    begun = time.monotonic()
    while time.monotonic() - begun < SPAN_S:
        assert counts(settle(grayd, orders.take(1))) == (1, 0, 0, 0)
        time.sleep(PACE_S)
    phase, left, _, first, why = look(grayd)
    now = datetime.datetime.now(datetime.timezone.utc)
    assert phase == "Converging" and first is not None and first > now, why
    assert f"the other {left} need" in why, why
    assert "the last one about " in cli(grayd, "status", "order-2")
    # Most of the rest is closed in one go: the last one is near.
    settle(grayd, orders.take(len(orders.open) - 12), reason="the big batch")
    phase, left, _, then, why = look(grayd)
    assert (phase, left) == ("Converging", 12) and then is not None, why
    assert then < first, (first, then, why)
    orders.agree()
    orders.as_they_were()
    # Said again: nothing.
    said = settle(grayd, orders.over)
    assert counts(said) == (0, len(orders.over), 0, 0), said
    orders.agree()


def shown(grayd, orders):
    one, other = orders.over[0], orders.open[0]
    row = grayd.ask("GET", f"/v1/releases/order-2/marks/unit?unit={one}").body
    assert (row["state"], row["settled"]) == ("out", True), row
    last = row["history"][-1]
    assert (last["kind"], last["actor"], last["reason"], last["state"]) == \
        ("settle", "root", "closed", "out"), last
    assert cli(grayd, "marks", "get", "order-2", one).startswith(
        f"{one}: out, settled, variant 0")
    assert grayd.host("marks", "get", "order-2", one).stdout.startswith(
        f"{one}: out, settled, ")
    assert cli(grayd, "marks", "get", "order-2", other).startswith(
        f"{other}: out, variant 0")
    page = grayd.ask("GET", "/v1/releases/order-2/marks?state=open&limit=500")
    assert [r["unit"] for r in page.body["marks"]] == orders.open
    lines = cli(grayd, "marks", "export", "order-2", "out").splitlines()
    found = {r["unit"]: r["settled"] for r in map(json.loads, lines)}
    assert found == {**{u: True for u in orders.over},
                     **{u: False for u in orders.open}}
    kept = audited(grayd, "marks-settle")
    assert (kept[0]["outcome"], kept[0]["resource"]) == \
        ("refused", "Release/none"), kept[0]
    done = [r for r in kept if r["outcome"] == "done"]
    assert (done[0]["actor"], done[0]["reason"]) == ("root", "closed")
    assert done[0]["after"] == {"settled": 2, "already": 0, "unknown": 1,
                                "refused": 0}, done[0]
    said = cli(grayd, "marks", "settle", "order-2", other, "--dry-run")
    assert said.startswith("1 settled") and "--dry-run" in said, said
    said = cli(grayd, "marks", "settle", "order-2", "nobody", code=1)
    assert "nobody: has no mark here" in said, said
    orders.agree()


def through_kills(grayd, orders):
    """grayd dies before, and behind, the journal's commit."""
    for point in ("before-marks-settled", "after-marks-settled"):
        part = orders.take(4)
        grayd.arm(point)
        try:
            settle(grayd, part)
            raise AssertionError("grayd lives")
        except Dead:
            grayd.died()
        grayd.arm()
        orders.as_they_were()  # nobody notices
        assert grayd.start()
        wait_until("the table is read", lambda: marks_of(
            grayd, "order-2")["table"]["state"] == "ready")
        said = settle(grayd, part)
        assert counts(said) == ((4, 0, 0, 0) if point[0] == "b"
                                else (0, 4, 0, 0)), (point, said)
        orders.agree()


def through_a_reboot(build, grayd, orders):
    grayd.stop()
    shutil.rmtree(grayd.runtime)
    assert grayd.start()
    wait_until("the table is read again", lambda: marks_of(
        grayd, "order-2")["table"]["state"] == "ready")
    orders.told = Told(build, grayd, "order-2", "again").__enter__()
    wait_until("the reader has it",
               lambda: orders.told.ask(orders.over[0], "pay") == "old")
    orders.as_they_were()
    orders.agree()


def the_last_one(grayd, orders):
    """A program closes them, while grayd is dead at that; then nobody is
    left, and that is all that it takes."""
    assert len(orders.open) == 4 and look(grayd)[0] == "Converging"
    for unit in orders.take(3):
        assert orders.told.ask(unit, "settle") == "said"
    wait_until("grayd has heard it", lambda: look(grayd)[1] == 1)
    orders.agree()
    assert orders.told.ask("never-told", "settle") == "said"
    wait_until("nobody's are counted",
               lambda: marks_of(grayd, "order-2")["settledNobody"] == 1)
    assert not audited(grayd, "converged")
    grayd.kill()
    assert orders.told.ask(orders.take(1)[0], "settle") == "said"
    assert look_dead(grayd, orders)
    assert grayd.start()
    wait_until("the last one is settled", lambda: look(grayd)[1] == 0)
    phase, left, settled, ends, why = look(grayd)
    assert (phase, left, settled, ends) == \
        ("Healthy", 0, len(orders.over), None), (phase, left, ends)
    assert why == "all of them are settled", why
    orders.agree()
    orders.as_they_were()


def look_dead(grayd, orders):
    said = grayd.host("marks", "get", "order-2", orders.over[-1]).stdout
    return said.startswith(f"{orders.over[-1]}: out, variant")


def it_is_an_event(grayd, told):
    """Of a release whose last one is closed while grayd looks on."""
    more = SERVICE.format(name="bill") + ORDERS.format(name="bill") + DOCS
    assert grayd.apply(more).status == 200
    assert grayd.verb("bill-2", "start").status == 200
    outside = [f"e-{n}" for n in range(20)]
    with Told(told, grayd, "bill-2", "third") as third:
        inside = third.news(outside, "pay")
        assert grayd.verb("bill-2", "promote").status == 200
        outside = [u for u in outside if u not in inside]
        path = "/v1/releases/bill-2/marks/settled"
        assert counts(settle(grayd, outside[:-1], path=path))[0] == \
            len(outside) - 1
        row = grayd.ask("GET", "/v1/releases/bill-2").body
        assert (row["state"], row["phase"]) == ("Promoted", "Converging"), row
        assert not audited(grayd, "converged")
        left = grayd.ask("POST", "/v1/releases/bill-2/finish?dryRun=true", {})
        assert left.status == 200 and any(
            line.startswith("Release/bill-2: 1 entities")
            for line in left.body["residue"]), left.text
        settle(grayd, outside[-1:], path=path)
        wait_until("it is told", lambda: audited(grayd, "converged"))
        said = audited(grayd, "converged")
        assert [(r["actor"], r["resource"], r["eventType"],
                 r["after"]["settled"]) for r in said] == [
            ("grayd", "Release/bill-2", "DEPLOYMENT_CONVERGED",
             len(outside))], said
        row = grayd.ask("GET", "/v1/releases/bill-2").body
        assert (row["state"], row["phase"]) == ("Promoted", "Healthy"), row
        assert third.news(outside, "pay") == set()


def main():
    build = sys.argv[1]
    with Grayd(build) as grayd:
        assert grayd.start()
        reply = grayd.apply(DOCS)
        assert reply.status == 200, reply.text
        refused(grayd)
        assert grayd.verb("order-2", "start").status == 200
        with Told(build, grayd, "order-2") as told:
            orders = Orders(grayd, told)
            assert len(orders.open) > 200
            assert grayd.verb("order-2", "promote").status == 200
            orders.as_they_were()
            a_few_are_no_pace(grayd, orders)
            print("a_few_are_no_pace", flush=True)
            a_pace_has_an_end_that_comes_nearer(grayd, orders)
            print("a_pace_has_an_end_that_comes_nearer", flush=True)
            shown(grayd, orders)
            print("shown", flush=True)
            through_kills(grayd, orders)
        print("through_kills", flush=True)
        through_a_reboot(build, grayd, orders)
        print("through_a_reboot", flush=True)
        try:
            the_last_one(grayd, orders)
        finally:
            orders.told.__exit__()
        print("the_last_one", flush=True)
        it_is_an_event(grayd, build)
        print("it_is_an_event")


if __name__ == "__main__":
    main()
