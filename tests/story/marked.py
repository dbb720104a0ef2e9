# SPDX-License-Identifier: Apache-2.0
"""marked.py - a host where marks are made: grayd, gateways, a libgray program.

Why: stories of marks all need the same stage: two nginx instances and a
program that asks libgray, on one runtime folder that one grayd writes, two
releases (users, who are kept inside; orders, which are decided once), clients
that write down each answer, and an oracle that judges what was written down
(tests/oracle/marks.py).  Every part can be killed and started again.
"""
import importlib.util
import json
import os
import signal
import subprocess
import threading
import time
import uuid

from harness import (Failure, Story, build_folder, check, shutil, socket,
                     wait_until)
import journal  # noqa: E402  tests/oracle/journal.py
import marks    # noqa: E402  tests/oracle/marks.py

HERE = os.path.dirname(os.path.abspath(__file__))
USERS, ORDERS = "cart-2", "order-2"
VIA = ("one", "two", "told")  # paths of the askers, by number
CONF = """load_module {module};
{user}
worker_processes {workers};
pid {dir}/nginx.pid;
error_log {log} notice;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    keepalive_requests 10000000;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    gray_runtime {runtime};
    upstream gray {{ gray_balance; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        gray_entrance on;
        location / {{ gray_service cart; proxy_pass http://gray; }}
        location = /create {{ gray_service order; proxy_pass http://gray; }}
        location = /pay {{ gray_service order; proxy_pass http://gray; }}
        location = /view {{ gray_service order; proxy_pass http://gray; }}
    }}
}}
"""


