#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""shares.py - was every user treated as the release promised?

Why: a gateway that judges itself proves nothing.  This program knows no hash,
no policy and no header of Graylane; it reads the access logs of the services
that really answered and asks: was the share of each release the wanted one,
was anybody dropped when it grew, did anybody meet two versions in one step,
did the services of one release agree, were two releases independent?

usage: shares.py PLAN LOG...
A log's line: time_ms service version uid method path status
PLAN is JSON:
  {"users": [FIRST, COUNT],
   "steps": [{"name": "1 %", "from": MS, "to": MS,
              "releases": [{"name": "cart-2", "share": 1,
                            "services": {"cart": "v2"}}]}]}
A step looks at lines with from <= time_ms < to.  Within one release shares may
only grow from step to step; `"shrinks": true` in a release lifts that.
Exit code: 0 all held, 1 a sentence for each violation, 2 wrong usage.
"""
import json
import math
import sys

SIGMAS = 3
CHI_SQUARE = 10.83  # 1 degree of freedom, p = 0.001


def read_logs(paths):
    """Rows (time_ms, service, version, uid, status); a torn line is an error."""
    rows = []
    for path in paths:
        with open(path, encoding="ascii") as log:
            for number, line in enumerate(log, 1):
                words = line.split()
                if len(words) != 7 or not line.endswith("\n"):
                    raise ValueError(f"{path}:{number}: not a log line")
                rows.append((int(words[0]), words[1], words[2], words[3],
                             int(words[6])))
    return rows


def served(rows, step, users):
    """{service: {uid: set of versions}} of one step; and bad statuses."""
    first, count = users
    wanted = range(first, first + count)
    found = {}
    bad = 0
    for time_ms, service, version, uid, status in rows:
        if not step["from"] <= time_ms < step["to"]:
            continue
        if not uid.isdigit() or int(uid) not in wanted:
            continue
        bad += status != 200
        found.setdefault(service, {}).setdefault(int(uid), set()).add(version)
    return found, bad


def judge_release(step, release, found, users):
    """Sentences, and the set of users that met the release."""
    name = f'{step["name"]}: {release["name"]}'
    inside = None
    for service, version in release["services"].items():
        by_uid = found.get(service, {})
        missing = users[1] - len(by_uid)
        if missing:
            yield f"{name}: {missing} users were never served by {service}"
        wavering = [uid for uid, met in by_uid.items() if len(met) > 1]
        if wavering:
            yield (f"{name}: {len(wavering)} users met several versions of "
                   f"{service} in one step, such as uid {min(wavering)}")
        here = {uid for uid, met in by_uid.items() if version in met}
        if inside is not None and here != inside:
            apart = here ^ inside
            yield (f"{name}: the services of the release disagree on "
                   f"{len(apart)} users, such as uid {min(apart)}")
        inside = here if inside is None else inside | here
    release["inside"] = inside
    count = len(inside)
    total = users[1]
    share = release["share"] / 100
    if release["share"] == 0 and count:
        yield f"{name}: wanted nobody, {count} users met it"
    elif release["share"] == 100 and count != total:
        yield f"{name}: wanted everybody, {total - count} users did not meet it"
    sigma = math.sqrt(total * share * (1 - share))
    if abs(count - total * share) > SIGMAS * sigma:
        yield (f"{name}: {count} of {total} users met it, wanted "
               f"{total * share:.0f} +- {SIGMAS * sigma:.0f}")


def judge_growth(before, step):
    for release in step["releases"]:
        for old in before["releases"]:
            if old["name"] != release["name"] or release.get("shrinks"):
                continue
            dropped = old["inside"] - release["inside"]
            if dropped:
                yield (f'{step["name"]}: {release["name"]}: {len(dropped)} '
                       f'users who were in at {before["name"]} fell out, '
                       f"such as uid {min(dropped)}")


def fallen(rows, service="cart", new="v2", old="v1"):
    """Users of a service that met the new version and later the old one."""
    first_in = {}
    for time_ms, name, version, uid, _ in rows:
        if name == service and version == new:
            first_in[uid] = min(time_ms, first_in.get(uid, time_ms))
    return [uid for time_ms, name, version, uid, _ in rows
            if name == service and version == old
            and time_ms > first_in.get(uid, time_ms)]


def chi_square(a, b, total):
    """Of the 2x2 table of two sets of users; 0 when one is empty or full."""
    both = len(a & b)
    cells = [both, len(a) - both, len(b) - both,
             total - len(a) - len(b) + both]
    rows = [len(a), total - len(a)]
    columns = [len(b), total - len(b)]
    if 0 in rows or 0 in columns:
        return 0.0
    wanted = [rows[0] * columns[0], rows[0] * columns[1],
              rows[1] * columns[0], rows[1] * columns[1]]
    return sum((cell - want / total) ** 2 / (want / total)
               for cell, want in zip(cells, wanted))


def judge_independence(step, users):
    releases = step["releases"]
    for i, one in enumerate(releases):
        for two in releases[i + 1:]:
            value = chi_square(one["inside"], two["inside"], users[1])
            if value > CHI_SQUARE:
                yield (f'{step["name"]}: {one["name"]} and {two["name"]} '
                       f"are not independent (chi-square {value:.1f})")


def judge(plan, rows):
    """All violations as sentences, and a report of what was found."""
    users = plan["users"]
    violations = []
    report = []
    before = None
    for step in plan["steps"]:
        found, bad = served(rows, step, users)
        if bad:
            violations.append(f'{step["name"]}: {bad} lines without status 200')
        for release in step["releases"]:
            violations += judge_release(step, release, found, users)
            count = len(release["inside"])
            report.append(f'{step["name"]}: {release["name"]}: wanted '
                          f'{release["share"]} %, observed '
                          f"{100 * count / users[1]:.3f} % ({count} of "
                          f"{users[1]} users)")
        violations += judge_independence(step, users)
        if before is not None:
            violations += judge_growth(before, step)
        before = step
    return violations, report


def main():
    if len(sys.argv) < 3:
        print("usage: shares.py PLAN LOG...", file=sys.stderr)
        return 2
    with open(sys.argv[1], encoding="utf-8") as f:
        plan = json.load(f)
    violations, report = judge(plan, read_logs(sys.argv[2:]))
    for line in report:
        print(line)
    for line in violations:
        print(f"VIOLATED: {line}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
