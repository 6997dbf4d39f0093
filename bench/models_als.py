#!/usr/bin/env python3
"""ALS beside implicit, irspack, cmfrec and Google's reference: same data, threads and hyper-parameters, one run.
bench/models calls it.

Each solver runs in a process of its own, with OpenBLAS's kernel chosen by measuring, not by its own detection
(implicit and irspack call BLAS in their own threads: OPENBLAS_NUM_THREADS is 1). CPU seconds of an epoch, the median,
are what is compared: other work on the machine distorts them least. Peak memory is of the whole process, interpreter
and interactions included; `above input` leaves out what was there before the fit, of Winnow the interactions by user.
cmfrec has no callback: its epochs are the difference of two fits, and its time to quality is the whole fit's. `loss` is
Winnow's objective at the solver's factors, which implicit and cmfrec pursue only up to the scale of targets
(1 + alpha)/alpha, with one ridge for all rows. Google's programs (README.md says how to build them) keep their factors to
themselves: their CPU time is read when they say that an epoch has ended, its first one with the initial draws left
out, and the loss is what they print, in a run of its own because it costs time."""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time

try:
    import numpy as np
except ModuleNotFoundError:
    np = None  # what bench/models does without peers

from synthetic import read_csr, write_csr

PEERS = ("irspack-cholesky", "irspack-ialspp", "irspack-cg", "implicit-cholesky", "implicit-cg",
         "cmfrec-cholesky", "cmfrec-cg", "google-ials", "google-ialspp")
EXACT = ("irspack-cholesky", "implicit-cholesky", "cmfrec-cholesky", "google-ials")
BLOCK = 64  # of iALS++
PARAMS = {"alpha0": .01, "lambda": .0012, "nu": 1.225}


def status_mb(name, process="self"):
    with open(f"/proc/{process}/status") as file:
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
    """Over an eighth of the test users."""
    _, _, row_ptr, col = data
    _, _, test_ptr, test_col = test
    row_ptr, test_ptr = row_ptr.astype(np.int64), test_ptr.astype(np.int64)
    who = np.flatnonzero(np.diff(test_ptr))[::8]
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
                   ialspp_subspace_dimension=BLOCK, loss_type=str_to_loss_type("IALSPP"), random_seed=1,
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
    from importlib.metadata import version
    __import__(name)
    result["version"] = version(name)
    result["input_mb"] = status_mb("VmRSS:")

    def each(clock, users, items):
        if args.losses:
            result.setdefault("losses", []).append(loss(data, np.asarray(users)[:, :d], np.asarray(items)[:, :d]))
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


def write_csv(csr, path):
    """What Google's programs read; PATH.one: instead of the test parts that they ask for."""
    _, _, row_ptr, col = read_csr(csr)
    user = np.repeat(np.arange(len(row_ptr) - 1), np.diff(row_ptr.astype(np.int64)))
    with open(path, "w") as out:
        out.write("user,item\n")
        for at in range(0, len(col), 1 << 20):
            part = slice(at, at + (1 << 20))
            out.write("".join(f"{u},{i}\n" for u, i in zip(user[part].tolist(), col[part].tolist())))
    with open(path + ".one", "w") as out:
        out.write(f"user,item\n{user[0]},{col[0]}\n")


def google_epochs(command, stats):
    """CPU and wall seconds of epochs, the last loss, megabytes before and at most."""
    result, before = {"cpu_s": [], "wall_s": [], "ndcg": [], "version": ""}, None
    program = subprocess.Popen(command + ["--print_train_stats", str(int(stats))], stdout=subprocess.PIPE, text=True)
    for line in program.stdout:
        if line.startswith("Loss="):
            result["loss"] = float(line[5:line.index(",")])
        elif line.startswith("max_user="):
            result["input_mb"] = status_mb("VmRSS:", program.pid)
        elif line.startswith("Timer:"):
            result.setdefault("losses", []).append(result.get("loss"))
            result["peak_mb"] = status_mb("VmHWM:", program.pid)
            with open(f"/proc/{program.pid}/stat") as file:
                now = sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")
            if before is not None:
                result["cpu_s"].append(now - before)
                result["wall_s"].append(int(line.split("Train=")[1].split()[0]) / 1000)
            before = now
    return result if program.wait() == 0 and result["cpu_s"] else None


