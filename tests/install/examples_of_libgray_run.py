#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""examples_of_libgray_run.py - each example, built as its first lines say, and run.

Why: an example is the first thing that somebody copies.  Here each is built
with every warning an error, by nothing but what is installed and what
pkg-config says of it, shared and static, and does what its README promises.

usage: examples_of_libgray_run.py BUILD
"""
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

from what_is_installed_is_enough import ROOT, install, one, run

SOURCES = os.path.join(ROOT, "examples", "libgray")
NEEDS = {"row": ["sqlite3"]}
WARN = ["-std=gnu11", "-Wall", "-Wextra", "-pedantic", "-Werror"]


class Stage:
    def __init__(self, build, folder):
        self.folder, self.runtime = folder, folder + "/run"
        dest = folder + "/dest"
        install(build, dest)
        self.gray = one(dest, "bin/gray")
        config = os.path.dirname(one(dest, "pkgconfig/libgray.pc"))
        self.found = {
            "PKG_CONFIG_PATH": ":".join((config, self.system_paths())),
            "PKG_CONFIG_SYSROOT_DIR": ""}
        self.dest = dest
        self.library = os.path.dirname(one(dest, "libgray.so.0"))

    @staticmethod
    def system_paths():
        return subprocess.run(
            ["pkg-config", "--variable", "pc_path", "pkg-config"],
            capture_output=True, text=True, check=True).stdout.strip()

    def flags(self, *words):
        """Where it lies now: DESTDIR in front of what is ours."""
        said = run("pkg-config", "--cflags", "--libs", *words, **self.found)
        return [flag[:2] + self.dest + flag[2:] if flag[:2] in ("-I", "-L") and
                os.path.exists(self.dest + flag[2:]) else flag
                for flag in said.split()]

    def build(self, name, static=False):
        flags = self.flags(*(["--static"] if static else []), "libgray",
                           *NEEDS.get(name, ()))
        if static:  # libgray alone, as somebody would ship it
            flags = ["-l:libgray.a" if flag == "-lgray" else flag
                     for flag in flags]
        program = f"{self.folder}/{name}{'-static' if static else ''}"
        run("cc", *WARN, "-o", program, f"{SOURCES}/{name}.c", *flags)
        return program

    def run(self, name, *words, code=0, **more):
        program = f"{self.folder}/{name}"
        path = "" if name.endswith("-static") else self.library
        done = subprocess.run(
            [program, *map(str, words)], capture_output=True, text=True,
            timeout=60, check=False,
            env={**os.environ, "LD_LIBRARY_PATH": path}, **more)
        assert done.returncode == code, (name, words, done)
        return done.stdout

    def publish(self, share=None):
        with open(SOURCES + "/documents.yaml", encoding="utf-8") as file:
            text = file.read()
        if share is not None:
            text = text.replace("share: 50", f"share: {share}")
        with open(self.folder + "/documents.yaml", "w",
                  encoding="utf-8") as file:
            file.write(text)
        run(self.gray, "publish", "-f", self.folder + "/documents.yaml",
            "--runtime", self.runtime)


def ask(stage, name):
    lines = stage.run(name, stage.runtime, *range(1, 41)).splitlines()
    said = {line.split(":")[0]: line for line in lines}
    counts = {"v1": 0, "v2": 0}
    for uid in range(1, 41):
        line = run(stage.gray, "explain", "--runtime", stage.runtime,
                   "--header", f"cookie: uid={uid}", "--path", "/cart", "-o", "json")
        version = "v2" if '"arms":"cart-2"' in line.replace(" ", "") else "v1"
        port = {"v1": 9101, "v2": 9102}[version]
        assert said[str(uid)].startswith(
            f"{uid}: {version} at 127.0.0.1:{port}, because: "), said[str(uid)]
        counts[version] += 1
    assert min(counts.values()) >= 8, counts


def row(stage):
    database = stage.folder + "/orders.db"
    told = {}
    for order in range(20):
        line = stage.run("row", stage.runtime, database, "create", order)
        told[order] = re.match(rf"create {order}: (new|old) logic", line)[1]
    assert set(told.values()) == {"new", "old"}, told
    stage.publish(100)
    for order, logic in told.items():
        for what in ("pay", "create"):  # who comes twice is the same
            line = stage.run("row", stage.runtime, database, what, order)
            assert line.startswith(f"{what} {order}: {logic} logic"), line
    with sqlite3.connect(database) as db:
        db.execute("UPDATE orders SET mark = x'00' WHERE id = '3'")
    line = stage.run("row", stage.runtime, database, "pay", 3, code=1)
    assert line.startswith("pay 3: 503"), line
    line = stage.run("row", stage.runtime, database, "pay", "nobodys")
    assert line.startswith("pay nobodys: old logic"), line


def chain(stage):
    said = stage.run("chain", stage.runtime, "cart", "x-mse-tag",
                     input="host: cart\nX-Gray-Lane: red\n"
                           "Baggage: k=v,gray.class=shadow\n").splitlines()
    assert said[0] == "call cart (red) at 127.0.0.1:9103 with:", said
    assert sorted(said[1:]) == [
        "baggage: k=v,gray.lane=red,gray.class=shadow", "x-gray-lane: red",
        "x-mse-tag: red"], said
    said = stage.run("chain", stage.runtime, "cart", input="a: b\n")
    assert said == "call cart (v1) at 127.0.0.1:9101 with:\n", said
    said = stage.run("chain", stage.runtime, "cart",
                     input="x-gray-lane: a\nx-gray-lane: b\n")
    assert said.startswith("400"), said


def experiment(stage):
    def price(i):
        return i * 7 - (i * 7 // 10 if i % 20 >= 10 else 0)
    said = stage.run("experiment", stage.runtime, 5000)
    found = re.match(r"sum (\d+); (\d+) compared, (\d+) different, "
                     r"(\d+) left out\n$", said)
    assert found, said
    assert int(found[1]) == sum(map(price, range(5000))), said
    assert int(found[2]) > 0 and found[3] == "0", said


def follow(stage):
    child = subprocess.Popen(
        [stage.folder + "/follow", stage.runtime, "4"], text=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "LD_LIBRARY_PATH": stage.library})
    try:
        for revision in (2, 3):
            line = child.stdout.readline()
            assert line == f"revision {revision}\n", line
            stage.publish(100 if revision == 2 else 100.0)
        rest, _ = child.communicate(timeout=60)
        assert rest == "revision 4\n" and child.returncode == 0, rest
    finally:
        child.kill()
        child.wait()


def workers(stage, name):
    said = sorted(stage.run(name, stage.runtime, 3).splitlines())
    assert [line.split(":")[0] for line in said] == [
        f"worker {n}" for n in (1, 2, 3)], said
    assert len({line.split(": ")[1] for line in said}) == 1, said


def main():
    build = os.path.abspath(sys.argv[1])
    folder = tempfile.mkdtemp(prefix="gray-examples-", dir="/dev/shm")
    try:
        stage = Stage(build, folder)
        names = sorted(name[:-2] for name in os.listdir(SOURCES)
                       if name.endswith(".c"))
        for name in names:
            stage.build(name)
        for name in ("ask", "workers"):
            stage.build(name, static=True)
        stage.publish()
        for name in ("ask", "ask-static"):
            ask(stage, name)
        for name in ("workers", "workers-static"):
            workers(stage, name)
        chain(stage)
        experiment(stage)
        row(stage)  # publishes revision 2
        follow(stage)
        assert names == ["ask", "chain", "experiment", "follow", "row",
                         "workers"], f"an example that nobody runs: {names}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
