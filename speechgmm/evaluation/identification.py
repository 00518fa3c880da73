"""How well speakers are told apart: identification rate, ranks, confusions, and an open set.

Conventions
-----------
- Scores are a matrix of models x tests, and `truth` has the index of each test's own model.
- Where the own model scores no higher than another, that counts against it: its rank is the number of models that
  score as high as it does or higher.
- Scores of +inf and -inf are ranks like any other. NaN, no models or no tests are a `ValueError`.
"""

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import BoolArray, Float64Array, IntArray


def identification_rate(scores: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Compute how often the right model wins, among all the models of a closed set.

    Parameters
    ----------
    scores : array_like, shape (M, U)
        Score of each of M models for each of U tests; infinite ones are allowed.
    truth : array_like of int, shape (U,), 0 <= truth < M
        Index of the right model of each test.

    Returns
    -------
    float
        A fraction of 1: tests whose own model scores strictly higher than every other. A tie at the top does
        not count.

    Raises
    ------
    ValueError
        If there are no models or tests, shapes do not fit, a score is NaN, or an index is not of a model.
    """
    return float(np.mean(true_ranks(scores, truth) == 1))


def true_ranks(scores: npt.ArrayLike, truth: npt.ArrayLike) -> IntArray:
    """Find at which place the right model comes for each test.

    Parameters
    ----------
    scores, truth
        As for `identification_rate`.

    Returns
    -------
    np.ndarray of int, shape (U,), 1 to M
        How many models score as high as the right one or higher, itself among them.

    Raises
    ------
    ValueError
        As for `identification_rate`.
    """
    matrix, right = _closed_set(scores, truth)
    own = matrix[right, np.arange(len(right))]
    places: IntArray = np.count_nonzero(matrix >= own, axis=0)
    return places


def cmc(scores: npt.ArrayLike, truth: npt.ArrayLike) -> Float64Array:
    """Compute the cumulative match characteristic: how often the right model is among the best k.

    Parameters
    ----------
    scores, truth
        As for `identification_rate`.

    Returns
    -------
    np.ndarray, shape (M,)
        For k from 1, where it is the identification rate, to M, where it is 1: the share of tests whose rank is k or
        better.

    Raises
    ------
    ValueError
        As for `identification_rate`.

    References
    ----------
    Phillips, Grother, Micheals (2011), "Evaluation methods in face recognition", Handbook of Face Recognition, 2nd ed.,
    ch. 21.
    """
    found = true_ranks(scores, truth)
    counts = np.bincount(found - 1, minlength=np.shape(scores)[0])
    return np.cumsum(counts) / len(found)


def answers(scores: npt.ArrayLike, truth: npt.ArrayLike) -> IntArray:
    """Find the model that wins each test.

    Parameters
    ----------
    scores, truth
        As for `identification_rate`.

    Returns
    -------
    np.ndarray of int, shape (U,), 0 to M - 1
        Of models that tie at the top the first is the answer, but never the right one.

    Raises
    ------
    ValueError
        As for `identification_rate`.
    """
    matrix, right = _closed_set(scores, truth)
    at_top = matrix >= matrix.max(axis=0)
    at_top[right, np.arange(len(right))] &= at_top.sum(axis=0) == 1
    found: IntArray = at_top.argmax(axis=0)
    return found


def confusion(scores: npt.ArrayLike, truth: npt.ArrayLike) -> IntArray:
    """Count which model wins the tests of each.

    Parameters
    ----------
    scores, truth
        As for `identification_rate`.

    Returns
    -------
    np.ndarray of int, shape (M, M)
        Right models x `answers`. The diagonal holds the tests that `identification_rate` counts, and a row adds up to
        the tests of its model.

    Raises
    ------
    ValueError
        As for `identification_rate`.
    """
    found, n_models = answers(scores, truth), np.shape(scores)[0]
    counts = np.zeros((n_models, n_models), np.intp)
    np.add.at(counts, (np.asarray(truth), found), 1)
    return counts


def detection_identification_rate(
    known: npt.ArrayLike, truth: npt.ArrayLike, unknown: npt.ArrayLike, p_fa: float
) -> float:
    """Compute how often a speaker is detected and identified in an open set, at a false-alarm rate.

    A test is answered by the model that scores highest, if its score is at the threshold or above, and otherwise by
    "unknown". The threshold is the lowest at which no more than a share `p_fa` of the tests of unknown speakers are
    answered by a model.

    Parameters
    ----------
    known : array_like, shape (M, U)
        Score of each of M models for each of U tests of their speakers.
    truth : array_like of int, shape (U,), 0 <= truth < M
        Index of the right model of each of these.
    unknown : array_like, shape (M, V)
        Score of each model for each of V tests of speakers without a model.
    p_fa : float, 0 <= p_fa < 1
        The share. What is less than 1 / V is nothing.

    Returns
    -------
    float
        A fraction of 1: tests of known speakers whose own model scores strictly higher than every other, and at the
        threshold or above. A score equal to that of an unknown test that must be rejected is below it.

    Raises
    ------
    ValueError
        As for `identification_rate`, if `unknown` does not have M models or no tests, or if `p_fa` is not a share
        below 1.

    References
    ----------
    Phillips, Grother, Micheals (2011), "Evaluation methods in face recognition", Handbook of Face Recognition, 2nd ed.,
    ch. 21: the detection and identification rate at rank 1.
    """
    matrix, right = _closed_set(known, truth)
    strangers = _matrix("unknown", unknown)
    if len(strangers) != len(matrix):
        raise ValueError(f"unknown: {len(strangers)} models, expected the {len(matrix)} of the known tests")
    if not 0 <= p_fa < 1:
        raise ValueError(f"p_fa = {p_fa}: expected a share from 0 to 1, 1 excluded")
    return detected_and_identified(true_ranks(matrix, right) == 1, matrix.max(axis=0), strangers.max(axis=0), p_fa)


def detected_and_identified(won: BoolArray, best: Float64Array, strangers: Float64Array, p_fa: float) -> float:
    """Compute the detection and identification rate from the highest score of each test.

    Parameters
    ----------
    won : np.ndarray, shape (U,), bool
        Whether a test's own model scores strictly higher than every other.
    best : np.ndarray, shape (U,)
        The highest score of each test of a known speaker.
    strangers : np.ndarray, shape (V,)
        That of each test of an unknown speaker.
    p_fa : float, 0 <= p_fa < 1
        The share of these that may be answered by a model.

    Returns
    -------
    float
        See `detection_identification_rate`.
    """
    highest = np.sort(strangers)
    alarms = (len(highest) - np.searchsorted(highest, highest, side="right")) / len(highest)
    rejected = highest[np.argmax(alarms <= p_fa)]  # any threshold above it gives so many alarms
    return float(np.mean(won & (best > rejected)))


def _closed_set(scores: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[Float64Array, IntArray]:
    """Turn scores and the indices of the right models into arrays that fit, or raise an error."""
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
    """Turn scores into a matrix of float64, or raise an error."""
    matrix = np.asarray(scores, dtype=np.float64)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"{name}: shape {matrix.shape}, expected models x tests, at least one of each")
    if np.isnan(matrix).any():
        model, test = np.argwhere(np.isnan(matrix))[0]
        raise ValueError(f"{name}: NaN for model {model} and test {test}, expected numbers")
    return matrix
