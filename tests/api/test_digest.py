"""The state after a restart is the state before it: from snapshot and log tail, after a kill, after a rollback."""

import random
import time
import unittest

from harness import Server, fill, main, metric, train


def digest(server):
    answer = server.get("/v1/digest")
    assert answer.status == 200, answer
    return answer.json


def more(server, seed, n=300):
    """Late and early ones, repeated ones, of known and new users and items."""
    rng = random.Random(seed)
    now = int(time.time())
    rows = [{"user": "user-%d" % rng.randrange(80), "item": "item-%d" % rng.randrange(220),
             "type": rng.choice(["view", "buy", "dislike"]), "time": now - rng.randrange(86400)} for _ in range(n)]
    assert server.post("/v1/events", {"events": rows}).status == 200


class Digest(unittest.TestCase):
    def restarted(self, server, before):
        self.assertEqual(digest(server), before)
        fresh = server.run("status", "--data", server.data, "--digest")
        self.assertEqual((fresh.returncode, fresh.stdout.strip().replace(": ", ":")),
                         (0, server.get("/v1/digest").body.decode().strip().replace(": ", ":")), fresh.stderr)

    def test_restarts(self):
        """Kills, stops, a swap, going back; with the rows of most users in a file, which a fresh start without a bound has not."""
        with Server("server: {state_mb: 0.003}\n") as server:
            fill(server)
            untrained = digest(server)
            server.kill()
            server.start()
            self.restarted(server, untrained)
            train(server)
            server.post("/v1/admin/refresh", None)
            trained = digest(server)
            self.assertEqual((trained["digest"], trained["model"]), (untrained["digest"], 1))
            more(server, 1)
            self.assertNotEqual(digest(server)["digest"], trained["digest"])
            self.assertGreater(metric(server, "winnow_user_rows_away"), 20)
            self.assertEqual(server.request("DELETE", "/v1/users/user-3").status, 204)
            before = digest(server)
            self.assertEqual(server.request("PATCH", "/v1/items/item-7", {"status": "hidden"}).status, 200)
            hidden = digest(server)
            self.assertNotEqual(hidden["digest"], before["digest"])
            server.kill()
            server.start()
            self.restarted(server, hidden)
            self.assertGreater(metric(server, "winnow_user_rows_away"), 20)
            train(server)
            server.post("/v1/admin/refresh", None)
            more(server, 2)
            second = digest(server)
            self.assertEqual(server.stop(), 0)
            server.start()
            self.restarted(server, second)
            self.assertEqual(server.post("/v1/snapshots/1/serve", None).status, 200)
            self.assertEqual(digest(server)["digest"], second["digest"])  # an older base, a longer tail


if __name__ == "__main__":
    main()
