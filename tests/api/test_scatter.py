"""Offline against online: arms measured by winnow evaluate, set against what their users did."""

import json
import os
import unittest

from harness import Server, main

CONFIG = """
experiments:
  models:
    arms:
      lottery: {surfaces: {home: {retrieve: [{model: random, quota: 50}]}}}
      popular: {surfaces: {home: {retrieve: [{model: popular, quota: 50}]}}}
      als: {surfaces: {home: {retrieve: [{model: als, quota: 50}]}}}
      covisit: {surfaces: {home: {retrieve: [{model: covisit, quota: 50}]}}}
    metrics: [{kind: conversion, type: click}]
"""


class Scatter(unittest.TestCase):
    def test_scatter(self):
        with Server(CONFIG) as server:
            config = os.path.join(server.folder, "winnow.yaml")
            both = ["--data", server.data, "--config", config]
            url = "http://127.0.0.1:%d" % server.port
            empty = server.get("/v1/scatter")
            self.assertEqual(empty.status, 200, empty)
            self.assertEqual(empty.json["points"], [])
            self.assertIn("nothing to compare", empty.json["sentence"])
            small = ["--url", url, "--users", "60", "--items", "40", "--seed", "2", "--history", "400", "--json"]
            done = server.run("simulate", *small, "--visits", "0")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(server.run("train", *both).returncode, 0)
            server.post("/v1/admin/refresh", "")
            done = server.run("simulate", *small[:-3], "--visits", "250", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            done = server.run("evaluate", *both, "--experiment", "models", "--k", "5,10", "--json", "--bootstrap", "200")
            self.assertEqual(done.returncode, 0, done.stderr)
            rows = [row["model"] for row in json.loads(done.stdout)["rows"]]
            for name in ("random", "popular", "arm:lottery", "arm:popular", "arm:als", "arm:covisit"):
                self.assertIn(name, rows)
            told = server.get("/v1/scatter?experiment=models&metric=recall%4010")
            self.assertEqual(told.status, 200, told)
            scatter = told.json
            self.assertEqual((scatter["offline"], scatter["online"]), ("recall@10", "click-conversion"))
            self.assertEqual([p["policy"] for p in scatter["points"]],
                             ["lottery (random)", "popular", "als", "covisit"])
            self.assertEqual(scatter["policies"], 4)
            verdict = server.get("/v1/experiments/models").json
            for arm, point in zip(verdict["arms"], scatter["points"]):
                for side in ("offline", "online"):
                    value = point[side]
                    self.assertLessEqual(value["low"], value["mean"])
                    self.assertLessEqual(value["mean"], value["high"])
                self.assertAlmostEqual(point["online"]["mean"],
                                       arm["metrics"][0].get("mean", arm["metrics"][0].get("treatment")), places=9)
            svg = os.path.join(server.folder, "scatter.svg")
            done = server.run("lab", "scatter", *both, "--svg", svg)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("ndcg@5", done.stdout)
            self.assertIn("n = 4 policies", done.stdout)
            with open(svg) as f:
                self.assertIn("lottery (random)", f.read())
            for query, status in (("experiment=none", 404), ("metric=none%405", 400), ("nonsense=1", 400)):
                self.assertEqual(server.get("/v1/scatter?" + query).status, status, query)
            done = server.run("evaluate", *both, "--experiment", "none")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("none", done.stderr)


if __name__ == "__main__":
    main()
