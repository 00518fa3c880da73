"""Linear scoring: the first-order approximation of the log-likelihood ratio, from statistics alone."""

from collections.abc import Sequence

import numpy as np

from speechgmm.arrays import Float32Array, Float64Array
from speechgmm.errors import ModelError
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats

VALUES_AT_ONCE = 1 << 18
"""Values in a block of the models' mean shifts, which all statistics are multiplied by: what a cache holds."""

UTTERANCES_AT_ONCE = 16
"""Rows of every matrix product, padded with zeros: products of other shapes may add in another order."""


def linear_score_matrix(
    models: Sequence[DiagonalGMM], ubm: DiagonalGMM, statistics: Sequence[SufficientStats]
) -> Float64Array:
    """Score the statistics of every utterance against every model.

    Parameters
    ----------
    models : sequence of M DiagonalGMM, C components over D features
        The speakers' models, which differ from `ubm` in their means only.
    ubm : DiagonalGMM, C components over D features
        The background model.
    statistics : sequence of U SufficientStats, shapes (C,), (C, D), (C, D)
        Statistics of each utterance under `ubm`.

    Returns
    -------
    np.ndarray, shape (M, U), float64, nats
        ``sum_c (m_c - m'_c)^T S_c^-1 (F_c - N_c m'_c) / n_frames``, with m' and S the means and variances of the UBM:
        the mean frame LLR to first order in the models' means. Lacking the quadratic term that penalises means far from
        the UBM's, it is usually larger than the LLR. A column depends on its own utterance only, and a row, up to
        rounding, on its own model.

    Raises
    ------
    ValueError
        If shapes differ, a model differs from the UBM in more than its means, or there are no frames.

    References
    ----------
    Glembek, Burget, Dehak, Brümmer, Kenny (2009), ICASSP, 4057-4060, section 3.5, without a channel's shift.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, accumulate, linear_score_matrix
    >>> ubm = DiagonalGMM([0.5, 0.5], [[-2.0], [2.0]], [[1.0], [1.0]])
    >>> ann = DiagonalGMM(ubm.weights, [[-1.5], [2.5]], ubm.variances)
    >>> frames = np.array([[-1.4], [2.6], [2.5]])
    >>> linear_score_matrix([ann], ubm, [accumulate(ubm, frames)]).round(3)
    array([[0.281]])
    """
    return score_statistics(mean_shifts(models, ubm), ubm, statistics)


def mean_shifts(models: Sequence[DiagonalGMM], ubm: DiagonalGMM) -> Float32Array:
    """Return the models' means relative to the UBM's, in its standard deviations, shape (M, C D).

    ValueError if shapes differ, or a model differs from the UBM in more than its means.
    """
    per_deviation = 1.0 / np.sqrt(ubm.variances)
    shifts = np.empty((len(models), ubm.means.size), np.float32)
    for number, model in enumerate(models):
        if model.means.shape != ubm.means.shape:
            raise ModelError(f"a model of shape {model.means.shape} for a UBM of shape {ubm.means.shape}")
        for name in ("weights", "variances"):
            values, expected = getattr(model, name), getattr(ubm, name)
            if values is not expected and not np.array_equal(values, expected):
                raise ModelError(f"model {number} has {name} of its own; linear scoring expects the UBM's")
        shifts[number] = ((model.means - ubm.means) * per_deviation).ravel()
    return shifts


def score_statistics(shifts: Float32Array, ubm: DiagonalGMM, statistics: Sequence[SufficientStats]) -> Float64Array:
    """Score the statistics of every utterance against the mean shifts of M models, shape (M, U), in nats.

    `shifts` are those of `mean_shifts`, and the result is that of `linear_score_matrix`. ValueError if shapes differ,
    or there are no frames.
    """
    n_padded = -(-len(statistics) // UTTERANCES_AT_ONCE) * UTTERANCES_AT_ONCE
    centred = np.zeros((n_padded, shifts.shape[1]), np.float32)
    per_deviation = 1.0 / np.sqrt(ubm.variances)
    for row, utterance in zip(centred, statistics, strict=False):
        row[:] = _centred_mean(utterance, ubm, per_deviation)
    scores = np.zeros((n_padded, len(shifts)))
    n_columns = max(1, VALUES_AT_ONCE // max(1, len(shifts)))
    for start in range(0, shifts.shape[1], n_columns):
        part = np.ascontiguousarray(shifts[:, start : start + n_columns].T)
        for first in range(0, n_padded, UTTERANCES_AT_ONCE):
            rows = slice(first, first + UTTERANCES_AT_ONCE)
            scores[rows] += centred[rows, start : start + n_columns] @ part
    return np.ascontiguousarray(scores[: len(statistics)].T)


def _centred_mean(statistics: SufficientStats, ubm: DiagonalGMM, per_deviation: Float64Array) -> Float64Array:
    """Return the mean frame's first moments about the UBM's means, in its standard deviations, shape (C D,)."""
    if statistics.first.shape != ubm.means.shape:
        raise ModelError(f"statistics of shape {statistics.first.shape} for a UBM of shape {ubm.means.shape}")
    if statistics.n_frames == 0:
        raise ModelError("an utterance of no frames has no score")
    centred = statistics.first - statistics.zeroth[:, None] * ubm.means
    centred *= per_deviation
    centred /= statistics.n_frames
    return centred.ravel()
