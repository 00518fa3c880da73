"""The M step: a model from statistics, within its floors, and what becomes of components without frames."""

from typing import NamedTuple

import numpy as np

from speechgmm.arrays import BoolArray, Float64Array, IntArray
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats
from speechgmm.gmm.training.config import TrainingConfig

RESOLUTION = 2.0**-24
"""A feature whose standard deviation is under this share of its mean is constant, as far as single precision can tell
and as far as a second moment in double precision can."""

LEAST_SHARE = 1e-8
"""Without any floor, variances are still kept above this share of the variance of all frames."""

CONSTANT_FEATURE_VARIANCE = 1e-280
"""A feature with less variance is constant too: smaller numbers have no full digits."""

SPLIT_DEVIATIONS = 0.2
"""The two halves of a split component lie this many standard deviations on either side of it."""


class Update(NamedTuple):
    """A model after the M step, and how many of its C x D variances the floor and the ceiling hold."""

    gmm: DiagonalGMM
    n_floored: int
    n_ceiled: int


class Treatment(NamedTuple):
    """A model whose starving components were dealt with: how many there were, and what became of them."""

    gmm: DiagonalGMM
    n_starving: int
    n_revived: int
    n_removed: int


def ml_update(stats: SufficientStats, previous: DiagonalGMM, config: TrainingConfig) -> DiagonalGMM:
    """Do the M step: the model under which these posteriors make the frames most likely, within the floors.

    Parameters
    ----------
    stats : SufficientStats, shapes (C,), (C, D), (C, D)
        Statistics of all frames under `previous`, at least one frame.
    previous : DiagonalGMM, C components over D features
        Gives the mean and variance of a component that has no frames, or fewer than ``config.min_occupancy``.
    config : TrainingConfig
        The floors, and the ceiling.

    Returns
    -------
    DiagonalGMM
        The updated model; always finite, with positive weights and variances.

    Raises
    ------
    ValueError
        If shapes differ or the statistics are of no frames.

    References
    ----------
    Reynolds and Rose (1995), IEEE Trans. Speech and Audio Processing 3, eqs. 6-8.
    """
    return update(stats, previous, config).gmm


def update(stats: SufficientStats, previous: DiagonalGMM, config: TrainingConfig) -> Update:
    """Do the M step, and count what the limits hold.

    Parameters
    ----------
    stats, previous, config
        As for `ml_update`.

    Returns
    -------
    Update
        Model and counts.

    Raises
    ------
    ValueError
        As for `ml_update`.
    """
    if stats.first.shape != previous.means.shape:
        raise ValueError(f"statistics of shape {stats.first.shape} for a model of shape {previous.means.shape}")
    if not stats.zeroth.sum() > 0:
        raise ValueError("statistics of no frames: there is nothing to update a model with")
    fed = (stats.zeroth > 0) & (stats.zeroth >= config.min_occupancy)
    weights = _floored_weights(stats.zeroth, max(config.weight_floor, float(np.finfo(np.float64).tiny)))
    means = previous.means.copy()
    variances = previous.variances.copy()
    occupancy = stats.zeroth[fed, None]
    means[fed] = stats.first[fed] / occupancy
    variances[fed] = stats.second[fed] / occupancy - means[fed] ** 2
    floor, ceiling = _variance_limits(stats, config, previous)
    n_floored, n_ceiled = int((variances < floor).sum()), int((variances > ceiling).sum())
    return Update(DiagonalGMM(weights, means, np.clip(variances, floor, ceiling)), n_floored, n_ceiled)


def split(gmm: DiagonalGMM, chosen: IntArray, directions: Float64Array) -> DiagonalGMM:
    """Replace components by two of half the weight each; the second halves come after all others.

    Parameters
    ----------
    gmm : DiagonalGMM, C components over D features
        The model.
    chosen : np.ndarray of int, shape (n,), 0 to C - 1
        Which components, each at most once.
    directions : np.ndarray, shape (n, D), of -1 and 1
        On which side of the first half the second lies, along each feature.

    Returns
    -------
    DiagonalGMM
        Of C + n components.
    """
    offset = SPLIT_DEVIATIONS * np.sqrt(gmm.variances[chosen]) * directions
    weights, means = gmm.weights.copy(), gmm.means.copy()
    weights[chosen] /= 2
    means[chosen] -= offset
    return DiagonalGMM(
        np.concatenate([weights, weights[chosen]]),
        np.concatenate([means, gmm.means[chosen] + offset]),
        np.concatenate([gmm.variances, gmm.variances[chosen]]),
    )


def treat_starving(
    gmm: DiagonalGMM, occupancy: Float64Array, config: TrainingConfig, *, may_revive: bool = True
) -> Treatment:
    """Do with starving components what the configuration says.

    Parameters
    ----------
    gmm : DiagonalGMM, C components
        The model.
    occupancy : np.ndarray, shape (C,), frames
        What each component had of the frames that made it.
    config : TrainingConfig
        ``min_occupancy`` and ``starving``.
    may_revive : bool
        Whether components may be put elsewhere, which only makes sense when more iterations follow.

    Returns
    -------
    Treatment
        The model and counts.
    """
    starving = occupancy < config.min_occupancy
    n_starving = int(starving.sum())
    if config.starving == "split" and may_revive:
        gmm, n_revived = reseed_starved(gmm, occupancy, config.min_occupancy)
        return Treatment(gmm, n_starving, n_revived, 0)
    if config.starving == "remove" and n_starving:
        gmm, n_removed = _remove(gmm, starving)
        return Treatment(gmm, n_starving, 0, n_removed)
    return Treatment(gmm, n_starving, 0, 0)


