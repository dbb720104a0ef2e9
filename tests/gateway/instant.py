# SPDX-License-Identifier: Apache-2.0
"""instant.py - a policy lies ready in every worker, and all turn at once.

While clients ask without pause, a policy of 100 % is published for an instant
some seconds ahead, in the middle between two polls of the workers, which must
not be what turns them.  Every worker has it ready long before; nobody is let in
before the instant, everybody whose request began after it is in, a worker that
is started meanwhile turns with the others, and no request fails.  Nobody is
there to do anything at the instant: no grayd, no publisher.  Called by
a_policy_lies_ready_and_turns_at_its_instant.vtc.
"""
import datetime
import json
import threading
import time

from gateway import RUN, WORK, ask, gray as run, gw, status, until

SLACK = 0.25  # of a busy machine: the timer's wake, the request's way
answers = []  # began, ended, served
failures = []
stop = threading.Event()


def gray(*arguments, check=True):
    done = run(*arguments, check=check)
    return done.stdout if check else done.stderr


def client(number):
    turn = 0
    while not stop.is_set():
        turn += 1
        began = time.time()
        answer = ask("/", {"Cookie": "uid=u%d-%d" % (number, turn)})
        answers.append((began, time.time(), answer.served))
        if answer.status != 200:
            failures.append(answer.status)


def between(polls, seconds):
    """A moment so many seconds ahead at least, 0.3 s after a poll."""
    at = polls + 0.3
    while at < time.time() + seconds:
        at += 1
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc) \
        .isoformat(timespec="milliseconds").replace("+00:00", "Z")


def readers():
    return [r for r in status()["readers"] if r["alive"]]


gw("reload")
polls = time.time()  # and every second from now on
until(lambda: len(readers()) == 4)
threads = [threading.Thread(target=client, args=(i,)) for i in range(6)]
for thread in threads:
    thread.start()
try:
    said = json.loads(gray("publish", "-f", WORK + "/new.yaml", "--runtime",
                           RUN, "--effective-at", between(polls, 3),
                           "--max-skew", "1000", "--wait", "5", "-o", "json"))
    instant = said["effectiveAt"] / 1000
    # published means that every reader has it ready
    assert said["nextGeneration"] == 2 and said["generation"] == 1, said
    assert said["readers"]["acknowledged"] == said["readers"]["live"] == 4
    assert time.time() < instant, "the machine was too slow for this test"
    assert [(r["policy_generation"], r["next_generation"])
            for r in readers()] == [(1, 2)] * 4
    assert status()["next"]["generation"] == 2
    # workers of before the instant that nobody has told anything
    gw("second")
    until(lambda: len(readers()) == 8)
    assert time.time() < instant, "the machine was too slow for this test"
    until(lambda: [r["policy_generation"] for r in readers()] == [2] * 8)
    until(lambda: answers[-1][0] > instant + 2 * SLACK)
finally:
    stop.set()
    for thread in threads:
        thread.join()
assert not failures, failures[:10]
early = [a for a in answers if a[1] < instant and a[2] == "v2"]
late = [a for a in answers if a[0] > instant + SLACK and a[2] == "v1"]
assert not early, early[:3]
assert not late, late[:3]
assert {a[2] for a in answers} == {"v1", "v2"}
assert len([a for a in answers if a[0] > instant + SLACK]) > 50

now = status()
assert now["policy_generation"] == 2 and now["next"] is None, now
assert now["events"].get("turned-late", 0) == 0, now["events"]
assert all(r["late_ms"] < 1000 for r in readers()), readers()
text = gray("status", "--runtime", RUN)
assert "generation 2" in text and "effective at" in text, text

# the newest publication counts: what waits is replaced, at once or later
gray("publish", "-f", WORK + "/new.yaml", "--runtime", RUN, "--effective-at",
     "+3600", "--wait", "5")
assert "lies ready in 8 of 8" in gray("status", "--runtime", RUN)
said = json.loads(gray("publish", "-f", WORK + "/new.yaml", "--runtime", RUN,
                       "--wait", "5", "-o", "json"))
assert said["dropped"] == 3 and said["generation"] == 4, said
assert status()["next"] is None
until(lambda: [r["next_generation"] for r in readers()] == [0] * 8)
refused = gray("publish", "-f", WORK + "/new.yaml", "--runtime", RUN,
               "--effective-at", "2020-01-01T00:00:00Z", check=False)
assert "has passed" in refused, refused
