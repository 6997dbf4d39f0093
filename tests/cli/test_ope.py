"""winnow ope: estimates on a table and on the store's own log are right, refusals say why, bad input is named."""
import json
import os
import pathlib
import random
import sqlite3
import subprocess
import tempfile
import unittest

WINNOW = os.environ["WINNOW"]
OBD = pathlib.Path(os.environ.get("WINNOW_TEST_DATA", "../shared/data")) / "open-bandit-men"
RATE = {f"i{n}": 0.05 + 0.08 * n for n in range(8)}


def winnow(*args, code=0):
    done = subprocess.run([WINNOW, *map(str, args)], capture_output=True, text=True, timeout=120)
    if done.returncode != code:
        raise AssertionError(f"winnow {' '.join(map(str, args))}: exit {done.returncode}, expected {code}\n"
                             f"{done.stdout}\n{done.stderr}")
    return done


def make_store(folder, slates=3000, slots=2, seed=1):
    """A data directory whose log shows items drawn uniformly without repetition. Every third click names no slate."""
    rng = random.Random(seed)
    start = 1_700_000_000_000
    events = [f"u{n % 50},{item},view,,{start // 1000 - 90000 + n}" for n, item in enumerate(list(RATE) * 20)]
    shown = []
    for n in range(slates):
        items = rng.sample(list(RATE), slots)
        shown.append((f"{n:032x}", start + n * 60000, f"u{n % 50}", items))
        for item in items:
            if rng.random() < RATE[item]:
                named = f"{n:032x}" if rng.random() < 2 / 3 else ""
                events.append(f"u{n % 50},{item},click,{named},{start // 1000 + n * 60 + 20}")
    csv = folder / "events.csv"
    csv.write_text("user,item,type,slate,time\n" + "\n".join(events) + "\n")
    winnow("import", "--data", folder / "data", csv)
    with sqlite3.connect(folder / "data" / "winnow.db") as db:
        users, items = dict(db.execute("SELECT id, ix FROM users")), dict(db.execute("SELECT id, ix FROM items"))
        for seq, (ident, time, user, slate) in enumerate(shown, 1):
            pairs = [[items[item], 1 / (len(RATE) - place)] for place, item in enumerate(slate)]
            db.execute("INSERT INTO slates(seq, id, time_ms, surface, user, snapshot, feed, items) VALUES (?, ?, ?, 'home', ?, 0, 0, ?)",
                       (seq, ident, time, users[user], json.dumps(pairs, separators=(",", ":"))))
    return folder / "data"


