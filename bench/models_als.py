#!/usr/bin/env python3
"""ALS beside implicit, irspack and cmfrec: same data, threads and hyper-parameters, one run.

  models_als.py --bench BUILD/bench/bench_als_fit [--python PYTHON] [--train F --test F]
                [--synthetic 19.9e6,...] [--factors 64,128,256] [--epochs 4] [--threads 2]
                [--peers irspack-cholesky,...|none]

Needs numpy and scipy; peers are imported by PYTHON (default: the one that runs this), and those it lacks
are skipped with a line that says so. --train, --test: adjacency lines (`user item item ...`), which give
NDCG@20 over time, too. Each solver runs in a process of its own, with OpenBLAS's kernel chosen by
measuring, not by its own detection. Peak memory is of the whole process; `above input` leaves out what
was there before the fit: the interpreter and the interactions by user. CPU seconds of an epoch are
what to compare on a machine that does other work, too. cmfrec has no callback: its epochs are the
difference of two fits. `loss` is Winnow's objective at the solver's factors, which implicit and cmfrec
pursue only up to the scale of targets (1 + alpha)/alpha, with one ridge for all rows."""
import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

from synthetic import generate, read_csr, write_csr

PEERS = ("irspack-cholesky", "irspack-ialspp", "irspack-cg", "implicit-cholesky", "implicit-cg",
         "cmfrec-cholesky", "cmfrec-cg")
EXACT = ("irspack-cholesky", "implicit-cholesky", "cmfrec-cholesky")
PARAMS = {"alpha0": .01, "lambda": .0012, "nu": 1.225}


def status_mb(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(name))


def cpu_seconds():
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def ridges(n, others):
    """Of rows with n interactions."""
    return np.where(n > 0, PARAMS["lambda"] * (n + PARAMS["alpha0"] * others) ** PARAMS["nu"], 0)


def loss(data, users, items):
    U, I, row_ptr, col = data
    n, m = np.diff(row_ptr.astype(np.int64)), np.bincount(col, minlength=I)
    users, items = users * (n > 0)[:, None], items * (m > 0)[:, None]
    total = PARAMS["alpha0"] * np.sum((users.T @ users) * (items.T @ items), dtype=np.float64)
    total += np.sum(ridges(n, np.sum(m > 0)) * np.sum(users.astype(np.float64) ** 2, 1))
    total += np.sum(ridges(m, np.sum(n > 0)) * np.sum(items.astype(np.float64) ** 2, 1))
    user = np.repeat(np.arange(U), n)
    for at in range(0, len(col), 1 << 18):
        part = slice(at, at + (1 << 18))
        total += np.sum((np.einsum("ij,ij->i", users[user[part]], items[col[part]]) - 1.) ** 2)
    return float(total)


def ndcg(data, test, users, items, k=20):
    """Over a quarter of the test users."""
    _, _, row_ptr, col = data
    _, _, test_ptr, test_col = test
    row_ptr, test_ptr = row_ptr.astype(np.int64), test_ptr.astype(np.int64)
    who = np.flatnonzero(np.diff(test_ptr))[::4]
    discount, sums = 1 / np.log2(np.arange(k) + 2), []
    for at in range(0, len(who), 512):
        block = who[at:at + 512]
        scores = users[block] @ items.T
        for r, u in enumerate(block):
            scores[r, col[row_ptr[u]:row_ptr[u + 1]]] = -np.inf
        top = np.argpartition(-scores, k, axis=1)[:, :k]
        for r, u in enumerate(block):
            order = top[r][np.argsort(-scores[r, top[r]], kind="stable")]
            want = test_col[test_ptr[u]:test_ptr[u + 1]]
            sums.append(discount[np.isin(order, want)].sum() / discount[:min(k, len(want))].sum())
    return float(np.mean(sums))


class Clock:
    """Time of epochs without what is measured between them."""

    def __init__(self):
        self.wall, self.cpu = [], []
        self.start()

    def start(self):
        self.at = time.perf_counter(), cpu_seconds()

    def stop(self):
        self.wall.append(time.perf_counter() - self.at[0])
        self.cpu.append(cpu_seconds() - self.at[1])


