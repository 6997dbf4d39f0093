"""kill -9 in a loop while clients ingest with ids of their own and retry what was not acknowledged:
afterwards every acknowledged event is there, and none is there twice.

WINNOW_KILLS: rounds (default 10; 100 for the full proof).
"""

import http.client
import json
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest

from harness import Server, ids, main, metric

KILLS = int(os.environ.get("WINNOW_KILLS", "10"))
CLIENTS = 6


class Ingester(threading.Thread):
    """Sends batches; one that got no answer is sent again, as it was, until it is acknowledged."""

    def __init__(self, number):
        super().__init__(daemon=True)
        self.number, self.port = number, None
        self.rng = random.Random(number)
        self.acknowledged = {}  # value → item
        self.sent = set()
        self.retries = 0
        self.end = threading.Event()
        self.problems = []
        self.fresh, self.pause, self.users = 0, 0, 50

    def batch(self):
        out = []
        for _ in range(self.rng.randrange(1, 40)):
            number = self.number * 10**9 + self.fresh  # also its value: how it is found again
            self.fresh += 1
            out.append({"id": "id-%d" % number, "user": "user-%d" % self.rng.randrange(self.users),
                        "item": "item-%d" % self.rng.randrange(200), "type": "view",
                        "value": number})
        return out

    def run(self):
        connection, port = None, None
        batch = self.batch()
        while not self.end.is_set():
            self.sent.update(e["value"] for e in batch)
            try:
                if connection is None or port != self.port:
                    port = self.port
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("POST", "/v1/events", json.dumps(batch),
                                   {"Content-Type": "application/json"})
                answer = connection.getresponse()
                body = answer.read()
                if answer.status == 200:
                    counts = json.loads(body)
                    if counts["accepted"] + counts["duplicates"] != len(batch):
                        self.problems.append((counts, len(batch)))
                    self.acknowledged.update((e["value"], e["item"]) for e in batch)
                    batch = self.batch()
                elif answer.status not in (429, 503):
                    self.problems.append((answer.status, body))
            except (OSError, http.client.HTTPException):
                connection = None
                self.retries += 1
                time.sleep(0.01)
            time.sleep(self.pause)


def stored(data):
    """value → [items], by the documented schema."""
    path = os.path.join(data, "winnow.db")
    db = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    out = {}
    for value, item in db.execute("SELECT value, item FROM events_readable WHERE value NOTNULL"):
        out.setdefault(int(value), []).append(item)
    db.close()
    return out


class Kill(unittest.TestCase):
    def test_kill_loop(self):
        server = Server()
        clients = [Ingester(n) for n in range(CLIENTS)]
        rng = random.Random(99)
        server.start()
        for c in clients:
            c.port = server.port
            c.start()
        for _ in range(KILLS):
            time.sleep(rng.uniform(0.05, 0.4))
            server.kill()
            server.start()
            for c in clients:
                c.port = server.port
        time.sleep(0.3)
        server.kill()
        for c in clients:
            c.end.set()
        for c in clients:
            c.join(20)
        server.start()  # replays what the log holds
        ready = server.get("/readyz").json
        self.assertEqual(server.stop(), 0)
        found = stored(server.data)
        acknowledged = {}
        sent = set()
        for c in clients:
            self.assertEqual(c.problems, [])
            acknowledged.update(c.acknowledged)
            sent |= c.sent
        lost = [n for n in acknowledged if n not in found]
        twice = [n for n, items in found.items() if len(items) > 1]
        wrong = [n for n, item in acknowledged.items() if n in found and found[n] != [item]]
        foreign = [n for n in found if n not in sent]
        print("kills %d, acknowledged %d, stored %d, retries %d, lost %d, twice %d" % (
            KILLS + 1, len(acknowledged), len(found), sum(c.retries for c in clients), len(lost),
            len(twice)))
        self.assertGreater(len(acknowledged), KILLS)
        self.assertEqual((lost, twice, wrong, foreign), ([], [], [], []))
        self.assertGreaterEqual(ready["last_seq"], len(acknowledged))


