#!/usr/bin/env python3
"""What an experiment's answer is worth when its shares follow what was seen: two arms, 4,000 units, shares set anew every 50 by the
probability of being the better arm (normal approximation of two Beta(1 + y, 1 + n - y)), no share under FLOOR. Prints, over 400 runs: how
often a fixed 95% interval of the difference covers it, how often that leaves 0, the error of the estimate that weighs by the logged shares,
and the conversions that were lost against the better arm. Half a minute.
"""
import math
import random

UNITS, BATCH, RUNS = 4000, 50, 400


def better(y, n):
    mean = [(1 + y[k]) / (2 + n[k]) for k in (0, 1)]
    variance = sum(mean[k] * (1 - mean[k]) / (3 + n[k]) for k in (0, 1))
    return (1 + math.erf((mean[1] - mean[0]) / math.sqrt(2 * variance))) / 2


def run(rates, floor):
    """floor .5: equal shares"""
    y, n, weighed, share = [0, 0], [0, 0], 0.0, 0.5
    for unit in range(UNITS):
        if unit % BATCH == 0 and unit > 0:
            share = min(max(better(y, n), floor), 1 - floor)
        arm = int(random.random() < share)
        reward = int(random.random() < rates[arm])
        y[arm] += reward
        n[arm] += 1
        weighed += reward / share if arm else -reward / (1 - share)
    mean = [y[k] / max(1, n[k]) for k in (0, 1)]
    deviation = math.sqrt(sum(mean[k] * (1 - mean[k]) / max(1, n[k]) for k in (0, 1)))
    lost = sum(n[k] * (max(rates) - rates[k]) for k in (0, 1))
    return mean[1] - mean[0], deviation, weighed / UNITS, lost


def main():
    random.seed(1)
    for rates in (0.10, 0.10), (0.10, 0.12):
        truth = rates[1] - rates[0]
        for floor in 0.5, 0.05, 0.0:
            runs = [run(rates, floor) for _ in range(RUNS)]
            covers = sum(abs(d - truth) <= 1.96 * s for d, s, _, _ in runs) / RUNS
            speaks = sum(abs(d) > 1.96 * s for d, s, _, _ in runs) / RUNS
            error = math.sqrt(sum((w - truth) ** 2 for _, _, w, _ in runs) / RUNS)
            lost = sum(r[3] for r in runs) / RUNS
            shares = "equal" if floor == 0.5 else "bandit, floor %g" % floor
            print("%g and %g, %-17s covers %.3f  leaves 0 %.3f  error of the weighed %.4f  lost %.1f" %
                  (*rates, shares, covers, speaks, error, lost))


main()
