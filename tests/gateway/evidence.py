# SPDX-License-Identifier: Apache-2.0
"""evidence.py - the same cookies, asked of the gateway and of the command.

Why: the line of `gray explain` is read when somebody wonders why the gateway
did what it did; it must be the same line.  Called by
gray_explain_believes_the_cookies_that_the_gateway_believes.vtc.
"""
import json
import subprocess

from gateway import BUILD, RUN, ask, gray, keys, sign_cookie


def command(cookie, *options):
    """What `gray explain` says of the request that ask() makes."""
    request = {"method": "GET", "host": "shop.example", "path": "/",
               "headers": {"cookie": cookie, "accept-encoding": "identity"}}
    return subprocess.run(
        [BUILD + "/bin/gray", "explain", "--requests", "-", "-o", "json",
         *(options or ("--runtime", RUN))], input=json.dumps(request) + "\n",
        capture_output=True, text=True, check=True)


# whom the share leaves out, so that all hangs on the cookie
rows = json.loads(gray("sample", "cart-2", "--runtime", RUN, "-n", "20", "-o",
                       "json").stdout)
units = [row["id"] for row in rows["out"]]
stranger = (keys()[0][0], b"x" * 32)


def good(unit, release="cart-2"):
    return [(release, unit, "in")]


def case(cookie, value=sign_cookie, **more):
    """A unit of its own for each, so that no mark of another case answers."""
    unit = units.pop()
    return "uid=%s; %s=%s" % (unit, cookie, value(good(unit), **more))


cases = {
    "none": ("uid=" + units.pop(), "out-of-share"),
    "own": (case("gray"), "cookie"),
    "of another": ("uid=%s; gray=%s" % (
        units.pop(), sign_cookie(good(units.pop()))), "out-of-share"),
    "forged": (case("gray", key=stranger), "out-of-share"),
    "expired": (case("gray", lives=-10), "out-of-share"),
    "of another name": (case("gray", name="__Host-gray"), "out-of-share"),
    "of another release": (case("gray", lambda marks: sign_cookie(
        [("cart-3", *mark[1:]) for mark in marks])), "out-of-share"),
    "the first of two": ("gray=v1.x; " + case("gray"), "out-of-share"),
    "an issued id": ("gray=" + sign_cookie([], anonymous=7), None),
}
for what, (cookie, reason) in cases.items():
    # the command first: it only looks, the gateway keeps what a cookie proves
    ours = command(cookie).stdout.rstrip("\n")
    theirs = ask("/", {"Cookie": cookie}).get("X-Gray-Explain")
    assert ours == theirs, (what, ours, theirs)
    if reason:
        assert json.loads(ours)["reason"] == reason, (what, ours)
issued = json.loads(command(cases["an issued id"][0]).stdout)
assert issued["releases"][0]["unit"] == "a%016x" % 7, issued

# a TLS listener's cookie proves the same, under its own name
tls = command(case("__Host-gray", name="__Host-gray"))
assert json.loads(tls.stdout)["reason"] == "cookie", tls.stdout

# documents have no keys: it is said that nothing was looked at
blind = command(case("gray"), "-f", RUN + "/../docs.yaml")
assert json.loads(blind.stdout)["reason"] == "out-of-share", blind.stdout
assert "no keys to verify" in blind.stderr, blind.stderr
