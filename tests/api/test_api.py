"""Every route: what it answers when all is well, and what each kind of bad input is told."""

import http.client
import json
import socket
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from harness import ApiTest, Server, catalogue, fill, ids, main, path

NDJSON = {"Content-Type": "application/x-ndjson"}
STRANGE_IDS = ["x", "a" * 1024, "with space", "a/b/c", "ünïcødé-ключ-钥匙-🔑", "a?b&c=d#e", "%41",
               "a+b", "..", "'\"; DROP TABLE items; --", "a,b"]


def event(**changes):
    e = {"user": "someone", "item": "item-1", "type": "view"}
    e.update(changes)
    return {k: v for k, v in e.items() if v is not None}


class Events(ApiTest):
    def last_seq(self):
        return self.server.get("/readyz").json["last_seq"]

    def test_one(self):
        self.assertEqual(self.ok(self.server.post("/v1/events", event())),
                         {"accepted": 1, "duplicates": 0})

    def test_array_wrapped_and_lines(self):
        two = [event(), event(item="item-2")]
        want = {"accepted": 2, "duplicates": 0}
        self.assertEqual(self.ok(self.server.post("/v1/events", two)), want)
        self.assertEqual(self.ok(self.server.post("/v1/events", {"events": two})), want)
        lines = "\n".join(json.dumps(e) for e in two) + "\n\n"
        self.assertEqual(self.ok(self.server.post("/v1/events", lines, headers=NDJSON)), want)
        self.assertEqual(self.ok(self.server.post("/v1/events", [])),
                         {"accepted": 0, "duplicates": 0})

    def test_duplicates(self):
        e = event(id="once")
        self.assertEqual(self.ok(self.server.post("/v1/events", e)),
                         {"accepted": 1, "duplicates": 0})
        before = self.last_seq()
        self.assertEqual(self.ok(self.server.post("/v1/events", e)),
                         {"accepted": 0, "duplicates": 1})
        twice = event(id="twice")
        self.assertEqual(self.ok(self.server.post("/v1/events", [twice, e, twice])),
                         {"accepted": 1, "duplicates": 2})
        self.assertEqual(self.last_seq(), before + 1)

    def test_bad_record_stores_nothing(self):
        before = self.last_seq()
        batch = [event(), event(), event(type=None)]
        self.problem(self.server.post("/v1/events", batch), 400, "type", index=2)
        lines = "\n".join(json.dumps(e) for e in batch)
        self.problem(self.server.post("/v1/events", lines, headers=NDJSON), 400, "type", index=2,
                     line=3)
        self.problem(self.server.post("/v1/events", '{"user":"u",\n"item":}',
                                      headers={"Content-Type": "application/json"}), 400, "body",
                     line=2)
        self.assertEqual(self.last_seq(), before)

    def test_bad_fields(self):
        for name in "user", "item", "type":
            self.problem(self.server.post("/v1/events", event(**{name: None})), 400, name)
            self.problem(self.server.post("/v1/events", event(**{name: ""})), 400, name)
            self.problem(self.server.post("/v1/events", event(**{name: [7]})), 400, name)
            self.problem(self.server.post("/v1/events", event(**{name: "a" * 1025})), 400, name)
            self.problem(self.server.post("/v1/events", event(**{name: "a\nb"})), 400, name)
        self.problem(self.server.post("/v1/events", event(usr="x")), 400, "usr")
        self.problem(self.server.post("/v1/events", event(value="much")), 400, "value")

    def test_not_finite(self):
        for value in "NaN", "Infinity", "-Infinity", "1e999", "nan":
            body = '{"user":"u","item":"i","type":"t","value":%s}' % value
            self.problem(self.server.post("/v1/events", body,
                                          headers={"Content-Type": "application/json"}), 400)

    def test_times(self):
        now = time.time()
        for good in (now, now * 1e3, now * 1e6, int(now * 1e9), 0, 86400 * 365 * 4, "2024-05-01",
                     "2024-05-01T10:00:00Z", "2024-05-01 10:00:00.5+02:00", now + 3600):
            self.ok(self.server.post("/v1/events", event(time=good)))
        for bad in (-1, -1e12, now + 3 * 86400, (now + 3 * 86400) * 1000, "1969-12-31", "yesterday",
                    "", True, [], 1e300, "2300-01-01"):
            self.problem(self.server.post("/v1/events", event(time=bad)), 400, "time")

    def test_strange_ids(self):
        for i in STRANGE_IDS:
            self.ok(self.server.post("/v1/events", event(user=i, item=i)))
        self.problem(self.server.post("/v1/events", event(user="a\0b")), 400)
        body = b'{"user":"\xff","item":"i","type":"t"}'
        self.problem(self.server.post("/v1/events", body,
                                      headers={"Content-Type": "application/json"}), 400)

    def test_event_before_item(self):
        self.ok(self.server.post("/v1/events", event(item="never-put")))
        self.ok(self.server.request("PUT", "/v1/items/never-put", {"title": "Put later"}))
        self.assertEqual(self.ok(self.server.get("/v1/items/never-put"))["title"], "Put later")

    def test_bulk(self):
        many = [event(user="bulk-%d" % (i % 50), item="item-%d" % (i % 200), id="bulk-%d" % i)
                for i in range(20000)]
        self.assertEqual(self.ok(self.server.post("/v1/events", many)),
                         {"accepted": 20000, "duplicates": 0})
        too_many = b"{}\n" * 50001
        self.problem(self.server.post("/v1/events", too_many, headers=NDJSON), 413, "body")

    def test_content_types(self):
        body = json.dumps(event())
        for bad in (None, "text/plain", "application/x-www-form-urlencoded",
                    "application/json; charset=latin1"):
            headers = {"Content-Type": bad} if bad else {}
            self.problem(self.server.post("/v1/events", body, headers=headers), 415,
                         "Content-Type")
        self.problem(self.server.post("/v1/events", body, headers={
            "Content-Type": "application/json", "Content-Encoding": "gzip"}), 415,
            "Content-Encoding")
        self.ok(self.server.post("/v1/events", body,
                                 headers={"Content-Type": "Application/JSON; charset=UTF-8"}))

    def test_shapes(self):
        for bad in ("", "x", "1", "null", '"a"', "[", "[1]", "[[]]", "{}", "[{}]", "{\"a\":1}x"):
            self.problem(self.server.post("/v1/events", bad,
                                          headers={"Content-Type": "application/json"}), 400)
        deep = '{"user":' + "[" * 5000 + "]" * 5000 + "}"
        document = self.problem(self.server.post("/v1/events", deep, headers={
            "Content-Type": "application/json"}), 400)
        self.assertIn("deep", document["detail"])
        twice = '{"user":"u","user":"v","item":"i","type":"t"}'
        self.problem(self.server.post("/v1/events", twice,
                                      headers={"Content-Type": "application/json"}), 400)


