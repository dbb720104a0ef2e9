#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""publish.py - how long until a new policy is in force in every worker.

Why: operators wait for this, and an emergency does too.  A real nginx with two
workers and the module; 200 publications that alternate between two shares of
one release; each `gray publish --wait` returns when every live reader has
acknowledged, so the figure is the whole command: start, read, all gates,
compile, write, wake, check and swap in each worker.

usage: publish.py BUILD
Prints `name value unit`, one a line.
"""
import json
import os
import subprocess
import sys
import time

import gateway

ROUNDS = 200


def main():
    bench = gateway.Bench(sys.argv[1])
    try:
        port = gateway.free_port()
        command = bench.prepare("gray", port)
        conf = command[-1]
        with open(conf, encoding="utf-8") as f:
            body = f.read()
        body = body.replace("master_process off;", "worker_processes 2;")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(body)
        bench.spawn(command)
        gateway.Client(port).ask("uid=1")
        folder = os.path.join(bench.dir, f"gray-{port}", "runtime")
        docs = json.loads(gateway.documents(bench.v1, bench.v2,
                                            "monotonic"))
        path = os.path.join(bench.dir, "wave.json")
        took = []
        for i in range(ROUNDS):
            docs[1]["admission"]["share"] = round(10 + 0.01 * (i + 1), 2)
            with open(path, "w", encoding="utf-8") as f:
                json.dump(docs, f)
            start = time.monotonic()
            subprocess.run([bench.build + "/bin/gray", "publish", "-f", path,
                            "--runtime", folder, "--wait", "5"], check=True,
                           stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)  # advice, 200 times
            took.append((time.monotonic() - start) * 1000)
        took.sort()
        print(f"publish_effective_p50_ms {took[ROUNDS // 2]:.1f} ms")
        print(f"publish_effective_p99_ms {took[ROUNDS * 99 // 100]:.1f} ms")
    finally:
        bench.close()


if __name__ == "__main__":
    main()
