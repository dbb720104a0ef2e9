#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""habit.py - checks of how the tree is written, each with its own offence.

Why: rules that nobody checks are wishes (docs/STYLE rules live in the house's
documents; what a machine can check stands here).  Every check is a function
that takes the root of a tree and returns sentences; `offences` builds small
trees that break one rule each, and the suite fails when a check does not
catch its offence, or catches something in the real tree.

usage: habit.py BUILD [--root DIR]   (BUILD: a build folder, for the archives)
"""
import os
import re
import subprocess
import sys
import tempfile

# Which parts may include which headers (docs/ARCHITECTURE.md); system headers
# are checked for the engine only, whose promise is libc alone.
ARROWS = {
    "engine": {"engine"},
    "runtime": {"engine", "runtime"},
    "policy": {"engine", "policy"},
    "ask": {"engine", "runtime", "policy", "ask"},
    "impact": {"engine", "runtime", "policy", "ask", "impact"},
    "gateway": {"engine", "runtime", "gateway"},
    "control": {"engine", "runtime", "policy", "ask", "impact", "control"},
    "cli": {"engine", "runtime", "policy", "ask", "impact", "control", "cli"},
    "examples": {"examples"},
    "bench": {"engine", "runtime", "policy", "control", "bench", "tests"},
    "tests": {"engine", "runtime", "policy", "ask", "impact", "control", "cli",
              "tests",
              "bench"},
}
ENGINE_SYSTEM = {"stdbool.h", "stddef.h", "stdint.h", "string.h", "limits.h"}
ENGINE_FORBIDDEN = re.compile(
    r"^(malloc|calloc|realloc|free|time|clock.*|gettimeofday|open.*|socket|"
    r"read|write|mmap|pthread_.*|rand.*|random|getenv|f?printf|fopen|usleep|"
    r"nanosleep|localtime.*|strtok)$")
FILE_LINES = 600
HEADER_LINES = 420
FUNCTION_LINES = 75
CODE = (".c", ".h", ".def", ".py", ".sh")


def files(root, *suffixes, under=""):
    top = os.path.join(root, under)
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(f for f in folders
                            if not f.startswith((".", "build"))
                            and f not in ("corpus", "node_modules"))
        for name in sorted(names):
            if name.endswith(suffixes):
                yield os.path.relpath(os.path.join(folder, name), root)


def text(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


def check_arrows(root):
    """An include outside a part's row of ARROWS."""
    for path in files(root, ".c", ".h"):
        part = path.split(os.sep)[0]
        if part not in ARROWS:
            continue
        for line in re.finditer(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]',
                                text(root, path), re.M):
            kind, name = line.groups()
            if kind == '"' and "/" in name:
                if name.split("/")[0] not in ARROWS[part]:
                    yield f"{path}: {part} may not include {name}"
            if kind == "<" and part == "examples" and \
                    name.split("/")[0] in ARROWS:
                yield f"{path}: an example sees <gray.h> and not <{name}>"
            if kind == "<" and part == "engine" and name not in ENGINE_SYSTEM:
                yield f"{path}: the engine may not include <{name}>"


def check_heads(root):
    """A source file without its licence line or its opening sentence."""
    for path in files(root, ".c", ".h", ".def"):
        head = text(root, path)[:600]
        if "SPDX-License-Identifier: Apache-2.0" not in head:
            yield f"{path}: no SPDX line"
        name = os.path.basename(path)
        if not re.search(rf"^ ?\*? ?{re.escape(name)} - \S", head, re.M):
            yield f"{path}: its head does not say '{name} - what it is for'"


def check_sizes(root):
    """Files and functions that have grown too long to read in one sitting."""
    for path in files(root, ".c", ".h"):
        lines = text(root, path).splitlines()
        limit = HEADER_LINES if path.endswith(".h") else FILE_LINES
        if len(lines) > limit:
            yield f"{path}: {len(lines)} lines, at most {limit}"
        if not path.endswith(".c"):
            continue
        start = None
        for number, line in enumerate(lines, 1):
            if line == "{":
                start = number
            elif line == "}" and start is not None:
                if number - start - 1 > FUNCTION_LINES:
                    yield (f"{path}:{start}: a function of "
                           f"{number - start - 1} lines, at most "
                           f"{FUNCTION_LINES}")
                start = None


