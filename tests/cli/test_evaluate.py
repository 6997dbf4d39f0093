"""winnow evaluate on files: formats, cold items, given negatives, what of the train part is fitted on."""
import json
import os
import pathlib
import random
import re
import subprocess
import tempfile
import unittest

WINNOW = os.environ["WINNOW"]


def winnow(*args, code=0):
    done = subprocess.run([WINNOW, *map(str, args)], capture_output=True, text=True, timeout=120)
    if done.returncode != code:
        raise AssertionError(f"winnow {' '.join(map(str, args))}: exit {done.returncode}, expected {code}\n"
                             f"{done.stdout}\n{done.stderr}")
    return done


class Evaluate(unittest.TestCase):
    """60 users and 80 items of two tastes; an item's text is its taste."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        rng = random.Random(3)
        seen = {u: [2 * i + u % 2 for i in rng.sample(range(40), 15)] for u in range(60)}
        lines = [f"{u}\t{i}\t5\n" for u in seen for i in seen[u][:-1]]
        rng.shuffle(lines)
        cls.train, cls.test = cls.folder / "train.tsv", cls.folder / "test.tsv"
        cls.items, cls.negatives = cls.folder / "items.jsonl", cls.folder / "negatives.txt"
        cls.train.write_text("".join(lines))
        cls.test.write_text("".join(f"{u}\t{seen[u][-1]}\t3\t978300000\n" for u in seen))
        cls.items.write_text("".join(json.dumps({"id": i, "title": f"thing{i}", "attributes": {"taste": ["even", "odd"][i % 2]}}) + "\n"
                                     for i in range(90)))
        cls.negatives.write_text("".join(f"({u},{seen[u][-1]})\t" + "\t".join(
            str(i) for i in rng.sample([i for i in range(80) if i not in seen[u]], 20)) + "\n" for u in seen))

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def json(self, *args):
        return json.loads(winnow("evaluate", "--format", "pairs", "--train", self.train, "--bootstrap", 100, "--k", 5,
                                 *args, "--json").stdout)

    def recall(self, result):
        return {row["model"]: row["at"][0]["recall"]["mean"] for row in result["rows"]}

    def test_pairs(self):
        result = self.json("--test", self.test, "--model", "ridge")
        self.assertEqual((result["train_pairs"], result["test_pairs"], result["ranking"]), (840, 60, "the whole catalogue"))
        self.assertFalse(result["sampled"])
        self.assertNotIn("dataset", result)
        winnow("evaluate", "--format", "pairs", "--train", self.train, "--split", "leave-last-out", code=2)
        self.assertEqual(self.json("--split", "random", "--model", "popular")["split"], "random")

    def test_plain_rule(self):
        """The test items are of their users' tastes, and no more than that: the plain rule is as good as anything."""
        result = self.json("--test", self.test, "--items", self.items, "--model", "top", "--model", "ridge")
        self.assertGreater(self.recall(result)["top"], self.recall(result)["popular"])
        guard = next(g for g in result["guards"] if g["name"] == "plain rule")
        self.assertEqual(guard["state"], "warn")
        self.assertIn("nothing is certainly better", guard["reason"])
        guards = self.json("--test", self.test, "--model", "ridge")["guards"]
        self.assertNotIn("plain rule", [g["name"] for g in guards])

    def test_cold_items(self):
        how = ["--split", "cold-items", "--items", self.items, "--model", "content", "--test-share", "0.2"]
        cold, among_all = self.json(*how), self.json(*how, "--candidates", "all")
        self.assertEqual(cold["split"], "cold-items")
        self.assertEqual(cold["test_pairs"], cold["cold_test_pairs"])
        self.assertLess(cold["choices"], 30)
        self.assertEqual(among_all["choices"], 80)
        recall = self.recall(cold)
        self.assertGreater(recall["content"], 1.5 * recall["random"])
        self.assertGreater(recall["content"], self.recall(among_all)["content"])
        table = winnow("evaluate", "--format", "pairs", "--train", self.train, *how).stdout
        self.assertIn("the held-out items alone", table)
        for args in [["--split", "cold-items"], ["--test", self.test, "--candidates", "all"],
                     ["--split", "cold-items", "--items", self.items, "--candidates", "some"]]:
            winnow("evaluate", "--format", "pairs", "--train", self.train, *args, code=2)

    def test_items_that_are_wrong(self):
        bad = self.folder / "bad.jsonl"
        bad.write_text('{"id":"x1","title":"x"}\n')
        failed = winnow("evaluate", "--format", "pairs", "--train", self.train, "--split", "cold-items", "--items", bad, code=3)
        self.assertIn("number", failed.stderr)
        winnow("evaluate", "--format", "pairs", "--train", self.train, "--split", "cold-items", "--items",
               self.folder / "absent", code=4)

    def test_negatives(self):
        how = ["--test", self.test, "--model", "ridge", "--negatives", self.negatives]
        result = self.json(*how)
        self.assertTrue(result["sampled"])
        self.assertIn("not comparable", result["ranking"])
        self.assertGreater(result["choices"], 19)
        self.assertLessEqual(result["choices"], 21)
        self.assertGreater(self.recall(result)["random"], 0.1)  # 5 of 21, against 5 of 66
        plain = ["evaluate", "--format", "pairs", "--train", self.train, *how]
        table = winnow(*plain).stdout
        self.assertIn("SAMPLED METRICS", table)
        self.assertIn("(sampled)", table)
        metrics = json.loads(winnow(*plain, "--metrics", "hit@10,ndcg@10", "--json").stdout)
        self.assertIn("not comparable", metrics["sampled"])
        self.assertEqual(set(metrics["ridge"]), {"hit@10", "ndcg@10"})
        short = self.folder / "short.txt"
        short.write_text("(0,1)\t2\t3\n")
        self.assertIn("user 1", winnow("evaluate", "--format", "pairs", "--train", self.train, "--test", self.test,
                                       "--negatives", short, code=2).stderr)
        short.write_text("0,1\t2\t3\n")
        self.assertIn("short.txt:1", winnow("evaluate", "--format", "pairs", "--train", self.train, "--test", self.test,
                                            "--negatives", short, code=3).stderr)

    def test_dataset_options(self):
        whole = self.json("--test", self.test, "--model", "ridge")
        cut = self.json("--test", self.test, "--model", "ridge", "--dataset", "user_items_max=3", "--dataset", "item_users_min=2")
        for population in ("train_pairs", "test_pairs", "users_evaluated"):
            self.assertEqual(whole[population], cut[population])
        self.assertEqual(cut["dataset"]["users_over"], 60)
        self.assertEqual(cut["dataset"]["pairs_over"], 840 - 180)
        self.assertLessEqual(cut["dataset"]["pairs"], 180)
        self.assertNotEqual(self.recall(whole)["ridge"], self.recall(cut)["ridge"])
        table = winnow("evaluate", "--format", "pairs", "--train", self.train, "--test", self.test, "--model", "popular",
                       "--dataset", "user_items_max=3").stdout
        self.assertIn("660 pairs over the cap", table)
        self.assertIn("window_days", winnow("evaluate", "--format", "pairs", "--train", self.train, "--test", self.test,
                                            "--dataset", "nonsense=1", code=2).stderr)

    def test_dataset_options_of_training(self):
        data = self.folder / "data"
        log = self.folder / "log.csv"
        log.write_text("user,item,type,time\n" + "".join(f"u{u},i{u % 7 + n},view,{1600000000 + 86400 * (u + n)}\n"
                                                         for u in range(30) for n in range(5)))
        winnow("import", "--data", data, log)
        plain = json.loads(winnow("train", "--data", data, "--json").stdout)
        self.assertEqual(plain["dataset"]["pairs"], plain["interactions"])
        (data / "winnow.yaml").write_text("dataset: {window_days: 10}\n")
        cut = json.loads(winnow("train", "--data", data, "--json").stdout)
        self.assertEqual(cut["last_seq"], plain["last_seq"])
        self.assertGreater(cut["dataset"]["events_old"], 0)
        self.assertLess(cut["interactions"], plain["interactions"])
        self.assertIn("events before the window", winnow("train", "--data", data).stdout)
        # what is not fitted on is still seen
        slate = json.loads(winnow("recommend", "--data", data, "--user", "u0", "--n", "20", "--json").stdout)
        self.assertFalse({"i0", "i1", "i2", "i3", "i4"} & {item["id"] for item in slate["items"]})

    def test_one_user(self):
        """One user says nothing about others: no interval, in the table, the JSON and the page."""
        train, test, page = self.folder / "one-train.txt", self.folder / "one-test.txt", self.folder / "one.html"
        train.write_text("0 1 2 3\n1 2 3 4\n2 1 4 5\n")
        test.write_text("0 4 5\n")
        args = ("evaluate", "--train", train, "--test", test, "--format", "adjacency", "--model", "popular", "--k", "1,2")
        row = next(line for line in winnow(*args, "--report", page).stdout.splitlines() if line.startswith("popular"))
        self.assertEqual(row.split()[1:5], ["1.0000", "-", "0.5000", "-"])
        self.assertIn("null", winnow(*args, "--json").stdout)
        visible = re.sub(r"<style>.*?</style>", "", page.read_text(), flags=re.S).split("<script")[0]
        self.assertEqual(re.findall(r"[^a-z]nan[^a-z]", visible + winnow(*args).stdout), [])
        test.write_text("")
        done = subprocess.run([WINNOW, *map(str, args)], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 2)
        self.assertIn("the test part of the split is empty", done.stderr)


if __name__ == "__main__":
    unittest.main()
