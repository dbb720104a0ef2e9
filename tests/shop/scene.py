# SPDX-License-Identifier: Apache-2.0
"""scene.py - the order service, its database, and who asks it.

Why: each story of orders is told twice, with SQLite and with a PostgreSQL of
its own (initdb in a folder on /dev/shm, a unix socket, ended with the story),
so what differs stands here once.  Every request is written down as it was
asked and answered; tests/oracle/orders.py judges that, and the rows.
"""
import contextlib
import glob
import http.client
import json
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "..", "story"))
sys.path.append(os.path.join(HERE, "..", "oracle"))
from harness import SKIP, Story, check, wait_until  # noqa: E402
import orders as judge  # noqa: E402,F401  tests/oracle/orders.py

SERVICE = {"kind": "Service", "name": "orders", "baseline": {"version": "old"},
           "versions": {"old": {"endpoints": ["127.0.0.1:9401"]},
                        "new": {"endpoints": ["127.0.0.1:9402"]}}}
TABLES = {"orders": "order_id", "ledger": "order_id, stage"}


class Sqlite:
    """A file of the story."""
    name = "sqlite"

    def __init__(self, story):
        self.path = os.path.join(story.dir, "orders.db")
        self.word = "sqlite:" + self.path

    def rows(self):
        with contextlib.closing(sqlite3.connect(self.path, 30)) as db:
            db.row_factory = sqlite3.Row
            found = {table: [dict(row) for row in db.execute(
                f"SELECT * FROM {table} ORDER BY {key}")]
                for table, key in TABLES.items()}
        for row in found["orders"]:
            row["mark"] = row["mark"].hex()
        return found

    def inside(self):
        """Orders that the new logic has made."""
        with contextlib.closing(sqlite3.connect(self.path, 30)) as db:
            return {name for name, in db.execute(
                "SELECT order_id FROM orders WHERE net_amount IS NOT NULL")}

    def change(self, sql):
        """By somebody's hand, past the service."""
        with contextlib.closing(sqlite3.connect(self.path, 30)) as db:
            db.execute(sql)
            db.commit()

    @staticmethod
    def blob(digits):
        return f"x'{digits}'"

    @contextlib.contextmanager
    def locked(self, order):
        """Nobody else reads this order's row in time."""
        with contextlib.closing(sqlite3.connect(
                self.path, 30, isolation_level=None)) as db:
            db.execute("BEGIN EXCLUSIVE")
            yield
            db.execute("ROLLBACK")

    def end(self):
        pass


class Postgres:
    """A server of the story; postgres refuses to run as root."""
    name = "postgres"

    def __init__(self, story):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"))
        if not found:
            print("skipped: PostgreSQL is not installed")
            sys.exit(SKIP)
        self.bin = os.path.dirname(found[-1])
        self.story = story
        self.dir = tempfile.mkdtemp(prefix="gray-postgres-", dir="/dev/shm")
        self.become = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.dir, user.pw_uid, user.pw_gid)
            self.become = ["setpriv", f"--reuid={user.pw_uid}",
                           f"--regid={user.pw_gid}", "--clear-groups"]
        self.word = f"postgres:host={self.dir} user=shop dbname=postgres"
        done = subprocess.run(
            self.become + [os.path.join(self.bin, "initdb"), "-D",
                           self.dir + "/data", "-U", "shop", "-A", "trust",
                           "--no-sync", "-E", "UTF8", "--locale=C"],
            capture_output=True, text=True, cwd="/", timeout=120, check=False)
        check(done.returncode == 0, f"initdb: {done.stderr}")
        self.start()

    def start(self):
        # its death must not outlive ours: set again behind the new uid
        self.server = self.story.start(
            *self.become, "setpriv", "--pdeathsig", "INT",
            os.path.join(self.bin, "postgres"), "-D", self.dir + "/data",
            "-k", self.dir, "-c", "listen_addresses=", "-c", "fsync=off",
            "-c", "max_connections=60", cwd="/")
        wait_until(lambda: self.ask("SELECT 1", fails=True) == "1",
                   "PostgreSQL does not answer")

    def inside(self):
        """Orders that the new logic has made."""
        return set(self.ask("SELECT order_id FROM orders "
                            "WHERE net_amount IS NOT NULL").split())

    def ask(self, sql, fails=False):
        done = subprocess.run(
            [os.path.join(self.bin, "psql"), "-h", self.dir, "-U", "shop",
             "-d", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql],
            capture_output=True, text=True, timeout=60, check=False)
        check(fails or done.returncode == 0, f"psql: {done.stderr}")
        return done.stdout.strip()

    def change(self, sql):
        """By somebody's hand, past the service."""
        self.ask(sql)

    @staticmethod
    def blob(digits):
        return f"'\\x{digits}'"

    def rows(self):
        found = {table: json.loads(self.ask(
            f"SELECT coalesce(json_agg(t ORDER BY {key}), '[]') "
            f"FROM {table} t")) for table, key in TABLES.items()}
        for row in found["orders"]:
            row["mark"] = row["mark"].removeprefix("\\x")
        return found

    @contextlib.contextmanager
    def locked(self, order):
        with subprocess.Popen(
                [os.path.join(self.bin, "psql"), "-h", self.dir, "-U", "shop",
                 "-d", "postgres", "-XAtq"], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, text=True) as holder:
            holder.stdin.write("BEGIN; SELECT order_id FROM orders WHERE "
                               f"order_id = '{order}' FOR UPDATE;\n")
            holder.stdin.flush()
            check(holder.stdout.readline().strip() == order, "not locked")
            yield
            holder.communicate("ROLLBACK;\n", timeout=30)

    def stop(self):
        """Every connection breaks."""
        self.story.end(self.server, signal.SIGINT, 60)

    def end(self):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)


