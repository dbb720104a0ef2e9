# SPDX-License-Identifier: Apache-2.0
"""workers.py - what workers of www-data can do in a folder of root's.

Called by workers_of_another_user_sign_and_count.vtc.
"""
import itertools
import json
import os
import pwd
import signal

from gateway import RUN, WORK, ask, gray, keys, read_cookie, status, until

NOBODY = pwd.getpwnam("www-data").pw_uid


def doctor():
    done = gray("doctor", "--runtime", RUN, "-o", "json", check=False)
    return {c["check"]: c for c in json.loads(done.stdout)["checks"]}


def units(name):
    with open(WORK + "/" + name) as file:
        return [r["unit"] for line in file
                for r in json.loads(line)["releases"]]


# the workers are who we think they are, and have their files in readers/
workers = [r for r in status()["readers"] if r["alive"]]
assert len(workers) == 2, workers
for worker in workers:
    assert os.stat("/proc/%d" % worker["pid"]).st_uid == NOBODY, worker
    assert os.stat(RUN + "/readers/" + worker["id"]).st_uid == NOBODY
assert os.stat(RUN).st_uid == 0 and os.stat(RUN + "/keys").st_uid == 0
assert os.stat(RUN + "/keys").st_mode & 0o777 == 0o640

# keys: read without anybody having named a group; a rotation arrives
assert doctor()["signing"]["level"] == "ok", doctor()["signing"]
name, value, _ = ask("/", {"Cookie": "uid=alice"}).cookie
assert len(read_cookie(value)["marks"]) == 1
gray("keys", "rotate", "--runtime", RUN)
newest = str(keys()[0][0])
UNITS = itertools.count()


def newcomer():
    """The cookie of somebody who was never here."""
    return ask("/", {"Cookie": "uid=n%d" % next(UNITS)}).cookie


until(lambda: newcomer()[1].split(".")[1] == newest)

# and into the tables of marks they write: what one let in, both know
assert ask("/", {"Cookie": "uid=marked"}).explain["reason"] == "share"
assert {ask("/", {"Cookie": "uid=marked"}).explain["reason"]
        for _ in range(20)} == {"mark"}

# woken, not only polled: far less than the poll passes
gray("publish", "-f", WORK + "/docs.yaml", "--runtime", RUN, "--wait", "10")
assert all(r["policy_generation"] == status()["policy_generation"]
           for r in status()["readers"] if r["alive"])
assert sum(s["count"] for s in status()["series"]) > 0

# the decision log: opened by the master, opened again for a new file
until(lambda: "alice" in units("decisions.log"))
os.rename(WORK + "/decisions.log", WORK + "/decisions.old")
with open(WORK + "/nginx.pid") as file:
    os.kill(int(file.read()), signal.SIGUSR1)
until(lambda: os.path.exists(WORK + "/decisions.log"))


def seen_after_reopen():
    ask("/", {"Cookie": "uid=bob"})
    return "bob" in units("decisions.log")


until(seen_after_reopen)

# keys that workers cannot read: said, with the command that helps
def complaints():
    with open(WORK + "/error.log") as file:
        return file.read().count("cannot read the signing keys")


assert complaints() == 0
gray("keys", "rotate", "--group", "root", "--runtime", RUN)
until(lambda: complaints() == 2)            # each worker once
gray("keys", "rotate", "--group", "root", "--runtime", RUN)
assert newcomer() is None
sick = doctor()["signing"]
assert sick["level"] == "fail", sick
words = sick["advice"].split()
assert words == ["gray", "keys", "rotate", "--group", "www-data"], sick
gray(*words[1:], "--runtime", RUN)
assert doctor()["signing"]["level"] == "ok"
newest = str(keys()[0][0])
until(lambda: (newcomer() or ("", "..", ""))[1].split(".")[1] == newest)
gray("publish", "-f", WORK + "/docs.yaml", "--runtime", RUN, "--wait", "10")
assert complaints() == 2
