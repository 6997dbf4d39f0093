#!/usr/bin/env python3
"""Vector sets for bench_index as .npy files: SET.npy, SET.queries.npy (the test's) and
SET.train.npy (to measure on while building).

    index_vectors.py KIND ROWS DIMS PREFIX [SEED]

popular    directions of rank DIMS/3 with some noise; norms fall with the rank of popularity, as
           rank^-1/4, which is what factors of a large catalogue look like; queries are directions
clustered  2,000 overlapping clusters, norms within a factor of two; queries are of the same kind

    index_vectors.py fashion FOLDER PREFIX      Fashion-MNIST's images, the test's as queries (Debian: dataset-fashion-mnist)
    index_vectors.py factors FILE USERS DIMS PREFIX   what bench_fit writes: users ask, items answer
"""
import gzip
import sys
import numpy as np


def save(prefix, rows, queries, train):
    for name, x in zip(("", ".queries", ".train"), (rows, queries, train)):
        np.save(f"{prefix}{name}.npy", np.ascontiguousarray(x, np.float32))


def fashion(folder, prefix):
    images = [np.frombuffer(gzip.open(f"{folder}/{part}-images-idx3-ubyte.gz").read(), np.uint8, offset=16)
              .reshape(-1, 784).astype(np.float32) for part in ("train", "t10k")]
    save(prefix, images[0], images[1][:1000], images[1][1000:2000])


def factors(file, users, dims, prefix):
    x = np.fromfile(file, np.float32).reshape(-1, int(dims))
    known = x[:int(users)][(x[:int(users)] ** 2).sum(1) > 0]
    known = known[np.random.default_rng(1).permutation(len(known))]
    save(prefix, x[int(users):], known[:1000], known[1000:2000])


if len(sys.argv) > 1 and sys.argv[1] in ("fashion", "factors"):
    {"fashion": fashion, "factors": factors}[sys.argv[1]](*sys.argv[2:])
    sys.exit()

BLOCK = 1_000_000  # rows made at once


def popular(rng, n, d):
    basis = rng.standard_normal((d // 3, d), dtype=np.float32)
    def directions(count):
        x = rng.standard_normal((count, d // 3), dtype=np.float32) @ basis
        x += .3 * np.sqrt(d / 3) * rng.standard_normal((count, d), dtype=np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)
    norms = (1 + rng.permutation(n).astype(np.float32)) ** -.25
    for i in range(0, n, BLOCK):
        part = norms[i:i + BLOCK, None]
        yield directions(len(part)) * part * 10
    yield directions(1000)
    yield directions(1000)


def clustered(rng, n, d):
    rank = d // 3
    basis = rng.standard_normal((rank, d), dtype=np.float32)
    centres = rng.standard_normal((2000, rank), dtype=np.float32)
    def points(count):
        x = centres[rng.integers(0, 2000, count)]
        x = (x + .7 * rng.standard_normal((count, rank), dtype=np.float32)) @ basis
        x += .3 * np.sqrt(rank) * rng.standard_normal((count, d), dtype=np.float32)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        return x * rng.uniform(.7, 1.4, (count, 1)).astype(np.float32)
    for i in range(0, n, BLOCK):
        yield points(min(BLOCK, n - i))
    yield points(1000)
    yield points(1000)


kind, n, d, prefix = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
rng = np.random.default_rng(int(sys.argv[5]) if len(sys.argv) > 5 else 1)
parts = {"popular": popular, "clustered": clustered}[kind](rng, n, d)
rows = np.lib.format.open_memmap(prefix + ".npy", "w+", np.float32, (n, d))
for i in range(0, n, BLOCK):
    rows[i:i + BLOCK] = next(parts)
np.save(prefix + ".queries.npy", next(parts))
np.save(prefix + ".train.npy", next(parts))
