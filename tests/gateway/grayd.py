# SPDX-License-Identifier: Apache-2.0
"""grayd.py - the real grayd beside the gateway, for stories about its marks.

Why: only grayd makes a mark durable, so a story of requests that wait needs
one, and must be able to stop it, kill it and start it again on the same
folders.
usage: grayd.py up DOCUMENTS...  (a `gw down` does not end it: grayd.py down)
Read next: gateway.py, control/options.def.
"""
import os
import signal
import subprocess
import sys

from gateway import BUILD, RUN, WORK, until

SOCKET, STATE, PID = (WORK + name for name in
                      ("/grayd.sock", "/state", "/grayd.pid"))


def call(*words, check=True, text=None):
    return subprocess.run(
        [BUILD + "/bin/gray", *words, "--server", "unix:" + SOCKET],
        check=check, capture_output=True, text=True, input=text)


def pid():
    with open(PID, encoding="ascii") as file:
        return int(file.read())


def gone(number):
    try:
        with open(f"/proc/{number}/status", encoding="ascii") as file:
            return "\nState:\tZ" in file.read()
    except (FileNotFoundError, ProcessLookupError):  # gone while it is read
        return True


def start():
    with open(WORK + "/grayd.log", "a", encoding="utf-8") as log:
        child = subprocess.Popen(
            [BUILD + "/bin/grayd", "--state", STATE, "--runtime", RUN,
             "--socket", SOCKET, "--listen", "none"],
            stdout=log, stderr=log, start_new_session=True)
    with open(PID, "w", encoding="ascii") as file:
        file.write(str(child.pid))
    until(lambda: call("whoami", check=False).returncode == 0, 20)
    return child


def send(number):
    os.kill(pid(), number)


def end(number=signal.SIGTERM):
    victim = pid()
    os.kill(victim, number)
    if number != signal.SIGKILL:
        os.kill(victim, signal.SIGCONT)  # a stopped one does not end
    try:
        os.waitpid(victim, 0)
    except ChildProcessError:  # another process began it
        until(lambda: gone(victim))


def main():
    if sys.argv[1] == "up":
        start()
        call("apply", "-f", *sys.argv[2:], "--reason", "the story begins")
    else:
        end()


if __name__ == "__main__":
    main()
