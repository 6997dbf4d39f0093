"""What happens between two requests: an event, an item, a user, a session, a new snapshot."""

import json
import shutil
import threading
import time
import unittest

from harness import ApiTest, SECTIONS, Server, fill, ids, main, train


class Online(ApiTest):
    """Trained, so that personal means models."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        train(cls.server)
        answer = cls.server.request("POST", "/v1/admin/refresh")
        assert answer.status == 200 and answer.json["model"] == 1, answer

    def slate(self, user=None, surface="home", **query):
        text = "&".join(["%s=%s" % (k, v) for k, v in query.items()] +
                        (["user=" + user] if user else []))
        return self.ok(self.server.get("/v1/surfaces/%s/slate?%s" % (surface, text)))

    def send(self, user, item, type="view"):
        answer = self.server.post("/v1/events", {"user": user, "item": item, "type": type})
        self.assertEqual(self.ok(answer), {"accepted": 1, "duplicates": 0})

    def test_event_changes_the_next_slate(self):
        for n in range(20):
            user = "user-%d" % n
            before = ids(self.slate(user, n=10))
            self.send(user, before[0], "buy")
            after = ids(self.slate(user, n=10))
            self.assertNotIn(before[0], after)
            self.assertNotEqual(before, after)

    def test_new_user_from_the_first_event(self):
        for n in range(5):
            user = "newcomer-%d" % n
            cold = self.slate(user, n=10)
            self.assertFalse(cold["personal"])
            self.assertFalse(cold["user_known"])
            self.send(user, "item-%d" % (50 + n), "buy")
            warm = self.slate(user, n=10)
            self.assertTrue(warm["personal"])
            self.assertTrue(warm["user_known"])
            self.assertNotEqual(ids(cold), ids(warm))

    def test_taste_is_followed(self):
        """Users of the seed like one section each; two events are enough to be told apart."""
        same = 0
        for n in range(5):
            user = "taste-%d" % n
            self.send(user, "item-%d" % (100 + n), "buy")
            self.send(user, "item-%d" % (105 + n), "buy")
            mine = [i for i in ids(self.slate(user, n=10)) if int(i.split("-")[1]) % 5 == n]
            same += len(mine)
        self.assertGreater(same, 25, "of 50; 10 by chance")

    def test_new_user_by_attributes(self):
        """Users of the seed like one section each, and here they say which; a newcomer who says so, too, gets it before her
        first event, from a server that was trained before she came."""
        policy = "surfaces: {home: {n: 10, retrieve: [{model: als, quota: 50}], order: {diversity: none}}}\n"
        with Server(policy) as server:
            fill(server)
            for n in range(60):
                self.ok(server.request("PUT", "/v1/users/user-%d" % n, {"attributes": {"fan": "of-%d" % (n % 5)}}), 200)
            train(server)
            self.ok(server.request("POST", "/v1/admin/refresh"))
            slate = lambda user: self.ok(server.get("/v1/surfaces/home/slate?n=10&user=" + user))
            same = 0
            for n in range(5):
                self.ok(server.request("PUT", "/v1/users/fan-%d" % n, {"attributes": {"fan": "of-%d" % n}}), 201)
                got = slate("fan-%d" % n)
                self.assertEqual((got["user_known"], got["personal"]), (True, False))
                same += sum(int(i.split("-")[1]) % 5 == n for i in ids(got))
            self.assertGreater(same, 40)  # of 50; 10 by chance
            self.ok(server.request("PUT", "/v1/users/who", {"attributes": {"fan": "of-nothing"}}), 201)
            self.assertEqual(ids(slate("who")), ids(slate("nobody")))

    def everywhere(self, item):
        """All paths by which an item can be shown."""
        out = []
        for surface in "home", "popular", "feed":
            out.append(("surface " + surface, self.slate("user-7", surface, n=1000, session="every")))
            out.append(("surface %s, nobody" % surface, self.slate(None if surface == "popular" else
                                                                   "nobody", surface, n=1000)))
        out.append(("similar", self.ok(self.server.get("/v1/items/item-1/similar?n=1000"))))
        out.append(("filter", self.slate("user-7", n=1000, filter="price%20%3E%200")))
        return [where for where, slate in out if item in ids(slate)]

    def test_hidden_and_deleted(self):
        for item, how in (("item-41", "hide"), ("item-42", "delete"), ("item-43", "put")):
            url = "/v1/items/" + item
            record = self.ok(self.server.get(url))
            self.assertTrue(self.everywhere(item), item)
            if how == "hide":
                self.ok(self.server.request("PATCH", url, {"status": "hidden"}))
            elif how == "delete":
                self.assertEqual(self.server.request("DELETE", url).status, 204)
            else:
                self.ok(self.server.request("PUT", url, dict(record, status="hidden")))
            self.assertEqual(self.everywhere(item), [], how)
            self.send("fan-of-" + item, item, "buy")  # an event does not bring it back
            self.assertEqual(self.everywhere(item), [], how)
            self.ok(self.server.request("PUT", url, record))
            self.assertTrue(self.everywhere(item), how)

    def test_attributes_count_from_the_next_request(self):
        text = "section%20%3D%3D%20%22special%22"
        self.assertEqual(self.slate("user-8", filter=text)["items"], [])
        self.ok(self.server.request("PATCH", "/v1/items/item-61",
                                    {"attributes": {"section": "special"}}))
        self.assertEqual(ids(self.slate("nobody", filter=text)), ["item-61"])
        self.ok(self.server.request("PATCH", "/v1/items/item-61",
                                    {"attributes": {"section": SECTIONS[1]}}))
        self.assertEqual(self.slate("nobody", filter=text)["items"], [])

    def test_new_item_can_be_shown(self):
        self.ok(self.server.request("PUT", "/v1/items/brand-new", {
            "title": "Brand new", "text": "games thing", "attributes": {"section": "fresh"}}), 201)
        got = self.slate("user-9", filter="section%20%3D%3D%20%22fresh%22")
        self.assertEqual(ids(got), ["brand-new"])

    def test_feed_never_repeats(self):
        for session in "a", "b":
            seen = []
            for _ in range(30):
                page = ids(self.slate("user-10", "feed", session=session, n=5))
                self.assertFalse(set(page) & set(seen))
                seen += page
                if not page:
                    break
            self.assertGreater(len(seen), 60)
            self.assertEqual(len(seen), len(set(seen)))

    def test_feed_at_once(self):
        """Pages of one session asked at the same moment do not overlap either."""
        pages = []

        def ask():
            pages.append(ids(self.slate("user-11", "feed", session="rush", n=5)))

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        shown = sum(pages, [])
        self.assertEqual(len(pages), 12)
        self.assertEqual(len(shown), len(set(shown)))

    def test_similar_users(self):
        got = self.ok(self.server.get("/v1/users/user-12/similar?n=5"))
        self.assertEqual(got["user"], "user-12")
        self.assertEqual(len(got["users"]), 5)
        self.assertNotIn("user-12", [u["id"] for u in got["users"]])
        scores = [u["score"] for u in got["users"]]
        self.assertEqual(scores, sorted(scores, reverse=True))

    def test_impressions_are_logged(self):
        """Every slate that was answered is in the log, with each item's propensity."""
        import os
        import sqlite3
        got = [self.slate("user-%d" % n, n=4) for n in range(3)]
        until = time.monotonic() + 10
        while time.monotonic() < until:
            db = sqlite3.connect("file:%s?mode=ro" % os.path.join(self.server.data, "winnow.db"),
                                 uri=True)
            rows = db.execute("SELECT slate, item, position, propensity FROM impressions").fetchall()
            db.close()
            logged = {}
            for slate, item, position, propensity in rows:
                logged.setdefault(slate, []).append((position, item, propensity))
            if all(s["slate"] in logged for s in got):
                break
            time.sleep(0.05)
        for s in got:
            want = [(i["position"], i["id"], i["propensity"]) for i in s["items"]]
            self.assertEqual(sorted(logged[s["slate"]]), want)


