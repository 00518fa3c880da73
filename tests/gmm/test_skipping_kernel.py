"""The E step that skips components of no weight: the same statistics, within what it says it left out."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from helpers.models import all_of, assert_close, draw, random_gmm
from speechgmm import DiagonalGMM, SufficientStats, accumulate
from speechgmm.errors import ModelError
from speechgmm.gmm.kernels import compiled, dense, skipping


def spread_gmm(rng, n_components, n_features):
    """Draw a model of which some components weigh nothing in a frame."""
    gmm = random_gmm(rng, n_components, n_features)
    return DiagonalGMM(gmm.weights, 2 * gmm.means, gmm.variances)


@pytest.mark.parametrize("skip_below", [1e-6, 1e-3, 0.3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-5), (np.float64, 1e-11)])
@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (5, 3), (16, 1), (37, 4), (130, 2)])
def test_statistics_are_the_literal_sums_over_what_is_kept(rng, n_components, n_features, dtype, tolerance, skip_below):
    gmm = spread_gmm(rng, n_components, n_features)
    frames = draw(rng, gmm, 25)
    weights = rng.uniform(0, 3, 25)
    *expected, skipped = naive.accumulate_kept(frames, gmm.weights, gmm.means, gmm.variances, weights, skip_below)
    stats = accumulate(gmm, frames, weights=weights, dtype=dtype, skip_below=skip_below)
    assert_close(stats, expected, tolerance)
    assert stats.n_frames == 25
    assert skipped * (1 - 1e-4) <= stats.skipped <= skip_below * n_components * weights.sum()


@settings(max_examples=30, deadline=None)
@given(
    n_components=st.integers(1, 200),
    n_features=st.integers(1, 5),
    skip_below=st.sampled_from([1e-7, 1e-4, 0.01]),
    seed=st.integers(0, 1000),
)
def test_what_is_skipped_bounds_what_is_missing(n_components, n_features, skip_below, seed):
    rng = np.random.default_rng(seed)
    gmm = spread_gmm(rng, n_components, n_features)
    frames = draw(rng, gmm, 60)
    exact = accumulate(gmm, frames, dtype=np.float64)
    stats = accumulate(gmm, frames, dtype=np.float64, skip_below=skip_below)
    assert (np.abs(stats.zeroth - exact.zeroth) <= stats.skipped + 1e-10).all()
    assert -1e-10 <= exact.log_likelihood - stats.log_likelihood <= stats.skipped + 1e-10
    assert stats.skipped <= skip_below * n_components * 60
    assert stats.zeroth.sum() == pytest.approx(60)


def test_skipping_at_the_threshold_for_speech_is_as_good_as_single_precision(rng):
    gmm = spread_gmm(rng, 300, 8)
    frames = draw(rng, gmm, 3000).astype(np.float32)
    exact = accumulate(gmm, frames, dtype=np.float64)
    stats = accumulate(gmm, frames, skip_below=1e-7)
    assert_close(stats, all_of(exact), 1e-5)
    assert 0 < stats.skipped < 1e-7 * 300 * 3000


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(0, 2600))
def test_parts_add_up_to_the_whole(cut):
    rng = np.random.default_rng(1)
    gmm = spread_gmm(rng, 21, 3)
    frames = draw(rng, gmm, 2600)
    weights = rng.uniform(0, 2, 2600)

    def stats(part):
        return accumulate(gmm, frames[part], weights=weights[part], dtype=np.float64, skip_below=1e-5)

    whole, head, tail = stats(slice(None)), stats(slice(cut)), stats(slice(cut, None))
    parts = head + tail
    assert_close(parts, all_of(whole), 1e-11)
    assert parts.skipped == pytest.approx(whole.skipped)
    assert (whole - tail).skipped == pytest.approx(whole.skipped + tail.skipped)


def test_zeros_skip_nothing_and_statistics_without_a_word_of_it_neither(rng):
    assert SufficientStats.zeros(3, 2).skipped == 0
    assert accumulate(random_gmm(rng), np.zeros((4, 3))).skipped == 0
    stats = accumulate(random_gmm(rng), np.zeros((0, 3)), skip_below=1e-6)
    assert stats.n_frames == stats.log_likelihood == stats.skipped == 0


def test_frames_far_from_everything_go_to_their_likeliest_component(rng):
    gmm = random_gmm(rng)
    frames = np.array([[1e30, 0, 0], [-1e12, 1e12, 3.0], [0, 0, 0]], np.float32)
    exact, stats = accumulate(gmm, frames), accumulate(gmm, frames, skip_below=1e-7)
    np.testing.assert_allclose(stats.zeroth, exact.zeroth, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stats.second, exact.second, rtol=1e-5, atol=1e-5 * exact.second.max())
    assert stats.log_likelihood == pytest.approx(exact.log_likelihood, rel=1e-5)


def test_an_offset_and_separation_are_held_as_by_the_exact_mode(rng):
    gmm = spread_gmm(rng, 20, 3)
    for factor, shift in ((1.0, 1e4), (1e4, 0.0)):  # the second is computed in double precision
        moved = DiagonalGMM(gmm.weights, gmm.means * factor + shift, gmm.variances)
        frames = draw(rng, moved, 300)
        exact, stats = accumulate(moved, frames, dtype=np.float64), accumulate(moved, frames, skip_below=1e-7)
        assert_close(stats, all_of(exact), 1e-5)


def test_any_layout_and_type_of_frames_will_do(rng):
    gmm = spread_gmm(rng, 9, 3)
    frames = draw(rng, gmm, 30).round().astype(np.float32)
    fixed = frames.copy()
    fixed.flags.writeable = False
    expected = accumulate(gmm, frames, skip_below=1e-5)
    for same in (
        frames.tolist(),
        np.asfortranarray(frames),
        np.repeat(frames, 2, axis=0)[::2],
        fixed,
        frames.astype(int),
    ):
        stats = accumulate(gmm, same, weights=np.ones(30, int), skip_below=1e-5)
        np.testing.assert_allclose(stats.first, expected.first, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("frames_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_frames_are_expanded_to_the_same_bits_as_in_the_exact_mode(rng, frames_dtype, dtype):
    about = dense.Reference(rng.normal(size=3).astype(np.float32).astype(float), np.array([0.25, 8.0, 1.0]))
    block = (rng.normal(size=(50, 3)) * [1, 100, 1e10]).astype(frames_dtype)
    expanded = np.empty((50, 7), dtype)
    compiled.expand_about(about, block, expanded)
    assert np.array_equal(expanded, dense.expand(block, about, dtype))


def test_the_same_frames_give_the_same_bits(rng):
    gmm = spread_gmm(rng, 50, 4)
    frames = draw(rng, gmm, 1500)
    one, two = (accumulate(gmm, frames, skip_below=1e-6) for _ in range(2))
    assert np.array_equal(one.second, two.second)
    assert (one.log_likelihood, one.skipped) == (two.log_likelihood, two.skipped)


@pytest.mark.parametrize("skip_below", [-1e-9, 1.0, 2.0, float("nan")])
def test_a_threshold_out_of_range_is_refused(rng, skip_below):
    with pytest.raises(ValueError, match=r"skip_below .*: expected 0, to skip nothing, or a share below 1"):
        accumulate(random_gmm(rng), np.zeros((4, 3)), skip_below=skip_below)


def test_without_numba_skipping_names_the_extra_and_the_rest_works(rng, monkeypatch):
    import speechgmm.gmm.kernels

    monkeypatch.setitem(sys.modules, "numba", None)
    for module in (compiled, skipping):
        monkeypatch.delitem(sys.modules, module.__name__)
        monkeypatch.delattr(speechgmm.gmm.kernels, module.__name__.rpartition(".")[2])
    gmm = random_gmm(rng)
    with pytest.raises(ModelError, match=r"skip_below needs .* pip install 'speechgmm\[fast\]'"):
        accumulate(gmm, np.zeros((4, 3)), skip_below=1e-6)
    with pytest.raises(ModelError, match=r"kernel numba needs .* pip install 'speechgmm\[fast\]'"):
        accumulate(gmm, np.zeros((4, 3)), kernel="numba")
    assert accumulate(gmm, np.zeros((4, 3))).n_frames == 4


def test_where_nothing_can_be_written_kernels_are_compiled_again(monkeypatch):
    compile_once = compiled.numba.njit

    def without_a_place(function, *, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return compile_once(function, **options)

    monkeypatch.setattr(compiled.numba, "njit", without_a_place)
    assert compiled.jit(lambda a: a + 1)(1) == 2
