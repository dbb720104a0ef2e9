#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""man3.py - every function of gray.h has its manual page, and the page is right.

A page names its functions in NAME, has each one's prototype as gray.h has it,
speaks of each in its text, and is set without a warning; a function that
shares another one's page has a page that points there.  What a page points to
is there, and so is every error that gray.h says of a function.

usage: man3.py ROOT [--offences]
"""
import importlib.util
import os
import re
import subprocess
import sys
import tempfile

ERROR = re.compile(r"-E[A-Z]{3,}")


def abi_module(root):
    spec = importlib.util.spec_from_file_location(
        "abi", os.path.join(root, "tests/runtime/abi.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def plain(page):
    """A page without its requests and fonts."""
    text = re.sub(r"\\f[BIRP]", "", page).replace("\\-", "-")
    text = re.sub(r'^\.BI? "?(.*?)"?$', r"\1", text, flags=re.M)
    return re.sub(r"\s+", " ", text)


def errors_of(header, functions):
    """{function: the errors that the comment above it speaks of}."""
    found = {}
    for name in functions:
        at = re.search(rf"GRAY_CLIENT_API\s+[\w\s*]+?\b{name}\s*\(", header)
        above = header[:at.start()].rstrip()
        comment = above[above.rindex("/*"):] if above.endswith("*/") else ""
        found[name] = set(ERROR.findall(comment))
    return found


def judge(header_path, folder, abi):
    header = read(header_path)
    prototypes = abi.functions(abi.plain(header_path))
    errors = errors_of(header, prototypes)
    for name, prototype in prototypes.items():
        path = f"{folder}/{name}.3"
        if not os.path.exists(path):
            yield f"{name} has no manual page"
            continue
        page = read(path)
        points = re.match(r"\.so man3/(\w+)\.3\n$", page)
        if points:
            path = f"{folder}/{points[1]}.3"
            if not os.path.exists(path):
                yield f"{name}.3 points to nothing"
                continue
            page = read(path)
        text = plain(page)
        title = re.search(r"\.SH NAME\n(.*)", page)[1].replace("\\-", "-")
        if name not in re.split(r", | - ", title):
            yield f"{path}: NAME is silent about {name}"
        if prototype.replace(" ", "") not in text.replace(" ", ""):
            yield f"{path}: {name} is not as gray.h has it: {prototype}"
        if text.count(name + "()") + text.count(name + " ()") == 0:
            yield f"{path}: no word about {name}()"
        for error in errors[name]:
            if error not in text:
                yield f"{path}: gray.h says {error} of {name}, the page does not"
    for entry in sorted(os.listdir(folder)):
        if not entry.endswith(".3"):
            continue
        page = read(f"{folder}/{entry}")
        for other in re.findall(r"\\fB(\w+)\\fP\(3\)", page):
            if other != "errno" and \
                    not os.path.exists(f"{folder}/{other}.3"):
                yield f"{entry}: there is no {other}(3)"
        if page.startswith(".so "):
            if entry[:-2] not in prototypes:
                yield f"{entry}: gray.h has no such function"
            continue
        said = subprocess.run(
            ["groff", "-man", "-Tutf8", "-ww", "-z", f"{folder}/{entry}"],
            capture_output=True, text=True, check=False).stderr
        if said:
            yield f"{entry}: {said}"


OFFENCES = [
    ("gray_client_fd.3", None, None),  # the page is not there
    ("gray_client_open.3", "gray_client_poll(struct gray_client *client)",
     "gray_client_poll(void)"),
    ("gray_client_decide.3", "gray_client_decide \\-", "decide \\-"),
    ("gray_client_open.3", "\\fB\\-EPERM\\fP", "\\fB\\-EACCES\\fP"),
    ("gray_client_ask.3", "\\fBgray_client_decide\\fP(3)",
     "\\fBgray_client_nowhere\\fP(3)"),
    ("libgray.3", ".SH DESCRIPTION", ".XX DESCRIPTION"),
]


def main():
    root = sys.argv[1]
    folder = os.path.join(root, "docs/man")
    header = os.path.join(root, "runtime/gray.h")
    abi = abi_module(root)
    bad = list(judge(header, folder, abi))
    for name, before, after in OFFENCES if "--offences" in sys.argv else ():
        with tempfile.TemporaryDirectory() as copy:
            for entry in os.listdir(folder):
                if entry.endswith(".3") and (entry != name or before):
                    page = read(f"{folder}/{entry}")
                    if entry == name:
                        assert before in page, before
                        page = page.replace(before, after, 1)
                    with open(f"{copy}/{entry}", "w", encoding="utf-8") as file:
                        file.write(page)
            if not list(judge(header, copy, abi)):
                bad.append(f"not caught: {name}: {before!r} -> {after!r}")
    print("\n".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
