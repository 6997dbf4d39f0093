"""Training beside serving: triggers, the gate, failures, kills; the incumbent serves through all of it."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import unittest

from harness import Server, fill, main, within

# Few and quick models: what is tested is who trains when and what becomes of it.
FAST = """
models: {als: {factors: 8, epochs: 3}, blend: {users: 10}}
training: {every_hours: 0, nice: 0, %s gate: {users_min: %d}}
"""


def config(extra="", users_min=10):
    return FAST % (extra + ", " if extra else "", users_min)


def train_state(server):
    return server.get("/v1/train").json


def runs(server):
    return sum(train_state(server)["runs"].values())


def wait_run(server, n):
    within(lambda: runs(server) >= n and not train_state(server)["running"])
    return train_state(server)["last"]


def more_events(server, seed, users=60, each=10, items=200):
    """Everybody goes on as before: what a good model foresees."""
    rng = random.Random(seed)
    now = int(time.time())
    rows = [{"user": "user-%d" % u, "item": "item-%d" % (rng.randrange(items // 5) * 5 + u % 5), "type": "view",
             "time": now} for u in range(users) for _ in range(each)]
    rng.shuffle(rows)
    answer = server.post("/v1/events", {"events": rows})
    assert answer.status == 200, answer


def model(server):
    return server.get("/readyz").json["model"]


def verdict(server, number):
    with open(os.path.join(server.data, "snapshots", "%06d.verdict.json" % number)) as f:
        return json.load(f)


class Training(unittest.TestCase):
    def test_by_hand_and_gate(self):
        with Server(config()) as server:
            fill(server)
            self.assertIsNone(train_state(server)["last"])
            answer = server.post("/v1/train", None)
            self.assertEqual(answer.status, 202, answer)
            self.assertEqual(server.post("/v1/train", None).status, 409)
            last = wait_run(server, 1)
            self.assertEqual((last["result"], last["trigger"], last["snapshot"]), ("promoted", "request", 1), last)
            self.assertEqual(last["gate"]["verdict"], "first")
            within(lambda: model(server) == 1)
            more_events(server, 1)
            server.post("/v1/train", None)
            last = wait_run(server, 2)
            self.assertIn(last["gate"]["verdict"], ("better", "equal"), last)
            self.assertGreaterEqual(last["gate"]["users"], 10)
            self.assertEqual(verdict(server, 2), last["gate"])
            within(lambda: model(server) == 2)
            self.worse_is_kept(server)

    def worse_is_kept(self, server):
        """Promise 5: a challenger that knows nothing does not replace the incumbent, unless told to."""
        more_events(server, 2)
        bad = ["--dataset", "window_days=0.0001", "--dataset", "user_items_max=1", "--cold", "--json"]
        own = ["--config", server.args[server.args.index("--config") + 1]]
        done = server.run("train", "--data", server.data, *own, *bad)
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual((report["gate"]["verdict"], report["promoted"]), ("worse", False), report)
        self.assertLess(report["gate"]["difference_high"], 0)
        self.assertEqual(verdict(server, 3)["verdict"], "worse")
        time.sleep(1.2)
        self.assertEqual(model(server), 2)
        done = server.run("train", "--data", server.data, *own, *bad, "--force")
        self.assertTrue(json.loads(done.stdout)["gate"]["forced"], done)
        within(lambda: model(server) == 4)
        listed = json.loads(server.run("snapshots", "list", "--data", server.data, "--json").stdout)
        self.assertEqual([s["verdict"] for s in listed], ["unjudged", "worse", listed[2]["verdict"], "first"])
        self.assertEqual(server.run("snapshots", "rollback", "--data", server.data, "2").returncode, 0)
        within(lambda: model(server) == 2)

    def test_by_events_and_too_few_users(self):
        with Server(config("events: 100", users_min=10000)) as server:
            fill(server)
            last = wait_run(server, 1)
            self.assertEqual((last["result"], last["trigger"]), ("promoted", "events"))
            time.sleep(1.2)
            self.assertEqual(runs(server), 1)
            more_events(server, 1, users=5)
            time.sleep(1.2)
            self.assertEqual(runs(server), 1)  # 50 are not yet 100
            more_events(server, 2, users=5)
            last = wait_run(server, 2)
            self.assertEqual((last["result"], last["gate"]["verdict"]), ("promoted", "unjudged"))
            self.assertIn("10000", last["gate"]["reason"])

    def test_by_schedule(self):
        with Server(FAST.replace("every_hours: 0", "every_hours: 0.0002") % ("", 10)) as server:
            fill(server)
            last = wait_run(server, 1)
            self.assertEqual((last["result"], last["trigger"]), ("promoted", "schedule"))
            time.sleep(2)
            self.assertEqual(runs(server), 1)  # nothing new to learn from
            more_events(server, 1, users=3)
            wait_run(server, 2)

    def test_failure(self):
        """Out of memory: tried again with back-off, given up, and the incumbent serves on."""
        with Server(config("memory_mb: 3, retries: 2, retry_seconds: 1")) as server:
            fill(server)
            begin = time.monotonic()
            server.post("/v1/train", None)
            last = wait_run(server, 1)
            self.assertEqual(last["result"], "failed", last)
            self.assertTrue(last["reason"])
            last = wait_run(server, 3)
            self.assertEqual(last["trigger"], "retry")
            self.assertGreater(time.monotonic() - begin, 1 + 2)
            self.assertTrue(train_state(server)["given_up"])
            time.sleep(1.2)  # at least one look
            self.assertEqual(runs(server), 3)
            self.assertEqual(server.get("/v1/surfaces/home/slate?user=user-1").status, 200)
            said = [line.split(" reason=")[0].split("training: ")[1] for line in server.output().splitlines() if "failures=" in line]
            self.assertEqual(said, ["failed failures=1 next-try-seconds=1", "failed failures=2 next-try-seconds=2",
                                    "failures=3 gives-up-until=schedule"])

    def child(self, server):
        found = subprocess.run(["pgrep", "-P", str(server.process.pid)], capture_output=True, text=True).stdout.split()
        return int(found[0]) if found else None

    def slow(self, extra):
        return config(extra).replace("factors: 8, epochs: 3", "factors: 400, epochs: 1000, tolerance: 0")

    def test_killed_trainer(self):
        with Server(self.slow("retries: 1, retry_seconds: 1")) as server:
            fill(server)
            server.post("/v1/train", None)
            os.kill(within(lambda: self.child(server)), signal.SIGKILL)
            last = wait_run(server, 1)
            self.assertEqual(last["result"], "failed")
            self.assertIn("signal 9", last["reason"])
            within(lambda: train_state(server)["running"])  # tries again by itself
            self.assertEqual(server.request("DELETE", "/v1/train").status, 202)
            self.assertEqual(wait_run(server, 2)["result"], "cancelled")
            self.assertEqual(server.request("DELETE", "/v1/train").status, 409)

    def test_out_of_time(self):
        with Server(self.slow("retries: 0, minutes_max: 0.02")) as server:
            fill(server)
            server.post("/v1/train", None)
            last = wait_run(server, 1)
            self.assertEqual(last["result"], "failed")
            self.assertIn("training.minutes_max = 0.02", last["reason"])
            self.assertIsNone(self.child(server))
            self.assertEqual(server.get("/v1/surfaces/home/slate?user=user-1").status, 200)

    def test_starved(self):
        """It takes what nobody else wants; without any for a hundredth of its time it is raised, where that is allowed."""
        may_leave = subprocess.run([sys.executable, "-c", "import os; none = os.sched_param(0); os.nice(19); "
                                    "os.sched_setscheduler(0, os.SCHED_IDLE, none); os.sched_setscheduler(0, os.SCHED_BATCH, none)"],
                                   capture_output=True).returncode == 0
        with Server(self.slow("retries: 0, minutes_max: 2").replace("nice: 0, ", "")) as server:
            fill(server)
            server.post("/v1/train", None)
            child = within(lambda: self.child(server))
            within(lambda: os.sched_getscheduler(child) != os.SCHED_OTHER)
            os.kill(child, signal.SIGSTOP)  # as one that never gets a processor
            if may_leave:
                within(lambda: {os.sched_getscheduler(int(t)) for t in os.listdir("/proc/%d/task" % child)} == {os.SCHED_BATCH})
                self.assertEqual(os.getpriority(os.PRIO_PROCESS, child), 19)
            within(lambda: ("now=nice-19" if may_leave else "RLIMIT_NICE") in server.output())
            server.request("DELETE", "/v1/train")
            os.kill(child, signal.SIGCONT)
            self.assertEqual(wait_run(server, 1)["result"], "cancelled")

    def test_killed_server(self):
        """Its child does not outlive it; nor one that is stopped in order."""
        for end in ("kill", "stop"):
            server = Server(self.slow("retries: 0")).start()
            fill(server)
            server.post("/v1/train", None)
            child = within(lambda: self.child(server))
            within(lambda: train_state(server).get("stage"))  # it has taken its place
            getattr(server, end)()
            within(lambda: not os.path.exists("/proc/%d" % child))
            left = [n for n in os.listdir(os.path.join(server.data, "snapshots")) if n.endswith(".wns")] \
                if os.path.isdir(os.path.join(server.data, "snapshots")) else []
            self.assertEqual(left, [])
            again = Server(config(), data=server.data)
            with again:
                self.assertEqual(again.post("/v1/train", None).status, 202)
                self.assertEqual(wait_run(again, 1)["result"], "promoted")

    def test_serving_goes_on(self):
        """Slates and events through three trainings and swaps: no error, and the child is of low priority."""
        with Server(config().replace("nice: 0", "nice: 5")) as server:
            fill(server)
            wrong, stop, served = [], threading.Event(), [0]

            def load(worker):
                client = server.client()
                n = 0
                while not stop.is_set():
                    n += 1
                    answers = [client.request("GET", "/v1/surfaces/home/slate?user=user-%d" % (n % 60)),
                               client.request("POST", "/v1/events", {"user": "user-%d" % (n % 60), "type": "view",
                                                                     "item": "item-%d" % (n * 7 % 200)})]
                    wrong.extend(a for a in answers if a.status != 200)
                    served[0] += 1
                client.close()

            threads = [threading.Thread(target=load, args=(w,)) for w in range(3)]
            for t in threads:
                t.start()
            try:
                for n in range(1, 4):
                    self.assertEqual(server.post("/v1/train?force=true", None).status, 202)
                    child = within(lambda: self.child(server))
                    within(lambda: os.sched_getscheduler(child) == os.SCHED_BATCH)
                    self.assertGreaterEqual(os.getpriority(os.PRIO_PROCESS, child), 5)
                    self.assertEqual(wait_run(server, n)["result"], "promoted")
                    within(lambda: model(server) == n)
            finally:
                stop.set()
                for t in threads:
                    t.join()
            self.assertEqual(wrong, [])
            self.assertGreater(served[0], 10)

    def test_old_snapshots_leave(self):
        with Server(config("keep: 2")) as server:
            fill(server)
            for n in range(1, 5):
                server.post("/v1/train?force=true", None)
                self.assertEqual(wait_run(server, n)["result"], "promoted")
            names = sorted(n for n in os.listdir(os.path.join(server.data, "snapshots")) if n.endswith(".wns"))
            self.assertEqual(names, ["000003.wns", "000004.wns"])
            # One that an arm goes by stays.
            pinned = os.path.join(server.folder, "pinned.yaml")
            with open(pinned, "w") as f:
                f.write(config("keep: 2") + "experiments: {z: {surfaces: [home], arms: {a: {}, b: {snapshot: 3}}}}\n")
            for _ in range(3):
                done = server.run("train", "--data", server.data, "--config", pinned, "--force")
                self.assertEqual(done.returncode, 0, done.stderr)
            names = sorted(n for n in os.listdir(os.path.join(server.data, "snapshots")) if n.endswith(".wns"))
            self.assertEqual(names, ["000003.wns", "000006.wns", "000007.wns"])

    def test_wrong_requests(self):
        with Server(config()) as server:
            for query, field in (("?cold=maybe", "cold"), ("?nonsense=1", "nonsense")):
                answer = server.post("/v1/train" + query, None)
                self.assertEqual((answer.status, answer.json["field"]), (400, field))


if __name__ == "__main__":
    main(at_once=4)
