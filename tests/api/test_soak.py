"""A soak: mixed load through three trainings, their swaps, a rollback, two kills and a full disk.

No acknowledged event is lost or stored twice; no 5xx outside the windows of kills and of the full disk; memory within what
the documentation's formula gives; nothing from a sanitizer. WINNOW_SOAK_MINUTES: its length (default 0.25; 30 for the full proof).
The disk fills up only where a tmpfs may be mounted; elsewhere that part is left out, and said so.
"""

import http.client
import json
import os
import random
import subprocess
import tempfile
import threading
import time
import unittest

from harness import SLOW, Server, fill, main, metric, within
from test_durability import Ingester, stored

SECONDS = 60 * float(os.environ.get("WINNOW_SOAK_MINUTES", "0.25"))
ITEMS, USERS = 200, 60
CONFIG = ("models: {als: {factors: 8, epochs: 3}, blend: {users: 20}}\n"
          "training: {every_hours: 0, nice: 0, keep: 8}\n")


class Client(threading.Thread):
    """Asks again and again; notes each answer of 500 and more, and each failure of the connection, with its time."""

    def __init__(self, server, number):
        super().__init__(daemon=True)
        self.server, self.rng = server, random.Random(number)
        self.answers, self.failures, self.end = {}, [], threading.Event()

    def one(self):
        """(method, path, body)"""
        user = "user-%d" % self.rng.randrange(USERS + 20)
        kind = self.rng.random()
        if kind < 0.6:
            return "GET", "/v1/surfaces/%s/slate?user=%s" % (self.rng.choice(["home", "home", "popular"]), user), None
        if kind < 0.8:
            return "GET", "/v1/surfaces/feed/slate?user=%s" % user, None
        if kind < 0.9:
            return "PATCH", "/v1/items/item-%d" % self.rng.randrange(ITEMS), {
                "title": "Item anew %d" % self.rng.randrange(1000),
                "status": self.rng.choice(["active", "active", "hidden"])}
        return "POST", "/v1/events", {"user": user, "item": "item-%d" % self.rng.randrange(ITEMS),
                                      "type": self.rng.choice(["view", "like", "dislike"])}

    def run(self):
        connection, port = None, None
        while not self.end.is_set():
            method, path, body = self.one()
            begun = time.monotonic()
            try:
                if connection is None or port != self.server.port:
                    port = self.server.port
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request(method, path, json.dumps(body) if body else None,
                                   {"Content-Type": "application/json"} if body else {})
                status = connection.getresponse()
                text, status = status.read(), status.status
                self.answers[status] = self.answers.get(status, 0) + 1
                if status >= 500:
                    self.failures.append((begun, time.monotonic(), status, path, text[:200]))
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                connection = None
                self.failures.append((begun, time.monotonic(), 0, path, repr(error)))
                time.sleep(0.02)
            self.end.wait(0.005)
        if connection is not None:
            connection.close()


