"""Alerts reach a webhook once, are not lost when it is away, and are followed by a recovery."""

import http.server
import json
import os
import shutil
import threading
import unittest

from harness import Server, fill, main, metric, within


class Receiver:
    """A Slack-like webhook; `broken`: answers 500."""

    def __init__(self):
        self.texts, self.refused, self.broken = [], 0, False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.broken:
                    outer.refused += 1
                else:
                    assert self.headers["Content-Type"] == "application/json"
                    document = json.loads(body)
                    assert list(document) == ["text"], document
                    outer.texts.append(document["text"])
                self.send_response(500 if outer.broken else 200)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d/hook" % self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Alerts(unittest.TestCase):
    def test_fires_once_and_recovers(self):
        """A training fails while a file lies where the snapshots go, and succeeds when it is gone."""
        receiver = Receiver()
        receiver.broken = True
        config = ("models: {als: {factors: 8, epochs: 3}, blend: {users: 10}}\n"
                  "training: {every_hours: 0, retries: 0, nice: 0}\n"
                  "alerts: {webhook: '%s', every_seconds: 1, rules: {training_failures: 0.5, disk_free_mb: 0, p99_ms: 0}}\n"
                  % receiver.url)
        try:
            with Server(config) as server:
                fill(server)
                snapshots = os.path.join(server.data, "snapshots")
                shutil.rmtree(snapshots, ignore_errors=True)
                open(snapshots, "w").close()
                server.post("/v1/train", None)
                within(lambda: receiver.refused > 0)
                self.assertEqual(metric(server, 'winnow_alert_firing{rule="training_failures"}'), 1)
                receiver.broken = False  # it is told what happened while it was away
                within(lambda: len(receiver.texts) == 1)
                self.assertIn("[FIRING]", receiver.texts[0])
                self.assertIn("training_failures is 1", receiver.texts[0])
                self.assertGreater(metric(server, "winnow_alerts_failed_total"), 0)
                looks = metric(server, "winnow_alerts_looks_total")
                within(lambda: metric(server, "winnow_alerts_looks_total") >= looks + 2)
                self.assertEqual(len(receiver.texts), 1)  # said once
                os.unlink(snapshots)
                self.assertEqual(server.post("/v1/train", None).status, 202)
                within(lambda: len(receiver.texts) == 2, 60)
                self.assertIn("[RECOVERED]", receiver.texts[1])
                self.assertEqual(metric(server, 'winnow_alert_firing{rule="training_failures"}'), 0)
        finally:
            receiver.close()

    def test_quiet(self):
        """A server that is well says nothing."""
        receiver = Receiver()
        try:
            with Server("alerts: {webhook: '%s', every_seconds: 1, rules: {disk_free_mb: 1, p99_ms: 60000}}\n"
                        % receiver.url) as server:
                fill(server)
                for n in range(60):
                    server.get("/v1/surfaces/home/slate?user=user-%d" % n)
                looks = metric(server, "winnow_alerts_looks_total")
                within(lambda: metric(server, "winnow_alerts_looks_total") >= looks + 3)
                self.assertEqual(receiver.texts, [])
        finally:
            receiver.close()


if __name__ == "__main__":
    main(at_once=3)
