#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gateway.py - what a gray release costs a request, beside its peers.

Why: times of whole proxies are noise on a small machine, so the first figure
is a count: user-mode instructions a request under callgrind, of the same
distribution's nginx with plain proxy_pass (the peer, 1.00), with our module,
with split_clients and map, with Lua, and of HAProxy, all set up for the same
release: 10 % of the users by the cookie `uid` meet v2, testers by a header.
The scene: one keep-alive client, uid cookie, 8 request headers, keep-alive
upstreams.  Per request = (count of the long run - count of the short run) /
(difference in requests), so that start-up falls out.  Marks are on, as they are
by default: each request asks for its unit's mark.  Scenes of their own tell the
users who are in by their mark (no cookie of ours), those who are out (the
look-up misses), and the same release without marks (`stickiness: none`).
Then the CPU time of all of them in one paired run, round by round.

usage: gateway.py BUILD [instructions|cpu|all]
Prints `name value unit`, one a line; everything else goes to stderr.
"""
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

SHORT, LONG = 2000, 6000
HEADERS = [
    ("Host", "shop.example"), ("User-Agent", "Mozilla/5.0 (X11; Linux)"),
    ("Accept", "text/html,application/json;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en,zh;q=0.7"), ("Accept-Encoding", "gzip, deflate"),
    ("Referer", "http://shop.example/"), ("X-Request-Id", "0af7651916cd43dd"),
]  # and the Cookie: eight

NGINX_HEAD = """{load}
user root; daemon off; master_process off; pid {dir}/nginx.pid;
error_log {dir}/error.log error;
events {{ worker_connections 512; }}
http {{
    access_log off; keepalive_requests 1000000; keepalive_timeout 600s;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2;
    fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4;
    scgi_temp_path {dir}/t5;
"""
PROXY = ("proxy_set_header Host $host; proxy_http_version 1.1;"
         ' proxy_set_header Connection "";')


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def upstreams(v1, v2):
    return "".join(
        f"    upstream {name} {{ server 127.0.0.1:{port}; keepalive 32;"
        " keepalive_requests 1000000; }\n"
        for name, port in (("v1", v1), ("v2", v2)))


def conf_plain(d, port, v1, v2):
    return NGINX_HEAD.format(load="", dir=d) + upstreams(v1, v2) + f"""
    server {{ listen 127.0.0.1:{port};
        location / {{ proxy_pass http://v1; {PROXY} }} }}
}}
"""


def conf_split(d, port, v1, v2):
    return NGINX_HEAD.format(load="", dir=d) + upstreams(v1, v2) + f"""
    split_clients "cart-2:$cookie_uid" $share {{ 10% v2; * v1; }}
    map $http_x_canary $version {{ default $share; always v2; }}
    server {{ listen 127.0.0.1:{port};
        location / {{ proxy_pass http://$version; {PROXY} }} }}
}}
"""


def conf_lua(d, port, v1, v2):
    load = ("load_module /usr/lib/nginx/modules/ndk_http_module.so;\n"
            "load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;")
    return NGINX_HEAD.format(load=load, dir=d) + upstreams(v1, v2) + f"""
    server {{ listen 127.0.0.1:{port};
        location / {{
            set $version v1;
            rewrite_by_lua_block {{
                local h = ngx.req.get_headers()
                local uid = ngx.var.cookie_uid
                if h["x-canary"] == "always" or (uid and
                   ngx.crc32_short("cart-2:" .. uid) % 1000 < 100) then
                    ngx.var.version = "v2"
                end
            }}
            proxy_pass http://$version; {PROXY} }} }}
}}
"""


def conf_gray(d, port, v1, v2, module, folder):
    return NGINX_HEAD.format(load=f"load_module {module};", dir=d) + f"""
    gray_runtime {folder};
    upstream gray {{ gray_balance; keepalive 32; keepalive_requests 1000000; }}
    server {{ listen 127.0.0.1:{port};
        gray_entrance on;
        location / {{ gray_service cart; proxy_pass http://gray; {PROXY} }} }}
}}
"""


def conf_haproxy(port, v1, v2):
    return f"""
global
    nbthread 1
    maxconn 256
defaults
    mode http
    timeout client 600s
    timeout server 600s
    timeout connect 5s
    timeout http-keep-alive 600s
    http-reuse always
frontend in
    bind 127.0.0.1:{port}
    http-request set-var(txn.bucket) req.cook(uid),crc32c,mod(1000)
    acl tester req.hdr(x-canary) -m str always
    acl gray var(txn.bucket) -m int lt 100
    use_backend v2 if tester or gray
    default_backend v1
backend v1
    server a 127.0.0.1:{v1}
backend v2
    server a 127.0.0.1:{v2}
"""


def documents(v1, v2, stickiness):
    return json.dumps([
        {"kind": "Service", "name": "cart", "baseline": {"version": "v1"},
         "versions": {"v1": {"endpoints": [f"127.0.0.1:{v1}"]},
                      "v2": {"endpoints": [f"127.0.0.1:{v2}"]}}},
        {"kind": "Release", "name": "cart-2", "unit": {"cookie": "uid"},
         "services": [{"service": "cart", "version": "v2"}],
         "stickiness": stickiness,
         "admission": {"share": 10, "allow": [
             {"header": {"name": "x-canary", "exact": "always"}}]}}])


class Client:
    """One keep-alive connection; counts answers, fails on anything else."""

    def __init__(self, port):
        for _ in range(600):
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), 5)
                break
            except OSError:
                time.sleep(0.1)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(60)

    def ask(self, cookie):
        lines = [f"{k}: {v}" for k, v in HEADERS] + [f"Cookie: {cookie}"]
        self.socket.sendall(("GET /cart/7 HTTP/1.1\r\n" + "\r\n".join(lines)
                             + "\r\n\r\n").encode())
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(65536)
            if not more:
                raise RuntimeError("connection closed")
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        length = int(re.search(rb"(?i)content-length: (\d+)", head).group(1))
        while len(body) < length:
            body += self.socket.recv(65536)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.split(b"\r\n")[0].decode())
        return head.decode("latin-1")

    def load(self, count, cookies):
        for i in range(count):
            self.ask(cookies[i % len(cookies)])


class Bench:
    def __init__(self, build):
        self.build = os.path.abspath(build)
        self.dir = tempfile.mkdtemp(prefix="gray-bench-", dir="/dev/shm")
        self.children = []
        self.v1, self.v2 = free_port(), free_port()
        self.start_backends()
        self.cookies = [f"uid={i}" for i in range(100000, 101000)]

    def close(self):
        # Asked first: a master that is killed leaves its workers behind.
        for child in self.children:
            if child.poll() is None:
                child.terminate()
        for child in self.children:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def spawn(self, command):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                 stderr=sys.stderr)
        self.children.append(child)
        return child

    def start_backends(self):
        d = os.path.join(self.dir, "backend")
        os.mkdir(d)
        servers = "".join(
            f"server {{ listen 127.0.0.1:{port}; location / "
            f'{{ return 200 "{name} says hello to a user of the shop"; }} }}\n'
            for name, port in (("v1", self.v1), ("v2", self.v2)))
        with open(d + "/nginx.conf", "w", encoding="utf-8") as f:
            f.write(NGINX_HEAD.format(load="", dir=d) + servers + "}\n")
        self.spawn(["nginx", "-p", d, "-e", d + "/error.log",
                    "-c", d + "/nginx.conf"])

    def prepare(self, name, port):
        """The command of a peer, its files written."""
        d = os.path.join(self.dir, f"{name}-{port}")
        os.mkdir(d)
        if name == "haproxy":
            path = d + "/haproxy.cfg"
            conf = conf_haproxy(port, self.v1, self.v2)
            command = ["haproxy", "-db", "-f", path]
        else:
            path = d + "/nginx.conf"
            command = ["nginx", "-p", d, "-e", d + "/error.log", "-c", path]
            if name.startswith("gray"):
                conf = conf_gray(d, port, self.v1, self.v2,
                                 self.build + "/lib/ngx_http_gray_module.so",
                                 self.folder(d, "none" if name == "gray_none"
                                             else "monotonic"))
            else:
                conf = {"plain": conf_plain, "plain_cookie": conf_plain,
                        "split_clients": conf_split,
                        "lua": conf_lua}[name](d, port, self.v1, self.v2)
        with open(path, "w", encoding="utf-8") as f:
            f.write(conf)
        return command

    def folder(self, d, stickiness):
        """A runtime folder of its own for each run: in each of them the same
        users are new, and have their marks from then on."""
        path, docs = d + "/runtime", d + "/docs.json"
        with open(docs, "w", encoding="utf-8") as f:
            f.write(documents(self.v1, self.v2, stickiness))
        subprocess.run([self.build + "/bin/gray", "publish", "-f", docs,
                        "--runtime", path], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return path

    def sample(self, side):
        """Of the cookies, those of users who are in, or out, by the share."""
        docs = os.path.join(self.dir, "sample.json")
        with open(docs, "w", encoding="utf-8") as f:
            f.write(documents(self.v1, self.v2, "monotonic"))
        said = subprocess.run(
            [self.build + "/bin/gray", "sample", "cart-2", "-f", docs, "--ids",
             "-", "-n", "50", "-o", "json"], check=True, text=True,
            input="".join(c.removeprefix("uid=") + "\n"
                          for c in self.cookies),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        return ["uid=" + row["id"] for row in json.loads(said)[side]]

    def gray_cookies(self, port):
        """Cookies of users who are in, each with the cookie it was given."""
        client = Client(port)
        found = []
        for i in range(200000, 201000):
            head = client.ask(f"uid={i}")
            match = re.search(r"(?im)^set-cookie: ([^;\r]+)", head)
            if match:
                found.append(f"uid={i}; {match.group(1)}")
            if len(found) == 50:
                break
        if not found:
            raise RuntimeError("nobody was given a gray cookie")
        return found

    def count(self, name, requests):
        port = free_port()
        out = os.path.join(self.dir, f"callgrind-{name}-{requests}")
        log = out + ".log"
        child = self.spawn(["valgrind", "--tool=callgrind",
                            f"--callgrind-out-file={out}",
                            f"--log-file={log}"] + self.prepare(name, port))
        client = Client(port)
        client.ask(self.cookies[0])
        cookies = self.cookies
        if name == "gray_cookie":
            cookies = self.admitted = self.gray_cookies(port)
        elif name == "plain_cookie":  # the very requests of gray_cookie
            cookies = self.admitted
        elif name in ("gray_in", "gray_out"):
            cookies = self.sample(name.removeprefix("gray_"))
        client.load(len(cookies), cookies)
        client.load(requests, cookies)
        client.socket.close()
        child.send_signal(signal.SIGUSR1 if name == "haproxy"
                          else signal.SIGQUIT)
        child.wait(60)
        with open(log, encoding="utf-8", errors="replace") as f:
            return int(re.search(r"Collected : (\d+)", f.read()).group(1))

    def instructions(self):
        each = {}
        for name in ("plain", "gray", "gray_in", "gray_out", "gray_none",
                     "gray_cookie", "plain_cookie", "split_clients", "lua",
                     "haproxy"):
            short, long = self.count(name, SHORT), self.count(name, LONG)
            each[name] = (long - short) / (LONG - SHORT)
            label = name.replace("gray", "gateway")
            print(f"{label}_user_instructions {each[name]:.0f} "
                  "instructions/request", flush=True)
        # Each against plain proxy_pass with the very same requests.
        for label, name, peer in (
                ("gateway", "gray", "plain"),
                ("gateway_in", "gray_in", "plain"),
                ("gateway_out", "gray_out", "plain"),
                ("gateway_none", "gray_none", "plain"),
                ("gateway_cookie", "gray_cookie", "plain_cookie"),
                ("gateway_cookie_against_no_cookie", "gray_cookie", "plain"),
                ("split_clients", "split_clients", "plain"),
                ("lua", "lua", "plain"), ("haproxy", "haproxy", "plain")):
            print(f"{label}_user_instructions_ratio "
                  f"{each[name] / each[peer]:.3f} x", flush=True)

    def cpu(self, rounds=7, requests=6000):
        names = ["plain", "gray", "split_clients", "lua", "haproxy"]
        running = {}
        for name in names:
            port = free_port()
            child = self.spawn(self.prepare(name, port))
            running[name] = (child, Client(port))
            running[name][1].load(500, self.cookies)
        spent = {name: [] for name in names}
        for _ in range(rounds):
            for name in names:
                child, client = running[name]
                before = cpu_of(child.pid)
                client.load(requests, self.cookies)
                spent[name].append((cpu_of(child.pid) - before) / requests)
        for name in names[1:]:
            ratios = [a / b for a, b in zip(spent[name], spent["plain"])]
            label = "gateway" if name == "gray" else name
            print(f"{label}_cpu_ratio {statistics.median(ratios):.3f} x",
                  flush=True)


def cpu_of(pid):
    with open(f"/proc/{pid}/schedstat", encoding="utf-8") as f:
        return int(f.read().split()[0]) / 1e9


def main():
    what = sys.argv[2] if len(sys.argv) > 2 else "all"
    bench = Bench(sys.argv[1])
    try:
        if what in ("instructions", "all"):
            bench.instructions()
        if what in ("cpu", "all"):
            bench.cpu()
    finally:
        bench.close()


if __name__ == "__main__":
    main()
