# SPDX-License-Identifier: Apache-2.0
"""trust.py - who may colour, and how it is read.

Called by only_trusted_peers_and_signed_contexts_colour.vtc.
"""
from gateway import ask, event, keys, sign_context


def hop(headers, sock, body):
    answer = ask("/", headers, sock)
    assert answer.status == 200, answer.status
    assert body in answer.body, (headers, sock, answer.body)


RED = {"x-gray-lane": "red"}
NOTHING = "served=v1 uri=/ host=gray lane= baggage= "

# trusted: socket, network; by header, by baggage, by another house's name
hop(RED, "inner.sock", "served=v3 uri=/ host=gray lane=red baggage=gray.lane=red ")
hop({"baggage": "gray.lane=red,k=v"}, "inner.sock",
    "served=v3 uri=/ host=gray lane=red baggage=gray.lane=red,k=v ")
hop({"baggage": "k=v,gray.arms=cart-2"}, "inner.sock",
    "served=v2 uri=/ host=gray lane= baggage=k=v,gray.arms=cart-2 ")
hop({"x-mse-tag": "red"}, "inner.sock", "served=v3 uri=/ host=gray lane=red ")
hop({**RED, "X-Real-IP": "10.2.3.4"}, "inner.sock", "served=v3 ")
hop({**RED, "X-Real-IP": "fd00::7"}, "inner.sock", "served=v3 ")

# what this policy does not know is passed on as it came
hop({"x-gray-lane": "blue"}, "inner.sock", "served=v1 uri=/ host=gray lane=blue ")
hop({"baggage": "gray.arms=pay-7,k=v"}, "inner.sock",
    "served=v1 uri=/ host=gray lane= baggage=gray.arms=pay-7,k=v ")

# two values of one word, in two places: neither is obeyed
TWICE = event("duplicate-control")
for sock in ("inner.sock", "edge2.sock"):
    peer = {"X-Real-IP": "10.1.2.3"}
    assert ask("/", {**RED, **peer, "baggage": "gray.lane=blue"},
               sock).status == 400
    hop({**RED, **peer, "baggage": "k=v,gray.lane=red"}, sock,
        "served=v3 uri=/ host=gray lane=red baggage=k=v,gray.lane=red ")
assert event("duplicate-control") == TWICE + 2
hop({**RED, "baggage": "gray.arms=cart-2"}, "inner.sock",
    "served=v3 uri=/ host=gray lane=red "
    "baggage=gray.lane=red,gray.arms=cart-2 ")
hop({**RED, "baggage": "gray.lane=blue"}, "alone.sock", NOTHING)

# a client behind a proxy that is trusted for addresses only
hop({**RED, "X-Real-IP": "203.0.113.7"}, "inner.sock", NOTHING)
hop({"baggage": "gray.arms=cart-2", "X-Real-IP": "203.0.113.7"}, "inner.sock",
    NOTHING)

# nobody is trusted: neither an inner hop without gray_trust nor an edge
for sock in ("alone.sock", "http.sock"):
    hop(RED, sock, NOTHING)
    hop({"baggage": "gray.arms=cart-2,gray.lane=red"}, sock, NOTHING)
    hop({"x_gray_lane": "red", "x-mse-tag": "red"}, sock, NOTHING)
hop({**RED, "X-Real-IP": "10.1.2.3"}, "edge2.sock", "served=v3 ")
hop({**RED, "X-Real-IP": "10.2.2.3"}, "edge2.sock", NOTHING)

# a colour signed by this house, at the edge
good = sign_context("red", "cart-2")
hop({"x-gray-ctx": good}, "http.sock",
    "served=v3 uri=/ host=gray lane=red "
    "baggage=gray.lane=red,gray.arms=cart-2 ")
hop({"x-gray-ctx": sign_context("", "cart-2")}, "http.sock",
    "served=v2 uri=/ host=gray lane= baggage=gray.arms=cart-2 ")
hop({"x-gray-ctx": good, "x-gray-lane": "blue"}, "http.sock",
    "served=v3 uri=/ host=gray lane=red ")
# a load test's class takes the new version at a share of nothing
hop({"x-gray-ctx": sign_context("", "", 2), "Cookie": "uid=1"}, "http.sock",
    "served=v2 uri=/ host=gray lane= "
    "baggage=gray.arms=cart-2,gray.class=load ")

before = event("bad-context")
bad = [sign_context("red", lives=-1), good[:-1] + "_",
       sign_context("red", key=(keys()[0][0], b"y" * 32)), "", "v1.", "red"]
for one in bad:
    hop({"x-gray-ctx": one}, "http.sock", NOTHING)
    hop({"x-gray-ctx": one, **RED}, "http.sock", NOTHING)
assert event("bad-context") == before + 2 * len(bad)

# only the edge reads it; it goes no further
hop({"x-gray-ctx": good}, "inner.sock", NOTHING)
for sock in ("inner.sock", "http.sock"):
    assert ask("/", {"x-gray-ctx": good}, sock).body.endswith("ctx=\n")
