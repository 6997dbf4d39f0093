"""Experiments declared, ramped, stopped and promoted over the API of a running server."""

import json
import os
import shutil
import tempfile
import time
import unittest

from harness import SLOW, ApiTest, Server, fill, ids, main

ARMS = {"control": {}, "short": {"surfaces": {"home": {"n": 4}}}}
FILE = """
holdout: {share: 0.1}
experiments:
  filed: {traffic: 0.3, arms: {a: {}, b: {surfaces: {popular: {n: 3}}}}, surfaces: [home]}
"""


def arms_of(server, users, experiment):
    return [server.get("/v1/surfaces/home/slate?user=" + u).json.get("arms", {}).get(experiment) for u in users]


def declare(server, name, **body):
    return server.post("/v1/experiments", {"name": name, "arms": ARMS, **body})


def read(path):
    with open(path) as f:
        return f.read()


class Declared(ApiTest):
    config = FILE
    users = ["u%d" % n for n in range(60)]

    def change(self, path, body=None, method="POST", status=200):
        answer = self.server.request(method, "/v1/experiments/" + path, body)
        self.assertEqual(answer.status, status, answer)
        return answer.json if answer.body else None

    def await_units(self, name, units):
        """Impressions are logged a moment after the answer."""
        count = lambda: sum(a["units"] for a in self.ok(self.server.get("/v1/experiments/" + name))["arms"])
        until = time.monotonic() + 30 * SLOW
        while count() < units and time.monotonic() < until:
            time.sleep(0.05)

    def test_its_life(self):
        """Declared, ramped, stopped, promoted and forgotten; nobody changes arms on the way."""
        answer = declare(self.server, "life", traffic=0.4, metrics=[{"kind": "count", "type": "click"}])
        self.assertEqual(answer.status, 201, answer)
        self.assertEqual((answer.json["state"], answer.json["source"]), ("running", "api"))
        self.assertEqual(answer.json["arms"][1]["changes"], [{"surface": "home", "keys": "n"}])
        before = arms_of(self.server, self.users, "life")
        self.assertGreater(before.count("control"), 3)
        self.assertGreater(before.count("short"), 3)
        self.assertEqual(self.change("life/ramp", {"traffic": 1})["traffic"], 1)
        after = arms_of(self.server, self.users, "life")
        self.assertGreater(after.count(None), 0)  # the holdout
        self.assertLess(after.count(None), before.count(None))
        for was, now in zip(before, after):
            self.assertIn(was, (None, now))
        self.assertIn("would leave it", self.change("life/ramp", {"traffic": 0.2}, status=409)["detail"])
        why = self.change("life/promote", {"arm": "short"}, status=409)
        self.assertIn("short has no data by click-count", why["detail"])
        self.assertEqual(self.change("life/promote", {"arm": "short", "force": True})["promoted"], "short")
        lengths = {len(self.server.get("/v1/surfaces/home/slate?user=" + u).json["items"]) for u in self.users}
        self.assertEqual(lengths, {4, 20})  # the holdout keeps the old policy
        self.assertEqual(set(arms_of(self.server, self.users, "life")), {None})
        again = declare(self.server, "after-life")
        self.assertEqual(again.status, 400, again)
        self.assertIn("as the promoted arm of life does", again.json["detail"])
        self.assertEqual(self.change("life/stop")["state"], "stopped")
        slate = self.server.get("/v1/surfaces/home/slate?user=" + self.users[0]).json
        self.assertEqual(len(slate["items"]), 20)
        self.change("life", method="DELETE", status=204)
        self.assertEqual(self.server.get("/v1/experiments/life").status, 404)

    def test_who_may_and_who_did(self):
        self.assertEqual(declare(self.server, "watched").status, 201)
        self.change("watched/stop")
        self.change("watched", method="DELETE", status=204)
        log = [json.loads(line) for line in read(os.path.join(self.server.data, "audit.log")).splitlines()]
        acts = [(e["action"], e["status"]) for e in log]
        for act in (("POST /v1/experiments", 201), ("POST /v1/experiments/watched/stop", 200),
                    ("DELETE /v1/experiments/watched", 204)):
            self.assertIn(act, acts)

    def test_what_the_file_declares(self):
        self.assertEqual(self.change("filed/ramp", {"traffic": 0.6})["traffic"], 0.6)
        answer = self.change("filed", {"metrics": []}, method="PATCH", status=400)
        self.assertEqual(answer["field"], "experiments.filed.metrics")
        self.assertIn("unknown key; known here: state, traffic, promoted", answer["detail"])
        self.assertEqual(self.change("filed/stop")["state"], "stopped")
        self.change("holdout/stop", status=409)
        self.assertIn("does not run", self.change("filed/ramp", {"traffic": 0.7}, status=409)["detail"])
        self.change("filed", method="DELETE", status=204)  # as the file has it: it begins anew
        listed = {e["name"]: e for e in self.ok(self.server.get("/v1/experiments"))["experiments"]}
        self.assertEqual((listed["filed"]["state"], listed["filed"]["source"]), ("running", "file"))

    def test_refused_as_the_file_is(self):
        """The same field and the same sentence from both."""
        one = {"surfaces": {"home": {"n": 3}}}
        for body in ({"arms": {"a": {"share": 0.7}, "b": {"share": 0.5, **one}}},
                     {"arms": {"a": {}, "b": {"surfaces": {"hom": {"n": 3}}}}},
                     {"surfaces": ["hom"], "arms": {"a": {}, "b": {}}},
                     {"arms": {"a": {}, "b": {"surfaces": {"home": {"n": 3000}}}}},
                     {"arms": {"a": {}, "b": one}, "traffic": 1.5},
                     {"arms": {"a": {}, "b": one}, "metrics": [{"kind": "rate", "type": "no-such"}]},
                     {"arms": {"a": {}, "b": one}, "metrics": [{"kind": "clicks"}]},
                     {"arms": {"a": {}, "b": one}, "colour": "red"},
                     {"surfaces": ["home"], "arms": {"a": {}, "b": {"snapshot": 99}}},
                     {"arms": {"a": {}}}, {"arms": {}}):
            answer = self.server.post("/v1/experiments", {"name": "bad", **body})
            self.assertEqual(answer.status, 400, (body, answer))
            with self.assertRaises(RuntimeError) as refused:
                Server(json.dumps({"experiments": {"bad": body}})).start()
            self.assertIn("%s: %s" % (answer.json["field"], answer.json["detail"]), str(refused.exception))
        self.assertEqual([e["name"] for e in self.ok(self.server.get("/v1/experiments"))["experiments"]],
                         ["filed", "holdout"])

    def test_bad_requests(self):
        for body, field in (("[]", "body"), ("{", "body"), ('{"arms": {}}', "name"), ('{"name": "a b"}', "experiments.a b"),
                            ('{"name": "holdout"}', "name"), ('{"name": "filed"}', "name")):
            answer = self.server.post("/v1/experiments", body, headers={"Content-Type": "application/json"})
            self.assertIn(answer.status, (400, 409), (body, answer))
            self.assertEqual(answer.json["field"], field, answer)
        self.change("none/ramp", {"traffic": 1}, status=404)
        self.change("filed/ramp", {"traffic": "1"}, status=400)
        self.change("filed/ramp", {"trafic": 1}, status=400)
        self.change("filed/promote", {"arm": "c"}, status=400)

    def test_changed_while_it_runs(self):
        self.assertEqual(declare(self.server, "fixed").status, 201)
        for patch in ({"arms": {"short": {"surfaces": {"home": {"n": 5}}}}}, {"salt": "other"},
                      {"arms": {"control": {"share": 0.9}}}):
            answer = self.change("fixed", patch, method="PATCH", status=409)
            self.assertIn("was changed while it runs", answer["detail"])
        answer = self.change("fixed", {"metrics": [{"kind": "return"}], "planned_units": 500}, method="PATCH")
        self.assertEqual((answer["planned_units"], answer["metrics"][0]["kind"]), (500, "return"))
        self.assertIn("stop it first", self.change("fixed", method="DELETE", status=409)["detail"])
        self.change("fixed/stop")
        self.change("fixed", method="DELETE", status=204)

    def test_metrics_of_consumption(self):
        """Dwell, finish rate and diversity, counted by the client beside the server."""
        metrics = [{"kind": "value", "type": "watch"}, {"kind": "finish", "type": "watch", "value_min": 60},
                   {"kind": "distinct", "type": "watch"}]
        self.assertEqual(declare(self.server, "dwell", arms={"a": {}, "b": {}}, surfaces=["home"],
                                 metrics=metrics).status, 201)
        sums = {}
        for n in range(30):
            slate = self.server.get("/v1/surfaces/home/slate?user=dwell%d" % n).json
            arm = slate["arms"].get("dwell")
            if arm is None:  # the holdout
                continue
            unit = sums.setdefault(arm, {"units": 0, "seconds": 0, "finished": 0, "events": 0, "items": 0})
            unit["units"] += 1
            for seconds, place in ((20 + n, 0), (90 - n, 1), (5, 1))[:n % 4]:
                event = {"user": slate["user"], "item": ids(slate)[place], "type": "watch", "value": seconds,
                         "slate": slate["slate"]}
                self.ok(self.server.post("/v1/events", event))
                unit["seconds"] += seconds
                unit["finished"] += seconds >= 60
                unit["events"] += 1
            unit["items"] += min(n % 4, 2)
        self.await_units("dwell", sum(u["units"] for u in sums.values()))
        for arm in self.ok(self.server.get("/v1/experiments/dwell"))["arms"]:
            unit = sums[arm["name"]]
            means = [m.get("mean", m.get("treatment")) for m in arm["metrics"]]
            self.assertEqual(arm["units"], unit["units"])
            for mean, want in zip(means, (unit["seconds"] / unit["units"], unit["finished"] / unit["events"],
                                          unit["items"] / unit["units"])):
                self.assertAlmostEqual(mean, want, places=9)
        self.change("dwell/stop")
        self.change("dwell", method="DELETE", status=204)


    def test_sizes_by_attribute(self):
        """Sizes are right over all, but the users of one country are mostly in one arm: nothing is shown."""
        self.assertEqual(declare(self.server, "parts", arms={"a": {}, "b": {}}, surfaces=["home"],
                                 metrics=[{"kind": "conversion", "type": "click"}]).status, 201)
        users = {"a": [], "b": []}
        for n in range(300):
            arm = self.server.get("/v1/surfaces/home/slate?user=part%d" % n).json["arms"].get("parts")
            if arm is not None:
                users[arm].append("part%d" % n)
        known = []
        for arm, some in users.items():
            for n, user in enumerate(some):
                country = "at" if arm == "a" or n % 4 == 0 else "fr"
                known.append({"id": user, "attributes": {"country": country, "adult": n % 2 == 0, "age": n}})
        self.ok(self.server.post("/v1/users", {"users": known}))
        look = lambda: self.ok(self.server.get("/v1/experiments/parts"))
        self.await_units("parts", sum(map(len, users.values())))
        found = look()
        self.assertTrue(found["hidden"], found["checks"])
        self.assertGreater(found["checks"]["srm_p"], 0.001)
        self.assertIn("country=", found["checks"]["srm_worst_slice"])
        self.assertEqual([a["metrics"] for a in found["arms"]], [[], []])
        why = self.change("parts/promote", {"arm": "b"}, status=409)
        self.assertIn("sizes", why["detail"])
        for segments, hidden in ((["adult"], False), ([], False), (["country"], True)):
            self.change("parts", {"segments": segments}, method="PATCH")
            self.assertEqual(look()["hidden"], hidden, segments)
        self.assertIn("attribute", self.change("parts", {"segments": [""]}, method="PATCH", status=400)["detail"])
        self.change("parts/stop")
        self.change("parts", method="DELETE", status=204)


