#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""abi.py - does libgray.so still fit the programs that were built with it?

Why: a program that is not rebuilt calls by name and version, and reads records
by offset.  runtime/libgray.abi holds all of that, as it was when its nodes were
released; this compares it with the library and the header at hand.  A node
that is `closed` takes no more symbols, nothing that stands in the table ever
goes, and a record may only grow behind its last field, where it begins with
its own size.  What may change must be written down: --write.
No debugging symbols are needed, and no libabigail: layouts are asked of the
compiler itself, by a program made from the header.

usage: abi.py LIBRARY HEADER TABLE [--write | --offences]
  --write     renews TABLE, unless that breaks somebody
  --offences  plants one fault of each kind, and fails where one is not caught
"""
import os
import re
import subprocess
import sys
import tempfile

COMMENT = re.compile(r"/\*.*?\*/", re.S)


def run(*words):
    return subprocess.run(words, check=True, capture_output=True,
                          text=True).stdout


# ---- the header -----------------------------------------------------------------

def plain(header):
    with open(header, encoding="utf-8") as file:
        text = COMMENT.sub(" ", file.read())
    return re.sub(r"^\s*#.*$", "", text.replace("\\\n", " "), flags=re.M)


def squeeze(text):
    return re.sub(r"\s+", " ", text).strip()


def declarators(field):
    """[(name, whole text)] of one declaration: `const char *name, *value`."""
    pointer = re.search(r"\(\s*\*\s*(\w+)\s*\)\s*\(", field)
    if pointer:
        return [(pointer[1], field)]
    first, *others = field.split(",")
    base = re.match(r"(.*?)(\**\s*\w+\s*(\[.*\])?)$", first)
    found = [base[2]] + others
    return [(re.search(r"\w+", part.replace("*", ""))[0],
             squeeze(base[1]) + " " + squeeze(part)) for part in found]


def records(text):
    """{struct: [(field, type as it is written)]}, in the header's order."""
    found = {}
    for match in re.finditer(r"\bstruct\s+(\w+)\s*\{(.*?)\n\}\s*;", text, re.S):
        found[match[1]] = [
            one for field in match[2].split(";") if field.strip()
            for one in declarators(squeeze(field))]
    return found


def enums(text):
    return [name for match in re.finditer(r"\benum\s+\w+\s*\{(.*?)\}", text, re.S)
            for name in re.findall(r"\b([A-Z][A-Z0-9_]+)\b", match[1])]


def functions(text):
    """{name: its prototype, squeezed}."""
    text = text[text.index("GRAY_CLIENT_API"):]
    return {match[2]: squeeze(match[0].replace("GRAY_CLIENT_API", ""))
            for match in re.finditer(
                r"GRAY_CLIENT_API\s+([\w\s*]+?)(\bgray_\w+)\s*\(.*?\)\s*;",
                text, re.S)}


def layouts(header, found, constants):
    """What the compiler says: {record: (size, {field: (offset, size)})} and
    {constant: value}."""
    lines = [f'#include "{os.path.abspath(header)}"', "#include <stdio.h>",
             "int main(void) {"]
    for record, fields in found.items():
        lines.append(f'printf("S {record} %zu\\n", sizeof(struct {record}));')
        lines += [f'printf("F {record} {field} %zu %zu\\n", __builtin_offsetof('
                  f"struct {record}, {field}), sizeof(((struct {record} *)0)->"
                  f"{field}));" for field, _ in fields]
    lines += [f'printf("C {name} %lld\\n", (long long){name});'
              for name in constants]
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "layout")
        with open(program + ".c", "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\nreturn 0; }\n")
        run("cc", "-std=c11", "-w", "-o", program, program + ".c")
        said = [line.split() for line in run(program).splitlines()]
    return ({name: (int(size), {field: (int(at), int(bytes_))
                                for kind, of, field, at, bytes_ in
                                (row for row in said if row[0] == "F")
                                if of == name})
             for name, size in ((row[1], row[2]) for row in said
                                if row[0] == "S")},
            {row[1]: int(row[2]) for row in said if row[0] == "C"})


