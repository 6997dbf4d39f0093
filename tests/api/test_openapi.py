"""The server and its description say the same: every path and method exists and no other, and real
answers fit their schemas."""

import json
import re
import unittest

from harness import ApiTest, main, train

METHODS = ["get", "post", "put", "patch", "delete"]
TYPES = {"string": str, "object": dict, "array": list, "boolean": bool, "null": type(None)}


class Validator:
    """The part of JSON Schema that openapi.json uses; an unknown keyword is an error."""

    IGNORED = {"description", "default", "example", "title"}

    def __init__(self, document):
        self.document = document

    def resolve(self, schema):
        while "$ref" in schema:
            node = self.document
            for part in schema["$ref"].lstrip("#/").split("/"):
                node = node[part]
            schema = node
        return schema

    def has_type(self, value, name):
        if name == "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        if name == "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        return isinstance(value, TYPES[name])

    def errors(self, value, schema, at="$"):
        schema = self.resolve(schema)
        out = []
        for key, want in schema.items():
            check = getattr(self, "check_" + key, None)
            if check is not None:
                out += check(value, want, schema, at)
            elif key not in self.IGNORED:
                out.append("%s: the validator does not know %r" % (at, key))
        return out

    def check_type(self, value, want, schema, at):
        names = [want] if isinstance(want, str) else want
        return [] if any(self.has_type(value, n) for n in names) else ["%s: not %s: %r" % (at, want, value)]

    def check_enum(self, value, want, schema, at):
        return [] if value in want else ["%s: %r not in %s" % (at, value, want)]

    def check_const(self, value, want, schema, at):
        return [] if value == want else ["%s: %r is not %r" % (at, value, want)]

    def check_required(self, value, want, schema, at):
        return ["%s: lacks %s" % (at, n) for n in want if isinstance(value, dict) and n not in value]

    def check_properties(self, value, want, schema, at):
        if not isinstance(value, dict):
            return []
        return sum((self.errors(value[n], s, at + "." + n) for n, s in want.items() if n in value), [])

    def check_additionalProperties(self, value, want, schema, at):
        if not isinstance(value, dict):
            return []
        extra = [n for n in value if n not in schema.get("properties", {})]
        if want is False:
            return ["%s: unknown member %s" % (at, n) for n in extra]
        return sum((self.errors(value[n], want, at + "." + n) for n in extra), []) if want is not True else []

    def check_items(self, value, want, schema, at):
        if not isinstance(value, list):
            return []
        return sum((self.errors(v, want, "%s[%d]" % (at, i)) for i, v in enumerate(value)), [])

    def check_oneOf(self, value, want, schema, at):
        fits = [s for s in want if not self.errors(value, s, at)]
        return [] if len(fits) == 1 else ["%s: fits %d of %d alternatives" % (at, len(fits), len(want))]

    def check_pattern(self, value, want, schema, at):
        return [] if not isinstance(value, str) or re.search(want, value) else ["%s: %r does not match %s" % (at, value, want)]

    def bound(self, value, good, at):
        return [] if isinstance(value, bool) or not isinstance(value, (int, float)) or good(value) else ["%s: %r out of range" % (at, value)]

    def check_minimum(self, value, want, schema, at):
        return self.bound(value, lambda v: v >= want, at)

    def check_maximum(self, value, want, schema, at):
        return self.bound(value, lambda v: v <= want, at)

    def length(self, value, kind, good, at):
        return [] if not isinstance(value, kind) or good(len(value)) else ["%s: length %d" % (at, len(value))]

    def check_minLength(self, value, want, schema, at):
        return self.length(value, str, lambda n: n >= want, at)

    def check_maxLength(self, value, want, schema, at):
        return self.length(value, str, lambda n: n <= want, at)

    def check_maxItems(self, value, want, schema, at):
        return self.length(value, list, lambda n: n <= want, at)

    def check_maxProperties(self, value, want, schema, at):
        return self.length(value, dict, lambda n: n <= want, at)


