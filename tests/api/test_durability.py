"""kill -9 in a loop while clients ingest with ids of their own and retry what was not acknowledged:
afterwards every acknowledged event is there, and none is there twice.

WINNOW_KILLS: rounds (default 10; 100 for the full proof).
"""

import http.client
import json
import os
import random
import sqlite3
import threading
import time
import unittest

from harness import Server, main

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
        self.fresh = 0

    def batch(self):
        out = []
        for _ in range(self.rng.randrange(1, 40)):
            number = self.number * 10**9 + self.fresh  # also its value: how it is found again
            self.fresh += 1
            out.append({"id": "id-%d" % number, "user": "user-%d" % self.rng.randrange(50),
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
                elif answer.status != 503:
                    self.problems.append((answer.status, body))
            except (OSError, http.client.HTTPException):
                connection = None
                self.retries += 1
                time.sleep(0.01)


def stored(data):
    """value → [items], by the documented schema."""
    path = os.path.join(data, "winnow.db")
    db = sqlite3.connect("file:%s?mode=ro" % path, uri=True)
    out = {}
    for value, item in db.execute("SELECT value, item FROM events_readable"):
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


if __name__ == "__main__":
    main()
