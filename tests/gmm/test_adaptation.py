"""Relevance MAP."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from helpers.models import draw, golden_gmm, parameters, random_gmm
from helpers.paths import GOLDEN
from speechgmm import DiagonalGMM, SufficientStats, accumulate, log_likelihood, map_adapt
from speechgmm.gmm.adaptation import AdaptationConfig, RelevanceFactors, map_iterate

ALL = ("weights", "means", "variances")
COMBINATIONS = [some for n_adapted in (1, 2, 3) for some in combinations(ALL, n_adapted)]
KALDI = {"weights": 10.0, "means": 10.0, "variances": 50.0}


def assert_same(gmm, expected, rtol=1e-10):
    for found, wanted in zip(parameters(gmm), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=rtol, atol=1e-12)


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


@pytest.mark.parametrize("adapt", COMBINATIONS)
@pytest.mark.parametrize(
    ("relevance", "alpha"),
    [
        (dict.fromkeys(ALL, 10.0), None),
        (KALDI, None),
        ({"weights": 0.0, "means": 100.0, "variances": 0.5}, None),
        ({"weights": 3.0, "means": 0.0, "variances": 1e4}, None),
        (dict.fromkeys(ALL, 0.0), None),
        (KALDI, 0.0),
        (KALDI, 0.3),
        (KALDI, 1.0),
    ],
)
def test_any_part_is_adapted_by_the_literal_formula_with_its_own_relevance(rng, adapt, relevance, alpha):
    ubm = random_gmm(rng)
    stats = accumulate(ubm, draw(rng, ubm, 200) + 0.3, dtype=np.float64)
    sums = stats.zeroth, stats.first, stats.second
    expected = naive.map_adapt_some(*parameters(ubm), *sums, relevance, alpha, adapt)
    assert_same(map_adapt(ubm, stats, relevance_factor=relevance, alpha=alpha, adapt=adapt), expected)


def test_one_relevance_factor_is_the_same_one_for_each(rng):
    ubm = random_gmm(rng)
    stats = accumulate(ubm, draw(rng, ubm, 200) + 0.3)
    one = map_adapt(ubm, stats, relevance_factor=7.0, adapt=ALL)
    each = map_adapt(ubm, stats, relevance_factor=dict.fromkeys(ALL, 7.0), adapt=ALL)
    for first, second in zip(parameters(one), parameters(each), strict=True):
        assert np.array_equal(first, second)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.999])
def test_a_fixed_alpha_is_that_of_eqs_11_to_13(rng, alpha):
    ubm = random_gmm(rng)
    stats = accumulate(ubm, draw(rng, ubm, 200) + 0.3, dtype=np.float64)
    # alpha = N / (N + r) for the r of each component in turn; the weights are checked with all alphas equal elsewhere
    adapted = map_adapt(ubm, stats, alpha=alpha, adapt=ALL)
    for c in range(5 if alpha else 0):
        r = stats.zeroth[c] * (1 - alpha) / alpha
        literal = naive.map_adapt(*parameters(ubm), stats.zeroth, stats.first, stats.second, r)
        np.testing.assert_allclose(adapted.means[c], literal[1][c], rtol=1e-10)
        np.testing.assert_allclose(adapted.variances[c], literal[2][c], rtol=1e-10)
    if alpha == 0:
        assert_same(adapted, parameters(ubm), rtol=1e-12)


@pytest.mark.parametrize("weighing", [{"alpha": 0.0}, {"alpha": 0.4}, {"alpha": 1.0}, {"relevance_factor": KALDI}])
def test_without_evidence_every_way_of_weighing_gives_the_ubm(rng, weighing):
    ubm = random_gmm(rng)
    assert_same(map_adapt(ubm, SufficientStats.zeros(5, 3), adapt=ALL, **weighing), parameters(ubm), rtol=1e-12)
    frames = draw(rng, ubm, 100)
    far = DiagonalGMM(ubm.weights, np.concatenate([ubm.means[:4], [[1e6] * 3]]), ubm.variances)
    stats = accumulate(far, frames)
    assert stats.zeroth[4] == 0
    adapted = map_adapt(far, stats, adapt=ALL, **weighing)
    np.testing.assert_allclose(adapted.means[4], far.means[4])
    np.testing.assert_allclose(adapted.variances[4], far.variances[4])


def test_alpha_of_one_is_maximum_likelihood(rng):
    ubm = random_gmm(rng)
    stats = accumulate(ubm, draw(rng, ubm, 500), dtype=np.float64)
    expected = naive.ml_update(stats.zeroth, stats.first, stats.second)
    assert_same(map_adapt(ubm, stats, alpha=1.0, adapt=ALL), expected, rtol=1e-9)


@pytest.mark.parametrize("huge", ALL)
def test_a_huge_relevance_factor_holds_its_own_parameter_at_the_ubm(rng, huge):
    ubm = random_gmm(rng)
    stats = accumulate(ubm, draw(rng, ubm, 300) + 1)
    adapted = map_adapt(ubm, stats, relevance_factor={**dict.fromkeys(ALL, 5.0), huge: 1e12}, adapt=ALL)
    for name in ALL:
        near = np.allclose(getattr(adapted, name), getattr(ubm, name), rtol=1e-6, atol=1e-8)
        # weights share one sum, so all or none of them move
        assert near == (name == huge)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    factors=st.tuples(*[st.sampled_from([0.0, 0.1, 10.0, 1e4])] * 3),
    alpha=st.none() | st.floats(0, 1),
    adapt=st.sampled_from(COMBINATIONS),
    offset=st.sampled_from([1.0, -300.0]),
)
def test_the_origin_of_the_features_does_not_matter(seed, factors, alpha, adapt, offset):
    rng = np.random.default_rng(seed)
    ubm = random_gmm(rng)
    moved = DiagonalGMM(ubm.weights, ubm.means + offset, ubm.variances)
    frames = draw(rng, ubm, 80) + 0.5
    relevance = dict(zip(ALL, factors, strict=True))
    here, there = (
        map_adapt(prior, accumulate(prior, x, dtype=np.float64), relevance_factor=relevance, alpha=alpha, adapt=adapt)
        for prior, x in ((ubm, frames), (moved, frames + offset))
    )
    np.testing.assert_allclose(there.means - offset, here.means, atol=1e-6)
    np.testing.assert_allclose(there.variances, here.variances, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(there.weights, here.weights, rtol=1e-6, atol=1e-9)
    assert (here.variances > 0).all()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    factors=st.tuples(*[st.sampled_from([0.0, 0.3, 10.0, 500.0])] * 2),
    adapt=st.sampled_from([("means",), ("variances",), ("means", "variances")]),
)
def test_iterations_never_lower_the_posterior_density_of_means_and_variances(seed, factors, adapt):
    rng = np.random.default_rng(seed)
    ubm = random_gmm(rng, 3, 2)
    frames = draw(rng, ubm, 40) * 0.7 + 0.8
    relevance = {"means": factors[0], "variances": factors[1]}
    statistics = partial(accumulate, frames=frames, dtype=np.float64)
    before = naive.map_objective(frames, parameters(ubm), parameters(ubm), relevance)
    for n_iterations in range(1, 6):
        config = AdaptationConfig(
            relevance_factors=RelevanceFactors(**relevance), adapt=adapt, n_iterations=n_iterations
        )
        model = map_iterate(ubm, statistics, config)
        after = naive.map_objective(frames, parameters(model), parameters(ubm), relevance)
        assert after >= before - 1e-9 * abs(before)
        before = after


def test_iterations_compute_posteriors_again_and_keep_the_prior(rng):
    ubm = random_gmm(rng)
    frames = draw(rng, ubm, 300) + 1
    statistics = partial(accumulate, frames=frames)
    config = AdaptationConfig(adapt=ALL, relevance_factor=4.0, relevance_factors=RelevanceFactors(variances=9.0))
    factors = {"weights": 4.0, "means": 4.0, "variances": 9.0}
    expected = ubm
    for n_iterations in (1, 2, 3):
        expected = map_adapt(ubm, statistics(expected), relevance_factor=factors, adapt=ALL)
        found = map_iterate(ubm, statistics, config.model_copy(update={"n_iterations": n_iterations}))
        for first, second in zip(parameters(found), parameters(expected), strict=True):
            assert np.array_equal(first, second)
    once, thrice = (map_iterate(ubm, statistics, config.model_copy(update={"n_iterations": n})) for n in (1, 3))
    assert log_likelihood(thrice, frames).sum() > log_likelihood(once, frames).sum()
    certain = config.model_copy(update={"relevance_factor": 1e12, "relevance_factors": RelevanceFactors()})
    unmoved = map_iterate(ubm, statistics, certain.model_copy(update={"n_iterations": 3}))
    assert_same(unmoved, parameters(ubm), rtol=1e-6)


def test_bad_ways_of_weighing_are_refused(rng):
    ubm, stats = random_gmm(rng), SufficientStats.zeros(5, 3)
    for alpha in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"alpha .*: expected 0 to 1"):
            map_adapt(ubm, stats, alpha=alpha)
    with pytest.raises(ValueError, match=r"relevance_factor -1\.0 of variances: expected 0 or more frames"):
        map_adapt(ubm, stats, relevance_factor={**KALDI, "variances": -1.0})
    with pytest.raises(ValueError, match=r"relevance_factor of \['mean'\]: expected some of weights, means, variances"):
        map_adapt(ubm, stats, relevance_factor={"mean": 1.0})
    with pytest.raises(ValueError, match=r"relevance_factor of means: expected one of variances too"):
        map_adapt(ubm, stats, relevance_factor={"means": 1.0}, adapt=("means", "variances"))
    with pytest.raises(ValueError, match=r"alpha 0\.5 takes the place of relevance_factors, which has means"):
        AdaptationConfig(alpha=0.5, relevance_factors=RelevanceFactors(means=3.0))


def test_a_configuration_gives_the_factor_of_each_parameter():
    config = AdaptationConfig(relevance_factor=5.0, relevance_factors=RelevanceFactors(variances=50.0, weights=0.0))
    assert config.factor_of == {"weights": 0.0, "means": 5.0, "variances": 50.0}
