"""The M step of total variability, minimum divergence, and the turn of the factors that comes last."""

from dataclasses import dataclass

import numpy as np

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.errors import ModelError
from speechgmm.subspace import packed
from speechgmm.subspace.total_variability.accumulators import FactorStats, about_means
from speechgmm.subspace.total_variability.model import TotalVariability

LEAST_VARIANCE = 1e-10
"""Least variance as a share of the background model's, whatever floor is asked for: rounding may leave less than 0."""

RIDGES = (0.0, *(10.0**power for power in range(-12, 1)))
"""Additions to the diagonal of equations, as shares of its mean: the first with which they can be solved is taken."""


@dataclass(frozen=True, eq=False)
class Update:
    """A model after an M step."""

    model: TotalVariability
    n_floored: int  # variances held by the floor
    n_regularised: int  # components whose equations needed a ridge


def maximise(
    model: TotalVariability,
    stats: FactorStats,
    kept: BoolArray,
    second: Float64Array,
    least_variances: Float64Array | None,
) -> Update:
    """Find the loadings, and with `least_variances` the variances, that suit posterior expectations best: the M step.

    Components that are `kept` stay as they are. `second` holds the sums of squares about 0 of all frames.
    """
    products = stats.products.reshape(model.loadings.shape)
    loadings = model.loadings.copy()
    n_regularised = 0
    for component in np.flatnonzero(~kept):
        loadings[component], regular = _solve(stats.moments[component], products[component])
        n_regularised += not regular
    if least_variances is None:
        return Update(TotalVariability(model.means, loadings, model.variances), 0, n_regularised)
    scatter = about_means(model.means, stats.evidence, second) - (loadings * products).sum(axis=2)
    variances = scatter / np.where(kept, 1.0, stats.evidence.zeroth)[:, None]
    floored = (variances < least_variances) & ~kept[:, None]
    variances = np.where(kept[:, None], model.variances, np.maximum(variances, least_variances))
    return Update(TotalVariability(model.means, loadings, variances), int(floored.sum()), n_regularised)


def minimise_divergence(model: TotalVariability, stats: FactorStats) -> TotalVariability | None:
    """Move the means, and turn and scale the factors, so that these are standard normal over the recordings.

    The model of the frames stays the same but for the distribution of the factors, which becomes what the recordings
    show. None if their covariance is not positive definite in double precision. Brümmer (2009), "The EM algorithm and
    minimum divergence".
    """
    mean = stats.factor_sum / stats.n_recordings
    moments = packed.unpack(stats.factor_moments / stats.n_recordings, model.rank)
    try:
        factor = np.linalg.cholesky(moments - np.outer(mean, mean))
    except np.linalg.LinAlgError:
        return None
    return TotalVariability(model.means + model.loadings @ mean, model.loadings @ factor, model.variances)


def orthogonalise(model: TotalVariability, weights: Float64Array) -> TotalVariability:
    """Turn the factors so that the mean precision that a frame adds is diagonal, the largest first.

    The model stays the same. The largest loading of each factor, in standard deviations, is positive.
    """
    _, directions = np.linalg.eigh(packed.unpack(weights @ model.precisions, model.rank))
    loadings = model.loadings @ directions[:, ::-1]
    whitened = (loadings / np.sqrt(model.variances)[:, :, None]).reshape(model.means.size, model.rank)
    largest = np.take_along_axis(whitened, np.abs(whitened).argmax(axis=0)[None], axis=0)[0]
    return TotalVariability(model.means, np.where(largest < 0, -loadings, loadings), model.variances)


def explained_share(model: TotalVariability, weights: Float64Array) -> float:
    """Return the share of the variance that the factors explain: the mean over features, by the components' weights."""
    between = (model.loadings**2).sum(axis=2)
    return float(weights @ (between / (between + model.variances)).mean(axis=1))


def _solve(moments: Float64Array, products: Float64Array) -> tuple[Float64Array, bool]:
    """Return loadings, shape (D, R), and whether they could be found without a ridge."""
    rank = products.shape[1]
    on_diagonal = packed.diagonal(rank)
    for ridge in RIDGES:
        factor = moments.copy()
        factor[on_diagonal] += ridge * moments[on_diagonal].mean()
        if packed.factorise(factor, rank):
            return packed.solve(factor, products.T).T, ridge == 0
    raise ModelError("posterior moments of a component are not positive; expected statistics of frames of speech")
