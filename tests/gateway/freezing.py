# SPDX-License-Identifier: Apache-2.0
"""freezing.py - once freeze has returned, nobody new comes in.

Clients with a new unit each are busy while it is called; whoever asked after
the return is outside, and stays there for its next request.  Then a worker is
stopped (SIGSTOP) with requests in its socket that it has not read, the release
is frozen, and the worker, continued, lets none of them in.  Called by
after_a_freeze_nobody_new_comes_in_busy_or_stopped.vtc.
"""
import itertools
import os
import signal
import socket
import threading

from gateway import RUN, WORK, ask, gray, gw, status, until

UNITS = itertools.count()
frozen = threading.Event()
after = {}  # unit: what it was told by a request that began after the return
before = []
stop = threading.Event()


def told(unit):
    answer = ask("/", {"Cookie": "uid=" + unit})
    return answer.served, answer.explain["reason"]


def busy():
    while not stop.is_set():
        unit = "u%d" % next(UNITS)
        late = frozen.is_set()
        answer = told(unit)
        if late:
            after[unit] = answer
        else:
            before.append((unit, answer))


def made():
    return status()["events"].get("marks-made", 0)


clients = [threading.Thread(target=busy) for _ in range(8)]
for client in clients:
    client.start()
until(lambda: len(before) > 300)
gray("freeze", "cart-2", "--runtime", RUN)
frozen.set()
marks = made()
until(lambda: len(after) > 300)
stop.set()
for client in clients:
    client.join()
assert set(after.values()) == {("v1", "no-admit")}, set(after.values())
assert {"v2"} <= {answer[0] for _, answer in before} <= {"v1", "v2"}
# who was told IN before is in, who was not is out: nobody between
for unit, (served, reason) in before[-50:]:
    assert told(unit) == ((served, "mark") if served == "v2"
                          else (served, reason)), (unit, served)
# a request of before may have made its mark until its answer came, none later
assert marks - 8 <= made() <= marks + 8
settled = made()

gray("thaw", "cart-2", "--runtime", RUN)
assert told("thawed") == ("v2", "share")

# the one worker stands still with requests that it has not read
worker, = gw("pids").split()
os.kill(int(worker), signal.SIGSTOP)
waiting = []
for number in range(40):
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(10)
    one.connect(WORK + "/http.sock")
    one.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                b"Cookie: uid=s%d\r\n\r\n" % number)
    waiting.append(one)
said = gray("freeze", "cart-2", "--runtime", RUN, check=False)
# it cannot promise what the worker would have to acknowledge, and names it
assert said.returncode == 5 and "nginx-" in said.stdout + said.stderr, said
os.kill(int(worker), signal.SIGCONT)
for one in waiting:
    data = b""
    while piece := one.recv(65536):
        data += piece
    assert b"served=v1 " in data and b'"reason":"no-admit"' in data, data
assert made() == settled + 1  # the one that was thawed
