#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""the_main_job_ends_well.py - `make run ONCE=1`, smaller, as a test.

Why: it is what a person sees first.  All four steps with 4,000 users must end
with exit code 0 and every step as wanted; with one of its ports taken it must
end at once, name the port and leave nothing behind.

usage: the_main_job_ends_well.py BUILD
"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile

from harness import free_port

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def run(build, folder, ports):
    env = dict(os.environ, ONCE="1", GRAY_BUILD=build, SHOP_USERS="4000",
               SHOP_PORT=str(ports[0]), SHOP_TLS_PORT=str(ports[1]),
               SHOP_INNER_PORT=str(ports[2]),
               GRAY_RUNTIME=os.path.join(folder, "runtime"))
    return subprocess.run([os.path.join(ROOT, "examples", "shop", "run")],
                          env=env, cwd=ROOT, text=True, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def main():
    build = os.path.abspath(sys.argv[1])
    folder = tempfile.mkdtemp(prefix="gray-run-", dir="/dev/shm")
    try:
        done = run(build, folder, [free_port() for _ in range(3)])
        print(done.stdout)
        assert done.returncode == 0, f"exit code {done.returncode}"
        assert "every step as wanted" in done.stdout
        assert "requests, 0 failed;" in done.stdout

        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            ports = [free_port(), free_port()]
            done = run(build, folder, [port] + ports)
        print(done.stdout)
        assert done.returncode == 1, f"exit code {done.returncode}"
        assert str(port) in done.stdout, "the taken port is not named"
        left = subprocess.run(["pgrep", "-f", folder], capture_output=True,
                              text=True, check=False).stdout.split()
        assert not left, f"left running: {left}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