class Items(ApiTest):
    def test_life(self):
        url = "/v1/items/life"
        self.problem(self.server.get(url), 404, "id")
        self.problem(self.server.request("PATCH", url, {"title": "x"}), 404, "id")
        self.problem(self.server.request("DELETE", url), 404, "id")
        record = {"title": "A", "text": "words", "attributes": {"price": 2.5, "tags": ["x", "y"],
                                                               "new": True, "kind": "k"}}
        self.assertEqual(self.ok(self.server.request("PUT", url, record), 201),
                         {"id": "life", "created": True})
        self.assertEqual(self.ok(self.server.request("PUT", url, record)),
                         {"id": "life", "created": False})
        stored = self.ok(self.server.get(url))
        self.assertEqual(stored["id"], "life")
        for name in record:
            self.assertEqual(stored[name], record[name])
        self.ok(self.server.request("PATCH", url, {"title": "B", "attributes": {"kind": None}},
                                    headers={"Content-Type": "application/merge-patch+json"}))
        stored = self.ok(self.server.get(url))
        self.assertEqual(stored["title"], "B")
        self.assertEqual(stored["text"], "words")
        self.assertNotIn("kind", stored["attributes"])
        self.assertEqual(stored["attributes"]["price"], 2.5)
        self.assertEqual(self.server.request("DELETE", url).status, 204)
        self.problem(self.server.get(url), 404, "id")
        self.ok(self.server.request("PUT", url, {"title": "Back"}))
        self.assertEqual(self.ok(self.server.get(url))["title"], "Back")

    def test_strange_ids(self):
        for i in STRANGE_IDS:
            url = path("v1", "items", i)
            self.assertIn(self.server.request("PUT", url, {"title": "T"}).status, (200, 201), i)
            self.assertEqual(self.ok(self.server.get(url))["id"], i)

    def test_bad_ids(self):
        for raw in ("%00", "a%00b", "%FF", "%C3", "a%", "a%2", "%zz", "", "a%0Ab", quote("a" * 1025)):
            self.problem(self.server.get("/v1/items/" + raw), 400, "id")
        self.problem(self.server.request("PUT", "/v1/items/x", {"id": "y"}), 400, "id")

    def test_bad_records(self):
        put = lambda body: self.server.request("PUT", "/v1/items/bad", body)
        self.problem(put({"titel": "x"}), 400, "titel")
        self.problem(put({"title": 7}), 400, "title")
        self.problem(put({"status": "asleep"}), 400, "status")
        self.problem(put([]), 400, "body")
        self.problem(put({"text": "x" * (65 * 1024)}), 400, "text")
        self.assertEqual(put({"attributes": {"nested": {"a": 1}}}).status, 400)
        self.assertEqual(put({"attributes": {"a%d" % i: i for i in range(65)}}).status, 400)
        self.problem(self.server.get("/v1/items/bad"), 404)
        patch = lambda body: self.server.request("PATCH", "/v1/items/item-3", body)
        self.problem(patch({"titel": "x"}), 400, "titel")
        wrong = "urn:winnow:problem:invalid-argument"  # as of a PUT
        for member, value in (("title", 7), ("status", "asleep"), ("attributes", [1]),
                              ("attributes", {"a": {"b": 1}})):
            self.problem(patch({member: value}), 400, member, type=wrong)
            self.problem(self.server.request("PUT", "/v1/items/item-3", {member: value}), 400, member, type=wrong)
        self.assertEqual(self.ok(self.server.get("/v1/items/item-3"))["title"], "Item 3")

    def test_batches(self):
        made = [{"id": "batch-%d" % i} for i in range(3)]
        self.assertEqual(self.ok(self.server.post("/v1/items", made)),
                         {"accepted": 3, "created": 3})
        self.assertEqual(self.ok(self.server.post("/v1/items", {"items": made + [{"id": "b4"}]})),
                         {"accepted": 4, "created": 1})
        lines = "\n".join(json.dumps(m) for m in made)
        self.assertEqual(self.ok(self.server.post("/v1/items", lines, headers=NDJSON)),
                         {"accepted": 3, "created": 0})
        self.problem(self.server.post("/v1/items", [{"id": "b5"}, {"title": "x"}]), 400, "id",
                     index=1)
        self.problem(self.server.get("/v1/items/b5"), 404)


