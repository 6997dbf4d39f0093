#!/usr/bin/env python3
"""Import of a local CSV into the durable store: events a second, beside two peers in the same run: the sqlite3
shell's own .import of the same file (no checks, no dictionaries), and the disk (the same bytes written and fsynced).

    bench/import.py [WINNOW] [EVENTS]
"""
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

winnow = sys.argv[1] if len(sys.argv) > 1 else "build/release/winnow"
events = int(sys.argv[2]) if len(sys.argv) > 2 else 3_000_000
users, items = events // 60 + 1, events // 300 + 1


def generate(path):
    rng = random.Random(1)
    with open(path, "w", buffering=1 << 20) as out:
        out.write("user,item,type,time\n")
        for n in range(events):
            item = int(items * rng.random() ** 3)  # a few are popular
            out.write(f"user-{rng.randrange(users)},item-{item},view,{1600000000 + n}\n")


def timed(label, run, rates):
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    rates.setdefault(label, []).append(events / seconds)


def write_and_sync(source, target):
    with open(source, "rb") as read, open(target, "wb") as out:
        shutil.copyfileobj(read, out, 1 << 20)
        out.flush()
        os.fsync(out.fileno())


cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
version = subprocess.run([winnow, "--version"], capture_output=True, text=True, check=True).stdout.strip()
sqlite = shutil.which("sqlite3")
print(f"machine: {cpu.group(1) if cpu else '?'}, {os.cpu_count()} CPUs; {version}; sqlite3 "
      f"{subprocess.run([sqlite, '--version'], capture_output=True, text=True).stdout.split()[0] if sqlite else 'absent'}")
with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", ".")) as folder:
    folder = pathlib.Path(folder)
    source = folder / "events.csv"
    generate(source)
    print(f"parameters: {events} events, {users} users, {items} items, {source.stat().st_size / 1e6:.0f} MB; 3 rounds in turn")
    rates = {}
    for round_number in range(3):
        data = folder / f"data{round_number}"
        timed("winnow import", lambda: subprocess.run([winnow, "import", "--data", data, source], check=True,
                                                      capture_output=True), rates)
        if sqlite:
            script = ("PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;\nCREATE TABLE e(user TEXT,item TEXT,type TEXT,time INTEGER);\n"
                      f".mode csv\n.import --skip 1 {source} e\n")
            timed("sqlite3 .import", lambda: subprocess.run([sqlite, folder / f"peer{round_number}.db"], input=script,
                                                            text=True, check=True, capture_output=True), rates)
        timed("copy and fsync", lambda: write_and_sync(source, folder / "copy"), rates)
        shutil.rmtree(data)
    base = sorted(rates["winnow import"])[1]
    for label, values in rates.items():
        median = sorted(values)[len(values) // 2]
        print(f"{label:18s} {median / 1000:10.0f}k events/s (median; {min(values) / 1000:.0f}k–{max(values) / 1000:.0f}k)"
              f"   winnow / this: {base / median:.2f}")
