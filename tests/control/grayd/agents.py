# SPDX-License-Identifier: Apache-2.0
"""agents.py - agents written by hand: what a host says, honest or not.

Why: the server must keep its promises whatever stands at the other end, so
here stands a program of the test's that says what the test wants, over HTTP.
"""
import base64
import json
import os
import subprocess

from harness import wait_until


class Agent:
    """One host. It says that all it got is in force, unless told otherwise."""

    def __init__(self, grayd, name, token=None):
        self.grayd, self.name = grayd, name
        self.token = token or grayd.ask("POST", "/v1/tokens", {
            "name": "agent-" + name, "role": "agent", "scopes": [name],
            "ttlSeconds": 3600}).body["token"]
        self.manifest = {"sequence": 0, "epoch": 0, "revision": 0,
                         "server": ""}
        self.note = ""

    def ask(self, method, path, body=None, **headers):
        """Each on a connection of its own, so it may come too fast."""
        answers = []

        def answered():
            answers.append(self.grayd.ask(
                method, path, body, Authorization="Bearer " + self.token,
                **headers))
            return answers[-1].status != 503
        wait_until("it is let in", answered)
        return answers[-1]

    def poll(self, wait=0, host=None):
        """Asks for news; takes them over. The status of the answer."""
        reply = self.ask("GET", f"/v1/bundle?host={host or self.name}"
                         f"&wait={wait}",
                         If_None_Match=f'"{self.manifest["sequence"]}"')
        if reply.status == 200:
            self.note = reply.text
            self.manifest = json.loads(reply.text.split("\n")[1])
            assert reply.headers["ETag"] == f'"{self.manifest["sequence"]}"'
        return reply.status

    def report(self, host=None, path=None, **says):
        body = {"host": host or self.name, "readers": [],
                **{k: self.manifest[k]
                   for k in ("server", "sequence", "epoch", "revision")},
                **says}
        return self.ask("POST", f"/v1/hosts/{path or self.name}/report", body)

    def joined(self):
        """Until it is granted a lease: the server knows it for good."""
        self.poll()
        wait_until(self.name + " has a lease",
                   lambda: self.report().body["leaseMs"] > 0)
        return self

    def admit(self, after, *records, journal="j1", path=None):
        return self.ask("POST", f"/v1/hosts/{path or self.name}/admissions", {
            "journal": journal, "after": after, "records": list(records)})

    def word(self, release_scope):
        for word in self.manifest["words"]:
            if word["scope"] == release_scope:
                return word
        return {"word": "open", "epoch": 0}


def signed_by(note, verifier, folder):
    """Whether a note is signed by the key of this verifier line, as openssl
    says; the way that docs/audit.md tells."""
    body, _, rest = note.partition("\n\n")
    name, signature = rest.split("\n")[0].split(" ")[1:]
    key = base64.b64decode(verifier.strip().split("+", 2)[2])
    paths = {"pub": bytes.fromhex("302a300506032b6570032100") + key[-32:],
             "sig": base64.b64decode(signature)[-64:],
             "body": (body + "\n").encode()}
    for suffix, data in paths.items():
        with open(os.path.join(folder, "note." + suffix), "wb") as f:
            f.write(data)
    done = subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform",
         "DER", "-inkey", folder + "/note.pub", "-sigfile",
         folder + "/note.sig", "-in", folder + "/note.body"],
        capture_output=True, text=True)
    return done.returncode == 0 and name == verifier.split("+")[0]


def row(unit, state="in", scope="", **more):
    return {"scope": scope, "unit": unit, "space": 0, "kind": "admit",
            "state": state, "variant": 0, "attempt": 1, "revision": 2,
            "at": 1764600000000, "reason": "share", "reader": "nginx-0",
            "actor": "", "entrance": 0, "stage": None, **more}
