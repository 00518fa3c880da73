"""Small models and frames, and comparisons of statistics."""

import numpy as np
import pytest

from helpers.paths import GOLDEN
from speechgmm import DiagonalGMM, SufficientStats


def random_gmm(rng: np.random.Generator, n_components: int = 5, n_features: int = 3) -> DiagonalGMM:
    """Draw a model whose components overlap."""
    weights = rng.dirichlet(np.full(n_components, 5.0))
    means = rng.normal(size=(n_components, n_features))
    return DiagonalGMM(weights, means, rng.uniform(0.3, 2.0, size=(n_components, n_features)))


def draw(rng: np.random.Generator, gmm: DiagonalGMM, n_frames: int) -> np.ndarray:
    """Draw frames from a model."""
    component = rng.choice(gmm.n_components, n_frames, p=gmm.weights)
    noise = rng.normal(size=(n_frames, gmm.n_features))
    return gmm.means[component] + noise * np.sqrt(gmm.variances[component])


def golden_gmm(name: str) -> DiagonalGMM:
    """Read a model that another program has trained; the single-precision weights are made to add up to 1."""
    file = np.load(GOLDEN / f"gmm_{name}.npz")
    return DiagonalGMM(file["weights"] / file["weights"].sum(), file["means"], file["vars"])


def parameters(gmm: DiagonalGMM) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weights, means and variances."""
    return gmm.weights, gmm.means, gmm.variances


def all_of(stats: SufficientStats) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return the three orders of statistics and the log-likelihood."""
    return stats.zeroth, stats.first, stats.second, stats.log_likelihood


def assert_close(stats: SufficientStats, expected: tuple, tolerance: float) -> None:
    """Compare statistics with `all_of` what is expected; sums of both signs may err by a share of the largest."""
    zeroth, first, second, log_likelihood = expected
    scale = max(1.0, np.abs(second).max())
    np.testing.assert_allclose(stats.zeroth, zeroth, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(stats.first, first, rtol=tolerance, atol=tolerance * scale)
    np.testing.assert_allclose(stats.second, second, rtol=tolerance, atol=tolerance * scale)
    assert stats.log_likelihood == pytest.approx(log_likelihood, rel=tolerance)
