#!/usr/bin/env python3
"""The whole funnel's speed, stage by stage: what `winnow serve` needs for a slate of `home`.

    funnel.py --debian WINNOW DATA               imports this machine's package index and trains
    funnel.py --make WINNOW DATA                 makes, imports and trains one of 1,000,000 items × 64 dimensions
    funnel.py WINNOW BENCH_HTTP DATA [SECONDS]   measures either

One client and then 32, keep-alive, closed loop, on this machine's cores, beside GET /healthz of the same run
(bench_http). CPU time of the server is what a shared machine distorts least. Stages are means from /metrics: retrieve, filter, score and order add up to the funnel;
score.light and score.heavy are parts of score. What a hundred experiments cost (bench_experiment, beside BENCH_HTTP) is
set against the funnel of one client. The surface is `bench`: five generators of 250, merged, the light
ranker's best 200 scored by the trees, 200 → 20 by the surface's diversity. Data of --make are of this program's own
making: users like a few of 2,000 groups of items, some items of a group more than others.
"""
import json
import os
import random
import re
import subprocess
import sys
import time
import urllib.request

ITEMS, USERS, EVENTS, GROUPS = 1_000_000, 100_000, 1_500_000, 2000
# 300 trees: what three objectives of 100 trees each cost.
CONFIG = """
surfaces:
  bench:
    flavour: personal
    n: 20
    retrieve:
      - {{model: als, quota: 250, weight: 1}}
      - {{model: covisit, quota: 250, weight: 0.5}}
      - {{model: content, quota: 250, weight: 0.25}}
      - {{model: trending, quota: 250, weight: 0.1}}
      - {{model: popular, quota: 250, weight: 0.1}}
    fallback: [{{model: newest, quota: 50, weight: 1}}]
    filter: {{seen: all}}
    score: {{normalise: minmax, heavy: 200}}
    order: {{diversity: {{method: {method}, by: als, lambda: 0.9}}}}
models:
  als: {{factors: 64, epochs: 3}}
  ranker: {{moments: 3000, trees: 300, depth: 250}}
"""


def make(winnow, data):
    rng = random.Random(1)
    made = data + ".made"
    os.makedirs(made, exist_ok=True)
    group_of = [rng.randrange(GROUPS) for _ in range(ITEMS)]
    groups = [[] for _ in range(GROUPS)]
    for item, group in enumerate(group_of):
        groups[group].append(item)
    with open(made + "/items.jsonl", "w") as out:
        for item, group in enumerate(group_of):
            out.write('{"id":"i%d","title":"Item %d of shelf %d","attributes":{"group":"g%d","shelf":"s%d"}}\n'
                      % (item, item, group, group, group % 40))
    with open(made + "/events.csv", "w") as out:
        out.write("user,item,time\n")
        likes = {}
        for _ in range(EVENTS):
            user = int(USERS * rng.random() ** 1.5)
            mine = likes.setdefault(user, [rng.randrange(GROUPS) for _ in range(4)])
            group = groups[rng.choice(mine) if rng.random() < 0.9 else rng.randrange(GROUPS)]
            item = group[int(len(group) * rng.random() ** 3)]
            out.write("u%d,i%d,%d\n" % (user, item, 1_700_000_000 + rng.randrange(90 * 86400)))
    with open(data + ".yaml", "w") as out:
        out.write(CONFIG.format(method="dpp"))
    for name in ("items.jsonl", "events.csv"):
        subprocess.run([winnow, "import", "--data", data, made + "/" + name], check=True)
    os.replace(data + ".yaml", data + "/winnow.yaml")
    subprocess.run([winnow, "train", "--data", data], check=True)


def debian(winnow, data):
    os.makedirs(data, exist_ok=True)
    with open(data + "/winnow.yaml", "w") as out:
        out.write(CONFIG.format(method="dpp"))
    subprocess.run([winnow, "import", "--data", data, "--format", "debian"], check=True)
    subprocess.run([winnow, "train", "--data", data], check=True)


