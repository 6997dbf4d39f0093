"""Experiments through a real server: arms in answers and in the log, verdicts, changes under way."""

import json
import math
import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
import time
import unittest

from harness import SLOW, WINNOW, ApiTest, Server, fill, ids, main, within

CONFIG = """
holdout: {share: 0.05}
experiments:
  short:
    arms:
      control: {}
      short: {surfaces: {home: {n: 4}}}
    overrides: {tester: short}
    metrics:
      - {kind: conversion, type: click}
      - {kind: rate, type: click, name: click-rate}
      - {kind: count, type: skip, lower_is_better: true}
      - {kind: return}
    planned_units: 300
  old-hands:
    audience: {country: [de, at]}
    arms: {a: {}, b: {surfaces: {home: {filter: {where: 'section == "games"'}}}}}
"""


class Experiments(ApiTest):
    config = CONFIG

    def slate(self, user):
        return self.ok(self.server.get("/v1/surfaces/home/slate?user=" + user))

    def test_arms_in_answer_and_log(self):
        seen = {"control": 0, "short": 0, None: 0}
        for n in range(60):
            answer = self.slate("new-%d" % n)
            arm = answer.get("arms", {}).get("short")
            if arm is None:
                self.assertEqual(answer["arms"], {"holdout": "in"})
            self.assertEqual(len(answer["items"]), 4 if arm == "short" else 20)
            self.assertEqual(self.slate("new-%d" % n).get("arms"), answer.get("arms"))
            seen[arm] += 1
        self.assertGreater(min(seen["control"], seen["short"]), 15)
        self.assertEqual(self.slate("tester")["arms"]["short"], "short")
        self.assertNotIn("arms", self.ok(self.server.get("/v1/surfaces/popular/slate")))

    def test_audience(self):
        for user, country in (("anna", "at"), ("fred", "fr")):
            answer = self.server.request("PUT", "/v1/users/" + user, {"attributes": {"country": country}})
            self.assertEqual(answer.status, 201, answer)
        self.assertIn("old-hands", self.slate("anna")["arms"])
        self.assertNotIn("old-hands", self.slate("fred")["arms"])

    def test_declared(self):
        answer = self.ok(self.server.get("/v1/experiments"))
        self.assertEqual([e["name"] for e in answer["experiments"]], ["holdout", "old-hands", "short"])
        self.assertTrue(all(e["started_ms"] > 1.6e12 for e in answer["experiments"]))
        missing = self.server.get("/v1/experiments/none")
        self.assertEqual(missing.status, 404)

    def test_counts_are_those_of_the_log(self):
        """Each user clicks or not; the verdict's means are those that the client counts itself."""
        rng = random.Random(5)
        units, clicked, slates, clicks = {}, {}, {}, {}
        for n in range(120):
            user = "counted-%d" % n
            for _ in range(rng.choice([1, 1, 2])):
                answer = self.slate(user)
                arm = answer.get("arms", {}).get("short")
                if arm is None:
                    continue
                units.setdefault(arm, set()).add(user)
                slates[arm] = slates.get(arm, 0) + 1
                if rng.random() < (0.6 if arm == "short" else 0.3):
                    body = {"user": user, "item": ids(answer)[1], "type": "click"}
                    if rng.random() < 0.5:
                        body["slate"] = answer["slate"]
                    self.ok(self.server.post("/v1/events", body))
                    clicked.setdefault(arm, set()).add(user)
                    clicks[arm] = clicks.get(arm, 0) + 1
        deadline = time.time() + 20
        verdict = None
        while time.time() < deadline:  # impressions are logged a moment after the answer
            verdict = self.ok(self.server.get("/v1/experiments/short"))
            if sum(a["units"] for a in verdict["arms"]) >= sum(map(len, units.values())):
                break
            time.sleep(0.1)
        others = {a["name"]: a["units"] - len(units[a["name"]]) for a in verdict["arms"]}
        self.assertTrue(all(n >= 0 for n in others.values()), others)
        self.assertFalse(verdict["hidden"])
        self.assertGreaterEqual(verdict["checks"]["units_under_override"], 0)
        for arm in verdict["arms"]:
            name = arm["name"]
            metrics = {m["name"]: m for m in arm["metrics"]}
            self.assertEqual(list(metrics), ["click-conversion", "click-rate", "skip-count", "return"])
            mean = metrics["click-conversion"].get("mean", metrics["click-conversion"].get("treatment"))
            self.assertAlmostEqual(mean, len(clicked[name]) / arm["units"], places=9)
            rate = metrics["click-rate"].get("mean", metrics["click-rate"].get("treatment"))
            self.assertAlmostEqual(rate, clicks[name] / arm["slates"], places=9)
        shown = {m["name"]: m for m in verdict["arms"][1]["metrics"]}
        self.assertEqual(shown["skip-count"]["verdict"], "no data")
        self.assertEqual(shown["return"]["verdict"], "no data")  # all are too young
        conversion = shown["click-conversion"]
        self.assertLess(conversion["low"], conversion["difference"])
        self.assertGreater(conversion["high"], conversion["difference"])
        printed = self.server.run("experiments", "--data", self.server.data, "short", "--config",
                                  self.server.args[1])
        self.assertEqual(printed.returncode, 0, printed.stderr)
        self.assertIn("click-conversion", printed.stdout)
        self.assertIn('no event "skip"', printed.stdout)
        plan = self.server.run("experiments", "--data", self.server.data, "plan", "--type", "click")
        self.assertEqual(plan.returncode, 0, plan.stderr)
        self.assertIn("units, two arms", plan.stdout)
        place = self.server.run("experiments", "--data", self.server.data, "plan", "--place", "2", "--json")
        self.assertEqual(place.returncode, 0, place.stderr)
        needed = [row["needed"] for row in json.loads(place.stdout)["impressions"]]
        self.assertEqual(needed, sorted(needed, reverse=True))
        place = self.server.run("experiments", "--data", self.server.data, "plan", "--place", "999")
        self.assertIn("nothing at place 999 of home", place.stderr)
        listed = self.server.run("experiments", "--data", self.server.data, "--json", "--config",
                                 self.server.args[1])
        self.assertEqual([e["state"] for e in json.loads(listed.stdout)], ["running"] * 3)

    def test_left_out(self):
        """Who looks at an arm, and who asks more than a thousand times a day, are counted apart."""
        self.slate("tester")
        crawler = next(u for u in map("crawler-%d".__mod__, range(9)) if "short" in self.slate(u)["arms"])
        for _ in range(1000):
            self.ok(self.server.get("/v1/surfaces/home/slate?n=1&user=" + crawler))
        counted = lambda: self.ok(self.server.get("/v1/experiments/short"))["checks"]  # noqa: E731
        within(lambda: counted()["bots"] == 1 and counted()["units_under_override"] == 1)


