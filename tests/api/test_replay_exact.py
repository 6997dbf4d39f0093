"""A log replayed under what made it: every weight is 1, with draws, exploring slots, filters and exclusions of requests."""

import json
import sqlite3
import unittest

from harness import SECTIONS, ApiTest, ids, main, train

CONFIG = """
surfaces:
  home:
    n: 6
    retrieve:
      - {model: covisit, quota: 40, weight: 1}
    fallback:
      - {model: popular, quota: 60}
    filter: {seen: all}
    order:
      temperature: 0.2
      slots: [{position: 3, explore: true}]
      pins: [{item: item-100, position: 2}]
      diversity: {lambda: 0.7}
"""


class Replay(ApiTest):
    config = CONFIG

    def test_exact(self):
        train(self.server)
        self.assertEqual(self.server.request("POST", "/v1/admin/refresh").status, 200)
        slates = 0
        for n in range(40):
            for extra in ({}, {"filter": 'section == "%s"' % SECTIONS[n % 3]},
                          {"exclude": ["item-%d" % (7 * k % 200) for k in range(n, n + 30)]}):
                slate = self.ok(self.server.post("/v1/surfaces/home/slate", {"user": "user-%d" % (n % 25), **extra}))
                slates += len(ids(slate)) > 0
            if n % 3 == 0:  # state moves on between slates
                event = {"user": "user-%d" % (n % 25), "item": ids(slate)[0], "type": "click"}
                self.ok(self.server.post("/v1/events", {"events": [event]}))
        self.server.stop()
        with sqlite3.connect(self.server.data + "/winnow.db") as db:
            filters, excluded = db.execute("SELECT count(filter), count(excluded) FROM slates").fetchone()
        self.assertEqual((filters, excluded), (40, 40))
        same, another = self.server.data + "/same.yaml", self.server.data + "/warmer.yaml"
        with open(same, "w") as file:
            file.write(CONFIG)
        with open(another, "w") as file:
            file.write(CONFIG.replace("temperature: 0.2", "temperature: 0.3"))
        done = self.server.run("replay", "--data", self.server.data, "--config", same, "--bootstrap", "50", "--json")
        got = json.loads(done.stdout)
        self.assertEqual(got["replay"]["slates"], slates)
        self.assertEqual(got["replay"]["draws"], 1)
        for guard in ("guard", "slate_guard"):
            guard = got["ope"][guard]
            self.assertAlmostEqual(guard["mean_weight"], 1, places=5, msg=done.stdout)
            self.assertAlmostEqual(guard["max_weight"], 1, places=4)
        got = json.loads(self.server.run("replay", "--data", self.server.data, "--config", another, "--bootstrap", "50", "--json").stdout)
        self.assertLess(abs(got["ope"]["guard"]["mean_weight"] - 1), 0.2)
        self.assertGreater(got["ope"]["guard"]["max_weight"], 1.01)
        self.planted(same)
        self.server.start()

    def planted(self, config):
        """Behaviour test and audit find propensities that are too great, and too small."""
        name = "logged propensities are the policy's own"

        def state():
            done = self.server.run("check", "model", "--data", self.server.data, "--config", config, "--users", "5", "--json")
            return next(c for c in json.loads(done.stdout)["checks"] if c["name"] == name)

        def audited():
            done = self.server.run("dataset", "audit", "--data", self.server.data, "--json")
            return [c for c in json.loads(done.stdout)["audit"] if c["check"] == "propensities"]
        self.assertEqual(state()["state"], "pass", state())
        self.assertEqual({c["state"] for c in audited()} - {"pass", "warn"}, set(), audited())
        with sqlite3.connect(self.server.data + "/winnow.db") as db:  # known to the replay before the log knew them
            db.execute("UPDATE events SET time_ms = time_ms - 3600000 WHERE type = (SELECT type FROM event_types WHERE name = 'click') AND seq % 4 = 0")
        late = state()
        self.assertIn(late["state"], ("pass", "inconclusive"), late)
        self.assertIn("have another propensity", late["reason"])
        self.assertTrue(0.9 < late["value"] < 1.1 and late["low"] < 1.05 and late["high"] > 0.95, late)
        with sqlite3.connect(self.server.data + "/winnow.db") as db:
            rows = db.execute("SELECT seq, items FROM slates").fetchall()
        for factor in (2, 0.2):
            with sqlite3.connect(self.server.data + "/winnow.db") as db:
                for seq, items in rows:
                    made = [[ix, p if p == 1 else min(1, p * factor)] for ix, p in json.loads(items)]
                    db.execute("UPDATE slates SET items = ? WHERE seq = ?", (json.dumps(made, separators=(",", ":")), seq))
            check = state()
            self.assertEqual(check["state"], "fail")
            self.assertIn("logged", check["worst"][0])


if __name__ == "__main__":
    main()
