# SPDX-License-Identifier: Apache-2.0
"""hashing.py - MurmurHash3 x86 32 and buckets (hash version 1).

Why: computed here from the published algorithm (Austin Appleby, public
domain), so that a bit changed in the engine cannot change the check too.
Read next: ../../docs/vectors/README.md.
"""
SHARE_ALL = 1000000
MASK = 0xffffffff


def rotate(x, n):
    return (x << n | x >> (32 - n)) & MASK


def scramble(k):
    return rotate(k * 0xcc9e2d51 & MASK, 15) * 0x1b873593 & MASK


def murmur3(data, seed=0):
    h, whole = seed, len(data) & ~3
    for i in range(0, whole, 4):
        h ^= scramble(int.from_bytes(data[i:i + 4], "little"))
        h = (rotate(h, 13) * 5 + 0xe6546b64) & MASK
    if len(data) > whole:
        h ^= scramble(int.from_bytes(data[whole:], "little"))
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85ebca6b & MASK
    h = (h ^ h >> 13) * 0xc2b2ae35 & MASK
    return h ^ h >> 16


def bucket(salt, unit):
    return murmur3(salt + b":" + unit) * SHARE_ALL >> 32


# ---- a draw for one request without a unit ---------------------------------

MASK64 = (1 << 64) - 1
SCOPE_KEY = (0x677261796c616e65, 0x73636f7065730001)


def rotate64(x, n):
    return (x << n | x >> (64 - n)) & MASK64


def sip_round(a, b, c, d):
    a = (a + b) & MASK64
    c = (c + d) & MASK64
    b, d = rotate64(b, 13) ^ a, rotate64(d, 16) ^ c
    a = (rotate64(a, 32) + d) & MASK64
    c = (c + b) & MASK64
    return a, rotate64(b, 17) ^ c, rotate64(c, 32), rotate64(d, 21) ^ a


def siphash(data, key):
    """SipHash-2-4 (Aumasson, Bernstein)."""
    v = (key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
         key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573)
    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 255])
    for i in range(0, len(padded), 8):
        m = int.from_bytes(padded[i:i + 8], "little")
        v = sip_round(*sip_round(v[0], v[1], v[2], v[3] ^ m))
        v = (v[0] ^ m, *v[1:])
    v = (v[0], v[1], v[2] ^ 0xff, v[3])
    for _ in range(4):
        v = sip_round(*v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def mix64(x):
    """The finaliser of SplitMix64 (Steele, Lea, Flood)."""
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9 & MASK64
    x = (x ^ x >> 27) * 0x94d049bb133111eb & MASK64
    return x ^ x >> 31


def draw(random, release, which):
    """`which`: 0 the enrolment, 1 the variant."""
    scope = siphash(release, SCOPE_KEY) or 1
    return (mix64(random ^ (scope + which & MASK64)) >> 32) * SHARE_ALL >> 32
