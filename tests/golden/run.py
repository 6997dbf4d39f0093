#!/usr/bin/env python3
"""Quality that changes only through a reviewed diff: quality.json pins what every model measures on public data, to six
digits. A digit that is another one fails, with both values and the command that takes the new one over.

usage: run.py [--full] [--update] [NAME …]        environment: WINNOW (the binary), WINNOW_TEST_DATA (the data)

Without --full the runs that take seconds; NAME: these runs alone. Where the data are not there, nothing is run, and that
is said. Each run names the instruction set that it is pinned for, because sums in another order end in other digits and,
where two items nearly tie, in other lists: `scalar` for the fast ones, so that every machine can check them, `avx2` for
the long ones (left out, and said so, on a machine without it). `except`: rows that are not pinned, because they depend on
more than the data (`newest` on when items without a date were imported)."""
import argparse
import json
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "bench"))
import models_quality  # noqa: E402: the splits of data that come without one

PINNED = HERE / "quality.json"
DATA = pathlib.Path(os.environ.get("WINNOW_TEST_DATA") or HERE.parents[2] / "shared" / "data")
WINNOW = os.environ.get("WINNOW") or str(HERE.parents[1] / "build" / "release" / "winnow")

SPLITS = {  # file of a folder, how it is split
    "deskdrop": ("users_interactions.csv.xz", models_quality.by_time),
    "anime-caserec": ("anime_history.dat.xz",
                      lambda path: models_quality.at_random(models_quality.columns(path, "\t", 0, 1))),
    "citeulike-a": ("users.dat.xz", lambda path: models_quality.at_random(models_quality.adjacency(path, skip=1))),
}


class Inputs:
    """What the placeholders of a run's arguments stand for; made when first asked for."""

    def __init__(self, folder):
        self.folder, self.made = pathlib.Path(folder), {}

    def path(self, kind, name):
        if kind == "data":
            return str(DATA / name)
        if (kind, name) not in self.made:
            self.made[kind, name] = getattr(self, kind)(DATA / name, self.folder / re.sub(r"\W", "-", f"{kind}-{name}"))
        return str(self.made[kind, name])

    def sequences(self, source, target):
        """`user item item …` in order of time as lines of `user item`."""
        with lzma.open(source, "rt") as lines, open(target, "w") as out:
            for line in lines:
                user, *items = line.split()
                out.writelines(f"{user} {item}\n" for item in items)
        return target

    def attributes(self, source, target):
        """{item: [attribute …]} as items."""
        with lzma.open(source, "rt") as text, open(target, "w") as out:
            for item, values in json.load(text).items():
                out.write(json.dumps({"id": item, "attributes": {"is": [str(value) for value in values]}}) + "\n")
        return target

    def halves(self, source):
        file, split = SPLITS[source.name]
        plain = self.folder / f"{source.name}.in"
        with lzma.open(source / file) as packed, open(plain, "wb") as out:
            shutil.copyfileobj(packed, out)
        train, test = split(plain)
        return train, {user: items for user, items in test.items() if user in train}

    def part(self, rows, target):
        with open(target, "w") as out:
            for user in sorted(rows):
                out.writelines(f"{user} {item}\n" for item in rows[user])
        return target

    def train(self, source, target):
        """The train part of one of SPLITS, as lines of `user item`."""
        return self.part(self.halves(source)[0], target)

    def test(self, source, target):
        return self.part(self.halves(source)[1], target)

    def movielens(self, source, target):
        """A MovieLens folder, imported; its files may lie there packed."""
        plain = target.with_suffix(".in")
        plain.mkdir()
        for file in source.glob("*.csv.xz"):
            (plain / file.name[:-3]).write_bytes(lzma.decompress(file.read_bytes()))
        subprocess.run([WINNOW, "import", "--data", target, "--format", "movielens", plain], check=True, capture_output=True)
        return target


def measure(run, inputs):
    arguments = [re.sub(r"\{(\w+):([^}]+)\}", lambda m: inputs.path(*m.groups()), word) for word in run["run"].split()]
    done = subprocess.run([WINNOW, "evaluate", *arguments, "--metrics", run["metrics"], "--json", "--bootstrap", "1"],
                          env={**os.environ, "WINNOW_SIMD": run["simd"]}, capture_output=True, text=True)
    if done.returncode != 0:
        return None, done.stderr.strip().splitlines()[-1]
    return {model: {metric: round(value, 6) for metric, value in values.items()}
            for model, values in json.loads(done.stdout).items()
            if isinstance(values, dict) and model not in run.get("except", [])}, ""


def differences(pinned, now):
    for model in sorted({*pinned, *now}):
        old, new = pinned.get(model, {}), now.get(model, {})
        for metric in sorted({*old, *new}):
            if old.get(metric) != new.get(metric):
                yield f"{model} {metric}: pinned {old.get(metric, 'nothing')}, now {new.get(metric, 'nothing')}"


def offered(simd):
    try:
        return simd == "scalar" or re.search(rf"\b{simd}", pathlib.Path("/proc/cpuinfo").read_text()) is not None
    except OSError:
        return False


def write(runs):
    """One line a run's arguments and one a model, so that a diff shows what changed."""
    blocks = []
    for run in runs:
        values = ",\n".join(f"    {json.dumps(model)}: {json.dumps(metrics)}" for model, metrics in run["values"].items())
        head = "".join(f"   {json.dumps(key)}: {json.dumps(run[key])},\n" 
                       for key in ("name", "full", "simd", "run", "metrics", "except") if key in run)
        blocks.append("  {\n" + head + '   "values": {\n' + values + "\n   }\n  }")
    PINNED.write_text("[\n" + ",\n".join(blocks) + "\n]\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the long runs, too")
    parser.add_argument("--update", action="store_true", help="take the new values over")
    parser.add_argument("names", nargs="*", metavar="NAME")
    asked = parser.parse_args()
    runs = json.loads(PINNED.read_text())
    unknown = set(asked.names) - {run["name"] for run in runs}
    if unknown:
        sys.exit(f"no run is called {', '.join(sorted(unknown))}; there are: {', '.join(run['name'] for run in runs)}")
    if not DATA.is_dir():
        print(f"golden: nothing is checked: there are no data in {DATA} (set WINNOW_TEST_DATA)")
        return 0
    changed, checked = [], 0
    with tempfile.TemporaryDirectory() as folder:
        inputs = Inputs(folder)
        for run in runs:
            if (run["name"] not in asked.names) if asked.names else (run["full"] and not asked.full):
                continue
            if not offered(run["simd"]):
                print(f"  left out  {run['name']}: pinned for {run['simd']}, which this CPU lacks")
                continue
            start = time.monotonic()
            now, why = measure(run, inputs)
            lines = [why] if now is None else list(differences(run["values"], now))
            checked += 1
            print(f"  {'DIFFERS' if lines else 'ok':9} {run['name']} ({time.monotonic() - start:.1f} s)", flush=True)
            for line in lines:
                print(f"            {line}")
            if lines:
                changed.append(run["name"])
            if asked.update and now is not None:
                run["values"] = now
    if asked.update:
        write(runs)
        print(f"golden: {checked} runs, {len(changed)} changed; {PINNED} is up to date")
        return 0
    print(f"golden: {checked} runs, {len(changed)} differ")
    if changed:
        print(f"if that is what you want: WINNOW={WINNOW} {pathlib.Path(__file__).relative_to(HERE.parents[1])} --update {' '.join(changed)}")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
