# SPDX-License-Identifier: Apache-2.0
"""full_log.py - a decision log that nobody reads, and one on a full disk.

The first is a FIFO: what fits into it and into the worker's two buffers is
kept, the rest is dropped while requests go on; when somebody reads at last,
lines and drops make up all requests.  The second is /dev/full, where each
write fails.  Called by a_full_decision_log_drops_lines_and_counts_them.vtc.
"""
import json
import os
import threading

from gateway import WORK, ask, gw, until

# a reader must be there before nginx opens it
fifo = os.open(WORK + "/slow", os.O_RDWR)
os.environ["GW_WORKERS"] = "1"
gw("up", text="""
    upstream gray { gray_balance; }
    large_client_header_buffers 4 16k;
    server {
        listen unix:%(w)s/http.sock;
        gray_entrance on;
        gray_log %(w)s/slow sample=1;
        location / { gray_service cart; proxy_pass http://gray; }
    }
    server {
        listen unix:%(w)s/full.sock;
        gray_entrance on;
        gray_log /dev/full;
        location / { gray_service cart; proxy_pass http://gray; }
    }
    server {
        listen unix:%(w)s/told.sock;
        location /status { gray_status; }
    }
""" % {"w": WORK})


def dropped():
    return json.loads(ask("/status", sock="told.sock").body)["events"].get(
        "log-dropped", 0)


# nobody reads: every request is answered, and lines are dropped at last
sent = 0
while dropped() < 20:
    for _ in range(50):
        assert ask("/", {"Cookie": "uid=u%d" % sent}).served == "v2"
        sent += 1
    assert sent < 5000
lost = dropped()

# somebody reads: the rest is there, each line whole
text = bytearray()
done = threading.Event()


def read():
    while not done.is_set():
        text.extend(os.read(fifo, 65536))


reader = threading.Thread(target=read)
reader.start()
until(lambda: text.count(b"\n") + lost == sent)
units = [json.loads(line)["releases"][0]["unit"]
         for line in bytes(text).splitlines()]
assert len(set(units)) == len(units) == sent - lost
assert units[0] == "u0"

# and from now on all is kept
assert ask("/", {"Cookie": "uid=late"}).served == "v2"
until(lambda: text.endswith(b"\n") and b'"late"' in text)
assert dropped() == lost
done.set()
os.write(fifo, b"end\n")
reader.join()

# a disk that is full: all lines of the buffer are lost, and said
for i in range(7):
    assert ask("/", {"Cookie": "uid=f%d" % i}, "full.sock").served == "v2"
until(lambda: dropped() == lost + 7)
gw("log", "decision log .*could not be written")