def run_irspack(X, d, args, kind, each):
    import inspect
    from irspack.recommenders.ials import IALSTrainer, str_to_loss_type, str_to_solver_type
    options = dict(n_components=d, alpha0=PARAMS["alpha0"], reg=PARAMS["lambda"], nu=PARAMS["nu"],
                   init_std=.1, solver_type=str_to_solver_type(kind.upper()), max_cg_steps=3,
                   ialspp_subspace_dimension=64, loss_type=str_to_loss_type("IALSPP"), random_seed=1,
                   n_threads=args.threads, prediction_time_max_cg_steps=5,
                   prediction_time_ialspp_iteration=7)
    known = inspect.signature(IALSTrainer.__init__).parameters
    trainer, clock = IALSTrainer(X, **{k: v for k, v in options.items() if k in known}), Clock()
    for _ in range(args.epochs):
        clock.start()
        trainer.run_epoch()
        clock.stop()
        each(clock, trainer.core_trainer.user, trainer.core_trainer.item)


def mean_ridge(X):
    n, m = np.diff(X.indptr), np.bincount(X.indices, minlength=X.shape[1])
    return float((ridges(n, X.shape[1]).mean() + ridges(m, X.shape[0]).mean()) / 2) / PARAMS["alpha0"]


def run_implicit(X, d, args, kind, each):
    from implicit.cpu.als import AlternatingLeastSquares
    model = AlternatingLeastSquares(
        factors=d, alpha=1 / PARAMS["alpha0"], regularization=mean_ridge(X), use_cg=kind == "cg",
        iterations=args.epochs, num_threads=args.threads, random_state=1)
    clock = Clock()

    def callback(*_):
        clock.stop()
        each(clock, model.user_factors, model.item_factors)
        clock.start()

    clock.start()
    model.fit(X, show_progress=False, callback=callback)


def run_cmfrec(X, d, args, kind, each):
    from cmfrec import CMF_implicit
    fits = []
    for epochs in (1, args.epochs):
        clock = Clock()
        model = CMF_implicit(k=d, alpha=1 / PARAMS["alpha0"], lambda_=mean_ridge(X), niter=epochs,
                             use_cg=kind == "cg", precompute_for_predictions=False,
                             nthreads=args.threads, random_state=1, verbose=False)
        model.fit(X.tocoo())
        clock.stop()
        fits.append(clock)
    clock = Clock()
    clock.wall = [fits[0].wall[0]] + [(fits[1].wall[0] - fits[0].wall[0]) / (args.epochs - 1)] * (
        args.epochs - 1)
    clock.cpu = [fits[0].cpu[0]] + [(fits[1].cpu[0] - fits[0].cpu[0]) / (args.epochs - 1)] * (
        args.epochs - 1)
    each(clock, model.A_, model.B_)


def worker(args):
    """One peer on one matrix; a line of JSON."""
    import scipy.sparse as sparse
    name, kind = args.worker.split("-")
    data, test = read_csr(args.csr), read_csr(args.test_csr) if args.test_csr else None
    X = sparse.csr_matrix((np.ones(len(data[3]), np.float32), data[3].astype(np.int32),
                           data[2].astype(np.int32)), data[:2])
    d, result = int(args.factors), {"ndcg": []}
    del data
    data = X.shape[0], X.shape[1], X.indptr, X.indices
    module = __import__(name)
    result["version"] = getattr(module, "__version__", "?")
    result["input_mb"] = status_mb("VmRSS:")

    def each(clock, users, items):
        result.update(wall_s=clock.wall, cpu_s=clock.cpu,
                      peak_mb=max(result.get("peak_mb", 0), status_mb("VmHWM:")))
        if test:
            result["ndcg"].append(ndcg(data, test, np.asarray(users), np.asarray(items)))
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        if len(clock.wall) >= args.epochs:
            result["loss"] = loss(data, np.asarray(users)[:, :d], np.asarray(items)[:, :d])

    {"irspack": run_irspack, "implicit": run_implicit, "cmfrec": run_cmfrec}[name](
        X, d, args, kind, each)
    print("RESULT " + json.dumps(result))


