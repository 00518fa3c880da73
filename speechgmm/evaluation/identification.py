"""Metrics of speaker identification: identification rate, ranks, confusions, and an open set.

Conventions
-----------
- Scores are a matrix of models x tests, and `truth` has the index of each test's own model.
- Ties count against the right model: its rank is the number of models that score at least as high, itself included.
- Scores of +inf and -inf are ranks like any other. NaN, no models or no tests are a `ValueError`.
"""

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import BoolArray, Float64Array, IntArray


def identification_rate(scores: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Compute how often the right model scores highest, among all the models of a closed set.

    Parameters
    ----------
    scores : array_like, shape (M, U)
        Score of each of M models for each of U tests; infinite ones are allowed.
    truth : array_like of int, shape (U,), 0 <= truth < M
        Index of the right model of each test.

    Returns
    -------
    float
        A fraction of 1: tests whose own model scores strictly higher than every other. A tie at the top does not count.

    Raises
    ------
    ValueError
        If there are no models or tests, shapes do not fit, a score is NaN, or an index is not of a model.

    Examples
    --------
    >>> from speechgmm import identification_rate
    >>> scores = [[2.5, 0.1, -1.0, 0.3], [0.4, 1.7, 0.2, 0.9]]  # two models, four tests
    >>> identification_rate(scores, [0, 1, 0, 1])
    0.75
    """
    return float(np.mean(true_ranks(scores, truth) == 1))


def true_ranks(scores: npt.ArrayLike, truth: npt.ArrayLike) -> IntArray:
    """Return the rank of each test's right model, (U,): how many of the M models score at least as high."""
    matrix, right = _closed_set(scores, truth)
    true_scores = matrix[right, np.arange(len(right))]
    ranks: IntArray = np.count_nonzero(matrix >= true_scores, axis=0)
    return ranks


def cmc(scores: npt.ArrayLike, truth: npt.ArrayLike) -> Float64Array:
    """Compute the cumulative match characteristic, shape (M,): how often the right model is among the best 1 to M.

    References
    ----------
    Phillips, Grother, Micheals (2011), "Evaluation methods in face recognition", Handbook of Face Recognition, 2nd ed.,
    ch. 21.
    """
    ranks = true_ranks(scores, truth)
    counts = np.bincount(ranks - 1, minlength=np.shape(scores)[0])
    return np.cumsum(counts) / len(ranks)


def answers(scores: npt.ArrayLike, truth: npt.ArrayLike) -> IntArray:
    """Return the index of the model that wins each test, (U,); in a tie, the first one that is not the right model."""
    matrix, right = _closed_set(scores, truth)
    at_top = matrix >= matrix.max(axis=0)
    at_top[right, np.arange(len(right))] &= at_top.sum(axis=0) == 1
    winners: IntArray = at_top.argmax(axis=0)
    return winners


def confusion(scores: npt.ArrayLike, truth: npt.ArrayLike) -> IntArray:
    """Count the tests of each right model (rows) by the model that wins them (columns), shape (M, M).

    The diagonal holds the tests that `identification_rate` counts.
    """
    winners, n_models = answers(scores, truth), np.shape(scores)[0]
    counts = np.zeros((n_models, n_models), np.intp)
    np.add.at(counts, (np.asarray(truth), winners), 1)
    return counts


def detection_identification_rate(
    known: npt.ArrayLike, truth: npt.ArrayLike, unknown: npt.ArrayLike, p_fa: float
) -> float:
    """Compute how often a speaker is detected and identified in an open set, at a false-alarm rate below 1.

    A test is answered by the model with the highest score if that is at least the threshold, and otherwise by
    "unknown". The threshold is the lowest at which no more than a share `p_fa` of the tests of unknown speakers are
    answered by a model; a share below 1 / V allows none of V. The rate is the fraction of the known tests whose own
    model scores strictly higher than every other, and at least the threshold. ValueError as for `identification_rate`,
    if `unknown` (M, V) does not fit, or if `p_fa` is out of range.

    References
    ----------
    Phillips, Grother, Micheals (2011), "Evaluation methods in face recognition", Handbook of Face Recognition, 2nd ed.,
    ch. 21: the detection and identification rate at rank 1.
    """
    matrix, right = _closed_set(known, truth)
    unknown_matrix = _matrix("unknown", unknown)
    if len(unknown_matrix) != len(matrix):
        raise ValueError(f"unknown: {len(unknown_matrix)} models, expected the {len(matrix)} of the known tests")
    if not 0 <= p_fa < 1:
        raise ValueError(f"p_fa = {p_fa}: expected a share from 0 to 1, 1 excluded")
    won, unknown_best = true_ranks(matrix, right) == 1, unknown_matrix.max(axis=0)
    return detected_and_identified(won, matrix.max(axis=0), unknown_best, p_fa)


def detected_and_identified(won: BoolArray, best: Float64Array, unknown_best: Float64Array, p_fa: float) -> float:
    """Compute the detection and identification rate from the highest scores of known (U,) and unknown tests (V,).

    `won` tells whether a known test's own model scores strictly higher than every other; see
    `detection_identification_rate`.
    """
    highest = np.sort(unknown_best)
    alarms = (len(highest) - np.searchsorted(highest, highest, side="right")) / len(highest)
    rejected = highest[np.argmax(alarms <= p_fa)]  # the threshold is just above it
    return float(np.mean(won & (best > rejected)))


def _closed_set(scores: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[Float64Array, IntArray]:
    """Convert scores and indices of the right models to arrays that fit; ValueError if they do not."""
    matrix, right = _matrix("scores", scores), np.asarray(truth)
    n_models, n_tests = matrix.shape
    if not np.issubdtype(right.dtype, np.integer):
        raise ValueError(f"truth: {right.dtype} values, expected whole numbers")
    if right.shape != (n_tests,):
        raise ValueError(f"truth: shape {right.shape}, expected {(n_tests,)}, one index for each test")
    if right.min() < 0 or right.max() >= n_models:
        test = int(np.argmax((right < 0) | (right >= n_models)))
        raise ValueError(f"truth: {right[test]} for test {test}, expected 0 to {n_models - 1}")
    return matrix, right.astype(np.intp)


def _matrix(name: str, scores: npt.ArrayLike) -> Float64Array:
    """Convert scores to a float64 matrix; a ValueError names it."""
    matrix = np.asarray(scores, dtype=np.float64)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"{name}: shape {matrix.shape}, expected models x tests, at least one of each")
    if np.isnan(matrix).any():
        model, test = np.argwhere(np.isnan(matrix))[0]
        raise ValueError(f"{name}: NaN for model {model} and test {test}, expected numbers")
    return matrix
