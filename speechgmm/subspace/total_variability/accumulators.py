"""What an iteration of EM needs of the recordings: sums of posterior expectations, which add up from block to block."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from speechgmm.arrays import CopiedOnArrival, Float64Array
from speechgmm.subspace import packed
from speechgmm.subspace.statistics import StatsBlock
from speechgmm.subspace.total_variability.model import TotalVariability
from speechgmm.subspace.total_variability.posterior import Posteriors, centre, posteriors


@dataclass(frozen=True, eq=False)
class Evidence(CopiedOnArrival):
    """What the likelihood of a model needs of the recordings."""

    zeroth: Float64Array  # (C,), frames
    first: Float64Array  # (C, D), about 0
    gain: float  # nats: log-likelihood of the frames, less that with all factors 0

    def __add__(self, other: Self) -> Self:
        return type(self)(self.zeroth + other.zeroth, self.first + other.first, self.gain + other.gain)


@dataclass(frozen=True, eq=False)
class FactorStats(CopiedOnArrival):
    """Sums over recordings of their statistics and of the posterior expectations of their factors y."""

    evidence: Evidence
    products: Float64Array  # (C D, R): sum_u f_u E[y]', f about the means
    moments: Float64Array  # (C, P): sum_u N_u E[y y'], packed
    factor_sum: Float64Array  # (R,): sum_u E[y], of recordings with frames
    factor_moments: Float64Array  # (P,): sum_u E[y y'] of them, packed
    n_recordings: int  # recordings with frames

    def __add__(self, other: Self) -> Self:
        return type(self)(
            self.evidence + other.evidence,
            self.products + other.products,
            self.moments + other.moments,
            self.factor_sum + other.factor_sum,
            self.factor_moments + other.factor_moments,
            self.n_recordings + other.n_recordings,
        )


def accumulate_factors(model: TotalVariability, acoustic_weight: float, block: StatsBlock) -> FactorStats:
    """Compute the sums over a block of recordings: the E step, on a worker."""
    zeroth, first = _weighted(block, acoustic_weight)
    centred = centre(model, zeroth, first)
    found = posteriors(model, zeroth, centred, covariances=True)
    for row, expectation in enumerate(found.covariances):
        packed.add_outer(expectation, found.means[row : row + 1])
    has_frames = zeroth.any(axis=1)
    return FactorStats(
        _evidence(zeroth, first, found),
        centred.reshape(len(zeroth), -1).T @ found.means,
        zeroth.T @ found.covariances,
        has_frames @ found.means,
        has_frames @ found.covariances,
        int(has_frames.sum()),
    )


def accumulate_evidence(model: TotalVariability, acoustic_weight: float, block: StatsBlock) -> Evidence:
    """Compute the sums over a block of recordings that the likelihood of a model needs, on a worker."""
    zeroth, first = _weighted(block, acoustic_weight)
    return _evidence(zeroth, first, posteriors(model, zeroth, centre(model, zeroth, first), covariances=False))


def log_likelihood(model: TotalVariability, evidence: Evidence, second: Float64Array) -> float:
    """Return the mean log-likelihood a frame, in nats, of frames whose components are known, with the factors unknown.

    `second` holds the sums of squares about 0 of all frames, shape (C, D).
    """
    log_variances = (np.log(2 * np.pi * model.variances)).sum(axis=1)
    distances = (about_means(model.means, evidence, second) / model.variances).sum()
    return float(evidence.gain - 0.5 * (evidence.zeroth @ log_variances + distances)) / float(evidence.zeroth.sum())


def about_means(means: Float64Array, evidence: Evidence, second: Float64Array) -> Float64Array:
    """Return second-order statistics about means, shape (C, D)."""
    return second - means * (2 * evidence.first - evidence.zeroth[:, None] * means)


def _weighted(block: StatsBlock, acoustic_weight: float) -> tuple[Float64Array, Float64Array]:
    """Return the weighted statistics of a block."""
    stats = block.load()
    if acoustic_weight == 1:
        return stats.zeroth, stats.first
    return acoustic_weight * stats.zeroth, acoustic_weight * stats.first


def _evidence(zeroth: Float64Array, first: Float64Array, found: Posteriors) -> Evidence:
    """Sum up statistics and gains."""
    return Evidence(zeroth.sum(axis=0), first.sum(axis=0), float(found.gains.sum()))
