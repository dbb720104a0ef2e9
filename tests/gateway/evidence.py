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
rows = json.loads(gray("sample", "cart-2", "--runtime", RUN, "-n", "2", "-o",
                       "json").stdout)
uid, other = (row["id"] for row in rows["out"])
good = [("cart-2", uid, "in")]
stranger = (keys()[0][0], b"x" * 32)
cases = {
    "none": ("uid=" + uid, "out-of-share"),
    "own": ("uid=%s; gray=%s" % (uid, sign_cookie(good)), "cookie"),
    "of another": ("uid=%s; gray=%s" % (other, sign_cookie(good)),
                   "out-of-share"),
    "forged": ("uid=%s; gray=%s" % (uid, sign_cookie(good, key=stranger)),
               "out-of-share"),
    "expired": ("uid=%s; gray=%s" % (uid, sign_cookie(good, lives=-10)),
                "out-of-share"),
    "of another name": ("uid=%s; gray=%s" % (
        uid, sign_cookie(good, name="__Host-gray")), "out-of-share"),
    "of another release": ("uid=%s; gray=%s" % (
        uid, sign_cookie([("cart-3", uid, "in")])), "out-of-share"),
    "the first of two": ("gray=v1.x; uid=%s; gray=%s" % (
        uid, sign_cookie(good)), "out-of-share"),
    "an issued id": ("gray=" + sign_cookie([], anonymous=7), None),
}
for what, (cookie, reason) in cases.items():
    theirs = ask("/", {"Cookie": cookie}).get("X-Gray-Explain")
    ours = command(cookie).stdout.rstrip("\n")
    assert ours == theirs, (what, ours, theirs)
    if reason:
        assert json.loads(ours)["reason"] == reason, (what, ours)
issued = json.loads(command(cases["an issued id"][0]).stdout)
assert issued["releases"][0]["unit"] == "a%016x" % 7, issued

# a TLS listener's cookie proves the same, under its own name
tls = command("uid=%s; __Host-gray=%s" % (
    uid, sign_cookie(good, name="__Host-gray")))
assert json.loads(tls.stdout)["reason"] == "cookie", tls.stdout

# documents have no keys: it is said that nothing was looked at
blind = command(cases["own"][0], "-f", RUN + "/../docs.yaml")
assert json.loads(blind.stdout)["reason"] == "out-of-share", blind.stdout
assert "no keys to verify" in blind.stderr, blind.stderr