# ---- what is there, as lines ------------------------------------------------------

def describe(library, header, states):
    text = plain(header)
    found = records(text)
    with open(header, encoding="utf-8") as file:
        numbers = re.findall(r"^#define (GRAY_CLIENT_\w+_MAX) ", file.read(),
                             re.M)
    sizes, constants = layouts(header, found, enums(text) + numbers)
    prototypes = functions(text)
    symbols = {}
    for line in run("nm", "-D", "--defined-only", library).splitlines():
        kind, name = line.split()[-2:]
        if kind in "TDBRW" and "@" in name:
            symbols.update([name.replace("@@", "@").split("@")])
    lines = [f"node {node} {states.get(node, 'open')}"
             for node in sorted(set(symbols.values()))]
    lines += [f"symbol {name} {node} {prototypes.get(name, '?')}"
              for name, node in sorted(symbols.items())]
    for record, fields in found.items():
        size, places = sizes[record]
        lines.append(f"record {record} {size}")
        lines += [f"field {record} {field} {places[field][0]} "
                  f"{places[field][1]} {written}" for field, written in fields]
    lines += [f"constant {name} {value}" for name, value in constants.items()]
    return lines


def parse(lines):
    table = {kind: {} for kind in ("node", "symbol", "record", "field",
                                   "constant")}
    for line in lines:
        if not line or line.startswith("#"):
            continue
        kind, *words = line.split()
        key = tuple(words[:2]) if kind == "field" else words[0]
        table[kind][key] = words[2 if kind == "field" else 1:]
    return table


# ---- what breaks whom ---------------------------------------------------------------

def breaks(old, new):
    """Sentences: what a program would notice that is not rebuilt."""
    for name, words in old["symbol"].items():
        now = new["symbol"].get(name)
        if now is None:
            yield f"symbol {name} is gone"
        elif now != words:
            yield f"symbol {name} was {' '.join(words)}, is {' '.join(now)}"
    for name, words in new["symbol"].items():
        state = old["node"].get(words[0], ["open"])[0]
        if name not in old["symbol"] and state == "closed":
            yield (f"symbol {name} is new, and stands in {words[0]}, which was "
                   "released: it wants a new node in libgray.map")
    for key, words in old["field"].items():
        now = new["field"].get(key)
        if now != words:
            yield (f"field {'.'.join(key)} was {' '.join(words)}, is "
                   f"{' '.join(now or ['gone'])}")
    for record, (size,) in old["record"].items():
        now = new["record"].get(record)
        if now is None:
            yield f"record {record} is gone"
        elif now != [size] and (int(now[0]) < int(size) or
                                (record, "size") not in old["field"]):
            yield (f"record {record} has {now[0]} bytes instead of {size}, and "
                   "does not begin with its size")
    for record, field in new["field"]:
        end = int(old["record"].get(record, ["0"])[0])
        if (record, field) not in old["field"] and \
                int(new["field"][record, field][0]) < end:
            yield f"field {record}.{field} lies inside the older record"
    for name, value in old["constant"].items():
        if new["constant"].get(name) != value:
            yield (f"constant {name} was {value[0]}, is "
                   f"{new['constant'].get(name, ['gone'])[0]}")


def judge(library, header, table):
    with open(table, encoding="utf-8") as file:
        old_lines = file.read().splitlines()
    old = parse(old_lines)
    lines = describe(library, header,
                     {node: words[0] for node, words in old["node"].items()})
    bad = list(breaks(old, parse(lines)))
    if not bad and [line for line in old_lines
                    if line and not line.startswith("#")] != lines:
        bad = ["what is new breaks nobody, and is not written down: "
               "tests/runtime/abi.py LIBRARY HEADER TABLE --write"]
    return bad, lines


# ---- offences -----------------------------------------------------------------------

