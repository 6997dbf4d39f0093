"""Old events leave the log for segments that can be imported again; what serves does not notice; the deleted leave the segments, too."""

import glob
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
import unittest

from harness import Server, catalogue, events, main, metric, within

DAY = 86400
CONFIG = "models: {als: {factors: 8, epochs: 3}, blend: {users: 10}}\ntraining: {every_hours: 0, keep: 2}\n"


def train(server):
    done = server.run("train", "--data", server.data, *server.args, "--force")
    assert done.returncode == 0, done.stderr


def segments(data):
    return sorted(glob.glob(os.path.join(data, "archive", "*.jsonl.zst")))


def lines(path):
    text = subprocess.run(["zstd", "-dc", path], capture_output=True, check=True).stdout
    return [json.loads(line) for line in text.splitlines()]


def count(server):
    return json.loads(server.run("status", "--data", server.data, "--json").stdout)["events"]


@unittest.skipUnless(shutil.which("zstd"), "no zstd to look into the segments with")
class Retention(unittest.TestCase):
    def start(self, config=CONFIG):
        server = Server(config).start()
        server.post("/v1/items", {"items": catalogue(200)})
        self.sent = events()  # over the last thirty days, in no order of time
        server.post("/v1/events", {"events": self.sent})
        return server

    def archive(self, server, days):
        answer = server.post("/v1/archive?days=%d" % days, None)
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    def test_moves(self):
        """Also while most users' rows lie in the file beside the memory."""
        server = self.start(CONFIG + "server: {state_mb: 0.003}\n")
        before = time.time() - 10 * DAY
        old = [e for e in self.sent if e["time"] < before - 5]
        self.assertEqual(self.archive(server, 10), {"events": 0, "segments": 0, "bytes": 0, "erased": 0})  # no snapshot yet
        train(server)
        server.post("/v1/admin/refresh", None)
        late = {"user": "user-1", "item": "item-1", "type": "view", "time": int(before - DAY)}
        server.post("/v1/events", late)  # old by its time, and not learned yet
        rng = random.Random(9)
        recent = [{"user": "user-%d" % rng.randrange(120), "item": "item-%d" % rng.randrange(200), "type": "view",
                   "time": int(time.time()) - 10} for _ in range(600)]
        server.post("/v1/events", {"events": recent})
        self.assertGreater(metric(server, "winnow_user_rows_away"), 50)
        digest = server.get("/v1/digest").json
        moved = self.archive(server, 10)
        self.assertEqual((moved["events"], moved["segments"]), (len(old), 1))
        self.assertEqual(count(server), len(self.sent) + 601 - len(old))
        found = lines(segments(server.data)[0])
        key = lambda e: (e["user"], e["item"], e["type"])
        self.assertEqual(sorted(map(key, found)), sorted(map(key, old)))
        self.assertEqual(len({e["id"] for e in found}), len(found))
        self.assertEqual(self.archive(server, 10)["events"], 0)
        self.assertEqual(server.get("/v1/digest").json, digest)  # nobody who is served notices
        self.assertEqual(server.post("/v1/events", old[0]).json["duplicates"], 1)  # ids stay known
        server.kill()
        server.start()
        self.assertGreater(metric(server, "winnow_user_rows_away"), 50)
        self.assertEqual(server.get("/v1/digest").json, digest)
        train(server)  # learns the late one, and no longer what is archived
        train(server)  # keep: 2: both kept ones know the late one
        self.assertEqual(self.archive(server, 10)["events"], 1)
        self.assertEqual(len(segments(server.data)), 2)
        self.assertEqual(server.stop(), 0)
        shutil.rmtree(server.folder)

    def test_round_trip(self):
        """Everything archived and imported again is the log it was, however often it is imported."""
        server = self.start()
        train(server)
        self.archive(server, 1)
        left = count(server)
        self.assertEqual(server.stop(), 0)
        with tempfile.TemporaryDirectory() as other:
            data = os.path.join(other, "data")
            for _ in range(2):
                for path in segments(server.data):
                    done = subprocess.run([os.environ.get("WINNOW", "winnow"), "import", "--data", data, "--format", "jsonl", "--again", path],
                                          capture_output=True, text=True)
                    self.assertEqual(done.returncode, 0, done.stderr)
            done = subprocess.run([os.environ.get("WINNOW", "winnow"), "status", "--data", data, "--json"],
                                  capture_output=True, text=True)
            self.assertEqual(json.loads(done.stdout)["events"], len(self.sent) - left)
        shutil.rmtree(server.folder)

    def test_erased(self):
        server = self.start()
        train(server)
        self.archive(server, 1)
        path = segments(server.data)[0]
        users = {e["user"] for e in lines(path)}
        self.assertIn("user-7", users)
        report = server.request("DELETE", "/v1/users/user-7?erase=true").json
        self.assertEqual(report["archives"], 1)
        within(lambda: "user-7" not in {e["user"] for e in lines(path)})
        self.assertEqual({e["user"] for e in lines(path)}, users - {"user-7"})
        # Back, archived again, and not taken for the one who was deleted.
        server.post("/v1/events", {"user": "user-7", "item": "item-1", "type": "view", "time": int(time.time()) - 5 * DAY})
        train(server)
        train(server)
        self.assertEqual(self.archive(server, 1)["events"], 1)
        self.assertEqual(self.archive(server, 1)["erased"], 0)
        self.assertEqual([e["user"] for e in lines(segments(server.data)[1])], ["user-7"])
        self.assertEqual(server.stop(), 0)
        shutil.rmtree(server.folder)

    def test_crash_before_the_deletions(self):
        """A segment that is written and not yet deleted from the log is not written a second time."""
        server = self.start()
        train(server)
        self.assertEqual(server.stop(), 0)
        shutil.copytree(server.data, server.data + "-before")
        server.start()
        moved = self.archive(server, 10)["events"]
        self.assertEqual(server.stop(), 0)
        shutil.copytree(os.path.join(server.data, "archive"), os.path.join(server.data + "-before", "archive"))
        shutil.rmtree(server.data)
        os.rename(server.data + "-before", server.data)
        server.start()
        self.assertEqual(count(server), len(self.sent))
        self.assertEqual(self.archive(server, 10)["events"], 0)
        self.assertEqual(count(server), len(self.sent) - moved)
        self.assertEqual(len(segments(server.data)), 1)
        self.assertEqual(server.stop(), 0)
        shutil.rmtree(server.folder)


class Errors(unittest.TestCase):
    def test_days(self):
        with Server() as server:
            for query in ("", "?days=0"):
                answer = server.post("/v1/archive" + query, None)
                self.assertEqual((answer.status, answer.json["field"]), (400, "days"))


if __name__ == "__main__":
    main(at_once=3)
