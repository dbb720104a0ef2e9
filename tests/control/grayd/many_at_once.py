#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""many_at_once.py - changes, plans, explanations, watchers, and then the end.

Why: threads meet in grayd where calls do. Two people change, others look with
everything that computes, watch the events, break off in the middle and repeat
keys; then grayd is told to end amid all of it. Each call is answered once, by
a reply that fits its schema, and the end is clean. Under a sanitizer this is
where races and leaks show.

usage: many_at_once.py BUILD [answers]
"""
import json
import os
import random
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import LIMIT_S, SHOP, Dead, Grayd, wait_until  # noqa: E402

QUESTION = {"requests": [{"path": "/", "headers": {"cookie": f"uid=u{i}"}}
                         for i in range(20)]}
LOOKS = ["/v1/status", "/v1/releases", "/v1/releases/cart-2",
         "/v1/releases/cart-2/history", "/v1/documents", "/v1/audit",
         "/v1/scheduled", "/v1/tokens", "/metrics", "/readyz",
         "/v1/audit/checkpoints", "/v1/audit/export"]


class Crowd:
    def __init__(self, grayd):
        self.grayd, self.over, self.wrong = grayd, False, []
        self.answered, self.events = {}, 0
        self.lock = threading.Lock()

    def count(self, status):
        with self.lock:
            self.answered[status] = self.answered.get(status, 0) + 1

    def run(self, act, seed):
        dice = random.Random(seed)
        while not self.over:
            try:
                reply = act(dice)
            except Dead:
                if not self.over:
                    self.wrong.append("an answer is missing")
                return
            if reply is not None:
                self.count(reply.status)
                if reply.status not in (200, 201, 409, 422) and \
                        not (self.over and reply.status == 503):
                    self.wrong.append(reply.text)

    def change(self, dice):
        what = dice.randrange(6)
        if what == 0:
            return self.grayd.apply(SHOP.replace(
                "alice", f"alice{dice.randrange(100)}"))
        if what == 1:
            return self.grayd.ask("POST", "/v1/tokens", {
                "name": f"t{dice.randrange(9)}", "role": "viewer",
                "scopes": ["cart"], "ttlSeconds": 60})
        return self.grayd.verb("cart-2", *dice.choice([
            ("start", {}), ("pause", {}), ("resume", {}), ("promote", {}),
            ("freeze", {}), ("thaw", {}), ("kill", {"reason": "r"}),
            ("unkill", {}), ("stop", {}), ("retry", {})]),
            Idempotency_Key=str(dice.randrange(1000)))

    def look(self, dice):
        return self.grayd.ask("GET", dice.choice(LOOKS))

    def compute(self, dice):
        if dice.random() < 0.5:
            return self.grayd.ask("POST", "/v1/plan", {
                "files": [{"name": "a", "text": SHOP}]})
        return self.grayd.ask("POST", "/v1/explain", QUESTION)

    def watch(self, dice):
        """Reads some events, then breaks off where it stands."""
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(LIMIT_S)
        try:
            stream.connect(self.grayd.socket)
            stream.sendall(b"GET /v1/events HTTP/1.1\r\nHost: g\r\n\r\n")
            for _ in range(dice.randrange(1, 20)):
                more = stream.recv(4096)
                if not more:
                    break
                self.events += more.count(b"\nid:") + more.count(b"\nevent:")
        except OSError:
            pass
        finally:
            stream.close()


def main():
    enough = int(sys.argv[2]) if len(sys.argv) > 2 else 1500
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    with Grayd(sys.argv[1]) as grayd:
        assert grayd.start()
        assert grayd.apply(SHOP).status == 200
        crowd = Crowd(grayd)
        threads = [threading.Thread(target=crowd.run, args=(act, seed + i))
                   for i, act in enumerate(
                       [crowd.change] * 3 + [crowd.look] * 3
                       + [crowd.compute] * 3 + [crowd.watch] * 3)]
        for thread in threads:
            thread.start()
        wait_until("enough was answered, and events were seen", lambda:
                   crowd.answered.get(200, 0) > enough and crowd.events > 50)
        crowd.over = True
        grayd.process.terminate()
        for thread in threads:
            thread.join(LIMIT_S)
            assert not thread.is_alive()
        assert grayd.stop() == 0
        assert crowd.wrong == [], crowd.wrong[:3]
        assert grayd.start()
        assert grayd.ask("GET", "/v1/releases").status == 200
    print(json.dumps(crowd.answered), crowd.events, "events")


if __name__ == "__main__":
    main()