class Users(ApiTest):
    def test_life(self):
        url = "/v1/users/ann"
        self.problem(self.server.get(url), 404, "id")
        self.ok(self.server.request("PUT", url, {"attributes": {"country": "SE"}}), 201)
        self.assertEqual(self.ok(self.server.get(url))["attributes"], {"country": "SE"})
        self.ok(self.server.request("PATCH", url, {"attributes": {"age": 30}}))
        self.assertEqual(self.ok(self.server.get(url))["attributes"], {"country": "SE", "age": 30})
        self.assertEqual(self.server.request("DELETE", url).status, 204)
        self.problem(self.server.request("DELETE", "/v1/users/nobody-ever"), 404, "id")

    def test_batch(self):
        self.assertEqual(self.ok(self.server.post("/v1/users", [{"id": "b1"}, {"id": "b2"}])),
                         {"accepted": 2, "created": 2})
        self.problem(self.server.post("/v1/users", [{"id": "b3"}, {"id": 4.5}]), 400, "id", index=1)
        self.ok(self.server.post("/v1/users", [{"id": 4}]))  # whole numbers are taken as text
        self.assertEqual(self.ok(self.server.get("/v1/users/4"))["id"], "4")
        self.problem(self.server.post("/v1/users", {"users": [{"name": "x"}]}), 400)

    def test_erased(self):
        """A deleted user's events are gone: the next slate is not personal."""
        self.ok(self.server.post("/v1/events", event(user="gone", item="item-5", type="buy")))
        self.assertTrue(self.ok(self.server.get("/v1/surfaces/home/slate?user=gone"))["personal"])
        self.assertEqual(self.server.request("DELETE", "/v1/users/gone").status, 204)
        self.assertFalse(self.ok(self.server.get("/v1/surfaces/home/slate?user=gone"))["personal"])

    def test_erased_report(self):
        for n in range(3):
            self.ok(self.server.post("/v1/events", event(user="leaves", item="item-%d" % n, type="buy")))
        self.ok(self.server.get("/v1/surfaces/home/slate?user=leaves"))
        report = lambda user: self.ok(self.server.request("DELETE", "/v1/users/%s?erase=true" % user))
        first = report("leaves")
        self.assertEqual(first, {"id": "leaves", "known": True, "events": 3, "slates": 1, "snapshots": first["snapshots"],
                                 "archives": 0})
        self.assertEqual(report("leaves"), {"id": "leaves", "known": False, "events": 0, "slates": 0, "snapshots": 0,
                                            "archives": 0})
        self.problem(self.server.request("DELETE", "/v1/users/leaves?erase=maybe"), 400, "erase")


