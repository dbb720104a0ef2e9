# SPDX-License-Identifier: Apache-2.0
"""guide.py - types docs/guide/*/6-ten-minutes-with-grayd.md, line by line.

Why: a guide whose outputs were seen once is a guide that lies next month.  Each
`$` line of it is typed into one shell, and what comes back must be what stands
below it.  Only ports and folders are others, and what differs each time (times,
ids, keys) is compared by its shape.  A line `...` stands for any lines, `...`
within a line for any text.  links.py holds the Chinese twin to the same blocks.
Called by the_ten_minutes_with_grayd_are_true.vtc.
usage: guide.py PORT_OF_NGINX PORT_OF_V1 PORT_OF_V2 PORT_OF_GRAYD
"""
import os
import re
import signal
import socket
import subprocess
import sys

from gateway import BUILD, RUN, WORK, until

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
GUIDE = "docs/guide/en/6-ten-minutes-with-grayd.md"
NGINX, V1, V2, REST = sys.argv[1:5]
SOCKET, STATE, PID = (WORK + name for name in
                      ("/grayd.sock", "/state", "/grayd.pid"))
LOG = WORK + "/grayd.log"
MODULES = WORK + "/modules"
END = "-- that was it:"
LIMIT_S = 50  # for all of it
SHAPES = (  # what differs each time
    (r"gray_[0-9a-f]{16}_[\w-]{43}\b", "TOKEN"),
    (r"\b\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\b[0-9a-f]{16}\b", "ID"),
    (r" +", " "),  # columns are as wide as what is in them
    (r" $", ""),
)


def here(text):
    """The same on this machine: nothing but ports and folders changes."""
    for old, new in (
            ("/run/graylane-grayd/grayd.sock", SOCKET), ("/run/graylane", RUN),
            ("/run/grayd.pid", PID), ("/var/log/grayd.log", LOG),
            ("/var/lib/graylane", STATE), ("/tmp/", WORK + "/"),
            ("modules/ngx", MODULES + "/ngx"), (":9101", ":" + V1),
            (":9102", ":" + V2), ("listen 8000", "listen 127.0.0.1:" + NGINX),
            (":8000", ":" + NGINX),
            ("$ grayd ", f"$ grayd --state {STATE} --runtime {RUN} --socket "
             f"{SOCKET} --listen 127.0.0.1:{REST} ")):
        text = text.replace(old, new)
    return text


def blocks(text):
    """(language, body, the first `code` of the paragraph before it)."""
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S):
        before = text[:match.start()].rstrip().rsplit("\n\n", 1)[-1]
        named = re.match(r"`([\w.-]+)`", before)
        yield match[1], match[2], named and named[1]


class Shell:
    """One bash for the whole guide, as a person has one terminal."""

    def __init__(self):
        self.process = subprocess.Popen(
            ["bash", "--norc"], cwd=WORK, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "GRAY_RUNTIME": RUN, "HOME": WORK,
                 "GRAY_SERVER": "unix:" + SOCKET,
                 "PATH": BUILD + "/bin:" + os.environ["PATH"]})

    def type(self, command):
        """What the terminal shows; the next command sees its $? and $!."""
        self.process.stdin.write(
            f"{command}\ngray_code=$?; echo '{END}'; (exit $gray_code)\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line == END + "\n":
                return lines
            lines.append(line.rstrip("\n"))
        raise AssertionError(("the shell ended", command, lines))

    def end(self):
        """All that was started from it ends, and is seen to have ended."""
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        self.process.wait(10)
        until(self.is_over)

    def is_over(self):
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", int(port))) == 0


def gray(*words):
    return subprocess.run([BUILD + "/bin/gray", *words, "--server",
                           "unix:" + SOCKET], capture_output=True, text=True,
                          check=False)


def watchers():
    page = subprocess.run(["curl", "-s", "--unix-socket", SOCKET,
                           "http://localhost/metrics"], capture_output=True,
                          text=True, check=False).stdout
    found = re.search(r"^grayd_events_watchers (\d+)", page, re.M)
    return int(found[1]) if found else 0


def settle(command):
    """A person is slower than what was started in the background."""
    if command.startswith("shop"):
        until(lambda: listens(V1 if "--version v1" in command else V2))
    elif command.startswith("grayd"):
        until(lambda: gray("whoami").returncode == 0)
    elif command.startswith("gray watch"):
        until(lambda: watchers() == 1)
    elif command.startswith("nginx") and "quit" not in command:
        until(lambda: '"acknowledged": true' in
              gray("status", "-o", "json").stdout)
    elif "-s quit" in command:
        until(lambda: not os.path.exists(WORK + "/nginx.pid"))


def shape(line):
    for pattern, word in SHAPES:
        line = re.sub(pattern, word, line)
    return line


def pattern(lines):
    text = ""
    for line in lines:
        text += "(?:.*\n)*?" if line == "..." else \
            ".*".join(map(re.escape, shape(line).split("..."))) + "\n"
    return text


def commands(body):
    """(what is typed, what must come back) of a console block."""
    typed = None
    for line in body.splitlines():
        if line.startswith("$ "):
            if typed is not None:
                yield typed, shown
            typed, shown = line[2:], []
        else:
            shown.append(line)
    yield typed, shown


def play(shell, body):
    for typed, shown in commands(here(body)):
        got = shell.type(typed)
        told = "".join(shape(line) + "\n" for line in got)
        # bash tells of jobs that ended when it likes
        told = re.sub(r"^bash: line \d+: +\d+ .*\n", "", told, flags=re.M)
        assert re.fullmatch(pattern(shown), told), \
            "\n".join(["$ " + typed, "-- the guide says", *shown,
                       "-- it is", *got])
        settle(typed)


def main():
    signal.alarm(LIMIT_S)
    os.mkdir(MODULES)
    os.symlink(BUILD + "/lib/ngx_http_gray_module.so",
               MODULES + "/ngx_http_gray_module.so")
    with open(os.path.join(ROOT, GUIDE), encoding="utf-8") as file:
        text = file.read()
    count = 0
    shell = Shell()
    try:
        for language, body, named in blocks(text):
            if language == "console":
                play(shell, body)
                count += len(list(commands(body)))
                continue
            with open(WORK + "/" + named, "w", encoding="utf-8") as file:
                file.write(here(body))
                if language == "nginx":
                    file.write(f"pid {WORK}/nginx.pid;\n"
                               f"error_log {WORK}/error.log;\n")
        for port in (NGINX, V1, V2, REST):  # the end of the page ends all
            until(lambda: not listens(port))
    finally:
        shell.end()
    assert count > 40, count
    print(count, "commands")


main()