def check_documented(root):
    """A function of a public header that no comment stands above."""
    public = [f"engine/{name}.h" for name in (
                  "basics", "choose", "colour", "decide", "explain", "input",
                  "snapshot")]
    public += [f"runtime/{name}.h" for name in (
                   "counters", "folder", "gray", "publish", "reader",
                   "token")]
    public += ["policy/policy.h", "impact/impact.h"]
    public += [f"control/{name}.h" for name in (
                   "store/store", "audit/audit", "identity/identity",
                   "release/release", "publish/publisher", "marks/marks",
                   "agent/agent", "agent/backoff", "agent/rules",
                   "call/call",
                   "change/change", "read/read",
                   "rest/rest")]
    for path in public:
        if not os.path.exists(os.path.join(root, path)):
            continue
        documented = False
        in_comment = False
        pending = ""
        for number, line in enumerate(text(root, path).splitlines(), 1):
            stripped = line.strip()
            if in_comment or stripped.startswith("/*"):
                in_comment = not stripped.endswith("*/")
                documented = True
                continue
            if not stripped:
                documented = False
                pending = ""
                continue
            if stripped.startswith("#"):
                continue
            pending += " " + stripped
            if not re.search(r"[;{}]\s*(/\*.*\*/)?$", stripped):
                continue
            match = re.search(r"\b(gray_\w+)\s*\([^*]", pending)
            if (match and pending.rstrip().endswith(";") and not documented
                    and "typedef" not in pending
                    and not line.startswith((" ", "\t}"))):
                yield f"{path}:{number}: {match.group(1)}() is not documented"
            pending = ""


def check_sleeps(root):
    """A test that sleeps instead of waiting for an event."""
    pattern = re.compile(r"\b(sleep|usleep|nanosleep)\s*\(?\s*[0-9]")
    for path in files(root, ".c", ".py", ".sh", ".vtc", under="tests"):
        if path.startswith(os.path.join("tests", "habit")):
            continue
        for number, line in enumerate(text(root, path).splitlines(), 1):
            if pattern.search(line) and "bounded wait" not in line:
                yield f"{path}:{number}: sleeps: wait for an event"


def check_words(root):
    """Unfinished work by its own word, and clocks or chance outside ports."""
    unfinished = re.compile(r"\b(TODO|FIXME|XXX)\b")
    for path in files(root, ".c", ".h", ".def"):
        for number, line in enumerate(text(root, path).splitlines(), 1):
            if unfinished.search(line):
                yield f"{path}:{number}: unfinished by its own word"
            if (path.startswith(("engine", "policy"))
                    and re.search(r"\b(time|clock_gettime|rand|random|"
                                  r"gettimeofday)\s*\(", line)
                    and not line.lstrip().startswith(("*", "/*"))):
                yield f"{path}:{number}: time and chance are arguments"


def nm(archive, *flags):
    done = subprocess.run(["nm", *flags, archive], check=True,
                          capture_output=True, text=True)
    return [line.split() for line in done.stdout.splitlines() if line.strip()]


def check_engine_symbols(archive):
    """Mutable statics, or calls the engine must not make."""
    # sysv: name|value|class|type|size|line|section; a table of pointers lies
    # in .data.rel.ro until it is linked and is read-only ever after.
    for row in nm(archive, "-f", "sysv"):
        cells = [cell.strip() for cell in " ".join(row).split("|")]
        if len(cells) < 7:
            continue
        if cells[2] in ("d", "D", "b", "B", "C") and \
                not cells[6].startswith(".data.rel.ro"):
            yield f"{archive}: mutable data {cells[0]}"
        if cells[2] == "U" and ENGINE_FORBIDDEN.match(cells[0].split("@")[0]):
            yield f"{archive}: calls {cells[0]}()"


