"""Speech activity: against Kaldi's decisions, against literal twins, by hand, and by labels from outside."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from helpers.paths import GOLDEN
from speechgmm import FeatureConfig, read_audio
from speechgmm.features.frames.vad import KALDI_LOG_SCALE, VadConfig, speech_frames
from speechgmm.features.spectral.cepstra import cepstra

METHODS = [
    {"method": "percentile"},
    {"method": "energy"},
    {"method": "energy", "context": 2, "proportion": 0.12},
    {"method": "gaussians", "n_gaussians": 2},
    {"method": "gaussians", "n_gaussians": 3},
    {"method": "none"},
]
RELATIVE = [METHODS[0], METHODS[3], METHODS[4]]
DECIBEL = np.log(10) / 10
FINITE = arrays(np.float32, st.integers(0, 200), elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
# Whole sixteenths: sums and differences are exact, so that only the rule can break a symmetry.
SIXTEENTHS = st.lists(st.integers(-320, 320), max_size=200).map(lambda values: np.array(values, np.float32) / 16)
MASKS = arrays(np.bool_, st.integers(0, 60))


def literal_energy_rule(log_energy, threshold, mean_scale, context, proportion):
    """Decide as Kaldi does, frame by frame and vote by vote; energies in Kaldi's units."""
    level = threshold + mean_scale * sum(map(float, log_energy)) / max(len(log_energy), 1)
    decisions = []
    for t in range(len(log_energy)):
        votes = [log_energy[u] > level for u in range(t - context, t + context + 1) if 0 <= u < len(log_energy)]
        decisions.append(sum(votes) >= np.float32(len(votes)) * np.float32(proportion))
    return decisions


def literal_gaussians(log_energy, n_gaussians, margin_db=3.0):
    """Train the mixture with loops, and move a threshold up until what it meets is speech."""
    values = [float(value) - float(min(log_energy)) for value in log_energy]
    middle = sum(values) / len(values)
    floor = DECIBEL**2
    variance = max(sum((value - middle) ** 2 for value in values) / len(values) / n_gaussians**2, floor)
    percents = [10 + 80 * c / (n_gaussians - 1) for c in range(n_gaussians)]
    mixture = [(1 / n_gaussians, float(np.percentile(values, percent)), variance) for percent in percents]

    def shares(value):
        logs = [math.log(w) - math.log(v) / 2 - (value - m) ** 2 / (2 * v) for w, m, v in mixture]
        exps = [math.exp(each - max(logs)) for each in logs]
        return [each / sum(exps) for each in exps]

    for _ in range(20):
        rows = [shares(value) for value in values]
        trained = []
        for c in range(n_gaussians):
            count = sum(row[c] for row in rows)
            mean = sum(row[c] * value for row, value in zip(rows, values, strict=True)) / count
            spread = sum(row[c] * (value - mean) ** 2 for row, value in zip(rows, values, strict=True)) / count
            trained.append((count / len(values), mean, max(spread, floor)))
        mixture = trained
    quietest = min(range(n_gaussians), key=lambda c: mixture[c][1])
    least = mixture[quietest][1] + margin_db * DECIBEL
    for value in sorted(values):
        if value > least and shares(value)[quietest] < 0.5:
            return [each >= value for each in values]
    return [False] * len(values)


def literal_runs(speech, close_gaps, min_speech):
    """Fill gaps and drop speech of fewer frames than stated, by looking at each stretch from each of its frames."""

    def stretch(mask, t):
        start = stop = t
        while start > 0 and mask[start - 1] == mask[t]:
            start -= 1
        while stop < len(mask) and mask[stop] == mask[t]:
            stop += 1
        return start, stop

    filled = list(speech)
    for t in range(len(speech)):
        start, stop = stretch(speech, t)
        if not speech[t] and start > 0 and stop < len(speech) and stop - start < close_gaps:
            filled[t] = True
    kept = list(filled)
    for t in range(len(filled)):
        start, stop = stretch(filled, t)
        if filled[t] and stop - start < min_speech:
            kept[t] = False
    return kept


def two_levels(rng, n_quiet=120, n_loud=80):
    """Draw energies about -12 and -4 nats."""
    return rng.permutation(np.concatenate([rng.normal(-12, 1, n_quiet), rng.normal(-4, 1, n_loud)])).astype(np.float32)


def as_energy(mask):
    """Give energies that the energy rule with a threshold of 0 turns into this mask."""
    return np.where(mask, 1.0, -1.0).astype(np.float32) - np.float32(KALDI_LOG_SCALE)


def after_the_rule(mask, frame_shift=0.010, **changes):
    config = VadConfig(method="energy", threshold=0.0, mean_scale=0.0, **changes)
    return speech_frames(as_energy(np.asarray(mask, np.bool_)), config, frame_shift=frame_shift)


