#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""embed.py - a file's bytes as a C array, so that the binary carries them.

usage: embed.py FILE NAME OUTPUT   (static const unsigned char NAME[])
"""
import sys

with open(sys.argv[1], "rb") as f:
    data = f.read()
name = sys.argv[2]
rows = [", ".join(str(b) for b in data[i:i + 20])
        for i in range(0, len(data), 20)]
with open(sys.argv[3], "w", encoding="ascii") as f:
    f.write(f"static const unsigned char {name}[] = {{\n"
            + ",\n".join(rows) + "};\n"
            f"static const size_t {name}_length = sizeof({name});\n")
