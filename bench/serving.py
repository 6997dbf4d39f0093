#!/usr/bin/env python3
"""The bars of ingest, on this machine: serving.py WINNOW BENCH_HTTP [SECONDS]

A server on an empty folder with 100,000 users (2,000 for single events) and 20,000 items; bench_http beside it on the same CPUs. Every
acknowledged event is fsynced. Prints each figure with its bar; exit status 1 when one is missed."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

WINNOW, BENCH = sys.argv[1], sys.argv[2]
SECONDS = sys.argv[3] if len(sys.argv) > 3 else "5"
missed = 0


def bar(what, value, unit, bound, above):
    global missed
    good = value >= bound if above else value <= bound
    missed += not good
    print("%-58s %10.1f %s  (bar: %s %g)%s" % (what, value, unit, "≥" if above else "≤", bound, "" if good else "  MISSED"), flush=True)


def load(port, *args):
    out = subprocess.run([BENCH, "--port", str(port), "--seconds", SECONDS, "--json", *args], capture_output=True, text=True)
    return json.loads(out.stdout)


def call(port, path, body=None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request("http://127.0.0.1:%d%s" % (port, path), data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def disk_p99(folder):
    """Of 4 KiB appended and fsynced, 500 times, nobody beside it: what no server can be better than."""
    times, fd = [], os.open(os.path.join(folder, "alone"), os.O_CREAT | os.O_WRONLY)
    for _ in range(500):
        begin = time.perf_counter()
        os.write(fd, b"\0" * 4096)
        os.fdatasync(fd)
        times.append((time.perf_counter() - begin) * 1e3)
    os.close(fd)
    return sorted(times)[495]


folder = tempfile.mkdtemp(prefix="winnow-bench-", dir=os.environ.get("WINNOW_BENCH_DIR"))
port_file = os.path.join(folder, "port")
server = subprocess.Popen([WINNOW, "serve", "--data", os.path.join(folder, "data"), "--port", "0", "--port-file", port_file])
try:
    while not os.path.exists(port_file):
        time.sleep(0.05)
    port = int(open(port_file).read())
    batches = load(port, "--events", "1000", "--clients", "8", "--users", "100000")
    bar("events/s in batches of 1,000, 8 clients", batches["slates_per_s"] * 1000, "/s", 100000, True)
    single = load(port, "--events", "1", "--clients", "64")
    bar("single-event requests/s, 64 clients", single["slates_per_s"], "/s", 5000, True)
    half = load(port, "--events", "1", "--clients", "64", "--rate", "2500")
    bar("p99 of an acknowledgement at 2,500 requests/s", half["p99_ms"], "ms", 20, False)
    alone = disk_p99(folder)
    print("%-58s %10.1f ms  (the acknowledgement took %.1f times that)" % ("  p99 of a 4 KiB append and fsync on this disk, alone", alone, half["p99_ms"] / alone))
    print("  20 ms: %s; beside the disk's own p99: %s (at most 20 ms more than the fsync that it waits for and the one it joins)" %
          ("met" if half["p99_ms"] <= 20 else "missed", "met" if half["p99_ms"] <= 2 * alone + 20 else "missed"))
    times = []
    for n in range(200):
        call(port, "/v1/events", {"user": "fresh-%d" % n, "item": "i%d" % n, "type": "view"})
        begin = time.perf_counter()
        slate = call(port, "/v1/surfaces/home/slate?user=fresh-%d" % n)
        times.append((time.perf_counter() - begin) * 1e3)
        assert slate["personal"] and all(i["id"] != "i%d" % n for i in slate["items"])
    times.sort()
    bar("event acknowledged → slate that knows it, median", times[100], "ms", 5, False)
    print("%-58s %10.1f ms" % ("  its 99th percentile (a new connection each)", times[198]))
finally:
    server.terminate()
    server.wait()
    shutil.rmtree(folder)
sys.exit(missed > 0)
