#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""harness.py - real nginx, module, shop and users on free ports, and no trace.

Why: a story says what is done and what must be seen; that everything starts,
is ready before it is asked, ends, and leaves neither process nor file behind
is told here once.  Whoever ends badly fails the story: [alert], [emerg] or
[crit] in error.log, a sanitizer's line anywhere, a process that outlives it.

    with Story("shares") as story:
        story.publish([...])
        story.shop("cart", "v1")
        story.nginx(story.gray_conf(...))
        story.users(...)

A sanitized build brings an nginx of its own; see tests/sanitized.in.

Programs come from the build folder (first argument of a story, or GRAY_BUILD).
Exit code 77 (skipped) when that folder holds no module or no `gray`.
"""
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                             "oracle"))
import shares  # noqa: E402  tests/oracle/shares.py

# a sanitizer's runtime is ours, for libgray: programs bring their own
os.environ.pop("LD_PRELOAD", None)

SKIP = 77
ENTRANCE = """
    server {{
        listen 127.0.0.1:{entrance};
        gray_entrance on;
        {inside}
        location / {{
            gray_service {service};
            proxy_pass http://gray;
        }}
    }}
"""
INNER = """
    server {{
        listen 127.0.0.1:{inner};
        gray_trust 127.0.0.1;
        location /cart {{ gray_service cart; proxy_pass http://gray; }}
        location /order {{ gray_service order; proxy_pass http://gray; }}
        location = /gray {{ gray_status; }}
    }}
"""


class Failure(Exception):
    """The story does not go as it must; its words are the sentence."""


def check(holds, sentence):
    if not holds:
        raise Failure(sentence)


def wait_until(holds, sentence, seconds=20.0):
    """Bounded wait for an event; returns what `holds` returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = holds()
        if value:
            return value
        check(time.monotonic() < deadline, f"waited {seconds} s: {sentence}")
        time.sleep(0.02)  # bounded wait


def free_port(taken=set()):
    """Outside the kernel's ephemeral range, so that no client takes it."""
    while True:
        port = random.randrange(10000, 32000)
        if port in taken:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        taken.add(port)
        return port


def build_folder():
    return os.path.abspath(sys.argv[1] if len(sys.argv) > 1
                           else os.environ.get("GRAY_BUILD", "build"))


class Story:
    def __init__(self, name, needs_gray=True):
        self.name = name
        self.build = build_folder()
        self.bin = os.path.join(self.build, "bin")
        self.module = os.path.join(self.build, "lib",
                                   "ngx_http_gray_module.so")
        if needs_gray:
            for path in (self.module, os.path.join(self.bin, "gray")):
                if not os.path.exists(path):
                    print(f"skipped: {path} is not built")
                    sys.exit(SKIP)
        self.mark = f"{name}-{os.getpid()}-{time.monotonic_ns()}"
        self.children = []
        self.ports = {}
        self.logs = []
        self.nginx_process = None

    # ---- life ------------------------------------------------------------

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="gray-story-", dir="/dev/shm")
        self.runtime = os.path.join(self.dir, "runtime")
        self.error_log = os.path.join(self.dir, "error.log")
        # SIGTERM (meson's timeout) must end what was started, too
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, kind, error, trace):
        wrong = []
        try:
            self.stop_nginx()
            for child in list(self.children):
                self.end(child)
            wrong += self.leftovers()
            wrong += self.bad_lines()
            self.said = self.said_last()
        finally:
            shutil.rmtree(self.dir, ignore_errors=True)
        if isinstance(error, Failure):
            wrong.insert(0, str(error))
        elif error is not None:
            return False
        if wrong:
            for sentence in wrong:
                print(f"{self.name}: FAILED: {sentence}")
            print(self.said)
            sys.exit(1)
        print(f"{self.name}: as it should be")
        return True

    def start(self, *command, **options):
        """A child with a session of its own that dies when we do."""
        environment = dict(os.environ, GRAY_STORY=self.mark)
        environment.update(options.pop("env", {}))
        output = open(os.path.join(self.dir, "output.log"), "ab")
        options.setdefault("stderr", output)
        options.setdefault("stdout", output)
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *map(str, command)],
            env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, **options)
        output.close()
        self.children.append(child)
        return child

    def end(self, child, how=signal.SIGTERM, seconds=10):
        if child.poll() is None:
            child.send_signal(how)
            try:
                child.wait(seconds)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                raise Failure(f"{child.args[3]} did not end within "
                              f"{seconds} s of {how.name}") from None
        if child in self.children:
            self.children.remove(child)

    def processes(self):
        """Every living process of this story, by the mark in its environment."""
        found = []
        needle = f"GRAY_STORY={self.mark}".encode()
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/environ", "rb") as f:
                    if needle in f.read().split(b"\0"):
                        found.append(int(entry))
            except (OSError, ValueError):
                continue
        return found

    def leftovers(self):
        left = self.processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        return [f"process {pid} was left behind" for pid in left]

    def bad_lines(self):
        wrong = []
        for name in ("error.log", "output.log"):
            for line in self.read(os.path.join(self.dir, name)).splitlines():
                if re.search(r"\[(alert|emerg|crit)\]", line) and \
                        not re.search(self.pardoned, line):
                    wrong.append(f"{name}: {line}")
                if "Sanitizer" in line or "runtime error:" in line:
                    wrong.append(f"{name}: {line}")
        return wrong[:10]

    def said_last(self):
        """The end of error.log, and the first report of a sanitizer."""
        text = self.read(self.error_log)
        report = re.search(r"Sanitizer:|runtime error:", text)
        return text[-4000:] + (text[report.start():][:2000] if report else "")

    pardoned = r"(?!)"  # lines that a story brings about on purpose

    @staticmethod
    def read(path):
        try:
            with open(path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def port(self, name):
        if name not in self.ports:
            self.ports[name] = free_port()
        return self.ports[name]

    # ---- gray --------------------------------------------------------------

    def gray(self, *arguments, codes=(0,), **options):
        done = subprocess.run(
            [os.path.join(self.bin, "gray"), *map(str, arguments)],
            capture_output=True, text=True, timeout=120, **options)
        check(done.returncode in codes,
              f"gray {' '.join(map(str, arguments))}: exit code "
              f"{done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
        return done.stdout

    def write_documents(self, documents):
        path = os.path.join(self.dir, "documents.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(documents, f)
        return path

    def publish(self, documents, wait=True, prune=False):
        """In force in every live worker when it returns; `prune`: what was in
        force and is not among them ends."""
        self.gray("publish", "-f", self.write_documents(documents),
                  "--runtime", self.runtime, *(["--wait", 20] if wait else []),
                  *(["--prune"] if prune else []))

    def service(self, name, *versions):
        """A Service whose endpoints are this story's shop processes."""
        return {"kind": "Service", "name": name,
                "baseline": {"version": versions[0]},
                "versions": {v: {"endpoints": [
                    f"127.0.0.1:{self.port(f'{name}-{v}')}"]}
                    for v in versions}}

    @staticmethod
    def release(name, share, services, **more):
        admission = dict(more.pop("admission", {}), share=share)
        return {"kind": "Release", "name": name, "unit": {"cookie": "uid"},
                "services": [{"service": s, "version": v}
                             for s, v in services.items()],
                "admission": admission, **more}

    # ---- the shop ------------------------------------------------------------

    def shop(self, service, version, *more, chain=True):
        log = os.path.join(self.dir, f"{service}-{version}.log")
        port = self.port(f"{service}-{version}")
        following = ["--next", f"http://127.0.0.1:{self.port('inner')}"]
        child = self.start(os.path.join(self.bin, "shop"), "--service",
                           service, "--version", version, "--listen",
                           f"127.0.0.1:{port}", "--log", log,
                           *(following if chain else []), *more)
        self.logs.append(log)
        self.wait_port(port)
        return child

    def wait_port(self, port):
        def answers():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0
        wait_until(answers, f"nobody listens on port {port}")

    def log_rows(self):
        return shares.read_logs([p for p in self.logs if os.path.exists(p)])

    def logged(self, count, services):
        """Waits until each of these services has logged `count` requests."""
        def all_there():
            for service in services:
                lines = sum(self.read(p).count("\n") for p in self.logs
                            if os.path.basename(p).startswith(service + "-"))
                if lines < count:
                    return False
            return True
        wait_until(all_there, f"{count} log lines of {services}")

    def users(self, *options, ok=True, port=None, **more):
        """Runs the load to its end; its JSON."""
        child = self.users_start(*options, port=port, **more)
        return self.users_end(child, ok)

    def users_start(self, *options, port=None, **more):
        return self.start(
            os.path.join(self.bin, "users"), "--target",
            f"127.0.0.1:{port or self.port('entrance')}", "--quiet",
            *options, stdout=subprocess.PIPE, **more)

    def users_end(self, child, ok=True, how=None):
        if how is not None:
            child.send_signal(how)
        output, _ = child.communicate(timeout=900)
        if child in self.children:
            self.children.remove(child)
        check(output, "users printed nothing: " +
              self.read(os.path.join(self.dir, "output.log"))[-500:])
        tally = json.loads(output)
        check(not ok or tally["failed"] == 0, f"requests failed: {tally}")
        return tally

    # ---- nginx -----------------------------------------------------------------

    def conf(self, inside, module=True, workers=2, main=""):
        load = f"load_module {self.module};" if module else ""
        user = "user root;" if os.geteuid() == 0 else ""
        temp = "\n".join(f"    {kind}_temp_path {self.dir}/{kind};" for kind in
                         ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return f"""{load}
{user}
{main}
worker_processes {workers};
pid {self.dir}/nginx.pid;
error_log {self.error_log} notice;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    keepalive_requests 10000000;
{temp}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
{inside}
}}
"""

    def gray_conf(self, service="web", inside="", http="", **more):
        """Entrance, inner listener, runtime folder and balancer."""
        return self.conf(
            f"    gray_runtime {self.runtime};\n"
            "    upstream gray { gray_balance; keepalive 256; }\n" + http +
            ENTRANCE.format(entrance=self.port("entrance"), service=service,
                            inside=inside) +
            INNER.format(inner=self.port("inner")), **more)

    def nginx(self, conf, wait_on="entrance"):
        path = os.path.join(self.dir, "nginx.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(conf)
        self.nginx_process = self.start(
            shutil.which("nginx", path=":".join(
                (os.path.join(self.build, "sanitized"), os.environ["PATH"],
                 "/usr/sbin"))),
            "-p", self.dir, "-c", path, "-e", self.error_log,
            "-g", "daemon off;")
        port = self.port(wait_on)
        # all of them: the first may listen before the others have a name
        wanted = re.search(r"^worker_processes (\d+);", conf, re.M)
        wanted = int(wanted[1]) if wanted else 1

        def serves():
            with socket.socket() as probe:
                return self.nginx_process.poll() is not None or (
                    probe.connect_ex(("127.0.0.1", port)) == 0
                    and len(self.workers()) >= wanted)
        wait_until(serves, f"nginx does not listen on port {port}")
        check(self.nginx_process.poll() is None, "nginx ended: " + self.read(
            os.path.join(self.dir, "output.log"))[-1000:])

    def master(self):
        return self.nginx_process.pid

    def workers(self, master=None):
        """Pids of the living workers of a master, by default this story's."""
        master = master or self.master()
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii") as f:
                    state, parent = f.read().rsplit(")", 1)[1].split()[:2]
                with open(f"/proc/{entry}/cmdline", "rb") as f:
                    title = f.read()
            except OSError:
                continue
            if int(parent) == master and state != "Z" and \
                    b"worker process" in title:
                found.append(int(entry))
        return sorted(found)

    def stop_nginx(self, how=signal.SIGQUIT):
        if self.nginx_process is not None:
            process, self.nginx_process = self.nginx_process, None
            self.end(process, how)
