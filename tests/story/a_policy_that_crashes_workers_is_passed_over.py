#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A policy under which two workers crash is passed over by the third.

Nobody is there but nginx and the folder that `gray publish` wrote.  Under 16
keep-alive clients a policy of 100 % is published, and the worker that took it
is hit by SIGSEGV, and so is the next one, as a policy that kills its readers
would do.  The third worker starts with the last good policy, of 0 %, and says
why; no request fails but those in flight in the two that died.  `gray unblock`
takes it again; so would any new policy, which is published last.  A kill -9 of
two workers more is nobody's crash.

Then the same beside a grayd: it says so in its status and its audit, refuses to
go on with the release, and a new revision clears it.
"""
import json
import os
import shutil
import signal

from grayd_dies_and_nobody_notices import grayd_module
from harness import Story, build_folder, check, wait_until

CLIENTS = 16
PARDONED = r"worker process \d+ exited on signal (11|9)"


def readers(story):
    return {r["pid"]: r for r in status(story)["readers"] if r["alive"]}


def status(story):
    return json.loads(story.gray("status", "--runtime", story.runtime,
                                 "--local", "-o", "json"))


def crash(story, generation, how=signal.SIGSEGV):
    """Hits the one worker as soon as it has this generation."""
    def has_it():
        pids = [pid for pid, reader in readers(story).items()
                if reader["policyGeneration"] == generation]
        return pids == story.workers() and pids
    pid, = wait_until(has_it, f"no worker takes generation {generation}")
    os.kill(pid, how)
    wait_until(lambda: story.workers() not in ([pid], []),
               "nginx starts no other worker")


def is_passed_over(story, generation, instead):
    wait_until(lambda: [r["policyGeneration"] for r in
                        readers(story).values()] == [instead],
               f"generation {instead} is not in force")
    reader, = readers(story).values()
    check("crashes-readers" in reader["refusal"], f"it says nothing: {reader}")
    now = status(story)
    check(now["generation"] == generation and now["crashes"]["blocked"],
          f"status says nothing: {now['crashes']}")
    check(now["crashes"]["count"] >= 2 and now["crashes"]["signal"] == 11 and
          now["events"]["snapshot-avoided"] >= 1, f"{now['crashes']}")


def by_version(story, users=400):
    tally = story.users("--users", users, "--by", "cart")
    return {row[0]: row[1] for row in tally["by"]}


def alone(story, documents):
    story.publish(documents(0))
    story.nginx(story.gray_conf(service="cart", workers=1))
    load = story.users_start(
        "--users", 2000, "--passes", 0, "--rate", 1000, "--connections",
        CLIENTS, "--seconds", 120)
    wait_until(lambda: [r["policyGeneration"] for r in
                        readers(story).values()] == [1], "no worker")
    story.publish(documents(100))
    crash(story, 2)
    check(status(story)["crashes"]["count"] == 1 and
          not status(story)["crashes"]["blocked"], "one crash is one")
    crash(story, 2)
    is_passed_over(story, 2, 1)
    check(by_version(story) == {"v1": 400},
          f"the last good one was of 0 %: {by_version(story)}")
    tally = story.users_end(load, ok=False, how=signal.SIGTERM)
    print(f"{tally['requests']} requests, {tally['failed']} failed, those of "
          f"two workers that died")
    check(tally["failed"] <= 2 * CLIENTS, f"more than was in flight: {tally}")
    doctor = story.gray("doctor", "--runtime", story.runtime, codes=(0, 1, 5))
    check("crashed 2 readers" in doctor, doctor)

    story.gray("unblock", "--runtime", story.runtime, "--reason", "a rehearsal")
    wait_until(lambda: by_version(story) == {"v2": 400},
               "what was unblocked is not taken")
    check(status(story)["crashes"]["accepted"], "who unblocked it is forgotten")
    text = story.gray("status", "--runtime", story.runtime)
    check("unblock" in text and "a rehearsal" in text, text)
    crash(story, 2)  # and crashes under it count no more
    wait_until(lambda: by_version(story) == {"v2": 400}, "it is not taken")

    # a new one is new; kill -9 says nothing about it
    story.publish(documents(100))
    for _ in range(3):
        crash(story, 3, signal.SIGKILL)
    wait_until(lambda: [r["policyGeneration"] for r in
                        readers(story).values()] == [3], "kill -9 is no crash")
    check(status(story)["crashes"] is None, f"{status(story)['crashes']}")
    story.stop_nginx()


def beside_grayd(story, grayd, documents):
    def good(reply, code=200):
        check(reply.status == code, reply.text)
        return reply.body

    def records(action):
        return [r for r in good(grayd.ask("GET", "/v1/audit?limit=1000"))
                ["records"] if r["action"] == action]
    good(grayd.apply(json.dumps(documents(0))))
    story.nginx(story.gray_conf(service="cart", workers=1))
    good(grayd.verb("cart-2", "set-weight", {"weight": 50}))
    crash(story, 2)
    crash(story, 2)
    is_passed_over(story, 2, 1)
    wait_until(lambda: records("blocked"), "grayd records nothing")
    record, = records("blocked")
    check(record["via"] == "host" and
          record["after"]["generation"] == 2 and
          record["after"]["signal"] == 11, f"{record}")
    shown = good(grayd.ask("GET", "/v1/status"))
    check(shown["crashes"]["blocked"] and
          "crashes-readers" in shown["readers"][0]["refused"], f"{shown}")
    refused = grayd.verb("cart-2", "set-weight", {"weight": 60})
    check(refused.status == 409 and refused.body["code"] == "crashes-readers",
          f"the release advances: {refused.text}")
    good(grayd.verb("cart-2", "pause", {}))
    good(grayd.apply(json.dumps(documents(0) + [
        {"kind": "List", "name": "fixed", "ids": ["a"]}])))
    wait_until(lambda: [r["policyGeneration"] for r in
                        readers(story).values()] == [3], "it is not cleared")
    check("crashes" not in good(grayd.ask("GET", "/v1/status")), "not cleared")
    good(grayd.verb("cart-2", "set-weight", {"weight": 60}))

    # somebody on the host says that it is not to blame
    crash(story, 4)
    crash(story, 4)
    is_passed_over(story, 4, 3)
    wait_until(lambda: len(records("blocked")) == 2, "grayd records nothing")
    story.gray("unblock", "--runtime", story.runtime, "--reason", "bad memory")
    wait_until(lambda: records("unblock"), "grayd does not record who did it")
    check(records("unblock")[0]["reason"] == "bad memory", "and why")
    good(grayd.verb("cart-2", "set-weight", {"weight": 70}))
    story.stop_nginx()


def main():
    with Story("crashes_are_passed_over") as story:
        story.pardoned = PARDONED
        cart = story.service("cart", "v1", "v2")
        for version in ("v1", "v2"):
            story.shop("cart", version, chain=False)

        def documents(share):
            # without marks: who was let in would stay in under either policy
            return [cart, story.release("cart-2", share, {"cart": "v2"},
                                        stickiness="none")]
        alone(story, documents)
        shutil.rmtree(story.runtime)
        with grayd_module().Grayd(build_folder()) as grayd:
            grayd.runtime = story.runtime
            check(grayd.start(), grayd.errors())
            beside_grayd(story, grayd, documents)


if __name__ == "__main__":
    main()
