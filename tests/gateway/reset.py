# SPDX-License-Identifier: Apache-2.0
"""reset.py - an HTTP/2 client that goes away in the middle of an answer.

Neither the status nor the choice of endpoints may keep what it began.  Called
by a_client_that_resets_its_stream_leaves_nothing_in_flight.vtc.
"""
import h2
from gateway import ask, status, until


def busy():
    return sum(one["in_flight"] for one in status()["series"])


client = h2.Connection()
streams = []
for _ in range(3):
    streams.append(client.get("/half"))
    client.wait_for(h2.HEADERS, streams[-1])
assert busy() == len(streams)
for stream in streams:
    client.reset(stream)
until(lambda: busy() == 0)
# endpoints are free again, and the connection goes on
assert {ask("/").served for _ in range(20)} == {"a", "b"}
client.wait_for(h2.HEADERS, client.get("/half"))
assert busy() == 1
client.close()
until(lambda: busy() == 0)
assert sum(one["started"] for one in status()["series"]) == 24
