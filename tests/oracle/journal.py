#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""journal.py - the journal of marks, read with nothing of ours.

Why: whether something is durable may not be asked of the program that says
so.  `mdb_dump` of lmdb-utils writes an LMDB file out as text; what a record
looks like is said in control/marks/record.h, and is taken apart here by an
own hand.  A damaged record is an error here: the oracle judges whole ones.

usage: journal.py FOLDER [RELEASE]   (prints a line a record)
"""
import struct
import subprocess
import sys
import time

import marks

LOG = "log"        # the database of records, by sequence
SCOPES = "scopes"  # that of scopes, which have names
# checksum key_check unit_check scope key[2] value at revision reader entrance
# reason_code unit_length reason_length kind stage space actor_length pad[2]
HEAD = struct.Struct("<QIIQQQQqIIIHHHBBBBxx")
NAME_AT = 88  # of a scope's value: behind its numbers
STATES = {1: "pending", 2: "in", 3: "out", 4: "revoked", 5: "hold", 6: "void"}
ADMIT, REVOKE, REPAIR, IMPORT, VOID, SETTLE = 1, 2, 3, 4, 5, 6
NOBODY = 0xffffffff  # the record of whoever made the mark was lost


class Damaged(Exception):
    """mdb_dump refuses the file, or a record is not one."""


def dump(folder):
    """{database: [(key, value), ...]} of an LMDB environment."""
    done = subprocess.run(["mdb_dump", "-a", folder], capture_output=True)
    if done.returncode != 0:
        raise Damaged(done.stderr.decode(errors="replace").strip())
    found, name, key, inside = {}, None, None, False
    for line in done.stdout.splitlines():
        if line.startswith(b"database="):
            name = line[9:].decode()
        elif line == b"HEADER=END":
            inside, key = True, None
            found.setdefault(name, [])
        elif line == b"DATA=END":
            inside = False
        elif inside:
            data = bytes.fromhex(line.decode())  # blanks are skipped
            if key is None:
                key = data
            else:
                found[name].append((key, data))
                key = None
    return found


def record(key, value, skew, units):
    """(scope, Record) of one entry of the log.  `units`: the unit of each key
    so far, for a record that has only the key; and the moment before."""
    if len(value) < HEAD.size:
        raise Damaged(f"a record of {len(value)} bytes")
    (_, _, _, scope, key_one, key_two, slot, at, _, reader, _, _, unit,
     reason, kind, _, space, actor) = HEAD.unpack_from(value)
    if len(value) != HEAD.size + unit + actor + reason:
        raise Damaged(f"a record of {len(value)} bytes, its texts have "
                      f"{unit + actor + reason}")
    text = value[HEAD.size:HEAD.size + unit].decode(errors="replace")
    name = value[HEAD.size + unit:HEAD.size + unit + actor].decode(
        errors="replace")
    whose = units.setdefault((scope, key_one, key_two), (text, space))
    if not text:
        text, space = whose
    if kind == ADMIT and reader == NOBODY:
        at = units["at"]  # found in the table; it knows the minute alone
    units["at"] = at
    return scope, marks.Record(
        sequence=int.from_bytes(key, "little"),
        unit=int(text) if text.isdigit() else text,
        state="void" if kind == VOID else STATES[slot & 7],
        attempt=slot >> 8 & 0xff, at=at * 1_000_000 - skew,
        actor=name if kind != ADMIT else "", space=space,
        settles=kind == SETTLE)


def read(folder, release=None, skew=None):
    """Records in the order of the log; of one release, or of all.  `skew`:
    wall clock minus CLOCK_MONOTONIC, in ns; by default as it is now."""
    if skew is None:
        skew = time.time_ns() - time.monotonic_ns()
    found = dump(folder)
    wanted, units = None, {"at": 0}
    if release is not None:
        wanted = scope_of(found.get(SCOPES, []), release)
    told = (record(key, value, skew, units)
            for key, value in found.get(LOG, []))
    return [line for scope, line in told
            if release is None or scope == wanted]


def scope_of(rows, release):
    """The scope that the journal has under this name; None: it has none."""
    for key, value in rows:
        if value[NAME_AT:].split(b"\0")[0] == release.encode():
            return int.from_bytes(key, "little")
    return None


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__.rsplit("\n\n", 1)[1], file=sys.stderr)
        return 2
    for line in read(*sys.argv[1:]):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
