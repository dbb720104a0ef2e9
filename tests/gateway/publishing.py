# SPDX-License-Identifier: Apache-2.0
"""publishing.py - many publications under keep-alive clients.

While clients ask without pause, the share grows again and again; afterwards
every worker acknowledges the last generation, no request failed, nobody who
was in fell out, and an idle worker turned too.  Called by
a_new_policy_reaches_every_worker_without_a_reload.vtc.
"""
import http.client
import socket
import subprocess
import threading

from gateway import WORK, gw, status, until

failures = []
seen = {}
stop = threading.Event()


def client(number):
    conn = http.client.HTTPConnection("shop.example", timeout=10)
    conn.sock = socket.socket(socket.AF_UNIX)
    conn.sock.settimeout(10)
    conn.sock.connect(WORK + "/http.sock")
    turn = 0
    was_in = set()
    while not stop.is_set():
        uid = "u%d-%d" % (number, turn % 50)
        turn += 1
        conn.request("GET", "/", headers={"Cookie": "uid=" + uid})
        response = conn.getresponse()
        response.read()
        served = response.getheader("X-Served-By")
        seen[response.getheader("X-Pid")] = True
        if response.status != 200:
            failures.append("%s: %d" % (uid, response.status))
        if served == "v2":
            was_in.add(uid)
        elif uid in was_in:
            failures.append(uid + " fell out")
    conn.close()


threads = [threading.Thread(target=client, args=(i,)) for i in range(8)]
for thread in threads:
    thread.start()
try:
    for share in range(1, 41):
        gw("cart", str(share * 2.5))
finally:
    stop.set()
    for thread in threads:
        thread.join()
assert not failures, failures[:10]

newest = status()["policy_generation"]
assert newest == 41, newest
until(lambda: [r["policy_generation"] for r in status()["readers"]
               if r["alive"]] == [newest] * 4)
assert all(r["refusal"] == "" for r in status()["readers"])
