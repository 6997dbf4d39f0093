"""winnow simulate against a real server: what it counts is what the server stored."""

import json
import os
import sqlite3
import time
import unittest

from harness import Server, main

CONFIG = """
experiments:
  personal:
    arms: {control: {surfaces: {home: {retrieve: [{model: random, quota: 100}]}}}, home: {}}
"""


class Simulate(unittest.TestCase):
    def test_visits(self):
        with Server(CONFIG) as server:
            url = "http://127.0.0.1:%d" % server.port
            small = ["--users", "40", "--items", "60", "--history", "300", "--seed", "3", "--json"]
            svg = os.path.join(server.folder, "plot.svg")
            done = server.run("simulate", "--url", url, "--visits", "0", *small)
            self.assertEqual(done.returncode, 0, done.stderr)
            trained = server.run("train", "--data", server.data)
            self.assertEqual(trained.returncode, 0, trained.stderr)
            self.assertEqual(server.request("POST", "/v1/admin/refresh").status, 200)
            done = server.run("simulate", "--url", url, "--visits", "150", "--periods", "3", "--svg", svg,
                              "--experiment", "personal", *small[:4], "--seed", "3", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            told = json.loads(done.stdout)
            self.assertEqual([p["visits"] for p in told["periods"]], [50, 50, 50])
            self.assertEqual(set(told["arms"]), {"control", "home"})
            for row in told["periods"] + list(told["arms"].values()):
                self.assertGreater(row["value"], 0)
                self.assertLessEqual(row["value"], row["best"])
            clicks = sum(p["clicks"] * p["visits"] for p in told["periods"])
            satisfied = sum(p["satisfied"] * p["visits"] for p in told["periods"])
            with open(svg) as f:
                self.assertTrue(f.read().startswith("<svg"))
            with self.assertRaises(AssertionError):
                self.assertAlmostEqual(clicks, satisfied)
            server.stop()
            stored = sqlite3.connect(os.path.join(server.data, "winnow.db"))
            count = lambda type: stored.execute(
                "SELECT count(*) FROM events_readable WHERE type = ? AND slate IS NOT NULL", [type]).fetchone()[0]
            self.assertAlmostEqual(clicks, count("click"), places=6)
            self.assertAlmostEqual(satisfied, count("finish"), places=6)
            stored.close()

    def test_virtual_clock(self):
        """Ten days in seconds: what the server stores carries the world's times, and the same seed does the same."""
        told = []
        args = ["--users", "30", "--items", "50", "--days", "10", "--start", "2026-01-01", "--seed", "3", "--once",
                "--born", "0.5", "--life", "20", "--likes", "0.5", "--trap", "1", "--churn", "0.05", "--drift", "0.1",
                "--trend", "0.5", "--ageing", "0.02", "--n", "5", "--visits", "200", "--json"]
        for _ in range(2):
            with Server("training: {every_hours: 0}\n", args=["--virtual-clock", "2026-01-01"]) as server:
                done = server.run("simulate", "--url", "http://127.0.0.1:%d" % server.port, *args)
                self.assertEqual(done.returncode, 0, done.stderr)
                told.append(json.loads(done.stdout))
                refused = server.get("/v1/surfaces/home/slate?user=sim-u1", headers={"Winnow-Now": "yesterday"})
                self.assertEqual(refused.status, 400)
                self.assertIn("Winnow-Now", refused.body.decode())
                server.stop()
                stored = sqlite3.connect(os.path.join(server.data, "winnow.db"))
                start = 1767225600000
                for table in ("events", "slates"):
                    first, last = stored.execute("SELECT min(time_ms), max(time_ms) FROM %s" % table).fetchone()
                    self.assertGreaterEqual(first, start)
                    self.assertLess(last, start + 11 * 86400000)
                    self.assertGreater(last - first, 5 * 86400000)
                stored.close()
        self.assertEqual(told[0], told[1])
        regret = [p["regret"] for p in told[0]["periods"]]
        self.assertEqual(regret, sorted(regret))
        with Server() as server:  # the real clock is nobody's to set
            answer = server.get("/v1/surfaces/home/slate?user=u", headers={"Winnow-Now": "2026-01-01"})
            self.assertEqual(answer.status, 400)
            self.assertIn("--virtual-clock", answer.body.decode())

    def test_refusals(self):
        with Server() as server:
            for args, word in ((["--url", "http://127.0.0.1:1"], "127.0.0.1:1"),
                               (["--items", "0"], "items"), (["--periods", "1000"], "periods"),
                               (["--churn", "2"], "churn"), (["--like", "/no/such/file"], "/no/such/file"),
                               (["--url", "http://127.0.0.1:%d" % server.port, "--surface", "none"],
                                "no surface")):
                done = server.run("simulate", "--items", "5", "--visits", "2", *args)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(word, done.stderr)


if __name__ == "__main__":
    main()
