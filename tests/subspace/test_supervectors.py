"""Vectors straight from statistics."""

import math

import numpy as np
import pytest

from helpers.models import draw, random_gmm
from helpers.paths import GOLDEN
from naive import subspace_backend as naive
from speechgmm import DiagonalGMM, SufficientStats, accumulate, log_likelihood, map_adapt
from speechgmm.errors import ModelError
from speechgmm.subspace.statistics import StatsStore, stack_statistics, write_statistics
from speechgmm.subspace.supervectors import fisher_vectors, supervectors, vlad


@pytest.fixture
def ubm(rng):
    return random_gmm(rng, 5, 3)


@pytest.fixture
def statistics(rng, ubm):
    frames = [draw(rng, ubm, n_frames) for n_frames in rng.integers(5, 60, 150)]
    return [accumulate(ubm, each, dtype=np.float64) for each in frames]


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "subspace" / "literal.npz")


@pytest.fixture(scope="module")
def golden_statistics():
    file = np.load(GOLDEN / "subspace" / "bob.npz")
    ubm = DiagonalGMM(file["ubm_weights"], file["ubm_means"], file["ubm_variances"])
    orders = (file[f"stat_{name}"] for name in ("zeroth", "first", "second", "loglik", "frames"))
    return ubm, [SufficientStats(*each[:4], int(each[4])) for each in zip(*orders, strict=True)]


def parameters(ubm):
    return ubm.weights, ubm.means, ubm.variances


def test_supervectors_are_those_of_the_golden_statistics(golden, golden_statistics):
    vectors = supervectors(*golden_statistics)
    np.testing.assert_allclose(vectors, golden["kl_supervectors"], rtol=0, atol=1e-13)
    np.testing.assert_allclose(vectors @ vectors.T, golden["kl_kernel"], rtol=0, atol=1e-13)


def test_supervectors_are_those_of_the_equation(ubm, statistics):
    vectors = supervectors(ubm, statistics, relevance_factor=3.0)
    for vector, stats in zip(vectors[:5], statistics, strict=False):
        expected = naive.supervector(parameters(ubm), stats.zeroth, stats.first, 3.0)
        np.testing.assert_allclose(vector, expected, rtol=1e-10, atol=1e-14)


def test_half_the_squared_distance_bounds_the_divergence_of_the_adapted_models(rng, ubm, statistics):
    one, other = (map_adapt(ubm, stats, relevance_factor=10.0) for stats in statistics[:2])
    frames = draw(rng, one, 20000)
    divergence = log_likelihood(one, frames).mean() - log_likelihood(other, frames).mean()
    first, second = supervectors(ubm, statistics[:2])
    assert 0 < divergence < 0.5 * ((first - second) ** 2).sum()


def test_of_one_component_half_the_squared_distance_is_the_divergence(rng):
    ubm = DiagonalGMM([1.0], [[0.5, -1.0]], [[2.0, 0.5]])
    statistics = [accumulate(ubm, draw(rng, ubm, 30)) for _ in range(2)]
    one, other = (map_adapt(ubm, stats, relevance_factor=10.0).means[0] for stats in statistics)
    first, second = supervectors(ubm, statistics)
    assert 0.5 * ((first - second) ** 2).sum() == pytest.approx(0.5 * ((one - other) ** 2 / ubm.variances[0]).sum())


