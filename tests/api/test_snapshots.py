"""Which snapshots there are, which is served, and going back, over HTTP."""

import os
import shutil
import unittest

from harness import ApiTest, Server, fill, main, train


class Snapshots(ApiTest):
    def listed(self, query=""):
        return self.ok(self.server.get("/v1/snapshots" + query))["snapshots"]

    def test_list_verify_and_go_back(self):
        self.assertEqual(self.listed(), [])
        self.problem(self.server.request("POST", "/v1/snapshots/1/serve"), 404)
        train(self.server)
        self.server.run("train", "--data", self.server.data, "--cold")
        self.ok(self.server.request("POST", "/v1/admin/refresh"))
        both = self.listed()
        self.assertEqual([s["number"] for s in both], [2, 1])
        self.assertEqual([s["good"] for s in both], [True, True])
        self.assertEqual(sum(s["current"] for s in both), 1)
        self.assertEqual(both[0]["items"], self.items)
        self.assertIn("als", both[0]["models"].split(","))
        for number in 1, 2:
            answer = self.ok(self.server.request("POST", "/v1/snapshots/%d/serve" % number))
            self.assertEqual(answer["model"], number)
            self.assertEqual([s["number"] for s in self.listed() if s["current"]], [number])
            slate = self.ok(self.server.get("/v1/surfaces/home/slate?user=user-1"))
            self.assertEqual(slate["model"], number)
        with open(os.path.join(self.server.data, "snapshots", "000001.wns"), "r+b") as f:
            f.seek(-2000, os.SEEK_END)
            f.write(b"damaged")
        checked = {s["number"]: s for s in self.listed("?verify=true")}
        self.assertEqual((checked[1]["good"], checked[2]["good"]), (False, True))
        self.assertTrue(checked[1]["reason"])
        answer = self.server.request("POST", "/v1/snapshots/1/serve")
        self.assertGreaterEqual(answer.status, 400, answer)
        self.assertEqual([s["number"] for s in self.listed() if s["current"]], [2])

    def test_the_configuration_comes_back_with_the_snapshot(self):
        one, two = "surfaces: {home: {n: 4}}\n", "surfaces: {home: {n: 7}}\n"
        with Server() as server:
            fill(server)
            put = lambda text, v: self.ok(server.request("PUT", "/v1/config", {"text": text, "based_on": v}))
            put(one, 1)
            train(server)
            put(two, 2)
            self.assertEqual(server.run("train", "--data", server.data, "--force").returncode, 0)
            self.ok(server.request("POST", "/v1/admin/refresh"))
            listed = self.ok(server.get("/v1/snapshots"))["snapshots"]
            self.assertEqual([(s["number"], s["config"]) for s in listed], [(2, 3), (1, 2)])
            slate = lambda: self.ok(server.get("/v1/surfaces/home/slate?user=user-1"))
            self.ok(server.request("POST", "/v1/snapshots/1/serve"))
            self.assertEqual((slate()["model"], len(slate()["items"])), (1, 7), "only when asked")
            self.ok(server.request("POST", "/v1/snapshots/1/serve?config=true"))
            self.assertEqual((slate()["model"], len(slate()["items"])), (1, 4))
            now = self.ok(server.get("/v1/config"))
            self.assertEqual((now["kind"], now["of"], now["comment"]), ("revert", 2, "with snapshot 1"))
            self.problem(server.request("POST", "/v1/snapshots/1/serve?config=perhaps"), 400, "config")
            shutil.rmtree(os.path.join(server.data, "config"))
            self.problem(server.request("POST", "/v1/snapshots/2/serve?config=true"), 404, "config")
            self.assertEqual(slate()["model"], 1)

    def test_refused(self):
        self.problem(self.server.request("POST", "/v1/snapshots/last/serve"), 400, "number")
        self.problem(self.server.get("/v1/snapshots?verify=perhaps"), 400, "verify")


if __name__ == "__main__":
    main()