@pytest.mark.parametrize(("name", "threshold"), [("vad_default", 5.0), ("vad_sre", 5.5)])
def test_the_energy_rule_decides_as_kaldi_does(name, threshold):
    expected = np.load(GOLDEN / f"{name}.npy") == 1
    config = VadConfig(method="energy", threshold=threshold)
    kaldi = np.load(GOLDEN / "mfcc8_sre10.npy")[:, 0]
    assert np.array_equal(speech_frames(kaldi - KALDI_LOG_SCALE, config), expected)
    samples, _ = read_audio(GOLDEN / "a8k.wav")
    _, log_energy = cepstra(samples, FeatureConfig.preset("kaldi", sample_rate=8000, snip_edges=False))
    np.testing.assert_allclose(log_energy, kaldi - KALDI_LOG_SCALE, atol=1e-4)
    assert np.array_equal(speech_frames(log_energy, config), expected)


@pytest.mark.parametrize(("context", "proportion"), [(0, 0.6), (1, 0.34), (2, 0.12), (2, 0.6), (5, 0.5), (300, 0.4)])
@pytest.mark.parametrize("mean_scale", [0.0, 0.5, 1.0])
def test_the_energy_rule_is_the_literal_one(rng, context, proportion, mean_scale):
    kaldi = rng.normal(14, 4, 100)
    config = VadConfig(method="energy", threshold=6.0, mean_scale=mean_scale, context=context, proportion=proportion)
    expected = literal_energy_rule(kaldi, 6.0, mean_scale, context, proportion)
    assert speech_frames(kaldi - KALDI_LOG_SCALE, config).tolist() == expected


def test_neighbours_vote():
    votes = [True, False, False, True, True, False, True, True]
    # Each frame with its neighbours: 1/2, 1/3, 1/3, 2/3, 2/3, 2/3, 2/3, 2/2.
    assert after_the_rule(votes, context=1).tolist() == [False] * 3 + [True] * 5
    assert after_the_rule(votes, context=1, proportion=0.5).tolist() == [True] + [False] * 2 + [True] * 5
    assert after_the_rule(votes, context=1, proportion=0.3).all()
    assert not after_the_rule(votes, context=10**30, proportion=0.63).any()
    assert after_the_rule(votes, context=10**30, proportion=0.625).all()  # 5 of 8, met exactly


def test_a_share_is_met_in_single_precision():
    # 25 * 0.6 is 15 in double precision; 25 times 0.6 to the nearest float32, 0.600000024, rounds to 15.000001.
    votes = np.arange(25) < 15
    assert not after_the_rule(votes, context=12)[12]
    assert after_the_rule(votes, context=12, proportion=0.599)[12]


def test_the_level_of_the_energy_rule_is_in_kaldis_units():
    # In Kaldi's units: a mean of 10 and a level of 5.5 + 0.5 * 10, which is not above itself.
    energy = np.array([9.0, 10.0, 10.5, 10.5, 10.75, 9.25]) - KALDI_LOG_SCALE + 1e-9 * np.array([0, 0, -1, 1, 0, 0])
    config = VadConfig(method="energy", threshold=5.5)
    assert speech_frames(energy, config).tolist() == [False, False, False, True, True, False]


@pytest.mark.parametrize("n_gaussians", [2, 3])
def test_the_mixture_is_the_literal_one(rng, n_gaussians):
    config = VadConfig(method="gaussians", n_gaussians=n_gaussians)
    slow_rng = np.random.default_rng({2: 18, 3: 4}[n_gaussians])
    slow = slow_rng.normal(-5, 2, 200)  # here the last iteration still moves a decision
    for energy in (two_levels(rng), two_levels(rng, 20, 5), rng.uniform(-20, 0, 60), slow):
        assert speech_frames(energy, config).tolist() == literal_gaussians(energy, n_gaussians)


@pytest.mark.parametrize("n_gaussians", [2, 3])
def test_levels_far_apart_are_told_apart(n_gaussians):
    energy = np.tile(np.repeat(np.float32([-14, -5]), 10), 4)
    energy += np.float32(0.01) * np.arange(80, dtype=np.float32)
    config = VadConfig(method="gaussians", n_gaussians=n_gaussians)
    assert np.array_equal(speech_frames(energy, config), energy > -10)


def test_of_three_levels_two_are_speech():
    energy = np.repeat(np.float32([-14, -9, -4]), 30)
    assert np.array_equal(speech_frames(energy, VadConfig(method="gaussians", n_gaussians=3)), energy > -12)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("n_gaussians", [2, 3])
def test_a_wide_component_does_not_turn_the_order_round(sign, n_gaussians):
    # A narrow and a wide cluster: the wide one has the higher density far out on both sides.
    quantiles = np.linspace(-1, 1, 201)
    energy = sign * np.concatenate([4 + 0.3 * quantiles, 12 * quantiles, [30.0, -30.0]])
    speech = speech_frames(energy, VadConfig(method="gaussians", n_gaussians=n_gaussians))
    assert 0 < speech.sum() < len(energy)
    assert energy[speech].min() > energy[~speech].max()


@pytest.mark.parametrize("changes", RELATIVE)
@pytest.mark.parametrize("margin_db", [0.0, 3.0])
def test_nothing_stands_out_of_energy_that_never_changes(changes, margin_db):
    config = VadConfig(**changes, margin_db=margin_db)
    for n_frames in (1, 2, 3, 100):
        assert not speech_frames(np.full(n_frames, -7.3, np.float32), config).any()


