"""The M step: a model from statistics, within its floors, and the treatment of starving components."""

from typing import NamedTuple

import numpy as np

from speechgmm.arrays import BoolArray, Float64Array, IntArray
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats
from speechgmm.gmm.training.config import TrainingConfig

RESOLUTION = 2.0**-24
"""A feature whose standard deviation is below this share of its mean counts as constant: single precision, and second
moments in double precision, cannot resolve it."""

LEAST_SHARE = 1e-8
"""Even without a floor, variances are kept above this share of the variance of all frames."""

CONSTANT_FEATURE_VARIANCE = 1e-280
"""A feature with less variance counts as constant, too: smaller numbers would lose digits."""

SPLIT_DEVIATIONS = 0.2
"""The two halves of a split component lie this many standard deviations on either side of it."""


class Update(NamedTuple):
    """A model after the M step, and how many of its C x D variances are held by the floor and by the ceiling."""

    gmm: DiagonalGMM
    n_floored: int
    n_ceiled: int


class Treatment(NamedTuple):
    """A model after the treatment of its starving components, and how many were starving, reseeded and removed."""

    gmm: DiagonalGMM
    n_starving: int
    n_reseeded: int
    n_removed: int


def ml_update(stats: SufficientStats, previous: DiagonalGMM, config: TrainingConfig) -> DiagonalGMM:
    """Do the M step: return the model of maximum likelihood for these statistics, within the floors and the ceiling.

    `previous` is the model that the statistics were accumulated with. A component with no frames, or fewer than
    ``config.min_occupancy``, keeps its mean and variance from there. Raises ValueError for statistics of another shape
    or of no frames. Reynolds and Rose (1995), IEEE Trans. Speech and Audio Processing 3, eqs. 6-8.
    """
    return update(stats, previous, config).gmm


def update(stats: SufficientStats, previous: DiagonalGMM, config: TrainingConfig) -> Update:
    """Do the M step as `ml_update`, and count the variances held by the floor and the ceiling."""
    if stats.first.shape != previous.means.shape:
        raise ValueError(f"statistics of shape {stats.first.shape} for a model of shape {previous.means.shape}")
    if not stats.zeroth.sum() > 0:
        raise ValueError("statistics of no frames: there is nothing to update a model with")
    updated = (stats.zeroth > 0) & (stats.zeroth >= config.min_occupancy)
    weights = _floored_weights(stats.zeroth, max(config.weight_floor, float(np.finfo(np.float64).tiny)))
    means = previous.means.copy()
    variances = previous.variances.copy()
    occupancy = stats.zeroth[updated, None]
    means[updated] = stats.first[updated] / occupancy
    variances[updated] = stats.second[updated] / occupancy - means[updated] ** 2
    floor, ceiling = _variance_limits(stats, config, previous)
    n_floored, n_ceiled = int((variances < floor).sum()), int((variances > ceiling).sum())
    return Update(DiagonalGMM(weights, means, np.clip(variances, floor, ceiling)), n_floored, n_ceiled)