class Slates(ApiTest):
    def slate(self, query, surface="home"):
        return self.ok(self.server.get("/v1/surfaces/%s/slate?%s" % (surface, query)))

    def test_get_and_post(self):
        got = self.slate("user=user-1&n=7")
        self.assertEqual(len(got["items"]), 7)
        self.assertEqual(len(set(ids(got))), 7)
        self.assertEqual([i["position"] for i in got["items"]], list(range(1, 8)))
        self.assertEqual(got["user"], "user-1")
        self.assertEqual(got["surface"], "home")
        self.assertTrue(all(i["propensity"] == 1 for i in got["items"]))
        self.assertTrue(all(i["sources"] or i.get("pinned") for i in got["items"]))
        posted = self.ok(self.server.post("/v1/surfaces/home/slate", {"user": "user-1", "n": 7}))
        self.assertEqual(ids(posted), ids(got))
        self.assertNotEqual(posted["slate"], got["slate"])

    def test_every_surface(self):
        surfaces = self.ok(self.server.get("/v1/surfaces"))["surfaces"]
        self.assertEqual({s["name"]: s["flavour"] for s in surfaces},
                         {"home": "personal", "similar": "flat", "feed": "feed", "popular": "flat"})
        for surface in surfaces:
            got = self.slate("user=user-2&item=item-4&session=s1", surface["name"])
            self.assertEqual(got["surface"], surface["name"])
            self.assertGreater(len(got["items"]), 0)

    def test_unknown(self):
        self.problem(self.server.get("/v1/surfaces/attic/slate?user=user-1"), 404, "surface")
        self.problem(self.server.get("/v1/surfaces/similar/slate?item=no-such"), 404, "item")
        self.problem(self.server.get("/v1/items/no-such/similar"), 404, "id")
        self.problem(self.server.get("/v1/users/no-such/similar"), 404, "id")
        got = self.slate("user=stranger")
        self.assertFalse(got["user_known"])
        self.assertFalse(got["personal"])
        self.assertGreater(len(got["items"]), 0)

    def test_numbers(self):
        for n in "0", "-1", "1001", "1000000", "1.5", "ten", "", "1e2", "NaN":
            self.problem(self.server.get("/v1/surfaces/home/slate?user=u&n=" + n), 400, "n")
        self.assertLessEqual(len(self.slate("user=stranger-2&n=1000")["items"]), 1000)
        for n in 0, 1001, 1.5, "5", True:
            self.problem(self.server.post("/v1/surfaces/home/slate", {"user": "u", "n": n}), 400,
                         "n")

    def test_parameters(self):
        self.problem(self.server.get("/v1/surfaces/home/slate?user=u&usr=v"), 400, "usr")
        self.problem(self.server.get("/v1/surfaces/home/slate?user=u&user=v"), 400, "user")
        self.problem(self.server.get("/v1/surfaces/home/slate?user="), 400, "user")
        self.problem(self.server.get("/v1/surfaces/home/slate?user=%00"), 400, "user")
        self.problem(self.server.get("/v1/surfaces/home/slate?user=%FF"), 400, "user")
        self.problem(self.server.get("/v1/surfaces/home/slate?user=u&explain=maybe"), 400, "explain")
        self.problem(self.server.post("/v1/surfaces/home/slate?user=u", {}), 400, "user")
        self.problem(self.server.post("/v1/surfaces/home/slate", {"usr": "u"}), 400, "usr")

    def test_flavours_need(self):
        self.problem(self.server.get("/v1/surfaces/similar/slate"), 400, "item")

    def test_filter(self):
        records = {r["id"]: r["attributes"] for r in catalogue(self.items)}
        text = quote('section == "games" and price < 50 and not ("t1" in tags)')
        got = self.slate("user=stranger&n=20&filter=" + text)
        self.assertGreater(len(got["items"]), 0)
        for i in ids(got):
            self.assertEqual(records[i]["section"], "games")
            self.assertLess(records[i]["price"], 50)
            self.assertNotIn("t1", records[i]["tags"])
        document = self.problem(self.server.get("/v1/surfaces/home/slate?user=u&filter=" +
                                                quote("section ==")), 400, "filter")
        self.assertIn("column", document)
        self.assertEqual(self.slate("user=stranger&filter=" + quote('section == "none"'))["items"],
                         [])

    def test_exclude(self):
        first = ids(self.slate("user=stranger&n=6"))
        again = ids(self.slate("user=stranger&n=6&exclude=%s&exclude=%s" %
                               (",".join(first[:2]), first[3])))
        self.assertFalse(set(first[:2] + [first[3]]) & set(again))
        posted = self.ok(self.server.post("/v1/surfaces/home/slate",
                                          {"user": "stranger", "n": 6, "exclude": first}))
        self.assertFalse(set(first) & set(ids(posted)))

    def test_context(self):
        post = lambda context: self.server.post("/v1/surfaces/home/slate", {"user": "user-1", "n": 2, "context": context})
        self.ok(post({"device": "tv", "hour": 3, "beta": True, "none": None}))
        self.ok(post(None))
        self.slate("user=user-1&n=2&context=" + quote('{"device":"tv"}'))
        self.problem(post("tv"), 400, "context")
        self.problem(post({"a": ["tv"]}), 400, "context")
        self.problem(post({"a": {}}), 400, "context")
        self.problem(post({"a": "x" * 101}), 400, "context")
        self.problem(post({"m%d" % i: i for i in range(17)}), 400, "context")
        self.problem(self.server.get("/v1/surfaces/home/slate?user=u&context=tv"), 400, "context")

    def test_explain(self):
        self.assertNotIn("explain", self.slate("user=user-1"))
        trace = self.slate("user=user-1&explain=true")["explain"]
        self.assertIsInstance(trace, dict)
        self.assertTrue(trace)

    def test_similar(self):
        got = self.ok(self.server.get("/v1/items/item-10/similar?n=5"))
        self.assertEqual(got["surface"], "similar")
        self.assertNotIn("item-10", ids(got))
        answer = self.server.get("/v1/items/item-10/similar?item=item-3")
        self.problem(answer, 400, "item")

    def test_seen_items_do_not_come_back(self):
        seen = {e["item"] for e in self.events if e["user"] == "user-3"}
        self.assertFalse(seen & set(ids(self.slate("user=user-3&n=50"))))


