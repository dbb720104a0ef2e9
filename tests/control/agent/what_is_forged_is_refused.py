#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""what_is_forged_is_refused.py - nothing that is not whole and signed is named.

Why: whoever sits between a server and its hosts, or puts an old store back,
must not be able to change what a host does.  Each kind of falsehood is sent;
the host keeps what it has, says so to its people and to the server, fetches
nothing into its folders that is not what was signed, and takes the next good
bundle by itself.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_case import Case, Server, Signer, sha256, wait_until  # noqa: E402


def flip(at):
    def tamper(note):
        changed = bytearray(note)
        changed[at] ^= 1
        return bytes(changed)
    return tamper


class Falsehoods:
    def __init__(self, case):
        self.case = case
        self.share = 10

    def say(self, **more):
        """A new policy, in the way that shares may go."""
        self.share += 1
        return self.case.say_shop(str(self.share), **more)

    def good(self):
        """A bundle that is in force, and nothing refused."""
        sequence = self.say()
        self.case.in_force(sequence)
        wait_until("nothing is refused any more",
                   lambda: self.case.agent.told()["refused"] is None)
        self.case.reported("that it refuses nothing",
                           lambda r: r["refused"] is None and
                           r["sequence"] == sequence)
        assert self.case.agent.revision() == self.case.server.revision
        return sequence

    def refused(self, code, sequence, **lie):
        """What is said now is refused with that code; all stays as it was."""
        case, agent = self.case, self.case.agent
        before = agent.status()
        known = agent.told()["sequence"]
        lie.get("say", lambda: None)()
        told = wait_until(f"{code} is told", lambda: (
            lambda t: t if t.get("refused") and
            t["refused"]["code"] == code else None)(agent.told()))
        assert told["sequence"] == known, told
        assert told["reachable"], told
        said = case.reported(f"{code} is reported", lambda r: r["refused"] and
                             r["refused"]["code"] == code and
                             r["sequence"] == known)
        assert sequence is None or said["refused"]["sequence"] == sequence, \
            said["refused"]
        after = agent.status()
        for key in ("revision", "generation", "fleetGeneration", "releases"):
            assert after[key] == before[key], (key, before[key], after[key])
        shown = agent.host("status").stdout
        assert f"refuses bundle" in shown and code in shown, shown
        doctor = agent.host("doctor")
        assert code in doctor.stdout, doctor.stdout
        for name in agent.blobs():
            if name.endswith(".part"):
                continue  # it is tried again this very moment
            with open(f"{agent.state}/agent/blobs/{name}", "rb") as f:
                assert sha256(f.read()) == name, f"{name} is not what it says"


def on_the_wire(lies):
    """Torn, changed, by another key: the note itself."""
    case, server = lies.case, lies.case.server
    stranger = Signer(case.build, "one")  # the same name, another key
    server.tamper = lambda note: note[:len(note) // 2]
    lies.refused("torn", None, say=lies.say)
    server.tamper = None
    lies.good()
    server.tamper = lambda note: note.replace(b'"sequence":', b'"sequencf":')
    lies.refused("forged", None, say=lies.say)
    server.tamper = None
    lies.good()
    server.tamper = lambda _: stranger.sign(server.manifest())
    lies.refused("forged", None, say=lies.say)
    server.tamper = lambda _: case.signer.sign(server.manifest(), "checkpoint")
    lies.refused("torn", None)
    server.tamper = None
    lies.good()
    server.tamper = lambda _: case.signer.sign(server.manifest(bundle=2))
    lies.refused("bad-bundle", None, say=lies.say)
    server.tamper = None
    lies.good()
    stranger.close()


def files(lies):
    """The note is good; a file of it is not."""
    case, server = lies.case, lies.case.server

    def policy_only(change):
        return lambda name, data: change(data) \
            if name == sha256(server.files["policy"]) else data

    for change in (lambda d: d[:-1], lambda d: d + b"x",
                   lambda d: bytes(len(d))):
        server.tamper_blob = policy_only(change)
        lies.refused("bad-blob", server.sequence + 1, say=lies.say)
        server.tamper_blob = None
        lies.good()
    gone = {}

    def hide():
        lies.say()
        gone.update(server.blobs)
        server.blobs.clear()
    lies.refused("no-blob", server.sequence + 1, say=hide)
    server.blobs.update(gone)
    lies.good()

    # Signed as it is, and the engine does not believe it.
    def damaged():
        lies.share += 1
        wrong, revision = case.shop(str(lies.share))
        policy = bytearray(wrong["policy"])
        policy[len(policy) // 2] ^= 0xff
        policy[-1] ^= 0xff
        policy[64] ^= 0xff
        server.say({**wrong, "policy": bytes(policy)}, revision)
    before = lies.case.agent.status()["generation"]
    damaged()
    wait_until("the engine's own refusal is told", lambda:
               case.agent.told()["refused"] is not None)
    assert case.agent.status()["generation"] == before
    lies.good()


def servers(lies):
    """Signed by the right key, and not what comes next."""
    case, server, agent = lies.case, lies.case.server, lies.case.agent
    server.name = "server-2"
    lies.refused("stranger", server.sequence + 1,
                 say=lies.say)
    server.name = "server-1"
    now = lies.good()
    lies.refused("sequence-back", 1,
                 say=lambda: lies.say(sequence=1))
    # "Have you anything but NOW?" - "No": it went back on nothing.
    lies.say(sequence=now)
    wait_until("nothing is refused any more",
               lambda: agent.told()["refused"] is None)
    # Who starts asks without a number, and has forgotten nothing.
    assert agent.stop() == 0 and agent.start(), agent.errors()
    lies.refused("bundle-forked", now)
    server.name = "server-2"
    lies.refused("stranger", 1, say=lambda: lies.say(sequence=1))
    # Until a person says yes: once.
    assert agent.stop() == 0 and agent.start("--accept-server")
    case.in_force(1)
    assert agent.revision() == server.revision
    server.name = "server-3"
    lies.refused("stranger", 2, say=lies.say)
    server.name = "server-2"
    lies.good()


def starts(case):
    """What cannot work is said before anything begins."""
    agent = case.agent
    assert not agent.start(key="no key at all") and agent.code == 3
    assert "bad-server-key" in agent.errors()
    assert not agent.start(url="http://192.0.2.1:7170") and agent.code == 3
    assert "not-secret" in agent.errors()
    assert not agent.start("--host-name", "../h") and agent.code == 3
    os.chmod(agent.token, 0o644)
    assert not agent.start() and agent.code == 3
    assert "untrusted-file" in agent.errors()
    os.chmod(agent.token, 0o600)


def main():
    with Case() as case:
        case.server.spread_ms = 50
        starts(case)
        case.say_shop("10")
        assert case.agent.start(), case.agent.errors()
        lies = Falsehoods(case)
        lies.good()
        on_the_wire(lies)
        files(lies)
        servers(lies)
        assert case.agent.stop() == 0
        print("as it should be")


if __name__ == "__main__":
    main()
