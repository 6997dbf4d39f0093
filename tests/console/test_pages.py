"""Every page of the web console in a real browser (Debian's Chromium, Playwright), against real servers: with this
machine's package index, and with MovieLens where it is at hand. pages.mjs holds the tests; this gives them servers. Skipped, with the reason, where the
console was left out of the build, or Chromium or the packages are not there.

Environment, beside the harness': WINNOW_SHOTS: a folder for screenshots of every page, light and dark."""

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
HOSTILE = '<img src=x onerror="document.title=1">'


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

    def measure(self, server):
        """Runs for the page Lab."""
        done = server.run("evaluate", "--data", server.data, "--users", "100", "--k", "10", "--protocols", "1", "--no-funnel",
                          "--model", "random", "--model", "popular", "--model", "covisit")
        self.assertEqual(done.returncode, 0, done.stderr)
        server.run("check", "model", "--data", server.data, "--users", "20")

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
            done = subprocess.run(["node", os.path.join(HERE, "pages.mjs"), "http://127.0.0.1:%d" % server.port],
                                  timeout=300 * SLOW, env=environment)
            self.assertEqual(done.returncode, 0)
        finally:
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)


if __name__ == "__main__":
    main()
