#!/usr/bin/env python3
"""Quality of Winnow's models and of other libraries' on the same splits: Recall@20/NDCG@20, full ranking.

    models_quality.py WINNOW DATA [--set NAME …] [--model NAME …] [--peer NAME …] [--threads N]

DATA is a folder of data sets, unpacked (see SETS for names). Splits are those of the files where they have
one; for sequences the last item; else one made here from a fixed seed: every fifth item of a user at random,
or, with times, the last tenth of the log. Winnow's models run by `winnow evaluate` with defaults; peers by
their Python packages where these are installed (implicit, irspack), fitted on the same train matrix. One
evaluator here measures the peers' lists: what the user has in train is left out, NDCG's ideal is
min(|test|, 20), means over users with a test item. irspack's EASE and Winnow's, one model in two programs,
show whether both evaluators agree.

Peers' hyper-parameters are their packages' defaults unless PEERS says otherwise; nothing is tuned on a test.
"""
import argparse
import contextlib
import importlib
import importlib.metadata
import io
import json
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import warnings

K = 20
SEED = 7


def adjacency(path, skip=0):
    rows = {}
    for number, line in enumerate(open(path)):
        parts = line.split()
        if skip:  # a line is `n item item …` of user `number`
            parts = [str(number)] + parts[1:]
        if len(parts) > 1:
            rows.setdefault(int(parts[0]), []).extend(int(x) for x in parts[1:])
    return rows


def two_files(folder, train, test):
    return adjacency(folder / train), adjacency(folder / test)


def at_random(rows, share=0.2):
    rng, train, test = random.Random(SEED), {}, {}
    for user, items in rows.items():
        items = list(dict.fromkeys(items))
        held = set(rng.sample(range(len(items)), int(len(items) * share))) if len(items) > 4 else set()
        train[user] = [x for i, x in enumerate(items) if i not in held]
        if held:
            test[user] = [x for i, x in enumerate(items) if i in held]
    return train, test


def last_item(rows):
    return ({u: items[:-1] for u, items in rows.items() if len(items) > 1},
            {u: items[-1:] for u, items in rows.items() if len(items) > 1})


def columns(path, separator, user, item, header=1):
    rows = {}
    for number, line in enumerate(open(path, errors="replace")):
        parts = line.rstrip("\n").split(separator)
        if number >= header:
            rows.setdefault(int(parts[user]), []).append(int(parts[item]))
    return rows


def by_time(path, share=0.1):
    """The log's last tenth is the test: what a user had before is train and is left out of it."""
    events, users, items = [], {}, {}
    for number, line in enumerate(open(path, errors="replace")):
        parts = line.split(",")
        if number > 0:
            events.append((int(parts[0]), parts[3], parts[2]))
    events.sort()
    train, test = {}, {}
    for n, (_, user, item) in enumerate(events):
        user, item = users.setdefault(user, len(users)), items.setdefault(item, len(items))
        rows = train if n < len(events) * (1 - share) else test
        if item not in train.get(user, ()) and item not in rows.setdefault(user, []):
            rows[user].append(item)
    return {u: x for u, x in train.items() if x}, {u: x for u, x in test.items() if x and u in train}


SETS = {
    "gowalla": lambda d: two_files(d, "gowalla-lightgcn-train.txt", "gowalla-lightgcn-test.txt"),
    "ml-1m-bars": lambda d: two_files(d, "ml-1m-bars-train.txt", "ml-1m-bars-test.txt"),
    "beauty": lambda d: last_item(adjacency(d / "s3rec-beauty-Beauty.txt")),
    "toys": lambda d: last_item(adjacency(d / "s3rec-toys-Toys_and_Games.txt")),
    "anime": lambda d: at_random(columns(d / "anime-caserec-anime_history.dat", "\t", 0, 1)),
    "citeulike-a": lambda d: at_random(adjacency(d / "citeulike-a-users.dat", skip=1)),
    "deskdrop": lambda d: by_time(d / "deskdrop-users_interactions.csv"),
}
ORDERED = {"beauty", "toys", "deskdrop"}  # rows are in order of time, which Winnow's models may use

PEERS = {
    "implicit ItemKNN cosine": ("implicit.nearest_neighbours", "CosineRecommender", {"K": 100}),
    "implicit ItemKNN BM25": ("implicit.nearest_neighbours", "BM25Recommender", {"K": 100}),
    "implicit iALS d 64": ("implicit.als", "AlternatingLeastSquares",
                           {"factors": 64, "regularization": 0.01, "iterations": 15, "random_state": SEED}),
    "irspack iALS d 64": ("irspack", "IALSRecommender", {"n_components": 64, "random_seed": SEED}),
    "irspack P3alpha": ("irspack", "P3alphaRecommender", {"top_k": 200}),
    "irspack RP3beta": ("irspack", "RP3betaRecommender", {"top_k": 200}),
    "irspack SLIM": ("irspack", "SLIMRecommender", {}),
    "irspack EASE": ("irspack", "DenseSLIMRecommender", {"reg": 300}),
}
DENSE_ITEMS_MAX = 20000  # a peer whose matrix is dense is left out beyond


