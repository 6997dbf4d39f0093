"""Keys: scopes, rates, rotation, what listens where, origins, request ids, the audit log."""

import json
import os
import stat
import time
import unittest

from harness import Server, fill, main, metric, within

J = {"Content-Type": "application/json"}


def bearer(key):
    return {"Authorization": "Bearer " + key}


class Keys(unittest.TestCase):
    def add(self, server, *args):
        done = server.run("keys", "add", "--data", server.data, "--json", *args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def audit(self, server):
        path = os.path.join(server.data, "audit.log")
        if not os.path.exists(path):
            return []
        with open(path) as f:
            return [json.loads(line) for line in f]

    def test_scopes(self):
        with Server() as server:
            fill(server)  # no keys: open, on loopback
            read = self.add(server, "--name", "shop", "--scope", "read")
            write = self.add(server, "--scope", "write")
            admin = self.add(server, "--scope", "admin")
            slate = "/v1/surfaces/home/slate?user=user-1"
            within(lambda: server.get(slate).status == 401)
            event = {"user": "u", "item": "item-1", "type": "view"}
            calls = [("GET", slate, None, "read"), ("POST", "/v1/surfaces/home/slate", {"user": "u"}, "read"),
                     ("GET", "/metrics", None, "read"), ("GET", "/v1/train", None, "read"),
                     ("POST", "/v1/events", event, "write"), ("PUT", "/v1/items/x", {}, "write"),
                     ("DELETE", "/v1/users/nobody", None, "write"), ("POST", "/v1/admin/refresh", None, "admin"),
                     ("DELETE", "/v1/train", None, "admin")]
            for method, path, body, scope in calls:
                for name, key in (("read", read), ("write", write), ("admin", admin)):
                    answer = server.request(method, path, body, headers=bearer(key["key"]))
                    allowed = name in (scope, "admin")
                    self.assertEqual(answer.status == 403, not allowed, (method, path, name, answer))
                    self.assertNotEqual(answer.status, 401)
                none = server.request(method, path, body)
                self.assertEqual((none.status, none.headers["WWW-Authenticate"]), (401, "Bearer"))
            for path in ("/healthz", "/readyz", "/openapi.json", "/"):
                self.assertEqual(server.get(path).status, 200)
            good = read["key"]
            for bad in ("", "x", good[:-1], good + "0", good[:-1] + ("0" if good[-1] != "0" else "1"), "wnk_" + "0" * 77,
                        read["id"], "wnk_%s_%s" % (write["id"], good.split("_")[2])):
                self.assertEqual(server.get(slate, headers=bearer(bad)).status, 401, bad)
            self.assertEqual(server.get(slate, headers={"Authorization": "Basic " + good}).status, 401)
            self.assertGreater(metric(server, "winnow_keys_refused_total") or 1, 0)
            # Rotation: another one, then the old one goes; both without a restart.
            other = self.add(server, "--scope", "read")
            within(lambda: server.get(slate, headers=bearer(other["key"])).status == 200)
            self.assertEqual(server.run("keys", "revoke", "--data", server.data, read["id"]).returncode, 0)
            within(lambda: server.get(slate, headers=bearer(good)).status == 401)
            self.assertEqual(server.run("keys", "revoke", "--data", server.data, read["id"]).returncode, 4)
            self.at_rest(server, [read, write, admin, other])

    def at_rest(self, server, keys):
        path = os.path.join(server.data, "keys.json")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        with open(path) as f:
            text = f.read()
        listed = server.run("keys", "list", "--data", server.data).stdout
        for key in keys:
            self.assertNotIn(key["key"].split("_")[2], text + listed + server.output())
        done = [(e["actor"], e["action"].split()[0], e["status"]) for e in self.audit(server)]
        self.assertIn((keys[2]["id"], "POST", 200), done)   # the admin's refresh
        self.assertIn((keys[1]["id"], "DELETE", 404), done)  # somebody's erasure
        self.assertEqual(len([d for d in done if d[1] == "keys"]), 5)

    def test_rate(self):
        with Server() as server:
            slow = self.add(server, "--scope", "read", "--rate", "5")
            fast = self.add(server, "--scope", "read")
            within(lambda: server.get("/v1/surfaces").status == 401)
            statuses = [server.get("/v1/surfaces", headers=bearer(slow["key"])).status for _ in range(40)]
            self.assertIn(429, statuses)
            self.assertIn(200, statuses)
            within(lambda: server.get("/v1/surfaces", headers=bearer(slow["key"])).status == 200)
            for _ in range(20):
                answer = server.get("/v1/surfaces", headers=bearer(slow["key"]))
                if answer.status == 429:
                    self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
            self.assertEqual({server.get("/v1/surfaces", headers=bearer(fast["key"])).status for _ in range(30)}, {200})

    def test_listening(self):
        """Beyond this machine only with a key, or when told so."""
        server = Server(args=["--host", "0.0.0.0"])
        with self.assertRaises(RuntimeError) as failed:
            server.start()
        self.assertIn("winnow keys add", str(failed.exception))
        self.add(server, "--scope", "admin")
        with server:
            self.assertEqual(server.get("/healthz").status, 200)
            self.assertEqual(server.get("/v1/surfaces").status, 401)

    def test_bad_file(self):
        """A damaged file changes nothing while the server runs, and keeps it from starting open."""
        with Server() as server:
            key = self.add(server, "--scope", "read")
            within(lambda: server.get("/v1/surfaces").status == 401)
            path = os.path.join(server.data, "keys.json")
            for n, bad in enumerate(("", "{", "{}", '[{"id":"x"}]', '[1]')):
                with open(path + ".new", "w") as f:
                    f.write(bad)
                os.rename(path + ".new", path)
                within(lambda: server.output().count("keys stay as they were") > n)
                self.assertEqual(server.get("/v1/surfaces").status, 401, bad)
                self.assertEqual(server.get("/v1/surfaces", headers=bearer(key["key"])).status, 200, bad)
            server.stop()
            with self.assertRaises(RuntimeError):
                server.start()
            os.unlink(path)
            server.start()

    def test_origins(self):
        config = 'server: {cors_origins: "https://shop.example https://b.example"}\n'
        with Server(config) as server:
            ask = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
            answer = server.request("OPTIONS", "/v1/events", headers=ask)
            self.assertEqual(answer.status, 204, answer)
            self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "https://shop.example")
            self.assertIn("POST", answer.headers["Access-Control-Allow-Methods"])
            self.assertIn("Authorization", answer.headers["Access-Control-Allow-Headers"])
            answer = server.get("/v1/surfaces", headers={"Origin": "https://b.example"})
            self.assertEqual(answer.headers["Access-Control-Allow-Origin"], "https://b.example")
            for origin in ("https://shop.example.evil", "https://shop", "null", "*", "https://"):
                answer = server.request("OPTIONS", "/v1/events", headers={**ask, "Origin": origin})
                self.assertEqual(answer.status, 405)
                self.assertIsNone(answer.headers["Access-Control-Allow-Origin"])
                # A page somewhere must not train or refresh through a browser on this machine.
                self.assertEqual(server.request("POST", "/v1/admin/refresh", headers={"Origin": origin}).status, 403)
            own = "http://127.0.0.1:%d" % server.port
            self.assertEqual(server.request("POST", "/v1/admin/refresh", headers={"Origin": own}).status, 200)

    def test_request_ids(self):
        with Server() as server:
            seen = {server.get("/healthz").headers["X-Request-Id"] for _ in range(50)}
            self.assertEqual(len(seen), 50)
            self.assertEqual(server.get("/healthz", headers={"X-Request-Id": "a.B-9"}).headers["X-Request-Id"], "a.B-9")
            for bad in ("a b", "x" * 500, 'a"b'):
                self.assertNotEqual(server.get("/healthz", headers={"X-Request-Id": bad}).headers["X-Request-Id"], bad)
            server.request("POST", "/v1/admin/refresh", headers={"X-Request-Id": "find-me"})
            self.assertEqual([e["request"] for e in self.audit(server)], ["find-me"])

    def test_command(self):
        with Server() as server:
            for args, code in ((["add", "--scope", "root"], 2), (["revoke"], 2), (["revoke", "nobody"], 4), (["x"], 2),
                               (["add", "--name", "n" * 65], 2)):
                self.assertEqual(server.run("keys", *args, "--data", server.data).returncode, code, args)
            self.assertIn("no keys", server.run("keys", "list", "--data", server.data).stdout)


if __name__ == "__main__":
    main(at_once=3)
