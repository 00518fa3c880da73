"""Seconds and memory of all numbers of ten million trials: ``python benchmarks/metrics.py [N_TRIALS]``."""

import resource
import sys
import time

import numpy as np

from speechgmm.evaluation.costs import PRESETS
from speechgmm.evaluation.summary import EvaluationConfig, summarise


def main() -> None:
    """Print the numbers, and their time and memory."""
    n_trials = int(float(sys.argv[1])) if len(sys.argv) > 1 else 10**7
    rng = np.random.default_rng(0)
    target = np.arange(n_trials) < n_trials // 20
    scores = rng.normal(-3.0, 2.0, n_trials) + 6.0 * target
    start, of_processor = time.perf_counter(), time.process_time()
    numbers = summarise(scores, target, EvaluationConfig(dcf=tuple(PRESETS)))
    seconds, of_processor = time.perf_counter() - start, time.process_time() - of_processor
    for name, value in numbers.items():
        print(f"{name:<16} {value}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # of kilobytes, on Linux
    print(f"{n_trials:,} trials: {seconds:.1f} s, {of_processor:.1f} s of the processor, {peak:.2f} GiB at most")


if __name__ == "__main__":
    main()
