#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What grayd has scheduled turns every reader at its instant, grayd dead or not.

A change to 100 % is scheduled six seconds ahead.  Seconds before its instant
its policy lies ready in all four workers; grayd is killed -9; at the instant
they turn without it, and all of them answer by the new policy.  When grayd is
back the change is committed once, without another publication, and no answer
in between is of the policy before.

Then: what is taken back does not turn; what lies ready is made anew when
something else is applied meanwhile, and turns at the same instant; and a host
that restarts with something lying ready serves the old policy until the instant
and the new one after it, with grayd dead.
"""
import datetime
import importlib.util
import json
import os
import subprocess
import threading
import time
import urllib.request

from harness import Story, build_folder, check, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
WORKERS = 4


def grayd_module():
    path = os.path.join(HERE, "../control/grayd/harness.py")
    spec = importlib.util.spec_from_file_location("grayd_harness", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def soon(seconds):
    moment = datetime.datetime.now(datetime.timezone.utc) + \
        datetime.timedelta(seconds=seconds)
    # in whole milliseconds, as it is said: what is cut off would be early
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    return moment.timestamp(), moment.isoformat(
        timespec="milliseconds").replace("+00:00", "Z")


class Asking:
    """One request after the other: when it began and ended, who served it."""

    def __init__(self, story):
        self.answers, self.failed, self.stop = [], [], threading.Event()
        self.url = f"http://127.0.0.1:{story.port('entrance')}/"
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()

    def run(self):
        turn = 0
        while not self.stop.is_set():
            turn += 1
            began = time.time()
            request = urllib.request.Request(
                self.url, headers={"Cookie": f"uid=u{turn}"})
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    served = json.loads(answer.read())["cart"]
                self.answers.append((began, time.time(), served))
            except (OSError, ValueError, KeyError) as error:
                self.failed.append(repr(error))


def local(story):
    return json.loads(story.gray("status", "--runtime", story.runtime,
                                 "--local", "-o", "json"))


def alive(story):
    return [r for r in local(story)["readers"] if r["alive"]]


def all_ready(story):
    """The generation that lies ready in every worker; None: not yet."""
    now = local(story)
    return now["next"] and [r["nextGeneration"] for r in alive(story)] == \
        [now["next"]["generation"]] * WORKERS and now["next"]


def all_turned(story, generation):
    return [r["policyGeneration"] for r in alive(story)] == \
        [generation] * WORKERS


def good(reply, status=200):
    check(reply.status == status, reply.text)
    return reply.body


def dies_before_the_instant(story, grayd, documents):
    revision = good(grayd.ask("GET", "/v1/status"))["revision"]
    instant, moment = soon(6)
    good(grayd.apply(json.dumps(documents(100)), effectiveAt=moment,
                     maxSkewMs=1000), 202)
    with Asking(story) as asking:
        ready = wait_until(lambda: all_ready(story), "it does not lie ready")
        check(ready["revision"] == revision + 2 and
              abs(ready["effectiveAt"] - instant * 1000) <= 1 and
              ready["maxSkewMs"] == 1000, f"{ready}, not {instant}")
        shown = good(grayd.ask("GET", "/v1/status"))
        check(shown["next"]["generation"] == ready["generation"] and
              [r["nextGeneration"] for r in shown["readers"]] ==
              [ready["generation"]] * WORKERS, f"{shown}")
        grayd.kill()
        check(time.time() < instant, "the machine is too slow for this story")
        wait_until(lambda: all_turned(story, ready["generation"]),
                   "they did not turn without grayd")
        check(grayd.start(), grayd.errors()[-2000:])
        wait_until(lambda: not good(grayd.ask("GET", "/v1/scheduled"))
                   ["scheduled"], "it is not committed")
        wait_until(lambda: asking.answers[-1][0] > instant + 1,
                   "nobody asks any more")
    check(not asking.failed, f"requests failed: {asking.failed[:3]}")
    early = [a for a in asking.answers if a[1] < instant and a[2] == "v2"]
    late = [a for a in asking.answers if a[0] > instant + 0.25 and
            a[2] != "v2"]
    check(not early and not late, f"{early[:2]} {late[:2]}")
    now = good(grayd.ask("GET", "/v1/status"))
    check(now["generation"] == ready["generation"] and "next" not in now and
          now["revisionInForce"] == ready["revision"],
          f"it was published again: {now}")
    check(all(r["lateMs"] < 1000 for r in alive(story)), f"{alive(story)}")


def taken_back(story, grayd, documents):
    before = local(story)["generation"]
    instant, moment = soon(4)
    reply = good(grayd.apply(json.dumps(documents(100, "never")),
                             effectiveAt=moment), 202)
    item = reply["scheduled"]
    check(reply["ahead"] == {"generation": before + 1, "readers": WORKERS,
                             "ready": WORKERS}, f"it does not say: {reply}")
    check(all_ready(story), "it does not lie ready")
    good(grayd.ask("DELETE", f"/v1/scheduled/{item}?reason=no"))
    wait_until(lambda: local(story)["next"] is None and
               all_turned(story, before + 2), "it lies there still")
    wait_until(lambda: time.time() > instant, "time stands still")
    check(all_turned(story, before + 2), "it turned all the same")
    check(grayd.ask("GET", "/v1/documents/List/never").status == 404,
          "it was committed")
    # in the last second readers are turning already
    item = good(grayd.apply(json.dumps(documents(100, "soon")),
                            effectiveAt=soon(0.9)[1]), 202)["scheduled"]
    refused = grayd.ask("DELETE", f"/v1/scheduled/{item}?reason=no")
    check(refused.status == 409 and refused.body["code"] == "turning",
          refused.text)
    wait_until(lambda: grayd.ask("GET", "/v1/documents/List/soon").status ==
               200, "it is not committed")


def made_anew(story, grayd, documents):
    instant, moment = soon(5)
    good(grayd.apply(json.dumps(documents(100, "later")), effectiveAt=moment),
         202)
    first = wait_until(lambda: all_ready(story), "it does not lie ready")
    good(grayd.apply(json.dumps(documents(100, "between"))))
    second = wait_until(
        lambda: (all_ready(story) or {}).get("revision", 0) >
        first["revision"] and all_ready(story), "it was not made anew")
    check(second["effectiveAt"] == first["effectiveAt"], f"{second}")
    check(grayd.ask("GET", "/v1/documents/List/between").status == 200 and
          grayd.ask("GET", "/v1/documents/List/later").status == 404, "order")
    wait_until(lambda: all_turned(story, second["generation"]), "no turn")
    check(time.time() >= instant, "it turned before its instant")
    wait_until(lambda: grayd.ask("GET", "/v1/documents/List/later").status ==
               200, "it is not committed")
    check(local(story)["generation"] == second["generation"],
          "it was published again")


def restarts(story, grayd, documents):
    instant, moment = soon(6)
    good(grayd.apply(json.dumps(documents(100, "reboot")), effectiveAt=moment),
         202)
    before = local(story)["revision"]
    ready = wait_until(lambda: all_ready(story), "it does not lie ready")
    grayd.kill()
    story.stop_nginx()
    subprocess.run(["rm", "-rf", story.runtime], check=True)
    done = subprocess.run(
        [os.path.join(story.bin, "grayd"), "--restore", "--runtime",
         story.runtime, "--state", grayd.state], capture_output=True,
        text=True)
    check(done.returncode == 0, done.stderr)
    story.nginx(story.gray_conf(service="cart", workers=WORKERS))
    now = local(story)
    check(time.time() < instant, "the machine is too slow for this story")
    check(now["revision"] == before and
          now["next"]["revision"] == ready["revision"], f"{now['next']}")
    wait_until(lambda: local(story)["revision"] == ready["revision"] and
               len({r["policyGeneration"] for r in alive(story)}) == 1 and
               not any(r["nextGeneration"] for r in alive(story)),
               "they did not turn")
    check(time.time() >= instant, "they turned before the instant")


def main():
    module = grayd_module()
    with Story("turns_at_its_instant") as story:
        cart = story.service("cart", "v1", "v2")
        for version in ("v1", "v2"):
            story.shop("cart", version, chain=False)

        def documents(share, *lists):
            release = story.release("cart-2", share, {"cart": "v2"},
                                    stickiness="none")
            return [cart, release] + [{"kind": "List", "name": name,
                                       "ids": ["a"]} for name in lists]
        with module.Grayd(build_folder()) as grayd:
            grayd.runtime = story.runtime
            check(grayd.start(), grayd.errors())
            good(grayd.apply(json.dumps(documents(0))))
            story.nginx(story.gray_conf(service="cart", workers=WORKERS))
            wait_until(lambda: len(alive(story)) == WORKERS, "no workers")
            dies_before_the_instant(story, grayd, documents)
            taken_back(story, grayd, documents)
            made_anew(story, grayd, documents)
            restarts(story, grayd, documents)


if __name__ == "__main__":
    main()
