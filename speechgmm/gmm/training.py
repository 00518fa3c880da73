"""Maximum likelihood: the first model, the M step, and the EM loop over shards of frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from pydantic import Field, model_validator

from speechgmm.arrays import BoolArray, Float32Array, Float64Array, FloatArray
from speechgmm.configuration import Configuration
from speechgmm.errors import ModelError
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats, accumulate
from speechgmm.parallel import sum_over as serial_sum_over

Shard = str | Path | FloatArray

RESOLUTION = 2.0**-24
"""A feature whose standard deviation is under this share of its mean is constant, as far as single precision can tell
and as far as a second moment in double precision can."""

LEAST_SHARE = 1e-8
"""Without any floor, variances are still kept above this share of the variance of all frames."""

SPLIT_DEVIATIONS = 0.2
"""The two halves of a split component lie this many standard deviations on either side of it."""


class TrainingConfig(Configuration):
    """How a mixture is trained from frames.

    Parameters
    ----------
    n_components : int >= 1
        Number of Gaussians, C; honoured exactly.
    n_iterations : int >= 1
        Most EM iterations over all frames.
    tolerance : float >= 0
        Stop when the log-likelihood per frame gains less than this share of itself, counted in standard deviations of
        the features, so that their units don't matter; 0 never stops early.
    variance_floor : float, 0 to 1
        Least variance, as a share of the variance of all frames along that feature.
    weight_floor : float >= 0
        Least weight of a component.
    min_occupancy : float >= 0, frames
        A component with fewer frames is put beside the heaviest one, which then counts as split; if there is none
        to split, it keeps its place.
    initial_iterations : int >= 0
        EM iterations at each size while the first model is split up to C components.
    initial_frames : int >= 1
        Frames that the first model is made from, drawn evenly from all.
    """

    n_components: int = Field(256, ge=1)
    n_iterations: int = Field(12, ge=1)
    tolerance: float = Field(1e-5, ge=0)
    variance_floor: float = Field(0.01, ge=0, le=1)
    weight_floor: float = Field(1e-5, ge=0)
    min_occupancy: float = Field(10.0, ge=0)
    initial_iterations: int = Field(4, ge=0)
    initial_frames: int = Field(100_000, ge=1)

    @model_validator(mode="after")
    def _floors_leave_room(self) -> Self:
        """Refuse a weight floor that the weights of all components cannot keep."""
        if self.weight_floor * self.n_components > 1:
            raise ValueError(f"weight_floor {self.weight_floor} times n_components {self.n_components} is above 1")
        return self


@dataclass(frozen=True)
class Iteration:
    """One EM iteration, as the history shows it.

    Parameters
    ----------
    number : int >= 1
        Which one.
    log_likelihood : float, nats
        Mean log-likelihood per frame under the model that the iteration started from.
    n_floored : int
        Variances, of C x D, that the floor held up.
    n_revived : int
        Components with too few frames that were put elsewhere.
    """

    number: int
    log_likelihood: float
    n_floored: int
    n_revived: int


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained model and how it came about.

    Parameters
    ----------
    gmm : DiagonalGMM
        The model after the last iteration.
    history : tuple of Iteration
        Every iteration over all frames.
    converged : bool
        Whether the gain fell below the tolerance before the iterations ran out.
    n_frames : int
        Frames trained on.
    """

    gmm: DiagonalGMM
    history: tuple[Iteration, ...]
    converged: bool
    n_frames: int


class SumOver(Protocol):
    """Adds a function's statistics over shards, in their order: `parallel.sum_over`, perhaps on an engine."""

    def __call__(self, function: Callable[[Shard], SufficientStats], items: Sequence[Shard], /) -> SufficientStats:
        """Return the sum."""
        ...


