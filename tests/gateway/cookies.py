# SPDX-License-Identifier: Apache-2.0
"""cookies.py - the life of the sticky cookie, told by a client.

Set when a unit is admitted; not set again when the request carries one that
says the same; never forwarded; honoured where the share alone would say no;
worth nothing when forged, foreign, expired, of a forgotten key, or for another
unit.  Called by the_cookie_keeps_who_was_admitted.vtc.
"""
import time

from gateway import (ask, event, gray, gw, keys, read_cookie, scope_of,
                     sign_cookie, unit_hash, until, RUN)


def served(cookie):
    return ask("/", {"Cookie": cookie})


# a new admission sets it
first = served("uid=alice")
assert first.served == "v2", first.body
name, value, rest = first.cookie
assert name == "gray", name
assert sorted(rest) == ["HttpOnly", "Max-Age=2592000", "Path=/",
                        "SameSite=Lax"], rest
assert first.get("Cache-Control") == "private"
inside = read_cookie(value)
assert [m[:2] for m in inside["marks"]] == [(scope_of("cart-2"),
                                             unit_hash("alice"))], inside
assert inside["marks"][0][4] == 1
assert abs(inside["issued"] - time.time()) < 30
assert inside["expires"] - inside["issued"] == 2592000

# the same again sets none, and the service never sees it
again = served("uid=alice; gray=%s; theme=dark" % value)
assert again.served == "v2" and again.cookie is None, again.headers
assert "cookie=uid=alice; theme=dark " in again.body, again.body
assert again.get("Cache-Control") is None
alone = ask("/", {"Cookie": "gray=" + value})
assert alone.served == "v1" and "cookie= " in alone.body, alone.body
# nor is it verified: the mark has answered before
looked = event("cookie-verified") + event("cookie-remembered")
served("uid=alice; gray=" + value)
assert event("cookie-verified") + event("cookie-remembered") == looked

# what a shared cache was told is taken back
public = ask("/public", {"Cookie": "uid=carol"})
assert public.cookie is not None
assert public.get("Cache-Control") == "private", public.headers

# another person's cookie says nothing about me, and I get my own
other = served("uid=bob; gray=" + value)
assert other.served == "v2"
assert read_cookie(other.cookie[1])["marks"][-1][1] == unit_hash("bob")

# honoured where the share says no: a policy in which nobody new comes in
gray("freeze", "cart-2", "--runtime", RUN)
until(lambda: served("uid=dave").served == "v1")
kept = served("uid=alice; gray=" + value)
assert kept.served == "v2" and kept.explain["reason"] == "mark", kept.headers
assert kept.cookie is None

# and where no mark is: of a unit that another host let in
good = [("cart-2", "dave", "in")]
elsewhere = sign_cookie(good)
kept = served("uid=dave; gray=" + elsewhere)
assert kept.served == "v2" and kept.explain["reason"] == "cookie", kept.headers
assert kept.cookie is None
remembered = event("cookie-remembered")
served("uid=dave; gray=" + elsewhere)
until(lambda: event("cookie-remembered") == remembered + 1)
bad = {
    "forged": sign_cookie(good)[:-1] + "_",
    "cut": sign_cookie(good)[:-5],
    "foreign": sign_cookie(good, key=(keys()[0][0], b"x" * 32)),
    "unknown key": sign_cookie(good, key=(12345, keys()[0][1])),
    "expired": sign_cookie(good, lives=-10),
    "of another name": sign_cookie(good, name="__Host-gray"),
    "of another unit": sign_cookie([("cart-2", "erin", "in")]),
    "of another release": sign_cookie([("cart-3", "dave", "in")]),
    "revoked": sign_cookie([("cart-2", "dave", "revoked")]),
    "empty": "",
    "no cookie at all": "v1.",
    "too long": "v1.1." + "A" * 2000 + ".x",
}
for what, one in bad.items():
    answer = served("uid=dave; gray=" + one)
    assert answer.status == 200 and answer.served == "v1", what
    assert "cookie=uid=dave " in answer.body, (what, answer.body)
assert event("bad-cookie") > 0
# the name of a TLS listener proves nothing on plain http, and goes all the same
answer = served("uid=dave; __Host-gray="
                + sign_cookie(good, name="__Host-gray"))
assert answer.served == "v1" and "cookie=uid=dave " in answer.body

# keys: the one before stays valid, the one before that does not
old = sign_cookie(good)
gray("keys", "rotate", "--runtime", RUN)
new = sign_cookie(good)
assert old.split(".")[1] != new.split(".")[1]
until(lambda: served("uid=dave; gray=" + new).served == "v2")
assert served("uid=dave; gray=" + old).served == "v2"
gray("keys", "rotate", "--runtime", RUN)
until(lambda: served("uid=dave; gray=" + old).served == "v1")
assert served("uid=dave; gray=" + new).served == "v2"

# thawed: who comes in gets a cookie of the newest key
gray("thaw", "cart-2", "--runtime", RUN)
until(lambda: served("uid=grace").served == "v2")
fresh = served("uid=frank")
assert int(fresh.cookie[1].split(".")[1]) == keys()[0][0]

# killed: nothing stands above it
gray("kill", "cart-2", "--runtime", RUN)
until(lambda: served("uid=frank; gray=" + fresh.cookie[1]).served == "v1")
