#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who is not admitted reaches the old service byte for byte as without us.

20,000 wild requests go through stock nginx to a service that keeps the exact
bytes.  The same requests then go through nginx with the module loaded and no
directive, with a release at 0 %, and at 50 %, a quarter of them with forged
colours and cookies put in: what the old service gets must be the very bytes,
the forgeries gone.  What is admitted differs in its baggage header alone.
"""
import os

import requests
from harness import Failure, Story, check
from recorder import Recorder

COUNT = int(os.environ.get("STORY_REQUESTS", "20000"))
STOCK = """
    upstream stock {{ server 127.0.0.1:{old}; keepalive 64; }}
    server {{ listen 127.0.0.1:{entrance};
              location / {{ proxy_pass http://stock; }} }}
"""


def compare(name, wanted, found, forged):
    for key, request in found.items():
        if request != wanted[key]:
            raise Failure(
                f"{name}: {key} ({'forged' if key in forged else 'plain'}) "
                f"differs:\nwithout {wanted[key]!r}\nwith    {request!r}")


def but_baggage(request):
    head, body = request.split(b"\r\n\r\n", 1)
    return [line for line in head.split(b"\r\n")
            if not line.lower().startswith(b"baggage:")], body


def send(story, recorder, wires):
    recorder.clear()
    statuses = requests.send_all(story.port("entrance"), wires)
    check(statuses == {200: COUNT}, f"answers: {statuses}")
    check(not recorder.twice, f"sent twice: {recorder.twice[:3]}")
    seen = {name: dict(by_key) for name, by_key in recorder.seen.items()}
    check(sum(map(len, seen.values())) == COUNT, "some did not arrive")
    return seen


def main():
    made = requests.make(COUNT, 20261121)
    clean = [r.wire(r.clean) for r in made]
    sent = [r.wire(r.sent) for r in made]
    forged = {r.key for r in made if r.forged}
    with Story("not_admitted_is_byte_identical") as story:
        recorder = Recorder({"old": story.port("rec-v1"),
                             "new": story.port("rec-v2")}).begin()
        service = story.service("rec", "v1", "v2")
        stock = STOCK.format(old=story.port("rec-v1"),
                             entrance=story.port("entrance"))
        story.nginx(story.conf(stock, module=False))
        wanted = send(story, recorder, clean)["old"]
        untouched = send(story, recorder, sent)["old"]
        story.stop_nginx()

        # loaded without a directive, even forgeries are none of its business
        story.nginx(story.conf(stock))
        compare("no directive", untouched, send(story, recorder, sent)["old"],
                forged)
        story.stop_nginx()

        release = story.release("gray-2", 0, {"rec": "v2"})
        story.publish([service, release])
        story.nginx(story.gray_conf(service="rec"))
        seen = send(story, recorder, sent)
        check(not seen["new"], "0 % admitted somebody")
        compare("0 %", wanted, seen["old"], forged)

        release["admission"]["share"] = 50
        story.publish([service, release])
        seen = send(story, recorder, sent)
        compare("50 %", wanted, seen["old"], forged)
        admitted = len(seen["new"])
        named = sum(r.uid is not None for r in made)
        check(abs(admitted - named / 2) < 3 * (named / 4) ** 0.5,
              f"50 % admitted {admitted} of {named} with a uid")
        for key, request in seen["new"].items():
            check(but_baggage(request) == but_baggage(wanted[key]),
                  f"admitted {key} differs in more than baggage: {request!r}")
            check(b"gray.arms=gray-2" in request, f"{key} has no colour")
        print(f"{COUNT} requests compared at 0 % and 50 % and without "
              f"directives, {len(forged)} of them forged; {admitted} admitted")
        recorder.end()


if __name__ == "__main__":
    main()
