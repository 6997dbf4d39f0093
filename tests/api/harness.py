"""Runs the real binary on a data directory of its own, and talks to it.

Environment: WINNOW (path of the binary). Only the standard library is used.
"""

import atexit
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor, as_completed
from urllib.parse import quote

WINNOW = os.environ.get("WINNOW", "winnow")
SECTIONS = ["games", "net", "text", "sound", "math"]
SLOW = float(os.environ.get("WINNOW_SLOW", "1"))  # factor for waits on slow machines


running = []


@atexit.register
def clean_up():
    """Whatever a failed test left behind."""
    for server in list(running):
        if server.process is not None:
            server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def type(self):
        return (self.headers.get("Content-Type") or "").split(";")[0]

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "%d %s %s" % (self.status, self.type, self.body[:400])


class Client:
    """One keep-alive connection."""

    def __init__(self, port, timeout=30):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def request(self, method, path, body=None, headers=None):
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if isinstance(body, str):
            body = body.encode()
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def close(self):
        self.connection.close()


class Server:
    def __init__(self, config=None, data=None, args=(), env=None):
        self.own = data is None
        self.folder = tempfile.mkdtemp(prefix="winnow-test-")
        self.data = data or os.path.join(self.folder, "data")
        self.args, self.env = list(args), env
        if config is not None:
            path = os.path.join(self.folder, "winnow.yaml")
            with open(path, "w") as f:
                f.write(config)
            self.args += ["--config", path]
        self.process = None
        self.port = None
        running.append(self)

    def start(self, wait=60):
        port_file = os.path.join(self.folder, "port")
        if os.path.exists(port_file):
            os.unlink(port_file)
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(
            [WINNOW, "serve", "--data", self.data, "--port", "0", "--port-file", port_file]
            + self.args, env=self.env,
            stdout=self.log, stderr=self.log)
        until = time.monotonic() + wait
        while time.monotonic() < until:
            if os.path.exists(port_file):
                with open(port_file) as f:
                    text = f.read().strip()
                if text:
                    self.port = int(text)
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError("the server did not start:\n" + self.output())

    def output(self):
        with open(os.path.join(self.folder, "log"), errors="replace") as f:
            return f.read()[-4000:]

    def client(self, timeout=30):
        return Client(self.port, timeout)

    def request(self, method, path, body=None, headers=None):
        client = self.client()
        try:
            return client.request(method, path, body, headers)
        finally:
            client.close()

    def get(self, path, **kwargs):
        return self.request("GET", path, **kwargs)

    def post(self, path, body, **kwargs):
        return self.request("POST", path, body, **kwargs)

    def connect(self, timeout=15):
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def raw(self, data, timeout=15):
        """Sends bytes, reads until the server closes; b'' when it answered nothing."""
        with self.connect(timeout) as s:
            s.sendall(data)
            return read_all(s)

    def run(self, *args):
        """Another winnow command on the same data."""
        return subprocess.run([WINNOW, *args], capture_output=True, text=True, timeout=600)

    def stop(self, wait=60):
        """SIGTERM; the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(wait)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError("the server did not stop:\n" + self.output())
        self.process = None
        self.log.close()
        return status

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None
        self.log.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        try:
            status = self.stop()
            if status not in (0, None) and error[0] is None:
                raise AssertionError("exit status %s:\n%s" % (status, self.output()))
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def read_all(s):
    data = b""
    try:
        while True:
            more = s.recv(65536)
            if not more:
                return data
            data += more
    except (socket.timeout, ConnectionResetError):
        return data


def status_of(raw):
    return int(raw.split(b" ", 2)[1]) if raw.startswith(b"HTTP/1.") else None


def catalogue(items=200, seed=7):
    rng = random.Random(seed)
    return [{"id": "item-%d" % i, "title": "Item %d" % i,
             "text": "%s thing number %d" % (SECTIONS[i % 5], i),
             "created": 1600000000 + i * 3600,
             "attributes": {"section": SECTIONS[i % 5], "price": round(rng.uniform(1, 100), 2),
                            "free": i % 7 == 0, "tags": ["t%d" % (i % 3), "t%d" % (i % 11)]}}
            for i in range(items)]


def events(users=60, items=200, each=25, seed=8):
    """Users 0, 1, 2 … like one section each, most of the time."""
    rng = random.Random(seed)
    now = int(time.time())
    out = []
    for u in range(users):
        for k in range(each):
            item = rng.randrange(items // 5) * 5 + u % 5 if rng.random() < 0.8 else rng.randrange(items)
            out.append({"id": "seed-%d-%d" % (u, k), "user": "user-%d" % u,
                        "item": "item-%d" % item, "type": rng.choice(["view", "view", "buy"]),
                        "time": now - 86400 * 30 + rng.randrange(86400 * 29)})
    return out


def fill(server, items=200, users=60, each=25):
    answer = server.post("/v1/items", {"items": catalogue(items)})
    assert answer.status == 200, answer
    assert answer.json == {"accepted": items, "created": items}, answer
    made = events(users, items, each)
    body = "\n".join(json.dumps(e) for e in made)
    answer = server.post("/v1/events", body, headers={"Content-Type": "application/x-ndjson"})
    assert answer.status == 200, answer
    assert answer.json == {"accepted": len(made), "duplicates": 0}, answer
    return made


def within(condition, seconds=60):
    """Its value, once it is true; scaled for slow machines."""
    until = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError("waited in vain")
        time.sleep(0.05)


def train(server):
    done = server.run("train", "--data", server.data)
    assert done.returncode == 0, done.stdout + done.stderr


def metric(server, name):
    """The value of the metric line that begins with `name`, or None."""
    for line in server.get("/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.rsplit(" ", 1)[1])
    return None


def ids(slate):
    return [item["id"] for item in slate["items"]]


def path(*parts):
    return "/" + "/".join(quote(part, safe="") for part in parts)


class ApiTest(unittest.TestCase):
    """One server for the whole class, filled and not trained."""

    config = None
    items = 200

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.config).start()
        cls.events = fill(cls.server, cls.items)

    @classmethod
    def tearDownClass(cls):
        server, cls.server = cls.server, None
        output = server.output()
        status = server.stop()
        shutil.rmtree(server.folder, ignore_errors=True)
        if status != 0:
            raise AssertionError("exit status %s:\n%s" % (status, output))

    def problem(self, answer, status, field=None, **members):
        """An RFC 9457 document about `field`."""
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.type, "application/problem+json", answer)
        document = answer.json
        self.assertEqual(document["status"], status)
        self.assertTrue(document["type"].startswith("urn:winnow:problem:"))
        self.assertTrue(document["title"])
        if field is not None:
            self.assertEqual(document.get("field"), field, document)
        for name, value in members.items():
            self.assertEqual(document.get(name), value, document)
        return document

    def ok(self, answer, status=200):
        self.assertEqual(answer.status, status, answer)
        return answer.json if answer.body else None


def flat(suite):
    for one in suite:
        yield from flat(one) if isinstance(one, unittest.TestSuite) else [one]


def run_one(test):
    """(the test, its result, its seconds); without fixtures of its class."""
    result, begun = unittest.TestResult(), time.monotonic()
    test.run(result)
    return test, result, time.monotonic() - begun


def run_together(at_once):
    bad = 0
    tests = flat(unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]))
    with ThreadPoolExecutor(at_once) as pool:
        for done in as_completed([pool.submit(run_one, test) for test in tests]):
            test, result, seconds = done.result()
            wrong = result.errors + result.failures
            bad += bool(wrong)
            print("%s ... %s %s(%.1f s)" % (test, "FAIL" if wrong else "skipped" if result.skipped else "ok",
                                            "".join(reason for _, reason in result.skipped), seconds))
            print("".join(text for _, text in wrong), end="", flush=True)
    sys.exit(bad > 0)


def main(at_once=1):
    """Tests that wait more than they work, each with a server of its own, may run some at once."""
    print("binary:", WINNOW, file=sys.stderr)
    if at_once > 1 and len(sys.argv) == 1:
        run_together(at_once)
    unittest.main(verbosity=2)
