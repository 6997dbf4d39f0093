"""The report page and the note among the runs: whole, self-contained, the same numbers, safe with any name."""
import html.parser
import json
import os
import pathlib
import random
import re
import subprocess
import tempfile
import unittest

WINNOW = os.environ["WINNOW"]
VOID = {"meta", "br", "line", "rect", "path", "circle", "i"}


def winnow(*args, code=0):
    done = subprocess.run([WINNOW, *map(str, args)], capture_output=True, text=True, timeout=120)
    if done.returncode != code:
        raise AssertionError(f"winnow {' '.join(map(str, args))}: exit {done.returncode}, expected {code}\n"
                             f"{done.stdout}\n{done.stderr}")
    return done


class Page(html.parser.HTMLParser):
    """Refuses what is not closed; keeps sections, texts and the numbers."""

    def __init__(self, text):
        super().__init__()
        self.open, self.sections, self.titles, self.texts, self.numbers = [], [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag in ("section",):
            self.sections.append(attributes["id"])
        for name in ("src", "href", "xlink:href"):
            assert name not in attributes, (tag, attributes)
        if tag == "meta" or (tag == "br"):
            return
        self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        if "script" in self.open:
            self.numbers += data
        elif "title" in self.open:
            self.titles.append(data)
        elif "style" not in self.open:
            self.texts.append(data)


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.data = cls.folder / "<i>data & more</i>"
        rng = random.Random(6)
        events = cls.folder / "events.csv"
        lines = []
        for n in range(9000):
            user = rng.randrange(150)
            lines.append(f"u{user},i{rng.randrange(40) * 2 + user % 2},view,{1600000000 + n * 600}\n")
        events.write_text("user,item,type,time\n" + "".join(lines))
        winnow("import", "--data", cls.data, events)
        cls.page = cls.folder / "out.html"
        done = winnow("evaluate", "--data", cls.data, "--model", "covisit", "--model", "als", "--set", "als.factors=8",
                      "--bootstrap", 50, "--report", cls.page, "--incumbent", "covisit", "--protocols", 2, "--json")
        cls.json, cls.text = json.loads(done.stdout), cls.page.read_text()

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_whole_and_self_contained(self):
        page = Page(self.text)
        for section in ("table", "differences", "curves", "users", "slices", "popularity", "tradeoffs", "timeline", "population",
                        "provenance"):
            self.assertIn(section, page.sections)
        self.assertIn(f"agree with Kendall's τ {self.json['second_protocol']['kendall']:.2f}", self.text)
        self.assertEqual("*</text>" in self.text, any((cut.get("p_adjusted") or 1) < 0.05 for row in sorted(
            self.json["rows"], key=lambda row: -row["at"][0]["ndcg"]["mean"])[:3] for cut in row["slices"]))
        for formula in ("gain 1, discount log2(rank + 1)", "h / |R|", "evaluated: "):
            self.assertIn(formula, self.text)
        self.assertNotIn("<i>data", self.text)
        self.assertEqual(re.findall(r"https?://|@import|url\(|<link|<img|onload", self.text), [])
        visible = re.sub(r"<style>.*?</style>", "", self.text, flags=re.S).split("<script")[0]
        self.assertEqual(re.findall(r"[^a-z]nan[^a-z]|[^a-z]inf[^a-z]", visible), [])
        self.assertTrue(any(re.fullmatch(r"als: NDCG@10 0\.\d{4} \(0\.\d{4} to 0\.\d{4}\)", title) for title in page.titles))

    def test_same_numbers(self):
        numbers = json.loads(Page(self.text).numbers)

        def without_clock(value):
            if isinstance(value, dict):
                return {key: without_clock(part) for key, part in value.items() if not key.endswith("_seconds")}
            if isinstance(value, list):
                return [without_clock(part) for part in value]
            return round(value, 9) if isinstance(value, float) else value
        self.assertTrue(without_clock(numbers["evaluation"]) == without_clock({**self.json}))
        rows = {row["model"]: row for row in numbers["extras"]["rows"]}
        self.assertEqual(numbers["extras"]["incumbent"], "covisit")
        self.assertNotIn("over_incumbent", rows["covisit"])
        for row in rows.values():
            self.assertEqual(sum(row["histogram"]), self.json["users_evaluated"])
        means = {row["model"]: row["at"][0]["ndcg"]["mean"] for row in self.json["rows"]}
        self.assertAlmostEqual(rows["als"]["over_incumbent"]["difference"]["mean"], means["als"] - means["covisit"], places=9)

    def test_noted_with_hashes(self):
        run = json.loads(winnow("runs", "show", "last", "--data", self.data, "--json").stdout)
        self.assertEqual(run["kind"], "evaluate")
        self.assertEqual(run["hashes"]["split_hash"], self.json["split_hash"])
        self.assertAlmostEqual(run["metrics"]["als.ndcg@10"], [r for r in self.json["rows"] if r["model"] == "als"][0]["at"][0]["ndcg"]["mean"])
        winnow("evaluate", "--data", self.data, "--model", "popular", "--bootstrap", 20, "--users", 20)
        self.assertIn("do not compare", winnow("runs", "diff", "last~1", "last", "--data", self.data).stdout)

    def test_files_and_refusals(self):
        train = self.folder / "train.txt"
        train.write_text("".join(f"{u} {i}\n" for u in range(40) for i in random.Random(u).sample(range(30), 8)))
        out = self.folder / "files.html"
        winnow("evaluate", "--train", train, "--format", "sequence", "--model", "covisit", "--bootstrap", 20, "--report", out)
        Page(out.read_text())
        done = winnow("evaluate", "--train", train, "--format", "sequence", "--model", "covisit", "--bootstrap", 20, "--report", out,
                      "--incumbent", "nobody", code=4)
        self.assertIn("no row of the table is called `nobody`", done.stderr)
        winnow("evaluate", "--train", train, "--format", "sequence", "--model", "covisit", "--bootstrap", 20, "--report",
               self.folder / "absent" / "x.html", code=6)


if __name__ == "__main__":
    unittest.main()
