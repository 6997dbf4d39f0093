"""winnow index: vectors in, neighbours out, from each format; what is wrong is named."""
import json
import os
import pathlib
import random
import struct
import subprocess
import tempfile
import unittest

WINNOW = os.environ["WINNOW"]
DIMS = 8


def index(*args, code=0):
    done = subprocess.run([WINNOW, "index", *map(str, args)], capture_output=True, text=True, timeout=120)
    if done.returncode != code:
        raise AssertionError(f"{args}: exit {done.returncode}, not {code}\n{done.stdout}{done.stderr}")
    return done


def floats(rows):
    return b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)


def npy(rows):
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(rows)}, {len(rows[0])}), }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + floats(rows)


def fvecs(rows):
    return b"".join(struct.pack("<i", len(row)) + floats([row]) for row in rows)


def nearest(rows, query, k):
    scores = [sum(a * b for a, b in zip(row, query)) for row in rows]
    return sorted(range(len(rows)), key=lambda i: -scores[i])[:k]


class Index(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        rng = random.Random(5)
        cls.rows = [[rng.gauss(0, 1) for _ in range(DIMS)] for _ in range(500)]
        cls.queries = [[rng.gauss(0, 1) for _ in range(DIMS)] for _ in range(20)]
        for name, content in [("rows.npy", npy(cls.rows)), ("rows.fvecs", fvecs(cls.rows)), ("rows.bin", floats(cls.rows)),
                              ("queries.npy", npy(cls.queries))]:
            (cls.folder / name).write_bytes(content)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_each_format_finds_the_same(self):
        for name, extra in [("rows.npy", []), ("rows.fvecs", []), ("rows.bin", ["--dims", DIMS])]:
            out = self.folder / f"{name}.index"
            index("build", "--vectors", self.folder / name, "--out", out, "--recall", 1, *extra)
            lines = index("search", "--index", out, "--queries", self.folder / "queries.npy", "--k", 5, "--json").stdout.splitlines()
            self.assertEqual(len(lines), len(self.queries))
            for line, query in zip(map(json.loads, lines), self.queries):
                self.assertEqual([hit["id"] for hit in line["results"]], nearest(self.rows, query, 5))
            self.assertIn("is good", index("verify", "--index", out).stdout)
            about = json.loads(index("info", "--index", out, "--json").stdout)
            self.assertEqual((about["rows"], about["dims"], about["metric"]), (500, DIMS, "ip"))

    def test_more_than_there_is(self):
        out = self.folder / "all.index"
        index("build", "--vectors", self.folder / "rows.npy", "--out", out, "--metric", "l2")
        line = index("search", "--index", out, "--queries", self.folder / "queries.npy", "--k", 1000).stdout.splitlines()[0]
        self.assertEqual(len(line.split("\t")), 501)

    def test_bench(self):
        rates = json.loads(index("bench", "--vectors", self.folder / "rows.npy", "--queries", self.folder / "queries.npy", "--k", 10,
                                 "--allowed", 0.3, "--json").stdout)
        for rate in rates:
            self.assertGreater(rate["qps"], 0)
            self.assertGreaterEqual(rate["recall"], 1 if "exact" in rate["search"] or "twin" in rate["search"] else 0.5)

    def test_faults_are_named(self):
        bad = [list(row) for row in self.rows[:3]]
        bad[1][2] = float("nan")
        (self.folder / "bad.npy").write_bytes(npy(bad))
        (self.folder / "short.fvecs").write_bytes(fvecs(self.rows[:2])[:-3])
        (self.folder / "uneven.fvecs").write_bytes(fvecs(self.rows[:1]) + struct.pack("<i", DIMS - 1) + floats([self.rows[1]]))
        out = self.folder / "never.index"
        for name, extra, told, code in [("bad.npy", [], "row 1", 2), ("short.fvecs", [], "rows of 8", 3), ("uneven.fvecs", [], "row 1", 3),
                                        ("rows.bin", [], "dims", 2), ("rows.bin", ["--dims", 7], "rows of 7", 3),
                                        ("rows.npy", ["--dims", 7], "not 7", 2), ("absent.npy", [], "absent.npy", 4),
                                        ("rows.npy", ["--metric", "taxi"], "taxi", 2)]:
            done = subprocess.run([WINNOW, "index", "build", "--vectors", self.folder / name, "--out", out, *map(str, extra)],
                                  capture_output=True, text=True)
            self.assertIn(told, done.stderr)
            self.assertGreater(done.returncode, 0)
            self.assertFalse(out.exists())
        index("build", "--vectors", self.folder / "rows.npy", "--out", out)
        self.assertIn("bad.npy: row 1: ", index("search", "--index", out, "--queries", self.folder / "bad.npy", code=2).stderr)
        whole = out.read_bytes()
        for damaged in [whole[:100], whole[:-1], whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1:]]:
            out.write_bytes(damaged)
            index("verify", "--index", out, code=9)
        for args in [[], ["polish"], ["build"], ["search", "--index", out], ["bench"], ["verify"], ["build", "--vectors", "x", "--out", "y", "--k", 0]]:
            index(*args, code=2)


if __name__ == "__main__":
    unittest.main()
