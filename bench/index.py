#!/usr/bin/env python3
"""Peers of the index on the same vectors: hnswlib, usearch, faiss, one thread each.

    index.py PREFIX [k=100] [peers=hnswlib,usearch,faiss] [percentile=99] [cache=DIR] [metric=ip]

PREFIX.npy and PREFIX.queries.npy as index_vectors.py writes them. For ip, graph libraries get vectors
with the coordinate that completes norms to the given percentile (others are clipped): without it
they fail at inner product. Prints, for each setting, recall@k and queries a second of CPU time; a peer
that is not installed is left out. Built indexes are kept in `cache`.
"""
import os
import sys
import time
import numpy as np

options = dict(k="100", peers="hnswlib,usearch,faiss", percentile="99", cache="", metric="ip", ef="")
prefix = sys.argv[1]
options.update(a.split("=", 1) for a in sys.argv[2:])
k, metric = int(options["k"]), options["metric"]
rows, queries = np.load(prefix + ".npy"), np.load(prefix + ".queries.npy")
if metric == "cosine":
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    queries /= np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-30)
n, d = rows.shape


def find_truth():
    path = f"{options['cache']}/{os.path.basename(prefix)}.{metric}.{k}.truth.npy"
    if options["cache"] and os.path.exists(path):
        return np.load(path)
    out = np.empty((len(queries), k), np.int64)
    for i in range(0, len(queries), 50):
        s = queries[i:i + 50] @ rows.T
        if metric == "l2":
            s = 2 * s - (rows ** 2).sum(1)
        out[i:i + 50] = np.argpartition(-s, k, axis=1)[:, :k]
    if options["cache"]:
        np.save(path, out)
    return out


def augmented():
    if metric != "ip":
        return rows, queries
    norms = np.linalg.norm(rows, axis=1)
    most = np.percentile(norms, float(options["percentile"]))
    extra = np.sqrt(np.maximum(0, most ** 2 - norms ** 2))
    return (np.hstack([rows, extra[:, None]]).astype(np.float32),
            np.hstack([queries, np.zeros((len(queries), 1), np.float32)]))


def recall(found):
    return np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, truth)]) / k


def built(name, make, load, save):
    path = f"{options['cache']}/{os.path.basename(prefix)}.{metric}.{name}"
    if options["cache"] and os.path.exists(path):
        return load(path)
    wall, cpu = time.time(), time.process_time()
    index = make()
    print(f"{name}: built in {time.time() - wall:.1f} s ({time.process_time() - cpu:.1f} s of CPU)", flush=True)
    if options["cache"]:
        save(index, path)
    return index


def report(name, setting, search):
    search(queries[:20])
    begin = time.process_time()
    found = search(queries)
    spent = time.process_time() - begin
    print(f"{name:24} {setting:>12}  recall {recall(found):.4f}  QPS {len(queries) / spent:8.0f}", flush=True)


def run_hnswlib():
    import hnswlib
    x, q = augmented()
    space = {"ip": "ip", "cosine": "ip", "l2": "l2"}[metric]
    def make():
        index = hnswlib.Index(space, x.shape[1])
        index.init_index(n, M=16, ef_construction=200, random_seed=1)
        index.add_items(x, num_threads=2)
        return index
    def load(path):
        index = hnswlib.Index(space, x.shape[1])
        index.load_index(path)
        return index
    index = built("hnswlib", make, load, lambda i, p: i.save_index(p))
    index.set_num_threads(1)
    for ef in (100, 150, 200, 300, 400, 600, 1000, 1600, 2400):
        index.set_ef(max(ef, k))
        report("hnswlib M16", f"ef {ef}", lambda v: index.knn_query(q[:len(v)], k, num_threads=1)[0])


def run_usearch():
    from usearch.index import Index
    x, q = augmented()
    kind = {"ip": "ip", "cosine": "ip", "l2": "l2sq"}[metric]
    def make():
        index = Index(ndim=x.shape[1], metric=kind, dtype="bf16", connectivity=16, expansion_add=128)
        index.add(np.arange(n), x, threads=2)
        return index
    index = built("usearch", make, lambda p: Index.restore(p), lambda i, p: i.save(p))
    for ef in (100, 200, 400, 800, 1600):
        index.expansion_search = max(ef, k)
        report("usearch bf16", f"ef {ef}", lambda v: index.search(q[:len(v)], k, threads=1).keys)


def run_faiss():
    import faiss
    kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    lists = 1024 if n > 200000 else 256
    for spec in (f"IVF{lists},PQ{d // 2}x4fsr,RFlat",):
        def make():
            faiss.omp_set_num_threads(2)
            index = faiss.index_factory(d, spec, kind)
            index.train(rows[:200000])
            index.add(rows)
            return index
        index = built(spec.replace(",", "_"), make, faiss.read_index, faiss.write_index)
        faiss.omp_set_num_threads(1)
        base = faiss.downcast_index(index.base_index)
        for probes in (1, 2, 4, 8, 16, 32, 64, 128, 256):
            for factor in (2, 4, 8):
                base.nprobe, index.k_factor = probes, factor
                report("faiss " + spec, f"{probes} x{factor}",
                       lambda v: np.vstack([index.search(v[i:i + 1], k)[1] for i in range(len(v))]))
            if probes >= 4:
                report("  all at once", f"{probes} x{factor}", lambda v: index.search(v, k)[1])
    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlat(d, kind)
    flat.add(rows)
    queries_few = queries[:100]
    begin = time.process_time()
    for i in range(100):
        flat.search(queries_few[i:i + 1], k)
    print(f"faiss flat, one by one       QPS {100 / (time.process_time() - begin):8.0f}")
    begin = time.process_time()
    for i in range(0, 96, 32):
        flat.search(queries_few[i:i + 32], k)
    print(f"faiss flat, 32 at once       QPS {96 / (time.process_time() - begin):8.0f}")


truth = find_truth()
for name in options["peers"].split(","):
    try:
        {"hnswlib": run_hnswlib, "usearch": run_usearch, "faiss": run_faiss}[name]()
    except ImportError as missing:
        print(f"{name}: left out ({missing})")
