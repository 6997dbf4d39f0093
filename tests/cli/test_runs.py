"""winnow runs: what was done is noted, found again, compared and exported (MLflow: a stand-in that keeps the rules)."""
import csv
import http.server
import io
import json
import os
import pathlib
import random
import re
import subprocess
import tempfile
import threading
import unittest
import urllib.parse

WINNOW = os.environ["WINNOW"]


def winnow(*args, code=0, env=None):
    done = subprocess.run([WINNOW, *map(str, args)], capture_output=True, text=True, timeout=120,
                          env={**os.environ, **(env or {})})
    if done.returncode != code:
        raise AssertionError(f"winnow {' '.join(map(str, args))}: exit {done.returncode}, expected {code}\n"
                             f"{done.stdout}\n{done.stderr}")
    return done


class Mlflow(http.server.BaseHTTPRequestHandler):
    """As much of MLflow's REST API 2.0 as takes a run, with its limits."""

    def answer(self, code, body):
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        self.server.auth.add(self.headers.get("Authorization"))
        name = urllib.parse.parse_qs(url.query)["experiment_name"][0]
        if url.path != "/api/2.0/mlflow/experiments/get-by-name" or name not in self.server.experiments:
            return self.answer(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"})
        self.answer(200, {"experiment": {"experiment_id": self.server.experiments[name]}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = self.path.removeprefix("/api/2.0/mlflow/")
        runs = self.server.runs
        if self.server.broken:
            return self.answer(500, {"message": "out of order"})
        if call == "experiments/create":
            self.server.experiments[body["name"]] = "7"
            return self.answer(200, {"experiment_id": "7"})
        if call == "runs/create":
            run_id = f"{len(runs):032x}"
            runs[run_id] = {**body, "metrics": {}, "params": {}}
            return self.answer(200, {"run": {"info": {"run_id": run_id}}})
        run = runs.get(body.get("run_id"))
        if run is None:
            return self.answer(404, {"message": "no such run"})
        if call == "runs/update":
            run.update(body)
            return self.answer(200, {"run_info": {}})
        if call != "runs/log-batch" or len(body["metrics"]) > 1000 or len(body["params"]) > 100:
            return self.answer(400, {"message": "no such call, or too much of it"})
        for each in body["metrics"] + body["params"]:
            if not re.fullmatch(r"[\w\-. /]{1,250}", each["key"], re.ASCII) or (isinstance(each["value"], str) and len(each["value"]) > 500):
                return self.answer(400, {"message": f"invalid: {each}"})
        run["metrics"].update({m["key"]: m["value"] for m in body["metrics"]})
        run["params"].update({p["key"]: p["value"] for p in body["params"]})
        self.answer(200, {})


class Runs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.data = cls.folder / "data"
        rng = random.Random(2)
        events = cls.folder / "events.csv"
        events.write_text("user,item,type,time\n" + "".join(
            f"u{n % 60},i{rng.randrange(20) * 2 + n % 2},view,{1600000000 + n * 60}\n" for n in range(2400)))
        winnow("import", "--data", cls.data, events)
        (cls.data / "winnow.yaml").write_text("models:\n  popular: {}\n")
        for seed in (1, 2):
            winnow("tune", "--data", cls.data, "--model", "popular", "--trials", 2, "--seed", seed, "--users", 50)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def runs(self, *args, **kwargs):
        return winnow("runs", *args, "--data", self.data, **kwargs).stdout

    def test_noted(self):
        files = sorted((self.data / "runs").glob("*.json"))
        self.assertEqual(len(files), 2)
        runs = json.loads(self.runs("list", "--json"))
        self.assertEqual([run["id"] for run in runs], [file.stem for file in reversed(files)])  # newest first
        run = json.loads(self.runs("show", "last", "--json"))
        self.assertEqual((run["kind"], run["params"]["seed"], run["params"]["model"]), ("tune", "2", "popular"))
        self.assertNotIn("data", run["params"])
        self.assertEqual(run["config"], "models:\n  popular: {}\n")
        self.assertGreater(run["peak_bytes"], 1 << 20)
        self.assertGreater(run["metrics"]["best.metric"], 0)
        self.assertEqual(run["result"]["model"], "popular")
        self.assertIn("best.metric", self.runs("list"))
        self.assertIn("config_hash", self.runs("show", run["id"][:-2]))

    def test_diff(self):
        text = self.runs("diff", "last~1", "last")
        self.assertRegex(text, r"params.seed +1 +2")
        self.assertNotIn("params.model", text)
        winnow("runs", "diff", "last", "--data", self.data, code=2)

    def test_tags_and_filters(self):
        self.runs("tag", "last", "note=a, \"b\"")
        self.assertEqual(len(json.loads(self.runs("list", "--tag", "note", "--json"))), 1)
        self.assertEqual(json.loads(self.runs("list", "--kind", "train", "--json")), [])
        rows = list(csv.reader(io.StringIO(self.runs("export", "--csv", "-"))))
        self.assertEqual(len(rows), 3)
        self.assertEqual({len(row) for row in rows}, {len(rows[0])})
        self.assertEqual(rows[1][rows[0].index("tags.note")], 'a, "b"')
        self.assertEqual(rows[2][rows[0].index("params.seed")], "1")
        self.runs("tag", "last", "note=")
        self.assertEqual(json.loads(self.runs("list", "--tag", "note", "--json")), [])
        winnow("runs", "tag", "last", "nonsense", "--data", self.data, code=2)

    def test_bad_ids_and_files(self):
        winnow("runs", "show", "1999", "--data", self.data, code=4)
        winnow("runs", "show", "last~9", "--data", self.data, code=4)
        winnow("runs", "show", "2", "--data", self.data, code=2)  # of both
        winnow("runs", "burn", "--data", self.data, code=2)
        winnow("runs", "list", code=2)
        broken = self.data / "runs" / "broken.json"
        broken.write_text("{")
        done = winnow("runs", "list", "--data", self.data)
        broken.unlink()
        self.assertIn("1 files", done.stderr)
        self.assertEqual(json.loads(winnow("runs", "list", "--data", self.folder, "--json").stdout), [])

    def test_old_trainings_make_room(self):
        data = self.folder / "many"
        winnow("import", "--data", data, self.folder / "events.csv")
        (data / "runs").mkdir()
        for n in range(1010):
            run = {"id": f"2001{n:04d}-000000-0000", "kind": "tune" if n == 2 else "train", "started_ms": n, "params": {}, "metrics": {},
                   "tags": {"keep": "yes"} if n == 1 else {}}
            (data / "runs" / f"{run['id']}.json").write_text(json.dumps(run))
        winnow("tune", "--data", data, "--model", "popular", "--trials", 2, "--users", 50)
        left = sorted(file.name[4:8] for file in (data / "runs").iterdir())
        self.assertEqual(len(left), 1000)
        self.assertEqual(left[:3], ["0001", "0002", "0013"])

    def test_artifacts(self):
        """A training's snapshot, a report: named with their sizes."""
        data, page = self.folder / "artifacts", self.folder / "page.html"
        winnow("import", "--data", data, self.folder / "events.csv")
        (data / "winnow.yaml").write_text("models: {popular: {}}\n")
        winnow("train", "--data", data)
        winnow("evaluate", "--data", data, "--model", "popular", "--report", page, "--bootstrap", 10)
        evaluated, trained = json.loads(winnow("runs", "list", "--data", data, "--json").stdout)
        snapshot = data / "snapshots" / "000001.wns"
        self.assertEqual(trained["artifacts"], [{"path": "snapshots/000001.wns", "bytes": snapshot.stat().st_size}])
        said = json.loads(winnow("dataset", "describe", "--data", data, "--json").stdout)
        self.assertEqual(trained["hashes"]["dataset_hash"], said["dataset_hash"])
        self.assertRegex(trained["hashes"]["fitted_hash"], "^[0-9a-f]{16}$")
        self.assertEqual(evaluated["hashes"]["dataset_hash"], said["dataset_hash"])
        self.assertIsInstance(trained["seed"], int)
        self.assertIn("000001.wns", winnow("runs", "show", "last~1", "--data", data).stdout)
        size = page.stat().st_size
        self.assertEqual(evaluated["artifacts"], [{"path": str(page), "bytes": size},
                                                  {"path": "runs/%s.html" % evaluated["id"], "bytes": size}])

    def test_mlflow(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mlflow)
        server.experiments, server.runs, server.auth, server.broken = {}, {}, set(), False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        try:
            done = self.runs("export", "--mlflow", url, "--experiment", "a b", env={"MLFLOW_TRACKING_TOKEN": "sesame"})
            self.assertIn("2 runs sent", done)
            self.assertEqual((server.experiments, server.auth), ({"a b": "7"}, {"Bearer sesame"}))
            for run_id, run in server.runs.items():
                mine = json.loads(self.runs("show", run["run_name"], "--json"))
                self.assertEqual((run["status"], run["experiment_id"]), ("FINISHED", "7"))
                self.assertEqual(run["start_time"], mine["started_ms"])
                self.assertAlmostEqual(run["metrics"]["best.metric"], mine["metrics"]["best.metric"])
                self.assertEqual(run["params"], mine["params"])
                self.assertIn({"key": "winnow.kind", "value": "tune"}, run["tags"])
                self.assertIn(run_id, mine["tags"].values())
            self.assertIn("0 runs sent", self.runs("export", "--mlflow", url, "--experiment", "a b"))
            server.broken = True
            refused = winnow("runs", "export", "--again", "--mlflow", url, "--experiment", "a b", "--data", self.data, code=6)
            self.assertIn("status 500: out of order", refused.stderr)
        finally:
            server.shutdown()
            server.server_close()
        winnow("runs", "export", "--mlflow", url, "--data", self.data, code=6)
        winnow("runs", "export", "--mlflow", "file:///etc/passwd", "--data", self.data, code=6)


if __name__ == "__main__":
    unittest.main()