def run_google(peer, csr, d, args):
    program = os.path.join(args.google or "", {"google-ials": "ials_main", "google-ialspp": "ialspp_main"}[peer])
    if not args.google or not os.access(program, os.X_OK) or args.epochs < 2:
        print(f"  {peer}: skipped: --google names no folder with {os.path.basename(program)}, or --epochs is 1")
        return None
    csv = csr + ".csv"
    if not os.path.exists(csv):
        write_csv(csr, csv)
    command = ["taskset", "-c", f"0-{args.threads - 1}", program, "--train_data", csv, "--test_train_data", csv + ".one",
               "--test_test_data", csv + ".one", "--embedding_dim", str(d), "--epochs", str(args.epochs),
               "--unobserved_weight", str(PARAMS["alpha0"]), "--regularization", str(PARAMS["lambda"]),
               "--regularization_exp", str(PARAMS["nu"]), "--eval_during_training", "0"]
    if peer == "google-ialspp":
        command += ["--block_size", str(BLOCK)]
    result, stats = google_epochs(command, False), google_epochs(command, True)
    if result and stats:
        result["loss"], result["losses"] = stats["loss"], stats["losses"]
    return result


def run_peer(peer, csr, test_csr, d, args):
    if peer.startswith("google"):
        return run_google(peer, csr, d, args)
    command = [args.python, __file__, "--worker", peer, "--csr", csr, "--factors", str(d), "--epochs",
               str(args.epochs), "--threads", str(args.threads)]
    if test_csr:
        command += ["--test-csr", test_csr]
    if getattr(args, "losses", False):
        command += ["--losses"]
    done = subprocess.run(command, env=args.environment, capture_output=True, text=True)
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
            done = subprocess.run([args.fit, "als", csr, str(args.threads), out.name, *settings,
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


def predicted_mb(U, I, nnz, d, threads, base=8.0):
    """Peak of bench_fit: 8 MB of program, interactions by user and by item, and what als_fit.c says."""
    width, lines = -(-d // 16) * 16, -(-d // 16) | 1
    short = 16 * (width + 2 * 210 * 16 + 80) + 80 * (lines * 16 + 1) + width
    matrices = 3 * 8 * d * d + 4 * d * (width + 16) + 8 * 4 * width * lines * 16
    scratch = 4 * (short + 64 * lines * 16 + 2 * width * lines * 16) + 24 * (U + I) // threads
    return base + (8 * nnz + (16 + 4 * d) * (U + I) + 20 * (U + I) + matrices + threads * scratch) / 2**20


def compare(rows, label, d, sizes, args, bar):
    exact, mine = [r for n, r in rows.items() if n in EXACT], rows["winnow"]
    need = {"gowalla": 10, "synthetic": 2.5}[label] if d >= 128 or label == "synthetic" else None
    if exact:
        bar(f"{label} d {d}: exact, CPU against the best exact peer", min(r["cpu"] for r in exact) / mine["cpu"], need)
    over_time = [r["to_99"] for r in exact if "to_99" in r]
    if over_time and "to_99" in mine:
        bar(f"{label} d {d}: CPU to 99% of the final NDCG@20 against the best exact peer", min(over_time) / mine["to_99"], 5)
    if label == "synthetic" and d >= 128:
        bar(f"{label} d {d}: rate of the plain method's flops as a share of sgemm", mine["share"], .5)
    if "irspack-cg" in rows:
        cg, fast = rows["irspack-cg"], rows["winnow-pcg"]
        bar(f"{label} d {d}: cg_steps=2 against irspack CG, loss {fast['loss'] / cg['loss']:.3f} of its", cg["cpu"] / fast["cpu"],
            2 if fast["loss"] <= cg["loss"] * 1.001 else None)
    peers = {n: r for n, r in rows.items() if not n.startswith("winnow")}
    if peers:
        best = min(peers, key=lambda n: peers[n]["peak_mb"])
        bar(f"{label} d {d}: peak memory as a share of the best peer's ({best})", mine["peak_mb"] / peers[best]["peak_mb"],
            .5, False)
        bar(f"{label} d {d}: the same above the input", (mine["peak_mb"] - mine["input_mb"]) / min(
            r["peak_mb"] - r["input_mb"] for r in peers.values()), None, False)
    bar(f"{label} d {d}: peak memory against the formula", mine["peak_mb"] / predicted_mb(*sizes, d, args.threads), 1.1, False)


def measure(csr, test_csr, label, d, args, bar):
    """One data set at one d: Winnow, then the peers that args.peers names."""
    U, I, row_ptr, col = read_csr(csr)
    test = read_csr(test_csr) if test_csr else None
    print(f"{label}: {U} x {I}, {len(col)} interactions, d {d}", flush=True)
    rows = {}
    for name, steps in (("winnow", 0), ("winnow-pcg", 2)):
        rows[name] = row = run_winnow(csr, test, d, args, steps)
        rate = (2. * len(col) * d * d + (U + I) * d ** 3 / 3) / 1e9 / np.median(row["cpu_s"])
        row["share"] = rate / args.sgemm
        report(name, row, "" if steps else f"   {rate:.0f} GFLOP/s of the plain method, {row['share']:.0%} of sgemm")
    for peer in args.peers:
        result = run_peer(peer, csr, test_csr, d, args)
        if result:
            if result["ndcg"]:
                result["over_time"] = list(zip(np.cumsum(result["cpu_s"])[-len(result["ndcg"]):], result["ndcg"]))
            report(f"{peer} {result['version']}".strip()[:24], result)
            rows[peer] = result
    compare(rows, label, d, (U, I, len(col)), args, bar)


def winnow_descent(csr, d, args, steps, budget):
    """[(CPU seconds, objective)] after 1, 2, 3, 4, 6, 8, 12 … epochs, which is before the users are solved once more."""
    settings = [f"{k}={v}" for k, v in PARAMS.items()] + [f"factors={d}", "tolerance=0", f"cg_steps={steps}"]
    at, epochs = [], 1
    while not at or at[-1][0] < budget:
        done = subprocess.run([args.fit, "als", csr, str(args.threads), "-", *settings, f"epochs={epochs}"], check=True,
                              capture_output=True, text=True)
        result = json.loads(done.stdout)
        at.append((sum(result["cpu_s"]), result["objective"]))
        epochs += max(1, 1 << (epochs.bit_length() - 2)) if epochs > 1 else 1
    return at


def peer_descent(peer, csr, d, args, budget):
    args.epochs, args.losses, at = 2, True, []
    while not at or at[-1][0] < budget:
        result = run_peer(peer, csr, None, d, args)
        if not result:
            break
        seconds = list(result["cpu_s"])
        if len(seconds) < args.epochs:  # Google's first
            seconds.insert(0, float(np.median(seconds)))
        at = list(zip(np.cumsum(seconds).tolist(), result["losses"]))
        if args.epochs > 2:
            break
        args.epochs = max(3, int(budget / at[-1][0] * 2) + 1)
    return at


def descent(csr, label, d, args):
    """The loss that each solver has reached after equal CPU time."""
    budgets = [float(b) for b in args.seconds.split(",")]
    print(f"{label}, d {d}: loss after the last epoch that ends within CPU seconds of\n  {'':20}"
          + "".join(f"{b:>12g}" for b in budgets), flush=True)
    runs = [("winnow exact", lambda: winnow_descent(csr, d, args, 0, budgets[-1])),
            ("winnow cg_steps=2", lambda: winnow_descent(csr, d, args, 2, budgets[-1]))]
    runs += [(peer, lambda peer=peer: peer_descent(peer, csr, d, args, budgets[-1])) for peer in args.peers]
    for name, run in runs:
        at = run()
        reached = [[value for t, value in at if t <= b] for b in budgets]
        print(f"  {name:20}" + "".join(f"{r[-1]:12.0f}" if r else f"{'-':>12}" for r in reached), flush=True)


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


if __name__ == "__main__":  # one peer: bench/models starts these
    parser = argparse.ArgumentParser()
    for name in ("--worker", "--csr", "--test-csr"):
        parser.add_argument(name)
    parser.add_argument("--losses", action="store_true", help="after each epoch")
    for name in ("--factors", "--epochs", "--threads"):
        parser.add_argument(name, type=int)
    worker(parser.parse_args())