class ValidatorItself(unittest.TestCase):
    """A checker that finds nothing proves nothing."""

    def test_finds(self):
        v = Validator({"s": {"type": "object", "required": ["a"], "additionalProperties": False,
                             "properties": {"a": {"type": "integer", "minimum": 1}}}})
        ref = {"$ref": "#/s"}
        self.assertEqual(v.errors({"a": 1}, ref), [])
        for bad in ({}, {"a": 0}, {"a": "x"}, {"a": True}, {"a": 1, "b": 2}, [], None):
            self.assertTrue(v.errors(bad, ref), bad)
        self.assertTrue(v.errors(1, {"unheard": 1}))


class OpenApi(ApiTest):
    config = "experiments: {x: {arms: {a: {}, b: {surfaces: {home: {n: 5}}}}}}"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        train(cls.server)
        done = cls.server.run("evaluate", "--data", cls.server.data, "--users", "20", "--k", "5", "--protocols", "1",
                              "--no-funnel", "--model", "popular")
        assert done.returncode == 0, done.stderr
        answer = cls.server.request("POST", "/v1/admin/refresh")
        assert answer.status == 200, answer
        cls.document = cls.server.get("/openapi.json").json
        cls.validator = Validator(cls.document)
        cls.asset = (re.findall(r'"/console/([^"]+[.]js)"', cls.server.get("/").body.decode()) or [None])[0]

    def fill_path(self, path):
        if "{asset}" in path:
            return path.replace("{asset}", self.asset)
        path = path.replace("/v1/runs/{id}", "/v1/runs/last").replace("{experiment}", "x")
        return path.replace("{number}", "1").replace("{surface}", "home").replace("{id}", "user-1" if "/users/" in path else "item-1")

    def fits(self, answer, path, method):
        """The answer's status is described, and its body fits."""
        operation = self.document["paths"][path][method]
        self.assertIn(str(answer.status), operation["responses"], "%s %s: %r" % (method, path, answer))
        response = self.validator.resolve(operation["responses"][str(answer.status)])
        if answer.status == 204:
            self.assertEqual(answer.body, b"")
            return
        self.assertIn(answer.type, response["content"], answer)
        schema = response["content"][answer.type]["schema"]
        value = answer.json if "json" in answer.type else answer.body.decode()
        self.assertEqual(self.validator.errors(value, schema), [], "%s %s" % (method, path))

    def test_document(self):
        self.assertTrue(self.document["openapi"].startswith("3.1"))
        ids = [o["operationId"] for p in self.document["paths"].values() for o in p.values()]
        self.assertEqual(len(ids), len(set(ids)))
        text = json.dumps(self.document)
        for ref in set(re.findall(r'"\$ref": "([^"]+)"', text)):
            self.validator.resolve({"$ref": ref})

    def test_parameters_of_paths(self):
        for path, methods in self.document["paths"].items():
            names = set(re.findall(r"{(\w+)}", path))
            for operation in methods.values():
                declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
                self.assertEqual(declared, names, path)

    def test_methods_exist(self):
        """Each described method is taken, and each other one is refused with exactly this list."""
        self.asset = self.asset or "any"
        for path, methods in self.document["paths"].items():
            answer = self.server.request("BREW", self.fill_path(path))
            self.assertEqual(answer.status, 405, path)
            allowed = {m.strip().lower() for m in answer.headers["Allow"].split(",")} - {"head"}
            self.assertEqual(allowed, set(methods), path)

    def test_query_parameters_exist(self):
        """Described parameters are taken; another one is refused."""
        values = {"experiment": "x", "metric": "ndcg%4010", "user": "user-1", "item": "item-1", "session": "s", "n": "3", "filter": "price%20%3E%200",
                  "exclude": "item-2", "explain": "true", "q": "item", "id": "item-1", "status": "any",
                  "cursor": "0", "hours": "24", "category": "section", "context": "{\"device\":\"tv\"}", "verify": "true", "random": "false", "against": "1", "kind": "train"}
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                if method != "get" or (self.asset is None and "{asset}" in path):
                    continue
                names = [p["name"] for p in operation.get("parameters", []) if p["in"] == "query"]
                url = self.fill_path(path) + "?" + "&".join("%s=%s" % (n, values[n]) for n in names)
                answer = self.server.get(url)
                self.assertEqual(answer.status, 200, "%s %r" % (url, answer))
                self.fits(answer, path, "get")
                answer = self.server.get(url + "&no_such=1")
                self.assertEqual((answer.status, answer.json["field"]), (400, "no_such"), path)
                self.fits(answer, path, "get")

    def test_writes(self):
        item = {"title": "T", "attributes": {"a": 1, "b": "x", "c": True, "d": ["y"]}}
        event = {"user": "u", "item": "item-1", "type": "view", "value": 1.5, "time": "2024-05-01",
                 "id": "fits-1", "slate": "0" * 32}
        calls = [("put", "/v1/items/{id}", item), ("put", "/v1/users/{id}", {"attributes": {"a": 1}}),
                 ("patch", "/v1/items/{id}", {"title": None}), ("patch", "/v1/users/{id}", {"attributes": None}),
                 ("delete", "/v1/items/{id}", None), ("delete", "/v1/users/{id}", None),
                 ("put", "/v1/items/{id}", item), ("put", "/v1/users/{id}", {}),
                 ("post", "/v1/events", event), ("post", "/v1/items", [{"id": "n", **item}]),
                 ("post", "/v1/users", [{"id": "n"}]), ("post", "/v1/admin/refresh", None),
                 ("post", "/v1/surfaces/{surface}/explain", {"user": "user-2", "n": 3, "why": ["item-1", "item-2", "no"]}),
                 ("post", "/v1/experiments", {"name": "y", "surfaces": ["home"], "arms": {"a": {}, "b": {}}}),
                 ("patch", "/v1/experiments/{experiment}", {"traffic": 1}),
                 ("post", "/v1/experiments/{experiment}/ramp", {"traffic": 1}),
                 ("post", "/v1/experiments/{experiment}/promote", {"arm": "b", "force": True}),
                 ("post", "/v1/experiments/{experiment}/stop", None),
                 ("delete", "/v1/experiments/{experiment}", None),
                 ("put", "/v1/config", {"text": self.config, "based_on": 1, "comment": "as it was"}),
                 ("post", "/v1/config/preview", {"text": self.config + "\nsurfaces: {popular: {n: 2}}", "users": 4}),
                 ("post", "/v1/config/history/{number}/revert", {"based_on": 1}),
                 ("post", "/v1/train", None), ("delete", "/v1/train", None),
                 ("post", "/v1/surfaces/{surface}/slate", {"user": "user-2", "n": 3, "explain": True})]
        for method, path, body in calls:
            operation = self.document["paths"][path][method]
            if body is not None:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                self.assertEqual(self.validator.errors(body, schema), [], path)
            answer = self.server.request(method.upper(), self.fill_path(path), body)
            self.assertIn(answer.status, (200, 201, 202, 204), "%s %s %r" % (method, path, answer))
            self.fits(answer, path, method)
            bad = self.server.request(method.upper(), self.fill_path(path), {"no_such": 1} if body is not None else None,
                                      headers={"Accept": "image/png"})
            self.assertEqual(bad.status, 406)
            self.fits(bad, path, method)
            if body is not None:
                bad = self.server.request(method.upper(), self.fill_path(path), {"no_such": 1})
                self.assertEqual(bad.status, 400)
                self.fits(bad, path, method)
                bad = self.server.request(method.upper(), self.fill_path(path), "x", headers={"Content-Type": "text/plain"})
                self.assertEqual(bad.status, 415)
                self.fits(bad, path, method)


if __name__ == "__main__":
    main()
