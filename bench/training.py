#!/usr/bin/env python3
"""What a training beside it costs a serving machine: training.py WINNOW BENCH_HTTP [RATE [POLICY …]]

A server with this machine's package index, RATE slates a second (default 300) from 16 clients on the same CPUs, in blocks of five
seconds: quiet, while a training runs, quiet again. Prints the median over the blocks of p50 and p99 and their ratio to the quiet ones (bar of p99:
1.3); exit status 1 when it is missed. POLICY, for comparisons: `shipped` (default: what the trainer gives itself), `nice` (nice 19, as root), `pinned` (one
processor), each with a training of its own."""

import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

WINNOW, BENCH = sys.argv[1], sys.argv[2]
RATE = sys.argv[3] if len(sys.argv) > 3 else "300"
POLICIES = sys.argv[4:] or ["shipped"]
BLOCK, QUIET, MOST = 5, 3, 12
missed = 0


def call(port, path, method="GET"):
    request = urllib.request.Request("http://127.0.0.1:%d%s" % (port, path), b"" if method == "POST" else None, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def block(port, users):
    out = subprocess.run([BENCH, "--port", str(port), "--clients", "16", "--seconds", str(BLOCK), "--warm", "0", "--rate", RATE,
                          "--users-file", users, "--json"], capture_output=True, text=True)
    return json.loads(out.stdout)


def child_of(pid):
    while True:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            of_main = f.read().split()
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task)) as f:
                of_main += f.read().split()
        if of_main:
            return int(of_main[0])
        time.sleep(0.05)


def threads_of(pid):
    return [int(t) for t in os.listdir("/proc/%d/task" % pid)]


def change(pid, policy):
    """Threads that it starts later inherit it."""
    for task in threads_of(pid):
        if policy == "nice":
            os.sched_setscheduler(task, os.SCHED_BATCH, os.sched_param(0))
        elif policy == "pinned":
            os.sched_setaffinity(task, {max(os.sched_getaffinity(0))})


def medians(blocks):
    return [statistics.median(b[key] for b in blocks) for key in ("p50_ms", "p99_ms")]


def say(what, of, blocks, base=None):
    p50, p99 = of
    ratio = "" if base is None else "   × %.2f  × %.2f" % (p50 / base[0], p99 / base[1])
    print("%-28s p50 %6.2f ms  p99 %6.2f ms  (%d blocks)%s" % (what, p50, p99, blocks, ratio), flush=True)


folder = tempfile.mkdtemp(prefix="winnow-bench-", dir=os.environ.get("WINNOW_BENCH_DIR"))
data, config = os.path.join(folder, "data"), os.path.join(folder, "winnow.yaml")
with open(config, "w") as f:
    f.write("training: {every_hours: 0}\n")
server = None
try:
    subprocess.run([WINNOW, "import", "--data", data, "--format", "debian"], check=True, capture_output=True)
    subprocess.run([WINNOW, "train", "--data", data, "--config", config], check=True, capture_output=True)
    users = os.path.join(folder, "users")
    with sqlite3.connect("file:%s/winnow.db?mode=ro" % data, uri=True) as db, open(users, "w") as f:
        f.writelines("%s\n" % row for row in db.execute("SELECT id FROM users ORDER BY ix LIMIT 5000"))
    port_file = os.path.join(folder, "port")
    server = subprocess.Popen([WINNOW, "serve", "--data", data, "--config", config, "--port", "0", "--port-file", port_file],
                              stderr=subprocess.DEVNULL)
    while not os.path.exists(port_file):
        time.sleep(0.05)
    port = int(open(port_file).read())
    block(port, users)
    for policy in POLICIES:
        quiet = [block(port, users) for _ in range(QUIET)]
        call(port, "/v1/train?force=true", "POST")
        pid, begun, beside = child_of(server.pid), time.monotonic(), []
        change(pid, policy)
        while call(port, "/v1/train")["running"] and len(beside) < MOST:
            beside.append(block(port, users))
        took = time.monotonic() - begun
        whole = not call(port, "/v1/train")["running"]
        if not whole:
            urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:%d/v1/train" % port, method="DELETE")).read()
        beside = beside[:-1] if whole and len(beside) > 1 else beside  # the last one saw the end of it
        time.sleep(3)
        quiet += [block(port, users) for _ in range(QUIET)]
        base = medians(quiet)
        say("quiet", base, len(quiet))
        now = medians(beside)
        say("a training beside (%s)" % policy, now, len(beside), base)
        good = now[1] < 1.3 * base[1]
        missed += not good
        print("p99 rises by %.0f%% at %s slates/s (bar: < 30%%)%s; the training took %s%.0f s" %
              (100 * (now[1] / base[1] - 1), RATE, "" if good else "  MISSED", "" if whole else "more than ", took), flush=True)
finally:
    if server is not None:
        server.terminate()
        server.wait()
    shutil.rmtree(folder)
sys.exit(missed > 0)
