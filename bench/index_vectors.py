#!/usr/bin/env python3
"""Vector sets for bench_index as .npy files: SET.npy, SET.queries.npy (the test's) and
SET.train.npy (to measure on while building).

    index_vectors.py KIND ROWS DIMS PREFIX [SEED]

popular    directions of rank DIMS/3 with some noise; norms fall with the rank of popularity, as
           rank^-1/4, which is what factors of a large catalogue look like; queries are directions
clustered  2,000 overlapping clusters, norms within a factor of two; queries are of the same kind
"""
import sys
import numpy as np


def popular(rng, n, d):
    basis = rng.standard_normal((d // 3, d), dtype=np.float32)
    def directions(count):
        x = rng.standard_normal((count, d // 3), dtype=np.float32) @ basis
        x += .3 * np.sqrt(d / 3) * rng.standard_normal((count, d), dtype=np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True)
    norms = (1 + rng.permutation(n).astype(np.float32)) ** -.25
    return directions(n) * norms[:, None] * 10, directions(1000), directions(1000)


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
    return points(n), points(1000), points(1000)


kind, n, d, prefix = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
rng = np.random.default_rng(int(sys.argv[5]) if len(sys.argv) > 5 else 1)
for name, x in zip(("", ".queries", ".train"), {"popular": popular, "clustered": clustered}[kind](rng, n, d)):
    np.save(f"{prefix}{name}.npy", np.ascontiguousarray(x, np.float32))
