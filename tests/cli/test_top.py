"""winnow top: rates, shares and percentiles between two looks, against a server that says known things."""

import http.server
import json
import os
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "api"))
from harness import WINNOW, Server, fill, main  # noqa: E402

SLATE = 'route="/v1/surfaces/{surface}/slate"'
TEXT = """# HELP winnow_http_request_seconds x
# TYPE winnow_http_request_seconds histogram
winnow_http_requests_total{%(s)s,status="200"} %(ok)d
winnow_http_requests_total{%(s)s,status="500"} 3
winnow_http_request_seconds_bucket{%(s)s,le="0.001"} %(b1)d
winnow_http_request_seconds_bucket{%(s)s,le="0.002"} %(b2)d
winnow_http_request_seconds_bucket{%(s)s,le="+Inf"} %(b3)d
winnow_stage_seconds_sum{stage="retrieve"} %(retrieve)g
winnow_stage_seconds_count{stage="retrieve"} %(ok)d
winnow_stage_seconds_sum{stage="order"} %(order)g
winnow_stage_seconds_count{stage="order"} %(ok)d
winnow_stage_candidates_total{stage="retrieve"} %(left)d
winnow_slates_shown_total{surface="a \\"quoted\\", odd} one",arms=""} %(ok)d
winnow_clicks_total{surface="a \\"quoted\\", odd} one",arms=""} 5
winnow_impressions_total{surface="a \\"quoted\\", odd} one",arms=""} 50
winnow_alert_firing{rule="disk_free_mb"} 1
winnow_alert_firing{rule="p99_ms"} 0
winnow_writable 1
winnow_snapshot 7
process_start_time_seconds 0
a line that is no sample
"""


class Fake:
    """Counts as if 100 slates came between two looks: half below 1 ms, 48 below 2 ms, two beyond."""

    def __init__(self):
        self.looks, self.keys, outer = 0, [], self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                n, outer.looks = outer.looks, outer.looks + 1
                outer.keys.append(self.headers.get("Authorization"))
                text = TEXT % {"s": SLATE, "ok": 40 + 100 * n, "b1": 1000 + 50 * n, "b2": 1000 + 98 * n,
                               "b3": 1000 + 100 * n, "retrieve": 0.3 * n, "order": 0.1 * n, "left": 9 + 50000 * n}
                self.send_response(200 if self.path == "/metrics" else 404)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *args):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = "http://127.0.0.1:%d" % self.server.server_port

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def top(url, *args, **env):
    return subprocess.run([WINNOW, "top", "--url", url, "--every", "0.1", *args], capture_output=True, text=True,
                          timeout=60, env=dict(os.environ, **env))


class Top(unittest.TestCase):
    def test_numbers(self):
        fake = Fake()
        try:
            done = top(fake.url, "--count", "2", "--json", WINNOW_KEY="k-1")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertEqual(fake.keys, ["Bearer k-1"] * 3)
            frames = [json.loads(line) for line in done.stdout.splitlines()]
            self.assertEqual(len(frames), 2)
            for f in frames:
                self.assertGreaterEqual(f["seconds"], 0.1)
                self.assertAlmostEqual(f["slates_per_second"] * f["seconds"], 100, places=6)
                self.assertAlmostEqual(f["slate_p50_seconds"], 0.001)  # the 50th of 100
                self.assertAlmostEqual(f["slate_p99_seconds"], 0.002)  # beyond the last bound: at least that
                self.assertEqual((f["snapshot"], f["alerts_firing"], f["clicks_per_second"]), (7, 1, 0))
        finally:
            fake.close()

    def test_frame(self):
        fake = Fake()
        try:
            done = top(fake.url, "--count", "1")
            self.assertEqual(done.returncode, 0, done.stderr)
            rows = [line.split() for line in done.stdout.splitlines()]
            self.assertIn(["retrieve", "3.00", "75%", "500"], rows)
            self.assertIn(["order", "1.00", "25%", "0"], rows)
            self.assertIn("alerts: disk_free_mb", done.stdout)
            self.assertIn("10.00%", done.stdout)
            self.assertNotIn("\033", done.stdout)
        finally:
            fake.close()

    def test_real_server(self):
        with Server() as server:
            fill(server)
            server.get("/v1/surfaces/home/slate?user=user-1")
            done = top("http://127.0.0.1:%d" % server.port, "--count", "1")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("200 items, 60 users  no snapshot", done.stdout)
            self.assertIn("home", done.stdout)

    def test_errors(self):
        done = top("http://127.0.0.1:1")
        self.assertEqual(done.returncode, 6)
        self.assertIn("http://127.0.0.1:1/metrics", done.stderr)
        self.assertEqual(top("http://127.0.0.1:1", "--every", "0").returncode, 2)
        self.assertEqual(top("http://127.0.0.1:1", "--every", "nan").returncode, 2)


if __name__ == "__main__":
    main()
