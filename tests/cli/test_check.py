"""winnow check model: a sound data directory passes, and each planted fault fails the test that is about it."""
import json
import os
import pathlib
import random
import shutil
import sqlite3
import subprocess
import tempfile
import unittest

WINNOW = os.environ["WINNOW"]
SOUND = """surfaces:
  home:
    n: 10
    retrieve: [{model: als, quota: 100, weight: 1}]
    fallback: [{model: popular, quota: 100, weight: 1}]
    order: {diversity: {lambda: 1}}
"""


def winnow(*args, code=0):
    done = subprocess.run([WINNOW, *map(str, args)], capture_output=True, text=True, timeout=120)
    if done.returncode != code:
        raise AssertionError(f"winnow {' '.join(map(str, args))}: exit {done.returncode}, expected {code}\n"
                             f"{done.stdout}\n{done.stderr}")
    return done


class Check(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.data = cls.folder / "data"
        rng = random.Random(8)
        events = cls.folder / "events.csv"
        events.write_text("user,item,type,time\n" + "".join(
            f"u{n % 120},i{(rng.randrange(25) * 4 + n % 4) if rng.random() < 0.8 else rng.randrange(100)},view,{1600000000 + n * 60}\n"
            for n in range(3000)))
        winnow("import", "--data", cls.data, events)
        (cls.data / "winnow.yaml").write_text(SOUND)
        winnow("train", "--data", cls.data, "--set", "als.factors=8")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def check(self, data=None, code=0, **config):
        args = ["--config", config["config"]] if "config" in config else []
        done = winnow("check", "model", "--data", data or self.data, "--users", 60, "--json", *args, code=code)
        return {check["name"]: check for check in json.loads(done.stdout)["checks"]}

    def copy(self, name):
        return pathlib.Path(shutil.copytree(self.data, self.folder / name))

    def test_sound(self):
        checks = self.check()
        sure = ["same question, same answer", "what a user just saw stays away", "what is hidden stays hidden",
                "a shuffled history changes little", "newcomers get a full slate", "user and item vectors are of one version",
                "no event is there twice", "labels are in range and agree", "the split is what it says"]
        self.assertEqual({name: checks[name]["state"] for name in sure}, {name: "pass" for name in sure})
        self.assertEqual(checks["a score that claims to be a probability is one"]["state"], "inconclusive")
        self.assertIn("winnow evaluate", checks["groups of users are served alike"]["reason"])
        synonym = checks["a synonym changes little"]
        self.assertTrue(0 <= synonym["low"] <= synonym["value"] <= synonym["high"] <= 1)
        self.assertIn("inconclusive", winnow("check", "model", "--data", self.data, "--users", 60).stdout)
        run = json.loads(winnow("runs", "show", "last", "--data", self.data, "--json").stdout)
        self.assertEqual((run["kind"], run["passed"]), ("check", True))

    def test_events_twice_and_labels_that_contradict(self):
        data = self.copy("twice")
        with sqlite3.connect(data / "winnow.db") as db:
            db.execute("INSERT INTO events(seq, user, item, type, value, time_ms) SELECT seq + 100000, user, item, type, value, time_ms "
                       "FROM events WHERE seq % 20 = 0")
            db.execute("INSERT INTO events(seq, user, item, type, value, time_ms) SELECT seq + 200000, user, item, type, 7, time_ms "
                       "FROM events WHERE seq % 20 = 1 AND seq < 100000")
        checks = self.check(data, code=1)
        for name in ("no event is there twice", "labels are in range and agree"):
            self.assertEqual(checks[name]["state"], "fail")
            self.assertAlmostEqual(checks[name]["value"], 150 / 3300, places=3)
            self.assertEqual(len(checks[name]["worst"]), 3)
        self.assertEqual(checks["the split is what it says"]["state"], "pass")

    def test_newcomers_without_a_slate(self):
        config = self.folder / "short.yaml"
        config.write_text(SOUND.replace("fallback: [{model: popular, quota: 100, weight: 1}]", "fallback: []\n    fill: false"))
        checks = self.check(config=config, code=1)
        self.assertEqual(checks["newcomers get a full slate"]["state"], "fail")
        self.assertEqual(checks["newcomers get a full slate"]["value"], 0)

    def test_what_was_seen_may_come_back_where_the_filter_says_so(self):
        config = self.folder / "seen.yaml"
        config.write_text(SOUND.replace("    order:", "    filter: {seen: none}\n    order:"))
        check = self.check(config=config)["what a user just saw stays away"]
        self.assertEqual((check["state"], check["value"]), ("inconclusive", None))

    def test_perturbed_without_chance(self):
        config = self.folder / "drawn.yaml"
        config.write_text(SOUND.replace("order: {", "order: {temperature: 2, "))
        plain, drawn = self.check(), self.check(config=config)
        for name in ("a synonym changes little", "a shuffled history changes little"):
            self.assertEqual(plain[name]["value"], drawn[name]["value"])

    def test_groups_of_the_newest_evaluation(self):
        data = self.copy("groups")
        winnow("evaluate", "--data", data, "--bootstrap", 20)
        run = json.loads(winnow("runs", "show", "last", "--data", data, "--json").stdout)
        checks = self.check(data, code=0 if self.check_passes(data) else 1)
        self.assertNotEqual(checks["groups of users are served alike"]["value"], None)

        def slices(means):
            return [{"of": of, "by": by, "name": name, "users": 100, "value": {"mean": m, "low": m - 0.01, "high": m + 0.01}}
                    for (of, by, name), m in means.items()]
        groups = [("users", "age", "young"), ("users", "age", "old"), ("items", "popularity", "head"), ("items", "popularity", "tail")]
        for values, expected in (((0.5, 0.5, 0.3, 0.2), ("pass", "pass")), ((0.5, 0.2, 0.3, 0.01), ("fail", "fail"))):
            run["result"]["rows"] = [{"model": "random", "slices": slices(dict(zip(groups, (0.05, 0.05, 0.05, 0.05))))},
                                     {"model": "funnel:home", "slices": slices(dict(zip(groups, values)))}]
            (data / "runs" / f"{run['id']}.json").write_text(json.dumps(run))
            checks = self.check(data, code=expected[0] == "fail")
            self.assertEqual((checks["groups of users are served alike"]["state"],
                              checks["head, torso and tail are each found"]["state"]), expected)
        self.assertIn("age old", checks["groups of users are served alike"]["worst"][0])

    def check_passes(self, data):
        return subprocess.run([WINNOW, "check", "model", "--data", data, "--users", "60"], capture_output=True).returncode == 0

    def test_bad_input(self):
        winnow("check", "--data", self.data, code=2)
        winnow("check", "model", code=2)
        winnow("check", "model", "--data", self.data, "--surface", "attic", code=4)
        winnow("check", "model", "--data", self.data, "--surface", "similar", code=2)
        empty = self.folder / "empty"
        (self.folder / "one.csv").write_text("user,item,type,time\nu,i,view,1600000000\n")
        winnow("import", "--data", empty, self.folder / "one.csv")
        names = {c["name"]: c["state"] for c in json.loads(subprocess.run(
            [WINNOW, "check", "model", "--data", empty, "--json"], capture_output=True, text=True).stdout)["checks"]}
        self.assertEqual(names["same question, same answer"], "inconclusive")  # nobody to ask


if __name__ == "__main__":
    unittest.main()
