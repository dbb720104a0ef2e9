#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""planted.py - a program of tests, beside a PostgreSQL of its own.

Why: what is found must be the same whichever database the rows are in, and a
server is needed for the second one: initdb in a folder on /dev/shm, a unix
socket, ended with the test.  The connection is in RECON_POSTGRES.

usage: planted.py BUILD PROGRAM [ARGUMENT]...
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../../shop"))
from scene import Postgres, Story  # noqa: E402


def main():
    with Story("planted in PostgreSQL") as story:
        server = Postgres(story)
        try:
            done = subprocess.run(
                sys.argv[2:], timeout=1500, check=False,
                env=dict(os.environ, RECON_POSTGRES=server.word.removeprefix(
                    "postgres:")))
        finally:
            server.end()
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