def stub(folder, symbols):
    """A library that exports these: {name: node}."""
    nodes = sorted(set(symbols.values()))
    script, before = "", ""
    for node in nodes:
        names = "".join(f" {name};" for name, of in symbols.items()
                        if of == node)
        script += f"{node} {{ global:{names} local: *; }}{before};\n"
        before = f" {node}"
    with open(folder + "/stub.map", "w", encoding="utf-8") as file:
        file.write(script)
    with open(folder + "/stub.c", "w", encoding="utf-8") as file:
        file.writelines(f"void {name}(void) {{}}\n" for name in symbols)
    run("cc", "-shared", "-fPIC", "-o", folder + "/stub.so",
        folder + "/stub.c", f"-Wl,--version-script={folder}/stub.map")
    return folder + "/stub.so"


def changed(folder, header, before, after):
    with open(header, encoding="utf-8") as file:
        text = file.read()
    assert text.count(before) >= 1, before
    with open(folder + "/gray.h", "w", encoding="utf-8") as file:
        file.write(text.replace(before, after, 1))
    return folder + "/gray.h"


HEADERS = [  # what is written instead of what, and what is said
    ("    const char *entrance;", "    int added;\n    const char *entrance;",
     "field gray_client_request.entrance was"),
    ("    uint32_t deadline_ms;", "    uint64_t deadline_ms;",
     "field gray_client_trial.deadline_ms was"),
    ("    unsigned char bytes[16];", "    unsigned char bytes[24];",
     "gray_client_mark"),
    ("    const char *name, *value;", "    const char *value, *name;",
     "field gray_client_pair.name was"),
    ("GRAY_CLIENT_OUT, GRAY_CLIENT_IN,", "GRAY_CLIENT_IN, GRAY_CLIENT_OUT,",
     "constant GRAY_CLIENT_OUT was"),
    ("int gray_client_poll(struct gray_client *client);",
     "long gray_client_poll(struct gray_client *client);",
     "symbol gray_client_poll was"),
    ("    int32_t bucket;       /* 0", "    int32_t moved;\n"
     "    int32_t bucket;       /* 0", "gray_client_answer.bucket was"),
]


def offences(library, header, table):
    missed = []

    def want(what, sentence, bad):
        if not any(sentence in one for one in bad):
            missed.append(f"{what}: not caught: {bad}")
    with open(table, encoding="utf-8") as file:
        symbols = {name: words[0] for name, words in
                   parse(file.read().splitlines())["symbol"].items()}
    with tempfile.TemporaryDirectory() as folder:
        gone = dict(symbols)
        del gone["gray_client_decide"]
        want("a removed symbol", "symbol gray_client_decide is gone",
             judge(stub(folder, gone), header, table)[0])
        want("a moved symbol", "symbol gray_client_decide was LIBGRAY_1",
             judge(stub(folder, dict(symbols, gray_client_decide="LIBGRAY_9")),
                   header, table)[0])
        want("a new symbol in an old node", "it wants a new node",
             judge(stub(folder, dict(symbols, gray_client_more="LIBGRAY_1")),
                   header, table)[0])
        want("a new symbol in a new node", "is not written down",
             judge(stub(folder, dict(symbols, gray_client_more="LIBGRAY_9")),
                   header, table)[0])
        for before, after, sentence in HEADERS:
            want(f"{before!r} -> {after!r}", sentence, judge(
                library, changed(folder, header, before, after), table)[0])
        # a record that grows behind its last field, and begins with its size
        want("a record that grew", "is not written down", judge(
            library, changed(
                folder, header, "    int32_t bucket;       /* -1: none */\n"
                "    int32_t hold;         /* 1: neither version may serve */\n",
                "    int32_t bucket;\n    int32_t hold;\n    int64_t more;\n"),
            table)[0])
    return missed


def main():
    library, header, table = sys.argv[1:4]
    bad, lines = (judge(library, header, table) if os.path.exists(table)
                  else ([], describe(library, header, {})))
    if "--write" in sys.argv:
        bad = [one for one in bad if "is not written down" not in one]
        if not bad:
            with open(table, encoding="utf-8") as file:
                head = [line for line in file.read().splitlines()
                        if line.startswith("#")]
            with open(table, "w", encoding="utf-8") as file:
                file.write("\n".join(head + lines) + "\n")
    elif "--offences" in sys.argv:
        bad += offences(library, header, table)
    for sentence in bad:
        print(f"abi: {sentence}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
