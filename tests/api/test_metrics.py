"""/metrics: the exposition format, that each count follows what was done, and that every metric which
the shipped dashboards and rules name exists."""

import glob
import json
import os
import re
import time
import unittest

from harness import SLOW, ApiTest, fill, ids, main, train, within

SOURCE = os.environ.get("WINNOW_SOURCE", os.path.join(os.path.dirname(__file__), "..", ".."))
LINE = re.compile(r'^([a-zA-Z_:][\w:]*)(\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\})? (\S+)$')


def parse(text):
    """{(name, labels): value}, after checking each line against the format."""
    values, types, order = {}, {}, []
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, "TYPE twice: " + name
            types[name] = kind
            continue
        if line.startswith("# HELP "):
            continue
        match = LINE.match(line)
        assert match, line
        name, labels, value = match.groups()
        key = (name, labels or "")
        assert key not in values, line
        values[key] = float(value)
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        kind = types.get(base if types.get(base) == "histogram" else name)
        assert kind, "no TYPE before " + line
        assert kind != "counter" or name.endswith("_total"), name
        order.append(base if kind == "histogram" else name)
    seen = [n for i, n in enumerate(order) if i == 0 or order[i - 1] != n]
    assert len(seen) == len(set(seen)), "a metric's lines lie apart"
    return values, types


class Metrics(ApiTest):
    config = "models: {als: {factors: 8, epochs: 3}, blend: {users: 10}}\ntraining: {every_hours: 0, nice: 0}\n"

    def metrics(self):
        return parse(self.server.get("/metrics").body.decode())[0]

    def total(self, values, name, *parts):
        return sum(v for (n, labels), v in values.items() if n == name and all(p in labels for p in parts))

    def slate(self, **query):
        url = "/v1/surfaces/home/slate?" + "&".join("%s=%s" % pair for pair in query.items())
        return self.ok(self.server.get(url))

    def test_format_and_histograms(self):
        self.slate(user="user-1")
        values, types = parse(self.server.get("/metrics").body.decode())
        histograms = [n for n, kind in types.items() if kind == "histogram"]
        self.assertIn("winnow_stage_seconds", histograms)
        for name in histograms:
            groups = {}
            for (n, labels), v in values.items():
                if n == name + "_bucket":
                    groups.setdefault(re.sub(r',?le="[^"]*"', "", labels), []).append(v)
            for labels, counts in groups.items():
                self.assertEqual(counts, sorted(counts))
                self.assertEqual(counts[-1], values[(name + "_count", "" if labels == "{}" else labels)])

    def test_stages(self):
        before = self.metrics()
        slate = self.slate(user="user-3", n=7)
        after = self.metrics()
        for stage in ("retrieve", "filter", "score", "order"):
            label = 'stage="%s"' % stage
            self.assertEqual(self.total(after, "winnow_stage_seconds_count", label)
                             - self.total(before, "winnow_stage_seconds_count", label), 1)
        grown = [self.total(after, "winnow_stage_candidates_total", 'stage="%s"' % s)
                 - self.total(before, "winnow_stage_candidates_total", 'stage="%s"' % s)
                 for s in ("retrieve", "filter", "score", "order")]
        self.assertEqual(grown, sorted(grown, reverse=True))
        self.assertEqual(grown[-1], len(slate["items"]))

    def test_clicks(self):
        before = self.metrics()
        slate = self.slate(user="user-4", n=10)
        first, third = slate["items"][0]["id"], slate["items"][2]["id"]
        event = {"user": "user-4", "slate": slate["slate"], "type": "view"}
        sent = [{**event, "item": first}, {**event, "item": first},          # once
                {**event, "item": third, "type": "buy"},                       # a click that finishes
                {**event, "item": slate["items"][1]["id"], "type": "dislike"},  # none
                {**event, "item": "item-0" if "item-0" not in ids(slate) else "item-1", "slate": "0" * 32}]
        self.ok(self.server.post("/v1/events", sent))
        after = self.metrics()

        def grown(name, *parts):
            return self.total(after, name, *parts) - self.total(before, name, *parts)

        home = 'surface="home"'
        self.assertEqual(grown("winnow_impressions_total", home), 10)
        self.assertEqual(grown("winnow_impressions_total", home, 'position="6-10"'), 5)
        self.assertEqual(grown("winnow_clicks_total", home, 'position="1"'), 1)
        self.assertEqual(grown("winnow_clicks_total", home, 'position="3"'), 1)
        self.assertEqual(grown("winnow_clicks_total"), 2)
        self.assertEqual(grown("winnow_conversions_total", home), 1)
        self.assertEqual(grown("winnow_conversions_total", home, 'position="3"'), 1)
        self.assertEqual(grown("winnow_slates_shown_total", home), 1)
        self.assertGreater(self.total(after, "winnow_coverage_ratio"), 0)
        self.assertLessEqual(self.total(after, "winnow_top10_share_ratio"), 1)

    def test_window(self):
        """More slates than the window holds: old ones are forgotten, counters are not."""
        before = self.total(self.metrics(), "winnow_slates_shown_total")
        client = self.server.client()
        for n in range(300):
            client.request("GET", "/v1/surfaces/popular/slate?n=3")
        client.close()
        after = self.metrics()
        self.assertEqual(self.total(after, "winnow_slates_shown_total") - before, 300)
        self.assertGreaterEqual(self.total(after, "winnow_window_slates"), 300)

    def test_ingest_and_training(self):
        before = self.metrics()
        self.ok(self.server.post("/v1/events", {"user": "user-5", "item": "item-5", "type": "view",
                                                "time": int(time.time()) - 100}))
        after = self.metrics()
        self.assertGreater(self.total(after, "winnow_commit_seconds_count"), self.total(before, "winnow_commit_seconds_count"))
        self.assertGreater(self.total(after, "winnow_applies_total"), self.total(before, "winnow_applies_total"))
        self.assertTrue(99 <= self.total(after, "winnow_ingest_lag_seconds") <= 100 + 60 * SLOW)
        self.ok(self.server.post("/v1/train", None), 202)
        within(lambda: self.total(self.metrics(), "winnow_trainings_total"))
        values = self.metrics()
        self.assertEqual(self.total(values, "winnow_trainings_total", 'result="promoted"'), 1)
        self.assertEqual(self.total(values, "winnow_gate_verdict", 'verdict="first"'), 1)
        self.assertGreater(self.total(values, "winnow_training_last_seconds"), 0)

    def test_what_is_shipped(self):
        """Each metric in deploy/ and the documentation exists."""
        self.slate(user="user-1")
        self.test_ingest_and_training() if not self.total(self.metrics(), "winnow_trainings_total") else None
        names = {n for n, _ in self.metrics()}
        files = glob.glob(os.path.join(SOURCE, "deploy", "**"), recursive=True) + glob.glob(os.path.join(SOURCE, "docs", "*.md"))
        found = 0
        for path in files:
            if not os.path.isfile(path):
                continue
            with open(path, errors="replace") as f:
                for name in re.findall(r"\b(winnow_[a-z0-9_]+|process_[a-z_]+_(?:total|bytes|seconds|fds))\b", f.read()):
                    if name.endswith("_") or name in ("winnow_test", "winnow_serve"):
                        continue
                    if re.search(r"_(total|seconds|bytes|ratio|bucket|count|sum|fds)$", name) or path.endswith((".json", ".yml")):
                        self.assertTrue(name in names or name + "_count" in names, "%s names %s" % (path, name))
                        found += 1
        self.assertGreater(found, 0)


if __name__ == "__main__":
    main()
