"""SIGTERM under load: every request that the server took is answered, and what it said is stored is
stored. Clients use keep-alive and send without pause; after the signal they go on until they are
told "Connection: close" or find the connection closed between two requests."""

import http.client
import json
import signal
import socket
import threading
import time
import unittest

from harness import Server, fill, main, status_of

CLIENTS = 12


class Loader(threading.Thread):
    def __init__(self, server, number):
        super().__init__(daemon=True)
        self.server, self.number = server, number
        self.answers, self.stored, self.lost = 0, 0, []
        self.stopping = None  # the moment of the signal

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        count = 0
        while True:
            count += 1
            write = (count + self.number) % 2 == 0
            begun = time.monotonic()
            try:
                if write:
                    body = [{"user": "u%d" % self.number, "item": "item-1", "type": "view",
                             "id": "s%d-%d" % (self.number, count)}]
                    connection.request("POST", "/v1/events", json.dumps(body),
                                       {"Content-Type": "application/json"})
                else:
                    connection.request("GET", "/v1/surfaces/home/slate?user=user-%d" % self.number)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                # Sent before the signal: it must have been answered.
                if self.stopping is None or begun < self.stopping:
                    self.lost.append((self.number, count, repr(error)))
                return
            if answer.status != 200:
                self.lost.append((answer.status, body))
                return
            self.answers += 1
            if write:
                self.stored += json.loads(body)["accepted"]
            if answer.getheader("Connection", "").lower() == "close":
                return


class Shutdown(unittest.TestCase):
    def stop_under_load(self):
        server = Server().start()
        fill(server)
        before = server.get("/readyz").json["last_seq"]
        loaders = [Loader(server, n) for n in range(CLIENTS)]
        for one in loaders:
            one.start()
        time.sleep(0.5)
        now = time.monotonic()
        for one in loaders:
            one.stopping = now
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.wait(20), 0, server.output())
        self.assertLess(time.monotonic() - begun, 10)
        for one in loaders:
            one.join(10)
            self.assertFalse(one.is_alive())
        self.assertEqual(sum((one.lost for one in loaders), []), [])
        stored = sum(one.stored for one in loaders)
        self.assertGreater(stored, 0)
        server.start()
        after = server.get("/readyz").json["last_seq"]
        self.assertEqual(after - before, stored)
        self.assertEqual(server.stop(), 0)
        return sum(one.answers for one in loaders)

    def test_under_load(self):
        answers = sum(self.stop_under_load() for _ in range(3))
        print("%d requests answered over three stops, none lost" % answers)

    def test_request_on_its_way(self):
        """A body that is still arriving at the signal is waited for, within the grace."""
        with Server() as server:
            fill(server)
            body = b'{"user":"u","item":"item-1","type":"view"}'
            with server.connect() as s, server.connect() as idle:
                s.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                          b"Content-Length: %d\r\n\r\n" % len(body) + body[:10])
                time.sleep(0.1)
                server.process.send_signal(signal.SIGTERM)
                time.sleep(0.8)
                self.assertIsNone(server.process.poll())
                self.assertEqual(idle.recv(10), b"")  # idle ones are closed meanwhile
                with self.assertRaises(OSError):
                    socket.create_connection(("127.0.0.1", server.port), 1).recv(1)
                s.sendall(body[10:])
                answer = s.recv(65536)
                self.assertEqual(status_of(answer), 200)
                self.assertIn(b"Connection: close", answer)
            self.assertEqual(server.process.wait(5), 0)

    def test_large_bodies_being_parsed(self):
        """Those that wait for the thread that parses them are answered too."""
        with Server() as server:
            fill(server)
            before = server.get("/readyz").json["last_seq"]
            row = b'{"user":"u","item":"item-1","type":"view"}\n'
            head = (b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
                    b"Content-Length: %d\r\n\r\n" % (len(row) * 20000))
            sockets = [server.connect(20) for _ in range(4)]
            for s in sockets:
                s.sendall(head + row * 20000)
            server.process.send_signal(signal.SIGTERM)
            for s in sockets:
                self.assertEqual(status_of(s.recv(65536)), 200)
                s.close()
            self.assertEqual(server.process.wait(20), 0, server.output())
            server.start()
            self.assertEqual(server.get("/readyz").json["last_seq"] - before, 80000)

    def test_stalled_request_does_not_hold_it(self):
        with Server(args=["--grace", "1"]) as server:
            with server.connect() as s:
                s.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
                time.sleep(0.1)
                begun = time.monotonic()
                self.assertEqual(server.stop(), 0)
                self.assertLess(time.monotonic() - begun, 4)


if __name__ == "__main__":
    main()
