"""Which snapshots there are, which is served, and going back, over HTTP."""

import json
import os
import shutil
import unittest

from harness import ApiTest, Server, fill, main, train, within


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
            def slate():
                answer = self.ok(server.get("/v1/surfaces/home/slate?user=user-1"))
                return answer["model"], len(answer["items"])

            self.assertEqual(slate(), (2, 7))
            self.ok(server.request("POST", "/v1/snapshots/1/serve?config=false"))
            self.assertEqual(slate(), (1, 7), "the snapshot alone, when asked")
            self.ok(server.request("POST", "/v1/snapshots/1/serve"))
            self.assertEqual(slate(), (1, 4))
            now = self.ok(server.get("/v1/config"))
            self.assertEqual((now["version"], now["kind"], now["of"], now["comment"]), (4, "revert", 2, "with snapshot 1"))
            self.problem(server.request("POST", "/v1/snapshots/1/serve?config=perhaps"), 400, "config")
            # The command, beside the server: forth, back without a number, and the snapshot alone.
            back = lambda *args: server.run("snapshots", "rollback", "--data", server.data, *args)
            self.assertIn("with version 3 of the configuration", back("2").stdout)
            within(lambda: slate() == (2, 7))
            self.assertEqual(json.loads(back("--json").stdout), {"current": 1, "config_restored": True, "config": 4})
            within(lambda: slate() == (1, 4))
            self.assertEqual(self.ok(server.get("/v1/config"))["author"], "command")
            self.assertEqual(back("2", "--keep-config").returncode, 0)
            within(lambda: slate() == (2, 4))
            self.assertIn("with version 5 of the configuration", back("2").stdout)
            within(lambda: slate() == (2, 7))
            # What nobody has served yet would be lost: nothing changes.
            with open(os.path.join(server.data, "winnow.yaml"), "a") as f:
                f.write("# by hand\n")
            refused = back("1")
            self.assertNotEqual(refused.returncode, 0)
            self.assertIn("--keep-config", refused.stderr)
            self.problem(server.request("POST", "/v1/snapshots/1/serve"), 409)
            self.assertEqual(slate(), (2, 7))
            with open(os.path.join(server.data, "winnow.yaml"), "w") as f:
                f.write(two)
            shutil.rmtree(os.path.join(server.data, "config"))
            self.problem(server.request("POST", "/v1/snapshots/1/serve?config=true"), 404, "config")
            self.assertEqual(slate(), (2, 7))
            self.ok(server.request("POST", "/v1/snapshots/1/serve"))
            self.assertEqual(slate(), (1, 7))

    def test_going_back_beside_an_experiment(self):
        """An arm's snapshot stays where it is while the others go back; what would change an experiment under way does not come back."""
        ten = "surfaces: {home: {n: %d}}\nmodels: {als: {factors: 8, epochs: 3}, blend: {users: 10}}\n"
        with Server(ten % 4) as server:
            fill(server)
            put = lambda text, v: server.request("PUT", "/v1/config", {"text": text, "based_on": v})
            def learn():
                done = server.run("train", "--data", server.data, *server.args, "--force")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.ok(server.request("POST", "/v1/admin/refresh"))

            def slates():
                """{(snapshot, items)} over users"""
                answers = [self.ok(server.get("/v1/surfaces/home/slate?user=user-%d" % u)) for u in range(40)]
                return {(a["model"], len(a["items"])) for a in answers}

            learn()  # 1, by version 1: n is 4
            self.ok(put(ten % 7, 1))
            learn()  # 2, by version 2: n is 7
            learn()
            pinned = {"name": "x", "surfaces": ["home"], "arms": {"a": {}, "b": {"snapshot": 2}}}
            self.ok(server.post("/v1/experiments", pinned), 201)
            self.assertEqual(slates(), {(3, 7), (2, 7)})
            refused = self.problem(server.request("POST", "/v1/snapshots/1/serve"), 409, "surfaces.home")
            self.assertIn("experiment x", refused["detail"])
            done = server.run("snapshots", "rollback", "--data", server.data, *server.args, "1")
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("experiment x", done.stderr)
            self.assertEqual(slates(), {(3, 7), (2, 7)})
            self.assertEqual(self.ok(server.get("/v1/config"))["version"], 2)
            self.ok(server.request("POST", "/v1/snapshots/1/serve?config=false"))
            self.assertEqual(slates(), {(1, 7), (2, 7)})
            self.ok(server.request("POST", "/v1/snapshots/2/serve?config=false"))  # the arm's own
            self.assertEqual(slates(), {(2, 7)})
            server.kill()
            server.start()
            self.assertEqual(slates(), {(2, 7)})
            self.ok(server.request("POST", "/v1/experiments/x/stop"))
            self.ok(server.request("POST", "/v1/snapshots/1/serve"))
            self.assertEqual(slates(), {(1, 4)})
            # One of the file's text ends with that text.
            self.ok(put(ten % 7 + "experiments: {y: {surfaces: [home], arms: {a: {}, b: {snapshot: 2}}}}\n", 3))
            self.assertEqual(slates(), {(1, 7), (2, 7)})
            self.ok(server.request("POST", "/v1/snapshots/3/serve"))
            self.assertEqual(slates(), {(3, 7)})

    def test_the_command_without_a_server(self):
        with Server() as server:
            fill(server)
            put = lambda text, v: self.ok(server.request("PUT", "/v1/config", {"text": text, "based_on": v}))
            put("surfaces: {home: {n: 4}}\n", 1)
            train(server)
            put("surfaces: {home: {n: 7}}\n", 2)
            self.assertEqual(server.run("train", "--data", server.data, "--force").returncode, 0)
            server.stop()
            self.assertEqual(server.run("snapshots", "rollback", "--data", server.data).returncode, 0)
            status = server.run("status", "--data", server.data).stdout
            for line in r"snapshot  1, .* old", r"kept      2 snapshots, .*; the newest is 2: ", r"config    version 4, .* by command: with snapshot 1":
                self.assertRegex(status, line)
            told = json.loads(server.run("status", "--data", server.data, "--json").stdout)
            self.assertEqual((told["snapshots"], told["snapshot_newest"], told["config_version"]), (2, 2, 4))
            server.start()
            slate = self.ok(server.get("/v1/surfaces/home/slate?user=user-1"))
            self.assertEqual((slate["model"], len(slate["items"])), (1, 4))
            self.assertEqual(self.ok(server.get("/v1/config"))["kind"], "revert")

    def test_refused(self):
        self.problem(self.server.request("POST", "/v1/snapshots/last/serve"), 400, "number")
        self.problem(self.server.get("/v1/snapshots?verify=perhaps"), 400, "verify")


if __name__ == "__main__":
    main()