class Ope(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        rng = random.Random(7)
        # Slots are drawn independently here, item n with probability ∝ n + 1.
        cls.chance = {item: (n + 1) / 36 for n, item in enumerate(RATE)}
        rows = []
        for n in range(4000):
            item = rng.choices(list(RATE), weights=[cls.chance[i] for i in RATE])[0]
            rows.append((item, 1 + n % 2, cls.chance[item], int(rng.random() < RATE[item]), n // 2))
        cls.rows = rows
        cls.log = cls.write("log.csv", rows)
        cls.policy = cls.folder / "policy.csv"
        cls.policy.write_text("item,probability\ni6,0.5\ni7,0.5\n")
        cls.truth = (RATE["i6"] + RATE["i7"]) / 2

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @classmethod
    def write(cls, name, rows, head="item_id,position,pscore,click,slate"):
        path = cls.folder / name
        path.write_text(head + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
        return path

    def ope(self, *args, code=0):
        return json.loads(winnow("ope", *args, "--json", "--bootstrap", 200, code=code).stdout)["ope"]

    def test_table(self):
        got = self.ope(self.log, "--policy", self.policy)
        self.assertEqual((got["rows"], got["decisions"], got["items"]), (4000, 2000, 8))
        self.assertFalse(got["guard"]["refused"])
        for line in got["estimates"]:
            if line["estimator"] in ("IPS", "SNIPS", "DR", "SNDR", "MRDR"):
                self.assertTrue(line["low"] < self.truth < line["high"], line)
        for line in got["slate_estimates"]:
            if line["estimator"] in ("IIPS", "RIPS", "pseudo-inverse", "cascade-DR"):
                self.assertTrue(line["low"] < 2 * self.truth < line["high"], line)
        text = winnow("ope", self.log, "--policy", self.policy).stdout
        self.assertIn("effective sample", text)

    def test_threads_and_seed(self):
        one, four = (winnow("ope", self.log, "--policy", "uniform", "--json", "--threads", t).stdout for t in (1, 4))
        self.assertEqual(one, four)

    def test_refusals(self):
        halved = self.write("halved.csv", [(i, p, s / 2, c, d) for i, p, s, c, d in self.rows])
        got = self.ope(halved, "--policy", "uniform", code=1)
        self.assertIn("propensities are wrong", got["guard"]["why"])
        self.assertIsNone(got["estimates"][0]["value"])
        certain = self.write("certain.csv", [(i, p, 1, c, d) for i, p, s, c, d in self.rows])
        self.assertIn("exploration", self.ope(certain, "--policy", self.policy, code=1)["guard"]["why"])
        few = self.write("few.csv", self.rows[:20])
        self.assertTrue(self.ope(few, "--policy", self.policy, code=1)["guard"]["refused"])
        elsewhere = self.folder / "elsewhere.csv"
        elsewhere.write_text("item,probability\ni7,0.5\nnew,0.5\n")
        got = self.ope(self.log, "--policy", elsewhere, code=1)
        self.assertAlmostEqual(got["guard"]["uncovered"], 0.5)
        self.assertIn("REFUSED", winnow("ope", self.log, "--policy", elsewhere, code=1).stdout)

    def test_bad_input(self):
        def refused(rows, expected, head="item,propensity,reward", code=3, args=()):
            path = self.folder / "bad.csv"
            path.write_text(head + "\n" + "\n".join(rows) + "\n")
            self.assertIn(expected, winnow("ope", path, *args, code=code).stderr)
        refused(["a,0,1"], "bad.csv:2: propensity: must be above 0 and at most 1: what was shown had a chance, got `0`")
        refused(["a,0.5,1", "a,1.5,1"], "bad.csv:3: propensity")
        refused(["a,nan,1"], "propensity: must be a number, got `nan`")
        refused(["a,0.5,nan"], "reward: must be a number, got `nan`")
        refused(["a,0.5,"], "reward: must be a number")
        refused([",0.5,1"], "item: must be an id")
        refused(["a,0.5"], "has 2 cells, expected 3")
        refused([], "holds no impression")
        refused(["a,1"], "propensity: no column for it (looked for: propensity propensity_score", head="item,reward")
        refused(["a,0.5,1,7"], "target: must be from 0 to 1", head="item,propensity,reward,target")
        refused(["a,0.5,1,0"], "position: must be a place", head="item,propensity,reward,position")
        refused(["a,0.5,1,1,s", "b,0.5,1,1,s"], "stands twice", head="item,propensity,reward,position,slate")
        refused(["a,0.5,1"], "no column `chance`", args=["--map", "propensity=chance"], code=2)
        refused(["a,0.5,1"], "no field `luck`", args=["--map", "luck=item"], code=2)
        refused(["a,0.5,1"], "column `target`", args=["--policy", "target"], code=2)
        policy = self.folder / "half.csv"
        policy.write_text("item,probability\ni7,0.5\n")
        self.assertIn("add up to 0.5", winnow("ope", self.log, "--policy", policy, code=3).stderr)
        policy.write_text("item,probability\ni7,nan\n")
        self.assertIn("half.csv:2: probability", winnow("ope", self.log, "--policy", policy, code=3).stderr)
        (self.folder / "empty.csv").write_text("")
        winnow("ope", self.folder / "empty.csv", code=3)
        winnow("ope", self.folder / "absent.csv", code=4)
        winnow("ope", code=2)

    def test_own_log(self):
        with tempfile.TemporaryDirectory() as folder:
            data = make_store(pathlib.Path(folder))
            done = winnow("ope", "--data", data, "--reward", "click", "--policy", "uniform")
            self.assertRegex(done.stdout, r"rewards: \d+ events named their slate, \d+ by user and window, 0 belong")
            got = self.ope("--data", data, "--reward", "click")
            mean = sum(RATE.values()) / len(RATE)
            logged = got["logged"][0]
            self.assertTrue(logged["low"] < mean < logged["high"], logged)
            self.assertEqual((got["decisions"], got["rows"]), (3000, 6000))
            got = self.ope("--data", data, "--reward", "click", "--policy", self.policy)
            self.assertTrue(got["estimates"][0]["low"] < self.truth < got["estimates"][0]["high"], got["estimates"][0])
            winnow("ope", "--data", data, "--reward", "wish", code=4)
            winnow("ope", "--data", data, "--surface", "attic", code=4)
            winnow("ope", "--data", data, "--since", "2030-01-01", code=4)

    @unittest.skipUnless(OBD.is_dir(), "the Open Bandit files are not at hand")
    def test_open_bandit(self):
        """From the log of Thompson sampling, the uniform policy is worth what it was in fact."""
        got = self.ope(OBD / "bts_men.csv.xz", "--policy", "uniform")
        truth = self.ope(OBD / "random_men.csv.xz")["logged"][0]
        snips = [line for line in got["estimates"] if line["estimator"] == "SNIPS"][0]
        self.assertLess(snips["low"], truth["value"])
        self.assertLess(truth["value"], snips["high"])
        self.assertGreater(got["guard"]["effective_sample"], 600)


if __name__ == "__main__":
    unittest.main()
