"""Metrics of the parts of a trial list: the trials of each value of a column."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from speechgmm.arrays import BoolArray, Float64Array, IntArray
from speechgmm.evaluation.summary import EvaluationConfig, ListMetrics, summarise, uncertainty
from speechgmm.files import read_number

FEWEST = 30
"""Fewest target, and nontarget, trials for reliable metrics."""

MOST_VALUES = 8
"""Most distinct numbers in a column that are parts of their own; more are put into four bins."""


def breakdown(
    llrs: Float64Array,
    target: BoolArray,
    speakers: tuple[IntArray, IntArray],
    values: Sequence[str],
    config: EvaluationConfig,
    seed: int,
    *,
    ranks: Float64Array | None = None,
) -> dict[str, ListMetrics]:
    """Compute the metrics of each part of a trial list, with their intervals, sorted by part.

    `values` has the part of each trial; the other arguments are those of `speechgmm.evaluation.summary.uncertainty`, of
    all trials. The resamples of every part start from the same `seed`.
    """
    names, part = np.unique(np.asarray(values, dtype=object).astype(str), return_inverse=True)
    order = llrs if ranks is None else ranks
    parts = {}
    for number, name in enumerate(names.tolist()):
        trials = part == number
        part_speakers = speakers[0][trials], speakers[1][trials]
        rng = np.random.default_rng(seed)
        metrics = summarise(llrs[trials], target[trials], config, ranks=order[trials])
        metrics["intervals"] = uncertainty(
            llrs[trials], target[trials], part_speakers, config, rng, ranks=order[trials]
        )
        parts[name] = metrics
    return parts


def binned(values: Sequence[str]) -> list[str]:
    """Group the numbers of a column, such as durations, into four bins of about equally many trials.

    Returns the bin of each trial, ``low to high``, both included; the values themselves where one of them is not a
    finite number, or no more than `MOST_VALUES` differ.
    """
    numbers = {value: read_number(value.strip()) for value in set(values)}
    if len(numbers) <= MOST_VALUES or not all(map(math.isfinite, numbers.values())):
        return list(values)
    column = np.array([numbers[value] for value in values])
    cuts = np.unique(np.quantile(column, (0.25, 0.5, 0.75), method="inverted_cdf"))  # values of the column
    bins = np.searchsorted(cuts, column)
    width = len(str(len(cuts) + 1))
    names = {
        number: f"{number + 1:0{width}}: {column[bins == number].min():g} to {column[bins == number].max():g}"
        for number in np.unique(bins).tolist()
    }
    return [names[number] for number in bins.tolist()]


def too_few(parts: Mapping[str, ListMetrics]) -> list[str]:
    """List the parts with fewer than `FEWEST` scored trials of a kind, whose metrics are unreliable."""
    return [name for name, metrics in parts.items() if min(metrics["n_target"], metrics["n_nontarget"]) < FEWEST]
