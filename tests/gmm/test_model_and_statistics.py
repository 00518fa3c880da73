"""DiagonalGMM, its log-density and posteriors, and the E step."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from helpers.models import draw, golden_gmm, random_gmm
from helpers.paths import GOLDEN
from speechgmm import DiagonalGMM, SufficientStats, accumulate, log_likelihood, posteriors
from speechgmm.gmm.kernels import dense


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_likelihood_is_the_literal_formula(rng, dtype):
    gmm = random_gmm(rng)
    frames = draw(rng, gmm, 60)
    expected = naive.log_likelihood(frames, gmm.weights, gmm.means, gmm.variances)
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(log_likelihood(gmm, frames, dtype=dtype), expected, rtol=tolerance, atol=tolerance)


def test_posteriors_are_the_literal_formula(rng):
    gmm = random_gmm(rng)
    frames = draw(rng, gmm, 60)
    expected = naive.posteriors(frames, gmm.weights, gmm.means, gmm.variances)
    np.testing.assert_allclose(posteriors(gmm, frames, dtype=np.float64), expected, atol=1e-13)
    np.testing.assert_allclose(posteriors(gmm, frames), expected, atol=1e-5)


def test_statistics_are_the_literal_sums(rng):
    gmm = random_gmm(rng)
    frames = draw(rng, gmm, 50)
    weights = rng.uniform(0, 3, 50)
    zeroth, first, second, total = naive.accumulate(frames, gmm.weights, gmm.means, gmm.variances, weights)
    stats = accumulate(gmm, frames, weights=weights, dtype=np.float64)
    np.testing.assert_allclose(stats.zeroth, zeroth, rtol=1e-11)
    np.testing.assert_allclose(stats.first, first, rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(stats.second, second, rtol=1e-10)
    assert stats.log_likelihood == pytest.approx(total, rel=1e-12)
    assert stats.n_frames == 50


def test_log_likelihood_agrees_with_kaldi():
    frames = np.load(GOLDEN / "gmm_feats.npy")
    expected = np.load(GOLDEN / "gmm_1.likes.npy")
    np.testing.assert_allclose(log_likelihood(golden_gmm("1"), frames), expected, rtol=1e-5, atol=5e-5)


@pytest.mark.parametrize(("name", "n_frames"), [("0", None), ("1", None), ("one", 708)])
def test_statistics_agree_with_kaldi(name, n_frames):
    frames = np.load(GOLDEN / "gmm_feats.npy")[:n_frames]
    expected = np.load(GOLDEN / f"gmm_{name}.acc.npz")
    stats = accumulate(golden_gmm("1" if name == "one" else name), frames)
    # Kaldi sums float32 products; its first-order sums cancel to a few units where they are near zero.
    np.testing.assert_allclose(stats.zeroth, expected["occupancy"], rtol=2e-5)
    np.testing.assert_allclose(stats.first, expected["meanaccs"], rtol=1e-4, atol=2e-2)
    np.testing.assert_allclose(stats.second, expected["diagvaraccs"], rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(0, 3000))
def test_statistics_of_parts_add_up_to_those_of_the_whole(cut):
    rng = np.random.default_rng(1)
    gmm = random_gmm(rng)
    frames = draw(rng, gmm, 3000)
    whole = accumulate(gmm, frames)
    parts = accumulate(gmm, frames[:cut]) + accumulate(gmm, frames[cut:])
    np.testing.assert_allclose(parts.zeroth, whole.zeroth, rtol=1e-5)
    np.testing.assert_allclose(parts.first, whole.first, rtol=1e-5, atol=1e-2)
    np.testing.assert_allclose(parts.second, whole.second, rtol=1e-5)
    assert parts.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-6)
    assert parts.n_frames == whole.n_frames


def test_zeros_are_neutral_and_shapes_must_agree(rng):
    gmm = random_gmm(rng)
    stats = accumulate(gmm, draw(rng, gmm, 20))
    total = SufficientStats.zeros(5, 3) + stats
    assert np.array_equal(total.first, stats.first)
    assert total.n_frames == 20
    with pytest.raises(ValueError, match="read-only"):
        stats.zeroth[0] = 1
    with pytest.raises(ValueError, match=r"shapes \(2,\), \(3, 1\), \(1, 9\)"):
        SufficientStats(np.zeros(2), np.zeros((3, 1)), np.zeros((1, 9)), 0.0, 0)
    with pytest.raises(ValueError, match=r"\(5, 3\) and \(4, 3\)"):
        stats + SufficientStats.zeros(4, 3)


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 2000), dtype=st.sampled_from([np.float32, np.float64]), offset=st.sampled_from([0.0, 1e4]))
def test_what_was_added_can_be_subtracted(cut, dtype, offset):
    rng = np.random.default_rng(1)
    gmm = random_gmm(rng)
    gmm = DiagonalGMM(gmm.weights, gmm.means + offset, gmm.variances)
    frames = draw(rng, gmm, 2000)
    kept, forgotten = accumulate(gmm, frames[:cut], dtype=dtype), accumulate(gmm, frames[cut:], dtype=dtype)
    whole = kept + forgotten
    left = whole - forgotten
    for name in ("zeroth", "first", "second"):
        sums = getattr(whole, name)
        np.testing.assert_allclose(getattr(left, name), getattr(kept, name), rtol=0, atol=1e-12 * np.abs(sums).max())
    assert left.log_likelihood == pytest.approx(kept.log_likelihood, rel=1e-12, abs=1e-9)
    assert left.n_frames == cut
    # Accumulated in one go, in other blocks, the whole has other rounding.
    again = accumulate(gmm, frames, dtype=dtype) - forgotten
    np.testing.assert_allclose(again.zeroth, kept.zeroth, rtol=0, atol=1e-5 * 2000)
    assert (again.zeroth >= 0).all()
    assert (again.second >= 0).all()


def test_nothing_is_left_when_everything_is_subtracted(rng):
    gmm = random_gmm(rng)
    parts = [accumulate(gmm, draw(rng, gmm, n_frames)) for n_frames in (300, 7, 1000, 1)]
    whole = parts[0] + parts[1] + parts[2] + parts[3]
    left = whole - parts[2] - parts[0] - parts[3] - parts[1]
    assert left.n_frames == 0
    for name in ("zeroth", "first", "second"):  # the first subtractions round in their own way
        assert np.abs(getattr(left, name)).max() < 1e-11
    nothing = whole - whole
    assert not nothing.zeroth.any()
    assert not nothing.first.any()
    assert not nothing.second.any()


def test_rounding_of_a_component_without_frames_does_not_become_evidence():
    whole = SufficientStats(np.array([5.0, 1.0]), np.array([[1.0], [100.0]]), np.array([[1.0], [1e4]]), 0.0, 6)
    part = SufficientStats(np.array([2.0, 1.0 - 1e-15]), np.array([[1.0], [99.9]]), np.array([[0.5], [1e4]]), 0.0, 3)
    left = whole - part
    assert left.zeroth.tolist() == [3.0, 0.0]
    assert left.first.tolist() == [[0.0], [0.0]]
    assert left.second.tolist() == [[0.5], [0.0]]


def test_more_than_there_is_cannot_be_subtracted(rng):
    gmm = random_gmm(rng)
    stats = accumulate(gmm, draw(rng, gmm, 20))
    with pytest.raises(ValueError, match="41 frames are no part of those of 20 frames"):
        stats - accumulate(gmm, draw(rng, gmm, 41))
    with pytest.raises(ValueError, match=r"\(5, 3\) and \(4, 3\) cannot be subtracted"):
        stats - SufficientStats.zeros(4, 3)
    ones = np.ones((2, 1))
    with pytest.raises(ValueError, match=r"zeroth of component 1 is 1 less 1\.5; expected"):
        SufficientStats(np.array([3.0, 1.0]), ones, ones, 0.0, 4) - SufficientStats(
            np.array([0.0, 1.5]), ones, ones, 0.0, 2
        )
    with pytest.raises(ValueError, match="second of component 0 is 1 less 9; expected"):
        SufficientStats(np.ones(2), ones, ones, 0.0, 2) - SufficientStats(np.zeros(2), ones, 9 * ones, 0.0, 1)
    with pytest.raises(TypeError, match="unsupported operand"):
        stats - 1.0


def test_no_frames_have_zero_statistics(rng):
    stats = accumulate(random_gmm(rng), np.zeros((0, 3)))
    assert stats.n_frames == 0
    assert stats.log_likelihood == 0
    assert not stats.zeroth.any()


@pytest.mark.parametrize("n_features", [1, 3, 40])
@pytest.mark.parametrize("separation", [1.0, 5.0, 30.0, 70.0, 1000.0])
def test_separated_components_keep_five_digits_in_single_precision(rng, n_features, separation):
    means = np.stack([np.full(n_features, -separation), np.full(n_features, separation)])
    gmm = DiagonalGMM(np.array([0.3, 0.7]), means, np.ones((2, n_features)))
    frames = draw(rng, gmm, 60).astype(np.float32)
    expected = naive.log_likelihood(frames.astype(float), gmm.weights, gmm.means, gmm.variances)
    np.testing.assert_allclose(log_likelihood(gmm, frames), expected, rtol=1e-5)


def test_a_component_of_nearly_no_variance_stays_finite(rng):
    gmm = DiagonalGMM(np.array([0.5, 0.5]), np.zeros((2, 1)), np.array([[1e-45], [1.0]]))
    assert np.isfinite(log_likelihood(gmm, rng.normal(size=(20, 1)).astype(np.float32))).all()


def test_an_offset_alone_does_not_call_for_double_precision(rng):
    gmm = random_gmm(rng)
    moved = DiagonalGMM(gmm.weights, gmm.means + 1e6, gmm.variances)
    assert dense.holds_in_single_precision(moved.means, moved.variances, moved.reference)


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4, -1e6])
def test_an_offset_of_the_features_does_not_change_the_log_likelihood(rng, offset):
    gmm = random_gmm(rng)
    shift = np.float32(offset)
    frames = (draw(rng, gmm, 200) + shift).astype(np.float32)
    moved = DiagonalGMM(gmm.weights, gmm.means + shift, gmm.variances)
    exact = naive.log_likelihood(frames.astype(float), moved.weights, moved.means, moved.variances)
    np.testing.assert_allclose(log_likelihood(moved, frames), exact, rtol=1e-5)
    single, double = accumulate(moved, frames), accumulate(moved, frames, dtype=np.float64)
    centred = single.second - 2 * single.first * shift + shift.astype(float) ** 2 * single.zeroth[:, None]
    expected = double.second - 2 * double.first * shift + shift.astype(float) ** 2 * double.zeroth[:, None]
    # Raw second moments in double precision keep 2e-16 of offset^2 for each of the 200 frames.
    np.testing.assert_allclose(centred, expected, rtol=1e-4, atol=1e-3 + 2.2e-16 * offset**2 * 200)


def test_features_on_any_scale(rng):
    gmm = random_gmm(rng)
    frames = draw(rng, gmm, 100)
    scale = np.array([1e-4, 3.0, 1e5])
    scaled = DiagonalGMM(gmm.weights, gmm.means * scale, gmm.variances * scale**2)
    expected = log_likelihood(gmm, frames, dtype=np.float64) - np.log(scale).sum()
    np.testing.assert_allclose(log_likelihood(scaled, frames * scale), expected, rtol=1e-5, atol=1e-5)


def test_well_separated_components_are_computed_in_double(rng):
    gmm = DiagonalGMM(np.array([0.5, 0.5]), np.array([[-1e4], [1e4]]), np.ones((2, 1)))
    frames = np.array([[-1e4], [1e4 + 1.0]])
    expected = np.log(0.5) - 0.5 * np.log(2 * np.pi) - np.array([0.0, 0.5])
    np.testing.assert_allclose(log_likelihood(gmm, frames), expected, rtol=1e-7)


def test_frames_far_from_everything_stay_finite(rng):
    gmm = random_gmm(rng)
    frames = np.array([[1e30, 0, 0], [-1e12, 1e12, 3.0], [0, 0, 0]], np.float32)
    assert np.isfinite(log_likelihood(gmm, frames)).all()
    np.testing.assert_allclose(posteriors(gmm, frames).sum(axis=1), 1, rtol=1e-6)
    assert np.isfinite(accumulate(gmm, frames).second).all()


def test_blocks_do_not_show(rng):
    gmm = random_gmm(rng)
    n_frames = 2 * dense.BLOCK_FRAMES + 7
    frames = draw(rng, gmm, n_frames)
    whole = log_likelihood(gmm, frames, dtype=np.float64)
    for start in (0, dense.BLOCK_FRAMES, 2 * dense.BLOCK_FRAMES, n_frames - 1):
        one = log_likelihood(gmm, frames[start : start + 1], dtype=np.float64)
        assert one[0] == pytest.approx(whole[start], rel=1e-12)


def test_permuting_components_changes_nothing(rng):
    gmm = random_gmm(rng)
    frames = draw(rng, gmm, 40)
    order = rng.permutation(5)
    permuted = DiagonalGMM(gmm.weights[order], gmm.means[order], gmm.variances[order])
    np.testing.assert_allclose(
        log_likelihood(permuted, frames, dtype=np.float64), log_likelihood(gmm, frames, dtype=np.float64), rtol=1e-12
    )


def test_a_model_is_immutable_and_owns_its_arrays(rng):
    means = np.zeros((2, 3))
    gmm = DiagonalGMM(np.array([0.25, 0.75]), means, np.ones((2, 3)))
    means[:] = 9
    assert not gmm.means.any()
    with pytest.raises(ValueError, match="read-only"):
        gmm.means[0, 0] = 1
    with pytest.raises(AttributeError, match="cannot assign"):
        gmm.means = means
    writeable = np.zeros((2, 3))
    view = writeable.view()
    view.flags.writeable = False
    viewed = DiagonalGMM(np.array([0.25, 0.75]), view, np.ones((2, 3)))
    writeable[:] = 9
    assert not viewed.means.any()
    again = copy.deepcopy(gmm)
    assert not again.means.flags.writeable


@pytest.mark.parametrize(
    ("weights", "means", "variances", "message"),
    [
        ([0.5, 0.5], np.zeros((3, 2)), np.ones((3, 2)), r"weights \(2,\) and means \(3, 2\)"),
        ([1.0], np.zeros((1, 2)), np.ones((1, 3)), r"variances \(1, 3\)"),
        ([1.0], np.zeros((1, 2)), np.array([[1.0, 0.0]]), "least variance 0"),
        ([1.0], np.array([[np.nan, 0]]), np.ones((1, 2)), "means hold NaN"),
        ([0.5, 0.6], np.zeros((2, 1)), np.ones((2, 1)), "sum 1.1"),
        ([1.5, -0.5], np.zeros((2, 1)), np.ones((2, 1)), "weights from -0.5"),
        ([], np.zeros((0, 2)), np.ones((0, 2)), "expected"),
    ],
)
def test_impossible_models_are_refused(weights, means, variances, message):
    with pytest.raises(ValueError, match=message):
        DiagonalGMM(np.array(weights), means, variances)


def test_lists_and_other_layouts_are_taken_for_arrays(rng):
    gmm = random_gmm(rng)
    frames = draw(rng, gmm, 30)
    expected = accumulate(gmm, frames).first
    for same in (frames.tolist(), np.asfortranarray(frames), np.repeat(frames, 2, axis=0)[::2]):
        np.testing.assert_allclose(accumulate(gmm, same).first, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(accumulate(gmm, frames.astype(np.float16)).first, expected, rtol=0.05, atol=0.05)
    integers = np.round(frames).astype(int)
    np.testing.assert_allclose(log_likelihood(gmm, integers), log_likelihood(gmm, integers.astype(float)), rtol=1e-6)


def test_bad_frames_are_refused(rng):
    gmm = random_gmm(rng)
    with pytest.raises(ValueError, match=r"\(4, 2\); the model expects \(T, 3\)"):
        accumulate(gmm, np.zeros((4, 2)))
    frames = np.zeros((2000, 3), np.float32)
    frames[1500, 1] = np.nan
    with pytest.raises(ValueError, match="frame 1500 holds NaN"):
        accumulate(gmm, frames)
    with pytest.raises(ValueError, match=r"weights of shape \(3,\)"):
        accumulate(gmm, np.zeros((4, 3)), weights=np.ones(3))
    with pytest.raises(ValueError, match="not negative"):
        accumulate(gmm, np.zeros((1, 3)), weights=np.array([-1.0]))
