#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a unit was told is found by its name, with every condition's result.

Two gateways of a host write decision logs; grayd follows them. Judged from
what nginx itself answered to each user: whoever met v2 is found with the
judgement that let him in, its revision and what was tried; one who was denied
too; a name that never came is not found. The log is renamed in the middle,
grayd is killed -9 in the middle, and no judgement is lost or told twice. Then
grayd is dead, and the files alone tell the same.
"""
import http.client
import json
import os
import signal
import subprocess

from harness import Story, build_folder, check, wait_until
from marked import grayd_module

USERS = 400


def gray(story, *arguments, code=0):
    done = subprocess.run([os.path.join(story.bin, "gray"), *arguments],
                          capture_output=True, text=True, timeout=60)
    check(done.returncode == code, f"gray {' '.join(arguments)}: "
          f"{done.returncode}, not {code}: {done.stdout}{done.stderr}")
    return done.stdout


def ask_all(story, first, last):
    """{uid: version that really answered}"""
    told = {}
    connection = http.client.HTTPConnection("127.0.0.1",
                                            story.port("entrance"), timeout=20)
    for number in range(first, last):
        uid = f"user-{number}"
        connection.request("GET", "/cart", headers={"Cookie": f"uid={uid}"})
        reply = connection.getresponse()
        body = json.loads(reply.read())
        check(reply.status == 200, f"{uid}: {reply.status}")
        told[uid] = body["cart"]
    connection.close()
    return told


def explained(story, grayd, *arguments, code=0):
    text = gray(story, "explain", *arguments, "-o", "json", "--server",
                f"unix:{grayd.socket}", code=code)
    return [json.loads(line) for line in text.splitlines()]


def admissions(lines, unit):
    return [row for line in lines for row in line["releases"]
            if row["unit"] == unit and row["in"]
            and line["event"] == "admit"]


def main():
    module = grayd_module()
    with Story("told_by_name") as story:
        cart = story.service("cart", "v1", "v2")
        for version in ("v1", "v2"):
            story.shop("cart", version, chain=False)
        release = story.release("cart-2", 0, {"cart": "v2"})
        release["admission"]["deny"] = [{"list": "never"}]
        never = {"kind": "List", "name": "never", "ids": ["user-7"]}
        log = os.path.join(story.dir, "gray.jsonl")
        with module.Grayd(build_folder()) as grayd:
            grayd.runtime = story.runtime
            options = ("--decision-log", log + "*")
            check(grayd.start(*options), grayd.errors())
            applied = grayd.apply(json.dumps([cart, release, never]))
            check(applied.status == 200, applied.text)
            check(grayd.verb("cart-2", "set-weight", {"weight": 30}).status ==
                  200, "no weight")
            story.nginx(story.gray_conf(service="cart",
                                        inside=f"gray_log {log};"))
            told = ask_all(story, 0, USERS // 2)
            os.rename(log, log + ".1")
            os.kill(story.master(), signal.SIGUSR1)
            wait_until(lambda: os.path.exists(log), "nginx opens no new log")
            grayd.kill()
            told.update(ask_all(story, USERS // 2, USERS))
            check(grayd.start(*options), grayd.errors())
            came = sorted(uid for uid, version in told.items()
                          if version == "v2")
            check(60 < len(came) < 180, f"{len(came)} came in")
            last = came[-1]
            wait_until(lambda: index_whole(grayd, log, len(came) + 1),
                       "the logs are not read to their end")
            for uid in came:
                lines = explained(story, grayd, "--unit", uid)
                rows = admissions(lines, uid)
                check(len(rows) == 1, f"{uid} came in once: {lines}")
                check(rows[0]["reason"] == "share" and
                      rows[0]["bucket"] < rows[0]["share"] == 300000,
                      f"why {uid}: {rows}")
                check(lines[0]["host"] and lines[0]["revision"] > 0, lines)
            refused = explained(story, grayd, "--unit", "user-7")
            check(told["user-7"] == "v1" and
                  [line["event"] for line in refused] == ["refuse"] and
                  refused[0]["reason"] == "deny", f"user-7: {refused}")
            check(any(step["step"] == "deny" and step["result"] and
                      step["operand"] == "never"
                      for step in refused[0]["trace"]), refused)
            explained(story, grayd, "--unit", "nobody", code=4)
            explained(story, grayd, "--unit", last, "--release", "other",
                      code=4)
            explained(story, grayd, "--unit", last, "--until", "1h", code=4)
            by_grayd = explained(story, grayd, "--unit", last)
            page = gray(story, "explain", "--unit", last, "--server",
                        f"unix:{grayd.socket}")
            check(last in page and "admit" in page and "share" in page, page)
            grayd.kill()
            text = gray(story, "explain", "--unit", last, "-o", "json",
                        "--log", log, "--log", log + ".1")
            check([json.loads(line) for line in text.splitlines()] ==
                  by_grayd, "files tell something else than grayd did")
            print(f"{len(came)} of {USERS} found by name")


def index_whole(grayd, log, wanted):
    """nginx has written all lines, and grayd has them all."""
    written = sum(len(open(path).readlines()) for path in (log, log + ".1"))
    index = grayd.ask("GET", "/v1/decisions?unit=user-0").body["index"]
    return written == wanted == index["lines"] and index["behind"] == 0


if __name__ == "__main__":
    main()
