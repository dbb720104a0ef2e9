# SPDX-License-Identifier: Apache-2.0
"""marks.py - one release, one unit: stage, mark, rules, what is recorded.

Why: see conditions.py.  What was told before stands above what rules say now,
what is not known neither admits nor records, and a stage that only reads makes
nothing new; written from docs/documents.md, docs/marks.md and the README of
the vectors alone.
Read next: decide.py.
"""
from conditions import VALUE_MAX, holds, millionths
from hashing import SHARE_ALL

DEFAULT_ORDER = ["deny", "allow", "mark", "rules", "evidence"]
ENTITY_ORDER = ["mark", "deny", "allow", "rules", "evidence"]
ABSENT = {"state": "absent"}
IN_DOUBT = {"pending": "mark-pending", "unknown": "mark-unknown",
            "hold": "mark-unknown"}
TOLD_OUT = {"deny", "require", "no-match", "out-of-share", "holdback",
            "no-admit"}


class Verdict:
    """What one release answered."""

    def __init__(self, inside, reason, rule="", bucket=None, variant=""):
        self.inside, self.reason, self.rule = inside, reason, rule
        self.bucket, self.variant = bucket, variant
        self.stage = self.record = ""
        self.hold = self.pending = False

    def facts(self):
        facts = {"in": self.inside, "reason": self.reason}
        for key in ("rule", "variant"):
            if getattr(self, key):
                facts[key] = getattr(self, key)
        if self.bucket is not None:
            facts["bucket"] = self.bucket
        return facts

    def marked_facts(self):
        """The same, with what marks have to do with it."""
        facts = self.facts()
        for key in ("stage", "record", "hold", "pending"):
            if getattr(self, key):
                facts[key] = getattr(self, key)
        return facts


