#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What another host's gateway decided is found by its unit at the server.

A real grayd and a real agent; the log is written here, line by line, as a
gateway would. The server is killed -9 and comes back, the agent is killed -9
and comes back, the agent's index is lost: every line is there once. Another
host's token may not speak for this one, and a line says which agent told it.
"""
import json
import os
import shutil
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             "../grayd"))
from agent_case import Agent, build_folder, wait_until  # noqa: E402
from harness import Grayd  # noqa: E402


class AtServer:
    """What Agent wants of a server: where it is, and its key."""

    def __init__(self, grayd):
        self.path = grayd.socket
        text = grayd.ask("GET", "/v1/audit/checkpoints").text
        self.signer = type("Signer", (), {"key": text.split("\n", 1)[0]})


def token(grayd, host):
    made = grayd.ask("POST", "/v1/tokens",
                     {"name": "agent-" + host, "role": "agent",
                      "scopes": [host], "ttlSeconds": 3600,
                      "reason": "a host of this test"})
    assert made.status == 201, made.text
    return made.body["token"]


def write(path, numbers):
    with open(path, "a") as f:
        for number in numbers:
            f.write(json.dumps({
                "time": 1000 + number, "host": "gw-7", "worker": 1,
                "event": "admit", "trace_id": "", "revision": 1,
                "releases": [{"release": "cart-2", "in": True,
                              "unit": "alice"}]},
                separators=(",", ":")) + "\n")


def at_server(grayd):
    reply = grayd.ask("GET", "/v1/decisions?unit=alice&limit=1000")
    assert reply.status == 200, reply.text
    return [line["time"] - 1000 for line in reply.body["decisions"]]


def all_there(grayd, count):
    wait_until(f"{count} lines are at the server",
               lambda: len(at_server(grayd)) >= count)
    assert at_server(grayd) == list(range(count)), at_server(grayd)


def refuses_others(grayd, secret):
    head = {"Authorization": "Bearer " + secret}
    body = {"index": "0" * 32, "after": 0, "through": 1, "lines": []}
    other = grayd.ask("POST", "/v1/hosts/h1/decisions", body, **head)
    assert other.status == 403, other.text
    own = grayd.ask("POST", "/v1/hosts/h2/decisions", body, **head)
    assert own.status == 200 and own.body == {"through": 1}, own.text
    gap = grayd.ask("POST", "/v1/hosts/h2/decisions",
                    dict(body, after=5, through=9), **head)
    assert gap.status == 409 and gap.body["code"] == "gap" and \
        gap.body["through"] == 1, gap.text


def main():
    build = build_folder()
    with Grayd(build) as grayd:
        assert grayd.start(), grayd.errors()
        agent = Agent(build, AtServer(grayd))
        try:
            with open(agent.token, "w") as f:
                f.write(token(grayd, "h1") + "\n")
            log = os.path.join(agent.folder, "gray.jsonl")
            options = ("--decision-log", log + "*")
            assert agent.start(*options), agent.errors()
            write(log, range(0, 40))
            all_there(grayd, 40)
            line = grayd.ask("GET", "/v1/decisions?unit=alice&limit=1")
            assert line.body["decisions"][0]["agent"] == "h1", line.text
            assert line.body["decisions"][0]["host"] == "gw-7", line.text
            grayd.kill()
            write(log, range(40, 60))
            assert grayd.start(), grayd.errors()
            all_there(grayd, 60)
            agent.kill()
            write(log, range(60, 80))
            assert agent.start(*options), agent.errors()
            all_there(grayd, 80)
            refuses_others(grayd, token(grayd, "h2"))
            # an index that was lost is read and sent again: as another one
            assert agent.stop() == 0
            shutil.rmtree(agent.state + "/decisions")
            os.rename(log, agent.folder + "/kept-elsewhere")
            write(log, range(80, 90))
            assert agent.start(*options), agent.errors()
            all_there(grayd, 90)
        except Exception:
            print(agent.errors()[-3000:], agent.told())
            raise
        finally:
            agent.close()


if __name__ == "__main__":
    main()
