"""What was shown and what came of it, counted by hand here."""

import unittest

from harness import ApiTest, ids, main


class Stats(ApiTest):
    def send(self, user, item, type, slate=None):
        event = {"user": user, "item": item, "type": type}
        self.ok(self.server.post("/v1/events", {**event, "slate": slate} if slate else event))

    def test_overview(self):
        empty = self.ok(self.server.get("/v1/stats?hours=1"))
        self.assertEqual((empty["slates"], empty["click_through"], empty["surfaces"]), (0, None, []))
        shown = []
        for user in ("user-1", "user-2", "user-3"):
            slate = self.ok(self.server.get("/v1/surfaces/home/slate?n=10&user=" + user))
            shown.append(slate)
        flat = self.ok(self.server.get("/v1/surfaces/popular/slate?n=5"))
        first = shown[0]
        self.send("user-1", ids(first)[0], "click", first["slate"])
        self.send("user-1", ids(first)[0], "buy", first["slate"])  # the same impression again
        self.send("user-1", ids(first)[1], "dislike", first["slate"])
        self.send("user-2", ids(shown[1])[2], "like")  # names no slate
        self.send("user-3", "never-shown", "view")
        while self.ok(self.server.get("/v1/stats?hours=1"))["slates"] < 4:
            pass  # impressions are written behind the answer
        stats = self.ok(self.server.get("/v1/stats?hours=1"))
        self.assertEqual((stats["slates"], stats["impressions"]), (4, 35))
        self.assertEqual((stats["answered"], stats["disliked"], stats["responded"]), (2, 1, 2))
        by = {s["name"]: s for s in stats["surfaces"]}
        self.assertEqual((by["home"]["slates"], by["home"]["answered"]), (3, 2))
        self.assertEqual((by["popular"]["impressions"], by["popular"]["answered"]), (5, 0))
        rate = by["home"]["click_through"]
        self.assertAlmostEqual(rate["value"], 2 / 30)
        self.assertLess(rate["low"], 2 / 30)
        self.assertGreater(rate["high"], 2 / 30)
        every = [i for s in shown for i in ids(s)] + ids(flat)
        self.assertEqual(stats["items_shown"], len(set(every)))
        counts = sorted((every.count(i) for i in set(every)), reverse=True)
        half = next(k for k in range(1, len(counts) + 1) if 2 * sum(counts[:k]) >= len(every))
        self.assertEqual(stats["items_for_half"], half)
        self.assertEqual(len(stats["buckets"]), 48)
        self.assertEqual(sum(b["slates"] for b in stats["buckets"]), 4)
        item = ids(first)[0]
        record = self.ok(self.server.get("/v1/items/%s/stats" % item))
        self.assertEqual(record["shown"]["impressions"], every.count(item))
        self.assertGreaterEqual(record["shown"]["answered"], 1)

    def test_item(self):
        for n, type in enumerate(["view", "view", "buy"]):
            self.send("fan-%d" % (n % 2), "rare", type)
        record = self.ok(self.server.get("/v1/items/rare/stats"))
        self.assertEqual((record["events"], record["users"]), (3, 2))
        self.assertEqual(record["types"], {"view": 2, "buy": 1})
        self.assertEqual((len(record["days"]), record["days"][-1]), (30, 3))
        self.assertEqual(sorted(e["user"] for e in record["newest"]), ["fan-0", "fan-0", "fan-1"])
        times = [e["time_ms"] for e in record["newest"]]
        self.assertEqual(times, sorted(times, reverse=True))
        busy = self.ok(self.server.get("/v1/items/item-0/stats"))
        mine = [e for e in self.events if e["item"] == "item-0"]
        self.assertEqual((busy["events"], busy["users"]), (len(mine), len({e["user"] for e in mine})))

    def test_refused(self):
        self.problem(self.server.get("/v1/items/no-such/stats"), 404, "id")
        self.problem(self.server.get("/v1/stats?hours=0"), 400, "hours")


if __name__ == "__main__":
    main()
