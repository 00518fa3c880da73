"""Deltas by HTK's rule and shifted deltas: against Kaldi's numbers and literal twins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydantic import ValidationError

import naive
from helpers.paths import GOLDEN
from speechgmm import FeatureConfig, extract
from speechgmm.features.frames.deltas import DeltaConfig, ShiftedDeltaConfig, append_deltas


def shifted(**keys):
    return DeltaConfig(order=0, sdc=ShiftedDeltaConfig(**keys))


def shifted_deltas(frames, n, d, p, k):
    """The features, then k slopes over frames t + ip - d ... t + ip + d, none of them beyond the ends."""
    last = len(frames) - 1
    rows = []
    for t in range(len(frames)):
        row = list(frames[t])
        for i in range(k):
            for column in range(n):
                slope = 0.0
                for j in range(-d, d + 1):
                    slope += j * float(frames[min(max(t + i * p + j, 0), last), column])
                row.append(slope / sum(j * j for j in range(-d, d + 1)))
        rows.append(row)
    return np.array(rows)


def test_shifted_deltas_agree_with_kaldi():
    frames = append_deltas(np.load(GOLDEN / "mfcc8_sre10.npy"), shifted(n=20, d=1, p=3, k=7))
    np.testing.assert_allclose(frames, np.load(GOLDEN / "sdc_1_7_3.npy"), rtol=0, atol=5e-6)


@pytest.mark.parametrize("n_frames", [1, 2, 5, 30])
@pytest.mark.parametrize("keys", [(7, 1, 3, 7), (2, 2, 1, 3), (1, 3, 5, 1), (8, 1, 40, 2)])
def test_shifted_deltas_are_the_literal_slopes(rng, n_frames, keys):
    frames = rng.normal(size=(n_frames, 8)).astype(np.float32)
    n, d, p, k = keys
    result = append_deltas(frames, shifted(n=n, d=d, p=p, k=k))
    np.testing.assert_allclose(result, shifted_deltas(frames, n, d, p, k), atol=1e-6)


def test_shifted_deltas_of_a_ramp_are_its_slope():
    ramp = (0.25 * np.arange(60, dtype=np.float32))[:, None]
    frames = append_deltas(ramp, shifted(n=1, d=2, p=3, k=4))
    np.testing.assert_allclose(frames[2 : -2 - 9, 1:], 0.25, atol=1e-6)
    np.testing.assert_allclose(frames[-1, 2:], 0, atol=1e-6)  # three frames beyond the end nothing moves


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("n_frames", [1, 2, 5, 30])
def test_htk_repeats_the_regression_of_the_deltas(rng, order, n_frames):
    frames = rng.normal(size=(n_frames, 3)).astype(np.float32)
    expected = [frames.astype(np.float64)]
    for _ in range(order):
        expected.append(naive.deltas(expected[-1], 2))
    result = append_deltas(frames, DeltaConfig(order=order, window=2, edges="htk"))
    np.testing.assert_allclose(result, np.concatenate(expected, axis=1), atol=1e-6)


def test_htk_and_kaldi_differ_at_the_ends_only(rng):
    frames = rng.normal(size=(40, 3)).astype(np.float32)
    kaldi, htk = (append_deltas(frames, DeltaConfig(order=2, window=3, edges=edges)) for edges in ("kaldi", "htk"))
    assert np.array_equal(kaldi[:, :6], htk[:, :6])
    np.testing.assert_allclose(kaldi[6:-6], htk[6:-6], atol=1e-6)
    assert not np.allclose(kaldi[:3, 6:], htk[:3, 6:])
    assert not np.allclose(kaldi[-3:, 6:], htk[-3:, 6:])


EVERY_KIND = [DeltaConfig(), DeltaConfig(order=3, window=2, edges="htk"), DeltaConfig(order=0), shifted(n=2, k=3)]


@settings(max_examples=40, deadline=None)
@given(
    frames=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 20), st.integers(2, 4)),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
    ),
    config=st.sampled_from(EVERY_KIND),
)
def test_whatever_is_finite_stays_so_and_has_the_stated_width(frames, config):
    result = append_deltas(frames, config)
    assert result.shape == (len(frames), config.n_columns(frames.shape[1]))
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    assert np.array_equal(result[:, : frames.shape[1]], frames)


@pytest.mark.parametrize("config", EVERY_KIND)
def test_the_front_end_has_the_stated_width(rng, config):
    features = FeatureConfig(deltas=config)
    samples = (np.linspace(0.01, 0.1, 8000) * rng.standard_normal(8000)).astype(np.float32)
    assert extract(samples, features).shape[1] == features.n_features == config.n_columns(24)
    assert DeltaConfig(**config.model_dump()) == config


@pytest.mark.parametrize("change", [{"n": 3}, {"d": 2}, {"p": 2}, {"k": 3}])
def test_every_key_of_shifted_deltas_changes_something(rng, change):
    frames = rng.normal(size=(40, 5)).astype(np.float32)
    base = {"n": 4, "d": 1, "p": 3, "k": 4}
    plain, changed = (append_deltas(frames, shifted(**keys)) for keys in (base, base | change))
    assert plain.shape != changed.shape or not np.allclose(plain, changed)


def test_the_usual_shifted_deltas_are_7_1_3_7():
    assert ShiftedDeltaConfig() == ShiftedDeltaConfig(n=7, d=1, p=3, k=7)
    assert shifted().n_columns(7) == 56


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"sdc": {}}, "sdc takes the place of deltas: expected order 0, not 2"),
        ({"order": 0, "edges": "htk", "sdc": {}}, "edges htk is for deltas of a higher order"),
        ({"edges": "zero"}, "kaldi"),
        ({"order": 0, "sdc": {"n": 0}}, "greater than or equal to 1"),
        ({"order": 0, "sdc": {"blocks": 7}}, "blocks"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys, message):
    with pytest.raises(ValidationError, match=message):
        DeltaConfig(**keys)


def test_more_features_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"sdc.n 7: expected at most the 5 static features"):
        append_deltas(np.zeros((3, 5), np.float32), shifted())
