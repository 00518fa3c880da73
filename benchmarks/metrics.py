"""Seconds and memory of all numbers of ten million trials: ``python benchmarks/metrics.py [N_TRIALS]``."""

import resource
import sys
import time

import numpy as np

from speechgmm.evaluation.metrics import PRESETS, act_dcf, cllr, eer, min_cllr, min_dcf


def main() -> None:
    """Print the time of each number, and what all of them took."""
    n_trials = int(float(sys.argv[1])) if len(sys.argv) > 1 else 10**7
    rng = np.random.default_rng(0)
    sides = rng.normal(3.0, 2.0, n_trials // 20), rng.normal(-3.0, 2.0, n_trials - n_trials // 20)
    numbers = {"eer": eer, "cllr": cllr, "min_cllr": min_cllr}
    numbers |= {f"min_dcf {name}": lambda *sides, name=name: min_dcf(*sides, name) for name in PRESETS}
    numbers |= {f"act_dcf {name}": lambda *sides, name=name: act_dcf(*sides, name) for name in PRESETS}
    total = 0.0
    for name, number in numbers.items():
        start = time.perf_counter()
        value = number(*sides)
        seconds = time.perf_counter() - start
        total += seconds
        print(f"{name:<16} {value:8.4f} {seconds:7.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # of kilobytes, on Linux
    print(f"{n_trials:,} trials: {total:.1f} s, {peak:.2f} GiB at most")


if __name__ == "__main__":
    main()
