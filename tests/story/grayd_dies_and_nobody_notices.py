#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""grayd is killed a hundred times while a release grows, and no user sees it.

64 keep-alive clients go on meanwhile. Each life of grayd widens the share a
little and is killed -9 at any moment of it; the folder stays what readers map.
Judged from the clients and from the carts' own logs: no request fails, nobody
who was in falls out, no worker is restarted, and in the end everybody is in.
"""
import importlib.util
import json
import os
import random
import signal
import threading

from harness import Story, build_folder, check, shares

HERE = os.path.dirname(os.path.abspath(__file__))
KILLS = int(os.environ.get("STORY_KILLS", "100"))
USERS = 2000


def grayd_module():
    path = os.path.join(HERE, "../control/grayd/harness.py")
    spec = importlib.util.spec_from_file_location("grayd_harness", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def life(module, grayd, dice, weight):
    """One life: it is asked for a little more, and killed. The weight that
    is surely in force."""
    killer = threading.Timer(dice.uniform(0.0, 0.06), grayd.process.kill)
    killer.start()
    reached = weight
    try:
        while True:
            step = round(reached + 100 / KILLS / 4, 4)
            if step >= 100:
                break
            reply = grayd.verb("cart-2", "set-weight", {"weight": step})
            check(reply.status == 200, reply.text)
            reached = step
    except module.Dead:
        pass
    killer.join()
    grayd.kill()
    check(grayd.start(), grayd.errors()[-2000:])
    now = grayd.ask("GET", "/v1/releases/cart-2").body["percent"]
    check(now >= reached, f"{reached} % was acknowledged, {now} % is there")
    return now


def main():
    module = grayd_module()
    seed = random.SystemRandom().randrange(1 << 32)
    dice = random.Random(seed)
    with Story("grayd_dies") as story:
        cart = story.service("cart", "v1", "v2")
        for version in ("v1", "v2"):
            story.shop("cart", version, chain=False)
        release = story.release("cart-2", 0, {"cart": "v2"})
        with module.Grayd(build_folder()) as grayd:
            grayd.runtime = story.runtime
            check(grayd.start(), grayd.errors())
            applied = grayd.apply(json.dumps([cart, release]))
            check(applied.status == 200, applied.text)
            story.nginx(story.gray_conf(service="cart"))
            workers = story.workers()
            load = story.users_start(
                "--users", USERS, "--passes", 0, "--rate", 2000,
                "--connections", 64, "--seconds", 300, "--expect-status", 200)
            weight = 0
            for _ in range(KILLS):
                weight = life(module, grayd, dice, weight)
            full = grayd.verb("cart-2", "set-weight", {"weight": 100})
            check(full.status == 200, full.text)
            check(full.body["inForce"]["acknowledged"] ==
                  full.body["inForce"]["readers"] > 0, full.text)
            tally = story.users_end(load, how=signal.SIGTERM)
            print(f"{KILLS} kills (seed {seed}), {tally['requests']} requests, "
                  f"{tally['failed']} failed, {weight} % before the end")
            check(tally["failed"] == 0, f"requests failed: {tally}")
            check(story.workers() == workers, "a worker was restarted")
            story.logged(tally["requests"], ["cart"])
            fallen = shares.fallen(story.log_rows())
            check(not fallen, f"{len(fallen)} requests of users fell back, "
                  f"such as uid {fallen[:1]}")
            tally = story.users("--users", USERS, "--by", "cart")
            check(tally["by"] == [["v2", USERS] + tally["by"][0][2:]],
                  f"100 % is not everybody: {tally}")


if __name__ == "__main__":
    main()