def run_peer(peer, csr, test_csr, d, args, environment):
    command = [args.python, __file__, "--worker", peer, "--csr", csr, "--factors", str(d), "--epochs",
               str(args.epochs), "--threads", str(args.threads)]
    if test_csr:
        command += ["--test-csr", test_csr]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line[7:])
    print(f"  {peer}: skipped: {(done.stderr.strip().splitlines() or ['no result'])[-1]}")
    return None


def run_winnow(csr, test, d, args, steps):
    """With a test part, a fit for each number of epochs: their whole times and NDCG@20."""
    settings = [f"{k}={v}" for k, v in PARAMS.items()] + [f"factors={d}", "tolerance=0",
                                                          f"cg_steps={steps}"]
    result, over_time = None, []
    for epochs in range(1, args.epochs + 1) if test else [args.epochs]:
        with tempfile.NamedTemporaryFile(dir=args.scratch) as out:
            done = subprocess.run([args.bench, csr, str(args.threads), out.name, *settings,
                                   f"epochs={epochs}"], check=True, capture_output=True, text=True)
            result, data = json.loads(done.stdout), read_csr(csr)
            factors = np.fromfile(out.name, np.float32).reshape(-1, d)
            users, items = factors[:data[0]], factors[data[0]:]
            if test:
                over_time.append((result["fit_cpu_s"], ndcg(data, test, users, items)))
            if epochs == args.epochs:
                result["loss"] = loss(data, users, items)
    result["over_time"] = over_time
    return result


def time_to_99(over_time):
    """CPU seconds until 99% of the last value."""
    return next((t for t, value in over_time if value >= .99 * over_time[-1][1]), None)


def report(name, r, extra=""):
    cpu, wall = float(np.median(r["cpu_s"])), float(np.median(r["wall_s"]))
    r["cpu"] = cpu
    line = (f"  {name:18} {cpu:8.3f} CPU-s/epoch {wall:8.3f} wall   loss {r.get('loss', 0):.7g}"
            f"   peak {r['peak_mb']:.0f} MB, above input {r['peak_mb'] - r['input_mb']:.0f}")
    if r.get("over_time"):
        r["to_99"] = time_to_99(r["over_time"])
        line += f"   NDCG@20 {r['over_time'][-1][1]:.4f}, 99% of it after {r['to_99']:.2f} CPU-s"
    print(line + extra, flush=True)


def compare(rows, fast):
    exact = [r for n, r in rows.items() if n in EXACT]
    if exact:
        best = min(r["cpu"] for r in exact)
        line = f"  exact: {best / rows['winnow']['cpu']:.1f} x as fast as the best exact peer"
        if "to_99" in rows["winnow"]:
            line += f"; to 99% of NDCG@20 {min(r['to_99'] for r in exact if 'to_99' in r) / rows['winnow']['to_99']:.1f} x"
        print(line)
    if "irspack-cg" in rows:
        print(f"  fast: {rows['irspack-cg']['cpu'] / rows[fast]['cpu']:.1f} x as fast as irspack CG")
    peers = [r for n, r in rows.items() if not n.startswith("winnow")]
    if peers:
        share = rows["winnow"]["peak_mb"] / min(r["peak_mb"] for r in peers)
        above = (rows["winnow"]["peak_mb"] - rows["winnow"]["input_mb"]) / min(
            r["peak_mb"] - r["input_mb"] for r in peers)
        print(f"  memory: {share:.2f} of the best peer's peak, {above:.2f} of it above the input")


