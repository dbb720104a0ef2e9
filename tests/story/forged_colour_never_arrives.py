#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A colour that a client claims never reaches a service, in any spelling.

The edge is the one place that may colour.  Every header that means a lane or
an arm to us or to another house, in each case, with '-' or '_', once, hidden
between other members, twice; over HTTP/1.1 and HTTP/2: the service that keeps
bytes must see none of it and the old version must answer.  The same headers
inside, where the operator trusts the listener, do choose: so the test can
fail.
"""
import subprocess

import requests
from harness import Story, check
from recorder import Recorder

LANE_HEADERS = ["x-gray-lane", "x-gray-arms", "x-gray-ctx", "x-gray-class",
                "x-gray-shadow", "x-gray-version", "x-mse-tag",
                "x-higress-tag", "dubbo-tag", "dubbo.tag", "service-lane",
                "x-opensergo-traffic", "n-d-version", "x-lane-code",
                "x-sc-lb-hint"]
BAGGAGE = ["gray.lane=red", "gray.arms=gray-2", "a=1,gray.lane=red",
           "gray.lane=red,b=2", "a=1, gray.lane = red ;p=1 , b=2",
           "gray.arms=gray-2,gray.lane=red", "GRAY.lane=red",
           "gray.class=load", "gray.anything=1"]
CARRIERS = ["baggage", "Baggage", "BAGGAGE"]


def spellings(name):
    yield name
    yield name.upper()
    yield name.title()
    yield name.replace("-", "_")
    yield name.title().replace("-", "_")
    if name.count("-") > 1:
        yield name.replace("-", "_", 1)


def attempts():
    """(name, header lines) of each try."""
    for name in LANE_HEADERS:
        for spelling in spellings(name):
            yield spelling, [(spelling, "red")]
            yield f"{spelling} among 40", \
                [(f"x-{i}", "y") for i in range(20)] + [(spelling, "red")] + \
                [(f"x-{i}", "y") for i in range(20, 40)]
    for value in BAGGAGE:
        for carrier in CARRIERS:
            yield f"{carrier}: {value}", [(carrier, value)]
    yield "baggage twice", [("baggage", "a=1"), ("baggage", "gray.lane=red")]
    yield "cookie", [("cookie", "a=1; gray=red; b=2")]
    yield "cookie of hosts", [("cookie", "__Host-gray=red")]
    yield "two at once", [("x-gray-lane", "red"), ("baggage", "gray.lane=red"),
                          ("cookie", "gray=red")]


def wire(key, lines):
    return ("GET / HTTP/1.1\r\nHost: shop\r\n" +
            f"X-Seq: {key}\r\n" +
            "".join(f"{n}: {v}\r\n" for n, v in lines) +
            "\r\n").encode()


def forged_in(request):
    """Words of a colour in the bytes that a service got."""
    low = request.lower()
    return [word for word in (b"red", b"gray-2", b"gray.", b"x-gray",
                              b"x_gray") if word in low]


def http1(story, recorder):
    count = 0
    for number, (name, lines) in enumerate(attempts()):
        key = f"h{number}"
        try:
            statuses = requests.send_all(story.port("entrance"),
                                         [wire(key, lines)], 1)
        except ConnectionError as error:
            statuses = str(error)
        got = recorder.seen["old"].get(key)
        # two values of one control header are a bad request, never served
        check(statuses == {200: 1} and got is not None,
              f"{name}: answered {statuses}")
        check(not recorder.seen["red"] and not recorder.seen["new"],
              f"{name}: a client chose its version")
        check(not forged_in(got), f"{name}: {forged_in(got)} arrived: {got!r}")
        count += 1
    return count


def doubled(story, recorder):
    """Two values of one control header are refused or both taken off."""
    before = sum(map(len, recorder.seen.values()))
    statuses = requests.send_all(
        story.port("entrance"),
        [wire("double", [("x-gray-lane", "red"), ("X-Gray-Lane", "blue")])], 1)
    arrived = recorder.seen["old"].get("double", b"")
    check(statuses in ({400: 1}, {200: 1}), f"doubled: {statuses}")
    check(not forged_in(arrived), f"doubled: {arrived!r}")
    check(sum(map(len, recorder.seen.values())) - before ==
          (1 if statuses == {200: 1} else 0), "doubled: was served")


def http2(story, recorder):
    count = 0
    for number, (name, lines) in enumerate(attempts()):
        if number % 7 and "baggage" not in name.lower():
            continue  # a process each: every seventh spelling will do
        key = f"t{number}"
        # curl lowers the names as HTTP/2 asks
        done = subprocess.run(
            ["curl", "-sk", "--http2", "-o", "/dev/null", "-w",
             "%{http_version} %{http_code}", "-H", f"x-seq: {key}",
             *[word for n, v in lines for word in ("-H", f"{n}: {v}")],
             f"https://127.0.0.1:{story.port('tls')}/"],
            capture_output=True, text=True, check=False, timeout=30)
        check(done.stdout == "2 200", f"{name} over h2: {done.stdout}")
        got = recorder.seen["old"].get(key)
        check(got is not None and not recorder.seen["red"],
              f"{name} over h2: a client chose its version")
        check(not forged_in(got), f"{name} over h2: arrived {got!r}")
        count += 1
    return count


def trusted(story, recorder):
    """The same headers on the trusted listener do choose."""
    for number, lines in enumerate(([("x-gray-lane", "red")],
                                    [("baggage", "gray.lane=red")],
                                    [("baggage", "a=1,gray.lane=red")])):
        requests.send_all(story.port("inner-rec"),
                          [wire(f"in{number}", lines)], 1)
        check(f"in{number}" in recorder.seen["red"],
              f"{lines} inside does not reach the lane: the test is blind")
    requests.send_all(story.port("inner-rec"),
                      [wire("arm", [("baggage", "gray.arms=gray-2")])], 1)
    check("arm" in recorder.seen["new"], "an arm inside does not choose")


def main():
    with Story("forged_colour_never_arrives") as story:
        recorder = Recorder({"old": story.port("rec-v1"),
                             "new": story.port("rec-v2"),
                             "red": story.port("rec-red")}).begin()
        service = story.service("rec", "v1", "v2")
        service["versions"]["red"] = {"endpoints": [
            {"address": f"127.0.0.1:{story.port('rec-red')}",
             "labels": {"lane": "red"}}]}
        story.publish([
            service, story.release("gray-2", 0, {"rec": "v2"}),
            {"kind": "Lane", "name": "red", "selector": {"lane": "red"},
             "services": ["rec"], "rules": [
                 {"name": "team", "when": {"header": {
                     "name": "x-team", "exact": "crimson"}}}]}])
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
             "-subj", "/CN=localhost", "-days", "1", "-keyout",
             story.dir + "/key.pem", "-out", story.dir + "/cert.pem"],
            check=True, capture_output=True)
        tls = (f"listen 127.0.0.1:{story.port('tls')} ssl http2;\n"
               f"        ssl_certificate {story.dir}/cert.pem;\n"
               f"        ssl_certificate_key {story.dir}/key.pem;\n"
               "        underscores_in_headers on;\n"
               "        ignore_invalid_headers off;")
        inner = (f"    server {{ listen 127.0.0.1:{story.port('inner-rec')};\n"
                 "        gray_trust 127.0.0.1;\n"
                 "        location / { gray_service rec;\n"
                 "            proxy_pass http://gray; } }\n")
        story.nginx(story.gray_conf(service="rec", inside=tls, http=inner))
        one = http1(story, recorder)
        doubled(story, recorder)
        two = http2(story, recorder)
        trusted(story, recorder)
        print(f"{one} spellings over HTTP/1.1, {two} over HTTP/2")
        recorder.end()


if __name__ == "__main__":
    main()
