#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""in_trouble.py - full and read-only disks, a damaged store, two grayds.

Why: what cannot be kept must be refused in a sentence, change nothing, and
leave what is in force alone; when the trouble is over, work goes on without
anybody's help. The state lies on a small file system of its own, in a mount
namespace of the test's own.

usage: in_trouble.py BUILD
"""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import SHOP, Grayd, in_own_mounts, wait_until  # noqa: E402


def mount(*words):
    subprocess.run(["mount", *words], check=True)


def policy_of(grayd):
    return {n: (r["share"], r["word"]) for n, r in grayd.in_folder().items()}


def full_disk(build):
    with Grayd(build) as grayd:
        os.mkdir(grayd.state)
        mount("-t", "tmpfs", "-o", "size=4m,mode=0700", "none", grayd.state)
        try:
            assert grayd.start()
            assert grayd.apply(SHOP).status == 200
            assert grayd.verb("cart-2", "start").status == 200
            before = policy_of(grayd)
            revision = grayd.ask("GET", "/v1/releases").body["revision"]
            ballast = os.open(grayd.state + "/ballast",
                              os.O_WRONLY | os.O_CREAT)
            try:
                while os.write(ballast, b"x" * 4096) > 0:
                    pass
            except OSError:
                os.close(ballast)
            refused = None
            for weight in range(2, 60):  # what is left is soon used up
                reply = grayd.verb("cart-2", "set-weight", {"weight": weight})
                if reply.status != 200:
                    refused = reply
                    break
                before = policy_of(grayd)
                revision = reply.body["revision"]
            assert refused.status == 503, refused.text
            assert refused.body["code"] == "store-failed", refused.text
            ready = grayd.ask("GET", "/readyz")
            assert ready.status == 503, ready.text
            assert ready.body["status"] == "store-failed", ready.text
            assert grayd.ask("GET", "/v1/releases").body["revision"] == revision
            assert policy_of(grayd) == before
            # Reading goes on, and so does the host's own emergency stop.
            assert grayd.ask("GET", "/v1/documents").status == 200
            said = grayd.host("kill", "cart-2", "--reason", "full")
            assert said.returncode in (0, 5), said.stderr
            assert policy_of(grayd)["cart-2"][1] == "killed"
            os.unlink(grayd.state + "/ballast")

            # Nobody changes anything, and it is found out all the same.
            wait_until("the disk has room, and grayd is ready", lambda:
                       grayd.ask("GET", "/readyz").status == 200)
            wait_until("changes are taken", lambda:
                       grayd.verb("cart-2", "unkill").status == 200)
            assert grayd.stop() == 0
            assert grayd.start()  # and all of it is sound
        finally:
            grayd.stop()
            subprocess.run(["umount", grayd.state], check=True)


def read_only(build):
    with Grayd(build) as grayd:
        os.mkdir(grayd.state)
        mount("-t", "tmpfs", "-o", "size=16m,mode=0700", "none", grayd.state)
        try:
            assert grayd.start()
            assert grayd.apply(SHOP).status == 200
            before = policy_of(grayd)
            assert grayd.stop() == 0
            mount("-o", "remount,ro", grayd.state)
            assert not grayd.start()
            assert "error" in grayd.errors()
            last = grayd.errors().strip().splitlines()[-1]
            assert "read-only" in last.lower() or "Read-only" in last, last
            grayd.process = None
            assert policy_of(grayd) == before
            mount("-o", "remount,rw", grayd.state)
            assert grayd.start()
            assert grayd.verb("cart-2", "start").status == 200
        finally:
            grayd.stop()
            subprocess.run(["umount", grayd.state], check=True)


def damaged(build):
    with Grayd(build) as grayd:
        assert grayd.start()
        assert grayd.apply(SHOP).status == 200
        assert grayd.verb("cart-2", "start").status == 200
        before = policy_of(grayd)
        assert grayd.stop() == 0
        path = grayd.state + "/store/store.db"
        shutil.copytree(grayd.state, grayd.state + ".kept")

        def put_back():
            shutil.rmtree(grayd.state)
            shutil.copytree(grayd.state + ".kept", grayd.state)
            os.chmod(grayd.state, 0o700)

        size = os.path.getsize(path)
        for at in (0, 40, size // 2, size - 5000):
            put_back()
            with open(path, "r+b") as f:
                f.seek(at)
                f.write(b"\xa5" * 64)
            if grayd.start():
                # Not seen at the start: then never silently believed.
                grayd.ask("GET", "/v1/releases")
                grayd.stop()
            else:
                grayd.process = None
                last = grayd.errors().strip().splitlines()[-1]
                assert last.startswith("error "), last
            assert policy_of(grayd) == before, at
        put_back()
        assert grayd.start()
        assert grayd.verb("cart-2", "set-weight", {"weight": 2}).status == 200
        # An older copy of the store beside what was acknowledged: said.
        assert grayd.stop() == 0
        shutil.copy(grayd.state + ".kept/store/store.db", path)
        assert not grayd.start()
        grayd.process = None
        assert "acknowledged" in grayd.errors().strip().splitlines()[-1]


def two_of_them(build):
    with Grayd(build) as first, Grayd(build) as second:
        assert first.start()
        assert first.apply(SHOP).status == 200
        pid = str(first.process.pid)
        own = second.state
        second.state = first.state  # one store
        assert not second.start()
        second.process = None
        assert pid in second.errors(), second.errors()
        second.state, second.runtime = own, first.runtime  # one folder
        assert not second.start()
        second.process = None
        assert second.errors().count(pid) == 2, second.errors()
        assert first.verb("cart-2", "start").status == 200


def main():
    in_own_mounts()
    for part in (two_of_them, full_disk, read_only, damaged):
        part(sys.argv[1])
        print(part.__name__, flush=True)


if __name__ == "__main__":
    main()
