"""Normalisation: against Kaldi's numbers, literal twins and what the formulas say must come out."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

from helpers.paths import GOLDEN
from speechgmm import FeatureConfig
from speechgmm.features.extract import extract
from speechgmm.features.frames import normalisation
from speechgmm.features.frames.deltas import DeltaConfig, append_deltas
from speechgmm.features.frames.normalisation import NormalisationConfig, normalise_frames


def over_all(frames, **keys):
    speech = np.zeros(len(frames), bool)  # which must not matter
    return normalise_frames(frames, speech, NormalisationConfig(over="all", **keys))


def kaldi_window(t, n_frames, window, center, min_window):
    """Begin and end of the window of frame t, as apply-cmvn-sliding moves and cuts it."""
    if center:
        begin, end = t - window // 2, t - window // 2 + window
    else:
        begin, end = t - window, t + 1
    if begin < 0:
        begin, end = 0, end - begin
    if not center:
        end = max(t + 1, min_window)
    if end > n_frames:
        begin, end = max(0, begin - (end - n_frames)), n_frames
    return begin, end


def sliding(frames, window, *, center=False, min_window=100, share=1.0, variance=False):
    """Normalise each value by the frames of its window."""
    result = np.zeros(frames.shape)
    for t in range(len(frames)):
        begin, end = kaldi_window(t, len(frames), window, center, min_window)
        for d in range(frames.shape[1]):
            inside = [float(x) for x in frames[begin:end, d]]
            mean = math.fsum(inside) / len(inside)
            deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in inside) / len(inside))
            result[t, d] = (frames[t, d] - share * mean) / (deviation if variance and deviation > 0 else 1)
    return result


def warped(frames, window):
    """The normal deviate of each value's rank in its window, the greatest having rank 1."""
    result = np.zeros(frames.shape)
    for t in range(len(frames)):
        inside = frames[max(0, t - window // 2) : t - window // 2 + window]
        for d in range(frames.shape[1]):
            ranks = [r for r, x in enumerate(sorted(inside[:, d], reverse=True), 1) if x == frames[t, d]]
            rank = sum(ranks) / len(ranks)
            result[t, d] = NormalDist().inv_cdf((len(inside) + 0.5 - rank) / len(inside))
    return result


def rasta(frames):
    """The difference equation, one frame after another."""
    n_frames = len(frames)
    at = [frames[min(max(t, 0), n_frames - 1)].astype(float) for t in range(-8, n_frames + 5)]  # frame t is at[t + 8]
    result, before = np.zeros(frames.shape), np.zeros(frames.shape[1])
    for t in range(-4, n_frames):
        before = 0.98 * before + 0.1 * (2 * at[t + 12] + at[t + 11] - at[t + 9] - 2 * at[t + 8])
        if t >= 0:
            result[t] = before
    return result


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("cmvn_mean", {}),
        ("cmvn_meanvar", {"variance": True}),
        ("cmvnsliding_default", {"window": 600}),
        ("cmvnsliding_sre", {"window": 300, "center": True}),
    ],
)
def test_means_and_variances_agree_with_kaldi(name, keys):
    frames = over_all(np.load(GOLDEN / "mfcc8_sre10.npy"), mean=1.0, **keys)
    np.testing.assert_allclose(frames, np.load(GOLDEN / f"{name}.npy"), rtol=0, atol=5e-6)


def test_sliding_over_all_before_the_choice_of_speech_agrees_with_kaldis_chain():
    frames = append_deltas(np.load(GOLDEN / "mfcc8_sre10.npy"), DeltaConfig(order=2, window=3))
    speech = np.load(GOLDEN / "vad_sre.npy").ravel() > 0
    config = NormalisationConfig(mean=1.0, window=300, center=True, over="all")
    result = normalise_frames(frames, speech, config)[speech]
    np.testing.assert_allclose(result, np.load(GOLDEN / "chain_sre.npy"), rtol=0, atol=5e-6)


