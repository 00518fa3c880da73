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
"""Frames per cluster that are drawn to find the clusters' centres: more cost more time than they improve the result."""

CLUSTER_ITERATIONS = 10
"""Maximum number of iterations of k-means: EM goes on to move the centres."""


def initialise(
    frames: FloatArray,
    config: TrainingConfig,
    rng: np.random.Generator,
    *,
    weights: Float64Array | None = None,
    start: DiagonalGMM | None = None,
    dtype: type[np.floating] = np.float32,
) -> DiagonalGMM:
    """Build the first model, which EM then improves.

    Parameters
    ----------
    frames : np.ndarray, shape (T, D), finite, T >= 1
        Feature frames in memory.
    config : TrainingConfig
        Method, number of components, and floors.
    rng : np.random.Generator
        Source of random numbers, for the directions of splits or the frames that clusters start from.
    weights : np.ndarray, shape (T,), > 0, optional
        How often each frame counts; once when not given.
    start : DiagonalGMM, at most C components over D features, optional
        A model to return, or to split until it has C components, in place of the method of `config`.
    dtype : np.float32 or np.float64
        Precision of the matrix products.

    Returns
    -------
    DiagonalGMM
        A model of exactly ``config.n_components`` components.

    Raises
    ------
    ModelError
        If there are no frames, they or their squares are not finite, `start` has another dimension or too many
        components, or there are fewer frames than clusters.

    References
    ----------
    Splitting: Linde, Buzo, Gray (1980), IEEE Trans. Communications 28. k-means++: Arthur and Vassilvitskii (2007).

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import TrainingConfig, initialise
    >>> rng = np.random.default_rng(0)
    >>> frames = rng.normal(size=(1000, 3))
    >>> gmm = initialise(frames, TrainingConfig(n_components=5), rng)
    >>> gmm.means.shape
    (5, 3)
    >>> bool(np.allclose(gmm.weights @ gmm.means, frames.mean(axis=0), atol=0.01))
    True
    """
    if len(frames) == 0 or not np.isfinite(frames).all():
        raise ModelError(f"{len(frames)} frames to make a model from; expected one or more, all finite")
    whole = _fit_one_gaussian(frames, weights)
    if start is not None:
        _check_start(start, config, frames.shape[1])
    if start is not None or config.initial == "splitting":
        return _split_to_size(whole if start is None else start, frames, weights, config, rng, dtype)
    if config.initial == "random":
        return _place_at_random(whole, frames, weights, config.size, rng)
    return _from_clusters(whole, frames, weights, config, rng)


def _check_start(start: DiagonalGMM, config: TrainingConfig, n_features: int) -> None:
    """Refuse a start of another dimension than the frames, or of too many components."""
    if start.n_features != n_features or start.n_components > config.size:
        raise ModelError(
            f"a first model of {start.n_components} components x {start.n_features} features; "
            f"expected at most {config.size} x {n_features}"
        )


def _fit_one_gaussian(frames: FloatArray, weights: Float64Array | None) -> DiagonalGMM:
    """Fit a single Gaussian to the frames by maximum likelihood."""
    with np.errstate(over="ignore"):  # reported below
        if weights is None:
            mean, variance = frames.mean(axis=0, dtype=np.float64), frames.var(axis=0, dtype=np.float64)
        else:
            mean = np.average(frames, axis=0, weights=weights)
            variance = np.average((frames - mean) ** 2, axis=0, weights=weights)
    if not np.isfinite(variance).all():
        raise ModelError(f"features up to {np.abs(frames).max():g}: expected numbers whose squares are finite")
    return DiagonalGMM(np.ones(1), mean[None], replace_constant_variance(mean, variance)[None])


def _split_to_size(
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


def _place_at_random(
    whole: DiagonalGMM, frames: FloatArray, weights: Float64Array | None, n_components: int, rng: np.random.Generator
) -> DiagonalGMM:
    """Place components of equal weight, with the variance of all frames, on frames drawn at random."""
    share = None if weights is None else weights / weights.sum()
    rows = rng.choice(len(frames), n_components, replace=len(frames) < n_components, p=share)
    variances = np.broadcast_to(whole.variances, (n_components, whole.n_features))
    return DiagonalGMM(np.full(n_components, 1 / n_components), frames[rows].astype(np.float64), variances)


def _from_clusters(
    whole: DiagonalGMM,
    frames: FloatArray,
    weights: Float64Array | None,
    config: TrainingConfig,
    rng: np.random.Generator,
) -> DiagonalGMM:
    """Turn each cluster of frames, measured in standard deviations of the features, into a component."""
    deviation = np.sqrt(whole.variances[0])
    scaled = ((frames - whole.means[0]) / deviation).astype(np.float32)
    if len(scaled) < config.size:
        raise ModelError(f"n_components {config.size} is more than the {len(scaled)} frames of the first model")
    labels, centres = _find_clusters(scaled, weights, config, rng)
    previous = DiagonalGMM(np.full(config.size, 1 / config.size), centres, np.ones(centres.shape))
    gmm = ml_update(_cluster_statistics(scaled, weights, labels, config.size), previous, config)
    return DiagonalGMM(gmm.weights, gmm.means * deviation + whole.means[0], gmm.variances * deviation**2)


@one_thread()
def _find_clusters(
    scaled: FloatArray, weights: Float64Array | None, config: TrainingConfig, rng: np.random.Generator
) -> tuple[IntArray, Float64Array]:
    """Find C centres, from a sample of the frames, and the index of the nearest centre of each frame."""
    from sklearn.cluster import KMeans, kmeans_plusplus
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import pairwise_distances_argmin

    rows = np.arange(len(scaled))
    if FRAMES_PER_CLUSTER * config.size < len(rows):
        rows = rng.choice(len(rows), FRAMES_PER_CLUSTER * config.size, replace=False)
    counts = None if weights is None else weights[rows]
    with one_openmp_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # raised for fewer distinct frames than clusters
        seed = int(rng.integers(2**31))
        centres, _ = kmeans_plusplus(scaled[rows], config.size, sample_weight=counts, random_state=seed)
        if config.initial == "k-means":
            clustering = KMeans(config.size, init=centres, n_init=1, max_iter=CLUSTER_ITERATIONS)
            centres = clustering.fit(scaled[rows], sample_weight=counts).cluster_centers_
        return pairwise_distances_argmin(scaled, centres), centres


def _cluster_statistics(
    scaled: FloatArray, weights: Float64Array | None, labels: IntArray, n_components: int
) -> SufficientStats:
    """Compute the statistics of clusters: every frame belongs to one component alone."""
    counts = np.ones(len(scaled)) if weights is None else weights
    members = sparse.csr_array((counts, (labels, np.arange(len(labels)))), shape=(n_components, len(labels)))
    wide = scaled.astype(np.float64)
    first, second = (np.asarray(members @ power, np.float64) for power in (wide, wide**2))
    return SufficientStats(
        np.bincount(labels, counts, n_components).astype(np.float64), first, second, 0.0, len(scaled)
    )