class Protocol(ApiTest):
    def test_unknown_route(self):
        for url in "/v2/x", "/v1/item", "/v1/items/a/b/c", "//", "/healthz/", "/v1", "/favicon.ico":
            self.problem(self.server.get(url), 404)

    def test_methods(self):
        answer = self.server.request("POST", "/healthz", "")
        self.problem(answer, 405)
        self.assertEqual(answer.headers["Allow"], "GET, HEAD")
        answer = self.server.request("BREW", "/v1/items/x")
        self.problem(answer, 405)
        self.assertEqual(answer.headers["Allow"], "GET, HEAD, PUT, PATCH, DELETE")
        self.problem(self.server.request("OPTIONS", "/v1/events"), 405)
        self.problem(self.server.request("GET", "/v1/events"), 405)

    def test_head(self):
        for url in "/healthz", "/v1/surfaces", "/openapi.json", "/":
            head, get = self.server.request("HEAD", url), self.server.get(url)
            self.assertEqual(head.status, 200)
            self.assertEqual(head.body, b"")
            self.assertEqual(head.headers["Content-Length"], str(len(get.body)))
        self.assertEqual(self.server.request("HEAD", "/v1/items/no-such").status, 404)

    def test_accept(self):
        for accept in "*/*", "application/json", "application/*;q=0.2", "text/html, */*;q=0.1":
            self.ok(self.server.get("/healthz", headers={"Accept": accept}))
        for accept in "text/html", "application/json;q=0", "image/*":
            self.problem(self.server.get("/healthz", headers={"Accept": accept}), 406, "Accept")
        self.assertEqual(self.server.get("/metrics", headers={"Accept": "text/plain"}).status, 200)
        self.assertEqual(self.server.get("/", headers={"Accept": "text/html"}).status, 200)

    def test_keep_alive(self):
        client = self.server.client()
        client.request("GET", "/healthz")
        socket = client.connection.sock
        for status, method, url, body in ((404, "GET", "/nowhere", None), (200, "GET", "/healthz", None),
                                          (415, "POST", "/v1/events", "plain"),
                                          (405, "POST", "/healthz", "x" * 100000),
                                          (400, "POST", "/v1/events", [{}]),
                                          (200, "POST", "/v1/events", event()),
                                          (200, "GET", "/v1/surfaces", None)):
            self.assertEqual(client.request(method, url, body).status, status)
            self.assertIs(client.connection.sock, socket, "%s %s closed the connection" % (method, url))
        client.close()

    def test_limits(self):
        self.problem(self.server.get("/healthz?" + "a" * 9000), 414, "url")
        self.ok(self.server.get("/v1/surfaces/home/slate?user=u&exclude=" + "a,b," * 2000))
        self.problem(self.server.get("/healthz", headers={"X-Long": "a" * 40000}), 431, "headers")
        big = {"user": "u", "exclude": ["a" * 1000] * 1100}
        self.problem(self.server.post("/v1/surfaces/home/slate", big), 413, "body")

    def test_chunked(self):
        client = self.server.client()
        parts = [json.dumps(event()).encode()[i:i + 7] for i in range(0, 60, 7)]
        client.connection.request("POST", "/v1/events", iter(parts),
                                  {"Content-Type": "application/json"}, encode_chunked=True)
        answer = client.connection.getresponse()
        self.assertEqual((answer.status, json.loads(answer.read())),
                         (200, {"accepted": 1, "duplicates": 0}))
        chunks = iter([b"[" + b" " * 65536] + [b" " * 65536] * 40)
        client.connection.request("POST", "/v1/surfaces/home/slate", chunks,
                                  {"Content-Type": "application/json"}, encode_chunked=True)
        self.assertEqual(client.connection.getresponse().status, 413)

    def test_empty_body(self):
        answer = self.server.post("/v1/events", b"", headers={"Content-Type": "application/json"})
        self.problem(answer, 400, "body")
        raw = self.server.raw(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                              b"Content-Type: application/json\r\n\r\n")
        self.assertIn(b" 411 ", raw.split(b"\r\n")[0])

    def test_expect_continue(self):
        head = (b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n"
                b"Content-Length: 46\r\nExpect: 100-continue\r\n\r\n")
        with self.server.connect() as s:
            s.sendall(head % b"application/json")
            self.assertTrue(s.recv(1000).startswith(b"HTTP/1.1 100 "))
            s.sendall(b'{"user":"u", "item":"item-1", "type":"viewed"}')
            self.assertTrue(s.recv(1000).startswith(b"HTTP/1.1 200 "))
        with self.server.connect() as s:
            s.sendall(head % b"text/plain")
            self.assertTrue(s.recv(1000).startswith(b"HTTP/1.1 415 "))

    def test_headers(self):
        answer = self.server.get("/")
        policy = answer.headers["Content-Security-Policy"]
        self.assertIn("default-src 'none'", policy)
        if b"/console/" not in answer.body:  # built without the console
            self.assertNotIn(b"<script", answer.body)
            for link in b"/openapi.json", b"/healthz", b"/metrics", b"/slate":
                self.assertIn(link, answer.body)
            self.assertIn(b"built without", answer.body)
        for url in "/", "/healthz", "/nowhere":
            self.assertEqual(self.server.get(url).headers["X-Content-Type-Options"], "nosniff")

    def test_health(self):
        self.assertEqual(self.ok(self.server.get("/healthz"))["status"], "ok")
        ready = self.ok(self.server.get("/readyz"))
        self.assertEqual(ready["status"], "ready")
        self.assertGreaterEqual(ready["items"], self.items)

    def test_refresh(self):
        answer = self.ok(self.server.request("POST", "/v1/admin/refresh"))
        self.assertEqual(answer, {"swapped": False, "model": None})

    def test_metrics(self):
        self.server.get("/v1/surfaces/popular/slate")
        text = self.server.get("/metrics")
        self.assertEqual(text.type, "text/plain")
        seen = {}
        for line in text.body.decode().splitlines():
            if line.startswith("#"):
                continue
            name, value = line.rsplit(" ", 1)
            self.assertNotIn(name, seen)
            seen[name] = float(value)
        self.assertGreaterEqual(
            seen['winnow_http_requests_total{route="/v1/surfaces/{surface}/slate",status="200"}'], 1)
        self.assertGreaterEqual(
            seen['winnow_slates_total{surface="popular",personal="false"}'], 1)
        self.assertGreaterEqual(seen["winnow_events_accepted_total"], len(self.events))
        self.assertGreaterEqual(seen["winnow_items"], self.items)
        self.assertEqual(seen["winnow_writable"], 1)
        self.assertGreater(seen["process_resident_memory_bytes"], 1e6)
        self.assertGreaterEqual(seen["winnow_connections"], 1)
        route = '{route="/v1/surfaces/{surface}/slate"'
        self.assertEqual(seen["winnow_http_request_seconds_count%s}" % route],
                         seen['winnow_http_request_seconds_bucket%s,le="+Inf"}' % route])


