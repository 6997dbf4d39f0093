"""Drift: unknown, none, then much of it, which alerts and trains."""

import math
import random
import time
import unittest

from harness import Server, catalogue, main, metric, train, within

CONFIG = ("models: {als: {factors: 8, epochs: 3}, blend: {users: 10}}\n"
          "training: {every_hours: 0, drift: %g, nice: 0, gate: {users_min: 100000}}\n"
          "alerts: {every_seconds: 1, rules: {drift_psi: 0.25, disk_free_mb: 0, p99_ms: 0}}\n")


def send(server, seed, n, items=(0, 200), types=("view", "view", "view", "buy")):
    """Popularity falls with the number; users are many, so that nobody's history is cut."""
    rng = random.Random(seed)
    now = int(time.time())
    low, high = items
    rows = [{"user": "user-%d" % rng.randrange(300), "type": rng.choice(types), "time": now,
             "item": "item-%d" % (low + int((high - low) * rng.random() ** 2))} for _ in range(n)]
    assert server.post("/v1/events", {"events": rows}).status == 200


def drift(server, events):
    """As of the first look that has seen so many events since the snapshot."""
    within(lambda: server.get("/v1/drift").json["events"] >= events)
    return server.get("/v1/drift").json["psi"]


class Drift(unittest.TestCase):
    def test_drift(self):
        with Server(CONFIG % 0) as server:
            server.post("/v1/items", {"items": catalogue(400)})
            send(server, 1, 4000)
            unknown = {"events": None, "items": None, "scores": None, "norms": None}
            self.assertEqual(server.get("/v1/drift").json,
                             {"model": None, "events": 0, "threshold": 0.25, "psi": unknown})
            train(server)
            server.post("/v1/admin/refresh", None)
            within(lambda: server.get("/v1/drift").json["model"] == 1)
            self.assertIsNone(server.get("/v1/drift").json["psi"]["items"])
            send(server, 2, 2000)
            alike = drift(server, 2000)
            self.assertLess(alike["items"], 0.05)
            self.assertLess(alike["events"], 0.05)
            self.assertLess(alike["norms"], 0.15)
            self.assertTrue(math.isnan(metric(server, 'winnow_drift_psi{of="scores"}')))
            send(server, 3, 2000, items=(150, 400))
            other = drift(server, 4000)
            self.assertGreater(other["items"], 0.3)
            self.assertGreater(other["norms"], 0.3)  # what is taken now has shorter vectors, or none
            self.assertLess(other["events"], 0.05)
            send(server, 4, 2000, types=("dislike",))
            self.assertGreater(drift(server, 6000)["events"], 0.3)
            within(lambda: metric(server, 'winnow_alert_firing{rule="drift_psi"}') == 1)
            self.assertGreater(metric(server, 'winnow_drift_psi{of="events"}'), 0.3)
            self.assertEqual(server.get("/v1/train").json["runs"]["promoted"], 0)  # not asked for

    def test_scores(self):
        # A generator that tells users apart: where all do alike, the blend may be popularity alone.
        home = "surfaces: {home: {retrieve: [{model: als, quota: 100}], score: {normalise: none}}}\n"
        with Server(CONFIG % 0 + home) as server:
            server.post("/v1/items", {"items": catalogue(200)})
            send(server, 1, 3000)
            train(server)
            server.post("/v1/admin/refresh", None)
            client = server.client()
            for n in range(2000):
                client.request("GET", "/v1/surfaces/home/slate?user=user-%d" % (n % 250))
            within(lambda: server.get("/v1/drift").json["psi"]["scores"] is not None)
            self.assertLess(server.get("/v1/drift").json["psi"]["scores"], 0.1)
            for n in range(1000):  # a single user from now on
                client.request("GET", "/v1/surfaces/home/slate?user=user-1")
            within(lambda: server.get("/v1/drift").json["psi"]["scores"] > 1)
            client.close()

    def test_trains(self):
        with Server(CONFIG % 0.3) as server:
            server.post("/v1/items", {"items": catalogue(400)})
            send(server, 1, 4000)
            train(server)
            server.post("/v1/admin/refresh", None)
            send(server, 2, 3000, items=(300, 400))
            within(lambda: server.get("/v1/train").json["runs"]["promoted"] == 1, 60)
            self.assertEqual(server.get("/v1/train").json["last"]["trigger"], "drift")


if __name__ == "__main__":
    main(at_once=3)
