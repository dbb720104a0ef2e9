# SPDX-License-Identifier: Apache-2.0
"""stages.py - a unit is decided where it is created, and only there.

The stage is said by the documents' own rules, or by nginx (gray_stage), and
then nothing but its name counts.  Called by
a_stage_comes_from_the_documents_or_from_gray_stage.vtc.
"""
from gateway import ask


def told(order, method, sock, path="/"):
    answer = ask(path, {"Cookie": "oid=" + order}, sock=sock, method=method)
    release, = answer.explain["releases"]
    return answer.served, answer.explain["reason"], release.get("stage", "")


# by rules: POST creates, PUT pays, the rest is of no stage and only looks
assert told("1", "PUT", "http.sock") == ("v1", "mark-missing", "pay")
assert told("1", "POST", "http.sock") == ("v2", "share", "create")
assert told("1", "PUT", "http.sock") == ("v2", "mark", "pay")
assert told("1", "GET", "http.sock") == ("v2", "mark", "")
assert told("2", "GET", "http.sock") == ("v1", "mark-missing", "")
assert told("2", "POST", "http.sock") == ("v2", "share", "create")

# by nginx: a path says it, whatever the method; no value leaves it to the rules
assert told("3", "POST", "named.sock", "/pay") == ("v1", "mark-missing", "pay")
assert told("3", "GET", "named.sock", "/new") == ("v2", "share", "create")
assert told("3", "POST", "named.sock", "/pay") == ("v2", "mark", "pay")
assert told("4", "POST", "named.sock", "/") == ("v2", "share", "create")
# a name that the release has not: of no stage
assert told("5", "POST", "named.sock", "/odd") == ("v1", "mark-missing", "")
# a fixed one
assert told("5", "GET", "create.sock") == ("v2", "share", "create")
