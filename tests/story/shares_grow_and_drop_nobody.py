#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A release grows 0, 1, 10, 50, 100 % and nobody is dropped.

100,000 users come once in each step, through nginx to web and through its
inner listener to cart.  Which cart served whom is read from the carts' own
access logs and judged by tests/oracle/shares.py, which knows no hash: each
share within three standard deviations, 0 nobody, 100 everybody, each step's
users contained in the next one's, nobody meeting two versions in one step.
"""
import os
import time

from harness import Story, check, shares

STEPS = (0, 1, 10, 50, 100)
USERS = int(os.environ.get("STORY_USERS", "100000"))


def main():
    with Story("shares_grow_and_drop_nobody") as story:
        services = [story.service("web", "v1"),
                    story.service("cart", "v1", "v2")]
        story.shop("web", "v1")
        for version in ("v1", "v2"):
            story.shop("cart", version, chain=False)

        def documents(share):
            return services + [story.release("cart-2", share,
                                             {"cart": "v2"})]
        story.publish(documents(0))
        story.nginx(story.gray_conf())
        plan = {"users": [1, USERS], "steps": []}
        passes = 0
        for share in STEPS:
            story.publish(documents(share))
            step = {"name": f"{share} %", "from": int(time.time() * 1000),
                    "releases": [{"name": "cart-2", "share": share,
                                  "services": {"cart": "v2"}}]}
            story.users("--users", USERS, "--expect-status", 200,
                        "--seconds", 300)
            passes += 1
            story.logged(passes * USERS, ["cart", "web"])
            step["to"] = int(time.time() * 1000) + 1
            plan["steps"].append(step)
        violations, report = shares.judge(plan, story.log_rows())
        print("\n".join(report))
        check(not violations, "; ".join(violations))


if __name__ == "__main__":
    main()
