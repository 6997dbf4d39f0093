"""winnow replay: a configuration is judged as a naive simulation of it judges it, of the state at each slate."""
import json
import os
import pathlib
import random
import sqlite3
import subprocess
import tempfile
import unittest

WINNOW = os.environ["WINNOW"]
ITEMS = [f"i{n}" for n in range(8)]
RATE = {item: 0.05 + 0.08 * n for n, item in enumerate(ITEMS)}
START = 1_700_000_000_000
SLATES, SLOTS, USERS = 1500, 2, 300
POPULAR = """surfaces:
  home:
    n: 2
    retrieve: [{model: popular, quota: 100, weight: 1}]
    fallback: []
    filter: {seen: [click]}
    order: {diversity: {lambda: 1}}
"""


def winnow(*args, code=0):
    done = subprocess.run([WINNOW, *map(str, args)], capture_output=True, text=True, timeout=120)
    if done.returncode != code:
        raise AssertionError(f"winnow {' '.join(map(str, args))}: exit {done.returncode}, expected {code}\n"
                             f"{done.stdout}\n{done.stderr}")
    return done


class Replay(unittest.TestCase):
    """Slates drawn uniformly without repetition. Popularity is views, of which i7 has by far the most, then i6, …; a click
    takes an item off the user's later slates under the policy to judge."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.data = cls.folder / "data"
        rng = random.Random(4)
        before = cls.folder / "before.csv"
        views = [f"w{n},{item},view,{START // 1000 - 5000 + n}" for rank, item in enumerate(ITEMS) for n in range(300 * rank + 200)]
        before.write_text("user,item,type,time\n" + "\n".join(views) + "\n")
        winnow("import", "--data", cls.data, before)
        winnow("train", "--data", cls.data)
        cls.shown, events, clicked = [], [], {}
        for n in range(SLATES):
            user, items = f"u{rng.randrange(USERS)}", rng.sample(ITEMS, SLOTS)
            past = set(clicked.get(user, ()))
            clicks = [item for item in items if rng.random() < RATE[item]]
            for item in clicks:
                events.append(f"{user},{item},click,{n:032x},{START // 1000 + n * 60 + 20}")
                clicked.setdefault(user, set()).add(item)
            cls.shown.append((n, user, items, clicks, past))
        after = cls.folder / "after.csv"
        after.write_text("user,item,type,slate,time\n" + "\n".join(events) + "\n")
        winnow("import", "--data", cls.data, after)
        with sqlite3.connect(cls.data / "winnow.db") as db:
            cls.users = dict(db.execute("SELECT id, ix FROM users"))
            cls.items = dict(db.execute("SELECT id, ix FROM items"))
            for n, user, items, _, _ in cls.shown:
                pairs = [[cls.items[item], 1 / (len(ITEMS) - place)] for place, item in enumerate(items)]
                db.execute("INSERT INTO slates(seq, id, time_ms, surface, user, user_id, snapshot, feed, items) "
                           "VALUES (?, ?, ?, 'home', ?, ?, 1, 0, ?)",
                           (n + 1, f"{n:032x}", START + n * 60000, cls.users.get(user), user if user not in cls.users else None,
                            json.dumps(pairs, separators=(",", ":"))))
        cls.config = cls.folder / "popular.yaml"
        cls.config.write_text(POPULAR)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def replay(self, *args, code=0):
        return json.loads(winnow("replay", "--data", self.data, "--reward", "click", "--bootstrap", 100, "--json", *args,
                                 code=code).stdout)

    def value(self, result, name, of="estimates"):
        return [line for line in result["ope"][of] if line["estimator"] == name][0]

    def test_equals_a_naive_simulation(self):
        got = self.replay("--config", self.config)
        total, weights = 0, 0
        slates = 0
        for _, user, items, clicks, past in self.shown:
            wanted = [item for item in reversed(ITEMS) if item not in past][:SLOTS]
            for place, item in enumerate(items):
                want = [w for w in wanted if w not in items[:place]][0]
                weight = (len(ITEMS) - place) * (item == want)
                total += weight * (item in clicks)
                weights += weight
            slates += (items == wanted) * 8 * 7 * len(clicks)
        self.assertEqual(got["replay"]["slates"], SLATES)
        self.assertAlmostEqual(self.value(got, "IPS")["value"], total / (SLATES * SLOTS), places=6)
        self.assertAlmostEqual(self.value(got, "SNIPS")["value"], total / weights, places=6)
        self.assertAlmostEqual(got["ope"]["guard"]["mean_weight"], weights / (SLATES * SLOTS), places=6)
        # Whole slates are too many for so short a log, single places are not: only the former are refused.
        self.assertTrue(got["ope"]["slate_guard"]["refused"])
        self.assertFalse(got["ope"]["guard"]["refused"])

    def test_sample_and_surfaces(self):
        some = self.replay("--config", self.config, "--slates", 500)["replay"]
        self.assertTrue(400 < some["slates"] < 600, some)
        self.assertEqual(some["slates"] + some["not_drawn"], SLATES)
        winnow("replay", "--data", self.data, "--surface", "attic", code=4)

    def test_a_policy_with_chance_is_drawn(self):
        config = self.folder / "random.yaml"
        config.write_text(POPULAR.replace("popular", "random").replace("[click]", "none"))
        got = self.replay("--config", config, "--slates", 400, "--draws", 300)
        self.assertEqual(got["replay"]["draws"], 300)
        mean = self.value(got, "SNIPS")
        logged = got["ope"]["logged"][0]
        self.assertLess(abs(mean["value"] - logged["value"]), 0.03)  # both are uniform
        self.assertLess(abs(got["ope"]["guard"]["mean_weight"] - 1), 0.05)

    def test_what_the_snapshot_learned_from_is_left_out(self):
        winnow("train", "--data", self.data, "--force")
        done = winnow("replay", "--data", self.data, "--reward", "click", "--config", self.config, code=4)
        self.assertIn("it knows what came of them", done.stderr)
        self.assertEqual(self.replay("--config", self.config, "--snapshot", 1)["replay"]["slates"], SLATES)
        winnow("replay", "--data", self.data, "--snapshot", 77, code=4)

    def test_a_log_without_exploration_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder) / "data"
            subprocess.run(["cp", "-r", self.data, copy], check=True)
            with sqlite3.connect(copy / "winnow.db") as db:
                rows = db.execute("SELECT seq, items FROM slates").fetchall()
                for seq, items in rows:
                    certain = json.dumps([[ix, 1] for ix, _ in json.loads(items)], separators=(",", ":"))
                    db.execute("UPDATE slates SET items = ? WHERE seq = ?", (certain, seq))
            done = winnow("replay", "--data", copy, "--snapshot", 1, "--config", self.config, "--reward", "click", code=1)
            self.assertIn("log some slates with exploration", done.stdout)
            self.assertIn("as of each slate", done.stdout)


if __name__ == "__main__":
    unittest.main()
