#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""audit_tells.py - whatever is done to the audit of a real grayd, it is found.

Why: a record that its owner can change unseen proves nothing. Here somebody
has the database and every tool; what he changes is named, from the folder,
from an export, and by a proof that is checked with nothing of ours.

usage: audit_tells.py BUILD
"""
import base64
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import SHOP, Grayd, chain_of  # noqa: E402


def history(grayd):
    """Some of everything, with signed checkpoints in the middle and at the
    end."""
    assert grayd.start()
    assert grayd.apply(SHOP, reason="first").status == 200
    assert grayd.verb("cart-2", "start").status == 200
    assert grayd.apply(SHOP.replace("alice", "bob"), dry_run=True).status == 200
    assert grayd.verb("cart-2", "set-weight", {"weight": 0.1}).status == 409
    made = grayd.ask("POST", "/v1/tokens", {
        "name": "vera", "role": "viewer", "scopes": ["cart"],
        "ttlSeconds": 3600}).body
    auth = {"Authorization": "Bearer " + made["token"]}
    assert grayd.ask("POST", "/v1/stop", {}, **auth).status == 403
    assert grayd.ask("GET", "/v1/releases", Authorization="Bearer x")\
        .status == 401
    for weight in range(2, 8):
        assert grayd.verb("cart-2", "set-weight",
                          {"weight": weight}).status == 200
    assert grayd.stop() == 0
    assert grayd.start()
    for weight in range(8, 14):
        assert grayd.verb("cart-2", "set-weight",
                          {"weight": weight}).status == 200
    assert grayd.stop() == 0


def checkpoints(state):
    """How many records each of them covers."""
    with open(state + "/audit/checkpoints") as f:
        lines = f.read().split("\n")
    return [int(lines[at - 2]) for at, line in enumerate(lines)
            if line.startswith("chain ")]


def records(state):
    db = sqlite3.connect(state + "/store/store.db")
    rows = db.execute("SELECT sequence, text, hash FROM audit ORDER BY "
                      "sequence").fetchall()
    db.close()
    return [(n, t.encode() if isinstance(t, str) else t, h)
            for n, t, h in rows]


def write(state, rows):
    db = sqlite3.connect(state + "/store/store.db")
    with db:
        db.execute("DELETE FROM audit")
        for sequence, text, digest in rows:
            db.execute("INSERT INTO audit (sequence, text, hash) VALUES "
                       "(?, ?, ?)", (sequence, text.decode(), digest))
    db.close()


def anew(rows):
    """The same records with a chain that fits."""
    return [(n, text, computed) for (n, text, _), (_, _, _, computed)
            in zip(rows, chain_of(rows))]


def edited(rows, at):
    """Record `at` (from 1) says another thing."""
    out = list(rows)
    number, text, digest = out[at - 1]
    changed = text.replace(b'"actor":"root"', b'"actor":"toor"')
    assert changed != text
    out[at - 1] = (number, changed, digest)
    return out


def renumbered(text, number):
    value = json.loads(text)
    value["seq"] = number
    return json.dumps(value, sort_keys=True, ensure_ascii=False,
                      separators=(",", ":")).encode()


def without(rows, at):
    """Taken out, the gap closed by people who know how."""
    out = rows[:at - 1]
    for number, text, digest in rows[at:]:
        out.append((number - 1, renumbered(text, number - 1), digest))
    return out


def crimes(rows, signed):
    """What is done, and the first record that is not what it was."""
    last = len(rows)
    k = next(n for n, t, _ in rows if n > 5 and b'"actor":"root"' in t)
    late = signed + 2
    moved = list(rows)
    moved[k - 1] = (k, rows[k][1], rows[k][2])
    moved[k] = (k + 1, rows[k - 1][1], rows[k - 1][2])
    hashed = list(rows)
    hashed[k - 1] = (k, rows[k - 1][1], bytes(32))
    cut = rows[:last - 3]
    yield "edited", edited(rows, k), k
    yield "the first edited", edited(rows, 2), 2
    yield "the last edited", edited(rows, last), last
    yield "its hash edited", hashed, k
    yield "taken out", rows[:k - 1] + rows[k:], k
    yield "taken out, the rest renumbered", without(rows, k), k
    yield "in another order", moved, k
    yield "the end cut off", cut, last - 2
    yield "all gone", [], 1
    yield "the tail rewritten", anew(edited(rows, late)), signed + 1
    yield "all rewritten", anew(edited(rows, 2)), 1
    yield "shortened and rewritten", anew(without(rows, late)), last


def gray(grayd, *words):
    done = subprocess.run([grayd.gray, "audit", *words, "-o", "json"],
                          capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def found_in_folder(grayd, rows, signed):
    said, report = gray(grayd, "verify", "--state", grayd.state)
    assert said == 0 and report["good"], report
    assert (report["records"], report["checkpoints"]) == (
        len(rows), len(checkpoints(grayd.state))), report
    kept = grayd.state + ".kept"
    shutil.copytree(grayd.state, kept)
    for what, changed, first_bad in crimes(rows, signed):
        shutil.rmtree(grayd.state)
        shutil.copytree(kept, grayd.state)
        write(grayd.state, changed)
        said, report = gray(grayd, "verify", "--state", grayd.state)
        assert said == 1 and report["firstBad"] == first_bad, (
            what, first_bad, report)
        print(f"{what}: {report['sentence']}")
    # The checkpoints themselves.
    notes = grayd.state + "/audit/checkpoints"
    for old, new in ((b"\n%d\n" % len(rows), b"\n%d\n" % (len(rows) - 1)),
                     (b"chain ", b"chaim ")):
        shutil.rmtree(grayd.state)
        shutil.copytree(kept, grayd.state)
        with open(notes, "rb") as f:
            text = f.read()
        with open(notes, "wb") as f:
            f.write(text.replace(old, new))
        said, report = gray(grayd, "verify", "--state", grayd.state)
        assert said == 1, report
    shutil.rmtree(grayd.state)
    shutil.copytree(kept, grayd.state)


def found_in_export(grayd, rows, signed):
    lines = grayd.ask("GET", "/v1/audit/export").text.splitlines()
    verifier, notes = grayd.ask("GET", "/v1/audit/checkpoints").text\
        .split("\n\n", 1)
    export = grayd.folder + "/export"
    with open(export + ".checkpoints", "w") as f:
        f.write(notes)
    told = [(n, json.loads(line)["record"].encode(),
             bytes.fromhex(json.loads(line)["hash"]))
            for n, line in enumerate(lines, 1)]
    assert told[:len(rows)] == rows
    told = told[:len(rows)]  # asking may have been recorded since

    def verify(changed):
        with open(export, "w") as f:
            for _, text, digest in changed:
                f.write(json.dumps({"record": text.decode(),
                                    "hash": digest.hex()}) + "\n")
        return gray(grayd, "verify", export, "--verifier", verifier)

    said, report = verify(told)
    assert said == 0 and report["records"] == len(rows), report
    assert report["checkpoints"] == notes.count("\nchain "), report
    for what, changed, first_bad in crimes(told, signed):
        said, report = verify(changed)
        assert said == 1 and report["firstBad"] == first_bad, (
            what, first_bad, report)
    # A checkpoint kept elsewhere finds what was done to both of them.
    short = told[:signed - 2]
    with open(export + ".checkpoints", "w") as f:
        f.write(notes.split("\n\n\n")[0])
    said, report = verify(anew(short))
    assert said == 1, report
    return verifier


def tree(side, path, index, size):
    """RFC 9162, 2.1.3.2: the root that a path leads to."""
    fn, sn, hash_ = index, size - 1, side
    for piece in path:
        assert sn > 0
        if fn & 1 or fn == sn:
            hash_ = hashlib.sha256(b"\1" + piece + hash_).digest()
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            hash_ = hashlib.sha256(b"\1" + hash_ + piece).digest()
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    return hash_


def holds(proof, verifier, folder):
    """By hashlib and openssl alone."""
    leaf = hashlib.sha256(b"\0" + proof["record"].encode()).digest()
    path = [base64.b64decode(h) for h in proof["hashes"]]
    try:
        root = tree(leaf, path, proof["leafIndex"], proof["treeSize"])
    except AssertionError:
        return False
    note, signature = proof["checkpoint"].split("\n\n", 1)
    lines = note.split("\n")
    raw = base64.b64decode(signature.strip().rsplit(" ", 1)[1])
    key = base64.b64decode(verifier.strip().split("+", 2)[2])[-32:]
    files = [folder + "/" + name for name in ("pub.der", "sig", "body")]
    for name, data in zip(files, (
            bytes.fromhex("302a300506032b6570032100") + key, raw[-64:],
            (note + "\n").encode())):
        with open(name, "wb") as f:
            f.write(data)
    signed = subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform",
         "DER", "-inkey", files[0], "-sigfile", files[1], "-in", files[2]],
        capture_output=True).returncode == 0
    return signed and int(lines[1]) == proof["treeSize"] and \
        base64.b64decode(lines[2]) == root and \
        json.loads(proof["record"])["seq"] == proof["sequence"] and \
        proof["leafIndex"] == proof["sequence"] - 1


def proved(grayd, rows, verifier):
    for number in (1, 2, len(rows) // 2, len(rows)):
        proof = grayd.ask("GET", f"/v1/audit/{number}/proof").body
        assert proof["record"].encode() == rows[number - 1][1]
        assert holds(proof, verifier, grayd.folder), proof
        for key, value in proof.items():  # one byte of anything
            if isinstance(value, str):
                at = len(value) // 2
                other = value[:at] + ("A" if value[at] != "A" else "B") \
                    + value[at + 1:]
            elif isinstance(value, int):
                other = value + 1
            else:
                other = value[1:]
            if key in ("root", "seq"):  # said beside what proves it
                continue
            try:
                good = holds(dict(proof, **{key: other}), verifier,
                             grayd.folder)
            except (ValueError, IndexError):
                good = False
            assert not good, key
        said, own = gray(grayd, "prove", str(number), "--verifier", verifier,
                         "--server", "unix:" + grayd.socket)
        assert said == 0 and own["holds"], own
    other = verifier[:-6] + ("A" if verifier[-6] != "A" else "B") + \
        verifier[-5:]
    said = subprocess.run([grayd.gray, "audit", "prove", "1", "--verifier",
                           other, "--server", "unix:" + grayd.socket],
                          capture_output=True).returncode
    assert said != 0
    assert grayd.ask("GET", "/v1/audit/100000/proof").status == 404


def main():
    with Grayd(sys.argv[1]) as grayd:
        history(grayd)
        *_, signed, all_of_them = checkpoints(grayd.state)
        rows = records(grayd.state)
        assert len(rows) == all_of_them and signed > 10
        outcomes = {json.loads(text)["outcome"] for _, text, _ in rows}
        assert outcomes == {"done", "refused", "denied", "dry-run"}, outcomes
        denied = [json.loads(t) for _, t, _ in rows if b'"denied"' in t]
        assert [(d.get("actor"), d.get("role"), d["code"]) for d in denied] \
            == [("vera", "viewer", "forbidden"),
                (None, None, "unauthenticated")], denied
        found_in_folder(grayd, rows, signed)
        assert grayd.start()
        verifier = found_in_export(grayd, rows, signed)
        proved(grayd, rows, verifier)
        print(f"{len(rows)} records, the first {signed} signed earlier")


if __name__ == "__main__":
    main()
