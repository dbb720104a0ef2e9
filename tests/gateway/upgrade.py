# SPDX-License-Identifier: Apache-2.0
"""upgrade.py - a WebSocket's upgrade through gray_balance.

101 comes through, bytes go both ways, the endpoint is busy until the end, and
the end is counted once.  Called by
an_upgraded_connection_is_one_request_until_it_ends.vtc.
"""
import socket

from gateway import WORK, ask, status, until


def read_until(conn, end):
    data = b""
    while not data.endswith(end):
        piece = conn.recv(65536)
        assert piece, data
        data += piece
    return data


def series():
    (one,) = status()["series"]
    return one


conn = socket.socket(socket.AF_UNIX)
conn.settimeout(10)
conn.connect(WORK + "/http.sock")
conn.sendall(b"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
             b"Connection: upgrade\r\nx-gray-lane: evil\r\n\r\n")
head = read_until(conn, b"\r\n\r\n")
assert head.startswith(b"HTTP/1.1 101 "), head
served = head.split(b"X-Served-By: ")[1][:1].decode()
for word in (b"hello", b"a" * 100000, b"end"):
    conn.sendall(word)
    got = b""
    while len(got) < len(word):
        got += conn.recv(65536)
    assert got == word.upper()

assert series()["in_flight"] == 1 and series()["started"] == 1
assert {ask("/").served for _ in range(20)} == {"a", "b"} - {served}
conn.close()
until(lambda: series()["in_flight"] == 0)
assert series()["status_1xx"] == 1 and series()["try_failed"] == 0, series()
until(lambda: {ask("/").served for _ in range(10)} == {"a", "b"})
