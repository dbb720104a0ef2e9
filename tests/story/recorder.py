#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""recorder.py - a service that keeps the exact bytes of what reached it.

Why: "byte for byte as through stock nginx" can only be said by who was at the
other end.  Speaks HTTP/1.1 with Content-Length bodies; a request is filed
under its x-seq header.  Answers 200 with its own name.
"""
import asyncio
import re
import threading

LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.I)
SEQUENCE = re.compile(rb"\r\nx-seq:[ \t]*(\S+)", re.I)


class Recorder(threading.Thread):
    """Runs in a thread of its own until end(); `seen` maps x-seq to bytes."""

    def __init__(self, ports):
        super().__init__(daemon=True)
        self.ports = ports  # {name: port}
        self.seen = {name: {} for name in ports}
        self.twice = []
        self.loop = asyncio.new_event_loop()
        self.started = threading.Event()

    def run(self):
        asyncio.set_event_loop(self.loop)
        servers = [self.loop.run_until_complete(self.loop.create_server(
            lambda name=name: _Connection(self, name), "127.0.0.1", port,
            backlog=512)) for name, port in self.ports.items()]
        self.started.set()
        self.loop.run_forever()
        for server in servers:
            server.close()
        self.loop.close()

    def begin(self):
        self.start()
        if not self.started.wait(10):
            raise RuntimeError("the recorder does not start")
        return self

    def end(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join(10)

    def clear(self):
        for seen in self.seen.values():
            seen.clear()
        self.twice.clear()


class _Connection(asyncio.Protocol):
    def __init__(self, recorder, name):
        self.recorder = recorder
        self.name = name
        self.buffer = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end + 2]
            length = LENGTH.search(head)
            total = end + 4 + (int(length.group(1)) if length else 0)
            if len(self.buffer) < total:
                return
            self.file(head, self.buffer[:total])
            self.buffer = self.buffer[total:]
            body = self.name.encode()
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n"
                                 b"\r\n%s" % (len(body), body))

    def file(self, head, request):
        found = SEQUENCE.search(head)
        key = found.group(1).decode() if found else "?"
        seen = self.recorder.seen[self.name]
        if key in seen and key != "?":
            self.recorder.twice.append(key)
        seen[key] = request