def train(
    shards: Sequence[Shard],
    config: TrainingConfig,
    *,
    rng: np.random.Generator | None = None,
    sum_over: SumOver = serial_sum_over,
    on_iteration: Callable[[Iteration], None] | None = None,
) -> TrainingResult:
    """Train a mixture by maximum likelihood.

    Parameters
    ----------
    shards : sequence of str, Path or np.ndarray of shape (T, D)
        The frames: `.npy` files, which are memory-mapped, or arrays. Their number and order are part of the
        result, to the last bit; who adds them is not.
    config : TrainingConfig
        Size, floors, when to stop.
    rng : np.random.Generator, optional
        Chooses the frames of the first model and the directions of its splits; seeded with 0 when not given.
    sum_over : callable
        Adds statistics over shards; `parallel.sum_over` with an engine bound runs on its workers.
    on_iteration : callable, optional
        Told of each iteration as it ends.

    Returns
    -------
    TrainingResult
        Model, history, and whether it converged.

    Raises
    ------
    ModelError
        If there are fewer frames than components, or frames that are not finite or not of one dimension D.
    """
    rng = rng or np.random.default_rng(0)
    shapes = [_frames_of(shard).shape for shard in shards]
    if any(len(shape) != 2 for shape in shapes) or len({shape[1] for shape in shapes}) != 1:
        shown = ", ".join(map(str, shapes[:3]))
        raise ModelError(f"{len(shapes)} shards of shapes {shown}, ...; expected a list of (T, D) frames with one D")
    n_frames = sum(shape[0] for shape in shapes)
    if n_frames < config.n_components:
        raise ModelError(f"n_components {config.n_components} is more than the {n_frames} frames to train on")
    gmm = initialise(sample_frames(shards, config.initial_frames, rng), config, rng)
    history: list[Iteration] = []
    converged = False
    for number in range(1, config.n_iterations + 1):
        stats = sum_over(partial(_accumulate_shard, gmm), shards)
        gmm, n_floored = _update(stats, gmm, config)
        n_revived = 0
        if number < config.n_iterations:  # a component moved by the last update would never see its frames
            gmm, n_revived = _revive(gmm, stats.zeroth, config.min_occupancy)
        history.append(Iteration(number, stats.log_likelihood / n_frames, n_floored, n_revived))
        if on_iteration:
            on_iteration(history[-1])
        if _settled(history, _spread(stats), config.tolerance):
            converged = True
            break
    return TrainingResult(gmm, tuple(history), converged, n_frames)


def initialise(frames: FloatArray, config: TrainingConfig, rng: np.random.Generator) -> DiagonalGMM:
    """Make a first model by splitting: the heaviest components become two, until there are C.

    Parameters
    ----------
    frames : np.ndarray, shape (T, D), finite, T >= 1
        Frames in memory.
    config : TrainingConfig
        Number of components, EM iterations at each size, floors.
    rng : np.random.Generator
        Chooses the direction of each split.

    Returns
    -------
    DiagonalGMM
        Of exactly ``config.n_components`` components.

    Raises
    ------
    ModelError
        If there are no frames, or they are not finite.
    """
    if len(frames) == 0 or not np.isfinite(frames).all():
        raise ModelError(f"{len(frames)} frames to make a model from; expected one or more, all finite")
    mean = frames.mean(axis=0, dtype=np.float64)
    variance = _never_nothing(mean, frames.var(axis=0, dtype=np.float64))
    gmm = DiagonalGMM(np.ones(1), mean[None], variance[None])
    while gmm.n_components < config.n_components:
        n_splits = min(gmm.n_components, config.n_components - gmm.n_components)
        heaviest = np.argsort(-gmm.weights, kind="stable")[:n_splits]
        directions = rng.choice([-1.0, 1.0], size=(n_splits, gmm.n_features))
        gmm = _split(gmm, heaviest, directions)
        for _ in range(config.initial_iterations):
            stats = serial_sum_over(partial(_accumulate_shard, gmm), [frames])
            gmm, _ = _revive(ml_update(stats, gmm, config), stats.zeroth, config.min_occupancy)
    return gmm


def ml_update(stats: SufficientStats, previous: DiagonalGMM, config: TrainingConfig) -> DiagonalGMM:
    """Do the M step: the model under which these posteriors make the frames most likely, within the floors.

    Parameters
    ----------
    stats : SufficientStats, shapes (C,), (C, D), (C, D)
        Statistics of all frames under `previous`, at least one frame.
    previous : DiagonalGMM, C components over D features
        Gives the mean and variance of a component that has no frames, or fewer than ``config.min_occupancy``.
    config : TrainingConfig
        The floors.

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
    return _update(stats, previous, config)[0]


def sample_frames(shards: Sequence[Shard], n_frames: int, rng: np.random.Generator) -> Float32Array:
    """Draw frames evenly from all shards, in order and without repeats; all of them if there are no more.

    Parameters
    ----------
    shards : sequence of Path or np.ndarray of shape (T, D)
        Where the frames are; only the chosen ones are read.
    n_frames : int >= 1
        How many.
    rng : np.random.Generator
        Chooses them.

    Returns
    -------
    np.ndarray, shape (at most n_frames, D), float32
        The frames.
    """
    bounds = np.cumsum([0] + [len(_frames_of(shard)) for shard in shards])
    total = int(bounds[-1])
    chosen = np.arange(total)
    if n_frames < total:
        chosen = np.sort(rng.choice(total, n_frames, replace=False, shuffle=False))
    parts = []
    for shard, start, stop in zip(shards, bounds[:-1], bounds[1:], strict=True):
        rows = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, stop)] - start
        parts.append(np.asarray(_frames_of(shard)[rows], np.float32))
    return np.concatenate(parts)


def _frames_of(shard: Shard) -> FloatArray:
    """Give a shard's frames, mapped into memory if it is a file."""
    if isinstance(shard, str | Path):
        frames: FloatArray = np.load(shard, mmap_mode="r")
        return frames
    return shard