@pytest.mark.parametrize("n_frames", [1, 2, 7, 8, 9, 40])
@pytest.mark.parametrize("variance", [False, True])
@pytest.mark.parametrize(
    "keys",
    [
        {"window": 8, "center": True},
        {"window": 7, "center": True},
        {"window": 2, "center": True},
        {"window": 8, "min_window": 1},
        {"window": 8, "min_window": 5},
        {"window": 8, "min_window": 8},
    ],
)
def test_sliding_is_the_literal_loop(rng, n_frames, variance, keys):
    frames = rng.normal(3, 2, size=(n_frames, 3)).astype(np.float32)
    expected = sliding(frames, variance=variance, share=0.7, **keys)
    result = over_all(frames, mean=0.7, variance=variance, **keys)
    np.testing.assert_allclose(result, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("n_frames", [1, 2, 4, 5, 30])
@pytest.mark.parametrize("window", [3, 8, 9, 50])
def test_warping_is_the_literal_rank(rng, n_frames, window):
    frames = rng.normal(size=(n_frames, 2)).astype(np.float32).round(1)  # so that some are equal
    np.testing.assert_allclose(over_all(frames, mean=0.0, warp=window), warped(frames, window), atol=1e-6)


def test_warping_in_blocks_is_warping_at_once(rng, monkeypatch):
    frames = rng.normal(size=(50, 2)).astype(np.float32)
    whole = over_all(frames, warp=9)
    monkeypatch.setattr(normalisation, "WARP_BLOCK", 7)
    assert np.array_equal(over_all(frames, warp=9), whole)


@pytest.mark.parametrize("n_frames", [1, 2, 3, 30])
def test_rasta_is_the_literal_difference_equation(rng, n_frames):
    frames = rng.normal(5, 1, size=(n_frames, 2)).astype(np.float32)
    np.testing.assert_allclose(over_all(frames, mean=0.0, rasta=True), rasta(frames), atol=1e-6)


def test_the_defaults_subtract_half_of_the_mean_over_speech_to_the_bit(rng):
    frames = rng.normal(3, 1, size=(50, 4)).astype(np.float32)
    speech = np.arange(50) % 3 > 0
    expected = (frames - 0.5 * frames[speech].mean(axis=0, dtype=np.float64)).astype(np.float32)
    assert np.array_equal(normalise_frames(frames, speech, NormalisationConfig()), expected)
    assert normalise_frames(frames, speech, NormalisationConfig(mean=0.0)) is frames


@pytest.mark.parametrize("over", ["speech", "all"])
def test_mean_and_variance_leave_mean_zero_and_deviation_one(rng, over):
    frames = rng.normal(-7, 3, size=(200, 3)).astype(np.float32)
    speech = np.arange(200) < 120
    result = normalise_frames(frames, speech, NormalisationConfig(mean=1.0, variance=True, over=over))
    counted = result[speech] if over == "speech" else result
    np.testing.assert_allclose(counted.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(counted.std(axis=0), 1, atol=1e-5)


def test_a_centred_window_that_holds_the_utterance_is_the_whole(rng):
    frames = rng.normal(2, 3, size=(100, 3)).astype(np.float32)
    for window in (100, 1000, 10**9):
        whole, slid = (over_all(frames, variance=True, **keys) for keys in ({}, {"window": window, "center": True}))
        np.testing.assert_allclose(slid, whole, atol=2e-6)


def test_whole_windows_of_distinct_values_become_the_normal_quantiles(rng):
    n_frames = 101
    frames = rng.permuted(np.tile(np.arange(n_frames, dtype=np.float32)[:, None], 3), axis=0)
    result = over_all(frames, warp=2 * n_frames)
    quantiles = [NormalDist().inv_cdf((i + 0.5) / n_frames) for i in range(n_frames)]
    np.testing.assert_allclose(np.sort(result, axis=0), np.tile(np.array(quantiles)[:, None], 3), atol=1e-6)
    assert np.array_equal(np.argsort(result, axis=0), np.argsort(frames, axis=0))


def test_warping_ignores_any_rising_distortion(rng):
    frames = rng.normal(size=(80, 2)).astype(np.float32)
    assert np.array_equal(over_all(frames, warp=21), over_all(np.exp(frames) * 3 - 5, warp=21))


def test_rasta_kills_a_constant_and_passes_syllables():
    assert not over_all(np.full((50, 2), 12.3, np.float32), mean=0.0, rasta=True).any()
    seconds = np.arange(2000) / 100
    for frequency, least, most in ((0.02, 0.0, 0.2), (4.0, 0.9, 1.1), (45.0, 0.0, 0.2)):
        z = np.exp(2j * np.pi * frequency / 100)
        gain = abs(0.1 * (2 + z**-1 - z**-3 - 2 * z**-4) / (1 - 0.98 / z))
        wave = np.sin(2 * np.pi * frequency * seconds)[:, None].astype(np.float32)
        settled = over_all(wave, mean=0.0, rasta=True)[600:-100]
        if frequency >= 4:
            assert settled.std() * math.sqrt(2) == pytest.approx(gain, rel=0.02)
        assert least <= settled.std() * math.sqrt(2) <= most


def test_a_gain_moves_no_feature_once_the_mean_of_c0_goes_wholly(rng):
    frames = rng.normal(size=(60, 3)).astype(np.float32)
    louder = frames + np.float32([4, 0, 0])
    for keys in ({}, {"window": 30, "center": True}):
        soft, loud = (over_all(x, mean=0.5, c0_mean=1.0, **keys) for x in (frames, louder))
        np.testing.assert_allclose(loud, soft, atol=1e-6)
        assert np.array_equal(soft[:, 1:], over_all(frames, mean=0.5, **keys)[:, 1:])


@pytest.mark.parametrize(
    "keys",
    [
        {"mean": 0.3, "variance": True},
        {"window": 20, "center": True, "variance": True},
        {"window": 20, "min_window": 10, "c0_mean": 1.0},
        {"mean": 0.0, "warp": 15},
        {"window": 20, "center": True, "warp": 15},
    ],
)
def test_over_speech_is_as_if_the_rest_had_been_removed(rng, keys):
    frames = rng.normal(2, 1, size=(90, 2)).astype(np.float32)
    speech = rng.random(90) < 0.6
    result = normalise_frames(frames, speech, NormalisationConfig(over="speech", **keys))
    np.testing.assert_allclose(result[speech], over_all(frames[speech], **keys), atol=1e-6)
    assert np.isfinite(result).all()


def test_other_frames_are_treated_like_the_last_speech_frame_before_them(rng):
    frames = rng.normal(size=(40, 2)).astype(np.float32)
    speech = np.arange(40) % 4 == 1
    for t, place in ((0, 1), (1, 1), (4, 1), (6, 5), (39, 37)):
        put = frames.copy()
        put[place] = frames[t]
        # A warped value does not depend on what it takes the place of; a mean would.
        config = NormalisationConfig(mean=0.0, warp=5)
        assert np.array_equal(normalise_frames(frames, speech, config)[t], normalise_frames(put, speech, config)[place])
        config = NormalisationConfig(mean=1.0, window=4, center=True)
        moved = frames - normalise_frames(frames, speech, config)
        np.testing.assert_allclose(moved[t], moved[place], atol=1e-6)


def test_the_steps_come_in_the_stated_order(rng):
    frames = rng.normal(3, 1, size=(80, 2)).astype(np.float32)
    keys = {"mean": 1.0, "variance": True, "window": 30, "center": True}
    one_by_one = over_all(over_all(over_all(frames, mean=0.0, rasta=True), **keys), mean=0.0, warp=21)
    np.testing.assert_allclose(over_all(frames, rasta=True, warp=21, **keys), one_by_one, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e4, 3.3e38])
@pytest.mark.parametrize("n_frames", [1, 2, 300])
@pytest.mark.parametrize("keys", [{}, {"window": 250, "center": True}, {"window": 100, "min_window": 1}])
def test_a_column_that_does_not_vary_is_not_divided(value, n_frames, keys):
    frames = np.full((n_frames, 2), value, np.float32)
    np.testing.assert_allclose(over_all(frames, mean=1.0, variance=True, **keys), 0, atol=1e-6 * abs(value))
    np.testing.assert_allclose(over_all(frames, mean=0.5, variance=True, **keys), frames / 2, rtol=1e-6)


def test_what_lies_outside_a_window_leaves_no_trace_in_it(rng):
    quiet = rng.normal(size=(500, 1)).astype(np.float32)
    loud = np.full((500, 1), 1e12, np.float32)
    both = over_all(np.concatenate([loud, quiet]), mean=1.0, variance=True, window=100)
    np.testing.assert_allclose(both[700:], over_all(quiet, mean=1.0, variance=True, window=100)[200:], atol=1e-6)


CONFIGURATIONS = [
    {},
    {"mean": 1.0, "variance": True},
    {"mean": 1.0, "window": 5, "center": True, "variance": True},
    {"mean": 0.2, "window": 6, "min_window": 2, "variance": True},
    {"warp": 5},
    {"rasta": True},
    {"rasta": True, "mean": 1.0, "window": 6, "center": True, "variance": True, "warp": 7},
]


@settings(max_examples=60, deadline=None)
@given(
    frames=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 30), st.integers(1, 3)),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
    ),
    keys=st.sampled_from(CONFIGURATIONS),
    over=st.sampled_from(["speech", "all"]),
    data=st.data(),
)
def test_whatever_is_finite_stays_so(frames, keys, over, data):
    speech = np.array(data.draw(st.lists(st.booleans(), min_size=len(frames), max_size=len(frames))))
    speech[data.draw(st.integers(0, len(frames) - 1))] = True
    before = frames.copy()
    result = normalise_frames(frames, speech, NormalisationConfig(over=over, **keys))
    assert (result.shape, result.dtype) == (frames.shape, np.float32)
    assert np.isfinite(result).all()
    assert np.array_equal(frames, before)


