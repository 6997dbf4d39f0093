"""Champion and challenger: shadows, interleaved slates, and rules that promote or roll back."""

import json
import os
import sqlite3

from harness import ApiTest, ids, main, within

ARMS = {"champion": {}, "challenger": {"surfaces": {"home": {"retrieve": [{"model": "newest"}]}}}}


def logged(server, experiment):
    """Slate → what the log has in place of the arm."""
    path = os.path.join(server.data, "winnow.db")
    with sqlite3.connect("file:%s?mode=ro" % path, uri=True) as db:
        rows = db.execute("SELECT id, arms FROM slates WHERE arms LIKE ?", ("%" + experiment + "=%",)).fetchall()
    return {slate: arms.split(experiment + "=")[1].split(" ")[0] for slate, arms in rows}


class Challenger(ApiTest):
    def declare(self, name, status=201, **body):
        answer = self.server.post("/v1/experiments", {"name": name, "arms": ARMS, **body})
        self.assertEqual(answer.status, status, answer)
        return answer.json

    def tearDown(self):
        for e in self.server.get("/v1/experiments").json["experiments"]:  # after a failure
            self.stop(e["name"])

    def stop(self, name):
        self.assertEqual(self.server.request("POST", "/v1/experiments/%s/stop" % name).status, 200)
        self.assertEqual(self.server.request("DELETE", "/v1/experiments/" + name).status, 204)

    def slate(self, user):
        return self.ok(self.server.get("/v1/surfaces/home/slate?n=10&user=" + user))

    def verdict(self, name):
        return self.ok(self.server.get("/v1/experiments/" + name))

    def test_shadow(self):
        """What is shown is the champion's; what the challenger would have shown is in the log."""
        before = [ids(self.slate("s%d" % n)) for n in range(20)]
        self.declare("shade", mode="shadow")
        for n in range(20):
            answer = self.slate("s%d" % n)
            self.assertEqual((ids(answer), answer["arms"]), (before[n], {"shade": "shadow"}))
        within(lambda: len(logged(self.server, "shade")) == 20)
        shares = [value.split(":")[1] for value in logged(self.server, "shade").values()]
        shadow = self.verdict("shade")["shadow"]
        shared = [int(s.split("/")[0]) / int(s.split("/")[1]) for s in shares]
        self.assertAlmostEqual(shadow["agreement"], sum(shared) / 20, places=9)
        self.assertLess(shadow["agreement"], 1)
        self.assertEqual((shadow["slates"], shadow["failed"]), (20, 0))
        self.assertGreater(shadow["challenger"]["p99_us"], 0)
        self.stop("shade")

    def duel(self, name, users, wins, **body):
        """Each user clicks one item: the last one of the challenger's team, or of the champion's."""
        self.declare(name, mode="interleave", metrics=[{"kind": "count", "type": "click"}], **body)
        slates = {}
        for n in range(users):
            answer = self.slate("%s%d" % (name, n))
            self.assertEqual(answer["arms"], {name: "interleave"})
            self.assertEqual(len(set(ids(answer))), 10)
            self.assertTrue(all(item["propensity"] in (1, 0.5) for item in answer["items"]), answer)
            slates[answer["slate"]] = (answer["user"], ids(answer))
        within(lambda: len(logged(self.server, name)) == users)
        for n, (slate, value) in enumerate(sorted(logged(self.server, name).items())):
            teams = value.split(":")[1]
            self.assertEqual((len(teams), teams.count("1")), (10, 5))
            user, items = slates[slate]
            click = {"user": user, "item": items[teams.rindex(wins(n))], "type": "click", "slate": slate}
            self.ok(self.server.post("/v1/events", click))

    def test_interleave(self):
        """Three of four users click the challenger's items: it wins by just that, and is promoted."""
        self.duel("duel", 120, lambda n: "1" if n % 4 else "0")
        arm = self.verdict("duel")["arms"][1]["metrics"][0]
        self.assertEqual((arm["treatment"], arm["control"], arm["verdict"]), (0.75, 0.25, "better"), arm)
        self.assertTrue(0 < arm["low"] < 0.5 < arm["high"], arm)
        answer = self.server.post("/v1/experiments/duel/promote", {"arm": "challenger"})
        self.assertEqual((answer.status, answer.json["promoted"]), (200, "challenger"), answer)
        self.stop("duel")

    def test_rules(self):
        """The rule promotes what won and ends what lost, and says so in the audit log."""
        rule = {"promote": True, "roll_back": True, "every_minutes": 0.01, "min_units": 60}
        for name, team, ends in (("up", "1", "promoted"), ("down", "0", "stopped")):
            self.duel(name, 60, lambda n: team if n % 10 else "10"[int(team)], rule=rule)
            state = lambda: {e["name"]: e["state"] for e in self.server.get("/v1/experiments").json["experiments"]}
            within(lambda: state()[name] == ends), state()
            self.stop(name)
        with open(os.path.join(self.server.data, "audit.log")) as f:
            acts = [json.loads(line) for line in f]
        self.assertEqual([a["action"] for a in acts if a["actor"] == "rule"],
                         ["rule: promote challenger of up: challenger is better by click-count",
                          "rule: roll back down: challenger is worse by click-count"])

    def test_refused(self):
        for body, field, why in (
                ({"mode": "shadow", "rule": {"promote": True}}, "rule", "has no outcome"),
                ({"mode": "duel"}, "mode", "must be share, shadow or interleave"),
                ({"mode": "interleave", "arms": {"a": {}, "b": {}, "c": {}}, "surfaces": ["home"]}, "arms", "two arms"),
                ({"mode": "interleave", "metrics": [{"kind": "return"}, {"kind": "count"}]}, "metrics", "one metric"),
                ({"mode": "interleave", "arms": {"a": {}, "b": {"surfaces": {"home": {"order": {"temperature": 1}}}}}},
                 "mode", "draws items at random in the arm b"),
                ({"rule": {"promot": True}}, "rule.promot", "unknown key")):
            answer = self.declare("bad", 400, **body)
            self.assertEqual(answer["field"], "experiments.bad." + field, answer)
            self.assertIn(why, answer["detail"])


if __name__ == "__main__":
    main()
