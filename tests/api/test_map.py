"""The map of items: every trained item once, at one place; categories; what has no map says so."""

import unittest

from harness import ApiTest, SECTIONS, main, train


class Map(ApiTest):
    def test_map(self):
        self.problem(self.server.get("/v1/map"), 503)
        train(self.server)
        self.ok(self.server.request("POST", "/v1/admin/refresh"))
        points = self.ok(self.server.get("/v1/map?category=section"))
        n = len(points["id"])
        self.assertEqual(len(set(points["id"])), n)
        self.assertGreater(n, 0.9 * self.items)
        for column in "x", "y", "popularity", "category":
            self.assertEqual(len(points[column]), n, column)
        self.assertTrue(all(-1 <= v <= 1 for v in points["x"] + points["y"]))
        self.assertEqual(sorted(points["categories"]), sorted(SECTIONS))
        of = {i: points["categories"][c] for i, c in zip(points["id"], points["category"])}
        self.assertEqual(of["item-7"], SECTIONS[7 % 5])
        # Users keep to sections, so the nearest item is mostly of the same one.
        same = 0
        for i in range(n):
            near = min((j for j in range(n) if j != i), key=lambda j: (points["x"][i] - points["x"][j]) ** 2 +
                       (points["y"][i] - points["y"][j]) ** 2)
            same += points["category"][i] == points["category"][near]
        self.assertGreater(same, 0.5 * n)
        self.assertGreater(max(points["popularity"]), 0)
        plain = self.ok(self.server.get("/v1/map"))
        self.assertEqual((plain["categories"], set(plain["category"])), ([], {None}))
        self.assertEqual(plain["x"], points["x"])
        lists = self.ok(self.server.get("/v1/map?category=tags"))
        self.assertIn("t0", lists["categories"])
        self.server.request("DELETE", "/v1/items/item-7")
        self.assertNotIn("item-7", self.ok(self.server.get("/v1/map"))["id"])
        again = self.server.run("train", "--data", self.server.data, "--cold")
        self.assertEqual(again.returncode, 0, again.stderr)
        self.problem(self.server.get("/v1/map?colour=section"), 400, "colour")


if __name__ == "__main__":
    main()
