#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""seeds.py - the seeds of binary files are of the layout that is read.

Why: a new layout makes every older file foreign, so its seeds end at the first
comparison and the fuzzers behind them test nothing, without a word.  It
happened.

usage: seeds.py LAYOUT_H CORPUS
Read next: fuzz_snapshot.c, ../../engine/layout.h.
"""
import pathlib
import re
import struct
import sys

MAGICS = {b"GRAYPOL\0": "fuzz_snapshot", b"GRAYFLT\0": "fuzz_fleet",
          b"GRAYLST\0": "fuzz_list"}


def main(layout_h, corpus):
    text = pathlib.Path(layout_h).read_text(encoding="utf-8")
    layout = int(re.search(r"#define GRAY_LAYOUT (\d+)u", text).group(1))
    found, stale = set(), []
    for magic, folder in MAGICS.items():
        for seed in sorted(pathlib.Path(corpus, folder).iterdir()):
            data = seed.read_bytes()
            if data[:8] != magic or len(data) < 12:
                continue
            own, = struct.unpack_from("<I", data, 8)
            found.add(folder)
            if own != layout:
                stale.append(f"{seed}: layout {own}, not {layout}")
    print(*stale, sep="\n")
    missing = set(MAGICS.values()) - found
    if missing:
        print("no seed of a whole file:", *sorted(missing))
    return 1 if stale or missing else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