def split(gmm: DiagonalGMM, chosen: IntArray, directions: Float64Array) -> DiagonalGMM:
    """Split n components, each chosen once, in two of half the weight each; the second halves come after all others.

    `directions`, shape (n, D), are -1 or 1: the side of the first half on which the second lies, along each feature.
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
    gmm: DiagonalGMM, occupancy: Float64Array, config: TrainingConfig, *, may_reseed: bool = True
) -> Treatment:
    """Reseed, remove or keep the components whose occupancy, shape (C,), in frames, is below ``config.min_occupancy``.

    Reseeding only makes sense if more iterations follow; otherwise pass `may_reseed` as False.
    """
    starving = occupancy < config.min_occupancy
    n_starving = int(starving.sum())
    if config.starving == "split" and may_reseed:
        gmm, n_reseeded = reseed_starved(gmm, occupancy, config.min_occupancy)
        return Treatment(gmm, n_starving, n_reseeded, 0)
    if config.starving == "remove" and n_starving:
        gmm, n_removed = _remove_starving(gmm, starving)
        return Treatment(gmm, n_starving, 0, n_removed)
    return Treatment(gmm, n_starving, 0, 0)


def reseed_starved(gmm: DiagonalGMM, occupancy: Float64Array, min_occupancy: float) -> tuple[DiagonalGMM, int]:
    """Place each starving component beside the heaviest, splitting it, while both halves have enough frames.

    `occupancy`, shape (C,), is in frames. Return the model, and the number of components reseeded.
    """
    starving: BoolArray = occupancy < min_occupancy
    share = occupancy.copy()
    weights, means, variances = gmm.weights.copy(), gmm.means.copy(), gmm.variances.copy()
    n_reseeded = 0
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
        n_reseeded += 1
    return DiagonalGMM(weights / weights.sum(), means, variances), n_reseeded


def global_moments(stats: SufficientStats) -> tuple[Float64Array, Float64Array]:
    """Compute the mean and variance of all frames, each (D,), from statistics; rounding may make a variance <= 0."""
    total = stats.zeroth.sum()
    mean = stats.first.sum(axis=0) / total
    return mean, stats.second.sum(axis=0) / total - mean**2


def replace_constant_variance(
    mean: Float64Array, variance: Float64Array, previous: DiagonalGMM | None = None
) -> Float64Array:
    """Replace the variance of constant features by one so large that the feature has no effect on posteriors.

    `mean` and `variance`, each (D,), are of all frames, computed relative to the reference of `previous`: rounding in
    its units is not variance, and its own variance of a constant feature is kept.
    """
    square, units = mean**2, mean**2
    if previous is not None:
        units = np.maximum(square, previous.reference.scale**2)
        square = np.maximum(square, previous.weights @ previous.variances)
    constant = (variance <= RESOLUTION**2 * units) | (variance < CONSTANT_FEATURE_VARIANCE)
    replacement = np.where(square < CONSTANT_FEATURE_VARIANCE, 1.0, square)
    positive: Float64Array = np.where(constant, replacement, variance)
    return positive


def _remove_starving(gmm: DiagonalGMM, starving: BoolArray) -> tuple[DiagonalGMM, int]:
    """Remove starving components, except the heaviest one if all are; return also how many were removed."""
    kept = ~starving
    if not kept.any():
        kept[np.argmax(gmm.weights)] = True
    weights = gmm.weights[kept]
    return DiagonalGMM(weights / weights.sum(), gmm.means[kept], gmm.variances[kept]), int((~kept).sum())


def _variance_limits(
    stats: SufficientStats, config: TrainingConfig, previous: DiagonalGMM
) -> tuple[Float64Array, Float64Array]:
    """Compute the floor and the ceiling, each (D,); a constant feature keeps the variance that replaced its own."""
    mean, raw = global_moments(stats)
    variance = replace_constant_variance(mean, raw, previous)
    least = np.maximum(max(config.variance_floor, LEAST_SHARE) * variance, (RESOLUTION * mean) ** 2)
    floor: Float64Array = np.where(variance > raw, variance, least)
    share = np.inf if config.variance_ceiling is None else config.variance_ceiling
    return floor, np.maximum(share * variance, floor)


def _floored_weights(shares: Float64Array, floor: float) -> Float64Array:
    """Raise weights to a floor and scale the others, in their proportions, so that all sum to 1."""
    ordered = np.sort(shares)
    rest = np.cumsum(ordered[::-1])[::-1]  # sums without the k smallest, for each k
    scale = (1 - floor * np.arange(len(shares))) / rest
    enough = np.flatnonzero(ordered * scale >= floor)
    n_held = enough[0] if len(enough) else len(shares) - 1  # all but one, if the floors leave nothing to share
    weights: Float64Array = np.maximum(shares * scale[n_held], floor)
    return weights
