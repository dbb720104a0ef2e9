# SPDX-License-Identifier: Apache-2.0
"""gateway.py - what stories in Python ask of the gateway, and its signatures.

Why: cookies and contexts are checked here by a second implementation, made
from the words of RELIABILITY (HMAC-SHA-256 cut to 128 bits over
name|v1|kid|payload) and not from the code under test; only so can a story sign
what nobody should sign: expired, foreign, of another key.
Read next: gw, runtime/token.c.
"""
import base64
import hashlib
import hmac
import http.client
import json
import os
import socket
import struct
import subprocess
import time

WORK = os.environ["GW_WORK"]
BUILD = os.environ["GW_BUILD"]
RUN = WORK + "/run"
STATES = {"in": 1, "out": 2, "revoked": 3}


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.getheaders()
        self.body = response.read().decode("latin-1")

    def get(self, name):
        values = [v for k, v in self.headers if k.lower() == name.lower()]
        assert len(values) < 2, (name, values)
        return values[0] if values else None

    @property
    def served(self):
        return self.get("X-Served-By")

    @property
    def cookie(self):
        """Name, value and attributes of the cookie that was set, or None."""
        text = self.get("Set-Cookie")
        if text is None:
            return None
        first, *rest = text.split("; ")
        name, value = first.split("=", 1)
        return name, value, rest

    @property
    def explain(self):
        return json.loads(self.get("X-Gray-Explain"))


def ask(path="/", headers=(), sock="http.sock", method="GET"):
    """One request on a connection of its own; headers: pairs, repeats kept."""
    conn = http.client.HTTPConnection("shop.example", timeout=10)
    conn.sock = socket.socket(socket.AF_UNIX)
    conn.sock.settimeout(10)
    conn.sock.connect(WORK + "/" + sock)
    conn.putrequest(method, path)
    for name, value in dict(headers).items() if isinstance(headers, dict) \
            else headers:
        conn.putheader(name, value)
    conn.endheaders()
    answer = Answer(conn.getresponse())
    conn.close()
    return answer


def gray(*args, check=True):
    return subprocess.run([BUILD + "/bin/gray", *args], check=check,
                          capture_output=True, text=True)


def gw(*args, text=None):
    here = os.path.dirname(os.path.abspath(__file__))
    return subprocess.run([here + "/gw", *args], check=True, input=text,
                          capture_output=True, text=True).stdout


def until(what, seconds=10):
    """Waits for what() to hold; bounded."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.01)  # bounded wait


def status():
    return json.loads(ask("/status").body)


def event(name):
    """How often the workers counted it."""
    return status()["events"].get(name, 0)


# ---- signatures ------------------------------------------------------------


def siphash(data, key):
    def rotl(x, b):
        return ((x << b) | (x >> (64 - b))) & 0xFFFFFFFFFFFFFFFF

    mask = 0xFFFFFFFFFFFFFFFF
    v = [key[0] ^ 0x736F6D6570736575, key[1] ^ 0x646F72616E646F6D,
         key[0] ^ 0x6C7967656E657261, key[1] ^ 0x7465646279746573]

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & mask
            v[1] = rotl(v[1], 13) ^ v[0]
            v[0] = rotl(v[0], 32)
            v[2] = (v[2] + v[3]) & mask
            v[3] = rotl(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & mask
            v[3] = rotl(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & mask
            v[1] = rotl(v[1], 17) ^ v[2]
            v[2] = rotl(v[2], 32)

    whole = len(data) // 8 * 8
    for at in range(0, whole, 8):
        word = struct.unpack("<Q", data[at:at + 8])[0]
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    word = (len(data) & 255) << 56
    for i, byte in enumerate(data[whole:]):
        word |= byte << (8 * i)
    v[3] ^= word
    rounds(2)
    v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def scope_of(release):
    return siphash(release.encode(), (0x677261796C616E65,
                                      0x73636F7065730001)) or 1


def unit_hash(unit):
    return siphash(unit.encode(), (0x67726179206C616E, 0x6520756E69742031))


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def keys(folder=RUN):
    """(id, secret), the newest first."""
    with open(folder + "/keys", "rb") as file:
        data = file.read()
    count = struct.unpack("<I", data[64:68])[0]
    found = []
    for i in range(count):
        at = 72 + 40 * i
        found.append((struct.unpack("<I", data[at:at + 4])[0],
                      data[at + 8:at + 40]))
    return found


def mac_of(name, kid, payload, secret):
    text = "%s|v1|%d|%s" % (name, kid, payload)
    return b64(hmac.new(secret, text.encode(), hashlib.sha256).digest()[:16])


def seal(name, payload, key=None):
    kid, secret = key or keys()[0]
    text = b64(payload)
    return "v1.%d.%s.%s" % (kid, text, mac_of(name, kid, text, secret))


def sign_cookie(marks, name="gray", lives=3600, key=None, anonymous=0,
                attempt=1):
    """marks: (release, unit, state) each."""
    now = int(time.time())
    payload = struct.pack("<B", len(marks) | (0x80 if anonymous else 0))
    payload += struct.pack("<Q", now - 7200)[:5]
    payload += struct.pack("<Q", now + lives)[:5]
    if anonymous:
        payload += struct.pack("<Q", anonymous)
    for release, unit, state in marks:
        payload += struct.pack("<QQIHBB", scope_of(release), unit_hash(unit),
                               1, attempt, STATES[state], 0)
    return seal(name, payload, key)


def read_cookie(value, name="gray"):
    """Verifies; what stands in it."""
    version, kid, text, mac = value.split(".")
    secret = dict(keys())[int(kid)]
    assert version == "v1" and mac == mac_of(name, int(kid), text, secret)
    data = unb64(text)
    head = data[0]
    cookie = {"issued": int.from_bytes(data[1:6], "little"),
              "expires": int.from_bytes(data[6:11], "little"),
              "anonymous": 0, "marks": []}
    at = 11
    if head & 0x80:
        cookie["anonymous"] = struct.unpack("<Q", data[at:at + 8])[0]
        at += 8
    for _ in range(head & 0x7F):
        cookie["marks"].append(struct.unpack("<QQIHBB", data[at:at + 24]))
        at += 24
    assert at == len(data)
    return cookie


def sign_context(lane="", arms="", traffic_class=0, lives=3600, key=None):
    payload = struct.pack("<B", traffic_class)
    payload += struct.pack("<Q", int(time.time()) + lives)[:5]
    payload += struct.pack("<BH", len(lane), len(arms))
    return seal("x-gray-ctx", payload + lane.encode() + arms.encode(), key)
