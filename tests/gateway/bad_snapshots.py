# SPDX-License-Identifier: Apache-2.0
"""bad_snapshots.py - what is wrong with a file never hurts a request.

A publisher that wrote rubbish is played here: the file is replaced, the
generation in `control` raised, every reader's FIFO rung.  Called by
a_bad_snapshot_leaves_the_last_good_one_in_force.vtc.
"""
import glob
import mmap
import os
import struct

from gateway import RUN, ask, gw, status, until

POLICY_GENERATION = 64  # of struct gray_control: directly after the header


def served():
    answer = ask("/", {"Cookie": "uid=alice"})
    assert answer.status == 200, answer.status
    return answer.served


def generation():
    with open(RUN + "/control", "rb") as file:
        return struct.unpack("<Q", file.read(72)[64:])[0]


def put(data):
    """Names `data` as the newest policy and wakes everyone."""
    with open(RUN + "/policy.tmp", "wb") as file:
        file.write(data)
    os.rename(RUN + "/policy.tmp", RUN + "/policy.snap")
    with open(RUN + "/control", "r+b") as file:
        control = mmap.mmap(file.fileno(), 0)
        control[64:72] = struct.pack("<Q", generation() + 1)
        control.close()
    for fifo in glob.glob(RUN + "/readers/*.wake"):
        fd = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        os.write(fd, b"x")
        os.close(fd)


def refusals():
    return [r["refusal"] for r in status()["readers"] if r["alive"]]


with open(RUN + "/policy.snap", "rb") as file:
    good = file.read()
assert served() == "v2"

bad = {
    "empty": b"",
    "cut": good[:200],
    "one byte": good[:300] + bytes([good[300] ^ 1]) + good[301:],
    "longer": good + bytes(8),
    "another layout": good[:8] + struct.pack("<I", 99) + good[12:],
    "another file": b"x" * len(good),
}
for what, data in bad.items():
    put(data)
    until(lambda: all(refusals()))
    for _ in range(10):
        assert served() == "v2", what
said = refusals()
assert len(said) == 2 and all(": " in one for one in said), said

# what is good again is taken again
gw("cart", "100", "  deny: [{cookie: {name: uid, exact: alice}}]",
   "--ignore-unreadable")
until(lambda: served() == "v1")
until(lambda: not any(refusals()))
