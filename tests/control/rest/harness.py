# SPDX-License-Identifier: Apache-2.0
"""harness.py - starts the small grayd (served.c) and talks to it, raw.

Why: what a transport does with odd bytes can only be seen on a socket of
one's own; http.client would mend them.  The small grayd holds each reply
against its schema and ends with a signal when one is wrong, which is why
stop() looks at how it ended.
"""
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../..")
LIMIT_S = 60  # bounds every wait


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def code(self):
        return self.json()["code"]


class Served:
    """One small grayd; use with `with`."""

    def __init__(self, program, *options):
        self.folder = tempfile.mkdtemp(prefix="gray-rest-", dir="/dev/shm")
        os.mkdir(self.folder + "/state", 0o700)
        self.path = self.folder + "/door/grayd.sock"
        self.tokens, self.port, self.refused = {}, 0, None
        self.errors = open(self.folder + "/stderr", "w+b")
        self.process = subprocess.Popen(
            [program, self.folder, *options], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.errors, text=True)
        for line in self.process.stdout:
            words = line.split()
            if words[0] == "port":
                self.port = int(words[1])
            elif words[0] == "token":
                scope = "" if words[2] == "*" else words[2]
                self.tokens[words[1], scope] = words[3]
            elif words[0] == "refused":
                self.refused = line[8:].strip()
                break
            else:
                break
        self.admin = self.tokens.get(("admin", ""))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def order(self, line, answer="recorded"):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline().strip() == answer

    def record(self, count, resource="Release/cart-2", outcome="done"):
        self.order(f"record {count} {resource} {outcome}")

    def stderr(self):
        self.errors.seek(0)
        return self.errors.read().decode("utf-8", "replace")

    def stop(self):
        if self.process is None:
            return
        self.process.stdin.close()
        code = self.process.wait(LIMIT_S)
        self.process.stdout.close()
        self.process = None
        said = self.stderr()
        self.errors.close()
        shutil.rmtree(self.folder)
        if (code != 0 and self.refused is None) or "ERROR: " in said \
                or "runtime error" in said:
            raise AssertionError(f"served ended with {code}:\n{said}")

    def rss(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def connect(self, local=False):
        if local:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(LIMIT_S)
            s.connect(self.path)
            return s
        return socket.create_connection(("127.0.0.1", self.port), LIMIT_S)

    def ask(self, method, path, token=None, body=None, headers=(),
            local=False):
        """One request on a connection of its own."""
        with self.connect(local) as s:
            send(s, method, path, token, body, headers)
            return receive(s, method)


def head(method, path, token=None, length=None, headers=()):
    lines = [f"{method} {path} HTTP/1.1"]
    if not any(h.lower().startswith("host:") for h in headers):
        lines.append("Host: localhost")
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if length is not None:
        lines.append(f"Content-Length: {length}")
        if not any(h.lower().startswith("content-type:") for h in headers):
            lines.append("Content-Type: application/json")
    return ("\r\n".join([*lines, *headers]) + "\r\n\r\n").encode(
        "utf-8", "surrogateescape")


def send(s, method, path, token=None, body=None, headers=()):
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    data = head(method, path, token, None if body is None else len(body),
                headers) + (body or b"")
    try:
        s.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass  # refused before all was sent: the answer is there


def receive(s, method="GET"):
    """One answer, by Content-Length or chunks; extra bytes are a failure."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(65536)
        if not more:
            raise ConnectionError(f"closed after {data!r}")
        data += more
        if data.startswith(b"HTTP/1.1 100"):
            data = data.split(b"\r\n\r\n", 1)[1]
    top, body = data.split(b"\r\n\r\n", 1)
    lines = top.decode("latin-1").split("\r\n")
    status = int(lines[0].split()[1])
    headers = {}
    for line in lines[1:]:
        name, value = line.split(":", 1)
        headers[name.lower()] = value.strip()
    if method == "HEAD" or status == 304:
        return Answer(status, headers, b"")
    if headers.get("transfer-encoding") == "chunked":
        return Answer(status, headers, chunks(s, body))
    while len(body) < int(headers["content-length"]):
        more = s.recv(65536)
        if not more:
            raise ConnectionError("closed inside a body")
        body += more
    assert len(body) == int(headers["content-length"]), body
    return Answer(status, headers, body)


def chunks(s, data):
    whole = b""
    while True:
        while b"\r\n" not in data:
            data += more_of(s)
        size, data = data.split(b"\r\n", 1)
        size = int(size, 16)
        while len(data) < size + 2:
            data += more_of(s)
        whole, data = whole + data[:size], data[size + 2:]
        if size == 0:
            return whole


def more_of(s):
    more = s.recv(65536)
    if not more:
        raise ConnectionError("closed inside chunks")
    return more


def table(name, file):
    """Rows of a .def table, as lists of strings."""
    with open(os.path.join(ROOT, file), encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    text = re.sub(r"^\s*#.*(\\\n.*)*$", "", text, flags=re.M)
    rows = []
    for match in re.finditer(rf"^{name}\(((?:[^()\"]|\"[^\"]*\")*)\)", text,
                             re.M):
        rows.append(split_cells(match.group(1)))
    return rows


def split_cells(text):
    cells = re.findall(r'((?:"[^"]*"\s*)+|[^,"]+)(?:,|$)', text)
    return ["".join(re.findall(r'"([^"]*)"', c)) if '"' in c else c.strip()
            for c in cells]
