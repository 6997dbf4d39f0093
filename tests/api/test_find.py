"""Looking for items and users, and what users have met."""

import unittest

from harness import ApiTest, main


class Find(ApiTest):
    def found(self, **query):
        return self.ok(self.server.get("/v1/items?" + "&".join("%s=%s" % q for q in query.items())))

    def ids(self, **query):
        return [i["id"] for i in self.found(**query)["items"]]

    def test_best_fit_first(self):
        self.assertEqual(self.ids(q="ITEM-1", n=3), ["item-1", "item-10", "item-11"])
        self.assertEqual(self.ids(q="item%20199"), ["item-199"])  # words: each in the id or the title
        self.assertEqual(self.ids(q="nothing-like-it"), [])
        for put, title in (("zz-part", "Cargoats"), ("zz-word", "The goat"), ("goat", None), ("goatherd", None)):
            self.server.request("PUT", "/v1/items/" + put, {"title": title})
        try:
            self.assertEqual(self.ids(q="goat"), ["goat", "goatherd", "zz-word", "zz-part"])
            self.server.request("PATCH", "/v1/items/goat", {"status": "hidden"})
            self.assertEqual(self.ids(q="goat"), ["goatherd", "zz-word", "zz-part"])
            self.assertEqual(self.ids(q="goat", status="any")[0], "goat")
            self.server.request("DELETE", "/v1/items/goat")
            self.assertNotIn("goat", self.ids(q="goat", status="any"))
        finally:
            for put in ("zz-part", "zz-word", "goat", "goatherd"):
                self.server.request("DELETE", "/v1/items/" + put)

    def test_pages_hold_everything_once(self):
        seen, cursor = [], 0
        while cursor is not None:
            page = self.found(q="item", n=17, cursor=cursor)
            seen += [i["id"] for i in page["items"]]
            cursor = page["next"]
        self.assertEqual(sorted(seen), sorted("item-%d" % i for i in range(self.items)))

    def test_filter(self):
        found = self.found(filter='section%20==%20%22net%22', n=100)["items"]
        self.assertEqual(len(found), 40)
        self.assertEqual({i["attributes"]["section"] for i in found}, {"net"})
        self.problem(self.server.get("/v1/items?filter=section%20==="), 400, "filter")

    def test_by_ids(self):
        found = self.found(id="item-7&id=no-such&id=item-3")
        self.assertEqual([i["id"] for i in found["items"]], ["item-7", "item-3"])
        self.assertNotIn("text", found["items"][0])
        self.assertIsNone(found["next"])
        many = "&".join("id=item-%d" % i for i in range(101))
        self.problem(self.server.get("/v1/items?" + many), 400, "id")

    def test_refused(self):
        for query, field in (("n=0", "n"), ("n=101", "n"), ("cursor=-1", "cursor"), ("status=gone", "status"),
                             ("q=a&q=b", "q")):
            self.problem(self.server.get("/v1/items?" + query), 400, field)
        self.problem(self.server.get("/v1/users?random=perhaps"), 400, "random")
        self.problem(self.server.get("/v1/users/nobody/history"), 404, "id")

    def test_users(self):
        page = self.ok(self.server.get("/v1/users?q=user-1&n=3"))
        self.assertEqual([u["id"] for u in page["users"]], ["user-1", "user-10", "user-11"])
        met = {e["item"] for e in self.events if e["user"] == "user-1"}
        self.assertEqual(page["users"][0]["items"], len(met))
        known = {u["id"] for u in self.ok(self.server.get("/v1/users?n=100"))["users"]}
        for _ in range(20):
            one = self.ok(self.server.get("/v1/users?random=true"))["users"]
            self.assertEqual(len(one), 1)
            self.assertIn(one[0]["id"], known)

    def test_erased_users_are_not_found(self):
        self.ok(self.server.post("/v1/events", {"user": "gone-soon", "item": "item-1", "type": "view"}))
        self.assertEqual(len(self.ok(self.server.get("/v1/users?q=gone-soon"))["users"]), 1)
        self.server.request("DELETE", "/v1/users/gone-soon")
        self.assertEqual(self.ok(self.server.get("/v1/users?q=gone-soon"))["users"], [])
        self.problem(self.server.get("/v1/users/gone-soon/history"), 404, "id")

    def test_history(self):
        for n, (item, type) in enumerate((("item-5", "view"), ("item-6", "like"), ("item-5", "buy"))):
            self.ok(self.server.post("/v1/events", {"user": "reader", "item": item, "type": type,
                                                    "time": 1700000000 + n}))
        answer = self.ok(self.server.get("/v1/users/reader/history"))
        self.assertEqual((answer["total"], answer["next"]), (2, None))
        self.assertEqual([h["item"] for h in answer["history"]], ["item-5", "item-6"])
        self.assertEqual(sorted(answer["history"][0]["types"]), ["buy", "view"])
        self.assertEqual(answer["history"][0]["time_ms"], 1700000002000)
        first = self.ok(self.server.get("/v1/users/reader/history?n=1"))
        self.assertEqual(first["next"], 1)
        second = self.ok(self.server.get("/v1/users/reader/history?n=1&cursor=1"))
        self.assertEqual(second["history"], answer["history"][1:])


if __name__ == "__main__":
    main()
