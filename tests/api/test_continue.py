"""A slot that shows what a user left off, and what is due again."""

import unittest

from harness import Server, ids, main

CONFIG = """
signals:
  watch: {use_value: true}
  sample: {weight: 1, standing: open}
surfaces:
  continue:
    n: 5
    fill: false
    filter: {seen: none}
    retrieve: [{model: continuation, quota: 100}]
"""
DAY = 86400
NOW = 1_700_000_000


class Continue(unittest.TestCase):
    def setUp(self):
        self.server = Server(config=CONFIG)
        self.server.start()
        self.addCleanup(self.server.stop)
        for name in ("film", "book", "coffee", "lamp", "desk", "soap"):
            self.assertEqual(self.server.request("PUT", "/v1/items/" + name, {"title": name}).status, 201)

    def send(self, user, item, type, **more):
        self.assertEqual(self.server.post("/v1/events", dict(user=user, item=item, type=type, **more)).status, 200)

    def slate(self, user):
        answer = self.server.get("/v1/surfaces/continue/slate?user=" + user)
        self.assertEqual(answer.status, 200, answer)
        return ids(answer.json)

    def test_left_off(self):
        """Without any training, from the next request on."""
        self.assertEqual(self.slate("u"), [])  # nothing is filled up
        self.send("u", "lamp", "cart")
        self.send("u", "desk", "view")
        self.assertEqual(self.slate("u"), ["lamp"])
        self.send("u", "film", "watch", value=0.4)
        self.send("u", "book", "sample")
        self.assertEqual(set(self.slate("u")), {"lamp", "film", "book"})
        self.send("u", "film", "watch", value=0.55)
        self.send("u", "lamp", "purchase")
        self.assertEqual(self.slate("u"), ["book"])
        self.send("u", "book", "dislike")
        self.assertEqual(self.slate("u"), [])
        self.assertEqual(self.slate("somebody"), [])

    def test_due_again(self):
        """Coffee is bought every ten days, a desk once."""
        for n in range(4):
            for k in range(4):
                self.send("u%d" % n, "coffee", "buy", time=NOW + (10 * k + n) * DAY)
            self.send("u%d" % n, "desk", "buy", time=NOW + n * DAY)
        self.send("new", "coffee", "buy")  # just now
        self.assertEqual(self.slate("u0"), [])
        done = self.server.run("train", "--data", self.server.data, *self.server.args)  # a surface asks for it
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.server.request("POST", "/v1/admin/refresh").status, 200)
        self.assertEqual(self.slate("u0"), ["coffee"])
        self.assertEqual(self.slate("new"), [])
        self.send("u0", "soap", "cart")
        self.assertEqual(self.slate("u0"), ["soap", "coffee"])  # coffee is long overdue
        self.send("u1", "coffee", "buy")
        self.assertEqual(self.slate("u1"), [])


if __name__ == "__main__":
    main()