class TypesRunOut(ApiTest):
    def test_too_many_types(self):
        some = [event(type=f"type-{n}") for n in range(190)]
        self.assertEqual(self.ok(self.server.post("/v1/events", some))["accepted"], 190)
        crossing = self.server.post("/v1/events", [event(type=f"more-{n}") for n in range(100)])
        self.assertEqual((crossing.status, crossing.json["field"]), (400, "type"))
        self.assertIn("others", crossing.json["detail"].replace("other records", "others"))
        before = self.server.get("/readyz").json["last_seq"]
        refused = self.server.post("/v1/events", [event(), event(type="yet-another")])
        self.assertEqual((refused.status, refused.json["field"], refused.json["index"]), (400, "type", 1))
        self.assertEqual(self.server.get("/readyz").json["last_seq"], before)
        self.ok(self.server.post("/v1/events", event(type="type-7")))


class EmptyCatalogue(unittest.TestCase):
    def test_empty(self):
        with Server() as server:
            answer = server.get("/v1/surfaces/home/slate?user=u")
            self.assertEqual((answer.status, answer.json["items"]), (200, []))
            self.assertEqual(server.get("/v1/surfaces/popular/slate").json["items"], [])
            self.assertEqual(server.post("/v1/events", event()).status, 200)
            self.assertEqual(server.post("/v1/items", [{"id": "a"}]).status, 200)
            self.assertIn("a", ids(server.get("/v1/surfaces/popular/slate").json))


