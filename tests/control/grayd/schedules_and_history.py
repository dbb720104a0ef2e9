#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""schedules_and_history.py - what waits for its moment, and what once was.

Why: "at 03:00" must happen once, also when grayd was dead at 03:00 or died on
it, and must not happen when the world moved on. And what stood at a revision
is answered the same for ever: that is what undo and every explanation rest on.

usage: schedules_and_history.py BUILD
"""
import datetime
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import SHOP, Dead, Grayd, wait_until  # noqa: E402

PAGES = 1000
LIST = """
kind: List
name: {name}
ids: [{ids}]
"""


def soon(seconds):
    moment = datetime.datetime.now(datetime.timezone.utc) + \
        datetime.timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def good(reply, status=200):
    assert reply.status == status, reply.text
    return reply


def later(grayd, text, seconds, **more):
    """Schedules; its id."""
    return good(grayd.apply(text, effectiveAt=soon(seconds), **more),
                202).body["scheduled"]


def waiting(grayd):
    return {row["id"]: row for row in
            good(grayd.ask("GET", "/v1/scheduled")).body["scheduled"]}


def ids_of(grayd, name):
    reply = grayd.ask("GET", f"/v1/documents/List/{name}")
    return reply.body["document"]["ids"] if reply.status == 200 else None


def records(grayd, **wanted):
    rows, after = [], 0
    while after is not None:  # bounded: pages go on
        body = good(grayd.ask("GET", f"/v1/audit?limit=1000&after={after}")
                    ).body
        rows += body["records"]
        after = body.get("next")
    return [r for r in rows if all(r.get(k) == v for k, v in wanted.items())]


def on_time(grayd):
    """Not before its moment, once, by whom it was asked; then it is gone."""
    text = LIST.format(name="timed", ids="a")
    before = good(grayd.ask("GET", "/v1/documents")).body["revision"]
    at = soon(1.5)
    item = good(grayd.apply(text, effectiveAt=at, reason="night"),
                202).body["scheduled"]
    row = waiting(grayd)[item]
    assert row["by"] == "root" and row["reason"] == "night" and \
        row["at"] == at and row["changes"] == [
            {"kind": "List", "name": "timed", "change": "added"}], row
    assert ids_of(grayd, "timed") is None
    wait_until("the change is applied", lambda: ids_of(grayd, "timed"))
    done, = records(grayd, triggeredBy="SCHEDULE")
    assert done["at"] >= at and done["actor"] == "root" and \
        done["outcome"] == "done" and done["reason"] == "night", done
    assert done["revision"] == before + 2
    assert waiting(grayd) == {}
    # A moment that is over already: now. No moment: refused.
    good(grayd.apply(LIST.format(name="timed", ids="a, b"),
                     effectiveAt="2020-01-01T00:00:00Z"))
    assert ids_of(grayd, "timed") == ["a", "b"]
    reply = good(grayd.apply(text, effectiveAt="tomorrow"), 400)
    assert reply.body["pointer"] == "/effectiveAt", reply.text
    reply = grayd.apply(LIST.format(name="timed", ids="zzz"), dry_run=True,
                        effectiveAt=soon(100))
    assert reply.body["dryRun"] and waiting(grayd) == {}, reply.text


def taken_back(grayd):
    item = later(grayd, LIST.format(name="never", ids="a"), 1.5)
    marker = later(grayd, LIST.format(name="marker", ids="a"), 1.6)
    good(grayd.ask("DELETE", f"/v1/scheduled/{item}?reason=no"))
    assert list(waiting(grayd)) == [marker]
    wait_until("the one behind it is applied",
               lambda: ids_of(grayd, "marker"))
    assert ids_of(grayd, "never") is None
    assert grayd.ask("DELETE", f"/v1/scheduled/{item}").status == 404
    assert len(records(grayd, action="schedule-cancel", outcome="done")) == 1


def world_moved(grayd):
    """It fitted when it was asked for; at its moment it does not."""
    more = """
kind: Lane
name: blue
services: [pay]
"""
    pay = """