@pytest.mark.parametrize("keys", [{"mean": 1.0}, {"mean": 1.0, "window": 2, "center": True}, {"rasta": True}])
def test_what_float32_cannot_hold_stays_at_its_limit(keys):
    limit = np.finfo(np.float32).max
    result = over_all(np.array([[limit]] + [[-limit]] * 9, np.float32), **keys)
    assert np.isfinite(result).all()
    assert np.abs(result).max() == pytest.approx(limit)


@pytest.mark.parametrize(
    ("base", "change"),
    [
        ({}, {"mean": 0.4}),
        ({}, {"c0_mean": 1.0}),
        ({}, {"variance": True}),
        ({}, {"over": "all"}),
        ({}, {"window": 120}),
        ({"window": 120}, {"window": 110}),
        ({"window": 120}, {"center": True}),
        ({"window": 120}, {"min_window": 60}),
        ({"window": 120}, {"over": "all"}),
        ({"window": 120}, {"c0_mean": 1.0}),
        ({"window": 120}, {"variance": True}),
        ({}, {"warp": 101}),
        ({"warp": 101}, {"warp": 102}),
        ({"warp": 101}, {"over": "all"}),
        ({"warp": 101}, {"window": 120}),
        ({}, {"rasta": True}),
    ],
)
def test_every_key_changes_something(rng, base, change):
    frames = rng.normal(3, 2, size=(200, 3)).astype(np.float32).cumsum(axis=0)
    speech = rng.random(200) < 0.7
    results = [normalise_frames(frames, speech, NormalisationConfig(**keys))[speech] for keys in (base, base | change)]
    assert not np.allclose(*results)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"mean": 1.1}, "mean"),
        ({"c0_mean": -0.1}, "c0_mean"),
        ({"center": True}, "center is for a sliding window"),
        ({"min_window": 50}, "min_window 50 is for a sliding window"),
        ({"window": 300, "center": True, "min_window": 50}, "min_window 50 is for a window that is not centred"),
        ({"window": 50}, "min_window 100 is longer than window 50"),
        ({"window": 300, "mean": 0.0}, "window 300 has no effect where mean is 0 and variance is false"),
        ({"warp": 300, "variance": True}, "change no rank"),
        ({"warp": 300, "c0_mean": 1.0}, "change no rank"),
        ({"warp": 2}, "greater than or equal to 3"),
        ({"window": 1}, "greater than or equal to 2"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        NormalisationConfig(**keys)


@pytest.mark.parametrize("keys", CONFIGURATIONS)
def test_a_configuration_with_every_default_written_out_is_the_same(keys):
    config = NormalisationConfig(**keys)
    assert NormalisationConfig(**config.model_dump()) == config


def test_the_front_end_normalises_as_configured(rng):
    samples = (np.linspace(0.01, 0.1, 16000) * rng.standard_normal(16000)).astype(np.float32)
    frames = extract(samples, FeatureConfig(normalisation={"mean": 1.0, "variance": True}))
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(frames.std(axis=0), 1, atol=1e-4)
