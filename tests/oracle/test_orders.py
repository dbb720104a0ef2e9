#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_orders.py - the judge of orders sees each fault that it is there for.

Why: a judge that never objects is worse than none.  A clean history must pass;
the same history with one fault planted must be refused with the right words.
"""
import copy
import sys

import orders

PLAN = {"one": {"share": 50}, "two": {"share": 100},
        "ice": {"share": 100, "frozen": True}}


def order_row(name, logic, state="refunded"):
    row = dict.fromkeys(orders.OLD + orders.NEW)
    row.update(order_id=name, user_id="7", amount=100, state=state,
               mark=f"{hash(name) & 0xff:02x}" * 16)
    row.update({"price_cents": 100, "paid_cents": 100} if logic == "old"
               else {"net_amount": 84, "tax_amount": 16, "promo": "none"})
    return row


def asked(name, stage, phase, logic, status=200, late=False):
    answer = {"logic": logic, "mark": f"{hash(name) & 0xff:02x}" * 16}
    if late:
        status, answer = 503, {}
    return {"order": name, "stage": stage, "phase": phase, "sent": 0,
            "answered": 1, "status": status, "body": answer,
            "again": status == 503, "late": late, "amount": 100, "user": "7"}


def scene():
    history, rows = [], {"orders": [], "ledger": []}
    for phase, count in (("one", 40), ("two", 20), ("ice", 20)):
        for number in range(count):
            name = f"{phase}-{number}"
            logic = {"one": ("old", "new")[number % 2], "two": "new",
                     "ice": "old"}[phase]
            rows["orders"].append(order_row(name, logic))
            for stage in ("create", "pay", "refund"):
                history.append(asked(name, stage, phase, logic, late=True))
                history.append(asked(name, stage, phase, logic,
                                     201 if stage == "create" else 200))
                rows["ledger"].append({"order_id": name, "stage": stage,
                                       "logic": logic})
    return history, rows, [{r["order_id"]: r["mark"] for r in rows["orders"]}]


def both_columns(history, rows, marks):
    rows["orders"][0]["captured"] = 100


def both_in_ledger(history, rows, marks):
    rows["ledger"][1]["logic"] = "new"


def twice_in_ledger(history, rows, marks):
    rows["ledger"].append(rows["ledger"][4])


def two_rows(history, rows, marks):
    rows["orders"].append(rows["orders"][3])


def no_columns(history, rows, marks):
    for column in orders.OLD:
        rows["orders"][0][column] = None


def mark_changed(history, rows, marks):
    marks[0]["one-3"] = "ff" * 16


def mark_answered(history, rows, marks):
    history[9]["body"]["mark"] = "ee" * 16


def short_mark(history, rows, marks):
    rows["orders"][2]["mark"] = "ab"


def other_logic_answers(history, rows, marks):
    history[3]["body"]["logic"] = "new"


def unknown_is_served(history, rows, marks):
    history[2].update(status=200, body=copy.deepcopy(history[3]["body"]))


def unknown_without_retry_after(history, rows, marks):
    history[2]["again"] = False


def only_unknown_asked(history, rows, marks):
    history[3]["late"], history[3]["status"] = True, 503
    history[3]["again"] = True


def row_lost(history, rows, marks):
    del rows["orders"][5]


def payment_lost(history, rows, marks):
    del rows["ledger"][4]


def made_twice(history, rows, marks):
    history.append(copy.deepcopy(history[1]))


def enters_frozen(history, rows, marks):
    next(a for a in history if a["phase"] == "ice" and a["status"] == 201)[
        "body"]["logic"] = "new"


def left_out_at_hundred(history, rows, marks):
    next(a for a in history if a["phase"] == "two" and a["status"] == 201)[
        "body"]["logic"] = "old"


def too_many(history, rows, marks):
    for one in history:
        if one["phase"] == "one" and one["status"] == 201:
            one["body"]["logic"] = "new"


def refused(history, rows, marks):
    history[3].update(status=503, again=True)


OFFENCES = [
    (both_columns, "columns of both logics"),
    (both_in_ledger, "served by both logics"),
    (twice_in_ledger, "twice in the ledger"),
    (two_rows, "two rows"),
    (no_columns, "no logic's columns"),
    (mark_changed, "changed from"),
    (mark_answered, "was answered with mark"),
    (short_mark, "a mark of"),
    (other_logic_answers, "was answered by the new logic"),
    (unknown_is_served, "although its row could not be read"),
    (unknown_without_retry_after, "although its row could not be read"),
    (only_unknown_asked, "nobody who could be served asked"),
    (row_lost, "has no row"),
    (payment_lost, "was acknowledged"),
    (made_twice, "was made 2 times"),
    (enters_frozen, "when nobody could"),
    (left_out_at_hundred, "was left out"),
    (too_many, "orders entered in one"),
    (refused, "was answered 503"),
]


def main():
    wrong = []
    history, rows, marks = scene()
    violations = orders.judge(history, rows, PLAN, marks, all_served=True)
    if violations:
        wrong.append(f"a clean history is refused: {violations}")
    for plant, sentence in OFFENCES:
        history, rows, marks = copy.deepcopy(scene())
        plant(history, rows, marks)
        violations = orders.judge(history, rows, PLAN, marks, all_served=True)
        if not any(sentence in line for line in violations):
            wrong.append(f"{plant.__name__} is not seen: {violations}")
    for line in wrong:
        print(line)
    print(f"{len(OFFENCES) + 1 - len(wrong)} of {len(OFFENCES) + 1} as it "
          "should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