class Busy(unittest.TestCase):
    def test_full_queue(self):
        """More at once than the commit queue takes: some are told to come back, and what was
        acknowledged is exactly what is stored."""
        with Server() as server:
            answers = []

            def send(n):
                body = "\n".join('{"user":"u%d","item":"i%d","type":"view","id":"%d-%d"}' %
                                 (n, i % 100, n, i) for i in range(50000))
                answers.append(server.post("/v1/events", body,
                                           headers={"Content-Type": "application/x-ndjson"}))

            threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(len(answers), 8)
            for answer in answers:
                self.assertIn(answer.status, (200, 429), answer)
                if answer.status == 429:
                    self.assertEqual(answer.headers["Retry-After"], "1")
                    self.assertEqual(answer.type, "application/problem+json")
            good = sum(answer.status == 200 for answer in answers)
            self.assertGreater(good, 0)
            self.assertEqual(server.get("/readyz").json["last_seq"], 50000 * good)


class FeedKilled(unittest.TestCase):
    """What a feed has shown is on disk, and is not shown again after kill -9."""

    def test_pages(self):
        data = tempfile.mkdtemp(prefix="winnow-feed-")
        shown, slates = [], []
        for _ in range(4):
            server = Server(data=data).start()
            if not shown:
                server.post("/v1/items", [{"id": "i%d" % i} for i in range(60)])
            for _ in range(3):
                page = server.get("/v1/surfaces/feed/slate?session=s&n=5").json
                shown += ids(page)
                slates.append(page["slate"])
            server.kill()
            shutil.rmtree(server.folder)
        self.assertEqual(len(shown), 60)
        self.assertEqual(len(set(shown)), 60)
        db = sqlite3.connect(os.path.join(data, "winnow.db"))
        logged = [row[0] for row in db.execute("SELECT id FROM slates ORDER BY seq")]
        db.close()
        self.assertEqual(logged, slates)
        shutil.rmtree(data)


class DiskFull(unittest.TestCase):
    """A small tmpfs as the data folder; needs the right to mount."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="winnow-full-")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", self.folder],
                              capture_output=True)
        if done.returncode != 0:
            os.rmdir(self.folder)
            self.skipTest("cannot mount a tmpfs here")

    def tearDown(self):
        subprocess.run(["umount", self.folder], capture_output=True)
        os.rmdir(self.folder)

    def test_full(self):
        data = os.path.join(self.folder, "data")
        with Server(data=data) as server:
            self.assertEqual(server.post("/v1/items", [{"id": "a"}]).status, 200)
            ballast = os.path.join(self.folder, "ballast")
            with open(ballast, "wb") as f:
                try:
                    while True:
                        f.write(b"\0" * 65536)
                        f.flush()
                except OSError:
                    pass
            stored, answer = 0, None
            for n in range(200):
                batch = [{"user": "u%d" % i, "item": "a", "type": "view", "id": "%d-%d" % (n, i)}
                         for i in range(2000)]
                answer = server.post("/v1/events", batch)
                if answer.status != 200:
                    break
                stored += 2000
            self.assertEqual(answer.status, 507, answer)
            self.assertEqual(answer.type, "application/problem+json")
            self.assertEqual(server.get("/healthz").status, 200)
            slate = server.get("/v1/surfaces/popular/slate")
            self.assertEqual(slate.status, 507, slate)  # what cannot be logged is not shown
            self.assertEqual(server.get("/readyz").status, 503)
            self.assertEqual(metric(server, "winnow_commit_failing"), 1)
            self.assertEqual(metric(server, "winnow_slates_lost_total"), 0)
            os.unlink(ballast)
            until = time.monotonic() + 10  # nobody writes: the server looks for itself
            while server.get("/readyz").status != 200 and time.monotonic() < until:
                time.sleep(0.1)
            self.assertEqual(server.get("/readyz").status, 200)
            until = time.monotonic() + 10
            while True:
                answer = server.post("/v1/events", [{"user": "u", "item": "a", "type": "view",
                                                     "id": "after"}])
                if answer.status == 200 or time.monotonic() > until:
                    break
                time.sleep(0.1)
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual(answer.json["accepted"], 1)
            self.assertEqual(server.get("/v1/surfaces/popular/slate").status, 200)
            self.assertEqual(server.stop(), 0)
            found = stored_count(data)
            self.assertEqual(found, stored + 1)


def stored_count(data):
    db = sqlite3.connect("file:%s?mode=ro" % os.path.join(data, "winnow.db"), uri=True)
    count = db.execute("SELECT count(*) FROM events").fetchone()[0]
    db.close()
    return count


if __name__ == "__main__":
    main()
