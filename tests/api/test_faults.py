"""Each write, fsync, rename, mmap and many an allocation of a training fails in its turn, or is its last: the snapshot that serves
stays, and so does the log. And of a server: what is acknowledged is there, what serves goes on.

A preloaded library (tests/faults/fault.c) makes the Nth call of a function fail; N grows until there is no Nth call: by one up
to 12, then by 9 (WINNOW_FAULTS=all: always by one).
"""

import errno
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from harness import WINNOW, Server, fill, main, train

LIBRARY = os.environ.get("WINNOW_FAULT_LIBRARY", "")
CONFIG = ("models: {als: {factors: 4, epochs: 2}, blend: {users: 10}}\n"
          "training: {every_hours: 0, retries: 0, nice: 0, keep: 3}\nalerts: {every_seconds: 3600}\n")


class Fault:
    """The `n`th call of `call` fails with `error`; error 0: the process is killed there."""

    def __init__(self, folder, call, n, error):
        self.path = os.path.join(folder, "fault")
        for path in (self.path, self.path + ".done"):
            if os.path.exists(path):
                os.unlink(path)
        with open(self.path + ".new", "w") as f:
            f.write("%s %d %d" % (call, n, error))
        os.rename(self.path + ".new", self.path)

    @property
    def struck(self):
        return os.path.exists(self.path + ".done")


def run_clean(*args):
    done = subprocess.run([WINNOW, *args], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="winnow-faults-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)


@unittest.skipUnless(LIBRARY, "no library to preload under a sanitizer")
class Training(Folder):
    def setUp(self):
        super().setUp()
        self.data = os.path.join(self.folder, "data")
        with Server(CONFIG, data=self.data) as server:
            fill(server)
            shutil.copy(os.path.join(server.folder, "winnow.yaml"), self.data)
            train(server)
        self.digest = run_clean("status", "--data", self.data, "--digest")

    def train_with(self, call, n, error):
        """(the fault came, exit status, standard error)"""
        fault = Fault(self.folder, call, n, error)
        done = subprocess.run([WINNOW, "train", "--data", self.data, "--no-promote"], capture_output=True, timeout=120,
                              env=dict(os.environ, LD_PRELOAD=LIBRARY, WINNOW_FAULT_FILE=fault.path))
        return fault.struck, done.returncode, done.stderr.decode(errors="replace")

    def check_sound(self, what):
        run_clean("snapshots", "verify", "--data", self.data)
        listed = json.loads(run_clean("snapshots", "list", "--data", self.data, "--json"))
        self.assertEqual([s["number"] for s in listed if s["current"]], [1], what)
        self.assertTrue(all(s["readable"] for s in listed), (what, listed))
        self.assertEqual(run_clean("status", "--data", self.data, "--digest"), self.digest, what)

    def each(self, call, error):
        struck, n = 0, 0
        while True:
            step = 9 if n >= 12 and os.environ.get("WINNOW_FAULTS") != "all" else 1
            n += step
            came, status, said = self.train_with(call, n, error)
            if not came:
                break
            struck += 1
            what = "%s %d: exit status %d, %s" % (call, n, status, said)
            if error:  # told, or of no consequence (a note that could not be made); no crash
                self.assertIn(status, (0, 6, 7, 9, 10), what)
                self.assertTrue(said or status == 0, what)
            if struck % 4 == 1:
                self.check_sound(what)
        self.check_sound("%s, all" % call)
        print("%s %s: %d points" % (call, errno.errorcode.get(error, "SIGKILL"), struck))
        self.assertGreater(struck, 0)

    def test_full_disk(self):
        self.each("pwrite", errno.ENOSPC)

    def test_write(self):
        self.each("write", errno.EIO)

    def test_fsync(self):
        self.each("fsync", errno.EIO)

    def test_rename(self):
        self.each("rename", errno.EIO)

    def test_mmap(self):
        self.each("mmap", errno.ENOMEM)

    def test_killed_at_write(self):
        self.each("pwrite", 0)

    def test_killed_elsewhere(self):
        self.each("fsync", 0)
        self.each("rename", 0)

    def test_malloc(self):
        """Every 97th and later ever rarer: libraries may give up, what is stored may not."""
        n, struck = 1, 0
        while self.train_with("malloc", n, errno.ENOMEM)[0]:
            struck += 1
            n += max(97, n // 6)
        self.check_sound("malloc")
        print("malloc: %d points up to call %d" % (struck, n))
        self.assertGreater(struck, 10)


@unittest.skipUnless(LIBRARY, "no library to preload under a sanitizer")
class Serving(Folder):
    def armed(self):
        """It may fail; without `env` from its next start on it does not."""
        server = Server(CONFIG, env=dict(os.environ, LD_PRELOAD=LIBRARY, WINNOW_FAULT_FILE=os.path.join(self.folder, "fault")))
        server.start().env = None
        return server

    def test_swap(self):
        """A snapshot that cannot be mapped is not served; the old one is, and the new one when it can be."""
        server = self.armed()
        fill(server)
        train(server)
        server.post("/v1/admin/refresh", None)
        for n in range(1, 20):
            train(server)
            newest = max(s["number"] for s in server.get("/v1/snapshots").json["snapshots"])
            fault = Fault(self.folder, "mmap", n, errno.ENOMEM)
            server.post("/v1/admin/refresh", None)
            self.assertEqual(server.get("/v1/surfaces/home/slate?user=user-1").status, 200)
            if not fault.struck:
                break
            self.assertGreaterEqual(server.get("/readyz").json["model"], newest - 1)
        self.assertGreater(n, 1)
        os.unlink(os.path.join(self.folder, "fault"))
        train(server)
        self.assertEqual(server.post("/v1/admin/refresh", None).status, 200)
        self.assertEqual(server.get("/readyz").json["model"],
                         max(s["number"] for s in server.get("/v1/snapshots").json["snapshots"]))
        self.assertEqual(server.stop(), 0)

    def commits(self, call, error):
        """What was acknowledged before, at and after a failing or deadly call is there after a restart, once."""
        for n in range(1, 5):
            server = self.armed()
            fault, acknowledged = None, 0
            for k in range(12):
                if k == 3:
                    fault = Fault(self.folder, call, n, error)
                try:
                    answer = server.post("/v1/events", [{"id": "e-%d-%d" % (k, i), "user": "u", "item": "i%d" % i,
                                                         "type": "view"} for i in range(5)])
                    acknowledged += 5 if answer.status == 200 else 0
                except OSError:
                    break
            self.assertTrue(fault.struck, (call, n))
            if server.process.poll() is None:
                server.stop()
            server.process = None
            os.unlink(fault.path)
            with_log = server.start().get("/readyz").json["last_seq"]
            status = json.loads(server.run("status", "--data", server.data, "--json").stdout)
            self.assertGreaterEqual(status["events"], acknowledged, (call, n, error))
            self.assertLessEqual(status["events"], acknowledged + 5, (call, n, error))
            self.assertGreaterEqual(with_log, acknowledged)
            self.assertEqual(server.stop(), 0)
            shutil.rmtree(server.folder, ignore_errors=True)

    def test_commit_on_full_disk(self):
        self.commits("pwrite", errno.ENOSPC)

    def test_commit_killed_at_write(self):
        self.commits("pwrite", 0)

    def test_commit_with_failing_fsync(self):
        self.commits("fsync", errno.EIO)

    def test_commit_killed_at_fsync(self):
        self.commits("fsync", 0)


if __name__ == "__main__":
    main(at_once=4)
