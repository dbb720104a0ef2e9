# SPDX-License-Identifier: Apache-2.0
"""decide.py - the decision over a policy's own JSON, in plain Python.

Why: see conditions.py.  No snapshot, no index, no program: documents and a
request go in, the facts of docs/vectors/README.md come out.
Read next: marks.py (one release), check.py.
"""
import re

from conditions import VALUE_MAX, holds, millionths
from hashing import SHARE_ALL, bucket, draw
from marks import Asked, Verdict

ARMS_MAX = 16
NAME = "[a-z0-9][a-z0-9._-]{0,62}"


class Policy:
    def __init__(self, documents):
        def of(kind):
            return {d["name"]: d for d in documents if d["kind"] == kind}

        self.services, self.lanes = of("Service"), of("Lane")
        for lane in self.lanes.values():
            if not lane.get("enabled", True):
                lane.update(rules=[], services=[])
        self.lists = {name: {i.encode() for i in d["ids"]}
                      for name, d in of("List").items()}
        self.releases = dict(sorted(
            of("Release").items(), key=lambda r: -r[1].get("priority", 0)))
        self.entrances = {e for d in documents for e in d.get("entrances", [])}

    def at(self, entrance, documents):
        """Those of releases or lanes that this entrance decides."""
        return {name: d for name, d in documents.items()
                if entrance in d.get("entrances", [entrance])}

    # ---- releases ----------------------------------------------------------

    def unit(self, document, request):
        places = document.get("unit", [])
        for place in places if isinstance(places, list) else [places]:
            if place == "source":
                values = request.of_source(None)
            else:
                (key, name), = (p for p in place.items() if p[0] != "alias")
                values = request.values(
                    key, name if key == "path" else {"name": name})
            for value in values:
                if 0 < len(value) <= VALUE_MAX:
                    return value
        return None

    def first(self, rules, step, request, unit):
        for i, cond in enumerate(rules):
            if holds(cond, request, unit, self.lists):
                return f"{step}[{i}]"
        return None

    def variant(self, release, unit, random):
        """Drawn apart from the bucket, so that growth moves nobody."""
        variants = release.get("variants")
        if not variants:
            return ""
        salt = release.get("salt", release["name"]) + ":variant"
        upto, drawn = 0, (bucket(salt.encode(), unit) if unit is not None
                          else draw(random, release["name"].encode(), 1))
        for variant in variants:
            upto += millionths(variant["weight"])
            if drawn < upto:
                break
        return variant["name"]

    def by_share(self, release, request, unit, share):
        admission = release.get("admission", {})
        if "require" in admission and not holds(
                admission["require"], request, unit, self.lists):
            return Verdict(False, "require")
        rule = ""
        if "match" in admission:
            rule = self.first(admission["match"], "match", request, unit)
            if rule is None:
                return Verdict(False, "no-match")
        if unit is None:
            if admission.get("anonymous") != "random":
                return Verdict(False, "no-unit")
            place = draw(request.random, release["name"].encode(), 0)
        else:
            salt = release.get("salt", release["name"]).encode()
            place = bucket(salt, unit)
        if place < share:
            return Verdict(True, "random" if unit is None else "share", rule,
                           place)
        if place >= SHARE_ALL - millionths(admission.get("holdback", 0)):
            return Verdict(False, "holdback", "", place)
        return Verdict(False, "out-of-share", "", place)

    def ask(self, release, request):
        return Asked(self, release, request).decide()

    @staticmethod
    def stopped(name, request):
        """Carried arms of a stopped release are taken off."""
        word = request.line.get("words", {}).get(name)
        return {"killed": "killed", "baseline": "stopped"}.get(word)

    def coloured(self, arms):
        """Known arms that came in, and well-formed others: they go on as
        they came, after ours."""
        known, others = {}, {}
        for arm in arms.split(","):
            name, _, variant = arm.strip(" \t").partition(":")
            if not re.fullmatch(NAME, name) or (
                    variant and not re.fullmatch(NAME, variant)):
                continue
            release = self.releases.get(name)
            names = [v["name"] for v in (release or {}).get("variants", [])]
            if release is None or variant not in (names or [""]):
                others.setdefault(
                    name, name + (":" + variant if variant else ""))
            else:
                known.setdefault(name, Verdict(True, "colour",
                                               variant=variant))
        return known, others

    # ---- lanes -------------------------------------------------------------

    def lane_by_rules(self, entrance, request):
        """(priority, name) and then the place of the rule."""
        lanes = self.at(entrance, self.lanes).values()
        for lane in sorted(lanes, key=lambda d: (d.get("priority", 0),
                                                 d["name"])):
            unit = self.unit(lane, request)
            for i, rule in enumerate(lane.get("rules", [])):
                if "when" in rule and not holds(rule["when"], request, unit,
                                                self.lists):
                    continue
                share = millionths(rule.get("share", 100))
                salt = lane.get("salt", "lane:" + lane["name"]).encode()
                if share < SHARE_ALL and (unit is None or
                                          bucket(salt, unit) >= share):
                    continue
                return (lane["name"], "lane-rule",
                        rule.get("name", f"{lane['name']}[{i}]"))
        return "", "", ""

    def lane(self, entrance, request):
        if request.lane:
            return request.lane, "colour", ""
        if entrance is not None:
            found = self.lane_by_rules(entrance, request)
            if found[0]:
                return found
        own = request.line.get("labels", {}).get("lane", "")
        if own in self.lanes:
            return own, "lane-label", ""
        return "", "", ""

    # ---- versions ----------------------------------------------------------

    def endpoints(self, service):
        for version, body in self.services[service]["versions"].items():
            for endpoint in body["endpoints"]:
                labels = {"version": version}
                if isinstance(endpoint, dict):
                    labels.update(endpoint.get("labels", {}))
                yield labels

    def stands_in(self, service, lane):
        selector = lane.get("selector", {"lane": lane["name"]})
        return any(all(labels.get(k) == v for k, v in selector.items())
                   for labels in self.endpoints(service))

    def version(self, service, lane, verdicts):
        """Lane, its fallbacks, the arm of highest priority, baseline."""
        lane = self.lanes.get(lane)
        if lane is not None and service in lane["services"]:
            for name in [lane["name"]] + lane.get("fallback", []):
                if (service in self.lanes[name]["services"] and
                        self.stands_in(service, self.lanes[name])):
                    return name
            if lane.get("mode") == "strict":
                return ""
        for name, release in self.releases.items():
            if name not in verdicts or not verdicts[name].inside:
                continue
            body = release
            for variant in release.get("variants", []):
                if variant["name"] == verdicts[name].variant:
                    body = variant
            for target in body["services"]:
                if target["service"] == service:
                    return target["version"]
        return self.services[service]["baseline"]["version"]

    def services_of(self, releases, lane):
        names = {t["service"] for r in map(self.releases.get, releases)
                 for body in [r] + r.get("variants", [])
                 for t in body.get("services", [])}
        lane = self.lanes.get(lane)
        return names | set(lane["services"] if lane else [])

    # ---- all of it ---------------------------------------------------------

    def decide(self, request, marked=False):
        entrance = request.entrance
        if entrance == "-":
            entrance = None
        elif entrance not in self.entrances:
            entrance = ""
        here = {} if entrance is None else self.at(entrance, self.releases)
        lane, lane_reason, lane_rule = self.lane(entrance, request)
        carried, others = self.coloured(request.arms)
        verdicts = {}
        for name, release in self.releases.items():
            if name in carried and not self.stopped(name, request):
                verdicts[name] = carried[name]
            elif name in carried and name not in here:
                verdicts[name] = Verdict(False, self.stopped(name, request))
            elif name in here:
                verdicts[name] = self.ask(release, request)
        arms = [name + (":" + v.variant if v.variant else "")
                for name, v in verdicts.items() if v.inside]
        arms += [arm for name, arm in others.items()
                 if name not in verdicts or not verdicts[name].inside]
        chosen = next(
            ((n, v) for n, v in verdicts.items() if v.inside), None)
        if chosen is None and lane:
            chosen = ("", Verdict(True, lane_reason, lane_rule))
        elif chosen is None:
            chosen = next(iter(verdicts.items()), ("", Verdict(False, "none")))
        for held in verdicts.items(): # stands above arms and lane
            if held[1].hold:
                chosen = held
                break
        release, verdict = chosen
        return {
            "release": release, "arms": ",".join(arms[:ARMS_MAX]), "lane": lane,
            "version": {s: self.version(s, lane, verdicts)
                        for s in sorted(self.services_of(verdicts, lane))},
            "reason": verdict.reason, "rule": verdict.rule,
            "bucket": verdict.bucket, "class": request.traffic_class,
            "releases": {n: v.marked_facts() if marked else v.facts()
                         for n, v in verdicts.items()}}
