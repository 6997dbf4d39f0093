#!/usr/bin/env python3
"""What hostile clients cost a good one: hostile.py WINNOW [REQUESTS]

One client asks for slates, alone and then beside each kind of hostile client, in turns, so that the machine's mood is shared. Prints the
99th percentile of each, its ratio to the quiet one, and the bar; exit status 1 when one is missed. Needs 25,000 open files."""

import http.client
import json
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

WINNOW = sys.argv[1]
REQUESTS = int(sys.argv[2]) if len(sys.argv) > 2 else 3000
IDLE, BAR = 10000, 2.0
CONFIG = "server: {connections_max: 12000, idle_seconds_max: 600, request_seconds_max: 5}\n"


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), 10)
    s.settimeout(0.2)
    return s


class Hostile(threading.Thread):
    """Opens `count` connections and feeds each, over and over, what `bytes_of` gives; a closed one is opened again."""

    def __init__(self, port, count, bytes_of, pause):
        super().__init__(daemon=True)
        self.port, self.count, self.bytes_of, self.pause = port, count, bytes_of, pause
        self.end, self.ready, self.reopened = threading.Event(), threading.Event(), 0

    def run(self):
        rng = random.Random(1)
        sockets = [connect(self.port) for _ in range(self.count)]
        self.ready.set()
        n = 0
        while not self.end.is_set():
            for i, s in enumerate(sockets):
                if self.end.is_set():
                    break
                n += 1
                try:
                    data = self.bytes_of(rng, n)
                    if data:
                        s.sendall(data)
                except OSError:
                    self.reopened += 1
                    try:
                        s.close()
                        sockets[i] = connect(self.port)
                    except OSError:
                        pass
                if self.pause:
                    time.sleep(self.pause)
            if not self.pause:
                self.end.wait(0.5)
        for s in sockets:
            s.close()


HEAD = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
KINDS = {
    "%d idle connections" % IDLE: (IDLE, lambda rng, n: b"", 0),
    "500 that send a byte now and then (slowloris)": (500, lambda rng, n: b"GET /v1/surfaces HTTP/1.1\r\nX: a"[n % 30:n % 30 + 1], 0.002),
    "50 with nested JSON, 20,000 deep": (50, lambda rng, n: HEAD + b"Content-Length: 20000\r\n\r\n" + b"[" * 20000, 0.01),
    "50 with garbage for a chunked body": (50, lambda rng, n: HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + rng.randbytes(200), 0.01),
    "50 that pipeline 20 requests and never read": (50, lambda rng, n: b"GET /v1/surfaces HTTP/1.1\r\nHost: x\r\n\r\n" * 20, 0.05),
}


def p99(port):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    times = []
    for n in range(REQUESTS):
        begun = time.perf_counter()
        client.request("GET", "/v1/surfaces/home/slate?user=user-%d" % (n % 500))
        answer = client.getresponse()
        answer.read()
        times.append(time.perf_counter() - begun)
        assert answer.status == 200, answer.status
    client.close()
    return 1e3 * sorted(times)[int(0.99 * len(times))]


def post(port, path, rows):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    client.request("POST", path, json.dumps(rows), {"Content-Type": "application/json"})
    answer = client.getresponse()
    assert answer.status == 200, answer.read()
    client.close()


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(25000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    folder = tempfile.mkdtemp(prefix="winnow-hostile-")
    with open(os.path.join(folder, "winnow.yaml"), "w") as f:
        f.write(CONFIG)
    port_file = os.path.join(folder, "port")
    server = subprocess.Popen([WINNOW, "serve", "--data", os.path.join(folder, "data"), "--port", "0", "--port-file", port_file,
                               "--config", os.path.join(folder, "winnow.yaml")], stderr=subprocess.DEVNULL)
    missed = 0
    try:
        while not os.path.exists(port_file):
            time.sleep(0.05)
        port, rng = int(open(port_file).read()), random.Random(2)
        post(port, "/v1/items", [{"id": "i%d" % i, "title": "Item %d" % i} for i in range(5000)])
        post(port, "/v1/events", [{"user": "user-%d" % rng.randrange(500), "item": "i%d" % int(5000 * rng.random() ** 2), "type": "view"}
                                  for _ in range(20000)])
        p99(port)
        for kind, (count, bytes_of, pause) in KINDS.items():
            quiet = p99(port)
            hostile = Hostile(port, count, bytes_of, pause)
            hostile.start()
            hostile.ready.wait()
            beside = p99(port)
            hostile.end.set()
            hostile.join()
            quiet = (quiet + p99(port)) / 2
            good = beside <= BAR * quiet
            missed += not good
            print("%-48s p99 %.2f ms, quiet %.2f ms: %.2f times (bar: ≤ %g); %d opened again%s"
                  % (kind, beside, quiet, beside / quiet, BAR, hostile.reopened, "" if good else "  MISSED"), flush=True)
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)
    return missed > 0


sys.exit(main())
