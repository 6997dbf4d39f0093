"""Exploration that goes by what was shown: budgets of cold items, live, capped, and over a restart."""

import json
import sqlite3
import threading
import time
import unittest

from harness import ApiTest, Server, fill, ids, main, metric, train

COLD = """
surfaces:
  home:
    n: 4
    retrieve: [{model: popular, quota: 30}]
    filter: {seen: none}
    order: {slots: [{position: 2, explore: cold, impressions: 3}]}
"""


def slate(server, user, surface="home", **more):
    answer = server.post("/v1/surfaces/%s/slate" % surface, {"user": user, **more})
    assert answer.status == 200, answer
    return answer.json


def moment(seconds):
    return {"Winnow-Now": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))}


class Cold(unittest.TestCase):
    def impressions(self, server):
        with sqlite3.connect(server.data + "/winnow.db") as db:
            return dict(db.execute("SELECT item, count(*) FROM impressions WHERE surface = 'home' GROUP BY item"))

    def settle(self, server):
        """What an acknowledged event was queued behind is stored."""
        event = {"user": "u", "item": "item-1", "type": "view"}
        self.assertEqual(server.post("/v1/events", {"events": [event]}).status, 200)

    def test_budget(self):
        """Each item three times, no more for want of it, with eight clients at once and a crash between."""
        with Server(COLD) as server:
            fill(server, items=60)
            train(server)
            self.assertEqual(server.request("POST", "/v1/admin/refresh").status, 200)
            self.assertEqual(server.request("PATCH", "/v1/items/item-59", {"status": "hidden"}).status, 200)
            put, wrong = {}, []
            lock = threading.Lock()

            def visit(client, slates):
                for n in range(slates):
                    for item in slate(server, "user-%d" % (n % 30))["items"]:
                        if item.get("explored") != "cold":
                            continue
                        with lock:
                            put[item["id"]] = put.get(item["id"], 0) + 1
                        if not 0 < item["propensity"] <= 1:
                            wrong.append(item)

            def visits(slates):
                threads = [threading.Thread(target=visit, args=(c, slates)) for c in range(8)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()

            visits(10)
            slate(server, "user-1")
            self.settle(server)
            before = sum(put.values())
            self.assertEqual(metric(server, 'winnow_explored_total{surface="home",arms="",policy="cold"}'), before + 1)
            server.kill()
            server.start()
            visits(20)
            self.assertEqual(wrong, [])
            self.settle(server)
            shown = self.impressions(server)
            self.assertGreater(sum(put.values()), before)
            self.assertNotIn("item-59", put)
            self.assertEqual({n for n in put.values() if n > 3}, set())
            for n in range(59):
                self.assertGreaterEqual(shown.get("item-%d" % n, 0), 3, n)  # guaranteed
            last = slate(server, "user-2", explain=True)
            self.assertTrue(all("explored" not in item for item in last["items"]))
            self.assertIn("cold slot at 2: 0 items were shown fewer than 3 times", json.dumps(last["explain"]))

    def test_replay(self):
        """What was logged is what the replay says: every weight is 1."""
        config = COLD.replace("impressions: 3", "impressions: 40, share: 0.5").replace("{slots", "{temperature: 0.5, slots")
        with Server(config) as server:
            fill(server)
            for n in range(20):
                slate(server, "user-%d" % n)  # before the snapshot
            event = {"user": "user-1", "item": "item-1", "type": "view"}
            self.assertEqual(server.post("/v1/events", {"events": [event]}).status, 200)
            train(server)
            self.assertEqual(server.request("POST", "/v1/admin/refresh").status, 200)
            for n in range(60):
                shown = slate(server, "user-%d" % (n % 25))
                if n % 3 == 0:
                    event = {"user": "user-%d" % (n % 25), "item": ids(shown)[0], "type": "view", "slate": shown["slate"]}
                    self.assertEqual(server.post("/v1/events", {"events": [event]}).status, 200)
            server.stop()
            file = server.folder + "/same.yaml"
            with open(file, "w") as out:
                out.write(config)
            done = server.run("replay", "--data", server.data, "--config", file, "--bootstrap", "50", "--json")
            guard = json.loads(done.stdout)["ope"]["guard"]
            # What a slate showed counts once it is committed, which may be after the next slate was made: one cold item
            # more or less among hundreds.
            self.assertAlmostEqual(guard["mean_weight"], 1, delta=0.01, msg=done.stdout)
            self.assertAlmostEqual(guard["max_weight"], 1, delta=0.05)


class Linear(unittest.TestCase):
    def test_restart(self):
        """What a linear bandit has learnt is there again, bit for bit, and a replay finds what was logged."""
        config = COLD.replace("{position: 2, explore: cold, impressions: 3}",
                              "{position: 1, explore: linear}, {position: 3, explore: linucb, share: 0.5, width: 2}")
        with Server(config) as server:
            fill(server)
            event = {"user": "user-1", "item": "item-1", "type": "view"}
            self.assertEqual(server.post("/v1/events", {"events": [event]}).status, 200)
            train(server)
            self.assertEqual(server.request("POST", "/v1/admin/refresh").status, 200)
            for n in range(60):
                shown = slate(server, "user-%d" % (n % 25))
                self.assertEqual(shown["items"][0]["explored"], "linear")
                for item in ids(shown)[:n % 3]:
                    event = {"user": "user-%d" % (n % 25), "item": item, "type": "view", "slate": shown["slate"]}
                    self.assertEqual(server.post("/v1/events", {"events": [event]}).status, 200)
            notes = json.dumps(slate(server, "user-1", explain=True)["explain"])
            self.assertIn("linear: learnt of 240 impressions", notes)
            before = server.get("/v1/digest").json
            server.stop()
            server.start()
            self.assertEqual(server.get("/v1/digest").json, before)
            server.stop()
            file = server.folder + "/same.yaml"
            with open(file, "w") as out:
                out.write(config)
            done = server.run("replay", "--data", server.data, "--config", file, "--bootstrap", "50", "--json")
            guard = json.loads(done.stdout)["ope"]["guard"]
            self.assertAlmostEqual(guard["mean_weight"], 1, delta=0.06, msg=done.stdout)  # as above


class Fatigue(unittest.TestCase):
    config = """
surfaces:
  home:
    n: 3
    retrieve: [{model: popular, quota: 30}]
    filter: {seen: none}
    score: {fatigue: {rate: 0.3, half_life_hours: 1}}
"""

    def slate(self, server, user, now_s, **more):
        answer = server.post("/v1/surfaces/home/slate", {"user": user, **more}, headers=moment(now_s))
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    def test_fatigue(self):
        """Shown in vain an item goes down; time brings it back; a click does; so does it with a restart between."""
        start = 1772359200  # 2026-03-01 10:00
        server = Server(self.config, args=["--virtual-clock", "2026-03-01"])
        with server:
            for ix in range(6):  # popular: 0, then 1, …
                events = [{"id": "%d-%d" % (ix, k), "user": "fan-%d" % k, "item": "item-%d" % ix, "type": "view", "time": start - 100}
                          for k in range(40 - 5 * ix)]
                self.assertEqual(server.post("/v1/events", {"events": events}, headers=moment(start)).status, 200)
            done = server.run("train", "--data", server.data)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(server.request("POST", "/v1/admin/refresh").status, 200)
            first = self.slate(server, "new", start)
            self.assertEqual(ids(first)[0], "item-0")
            self.assertNotIn("item-5", ids(first))
            seen = set(ids(first))
            for _ in range(3):
                seen |= set(ids(self.slate(server, "new", start)))
            self.assertGreater(len(seen), 3)  # makes room for the next
            self.assertEqual(ids(self.slate(server, "another", start)), ids(first))
            tired = self.slate(server, "new", start, explain=True)
            factors = {c["item"]: c.get("fatigue", 1) for c in tired["explain"]["score"]["candidates"]}
            self.assertLess(factors["item-0"], 0.71)
            answered = next(i for i in ids(tired))
            self.assertEqual(server.post("/v1/events", {"events": [{"user": "new", "item": answered, "type": "view",
                                                                    "slate": tired["slate"], "time": start}]}).status, 200)
            server.stop()
            server.start()
            after = self.slate(server, "new", start, explain=True)
            again = {c["item"]: c.get("fatigue", 1) for c in after["explain"]["score"]["candidates"]}
            self.assertEqual(again.pop(answered), 1)
            for item, factor in again.items():
                self.assertEqual(factor < 1, factors[item] < 1 or item in ids(tired), item)
            self.assertEqual(ids(self.slate(server, "new", start + 24 * 3600)), ids(first))


class Live(ApiTest):
    """An exploring slot that a new configuration brings counts what was shown before it."""

    config = "surfaces: {home: {n: 4, retrieve: [{model: popular, quota: 200}], filter: {seen: none}}}\n"

    def test_configured_later(self):
        shown = {item for n in range(10) for item in ids(slate(self.server, "user-%d" % n))}
        now = self.server.get("/v1/config").json
        text = "surfaces: {home: {n: 4, retrieve: [{model: popular, quota: 200}], filter: {seen: none}, " \
               "order: {slots: [{position: 4, explore: cold, impressions: 5}]}}}\n"
        answer = self.server.request("PUT", "/v1/config", {"text": text, "based_on": now["version"], "comment": "explore"})
        self.assertEqual(answer.status, 200, answer)
        for n in range(50):
            last = slate(self.server, "user-%d" % n)["items"][3]
            self.assertEqual(last["explored"], "cold")
            self.assertNotIn(last["id"], shown)


if __name__ == "__main__":
    main()