@pytest.mark.parametrize("changes", RELATIVE)
def test_of_two_frames_the_louder_is_speech(changes):
    assert speech_frames(np.float32([-4, -13]), VadConfig(**changes)).tolist() == [True, False]


def test_the_margin_keeps_gaussians_from_splitting_steady_noise(rng):
    noise = rng.normal(-10, 0.1, 500).astype(np.float32)
    assert not speech_frames(noise, VadConfig(method="gaussians")).any()
    assert speech_frames(noise, VadConfig(method="gaussians", margin_db=0.0)).any()


@pytest.mark.parametrize("changes", METHODS)
@given(energy=FINITE)
def test_any_energies_give_a_mask_of_their_length(changes, energy):
    before = energy.copy()
    for more in ({}, {"close_gaps": 0.05, "min_speech": 0.03}):
        speech = speech_frames(energy, VadConfig(**changes, **more))
        assert speech.shape == energy.shape
        assert speech.dtype == np.bool_
    assert np.array_equal(energy, before)


@pytest.mark.parametrize("changes", [METHODS[0], METHODS[1], METHODS[3], METHODS[4]])
@given(energy=FINITE)
def test_more_energy_is_never_less_speech(changes, energy):
    speech = speech_frames(energy, VadConfig(**changes))
    assert energy[speech].min(initial=np.inf) > energy[~speech].max(initial=-np.inf)


@pytest.mark.parametrize("changes", RELATIVE)
@given(energy=SIXTEENTHS, shift=st.integers(-1000, 1000))
def test_the_level_of_the_recording_does_not_matter(changes, energy, shift):
    config = VadConfig(**changes)
    moved = energy + np.float32(shift) / 16
    assert np.array_equal(speech_frames(moved, config), speech_frames(energy, config))


@given(mask=MASKS, close=st.integers(0, 8), least=st.integers(0, 8))
def test_closing_and_dropping_are_the_literal_ones(mask, close, least):
    speech = after_the_rule(mask, close_gaps=close / 100, min_speech=least / 100)
    assert speech.tolist() == literal_runs(mask, close, least)


@given(mask=MASKS, close=st.integers(0, 8), least=st.integers(0, 8))
def test_closing_adds_and_dropping_takes_away_and_once_is_enough(mask, close, least):
    closed = after_the_rule(mask, close_gaps=close / 100)
    both = after_the_rule(mask, close_gaps=close / 100, min_speech=least / 100)
    assert (closed >= mask).all()
    assert (both <= closed).all()
    assert np.array_equal(after_the_rule(closed, close_gaps=close / 100), closed)
    assert np.array_equal(after_the_rule(both, close_gaps=close / 100, min_speech=least / 100), both)
    starts = np.flatnonzero(np.diff(np.concatenate([[0], both, [0]])))
    assert (np.diff(starts)[::2] >= least).all()
    assert (np.diff(starts)[1::2] >= close).all()


def test_gaps_are_closed_before_short_speech_is_dropped():
    mask = [False, True, True, False, True, True, False, False, False, True, False]
    closed = [False, True, True, True, True, True, False, False, False, True, False]
    # Frames of 10 ms: the gap of 10 ms is filled, that of 30 ms and the silent ends are not.
    assert after_the_rule(mask, close_gaps=0.03).tolist() == closed
    assert after_the_rule(mask, close_gaps=0.03, min_speech=0.05).tolist() == [*closed[:9], False, False]
    assert not after_the_rule(mask, min_speech=0.05).any()
    assert after_the_rule(mask, frame_shift=0.02, close_gaps=0.03).tolist() == closed
    assert after_the_rule(mask, frame_shift=0.03, close_gaps=0.03).tolist() == mask
    assert not after_the_rule(mask, close_gaps=1e300, min_speech=1e300).any()
    assert speech_frames(np.zeros(3, np.float32), VadConfig(method="none", min_speech=0.03)).all()
    assert not speech_frames(np.zeros(2, np.float32), VadConfig(method="none", min_speech=0.03)).any()


@pytest.mark.parametrize("frame_shift", [0.0, -0.01, math.inf, math.nan])
def test_a_shift_that_counts_no_frames_is_refused(frame_shift):
    with pytest.raises(ValueError, match=r"frame_shift .*: expected seconds above 0"):
        speech_frames(np.zeros(3, np.float32), VadConfig(), frame_shift=frame_shift)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "loud"}, "'percentile', 'energy', 'gaussians' or 'none'"),
        ({"n_gaussians": 4}, "2 or 3"),
        ({"context": -1}, "greater than or equal to 0"),
        ({"mean_scale": -0.5}, "greater than or equal to 0"),
        ({"proportion": 0.0}, "greater than 0"),
        ({"proportion": 1.0}, "less than 1"),
        ({"close_gaps": -0.1}, "greater than or equal to 0"),
        ({"min_speech": -0.1}, "greater than or equal to 0"),
        ({"threshold": math.nan}, "finite number"),
        ({"vad_energy_threshold": 5.5}, "not permitted"),
    ],
)
def test_impossible_rules_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        VadConfig(**changes)
