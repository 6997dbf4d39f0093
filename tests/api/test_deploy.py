"""What deploy/ ships: files that parse, a service manager that is told, logs that machines read.
That each metric they name exists is checked in test_metrics.py."""

import ast
import glob
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

from harness import Server, main

SOURCE = os.environ.get("WINNOW_SOURCE", os.path.join(os.path.dirname(__file__), "..", ".."))
DEPLOY = os.path.join(SOURCE, "deploy")


class Deploy(unittest.TestCase):
    def test_files(self):
        with open(os.path.join(DEPLOY, "grafana", "winnow.json")) as f:
            board = json.load(f)
        self.assertGreater(len(board["panels"]), 10)
        self.assertEqual(len({p["id"] for p in board["panels"]}), len(board["panels"]))
        for path in glob.glob(os.path.join(DEPLOY, "airflow", "*.py")):
            with open(path) as f:
                ast.parse(f.read())

    @unittest.skipUnless(shutil.which("readelf"), "no readelf here")
    def test_container_file(self):
        """The image installs what the binary needs, builds what it starts, and listens where it says."""
        with open(os.path.join(DEPLOY, "Containerfile")) as f:
            text = f.read().replace("\\\n", " ")
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        known = {"FROM", "COPY", "WORKDIR", "RUN", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
        self.assertEqual({line.split()[0] for line in lines} - known, set())
        self.assertEqual([line for line in lines if line.startswith("USER")], ["USER winnow"])
        final = text[text.rindex("\nFROM"):]
        dynamic = subprocess.run(["readelf", "-d", os.environ.get("WINNOW", "winnow")], capture_output=True, text=True, check=True).stdout
        needed = set(re.findall(r"Shared library: \[lib([a-z]+)", dynamic)) - {"c", "m", "asan", "ubsan", "tsan", "gcc"}
        self.assertGreater(len(needed), 5)
        packages = {"z": "zlib1g", "lzma": "liblzma5", "yaml": "libyaml-0-2"}
        for name in needed:
            self.assertRegex(final, r"\b%s" % re.escape(packages.get(name, "lib" + name)))

    def test_commands_exist(self):
        """Options that unit, container file and DAG give are known to the binary."""
        server = Server()
        for command, options in (("serve", ["--data", "--host", "--open", "--log-format", "--verbose"]),
                                 ("train", ["--background", "--memory-mb", "--json", "--data"])):
            text = server.run(command, "--help").stdout
            for option in options:
                self.assertIn(option, text)
        shutil.rmtree(server.folder)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd here")
    def test_unit(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(DEPLOY, "winnow.service")) as f:
                text = f.read().replace("/usr/bin/winnow", "/bin/true")
            path = os.path.join(folder, "winnow.service")
            with open(path, "w") as f:
                f.write(text)
            done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True)
            wrong = [line for line in done.stderr.splitlines() if "winnow.service" in line and "Man" not in line]
            self.assertEqual(wrong, [], done.stderr)

    @unittest.skipUnless(shutil.which("promtool"), "no promtool here (Debian: prometheus)")
    def test_prometheus(self):
        """Its own tool takes the rules, the way to scrape, and what is scraped."""
        folder = os.path.join(DEPLOY, "prometheus")
        for kind, name in (("rules", "winnow-rules.yml"), ("config", "scrape.yml")):
            done = subprocess.run(["promtool", "check", kind, os.path.join(folder, name)], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with Server() as server:
            done = subprocess.run(["promtool", "check", "metrics"], input=server.get("/metrics").body, capture_output=True)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, b""))

    def test_notify(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "notify")
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                s.bind(path)
                s.settimeout(20)
                os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"] = path, "200000"
                try:
                    with Server() as server:
                        self.assertEqual(s.recv(100), b"READY=1")
                        for _ in range(3):
                            self.assertEqual(s.recv(100), b"WATCHDOG=1")
                        self.assertEqual(server.stop(), 0)
                        said = [s.recv(100)]
                        while said[-1] != b"STOPPING=1":
                            said.append(s.recv(100))
                finally:
                    del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]

    def test_json_log(self):
        with Server(args=["--log-format", "json", "--verbose"]) as server:
            server.get("/healthz")
            server.stop()
            lines = [json.loads(line) for line in server.output().splitlines() if line.startswith("{")]
            self.assertTrue(lines)
            for line in lines:
                self.assertEqual(set(line), {"time", "level", "message"})


if __name__ == "__main__":
    main()
