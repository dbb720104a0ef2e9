# SPDX-License-Identifier: Apache-2.0
"""unknown.py - what happens while nobody can know who was let in.

The table says that it is being rebuilt, then its file is gone.  A valid cookie
is served, an order at its update stage is refused by both versions, everything
else meets the old one; and nothing is written, not one byte of the tables and
not one record.  Called by what_is_not_known_admits_nobody_and_writes_nothing.vtc.
"""
import glob
import hashlib
import os
import struct

from gateway import (RUN, WORK, ask, event, gw, scope_of, sign_cookie, status,
                     until)

STATE, REBUILDING, READY = 116, 1, 2  # in struct gray_marks_file


def tables(release):
    return glob.glob("%s/marks/%016x.*" % (RUN, scope_of(release)))


def set_state(state):
    for release in ("cart-2", "order-2"):
        for path in tables(release):
            with open(path, "r+b") as file:
                file.seek(STATE)
                file.write(struct.pack("<I", state))


def content():
    """Of all tables but their state, and of all rings."""
    found = hashlib.sha256()
    for release in ("cart-2", "order-2"):
        for path in sorted(tables(release)):
            with open(path, "rb") as file:
                data = file.read()
            found.update(data[:STATE] + data[STATE + 4:])
    return found.hexdigest(), event("marks-made"), event("marks-asked")


def order(number, method="GET", path="/orders"):
    return ask(path, {"Cookie": "oid=" + number}, method=method)


def user(name, cookie=""):
    return ask("/", {"Cookie": "uid=" + name + cookie})


def why(answer):
    """The reason of the one release that the request has a unit for."""
    reason, = (one["reason"] for one in answer.explain["releases"]
               if one["unit"])
    return reason


def refused(answer):
    return (answer.status == 503 and answer.get("Retry-After") == "1"
            and answer.served is None)


# known, both
alice = user("alice")
assert alice.served == "v2" and alice.cookie, alice.headers
created = order("77", "POST")
assert created.served == "v2" and why(created) == "share"
assert order("77").served == "v2" and why(order("77")) == "mark"
paid = order("78")  # never created: the update stage makes no mark
assert paid.served == "v1" and why(paid) == "mark-missing"
assert order("78", "POST").served == "v2"
other = "; gray=" + sign_cookie([("cart-2", "bob", "in")])


def nothing_is_known():
    before, held = content(), status()["reasons"].get("mark-hold", 0)
    answer = user("alice", "; gray=" + alice.cookie[1])
    assert answer.served == "v2" and why(answer) == "cookie"
    answer = user("bob", other)
    assert answer.served == "v2" and why(answer) == "cookie"
    for name in ("alice", "carol"):
        answer = user(name)
        assert answer.served == "v1", answer.body
        assert why(answer) == "mark-unknown", answer.body
        assert answer.cookie is None, answer.headers
    # an order: neither version at the update stage, whether it is in or not
    for number in ("77", "79"):
        answer = order(number)
        assert refused(answer), (answer.status, answer.headers)
        assert why(answer) == "mark-hold", answer.explain
        assert answer.get("X-Reason") == "mark-hold"
    # a new one is created by the old logic, and not recorded
    answer = order("80", "POST")
    assert answer.served == "v1", answer.body
    # an error page is heard, but no version serves behind it
    answer = ask("/orders", {"Cookie": "oid=77"}, sock="polite.sock")
    assert answer.status == 503 and answer.body == "come again\n", answer.body
    assert answer.get("Retry-After") == "1", answer.headers
    # ... even one that other requests have just been through
    for _ in range(20):
        answer = ask("/new", {"Cookie": "oid=81"}, "careless.sock", "POST")
        assert answer.served == "v1", answer.body
    for _ in range(8):
        answer = ask("/orders", {"Cookie": "oid=77"}, sock="careless.sock")
        assert refused(answer), (answer.status, answer.body)
    assert content() == before
    assert status()["reasons"]["mark-hold"] == held + 11


set_state(REBUILDING)
nothing_is_known()
set_state(READY)
assert why(user("alice")) == "mark"
assert order("77").served == "v2"
assert why(order("80")) == "mark-missing"  # nothing was written

# the files are gone: new workers have nothing to map
for name in ("cart-2", "order-2"):
    for path in tables(name):
        os.rename(path, WORK + "/" + os.path.basename(path))
gw("reload")
nothing_is_known()
for path in glob.glob(WORK + "/????????????????.*"):
    os.rename(path, RUN + "/marks/" + os.path.basename(path))
gw("reload")
assert why(user("alice")) == "mark"

with open(WORK + "/decisions.log", encoding="utf-8") as file:
    until(lambda: '"event":"refuse"' in file.read())