class Asked:
    """One release in one request."""

    def __init__(self, policy, release, request):
        self.policy, self.release, self.request = policy, release, request
        self.admission = release.get("admission", {})
        self.sticky = release.get("stickiness", "monotonic")
        self.entity = self.sticky == "entity"
        self.attempt = release.get("attempt", 1)
        self.unit = policy.unit(release, request)
        self.issued = None
        if self.admission.get("anonymous") == "cookie" and request.anonymous:
            if len(request.anonymous) <= VALUE_MAX:
                self.issued = request.anonymous
        self.earlier = self.earlier_name()
        if self.unit is None:
            self.unit = self.issued
        self.verdict = Verdict(False, "order-end")
        self.stage, self.decides = {}, True
        self.mark, self.of_earlier, self.no_writer = ABSENT, False, False
        self.closed = None

    def earlier_name(self):
        """Of a unit that the request itself names."""
        if self.unit is None:
            return None
        places = self.release.get("unit", [])
        for place in places if isinstance(places, list) else [places]:
            if isinstance(place, dict) and "alias" in place:
                name = self.policy.unit({"unit": place["alias"]}, self.request)
                if name is not None:
                    return name if name != self.unit else None
        return self.issued if self.issued != self.unit else None

    # ---- stages ------------------------------------------------------------

    def choose_stage(self):
        stages = self.release.get("stages", [])
        named = self.request.line.get("stage", "")
        self.decides = not stages
        for stage in stages:
            found = (stage["name"] == named if named else "when" not in stage or
                     holds(stage["when"], self.request, self.unit,
                           self.policy.lists))
            if found:
                self.stage = stage
                self.verdict.stage = stage["name"]
                self.decides = (stage.get("writes", False) or
                                stage.get("onMissing") == "backfill")
                return

    def dimension(self):
        """Whose marks these are; None: there are no dimensions."""
        names = self.release.get("dimensions", [])
        name = self.stage.get("of", self.stage.get("name"))
        return names.index(name) if name in names else None

    def share(self):
        share = millionths(self.admission.get("share", 0))
        names = self.release.get("dimensions", [])
        own = self.dimension()
        if own is None:
            return share
        moves = names.index(self.admission.get("dimension", names[0]))
        if own == moves:
            return share
        holdback = millionths(self.admission.get("holdback", 0))
        return SHARE_ALL - holdback if own < moves else 0

    # ---- marks -------------------------------------------------------------

    def ask(self, unit, cookie):
        if unit is None or self.sticky == "none":
            return ABSENT
        own = self.dimension()
        for mark in self.request.line.get("marks", []):
            if (mark["release"] == self.release["name"] and
                    mark["unit"].encode() == unit and
                    mark.get("cookie", False) == cookie and
                    mark.get("space", 0) == (0 if own is None else own + 1)):
                return mark
        return ABSENT

    def look(self):
        self.mark = self.ask(self.unit, False)
        if self.mark["state"] not in ("absent", "closed"):
            return
        before = self.ask(self.earlier, False)
        for found in (before, self.mark):
            if found["state"] == "closed":
                self.no_writer = True
                self.closed = self.closed or found["reason"]
        if before["state"] in ("in", "pending", "unknown", "hold") or (
                before["state"] == "out" and self.entity):
            self.mark, self.of_earlier = before, True

    def again(self):
        """Revoked, and this is a later attempt."""
        return (self.mark["state"] == "revoked" and
                self.mark.get("attempt", 1) < self.attempt)

    def may_record(self, what):
        return (self.decides and self.unit is not None and
                self.sticky != "none" and not self.no_writer and
                self.request.traffic_class == "live" and
                (self.mark["state"] == "absent" or
                 (self.of_earlier and self.mark["state"] == what) or
                 (what == "in" and self.again())))

    # ---- answers -----------------------------------------------------------

    def let_in(self, reason, rule, new, bucket=None, told=None):
        verdict = self.verdict
        verdict.inside, verdict.reason, verdict.rule = True, reason, rule
        verdict.bucket = verdict.bucket if bucket is None else bucket
        names = [v["name"] for v in self.release.get("variants", [])]
        told = told or (self.mark if self.mark["state"] == "in" else {})
        verdict.variant = (
            told["variant"] if told.get("variant") in names else
            self.policy.variant(self.release, self.unit, self.request.random))
        if new and self.closed is None and self.may_record("in"):
            verdict.record = "in"
        return True

    def out(self, reason, rule="", final=True):
        if final or self.closed is None or self.verdict.reason != self.closed:
            self.verdict.reason, self.verdict.rule = reason, rule
        return final

    def doubtful(self):
        if self.mark["state"] not in IN_DOUBT:
            return False
        self.verdict.pending = self.mark["state"] == "pending"
        self.out(IN_DOUBT[self.mark["state"]])
        return True

    def come_in(self, reason, rule, new, bucket=None):
        if self.doubtful():
            return False
        if self.closed is not None:
            return self.out(self.closed, rule, False)
        return self.let_in(reason, rule, new, bucket)

    # ---- steps -------------------------------------------------------------

    def step_deny(self):
        rule = self.policy.first(self.admission.get("deny", []), "deny",
                                 self.request, self.unit)
        return rule is not None and self.out("deny", rule)

    def step_allow(self):
        rules = self.admission.get("allow", [])
        rule = self.policy.first(rules, "allow", self.request, self.unit)
        if rule is None:
            return False
        cond = rules[int(rule[6:-1])]
        by_list = "list" in cond or "list" in cond.get("unit", {})
        return self.come_in("allow", rule, by_list, self.verdict.bucket)

    def step_mark(self):
        if self.doubtful():
            return self.mark["state"] != "unknown"
        state = self.mark["state"]
        if state == "in":
            return self.let_in("alias" if self.of_earlier else "mark", "",
                               self.of_earlier)
        if state == "out" and self.entity:
            if self.of_earlier and self.may_record("out"):
                self.verdict.record = "out"
            return self.out("alias" if self.of_earlier else "mark-out")
        if state == "revoked" and not self.again():
            return self.out("revoked")
        if self.decides:
            return False
        self.out("no-unit" if self.unit is None else "mark-missing", "", False)
        return self.entity

    def step_rules(self):
        found = self.policy.by_share(self.release, self.request, self.unit,
                                     self.share())
        self.verdict.bucket = found.bucket
        if found.inside:
            return self.come_in(found.reason, found.rule, True, found.bucket)
        return self.out(found.reason, "", False)

    def step_evidence(self):
        for unit in (self.unit, self.earlier):
            mark = self.ask(unit, True)
            if (mark["state"] == "in" and
                    mark.get("attempt", 1) >= self.attempt):
                return self.let_in("cookie", "", True, self.verdict.bucket,
                                   mark)
        return False

    def left(self, step):
        """May this step still answer?"""
        if step == "rules" and not self.decides:
            return False
        reason = self.verdict.reason
        if reason in IN_DOUBT.values():
            return step == "mark" or (
                step == "evidence" and self.mark["state"] == "unknown")
        if self.passed_mark and not self.decides:
            return step == "evidence"
        return True

    def take_steps(self):
        order = self.admission.get(
            "order", ENTITY_ORDER if self.entity else DEFAULT_ORDER)
        self.passed_mark = False
        for step in order:
            if self.left(step) and getattr(self, "step_" + step)():
                return
            self.passed_mark |= step == "mark"

    def sum_refusal(self):
        verdict = self.verdict
        if verdict.reason == "mark-unknown":
            word = self.release.get("onUnknown", "refuse")
            if self.stage:
                word = self.stage.get(
                    "onUnknown",
                    "baseline" if self.stage.get("writes") else word)
            if word == "refuse":
                verdict.reason, verdict.hold = "mark-hold", True
        elif verdict.reason in TOLD_OUT and self.may_record("out"):
            verdict.record = "out"

    def decide(self):
        word = self.request.line.get("words", {}).get(self.release["name"])
        if word in ("killed", "baseline"):
            self.out("killed" if word == "killed" else "stopped")
            if self.entity:
                self.choose_stage()
                self.look()
                if self.may_record("out"):
                    self.verdict.record = "out"
            return self.verdict
        if word == "no-admit":
            self.closed = "no-admit"
        if self.request.traffic_class == "load":
            if self.closed:
                self.out("no-admit")
            else:
                self.let_in("load-mark", "", False)
            return self.verdict
        self.choose_stage()
        self.look()
        self.take_steps()
        if self.entity and not self.verdict.inside:
            self.sum_refusal()
        return self.verdict
