"""The configuration over HTTP: read, checked, previewed, replaced while it serves, brought back."""

import json
import os
import shutil
import threading
import unittest

from harness import ApiTest, Server, fill, ids, main, metric, train, within

START = """# a comment that stays
surfaces:
  home:
    n: 6
    filter: {seen: none}
"""


class Config(ApiTest):
    config = START

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        train(cls.server)
        assert cls.server.request("POST", "/v1/admin/refresh").status == 200

    def now(self):
        return self.ok(self.server.get("/v1/config"))

    def put(self, text, comment="", based_on=None):
        body = {"text": text, "based_on": based_on or self.now()["version"], "comment": comment}
        return self.server.request("PUT", "/v1/config", body)

    def home(self, user="user-1"):
        return ids(self.ok(self.server.get("/v1/surfaces/home/slate?user=" + user)))

    def tearDown(self):
        self.assertEqual(self.put(START).status, 200)

    def test_read(self):
        now = self.now()
        self.assertEqual(now["text"], START)
        self.assertIsNone(now["file_text"])
        home = [s for s in now["surfaces"] if s["name"] == "home"][0]
        self.assertEqual((home["n"], home["flavour"], home["filter"]["seen_all"]), (6, "personal", False))
        self.assertIn("als", [g["model"] for g in home["retrieve"]])

    def test_replace_and_revert(self):
        first = self.now()
        self.assertEqual(len(self.home()), 6)
        text = START + "    order: {pins: [{item: item-9, position: 2}]}\n  new:\n    flavour: flat\n    retrieve: [{model: popular, quota: 9}]\n"
        answer = self.ok(self.put(text, "pinned item-9"))
        self.assertTrue(answer["changed"])
        self.assertEqual((answer["kind"], answer["comment"], answer["author"]), ("edit", "pinned item-9", "loopback"))
        self.assertEqual(answer["version"], first["version"] + 1)
        self.assertEqual(self.home()[1], "item-9")
        self.ok(self.server.get("/v1/surfaces/new/slate?n=3"))
        self.assertEqual(metric(self.server, 'winnow_slate_items_total{surface="new"}'), 3)
        # What serves is what the file holds.
        with open(os.path.join(self.server.folder, "winnow.yaml")) as f:
            self.assertEqual(f.read(), text)
        # The same again is no version.
        self.assertFalse(self.ok(self.put(text))["changed"])
        version = self.ok(self.server.get("/v1/config/history/%d" % answer["version"]))
        self.assertEqual(version["text"], text)
        self.assertIn("\n+    order: {pins: [{item: item-9, position: 2}]}\n", version["diff"])
        self.assertNotIn("\n-", version["diff"])
        back = self.server.post("/v1/config/history/%d/revert" % first["version"],
                                {"based_on": answer["version"], "comment": "no"})
        back = self.ok(back)
        self.assertEqual((back["kind"], back["of"]), ("revert", first["version"]))
        self.assertNotEqual(self.home()[1:2], ["item-9"])
        self.problem(self.server.get("/v1/surfaces/new/slate?n=3"), 404)
        listed = self.ok(self.server.get("/v1/config/history"))["versions"]
        self.assertEqual([v["version"] for v in listed], list(range(len(listed), 0, -1)))
        self.assertEqual(listed[-1]["kind"], "start")
        with open(os.path.join(self.server.data, "audit.log")) as f:
            lines = [json.loads(line) for line in f]
        self.assertIn(("PUT /v1/config", 200), [(a["action"], a["status"]) for a in lines])
        self.assertNotIn("GET /v1/config", [a["action"] for a in lines])

    def test_refused(self):
        before = self.now()
        bad = self.put("surfaces:\n  home:\n    n: 6\n    ordr: {}\n")
        problem = self.problem(bad, 400, "surfaces.home.ordr")
        self.assertEqual((problem["line"], problem["column"]), (4, 5))
        problem = self.problem(self.put("surfaces:\n  home: {n: 5, filter: {where: 'price >'}}\n"), 400)
        self.assertEqual(problem["line"], 2)
        self.problem(self.put("surfaces: [\n"), 400)
        self.problem(self.put(START + "    boosts: 3\n", based_on=before["version"] + 7), 409, "based_on")
        body = {"text": START}
        self.problem(self.server.request("PUT", "/v1/config", body), 400, "based_on")
        self.problem(self.server.request("PUT", "/v1/config", {"based_on": 1}), 400, "text")
        self.problem(self.server.request("PUT", "/v1/config", dict(body, based_on=1, txt=1)), 400, "txt")
        self.problem(self.server.request("PUT", "/v1/config", dict(body, based_on="1")), 400, "based_on")
        self.problem(self.server.request("PUT", "/v1/config", dict(body, based_on=1, comment="x" * 600)), 400, "comment")
        for path in "/v1/config/history/none", "/v1/config/history/0":
            self.problem(self.server.get(path), 400, "number")
        self.problem(self.server.get("/v1/config/history/999"), 404, "number")
        self.problem(self.server.get("/v1/config/history/1?against=999"), 404, "number")
        self.assertEqual(self.now(), before)

    def test_edited_by_hand(self):
        """What somebody wrote into the file is never overwritten unseen."""
        path = os.path.join(self.server.folder, "winnow.yaml")
        theirs = START.replace("n: 6", "n: 7")
        with open(path, "w") as f:
            f.write(theirs)
        self.assertEqual(self.now()["file_text"], theirs)
        self.problem(self.put(START.replace("n: 6", "n: 8")), 409, "file")
        self.assertEqual(len(self.home()), 6)
        self.ok(self.put(theirs, "taken over"))
        self.assertIsNone(self.now()["file_text"])
        self.assertEqual(len(self.home()), 7)

    def test_what_waits(self):
        for text, waits in ((START, []), (START + "server: {session_minutes: 5}\n", ["start"]),
                            (START + "models: {als: {factors: 8}}\n", ["training"])):
            self.assertEqual(self.ok(self.put(text))["waits_for"], waits)
            self.assertEqual(self.ok(self.put(START))["waits_for"], waits)
        self.assertEqual(self.ok(self.put(START + "objectives: {click: {weight: 2}}\n"))["waits_for"], ["training"])
        self.assertEqual(self.ok(self.put(START + "objectives: {click: {weight: 5}}\n"))["waits_for"], [])
        self.assertEqual(self.ok(self.put(START + "objectives: {click: {label: buy}}\n"))["waits_for"], ["training"])
        self.ok(self.put(START))

    def preview(self, text, **more):
        return self.ok(self.server.post("/v1/config/preview", {"text": text, **more}))

    def test_preview(self):
        log = self.ok(self.server.get("/v1/stats"))["slates"]
        same = self.preview(START)
        self.assertIsNone(same["preview"])
        self.assertEqual(set(same["changes"].values()), {"none"})
        hidden = self.home()[0]
        text = START.replace("filter: {seen: none}", "filter: {seen: none, where: 'section == \"games\"'}")
        answer = self.preview(text)
        self.assertEqual(answer["changes"]["home"], "edited")
        p = answer["preview"]
        self.assertEqual((p["surface"], p["population"]["sampled"], len(p["slates"])), ("home", 60, 60))
        for slate in p["slates"]:
            before, after = ([i["id"] for i in slate[k]] for k in ("before", "after"))
            self.assertTrue(all(int(i.split("-")[1]) % 5 == 0 for i in after))
            self.assertAlmostEqual(slate["overlap"], len(set(before) & set(after)) / max(len(before), len(after)))
        overlaps = [s["overlap"] for s in p["slates"]]
        self.assertAlmostEqual(p["summary"]["overlap"], sum(overlaps) / 60)
        self.assertTrue(p["summary"]["overlap_low"] <= p["summary"]["overlap"] <= p["summary"]["overlap_high"])
        self.assertEqual(p["summary"]["changed"], sum(
            [i["id"] for i in s["before"]] != [i["id"] for i in s["after"]] for s in p["slates"]))
        for item in p["items"]:
            for side in "before", "after":
                count = sum(item["id"] in [i["id"] for i in s[side]] for s in p["slates"])
                self.assertEqual(count, item[side])
        # What would be shown is what is shown then.
        of_one = [s for s in p["slates"] if s["user"] == "user-1"][0]
        self.ok(self.put(text))
        self.assertEqual(self.home(), [i["id"] for i in of_one["after"]])
        self.ok(self.put(START))
        self.assertEqual(self.home()[0], hidden)
        # A surface that another one is asked for; one that comes; one that starts from items.
        self.assertEqual(self.preview(text, surface="feed")["preview"]["summary"]["changed"], 0)
        added = self.preview(START + "  new: {flavour: flat, n: 4, retrieve: [{model: popular, quota: 9}]}\n", users=10)
        self.assertEqual((added["changes"]["new"], added["preview"]["population"]["of"]), ("added", "servable items"))
        self.assertEqual([(len(s["before"]), len(s["after"])) for s in added["preview"]["slates"]], [(0, 4)] * 10)
        similar = self.preview(START + "  similar: {n: 3}\n", seed=5)
        self.assertEqual(similar["preview"]["surface"], "similar")
        self.assertEqual(self.preview(START + "  similar: {n: 3}\n", seed=5), similar)
        self.problem(self.server.post("/v1/config/preview", {"text": START, "surface": "none"}), 404, "surface")
        self.problem(self.server.post("/v1/config/preview", {"text": text, "users": 501}), 400, "users")
        problem = self.problem(self.server.post("/v1/config/preview", {"text": "surfaces: {home: {n: 0}}"}), 400)
        self.assertEqual(problem["line"], 1)
        self.assertIsNone(self.preview(text, users=0)["preview"])
        self.ok(self.server.get("/v1/surfaces/home/slate?user=user-2"))
        slates = lambda: self.ok(self.server.get("/v1/stats"))["slates"]
        within(lambda: slates() >= log + 4)
        self.assertEqual(slates(), log + 4, "previews are not logged")

    def test_swap_under_load(self):
        """No request fails or is a mixture while the configuration is replaced again and again."""
        other = START.replace("n: 6", "n: 9\n    order: {pins: [{item: item-3, position: 1}]}")
        stop, wrong, seen = threading.Event(), [], {6: 0, 9: 0}
        lock = threading.Lock()

        def load(number):
            client = self.server.client()
            while not stop.is_set():
                answer = client.request("GET", "/v1/surfaces/home/slate?user=user-%d" % (number * 7))
                got = ids(answer.json) if answer.status == 200 else []
                with lock:
                    good = len(got) == 6 or (len(got) == 9 and got[0] == "item-3")
                    seen[len(got)] = seen.get(len(got), 0) + 1
                    if not good:
                        wrong.append(answer)
            client.close()

        threads = [threading.Thread(target=load, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        try:
            based_on = self.now()["version"]
            for i in range(20):
                answer = self.ok(self.put(other if i % 2 == 0 else START, "swap %d" % i, based_on))
                based_on = answer["version"]
                with lock:
                    at = seen[9 if i % 2 == 0 else 6]
                # Until somebody has seen it.
                within(lambda: seen[9 if i % 2 == 0 else 6] > at)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(set(seen), {6, 9})
        print("%d slates over 20 swaps" % sum(seen.values()))

    def test_two_editors(self):
        """Of two who saw the same version one is refused."""
        based_on = self.now()["version"]
        self.ok(self.put(START.replace("n: 6", "n: 5"), "mine", based_on))
        self.problem(self.put(START.replace("n: 6", "n: 4"), "yours", based_on), 409, "based_on")
        self.assertEqual(len(self.home()), 5)


class Running(unittest.TestCase):
    def test_experiments_under_way(self):
        """What a running experiment stands on does not change under it, and stopping it frees it."""
        text = "surfaces: {home: {n: %d}}\nexperiments: {x: {state: %s, arms: {a: {}, b: {surfaces: {home: {n: 3}}}}}}\n"
        with Server(text % (5, "running")) as server:
            put = lambda t, v: server.request("PUT", "/v1/config", {"text": t, "based_on": v})
            answer = put(text % (6, "running"), 1)
            self.assertEqual((answer.status, answer.json["field"]), (409, "surfaces.home"))
            self.assertIn("experiment x", answer.json["detail"])
            answer = put((text % (5, "running")).replace("n: 3", "n: 4"), 1)
            self.assertEqual((answer.status, answer.json["field"]), (409, "experiments.x"))
            self.assertEqual(put(text % (5, "running") + "alerts: {every_seconds: 20}\n", 1).status, 200)
            self.assertEqual(put(text % (6, "stopped"), 2).status, 200)
            self.assertEqual(server.get("/v1/experiments").json["experiments"][0]["state"], "stopped")
            pinned = "experiments: {y: {surfaces: [home], arms: {a: {}, b: {snapshot: 1}}}}\n"
            answer = put(pinned, 3)
            self.assertEqual((answer.status, answer.json["field"]), (409, "experiments.y.arms.b.snapshot"))
            self.assertEqual(server.get("/v1/config").json["version"], 3)

    def test_declared_over_the_api_stays(self):
        """A new text of the file leaves alone what the API declared, and may not pull it the surface away."""
        with Server("surfaces: {home: {n: 5}}\n") as server:
            body = {"name": "z", "arms": {"a": {}, "b": {"surfaces": {"home": {"n": 3}}}}}
            self.assertEqual(server.post("/v1/experiments", body).status, 201)
            put = lambda t, v: server.request("PUT", "/v1/config", {"text": t, "based_on": v})
            self.assertEqual(put("surfaces: {home: {n: 5}, feed: {n: 9}}\n", 1).status, 200)
            listed = server.get("/v1/experiments").json["experiments"]
            self.assertEqual([(e["name"], e["state"]) for e in listed], [("z", "running")])
            answer = put("surfaces: {home: {n: 6}}\n", 2)
            self.assertEqual((answer.status, answer.json["field"]), (409, "surfaces.home"))
            self.assertEqual(server.request("POST", "/v1/experiments/z/stop").status, 200)
            self.assertEqual(put("surfaces: {home: {n: 6}}\n", 2).status, 200)

    def test_survives_a_crash(self):
        """The version that was answered is there after a kill -9, and so is its history."""
        server = Server()  # without a file: DIR/winnow.yaml comes to be
        try:
            server.start()
            fill(server, items=20, users=5, each=4)
            self.assertEqual(server.get("/v1/config").json["text"], "")
            body = {"text": "surfaces: {home: {n: 2}}\n", "based_on": 1, "comment": "two"}
            self.assertEqual(server.request("PUT", "/v1/config", body).status, 200)
            server.kill()
            server.start()
            now = server.get("/v1/config").json
            self.assertEqual((now["version"], now["text"], now["comment"]), (2, body["text"], "two"))
            self.assertEqual(len(server.get("/v1/surfaces/home/slate?user=user-1").json["items"]), 2)
            # Edited between two runs: noted as such.
            server.stop()
            with open(os.path.join(server.data, "winnow.yaml"), "a") as f:
                f.write("# by hand\n")
            server.start()
            versions = server.get("/v1/config/history").json["versions"]
            self.assertEqual([(v["kind"], v["author"]) for v in versions],
                             [("start", "file"), ("edit", "loopback"), ("start", "file")])
            # Bad history: said at the start, nothing overwritten.
            server.stop()
            with open(os.path.join(server.data, "config", "history.json"), "w") as f:
                f.write("{")
            with self.assertRaises(RuntimeError) as told:
                server.start()
            self.assertIn("history.json", str(told.exception))
        finally:
            if server.process is not None:
                server.kill()
            shutil.rmtree(server.folder, ignore_errors=True)

    def test_read_only(self):
        """A file that cannot be written: told, and what served serves on."""
        if os.geteuid() == 0:
            self.skipTest("root writes everywhere")
        with Server("surfaces: {home: {n: 5}}\n") as server:
            os.chmod(server.folder, 0o500)
            answer = server.request("PUT", "/v1/config", {"text": "", "based_on": 1})
            os.chmod(server.folder, 0o700)
            self.assertEqual(answer.status, 500)
            self.assertEqual(server.get("/v1/config").json["text"], "surfaces: {home: {n: 5}}\n")

    def test_keys(self):
        """For administrators alone."""
        server = Server().start()
        server.stop()
        made = server.run("keys", "add", "--data", server.data, "--name", "reader", "--scope", "read")
        self.assertEqual(made.returncode, 0, made.stderr)
        key = [w for w in made.stdout.split() if w.startswith("wnk_")][0]
        with server:
            headers = {"Authorization": "Bearer " + key}
            for method, path in (("GET", "/v1/config"), ("PUT", "/v1/config"), ("POST", "/v1/config/preview"),
                                 ("GET", "/v1/config/history"), ("GET", "/v1/config/history/1"),
                                 ("POST", "/v1/config/history/1/revert")):
                body = {} if method != "GET" else None
                self.assertEqual(server.request(method, path, body, headers=headers).status, 403, path)


if __name__ == "__main__":
    main()
