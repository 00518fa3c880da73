"""Relevance MAP."""

import numpy as np
import pytest

import naive
from conftest import GOLDEN, draw, random_gmm
from speechgmm import SufficientStats, accumulate, map_adapt
from test_gmm import golden_gmm

ALL = ("weights", "means", "variances")


@pytest.mark.parametrize("relevance_factor", [0.5, 10.0, 1e4])
def test_adaptation_is_the_literal_formula(rng, relevance_factor):
    ubm = random_gmm(rng)
    stats = accumulate(ubm, draw(rng, ubm, 200) + 0.3, dtype=np.float64)
    weights, means, variances = naive.map_adapt(
        ubm.weights, ubm.means, ubm.variances, stats.zeroth, stats.first, stats.second, relevance_factor
    )
    adapted = map_adapt(ubm, stats, relevance_factor=relevance_factor, adapt=ALL)
    np.testing.assert_allclose(adapted.weights, weights, rtol=1e-12)
    np.testing.assert_allclose(adapted.means, means, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(adapted.variances, variances, rtol=1e-10)


def test_adapted_means_agree_with_kaldi():
    ubm = golden_gmm("1")
    stats = accumulate(ubm, np.load(GOLDEN / "gmm_feats.npy")[:708])
    expected = np.load(GOLDEN / "gmm_map_m_tau16.npz")
    adapted = map_adapt(ubm, stats, relevance_factor=16.0)
    np.testing.assert_allclose(adapted.means, expected["means"], rtol=1e-4, atol=1e-4)
    assert np.array_equal(adapted.variances, ubm.variances)
    assert np.array_equal(adapted.weights, ubm.weights)


@pytest.mark.parametrize("relevance_factor", [0.0, 1e-300, 16.0])
def test_without_evidence_the_model_is_the_ubm(rng, relevance_factor):
    ubm = random_gmm(rng)
    adapted = map_adapt(ubm, SufficientStats.zeros(5, 3), relevance_factor=relevance_factor, adapt=ALL)
    np.testing.assert_allclose(adapted.weights, ubm.weights, rtol=1e-12)
    np.testing.assert_allclose(adapted.means, ubm.means, rtol=1e-12)
    np.testing.assert_allclose(adapted.variances, ubm.variances, rtol=1e-12)


def test_a_component_without_frames_keeps_its_parameters(rng):
    ubm = random_gmm(rng)
    stats = accumulate(ubm, draw(rng, ubm, 100))
    zeroth, first, second = stats.zeroth.copy(), stats.first.copy(), stats.second.copy()
    zeroth[2], first[2], second[2] = 0, 0, 0
    partial = SufficientStats(zeroth, first, second, stats.log_likelihood, stats.n_frames)
    for relevance_factor in (0.0, 10.0):
        adapted = map_adapt(ubm, partial, relevance_factor=relevance_factor, adapt=ALL)
        np.testing.assert_allclose(adapted.means[2], ubm.means[2])
        np.testing.assert_allclose(adapted.variances[2], ubm.variances[2])
        assert (adapted.weights > 0).all()


def test_relevance_zero_is_maximum_likelihood_and_infinite_relevance_the_prior(rng):
    ubm = random_gmm(rng)
    stats = accumulate(ubm, draw(rng, ubm, 500), dtype=np.float64)
    weights, means, variances = naive.ml_update(stats.zeroth, stats.first, stats.second)
    adapted = map_adapt(ubm, stats, relevance_factor=0.0, adapt=ALL)
    np.testing.assert_allclose(adapted.weights, weights, rtol=1e-12)
    np.testing.assert_allclose(adapted.means, means, rtol=1e-12)
    np.testing.assert_allclose(adapted.variances, variances, rtol=1e-9)
    np.testing.assert_allclose(map_adapt(ubm, stats, relevance_factor=1e12).means, ubm.means, rtol=1e-6, atol=1e-8)


def test_variances_alone_stay_positive_where_the_data_lie_far_from_the_means(rng):
    ubm = random_gmm(rng)
    stats = accumulate(ubm, np.zeros((300, 3)) + 1e-3)
    adapted = map_adapt(ubm, stats, adapt=("variances",))
    assert (adapted.variances > 0).all()
    one_frame = accumulate(ubm, np.zeros((1, 3)))
    assert (map_adapt(ubm, one_frame, relevance_factor=0.0, adapt=ALL).variances > 0).all()


@pytest.mark.parametrize("adapt", [("weights",), ("means",), ("variances",), ("weights", "variances"), ()])
def test_only_what_is_named_is_adapted(rng, adapt):
    ubm = random_gmm(rng)
    adapted = map_adapt(ubm, accumulate(ubm, draw(rng, ubm, 300)), adapt=adapt)
    for name in ALL:
        assert np.array_equal(getattr(adapted, name), getattr(ubm, name)) == (name not in adapt)


def test_bad_requests_are_refused(rng):
    ubm = random_gmm(rng)
    with pytest.raises(ValueError, match=r"shape \(4, 3\) for a model of shape \(5, 3\)"):
        map_adapt(ubm, SufficientStats.zeros(4, 3))
    for relevance_factor in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="relevance_factor"):
            map_adapt(ubm, SufficientStats.zeros(5, 3), relevance_factor=relevance_factor)
    with pytest.raises(ValueError, match=r"adapt \['mean'\]"):
        map_adapt(ubm, SufficientStats.zeros(5, 3), adapt=("mean",))
