"""winnow evaluate --run: given recommendations equal an independent implementation, ties and other tools included."""
import json
import lzma
import math
import os
import pathlib
import random
import subprocess
import tempfile
import unittest

WINNOW = os.environ["WINNOW"]
DATA = pathlib.Path(os.environ.get("WINNOW_TEST_DATA", "../shared/data"))


def winnow(*args, code=0):
    done = subprocess.run([WINNOW, *map(str, args)], capture_output=True, text=True, timeout=240)
    if done.returncode != code:
        raise AssertionError(f"winnow {' '.join(map(str, args))}: exit {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}")
    return done


def adjacency(path):
    rows = {}
    with lzma.open(path, "rt") as file:
        for line in file:
            user, *items = map(int, line.split())
            if items:
                rows.setdefault(user, []).extend(items)
    return rows


def by_hand(test, lists, k):
    """Mean recall and NDCG over test's users, straight from the definitions."""
    recall, ndcg = [], []
    for user in sorted(test):
        relevant, top = set(test[user]), lists.get(user, [])[:k]
        hits = [rank for rank, item in enumerate(top, 1) if item in relevant]
        recall.append(len(hits) / len(relevant))
        ndcg.append(math.fsum(1 / math.log2(rank + 1) for rank in hits)
                    / math.fsum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1)))
    return {f"recall@{k}": math.fsum(recall) / len(recall), f"ndcg@{k}": math.fsum(ndcg) / len(ndcg)}