class Durable(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="winnow-test-")
        self.data = os.path.join(self.folder, "data")

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def test_outlives_kill9_and_is_the_same_elsewhere(self):
        users = ["u%d" % n for n in range(40)]
        server = Server(data=self.data).start()
        self.assertEqual(declare(server, "x", traffic=0.5).status, 201)
        self.assertEqual(server.post("/v1/experiments/x/ramp", {"traffic": 0.8}).status, 200)
        before = arms_of(server, users, "x")
        began = server.get("/v1/experiments").json["experiments"][0]["started_ms"]
        server.kill()
        with Server(data=self.data) as again:
            self.assertEqual(arms_of(again, users, "x"), before)
            self.assertEqual(again.get("/v1/experiments").json["experiments"][0]["started_ms"], began)
            shown = again.run("experiments", "--data", self.data)
            self.assertIn("running", shown.stdout, shown.stderr)
        with Server('experiments: {x: {traffic: 0.8, arms: %s}}' % json.dumps(ARMS)) as replica:
            self.assertEqual(arms_of(replica, users, "x"), before)

    def test_crash_between_file_and_ledger(self):
        """declared.json is there, the ledger does not know it yet: it begins at the start."""
        with Server(data=self.data) as server:
            self.assertEqual(declare(server, "x").status, 201)
        os.unlink(os.path.join(self.data, "experiments.json"))
        with Server(data=self.data) as server:
            self.assertGreater(server.get("/v1/experiments").json["experiments"][0]["started_ms"], 0)
            self.assertNotEqual(set(arms_of(server, ["a", "b", "c"], "x")), {None})
        with open(os.path.join(self.data, "declared.json"), "w") as f:
            f.write('{"x": {"arms": {"a": {}}}}')
        with self.assertRaises(RuntimeError) as refused:
            Server(data=self.data).start()
        self.assertIn("declared.json:1:", str(refused.exception))

    def test_snapshots(self):
        """An arm pins a snapshot of the running server; promoting it makes it everybody's."""
        with Server(data=self.data) as server:
            fill(server)
            for _ in range(2):
                done = server.run("train", "--data", self.data, "--force")
                self.assertEqual(done.returncode, 0, done.stderr)
            server.post("/v1/admin/refresh", None)
            body = {"surfaces": ["home"], "arms": {"new": {}, "old": {"snapshot": 1}},
                    "overrides": {"ann": "new", "bob": "old"}}
            answer = server.post("/v1/experiments", {"name": "age", **body})
            self.assertEqual(answer.status, 201, answer)
            model = lambda user: server.get("/v1/surfaces/home/slate?user=" + user).json
            self.assertEqual((model("ann")["model"], model("bob")["model"]), (2, 1))
            event = {"user": "bob", "item": ids(model("bob"))[0], "type": "buy"}
            self.assertEqual(server.post("/v1/events", event).status, 200)
            self.assertNotIn(event["item"], ids(model("bob")))
            answer = server.post("/v1/experiments/age/promote", {"arm": "old", "force": True})
            self.assertEqual((answer.status, answer.json["promoted"]), (200, "old"), answer)
            self.assertEqual((model("ann")["model"], model("bob")["model"]), (1, 1))


if __name__ == "__main__":
    main()
