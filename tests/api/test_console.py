"""The web console's files: types, caching, policy, sizes, and what a binary without it says."""

import gzip
import re
import unittest

from harness import Server, main


class Console(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()
        cls.page = cls.server.get("/").body.decode()
        cls.built = "/console/" in cls.page

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        if not self.built and self._testMethodName != "test_left_out":
            self.skipTest("this binary was built without the console")

    def names(self):
        return re.findall(r'"/console/([^"]+)"', self.page)

    def gzipped(self, url, **headers):
        return self.server.get(url, headers={"Accept-Encoding": "gzip, br", **headers})

    def test_left_out(self):
        if self.built:
            self.assertIn("<script", self.page)
        else:
            self.assertIn("built without", self.page)
            answer = self.server.get("/console/index.html")
            self.assertEqual(answer.status, 404)
            self.assertIn("built without", answer.json["detail"])

    def test_page(self):
        answer = self.gzipped("/")
        self.assertEqual((answer.status, answer.type), (200, "text/html"))
        self.assertEqual(answer.headers["Content-Encoding"], "gzip")
        self.assertEqual(gzip.decompress(answer.body).decode(), self.page)
        self.assertEqual(answer.headers["Cache-Control"], "no-cache")

    def test_policy(self):
        policy = self.server.get("/").headers["Content-Security-Policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertIn("require-trusted-types-for 'script'", policy)
        for weak in ("unsafe-inline", "unsafe-eval", "*"):
            self.assertNotIn(weak, policy)
        self.assertNotIn("://", re.sub(r"http://www.w3.org/\S+", "", self.page))  # nothing from elsewhere
        self.assertNotRegex(self.page, r"<script(?![^>]*src=)")

    def test_files(self):
        types = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
        self.assertGreaterEqual(len(self.names()), 2)
        for name in self.names():
            packed, plain = self.gzipped("/console/" + name), self.server.get("/console/" + name)
            self.assertEqual(packed.status, 200)
            self.assertEqual(packed.type, types[name.rsplit(".", 1)[1]])
            self.assertEqual(gzip.decompress(packed.body), plain.body)
            self.assertIsNone(plain.headers["Content-Encoding"])
            kept = "no-cache" if name == "winnow.svg" else "max-age=31536000, immutable"
            self.assertEqual(plain.headers["Cache-Control"], kept)
            again = self.gzipped("/console/" + name, **{"If-None-Match": packed.headers["ETag"]})
            self.assertEqual((again.status, again.body), (304, b""))
            other = self.gzipped("/console/" + name, **{"If-None-Match": '"0"'})
            self.assertEqual(other.status, 200)
            no = self.server.get("/console/" + name, headers={"Accept-Encoding": "gzip;q=0"})
            self.assertIsNone(no.headers["Content-Encoding"])

    def test_first_page_is_small(self):
        total = sum(len(self.gzipped(url).body) for url in ["/"] + ["/console/" + n for n in self.names()])
        self.assertLess(total, 100_000)

    def test_refused(self):
        for name in ("no-such.js", "..%2F..%2Fetc%2Fpasswd", "index.html%00"):
            self.assertIn(self.server.get("/console/" + name).status, (400, 404))
        answer = self.server.get("/console/no-such.js")
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(self.server.get("/?x=1").status, 400)


if __name__ == "__main__":
    main()