class Return(unittest.TestCase):
    def test_return_within_days(self):
        """Who came again on a later day, within three; the youngest do not count yet."""
        day, start = 86400000, 1772323200000  # 2026-03-01
        config = ("experiments: {x: {surfaces: [home], arms: {a: {}, b: {}}, metrics: [{kind: return, days: 3}]}}")
        came = {}  # user → days
        for n in range(80):
            came["r%d" % n] = {0: [0, 0.5], 1: [0, 0.5, 1.2], 2: [0.4, 3.3], 3: [0.4, 3.6], 4: [2, 2.1]}[n % 5]
        with Server(config, args=["--virtual-clock", "2026-03-01"]) as server:
            self.assertEqual(server.post("/v1/items", {"items": [{"id": "i%d" % i} for i in range(5)]}).status, 200)
            arms = {}
            for at, user in sorted((at, user) for user, days in came.items() for at in days + [5.5] * (user == "r1")):
                headers = {"Winnow-Now": str(start + int(at * day))}
                slate = server.get("/v1/surfaces/home/slate?user=" + user, headers=headers).json
                arms[user] = slate["arms"]["x"]
            late = {"Winnow-Now": str(start + int(5.5 * day))}
            young = ["late%d" % n for n in range(9)]
            for user in young:
                server.get("/v1/surfaces/home/slate?user=" + user, headers=late)
            client, until = server.client(), time.monotonic() + 30 * SLOW
            while time.monotonic() < until:  # impressions are logged a moment after the answer
                found = client.request("GET", "/v1/experiments/x", headers=late).json
                if sum(a["units"] for a in found["arms"]) == len(came) + len(young):
                    break
                time.sleep(0.05)
            client.close()
        for arm in found["arms"]:
            users = [u for u in came if arms[u] == arm["name"]]
            back = sum(int(u[1:]) % 5 in (1, 2) for u in users)
            metric = arm["metrics"][0]
            self.assertAlmostEqual(metric.get("mean", metric.get("treatment")), back / len(users), places=12)


