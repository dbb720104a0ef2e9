#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""names_stay_taken.py - odd changes: all taken out, thousands at once, undone.

Why: the corner of a change is where half of it is forgotten. A release that
was started leaves cookies and marks behind, so its name stays taken however it
went; what is put in in one apply is in whole or refused with a reason; undo
leads to the steps of the document that it brings back.

usage: names_stay_taken.py BUILD
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import SHOP, Grayd  # noqa: E402

LIST = "kind: List\nname: testers\nids: [alice]\n"


def pruned(build):
    with Grayd(build) as grayd:
        assert grayd.start()
        assert grayd.apply(SHOP).status == 200
        # Never started: its name is free again.
        assert grayd.apply(LIST, prune=True).status == 200
        assert grayd.apply(SHOP).status == 200
        assert grayd.verb("cart-2", "start").status == 200
        assert grayd.verb("cart-2", "abort", {"reason": "r"}).status == 200
        gone = grayd.apply(LIST, prune=True)
        assert gone.status == 200, gone.text
        again = grayd.apply(SHOP)
        assert again.status == 409, again.text
        assert again.body["code"] == "name-used", again.text
        # Nothing at all any more, and from there on.
        assert grayd.ask("DELETE", "/v1/documents/List/testers").status == 200
        assert grayd.ask("GET", "/v1/documents").body["documents"] == []
        assert grayd.ask("GET", "/readyz").status == 200
        assert grayd.stop() == 0
        assert grayd.start()
        assert grayd.apply(SHOP).body["code"] == "name-used"
        other = grayd.apply(SHOP.replace("cart-2", "cart-3"))
        assert other.status == 200, other.text
        assert grayd.verb("cart-3", "start").status == 200


def deleted(build):
    with Grayd(build) as grayd:
        assert grayd.start()
        assert grayd.apply(SHOP).status == 200
        assert grayd.verb("cart-2", "start").status == 200
        assert grayd.ask("DELETE",
                         "/v1/documents/Release/cart-2").status == 422
        assert grayd.verb("cart-2", "abort", {"reason": "r"}).status == 200
        assert grayd.ask("DELETE",
                         "/v1/documents/Release/cart-2").status == 200
        assert grayd.apply(SHOP).body["code"] == "name-used"
        assert grayd.verb("cart-2", "kill", {"reason": "r"}).status == 404
        # Taken back to before it began: somebody was in all the same.
        other = SHOP.replace("cart-2", "cart-4")
        first = grayd.apply(other).body["revision"]
        assert grayd.verb("cart-4", "start").status == 200
        undone = grayd.verb("cart-4", "undo", {"reason": "r",
                                               "toRevision": first})
        assert undone.body["release"]["state"] == "Initialized", undone.text
        assert grayd.ask("DELETE",
                         "/v1/documents/Release/cart-4").status == 200
        assert grayd.apply(other).body["code"] == "name-used"


def many(build):
    with Grayd(build) as grayd:
        assert grayd.start()
        files = [{"name": f"{i}.yaml", "text": "\n---\n".join(
            f"kind: List\nname: l{i}-{j}\nids: [a]" for j in range(5))}
            for i in range(1000)]
        done = grayd.ask("POST", "/v1/apply", {"files": files})
        assert done.status == 200, done.text[:400]
        assert len(done.body["changes"]) == 5000
        more = grayd.ask("POST", "/v1/apply", {"files": files + files[:1]})
        assert more.status == 400, more.text[:400]


def undone(build):
    longer = SHOP.replace("{setWeight: 1}, {pause: {}}", ", ".join(
        "{setWeight: %d}, {pause: {}}" % w for w in (1, 2, 3, 4)))
    with Grayd(build) as grayd:
        assert grayd.start()
        assert grayd.apply(SHOP).status == 200
        assert grayd.verb("cart-2", "start").status == 200
        there = grayd.verb("cart-2", "promote").body
        assert there["release"]["percent"] == 10
        assert grayd.apply(longer).status == 200
        assert grayd.ask("GET", "/v1/releases/cart-2").body["step"] == 8
        back = grayd.verb("cart-2", "undo", {"reason": "r", "toRevision":
                                             there["revision"]})
        assert back.status == 200, back.text
        row = back.body["release"]
        assert (row["step"], row["steps"]) == (2, 5), row
        assert row["nextPercent"] == 50, row


def main():
    for part in (pruned, deleted, undone, many):
        part(sys.argv[1])
        print(part.__name__, flush=True)


if __name__ == "__main__":
    main()
