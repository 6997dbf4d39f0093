"""Runs over HTTP, as the commands wrote them; and the end of the audit log."""

import json
import os
import unittest

from harness import ApiTest, Server, main


class Runs(ApiTest):
    items = 60

    def test_runs(self):
        self.assertEqual(self.ok(self.server.get("/v1/runs")), {"runs": [], "total": 0})
        for users in "10", "20":
            done = self.server.run("check", "model", "--data", self.server.data, "--users", users)
            self.assertIn(done.returncode, (0, 1), done.stderr)
        listed = self.ok(self.server.get("/v1/runs"))
        self.assertEqual((listed["total"], [r["kind"] for r in listed["runs"]]), (2, ["check", "check"]))
        self.assertEqual([r["params"]["users"] for r in listed["runs"]], ["20", "10"])
        self.assertNotIn("result", listed["runs"][0])
        self.assertEqual(len(self.ok(self.server.get("/v1/runs?n=1"))["runs"]), 1)
        self.assertEqual(self.ok(self.server.get("/v1/runs?kind=train"))["total"], 0)
        one = self.ok(self.server.get("/v1/runs/" + listed["runs"][1]["id"]))
        with open(os.path.join(self.server.data, "runs", one["id"] + ".json")) as f:
            self.assertEqual(one, json.load(f))
        self.assertEqual(self.ok(self.server.get("/v1/runs/last"))["id"], listed["runs"][0]["id"])
        self.problem(self.server.get("/v1/runs/none"), 404)
        self.problem(self.server.get("/v1/runs/..%2F..%2Fwinnow.db"), 404)
        for n in "0", "1001", "x":
            self.problem(self.server.get("/v1/runs?n=" + n), 400, "n")

    def test_report(self):
        """An evaluation keeps its report; it is served where it can do nothing, and from nowhere else."""
        done = self.server.run("evaluate", "--data", self.server.data, "--users", "20", "--k", "5", "--protocols", "1",
                               "--no-funnel", "--model", "popular")
        self.assertEqual(done.returncode, 0, done.stderr)
        run = self.ok(self.server.get("/v1/runs?kind=evaluate"))["runs"][0]
        self.assertTrue(run["report"])
        kept = os.path.join(self.server.data, "runs", run["id"] + ".html")
        self.assertIn({"path": "runs/%s.html" % run["id"], "bytes": os.path.getsize(kept)},
                      self.ok(self.server.get("/v1/runs/" + run["id"]))["artifacts"])
        answer = self.server.get("/v1/runs/%s/report" % run["id"])
        self.assertEqual((answer.status, answer.type), (200, "text/html"))
        with open(kept, "rb") as f:
            self.assertEqual(answer.body, f.read())
        policy = answer.headers["Content-Security-Policy"].split("; ")
        self.assertTrue({"default-src 'none'", "sandbox", "frame-ancestors 'self'"} <= set(policy), policy)
        self.assertFalse([rule for rule in policy if "script" in rule])
        self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
        # One whose id was written by hand leads nowhere.
        with open(os.path.join(self.server.data, "runs", "0-by-hand.json"), "w") as f:
            json.dump({**run, "id": "0/../../secret", "metrics": {}}, f)
        with open(os.path.join(self.server.folder, "secret.html"), "w") as f:
            f.write("secret")
        for id in "0%2F..%2F..%2Fsecret", "none", "..%2F..%2Fsecret":
            self.problem(self.server.get("/v1/runs/%s/report" % id), 404)
        os.unlink(os.path.join(self.server.data, "runs", "0-by-hand.json"))
        os.unlink(kept)
        self.assertIn("keeps no report", self.problem(self.server.get("/v1/runs/%s/report" % run["id"]), 404)["detail"])
        os.unlink(kept.replace(".html", ".json"))

    def test_audit(self):
        self.assertEqual(self.ok(self.server.get("/v1/audit"))["entries"], [])
        for _ in range(3):
            self.ok(self.server.request("POST", "/v1/admin/refresh"))
        self.problem(self.server.request("PUT", "/v1/config", {"text": "x: 1\n", "based_on": 1}), 400)
        path = os.path.join(self.server.data, "audit.log")
        with open(path, "a") as f:
            f.write('{"time": "cut by a full di\n')
        entries = self.ok(self.server.get("/v1/audit"))["entries"]
        self.assertEqual([(e["action"], e["status"]) for e in entries],
                         [("PUT /v1/config", 400)] + [("POST /v1/admin/refresh", 200)] * 3)
        self.assertEqual(self.ok(self.server.get("/v1/audit?n=1"))["entries"], entries[:1])
        # Of a long one its end, whole lines only.
        with open(path, "a") as f:
            for i in range(5000):
                f.write(json.dumps({"time": "2026-01-01T00:00:00.000Z", "action": "made up %d" % i, "status": i}) + "\n")
        entries = self.ok(self.server.get("/v1/audit?n=1000"))["entries"]
        self.assertEqual([e["status"] for e in entries], list(range(4999, 3999, -1)))
        self.problem(self.server.get("/v1/audit?n=0"), 400, "n")


class Keys(unittest.TestCase):
    def test_audit_is_for_administrators(self):
        server = Server().start()
        server.stop()
        made = server.run("keys", "add", "--data", server.data, "--name", "reader", "--scope", "read")
        key = [w for w in made.stdout.split() if w.startswith("wnk_")][0]
        with server:
            headers = {"Authorization": "Bearer " + key}
            self.assertEqual(server.get("/v1/audit", headers=headers).status, 403)
            self.assertEqual(server.get("/v1/runs", headers=headers).status, 200)


if __name__ == "__main__":
    main()
