#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gateway, libgray and `gray explain` say the same, to the byte.

10,000 invented requests of 100 invented policies; a million of 1,000 are
compared without nginx (agree_programs.c).  First `gray explain -f` must
repeat what the engine itself wrote beside them (agree.c).  Then each policy
is published and the same requests go through real nginx, whose
X-Gray-Explain header is compared with libgray (by its C interface) and with
`gray explain --runtime`.  Attributes, labels, caller, address and a trusted
colour come in as an operator would let them in.  What nginx said is counted:
each condition and each source at least 1,000 times.  Left out is what HTTP
through nginx cannot say: the moment, the random number (and the variant that
hangs on it where there is no unit), the target "*", blank attributes, a
method in small letters.

nginx makes marks, the others look at them: so three of four policies keep
none, and what rules say is compared; in the fourth nginx is asked once before
(then every unit that was admitted has its mark), and what marks say is
compared.
"""
import ctypes
import json
import os
import re
import socket
import subprocess

from harness import Failure, Story, check

POLICIES = int(os.environ.get("STORY_POLICIES", "100"))
EACH = 150
HITS = 1000 if POLICIES >= 100 else 1
ATTRS = ("region", "level")
LABELS = ("zone", "lane")
OF_MARKS = ("durability", "strictTimeout", "strictKey", "sharedMarks",
            "admissionLease", "onUnknown", "stages", "dimensions")
ENTRANCES = {"": "gray_entrance on;", "shop-web": "gray_entrance shop-web;",
             "-": ""}
SERVER = """
    server {{
        listen 127.0.0.1:{port};
        {entrance}
        gray_trust 0.0.0.0/0 ::/0;
        gray_cookie off;
        gray_explain on;
        gray_attr region $http_t_region;
        gray_attr level $http_t_level;
        gray_label zone $http_t_zone;
        gray_label lane $http_t_lane;
        gray_caller $http_t_caller;
        gray_stage $http_t_stage;
        set_real_ip_from 127.0.0.1;
        real_ip_header T-Source;
        location / {{ return 204; }}
    }}
