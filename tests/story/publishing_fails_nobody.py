#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""1,000 publications at 10 a second fail no request and restart no worker.

64 keep-alive clients go on meanwhile.  Every publication widens the share by
a tenth of a percent, so the carts' logs must also show that nobody was ever
dropped on the way.  At the end every worker has acknowledged the last one.

A client takes its first free connection, so on a fast machine most of the 64
idle for longer than the 75 s after which nginx closes them by default; it is
told to keep them, and then each further connection is one that was broken.
"""
import json
import os
import signal
import time

from harness import Story, check, shares

COUNT = int(os.environ.get("STORY_PUBLICATIONS", "1000"))
CLIENTS = 64
KEPT = "    keepalive_timeout 3600s;\n    keepalive_time 3600s;\n"
EVERY = 0.1
USERS = 2000


def main():
    with Story("publishing_fails_nobody") as story:
        cart = story.service("cart", "v1", "v2")
        for version in ("v1", "v2"):
            story.shop("cart", version, chain=False)

        def documents(number):
            return [cart, story.release("cart-2", round(number * 100 / COUNT, 4),
                                        {"cart": "v2"})]
        story.publish(documents(0))
        story.nginx(story.gray_conf(service="cart", http=KEPT))
        workers = story.workers()
        load = story.users_start(
            "--users", USERS, "--passes", 0, "--rate", 2000, "--connections",
            CLIENTS, "--seconds", 600, "--expect-status", 200)
        begun = time.monotonic()
        late = 0
        for number in range(1, COUNT + 1):
            story.publish(documents(number), wait=number == COUNT)
            rest = begun + number * EVERY - time.monotonic()
            late += rest < -EVERY
            if rest > 0:
                time.sleep(rest)  # bounded wait: ten publications a second
        took = time.monotonic() - begun
        tally = story.users_end(load, how=signal.SIGTERM)
        print(f"{COUNT} publications in {took:.1f} s ({late} late), "
              f"{tally['requests']} requests, {tally['failed']} failed, "
              f"{tally['stale_retries']} sent again, "
              f"{tally['connections']} connections")
        check(tally["connections"] <= CLIENTS and tally["stale_retries"] == 0,
              f"connections were broken: {tally}")
        check(story.workers() == workers, "a worker was restarted")
        story.logged(tally["requests"], ["cart"])
        fallen = shares.fallen(story.log_rows())
        check(not fallen, f"{len(fallen)} requests of users fell back, such "
              f"as uid {fallen[:1]}")
        status = json.loads(story.gray("status", "--runtime", story.runtime,
                                       "-o", "json"))
        print(json.dumps(status)[:300])
        tally = story.users("--users", USERS, "--by", "cart")
        check(tally["by"] == [["v2", USERS] + tally["by"][0][2:]],
              f"100 % is not everybody: {tally}")


if __name__ == "__main__":
    main()
