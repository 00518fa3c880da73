"""Relevance MAP: one speaker's model from the background model and the speaker's statistics."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from speechgmm.arrays import Float64Array
from speechgmm.configuration import Configuration
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats

Parameter = Literal["weights", "means", "variances"]

LEAST_VARIANCE = 1e-3
"""Adapted variances are kept above this share of the prior's: with a relevance factor near 0, a component with
the evidence of one frame would have none."""


class AdaptationConfig(Configuration):
    """How a speaker's model is made.

    Parameters
    ----------
    method : "map"
        Relevance MAP from the universal background model.
    relevance_factor : float, 0 to 1e12, frames
        Frames of evidence at which data and prior weigh the same; 10 is what serves speaker recognition best.
    adapt : list of "weights", "means", "variances"
        What is adapted; the rest is the background model's.
    """

    method: Literal["map"] = "map"
    relevance_factor: float = Field(10.0, ge=0, le=1e12)
    adapt: Annotated[tuple[Parameter, ...], Field(strict=False, min_length=1)] = ("means",)


def map_adapt(
    ubm: DiagonalGMM,
    stats: SufficientStats,
    *,
    relevance_factor: float = 16.0,
    adapt: tuple[Parameter, ...] = ("means",),
) -> DiagonalGMM:
    """Adapt a UBM to one speaker by maximum a posteriori estimation.

    Parameters
    ----------
    ubm : DiagonalGMM, C components over D features
        Prior; the model under which `stats` was accumulated.
    stats : SufficientStats, shapes (C,), (C, D), (C, D)
        Statistics of the speaker's enrolment frames.
    relevance_factor : float >= 0, frames
        Frames of evidence at which data and prior weigh the same; 0 is maximum likelihood.
    adapt : tuple of {"weights", "means", "variances"}
        What to adapt; the rest is the UBM's.

    Returns
    -------
    DiagonalGMM
        A new model of the same shape; components without evidence are the UBM's.

    Raises
    ------
    ValueError
        If the shapes of `ubm` and `stats` differ, `relevance_factor` is negative or not finite, or `adapt` names
        something else.

    Notes
    -----
    Written as (F + r m) / (N + r), which needs no division by N. Variances are second moments about the mean that
    the new model has: with adapted means that is eq. 13 of the reference, and with the UBM's means it cannot
    become negative.

    References
    ----------
    Reynolds, Quatieri, Dunn (2000), Digital Signal Processing 10, eqs. 11-14.
    """
    if stats.first.shape != ubm.means.shape:
        raise ValueError(f"statistics of shape {stats.first.shape} for a model of shape {ubm.means.shape}")
    if not (np.isfinite(relevance_factor) and relevance_factor >= 0):
        raise ValueError(f"relevance_factor {relevance_factor}: expected 0 or more frames")
    if unknown := set(adapt) - {"weights", "means", "variances"}:
        raise ValueError(f"adapt {sorted(unknown)}: expected some of weights, means, variances")
    evidence = stats.zeroth + relevance_factor  # N + r
    seen = evidence > 0
    weights, means, variances = ubm.weights, ubm.means, ubm.variances
    if "weights" in adapt:
        weights = _adapt_weights(ubm, stats, evidence, seen)
    if "means" in adapt:
        means = ubm.means.copy()
        means[seen] = ((stats.first + relevance_factor * ubm.means)[seen]) / evidence[seen, None]  # eq. 12
    if "variances" in adapt:
        data = stats.second - 2 * means * stats.first + means**2 * stats.zeroth[:, None]
        prior = relevance_factor * (ubm.variances + (ubm.means - means) ** 2)
        variances = ubm.variances.copy()
        variances[seen] = ((data + prior)[seen]) / evidence[seen, None]  # eq. 13
        variances = np.maximum(variances, LEAST_VARIANCE * ubm.variances)
    return DiagonalGMM(weights, means, variances)


def _adapt_weights(ubm: DiagonalGMM, stats: SufficientStats, evidence: Float64Array, seen: np.ndarray) -> Float64Array:
    """Adapt the weights, eq. 11, and normalise them."""
    total = stats.zeroth.sum()
    if total == 0:
        return ubm.weights
    alpha = np.divide(stats.zeroth, evidence, out=np.zeros_like(evidence), where=seen)  # eq. 14
    weights = alpha * stats.zeroth / total + (1 - alpha) * ubm.weights
    weights = np.maximum(weights, np.finfo(np.float64).tiny)  # N_c = 0 with no prior would be a weight of 0
    normalised: Float64Array = weights / weights.sum()
    return normalised