kind: Service
name: pay
baseline: {version: v1}
versions: {v1: {endpoints: ["127.0.0.1:9301"]}}
"""
    good(grayd.apply(pay))
    item = later(grayd, more, 1.5)
    good(grayd.apply(SHOP, prune=True))  # pay is gone meanwhile
    wait_until("its moment is over", lambda: item not in waiting(grayd))
    assert grayd.ask("GET", "/v1/documents/Lane/blue").status == 404
    refused, = records(grayd, outcome="refused", request=item)
    assert refused["code"] == "findings" and refused["actor"] == "root" and \
        refused["triggeredBy"] == "SCHEDULE", refused
    # What is so already needs nothing done, and waits no longer.
    item = later(grayd, LIST.format(name="testers", ids="alice, bob"), 1.5)
    good(grayd.ask("POST", "/v1/lists/testers/ids", {"add": ["bob"]}))
    wait_until("its moment is over", lambda: item not in waiting(grayd))
    assert ids_of(grayd, "testers") == ["alice", "bob"]


def killed(grayd):
    """Dead at its moment, or killed on the way: applied once."""
    before = len(records(grayd, triggeredBy="SCHEDULE", outcome="done",
                         action="apply"))
    at = soon(1)
    good(grayd.apply(LIST.format(name="asleep", ids="a"), effectiveAt=at), 202)
    grayd.kill()
    wait_until("the moment is over", lambda: soon(0) > at)
    assert grayd.start()
    wait_until("what was missed is applied", lambda: ids_of(grayd, "asleep"))
    points = ("schedule-due", "apply-checked", "before-commit",
              "store-written", "store-committed", "after-commit",
              "before-publish", "after-publish")
    for number, point in enumerate(points):
        name = f"at-{number}"
        later(grayd, LIST.format(name=name, ids="a"), 1)
        grayd.arm(point)
        grayd.died()
        grayd.arm()
        assert grayd.start()
        wait_until("it is applied", lambda: ids_of(grayd, name))
        assert waiting(grayd) == {}
    done = records(grayd, triggeredBy="SCHEDULE", outcome="done",
                   action="apply")
    assert len(done) - before == 1 + len(points), done
    assert len({r["resource"] for r in done}) == len(done)


def as_of(grayd):
    """Each revision is answered as it was, also after a restart."""
    stood = {}
    for ids in ("a", "a, b", "a, b, c"):
        reply = good(grayd.apply(LIST.format(name="grows", ids=ids)))
        stood[reply.body["revision"]] = ids.split(", ")
    last = max(stood)
    good(grayd.ask("DELETE", "/v1/documents/List/grows"))
    for _ in range(2):
        for revision, ids in stood.items():
            for path in ("/v1/documents?kind=List&revision=",
                         "/v1/documents/List/grows?revision="):
                body = good(grayd.ask("GET", path + str(revision))).body
                found = [d for d in body.get("documents", [body])
                         if d["name"] == "grows"]
                assert [d["document"]["ids"] for d in found] == [ids], body
        assert ids_of(grayd, "grows") is None
        assert grayd.ask("GET", f"/v1/documents/List/grows?revision="
                         f"{min(stood) - 1}").status == 404
        assert grayd.ask("GET", f"/v1/documents?revision={last + 50}"
                         ).status == 404
        rows = good(grayd.ask("GET", "/v1/documents/List/grows/history")
                    ).body["versions"]
        assert [(r["revision"], r["until"]) for r in rows] == [
            (last, last + 1), (last - 1, last), (last - 2, last - 1)], rows
        assert grayd.stop() == 0
        assert grayd.start()


def undone(grayd):
    """The document and the share of then, in the store and for readers."""
    good(grayd.verb("cart-2", "start"))
    good(grayd.verb("cart-2", "set-weight", {"weight": 5}))
    then = grayd.ask("GET", "/v1/releases/cart-2").body["revision"]
    document = grayd.ask("GET", "/v1/documents/Release/cart-2"
                         ).body["document"]
    good(grayd.apply(SHOP.replace("{setWeight: 50}", "{setWeight: 70}")
                     .replace("[alice]", "[alice, bob]")))
    good(grayd.verb("cart-2", "set-weight", {"weight": 60}))
    assert grayd.in_folder()["cart-2"]["share"] == 600000
    for body in ({"toRevision": then}, {"reason": "r"},
                 {"toRevision": 999, "reason": "r"}):
        assert grayd.verb("cart-2", "undo", body).status in (400, 409), body
    reply = good(grayd.verb("cart-2", "undo", {"toRevision": then,
                                               "reason": "back"}))
    assert reply.body["release"]["percent"] == 5, reply.text
    assert grayd.ask("GET", "/v1/documents/Release/cart-2"
                     ).body["document"] == document
    assert grayd.in_folder()["cart-2"]["share"] == 50000
    rows = good(grayd.ask("GET", "/v1/releases/cart-2/history")
                ).body["versions"]
    assert [r["percent"] for r in rows[:3]] == [5, 60, 5], rows


def over(grayd):
    """A finished release's name is not used again, however it goes."""
    release = """
kind: Release
name: {name}
services: [{{service: cart, version: v2}}]
unit: {{cookie: uid}}
priority: {priority}
"""
    for number, way in enumerate(("delete", "prune")):
        name = "over-" + way
        text = release.format(name=name, priority=10 + number)
        good(grayd.apply(text))
        good(grayd.verb(name, "start", {"weight": 1}))
        good(grayd.verb(name, "abort", {"reason": "r"}))
        good(grayd.verb(name, "finish"))
        reply = grayd.verb(name, "retry")
        assert reply.status == 409, reply.text
        if way == "delete":
            good(grayd.ask("DELETE", f"/v1/documents/Release/{name}"))
        else:
            good(grayd.apply(SHOP, prune=True))
        assert grayd.ask("GET", f"/v1/releases/{name}").status == 404
        reply = good(grayd.apply(text), 409)
        assert reply.body["code"] == "name-used", reply.text
    # One that never let anybody in leaves its name behind.
    text = release.format(name="tried", priority=20)
    good(grayd.apply(text))
    good(grayd.ask("DELETE", "/v1/documents/Release/tried"))
    good(grayd.apply(text))
    good(grayd.ask("DELETE", "/v1/documents/Release/tried"))