def measure(lists, test):
    recall = ndcg = 0.0
    for user, relevant in test.items():
        wanted, hits, gain = set(relevant), 0, 0.0
        for rank, item in enumerate(lists.get(user, ())[:K]):
            if item in wanted:
                hits += 1
                gain += 1 / math.log2(rank + 2)
        recall += hits / len(wanted)
        ndcg += gain / sum(1 / math.log2(r + 2) for r in range(min(len(wanted), K)))
    return recall / len(test), ndcg / len(test)


def matrix(train, items):
    sparse = importlib.import_module("scipy.sparse")
    users = max(train) + 1
    rows = [u for u, x in train.items() for _ in x]
    columns_ = [i for x in train.values() for i in x]
    made = sparse.csr_matrix(([1.0] * len(rows), (rows, columns_)), shape=(users, items), dtype="float32")
    made.data[:] = 1
    return made


def implicit_lists(made, users, cls, options, threads):
    model = cls(num_threads=threads, **options)
    model.fit(made, show_progress=False)
    lists = {}
    for begin in range(0, len(users), 1000):
        part = users[begin:begin + 1000]
        ids, scores = model.recommend(part, made[part], N=K, filter_already_liked_items=True)
        for user, row, score in zip(part, ids, scores):
            lists[user] = [int(i) for i, s in zip(row, score) if i >= 0 and s > -1e30]
    return lists


def irspack_lists(made, users, cls, options, threads):
    numpy = importlib.import_module("numpy")
    if "n_threads" in cls.__init__.__code__.co_varnames:
        options = dict(options, n_threads=threads)
    model = cls(made, **options)
    model.learn()
    lists = {}
    for begin in range(0, len(users), 500):
        part = users[begin:begin + 500]
        scores = model.get_score_remove_seen(numpy.array(part))
        best = numpy.argpartition(-scores, K, axis=1)[:, :K]
        for n, user in enumerate(part):
            order = best[n][numpy.lexsort((best[n], -scores[n, best[n]]))]
            lists[user] = [int(i) for i in order if numpy.isfinite(scores[n, i])]
    return lists


def peer(name, train, test, items, threads):
    module, cls, options = PEERS[name]
    if cls in ("DenseSLIMRecommender",) and items > DENSE_ITEMS_MAX:
        return None
    run = implicit_lists if module.startswith("implicit") else irspack_lists
    users = [u for u in test if u in train]
    return measure(run(matrix(train, items), users, getattr(importlib.import_module(module), cls), options, threads),
                   {u: test[u] for u in users})


def winnow(binary, model, train, test, ordered, threads):
    lines = "sequence" if ordered else "adjacency"
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, rows in (("train", train), ("test", test)):
            paths.append(os.path.join(folder, name))
            with open(paths[-1], "w") as out:
                for user in sorted(rows):
                    out.writelines(f"{user} {item}\n" for item in rows[user] if ordered)
                    if not ordered:
                        out.write(" ".join(map(str, [user] + rows[user])) + "\n")
        said = subprocess.run([binary, "evaluate", "--train", paths[0], "--test", paths[1], "--format", lines,
                               "--model", model, "--metrics", f"recall@{K},ndcg@{K}", "--threads", str(threads),
                               "--json"], capture_output=True, text=True)
        if said.returncode != 0:
            return None
        row = json.loads(said.stdout)[model]
        return row[f"recall@{K}"], row[f"ndcg@{K}"]


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("winnow")
    options.add_argument("data", type=pathlib.Path)
    options.add_argument("--set", action="append", choices=list(SETS))
    options.add_argument("--model", action="append")
    options.add_argument("--peer", action="append", help="a part of a peer's name; `none`: no peers")
    options.add_argument("--threads", type=int, default=os.cpu_count())
    given = options.parse_args()
    warnings.simplefilter("ignore")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # implicit has threads of its own
    print(f"{os.uname().sysname} {os.uname().release} {os.uname().machine}, {given.threads} threads; "
          + subprocess.run([given.winnow, "--version"], capture_output=True, text=True).stdout.strip())
    for package in ("implicit", "irspack"):
        try:
            print(package, importlib.metadata.version(package))
        except (ImportError, AttributeError):
            print(package, "is not installed")
    for name in given.set or SETS:
        train, test = SETS[name](given.data)
        test = {u: x for u, x in test.items() if u in train}
        items = 1 + max(max(map(max, train.values())), max(map(max, test.values())))
        print(f"\n{name}: {len(train)} users, {items} items, {sum(map(len, train.values()))} + "
              f"{sum(map(len, test.values()))}", flush=True)
        runs = [(f"winnow {m}", lambda m=m: winnow(given.winnow, m, train, test, name in ORDERED, given.threads))
                for m in given.model or ["popular", "covisit", "als", "ease", "ridge", "ridge-seq", "blend"]]
        runs += [(p, lambda p=p: peer(p, train, test, items, given.threads)) for p in PEERS
                 if not given.peer or any(part in p for part in given.peer)]
        for label, run in runs:
            began = time.monotonic()
            try:
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    got = run()
            except (ImportError, MemoryError, TypeError, ValueError) as error:
                print(f"  {label:28} {type(error).__name__}: {error}", flush=True)
                continue
            if got is not None:
                print(f"  {label:28} {got[0]:.4f} / {got[1]:.4f}   {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
