# SPDX-License-Identifier: Apache-2.0
"""h2.py - an HTTP/2 client of few words, for stories that need its frames.

Why: no client that is installed resets a stream when it is told to.
"""
import socket
import struct

from gateway import WORK

DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE = 0, 1, 3, 4, 8
END_STREAM = 1


class Connection:
    def __init__(self, sock="h2.sock", patience=30):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(patience)
        self.socket.connect(WORK + "/" + sock)
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.frame(SETTINGS, 0, 0)
        self.next = 1

    def frame(self, kind, flags, stream, payload=b""):
        self.socket.sendall(struct.pack(">I", len(payload))[1:]
                            + bytes([kind, flags]) + struct.pack(">I", stream)
                            + payload)

    def get(self, path="/", cookie=None):
        """Begins a stream; its number."""
        block = b"\x82\x86\x04" + bytes([len(path)]) + path.encode()
        block += b"\x01\x01x"  # GET, http, :path, :authority x
        if cookie:
            block += b"\x00\x06cookie" + bytes([len(cookie)]) + cookie.encode()
        stream, self.next = self.next, self.next + 2
        self.frame(HEADERS, 5, stream, block)
        return stream

    def reset(self, stream):
        self.frame(RST_STREAM, 0, stream, struct.pack(">I", 8))

    def read(self):
        """(kind, flags, stream, payload) of the next frame."""
        head = self._exactly(9)
        body = self._exactly(int.from_bytes(head[:3], "big"))
        if head[3] == DATA and body:
            self.frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(body)))
        return head[3], head[4], int.from_bytes(head[5:], "big"), body

    def wait_for(self, kind, stream):
        while True:
            frame = self.read()
            if (frame[0], frame[2]) == (kind, stream):
                return

    def bodies(self, streams):
        """{stream: body} of all of these, to their ends."""
        open_, found = set(streams), {stream: b"" for stream in streams}
        while open_:
            kind, flags, stream, body = self.read()
            if kind == DATA and stream in found:
                found[stream] += body
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                open_.discard(stream)
            if kind == RST_STREAM:
                open_.discard(stream)
        return found

    def close(self):
        self.socket.close()

    def _exactly(self, size):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            assert piece, "the connection was closed"
            data += piece
        return data
