#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two releases on one chain each see their own share, and the chain agrees.

First cart-2 at 50 % and order-2 at 10 % on web -> cart -> order: each within
three standard deviations, and independent of each other (2x2 table), for each
has its own salt.  Then one release through cart *and* order beside one of
web: the services of a release answer alike for every user.
"""
import os
import time

from harness import Story, check, shares

USERS = int(os.environ.get("STORY_USERS", "40000"))


def run_step(story, name, services, releases, passes):
    story.publish(services + [
        story.release(r["name"], r["share"], r["services"], priority=i)
        for i, r in enumerate(releases)], prune=True)
    step = {"name": name, "from": int(time.time() * 1000),
            "releases": releases}
    story.users("--users", USERS, "--expect-status", 200, "--seconds", 300)
    story.logged(passes * USERS, ["web", "cart", "order"])
    step["to"] = int(time.time() * 1000) + 1
    violations, report = shares.judge({"users": [1, USERS], "steps": [step]},
                                      story.log_rows())
    print("\n".join(report))
    check(not violations, "; ".join(violations))
    both = len(releases[0]["inside"] & releases[1]["inside"])
    print(f"{name}: {both} users met both")


def main():
    with Story("two_releases_stand_apart") as story:
        names = ("web", "cart", "order")
        services = [story.service(name, "v1", "v2") for name in names]
        for name in names:
            for version in ("v1", "v2"):
                story.shop(name, version)
        story.publish(services)
        story.nginx(story.gray_conf())
        run_step(story, "two releases", services,
                 [{"name": "cart-2", "share": 50, "services": {"cart": "v2"}},
                  {"name": "order-2", "share": 10,
                   "services": {"order": "v2"}}], 1)
        run_step(story, "one chain", services,
                 [{"name": "checkout-2", "share": 50,
                   "services": {"cart": "v2", "order": "v2"}},
                  {"name": "web-2", "share": 10, "services": {"web": "v2"}}],
                 2)


if __name__ == "__main__":
    main()