def _accumulate_shard(gmm: DiagonalGMM, shard: Shard) -> SufficientStats:
    """Accumulate one shard: the function that workers run."""
    return accumulate(gmm, _frames_of(shard))


def _settled(history: Sequence[Iteration], spread: float, tolerance: float) -> bool:
    """Tell whether the last iteration gained too little; one after a revival says nothing about that."""
    if len(history) < 2 or tolerance == 0 or history[-1].n_revived or history[-2].n_revived:
        return False
    before, after = (iteration.log_likelihood + spread for iteration in history[-2:])
    return abs(after - before) < tolerance * abs(before)


def _spread(stats: SufficientStats) -> float:
    """Give the log of the volume of a standard deviation: what the features' units add to a log-likelihood."""
    return 0.5 * float(np.log(_never_nothing(*_global_moments(stats))).sum())


def _global_moments(stats: SufficientStats) -> tuple[Float64Array, Float64Array]:
    """Give mean and variance of all frames, which their statistics add up to."""
    total = stats.zeroth.sum()
    mean = stats.first.sum(axis=0) / total
    return mean, stats.second.sum(axis=0) / total - mean**2


def _never_nothing(mean: Float64Array, variance: Float64Array) -> Float64Array:
    """Give constant features a variance in which all frames are near, so that they count for nothing."""
    constant = variance <= (RESOLUTION * mean) ** 2
    instead = np.where(mean == 0, 1.0, mean**2)
    positive: Float64Array = np.where(constant, instead, variance)
    return positive


def _update(stats: SufficientStats, previous: DiagonalGMM, config: TrainingConfig) -> tuple[DiagonalGMM, int]:
    """Do the M step, and count the variances that the floor held up."""
    if stats.first.shape != previous.means.shape:
        raise ValueError(f"statistics of shape {stats.first.shape} for a model of shape {previous.means.shape}")
    total = stats.zeroth.sum()
    if not total > 0:
        raise ValueError("statistics of no frames: there is nothing to update a model with")
    fed = (stats.zeroth > 0) & (stats.zeroth >= config.min_occupancy)
    weights = _floored_weights(stats.zeroth, max(config.weight_floor, float(np.finfo(np.float64).tiny)))
    means = previous.means.copy()
    variances = previous.variances.copy()
    occupancy = stats.zeroth[fed, None]
    means[fed] = stats.first[fed] / occupancy
    variances[fed] = stats.second[fed] / occupancy - means[fed] ** 2
    floor = _variance_floor(stats, config.variance_floor)
    floored = variances < floor
    return DiagonalGMM(weights, means, np.where(floored, floor, variances)), int(floored.sum())


def _variance_floor(stats: SufficientStats, share: float) -> Float64Array:
    """Take a share of the variance of all frames; a constant feature keeps the whole of the one that it was given."""
    mean, raw = _global_moments(stats)
    variance = _never_nothing(mean, raw)
    least = np.maximum(max(share, LEAST_SHARE) * variance, (RESOLUTION * mean) ** 2)
    floor: Float64Array = np.where(variance > raw, variance, least)
    return floor


def _floored_weights(shares: Float64Array, floor: float) -> Float64Array:
    """Hold weights up to a floor and let the others, which sum to the rest, keep their proportions."""
    ordered = np.sort(shares)
    rest = np.cumsum(ordered[::-1])[::-1]  # of the smallest but k, for each k
    scale = (1 - floor * np.arange(len(shares))) / rest
    enough = np.flatnonzero(ordered * scale >= floor)
    n_held = enough[0] if len(enough) else len(shares) - 1  # all, when the floors leave nothing to share
    weights: Float64Array = np.maximum(shares * scale[n_held], floor)
    return weights


def _split(gmm: DiagonalGMM, chosen: np.ndarray, directions: Float64Array) -> DiagonalGMM:
    """Replace each chosen component by two of half its weight; the second halves come after the others."""
    offset = SPLIT_DEVIATIONS * np.sqrt(gmm.variances[chosen]) * directions
    weights, means = gmm.weights.copy(), gmm.means.copy()
    weights[chosen] /= 2
    means[chosen] -= offset
    return DiagonalGMM(
        np.concatenate([weights, weights[chosen]]),
        np.concatenate([means, gmm.means[chosen] + offset]),
        np.concatenate([gmm.variances, gmm.variances[chosen]]),
    )


def _revive(gmm: DiagonalGMM, occupancy: Float64Array, min_occupancy: float) -> tuple[DiagonalGMM, int]:
    """Put each starving component beside the heaviest one, as long as both halves then have enough frames."""
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