def metrics(port):
    text = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port).read().decode()
    found = {}
    for kind in ("sum", "count"):
        for stage, value in re.findall(r'winnow_stage_seconds_%s\{stage="([^"]+)"\} (\S+)' % kind, text):
            found[stage, kind] = float(value)
    for stage, value in re.findall(r'winnow_stage_candidates_total\{stage="([^"]+)"\} (\S+)', text):
        found[stage, "out"] = float(value)
    return found


def wait_for_index(port, seconds=600):
    """als retrieves through an index once one is built, in the background, for 20,000 items or more."""
    text = lambda: urllib.request.urlopen("http://127.0.0.1:%d/metrics" % port).read().decode()
    items = int(float(re.search(r"^winnow_items\S* (\S+)", text(), re.M).group(1)))
    for _ in range(seconds if items >= 20000 else 0):
        if int(float(re.search(r"^winnow_index_items\S* (\S+)", text(), re.M).group(1))) > 0:
            return
        time.sleep(1)
    if items >= 20000:
        print("no index after %d s: als scans" % seconds)


def cpu_seconds(pid):
    fields = open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(bench, port, users, clients, seconds):
    answer = subprocess.run([bench, "--port", str(port), "--users-file", users, "--clients", str(clients),
                             "--surface", "bench", "--seconds", str(seconds)],
                            check=True, capture_output=True, text=True).stdout
    print("\n".join(answer.splitlines()[-3:]), flush=True)


def experiments(bench, funnel_us):
    told = subprocess.run([os.path.join(os.path.dirname(bench), "bench_experiment")], check=True, capture_output=True, text=True).stdout
    cost = float(re.search(r"([\d.]+) us a request", told).group(1))
    print("%s  %.2f%% of the funnel of one client (%.0f µs)" % (told, 100 * cost / funnel_us, funnel_us))


def users_of(data):
    path = data + "/bench-users.txt"
    if not os.path.exists(path):
        import sqlite3
        with sqlite3.connect("file:%s/winnow.db?mode=ro" % data, uri=True) as db, open(path, "w") as out:
            for (user,) in db.execute("select id from users order by random() limit 3000"):
                out.write(user + "\n")
    return path


def serve(winnow, bench, data, seconds):
    port_file = data + "/bench-port"
    if os.path.exists(port_file):
        os.remove(port_file)
    users = users_of(data)
    log = open(data + "/bench.log", "w")
    server = subprocess.Popen([winnow, "serve", "--data", data, "--port", "0", "--port-file", port_file], stderr=log,
                              stdout=log)
    try:
        while not os.path.exists(port_file) or not open(port_file).read().strip():
            if server.poll() is not None:
                sys.exit("the server ended; see %s" % log.name)
            time.sleep(0.1)
        port = int(open(port_file).read())
        load(bench, port, users, 1, 1)  # warm: pages
        wait_for_index(port)
        for clients in (1, 32):
            whole = 0
            before, cpu = metrics(port), cpu_seconds(server.pid)
            load(bench, port, users, clients, seconds)
            after, cpu = metrics(port), cpu_seconds(server.pid) - cpu
            slates = after["retrieve", "count"] - before.get(("retrieve", "count"), 0)
            print("  the server's CPU time: %.2f ms a slate, its share of /healthz included" % (1e3 * cpu / slates))
            for stage in ("retrieve", "filter", "score", "score.light", "score.heavy", "order"):
                n = after.get((stage, "count"), 0) - before.get((stage, "count"), 0)
                if n > 0:
                    took = (after[stage, "sum"] - before.get((stage, "sum"), 0)) / n
                    out = (after[stage, "out"] - before.get((stage, "out"), 0)) / n
                    whole += 0 if "." in stage else 1e6 * took
                    print("  %-12s %8.1f µs %8.0f candidates" % (stage, 1e6 * took, out))
            if clients == 1:
                experiments(bench, whole)
    finally:
        server.terminate()
        server.wait()


def main():
    if len(sys.argv) >= 4 and sys.argv[1] == "--make":
        make(sys.argv[2], sys.argv[3])
    elif len(sys.argv) >= 4 and sys.argv[1] == "--debian":
        debian(sys.argv[2], sys.argv[3])
    elif len(sys.argv) >= 4:
        serve(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]) if len(sys.argv) > 4 else 8)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
