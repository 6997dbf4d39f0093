#!/usr/bin/env python3
"""What diversity costs: NDCG against intra-list diversity and coverage, for MMR and DPP at many lambdas.

    diversity.py WINNOW DATA OUT.svg [OPTION of `winnow evaluate` …]     e.g. --split random --users 1500

DATA is an imported data directory; its own configuration's surface `home` is measured, as often as there are points, in
one evaluation: every point shows the same models to the same users. Numbers go to stdout as a Markdown table."""
import json
import os
import subprocess
import sys
import tempfile

K = 20
POINTS = [("none", 1.0)] + \
         [("mmr", x) for x in (0.97, 0.93, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)] + \
         [("dpp", x) for x in (0.995, 0.99, 0.98, 0.97, 0.95, 0.93, 0.9, 0.85)]
# Those of the built-in `home`; the blend's members weigh what it says.
GENERATORS = (("als", 200, 1), ("covisit", 200, 0.5), ("content", 200, 0.25), ("ridge", 200, 0.5), ("ridge-seq", 200, 0.5),
              ("ease", 200, 0.25), ("trending", 50, 0.05), ("popular", 200, 0.05))


def name(method, at):
    return method if method == "none" else "%s-%s" % (method, str(at).replace("0.", ""))


def config(path):
    own = open(path).read() if os.path.exists(path) else ""
    models = own[own.index("models:"):] if "models:" in own else "models:\n  ranker: {}\n"
    out = ["surfaces:"]
    for method, at in POINTS:
        out += ["  %s:" % name(method, at), "    flavour: personal", "    n: %d" % K, "    retrieve:"]
        out += ["      - {model: %s, quota: %d, weight: %s}" % g for g in GENERATORS]
        out += ["    score: {normalise: blend, heavy: 200}"]
        if method != "none":
            out += ["    order: {diversity: {method: %s, by: als, lambda: %s}}" % (method, at)]
    return "\n".join(out) + "\n" + models


def measure(winnow, data, options):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(config(data + "/winnow.yaml"))
        file.flush()
        command = [winnow, "evaluate", "--data", data, "--config", file.name, "--protocols", "1", "--k", str(K),
                   "--metrics", "ndcg@%d,ild@%d,coverage@%d" % (K, K, K)] + options
        for point in POINTS:
            command += ["--surface", name(*point)]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = json.loads(answer.strip().splitlines()[-1])
    return [(method, at, *(rows["funnel:" + name(method, at)]["%s@%d" % (m, K)] for m in ("ndcg", "ild", "coverage")))
            for method, at in POINTS]


def axis(values, low, high):
    least, most = min(values), max(values)
    span = (most - least) or 1
    return lambda v: low + (v - least) / span * (high - low)


def panel(points, column, title, left):
    ndcg = axis([p[2] for p in points], 250, 40)
    other = axis([p[column] for p in points], left + 50, left + 330)
    out = ['<text x="%d" y="24" font-weight="bold">%s</text>' % (left + 50, title),
           '<path d="M%d 40V262H%d" fill="none" stroke="#888"/>' % (left + 38, left + 340)]
    whole = points[0][2]
    out.append('<path d="M%d %.1fH%d" stroke="#bbb" stroke-dasharray="4 3"/><text x="%d" y="%.1f" fill="#888">−2%%</text>'
               % (left + 38, ndcg(0.98 * whole), left + 340, left + 342, ndcg(0.98 * whole) + 4)
               if 0.98 * whole > min(p[2] for p in points) else "")
    for method, colour in (("mmr", "#0b6e99"), ("dpp", "#c2571a")):
        own = [points[0]] + [p for p in points if p[0] == method]
        line = " ".join("%.1f,%.1f" % (other(p[column]), ndcg(p[2])) for p in own)
        out.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>' % (line, colour))
        for p in own:
            out.append('<circle cx="%.1f" cy="%.1f" r="3" fill="%s"><title>%s %s: %.4f, %.4f</title></circle>'
                       % (other(p[column]), ndcg(p[2]), colour, p[0], p[1], p[2], p[column]))
        out.append('<text x="%.1f" y="%.1f" fill="%s">%s %s</text>'
                   % (min(other(own[-1][column]) + 5, left + 300), ndcg(own[-1][2]) - 5, colour, method, own[-1][1]))
    for value in (min(p[column] for p in points), max(p[column] for p in points)):
        out.append('<text x="%.1f" y="278" text-anchor="middle">%.3f</text>' % (other(value), value))
    for value in (min(p[2] for p in points), max(p[2] for p in points)):
        out.append('<text x="%d" y="%.1f" text-anchor="end">%.3f</text>' % (left + 34, ndcg(value) + 4, value))
    return out


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    winnow, data, path = sys.argv[1:4]
    points = measure(winnow, data, sys.argv[4:])
    svg = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 290" font-family="sans-serif" font-size="11">',
           '<rect width="780" height="290" fill="#fff"/>']
    svg += panel(points, 3, "NDCG@20 by intra-list diversity", 10) + panel(points, 4, "NDCG@20 by coverage", 400)
    with open(path, "w") as out:
        out.write("\n".join(svg + ["</svg>", ""]))
    print("| method | lambda | NDCG@%d | of lambda 1 | ILD | coverage |\n| --- | --- | --- | --- | --- | --- |" % K)
    for method, at, ndcg, ild, coverage in points:
        print("| %s | %s | %.4f | %+.1f%% | %.4f | %.1f%% |"
              % (method, at, ndcg, 100 * (ndcg / points[0][2] - 1), ild, 100 * coverage))


if __name__ == "__main__":
    main()
