"""winnow batch: the same lists as elsewhere, in three formats, and the same file when it is killed in between."""
import contextlib
import csv
import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import tempfile
import time
import unittest

WINNOW = os.environ["WINNOW"]


def winnow(*args, code=0):
    done = subprocess.run([WINNOW, *map(str, args)], capture_output=True, text=True, timeout=120)
    if done.returncode != code:
        raise AssertionError(f"winnow {' '.join(map(str, args))}: exit {done.returncode}, expected {code}\n"
                             f"{done.stdout}\n{done.stderr}")
    return done


class Batch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        rng = random.Random(5)
        cls.data = cls.folder / "data"
        cls.seen = {}
        with open(cls.folder / "events.csv", "w") as out:
            out.write("user,item,type,time\n")
            for n in range(4000):
                user, item = f'u"{n % 200},', f"i{rng.randrange(40) * 2 + n % 2}"
                cls.seen.setdefault(user, set()).add(item)
                quoted = user.replace('"', '""')
                out.write(f'"{quoted}",{item},view,{1600000000 + n * 60}\n')
        winnow("import", "--data", cls.data, cls.folder / "events.csv")
        winnow("train", "--data", cls.data, "--set", "als.factors=16")
        cls.file = cls.folder / "train.txt"
        cls.file.write_text("".join(f"{u} {' '.join(str(i) for i in sorted(rng.sample(range(300), 12)))}\n" for u in range(900)))

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def batch(self, out, *args, data=True, code=0):
        source = ["--data", self.data] if data else ["--train", self.file]
        return winnow("batch", *source, "--out", self.folder / out, *args, code=code)

    def lists(self, out):
        lists = {}
        with open(self.folder / out, newline="") as rows:
            for row in csv.DictReader(rows):
                lists.setdefault(row["user"], []).append(row["item"])
                self.assertEqual(int(row["rank"]), len(lists[row["user"]]))
        return lists

    def table(self, name, sql="SELECT user, item, score, rank FROM recommendations ORDER BY rowid"):
        with contextlib.closing(sqlite3.connect(self.folder / name)) as database:
            return database.execute(sql).fetchall()

    def test_every_user_and_nothing_seen(self):
        report = json.loads(self.batch("all.csv", "--model", "als", "--n", "10", "--json").stdout)
        lists = self.lists("all.csv")
        self.assertEqual(set(lists), set(self.seen))
        self.assertEqual((report["users"], report["rows"]), (200, 2000))
        for user, items in lists.items():
            self.assertEqual(len(set(items)), 10)
            self.assertFalse(set(items) & self.seen[user])
        self.batch("kept.csv", "--model", "als", "--n", "10", "--keep-seen")
        self.assertTrue(any(set(items) & self.seen[user] for user, items in self.lists("kept.csv").items()))
        self.assertFalse([p for p in self.folder.iterdir() if p.name.startswith(("all.csv.", "kept.csv."))])

    def test_formats_hold_the_same(self):
        for name in ("f.csv", "f.jsonl", "f.sqlite"):
            self.batch(name, "--model", "covisit", "--n", "5")
        with open(self.folder / "f.csv", newline="") as rows:
            table = [(r["user"], r["item"], float(r["score"]), int(r["rank"])) for r in csv.DictReader(rows)]
        lines = [json.loads(line) for line in (self.folder / "f.jsonl").read_text().splitlines()]
        self.assertEqual(table, [(r["user"], r["item"], r["score"], r["rank"]) for r in lines])
        rows = self.table("f.sqlite")
        self.assertEqual([(u, i, r) for u, i, _, r in rows], [(u, i, r) for u, i, _, r in table])
        for (_, _, a, _), (_, _, b, _) in zip(rows, table):
            self.assertAlmostEqual(a, b, places=6)
        self.assertEqual(self.table("f.sqlite", "SELECT name FROM sqlite_master WHERE type = 'table'"), [("recommendations",)])

    def test_a_surface_gives_its_slates(self):
        (self.folder / "one.txt").write_text('u"7,\nnobody\n\n')
        report = json.loads(self.batch("home.csv", "--surface", "home", "--n", "8", "--users", self.folder / "one.txt", "--json").stdout)
        self.assertEqual((report["users"], report["users_unknown"]), (1, 1))
        slate = json.loads(winnow("recommend", "--data", self.data, "--user", 'u"7,', "--n", "8", "--json").stdout)
        self.assertEqual(self.lists("home.csv")['u"7,'], [item["id"] for item in slate["items"]])

    def test_any_number_of_threads(self):
        for model in ("als", "ridge-seq", "popular"):
            for threads in (1, 3):
                self.batch(f"{threads}.csv", "--model", model, "--n", "7", "--threads", threads, data=False)
            self.assertEqual((self.folder / "1.csv").read_bytes(), (self.folder / "3.csv").read_bytes())

    def killed(self, out, *args, data):
        """Starts the job, kills it once a part is done; False: it was too fast."""
        path = self.folder / out
        source = ["--data", self.data] if data else ["--train", self.file]
        job = subprocess.Popen([WINNOW, "batch", *map(str, source), "--out", str(path), *map(str, args)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        state = pathlib.Path(f"{path}.state")
        deadline = time.monotonic() + 60
        while job.poll() is None and time.monotonic() < deadline:
            try:
                if "done 0\n" not in state.read_text():
                    break
            except FileNotFoundError:
                pass
        job.send_signal(signal.SIGKILL)
        job.wait()
        return not path.exists()

    def test_killed_jobs_end_as_if_nothing_had_been(self):
        for name, data, args in [("k.csv", False, ["--model", "als", "--n", "20"]),
                                 ("k.jsonl", True, ["--surface", "home", "--n", "5"]),
                                 ("k.sqlite", True, ["--model", "covisit", "--n", "5"])]:
            self.batch(f"whole-{name}", *args, data=data)
            steps = ["--chunk", "3"]
            if self.killed(name, *args, *steps, data=data):
                other = self.batch(name, *args[:-1], "19", *steps, data=data, code=2)
                self.assertIn("--restart", other.stderr)
                again = json.loads(self.batch(name, *args, *steps, "--json", data=data).stdout)
                self.assertGreater(again["users_before"], 0)
            if name.endswith("sqlite"):
                self.assertEqual(self.table(name), self.table(f"whole-{name}"))
            else:
                self.assertEqual((self.folder / name).read_bytes(), (self.folder / f"whole-{name}").read_bytes())

    def test_what_was_written_meanwhile_does_not_matter(self):
        args = ["--model", "covisit", "--n", "5"]
        self.batch("before.csv", *args)
        cut = self.killed("m.csv", *args, "--chunk", "3", data=True)
        more = self.folder / "more.csv"
        more.write_text("user,item,type,time\n" + "".join(f"new{n},i{n % 3},view,1600900000\n" for n in range(50)))
        winnow("import", "--data", self.data, more)
        winnow("train", "--data", self.data, "--set", "als.factors=8")
        if cut:
            self.batch("m.csv", *args, "--chunk", "3")
        self.assertEqual((self.folder / "m.csv").read_bytes(), (self.folder / "before.csv").read_bytes())
        self.batch("m.csv", *args)
        self.assertGreater(len(self.lists("m.csv")), 200)

    def test_wrong_usage(self):
        model = ["--model", "als"]
        for args in [[], ["--model", "als", "--surface", "home"], ["--model", "als", "--model", "covisit"],
                     [*model, "--n", "0"], [*model, "--n", "1001"], [*model, "--set", "factors=3"], [*model, "--format", "xml"], [*model, "--format", "parquet"],
                     ["--surface", "home", "--keep-seen"], [*model, "--chunk", "0"]]:
            self.batch("wrong.csv", *args, code=2)
        self.batch("wrong.csv", "--model", "crystal-ball", code=4)
        self.batch("wrong.csv", "--surface", "crystal-ball", code=4)
        self.batch("wrong.csv", "--surface", "popular", code=2)
        self.batch("wrong.csv", "--model", "als", "--users", self.folder / "absent", code=4)
        self.batch("no/such/folder.csv", "--model", "als", code=6)
        self.assertFalse((self.folder / "wrong.csv").exists())


if __name__ == "__main__":
    unittest.main()
