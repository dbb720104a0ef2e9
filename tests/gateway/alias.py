# SPDX-License-Identifier: Apache-2.0
"""alias.py - who logs in keeps the answer that was given before.

Called by who_logs_in_keeps_the_earlier_answer.vtc.
"""
import json

from gateway import RUN, ask, gray, status

rows = json.loads(gray("sample", "cart-2", "--runtime", RUN, "-n", "20", "-o",
                       "json").stdout)
inside, outside = ([row["id"] for row in rows[side]] for side in ("in", "out"))


def told(uid=None, device=None):
    cookies = [n + "=" + v for n, v in (("uid", uid), ("device", device)) if v]
    answer = ask("/", {"Cookie": "; ".join(cookies)})
    return answer.served, answer.explain["reason"]


# a device that is in; its user alone would be out, and is in from now on
assert told(device=inside[0]) == ("v2", "share")
assert told(outside[0]) == ("v1", "out-of-share")
assert told(outside[0], inside[0]) == ("v2", "alias")
assert told(outside[0]) == ("v2", "mark")
assert told(outside[0], inside[0]) == ("v2", "mark")
# a device that nobody let in says nothing, and is not asked where the user's
# own mark stands
assert told(outside[1], outside[2]) == ("v1", "out-of-share")
assert told(inside[1], outside[2]) == ("v2", "share")
assert told(inside[1], inside[0]) == ("v2", "mark")
# one admission of the device, one of the other user: a join is none
assert sum(one["admitted"] for one in status()["series"]) == 2
