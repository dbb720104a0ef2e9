# SPDX-License-Identifier: Apache-2.0
"""anonymous.py - clients without a unit.

Called by an_anonymous_client_is_given_an_id.vtc.
"""
from gateway import ask, read_cookie, sign_cookie, unit_hash

counts = {"v1": 0, "v2": 0}
for _ in range(200):
    first = ask("/")
    counts[first.served] += 1
    name, value, _ = first.cookie      # in either arm
    cookie = read_cookie(value)
    issued = "a%016x" % cookie["anonymous"]
    assert cookie["anonymous"] != 0
    assert first.explain["releases"][0]["unit"] == issued
    if first.served == "v2":
        assert cookie["marks"][0][1] == unit_hash(issued)
    # the answer stays, no second cookie, nothing is forwarded
    again = ask("/", {"Cookie": "gray=" + value})
    assert again.served == first.served and again.cookie is None
    assert "cookie= " in again.body, again.body
# half and half: six sigma of 200 draws is 43
assert abs(counts["v2"] - 100) < 43, counts

# an id that is not signed is none
forged = sign_cookie([], anonymous=7, key=(1, b"z" * 32))
answer = ask("/", {"Cookie": "gray=" + forged})
assert read_cookie(answer.cookie[1])["anonymous"] != 7
signed = sign_cookie([], anonymous=7)
assert ask("/", {"Cookie": "gray=" + signed}) \
    .explain["releases"][0]["unit"] == "a%016x" % 7

# who says who they are needs no id
known = ask("/", {"Cookie": "uid=alice"})
if known.cookie:
    assert read_cookie(known.cookie[1])["anonymous"] == 0

# where no cookie may be set, nobody without a unit comes in
for _ in range(40):
    answer = ask("/", sock="none.sock")
    assert answer.served == "v1" and answer.cookie is None