def reseed_starved(gmm: DiagonalGMM, occupancy: Float64Array, min_occupancy: float) -> tuple[DiagonalGMM, int]:
    """Put each starving component beside the heaviest one, as long as both halves then have enough frames.

    Parameters
    ----------
    gmm : DiagonalGMM, C components
        The model.
    occupancy : np.ndarray, shape (C,), frames
        What each component had of the frames that made it.
    min_occupancy : float >= 0, frames
        Below it a component is starving.

    Returns
    -------
    gmm : DiagonalGMM
        Of C components.
    n_revived : int
        How many were moved.
    """
    starving: BoolArray = occupancy < min_occupancy
    share = occupancy.copy()
    weights, means, variances = gmm.weights.copy(), gmm.means.copy(), gmm.variances.copy()
    n_revived = 0
    for component in np.flatnonzero(starving):
        heaviest = np.argmax(share)
        if share[heaviest] < 2 * min_occupancy:
            break
        offset = SPLIT_DEVIATIONS * np.sqrt(variances[heaviest])
        share[heaviest] = share[component] = share[heaviest] / 2
        weights[heaviest] = weights[component] = weights[heaviest] / 2
        means[component], variances[component] = means[heaviest], variances[heaviest]
        means[heaviest] -= offset
        means[component] += offset
        n_revived += 1
    return DiagonalGMM(weights / weights.sum(), means, variances), n_revived


def global_moments(stats: SufficientStats) -> tuple[Float64Array, Float64Array]:
    """Give mean and variance of all frames, which their statistics add up to.

    Parameters
    ----------
    stats : SufficientStats
        Of at least one frame.

    Returns
    -------
    mean, variance : np.ndarray, shape (D,)
        The variance may be nothing, or negative by rounding.
    """
    total = stats.zeroth.sum()
    mean = stats.first.sum(axis=0) / total
    return mean, stats.second.sum(axis=0) / total - mean**2


def replace_constant_variance(
    mean: Float64Array, variance: Float64Array, previous: DiagonalGMM | None = None
) -> Float64Array:
    """Give constant features a variance in which all frames are near, so that they count for nothing.

    Parameters
    ----------
    mean, variance : np.ndarray, shape (D,)
        Of all frames.
    previous : DiagonalGMM, optional
        The model about whose reference they were computed: rounding in its units is no variance, and the variance that
        it has for a constant feature is kept.

    Returns
    -------
    np.ndarray, shape (D,), > 0
        The variance where there is one.
    """
    square, units = mean**2, mean**2
    if previous is not None:
        units = np.maximum(square, previous.reference.scale**2)
        square = np.maximum(square, previous.weights @ previous.variances)
    constant = (variance <= RESOLUTION**2 * units) | (variance < CONSTANT_FEATURE_VARIANCE)
    instead = np.where(square < CONSTANT_FEATURE_VARIANCE, 1.0, square)
    positive: Float64Array = np.where(constant, instead, variance)
    return positive


def _remove(gmm: DiagonalGMM, starving: BoolArray) -> tuple[DiagonalGMM, int]:
    """Remove starving components, but for the heaviest one where all are."""
    kept = ~starving
    if not kept.any():
        kept[np.argmax(gmm.weights)] = True
    weights = gmm.weights[kept]
    return DiagonalGMM(weights / weights.sum(), gmm.means[kept], gmm.variances[kept]), int((~kept).sum())


def _variance_limits(
    stats: SufficientStats, config: TrainingConfig, previous: DiagonalGMM
) -> tuple[Float64Array, Float64Array]:
    """Take shares of the variance of all frames; a constant feature keeps the whole of the one that it was given."""
    mean, raw = global_moments(stats)
    variance = replace_constant_variance(mean, raw, previous)
    least = np.maximum(max(config.variance_floor, LEAST_SHARE) * variance, (RESOLUTION * mean) ** 2)
    floor: Float64Array = np.where(variance > raw, variance, least)
    share = np.inf if config.variance_ceiling is None else config.variance_ceiling
    return floor, np.maximum(share * variance, floor)


def _floored_weights(shares: Float64Array, floor: float) -> Float64Array:
    """Hold weights up to a floor and let the others, which sum to the rest, keep their proportions."""
    ordered = np.sort(shares)
    rest = np.cumsum(ordered[::-1])[::-1]  # of the smallest but k, for each k
    scale = (1 - floor * np.arange(len(shares))) / rest
    enough = np.flatnonzero(ordered * scale >= floor)
    n_held = enough[0] if len(enough) else len(shares) - 1  # all, when the floors leave nothing to share
    weights: Float64Array = np.maximum(shares * scale[n_held], floor)
    return weights
