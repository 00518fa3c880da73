"""Linear scoring: the first-order approximation of the log-likelihood ratio, from statistics alone."""

from collections.abc import Sequence

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.errors import ModelError
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats
from speechgmm.scoring.stacked import StackedModels, stack

VALUES_AT_ONCE = 1 << 18
"""Values of the models' means that all statistics are multiplied by before the next: as many as a cache holds."""


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
        back, so that it is larger than the LLR. A column depends on its own utterance only, and a row, but for
        rounding, on its own model.

    Raises
    ------
    ValueError
        If shapes differ, a model differs from the UBM in more than its means, or there are no frames.

    References
    ----------
    Glembek, Burget, Dehak, Brümmer, Kenny (2009), ICASSP, 4057-4060, section 3.5, without a channel's shift.
    """
    return score_statistics(stack_means(models, ubm), statistics)


def stack_means(models: Sequence[DiagonalGMM], ubm: DiagonalGMM) -> StackedModels:
    """Stack models that differ from a background model in their means alone.

    Parameters
    ----------
    models, ubm
        As for `linear_score_matrix`.

    Returns
    -------
    StackedModels
        For `score_statistics`.

    Raises
    ------
    ValueError
        If shapes differ, or a model differs from the UBM in more than its means.
    """
    stacked = stack(models, ubm)
    for number, model in enumerate(models):
        for name in ("weights", "variances"):
            if not np.array_equal(getattr(model, name), getattr(ubm, name)):
                raise ModelError(f"model {number} has {name} of its own; linear scoring expects the UBM's")
    return stacked


def score_statistics(stacked: StackedModels, statistics: Sequence[SufficientStats]) -> Float64Array:
    """Score the statistics of every utterance against stacked models.

    Parameters
    ----------
    stacked : StackedModels, M models
        From `stack_means`.
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
    product = stacked.differences.product.reshape(-1, stacked.n_models)
    centred = [_centred(each, stacked) for each in statistics]
    scores = np.zeros((len(statistics), stacked.n_models))
    n_rows = max(1, VALUES_AT_ONCE // max(1, stacked.n_models))
    for start in range(0, len(product), n_rows):
        part = product[start : start + n_rows]
        # Utterance by utterance: in a product of all at once the bits of one would depend on how many there are.
        for row, each in zip(scores, centred, strict=True):
            row += each[start : start + n_rows] @ part
    scores /= np.array([each.n_frames for each in statistics], np.float64)[:, None]
    return np.ascontiguousarray(scores.T)


def _centred(statistics: SufficientStats, stacked: StackedModels) -> FloatArray:
    """Centre the first moments about the UBM's means, in the units of the stacked differences, shape (C (D + 1),)."""
    ubm, coefficients = stacked.ubm, stacked.coefficients
    if statistics.first.shape != ubm.means.shape:
        raise ModelError(f"statistics of shape {statistics.first.shape} for a UBM of shape {ubm.means.shape}")
    if statistics.n_frames == 0:
        raise ModelError("an utterance of no frames has no score")
    centred = np.zeros((ubm.n_components, ubm.n_features + 1), coefficients.product.dtype)  # nothing for the constant
    moved = statistics.first - statistics.zeroth[:, None] * ubm.means
    centred[:, :-1] = moved / coefficients.reference.scale
    return centred.ravel()
