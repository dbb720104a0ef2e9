#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a plan predicts is what arrives, at every step of a ramp.

web calls cart and cart calls order; the new cart calls order twice, and a
third service, stock, that the old one never calls.  A fixed set of users comes
once in every step, and some testers who are in from the start: so the new
version's calls are measured before anybody else comes in.  Before each step
`gray plan --weight` says who comes in and what every version will get; then
the step is taken, the same users come again, and each service says how many
requests it really had.  Predicted and counted agree within 5 %, and the call
that doubles and the one that is new are named beforehand, every time.  At the
end a version bears less than would come: plan and step are refused, and go
with --over-capacity.
"""
import json
import os
import urllib.request

from harness import Story, check, wait_until
from marked import GRAYD

USERS, TESTERS, FIRST_TESTER = 9900, 100, 900001
ROUND = USERS + TESTERS
STEPS = (5, 20, 50, 100)
WITHIN = 0.05
SERVICES = {"web": ["v1"], "cart": ["v1", "v2"], "order": ["v1"],
            "stock": ["v1"]}
CALLS = {"web-v1": ["cart:10"], "cart-v1": ["order"],
         "cart-v2": ["order", "order", "stock"]}
INNER = """
    server {{
        listen 127.0.0.1:{inner};
        gray_trust 127.0.0.1;
        location /cart {{ gray_service cart; proxy_pass http://gray; }}
        location /order {{ gray_service order; proxy_pass http://gray; }}
        location /stock {{ gray_service stock; proxy_pass http://gray; }}
    }}
    server {{
        listen 127.0.0.1:{entrance};
        gray_entrance on;
        gray_record {record} sample=1;
        location / {{ gray_service web; proxy_pass http://gray; }}
    }}
"""
RELEASE = """
---
kind: Release
name: cart-2
services: [{service: cart, version: v2}]
unit: {cookie: uid}
admission: {allow: [{list: testers}]}
strategy: {canary: {steps: [{setWeight: 5}, {pause: {}}, {setWeight: 20},
                            {pause: {}}, {setWeight: 50}, {pause: {}}]}}
---
kind: List
name: testers
"""


class Shop:
    def __init__(self, story):
        self.story = story
        self.grayd = GRAYD.Grayd(story.build)
        story.runtime = self.grayd.runtime
        self.record = os.path.join(story.dir, "record.jsonl")
        self.rounds = 0

    def gray(self, *words, codes=(0,)):
        return self.story.gray(*words, "--server",
                               "unix:" + self.grayd.socket, codes=codes)

    def documents(self, **capacity):
        text = ""
        for name, versions in SERVICES.items():
            text += f"---\nkind: Service\nname: {name}\n"
            text += "baseline: {version: v1}\nversions:\n"
            for v in versions:
                text += (f"  {v}: {{endpoints: "
                         f"['127.0.0.1:{self.story.port(f'{name}-{v}')}']")
                if f"{name}_{v}" in capacity:
                    text += f", capacity: {{maxRate: {capacity[f'{name}_{v}']}}}"
                text += "}\n"
        ids = ", ".join(f'"{FIRST_TESTER + i}"' for i in range(TESTERS))
        path = os.path.join(self.story.dir, "shop.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text + RELEASE + f"ids: [{ids}]\n")
        return path

    def start(self):
        check(self.grayd.start("--recorded", self.record, "--measure-window",
                               "3600"), self.grayd.errors())
        for name, versions in SERVICES.items():
            for v in versions:
                words = []
                for call in CALLS.get(f"{name}-{v}", []):
                    words += ["--call", call]
                self.story.start(
                    os.path.join(self.story.build, "tests/story/caller"),
                    "--listen", self.story.port(f"{name}-{v}"), "--next",
                    self.story.port("inner"), *words)
                self.story.wait_port(self.story.port(f"{name}-{v}"))
        self.gray("apply", "-f", self.documents(), "--reason", "story")
        self.story.nginx(self.story.conf(
            f"    gray_runtime {self.story.runtime};\n"
            "    upstream gray { gray_balance; keepalive 64; }\n" +
            INNER.format(record=self.record, inner=self.story.port("inner"),
                         entrance=self.story.port("entrance"))))

    def count(self, name):
        with urllib.request.urlopen(
                f"http://127.0.0.1:{self.story.port(name)}/count",
                timeout=10) as answer:
            return int(answer.read())

    def counts(self):
        return {f"{name}-{v}": self.count(f"{name}-{v}")
                for name, versions in SERVICES.items() for v in versions}

    def round(self):
        """Everybody comes once; what each service had of it."""
        before = self.counts()
        for first, users in ((1, USERS), (FIRST_TESTER, TESTERS)):
            self.story.users("--users", users, "--first", first,
                             "--connections", 16, "--expect-status", 200,
                             "--seconds", 200)
        self.rounds += 1
        wait_until(lambda: self.story.read(self.record).count("\n") ==
                   self.rounds * ROUND, "every request is recorded", 30)
        after = self.counts()
        return {name: after[name] - before[name] for name in after}

    def plan(self, weight, codes=(0,)):
        text = self.gray("plan", "--weight", f"cart-2={weight}", codes=codes)
        plan = json.loads(self.gray("plan", "--weight", f"cart-2={weight}",
                                    "-o", "json", codes=codes))
        return plan, text


def near(predicted, counted):
    return abs(predicted - counted) <= WITHIN * counted


def check_step(shop, weight):
    plan, text = shop.plan(weight)
    impact = plan["impact"]
    print(text)
    check(impact["measured"], "traffic is not measured")
    check(impact["replay"]["replayed"] == 10000, "not all were replayed")
    # per offered request: rates are relative to what comes
    predicted = {f"{row['service']}-{row['version']}":
                 row["then"] / impact["entrance"] * ROUND
                 for row in impact["versions"]}
    calls = {(row["service"], row["kind"]) for row in impact["calls"]}
    check(calls == {("order", "more"), ("stock", "only-new")},
          f"{weight} %: named beforehand: {impact['calls']}")
    doubled = next(row for row in impact["calls"]
                   if row["service"] == "order")
    check(1.9 < doubled["factor"] < 2.1, f"it doubles: {doubled}")
    for word in ("order is called 2.0", "stock is called by cart-2 only"):
        check(word in text, f"the page does not say: {word}")
    check(all(len(line) <= 80 for line in text.splitlines()
              if not line.startswith("compared")), "wider than 80 columns")
    shop.gray("set-weight", "cart-2", weight, "--wait", "10")
    counted = shop.round()
    for name, requests in counted.items():
        print(f"{weight:4} %  {name:9} predicted {predicted[name]:8.1f}  "
              f"counted {requests:6}")
        check(near(predicted[name], requests) or
              (requests == 0 and predicted[name] < 1),
              f"at {weight} %: {name} had {requests}, not "
              f"{predicted[name]:.1f}")
    comes = impact["replay"]["releases"][0]
    check(comes["comes"] > 0 and comes["drops"] == 0 and
          len(comes["come"]) == 3, f"who comes in: {comes}")
    return counted


def check_capacity(shop):
    """One request a second is less than comes."""
    plan, _ = shop.plan(20)
    check(plan["accepted"], "without a capacity nothing is refused")
    shop.gray("apply", "-f", shop.documents(cart_v2=1), "--reason", "tight")
    plan, text = shop.plan(20, codes=(1,))
    check(not plan["accepted"] and plan["impact"]["verdict"] == "over",
          "a plan over capacity passes")
    check(text.startswith("REFUSED") and "--over-capacity" in text and
          "OVER" in text, text)
    done = shop.gray("set-weight", "cart-2", 20, codes=(1,))
    check(json.loads(shop.gray("describe", "release", "cart-2", "-o",
                               "json"))["release"]["percent"] == 5, f"the step was taken: {done}")
    shop.gray("plan", "--weight", "cart-2=20", "--over-capacity")
    shop.gray("set-weight", "cart-2", 6, "--over-capacity")
    shop.gray("apply", "-f", shop.documents(), "--reason", "enough")


def main():
    with Story("a_plan_says_what_comes") as story:
        shop = Shop(story)
        with shop.grayd:
            shop.start()
            wait_until(lambda: not json.loads(
                shop.gray("plan", "--weight", "cart-2=5", "-o", "json"))
                ["impact"]["measured"], "nothing has come yet")
            shop.round()
            counted = shop.round()
            check(counted["cart-v2"] == TESTERS * 9 // 10 and
                  counted["stock-v1"] == counted["cart-v2"],
                  f"testers alone are in: {counted}")
            for weight in STEPS:
                counted = check_step(shop, weight)
                if weight == STEPS[0]:
                    check_capacity(shop)
                    shop.round()
                    shop.round()
            check(counted["cart-v1"] == 0, "everybody is in at the end")
            story.stop_nginx()
            check(shop.grayd.stop() == 0, "grayd ends badly")


if __name__ == "__main__":
    main()
