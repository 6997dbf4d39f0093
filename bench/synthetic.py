#!/usr/bin/env python3
"""Interactions of a made-up catalogue, for timing: python3 synthetic.py OUT.csr [EVENTS [USERS ITEMS]]

Activity of users is lognormal, popularity of items Zipf-Mandelbrot; each item has one of 48 topics, each
user likes four of them more than the rest. Distinct pairs; the same file for the same arguments.
Defaults: 19.9 million of 138,493 users and 26,744 items. With fewer events there are fewer users in
the same proportion, so that rows keep their lengths. bench_fit.c tells the layout of the file."""
import bisect
import itertools
import random
import sys
from array import array

try:
    import numpy as np
except ModuleNotFoundError:
    np = None  # generate_plain does without

TOPICS, LIKED, SEED = 48, 4, 20240607


def write_csr(path, users, items, user, item):
    """`user`, `item`: distinct pairs, ordered by user."""
    row_ptr = np.zeros(users + 1, "<u8")
    np.cumsum(np.bincount(user, minlength=users), out=row_ptr[1:])
    with open(path, "wb") as out:
        out.write(b"WNCSR1\0\0")
        np.array([users, items], "<u4").tofile(out)
        np.array([len(item)], "<u8").tofile(out)
        row_ptr.tofile(out)
        item.astype("<u4").tofile(out)


def read_csr(path):
    with open(path, "rb") as file:
        if file.read(8) != b"WNCSR1\0\0":
            raise SystemExit(f"{path}: not a .csr file")
        users, items = (int(n) for n in np.fromfile(file, "<u4", 2))
        nnz = int(np.fromfile(file, "<u8", 1)[0])
        return users, items, np.fromfile(file, "<u8", users + 1), np.fromfile(file, "<u4", nnz)


def draw(rng, users, items, events):
    """`events` pairs, some of them twice."""
    activity = np.clip(rng.lognormal(0, 1.1, users), .12, 60)
    popularity = (np.arange(items) + 12.) ** -1.0
    topic = rng.integers(0, TOPICS, items)
    by_topic = np.argsort(topic, kind="stable")
    cumulative = np.cumsum(popularity[by_topic])
    begin = np.searchsorted(topic[by_topic], np.arange(TOPICS + 1))
    edge = np.concatenate([[0], cumulative])[begin]
    liked = rng.integers(0, TOPICS, (users, LIKED))
    user = np.repeat(np.arange(users), np.maximum(
        1, np.round(activity * events / activity.sum())).astype(np.int64))
    of_topic = rng.random(len(user)) < .7
    t = liked[user, rng.choice(LIKED, len(user), p=[.4, .3, .2, .1])]
    low, high = np.where(of_topic, edge[t], 0), np.where(of_topic, edge[t + 1], edge[-1])
    at = np.searchsorted(cumulative, low + (high - low) * rng.random(len(user)), side="right")
    return user, by_topic[np.minimum(at, items - 1)]


def generate_plain(path, events, items=26_744):
    """The same kind of data by the standard library alone: seconds for some 100,000."""
    rng, users = random.Random(SEED), max(100, round(138_493 * events / 19_900_000))
    activity = [min(max(rng.lognormvariate(0, 1.1), .12), 60) for _ in range(users)]
    share = events / sum(activity)
    of_topic = [[] for _ in range(TOPICS)]
    for item in range(items):
        of_topic[rng.randrange(TOPICS)].append(item)
    of_topic.append(range(items))  # all
    edges = [list(itertools.accumulate(1 / (item + 12) for item in topic)) for topic in of_topic]
    row_ptr, col = array("Q", [0]), array("I")
    for user in range(users):
        liked, taken = rng.sample(range(TOPICS), LIKED), set()
        want = max(1, round(activity[user] * share))
        for _ in range(20 * want):
            t = rng.choices(liked, (4, 3, 2, 1))[0] if rng.random() < .7 else TOPICS
            taken.add(of_topic[t][bisect.bisect(edges[t], rng.random() * edges[t][-1], 0, len(edges[t]) - 1)])
            if len(taken) == want:
                break
        col.extend(sorted(taken))
        row_ptr.append(len(col))
    with open(path, "wb") as out:
        out.write(b"WNCSR1\0\0")
        for values in (array("I", [users, items]), array("Q", [len(col)]), row_ptr, col):
            values.tofile(out)


def generate(path, events=19_900_000, users=None, items=26_744):
    users = users or max(100, round(138_493 * events / 19_900_000))
    rng = np.random.default_rng(SEED)
    pairs, want = np.zeros(0, np.int64), events
    for _ in range(12):  # pairs drawn twice are lost: draw again for what is missing
        missing = want - len(pairs)
        if missing <= want // 1000:
            break
        user, item = draw(rng, users, items, max(missing, users))
        pairs = np.union1d(pairs, user * items + item)
    if len(pairs) > want:
        pairs = np.sort(rng.choice(pairs, want, replace=False))
    write_csr(path, users, items, pairs // items, pairs % items)
    return len(pairs)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    numbers = [int(float(a)) for a in sys.argv[2:5]]
    print(f"{sys.argv[1]}: {generate(sys.argv[1], *numbers)} interactions")
