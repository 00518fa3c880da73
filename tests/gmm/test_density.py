"""A mixture as a density: sampling, hard clustering, missing features, criteria of its size."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture

import naive
from helpers.models import draw, parameters, random_gmm
from speechgmm import DiagonalGMM, accumulate, impute, log_likelihood, posteriors, sample
from speechgmm.gmm.density import aic, bic, classify
from speechgmm.gmm.kernels import dense

PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])


def with_gaps(rng, frames, share=0.4):
    return np.where(rng.random(frames.shape) < share, np.nan, frames)


def permuted(gmm, order):
    return DiagonalGMM(gmm.weights[order], gmm.means[order], gmm.variances[order])


@st.composite
def problems(draw_value):
    """A model of some size, frames that it could have given, and which of their features are missing."""
    rng = np.random.default_rng(draw_value(st.integers(0, 2**32 - 1)))
    gmm = random_gmm(rng, draw_value(st.integers(1, 6)), draw_value(st.integers(1, 5)))
    scale = 10.0 ** draw_value(st.integers(-3, 3))
    offset = draw_value(st.sampled_from([0.0, 1.0, -1e3])) * scale
    gmm = DiagonalGMM(gmm.weights, gmm.means * scale + offset, gmm.variances * scale**2)
    frames = draw(rng, gmm, draw_value(st.integers(0, 12)))
    return gmm, frames, with_gaps(rng, frames, draw_value(st.sampled_from([0.0, 0.3, 0.8, 1.0]))), rng


@PRECISIONS
def test_densities_with_missing_features_are_the_literal_marginals(rng, dtype, tolerance):
    gmm = random_gmm(rng)
    frames = with_gaps(rng, draw(rng, gmm, 80))
    assert (np.isnan(frames).sum(axis=1)[:, None] == np.arange(4)).any(axis=0).all()  # from none to all three
    found = log_likelihood(gmm, frames, dtype=dtype, missing=True)
    np.testing.assert_allclose(found, naive.observed_log_likelihood(frames, *parameters(gmm)), rtol=0, atol=tolerance)
    found = posteriors(gmm, frames, dtype=dtype, missing=True)
    np.testing.assert_allclose(found, naive.observed_posteriors(frames, *parameters(gmm)), rtol=0, atol=tolerance)


def test_a_missing_feature_is_a_model_without_it(rng):
    gmm = random_gmm(rng, 4, 6)
    frames = draw(rng, gmm, 50)
    frames[:, [1, 4]] = np.nan
    left = [0, 2, 3, 5]
    smaller = DiagonalGMM(gmm.weights, gmm.means[:, left], gmm.variances[:, left])
    found = log_likelihood(gmm, frames, dtype=np.float64, missing=True)
    np.testing.assert_allclose(found, log_likelihood(smaller, frames[:, left], dtype=np.float64), rtol=1e-12)


@PRECISIONS
def test_a_frame_with_nothing_observed_tells_nothing(rng, dtype, tolerance):
    gmm = random_gmm(rng)
    gmm = DiagonalGMM(gmm.weights, 1e4 + 30 * gmm.means, 1e-3 * gmm.variances)  # constants far from 0 must cancel
    frames = np.full((3, 3), np.nan)
    np.testing.assert_allclose(log_likelihood(gmm, frames, dtype=dtype, missing=True), 0, atol=tolerance)
    np.testing.assert_allclose(posteriors(gmm, frames, dtype=dtype, missing=True), [gmm.weights] * 3, rtol=tolerance)
    np.testing.assert_allclose(impute(gmm, frames), [gmm.weights @ gmm.means] * 3, rtol=1e-12)
    assert (classify(gmm, frames, missing=True) == gmm.weights.argmax()).all()


def test_one_feature_left_far_from_the_centre_keeps_its_digits(rng):
    """Of 40 features one is well separated: the whole fits single precision, the marginal of that one does not."""
    means = np.zeros((2, 40))
    means[:, 7] = (-40.0, 40.0)
    gmm = DiagonalGMM(np.array([0.5, 0.5]), means, np.ones((2, 40)))
    assert dense.holds_in_single_precision(gmm.means, gmm.variances, gmm.reference)
    frames = np.full((30, 40), np.nan)
    frames[:, 7] = draw(rng, gmm, 30)[:, 7]
    expected = naive.observed_log_likelihood(frames, *parameters(gmm))
    np.testing.assert_allclose(log_likelihood(gmm, frames, missing=True), expected, rtol=1e-5)


@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_missing_features_leave_everything_finite_and_whole_frames_as_they_are(problem):
    gmm, frames, gaps, rng = problem
    for dtype, tolerance in ((np.float32, 1e-4), (np.float64, 1e-10)):
        density, gamma = (f(gmm, gaps, dtype=dtype, missing=True) for f in (log_likelihood, posteriors))
        assert density.shape == (len(frames),)
        assert gamma.shape == (len(frames), gmm.n_components)
        assert np.isfinite(density).all()
        np.testing.assert_allclose(gamma.sum(axis=1), 1, rtol=1e-6)
        whole = log_likelihood(gmm, frames, dtype=dtype, missing=True)
        np.testing.assert_allclose(whole, log_likelihood(gmm, frames, dtype=dtype), rtol=tolerance, atol=tolerance)
    for filled in (impute(gmm, gaps), impute(gmm, gaps, rng=rng)):
        assert np.isfinite(filled).all()
        observed = ~np.isnan(gaps)
        assert np.array_equal(filled[observed], frames[observed])


@settings(max_examples=60, deadline=None)
@given(problem=problems())
def test_permuting_components_permutes_posteriors_and_labels_only(problem):
    gmm, _, gaps, rng = problem
    order = rng.permutation(gmm.n_components)
    other = permuted(gmm, order)
    found, same = (log_likelihood(each, gaps, dtype=np.float64, missing=True) for each in (other, gmm))
    np.testing.assert_allclose(found, same, rtol=1e-9, atol=1e-9)
    gamma = posteriors(gmm, gaps, dtype=np.float64, missing=True)
    np.testing.assert_allclose(posteriors(other, gaps, dtype=np.float64, missing=True), gamma[:, order], atol=1e-9)
    np.testing.assert_allclose(impute(other, gaps), impute(gmm, gaps), rtol=1e-9, atol=1e-9)
    chosen = gamma[np.arange(len(gaps)), order[classify(other, gaps, dtype=np.float64, missing=True)]]
    np.testing.assert_allclose(chosen, gamma.max(axis=1, initial=0), atol=1e-9)


def test_nan_is_refused_unless_it_is_asked_for_and_infinity_always(rng):
    gmm = random_gmm(rng)
    frames = np.zeros((2000, 3), np.float32)
    frames[1500, 1] = np.nan
    for function in (log_likelihood, posteriors, classify):
        with pytest.raises(ValueError, match="frame 1500 holds NaN or infinity; features must be finite"):
            function(gmm, frames)
    with pytest.raises(ValueError, match="frame 1500 holds NaN"):
        accumulate(gmm, frames)
    frames[1700, 2] = np.inf
    for refuses in (lambda: impute(gmm, frames), lambda: classify(gmm, frames, missing=True)):
        with pytest.raises(ValueError, match=r"frame 1700 holds infinity; .* finite, or NaN where missing"):
            refuses()
    with pytest.raises(ValueError, match=r"\(4, 2\); the model expects \(T, 3\)"):
        impute(gmm, np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"\(3,\); the model expects \(T, 3\)"):
        impute(gmm, np.zeros(3))


def test_missing_features_go_through_blocks_of_any_layout(rng):
    gmm = random_gmm(rng)
    frames = with_gaps(rng, draw(rng, gmm, 2 * dense.BLOCK_FRAMES + 7)).astype(np.float32)
    whole = log_likelihood(gmm, frames, dtype=np.float64, missing=True)
    for other in (np.asfortranarray(frames), np.repeat(frames, 2, axis=0)[::2], frames.tolist()):
        np.testing.assert_allclose(log_likelihood(gmm, other, dtype=np.float64, missing=True), whole, rtol=1e-6)
    for start in (dense.BLOCK_FRAMES, 2 * dense.BLOCK_FRAMES, len(frames) - 1):
        one = log_likelihood(gmm, frames[start : start + 1], dtype=np.float64, missing=True)
        assert one[0] == pytest.approx(whole[start], rel=1e-12, abs=1e-12)


def test_missing_features_take_no_memory_of_frames_by_components(rng):
    gmm = random_gmm(rng, 64, 3)
    frames = with_gaps(rng, draw(rng, gmm, 40_000))
    tracemalloc.start()
    log_likelihood(gmm, frames, missing=True)
    classify(gmm, frames, missing=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40_000 * 64 * 4 / 4


def test_imputed_means_are_the_literal_expectation(rng):
    gmm = random_gmm(rng)
    frames = with_gaps(rng, draw(rng, gmm, 60))
    np.testing.assert_allclose(impute(gmm, frames), naive.impute(frames, *parameters(gmm)), rtol=1e-11, atol=1e-12)


def test_imputed_draws_have_the_moments_of_the_conditional_distribution():
    gmm = DiagonalGMM(
        np.array([0.3, 0.7]),
        np.array([[-1.0, 0.0, 5.0], [1.0, 4.0, -5.0]]),
        np.array([[1.0, 0.5, 2.0], [2.0, 1.0, 0.1]]),
    )
    n_draws = 40_000
    frame = np.array([[0.2, np.nan, np.nan]])
    gamma = naive.observed_posteriors(frame, *parameters(gmm))[0]
    filled = impute(gmm, np.repeat(frame, n_draws, axis=0), rng=np.random.default_rng(3))
    mean = gamma @ gmm.means[:, 1:]
    spread = gamma @ (gmm.variances[:, 1:] + gmm.means[:, 1:] ** 2) - mean**2
    np.testing.assert_allclose(filled[:, 1:].mean(axis=0), mean, atol=5 * np.sqrt(spread.max() / n_draws))
    np.testing.assert_allclose(filled[:, 1:].var(axis=0), spread, rtol=0.03)
    # One component gives all missing features of a frame: the two vary together, as components do.
    between = gamma @ (gmm.means[:, 1] * gmm.means[:, 2]) - mean[0] * mean[1]
    assert np.cov(filled[:, 1:].T)[0, 1] == pytest.approx(between, rel=0.03)


def test_imputing_is_seeded_and_leaves_its_input_alone(rng):
    gmm = random_gmm(rng)
    frames = with_gaps(rng, draw(rng, gmm, 2 * dense.BLOCK_FRAMES))
    before = frames.copy()
    first, second, third = (impute(gmm, frames, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)
    assert np.array_equal(frames, before, equal_nan=True)


def test_samples_have_the_moments_of_the_model():
    gmm = random_gmm(np.random.default_rng(5), 3, 2)
    frames, components = sample(gmm, 60_000, np.random.default_rng(6))
    assert frames.shape == (60_000, 2)
    assert components.shape == (60_000,)
    for component in range(3):
        own = frames[components == component]
        n_own = len(own)
        share = gmm.weights[component]
        assert n_own / 60_000 == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / 60_000))
        mean, variance = gmm.means[component], gmm.variances[component]
        assert (abs(own.mean(axis=0) - mean) < 5 * np.sqrt(variance / n_own)).all()
        assert (abs(own.var(axis=0) / variance - 1) < 5 * math.sqrt(2 / n_own)).all()


def test_samples_are_seeded_and_of_any_number(rng):
    gmm = random_gmm(rng)
    weights = gmm.weights * (1 + 5e-7)  # as far from 1 as a model may be
    gmm = DiagonalGMM(weights, gmm.means, gmm.variances)
    for n_frames in (0, 1, dense.BLOCK_FRAMES + 3):
        first, second = (sample(gmm, n_frames, np.random.default_rng(7)) for _ in range(2))
        assert first[0].shape == (n_frames, 3)
        assert np.array_equal(first[0], second[0])
        assert np.array_equal(first[1], second[1])
    with pytest.raises(ValueError, match="n_frames -1: expected 0 or more"):
        sample(gmm, -1, rng)


def test_hard_clusters_are_those_of_the_greatest_posterior(rng):
    gmm = random_gmm(rng)
    frames = draw(rng, gmm, dense.BLOCK_FRAMES + 50)
    labels = classify(gmm, frames, dtype=np.float64)
    assert np.array_equal(labels, posteriors(gmm, frames, dtype=np.float64).argmax(axis=1))
    apart = DiagonalGMM(gmm.weights, gmm.means + 100 * np.arange(5)[:, None], gmm.variances)
    frames, components = sample(apart, 500, rng)
    assert np.array_equal(classify(apart, frames), components)


def test_criteria_agree_with_scikit_learn(rng):
    gmm = random_gmm(rng)
    frames = draw(rng, gmm, 300)
    other = GaussianMixture(5, covariance_type="diag")
    other.weights_, other.means_, other.covariances_ = parameters(gmm)
    other.precisions_cholesky_ = 1 / np.sqrt(gmm.variances)
    total = float(log_likelihood(gmm, frames, dtype=np.float64).sum())
    assert gmm.n_parameters == 34
    assert aic(gmm, total) == pytest.approx(other.aic(frames), rel=1e-10)
    assert bic(gmm, total, 300) == pytest.approx(other.bic(frames), rel=1e-10)
    with pytest.raises(ValueError, match="n_frames 0: expected 1 or more"):
        bic(gmm, total, 0)
