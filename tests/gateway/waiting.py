# SPDX-License-Identifier: Apache-2.0
"""waiting.py - a thousand requests wait for the journal.

grayd is held (SIGSTOP) while they come, so that each of them waits for its
mark.  Meanwhile clients go away, h2 streams are reset, nginx is reloaded; then
grayd goes on and every other one is answered by the new version.  The second
time grayd is killed: whoever waits is answered by the old version when its time
is over, and nobody's mark is left pending.  The worker serves others all the
while, and afterwards has as many descriptors as before.
Called by a_thousand_wait_for_the_journal_and_the_worker_does_not.vtc.
"""
import os
import signal
import socket

import grayd
import h2
from gateway import WORK, ask, event, gw, status, until

PLAIN, STREAMS, CONNECTIONS = 400, 100, 6
# Below strictTimeout (10 s): who is not woken is not answered in time.
WOKEN, OVER = 6, 30


class Plain:
    """One HTTP/1.1 request on a connection of its own."""

    def __init__(self, order, patience):
        self.order = order
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(patience)
        self.socket.connect(WORK + "/http.sock")
        self.socket.sendall(
            f"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Cookie: oid={order}; theme=dark\r\n"
            f"X-Mse-Tag: forged\r\n\r\n".encode())

    def answer(self):
        data = b""
        while piece := self.socket.recv(65536):
            data += piece
        return data.decode("latin-1")


def waited():
    return event("mark-waited")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def gone_in_the_log():
    with open(WORK + "/access.log", encoding="ascii") as file:
        return file.read().count("499 mark-pending\n")


def title(pid):
    with open(f"/proc/{pid}/cmdline", encoding="ascii") as file:
        return file.read()


def reload():
    """The old workers, which know that they are to quit, and have not."""
    workers = gw("pids").split()
    with open(WORK + "/nginx.pid", encoding="ascii") as file:
        os.kill(int(file.read()), signal.SIGHUP)
    for pid in workers:
        until(lambda p=pid: "shutting down" in title(p) or grayd.gone(p))
        assert not grayd.gone(pid), "it left, although somebody waits"
    return workers


def crowd(name, plain, connections, patience=WOKEN):
    """So many requests that all wait; (plain, [(connection, {stream: id})])."""
    before = waited()
    singles = [Plain(f"{name}p{i}", patience) for i in range(plain)]
    many = []
    for c in range(connections):
        client = h2.Connection(patience=patience)
        many.append((client, {
            client.get("/", f"oid={name}h{c}-{i}"): f"{name}h{c}-{i}"
            for i in range(STREAMS)}))
    wanted = plain + connections * STREAMS
    until(lambda: waited() - before == wanted, 20)
    return singles, many


def answers(singles, many):
    """{order: what it was answered}."""
    found = {}
    for client, streams in many:
        bodies = client.bodies(streams)
        found.update({streams[s]: bodies[s].decode() for s in streams})
        client.close()
    for one in singles:
        found[one.order] = one.answer()
    return found


def served(found, version):
    for order, text in found.items():
        assert f"served={version} " in text, (order, text)
        assert f"cookie=oid={order}" in text, text
        assert "mse= " in text, text  # stripped, although it waited
        assert ("gray.arms=order-2" in text) == (version == "v2"), text


# once, with grayd at work: told IN when it is durable, and from then on
first = ask("/", {"Cookie": "oid=one"})
assert first.served == "v2" and first.explain["reason"] == "share", first.explain
again = ask("/", {"Cookie": "oid=one"})
assert again.served == "v2" and again.explain["reason"] == "mark", again.explain

# an id that is issued to a client is the same before and after it waited
made = event("marks-made")
nobody = ask("/", sock="anonymous.sock")
assert nobody.served == "v2" and nobody.explain["reason"] == "share", (
    nobody.explain)
assert event("marks-made") == made + 1
name, value, _ = nobody.cookie
again = ask("/", {"Cookie": name + "=" + value}, sock="anonymous.sock")
assert again.served == "v2" and again.explain["reason"] == "mark", (
    again.explain)

# a thousand, and the journal stands still
grayd.send(signal.SIGSTOP)
singles, many = crowd("a", PLAIN, CONNECTIONS)
assert ask("/status").status == 200  # the worker goes on
assert ask("/", {"Cookie": "oid=one"}).served == "v2"
for one in singles[:100]:
    one.socket.close()
cut, streams = many[0]
for stream in list(streams)[:60]:
    cut.reset(stream)
    del streams[stream]
many.pop(1)[0].close()
until(lambda: gone_in_the_log() == 100 + 60 + STREAMS)  # seen, not only later
workers = reload()
grayd.send(signal.SIGCONT)
found = answers(singles[100:], many)
assert len(found) == PLAIN - 100 + CONNECTIONS * STREAMS - 60 - STREAMS
served(found, "v2")
for pid in workers:
    until(lambda p=pid: grayd.gone(p))

# who went away was admitted all the same: the mark is there, once
for order in ("ap0", "ah0-0", "ah1-5"):
    late = ask("/", {"Cookie": "oid=" + order})
    assert late.served == "v2" and late.explain["reason"] == "mark", late.body

# nothing but those who wait keeps an old worker: no connection has a timer
grayd.send(signal.SIGSTOP)
singles, many = crowd("c", 50, 0)
workers = reload()
grayd.send(signal.SIGCONT)
served(answers(singles, many), "v2")
for pid in workers:
    until(lambda p=pid: grayd.gone(p))

# now the writer dies: old version when the time is over, no mark stays open
pid = gw("pids").split()[0]
before = descriptors(pid)
grayd.send(signal.SIGSTOP)
singles, many = crowd("b", PLAIN // 2, 2, OVER)
grayd.end(signal.SIGKILL)
found = answers(singles, many)
assert len(found) == PLAIN // 2 + 2 * STREAMS
served(found, "v1")
assert status()["reasons"]["not-durable"] >= len(found), status()["reasons"]
held = ask("/", {"Cookie": "oid=bp0"})
assert held.served == "v1", held.body  # nobody new without a writer
assert ask("/", {"Cookie": "oid=ap7"}).served == "v2"  # who is in stays in
until(lambda: descriptors(pid) <= before)

# it comes back: whose mark was void is asked again, and told for good
grayd.start()
until(lambda: ask("/", {"Cookie": "oid=bp0"}).served == "v2")
assert ask("/", {"Cookie": "oid=bp0"}).explain["reason"] == "mark"
assert sum(one["in_flight"] for one in status()["series"]) == 0
