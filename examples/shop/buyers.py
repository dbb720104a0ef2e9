#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""buyers.py - makes, pays and refunds orders, and shows whose they are.

Why: `make run` shows a release of data as well as one of requests.  What is
shown is read from the rows, by what each logic wrote, and not asked of the
service or of Graylane.

usage: buyers.py TARGET make PREFIX COUNT [--inside none|some|all]
       buyers.py TARGET pay DB         every order of DB
       buyers.py TARGET refund DB      the same
       buyers.py TARGET show DB        exit code 1: an order met both logics
TARGET: 127.0.0.1:PORT
"""
import argparse
import http.client
import json
import sqlite3
import sys

OLD = ("price_cents", "discount_cents", "paid_cents", "refunded_cents")
NEW = ("net_amount", "tax_amount", "promo", "captured", "credited")


def ask(connection, path, body=None):
    """The answer's status and what it says; 503 is asked again, ten times."""
    for _ in range(10):
        connection.request("POST", path, json.dumps(body) if body else None)
        answer = connection.getresponse()
        said = json.loads(answer.read())
        if answer.status != 503:
            break
    if answer.status not in (200, 201):
        sys.exit(f"buyers: {path}: {answer.status} {said}")
    return said


def make(connection, prefix, count, inside):
    """`count` orders; how many may be inside is known to who set the share."""
    new = 0
    for number in range(count):
        said = ask(connection, "/orders", {
            "order_id": f"{prefix}-{number}", "user": str(number),
            "amount": 1000 + 97 * number})
        new += said["logic"] == "new"
    print(f"  {count} orders {prefix}-*: {count - new} made by the old logic, "
          f"{new} by the new one")
    wanted = {"none": new == 0, "some": 0 < new < count, "all": new == count}
    return 0 if wanted[inside] else 1


def rows_of(path):
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30) as db:
        db.row_factory = sqlite3.Row
        return (db.execute("SELECT orders.* FROM orders JOIN ledger USING "
                           "(order_id) WHERE stage = 'create' "
                           "ORDER BY at_ms").fetchall(),
                db.execute("SELECT order_id, stage, logic FROM ledger "
                           "ORDER BY order_id, stage").fetchall())


def advance(connection, path, stage):
    orders, _ = rows_of(path)
    for row in orders:
        ask(connection, f"/orders/{row['order_id']}/{stage}")
    print(f"  {len(orders)} orders are "
          f"{'paid' if stage == 'pay' else 'refunded'}")
    return 0


def show(path):
    orders, ledger = rows_of(path)
    made, wrong = {}, []
    for row in orders:
        logics = [name for name, columns in (("old", OLD), ("new", NEW))
                  if any(row[column] is not None for column in columns)]
        did = {entry["logic"] for entry in ledger
               if entry["order_id"] == row["order_id"]}
        if len(logics) != 1 or did != set(logics):
            wrong.append(f"{row['order_id']}: columns of {logics}, "
                         f"ledger of {sorted(did)}")
        prefix = row["order_id"].rsplit("-", 1)[0]
        made.setdefault(prefix, {"old": 0, "new": 0})[logics[0]] += 1
    print("  made      orders   old   new   (by the columns of their rows)")
    for prefix, count in made.items():
        print(f"  {prefix:<9} {count['old'] + count['new']:>6} "
              f"{count['old']:>5} {count['new']:>5}")
    for sentence in wrong[:10]:
        print(f"  BOTH LOGICS: {sentence}")
    if not wrong:
        print(f"  {len(orders)} orders, {len(ledger)} stages: each order by "
              "one logic for life")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("target")
    parser.add_argument("what", choices=["make", "pay", "refund", "show"])
    parser.add_argument("name")
    parser.add_argument("count", nargs="?", type=int, default=0)
    parser.add_argument("--inside", choices=["none", "some", "all"],
                        default="some")
    given = parser.parse_args()
    connection = http.client.HTTPConnection(given.target, timeout=30)
    if given.what == "make":
        return make(connection, given.name, given.count, given.inside)
    if given.what == "show":
        return show(given.name)
    return advance(connection, given.name, given.what)


if __name__ == "__main__":
    sys.exit(main())
