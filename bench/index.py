#!/usr/bin/env python3
"""The index and its peers on the same vectors: recall, queries a second, latencies, builds, memory, filters.

    index.py PREFIX [ours=BUILD/bench/bench_index] [k=100] [peers=hnswlib,usearch,faiss] [percentile=99]
             [metric=ip] [filters=0] [upserts=0] [cache=DIR] [queries=1000] [bars=popular|clustered|factors|images|large]

PREFIX.npy, PREFIX.queries.npy and PREFIX.train.npy as index_vectors.py writes them. One thread searches; rates
are by CPU time. For ip, graph libraries get vectors with the coordinate that completes norms to the given
percentile (longer ones are clipped): without it they fail at inner product. A peer that is not
installed is left out. Built peers, and what building took, are kept in `cache`. At the end a table: the first setting of
each method that reaches a recall, and ours against the best peer; with `bars`, what was to be reached for such a set, and whether it was.
"""
import ctypes
import gc
import json
import os
import re
import resource
import subprocess
import sys
import time

import numpy as np

options = dict(ours="", k="100", peers="hnswlib,usearch,faiss", percentile="99", cache="", metric="ip", filters="0",
               upserts="0", queries="1000", bars="")
if len(sys.argv) < 2:
    sys.exit(__doc__)
prefix = sys.argv[1]
for argument in sys.argv[2:]:
    key, _, value = argument.partition("=")
    if key not in options:
        sys.exit(f"index.py: there is no setting {key!r}; there are {', '.join(options)}")
    options[key] = value
k, metric, name_of_set = int(options["k"]), options["metric"], os.path.basename(prefix)
rows = np.load(prefix + ".npy", mmap_mode="r")
queries = np.load(prefix + ".queries.npy")[:int(options["queries"])]
n, d = rows.shape
measured = {}  # method: [(recall, rate)]
builds = {}    # method: (CPU seconds, bytes of its file with the rows)
processes = {} # method: bytes that the process grew by when it built (or, from the cache, read) it
flat = {}      # of our index without lists: its share of the bandwidth


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30)


def prepared():
    return (unit(rows), unit(queries)) if metric == "cosine" else (np.ascontiguousarray(rows), queries)


def find_truth(allowed=None):
    path = f"{options['cache']}/{name_of_set}.{metric}.{k}.{len(queries)}.truth.npy"
    if allowed is None and options["cache"] and os.path.exists(path):
        return np.load(path)
    x, q = prepared()
    ids = np.arange(n) if allowed is None else np.flatnonzero(allowed)
    x = x[ids] if allowed is not None else x
    out = np.empty((len(q), k), np.int64)
    for i in range(0, len(q), 50):
        s = q[i:i + 50] @ x.T
        if metric == "l2":
            s = 2 * s - (x ** 2).sum(1)
        out[i:i + 50] = ids[np.argpartition(-s, k, axis=1)[:, :k]]
    if allowed is None and options["cache"]:
        np.save(path, out)
    return out


def augmented():
    x, q = prepared()
    if metric != "ip":
        return x, q
    norms = np.linalg.norm(x, axis=1)
    most = np.percentile(norms, float(options["percentile"]))
    extra = np.sqrt(np.maximum(0, most ** 2 - norms ** 2))
    return (np.hstack([x, extra[:, None]]).astype(np.float32),
            np.hstack([q, np.zeros((len(q), 1), np.float32)]))


