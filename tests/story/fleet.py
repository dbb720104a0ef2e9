# SPDX-License-Identifier: Apache-2.0
"""fleet.py - one server and its hosts, each in a network namespace of its own.

Why: what a network does to a fleet shows on real links alone: one that is cut,
one that is slow, one where somebody changes what goes over it.  The server is
a real grayd with TLS; each host has its agent, nginx, shops and a program with
libgray.  A program is started in a namespace by going there first (setns), so
everything else of the harness is as on one host.
"""
import ctypes
import contextlib
import http.client
import http.server
import json
import os
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
import uuid

from harness import SKIP, Failure, Story, build_folder, check, wait_until
from marked import GRAYD, Host, marks

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
HOME = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
PORT, WIRE = 7170, 7443


def entering(name):
    return ["nsenter", f"--net=/run/netns/{name}"]


def ip(*words):
    """`-n NAME` first: in that namespace. By nsenter, for `ip -n` wants a root
    that is a mount, which a chroot has not."""
    command = ["ip", *map(str, words)]
    if words[0] == "-n":
        command = [*entering(words[1]), "ip", *map(str, words[2:])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip {' '.join(map(str, words))}: {done.stderr}")


@contextlib.contextmanager
def inside(name):
    """What this thread opens and starts is in that namespace."""
    there = os.open(f"/run/netns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if LIBC.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        yield
    finally:
        LIBC.setns(HOME, CLONE_NEWNET)
        os.close(there)


class Net:
    """The server's namespace, and one a host, with a link between."""

    def __init__(self, hosts):
        self.stem = f"gray{os.getpid() % 100000}"
        self.hosts = hosts
        self.server = self.stem + "s"

    def __enter__(self):
        if os.geteuid() != 0:
            print("skipped: network namespaces need root")
            sys.exit(SKIP)
        try:
            ip("netns", "add", self.server)
        except OSError as error:
            print(f"skipped: no network namespaces here: {error}")
            sys.exit(SKIP)
        try:
            ip("-n", self.server, "link", "set", "lo", "up")
            for number in range(1, self.hosts + 1):
                self.link(number)
        except OSError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in [self.server] + [self.name(n)
                                     for n in range(1, self.hosts + 1)]:
            subprocess.run(["ip", "netns", "del", name],
                           stderr=subprocess.DEVNULL)

    def name(self, number):
        return f"{self.stem}h{number}"

    def link(self, number):
        there, at_server = self.name(number), f"{self.stem}{number}"
        ip("netns", "add", there)
        ip("-n", there, "link", "set", "lo", "up")
        ip("link", "add", at_server, "netns", self.server, "type", "veth",
           "peer", "name", "up0", "netns", there)
        ip("-n", self.server, "addr", "add", f"10.77.{number}.1/30", "dev",
           at_server)
        ip("-n", there, "addr", "add", f"10.77.{number}.2/30", "dev", "up0")
        ip("-n", self.server, "link", "set", at_server, "up")
        ip("-n", there, "link", "set", "up0", "up")

    def cut(self, number):
        ip("-n", self.server, "link", "set", f"{self.stem}{number}", "down")

    def mend(self, number):
        ip("-n", self.server, "link", "set", f"{self.stem}{number}", "up")

    def slow(self, number, delay_ms, kbit):
        """netem, where this kernel has it; False: it has not."""
        return subprocess.run(
            [*entering(self.name(number)), "tc", "qdisc", "replace", "dev",
             "up0", "root", "netem", "delay", f"{delay_ms}ms", "rate",
             f"{kbit}kbit"],
            stderr=subprocess.DEVNULL).returncode == 0


def certificates(folder, hosts):
    """A CA and a certificate of the server, at all its addresses."""
    def openssl(*words):
        done = subprocess.run(["openssl", *words], cwd=folder,
                              capture_output=True, text=True)
        check(done.returncode == 0, f"openssl: {done.stderr}")
    names = ",".join(f"IP:10.77.{n}.1" for n in range(1, hosts + 1))
    with open(os.path.join(folder, "names"), "w", encoding="ascii") as f:
        f.write(f"subjectAltName={names}\n")
    for name, subject in (("ca", "/CN=fleet"), ("server", "/CN=server")):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out",
                name + ".key")
        openssl("req", "-new", "-key", name + ".key", "-subj", subject, "-out",
                name + ".csr")
    openssl("req", "-x509", "-key", "ca.key", "-subj", "/CN=fleet", "-days",
            "2", "-out", "ca.pem")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey",
            "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names",
            "-out", "server.pem")


