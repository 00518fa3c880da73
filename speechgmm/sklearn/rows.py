"""What both estimators do with rows, weights and seeds before the package sees them."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_array, check_random_state

from speechgmm.arrays import FloatArray

PRECISIONS = [np.float64, np.float32]
"""What rows may be of; others become the first."""


def generator(random_state: int | np.random.RandomState | None) -> np.random.Generator:
    """Seed a generator as scikit-learn's convention has it: the same for the same int.

    Parameters
    ----------
    random_state : int, RandomState or None
        As every estimator takes it.

    Returns
    -------
    np.random.Generator
    """
    return np.random.default_rng(check_random_state(random_state).randint(np.iinfo(np.int32).max, size=4))


def rows_that_count(
    rows: FloatArray, sample_weight: npt.ArrayLike | None, *others: npt.NDArray[Any]
) -> tuple[Any, ...]:
    """Give the rows of positive weight, their weights, and what else there is for each row.

    Parameters
    ----------
    rows : np.ndarray, shape (T, D)
        All rows.
    sample_weight : array_like, shape (T,), optional
        Their weights; 1 each when not given.
    *others : np.ndarray, shape (T,)
        What else there is for each row.

    Returns
    -------
    tuple of np.ndarray
        The same for the rows that count.

    Raises
    ------
    ValueError
        If the weights are not one for each row, one is negative, or all are 0.
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
