#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test_scraped.py - a real Prometheus scrapes /metrics without a warning.

usage: test_scraped.py SERVED
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import unittest
import urllib.parse
import urllib.request

from harness import LIMIT_S, Served

SERVED = ""
CONFIGURATION = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: grayd
    authorization: {{type: Bearer, credentials_file: {token}}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


class Scraped(unittest.TestCase):
    def test_prometheus(self):
        program = shutil.which("prometheus")
        if program is None:
            self.skipTest("prometheus is not installed")
        with Served(SERVED) as served:
            folder = served.folder
            with open(folder + "/token", "w", encoding="ascii") as f:
                f.write(served.tokens["viewer", ""] + "\n")
            with open(folder + "/prometheus.yml", "w", encoding="ascii") as f:
                f.write(CONFIGURATION.format(token=folder + "/token",
                                             port=served.port))
            with socket.create_server(("127.0.0.1", 0)) as s:
                port = s.getsockname()[1]
            with open(folder + "/log", "wb") as log:
                process = subprocess.Popen(
                    [program, f"--config.file={folder}/prometheus.yml",
                     f"--storage.tsdb.path={folder}/data",
                     f"--web.listen-address=127.0.0.1:{port}"],
                    stdout=log, stderr=log, cwd=folder)
            try:
                self.scraped(port, folder)
            finally:
                process.terminate()
                process.wait(LIMIT_S)
            self.log_is_clean(folder + "/log")

    def ask(self, port, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}",
                                    timeout=LIMIT_S) as answer:
            return json.load(answer)["data"]

    def scraped(self, port, folder):
        until = time.monotonic() + LIMIT_S
        data = {}
        while time.monotonic() < until:
            try:
                data = self.ask(port, "/api/v1/query?query="
                                "grayd_http_requests_total%7Broute=%22metrics"
                                "%22%7D")
            except OSError:
                continue  # it is not up yet; bounded above
            if data["result"]:
                break
        else:
            with open(folder + "/log", encoding="utf-8") as f:
                self.fail(f"never scraped: {data}\n{f.read()}")
        labels = data["result"][0]["metric"]
        self.assertEqual((labels["code"], labels["method"]), ("200", "GET"))
        # What a person is woken by: a writer that has no room, and its lag.
        for name, value in (("grayd_marks_writer_ok", "0"),
                            ("grayd_marks_lag_seconds", "1.5"),
                            ("grayd_marks_revoke_queue", "3"),
                            ('grayd_marks{release="cart-2",state="in"}', "5"),
                            ("grayd_marks_closed", "1")):
            found = self.ask(port, "/api/v1/query?query=" +
                             urllib.parse.quote(name))["result"]
            self.assertEqual([row["value"][1] for row in found], [value], name)
        target = self.ask(port, "/api/v1/targets")["activeTargets"][0]
        self.assertEqual((target["health"], target["lastError"]), ("up", ""))

    def log_is_clean(self, path):
        with open(path, encoding="utf-8") as f:
            for line in f:
                if "level=warn" in line or "level=error" in line:
                    self.assertNotIn("scrape", line)
                    self.assertNotIn("target", line)


if __name__ == "__main__":
    SERVED = sys.argv.pop(1)
    os.environ.pop("http_proxy", None)
    os.environ.pop("HTTP_PROXY", None)
    unittest.main(verbosity=1)