def own_bytes():
    """Of this process, without files that it maps."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(re.search(r"RssAnon:\s+(\d+)", open("/proc/self/status").read())[1]) * 1024


def built(name, make, load, save):
    path = f"{options['cache']}/{name_of_set}.{metric}.{name}"
    if options["cache"] and os.path.exists(path):
        before = own_bytes()
        index = load(path)
        processes[name.split("_")[0]] = own_bytes() - before
        if os.path.exists(path + ".json"):
            told = json.load(open(path + ".json"))
            builds[name.split("_")[0]] = (told["cpu"], told["bytes"])
            processes[name.split("_")[0]] = told.get("process", processes[name.split("_")[0]])
            print(f"{name}: built in {told['cpu']:.1f} s of CPU, {told['bytes'] / 1e6:.0f} MB, "
                  f"{processes[name.split('_')[0]] / 1e6:.0f} MB of the process", flush=True)
        return index
    before = own_bytes()
    wall, cpu = time.time(), time.process_time()
    index = make()
    cpu = time.process_time() - cpu
    file = path if options["cache"] else f"/tmp/winnow-bench-{os.getpid()}"
    save(index, file)
    size = os.path.getsize(file)
    processes[name.split("_")[0]] = grown = own_bytes() - before
    if options["cache"]:
        json.dump({"cpu": cpu, "bytes": size, "process": grown}, open(path + ".json", "w"))
    else:
        os.remove(file)
    builds[name.split("_")[0]] = (cpu, size)
    print(f"{name}: built in {time.time() - wall:.1f} s ({cpu:.1f} s of CPU), {size / 1e6:.0f} MB, "
          f"{grown / 1e6:.0f} MB of the process", flush=True)
    return index


def share(found, truth):
    return np.mean([len(np.intersect1d(a, b)) for a, b in zip(found, truth)]) / k


def report(name, setting, search, truth, q):
    """`search` takes some of q. The rate is that of all at once where the library does them one by one anyway."""
    search(q[:20])
    took = []
    for i in range(min(200, len(q))):
        begin = time.perf_counter()
        search(q[i:i + 1])
        took.append(time.perf_counter() - begin)
    begin = time.process_time()
    found = search(q)
    rate = len(q) / (time.process_time() - begin)
    recall = share(found, truth)
    measured.setdefault(name, []).append((recall, rate))
    print(f"{name:24} {setting:>12}  recall {recall:.4f}  QPS {rate:8.0f}  p50 {np.median(took) * 1e6:7.1f} us  "
          f"p99 {np.quantile(took, .99) * 1e6:7.1f} us", flush=True)
    return recall


def run_ours():
    command = [options["ours"], prefix + ".npy", prefix + ".queries.npy", f"metric={metric}", f"k={k}", "batch=1",
               f"filters={options['filters']}", f"upserts={options['upserts']}", f"queries={len(queries)}"]
    if os.path.exists(prefix + ".train.npy"):
        command.append(f"train={prefix}.train.npy")
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        print(line, flush=True)
        found = re.match(r"(.*?)\s+recall ([\d.]+)\s+QPS\s+(\d+)", line)
        if line.startswith("build"):
            cpu, size = re.search(r"\(([\d.]+) s of CPU\).*?([\d.]+) MB \+", line).groups()
            builds["ours"] = (float(cpu), float(size) * 1e6 + n * d * 4)
        elif line.startswith("process"):
            processes["ours"] = float(line.split()[1]) * 1e6
        elif found:
            name = found[1] if "%" in found[1] else "ours, 32 at once" if "batch" in line else "ours"
            if "upserts" not in name:
                measured.setdefault(name, []).append((float(found[2]), float(found[3])))


def run_flat():
    """Without lists: what of the bandwidth one query alone reads the codes at, and batches against sgemm."""
    command = [options["ours"], prefix + ".npy", prefix + ".queries.npy", f"metric={metric}", f"k={k}", "batch=1", "lists=0", "queries=320"]
    if os.path.exists(prefix + ".train.npy"):
        command.append(f"train={prefix}.train.npy")
    def run(level):
        return subprocess.run(command + [f"only={level}"], capture_output=True, text=True, check=True).stdout
    out = run(.9999)
    coded = int(re.search(r"codes of (\d+)", out)[1])
    most = float(re.search(r"again: ([\d.]+) GB/s", out)[1])
    recall, rate, lanes = re.search(r"^0.9999\s+recall ([\d.]+)\s+QPS\s+(\d+).*lanes\s+(\d+)", out, re.M).groups()
    read = float(lanes) * (coded + .5) * float(rate) / 1e9
    flat["bandwidth"] = read / most
    measured["ours, flat"] = [(float(recall), float(rate))]
    print(f"flat: codes of {coded} read at {read:.1f} of {most:.1f} GB/s", flush=True)
    for batch in (out, run(.999), run(.99)):  # what a batch looks at for one query, it looks at for all
        recall, rate = re.search(r"^batch.*recall ([\d.]+)\s+QPS\s+(\d+)", batch, re.M).groups()
        measured.setdefault("ours, flat, 32 at once", []).append((float(recall), float(rate)))
        print(f"flat, 32 at once: {rate} queries/s at {recall}", flush=True)


def filter_hnswlib(index, q):
    """Its filter is a function that it calls for each row that it meets: in Python most of the time is that."""
    few = q[:20]
    for name, mask in filter_sets():
        wanted, allowed = find_truth(mask)[:20], mask.tolist()
        for ef in (200, 800, 3200):
            index.set_ef(max(ef, k))
            try:
                search = lambda v: index.knn_query(v, k, num_threads=1, filter=lambda i: allowed[i])[0]
                if report("peer hnswlib " + name, f"ef {ef}", search, wanted, few) >= .99:
                    break
            except RuntimeError as short:  # fewer than k found
                print(f"peer hnswlib {name} ef {ef}: {short}", flush=True)


def filter_usearch(search, q):
    """No predicates in Python: k/share results, and the allowed among them."""
    few = q[:20]
    for name, mask in filter_sets():
        wide = int(k / mask.mean() * 1.3)
        if wide > 20000:
            print(f"peer usearch {name}: {wide} results would have to be looked at", flush=True)
            continue
        wanted = find_truth(mask)[:20]
        def filtered(v):
            keys = search(v, wide)
            return np.vstack([np.resize(row[mask[row]][:k], k) if mask[row].any() else np.full(k, -1) for row in keys])
        report("peer usearch " + name, f"k {wide}", filtered, wanted, few)


def run_hnswlib():
    import hnswlib
    x, q = augmented()
    space = "l2" if metric == "l2" else "ip"
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
    for ef in (100, 150, 200, 300, 400, 600, 1000, 1600, 2400):
        index.set_ef(max(ef, k))
        if report("hnswlib", f"ef {ef}", lambda v: index.knn_query(v, k, num_threads=1)[0], truth, q) > .995:
            break
    if options["filters"] == "1":
        filter_hnswlib(index, q)


def run_usearch():
    from usearch.index import Index
    x, q = augmented()
    kind = {"ip": "ip", "cosine": "ip", "l2": "l2sq"}[metric]
    def make():
        index = Index(ndim=x.shape[1], metric=kind, dtype="bf16", connectivity=16, expansion_add=128)
        index.add(np.arange(n), x, threads=2)
        return index
    index = built("usearch", make, lambda p: Index.restore(p), lambda i, p: i.save(p))
    def search(v, wide=k):
        keys = index.search(v, wide, threads=1).keys.astype(np.int64)
        return keys if keys.ndim == 2 else keys[None]
    for ef in (100, 200, 400, 800, 1600):
        index.expansion_search = max(ef, k)
        if report("usearch", f"ef {ef}", search, truth, q) > .995:
            break
    if options["filters"] == "1":
        filter_usearch(search, q)


def filter_sets():
    """The filters of bench_index in kind: random rows, and those on one side of a plane."""
    rng = np.random.default_rng(9)
    for correlated in (False, True):
        side = unit(rows) @ rng.standard_normal(d).astype(np.float32) if correlated else rng.random(n)
        for allowed in (.5, .1, .01, .001):
            if allowed * n > 1.1 * k:
                yield f"{allowed * 100:g}% {'correlated' if correlated else 'random'}", side >= np.quantile(side, 1 - allowed)


def faiss_filters(faiss, x, q, kind):
    """Lists of 8-bit codes with exact re-ranking, and a bitmap: what faiss has for filters in one thread."""
    lists = 1024 if n > 200000 else 256
    def make():
        index = faiss.index_factory(d, f"IVF{lists},SQ8,RFlat", kind)
        index.train(x[:200000])
        index.add(x)
        return index
    index = built("faissfilter", make, faiss.read_index, faiss.write_index)
    few = q[:100]
    for name, mask in filter_sets():
        wanted = find_truth(mask)[:100]
        bits = np.packbits(mask, bitorder="little")
        selector = faiss.IDSelectorBitmap(n, faiss.swig_ptr(bits))
        for probes in (4, 16, 64, 256, lists):
            base = faiss.SearchParametersIVF(sel=selector, nprobe=probes)
            params = faiss.IndexRefineSearchParameters(k_factor=2, base_index_params=base)
            recall = report("peer faiss " + name, f"{probes}", lambda v: index.search(v, k, params=params)[1], wanted, few)
            if recall >= .99:
                break


def run_faiss():
    import faiss
    x, q = prepared()
    kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    lists = 1024 if n > 200000 else 256
    spec = f"IVF{lists},PQ{d // 2}x4fsr,RFlat"
    def make():
        faiss.omp_set_num_threads(2)
        index = faiss.index_factory(d, spec, kind)
        index.train(x[:200000])
        index.add(x)
        return index
    index = built(spec.replace(",", "_"), make, faiss.read_index, faiss.write_index)
    builds["faiss"] = builds.pop(spec.split(",")[0], (float("nan"), float("nan")))
    processes["faiss"] = processes.pop(spec.split(",")[0], None)
    faiss.omp_set_num_threads(1)
    base = faiss.downcast_index(index.base_index)
    for probes in (4, 8, 16, 32, 64, 128, 256):
        for factor in (2, 4, 8):
            base.nprobe, index.k_factor = probes, factor
            recall = report("faiss", f"{probes} x{factor}",
                   lambda v: np.vstack([index.search(v[i:i + 1], k)[1] for i in range(len(v))]), truth, q)
            report("faiss, 32 at once", f"{probes} x{factor}",
                   lambda v: np.vstack([index.search(v[i:i + 32], k)[1] for i in range(0, len(v), 32)]), truth, q)
        if recall > .995:
            break
    flat = faiss.IndexFlat(d, kind)
    flat.add(x)
    few = q[:96]
    for size in (1, 32):
        begin = time.process_time()
        for i in range(0, len(few), size):
            flat.search(few[i:i + size], k)
        rate = len(few) / (time.process_time() - begin)
        measured[f"faiss flat, {size} at once"] = [(1.0, rate)]
        print(f"faiss flat, {size} at once: QPS {rate:.0f}")
    if options["filters"] == "1":
        faiss_filters(faiss, x, q, kind)


def sgemm():
    """32 queries by all rows, products alone; in one thread when OPENBLAS_NUM_THREADS says so."""
    x, q = prepared()
    few, best = np.ascontiguousarray(q[:32]), float("inf")
    for _ in range(4):
        begin = time.process_time()
        x @ few.T
        best = min(best, time.process_time() - begin)
    measured["sgemm, 32 at once"] = [(1.0, 32 / best)]
    print(f"sgemm, 32 at once, without choosing the best: QPS {32 / best:.0f}")


def rate_at(name, recall):
    rates = [rate for found, rate in measured.get(name, []) if found >= recall - 1e-9]
    return max(rates, default=None)


def table():
    print(f"\n{'queries a second at':24}" + "".join(f"{'recall ' + str(r):>14}" for r in (.9, .95, .98, .99)) + "         exact")
    for name in measured:
        if "%" in name:
            continue
        cells = [rate_at(name, r) for r in (.9, .95, .98, .99, 1)]
        most = max(found for found, _ in measured[name])
        print(f"{name:24}" + "".join(f"{c:14.0f}" if c else f"{'-':>14}" for c in cells) + f"   at most {most:.4f}")
    for recall in (.95, .98, .99):
        ours = rate_at("ours", recall)
        peers = [r for r in (rate_at(p, recall) for p in ("hnswlib", "usearch", "faiss")) if r]
        if ours and peers:
            print(f"at {recall}: ours {ours / max(peers):.2f} times the best peer")
    for name, (cpu, size) in builds.items():
        print(f"build of {name}: {cpu:.1f} s of CPU, a file of {size / 1e6:.0f} MB with rows, " +
              (f"{processes[name] / 1e6:.0f} MB of the process" if processes.get(name) else ""))
    for name in filtered():
        ours, peer = filter_figures(name)
        print(f"{name}: {ours:.2f} of the rate at .99 without a filter" +
              (f", {peer:.0f} times the best peer at .985" if peer else ", no peer gets there"))


def filtered():
    return [name for name in measured if "%" in name and not name.startswith("peer")] if rate_at("ours", .99) else []


def filter_figures(name):
    """Ours as a share of our rate at .99 without a filter, and as a multiple of the best peer's."""
    ours = max(rate for _, rate in measured[name])
    peers = [r for r in (rate_at(f"peer {p} {name}", .985) for p in ("faiss", "hnswlib", "usearch")) if r]
    return ours / rate_at("ours", .99), ours / max(peers) if peers else None


