"""How a verdict came about: the same as if it had been asked each day."""

import json
import unittest

from harness import Server, catalogue, main

CONFIG = """
training: {every_hours: 0}
holdout: {share: 0.3}
experiments:
  shorter:
    arms: {control: {}, short: {surfaces: {popular: {n: 5}}}}
    metrics: [{kind: conversion, type: like}, {kind: rate, type: view}, {kind: return, days: 2}]
"""
DAYS = 12


class Course(unittest.TestCase):
    def visit(self, day, users):
        """Everybody of `users` asks once on this day of the world; some like what they see."""
        at, did = {"Winnow-Now": "2026-03-%02dT10:00:00Z" % day}, []
        for u in users:
            slate = self.server.get("/v1/surfaces/popular/slate?user=v%d" % u, headers=at).json
            for kind, k in [("like", 0)] * (u % 3 == 0) + [("view", k) for k in range((u + day) % 4)]:
                did.append({"user": "v%d" % u, "item": slate["items"][k]["id"], "type": kind, "slate": slate["slate"]})
        if did:
            self.assertEqual(self.server.post("/v1/events", {"events": did}, headers=at).status, 200)

    def test_looks(self):
        with Server(CONFIG, args=["--virtual-clock", "2026-03-01"]) as self.server:
            empty = self.server.get("/v1/experiments/shorter/course")
            self.assertEqual((empty.status, empty.json["looks"]), (200, []))
            self.assertEqual(self.server.post("/v1/items", {"items": catalogue(30)}).status, 200)
            for k in range(12):
                self.server.post("/v1/events", {"user": "seed", "item": "item-%d" % k, "type": "view"})
            then = []
            for day in range(1, DAYS + 1):
                # Each stays for six days.
                self.visit(day, [u for u in range(60) if 0 <= day - 1 - u % 7 < 6])
                then.append({name: self.server.get("/v1/experiments/" + name).json for name in ("shorter", "holdout")})
            for name in ("shorter", "holdout"):
                course = self.server.get("/v1/experiments/%s/course" % name).json
                looks = course["looks"]
                self.assertGreater(len(looks), DAYS)
                self.assertLessEqual(len(looks), 60)
                self.assertFalse(course["hidden"])
                self.assertEqual(looks, sorted(looks, key=lambda k: k["until_ms"]))
                # The last of a day is what was told on that day.
                for day in range(1, DAYS + 1):
                    told = then[day - 1][name]
                    look = [k for k in looks if k["until_ms"] < told["last_ms"] + 86400000 / 2][-1]
                    self.same(look, told, name, day)

    def same(self, look, told, name, day):
        self.assertEqual(look["units"], [a["units"] for a in told["arms"]], (name, day))
        self.assertAlmostEqual(look["srm_p_always_valid"], told["checks"]["srm_p_always_valid"], places=12)
        metrics = told["arms"][1]["metrics"]
        self.assertEqual(len(look["effects"]), len(metrics))
        for effect, metric in zip(look["effects"], metrics):
            self.assertEqual(effect["metric"], metric["name"])
            if metric["kind"] == "return":
                continue  # waits for its days to pass, whichever moment is asked
            for key in ("verdict", "difference", "low", "high", "relative", "relative_low", "relative_high"):
                if isinstance(metric.get(key), float):
                    self.assertAlmostEqual(effect[key], metric[key], places=9, msg=json.dumps([name, day, key]))
                else:
                    self.assertEqual(effect.get(key), metric.get(key), (name, day, key))

    def test_unknown(self):
        with Server() as server:
            self.assertEqual(server.get("/v1/experiments/none/course").status, 404)


if __name__ == "__main__":
    main()
