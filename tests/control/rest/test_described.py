#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_described.py - the OpenAPI document and the figures for Prometheus.

Why: a description that differs from what is served is worse than none.
usage: test_described.py SERVED
"""
import re
import shutil
import subprocess
import sys
import unittest

from harness import Served, table

SERVED = ""
ROUTES = table("GRAYD_ROUTE", "control/call/routes.def")
PROBLEMS = table("GRAYD_PROBLEM", "control/call/problems.def")
KEYWORDS = {"$ref", "type", "properties", "required", "additionalProperties",
            "items", "enum", "pattern", "minLength", "maxLength", "minItems",
            "maxItems", "minimum", "maximum", "description"}


class Described(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.served = Served(SERVED)

    @classmethod
    def tearDownClass(cls):
        cls.served.stop()

    def ask(self, path):
        return self.served.ask("GET", path, self.served.admin)

    def resolve(self, document, ref):
        self.assertTrue(ref.startswith("#/"), ref)
        for step in ref[2:].split("/"):
            document = document[step]
        return document

    def test_openapi(self):
        document = self.ask("/v1/openapi.json").json()
        self.assertEqual(document["openapi"], "3.1.0")
        self.assertEqual(document["info"]["title"], "grayd")
        ids, seen = [], set()
        for path, methods in document["paths"].items():
            self.assertTrue(path.startswith("/"))
            for method, operation in methods.items():
                ids.append(operation["operationId"])
                seen.add((method.upper(), path))
                self.operation(document, path, operation)
        self.assertEqual(len(ids), len(set(ids)))
        self.assertEqual(seen, {(row[1], row[2]) for row in ROUTES})
        for name, schema in document["components"]["schemas"].items():
            self.schema(schema, name)
        # the words of a path are there, for clients made from this
        path = document["paths"]["/v1/releases/{name}/{verb}"]["post"]
        verbs = {p["name"]: p["schema"].get("enum")
                 for p in path["parameters"]}
        self.assertIsNone(verbs["name"])
        self.assertIn("set-weight", verbs["verb"])
        self.assertEqual(len(verbs["verb"]), 15)
        path = document["paths"]["/v1/documents/{kind}/{name}"]["get"]
        self.assertIn(["Check", "Lane", "List", "Release", "Service"],
                      [p["schema"].get("enum") for p in path["parameters"]])
        refs = self.references(document)
        self.assertGreater(len(refs), 100)
        for ref in refs:
            self.resolve(document, ref)
        said = str(document["components"]["responses"])
        for row in PROBLEMS:
            self.assertIn(row[2] + ": ", said)
            self.assertIn("problem-" + row[1],
                          document["components"]["responses"])

    def operation(self, document, path, operation):
        row = next(r for r in ROUTES
                   if r[0].lower() == operation["operationId"])
        in_path = re.findall(r"{(\w+)}", path)
        named = [p["name"] for p in operation["parameters"]
                 if p["in"] == "path"]
        self.assertEqual(named, in_path)
        queries = [p["name"] for p in operation["parameters"]
                   if p["in"] == "query" and p["name"] != "dryRun"]
        self.assertEqual(queries, row[6].split())
        self.assertEqual("dryRun" in str(operation["parameters"]),
                         row[5] == "CONTROL")
        self.assertEqual(operation["x-right"], row[3].lower())
        self.assertEqual("requestBody" in operation, row[7] != "")
        if row[7]:
            self.assertEqual(
                operation["requestBody"]["content"]["application/json"]
                ["schema"], {"$ref": "#/components/schemas/" + row[7]})
        good = operation["responses"]["2XX"]["content"]
        self.assertEqual(list(good), [row[8] if "/" in row[8]
                                      else "application/json"])
        self.assertEqual(operation.get("security") == [], row[3] == "NONE")
        if row[3] != "NONE":
            for status in ("400", "401", "403", "404", "500", "503"):
                self.assertIn(status, operation["responses"])

    def schema(self, schema, where):
        """Only keywords that schema.c enforces."""
        self.assertLessEqual(set(schema), KEYWORDS, where)
        for name, one in schema.get("properties", {}).items():
            self.schema(one, f"{where}.{name}")
        for name in schema.get("required", []):
            self.assertIn(name, schema["properties"], where)
        if "items" in schema:
            self.schema(schema["items"], where + "[]")
        self.assertIn(schema.get("additionalProperties"), (None, True, False))

    def references(self, value):
        if isinstance(value, dict):
            found = [value["$ref"]] if "$ref" in value else []
            return found + [r for v in value.values()
                            for r in self.references(v)]
        if isinstance(value, list):
            return [r for v in value for r in self.references(v)]
        return []

    def test_metrics(self):
        self.ask("/v1/releases/a")
        self.ask("/v1/nothing")
        self.served.ask("GET", "/v1/whoami")
        self.served.ask("POST", "/v1/releases/a/start", self.served.admin, {})
        self.served.ask("POST", "/v1/tokens",
                        self.served.tokens["viewer", ""], {})
        for _ in range(1000):  # answered a moment before it is counted out
            answer = self.ask("/metrics")
            if b'{queue="control"} 0\n' in answer.body:
                break
        self.assertEqual(answer.headers["content-type"],
                         "text/plain; version=0.0.4")
        text = answer.body.decode()
        for line in ('grayd_http_requests_total{route="release",method="GET",'
                     'code="200"} 1',
                     'grayd_http_requests_total{route="none",method="none",'
                     'code="404"} 1',
                     'grayd_http_requests_total{route="release_verb",'
                     'method="POST",code="200"} 1',
                     'grayd_denied_total{code="unauthenticated"} 1',
                     'grayd_denied_total{code="forbidden"} 1',
                     'grayd_store_commits_total 1', 'grayd_audit_sequence 1',
                     'grayd_http_request_duration_seconds_count'
                     '{route="release"} 1',
                     'grayd_http_request_duration_seconds_bucket'
                     '{route="release",le="+Inf"} 1',
                     'grayd_queue_length{queue="control"} 0',
                     'grayd_events_watchers 0', 'grayd_store_failed 0'):
            self.assertIn("\n" + line + "\n", text)
        for name in ("build_info", "revision", "revision_in_force",
                     "connections", "body_bytes"):
            self.assertRegex(text, rf"\ngrayd_{name}[ {{]")
        for name in ("cpu_seconds_total", "resident_memory_bytes",
                     "virtual_memory_bytes", "open_fds", "max_fds",
                     "start_time_seconds"):
            self.assertRegex(text, rf"\nprocess_{name} (0\.0*)?[1-9]")
        self.assertIn("\ngray_up 0\n", text)  # no runtime folder here

    def test_promtool_is_content(self):
        self.ask("/v1/releases/a")
        promtool = shutil.which("promtool")
        if promtool is None:
            self.skipTest("promtool is not installed")
        done = subprocess.run([promtool, "check", "metrics"],
                              input=self.ask("/metrics").body,
                              capture_output=True, check=False, timeout=60)
        self.assertEqual((done.returncode, done.stdout, done.stderr),
                         (0, b"", b""))


if __name__ == "__main__":
    SERVED = sys.argv.pop(1)
    unittest.main(verbosity=1)
