#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""full_disks.py - the runtime folder is full, and a change is due meanwhile.

Why: a full tmpfs keeps a committed change out of force: that must be said in
the answer and by /readyz, and end by itself. A change whose moment comes while
the state disk is full is nobody's fault: it waits, unharmed, and is recorded
once. Both folders lie on small file systems of their own, in a mount namespace
of the test's own.

usage: full_disks.py BUILD
"""
import datetime
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import SHOP, Grayd, in_own_mounts, wait_until  # noqa: E402


def mount(folder, size):
    os.mkdir(folder, 0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755",
                    "none", folder], check=True)


def fill(folder):
    ballast = os.open(folder + "/ballast", os.O_WRONLY | os.O_CREAT)
    for size in (65536, 4096, 1):
        try:
            while os.write(ballast, b"x" * size) > 0:
                pass
        except OSError:
            pass
    os.close(ballast)


def big_list(count):
    return "kind: List\nname: testers\nids: [%s]\n" % ", ".join(
        f"user-{i:07}" for i in range(count))


def ready(grayd):
    return grayd.ask("GET", "/readyz").status == 200


def runtime(build):
    with Grayd(build) as grayd:
        mount(grayd.runtime, "4m")
        try:
            assert grayd.start()
            assert grayd.apply(SHOP).status == 200
            assert grayd.verb("cart-2", "start").status == 200
            row = grayd.in_folder()["cart-2"]
            fill(grayd.runtime)
            late = grayd.verb("cart-2", "set-weight", {"weight": 7})
            assert late.status == 200, late.text
            assert late.body["notPublished"], late.text
            assert "inForce" not in late.body, late.text
            behind = grayd.ask("GET", "/readyz")
            assert behind.status == 503 and \
                behind.body["status"] == "behind", behind.text
            assert grayd.in_folder()["cart-2"] == row
            # What keeps people out needs no room.
            assert grayd.verb("cart-2", "kill", {"reason": "r"}).status == 200
            assert grayd.in_folder()["cart-2"]["word"] == "killed"
            assert grayd.verb("cart-2", "unkill").status == 200
            os.unlink(grayd.runtime + "/ballast")
            wait_until("it heals by itself", lambda: ready(grayd))
            row = grayd.in_folder()["cart-2"]
            assert (row["share"], row["word"]) == (70000, "open"), row
            # Killed while it is behind: the next start publishes.
            fill(grayd.runtime)
            assert grayd.verb("cart-2", "set-weight", {"weight": 9}) \
                .body["notPublished"]
            grayd.kill()
            os.unlink(grayd.runtime + "/ballast")
            assert grayd.start()
            assert grayd.in_folder()["cart-2"]["share"] == 90000
        finally:
            grayd.stop()
            subprocess.run(["umount", grayd.runtime], check=True)


def of(grayd, *actions):
    records = grayd.ask("GET", "/v1/audit?limit=1000").body["records"]
    return [r for r in records if r["action"] in actions and
            r.get("triggeredBy") == "SCHEDULE"]


def due(build):
    with Grayd(build) as grayd:
        mount(grayd.state, "16m")
        os.chmod(grayd.state, 0o700)
        try:
            assert grayd.start()
            assert grayd.apply(SHOP).status == 200
            moment = datetime.datetime.now(datetime.timezone.utc) + \
                datetime.timedelta(seconds=2)
            waits = grayd.apply(
                big_list(40000),
                effectiveAt=moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
            assert waits.status == 202, waits.text
            fill(grayd.state)
            wait_until("it was due", lambda: "due" in grayd.errors())
            wait_until("it was tried again", lambda:
                       grayd.errors().count("it waits on") > 1)
            still = grayd.ask("GET", "/v1/scheduled").body["scheduled"]
            assert len(still) == 1, still
            assert of(grayd, "apply", "schedule-end") == []
            os.unlink(grayd.state + "/ballast")
            wait_until("it is applied", lambda: grayd.ask(
                "GET", "/v1/scheduled").body["scheduled"] == [])
            document = grayd.ask("GET", "/v1/documents/List/testers").body
            assert len(document["document"]["ids"]) == 40000
            said = of(grayd, "apply", "schedule-end")
            assert [r["outcome"] for r in said] == ["done"], said
        finally:
            grayd.stop()
            subprocess.run(["umount", grayd.state], check=True)


def main():
    in_own_mounts()
    for part in (runtime, due):
        part(sys.argv[1])
        print(part.__name__, flush=True)


if __name__ == "__main__":
    main()
