# SPDX-License-Identifier: Apache-2.0
"""request.py - what a policy sees of one line of requests (docs/explain.md).

Why: headers, cookies, queries and addresses become attributes by rules that
every implementation must share, or the same request decides differently.
Read next: conditions.py, decide.py.
"""
import ipaddress
import re
import time

from conditions import lower, moment

OWN_COOKIES = {b"gray", b"__Host-gray"}
KEYS = {"method", "host", "path", "headers", "source", "now", "attrs",
        "labels", "caller", "entrance", "lane", "arms", "class", "random",
        "anonymous"}
MARKED_KEYS = {"stage", "words", "marks"} # of marks.requests.jsonl


def unescape(value):
    """Percent-decoded; '+' is a plus, and what is no escape stays."""
    return re.sub(rb"%([0-9A-Fa-f]{2})",
                  lambda m: bytes([int(m.group(1), 16)]), value)


def address_text(source):
    address = ipaddress.ip_address(source)
    address = getattr(address, "ipv4_mapped", None) or address
    return str(address).encode()


class Request:
    def __init__(self, line):
        unknown = set(line) - KEYS - MARKED_KEYS
        assert not unknown, f"unknown keys {unknown}"
        now = line.get("now", int(time.time() * 1000))
        self.now = now if isinstance(now, int) else moment(now)
        self.line = line
        self.lane = line.get("lane", "")
        self.arms = line.get("arms", "")
        self.traffic_class = line.get("class", "live")
        self.random = line.get("random", 0)
        self.entrance = line.get("entrance", "")
        self.anonymous = line.get("anonymous", "").encode() or None
        self.path, _, self.query = re.split(
            rb"#", line["path"].encode())[0].partition(b"?")
        self.headers = {}
        for name, values in line.get("headers", {}).items():
            self.add_header(name.lower(), values)

    def add_header(self, name, values):
        if (re.fullmatch(r"[a-z0-9-]+", name) and
                not name.startswith("x-gray-") and name not in ALIASES):
            values = [values] if isinstance(values, str) else values
            self.headers.setdefault(name, []).extend(
                v.encode().strip(b" ") for v in values)

    def values(self, source, body):
        """Every value of one attribute, as bytes; [] when it is missing."""
        return getattr(self, "of_" + source)(body)

    def plain(self, key):
        value = self.line.get(key)
        return [] if value is None else [value.encode()]

    def of_method(self, _):
        return self.plain("method") or [b"GET"]

    def of_caller(self, _):
        return [v for v in self.plain("caller") if v]

    def of_host(self, _):
        if not self.line.get("host"):
            return []
        host = lower(self.line["host"].encode())
        host = re.match(rb"\[[^]]*\]|\[.*|[^:]*", host, re.DOTALL).group()
        return [host[:-1] if host.endswith(b".") else host]

    def of_path(self, body):
        if "segment" not in body:
            return [self.path]
        parts = self.path.removesuffix(b"/").split(b"/")[1:]
        number = body["segment"]
        return parts[number - 1:number]

    def of_header(self, body):
        return self.headers.get(body["name"].lower(), [])

    def of_cookie(self, body):
        for header in self.headers.get("cookie", []):
            for pair in header.split(b";"):
                name, equals, value = pair.strip(b" \t").partition(b"=")
                if (equals and name == body["name"].encode() and
                        name not in OWN_COOKIES):
                    return [value]
        return []

    def of_query(self, body):
        for pair in self.query.split(b"&"):
            name, _, value = pair.partition(b"=")
            if unescape(name) == body["name"].encode():
                return [unescape(value)]
        return []

    def of_source(self, _):
        source = self.line.get("source")
        return [] if not source else [address_text(source)]

    def of_attr(self, body):
        value = self.line.get("attrs", {}).get(body["name"])
        return [] if value is None else [value.encode()]

    def of_label(self, body):
        value = self.line.get("labels", {}).get(body["name"])
        return [] if value is None else [value.encode()]

    def grpc(self):
        kinds = self.headers.get("content-type", [])
        parts = self.path.split(b"/", 2)
        if len(parts) != 3 or parts[0] != b"" or not any(
                lower(k).startswith(b"application/grpc") for k in kinds):
            return None
        return parts[1:]

    def of_grpcService(self, _):
        names = self.grpc()
        return names[:1] if names else []

    def of_grpcMethod(self, _):
        names = self.grpc()
        return names[1:] if names else []


ALIASES = {"x-mse-tag", "x-higress-tag", "dubbo-tag", "service-lane",
           "x-opensergo-traffic", "n-d-version", "x-lane-code",
           "x-sc-lb-hint"}
