#!/usr/bin/env python3
"""What exploration costs: explore.py WINNOW [SLATES] [ITEMS]

One server, a surface for each policy over the same 400 candidates of a catalogue of ITEMS (100,000). Slates are asked of all surfaces in
turns; the difference to the plain surface is the policy's. Prints microseconds of a slate by the server's own clock (`took_ms`), median."""

import json
import os
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ["WINNOW"] = sys.argv[1]
sys.path.insert(0, os.path.join(HERE, "..", "tests", "api"))
from harness import Server, train  # noqa: E402

SLATES = int(sys.argv[2]) if len(sys.argv) > 2 else 300
ITEMS = int(sys.argv[3]) if len(sys.argv) > 3 else 100000
POLICIES = {
    "plain": "{}",
    "random slot": "{slots: [{position: 5, explore: random, share: 0.5}]}",
    "cold slot": "{slots: [{position: 5, explore: cold, impressions: 1000}]}",
    "Plackett-Luce": "{temperature: 0.2}",
    "Thompson slot, among 50": "{slots: [{position: 5, explore: thompson}]}",
    "Thompson slate, among 50": "{bandit: {explore: thompson}}",
    "Thompson slate, among 200": "{bandit: {explore: thompson, among: 200}}",
    "LinUCB slot": "{slots: [{position: 5, explore: linucb}]}",
    "linear Thompson slot": "{slots: [{position: 5, explore: linear}]}",
    "linear Thompson slate, among 50": "{bandit: {explore: linear}}",
}
FATIGUE = ", score: {normalise: minmax, fatigue: {rate: 0.1}}"


def config():
    out = "training: {every_hours: 0}\nsurfaces:\n"
    for n, order in enumerate(list(POLICIES.values()) + ["{}"]):
        out += ("  s%d: {flavour: personal, n: 20, retrieve: [{model: popular, quota: 200}, {model: newest, quota: 200}], filter: {seen: none}, "
                "order: %s%s}\n" % (n, order, FATIGUE if n == len(POLICIES) else ""))
    return out


with Server(config()) as server:
    for start in range(0, ITEMS, 10000):
        items = [{"id": "i%d" % i, "title": "Item %d" % i} for i in range(start, min(start + 10000, ITEMS))]
        assert server.post("/v1/items", {"items": items}).status == 200
    events = [{"id": "e%d" % k, "user": "u%d" % (k % 97), "item": "i%d" % (k * k % 1000), "type": "view"} for k in range(10000)]
    assert server.post("/v1/events", {"events": events}).status == 200
    train(server)
    assert server.request("POST", "/v1/admin/refresh").status == 200
    names = list(POLICIES) + ["fatigue"]
    took = {name: [] for name in names}
    client = server.client()
    for k in range(SLATES):
        for n, name in enumerate(names):
            answer = client.request("POST", "/v1/surfaces/s%d/slate" % n, {"user": "u%d" % (k % 97)}).json
            took[name].append(1000 * answer["took_ms"])
            if k % 3 == 0:
                event = {"user": answer["user"], "item": answer["items"][k % 20]["id"], "type": "view", "slate": answer["slate"]}
                client.request("POST", "/v1/events", {"events": [event]})
    plain = statistics.median(took["plain"])
    for name in names:
        median = statistics.median(took[name])
        print("%-32s %7.0f µs a slate, %+6.0f" % (name, median, median - plain))
    print(json.dumps({name: round(statistics.median(v), 1) for name, v in took.items()}))
