#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""read_back.py - what was so can be read back as it was, while it goes on.

Why: "who was in at nine, and why?" is asked years later. What grayd explained
while a revision was in force must come out of that revision, byte for byte;
documents, releases and records must read back as they were made; whoever has
a narrow scope sees his own and no trace of the rest; and reading beside a
row of changes never sees half of one. Every reply is held against its
schema by the grayd that is asked.
"""
import json
import re
import subprocess
import sys
import threading

from harness import SHOP, Connection, Grayd, chain_of

NOW = 1767225600000
PAY = """
kind: Service
name: pay
baseline: {version: v1}
versions:
  v1: {endpoints: ["127.0.0.1:9301"]}
"""


def requests():
    lines = [{"path": f"/cart/{i}", "now": NOW,
              "headers": {"cookie": f"uid=u{i}"}} for i in range(60)]
    lines.append({"path": "/", "now": NOW, "headers": {"x-team": "red"}})
    lines.append({"path": "/\u5f20", "now": NOW,
                  "headers": {"cookie": "uid=\u5f20\u4e09"}})
    return lines


def well(reply, status=200):
    assert reply.status == status, (reply.status, reply.text)
    return reply


def explain(grayd, revision=None):
    body = {"requests": requests()}
    if revision is not None:
        body["revision"] = revision
    return well(grayd.ask("POST", "/v1/explain", body)).text


def timeless(text):
    """Without the revision: what changes no decision is not published."""
    return re.sub(r'"revision":\d+', '"revision":0', text)


def by_command(grayd):
    """The same answer, put together from what `gray explain` prints."""
    path = grayd.folder + "/lines"
    with open(path, "w") as f:
        f.writelines(json.dumps(line) + "\n" for line in requests())
    done = subprocess.run(
        [grayd.gray, "explain", "--runtime", grayd.runtime, "--requests",
         path, "-o", "json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    revision = json.loads(lines[0])["revision"]
    return f'{{"revision":{revision},"explanations":[' + ",".join(lines) + \
        "]}\n"


def a_history(grayd):
    """Changes of every kind; what each revision was when it was in force."""
    said, stood = {}, {}

    def note(revision):
        text = explain(grayd)
        assert text == by_command(grayd)
        said[revision] = timeless(text)
        stood[revision] = well(grayd.ask("GET", "/v1/documents")).body

    note(well(grayd.apply(SHOP)).body["revision"])
    for verb, body in (("start", {"reason": "go"}), ("promote", {}),
                       ("set-weight", {"weight": 50, "reason": "fast"}),
                       ("pause", {})):
        note(well(grayd.verb("cart-2", verb, body)).body["revision"])
    note(well(grayd.ask("POST", "/v1/lists/testers/ids",
                        {"add": ["u7"]})).body["revision"])
    note(well(grayd.apply(SHOP.replace("exact: red", "exact: blue")))
         .body["revision"])
    note(well(grayd.verb("cart-2", "abort", {"reason": "enough"}))
         .body["revision"])
    assert len(set(said.values())) >= 5, "nothing happened"
    return said, stood


def as_it_was(grayd, said, stood):
    for revision, text in said.items():
        then = explain(grayd, revision)
        assert json.loads(then)["revision"] == revision, then[:80]
        assert timeless(then) == text, revision
    for revision, body in stood.items():
        now = well(grayd.ask("GET", f"/v1/documents?revision={revision}")).body
        for row in now["documents"]:
            row.pop("until", None)  # known only since
        assert now == body, (revision, now, body)


def a_narrow_scope(grayd):
    well(grayd.apply(PAY))
    token = well(grayd.ask("POST", "/v1/tokens", {
        "name": "pay-team", "role": "viewer", "scopes": ["pay"],
        "ttlSeconds": 600}), 201).body["token"]
    own = {"Authorization": "Bearer " + token}
    for path in ("/v1/documents", "/v1/releases", "/v1/changes", "/v1/status",
                 "/v1/scheduled", "/v1/documents?limit=1"):
        text = well(grayd.ask("GET", path, **own)).text
        assert "cart" not in text and "testers" not in text, (path, text)
    assert "Service" in grayd.ask("GET", "/v1/documents", **own).text
    for path in ("/v1/releases/cart-2", "/v1/documents/Service/cart",
                 "/v1/documents/Service/cart/history", "/v1/audit",
                 "/v1/audit/export", "/v1/tokens", "/v1/audit/1/proof"):
        assert grayd.ask("GET", path, **own).status == 403, path


def the_audit(grayd):
    lines = [json.loads(line) for line in
             well(grayd.ask("GET", "/v1/audit/export")).text.splitlines()]
    rows = [(i + 1, line["record"], line["hash"])
            for i, line in enumerate(lines)]
    for sequence, record, stored, computed in chain_of(rows):
        assert record["seq"] == sequence and stored == computed.hex()
    last = well(grayd.ask("GET", f"/v1/audit?after={len(rows) - 1}")).body
    assert last["records"][0]["sequence"] == len(rows), last
    key = well(grayd.ask("GET", "/v1/audit/checkpoints")).text.split("\n")[0]
    with open(grayd.state + "/audit/key.pub") as f:
        assert f.read().strip() == key
    proof = well(grayd.ask("GET", "/v1/audit/1/proof")).body
    assert proof["record"] == rows[0][1] and proof["sequence"] == 1
    history = grayd.ask("GET", "/v1/documents/List/testers/history").body
    assert [row["by"] for row in history["versions"]] == ["root"] * 3


def read_beside(grayd, stop, faults):
    connection = Connection(grayd.socket)
    paths = ("/v1/releases", "/v1/documents", "/v1/status", "/v1/changes",
             "/v1/releases/cart-2/history?limit=5",
             "/v1/documents/List/testers/history?limit=5")
    count = 0
    while not stop.is_set() and count < 20000:
        path = paths[count % len(paths)]
        connection.request("GET", path)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        count += 1
        if answer.status != 200:
            faults.append((path, answer.status, body))
        for row in body.get("releases", []):
            if row["revision"] > body["revision"] and path != "/v1/status":
                faults.append((path, "a row of tomorrow", row))
        if path.endswith("history?limit=5"):
            order = [row["revision"] for row in body["versions"]]
            if order != sorted(order, reverse=True):
                faults.append((path, "disorder", order))
    connection.close()
    return count


def beside_changes(grayd):
    stop, faults, counts = threading.Event(), [], []
    readers = [threading.Thread(target=lambda: counts.append(
        read_beside(grayd, stop, faults))) for _ in range(3)]
    for reader in readers:
        reader.start()
    for i in range(150):
        well(grayd.ask("POST", "/v1/lists/testers/ids",
                       {"add": [f"n{i}"], "remove": [f"n{i - 1}"]}))
    stop.set()
    for reader in readers:
        reader.join(60)
    assert not faults, faults[:3]
    assert len(counts) == 3 and min(counts) > 20, counts
    return sum(counts)


def main():
    with Grayd(sys.argv[1]) as grayd:
        assert grayd.start(), grayd.errors()
        said, stood = a_history(grayd)
        as_it_was(grayd, said, stood)
        a_narrow_scope(grayd)
        the_audit(grayd)
        count = beside_changes(grayd)
        # And after a restart: nothing of it hung on memory.
        grayd.stop()
        assert grayd.start(), grayd.errors()
        as_it_was(grayd, said, stood)
        print(f"{len(said)} revisions read back, {count} answers beside "
              "150 changes")


if __name__ == "__main__":
    main()
