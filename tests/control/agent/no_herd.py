#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""no_herd.py - a thousand agents come back from an outage as a trickle.

Why: hosts notice the end of a server at the same moment, and whoever comes
back to a thousand of them at once goes down again.  The server here is a real
grayd that is killed and started; the agents are simulated (herd.c), but wait by
the real ones' own file.  Counted is what was accepted at the listener.

usage: no_herd.py BUILD [AGENTS [SPREAD_MS]]   (SPREAD_MS: plants a herd)
"""
import collections
import importlib.util
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from agent_case import build_folder, wait_until  # noqa: E402

PER_S = 50         # as docs/agent.md promises
MOST_IN_A_S = 100  # seven standard deviations above it


def grayd_module():
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                        "../grayd/harness.py")
    spec = importlib.util.spec_from_file_location("grayd_harness", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Herd:
    def __init__(self, build, port, tokens, *more):
        self.process = subprocess.Popen(
            [os.path.join(build, "tests/control/agent/agent_herd"), str(port),
             *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdin.write("".join(f"{n} {t}\n" for n, t in tokens))
        self.process.stdin.close()
        self.came, self.all, self.shed = [], [], []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            words = line.split()
            if words[0] == "c":
                self.came.append((int(words[1]), words[2]))
            elif words[0] == "s":
                self.shed.append(int(words[1]))
            else:
                self.all.append(int(words[1]))

    def end(self):
        self.process.terminate()
        self.process.wait(10)
        self.reader.join(10)
        self.process.stdout.close()


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    planted = sys.argv[3:4]
    harness = grayd_module()
    with harness.Grayd(build_folder()) as grayd:
        assert grayd.start(listen="127.0.0.1:0"), grayd.errors()
        assert grayd.apply(harness.SHOP).status == 200
        tokens = []
        for number in range(count):
            reply = grayd.ask("POST", "/v1/tokens", {
                "name": f"h{number}", "role": "agent",
                "scopes": [f"h{number}"], "ttlSeconds": 3600})
            assert reply.status in (200, 201), reply.text
            tokens.append((f"h{number}", reply.body["token"]))
        herd = Herd(build_folder(), grayd.port, tokens, *planted)
        try:
            wait_until("all of them poll", lambda: herd.all, 120)
            wait_until("all of them have reported", lambda: sum(
                kind == "report" for _, kind in herd.came) >= count, 60)
            port = grayd.port
            before, shed = len(herd.came), len(herd.shed)
            grayd.kill()
            assert grayd.start(listen=f"127.0.0.1:{port}"), grayd.errors()
            wait_until("all of them poll again", lambda: len(herd.all) > 1,
                       120)
        finally:
            herd.end()
        back = [ms for ms, kind in herd.came[before:] if kind == "poll"]
        first = min(back)
        seconds = collections.Counter((ms - first) // 1000 for ms in back)
        took = (herd.all[1] - first) / 1000
        print(f"{count} agents are back after {took:.1f} s; connections a "
              f"second: {[seconds[s] for s in range(max(seconds) + 1)]}; "
              f"{len(herd.shed) - shed} were told to come later")
        assert max(seconds.values()) <= MOST_IN_A_S, "a herd"
        assert grayd.stop() == 0


if __name__ == "__main__":
    main()
