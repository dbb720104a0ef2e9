#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""guide_code.py - the C in the guides is what the examples compile and run.

Each block of C in docs/guide/*/8-in-your-program.md stands, line by line, in a
file of examples/libgray, and both languages show the same ones.

usage: guide_code.py ROOT
"""
import glob
import os
import re
import sys


def blocks(path):
    with open(path, encoding="utf-8") as file:
        return re.findall(r"^```c\n(.*?)^```$", file.read(), re.M | re.S)


def main():
    root = sys.argv[1]
    sources = {}
    for path in glob.glob(os.path.join(root, "examples/libgray/*.c")):
        with open(path, encoding="utf-8") as file:
            sources[path] = file.read()
    found = {}
    for path in glob.glob(os.path.join(root, "docs/guide/*/8-*.md")):
        found[path] = blocks(path)
    bad = [f"{path}: in no example:\n{block}" for path, all_of in found.items()
           for block in all_of
           if not any(block in text for text in sources.values())]
    if len(found) != 2 or len(set(map(tuple, found.values()))) != 1 or \
            min(map(len, found.values())) < 5:
        bad.append(f"the languages differ: "
                   f"{ {path: len(b) for path, b in found.items()} }")
    print("\n".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
