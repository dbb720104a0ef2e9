#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""the_guide_of_marks_is_true.py - guide 7's import and rehearsal, typed.

Why: a guide whose outputs were seen once is a guide that lies next month.  The
release of the page is applied; files whose content `cat` shows are written;
then each `$` line of these sections is typed, and what comes back must be what
stands below it, but for milliseconds.  links.py holds the Chinese twin to the
same blocks.  (Guide 6 is typed from end to end: tests/gateway/guide.py.)

usage: the_guide_of_marks_is_true.py BUILD
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Grayd  # noqa: E402

GUIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                     "../../../docs/guide/en/7-marks.md")
SECTIONS = ("Data of before", "Until the last one is settled", "Rehearse")


def commands(text):
    """(what is typed, what must come back) of a section's console blocks."""
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.M | re.S):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            yield part.split("\n", 1)


def shape(text):
    return re.sub(r"\d+ ms\b", "N ms", text)


def typed(grayd, command):
    done = subprocess.run(
        ["bash", "-c", command], cwd=grayd.folder, text=True, timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=dict(os.environ, GRAY_SERVER="unix:" + grayd.socket,
                 PATH=os.path.dirname(grayd.gray) + ":" + os.environ["PATH"]))
    return done.stdout


def main():
    with open(GUIDE, encoding="utf-8") as f:
        page = f.read()
    release = re.search(r"^```yaml\n(.*?)^```$", page, re.M | re.S)[1]
    count = 0
    with Grayd(os.path.abspath(sys.argv[1])) as grayd:
        assert grayd.start()
        reply = grayd.apply(release)
        assert reply.status == 200, reply.text
        for title in SECTIONS:
            section = page.split(f"\n## {title}\n")[1].split("\n## ")[0]
            for command, shown in commands(section):
                if command.startswith("cat "):
                    with open(os.path.join(grayd.folder, command[4:]), "w",
                              encoding="utf-8") as f:
                        f.write(shown)
                got = typed(grayd, command)
                assert shape(got) == shape(shown), \
                    f"$ {command}\n-- the guide says\n{shown}-- it is\n{got}"
                count += 1
    assert count >= 7, count
    print(count, "commands")


if __name__ == "__main__":
    main()