class Changes(unittest.TestCase):
    """What a restart with another configuration does."""

    def start(self, config, data):
        return Server("experiments: {x: %s}" % config, data=data)

    def test_changes(self):
        folder = tempfile.mkdtemp(prefix="winnow-test-")
        data = os.path.join(folder, "data")
        arms = "arms: {a: {}, b: {surfaces: {home: {n: 5}}}}"
        try:
            with self.start("{traffic: 0.5, %s}" % arms, data):
                pass
            ledger = json.load(open(os.path.join(data, "experiments.json")))
            for config, why in (("{arms: {a: {}, b: {surfaces: {home: {n: 6}}}}}", "changed while it runs"),
                                ("{traffic: 0.4, %s}" % arms, "would leave it")):
                with self.assertRaises(RuntimeError) as refused:
                    self.start(config, data).start()
                self.assertIn(why, str(refused.exception))
                self.assertEqual(json.load(open(os.path.join(data, "experiments.json"))), ledger)
            with self.start("{traffic: 0.8, %s}" % arms, data) as server:
                names = [e["started_ms"] for e in server.get("/v1/experiments").json["experiments"]]
                self.assertEqual(names, [ledger["x"]["started_ms"]])
            with self.start("{state: stopped, %s}" % arms, data) as server:
                self.assertNotIn("arms", server.get("/v1/surfaces/home/slate?user=a").json)
            with self.start("{arms: {a: {}, b: {surfaces: {home: {n: 6}}}}}", data):
                again = json.load(open(os.path.join(data, "experiments.json")))
            self.assertGreater(again["x"]["started_ms"], ledger["x"]["started_ms"])
            with self.start("{arms: {a: {}, b: {surfaces: {home: {n: 6}}}}}", data) as server:
                self.assertEqual(server.get("/v1/experiments/x").status, 200)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def test_pinned_snapshot(self):
        """One arm stays on the first snapshot, and still learns from events."""
        folder = tempfile.mkdtemp(prefix="winnow-test-")
        data = os.path.join(folder, "data")
        config = ("{surfaces: [home], arms: {new: {}, old: {snapshot: 1}},"
                  " overrides: {ann: new, bob: old}}")
        try:
            with Server(data=data) as server:
                fill(server)
            for _ in range(2):
                done = server.run("train", "--data", data)
                self.assertEqual(done.returncode, 0, done.stderr)
            with self.start(config, data) as server:
                get = lambda user: server.get("/v1/surfaces/home/slate?user=" + user).json
                self.assertEqual((get("ann")["model"], get("bob")["model"]), (2, 1))
                for user in ("ann", "bob"):
                    before = get(user)
                    self.assertFalse(before["personal"])
                    event = {"user": user, "item": ids(before)[0], "type": "buy"}
                    self.assertEqual(server.post("/v1/events", event).status, 200)
                    after = get(user)
                    self.assertTrue(after["personal"])
                    self.assertNotIn(ids(before)[0], ids(after))
                self.assertEqual(server.request("DELETE", "/v1/users/bob").status, 204)
                self.assertFalse(get("bob")["personal"])
            with self.assertRaises(RuntimeError) as refused:
                Server("experiments: {z: {surfaces: [home], arms: {a: {}, b: {snapshot: 9}}}}",
                       data=data).start()
            self.assertIn("snapshot 9 cannot be pinned", str(refused.exception))
            with Server("experiments: {z: {surfaces: [home], arms: {a: {}, b: {snapshot: 2}}}}", data=data):
                pass  # what was refused did not begin: the name is free for another declaration
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def test_crash_loses_no_outcome(self):
        """Killed right after the last event was acknowledged: each counts for its slate and its arm."""
        folder = tempfile.mkdtemp(prefix="winnow-test-")
        data = os.path.join(folder, "data")
        config = ("{surfaces: [home], arms: {a: {}, b: {}}, metrics: [{kind: conversion, type: buy},"
                  " {kind: count, type: buy}]}")
        units, buyers, buys = {}, {}, {}
        try:
            server = self.start(config, data).start()
            fill(server)
            for n in range(60):
                slate = server.get("/v1/surfaces/home/slate?user=crash%d" % n).json
                arm = slate["arms"]["x"]
                units[arm] = units.get(arm, 0) + 1
                buyers[arm] = buyers.get(arm, 0) + (n % 3 > 0)
                for item in ids(slate)[:n % 3]:
                    event = {"user": slate["user"], "item": item, "type": "buy"}
                    if n % 2:
                        event["slate"] = slate["slate"]
                    self.assertEqual(server.post("/v1/events", event).status, 200)
                    buys[arm] = buys.get(arm, 0) + 1
                if n in (20, 59):  # the last thing was an event
                    server.kill()
                    server = self.start(config, data).start()
            found = server.get("/v1/experiments/x").json
            server.kill()
            self.assertEqual({a["name"]: a["units"] for a in found["arms"]}, units)
            for arm in found["arms"]:
                means = [m.get("mean", m.get("treatment")) for m in arm["metrics"]]
                self.assertAlmostEqual(means[0], buyers[arm["name"]] / units[arm["name"]], places=12)
                self.assertAlmostEqual(means[1], buys[arm["name"]] / units[arm["name"]], places=12)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def test_arms_outlive_kill9(self):
        folder = tempfile.mkdtemp(prefix="winnow-test-")
        data = os.path.join(folder, "data")
        config = "{arms: {a: {}, b: {surfaces: {home: {n: 5}}}}}"
        try:
            server = self.start(config, data).start()
            users = ["u%d" % n for n in range(40)]
            before = [server.get("/v1/surfaces/home/slate?user=" + u).json["arms"] for u in users]
            server.kill()
            with self.start(config, data) as again:
                after = [again.get("/v1/surfaces/home/slate?user=" + u).json["arms"] for u in users]
            self.assertEqual(before, after)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