class Soak(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="winnow-soak-")
        self.disk = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm" % (64 + 60 * SECONDS / 60), "tmpfs",
                                    self.folder], capture_output=True).returncode == 0
        self.windows, self.server = [], None  # in which the server may fail

    def tearDown(self):
        if self.server is not None and self.server.process is not None:
            self.server.kill()
        if self.disk:
            subprocess.run(["umount", self.folder], capture_output=True)
        subprocess.run(["rm", "-rf", self.folder])

    # --- what happens ---

    def train(self):
        """Three snapshots more or less; each is served although it may be worse."""
        before = metric(self.server, "winnow_snapshot_swaps_total")
        within(lambda: self.server.post("/v1/train?force=true", None).status == 202, 300)
        within(lambda: metric(self.server, "winnow_snapshot_swaps_total") == before + 1, 300)

    def roll_back(self):
        before = metric(self.server, "winnow_snapshot")
        client = self.server.client(600 * SLOW)  # it replays all that came since that snapshot
        self.assertEqual(client.request("POST", "/v1/snapshots/%d/serve" % (before - 1)).status, 200)
        client.close()
        within(lambda: metric(self.server, "winnow_snapshot") == before - 1, 300)

    def kill(self):
        begun = time.monotonic()
        self.server.kill()
        self.server.start(600 * SLOW)
        for client in self.ingesters:
            client.port = self.server.port
        self.windows.append((begun, time.monotonic() + 0.5 * SLOW))

    def fill_disk(self):
        if not self.disk:
            return print("no tmpfs may be mounted here: the disk does not fill up")
        begun, ballast = time.monotonic(), os.path.join(self.folder, "ballast")
        with open(ballast, "wb", buffering=0) as f:
            within(lambda: self.stuff(f) and metric(self.server, "winnow_commit_failing") == 1, 300)
        os.unlink(ballast)
        within(lambda: self.server.get("/readyz").status == 200 and metric(self.server, "winnow_commit_failing") == 0, 300)
        self.windows.append((begun, time.monotonic() + 0.5 * SLOW))

    @staticmethod
    def stuff(f):
        try:
            while True:
                f.write(b"\0" * 65536)
        except OSError:
            return True

    # --- what must hold ---

    def check_memory(self):
        """Anonymous memory against the parts that /metrics tells, twice for growing rows, and what a worker may use."""
        if "asan" in self.server.maps or "tsan" in self.server.maps:
            return
        with open("/proc/%d/status" % self.server.process.pid) as f:
            anonymous = [int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon")][0]
        parts = sum(float(line.rsplit(" ", 1)[1]) for line in self.server.get("/metrics").body.decode().splitlines()
                    if line.startswith("winnow_memory_bytes{"))
        limit = 2 * parts + (32 << 20) * (os.cpu_count() + 1) + (64 << 20)
        print("anonymous memory %.1f MB, parts %.1f MB, limit %.1f MB" % (anonymous / 1e6, parts / 1e6, limit / 1e6))
        self.assertLess(anonymous, limit)

    def check_failures(self):
        for client in self.clients:
            for begun, ended, status, path, text in client.failures:
                self.assertTrue(any(begun <= b and a <= ended for a, b in self.windows), (status, path, text))

    def check_events(self):
        acknowledged, sent = {}, set()
        for client in self.ingesters:
            self.assertEqual([p for p in client.problems if p[0] not in (507,)], [])
            acknowledged.update(client.acknowledged)
            sent |= client.sent
        found = {value: items for value, items in stored(self.data).items() if value >= 10 ** 9}
        self.assertEqual([value for value in acknowledged if found.get(value) != [acknowledged[value]]], [])
        self.assertEqual([value for value, items in found.items() if len(items) != 1 or value not in sent], [])
        return len(acknowledged)

    def test_soak(self):
        self.data = os.path.join(self.folder, "data")
        self.server = server = Server(CONFIG, data=self.data).start()
        with open("/proc/%d/maps" % server.process.pid) as f:
            server.maps = f.read()
        fill(server, ITEMS, USERS)
        self.clients = [Client(server, n) for n in range(3)]
        self.ingesters = [Ingester(n + 1) for n in range(2)]
        for client in self.ingesters:
            client.port, client.pause, client.users = server.port, 0.05, 5000
        for client in self.clients + self.ingesters:
            client.start()
        begun = time.monotonic()
        plan = [(0.05, self.train), (0.2, self.kill), (0.35, self.train), (0.5, self.fill_disk), (0.65, self.train),
                (0.8, self.roll_back), (0.9, self.kill)]
        for share, act in plan:
            time.sleep(max(0, begun + share * SECONDS - time.monotonic()))
            act()
        time.sleep(max(0, begun + SECONDS - time.monotonic()))
        self.check_memory()
        for client in self.clients + self.ingesters:
            client.end.set()
        for client in self.clients + self.ingesters:
            client.join(60 * SLOW)
        self.assertEqual(server.stop(), 0, server.output())
        self.check_failures()
        acknowledged = self.check_events()
        with open(os.path.join(server.folder, "log"), errors="replace") as f:
            log = f.read()
        for sign in ("Sanitizer", "runtime error"):
            self.assertNotIn(sign, log)
        answers = {}
        for client in self.clients:
            for status, count in client.answers.items():
                answers[status] = answers.get(status, 0) + count
        print("%.0f s: %d events acknowledged, none lost or twice; answers by status: %s"
              % (time.monotonic() - begun, acknowledged, dict(sorted(answers.items()))))
        self.assertGreater(answers[200], 100)
        self.assertGreater(acknowledged, 100)


if __name__ == "__main__":
    main()
