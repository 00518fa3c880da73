"""The compiled exact E step: the literal sums, and numpy's to the rounding of single precision."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import naive
from helpers.models import all_of, assert_close, draw, random_gmm
from speechgmm import DiagonalGMM, accumulate, train
from speechgmm.errors import ModelError
from speechgmm.gmm.kernels import compiled
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.parallel.engine import Engine, sum_over


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-11)])
@pytest.mark.parametrize("n_frames", [1, 25])
@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (5, 3), (16, 1), (37, 4), (130, 2)])
def test_statistics_are_the_literal_sums(rng, n_components, n_features, n_frames, dtype, tolerance):
    gmm = random_gmm(rng, n_components, n_features)
    frames = draw(rng, gmm, n_frames)
    weights = rng.uniform(0, 3, n_frames)
    expected = naive.accumulate(frames, gmm.weights, gmm.means, gmm.variances, weights)
    stats = accumulate(gmm, frames, weights=weights, dtype=dtype, kernel="numba")
    assert_close(stats, expected, tolerance)
    assert (stats.n_frames, stats.skipped) == (n_frames, 0.0)


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(0, 1500))
def test_parts_add_up_to_the_whole_wherever_blocks_end(cut):
    rng = np.random.default_rng(1)
    gmm = random_gmm(rng, 21, 3)
    frames, weights = draw(rng, gmm, 1500), rng.uniform(0, 2, 1500)
    exact = accumulate(gmm, frames, weights=weights, dtype=np.float64)
    head, tail = (
        accumulate(gmm, frames[part], weights=weights[part], kernel="numba") for part in (slice(cut), slice(cut, None))
    )
    assert_close(head + tail, all_of(exact), 1e-5)


def test_the_exponential_is_within_two_units_of_the_last_place():
    x = np.concatenate([np.linspace(-59.99, 0, 400_000), [0.0, -np.log(2) / 2]]).astype(np.float32)
    found = np.array(compiled.numba.njit(lambda each: [compiled._exp(one) for one in each])(x))
    np.testing.assert_allclose(found, np.exp(x.astype(np.float64)), rtol=2.4e-7)
    assert found[400_000] == 1


def test_the_exponential_of_what_is_too_faint_is_nothing():
    x = np.array([-60.001, -87.0, -104.0, -1e4, -1e30, -np.inf], np.float32)
    assert compiled.numba.njit(lambda each: [compiled._exp(one) for one in each])(x) == [0.0] * 6


def test_frames_far_from_everything_are_shared_as_by_numpy(rng):
    gmm = random_gmm(rng)
    frames = np.array([[1e30, 0, 0], [-1e12, 1e12, 3.0], [0, 0, 0]], np.float32)
    stats = accumulate(gmm, frames, kernel="numba")
    assert_close(stats, all_of(accumulate(gmm, frames)), 1e-5)
    assert stats.zeroth.sum() == pytest.approx(3)


def test_a_frame_in_which_all_densities_underflow_goes_to_the_nearest(rng):
    gmm = DiagonalGMM([0.5, 0.5], [[-20.0], [20.0]], [[1.0], [1.0]])
    frames = np.array([[90.0], [-100.0], [95.0]], np.float32)
    stats = accumulate(gmm, frames, kernel="numba")
    assert stats.zeroth.tolist() == [1, 2]
    np.testing.assert_allclose(stats.first[:, 0], [-100, 185], rtol=1e-6)
    expected = 3 * np.log(0.5 / np.sqrt(2 * np.pi)) - 0.5 * (70**2 + 80**2 + 75**2)
    assert stats.log_likelihood == pytest.approx(expected, rel=1e-6)


def test_a_model_that_single_precision_does_not_hold_is_computed_in_double_as_by_numpy(rng):
    gmm = random_gmm(rng, 20)
    apart = DiagonalGMM(gmm.weights, gmm.means * 1e4, gmm.variances)
    frames = draw(rng, apart, 300)
    one, two = (accumulate(apart, frames, kernel=kernel) for kernel in ("numpy", "numba"))
    assert all(np.array_equal(*pair) for pair in zip(all_of(one), all_of(two), strict=True))


def test_many_components_and_frames_stay_within_single_precision(rng):
    gmm = random_gmm(rng, 300, 8)
    frames = draw(rng, gmm, 3000).astype(np.float32)
    exact = accumulate(gmm, frames, dtype=np.float64)
    assert_close(accumulate(gmm, frames, kernel="numba"), all_of(exact), 1e-5)


def test_training_gives_the_same_bits_for_any_workers(rng):
    frames = draw(rng, random_gmm(rng, 50, 4), 1500)
    config = TrainingConfig(n_components=16, n_iterations=2, kernel="numba")
    shards = [frames[:800], frames[800:]]
    one, two = (
        train(shards, config, sum_over=partial(sum_over, engine=Engine("processes", n_jobs=n_jobs))).gmm
        for n_jobs in (1, 2)
    )
    assert np.array_equal(one.means, two.means)
    assert np.array_equal(one.variances, two.variances)


def test_no_frames_are_the_statistics_of_none(rng):
    stats = accumulate(random_gmm(rng), np.zeros((0, 3)), kernel="numba")
    assert stats.n_frames == stats.log_likelihood == stats.zeroth.sum() == 0


def test_what_skips_does_not_ask_for_a_kernel(rng):
    gmm = random_gmm(rng, 20)
    frames = draw(rng, gmm, 100)
    one, two = (accumulate(gmm, frames, skip_below=1e-6, kernel=kernel) for kernel in ("numpy", "numba"))
    assert all(np.array_equal(*pair) for pair in zip(all_of(one), all_of(two), strict=True))


def test_frames_that_are_not_finite_are_refused(rng):
    with pytest.raises(ModelError, match="frame 2 holds NaN or infinity"):
        accumulate(random_gmm(rng), np.array([[0.0] * 3] * 2 + [[np.nan] * 3]), kernel="numba")


def test_a_kernel_that_is_none_is_refused(rng):
    with pytest.raises(ModelError, match="kernel 'numexpr': expected one of numpy, numba, torch, cuda"):
        accumulate(random_gmm(rng), np.zeros((4, 3)), kernel="numexpr")
    with pytest.raises(ValidationError, match="'numpy', 'numba', 'torch' or 'cuda'"):
        TrainingConfig(kernel="numexpr")
