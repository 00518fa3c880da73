"""Rows, weights and seeds of the estimators, checked and converted for the package."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array, check_random_state

from speechgmm.arrays import FloatArray

PRECISIONS = [np.float64, np.float32]
"""Accepted precisions of rows; rows of another become the first."""


def generator(random_state: int | np.random.RandomState | None) -> np.random.Generator:
    """Return a generator seeded by scikit-learn's `random_state`: the same for the same int."""
    return np.random.default_rng(check_random_state(random_state).randint(np.iinfo(np.int32).max, size=4))


def rows_that_count(
    rows: FloatArray, sample_weight: npt.ArrayLike | None, *others: npt.NDArray[Any]
) -> tuple[Any, ...]:
    """Return the rows (T, D) of positive weight, their weights (1 by default), and the same rows of other arrays.

    ValueError if the weights are not one for each row, one is negative, or all are 0.
    """
    if sample_weight is None:
        return rows, np.ones(len(rows)), *others
    weights = check_array(sample_weight, dtype=np.float64, ensure_2d=False, input_name="sample_weight")
    if weights.shape != (len(rows),):
        raise ValueError(f"sample_weight of shape {weights.shape}; expected ({len(rows)},), one for each row")
    if weights.min() < 0 or weights.max() == 0:
        raise ValueError(
            f"sample_weight from {weights.min():g} to {weights.max():g}; expected no negative weight, and not all zero"
        )
    counts = weights > 0
    return tuple(array if counts.all() else array[counts] for array in (rows, weights, *others))