def bars():
    """What was to be reached for such a set; what this run did not measure is left out."""
    peers = ("hnswlib", "usearch", "faiss")
    def best(recall):
        return max((r for r in (rate_at(p, recall) for p in peers) if r), default=None)
    def say(what, ours, theirs, bar):
        if ours is None or theirs is None:
            print(f"not measured  {what}, bar {bar:g}")
        else:
            print(f"{'met' if ours / theirs >= bar else 'NOT MET':12}  {what}: {ours / theirs:.2f}, bar {bar:g}")
    kind, times = options["bars"], "times the best peer at"
    if kind == "popular":
        say("at .95, times hnswlib at .95", rate_at("ours", .95), rate_at("hnswlib", .95), 8)
        say("at .99, times hnswlib at .95", rate_at("ours", .99), rate_at("hnswlib", .95), 6)
    if kind == "clustered":
        say(f"at .95, {times} .95", rate_at("ours", .95), best(.95), 1.4)
        say(f"at .98, {times} .98", rate_at("ours", .98), best(.98), 1.8)
        say("queries/s at .99", rate_at("ours", .99) or 0, 1, 1)
        say("32 at once at .95, times faiss's", rate_at("ours, 32 at once", .95), rate_at("faiss, 32 at once", .95), 1)
    if kind == "factors":
        say("exact, times faiss flat", rate_at("ours", 1), rate_at("faiss flat, 1 at once", 1), 3)
        say(f"at .95, {times} .95", rate_at("ours", .95), best(.95), 2)
        say(f"at .99, {times} .99", rate_at("ours", .99), best(.99), 3)
    if kind == "images":
        say("at .95, times hnswlib at .95", rate_at("ours", .95), rate_at("hnswlib", .95), 1 / 1.5)
    if kind == "large":
        say("queries/s at .95", rate_at("ours", .95), 1, 1000)
    if kind in ("popular", "clustered"):
        say("flat, recall", measured["ours, flat"][0][0], 1, .9999)
        say("flat, share of the read bandwidth", flat["bandwidth"], 1, .8)
        say("flat, 32 at once, times sgemm", rate_at("ours, flat, 32 at once", .9999), rate_at("sgemm, 32 at once", 1), 8)
        for peer in peers:
            theirs, ours = builds.get(peer, (None, None)), builds["ours"]
            if peer == "hnswlib":
                say("build, hnswlib's CPU time as a multiple", theirs[0], ours[0], 5)
            say(f"memory of the process, {peer}'s as a multiple", processes.get(peer), processes["ours"], 1)
            say(f"size of the file, {peer}'s as a multiple", theirs[1] if theirs[1] == theirs[1] else None, ours[1], 1)
    least = {"50%": .5, "10%": .15, "1%": .25, "0.1%": 1.2}
    for name in filtered() if kind in ("popular", "clustered") else []:
        share, peer = filter_figures(name)
        say(f"{name} allowed, share of the rate at .99 without a filter", share, 1, least[name.split()[0]])
        if not name.startswith("50%"):
            say(f"{name} allowed, times the best peer at .985", peer, 1, 10)


print(f"{prefix}: {n} x {d}, {metric}, k {k}, {len(queries)} queries")
truth = find_truth()
if options["ours"]:
    run_ours()
    if options["bars"] in ("popular", "clustered"):
        run_flat()
if metric == "ip":
    sgemm()
for peer in filter(None, options["peers"].split(",")):
    try:
        {"hnswlib": run_hnswlib, "usearch": run_usearch, "faiss": run_faiss}[peer]()
    except ImportError as missing:
        print(f"{peer}: left out ({missing})")
print(f"memory of this process at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
table()
if options["bars"]:
    bars()