def test_pooled_statistics_give_the_supervector_of_the_model_adapted_to_all_recordings(ubm, statistics):
    whole = statistics[0] + statistics[1] + statistics[2]
    model = map_adapt(ubm, whole, relevance_factor=10.0)
    shifts = np.sqrt(ubm.weights)[:, None] * (model.means - ubm.means) / np.sqrt(ubm.variances)
    np.testing.assert_allclose(supervectors(ubm, [whole])[0], shifts.ravel(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("function", [supervectors, fisher_vectors, vlad])
def test_a_recording_has_the_same_bits_alone_and_in_any_cut(ubm, statistics, function):
    whole = function(ubm, statistics)
    assert np.array_equal(np.concatenate([function(ubm, [stats]) for stats in statistics]), whole)
    assert np.array_equal(np.concatenate([function(ubm, statistics[:7]), function(ubm, statistics[7:])]), whole)


@pytest.mark.parametrize("function", [supervectors, vlad])
def test_statistics_side_by_side_and_in_a_folder_give_the_same_bits(ubm, statistics, function, tmp_path):
    names = [f"r{number}" for number in range(len(statistics))]
    for _ in write_statistics(tmp_path, names, statistics, ubm.means.shape):
        pass
    expected = function(ubm, statistics)
    assert np.array_equal(function(ubm, StatsStore(tmp_path)), expected)
    assert np.array_equal(function(ubm, stack_statistics(statistics)), expected)


def test_a_recording_of_no_frames_has_the_supervector_0(ubm):
    assert not supervectors(ubm, [SufficientStats.zeros(5, 3)]).any()


def test_fisher_vectors_are_those_of_the_equation(rng, ubm):
    recordings = [draw(rng, ubm, n_frames) for n_frames in (4, 9)]
    vectors = fisher_vectors(ubm, [accumulate(ubm, frames, dtype=np.float64) for frames in recordings])
    for vector, frames in zip(vectors, recordings, strict=True):
        np.testing.assert_allclose(vector, naive.fisher_vector(parameters(ubm), frames), rtol=1e-9, atol=1e-12)


def test_fisher_vectors_are_gradients_of_the_mean_log_likelihood(rng, ubm):
    frames = draw(rng, ubm, 12)
    vector = fisher_vectors(ubm, [accumulate(ubm, frames, dtype=np.float64)])[0]
    step, c, d = 1e-5, 2, 1
    by_mean, by_deviation = [], []
    for sign in (1, -1):
        means, deviations = ubm.means.copy(), np.sqrt(ubm.variances)
        means[c, d] += sign * step
        deviations[c, d] += sign * step
        for moved, results in (
            (DiagonalGMM(ubm.weights, means, ubm.variances), by_mean),
            (DiagonalGMM(ubm.weights, ubm.means, deviations**2), by_deviation),
        ):
            results.append(log_likelihood(moved, frames, dtype=np.float64).mean())
    deviation, weight, place = math.sqrt(ubm.variances[c, d]), ubm.weights[c], c * 3 + d
    gradients = [(above - below) / (2 * step) for above, below in (by_mean, by_deviation)]
    assert vector[place] == pytest.approx(gradients[0] * deviation / math.sqrt(weight), rel=1e-5)
    assert vector[15 + place] == pytest.approx(gradients[1] * deviation / math.sqrt(2 * weight), rel=1e-5)


def test_fisher_vectors_without_variances_are_the_first_half(ubm, statistics):
    assert np.array_equal(fisher_vectors(ubm, statistics, variances=False), fisher_vectors(ubm, statistics)[:, :15])


def test_vlad_of_hard_assignments_is_that_of_the_paper(rng, ubm):
    frames, assigned = rng.normal(size=(20, 3)), rng.integers(0, 5, 20)
    gammas = np.eye(5)[assigned]
    stats = SufficientStats(gammas.sum(axis=0), gammas.T @ frames, gammas.T @ frames**2, 0.0, 20)
    np.testing.assert_allclose(vlad(ubm, [stats])[0], naive.vlad(ubm.means, frames, assigned), atol=1e-12)


def not_finite(stats, name):
    values = {key: getattr(stats, key).copy() for key in ("zeroth", "first", "second")}
    values[name][1] = np.inf
    return SufficientStats(*values.values(), 0.0, stats.n_frames)


@pytest.mark.parametrize("function", [supervectors, fisher_vectors, vlad])
def test_what_cannot_be_a_vector_is_refused(ubm, statistics, function):
    with pytest.raises(ModelError, match="no statistics; expected those of one recording or more"):
        function(ubm, [])
    with pytest.raises(ModelError, match=r"of shape \(4, 3\) for a model of shape \(5, 3\)"):
        function(ubm, [SufficientStats.zeros(4, 3)])
    with pytest.raises(ModelError, match="recording 1 hold NaN"):
        function(ubm, [statistics[0], not_finite(statistics[1], "first")])


def test_a_fisher_vector_needs_frames_and_finite_squares(ubm, statistics):
    with pytest.raises(ModelError, match="recording 1 has no frames"):
        fisher_vectors(ubm, [statistics[0], SufficientStats.zeros(5, 3)])
    with pytest.raises(ModelError, match="recording 0 hold NaN"):
        fisher_vectors(ubm, [not_finite(statistics[0], "second")])


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
def test_a_relevance_factor_is_a_number_above_0(ubm, statistics, factor):
    with pytest.raises(ModelError, match=r"relevance_factor .*: expected more than 0 frames"):
        supervectors(ubm, statistics, factor)