class OneWorker(ApiTest):
    config = "server: {threads: 1, events_future_seconds_max: 60}"

    def test_future(self):
        now = int(time.time())
        self.ok(self.server.post("/v1/events", event(time=now + 30)))
        self.problem(self.server.post("/v1/events", [event(time=now), event(time=now + 600)]), 400, "time",
                     index=1, line=1)

    def test_large_bodies_hold_up_no_slate(self):
        """While one body of 50,000 events is parsed, the only worker answers slates."""
        line = '{"user":"user-1","item":"item-1","type":"view","time":%d}\n' % (time.time() - 60)
        body = line * 49999 + '{"user":"user-1","type":"view"}\n'
        slates, done = [], threading.Event()

        def ask():
            client = self.server.client()
            while not done.is_set():
                begin = time.monotonic()
                answer = client.request("GET", "/v1/surfaces/popular/slate?n=3")
                slates.append((answer.status, time.monotonic() - begin))
            client.close()

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            begin = time.monotonic()
            answer = self.server.post("/v1/events", body, headers={"Content-Type": "application/x-ndjson"})
            took = time.monotonic() - begin
        finally:
            done.set()
            asking.join()
        self.problem(answer, 400, "item", index=49999, line=50000)
        self.assertEqual({status for status, _ in slates}, {200})
        longest = max(seconds for _, seconds in slates)
        print("a body of %.0f ms, %d slates meanwhile, the longest %.1f ms"
              % (took * 1e3, len(slates), longest * 1e3))
        self.assertLess(longest, took / 2)

    def test_large_bodies_are_answered_as_small_ones(self):
        pad = " " * 70000
        answer = self.ok(self.server.post("/v1/events", '[{"user":"large","item":"item-1","type":"view"}%s]' % pad,
                                          headers={"Content-Type": "application/json"}))
        self.assertEqual(answer, {"accepted": 1, "duplicates": 0})
        self.assertEqual(self.ok(self.server.post("/v1/events", "[" + pad + "]",
                                                  headers={"Content-Type": "application/json"})),
                         {"accepted": 0, "duplicates": 0})
        self.problem(self.server.post("/v1/events", "[" + pad + "x]",
                                      headers={"Content-Type": "application/json"}), 400, "body")
        answer = self.ok(self.server.request("PUT", "/v1/items/large", '{"title":"L"%s}' % pad,
                                             headers={"Content-Type": "application/json"}), 201)
        self.assertEqual(answer, {"id": "large", "created": True})
        exclude = ["item-%d" % i for i in range(9000)]
        slate = self.ok(self.server.post("/v1/surfaces/popular/slate", {"n": 3, "exclude": exclude}))
        self.assertEqual([i for i in ids(slate) if i in exclude], [])
        bodies = [json.dumps([{"user": "many-%d" % i, "item": "item-1", "type": "view"}]) + pad
                  for i in range(40)]
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda body: self.server.post(
                "/v1/events", body, headers={"Content-Type": "application/json"}).status, bodies))
        self.assertEqual(answers, [200] * 40)


