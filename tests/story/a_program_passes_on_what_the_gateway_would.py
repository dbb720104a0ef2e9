#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""a_program_passes_on_what_the_gateway_would.py - the colour on the wire, twice.

A lane goes through programs as through gateways only if both read the same
from what comes in and write the same into what goes out.  2,000 requests whose
headers are thrown together (lanes, members of baggage well and badly formed,
other houses' tags, classes, twice, in every spelling) go through real nginx at
an entrance that trusts them, to a service that answers with what reached it;
and through gray_client_incoming(), gray_client_ask() and
gray_client_outgoing().  Where nginx answers 400 the library says -EBADMSG;
else `x-gray-lane` and `baggage` are the same to the byte, and the next hop
understands them.
"""
import ctypes
import errno
import os
import random
import socket
import socketserver
import threading

from gateway_library_and_cli_agree import ClientRequest, Library, Pair
from harness import Story, check

REQUESTS = int(os.environ.get("STORY_REQUESTS", "2000"))
LANES = ["red", "red", "blue", "nobodys", "x" * 63, "x" * 64, "a b", "Red"]
MEMBERS = ["gray.lane=red", "gray.lane=blue", "gray.lane=gr%C3%BCn",
           "gray.arms=cart-2", "gray.arms=other-1:b", "gray.arms=a%2Cb%2Ccart-2",
           "gray.class=shadow", "gray.class=load", "gray.class=odd",
           "gray.other=1", "gray.lane", "k=v", "k2=v2;p=1", " sp = 1 "]
NAMES = {"lane": ["X-Gray-Lane", "x-gray-lane", "X-GRAY-LANE"],
         "baggage": ["Baggage", "baggage"],
         "alias": ["X-Mse-Tag", "dubbo-tag", "Service-Lane", "n-d-version",
                   "x-higress-tag"]}


class Answer(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("revision", ctypes.c_uint64),
                ("lane", ctypes.c_char * 64), ("arms", ctypes.c_char * 2048),
                ("release", ctypes.c_char * 64), ("reason", ctypes.c_char_p),
                ("sentence", ctypes.c_char_p), ("bucket", ctypes.c_int32),
                ("hold", ctypes.c_int32)]


class Colour(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("lane", ctypes.c_char * 64),
                ("arms", ctypes.c_char * 2048),
                ("traffic_class", ctypes.c_char * 16)]


class Headers(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("count", ctypes.c_size_t),
                ("headers", Pair * 12), ("text", ctypes.c_char * 9216)]


class Echo(socketserver.BaseRequestHandler):
    """A service that answers with what reached it."""

    def handle(self):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = self.request.recv(65536)
                if not more:
                    return
                data += more
            head, data = data.split(b"\r\n\r\n", 1)
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: "
                                 b"%d\r\n\r\n%s" % (len(head), head))


def serve():
    """Its port; it ends with this process."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def sized(kind):
    record = kind()
    record.size = ctypes.sizeof(kind)
    return record


def draw(dice):
    """Headers of one request, as they go over the wire."""
    lines = [("cookie", f"uid={dice.randrange(1000)}")]
    if dice.random() < 0.4:
        lines.append((dice.choice(NAMES["lane"]), dice.choice(LANES)))
    if dice.random() < 0.06:
        lines.append((dice.choice(NAMES["lane"]), dice.choice(LANES)))
    if dice.random() < 0.6:
        lines.append((dice.choice(NAMES["baggage"]), ",".join(
            dice.sample(MEMBERS, dice.randrange(1, 5))).strip()))
    for _ in range(dice.choice((0, 0, 0, 1, 1, 2))):
        lines.append((dice.choice(NAMES["alias"]), dice.choice(LANES)))
    dice.shuffle(lines)
    return lines


def by_nginx(port, lines):
    """None: 400; else {name: value} of what the service was sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        return ask_nginx(peer, lines)


def ask_nginx(peer, lines):
    peer.sendall(("GET /cart HTTP/1.1\r\nHost: shop\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in lines) + "\r\n").encode())
    data = b""
    while b"\r\n\r\n" not in data:
        more = peer.recv(65536)
        check(more, f"closed at {lines}")
        data += more
    head, body = data.split(b"\r\n\r\n", 1)
    length = int(next(line.split(b":")[1] for line in head.split(b"\r\n")
                      if line.lower().startswith(b"content-length:")))
    while len(body) < length:
        body += peer.recv(65536)
    status = int(head.split()[1])
    if status == 400:
        return None
    check(status == 200, f"{lines}: {head}")
    sent = {}
    for line in body.split(b"\r\n")[1:]:
        name, _, value = line.partition(b": ")
        if name.lower() in (b"x-gray-lane", b"baggage"):
            check(name.lower() not in sent, f"{name} twice: {body}")
            sent[name.lower()] = value
    return sent


def by_library(library, lines):
    pairs, count = Library.pairs(lines)
    colour, answer, out = sized(Colour), sized(Answer), sized(Headers)
    error = library.c.gray_client_incoming(pairs, count, ctypes.byref(colour))
    if error == -errno.EBADMSG:
        return None
    check(error == 0, f"{lines}: gray_client_incoming: {error}")
    request = ClientRequest(size=ctypes.sizeof(ClientRequest), method=b"GET",
                            host=b"shop", target=b"/cart", headers=pairs,
                            header_count=count, lane=colour.lane,
                            arms=colour.arms,
                            traffic_class=colour.traffic_class)
    error = library.c.gray_client_ask(
        library.client, ctypes.byref(request), ctypes.byref(answer))
    check(error == 0, f"{lines}: gray_client_ask: {error}")
    baggage = next((value.encode() for name, value in lines
                    if name.lower() == "baggage"), None)
    error = library.c.gray_client_outgoing(
        baggage, answer.lane, answer.arms, colour.traffic_class, None,
        ctypes.byref(out))
    check(error == 0, f"{lines}: gray_client_outgoing: {error}")
    return {pair.name: pair.value for pair in out.headers[:out.count]}


def texts(pair):
    return pair[0].decode(), pair[1].decode()


def main():
    dice = random.Random(5)
    with Story("a_program_passes_on_what_the_gateway_would") as story:
        where = [{"endpoints": [f"127.0.0.1:{serve()}"]} for _ in range(2)]
        story.publish([
            {"kind": "Service", "name": "cart", "baseline": {"version": "v1"},
             "versions": dict(zip(("v1", "v2"), where))},
            {"kind": "Lane", "name": "red", "services": ["cart"], "rules": [
                {"name": "some", "when": {"cookie": {
                    "name": "uid", "prefix": "9"}}}]},
            story.release("cart-2", 50, {"cart": "v2"}, stickiness="none")],
            wait=False)
        story.nginx(story.gray_conf(service="cart",
                                    inside="gray_trust 127.0.0.1;\n"
                                           "        gray_cookie off;",
                                    workers=1))
        library = Library(story)
        seen = {"400": 0, "lane": 0, "baggage": 0, "neither": 0}
        for _ in range(REQUESTS):
            lines = draw(dice)
            one = by_nginx(story.port("entrance"), lines)
            two = by_library(library, lines)
            check(one == two, f"{lines}:\nnginx   {one}\nlibgray {two}")
            if one is not None:
                check(by_library(library, list(map(texts, one.items())))
                      is not None, f"{lines}: the next hop refuses {one}")
            if one is None:
                seen["400"] += 1
            else:
                seen["lane"] += b"x-gray-lane" in one
                seen["baggage"] += b"baggage" in one
                seen["neither"] += not one
        library.close()
        print(f"{REQUESTS} requests alike: {seen}")
        check(min(seen.values()) > REQUESTS // 50, f"too few of a kind: {seen}")


if __name__ == "__main__":
    main()