class Run(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.train, cls.test = cls.folder / "train.txt", cls.folder / "test.txt"
        cls.train.write_text("0 1 2\n1 1 3\n2 2 3\n3 1\n")
        cls.test.write_text("0 4\n1 5 6\n2 4\n4 4\n")  # user 3 has no future, user 4 no past

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def files(self):
        return ["--train", self.train, "--test", self.test, "--format", "adjacency", "--bootstrap", 10]

    def run_file(self, text, *args, code=0):
        path = self.folder / "run.txt"
        path.write_text(text)
        done = winnow("evaluate", *self.files(), "--run", path, "--k", 3, *args, code=code)
        if code or "--json" not in args:
            return done
        result = json.loads(done.stdout)
        return result, {row["model"]: row for row in result["rows"]}[result["rows"][-1]["model"]]

    def test_formats(self):
        for text in ["0 4\n0 5\n1 4\n1 5\n", "0 4 2.5\n0 5 1\n1 5 .1\n1 4 .2\n",
                     "0\tQ0\t4\t1\t9\tmine\n0\tQ0\t5\t2\t8\tmine\n1\tQ0\t4\t1\t9\tmine\n1\tQ0\t5\t2\t8\tmine\n"]:
            result, row = self.run_file(text, "--json")
            self.assertEqual(row["model"], "mine" if "mine" in text else "run.txt")
            self.assertEqual([r["model"] for r in result["rows"][:2]], ["random", "popular"])
            self.assertAlmostEqual(row["at"][0]["recall"]["mean"], (1 + 0.5 + 0) / 3, 12)
            self.assertEqual((row["users_without_list"], result["cold_evaluated"]), (1, 1))
            self.assertEqual(row["users_tied"], 0)

    def test_ties(self):
        # three tied items for k 1: a third of the time the right one
        result, row = self.run_file("0 4 1\n0 5 1\n0 6 1\n", "--json", "--k", 1)
        self.assertAlmostEqual(row["at"][0]["recall"]["mean"], 1 / 3 / 3, 12)
        tie = row["ties"][0]["recall"]
        self.assertAlmostEqual(tie["best"], 1 / 3, 9)
        self.assertEqual(tie["worst"], 0)
        # scores that one float could not tell apart
        _, row = self.run_file("0 5 1.00000000000001\n0 4 1\n", "--json", "--k", 1)
        self.assertEqual((row["users_tied"], row["at"][0]["recall"]["mean"]), (0, 0))

    def test_other_tools(self):
        # equal scores: trec_eval takes the greater id, and leaves out the two users without a list
        text = "0 4 1\n0 5 1\n"
        _, row = self.run_file(text, "--json", "--k", 1, "--compat", "trec_eval")
        self.assertEqual(row["compat"]["at"][0]["recall"], 0)
        _, row = self.run_file("0 4 1\n0 3 1\n", "--json", "--k", 1, "--compat", "trec_eval")
        self.assertEqual(row["compat"]["at"][0]["recall"], 1)
        _, row = self.run_file("1 4 2\n1 5 1\n", "--json", "--k", 2, "--compat", "lenskit")
        self.assertAlmostEqual(row["compat"]["at"][0]["ndcg"], (1 / (1 + 1)) / 3, 9)
        self.assertIn("as rectools would print", self.run_file(text, "--compat", "rectools").stdout)
        self.assertIn("compat", self.run_file(text, "--compat", "surprise", code=2).stderr)

    def test_items_that_the_data_lack_take_a_place(self):
        _, row = self.run_file("0 77 3\n0 78 2\n0 4 1\n", "--json", "--k", "2,3")
        self.assertEqual([at["recall"]["mean"] for at in row["at"]], [0, 1 / 3])
        done = self.run_file("0 1 3\n0 4 2\n0 4 1\n9 4 1\n")
        self.assertIn("1 users", done.stderr)
        self.assertIn("1 lines repeat", done.stderr)
        self.assertIn("recommends 1 items that their user has in train", done.stdout)

    def test_what_is_wrong_is_named(self):
        for text, said in [("0 4 nan\n", "score"), ("0 4 1\n0 5\n", ":2"), ("0\n", ":1"), ("a b 1\n", "whole number"),
                           ("", "no recommendations"), ("0 4 inf\n", "finite"), ("0 4 1 2\n", "user item")]:
            self.assertIn(said, self.run_file(text, code=3).stderr)
        winnow("evaluate", *self.files(), "--run", self.folder / "absent", code=4)

    def test_compare(self):
        a, b, c = (self.folder / name for name in ("a.tsv", "b.tsv", "c.tsv"))
        path = self.folder / "r.txt"
        path.write_text("0 4\n1 5\n2 4\n")
        winnow("evaluate", *self.files(), "--run", path, "--per-user", a)
        winnow("evaluate", *self.files(), "--model", "popular", "--per-user", b)
        winnow("evaluate", *self.files(), "--model", "popular", "--users", 2, "--per-user", c)
        result = json.loads(winnow("lab", "compare", "--json", f"{a}:r.txt", f"{b}:random").stdout)
        self.assertEqual(result["users"], 3)
        self.assertEqual(result["wins"] + result["ties"] + result["losses"], 3)
        self.assertIn("difference", winnow("lab", "compare", f"{a}:r.txt", f"{a}:popular").stdout)
        self.assertIn("not comparable", winnow("lab", "compare", f"{a}:r.txt", f"{c}:random", code=2).stderr)
        odd = self.folder / "noon:a.tsv"  # rows are called `funnel:home`, files may be called anything
        odd.write_text(a.read_text().replace("\nr.txt\t", "\nfunnel:home\t"))
        self.assertIn("difference", winnow("lab", "compare", f"{odd}:funnel:home", f"{b}:random").stdout)
        self.assertIn("no row", winnow("lab", "compare", f"{a}:nobody", f"{b}:random", code=4).stderr)

    @unittest.skipUnless((DATA / "gowalla-lightgcn").is_dir() and (DATA / "ml-1m-bars").is_dir(), "no data")
    def test_equals_an_independent_implementation(self):
        """Recall@20 and NDCG@20 of a fixed list on MovieLens 1M and gowalla, to 1e-9."""
        for name in ("ml-1m-bars", "gowalla-lightgcn"):
            train, test = (DATA / name / f"{part}.txt.xz" for part in ("train", "test"))
            seen, relevant = adjacency(train), adjacency(test)
            counts = {}
            for items in seen.values():
                for item in items:
                    counts[item] = counts.get(item, 0) + 1
            popular = sorted(counts, key=lambda item: (-counts[item], item))[:400]
            rng, lists, path = random.Random(7), {}, self.folder / "fixed.txt"
            with open(path, "w") as file:
                for user in sorted(relevant):
                    had = set(seen.get(user, []))
                    top = [item for item in rng.sample(popular, 60) if item not in had][:25]
                    for item in relevant[user]:  # and some that are right, where they fall
                        if rng.random() < 0.3 and item not in top:
                            top.insert(rng.randrange(len(top) + 1), item)
                    lists[user] = top
                    file.writelines(f"{user} {item} {1 / (rank + 1)!r}\n" for rank, item in enumerate(top))
            got = json.loads(winnow("evaluate", "--train", train, "--test", test, "--format", "adjacency", "--run", path,
                                    "--metrics", "recall@20,ndcg@20", "--bootstrap", 1, "--json").stdout)["fixed.txt"]
            for metric, value in by_hand({u: r for u, r in relevant.items() if u in seen}, lists, 20).items():
                self.assertGreater(value, 0.05)
                self.assertLess(abs(got[metric] - value), 1e-9, (name, metric))


if __name__ == "__main__":
    unittest.main()
