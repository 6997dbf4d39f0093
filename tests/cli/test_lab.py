"""winnow lab cases: worked cases pass, planted faults do not."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

WINNOW = os.environ["WINNOW"]
FIXTURES = pathlib.Path(os.environ.get("WINNOW_TEST_DATA", "../shared/data")).parent / "fixtures"

# Worked by hand or with a table.
CASES = [
    {"id": "list", "kind": "ranking_user", "tol": 1e-12,
     "input": {"ranked": ["a", "b", "c", "d"], "relevant": {"b": 1, "d": 1, "z": 1}, "k": 4},
     "expected": {"precision": 0.5, "recall": 2 / 3, "mrr": 0.5, "ap_over_R": (1 / 2 + 2 / 4) / 3}},
    {"id": "all tied", "kind": "ranking_ties", "tol": 1e-12,
     "input": {"items": ["a", "b", "c", "d"], "scores": [1, 1, 1, 1], "relevant": {"b": 1}, "k": 1},
     "expected": {"expected": {"recall": 0.25, "hit": 0.25, "mrr": 0.25}, "optimistic": {"recall": 1}, "pessimistic": {"recall": 0}}},
    {"id": "coin", "kind": "interleaving_test", "tol": 1e-12, "input": {"wins_a": 4, "wins_b": 0, "ties": 0},
     "expected": {"delta": 0.5, "p_sign": 0.125}},
    {"id": "fair arms", "kind": "srm", "tol": 1e-9, "input": {"observed": [500, 500], "weights": [1, 1]},
     "expected": {"chi2": 0, "p": 1, "alarm": False}},
    {"id": "even beliefs", "kind": "beta_binomial", "tol": 1e-10, "input": {"x": [3, 3], "n": [9, 9], "prior": [1, 1]},
     "expected": {"p_b_better": 0.5}},
    {"id": "even arms", "kind": "thompson_propensity", "tol": 1e-9, "input": {"alpha": [2, 2, 2], "beta": [5, 5, 5]},
     "expected": {"p": [1 / 3, 1 / 3, 1 / 3]}},
    {"id": "on policy", "kind": "ope", "tol": 1e-12,
     "input": {"action": [0, 1, 1, 0], "reward": [1, 0, 1, 1], "pscore": [0.5, 0.5, 0.5, 0.5], "pi_e": [0.5, 0.5]},
     "expected": {"ips": 0.75, "snips": 0.75, "ess": 4, "mean_w": 1}},
    {"id": "no data", "kind": "ope", "input": {"dataset": "elsewhere.csv"}, "expected": {"ips": 0}},
]


def lab(cases, *args):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(cases if isinstance(cases, str) else json.dumps({"cases": cases}))
        file.flush()
        return subprocess.run([WINNOW, "lab", "cases", *args, file.name], capture_output=True, text=True, timeout=120)


class Lab(unittest.TestCase):
    def test_worked_cases(self):
        done = lab(CASES, "--json")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(lines[-1]["failed"], 0)
        self.assertEqual((lines[-1]["cases"], lines[-1]["skipped"]), (len(CASES), 1))
        self.assertIn("0 failed", lab(CASES).stdout)

    def test_variants(self):
        """Inputs of all kinds against definitions written elsewhere: graded and repeated items, ties, empty lists, ids that are numbers."""
        files = [pathlib.Path(__file__).with_name(name) for name in ("variants.json", "edges.json")]
        done = subprocess.run([WINNOW, "lab", "cases", "--failures", *files], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("(0 skipped)", done.stdout)

    def test_what_json_has_no_number_for(self):
        """NaN and Infinity, as Python writes them, are null: here a user without a past, and nothing that matched."""
        nothing = float("nan")
        cuped = {"y_control": [1, 2, 3], "x_control": [1, nothing, 3], "y_treatment": [2, 3, 5], "x_treatment": [1, 2, 3]}
        done = lab([{"id": 'a "NaN" \\', "kind": "replay", "input": {"logged": [0], "chosen": [1], "reward": [1]}, "expected": {"value": nothing}},
                    {"id": "b", "kind": "cuped", "input": cuped, "expected": {"theta": 1.25}},
                    {"id": "c", "kind": "replay", "input": {"logged": [1], "chosen": [1], "reward": [1]}, "expected": {"value": nothing}}], "--json")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([(v["id"], v["verdict"]) for v in lines[:3]], [('a "NaN" \\', "pass"), ("b", "pass"), ("c", "FAIL")], done.stdout + done.stderr)

    def test_every_planted_fault_is_told(self):
        def broken(value):
            if isinstance(value, dict):
                return {key: broken(part) for key, part in value.items()}
            if isinstance(value, list):
                return [broken(part) for part in value]
            return not value if isinstance(value, bool) else value + 0.001
        for case in CASES[:-1]:
            done = lab([{**case, "expected": broken(case["expected"])}], "--json")
            counts = json.loads(done.stdout.splitlines()[-1])
            self.assertEqual(done.returncode, 1, case["id"])
            self.assertEqual(counts["failed"], counts["values"], done.stdout)

    def test_what_cannot_be_run_fails(self):
        for case in [{"id": "x", "kind": "astrology", "input": {}, "expected": {"luck": 1}}, {"id": "x"}, 3,
                     {"id": "x", "kind": "ranking_user", "input": {"ranked": 3}, "expected": {"recall": 1}},
                     {"id": "x", "kind": "ranking_user", "input": CASES[0]["input"], "expected": {"charm": 1}},
                     {"id": "x", "kind": "srm", "input": {"observed": [1, 2], "weights": [1]}, "expected": {"p": 1}},
                     {"id": "x", "kind": "ope", "input": {**CASES[6]["input"], "pscore": [0, 2, 0.5, 0.5]}, "expected": {"ips": 1}},
                     {"id": "x", "kind": "team_draft_credit", "input": {"team": ["A"], "clicks": [[7]]}, "expected": {"credit": [[0, 0]]}}]:
            self.assertEqual(lab([case]).returncode, 1, case)
        self.assertEqual(lab("{").returncode, 3)
        self.assertEqual(lab("{}").returncode, 3)
        self.assertEqual(subprocess.run([WINNOW, "lab", "cases"], capture_output=True).returncode, 2)

    @unittest.skipUnless(FIXTURES.is_dir(), "the reference cases are not at hand")
    def test_reference_cases(self):
        files = [FIXTURES / f"{name}.json" for name in
                 ("ranking_metrics", "beyond_accuracy", "ope_small", "ope_obd", "ab_stats", "online_bandits_data", "pitfalls_ml100k")]
        done = subprocess.run([WINNOW, "lab", "cases", "--failures", *files], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn(" 0 failed", done.stdout)


if __name__ == "__main__":
    unittest.main()
