#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""orders.py - was every order served by one logic for life?

Why: whoever built the marks must not be the one who says that they hold.  This
program knows no mark's inside, no policy and no header of ours: it is given
what was asked and answered, and the rows as they lie in the database, and says
a sentence for each thing that must not be.

History: a list of dicts, one a request, in any order:
    order, stage ("create", "pay", "refund", "look"), phase (of the plan),
    sent, answered (seconds, one clock; answered None: nobody answered),
    status, body (dict), again (Retry-After was there), late (the row was made
    unreadable for this request), amount, user
Rows: {"orders": [dict], "ledger": [dict]} with `mark` as hexadecimal digits.
Plan: {phase: {"share": percent, "frozen": bool}}; phases without a share are
not judged by it.
Snapshots: {order: mark} as read at earlier moments.
"""
import math

OLD = ("price_cents", "discount_cents", "paid_cents", "refunded_cents")
NEW = ("net_amount", "tax_amount", "promo", "captured", "credited")
STATES = {"created": {"create"}, "paid": {"create", "pay"},
          "refunded": {"create", "pay", "refund"}}


def logics_of(row):
    """Which logics have left something in the columns of this row."""
    found = set()
    if any(row[column] is not None for column in OLD):
        found.add("old")
    if any(row[column] is not None for column in NEW):
        found.add("new")
    return found


def judge_rows(rows, say):
    """What the rows say alone.  {order: (row, logic)}."""
    orders = {}
    for row in rows["orders"]:
        name = row["order_id"]
        if name in orders:
            say(f"order {name} has two rows")
        logics = logics_of(row)
        if logics == {"old", "new"}:
            say(f"double record: order {name} has columns of both logics")
        elif not logics:
            say(f"order {name} has no logic's columns")
        if len(row["mark"]) != 32:
            say(f"order {name}: a mark of {len(row['mark']) / 2} bytes")
        orders[name] = (row, logics)
    done = {}
    for entry in rows["ledger"]:
        name, stage = entry["order_id"], entry["stage"]
        if name not in orders:
            say(f"order {name}: {stage} stands in the ledger, and no row")
        if stage in done.setdefault(name, {}):
            say(f"order {name}: {stage} stands twice in the ledger")
        done[name][stage] = entry["logic"]
    for name, (row, logics) in orders.items():
        stages = done.get(name, {})
        if len(set(stages.values())) > 1:
            say(f"double record: order {name} was served by both logics: "
                f"{stages}")
        if stages and not set(stages.values()) <= logics:
            say(f"order {name}: the ledger says {stages}, the columns "
                f"{sorted(logics)}")
        if set(stages) != STATES.get(row["state"]):
            say(f"order {name} is {row['state']}, the ledger has "
                f"{sorted(stages)}")
    return orders, done


def judge_answers(history, orders, done, say):
    """Each answer against the row; no effect without somebody who asked."""
    possible = {}
    made = {}
    for asked in history:
        name, stage, status = asked["order"], asked["stage"], asked["status"]
        if asked["late"] and status is not None:
            if status != 503 or not asked["again"]:
                say(f"order {name}: {stage} was answered {status} although "
                    "its row could not be read")
        if status is None or 200 <= status < 300:
            if not asked["late"]:
                possible.setdefault(name, set()).add(stage)
        if status is None or not 200 <= status < 300:
            continue
        if name not in orders:
            say(f"lost: order {name} was acknowledged and has no row")
            continue
        row, logics = orders[name]
        body = asked["body"]
        if body["logic"] not in logics or len(logics) != 1:
            say(f"order {name}: {stage} was answered by the {body['logic']} "
                f"logic, its row is of {sorted(logics)}")
        if body["mark"] != row["mark"]:
            say(f"order {name}: {stage} was answered with mark "
                f"{body['mark']}, the row has {row['mark']}")
        if stage not in ("create", "look") and stage not in done.get(name, ()):
            say(f"lost: {stage} of order {name} was acknowledged")
        if status == 201:
            made[name] = made.get(name, 0) + 1
    for name, count in made.items():
        if count > 1:
            say(f"order {name} was made {count} times")
    for name, stages in done.items():
        for stage in stages:
            if stage not in possible.get(name, ()):
                say(f"order {name}: {stage} was done, and nobody who could "
                    "be served asked for it")


def judge_plan(history, plan, say):
    """Who was created when: nobody new while frozen, everyone at 100 %."""
    created = {}
    for asked in history:
        if asked["stage"] == "create" and asked["status"] == 201:
            created.setdefault(asked["phase"], []).append(
                (asked["order"], asked["body"]["logic"]))
    for phase, found in created.items():
        share = plan.get(phase, {}).get("share")
        if share is None:
            continue
        inside = [name for name, logic in found if logic == "new"]
        if plan[phase].get("frozen") or share == 0:
            for name in inside[:5]:
                say(f"order {name} entered in {phase}, when nobody could")
        elif share == 100:
            outside = {name for name, _ in found} - set(inside)
            for name in sorted(outside)[:5]:
                say(f"order {name} was left out in {phase}, at 100 %")
        else:
            wanted = len(found) * share / 100
            spread = 3 * math.sqrt(wanted * (1 - share / 100)) + 1
            if abs(len(inside) - wanted) > spread:
                say(f"{len(inside)} of {len(found)} orders entered in "
                    f"{phase}, wanted {wanted:.0f} at {share} %")
    return created


def judge(history, rows, plan=None, snapshots=(), all_served=False):
    """Sentences, none when all is as it must be.  `all_served`: nothing was
    killed, so whatever could be read must have been served."""
    violations = []
    orders, done = judge_rows(rows, violations.append)
    judge_answers(history, orders, done, violations.append)
    judge_plan(history, plan or {}, violations.append)
    for marks in snapshots:
        for name, mark in marks.items():
            if name not in orders:
                violations.append(f"lost: order {name} had a row")
            elif orders[name][0]["mark"] != mark:
                violations.append(f"the mark of order {name} changed from "
                                  f"{mark} to {orders[name][0]['mark']}")
    for asked in history if all_served else ():
        if not asked["late"] and not (asked["status"] or 0) // 100 == 2:
            violations.append(
                f"order {asked['order']}: {asked['stage']} was answered "
                f"{asked['status']} {asked['body']}")
    return violations
