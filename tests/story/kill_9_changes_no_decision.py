#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of workers and of the master changes no decision.

Under load workers are killed at random moments: only requests in flight in
the killed one may fail, and the new worker decides as the old.  Then the
master is killed: its orphans serve on without a failure; they are ended as
systemd ends a unit's cgroup, nginx is started again on the same folder, and
every user still meets the version that they met first.
"""
import json
import os
import random
import signal

from harness import Story, check, wait_until

KILLS = int(os.environ.get("STORY_KILLS", "10"))
CONNECTIONS = 32
USERS = 3000


class Kill9(Story):
    pardoned = r"exited on signal 9"


def lines(story):
    return sum(story.read(path).count("\n") for path in story.logs)


def wait_for_lines(story, more):
    """An event of the load itself is the clock."""
    target = lines(story) + more
    wait_until(lambda: lines(story) >= target, f"{more} more log lines")


def versions_met(story):
    met = {}
    for _, service, version, uid, _ in story.log_rows():
        if service == "cart":
            met.setdefault(uid, set()).add(version)
    return met


def kill_workers(story, chance):
    load = story.users_start("--users", USERS, "--passes", 0, "--rate", 3000,
                             "--connections", CONNECTIONS, "--seconds", 300,
                             "--no-retry")
    for _ in range(KILLS):
        wait_for_lines(story, chance.randrange(200, 2000))
        before = story.workers()
        victim = chance.choice(before)
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(story.workers()) == len(before)
                   and victim not in story.workers(), "a worker comes back")
    wait_for_lines(story, 2 * USERS)
    tally = story.users_end(load, ok=False, how=signal.SIGTERM)
    print(f"{KILLS} workers killed: {tally['failed']} of {tally['requests']} "
          f"requests failed ({tally['failures']})")
    check(tally["failed"] == tally["failures"]["reset"],
          f"something else than a request in flight failed: {tally}")
    check(tally["failed"] <= KILLS * CONNECTIONS, f"too many failed: {tally}")


def kill_master(story):
    load = story.users_start("--users", USERS, "--passes", 0, "--rate", 3000,
                             "--connections", CONNECTIONS, "--seconds", 300,
                             "--no-retry")
    wait_for_lines(story, 1000)
    orphans = story.workers()
    master = story.nginx_process
    story.nginx_process = None
    os.kill(master.pid, signal.SIGKILL)
    master.wait(10)
    story.children.remove(master)
    wait_for_lines(story, 2 * USERS)
    tally = story.users_end(load, how=signal.SIGTERM)
    print(f"orphans served {tally['requests']} requests, none failed")
    for pid in orphans:  # as systemd: the whole cgroup, by force
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not set(orphans) & set(story.processes()),
               "the orphans end")


def main():
    chance = random.Random(9)
    with Kill9("kill_9_changes_no_decision") as story:
        cart = story.service("cart", "v1", "v2")
        for version in ("v1", "v2"):
            story.shop("cart", version, chain=False)
        story.publish([cart, story.release("cart-2", 30, {"cart": "v2"})])
        conf = story.gray_conf(service="cart")
        story.nginx(conf)
        story.users("--users", USERS, "--expect-status", 200)
        kill_workers(story, chance)
        kill_master(story)
        story.nginx(conf)
        story.users("--users", USERS, "--expect-status", 200)
        met = versions_met(story)
        moved = [uid for uid, versions in met.items() if len(versions) > 1]
        check(not moved, f"{len(moved)} users met two versions, such as "
              f"{moved[:1]}")
        count = sum("v2" in versions for versions in met.values())
        check(abs(count - 0.3 * USERS) < 3 * (USERS * 0.21) ** 0.5,
              f"{count} of {USERS} met v2")
        status = json.loads(story.gray("status", "--runtime", story.runtime,
                                       "-o", "json"))
        alive = [reader for reader in status["readers"] if reader["alive"]]
        check(len(alive) == len(story.workers()),
              f"readers: {status['readers']}")


if __name__ == "__main__":
    main()