def stale(grayd):
    """If-Match on every route that changes anything: what moved is refused,
    and nothing is changed."""
    item = later(grayd, LIST.format(name="waits", ids="a"), 3600)
    token = good(grayd.ask("POST", "/v1/tokens", {
        "name": "tim", "role": "viewer", "scopes": ["cart"],
        "ttlSeconds": 600}), 201).body["identity"]["id"]
    spare = "/v1/documents/List/testers"
    apply = {"files": [{"name": "f", "text": LIST.format(name="stale",
                                                         ids="a")}]}
    calls = [
        ("POST", "/v1/apply", apply, "/v1/documents"),
        ("POST", "/v1/lists/testers/ids", {"add": ["zoe"]}, spare),
        ("POST", "/v1/lanes/red/disable", {}, "/v1/documents/Lane/red"),
        ("POST", "/v1/lanes/red/enable", {}, "/v1/documents/Lane/red"),
        ("POST", "/v1/releases/cart-2/resume", {}, "/v1/releases/cart-2"),
        ("POST", "/v1/releases/cart-2/pause", {}, "/v1/releases/cart-2"),
        ("DELETE", "/v1/documents/List/stale", None,
         "/v1/documents/List/stale"),
        ("POST", "/v1/bypass", {"on": True, "reason": "r"}, "/v1/documents"),
        ("POST", "/v1/bypass", {"on": False, "reason": "r"}, "/v1/documents"),
        ("POST", "/v1/tokens", {"name": "tom", "role": "viewer",
                                "scopes": ["cart"], "ttlSeconds": 600},
         "/v1/documents"),
        ("DELETE", f"/v1/tokens/{token}", None, "/v1/documents"),
        ("DELETE", f"/v1/scheduled/{item}", None, "/v1/documents"),
        ("POST", "/v1/stop", {"reason": "r"}, "/v1/documents"),
    ]
    for method, path, body, looked_at in calls:
        seen = good(grayd.ask("GET", looked_at)).headers["ETag"]
        number = int(seen.strip('"'))
        before = good(grayd.ask("GET", "/v1/documents")).body["revision"]
        for wrong in (number - 1, number + 1):
            reply = grayd.ask(method, path, body, If_Match=f'"{wrong}"')
            assert reply.status == 412 and reply.body["code"] == "stale", (
                method, path, reply.status, reply.text)
            assert reply.body["revision"] == number, (path, reply.text)
        now = good(grayd.ask("GET", "/v1/documents")).body["revision"]
        assert now == before, (method, path)
        reply = grayd.ask(method, path, body, If_Match=seen)
        assert reply.status in (200, 201), (method, path, reply.text)
        assert reply.body["revision"] == before + 1, (path, reply.text)
    good(grayd.verb("cart-2", "retry", {"weight": 2}))
    etag = good(grayd.ask("GET", "/v1/releases/cart-2")).headers["ETag"]
    assert grayd.ask("GET", "/v1/releases/cart-2",
                     If_None_Match=etag).status == 304