def check_engine_links(archive):
    """A symbol that libc alone does not have."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["gcc", "-shared", "-nodefaultlibs", "-o",
             os.path.join(folder, "engine.so"), "-Wl,--whole-archive",
             archive, "-Wl,--no-whole-archive", "-Wl,--no-undefined", "-lc"],
            capture_output=True, text=True)
        if done.returncode != 0:
            yield f"{archive}: does not link with libc alone: " + \
                done.stderr.strip()[:500]


def check_exports(library, header):
    """libgray exports just what gray.h declares."""
    with open(header, encoding="utf-8") as f:
        declared = set(re.findall(r"\b(gray_\w+)\s*\(", re.sub(
            r"/\*.*?\*/", "", f.read(), flags=re.S)))
    exported = {row[-1].split("@")[0]
                for row in nm(library, "-D", "--defined-only")
                if row[-2] in "TDBR"}
    for name in sorted(exported - declared):
        yield f"{library}: exports {name}, which gray.h does not declare"
    for name in sorted(declared - exported):
        yield f"{library}: does not export {name}, which gray.h declares"


HEAD = "/* SPDX-License-Identifier: Apache-2.0\n * {0} - an offence.\n */\n"
# check, file, what it breaks (planted in an otherwise empty tree)
OFFENCES = [
    (check_arrows, "engine/a.c", '#include "runtime/runtime.h"\n'),
    (check_arrows, "engine/a.c", "#include <time.h>\n"),
    (check_arrows, "policy/a.c", '#include "runtime/runtime.h"\n'),
    (check_arrows, "examples/a.c", "#include <runtime/runtime.h>\n"),
    (check_heads, "engine/a.c", None),
    (check_sizes, "engine/a.c", "int a;\n" * (FILE_LINES + 1)),
    (check_sizes, "engine/a.c",
     "void f(void)\n{\n" + "    ;\n" * (FUNCTION_LINES + 1) + "}\n"),
    (check_documented, "engine/decide.h", "\nint gray_unsaid(int a);\n"),
    (check_sleeps, "tests/engine/a.c", "void f(void) { sleep(1); }\n"),
    (check_words, "engine/a.c", "/* TODO later */\n"),
    (check_words, "policy/a.c", "int f(void) { return time(0); }\n"),
]
OBJECT_OFFENCES = [
    (check_engine_symbols, "static int n; int f(void) { return ++n; }"),
    (check_engine_symbols,
     "#include <stdlib.h>\nvoid *f(void) { return malloc(1); }"),
    (check_engine_links, "double sin(double);\n"
                         "double f(double a) { return sin(a); }"),
]


def plant_tree(check, path, body):
    with tempfile.TemporaryDirectory() as root:
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full))
        with open(full, "w", encoding="utf-8") as f:
            if body is not None:
                f.write(HEAD.format(os.path.basename(path)))
            f.write(body or "int a;\n")
        return bool(list(check(root)))


def plant_object(check, code):
    with tempfile.TemporaryDirectory() as root:
        source = os.path.join(root, "a.c")
        with open(source, "w", encoding="utf-8") as f:
            f.write(code)
        subprocess.run(["gcc", "-fPIC", "-O1", "-c", "-o", root + "/a.o",
                        source], check=True)
        subprocess.run(["ar", "rcs", root + "/a.a", root + "/a.o"], check=True)
        return bool(list(check(root + "/a.a")))


def plant_export():
    """An exported function that the header does not declare."""
    with tempfile.TemporaryDirectory() as root:
        with open(root + "/a.c", "w", encoding="utf-8") as f:
            f.write("int gray_secret(void) { return 1; }")
        with open(root + "/gray.h", "w", encoding="utf-8") as f:
            f.write("int gray_open(void);\n")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", root + "/a.so",
                        root + "/a.c"], check=True)
        return len(list(check_exports(root + "/a.so", root + "/gray.h"))) == 2


def main():
    build = sys.argv[1]
    root = "."
    if "--root" in sys.argv:
        root = sys.argv[sys.argv.index("--root") + 1]
    bad = []
    for check in (check_arrows, check_heads, check_sizes, check_documented,
                  check_sleeps, check_words):
        bad += [f"{check.__name__}: {s}" for s in check(root)]
    engine = os.path.join(build, "engine", "libgray_engine.a")
    for check in (check_engine_symbols, check_engine_links):
        bad += [f"{check.__name__}: {s}" for s in check(engine)]
    library = os.path.join(build, "lib", "libgray.so")
    bad += list(check_exports(library,
                              os.path.join(root, "runtime", "gray.h")))
    for check, path, body in OFFENCES:
        if not plant_tree(check, path, body):
            bad.append(f"{check.__name__} does not catch its offence in {path}")
    for check, code in OBJECT_OFFENCES:
        if not plant_object(check, code):
            bad.append(f"{check.__name__} does not catch: {code}")
    if not plant_export():
        bad.append("check_exports does not catch its offence")
    for sentence in bad:
        print(sentence)
    print(f"habit: {len(bad)} offences")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