def measure(csr, test_csr, label, args, environment, sgemm):
    U, I, row_ptr, col = read_csr(csr)
    test = read_csr(test_csr) if test_csr else None
    for d in (int(x) for x in args.factors.split(",")):
        print(f"{label}: {U} x {I}, {len(col)} interactions, d {d}", flush=True)
        rows = {}
        for name, steps in (("winnow", 0), ("winnow-pcg", 2)):
            rows[name] = run_winnow(csr, test, d, args, steps)
            flops = 2. * len(col) * d * d + (U + I) * d ** 3 / 3
            rate = flops / 1e9 / np.median(rows[name]["cpu_s"])
            report(name, rows[name], "" if steps else
                   f"   {rate:.0f} GFLOP/s of the plain method, {rate / sgemm:.0%} of sgemm")
        for peer in args.peers:
            result = run_peer(peer, csr, test_csr, d, args, environment)
            if result:
                if result["ndcg"]:
                    sums = np.cumsum(result["cpu_s"])[-len(result["ndcg"]):]
                    result["over_time"] = list(zip(sums, result["ndcg"]))
                report(f"{peer} {result['version']}"[:24], result)
                rows[peer] = result
        compare(rows, "winnow-pcg")


SGEMM = """
import numpy as np, time
a = np.random.rand(1536, 1536).astype('f')
a @ a
best = 1e9
for _ in range(4):
    t = time.process_time()
    a @ a
    best = min(best, time.process_time() - t)
print(2 * 1536 ** 3 / best / 1e9)
"""


def best_openblas(args):
    """(environment, GFLOP/s a CPU second) of the fastest kernel."""
    found = []
    for core in ("", "HASWELL", "ZEN", "SKYLAKEX", "SAPPHIRERAPIDS"):
        environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS=str(args.threads))
        if core:
            environment["OPENBLAS_CORETYPE"] = core
        done = subprocess.run([args.python, "-c", SGEMM], env=environment, capture_output=True, text=True)
        if done.returncode == 0:
            found.append((float(done.stdout), core, environment))
    rate, core, environment = max(found, key=lambda f: f[0])
    print(f"sgemm, one thread: {rate:.0f} GFLOP/s with OPENBLAS_CORETYPE={core or '(its own choice)'}"
          f" ({', '.join(f'{c or chr(34) * 2} {r:.0f}' for r, c, _ in found)})")
    return environment, rate


def adjacency(path):
    pairs = [[int(x) for x in line.split()] for line in open(path)]
    user = np.repeat([p[0] for p in pairs], [len(p) - 1 for p in pairs])
    return user, np.concatenate([np.array(p[1:], np.int64) for p in pairs])


def write_adjacency(args):
    train, test = adjacency(args.train), adjacency(args.test)
    users, items = (int(max(train[i].max(), test[i].max())) + 1 for i in (0, 1))
    paths = [os.path.join(args.scratch, n) for n in ("train.csr", "test.csr")]
    for path, (user, item) in zip(paths, (train, test)):
        pairs = np.unique(user * items + item)
        write_csr(path, users, items, pairs // items, pairs % items)
    return paths


def cpu_name():
    with open("/proc/cpuinfo") as file:
        return next((l.split(":")[1].strip() for l in file if l.startswith("model name")), "?")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--bench")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--train")
    parser.add_argument("--test")
    parser.add_argument("--synthetic", default="")
    parser.add_argument("--factors", default="64,128,256")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--scratch", help="where generated data goes; default: a temporary folder")
    for hidden in ("--worker", "--csr", "--test-csr"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(args)
    if not args.bench:
        parser.error("--bench is missing")
    args.peers = [] if args.peers == "none" else args.peers.split(",")
    with tempfile.TemporaryDirectory() as folder:
        args.scratch = args.scratch or folder
        print(f"{platform.system()} {platform.release()}, {cpu_name()}, {os.cpu_count()} CPUs, load "
              f"{os.getloadavg()[0]:.1f}; {args.threads} threads; {args.epochs} epochs, the median; {PARAMS}")
        environment, sgemm = best_openblas(args)
        if args.train:
            train, test = write_adjacency(args)
            measure(train, test, os.path.basename(args.train), args, environment, sgemm)
        for events in (int(float(n)) for n in args.synthetic.split(",") if n):
            path = os.path.join(args.scratch, f"synthetic-{events}.csr")
            if not os.path.exists(path):
                generate(path, events)
            measure(path, None, "synthetic", args, environment, sgemm)


if __name__ == "__main__":
    main()
