"""Every command as a user types it: results, JSON, exit statuses, and what it says when something is wrong."""
import gzip
import json
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import time
import unittest

WINNOW = os.environ["WINNOW"]
SOURCE = pathlib.Path(os.environ.get("WINNOW_SOURCE", pathlib.Path(__file__).resolve().parents[2]))
COMMANDS = ["import", "train", "evaluate", "dataset", "batch", "recommend", "similar", "serve", "status", "snapshots", "check-config"]
DAY = 86400
START = 1_600_000_000


def winnow(*args, code=0, **kwargs):
    done = subprocess.run([WINNOW, *map(str, args)], capture_output=True, text=True, timeout=120, **kwargs)
    if done.returncode != code:
        raise AssertionError(f"winnow {' '.join(map(str, args))}: exit {done.returncode}, expected {code}\n"
                             f"{done.stdout}\n{done.stderr}")
    return done


def write_world(folder, users=80, items=60, events=30):
    """Two tastes: users of even number like even items. Times grow, so that a split by time works."""
    rng = random.Random(7)
    rows = []
    for n in range(users * events):
        user = n % users
        item = rng.randrange(items // 2) * 2 + user % 2
        rows.append((START + n * 600 + rng.randrange(500), user, item))
    with open(folder / "events.csv", "w") as out:
        out.write("user,item,type,time\n")
        for when, user, item in rows:
            out.write(f"u{user},i{item},view,{when}\n")
    with open(folder / "items.csv", "w") as out:
        out.write("item,title,category,price,tags\n")
        for item in range(items):
            kind = "even" if item % 2 == 0 else "odd"
            out.write(f'i{item},"Item, number {item}",{kind},{item + 0.5},{kind}|all\n')
    return len(rows)


class Cli(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.count = write_world(cls.folder)
        cls.data = cls.folder / "data"
        cls.imported = winnow("import", "--data", cls.data, "--kind", "items", cls.folder / "items.csv", "--json")
        cls.events = winnow("import", "--data", cls.data, cls.folder / "events.csv", "--json")
        cls.trained = winnow("train", "--data", cls.data, "--set", "als.factors=16", "--json")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def fresh(self):
        return pathlib.Path(tempfile.mkdtemp(dir=self.folder))

    def test_help(self):
        top = winnow("--help").stdout
        self.assertEqual(winnow("--version").stdout.split()[0], "winnow")
        for command in COMMANDS:
            self.assertIn(command, top)
            text = winnow(command, "--help").stdout
            self.assertIn(f"winnow {command}", text)
            self.assertIn("--json", text)

    def test_wrong_usage_is_exit_2(self):
        for args in [[], ["nonsense"], ["train"], ["train", "--data"], ["train", "--data", "x", "--nonsense"],
                     ["recommend", "--data", "x", "--n", "many"], ["similar", "--data", "x"], ["snapshots", "polish"],
                     ["evaluate"], ["import", "--data", "x"], ["import", "--data", "x", "f", "--map", "nonsense"],
                     ["train", "--data", "x", "stray"], ["serve", "--data", "x", "--port", "70000"]]:
            self.assertTrue(winnow(*args, code=2).stderr, args)

    def test_import_reports(self):
        report = json.loads(self.events.stdout)
        self.assertEqual(report["events_stored"], self.count - report["duplicate_lines"])
        self.assertEqual(report["bad_lines"], 0)
        self.assertGreater(report["duplicate_pairs"], 0)
        self.assertEqual(json.loads(self.imported.stdout)["items"], 60)

    def test_importing_the_same_events_twice_is_refused(self):
        again = winnow("import", "--data", self.data, self.folder / "events.csv", code=11)
        self.assertIn("--again", again.stderr)
        self.assertEqual(json.loads(winnow("status", "--data", self.data, "--json").stdout)["events"],
                         json.loads(self.events.stdout)["events_stored"])

    def test_untimed_events_are_recognised_too(self):
        folder = self.fresh()
        (folder / "pairs.csv").write_text("user,item\nann,x\nbob,y\n")
        winnow("import", "--data", folder / "data", folder / "pairs.csv")
        winnow("import", "--data", folder / "data", folder / "pairs.csv", code=11)
        winnow("import", "--data", folder / "data", "--again", folder / "pairs.csv")

    def test_an_absent_file_makes_no_folder(self):
        folder = self.fresh()
        winnow("import", "--data", folder / "data", folder / "absent.csv", code=4)
        self.assertFalse((folder / "data").exists())

    def test_pipes(self):
        folder = self.fresh()
        with open(self.folder / "events.csv", "rb") as source:
            piped = winnow("import", "--data", folder / "data", "/dev/stdin", "--json", stdin=source)
        self.assertEqual(json.loads(piped.stdout)["events_stored"], json.loads(self.events.stdout)["events_stored"])
        for args in [[], ["--format", "csv"]]:
            cat = subprocess.Popen(["cat", str(self.folder / "events.csv")], stdout=subprocess.PIPE)
            data = self.fresh() / "data"
            done = subprocess.run([WINNOW, "import", "--data", str(data), "--json", *args, "/dev/stdin"],
                                  stdin=cat.stdout, capture_output=True, text=True, timeout=60)
            cat.stdout.close()
            cat.wait()
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(json.loads(done.stdout)["events_stored"], json.loads(self.events.stdout)["events_stored"])

    def test_one_item_trains(self):
        data = self.fresh() / "data"
        (data.parent / "one.csv").write_text("user,item\na,x\nb,x\n")
        winnow("import", "--data", data, data.parent / "one.csv")
        winnow("train", "--data", data)

    def test_a_bad_line_leaves_nothing(self):
        folder = self.fresh()
        (folder / "bad.csv").write_text("user,item,type,time\nu1,i1,view,1600000000\nu2,,view,1600000001\n"
                                        "u3,i1,view,yesterday\nu4,i4,view,1600000003\n")
        failed = winnow("import", "--data", folder / "data", folder / "bad.csv", code=3)
        self.assertIn("bad.csv:3", failed.stderr)
        self.assertIn("bad.csv:4", failed.stderr)
        self.assertNotIn("bad.csv:4", winnow("import", "--data", folder / "data", "--bad-max", "1", folder / "bad.csv",
                                             code=3).stderr)
        winnow("import", "--data", folder / "data", "--bad-max", "0", folder / "bad.csv", code=2)
        self.assertIn("Nothing was imported", failed.stderr)
        self.assertEqual(json.loads(winnow("status", "--data", folder / "data", "--json").stdout)["events"], 0)
        report = json.loads(winnow("import", "--data", folder / "data", "--skip-bad", "--json", folder / "bad.csv").stdout)
        self.assertEqual((report["events_stored"], report["bad_lines"]), (2, 2))

    def test_mapping_and_compression(self):
        folder = self.fresh()
        with gzip.open(folder / "log.tsv.gz", "wt") as out:
            out.write("when\twho\twhat\n")
            for n in range(50):
                out.write(f"{START + n}\tu{n % 5}\tthing {n}\n")
        report = json.loads(winnow("import", "--data", folder / "data", "--format", "tsv", "--map", "user=who", "--map",
                                   "item=what", "--map", "time=when", "--map", "type=!play", "--json",
                                   folder / "log.tsv.gz").stdout)
        self.assertEqual(report["events_stored"], 50)
        self.assertIn("play", winnow("status", "--data", folder / "data").stdout)

    def test_recommend(self):
        slate = json.loads(winnow("recommend", "--data", self.data, "--user", "u2", "--n", "8", "--json").stdout)
        self.assertEqual(len(slate["items"]), 8)
        self.assertTrue(slate["personal"])
        self.assertEqual(slate["model"], 1)
        self.assertGreater(slate["took_ms"], 0)
        table = winnow("recommend", "--data", self.data, "--user", "u2", "--n", "8").stdout
        self.assertIn(slate["scored_by"], ("blend", "generators"))
        self.assertIn("scored by the " + slate["scored_by"], table)
        for item in slate["items"]:
            self.assertIn(item["id"], table)
            self.assertEqual(item["propensity"], 1)
        even = json.loads(winnow("recommend", "--data", self.data, "--user", "u2", "--filter", 'category == "even"',
                                 "--exclude", "i0", "--json").stdout)
        self.assertTrue(all(int(item["id"][1:]) % 2 == 0 and item["id"] != "i0" for item in even["items"]))

    def test_recommend_for_strangers_and_errors(self):
        slate = json.loads(winnow("recommend", "--data", self.data, "--user", "nobody", "--json").stdout)
        self.assertFalse(slate["user_known"])
        self.assertGreater(len(slate["items"]), 0)
        self.assertIn("surface", winnow("recommend", "--data", self.data, "--user", "u1", "--surface", "attic", code=4).stderr)
        self.assertIn("filter", winnow("recommend", "--data", self.data, "--user", "u1", "--filter", "price <", code=2).stderr)
        winnow("recommend", "--data", self.data, "--user", "u1", "--n", "100000", code=2)
        winnow("recommend", "--data", self.data, "--user", "u1", "--n", "0", code=2)
        self.assertIn("user", winnow("recommend", "--data", self.data, "--user", "\udcff", code=2).stderr)
        self.assertIn("user", winnow("recommend", "--data", self.data, "--user", "", code=2).stderr)
        self.assertIn("absent", winnow("recommend", "--data", self.folder / "absent", "--user", "u1", code=4).stderr)

    def test_explain(self):
        slate = json.loads(winnow("recommend", "--data", self.data, "--user", "u2", "--explain", "--json").stdout)
        self.assertEqual(set(slate["explain"]) >= {"retrieve", "filter", "score", "order"}, True)

    def test_similar(self):
        near = json.loads(winnow("similar", "--data", self.data, "--item", "i4", "--n", "5", "--json").stdout)
        self.assertEqual(len(near["items"]), 5)
        self.assertNotIn("i4", [item["id"] for item in near["items"]])
        even = sum(int(item["id"][1:]) % 2 == 0 for item in near["items"])
        self.assertGreaterEqual(even, 4)
        people = json.loads(winnow("similar", "--data", self.data, "--user", "u4", "--n", "5", "--json").stdout)
        self.assertEqual(len(people), 5)
        self.assertGreaterEqual(sum(int(p["id"][1:]) % 2 == 0 for p in people), 4)
        winnow("similar", "--data", self.data, "--item", "absent", code=4)
        winnow("similar", "--data", self.data, "--user", "absent", code=4)

    def test_evaluate(self):
        result = json.loads(winnow("evaluate", "--data", self.data, "--k", "5,10", "--json", "--bootstrap", "100").stdout)
        rows = {row["model"]: row["at"][0] for row in result["rows"]}
        self.assertEqual(result["split"], "time")
        self.assertIn("funnel:home", rows)
        self.assertNotIn("funnel:feed", rows)
        two = json.loads(winnow("evaluate", "--data", self.data, "--k", "5", "--json", "--bootstrap", "100", "--model", "covisit",
                                "--surface", "home", "--surface", "feed").stdout)
        self.assertEqual([row["model"] for row in two["rows"]][-2:], ["funnel:home", "funnel:feed"])
        self.assertLess(rows["random"]["recall"]["mean"], rows["covisit"]["recall"]["mean"])
        for row in rows.values():
            for metric in ("ndcg", "recall", "precision", "hit_rate", "mrr", "map"):
                self.assertLessEqual(row[metric]["low"], row[metric]["mean"])
                self.assertLessEqual(row[metric]["mean"], row[metric]["high"])
        table = winnow("evaluate", "--data", self.data, "--k", "5", "--bootstrap", "100", "--no-funnel").stdout
        self.assertIn("NDCG", table)
        self.assertIn("evaluated:", table)

    def test_models_by_name(self):
        data = self.fresh() / "data"
        winnow("import", "--data", data, self.folder / "events.csv")
        fast = ["--set", "als.factors=4", "--set", "als.epochs=1"]
        small = json.loads(winnow("train", "--data", data, *fast, "--json").stdout)["models"].split(",")
        self.assertTrue({"ridge", "ease", "blend"} <= set(small))  # cheap on so little
        self.assertNotIn("vmis", small)
        named = json.loads(winnow("train", "--data", data, *fast, "--set", "vmis.neighbours=5", "--json").stdout)["models"]
        self.assertIn("vmis", named)
        (data / "winnow.yaml").write_text("surfaces: {next: {retrieve: [{model: ridge-seq}], fallback: [{model: ease}]}}\n")
        asked = json.loads(winnow("train", "--data", data, *fast, "--json").stdout)["models"]
        self.assertTrue("ridge-seq" in asked and "ease" in asked)
        slate = json.loads(winnow("recommend", "--data", data, "--user", "u1", "--surface", "next", "--json").stdout)
        self.assertGreater(len(slate["items"]), 0)

    def test_tune(self):
        folder = self.fresh()
        (folder / "train.txt").write_text("".join(f"{u} {(u * 7 + k) % 40}\n" for u in range(60) for k in range(8)))
        search = ["tune", "--train", folder / "train.txt", "--format", "sequence", "--model", "covisit", "--metric", "ndcg@5",
                  "--set", "rho=0.3", "--trials", "4", "--out", folder / "journal.jsonl"]
        found = json.loads(winnow(*search, "--json").stdout)
        self.assertEqual((found["model"], found["trials"], len(found["rows"])), ("covisit", 4, 5))
        self.assertTrue(all(row["params"]["rho"] == 0.3 for row in found["rows"]))  # fixed
        lines = (folder / "journal.jsonl").read_text().splitlines()
        self.assertEqual(json.loads(winnow(*search, "--json").stdout), found)  # from the journal
        self.assertEqual((folder / "journal.jsonl").read_text().splitlines(), lines)
        again = winnow(*search)
        self.assertIn("models:\n  covisit: {", again.stdout)
        self.assertIn("minutes to go", again.stderr)
        winnow(*search, "--seed", "2", code=11)
        # user after user is no order of time to cut; one item of each in turn is
        self.assertIn("--validate newest", winnow(*search[:-2], "--validate", "time", code=2).stderr)
        (folder / "train.txt").write_text("".join(f"{u} {(u * 7 + k) % 40}\n" for k in range(12) for u in range(60)))
        self.assertIn("the last tenth by time held out", winnow(*search[:-2], "--validate", "time").stdout)
        self.assertIn("newest or time", winnow(*search, "--validate", "soon", code=2).stderr)

    def test_evaluate_files(self):
        folder = self.fresh()
        (folder / "train.txt").write_text("".join(f"{u} {' '.join(str(2 * i + u % 2) for i in range(u % 3, 12))}\n"
                                                  for u in range(40)))
        (folder / "test.txt").write_text("".join(f"{u} {24 + u % 2}\n" for u in range(40)) +
                                         "".join(f"{u} {u % 2}\n" for u in range(2, 40, 3)))
        out = winnow("evaluate", "--train", folder / "train.txt", "--test", folder / "test.txt", "--format", "adjacency",
                     "--model", "als", "--set", "factors=8", "--set", "epochs=3", "--json").stdout
        self.assertEqual([row["model"] for row in json.loads(out)["rows"]], ["random", "popular", "als"])
        metrics = json.loads(winnow("evaluate", "--train", folder / "train.txt", "--test", folder / "test.txt", "--format",
                                    "adjacency", "--model", "als", "--metrics", "recall@20,ndcg@20", "--json").stdout)
        self.assertEqual(set(metrics["als"]), {"recall@20", "ndcg@20"})
        named = winnow("evaluate", "--train", folder / "train.txt", "--test", folder / "test.txt", "--format", "adjacency",
                       "--model", "ridge", "--model", "ease", "--set", "ridge.k=8", "--json").stdout
        self.assertEqual([row["model"] for row in json.loads(named)["rows"]], ["random", "popular", "ridge", "ease"])
        for args, words in [(["--set", "factors=0"], "factors"), (["--set", "nonsense=1"], "nonsense"),
                            (["--set", "als.factors=x"], "factors"), (["--k", "0"], "k"), (["--k", "10,"], "k"),
                            (["--metrics", "dcg@5"], "dcg"), (["--metrics", "recall@20x"], "metrics"),
                            (["--metrics", "recall"], "metrics")]:
            failed = winnow("evaluate", "--train", folder / "train.txt", "--test", folder / "test.txt", "--format",
                            "adjacency", "--model", "als", *args, code=2)
            self.assertIn(words, failed.stderr)
        winnow("evaluate", "--train", folder / "train.txt", "--test", folder / "test.txt", "--format", "adjacency",
               "--model", "crystal-ball", code=2)
        winnow("evaluate", "--train", folder / "absent", "--test", folder / "test.txt", "--format", "adjacency", code=4)

    def test_sequence_leave_last_out(self):
        folder = self.fresh()
        (folder / "log.txt").write_text("".join(f"{u} {i}\n" for u in range(30) for i in range(u % 4, u % 4 + 10)))
        out = json.loads(winnow("evaluate", "--train", folder / "log.txt", "--format", "sequence", "--model", "covisit",
                                "--split", "leave-last-out", "--json").stdout)
        self.assertEqual((out["split"], out["users_evaluated"], out["test_pairs"]), ("leave-last-out", 30, 30))

    def test_status(self):
        status = json.loads(winnow("status", "--data", self.data, "--json").stdout)
        self.assertEqual((status["items"], status["users"]), (60, 80))
        self.assertIn("snapshot", winnow("status", "--data", self.data).stdout)
        self.assertTrue(winnow("status", "--data", self.data, "--example", "user").stdout.startswith("u"))
        winnow("status", "--data", self.folder / "absent", code=4)

    def test_snapshots(self):
        folder = self.fresh()
        data = folder / "data"
        winnow("import", "--data", data, self.folder / "events.csv")
        for _ in range(3):
            winnow("train", "--data", data, "--set", "als.factors=4", "--set", "als.epochs=1")
        listed = json.loads(winnow("snapshots", "list", "--data", data, "--json").stdout)
        self.assertEqual([s["number"] for s in listed], [3, 2, 1])
        self.assertEqual([s["current"] for s in listed], [True, False, False])
        winnow("snapshots", "verify", "--data", data)
        winnow("snapshots", "rollback", "--data", data)
        self.assertEqual(json.loads(winnow("recommend", "--data", data, "--user", "u1", "--json").stdout)["model"], 2)
        winnow("snapshots", "rollback", "--data", data, "3")
        newest = data / "snapshots" / "000003.wns"
        raw = bytearray(newest.read_bytes())
        raw[len(raw) // 2] ^= 0x10
        newest.chmod(0o644)
        newest.write_bytes(raw)
        self.assertIn("3", winnow("snapshots", "verify", "--data", data, code=9).stdout)
        slate = winnow("recommend", "--data", data, "--user", "u1", "--json")
        self.assertEqual(json.loads(slate.stdout)["model"], 2)  # the last good one
        winnow("snapshots", "rollback", "--data", data, "3", code=9)
        winnow("snapshots", "rollback", "--data", data, "77", code=4)
        winnow("snapshots", "list", "--data", self.folder / "absent", code=4)

    def test_training_is_reproducible(self):
        files = []
        for _ in range(2):
            data = self.fresh() / "data"
            winnow("import", "--data", data, self.folder / "events.csv")
            winnow("train", "--data", data, "--seed", "5", "--set", "als.factors=8")
            files.append(json.loads(winnow("recommend", "--data", data, "--user", "u3", "--json").stdout)["items"])
        self.assertEqual(files[0], files[1])

    def test_check_config(self):
        folder = self.fresh()
        good = folder / "good.yaml"
        good.write_text("surfaces:\n  home:\n    flavour: personal\n    n: 12\n")
        self.assertIn("home", winnow("check-config", good).stdout)
        bad = folder / "bad.yaml"
        bad.write_text("surfaces:\n  home:\n    flavour: personal\n    nn: 12\n")
        failed = winnow("check-config", bad, code=5)
        self.assertIn("bad.yaml:4", failed.stderr)
        answer = json.loads(winnow("check-config", "--json", bad, code=5).stdout)
        self.assertEqual((answer["valid"], answer["line"]), (False, 4))
        winnow("check-config", SOURCE / "examples" / "winnow.yaml")

    def test_serve_refusals(self):
        data = self.fresh() / "data"
        port_file = data.parent / "port"
        server = subprocess.Popen([WINNOW, "serve", "--data", str(data), "--port", "0", "--port-file", str(port_file)],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            deadline = time.time() + 20
            while not port_file.exists() and time.time() < deadline:
                time.sleep(0.02)
            port = int(port_file.read_text())
            self.assertIn(str(server.pid), winnow("serve", "--data", data, "--port", "0", code=8).stderr)  # same folder
            self.assertIn(str(server.pid), winnow("import", "--data", data, self.folder / "events.csv", code=8).stderr)
            other = self.fresh() / "data"
            self.assertIn(str(port), winnow("serve", "--data", other, "--port", port, code=8).stderr)
            winnow("status", "--data", data)  # reading beside it works
        finally:
            server.send_signal(signal.SIGTERM)
            out, err = server.communicate(timeout=20)
        self.assertEqual(server.returncode, 0, err)
        self.assertIn(f":{port}/", out)

    def test_empty_store(self):
        data = self.fresh() / "data"
        empty = data.parent / "none.csv"
        empty.write_text("user,item,type,time\n")
        winnow("import", "--data", data, empty)
        winnow("train", "--data", data)
        slate = json.loads(winnow("recommend", "--data", data, "--user", "u1", "--json").stdout)
        self.assertEqual(slate["items"], [])
        self.assertIn("no events", winnow("evaluate", "--data", data, code=2).stderr)

    @unittest.skipIf(os.getuid() == 0 and not os.path.exists("/usr/bin/setpriv"), "needs an ordinary user")
    def test_read_only_folder(self):
        data = self.fresh() / "data"
        winnow("import", "--data", data, self.folder / "events.csv")
        subprocess.run(["chmod", "-R", "a-w", str(data)], check=True)
        for folder in [self.folder, data.parent]:
            folder.chmod(0o755)
        run = ["setpriv", "--reuid=65534", "--clear-groups"] if os.getuid() == 0 else []
        read = subprocess.run([*run, WINNOW, "status", "--data", str(data), "--json"], capture_output=True, text=True)
        self.assertEqual(read.returncode, 0, read.stderr)
        self.assertGreater(json.loads(read.stdout)["events"], 0)
        refused = subprocess.run([*run, WINNOW, "serve", "--data", str(data), "--port", "0"], capture_output=True,
                                 text=True, timeout=60)
        self.assertEqual(refused.returncode, 6, refused.stderr)
        subprocess.run(["chmod", "-R", "u+w", str(data)], check=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
