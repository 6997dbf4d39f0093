#!/usr/bin/env python3
"""winnow batch beside implicit's recommend(): the 100 best of all items for all users, what they have left out.

usage: batch.py WINNOW TRAIN [FACTORS …]      (TRAIN: adjacency lines; needs implicit, scipy and threadpoolctl)

Both fit their own factors in two epochs and rank with 2 threads; times are of ranking alone, in seconds of CPU, because
the machine may be busy. implicit uses the factors it stored; winnow folds every user's history in. OPENBLAS_CORETYPE
should name the CPU: OpenBLAS's own detection picks a slow kernel on some virtual ones."""
import json
import os
import subprocess
import sys
import tempfile
import time

import implicit
import numpy
import scipy.sparse
from implicit.als import AlternatingLeastSquares
from threadpoolctl import threadpool_info, threadpool_limits

winnow, train = sys.argv[1:3]
rows = [[int(word) for word in line.split()] for line in open(train)]
users = [row[0] for row in rows for _ in row[1:]]
items = [item for row in rows for item in row[1:]]
matrix = scipy.sparse.csr_matrix((numpy.ones(len(users), numpy.float32), (users, items)))
kernels = {pool.get("architecture") for pool in threadpool_info() if pool["internal_api"] == "openblas"}
print(f"{matrix.shape[0]} users, {matrix.shape[1]} items, {matrix.nnz} pairs; implicit {implicit.__version__}, "
      f"OpenBLAS kernels {kernels}, {os.cpu_count()} CPUs")
for factors in map(int, sys.argv[3:] or ["64", "128"]):
    peer = AlternatingLeastSquares(factors=factors, iterations=2, num_threads=2, random_state=1)
    peer.fit(matrix, show_progress=False)
    with threadpool_limits(1, "blas"):  # its own threads are the parallel ones; BLAS's would spin beside them
        begin, wall = time.process_time(), time.time()
        peer.recommend(numpy.arange(matrix.shape[0]), matrix, N=100, filter_already_liked_items=True)
        peer_cpu, peer_wall = time.process_time() - begin, time.time() - wall
    with tempfile.TemporaryDirectory() as folder:
        report = json.loads(subprocess.run(
            [winnow, "batch", "--train", train, "--model", "als", "--set", f"factors={factors}", "--set", "epochs=2", "--n", "100",
             "--threads", "2", "--out", f"{folder}/lists.csv", "--json"], capture_output=True, check=True).stdout)
    print(f"factors {factors}: implicit {peer_cpu:.2f} s ({peer_wall:.2f} s wall), winnow {report['rank_cpu_seconds']:.2f} s "
          f"({report['rank_seconds']:.2f} s wall), ratio {peer_cpu / report['rank_cpu_seconds']:.2f}; "
          f"formatting {report['format_seconds']:.2f} s, writing {report['write_seconds']:.2f} s wall")
