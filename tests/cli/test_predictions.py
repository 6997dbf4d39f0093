"""winnow evaluate --predictions: areas, losses and calibration against plain definitions; bad input is named."""
import json
import math
import os
import pathlib
import random
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


def auc(rows):
    ones, zeros = [p for p, y in rows if y], [p for p, y in rows if not y]
    return sum((a > b) + 0.5 * (a == b) for a in ones for b in zeros) / (len(ones) * len(zeros)) if ones and zeros else None


def average_precision(rows):
    total, before = 0.0, 0.0
    positives = sum(y for _, y in rows)
    for cut in sorted({p for p, _ in rows}, reverse=True):
        above = [y for p, y in rows if p >= cut]
        total += (sum(above) / positives - before) * sum(above) / len(above)
        before = sum(above) / positives
    return total


def ece(rows):
    cells = {}
    for p, y in rows:
        cells.setdefault(min(9, int(p * 10 + 1e-9)), []).append(p - y)
    return sum(abs(sum(c)) for c in cells.values()) / len(rows)


class Predictions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        rng = random.Random(4)
        cls.rows = []
        for n in range(600):
            p = round(rng.random() ** 2, 2)  # two digits: many ties
            cls.rows.append((rng.randrange(40), p, int(rng.random() < p), "ab"[rng.random() < 0.3]))
        cls.file = cls.folder / "p.csv"
        cls.file.write_text("user,probability,label,kind\n" + "".join(f"u{u},{p},{y},{k}\n" for u, p, y, k in cls.rows))

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def ask(self, *args):
        return json.loads(winnow("evaluate", "--predictions", *args, "--json").stdout)["predictions"]

    def test_plain_definitions(self):
        got = self.ask(self.file, "--slice", "kind")
        rows = [(p, y) for _, p, y, _ in self.rows]
        by_user = {}
        for u, p, y, _ in self.rows:
            by_user.setdefault(u, []).append((p, y))
        areas = [(auc(r), len(r)) for r in by_user.values() if auc(r) is not None]
        cut = [(min(1 - 1e-15, max(1e-15, p)), y) for p, y in rows]
        expected = {"auc": auc(rows), "gauc": sum(a * n for a, n in areas) / sum(n for _, n in areas),
                    "pr-auc": average_precision(rows), "ece": ece(rows),
                    "log-loss": -sum(math.log(p) if y else math.log(1 - p) for p, y in cut) / len(rows),
                    "brier": sum((p - y) ** 2 for p, y in rows) / len(rows),
                    "ratio": sum(p for p, _ in rows) / sum(y for _, y in rows)}
        for name, value in expected.items():
            metric = got["metrics"][name]
            self.assertAlmostEqual(metric["mean"], value, delta=1e-12, msg=name)
            if name != "ece":  # resampling adds to a distance from the diagonal
                self.assertTrue(metric["low"] < value < metric["high"], name)
        self.assertEqual((got["rows"], got["users"], got["users_ranked"]), (600, 40, len(areas)))
        for s in got["slices"]:
            part = [(p, y) for _, p, y, k in self.rows if k == s["name"]]
            self.assertAlmostEqual(s["metrics"]["auc"]["mean"], auc(part), delta=1e-12)
            self.assertEqual(s["rows"], len(part))
        self.assertEqual(sum(c["rows"] for c in got["cells"]), 600)

    def test_interval_covers(self):
        """Resamples of users whose rows agree are wider than resamples of rows."""
        rows = "".join(f"u{u},{0.2 + 0.6 * (u % 2)},{int(u % 3 == 0)}\n" for u in range(60) for _ in range(10))
        clustered, plain = self.folder / "clustered.csv", self.folder / "plain.csv"
        clustered.write_text("user,p,y\n" + rows)
        plain.write_text("who,p,y\n" + rows)
        wide, narrow = self.ask(clustered)["metrics"]["brier"], self.ask(plain)["metrics"]["brier"]
        self.assertGreater(wide["high"] - wide["low"], 2 * (narrow["high"] - narrow["low"]))

    def test_threads_and_seed(self):
        one, two, other = (winnow("evaluate", "--predictions", self.file, "--json", *more).stdout
                           for more in (["--threads", 1], ["--threads", 3], ["--seed", 2]))
        self.assertEqual(one, two)
        self.assertNotEqual(one, other)

    def test_calibration_is_told(self):
        rng = random.Random(9)
        for shift, state in ((0, "pass"), (0.15, "warn")):
            file = self.folder / f"shift{shift}.csv"
            rows = [0.1 + 0.7 * rng.random() for _ in range(4000)]
            file.write_text("p,y\n" + "".join(f"{min(1, p + shift):.6f},{int(rng.random() < p)}\n" for p in rows))
            got = self.ask(file)
            self.assertEqual({g["name"]: g["state"] for g in got["guards"]}["calibrated"], state)
            self.assertEqual(got["metrics"]["ece-mass"]["mean"] > 3 * got["ece_of_chance"], shift > 0)

    def test_scores_are_no_probabilities(self):
        file = self.folder / "scores.csv"
        file.write_text("score,label\n" + "".join(f"{10 * p - 3},{y}\n" for _, p, y, _ in self.rows))
        got = self.ask(file)
        self.assertEqual(sorted(got["metrics"]), ["auc", "pr-auc"])
        self.assertFalse(got["probabilities"])
        self.assertAlmostEqual(got["metrics"]["auc"]["mean"], auc([(p, y) for _, p, y, _ in self.rows]), delta=1e-12)

    def test_all_ties_and_one_user(self):
        file = self.folder / "ties.csv"
        file.write_text("user,p,y\n" + "".join(f"u,0.25,{int(n % 4 == 0)}\n" for n in range(40)))
        got = self.ask(file)
        self.assertEqual(got["metrics"]["auc"]["mean"], 0.5)
        self.assertEqual(got["metrics"]["pr-auc"]["mean"], 0.25)
        self.assertEqual(got["metrics"]["ece"]["mean"], 0)
        self.assertIsNone(got["metrics"]["auc"]["low"])
        self.assertIn("no interval", got["guards"][0]["reason"])

    def test_report(self):
        page = self.folder / "page.html"
        winnow("evaluate", "--predictions", self.file, "--slice", "kind", "--report", page)
        text = page.read_text()
        for part in ("Reliability", "ROC-AUC by slice", "kind a", 'class="verdict', "Spiegelhalter"):
            self.assertIn(part, text)
        inside = text.split('id="winnow">')[1].split("</script>")[0]
        self.assertEqual(json.loads(inside)["predictions"]["predictions"]["rows"], 600)

    def test_run_is_noted(self):
        data = self.folder / "data"
        events = self.folder / "e.csv"
        events.write_text("user,item,type,time\n" + "".join(f"u{n},i{n},click,{1700000000 + n}\n" for n in range(20)))
        winnow("import", "--data", data, events)
        winnow("evaluate", "--predictions", self.file, "--data", data)
        run = json.loads(winnow("runs", "show", "--data", data, "last", "--json").stdout)
        self.assertEqual(run["kind"], "predictions")

    def test_bad_input(self):
        def refused(lines, text, *args, head="p,y"):
            file = self.folder / "bad.csv"
            file.write_text("\n".join([head, *lines]) + "\n")
            self.assertIn(text, winnow("evaluate", "--predictions", file, *args, code=3).stderr)

        for lines, text in ((["0.5,1", "1.2,0"], "bad.csv:3"), (["0.5,1", "1.2,0"], "claims to be a probability"),
                            (["nan,1"], "must be a number, got `nan`"), (["0.5,2"], "label: must be 0 or 1, got `2`"),
                            (["0.5,nan"], "label: must be a number"), (["0.5"], "cells"), ([], "holds no prediction")):
            refused(lines, text)
        refused(["0.5,1"], "no column for it, nor for `score`", head="x,y")
        refused(["0.5,1"], "label: no column for it", head="p,x")
        for lines, args in ((["0.5,1", "0.2,1"], []), (["0.5,1", "0.2,0"], ["--slice", "none"]),
                            (["0.5,1"], ["--map", "chance=p"]), (["0.5,1"], ["--map", "label=none"])):
            file = self.folder / "bad.csv"
            file.write_text("p,y\n" + "\n".join(lines) + "\n")
            self.assertTrue(subprocess.run([WINNOW, "evaluate", "--predictions", file, *args], capture_output=True).returncode)
        winnow("evaluate", "--map", "p=x", "--data", self.folder, code=2)


if __name__ == "__main__":
    unittest.main()
