"""The first model, which EM then improves."""

import warnings

import numpy as np
from scipy import sparse

from speechgmm.arrays import Float64Array, FloatArray, IntArray
from speechgmm.errors import ModelError
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats, accumulate
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.gmm.training.update import ml_update, replace_constant_variance, reseed_starved, split
from speechgmm.parallel.threads import one_openmp_thread, one_thread

FRAMES_PER_CLUSTER = 64
"""Frames, for each cluster, that are drawn to find the clusters' centres: more of them cost more than they improve."""

CLUSTER_ITERATIONS = 10
"""Most iterations of k-means: EM moves the centres further anyway."""


def initialise(
    frames: FloatArray,
    config: TrainingConfig,
    rng: np.random.Generator,
    *,
    weights: Float64Array | None = None,
    start: DiagonalGMM | None = None,
    dtype: type[np.floating] = np.float32,
) -> DiagonalGMM:
    """Make a first model.

    Parameters
    ----------
    frames : np.ndarray, shape (T, D), finite, T >= 1
        Frames in memory.
    config : TrainingConfig
        How, number of components, floors.
    rng : np.random.Generator
        Chooses the directions of splits, or the frames that clusters start from.
    weights : np.ndarray, shape (T,), > 0, optional
        How often each frame counts; once when not given.
    start : DiagonalGMM, at most C components over D features, optional
        A model to take, or to split, instead.
    dtype : np.float32 or np.float64
        Precision of the products.

    Returns
    -------
    DiagonalGMM
        Of exactly ``config.n_components`` components.

    Raises
    ------
    ModelError
        If there are no frames, or they or their squares are not finite, `start` has another dimension or too many
        components, or there are fewer frames than clusters.

    References
    ----------
    Splitting: Linde, Buzo, Gray (1980), IEEE Trans. Communications 28. k-means++: Arthur and Vassilvitskii (2007).
    """
    if len(frames) == 0 or not np.isfinite(frames).all():
        raise ModelError(f"{len(frames)} frames to make a model from; expected one or more, all finite")
    whole = _one_gaussian(frames, weights)
    if start is not None:
        _check_start(start, config, frames.shape[1])
    if start is not None or config.initial == "splitting":
        return _grown(whole if start is None else start, frames, weights, config, rng, dtype)
    if config.initial == "random":
        return _at_random(whole, frames, weights, config.size, rng)
    return _clustered(whole, frames, weights, config, rng)


def _check_start(start: DiagonalGMM, config: TrainingConfig, n_features: int) -> None:
    """Refuse a model that these frames, or this number of components, cannot start from."""
    if start.n_features != n_features or start.n_components > config.size:
        raise ModelError(
            f"a first model of {start.n_components} components x {start.n_features} features; "
            f"expected at most {config.size} x {n_features}"
        )


def _one_gaussian(frames: FloatArray, weights: Float64Array | None) -> DiagonalGMM:
    """Give the one Gaussian that the frames are likeliest under."""
    with np.errstate(over="ignore"):  # told below
        if weights is None:
            mean, variance = frames.mean(axis=0, dtype=np.float64), frames.var(axis=0, dtype=np.float64)
        else:
            mean = np.average(frames, axis=0, weights=weights)
            variance = np.average((frames - mean) ** 2, axis=0, weights=weights)
    if not np.isfinite(variance).all():
        raise ModelError(f"features up to {np.abs(frames).max():g}: expected numbers whose squares are finite")
    return DiagonalGMM(np.ones(1), mean[None], replace_constant_variance(mean, variance)[None])


def _grown(
    gmm: DiagonalGMM,
    frames: FloatArray,
    weights: Float64Array | None,
    config: TrainingConfig,
    rng: np.random.Generator,
    dtype: type[np.floating],
) -> DiagonalGMM:
    """Split the heaviest components in two until there are C, with some EM at each size."""
    while gmm.n_components < config.size:
        n_splits = min(gmm.n_components, config.size - gmm.n_components)
        heaviest = np.argsort(-gmm.weights, kind="stable")[:n_splits]
        gmm = split(gmm, heaviest, rng.choice([-1.0, 1.0], size=(n_splits, gmm.n_features)))
        for _ in range(config.initial_iterations):
            with one_thread():
                stats = accumulate(gmm, frames, weights=weights, dtype=dtype)
            gmm, _ = reseed_starved(ml_update(stats, gmm, config), stats.zeroth, config.min_occupancy)
    return gmm


def _at_random(
    whole: DiagonalGMM, frames: FloatArray, weights: Float64Array | None, n_components: int, rng: np.random.Generator
) -> DiagonalGMM:
    """Put components of equal weight and the variance of all frames on frames drawn at random."""
    share = None if weights is None else weights / weights.sum()
    rows = rng.choice(len(frames), n_components, replace=len(frames) < n_components, p=share)
    variances = np.broadcast_to(whole.variances, (n_components, whole.n_features))
    return DiagonalGMM(np.full(n_components, 1 / n_components), frames[rows].astype(np.float64), variances)


def _clustered(
    whole: DiagonalGMM,
    frames: FloatArray,
    weights: Float64Array | None,
    config: TrainingConfig,
    rng: np.random.Generator,
) -> DiagonalGMM:
    """Make a component of each cluster of frames, measured in standard deviations of the features."""
    deviation = np.sqrt(whole.variances[0])
    scaled = ((frames - whole.means[0]) / deviation).astype(np.float32)
    if len(scaled) < config.size:
        raise ModelError(f"n_components {config.size} is more than the {len(scaled)} frames of the first model")
    labels, centres = _clusters(scaled, weights, config, rng)
    previous = DiagonalGMM(np.full(config.size, 1 / config.size), centres, np.ones(centres.shape))
    gmm = ml_update(_hard_statistics(scaled, weights, labels, config.size), previous, config)
    return DiagonalGMM(gmm.weights, gmm.means * deviation + whole.means[0], gmm.variances * deviation**2)


@one_thread()
def _clusters(
    scaled: FloatArray, weights: Float64Array | None, config: TrainingConfig, rng: np.random.Generator
) -> tuple[IntArray, Float64Array]:
    """Find C centres from some of the frames, and the nearest one of each frame."""
    from sklearn.cluster import KMeans, kmeans_plusplus
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import pairwise_distances_argmin

    rows = np.arange(len(scaled))
    if FRAMES_PER_CLUSTER * config.size < len(rows):
        rows = rng.choice(len(rows), FRAMES_PER_CLUSTER * config.size, replace=False)
    counts = None if weights is None else weights[rows]
    with one_openmp_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer distinct frames than clusters
        seed = int(rng.integers(2**31))
        centres, _ = kmeans_plusplus(scaled[rows], config.size, sample_weight=counts, random_state=seed)
        if config.initial == "k-means":
            clustering = KMeans(config.size, init=centres, n_init=1, max_iter=CLUSTER_ITERATIONS)
            centres = clustering.fit(scaled[rows], sample_weight=counts).cluster_centers_
        return pairwise_distances_argmin(scaled, centres), centres


def _hard_statistics(
    scaled: FloatArray, weights: Float64Array | None, labels: IntArray, n_components: int
) -> SufficientStats:
    """Add up the frames of each cluster."""
    counts = np.ones(len(scaled)) if weights is None else weights
    members = sparse.csr_array((counts, (labels, np.arange(len(labels)))), shape=(n_components, len(labels)))
    wide = scaled.astype(np.float64)
    first, second = (np.asarray(members @ power, np.float64) for power in (wide, wide**2))
    return SufficientStats(
        np.bincount(labels, counts, n_components).astype(np.float64), first, second, 0.0, len(scaled)
    )