def said_again(grayd):
    """A key's answer outlives grayd; another request with it does not pass."""
    calls = [
        ("POST", "/v1/apply", {"files": [{"name": "f", "text": LIST.format(
            name="again", ids="a")}]}),
        ("POST", "/v1/releases/cart-2/set-weight", {"weight": 3}),
        ("POST", "/v1/lists/again/ids", {"add": ["b"]}),
        ("POST", "/v1/bypass", {"on": True, "reason": "r"}),
        ("POST", "/v1/bypass", {"on": False, "reason": "r"}),
        ("DELETE", "/v1/documents/List/again", None),
        ("POST", "/v1/stop", {"reason": "r"}),
    ]
    answers = []
    for number, (method, path, body) in enumerate(calls):
        answers.append(good(grayd.ask(method, path, body,
                                      Idempotency_Key=f"k{number}")).body)
    count = len(records(grayd))
    for restart in (grayd.stop, grayd.kill):
        restart()
        assert grayd.start()
        begun = good(grayd.ask("GET", "/v1/documents")).body["revision"]
        for number, (method, path, body) in enumerate(calls):
            again = good(grayd.ask(method, path, body,
                                   Idempotency_Key=f"k{number}")).body
            first = dict(answers[number])
            for side in (again, first):
                side.pop("inForce", None)
            assert again == first, (path, first, again)
            other = grayd.ask("POST", "/v1/stop", {"reason": "another"},
                              Idempotency_Key=f"k{number}")
            assert (other.status, other.body["code"]) == (422, "key-reused")
        now = good(grayd.ask("GET", "/v1/documents")).body["revision"]
        assert now == begun
    done = [r for r in records(grayd) if r["outcome"] == "done"]
    assert len(done) <= count


def pages(grayd):
    """A thousand documents, page by page, while they change."""
    text = "---".join(LIST.format(name=f"page-{n:04}", ids=f"i{n}")
                      for n in range(PAGES))
    reply = good(grayd.apply(text))
    revision = reply.body["revision"]
    assert len(reply.body["changes"]) == PAGES
    for limit in (1000, 100, 7):
        names, after, asked = [], "", 0
        while asked < 2 * PAGES:
            body = good(grayd.ask(
                "GET", f"/v1/documents?kind=List&limit={limit}"
                f"&revision={revision}{after}")).body
            assert body["revision"] == revision
            assert len(body["documents"]) <= limit
            names += [d["name"] for d in body["documents"]
                      if d["name"].startswith("page-")]
            asked += 1
            if asked == 2 and limit == 7:  # what is new is not of then
                good(grayd.apply(LIST.format(name="page-0500x", ids="n")))
            if "next" not in body:
                break
            after = "&after=" + body["next"]
        assert names == [f"page-{n:04}" for n in range(PAGES)], (
            limit, len(names))
    assert good(grayd.ask("GET", "/v1/documents?kind=List&limit=1000"
                          "&after=List/page-0500")).body["documents"][0][
                              "name"] == "page-0500x"
    # Five thousand at once are one change too.
    more = "---".join(LIST.format(name=f"more-{n}", ids="a")
                      for n in range(5 * PAGES))
    assert len(good(grayd.apply(more)).body["changes"]) == 5 * PAGES
    reply = good(grayd.ask("POST", "/v1/lists/page-0007/ids",
                           {"add": ["other"]}))
    assert len(reply.body["changes"]) == 1
    assert grayd.stop() == 0
    assert grayd.start()
    assert ids_of(grayd, "page-0007") == ["i7", "other"]


def main():
    for parts in ((on_time, taken_back, world_moved, killed, as_of),
                  (undone, over, stale, said_again, pages)):
        with Grayd(sys.argv[1]) as grayd:
            assert grayd.start()
            good(grayd.apply(SHOP))
            for part in parts:
                try:
                    part(grayd)
                except Dead:
                    raise AssertionError(grayd.errors()[-2000:]) from None
                print(part.__name__, flush=True)
    print(json.dumps({"parts": 10}))


if __name__ == "__main__":
    main()