# ---- somebody on the way ------------------------------------------------------


class WireHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except (OSError, http.client.HTTPException):
            pass  # one of the two left

    def go(self):
        wire = self.server.wire
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        time.sleep(wire.delay_s)  # what a long way takes
        there = http.client.HTTPSConnection(
            wire.address, PORT, context=wire.client, timeout=120)
        headers = {k: v for k, v in self.headers.items()
                   if k.lower() not in ("host", "connection")}
        there.request(self.command, self.path, body, headers)
        answer = there.getresponse()
        data = answer.read()
        there.close()
        if wire.tamper is not None and answer.status == 200:
            data = wire.tamper(self.path, data)
        time.sleep(wire.delay_s)
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length", "date",
                                    "server", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if answer.status == 304:
            return
        if wire.tear is not None and wire.tear(self.path):
            self.wfile.write(data[:len(data) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        step = 1024
        for at in range(0, len(data), step):
            self.wfile.write(data[at:at + step])
            if wire.bytes_s:
                time.sleep(step / wire.bytes_s)

    do_GET = do_POST = go


class WireServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def finish_request(self, request, client_address):
        # A thread of its own: its calls go out from the server's namespace.
        with inside(self.wire.namespace):
            try:
                secure = self.wire.context.wrap_socket(request,
                                                       server_side=True)
            except (OSError, ssl.SSLError):
                return
            self.RequestHandlerClass(secure, client_address, self)

    def handle_error(self, *_):
        pass


class Wire:
    """A balancer in front of the server, with a good certificate, that is
    slow, tears, or changes what goes through it."""

    def __init__(self, namespace, address, folder):
        self.namespace, self.address = namespace, address
        self.delay_s, self.bytes_s = 0.0, 0
        self.tamper = self.tear = None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(os.path.join(folder, "server.pem"),
                                     os.path.join(folder, "server.key"))
        self.client = ssl.create_default_context(
            cafile=os.path.join(folder, "ca.pem"))
        with inside(namespace):
            self.server = WireServer((address, WIRE), WireHandler)
        self.server.wire = self
        threading.Thread(target=self.server.serve_forever,
                         kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


# ---- a host -------------------------------------------------------------------


class AgentOf:
    """In the place of grayd of marked.Host."""

    def __init__(self, machine):
        self.machine = machine
        self.state = os.path.join(machine.dir, "state")
        self.log = os.path.join(machine.dir, "agent.log")
        self.process = None

    def start(self):
        fleet, machine = self.machine.fleet, self.machine
        port = WIRE if machine.behind_wire else PORT
        with machine.inside(), open(self.log, "ab") as log:
            self.process = machine.start(
                os.path.join(machine.build, "bin/grayd"), "--agent", "--state",
                self.state, "--runtime", machine.runtime, "--server",
                f"https://10.77.{machine.number}.1:{port}", "--server-key",
                fleet.server.state + "/audit/key.pub", "--token-file",
                machine.token, "--host-name", machine.host_name, "--ca",
                os.path.join(fleet.folder, "ca.pem"), stderr=log)
        wait_until(lambda: os.path.exists(machine.runtime + "/agent"),
                   f"the agent of {machine.host_name} begins")

    def kill(self):
        self.process.kill()
        self.process.wait(10)
        self.machine.children.remove(self.process)

    def errors(self):
        return Story.read(self.log)

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.machine.end(self.process)


class Machine(Host):
    """One host of the fleet; with `with`."""

    def __init__(self, fleet, number, behind_wire=False):
        super().__init__(f"{fleet.name}, h{number}")
        self.fleet, self.number = fleet, number
        self.host_name = f"h{number}"
        self.behind_wire = behind_wire
        self.ports = fleet.ports  # each namespace has all ports to itself
        self.namespace = fleet.net.name(number)

    def __enter__(self):
        Story.__enter__(self)
        self.gates, self.told, self.acts = {}, None, {}
        self.skew = time.time_ns() - time.monotonic_ns()
        self.token = os.path.join(self.dir, "token")
        self.grayd = AgentOf(self)
        return self

    def inside(self):
        return inside(self.namespace)

    def begin(self):
        """Agent, shops, nginx, a program with libgray."""
        self.fleet.make_token(self)
        self.grayd.start()
        with self.inside():
            self.shops()
            self.gate("one", workers=1)
            self.start_told()

    def ask_start(self, kind, *options, **numbers):
        """Units of this host alone."""
        with self.inside():
            return super().ask_start(kind, *options, via=("one", "told"),
                                     first=self.number * 100_000_000,
                                     **numbers)

    def ask(self, *words, **more):
        with self.inside():
            return super().ask(*words, **more)

    def said(self):
        """The agent's file for people."""
        try:
            with open(self.runtime + "/agent", encoding="utf-8") as f:
                return json.load(f)
        except (OSError, ValueError):
            return {}

    def status(self):
        return json.loads(self.gray("status", "--runtime", self.runtime, "-o",
                                    "json"))

    def word(self, release):
        rows = {r["release"]: r["word"] for r in self.status()["releases"]}
        return rows.get(release)


class Fleet:
    """A server and its hosts; with `with`."""

    def __init__(self, name, hosts, wires=()):
        self.name, self.wires_of = name, wires
        self.net = Net(hosts)
        self.ports, self.wires = {}, {}
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.net)
            self.server = stack.enter_context(GRAYD.Grayd(build_folder()))
            self.folder = self.server.folder
            certificates(self.folder, self.net.hosts)
            self.start_server()
            for number in self.wires_of:
                self.wires[number] = Wire(self.net.server,
                                          f"10.77.{number}.1", self.folder)
                stack.callback(self.wires[number].close)
            self.machines = [stack.enter_context(
                Machine(self, n, n in self.wires_of))
                for n in range(1, self.net.hosts + 1)]
            self.stack = stack.pop_all()
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            print(self.server.errors()[-3000:])
        return self.stack.__exit__(kind, error, trace)

    def start_server(self):
        with inside(self.net.server):
            check(self.server.start(
                "--tls-certificate", self.folder + "/server.pem", "--tls-key",
                self.folder + "/server.key", listen=f"0.0.0.0:{PORT}"),
                self.server.errors()[-2000:])

    def make_token(self, machine):
        reply = self.server.ask("POST", "/v1/tokens", {
            "name": machine.host_name, "role": "agent",
            "scopes": [machine.host_name],
            "ttlSeconds": 3600})
        check(reply.status in (200, 201), f"token: {reply.text}")
        body = reply.body
        with open(machine.token, "w", encoding="ascii") as f:
            f.write(body["token"] + "\n")
        os.chmod(machine.token, 0o600)

    # ---- what the server says ---------------------------------------------------

    def hosts(self):
        reply = self.server.ask("GET", "/v1/hosts")
        check(reply.status == 200, reply.text)
        return {h["name"]: h for h in reply.body["hosts"]}

    def apply(self, documents, **more):
        reply = self.server.apply(json.dumps(documents), **more)
        check(reply.status in (200, 202), f"apply: {reply.text}")
        return reply.body

    def follow(self, *machines):
        """Until these have what is in force at the server."""
        def all_have():
            rows = self.hosts()
            return all(rows.get(m.host_name, {}).get("state") == "current"
                       for m in machines or self.machines)
        # Who was away comes back within the minute that waits double to.
        try:
            wait_until(all_have, "every host follows", 100)
        except Failure as failure:
            raise Failure(f"{failure}: {self.hosts()}") from None

    def verb(self, release, verb, **body):
        """A call of an operator; an act of every host. A freeze has returned
        when the server says that nobody is let in any more, anywhere."""
        body.setdefault("reason", "the story goes so")
        called = time.monotonic_ns()
        reply = self.server.verb(release, verb, body,
                                 Idempotency_Key=str(uuid.uuid4()))
        check(reply.status == 200, f"{verb}: {reply.text}")
        said = reply.body
        if verb == "freeze":
            said = wait_until(lambda: self.closed(release, said),
                              f"{release} is never closed", 60)
        returned = time.monotonic_ns()
        for machine in self.machines:
            inside_, last = None, 0
            if verb == "freeze":
                records = machine.journal(release)
                inside_ = marks.History(records).inside()
                last = records[-1].sequence if records else 0
            machine.acts.setdefault(release, []).append(
                marks.Act(verb, called, returned, inside_, last))
        return (returned - called) / 1e9

    def closed(self, release, said):
        """What is said of it once it is closed; None: not yet."""
        if said.get("admission", {}).get("closed"):
            return said
        body = self.server.ask("GET", f"/v1/releases/{release}").body
        return body if body.get("admission", {}).get("closed") else None
