#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""what_is_installed_is_enough.py - `make install` into a folder, and used.

Why: whoever installs has no build folder afterwards: the command, the module,
the library with its header and its pkg-config file, manual page and
completions must do without it, and uninstall must take all of them away.

usage: what_is_installed_is_enough.py BUILD
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
DOCUMENTS = """
kind: Service
name: cart
baseline: {version: v1}
versions:
  v1: {endpoints: ["127.0.0.1:1"]}
  v2: {endpoints: ["127.0.0.1:2"]}
---
kind: Release
name: cart-2
services: [{service: cart, version: v2}]
unit: {cookie: uid}
admission: {share: SHARE}
"""


def run(*words, **env):
    done = subprocess.run(words, capture_output=True, text=True, check=False,
                          timeout=120, env={**os.environ, **env})
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def files(folder):
    return sorted(os.path.relpath(os.path.join(place, name), folder)
                  for place, _, names in os.walk(folder) for name in names)


def one(folder, end):
    found = glob.glob(folder + "/**/" + end, recursive=True)
    assert len(found) == 1, (end, files(folder))
    return found[0]


def install(build, dest, *words):
    env = {name: "" for name in ("PREFIX", "MODULES")}
    run(os.path.join(ROOT, "tools", "install"), build, *words, DESTDIR=dest,
        **env)


def program(folder, dest):
    """Compiled and linked by what pkg-config says about what is installed."""
    config = one(dest, "pkgconfig/libgray.pc")
    flags = run("pkg-config", "--cflags", "--libs", "libgray",
                PKG_CONFIG_PATH=os.path.dirname(config),
                PKG_CONFIG_SYSROOT_DIR=dest).split()
    assert all(dest in flag for flag in flags if flag[:2] in ("-I", "-L"))
    run("cc", "-Wall", "-Werror", "-o", folder + "/program",
        HERE + "/program.c", *flags)
    return folder + "/program"


def main():
    build = os.path.abspath(sys.argv[1])
    folder = tempfile.mkdtemp(prefix="gray-install-", dir="/dev/shm")
    dest = folder + "/dest"
    try:
        install(build, dest)
        gray = one(dest, "bin/gray")
        asked = program(folder, dest)
        library = os.path.dirname(one(dest, "libgray.so.0"))
        for share, version in (("0", "v1\n"), ("100", "v2\n")):
            with open(folder + "/docs.yaml", "w", encoding="utf-8") as file:
                file.write(DOCUMENTS.replace("SHARE", share))
            run(gray, "publish", "-f", folder + "/docs.yaml", "--runtime",
                folder + "/run")
            assert run(asked, folder + "/run",
                       LD_LIBRARY_PATH=library) == version

        # the module is one that this machine's nginx loads
        module = one(dest, "ngx_http_gray_module.so")
        assert os.path.isdir("/" + os.path.relpath(os.path.dirname(module),
                                                   dest)), "not nginx's folder"
        with open(folder + "/nginx.conf", "w", encoding="utf-8") as file:
            file.write(f"load_module {module};\npid {folder}/pid;\n"
                       f"error_log {folder}/error.log;\nevents {{ }}\n")
        run("/usr/sbin/nginx", "-t", "-q", "-c", folder + "/nginx.conf")

        with open(one(dest, "man1/gray.1"), encoding="utf-8") as file:
            assert file.read() == run(gray, "help", "--as", "man")
        manual = os.path.join(ROOT, "docs", "man")
        for page in os.listdir(manual):
            assert os.path.exists(one(dest, f"man{page[-1]}/{page}")), page
        for shell, name in (("bash", "completions/gray.bash"),
                            ("zsh", "_gray")):
            with open(one(dest, name), encoding="utf-8") as file:
                assert file.read() == run(gray, "completion", shell)

        install(build, dest, "uninstall")
        assert files(dest) == [], files(dest)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
