#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""prometheus_scrapes.py - a real Prometheus reads /metrics without a warning.

Why: a text that looks right is not yet one that Prometheus takes: names,
types, duplicates and time stamps are judged by the program that people run.

usage: prometheus_scrapes.py BUILD
"""
import json
import os
import signal
import subprocess
import sys
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import LIMIT_S, SHOP, Grayd, wait_until  # noqa: E402

CONFIG = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: grayd
    authorization: {{credentials_file: {folder}/token}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


def query(port, text):
    url = f"http://127.0.0.1:{port}/api/v1/query?query={text}"
    with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
        return json.load(answer)["data"]["result"]


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def main():
    with Grayd(sys.argv[1]) as grayd:
        assert grayd.start(listen="127.0.0.1:0")
        assert grayd.apply(SHOP).status == 200
        assert grayd.verb("cart-2", "start").status == 200
        made = grayd.ask("POST", "/v1/tokens", {
            "name": "prometheus", "role": "viewer", "scopes": [""],
            "ttlSeconds": 3600})
        with open(grayd.folder + "/token", "w") as f:
            f.write(made.body["token"])
        with open(grayd.folder + "/prometheus.yml", "w") as f:
            f.write(CONFIG.format(folder=grayd.folder, port=grayd.port))
        # No token, no figures.
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{grayd.port}/metrics",
                                   timeout=LIMIT_S)
            raise AssertionError("/metrics is open to everybody")
        except urllib.error.HTTPError as refused:
            assert refused.code == 401
        port = free_port()
        log = open(grayd.folder + "/prometheus.log", "w+")
        prometheus = subprocess.Popen(
            ["prometheus", "--config.file", grayd.folder + "/prometheus.yml",
             "--storage.tsdb.path", grayd.folder + "/tsdb",
             "--web.listen-address", f"127.0.0.1:{port}"], stderr=log,
            stdout=log)
        try:
            def up():
                try:
                    found = query(port, "up")
                except OSError:
                    assert prometheus.poll() is None
                    return False
                return found and found[0]["value"][1] == "1"
            wait_until("Prometheus scrapes grayd", up)
            share = query(port, "gray_release_share")
            assert [(s["metric"]["release"], float(s["value"][1]))
                    for s in share] == [("cart-2", 0.01)], share
            assert query(port, "grayd_revision_in_force")
            assert grayd.verb("cart-2", "set-weight",
                              {"weight": 5}).status == 200
            wait_until("the new share is scraped", lambda: float(query(
                port, "gray_release_share")[0]["value"][1]) == 0.05)
        finally:
            prometheus.send_signal(signal.SIGTERM)
            prometheus.wait(LIMIT_S)
        log.seek(0)
        bad = [line for line in log if "level=warn" in line
               or "level=error" in line]
        # Its own advice about the machine is not about us.
        bad = [line for line in bad if "component=\"scrape" in line
               or "scrape" in line]
        assert not bad, bad
        print("scraped, no warning")


if __name__ == "__main__":
    main()