def grayd_module():
    path = os.path.join(HERE, "../control/grayd/harness.py")
    spec = importlib.util.spec_from_file_location("grayd_harness", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GRAYD = grayd_module()


def alive(pid):
    """Whoever waits to be buried holds no port any more."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Gate:
    """One nginx instance."""

    def __init__(self, host, name, workers=2):
        self.host, self.name, self.workers_wanted = host, name, workers
        self.dir = os.path.join(host.dir, name)
        self.port = host.port(name)
        self.process = None
        os.mkdir(self.dir)
        self.conf = os.path.join(self.dir, "nginx.conf")
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(CONF.format(
                module=host.module, workers=workers, dir=self.dir,
                user="user root;" if os.geteuid() == 0 else "",
                log=host.error_log, runtime=host.runtime, port=self.port))

    def start(self):
        nginx = shutil.which("nginx", path=":".join(
            (os.path.join(self.host.build, "sanitized"), os.environ["PATH"],
             "/usr/sbin")))
        self.process = self.host.start(
            nginx, "-p", self.dir, "-c", self.conf, "-e", self.host.error_log,
            "-g", "daemon off;")

        def serves():
            with socket.socket() as probe:
                return self.process.poll() is not None or (
                    probe.connect_ex(("127.0.0.1", self.port)) == 0 and
                    len(self.workers()) == self.workers_wanted)
        wait_until(serves, f"gate {self.name} does not start")
        check(self.process.poll() is None, f"gate {self.name} ended: " +
              self.host.read(self.host.error_log)[-1000:])
        return self

    def workers(self):
        return self.host.workers(self.process.pid)

    def kill_worker(self, dice):
        workers = self.workers()
        if workers:
            os.kill(dice.choice(workers), signal.SIGKILL)

    def kill(self):
        """Master and workers: an orphan would keep the port."""
        self.process.send_signal(signal.SIGSTOP)  # makes no new worker
        group = self.workers()
        for pid in (self.process.pid, *group):
            os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        self.host.children.remove(self.process)
        wait_until(lambda: not any(map(alive, group)), "orphans end")
        self.process = None

    def stop(self):
        if self.process is not None:
            self.host.end(self.process, signal.SIGQUIT)
            self.process = None


class Host(Story):
    """With `with`: folders and grayd; then shops(), gates, told as wanted."""
    pardoned = r"exited on signal 9"

    def __enter__(self):
        super().__enter__()
        self.grayd = GRAYD.Grayd(build_folder())
        self.grayd.runtime = self.runtime
        self.gates, self.told, self.acts = {}, None, {}
        self.skew = time.time_ns() - time.monotonic_ns()
        return self

    def __exit__(self, kind, error, trace):
        said = ""
        try:
            for asker in [c for c in self.children if "--out" in c.args]:
                self.end(asker)
            for gate in self.gates.values():
                gate.stop()
            said = self.grayd.errors()[-3000:]
        except Failure as worse:
            error = Failure(f"{error}; {worse}" if error else str(worse))
        finally:
            self.grayd.__exit__(None)
        if error is not None:
            print(said)
        return super().__exit__(type(error) if error else None, error, trace)

    # ---- parts ---------------------------------------------------------------

    def shops(self):
        for service in ("cart", "order"):
            for version in ("v1", "v2"):
                self.shop(service, version, chain=False)

    def gate(self, name, workers=2):
        self.gates[name] = Gate(self, name, workers).start()
        return self.gates[name]

    def start_told(self, of_users=USERS, of_orders=ORDERS):
        path = self.told_socket()
        if os.path.exists(path):
            os.unlink(path)
        self.told = self.start(os.path.join(self.build, "tests/story/told"),
                               path, self.runtime, of_users, of_orders)

        def answers():
            with socket.socket(socket.AF_UNIX) as probe:
                return probe.connect_ex(path) == 0
        wait_until(answers, "told does not listen")

    def told_socket(self):
        return os.path.join(self.dir, "told.sock")

    def kill_told(self):
        self.told.kill()
        self.told.wait(10)
        self.children.remove(self.told)
        self.told = None

    def grayd_on_slow_disk(self):
        """grayd, whose every sync takes a quarter of a second."""
        os.environ["LD_PRELOAD"] = os.path.join(
            self.build, "tests/story/libslow_sync.so")
        try:
            check(self.grayd.start(), self.grayd.errors())
        finally:
            del os.environ["LD_PRELOAD"]

    # ---- documents -----------------------------------------------------------

    def documents(self, users=None, orders=None):
        """Both services and both releases, with what is said more of them."""
        return [self.service("cart", "v1", "v2"),
                self.service("order", "v1", "v2"),
                self.release(USERS, 0, {"cart": "v2"}, **(users or {})),
                self.release(ORDERS, 0, {"order": "v2"}, **{
                    "unit": {"cookie": "oid"}, "stickiness": "entity",
                    "durability": "strict", "stages": [
                        {"name": "create", "writes": True,
                         "when": {"path": {"exact": "/create"}}},
                        {"name": "pay", "when": {"path": {"exact": "/pay"}}}],
                    **(orders or {})})]

    def apply(self, documents):
        reply = self.grayd.apply(json.dumps(documents))
        check(reply.status == 200, f"apply: {reply.text}")
        return reply

    # ---- operators -----------------------------------------------------------

    def verb(self, release, verb, seconds=60, **body):
        """A call that is repeated until grayd lives and answers it; recorded
        as an act when it succeeded."""
        key = str(uuid.uuid4())
        body.setdefault("reason", "the story goes so")
        called = time.monotonic_ns()
        deadline = time.monotonic() + seconds
        while True:
            try:
                reply = self.grayd.verb(release, verb, body,
                                        Idempotency_Key=key)
                if reply.status == 200:
                    break
                check(reply.status in (503, 504), f"{verb}: {reply.text}")
            except GRAYD.Dead:
                pass
            check(time.monotonic() < deadline, f"{verb} is never answered")
            time.sleep(0.01)  # bounded wait
        if verb == "freeze":
            self.closed(release, reply.body)
        returned = time.monotonic_ns()
        inside, last = None, 0
        if verb == "freeze":
            records = self.journal(release)
            inside = marks.History(records).inside()
            last = records[-1].sequence if records else 0
        self.acts.setdefault(release, []).append(
            marks.Act(verb, called, returned, inside, last))
        return reply

    def closed(self, release, body):
        """A scope without a lease promises nothing while a reader is late:
        then freeze has not returned yet, for the oracle."""
        def is_closed():
            nonlocal body
            if body.get("admission", {}).get("closed"):
                return True
            try:
                body = self.grayd.ask("GET", f"/v1/releases/{release}").body
            except GRAYD.Dead:
                body = {}
            return False
        wait_until(is_closed, f"{release} is never closed", 60)

    def journal(self, release):
        """The journal's records of one release, read by other eyes."""
        return journal.read(os.path.join(self.grayd.state, "marks"), release,
                            self.skew)

    # ---- clients ---------------------------------------------------------------

    def ask_start(self, kind, *options, via=VIA, **numbers):
        """An asker of `kind`; its log is `<kind>.log`."""
        paths = []
        for name in via:
            paths += ["--path", f"unix:{self.told_socket()}" if name == "told"
                      else f"http:{self.gates[name].port}"]
        words = [w for k, v in numbers.items() for w in (f"--{k}", v)]
        service, cookie = (("order", "oid") if kind == "orders" else
                           ("cart", "uid"))
        return self.start(
            os.path.join(self.build, "tests/story/asker"), "--kind", kind,
            "--service", service, "--cookie", cookie, "--out",
            os.path.join(self.dir, kind + ".log"), *paths, *words, *options,
            stdout=subprocess.PIPE)

    def answered(self, kind):
        """How many answers stand in the log by now."""
        try:
            return os.path.getsize(os.path.join(self.dir, kind + ".log")) \
                // marks.LINE.size
        except FileNotFoundError:
            return 0

    def ask_end(self, child):
        child.send_signal(signal.SIGTERM)
        output, _ = child.communicate(timeout=60)
        self.children.remove(child)
        check(child.returncode == 0, f"asker: exit code {child.returncode}")
        return json.loads(output)

    def answers(self, kind):
        return marks.read_log(os.path.join(self.dir, kind + ".log"))

    def judge(self, kind, release, **more):
        """The oracle's verdict on one release."""
        more.setdefault("strict", kind == "orders")
        scope = marks.Scope(release, entity=kind == "orders", **more)
        verdict = marks.judge(scope, self.answers(kind),
                              self.acts.get(release, ()),
                              self.journal(release))
        print(f"{release}: {verdict.counts}, {verdict.units} units")
        wrong = list(verdict.sentences())
        check(not wrong, f"{release}: " + "\n  ".join(wrong))
        return verdict

    # ---- one question ------------------------------------------------------------

    def ask(self, unit, target="/", via="one", cookie=None):
        """What one unit is told: "old", "new", "hold", or a status."""
        if via == "told":
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(20)
                s.connect(self.told_socket())
                word = target.strip("/") or "user"
                s.sendall(f"{word} {unit}\n".encode())
                return s.makefile().readline().strip()
        cookie = cookie or ("uid" if target == "/" else "oid")
        with socket.create_connection(("127.0.0.1", self.gates[via].port),
                                      timeout=20) as s:
            s.sendall(f"GET {target} HTTP/1.1\r\nHost: shop\r\nConnection: "
                      f"close\r\nCookie: {cookie}={unit}\r\n\r\n".encode())
            head, _, body = s.makefile("rb").read().partition(b"\r\n\r\n")
        status = int(head.split()[1])
        if status == 503:
            return "hold"
        if status != 200:
            return str(status)
        said = json.loads(body)
        return {"v1": "old", "v2": "new"}[said.get("cart") or said["order"]]


class Operator(threading.Thread):
    """Does what it is told one thing after the other, beside the story."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.failure = work, None

    def run(self):
        try:
            self.work()
        except (Failure, AssertionError, OSError, ValueError) as error:
            self.failure = error

    def done(self, seconds):
        self.join(seconds)
        check(not self.is_alive(), f"not done within {seconds} s")
        if self.failure is not None:
            raise Failure(f"operator: {self.failure}")