STORES = {"sqlite": Sqlite, "postgres": Postgres}


class Shop:
    """One story's database, service and history."""

    def __init__(self, story, store):
        self.story = story
        self.store = store
        self.history = []
        self.lock = threading.Lock()
        self.phase = None
        self.plan = {}
        self.services = {}
        self.release = "orders-2"

    def start(self, *more, release="orders-2", name="orders", faults=True):
        """Each release lives once: who begins anew takes another name.  Several
        services, each with a port of its `name`, share one database."""
        self.release = release
        port = self.story.port(name)
        self.services[name] = self.story.start(
            os.path.join(self.story.bin, "orders"), "--listen",
            f"127.0.0.1:{port}", "--store", self.store.word, "--runtime",
            self.story.runtime, "--release", release, *(["--faults"] if faults else []), *more)
        self.story.wait_port(port)

    def stop(self, how=signal.SIGTERM, name="orders"):
        self.story.end(self.services.pop(name), how)

    # ---- the policy ------------------------------------------------------------

    def publish(self, phase, share, frozen=False):
        """From here on requests belong to this phase."""
        self.story.publish([SERVICE, dict(self.release_document(),
                                          admission={"share": share})],
                           prune=True)
        self.enter(phase, share, frozen)

    def publish_without(self):
        """A policy that has no such release."""
        self.story.publish([SERVICE], prune=True)

    def enter(self, phase, share, frozen=False):
        self.phase = phase
        self.plan[phase] = {"share": share, "frozen": frozen}

    def release_document(self):
        return {"kind": "Release", "name": self.release,
                "services": [{"service": "orders", "version": "new"}],
                "unit": {"path": {"segment": 2}}, "entrances": ["orders"],
                "stickiness": "entity", "stages": [
                    {"name": "create", "writes": True, "onUnknown": "refuse",
                     "when": {"all": [{"method": {"exact": "POST"}},
                                      {"path": {"exact": "/orders"}}]}},
                    {"name": "pay", "when": {"path": {"suffix": "/pay"}}},
                    {"name": "refund",
                     "when": {"path": {"suffix": "/refund"}}}]}

    # ---- asking ----------------------------------------------------------------

    def connect(self, name="orders"):
        return http.client.HTTPConnection("127.0.0.1", self.story.port(name),
                                          timeout=30)

    def ask(self, stage, order, late=False, amount=12000, connection=None,
            fault=None):
        """One request, written down; what was answered, or None.  `late`: its
        row cannot be read in time; `fault`: another one of the service's."""
        path, body = f"/orders/{order}", None
        if stage == "create":
            path = "/orders"
            body = json.dumps({"order_id": order, "user": "7",
                               "amount": amount})
        elif stage != "look":
            path += "/" + stage
        asked = {"order": order, "stage": stage, "phase": self.phase,
                 "late": late, "amount": amount, "user": "7", "body": {},
                 "status": None, "again": False, "answered": None,
                 "sent": time.monotonic()}
        mine = connection or self.connect()
        try:
            mine.request("GET" if stage == "look" else "POST", path, body,
                         {"x-fault": "lookup-timeout" if late else fault}
                         if late or fault else {})
            answer = mine.getresponse()
            asked["body"] = json.loads(answer.read())
            asked["again"] = answer.getheader("Retry-After") is not None
            asked["status"] = answer.status
            asked["answered"] = time.monotonic()
        except (OSError, http.client.HTTPException, ValueError):
            mine.close()
        finally:
            if connection is None:
                mine.close()
        with self.lock:
            self.history.append(asked)
        return asked

    def create(self, prefix, count):
        """Fresh orders; {order: logic}."""
        found = {}
        for number in range(count):
            asked = self.ask("create", f"{prefix}-{number}")
            check(asked["status"] == 201, f"create: {asked}")
            found[asked["order"]] = asked["body"]["logic"]
        return found

    # ---- judging ---------------------------------------------------------------

    def marks(self):
        return {row["order_id"]: row["mark"]
                for row in self.store.rows()["orders"]}

    def set_mark(self, order, digits):
        self.store.change(f"UPDATE orders SET mark = {self.store.blob(digits)}"
                          f" WHERE order_id = '{order}'")

    def judge(self, snapshots=(), all_served=False):
        return judge.judge(self.history, self.store.rows(), self.plan,
                           snapshots, all_served)


@contextlib.contextmanager
def shop(story, kind):
    """`kind`: sqlite or postgres."""
    store = STORES[kind](story)
    here = Shop(story, store)
    try:
        yield here
        for name in list(here.services):
            here.stop(name=name)
    finally:
        for service in here.services.values():
            service.kill()
            service.wait()
        store.end()


def as_it_must_be(violations):
    check(not violations, "; ".join(violations[:5]) +
          f" ({len(violations)} in all)")
