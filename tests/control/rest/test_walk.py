#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_walk.py - every route x every role x own and foreign scope.

Why: deny by default is a promise about what is not written; so the tables
(routes.def, roles.def) are read here a second time, by other code, and each
combination is asked for.  usage: test_walk.py SERVED
"""
import os
import re
import sys
import unittest

from harness import Served, table

SERVED = ""
ROUTES = [dict(zip(("name", "method", "path", "right", "resource", "where",
                    "query", "request", "response", "summary"), row))
          for row in table("GRAYD_ROUTE", "control/call/routes.def")]
RIGHTS = {row[1]: set(re.findall(r"RIGHT_(\w+)", row[2]))
          for row in table("GRAYD_ROLE", "control/identity/roles.def")}
BODIES = {"Apply": {"files": [{"name": "a", "text": "b"}]},
          "PlanWanted": {"weights": [{"release": "cart-2", "weight": 5}]},
          "Bypass": {"on": True, "reason": "r"},
          "Explain": {"requests": [{}]},
          "TokenWanted": {"name": "ci", "role": "viewer", "scopes": ["cart"],
                          "ttlSeconds": 60},
          "MarksWanted": {"marks": [{"unit": "7", "state": "in"}]},
          "MarkRepair": {"unit": "7", "state": "in", "reason": "r"},
          "MarksOver": {"units": ["7"]},
          "HostDecisions": {"index": "a" * 32, "after": 0, "through": 0,
                            "lines": []},
          "HostReport": {"host": "cart-2", "sequence": 1, "epoch": 0,
                         "readers": []},
          "HostAdmissions": {"journal": "1", "after": 0, "records": []},
          "CheckWanted": {}, "CheckExplain": {"all": True, "reason": "r"},
          "ListIds": {}, "Reason": {}, "Verb": {}}


def path_of(route, name):
    return (route["path"].replace("{name}", name).replace("{kind}", "Release")
            .replace("{verb}", "start").replace("{id}", "7"))


class Walk(unittest.TestCase):
    def test_the_tables_decide(self):
        with Served(SERVED) as served:
            checks = 0
            self.assertEqual(len(ROUTES), 53)
            for route in ROUTES:
                for role, rights in RIGHTS.items():
                    for scope in ("", "cart"):
                        for name in ("cart-2", "pay-1"):
                            self.one(served, route, role, rights, scope, name)
                            checks += 1
            print(f"walked {checks} combinations")

    def one(self, served, route, role, rights, scope, name):
        expected = 200
        if route["right"] != "NONE":
            if route["right"] not in rights:
                expected = 403
            elif route["resource"] == "NAME" and role == "agent":
                expected = 200 if name == (scope or "cart-2") else 403
            elif route["resource"] == "NAME" and not name.startswith(scope):
                expected = 403
            elif route["resource"] == "ALL" and scope != "":
                expected = 403
        before = self.status(served)
        token = served.tokens[role, scope]
        body = BODIES[route["request"]] if route["request"] else None
        if route["name"] == "EVENTS":
            with served.connect() as s:
                s.sendall((f"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n"
                           f"Authorization: Bearer {token}\r\n\r\n").encode())
                self.assertTrue(s.recv(100).startswith(
                    f"HTTP/1.1 {expected}".encode()))
            return
        answer = served.ask(route["method"], path_of(route, name), token, body)
        where = (route["name"], role, scope, name, answer.body)
        self.assertEqual(answer.status, expected, where)
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
        self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertRegex(answer.headers["x-request-id"], "^[0-9a-f]{32}$")
        after = self.status(served)
        self.assertEqual(after["denied"] - before["denied"], expected == 403,
                         where)
        self.assertEqual(after["called"] - before["called"],
                         expected == 200 and route["where"] == "CONTROL",
                         where)
        if expected == 403:
            self.assertEqual(answer.code(), "forbidden")
            self.assertEqual(after["lastDenied"].split()[0], route["name"])
            self.assertIn(role, after["lastDenied"])

    def status(self, served):
        return served.ask("GET", "/v1/status", served.admin).json()

    def test_nobody_gets_nothing(self):
        with Served(SERVED) as served:
            secret = served.admin
            wrong = secret[:-1] + ("A" if secret[-1] != "A" else "B")
            shown = [None, wrong, "gray_" + "0" * 16 + "_" + "A" * 43, "x",
                     served.tokens["expires", ""]]
            while self.status_of(served, shown[-1]) != 401:
                pass  # bounded: it expires 300 ms after it was made
            for route in ROUTES:
                for token in shown:
                    expected = 200 if route["right"] == "NONE" else 401
                    answer = served.ask(route["method"],
                                        path_of(route, "cart-2"), token)
                    self.assertEqual(answer.status, expected, route["name"])
                    if expected == 401:
                        self.assertEqual(answer.code(), "unauthenticated")
                        self.assertTrue(answer.headers["www-authenticate"]
                                        .startswith("Bearer"))
            # What exists is not told to somebody unknown.
            self.assertEqual(served.ask("GET", "/v1/nothing").status, 401)
            self.assertEqual(served.ask("PUT", "/v1/apply").status, 401)
            for scheme in ("Basic", "bearer", "Token"):
                status = served.ask("GET", "/v1/whoami", headers=[
                    f"Authorization: {scheme} {secret}"]).status
                self.assertEqual(status, 200 if scheme == "bearer" else 401)
            self.assertEqual(served.ask(
                "GET", f"/v1/whoami?token={secret}").status, 401)
            self.assertEqual(served.ask("GET", "/v1/whoami", headers=[
                f"Cookie: token={secret}"]).status, 401)

    def status_of(self, served, token):
        return served.ask("GET", "/v1/whoami", token).status

    def test_unknown_paths_and_other_methods(self):
        with Served(SERVED) as served:
            for path in ("/", "/v1", "/v1/", "/v2/releases", "/v1/releases/",
                         "/v1/releases/a/b/c", "/v1//releases",
                         "/V1/releases"):
                answer = served.ask("GET", path, served.admin)
                self.assertIn(answer.status, (400, 404), path)
            for path in ("/v1/../healthz", "/v1/releases/..",
                         "/v1/releases/%2e%2e", "/v1/releases/%00",
                         "/v1/releases/%zz", "/v1/releases/%ff", "x",
                         "http://localhost/healthz", "*"):
                self.assertEqual(served.ask("GET", path, served.admin).status,
                                 400, path)
            known = {}
            for route in ROUTES:
                path = path_of(route, "cart-2")
                known.setdefault(path, set()).add(route["method"])
            # the same words may be a verb
            known["/v1/releases/cart-2/history"] = {"GET", "POST"}
            known["/v1/releases/cart-2/marks"] = {"GET", "POST"}
            known["/v1/documents/Release/cart-2/history"] = {"GET"}
            for path, methods in known.items():
                for method in ("GET", "POST", "PUT", "DELETE", "PATCH",
                               "OPTIONS", "BREW"):
                    if method in methods:
                        continue
                    answer = served.ask(method, path, served.admin)
                    self.assertEqual(answer.status, 405, (method, path))
                    self.assertEqual(
                        set(answer.headers["allow"].split(", ")),
                        methods | ({"HEAD"} if "GET" in methods else set()))
                    self.assertNotIn("access-control-allow-origin",
                                     answer.headers)

    def test_a_slash_inside_a_name_stays_inside(self):
        with Served(SERVED) as served:
            answer = served.ask("GET", "/v1/documents/Release/a%2Fb",
                                served.admin)
            self.assertEqual(answer.json()["name"], "a/b")

    def test_peers_of_the_socket(self):
        with Served(SERVED) as served:
            answer = served.ask("GET", "/v1/whoami", local=True)
            self.assertTrue(answer.json()["name"].startswith("root"))
            self.assertEqual(answer.json()["via"], "socket")
            # a token that is shown counts, and a wrong one is not forgiven
            answer = served.ask("GET", "/v1/whoami", local=True,
                                token=served.tokens["viewer", "cart"])
            self.assertEqual(answer.json()["name"], "viewer-cart")
            self.assertEqual(served.ask("GET", "/v1/whoami", local=True,
                                        token="gray_x").status, 401)
            if os.getuid() == 0:
                self.somebody_else(served)

    def somebody_else(self, served):
        """A user that is neither root nor grayd's own is nobody."""
        os.chmod(served.folder, 0o755)
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                token = served.tokens["viewer", ""]
                good = (served.ask("GET", "/healthz", local=True).status,
                        served.ask("GET", "/v1/whoami", local=True).status,
                        served.ask("GET", "/v1/whoami", token,
                                   local=True).status) == (200, 401, 200)
                os._exit(0 if good else 1)
            except BaseException:  # whatever it is, this is the child
                os._exit(2)
        self.assertEqual(os.waitpid(child, 0)[1], 0)

    def test_a_revoked_token_ends_at_once(self):
        with Served(SERVED) as served:
            viewer = served.tokens["viewer", ""]
            with served.connect() as s:
                for _ in range(3):
                    self.assertEqual(self.keep(s, viewer), 200)
                answer = served.ask("DELETE", "/v1/tokens/" +
                                    viewer.split("_")[1], served.admin)
                self.assertEqual(answer.status, 200)
                self.assertEqual(self.keep(s, viewer), 401)

    def keep(self, s, token):
        from harness import receive, send
        send(s, "GET", "/v1/whoami", token)
        return receive(s).status

    def test_no_answer_carries_a_secret(self):
        with Served(SERVED) as served:
            said = b""
            for route in ROUTES:
                if route["name"] == "EVENTS":
                    continue
                for token in (served.admin, served.admin[:-1] + "!",
                              served.tokens["viewer", "cart"]):
                    body = (BODIES[route["request"]] if route["request"]
                            else None)
                    answer = served.ask(route["method"],
                                        path_of(route, "cart-2"), token, body)
                    said += answer.body + repr(answer.headers).encode()
            body = served.admin.encode()
            for broken in (b'{"files": ' + body, b'{"' + body + b'":1}',
                           b'"' + body + b'"'):
                answer = served.ask("POST", "/v1/plan", served.admin, broken)
                self.assertEqual(answer.status, 400)
            said += served.stderr().encode()
            for token in served.tokens.values():
                self.assertNotIn(token.split("_", 2)[2].encode(), said)


if __name__ == "__main__":
    SERVED = sys.argv.pop(1)
    unittest.main(verbosity=1)
