"""The scenarios of winnow simulate, in their versions of seconds: they play, check and write what they say."""

import json
import os
import subprocess
import tempfile
import unittest

from harness import WINNOW, main

NAMES = ["aa", "uplift", "loop", "bait", "protocol", "cold"]


def play(*args):
    return subprocess.run([WINNOW, "simulate", *args], capture_output=True, text=True, timeout=600)


class Scenarios(unittest.TestCase):
    def small(self, name, seed="1"):
        with tempfile.TemporaryDirectory(prefix="winnow-scenarios-") as out:
            done = play("--scenario", name, "--small", "--out", out, "--seed", seed)
            self.assertIn(done.returncode, (0, 1), done.stderr)
            with open(os.path.join(out, name + ".json")) as f:
                told = json.load(f)
            with open(os.path.join(out, name + ".svg")) as f:
                plot = f.read()
        self.assertEqual(told["scenario"], name)
        self.assertTrue(told["small"])
        self.assertGreater(len(told["checks"]), 0)
        for check in told["checks"]:
            bound = check.get("at_least", check.get("at_most"))
            holds = check["value"] >= bound if "at_least" in check else check["value"] <= bound
            self.assertEqual(check["holds"], holds)
            self.assertIn(check["what"], done.stdout)
        self.assertEqual(told["holds"], all(c["holds"] for c in told["checks"]))
        self.assertEqual(done.returncode, 0 if told["holds"] else 1)
        self.assertTrue(plot.startswith("<svg") and plot.rstrip().endswith("</svg>"))
        self.assertIn("http://www.w3.org/2000/svg", plot)
        for series in told["series"]:
            self.assertGreater(len(told["series"][series]), 0)
            self.assertIn(series, plot)
        del told["seconds"]
        return told

    def test_aa(self):
        told = self.small("aa")
        self.assertTrue(told["holds"], told)
        self.assertEqual(told["figures"]["experiments"], 10)
        self.assertEqual(told, self.small("aa"))  # the same seed, the same story

    def test_uplift(self):
        told = self.small("uplift")
        self.assertGreater(told["figures"]["relative uplift, pooled"], 0)

    def test_loop(self):
        self.assertTrue(self.small("loop")["holds"])

    def test_bait(self):
        told = self.small("bait")
        self.assertTrue(told["holds"])
        self.assertEqual(set(told["series"]), {"clicks", "finishes", "weighted"})

    def test_protocol(self):
        told = self.small("protocol")
        self.assertTrue(told["holds"])
        for points in told["series"].values():
            self.assertEqual(len({p["label"] for p in points}), 8)

    def test_cold(self):
        self.assertTrue(self.small("cold")["holds"])

    def test_list_and_refusals(self):
        done = play("--scenario", "list")
        self.assertEqual(done.returncode, 0)
        self.assertEqual([line.split()[0] for line in done.stdout.split("\n") if line], NAMES)
        done = play("--scenario", "none")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("none", done.stderr)


if __name__ == "__main__":
    main()
