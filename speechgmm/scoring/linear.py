"""Linear scoring: the first-order approximation of the log-likelihood ratio, from statistics alone."""

from collections.abc import Sequence

import numpy as np

from speechgmm.arrays import Float32Array, Float64Array
from speechgmm.errors import ModelError
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats

VALUES_AT_ONCE = 1 << 18
"""Values of the models' means that all statistics are multiplied by before the next: as many as a cache holds."""

UTTERANCES_AT_ONCE = 16
"""Rows of every product, filled up with zeros: a product of another shape may add in another order."""


def linear_score_matrix(
    models: Sequence[DiagonalGMM], ubm: DiagonalGMM, statistics: Sequence[SufficientStats]
) -> Float64Array:
    """Score the statistics of every utterance against every model.

    Parameters
    ----------
    models : sequence of M DiagonalGMM, C components over D features
        The speakers' models, which differ from `ubm` in their means alone.
    ubm : DiagonalGMM, C components over D features
        The background model.
    statistics : sequence of U SufficientStats, shapes (C,), (C, D), (C, D)
        Statistics of each utterance under `ubm`.

    Returns
    -------
    np.ndarray, shape (M, U), float64, nats
        ``sum_c (m_c - m'_c)^T S_c^-1 (F_c - N_c m'_c) / n_frames``, with m' and S the means and variances of the UBM:
        the mean frame LLR to first order in the models' means. It has no term that holds a mean far from the UBM's
        back, so that it is mostly larger than the LLR. A column depends on its own utterance only, and a row, but for
        rounding, on its own model.

    Raises
    ------
    ValueError
        If shapes differ, a model differs from the UBM in more than its means, or there are no frames.

    References
    ----------
    Glembek, Burget, Dehak, Brümmer, Kenny (2009), ICASSP, 4057-4060, section 3.5, without a channel's shift.
    """
    return score_statistics(mean_shifts(models, ubm), ubm, statistics)


def mean_shifts(models: Sequence[DiagonalGMM], ubm: DiagonalGMM) -> Float32Array:
    """Take how far models' means are from the background model's, in its standard deviations.

    Parameters
    ----------
    models, ubm
        As for `linear_score_matrix`.

    Returns
    -------
    np.ndarray, shape (M, C D), float32
        For `score_statistics`.

    Raises
    ------
    ValueError
        If shapes differ, or a model differs from the UBM in more than its means.
    """
    per_deviation = 1.0 / np.sqrt(ubm.variances)
    shifts = np.empty((len(models), ubm.means.size), np.float32)
    for number, model in enumerate(models):
        if model.means.shape != ubm.means.shape:
            raise ModelError(f"a model of shape {model.means.shape} for a UBM of shape {ubm.means.shape}")
        for name in ("weights", "variances"):
            own, expected = getattr(model, name), getattr(ubm, name)
            if own is not expected and not np.array_equal(own, expected):
                raise ModelError(f"model {number} has {name} of its own; linear scoring expects the UBM's")
        shifts[number] = ((model.means - ubm.means) * per_deviation).ravel()
    return shifts


def score_statistics(shifts: Float32Array, ubm: DiagonalGMM, statistics: Sequence[SufficientStats]) -> Float64Array:
    """Score the statistics of every utterance against models that have been prepared.

    Parameters
    ----------
    shifts : np.ndarray, shape (M, C D), float32
        From `mean_shifts`.
    ubm : DiagonalGMM, C components over D features
        The background model.
    statistics : sequence of U SufficientStats, shapes (C,), (C, D), (C, D)
        Statistics of each utterance under the UBM.

    Returns
    -------
    np.ndarray, shape (M, U), float64, nats
        As from `linear_score_matrix`.

    Raises
    ------
    ValueError
        If shapes differ, or there are no frames.
    """
    n_padded = -(-len(statistics) // UTTERANCES_AT_ONCE) * UTTERANCES_AT_ONCE
    centred = np.zeros((n_padded, shifts.shape[1]), np.float32)
    per_deviation = 1.0 / np.sqrt(ubm.variances)
    for row, each in zip(centred, statistics, strict=False):
        row[:] = _centred(each, ubm, per_deviation)
    scores = np.zeros((n_padded, len(shifts)))
    n_columns = max(1, VALUES_AT_ONCE // max(1, len(shifts)))
    for start in range(0, shifts.shape[1], n_columns):
        part = np.ascontiguousarray(shifts[:, start : start + n_columns].T)
        for first in range(0, n_padded, UTTERANCES_AT_ONCE):
            rows = slice(first, first + UTTERANCES_AT_ONCE)
            scores[rows] += centred[rows, start : start + n_columns] @ part
    return np.ascontiguousarray(scores[: len(statistics)].T)


def _centred(statistics: SufficientStats, ubm: DiagonalGMM, per_deviation: Float64Array) -> Float64Array:
    """Give the mean frame's first moments about the UBM's means, in its standard deviations, shape (C D,)."""
    if statistics.first.shape != ubm.means.shape:
        raise ModelError(f"statistics of shape {statistics.first.shape} for a UBM of shape {ubm.means.shape}")
    if statistics.n_frames == 0:
        raise ModelError("an utterance of no frames has no score")
    moved = statistics.first - statistics.zeroth[:, None] * ubm.means
    moved *= per_deviation
    moved /= statistics.n_frames
    return moved.ravel()
