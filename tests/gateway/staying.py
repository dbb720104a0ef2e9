# SPDX-License-Identifier: Apache-2.0
"""staying.py - who was let in stays in, with nothing but the unit to show.

No cookie is set or kept here, so all hangs on the marks.  Called by
who_was_admitted_stays_in_without_a_cookie.vtc.
"""
import json

from gateway import RUN, WORK, ask, gray, status, until

ROWS = json.loads(gray("sample", "cart-2", "--runtime", RUN, "-n", "40", "-o",
                       "json").stdout)["in"]
UNITS = [row["id"] for row in ROWS]


def told(unit):
    answer = ask("/", {"Cookie": "uid=" + unit})
    assert answer.cookie is None, answer.headers
    return answer.served, answer.explain["reason"]


def everyone(units, wanted):
    found = {unit: told(unit) for unit in units}
    assert set(found.values()) == {wanted}, found


# the first answer says why, every later one that it was so before; both
# instances of nginx read one table
half = UNITS[:20]
everyone(half, ("v2", "share"))
everyone(half, ("v2", "mark"))
assert {ask("/", {"Cookie": "uid=" + u}, sock="two.sock").explain["reason"]
        for u in half} == {"mark"}
assert sum(one["admitted"] for one in status()["series"]) == len(half)

# frozen: nobody new, nobody out
gray("freeze", "cart-2", "--runtime", RUN)
until(lambda: told(UNITS[20]) == ("v1", "no-admit"))
everyone(half, ("v2", "mark"))
everyone(UNITS[20:], ("v1", "no-admit"))
gray("thaw", "cart-2", "--runtime", RUN)
until(lambda: told(UNITS[20]) == ("v2", "share"))

# the release is taken away and comes back for nobody: who is in stays in
with open(WORK + "/docs.yaml", encoding="utf-8") as file:
    service, _, release = file.read().partition("\n---\n")


def publish(docs, *options):
    with open(WORK + "/docs.yaml", "w", encoding="utf-8") as file:
        file.write(docs)
    gray("publish", "-f", WORK + "/docs.yaml", "--runtime", RUN, "--wait",
         "10", *options)


publish(service + "\n", "--prune")
everyone(half, ("v1", "none"))
publish(service + "\n---\n" + release.replace("share: 50", "share: 0"))
everyone(UNITS[21:], ("v1", "out-of-share"))
everyone(half, ("v2", "mark"))

# stopped: nothing stands above the word
gray("kill", "cart-2", "--runtime", RUN)
until(lambda: told(half[0]) == ("v1", "killed"))
everyone(half, ("v1", "killed"))
