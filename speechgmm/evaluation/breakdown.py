"""The numbers of parts of a trial list: the trials of each value of a column."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from speechgmm.arrays import BoolArray, Float64Array, IntArray
from speechgmm.evaluation.summary import EvaluationConfig, summarise, uncertainty

FEWEST = 30
"""Trials of a kind that a part needs for numbers that say something."""

MOST_VALUES = 8
"""Different numbers in a column that are parts of their own; of more, quarters of the trials are."""


def breakdown(
    llrs: Float64Array,
    target: BoolArray,
    speakers: tuple[IntArray, IntArray],
    values: Sequence[str],
    config: EvaluationConfig,
    seed: int,
    *,
    ranks: Float64Array | None = None,
) -> dict[str, dict[str, Any]]:
    """Compute the numbers of each part of a trial list.

    Parameters
    ----------
    llrs, target, speakers, config
        As for `speechgmm.evaluation.summary.uncertainty`, of all trials.
    values : sequence of str, length n
        To which part each trial belongs.
    seed : int >= 0
        Of the intervals, the same in each part.
    ranks : np.ndarray, shape (n,), optional
        As for `speechgmm.evaluation.summary.summarise`.

    Returns
    -------
    dict of str to dict
        By part, sorted: what `summarise` gives, and ``intervals``.
    """
    names, part = np.unique(np.asarray(values, dtype=object).astype(str), return_inverse=True)
    order = llrs if ranks is None else ranks
    parts = {}
    for number, name in enumerate(names.tolist()):
        here = part == number
        of_side = speakers[0][here], speakers[1][here]
        rng = np.random.default_rng(seed)
        parts[name] = summarise(llrs[here], target[here], config, ranks=order[here]) | {
            "intervals": uncertainty(llrs[here], target[here], of_side, config, rng, ranks=order[here])
        }
    return parts


def binned(values: Sequence[str]) -> list[str]:
    """Put the numbers of a column, such as durations, into four bins of about as many trials each.

    Parameters
    ----------
    values : sequence of str
        What the column says of each trial.

    Returns
    -------
    list of str
        The bin of each, ``low to high``, both within; the values themselves where one of them is no finite number,
        or no more than `MOST_VALUES` differ.
    """
    numbers = {value: _number(value) for value in set(values)}
    if len(numbers) <= MOST_VALUES or not all(map(math.isfinite, numbers.values())):
        return list(values)
    column = np.array([numbers[value] for value in values])
    cuts = np.unique(np.quantile(column, (0.25, 0.5, 0.75), method="inverted_cdf"))  # values that are there
    bins = np.searchsorted(cuts, column)
    width = len(str(len(cuts) + 1))
    names = {
        number: f"{number + 1:0{width}}: {column[bins == number].min():g} to {column[bins == number].max():g}"
        for number in np.unique(bins).tolist()
    }
    return [names[number] for number in bins.tolist()]


def too_few(parts: dict[str, dict[str, Any]]) -> list[str]:
    """Name the parts whose numbers say little.

    Parameters
    ----------
    parts : dict of str to dict
        From `breakdown`.

    Returns
    -------
    list of str
        Those with fewer than `FEWEST` scored trials of a kind.
    """
    kinds = ("n_target", "n_nontarget")
    return [name for name, numbers in parts.items() if any(numbers[kind] < FEWEST for kind in kinds)]


def _number(text: str) -> float:
    """Read a number, NaN for what is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
