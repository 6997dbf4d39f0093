"""What would be shown, how it came about, and why an item is not there; nothing is logged."""

import unittest

from harness import ApiTest, ids, main, metric, train

CONFIG = """
surfaces:
  home:
    retrieve:
      - {model: als, quota: 40, weight: 1}
      - {model: covisit, quota: 40, weight: 0.5}
    fallback:
      - {model: popular, quota: 60}
    filter: {seen: all, where: 'not (id == "item-13")'}
    order:
      caps: [{attribute: section, max: 3}]
      pins: [{item: item-100, position: 2}]
"""


class Explain(ApiTest):
    config = CONFIG

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        train(cls.server)
        answer = cls.server.request("POST", "/v1/admin/refresh")
        assert answer.status == 200, answer

    def ask(self, surface="home", **body):
        return self.ok(self.server.post("/v1/surfaces/%s/explain" % surface, body))

    def why(self, item, **body):
        return self.ask(why=[item], **body)["explain"]["why"][0]

    def test_same_items_as_the_slate(self):
        for user in ("user-1", "user-2", "nobody"):
            shown = self.ok(self.server.get("/v1/surfaces/home/slate?n=12&user=" + user))
            asked = self.ask(user=user, n=12)
            self.assertEqual(ids(asked), ids(shown))
            self.assertIsNone(asked["slate"])
            self.assertNotIn("why", asked["explain"])

    def test_nothing_is_logged_and_a_feed_stands_still(self):
        before = metric(self.server, 'winnow_slates_total{surface="feed",personal="false"}')
        first = self.ask("feed", session="s-1", n=10)
        again = self.ask("feed", session="s-1", n=10)
        self.assertEqual(ids(first), ids(again))
        self.assertEqual(metric(self.server, 'winnow_slates_total{surface="feed",personal="false"}'), before)
        shown = self.ok(self.server.get("/v1/surfaces/feed/slate?session=s-1&n=10"))
        self.assertEqual(ids(shown), ids(first))
        self.assertEqual(set(ids(self.ask("feed", session="s-1", n=10))) & set(ids(shown)), set())
        why = self.ask("feed", session="s-1", n=10, why=[ids(shown)[0]])["explain"]["why"][0]
        self.assertEqual((why["stage"], why["reason"]), ("filter", "served"))

    def test_every_item_has_a_way(self):
        """One of each kind, and all of them agree with the slate and the trace."""
        asked = ["item-%d" % i for i in range(self.items)]
        slate = self.ask(user="user-3", n=10)
        trace, shown = slate["explain"], ids(slate)
        candidates = {c["item"]: c for c in trace["score"]["candidates"]}
        met = {e["item"] for e in self.events if e["user"] == "user-3"}
        stages = set()
        for at in range(0, len(asked), 20):
            part = self.ask(user="user-3", n=10, why=asked[at:at + 20])
            self.assertEqual(ids(part), shown)
            self.assertEqual([w["item"] for w in part["explain"]["why"]], asked[at:at + 20])
            for why in part["explain"]["why"]:
                stages.add(why["stage"])
                item = why["item"]
                self.assertEqual(why["stage"] == "shown", item in shown, why)
                self.assertEqual(why["position"], shown.index(item) + 1 if item in shown else None)
                if why["stage"] == "shown" and item in candidates:
                    self.assertEqual(why["rank"], candidates[item]["rank"])
                elif why["stage"] == "order":
                    self.assertEqual(why["score"], candidates[item]["score"])
                    self.assertAlmostEqual(sum(p["points"] for p in why["proposals"]) * why["boost"], why["score"], 4)
                    self.assertRegex(why["reason"], "^(score|diversity|cap:section)$")
                elif why["stage"] == "filter":
                    self.assertTrue(item in met or item == "item-13", why)
                    self.assertNotIn(item, candidates)
                elif why["stage"] == "retrieve":
                    self.assertNotIn(item, candidates)
                    for b in why["beyond"]:
                        self.assertTrue(b["rank"] is None or b["rank"] > b["quota"], why)
        self.assertLessEqual({"shown", "order", "filter", "retrieve"}, stages)

    def test_reasons(self):
        self.assertEqual(self.why("item-13", user="nobody")["reason"], "where")
        self.assertEqual(self.why("item-100", user="nobody")["position"], 2)
        self.assertEqual(self.why("no-such", user="nobody")["stage"], "unknown")
        filtered = self.why("item-2", user="nobody", filter='section == "net"')
        self.assertEqual((filtered["stage"], filtered["reason"]), ("filter", "request filter"))
        self.assertEqual(self.why("item-2", user="nobody", exclude=["item-2"])["reason"], "excluded")
        self.ok(self.server.request("PATCH", "/v1/items/item-3", {"status": "hidden"}))
        self.assertEqual(self.why("item-3", user="nobody")["reason"], "hidden")
        self.server.request("DELETE", "/v1/items/item-3")
        self.assertEqual(self.why("item-3", user="nobody")["reason"], "deleted")
        self.ok(self.server.post("/v1/events", {"user": "one-event", "item": "item-7", "type": "buy"}))
        self.assertEqual(self.why("item-7", user="one-event")["reason"], "seen:buy")
        deep = self.why("item-7", user="one-event")["beyond"]
        self.assertTrue(any(b["rank"] for b in deep), deep)

    def test_refused(self):
        url = "/v1/surfaces/home/explain"
        self.problem(self.server.post(url, {"user": "u", "why": ["x"] * 21}), 400, "why")
        self.problem(self.server.post(url, {"user": "u", "why": "x"}), 400, "why")
        self.problem(self.server.post(url, {"user": "u", "why": [""]}), 400, "why")
        self.problem(self.server.post(url, {"user": "u", "explain": True}), 400, "explain")
        self.problem(self.server.post("/v1/surfaces/home/slate", {"user": "u", "why": ["x"]}), 400, "why")
        self.problem(self.server.post("/v1/surfaces/nowhere/explain", {"user": "u"}), 404)


if __name__ == "__main__":
    main()
