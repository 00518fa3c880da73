"""Mixtures against Kaldi: what its programs wrote, from one end of the chain to the other."""

import functools
import operator

import numpy as np
import pytest
from scipy.special import logsumexp

from helpers.models import golden_gmm
from helpers.paths import GOLDEN
from speechgmm import DiagonalGMM, accumulate, log_likelihood, map_adapt
from speechgmm.gmm.blocks import log_joint_blocks
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.gmm.training.update import ml_update

NO_FLOORS = TrainingConfig(n_components=8, variance_floor=0, weight_floor=0, min_occupancy=0)
KALDI_FLOOR = 1e-3
"""Least variance there, whatever the feature; weights and occupancies never came near their floors."""


@pytest.fixture(scope="module")
def frames():
    return np.load(GOLDEN / "gmm_feats.npy")


@pytest.fixture(scope="module")
def utterances():
    """Name, first frame and end of each."""
    rows = [line.split() for line in (GOLDEN / "gmm_feats.utts").read_text().splitlines() if line]
    return [(name, int(start), int(stop)) for name, start, stop in rows]


def assert_same_statistics(stats, name, zeroth=2e-5):
    expected = np.load(GOLDEN / f"{name}.npz")
    # Kaldi sums float32 products; its first-order sums cancel to a few units where they are near zero.
    np.testing.assert_allclose(stats[0], expected["occupancy"], rtol=zeroth)
    np.testing.assert_allclose(stats[1], expected["meanaccs"], rtol=1e-4, atol=2e-2)
    np.testing.assert_allclose(stats[2], expected["diagvaraccs"], rtol=1e-4)


def best_four(frames, gmm):
    """Joint log-densities of the four likeliest components of each frame, and nothing for the others."""
    joint = np.concatenate([block for _, block in log_joint_blocks(gmm, frames, np.float64, missing=False)])
    others = np.argsort(joint, axis=1)[:, :-4]
    np.put_along_axis(joint, others, -np.inf, axis=1)
    return joint


@pytest.mark.parametrize("name", ["0", "1", "2", "map_m_tau16"])
def test_the_constants_of_a_model_are_its_log_densities_at_the_origin(name):
    gmm = golden_gmm(name)
    joint = next(block for _, block in log_joint_blocks(gmm, np.zeros((1, 39)), np.float64, missing=False))
    # Kaldi adds 39 terms in single precision, and wrote the parameters with seven digits.
    np.testing.assert_allclose(joint[0], np.load(GOLDEN / f"gmm_{name}.npz")["gconsts"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_two_iterations_go_from_kaldis_first_model_to_its_last(frames, dtype):
    gmm = golden_gmm("0")
    for _ in range(2):
        gmm = ml_update(accumulate(gmm, frames, dtype=dtype), gmm, NO_FLOORS)
        gmm = DiagonalGMM(gmm.weights, gmm.means, np.maximum(gmm.variances, KALDI_FLOOR))
    expected = golden_gmm("2")
    np.testing.assert_allclose(gmm.weights, expected.weights, rtol=5e-5)
    np.testing.assert_allclose(gmm.means, expected.means, rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(gmm.variances, expected.variances, rtol=2e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["0", "1"])
def test_statistics_of_utterances_add_up_to_kaldis_of_all(frames, utterances, name, dtype):
    gmm = golden_gmm(name)
    parts = [accumulate(gmm, frames[start:stop], dtype=dtype) for _, start, stop in utterances]
    assert sum(stop - start for _, start, stop in utterances) == len(frames)
    stats = functools.reduce(operator.add, parts)
    assert_same_statistics((stats.zeroth, stats.first, stats.second), f"gmm_{name}.acc")


def test_a_speaker_is_adapted_and_scores_its_frames_as_with_kaldi(frames, utterances):
    ubm = golden_gmm("1")
    _, start, stop = utterances[0]
    stats = accumulate(ubm, frames[start:stop])
    assert_same_statistics((stats.zeroth, stats.first, stats.second), "gmm_one.acc")
    adapted = map_adapt(ubm, stats, relevance_factor=16.0)
    expected = np.load(GOLDEN / "gmm_map_m_tau16.likes.npy")
    np.testing.assert_allclose(log_likelihood(adapted, frames), expected, rtol=1e-5, atol=2e-4)
    of_ubm = np.load(GOLDEN / "gmm_1.likes.npy")
    np.testing.assert_allclose(log_likelihood(ubm, frames), of_ubm, rtol=1e-5, atol=5e-5)
    assert (expected - of_ubm)[start:stop].mean() > 0 > (expected - of_ubm)[stop:].mean()


def test_likelihoods_over_the_best_four_components_are_kaldis(frames):
    expected = np.load(GOLDEN / "gmm_1.likes_gselect4_sorted.npy")
    found = logsumexp(best_four(frames, golden_gmm("1")), axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=5e-5)


def test_statistics_over_the_best_four_components_are_kaldis(frames):
    joint = best_four(frames, golden_gmm("1"))
    gamma = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    sums = gamma.sum(axis=0), gamma.T @ frames, gamma.T @ frames**2
    assert_same_statistics(sums, "gmm_1.acc_gselect4_sorted")
    # Components beyond the fourth hold so little here that the sums over all eight must be told from these.
    everything = np.load(GOLDEN / "gmm_1.acc.npz")["occupancy"]
    assert not np.allclose(sums[0], everything, rtol=2e-5)
