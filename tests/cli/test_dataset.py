"""winnow dataset: four planted faults are caught and a clean set is not accused; near-duplicates; files that evaluate reads back."""
import json
import os
import pathlib
import random
import subprocess
import tempfile
import unittest

WINNOW = os.environ["WINNOW"]
DAY = 86400


def winnow(*args, code=0):
    done = subprocess.run([WINNOW, *map(str, args)], capture_output=True, text=True, timeout=120)
    if done.returncode != code:
        raise AssertionError(f"winnow {' '.join(map(str, args))}: exit {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}")
    return done


class Dataset(unittest.TestCase):
    """80 users and 60 items, 100 days; the last tenth is the test. Later items become popular."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        rng, cls.events, had = random.Random(11), [], set()
        for day in range(100):
            for _ in range(25):
                user, item = rng.randrange(80), int(60 * rng.random() ** (1 + day / 40))
                if (user, item) not in had:
                    had.add((user, item))
                    cls.events.append((user, item, rng.randrange(1, 6), 1600000000 + DAY * day + len(cls.events) % 1000))
        cls.events.sort(key=lambda event: event[3])
        cut = len(cls.events) * 8 // 10
        cls.train, cls.test = cls.events[:cut], cls.events[cut:]

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def write(self, name, events):
        path = self.folder / name
        path.write_text("".join("\t".join(map(str, event)) + "\n" for event in events))
        return path

    def audit(self, train, test, *args, code=0):
        done = winnow("dataset", "audit", "--train", self.write("train.tsv", train), "--test", self.write("test.tsv", test),
                      "--format", "ratings", "--range", "1,5", *args, "--json", code=code)
        return {check["check"]: check for check in json.loads(done.stdout)["audit"]}

    def popularity(self, name, events):
        counts = {}
        for _, item, *_ in events:
            counts[item] = counts.get(item, 0) + 1
        path = self.folder / name
        path.write_text("".join(f"{item} {counts.get(item, 0) ** 0.5:.6f}\n" for item in range(60)))
        return path

    def impressions(self, name, p):
        """Item i of 4 is shown with the first probabilities and logged with `p`."""
        rng, true = random.Random(5), [0.55, 0.25, 0.15, 0.05]
        lines = ["item_id,position,click,propensity_score"]
        for _ in range(4000):
            item = rng.choices(range(4), true)[0]
            lines.append(f"i{item},1,{int(rng.random() < 0.1)},{p[item]}")
        path = self.folder / name
        path.write_text("\n".join(lines) + "\n")
        return path

    def test_a_clean_set_passes(self):
        checks = self.audit(self.train, self.test, "--feature", f"item.popular={self.popularity('p.tsv', self.train)}",
                            "--impressions", self.impressions("right.csv", [0.55, 0.25, 0.15, 0.05]))
        for name in ("sizes", "future", "own future", "duplicates", "repeats", "labels", "range", "feature popular", "propensities"):
            self.assertEqual(checks[name]["state"], "pass", checks[name])

    def test_future_leakage(self):
        leaked = self.train + self.test[len(self.test) // 2:][::3]
        checks = self.audit(leaked, [e for e in self.test if e not in set(leaked)], code=1)
        self.assertEqual((checks["future"]["state"], checks["own future"]["state"]), ("fail", "fail"))
        self.assertGreater(checks["future"]["count"], len(self.test) / 3)
        self.assertEqual(checks["duplicates"]["state"], "pass")

    def test_duplicate_pairs(self):
        planted = [(user, item, value, self.train[0][3]) for user, item, value, _ in self.test[::10]]
        checks = self.audit(planted + self.train, self.test, code=1)
        self.assertEqual((checks["duplicates"]["state"], checks["duplicates"]["count"]), ("fail", len(planted)))
        self.assertEqual(checks["future"]["state"], "pass")

    def test_wrong_propensities(self):
        checks = self.audit(self.train, self.test, "--impressions", self.impressions("wrong.csv", [0.25] * 4), code=1)
        self.assertEqual(checks["propensities"]["state"], "fail")
        self.assertIn("item i", checks["propensities"]["reason"])

    def test_popularity_of_the_whole_log(self):
        planted = self.popularity("whole.tsv", self.events)
        checks = self.audit(self.train, self.test, "--feature", f"item.popular={planted}", code=1)
        self.assertEqual(checks["feature popular"]["state"], "fail")
        self.assertIn("computed with the test part", checks["feature popular"]["reason"])
        noise = self.folder / "noise.tsv"
        noise.write_text("".join(f"{item} {item * 7919 % 61}\n" for item in range(60)))
        self.assertEqual(self.audit(self.train, self.test, "--feature", f"item.noise={noise}")["feature noise"]["state"], "pass")

    def test_labels(self):
        wrong = self.train + [(*self.train[5][:2], 9, self.train[5][3])]
        checks = self.audit(wrong, self.test, code=1)
        self.assertEqual((checks["labels"]["count"], checks["range"]["count"]), (1, 1))
        self.assertEqual((checks["labels"]["state"], checks["range"]["state"]), ("fail", "fail"))
        twice = self.audit(self.train + self.train[:7], self.test)
        self.assertEqual((twice["repeats"]["state"], twice["repeats"]["count"], twice["labels"]["state"]), ("warn", 7, "pass"))
        user, item, value, time = self.train[5]
        again = self.audit(self.train + [(user, item, value + (1 if value < 5 else -1), time + 1)], self.test)
        self.assertEqual((again["labels"]["state"], again["labels"]["count"]), ("warn", 1))

    def test_bad_input(self):
        good = self.write("good.tsv", self.train)
        for text, said in [("1 2 nan 5\n", "value"), ("1 2 3\n", "time"), ("1 2\n", "value"), ("1 2 3 then\n", "time"), ("a 2 3 4\n", "user")]:
            bad = self.folder / "bad.tsv"
            bad.write_text(text)
            failed = winnow("dataset", "audit", "--train", bad, "--test", good, "--format", "ratings", code=3)
            self.assertIn("bad.tsv:1", failed.stderr)
            self.assertIn(said, failed.stderr)
        for p, said in [(["0"] * 4, "propensity"), (["1.5"] * 4, "propensity"), (["nan"] * 4, "propensity")]:
            failed = winnow("dataset", "audit", "--train", good, "--test", good, "--format", "ratings",
                            "--impressions", self.impressions("bad.csv", p), code=3)
            self.assertIn(said, failed.stderr)
        empty = self.folder / "empty.tsv"
        empty.write_text("")
        self.assertEqual(self.audit(self.train, [], code=1)["sizes"]["state"], "fail")
        winnow("dataset", "audit", "--train", empty, "--format", "ratings", code=2)
        for args in (["dataset"], ["dataset", "guess"], ["dataset", "audit"], ["dataset", "audit", "--train", good],
                     ["dataset", "audit", "--train", good, "--format", "ratings", "--range", "5,1"],
                     ["dataset", "audit", "--train", good, "--format", "ratings", "--merge"],
                     ["dataset", "audit", "--train", good, "--format", "ratings", "--near", ".9"],
                     ["dataset", "audit", "--train", good, "--format", "ratings", "--exclude", "x == 1"],
                     ["dataset", "build", "--train", good, "--format", "ratings"]):
            winnow(*args, code=2)

    def test_splits_say_what_they_are(self):
        log = self.write("log.tsv", self.events)
        states = {}
        for split in ("time", "leave-last-out", "random", "random-users", "cold-users"):
            done = subprocess.run([WINNOW, "dataset", "audit", "--train", log, "--format", "ratings", "--split", split, "--json"],
                                  capture_output=True, text=True)
            states[split] = {c["check"]: c["state"] for c in json.loads(done.stdout)["audit"]}
        self.assertEqual(states["time"]["future"], "pass")
        self.assertEqual((states["leave-last-out"]["future"], states["leave-last-out"]["own future"]), ("warn", "pass"))
        self.assertEqual((states["random"]["future"], states["random"]["own future"]), ("warn", "warn"))
        self.assertEqual(states["random-users"]["future"], "warn")
        self.assertEqual(states["cold-users"]["own future"], "pass")

    def test_build_is_read_back(self):
        log, out = self.write("log.tsv", self.events), self.folder / "built"
        done = json.loads(winnow("dataset", "build", "--train", log, "--format", "ratings", "--out", out, "--negatives", "popular",
                                 "--negatives-n", 7, "--dataset", "user_items_min=3", "--json").stdout)
        about = json.loads((out / "dataset.json").read_text())
        self.assertEqual(about, done)
        lines = (out / "negatives.txt").read_text().splitlines()
        self.assertEqual((len(lines), done["written"]["test_pairs"]), (done["test_pairs"], done["test_pairs"]))
        had = {event[:2] for event in self.events}
        for line in lines[:50]:
            head, *items = line.split("\t")
            user = int(head[1:].split(",")[0])
            self.assertEqual(len(set(items)), 7)
            self.assertFalse(any((user, int(item)) in had for item in items))
        again = json.loads(winnow("evaluate", "--train", out / "train.tsv", "--test", out / "test.tsv", "--format", "ratings",
                                  "--negatives", out / "negatives.txt", "--model", "popular", "--bootstrap", 10, "--json").stdout)
        self.assertEqual((again["test_pairs"], again["sampled"]), (done["test_pairs"], True))
        kept = [json.loads(winnow("dataset", "describe", "--train", log, "--format", "ratings", *more, "--json").stdout)
                for more in ([], ["--dataset", "user_items_min=3"])]
        self.assertEqual(kept[1]["fitted_hash"], done["fitted_hash"])
        self.assertEqual((kept[0]["dataset_hash"], kept[0]["split_hash"]), (done["dataset_hash"], done["split_hash"]))
        self.assertEqual(kept[0]["fitted_hash"] == done["fitted_hash"], kept[0]["dataset"]["pairs"] == done["dataset"]["pairs"])
        self.assertEqual(winnow("dataset", "build", "--train", log, "--format", "ratings", "--out", out, "--negatives", "popular",
                                "--negatives-n", 7, "--dataset", "user_items_min=3", "--json").stdout.strip(),
                         (out / "dataset.json").read_text())
        self.assertIn("shown needs --data", winnow("dataset", "build", "--train", log, "--format", "ratings", "--out", out,
                                                   "--negatives", "shown", code=2).stderr)

    def test_near_duplicates_and_exclusion(self):
        data, items = self.folder / "data", self.folder / "items.jsonl"
        words = "river stone window garden letter silver engine forest candle bridge winter market".split()
        rng = random.Random(2)
        texts = [" ".join(rng.sample(words, 9)) for _ in range(40)]
        texts[7], texts[9] = texts[3], texts[3].upper() + "!"
        items.write_text("".join(json.dumps({"id": f"i{i}", "title": text, "attributes": {"adult": i == 5, "sold": i}}) + "\n"
                                 for i, text in enumerate(texts)))
        log = self.folder / "log.csv"
        log.write_text("user,item,type,time\n" + "".join(f"u{u},i{(u * 7 + n) % 40},view,{1600000000 + DAY * n + u}\n"
                                                         for u in range(30) for n in range(12)))
        winnow("import", "--data", data, items)
        winnow("import", "--data", data, log)
        how = ["--data", data, "--near", "0.85", "--json"]
        plain = json.loads(winnow("dataset", "describe", *how).stdout)
        self.assertEqual((plain["near"]["groups"], plain["near"]["grouped"]), (1, 3))
        self.assertEqual({tuple(sorted(pair[:2])) for pair in plain["near"]["most_alike"]}, {("i3", "i7"), ("i3", "i9"), ("i7", "i9")})
        merged = json.loads(winnow("dataset", "describe", *how, "--merge", "--exclude", "adult == true").stdout)
        self.assertEqual((merged["excluded_items"], plain["excluded_items"]), (1, 0))
        self.assertGreater(merged["merged_events"], 0)
        self.assertEqual(merged["train_events"] + merged["test_events"] + merged["excluded_events"], 360)
        self.assertNotEqual(merged["dataset_hash"], plain["dataset_hash"])
        self.assertIn("3 items in 1 groups", winnow("dataset", "describe", "--data", data, "--near", "0.85").stdout)
        checks = {c["check"] for c in json.loads(winnow("dataset", "audit", "--data", data, "--json").stdout)["audit"]}
        self.assertIn("feature sold", checks)
        # two protocols by default, one on demand
        both = json.loads(winnow("evaluate", "--data", data, "--no-funnel", "--bootstrap", 10, "--json").stdout)
        self.assertEqual((both["split"], both["second_protocol"]["split"]), ("time", "leave-last-out"))
        self.assertLessEqual(abs(both["second_protocol"]["kendall"]), 1)
        self.assertEqual(set(both["second_protocol"]["values"]), {row["model"] for row in both["rows"]})
        self.assertIn("Kendall", winnow("evaluate", "--data", data, "--no-funnel", "--model", "als", "--protocols", 2).stdout)
        self.assertNotIn("Kendall", winnow("evaluate", "--data", data, "--no-funnel", "--model", "als").stdout)
        # strong generalisation: nothing of the held-out users is fitted on, and they are who is evaluated
        strong = json.loads(winnow("evaluate", "--data", data, "--split", "random-users", "--test-share", "0.3", "--model", "covisit",
                                   "--bootstrap", 10, "--json").stdout)
        self.assertEqual(strong["split"], "random-users")
        self.assertLess(strong["users_evaluated"], 20)
        self.assertGreater(strong["users_evaluated"], 3)


if __name__ == "__main__":
    unittest.main()
