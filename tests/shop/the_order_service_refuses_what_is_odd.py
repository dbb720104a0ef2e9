#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""the_order_service_refuses_what_is_odd.py - and writes nothing for it.

Why: whoever judges marks by this service's rows must know that it does what it
says: an order is made once, by whoever names it first, and moves one way; what
it does not understand leaves no row; a fault is injected only where it was
started for that.

usage: the_order_service_refuses_what_is_odd.py BUILD sqlite|postgres
"""
import http.client
import json
import sys

from scene import Story, as_it_must_be, check, shop

GOOD = {"order_id": "A-1", "user": "7", "amount": 12000}
ODD_BODIES = [
    b"", b"{", b"[]", b"7", b'{"order_id": "A-2"}',
    json.dumps(dict(GOOD, order_id="A 2")).encode(),
    json.dumps(dict(GOOD, order_id="")).encode(),
    json.dumps(dict(GOOD, order_id="a" * 65)).encode(),
    json.dumps(dict(GOOD, order_id="A'; DROP TABLE orders; --")).encode(),
    json.dumps(dict(GOOD, user='"')).encode(),
    json.dumps(dict(GOOD, amount="12")).encode(),
    json.dumps(dict(GOOD, amount=0)).encode(),
    json.dumps(dict(GOOD, amount=-1)).encode(),
    json.dumps(dict(GOOD, amount=1000000001)).encode(),
    json.dumps(dict(GOOD, amount=10 ** 30)).encode(),
    b"[" * 4000,
]
ODD_TARGETS = [
    ("GET", "/", 404), ("GET", "/orders", 405), ("PUT", "/orders", 405),
    ("POST", "/orders/A-1", 405), ("GET", "/orders/A-1/pay", 405),
    ("POST", "/orders/A-1/eat", 404), ("POST", "/orders/A-1/pay/", 404),
    ("GET", "/orders/none", 404), ("POST", "/orders/none/pay", 404),
    ("GET", "/ordersA-1", 404), ("GET", "/orders/", 404),
    ("GET", "/orders/%00", 404), ("GET", "/orders/" + "a" * 65, 404),
]


def send(here, method, path, body=None, headers=()):
    """Status; None: the connection was closed instead."""
    connection = here.connect()
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def odd(here):
    for body in ODD_BODIES:
        status = send(here, "POST", "/orders", body)
        check(status == 400, f"{body[:60]} was answered {status}")
    # one byte more than the service reads
    check(send(here, "POST", "/orders", b" " * 4097) is None, "4,097 bytes")
    check(send(here, "POST", "/orders", b" " * 4096) == 400, "4,096 bytes")
    check(not here.store.rows()["orders"], "something odd left a row")


def one_way(here):
    check(send(here, "POST", "/orders/A-1/refund") == 404, "no order yet")
    first = here.ask("create", "A-1")
    check(first["status"] == 201, first)
    for method, path, wanted in ODD_TARGETS:
        status = send(here, method, path, b"" if method != "GET" else None)
        check(status == wanted, f"{method} {path} was answered {status}")
    for change in ({"amount": 11999}, {"user": "8"}):
        status = send(here, "POST", "/orders",
                      json.dumps(dict(GOOD, **change)))
        check(status == 409, f"another order of this id: {status}")
    check(send(here, "POST", "/orders/A-1/refund") == 409, "not paid yet")
    here.ask("pay", "A-1")
    here.ask("refund", "A-1")
    here.ask("pay", "A-1")  # asked again, late: as it stands
    check(here.history[-1]["body"]["state"] == "refunded", here.history[-1])


def main():
    kind = sys.argv[2]
    with Story(f"the_order_service_refuses_what_is_odd ({kind})") as story, \
            shop(story, kind) as here:
        here.publish("all", 100)
        here.start()
        odd(here)
        one_way(here)
        as_it_must_be(here.judge(all_served=True))
        here.stop()
        here.start(faults=False)
        asked = here.ask("look", "A-1", late=True)
        check(asked["status"] == 200, f"believed x-fault unasked: {asked}")


if __name__ == "__main__":
    main()
