# SPDX-License-Identifier: Apache-2.0
"""reset.py - an HTTP/2 client that goes away in the middle of an answer.

Neither the status nor the choice of endpoints may keep what it began.  Called
by a_client_that_resets_its_stream_leaves_nothing_in_flight.vtc.
"""
import socket
import struct

from gateway import WORK, ask, status, until


def frame(kind, flags, stream, payload=b""):
    conn.sendall(struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
                 + struct.pack(">I", stream) + payload)


def read_exactly(size):
    data = b""
    while len(data) < size:
        piece = conn.recv(size - len(data))
        assert piece
        data += piece
    return data


def wait_for(kind, stream):
    while True:
        head = read_exactly(9)
        read_exactly(int.from_bytes(head[:3], "big"))
        if (head[3], int.from_bytes(head[5:], "big")) == (kind, stream):
            return


def busy():
    return sum(one["in_flight"] for one in status()["series"])


conn = socket.socket(socket.AF_UNIX)
conn.settimeout(10)
conn.connect(WORK + "/h2.sock")
conn.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
frame(4, 0, 0)
# GET, http, :path /half, :authority x
block = b"\x82\x86\x04\x05/half\x01\x01x"
streams = [1, 3, 5]
for stream in streams:
    frame(1, 5, stream, block)
    wait_for(1, stream)
assert busy() == len(streams)
for stream in streams:
    frame(3, 0, stream, struct.pack(">I", 8))
until(lambda: busy() == 0)
# endpoints are free again, and the connection goes on
assert {ask("/").served for _ in range(20)} == {"a", "b"}
frame(1, 5, 7, block)
wait_for(1, 7)
assert busy() == 1
conn.close()
until(lambda: busy() == 0)
assert sum(one["started"] for one in status()["series"]) == 24
