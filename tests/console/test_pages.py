"""Every page of the web console in a real browser (Debian's Chromium, Playwright), against real servers: with this
machine's package index, with MovieLens where it is at hand, and with simulated users (experiments). pages.mjs and world.mjs hold the tests; this
gives them servers. Skipped, with the reason, where the
console was left out of the build, or Chromium or the packages are not there.

Environment, beside the harness': WINNOW_SHOTS: a folder for screenshots of every page, light and dark."""

import json
import lzma
import os
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "api"))
from harness import SLOW, Server, catalogue, events, main  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(HERE))
# Quick rather than good: what is looked at here are pages.
QUICK = ["als.epochs=3", "als.factors=32", "blend.users=300", "ridge.row_max=60"]
CONFIG = open(os.path.join(ROOT, "examples", "debian.yaml")).read()
MOVIELENS = os.environ.get("WINNOW_MOVIELENS", os.path.join(ROOT, "..", "shared", "data", "movielens-latest-small"))
SHOTS = os.environ.get("WINNOW_SHOTS")
HOSTILE = '<img src=x onerror="document.title=1">'

WORLD = """
training: {every_hours: 0}
surfaces:
  home:
    n: 10
    retrieve: [{model: covisit, quota: 100}, {model: als, quota: 100, weight: 0.5}]
    score: {heavy: 0}
    order: {diversity: none}
  ranked:
    retrieve: [{model: covisit, quota: 100}, {model: als, quota: 100}]
    score: {heavy: 100}
objectives:
  click: {weight: 0.5}
  finish: {weight: 1}
holdout:
  share: 0.2
  surfaces: {home: {retrieve: [{model: random, quota: 100}]}}
  metrics: [{kind: rate, type: click}, {kind: rate, type: finish}]
experiments:
  models:
    traffic: 0.9
    arms:
      lottery: {surfaces: {home: {retrieve: [{model: random, quota: 100}]}}}
      popular: {surfaces: {home: {retrieve: [{model: popular, quota: 100}]}}}
      content: {surfaces: {home: {retrieve: [{model: content, quota: 100}]}}}
      als: {surfaces: {home: {retrieve: [{model: als, quota: 100}]}}}
      ridge: {surfaces: {home: {retrieve: [{model: ridge, quota: 100}]}}}
      covisit: {surfaces: {home: {retrieve: [{model: covisit, quota: 100}]}}}
    metrics: [{kind: rate, type: click}, {kind: rate, type: finish, margin: 0.05}]
    planned_units: 1000
"""


def missing(server):
    if "/console/" not in server.get("/").body.decode():
        return "this binary was built without the console"
    if shutil.which("chromium") is None or shutil.which("node") is None:
        return "needs chromium and node"
    if not os.path.isdir(os.path.join(ROOT, "console", "node_modules", "playwright-core")):
        return "needs the packages of console/package.json (tools/build-console --packages)"
    return None