class Swap(unittest.TestCase):
    def test_swap_under_load(self):
        """Three trainings while slates and events go on: no request fails, the model number only
        grows, a restart serves the last one."""
        with Server() as server:
            fill(server)
            stop, problems, models = threading.Event(), [], [[] for _ in range(4)]

            def load(n):
                client = server.client()
                count = 0
                while not stop.is_set():
                    count += 1
                    if count % 5 == 0:
                        answer = client.request("POST", "/v1/events", [
                            {"user": "user-%d" % (count % 60), "item": "item-%d" % (count % 200),
                             "type": "view"}])
                        if answer.status != 200:
                            problems.append(answer)
                        continue
                    answer = client.request("GET", "/v1/surfaces/home/slate?user=user-%d&n=10" %
                                            (count % 60))
                    if answer.status != 200 or len(answer.json["items"]) != 10:
                        problems.append(answer)
                    else:
                        models[n].append(answer.json["model"] or 0)

            threads = [threading.Thread(target=load, args=(n,)) for n in range(4)]
            for t in threads:
                t.start()
            try:
                for number in 1, 2, 3:
                    train(server)
                    until = time.monotonic() + 30
                    while server.get("/readyz").json["model"] != number:
                        self.assertLess(time.monotonic(), until, server.output())
                        time.sleep(0.05)
                    time.sleep(0.2)
            finally:
                stop.set()
                for t in threads:
                    t.join()
            self.assertEqual(problems, [])
            for seen in models:
                self.assertEqual(seen, sorted(seen))
                self.assertEqual(set(seen) | {0}, {0, 1, 2, 3})
            server.kill()
            server.start()
            self.assertEqual(server.get("/readyz").json["model"], 3)


if __name__ == "__main__":
    main()