"""


# ---- requests -----------------------------------------------------------------

def write_requests(path, requests):
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(json.dumps(request, ensure_ascii=False) + "\n"
                     for request in requests)
    return path


def adjust(request):
    """As nginx will see it; None when HTTP cannot say it."""
    request = json.loads(json.dumps(request))
    if request["path"] == "*":
        return None
    request.pop("now")
    request.pop("random")
    request["method"] = request["method"].upper()
    request.setdefault("source", "127.0.0.1")
    for kind in ("attrs", "labels"):
        request[kind] = {name: value for name, value in request[kind].items()
                         if value.strip()}
    return request


def by_chance(answer):
    """A variant for nobody in particular is drawn, and nginx draws another."""
    return any(release["in"] and release["variant"] and not release["unit"]
               for release in json.loads(answer)["releases"])


def percent(text):
    return "".join(f"%{ord(c):02X}" if c in ",:%" else c for c in text)


def wire(request):
    lines = [("Host", request.get("host", "x"))]
    for name, values in request["headers"].items():
        lines += [(name, value) for value in
                  ([values] if isinstance(values, str) else values)]
    lines += [(f"T-{name}", value) for kind in ("attrs", "labels")
              for name, value in request[kind].items()]
    lines.append(("T-Source", request["source"]))
    for key in ("caller", "stage"):
        if request.get(key):
            lines.append((f"T-{key}", request[key]))
    members = []
    if request.get("lane"):
        lines.append(("X-Gray-Lane", request["lane"]))
    if request.get("arms"):
        members.append("gray.arms=" + percent(request["arms"]))
    if request.get("class", "live") != "live":
        members.append("gray.class=" + request["class"])
    if members:
        lines.append(("Baggage", "k=v," + ",".join(members)))
    return (f'{request["method"]} {request["path"]} HTTP/1.1\r\n' + "".join(
        f"{name}: {value}\r\n" for name, value in lines) +
        "\r\n").encode("utf-8")


def ask_nginx(port, wires):
    """X-Gray-Explain of each; one connection, pipelined."""
    found = []
    with socket.create_connection(("127.0.0.1", port), timeout=30) as peer:
        for at in range(0, len(wires), 20):
            part = wires[at:at + 20]
            peer.sendall(b"".join(part))
            buffer = b""
            for one in part:
                while b"\r\n\r\n" not in buffer:
                    more = peer.recv(1 << 18)
                    check(more, f"closed at {one!r}: {found[-1:]}")
                    buffer += more
                head, buffer = buffer.split(b"\r\n\r\n", 1)
                check(head.startswith(b"HTTP/1.1 204 "), f"{one!r}: {head!r}")
                lines = [line[16:] for line in head.split(b"\r\n")
                         if line.lower().startswith(b"x-gray-explain: ")]
                check(len(lines) == 1, f"{one!r}: {len(lines)} headers")
                found.append(lines[0].decode("ascii"))
    return found


# ---- libgray -------------------------------------------------------------------

class Pair(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("value", ctypes.c_char_p)]


class ClientRequest(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("entrance", ctypes.c_char_p),
                ("method", ctypes.c_char_p), ("host", ctypes.c_char_p),
                ("target", ctypes.c_char_p),
                ("headers", ctypes.POINTER(Pair)),
                ("header_count", ctypes.c_size_t),
                ("attrs", ctypes.POINTER(Pair)),
                ("attr_count", ctypes.c_size_t),
                ("labels", ctypes.POINTER(Pair)),
                ("label_count", ctypes.c_size_t),
                ("caller", ctypes.c_char_p), ("source", ctypes.c_char_p),
                ("unit", ctypes.c_char_p), ("lane", ctypes.c_char_p),
                ("arms", ctypes.c_char_p), ("traffic_class", ctypes.c_char_p),
                ("now_ms", ctypes.c_int64), ("random", ctypes.c_uint64),
                ("stage", ctypes.c_char_p)]


class Library:
    def __init__(self, story):
        self.c = ctypes.CDLL(os.path.join(story.build, "lib", "libgray.so"))
        self.c.gray_client_explain.restype = ctypes.c_size_t
        self.client = ctypes.c_void_p()
        error = self.c.gray_client_open(ctypes.byref(self.client),
                                        story.runtime.encode(), None)
        check(error == 0, f"gray_client_open: {error}")
        self.buffer = ctypes.create_string_buffer(1 << 18)

    def close(self):
        self.c.gray_client_close(self.client)

    @staticmethod
    def pairs(items):
        return (Pair * max(1, len(items)))(
            *[(n.encode(), v.encode()) for n, v in items]), len(items)

    def explain(self, request):
        def text(key):
            value = request.get(key)
            return None if value is None else value.encode()
        headers, header_count = self.pairs(
            [(name, value) for name, values in request["headers"].items()
             for value in ([values] if isinstance(values, str) else values)])
        attrs, attr_count = self.pairs(list(request["attrs"].items()))
        labels, label_count = self.pairs(list(request["labels"].items()))
        c = ClientRequest(
            ctypes.sizeof(ClientRequest), text("entrance"), text("method"),
            text("host"), text("path"), headers, header_count, attrs,
            attr_count, labels, label_count, text("caller"), text("source"),
            None, text("lane"), text("arms"), text("class"), 0, 1,
            text("stage"))
        length = self.c.gray_client_explain(
            self.client, ctypes.byref(c), self.buffer, len(self.buffer))
        check(0 < length < len(self.buffer), f"gray_client_explain: {length}")
        return self.buffer.value.decode("ascii")


# ---- one policy ------------------------------------------------------------------

def compare(what, one, two, requests):
    for a, b, request in zip(one, two, requests):
        if a != b:
            raise Failure(f"{what} differ on {json.dumps(request)}:\n{a}\n{b}")
    check(len(one) == len(two), f"{what}: {len(one)} and {len(two)} answers")


def ask_all(story, requests, library):
    path = write_requests(os.path.join(story.dir, "requests.jsonl"), requests)
    cli = story.gray("explain", "--runtime", story.runtime, "--requests",
                     path, "-o", "json").splitlines()
    kept = [i for i, answer in enumerate(cli) if not by_chance(answer)]
    cli = [cli[i] for i in kept]
    requests = [requests[i] for i in kept]
    lib = [library.explain(request) for request in requests]
    nginx = [None] * len(requests)
    for entrance in ENTRANCES:
        mine = [i for i, request in enumerate(requests)
                if request.get("entrance", "") == entrance]
        answers = ask_nginx(story.port("entrance" + entrance),
                            [wire(requests[i]) for i in mine])
        for i, answer in zip(mine, answers):
            nginx[i] = answer
    return requests, cli, lib, nginx


def forget_marks(release):
    release["stickiness"] = "none"
    for key in OF_MARKS:
        release.pop(key, None)
    release.get("admission", {}).pop("dimension", None)
    units = release.get("unit", [])
    for unit in units if isinstance(units, list) else [units]:
        if isinstance(unit, dict):
            unit.pop("alias", None)


def judge_policy(story, folder, number, conf):
    name = f"{number:04d}"
    policy = os.path.join(folder, f"policy-{name}.json")
    asked = os.path.join(folder, f"requests-{name}.jsonl")
    wanted = story.read(os.path.join(folder, f"explain-{name}.jsonl"))
    revision = json.loads(wanted.split("\n", 1)[0])["revision"]
    made = list(map(json.loads, story.read(asked).splitlines()))
    compare(f"policy {number}: the engine and gray explain -f",
            wanted.splitlines(),
            story.gray("explain", "-f", policy, "--requests", asked, "-o",
                       "json", "--revision", revision).splitlines(), made)
    with open(policy, encoding="utf-8") as f:
        documents = json.load(f)
    marked = number % 4 == 3
    for document in documents:
        admission = document.get("admission", {})
        if admission.get("anonymous") == "random":
            admission["anonymous"] = "baseline"
        if document["kind"] == "Release" and not marked:
            forget_marks(document)
    subprocess.run(["rm", "-rf", story.runtime], check=True)
    story.publish(documents, wait=False)
    story.nginx(conf)
    library = Library(story)
    requests = [r for r in map(adjust, made) if r is not None]
    try:
        if marked:
            ask_all(story, requests, library)
        for last in (False, True):
            kept, cli, lib, nginx = ask_all(story, requests, library)
            try:
                compare(f"policy {number}: gray explain and libgray", cli,
                        lib, kept)
                compare(f"policy {number}: gray explain and nginx", cli,
                        nginx, kept)
                break
            except Failure:
                if last:  # a window of time may have opened in between, once
                    raise
    finally:
        library.close()
        story.stop_nginx()
    return nginx


# ---- what was met ----------------------------------------------------------------

def table(name):
    """The words of engine/conditions.def or engine/sources.def."""
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    text = Story.read(os.path.join(root, "engine", name))
    words = re.findall(r'^GRAY_[A-Z]+\([A-Z_]+, \d+, "(\w+)"', text, re.M)
    check(len(words) > 10, f"{name} holds {words}")
    return words


def tally(met, answer):
    def add(kind, word):
        met[kind][word] = met[kind].get(word, 0) + 1
    add("reason", answer["reason"])
    for step in answer["trace"]:
        if step["condition"]:
            add("condition", step["condition"])
            add("source", step["source"])


def main():
    with Story("gateway_library_and_cli_agree") as story:
        folder = os.path.join(story.dir, "invented")
        os.mkdir(folder)
        subprocess.run(
            [os.path.join(story.build, "tests", "story", "agree"), "--write",
             folder, "--policies", str(POLICIES), "--requests",
             str(POLICIES * EACH), "--seed", "7"], check=True,
            stdout=subprocess.DEVNULL)
        conf = story.conf(f"    gray_runtime {story.runtime};\n" + "".join(
            SERVER.format(port=story.port("entrance" + name), entrance=line)
            for name, line in ENTRANCES.items()))
        count = 0
        met = {"reason": {}, "condition": {}, "source": {}}
        for number in range(POLICIES):
            for line in judge_policy(story, folder, number, conf):
                count += 1
                tally(met, json.loads(line))
        print(f"{count} requests of {POLICIES} policies through nginx, "
              f"libgray and the CLI: {met}")
        check(count >= POLICIES * 100, f"too many were left out: {count}")
        check(len(met["reason"]) > 8, f"too few reasons were met: {met}")
        check(met["reason"].get("mark", 0) >= HITS // 4,
              f"too few were told by their mark: {met}")
        for kind in ("condition", "source"):
            for word in table(kind + "s.def"):
                check(met[kind].get(word, 0) >= HITS,
                      f"{kind} {word} was met {met[kind].get(word, 0)} times")


if __name__ == "__main__":
    main()