class Listening(unittest.TestCase):
    def own_address(self):
        """An address of this machine that is not loopback."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            try:
                s.connect(("192.0.2.1", 9))  # sends nothing
                return s.getsockname()[0]
            except OSError:
                return None

    def test_admin_from_elsewhere(self):
        address = self.own_address()
        if address is None or address.startswith("127."):
            self.skipTest("this machine has no other address")
        with Server(args=["--host", "0.0.0.0", "--open"]) as server:
            for host, status in ((address, 403), ("127.0.0.1", 200)):
                connection = http.client.HTTPConnection(host, server.port, timeout=10)
                connection.request("POST", "/v1/admin/refresh")
                self.assertEqual(connection.getresponse().status, status)
                connection.close()

    def test_ipv6(self):
        try:
            socket.socket(socket.AF_INET6, socket.SOCK_STREAM).bind(("::1", 0))
        except OSError:
            self.skipTest("no IPv6 here")
        with Server(args=["--host", "::1"]) as server:
            connection = http.client.HTTPConnection("::1", server.port, timeout=10)
            connection.request("POST", "/v1/admin/refresh")
            self.assertEqual(connection.getresponse().status, 200)
            connection.close()

    def test_port_in_use(self):
        with Server() as server:
            other = Server(args=["--port", str(server.port)])
            with self.assertRaises(RuntimeError) as failure:
                other.start()
            self.assertIn("in use", str(failure.exception))


class Restart(unittest.TestCase):
    def test_state_comes_back(self):
        with Server() as server:
            fill(server)
            before = ids(server.get("/v1/surfaces/home/slate?user=user-1&n=20").json)
            server.request("PUT", "/v1/items/late", {"title": "Late"})
            self.assertEqual(server.stop(), 0)
            server.start()
            self.assertEqual(server.get("/v1/items/late").json["title"], "Late")
            after = ids(server.get("/v1/surfaces/home/slate?user=user-1&n=20").json)
            self.assertGreaterEqual(len(set(before) & set(after)), 15)


if __name__ == "__main__":
    main()