class Pages(unittest.TestCase):
    def debian(self):
        """This machine's packages, or 3,000 made-up ones where it has no index."""
        server = Server(CONFIG)
        done = server.run("import", "--data", server.data, "--format", "debian")
        if done.returncode == 0:
            done = server.run("train", "--data", server.data, *sum((["--set", q] for q in QUICK), []))
            self.assertEqual(done.returncode, 0, done.stderr)
            return server.start()
        print("no package index on this machine: made-up items", file=sys.stderr)
        server.start()
        body = {"items": catalogue(3000)}
        self.assertEqual(server.post("/v1/items", body).status, 200)
        self.assertEqual(server.post("/v1/events", {"events": events(300, 3000)}).status, 200)
        server.run("train", "--data", server.data)
        server.request("POST", "/v1/admin/refresh")
        return server

    def movielens(self):
        server = Server("surfaces:\n  home:\n    order:\n      diversity: {lambda: 0.85, by: als}\n")
        folder = os.path.join(server.folder, "movielens")
        os.mkdir(folder)
        shutil.copy(os.path.join(MOVIELENS, "movies.csv.xz"), folder)
        # A sixth of the users: sanitized builds train on this, too.
        with lzma.open(os.path.join(MOVIELENS, "ratings.csv.xz"), "rt") as all_of_them, \
                open(os.path.join(folder, "ratings.csv"), "w") as some:
            some.writelines(line for line in all_of_them if line[0] == "u" or int(line.split(",")[0]) <= 100)
        done = server.run("import", "--data", server.data, "--format", "movielens", folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = server.run("train", "--data", server.data, *sum((["--set", q] for q in QUICK), []))
        self.assertEqual(done.returncode, 0, done.stderr)
        return server.start()

    def test_debian(self):
        self.browse(self.debian(), "debian")

    @unittest.skipUnless(os.path.isdir(MOVIELENS), "MovieLens is not at hand (WINNOW_MOVIELENS: its folder)")
    def test_movielens(self):
        self.browse(self.movielens(), "movielens")

    def test_world(self):
        """Four weeks of simulated users under an experiment and a holdout."""
        server = Server(WORLD, args=["--virtual-clock", "2026-03-01"]).start()
        try:
            reason = missing(server)
            if reason:
                self.skipTest(reason)
            def do(*args):
                done = server.run(*args)
                self.assertEqual(done.returncode, 0, done.stderr)
            where = ["--data", server.data, "--config", os.path.join(server.folder, "winnow.yaml")]
            world = ["simulate", "--url", "http://127.0.0.1:%d" % server.port, "--users", "1500", "--items", "150", "--seed", "4",
                     "--start", "2026-03-01"]
            do(*world, "--history", "6000", "--visits", "1", "--days", "0.01")
            quick = ["--set", "blend.users=300", "--set", "ranker.objective_trees=20", "--set", "ranker.trees=20"]
            do("train", *where, *quick)
            server.request("POST", "/v1/admin/refresh")
            do(*world, "--days", "28", "--visits", "9000")
            do("evaluate", *where, "--experiment", "models", "--k", "10", "--users", "300", *quick)
            self.drive("world.mjs", server, dict(os.environ))
        finally:
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)

    def measure(self, server):
        """Runs for the page Lab: two evaluations and a check; and one by hand, hostile, its report with a script."""
        quick = ["--no-funnel", "--model", "random", "--model", "popular", "--model", "covisit"]
        for more in quick, [*quick, "--model", "newest"] if not SHOTS else []:
            done = server.run("evaluate", "--data", server.data, "--users", "100", "--k", "10", "--protocols", "1", *more)
            self.assertEqual(done.returncode, 0, done.stderr)
        server.run("check", "model", "--data", server.data, "--users", "20")
        if SHOTS:
            return  # pictures are of what a user has
        runs, by_hand = os.path.join(server.data, "runs"), "20200101-000000000-0bad"
        with open(os.path.join(runs, sorted(f for f in os.listdir(runs) if f.endswith(".json"))[-1])) as f:
            run = json.load(f)
        run.update(id=by_hand, started_ms=0, version=HOSTILE, params={"subject": "<img src=x onerror=alert(1)>", "x": "<script>alert(1)</script>"},
                   tags={"<b>": "<b>"}, artifacts=[{"path": "runs/%s.html" % by_hand, "bytes": 1}])
        with open(os.path.join(runs, by_hand + ".json"), "w") as f:
            json.dump(run, f)
        with open(os.path.join(runs, by_hand + ".html"), "w") as f:
            f.write("<!doctype html><title>r</title><body><p>I am a report</p><script>document.body.dataset.ran = 1; top.document.title = 1</script>")

    def drive(self, program, server, environment):
        done = subprocess.run(["node", os.path.join(HERE, program), "http://127.0.0.1:%d" % server.port],
                              timeout=300 * SLOW, env=environment)
        self.assertEqual(done.returncode, 0)

    def browse(self, server, data):
        try:
            reason = missing(server)
            if reason:
                self.skipTest(reason)
            self.measure(server)
            hostile = [{"id": "x\"><script>alert(1)</script>", "title": HOSTILE,
                        "attributes": {"section": "<b>bold</b>", "image": "javascript:alert(1)"}},
                       {"id": "another", "title": "{@html '<i>'} ${1+1}"}]
            self.assertEqual(server.post("/v1/items", {"items": hostile}).status, 200)
            for n in range(3):
                for item in hostile:
                    server.post("/v1/events", {"user": "<i>evil</i>", "item": item["id"], "type": "like"})
                    server.post("/v1/events", {"user": "by-%d" % n, "item": item["id"], "type": "like"})
            environment = dict(os.environ, WINNOW_DATA=data)
            if data != "debian":
                environment.pop("WINNOW_SHOTS", None)
            self.drive("pages.mjs", server, environment)
        finally:
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
