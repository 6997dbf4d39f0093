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
            self.assertTrue(open(svg).read().startswith("<svg"))
            with self.assertRaises(AssertionError):
                self.assertAlmostEqual(clicks, satisfied)
            server.stop()
            stored = sqlite3.connect(os.path.join(server.data, "winnow.db"))
            count = lambda type: stored.execute(
                "SELECT count(*) FROM events_readable WHERE type = ? AND slate IS NOT NULL", [type]).fetchone()[0]
            self.assertAlmostEqual(clicks, count("click"), places=6)
            self.assertAlmostEqual(satisfied, count("finish"), places=6)
            stored.close()

    def test_refusals(self):
        with Server() as server:
            for args, word in ((["--url", "http://127.0.0.1:1"], "127.0.0.1:1"),
                               (["--items", "0"], "items"), (["--periods", "1000"], "periods"),
                               (["--url", "http://127.0.0.1:%d" % server.port, "--surface", "none"],
                                "no surface")):
                done = server.run("simulate", "--items", "5", "--visits", "2", *args)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(word, done.stderr)


if __name__ == "__main__":
    main()
