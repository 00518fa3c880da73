"""The synthetic talkers: what is asked of a talker is what is measured in the samples, by textbook analyses."""

import re
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError
from scipy.linalg import solve_toeplitz
from scipy.signal import welch

from speechgmm.corpus.synthetic import synthesis
from speechgmm.corpus.synthetic.synthesis import Session, SyntheticConfig, articulate, plan, record, render, utter
from speechgmm.corpus.synthetic.talkers import (
    PHONES,
    SPEED_OF_SOUND,
    Segment,
    Talker,
    bandwidths,
    draw_talker,
    glottal_flow,
    random_utterance,
)

SMALL = SyntheticConfig(
    n_speakers=3, n_background=2, n_background_utterances=2, n_enrol=2, n_test=2, seconds=1.5, seed=5
)
FLAT = Session(response=(), low_cut=1e-3, level=-20.0, noise=-120.0, noise_slope=0.0)


def by_id(config: SyntheticConfig) -> dict[str, np.ndarray]:
    return {utterance.id: render(config, utterance) for utterance in plan(config)}


def sustained(talker: Talker, rng: np.random.Generator, sample_rate: int = 16000, **segment: float) -> np.ndarray:
    """A second and a half of /aa/ held by a talker; 0.2 s of silence before it are cut off."""
    target = talker.formants[PHONES.index("aa")]
    score = [Segment(0.2, target), Segment(1.6, target, **segment), Segment(0.1, target)]
    return articulate(talker, score, sample_rate, rng)[round(0.25 * sample_rate) : round(1.75 * sample_rate)]


def autocorrelation(samples: np.ndarray, n_lags: int) -> np.ndarray:
    """Lags 0 .. n_lags - 1, as a share of lag 0."""
    power = np.abs(np.fft.rfft(samples, 2 * len(samples))) ** 2
    correlation = np.fft.irfft(power)[:n_lags]
    return correlation / correlation[0]


def pitch(samples: np.ndarray, sample_rate: int) -> tuple[float, float]:
    """Fundamental frequency from the highest peak of the autocorrelation at 60 to 450 Hz, and that peak."""
    correlation = autocorrelation(samples, sample_rate // 60)
    shortest = sample_rate // 450
    lag = shortest + int(np.argmax(correlation[shortest:]))
    return sample_rate / lag, float(correlation[lag])


def formants(samples: np.ndarray, sample_rate: int, n_poles: int) -> np.ndarray:
    """Frequencies of the sharp resonances of a linear predictor (autocorrelation method), in rising order."""
    flat = np.append(samples[0], samples[1:] - 0.3 * samples[:-1])  # balances the source's and the lips' slopes
    correlation = autocorrelation(flat, n_poles + 1)
    predictor = solve_toeplitz(correlation[:-1], correlation[1:])
    roots = np.roots(np.append(1.0, -predictor))
    widths = -np.log(np.abs(roots)) * sample_rate / np.pi
    frequencies = np.angle(roots) * sample_rate / (2 * np.pi)
    return np.sort(frequencies[(frequencies > 150) & (widths < 500)])


def test_the_same_seed_gives_the_same_samples_in_any_order():
    first = by_id(SMALL)
    for utterance in reversed(plan(SMALL)):
        assert_array_equal(render(SMALL, utterance), first[utterance.id])


def test_another_seed_gives_other_samples():
    utterance = plan(SMALL)[0]
    one, other = render(SMALL, utterance), render(SMALL.model_copy(update={"seed": 6}), utterance)
    n = min(len(one), len(other))
    assert abs(np.corrcoef(one[:n], other[:n])[0, 1]) < 0.1


def test_more_speakers_and_utterances_leave_the_others_as_they_were():
    larger = SMALL.model_copy(
        update={"n_speakers": 5, "n_background": 4, "n_background_utterances": 3, "n_enrol": 3, "n_test": 4}
    )
    before, after = by_id(SMALL), by_id(larger)
    assert len(after) == 4 * 3 + 5 * 3 + 5 * 4
    for name, samples in before.items():
        assert_array_equal(after[name], samples)


def test_plan_lists_every_utterance_once_under_a_name_for_a_file():
    config = SyntheticConfig(n_speakers=1100, n_background=3, n_background_utterances=4, n_enrol=1, n_test=2)
    utterances = plan(config)
    assert len(utterances) == 3 * 4 + 1100 * (1 + 2)
    assert len({utterance.id for utterance in utterances}) == len(utterances)
    assert all(re.fullmatch(r"[a-z0-9-]+", utterance.id) for utterance in utterances)
    assert [u.role for u in utterances] == ["background"] * 12 + ["enrol"] * 1100 + ["test"] * 2200
    speakers = defaultdict(set)
    for utterance in utterances:
        speakers[utterance.role].add((utterance.speaker, utterance.sex))
    assert speakers["enrol"] == speakers["test"]
    assert not speakers["enrol"] & speakers["background"]
    assert sum(sex == "f" for _, sex in speakers["enrol"]) == 550
    assert plan(config) == utterances


def test_enrolment_is_one_session_and_every_test_another(monkeypatch: pytest.MonkeyPatch):
    recorded = defaultdict(list)
    monkeypatch.setattr(synthesis, "record", lambda session, *_: recorded[key].append(session))
    for utterance in plan(SMALL):
        key = (utterance.speaker, utterance.role)
        render(SMALL, utterance)
    for (_, role), sessions in recorded.items():
        assert len(set(sessions)) == (1 if role == "enrol" else 2)
    assert len({session for sessions in recorded.values() for session in sessions}) == 3 * 1 + 3 * 2 + 2 * 2


def test_a_speaker_has_one_voice(monkeypatch: pytest.MonkeyPatch):
    spoken = defaultdict(set)
    monkeypatch.setattr(synthesis, "utter", lambda talker, *_: spoken[key].add((talker.f0, talker.tract_length)))
    monkeypatch.setattr(synthesis, "record", lambda *_: None)
    for utterance in plan(SMALL):
        key = utterance.speaker
        render(SMALL, utterance)
    assert [len(voices) for voices in spoken.values()] == [1] * 5
    assert len(set.union(*spoken.values())) == 5


@pytest.mark.parametrize("sample_rate", [8000, 11025, 16000, 48000])
def test_samples_are_finite_audible_and_never_at_full_scale(sample_rate: int):
    config = SMALL.model_copy(update={"sample_rate": sample_rate})
    for samples in by_id(config).values():
        assert samples.dtype == np.float32
        assert samples.ndim == 1
        assert np.isfinite(samples).all()
        assert 0.7 * 1.5 * sample_rate - 1 <= len(samples) <= 1.3 * 1.5 * sample_rate + 1
        assert 0.02 < np.max(np.abs(samples)) < 1  # speech is at -34 dB (0.020) or above


def test_the_shortest_utterances_still_hold_speech(rng: np.random.Generator):
    for _ in range(50):
        score = random_utterance(draw_talker(rng, "m"), 0.7, rng)
        assert any(segment.voicing > 0 for segment in score)


@pytest.mark.parametrize("seconds", [0.7, 3.0, 12.0])
def test_babble_fills_its_time_with_all_kinds_of_sound_between_pauses(seconds: float, rng: np.random.Generator):
    score = random_utterance(draw_talker(rng, "f"), seconds, rng)
    assert sum(segment.seconds for segment in score) == pytest.approx(seconds)
    assert all(segment.seconds > 0 for segment in score)
    silent = [segment.voicing == segment.aspiration == segment.frication == 0 for segment in score]
    assert silent[0]
    assert silent[-1]
    if seconds == 12.0:
        assert sum(segment.seconds for segment in score if segment.voicing > 0) > 0.3 * seconds
        assert any(segment.frication > 0 and segment.voicing == 0 for segment in score)
        assert any(segment.frication > 0 and segment.voicing > 0 for segment in score)
        assert any(segment.nasal_zero > 0 for segment in score)
        assert any(segment.aspiration > 0 for segment in score)
        assert any(segment.seconds > 0.05 for segment, quiet in zip(score[1:-1], silent[1:-1], strict=True) if quiet)


@pytest.mark.parametrize("sex", ["f", "m"])
@pytest.mark.parametrize(("semitones", "factor"), [(0.0, 1.0), (-5.0, 2 ** (-5 / 12))])
def test_a_sustained_vowel_has_the_voices_f0(sex: str, semitones: float, factor: float, rng: np.random.Generator):
    talker = replace(draw_talker(rng, sex), f0=200.0 if sex == "f" else 120.0)
    score = [Segment(0.3, talker.formants[0], voicing=1.0, pitch=semitones)] * 4
    frequency, periodicity = pitch(articulate(talker, score, 16000, rng), 16000)
    assert frequency == pytest.approx(talker.f0 * factor, rel=0.02)
    assert periodicity > 0.6


def test_jitter_and_shimmer_make_a_vowel_less_periodic(rng: np.random.Generator):
    talker = replace(draw_talker(rng, "m"), jitter=0.0, shimmer=0.0, breath=0.0, f0=125.0)
    even = pitch(sustained(talker, rng, voicing=1.0), 16000)[1]
    rough = pitch(sustained(replace(talker, jitter=0.02, shimmer=0.1), rng, voicing=1.0), 16000)[1]
    assert even > 0.97
    assert rough < even - 0.02


def test_the_glottis_is_open_for_the_open_quotient_with_its_peak_where_the_rise_ends(rng: np.random.Generator):
    talker = replace(draw_talker(rng, "m"), jitter=0.0, shimmer=0.0, open_quotient=0.6, rise=0.7)
    phase = np.arange(1, 100_001) / 1000  # 100 cycles
    flow = glottal_flow(talker, phase, rng).reshape(100, 1000)
    assert np.mean(flow > 0) == pytest.approx(0.6, abs=0.005)
    assert flow.max() == pytest.approx(1.0, abs=1e-4)
    assert_allclose(np.argmax(flow, axis=1) / 1000, 0.6 * 0.7, atol=0.002)
    # Mean of Rosenberg's pulse B over a cycle: the rise and the fall have areas 1/2 and 2/3 of their boxes.
    assert flow.mean() == pytest.approx(0.6 * (0.7 / 2 + 0.3 * 2 / 3), abs=1e-3)


@pytest.mark.parametrize(("sample_rate", "n_poles"), [(16000, 18), (8000, 10)])
@pytest.mark.parametrize("sex", ["f", "m"])
def test_a_whispered_vowel_has_the_voices_formants(sex: str, sample_rate: int, n_poles: int, rng: np.random.Generator):
    talker = replace(draw_talker(rng, sex), damping=1.0)
    found = formants(sustained(talker, rng, sample_rate, aspiration=1.0), sample_rate, n_poles)
    for frequency in talker.formants[PHONES.index("aa")]:
        assert np.min(np.abs(found / frequency - 1)) < 0.06


def test_a_longer_tract_lowers_every_formant_in_proportion(rng: np.random.Generator):
    men = [draw_talker(rng, "m") for _ in range(300)]
    lengths = np.log([talker.tract_length for talker in men])
    for level in (
        [np.log(talker.formants).mean() for talker in men],
        [np.log(talker.upper_formants).mean() for talker in men],
    ):
        slope, _ = np.polyfit(lengths, level, 1)
        assert slope == pytest.approx(-1.0, abs=0.15)
    # A uniform tube shut at one end resonates at odd multiples of c / 4L; F4 is its fourth.
    tube = np.outer(SPEED_OF_SOUND / (4 * np.exp(lengths)), 2 * np.arange(4, 27) - 1)
    assert_allclose(np.mean([talker.upper_formants for talker in men] / tube, axis=0), 1.0, atol=0.01)


def test_a_longer_tract_moves_the_spectrum_down(rng: np.random.Generator):
    short = draw_talker(rng, "m")
    long = replace(short, **{name: getattr(short, name) / 1.2 for name in ("formants", "upper_formants", "nasal_pole")})
    octaves = np.arange(np.log2(200.0), np.log2(6000.0), 0.01)
    envelopes = []
    for talker in (short, long):
        frequencies, power = welch(sustained(talker, rng, aspiration=1.0), 16000, nperseg=256)
        envelopes.append(np.interp(octaves, np.log2(frequencies[1:]), np.log(power[1:])))
    shifts = range(60)
    matches = [np.corrcoef(envelopes[0][s:], envelopes[1][: len(octaves) - s])[0, 1] for s in shifts]
    assert 0.01 * np.argmax(matches) == pytest.approx(np.log2(1.2), abs=0.06)


def test_bandwidths_follow_the_formula():
    # By hand: 15 + 20 + 5 at 500 Hz; 15 / 16 + 20 * 2 + 5 * 16 at 2000 Hz; held to 300 at 7500 Hz.
    assert_allclose(bandwidths(np.array([500.0, 2000.0, 7500.0])), [40.0, 120.9375, 300.0])


def test_a_voiceless_fricative_is_noise_at_high_frequencies(rng: np.random.Generator):
    talker = replace(draw_talker(rng, "m"), sibilance=1.0)
    hiss = sustained(talker, rng, frication=0.1, centre=4900.0, bandwidth=1000.0)
    assert pitch(hiss, 16000)[1] < 0.1
    frequencies, power = welch(hiss, 16000, nperseg=512)
    assert power[frequencies > 3000].sum() > 0.9 * power.sum()
    assert frequencies[np.argmax(power)] == pytest.approx(4900, abs=700)


def test_voice_and_noise_are_the_same_at_every_rate(rng: np.random.Generator):
    talker = draw_talker(rng, "m")
    target = talker.formants[PHONES.index("aa")]
    score = [Segment(1.0, target, voicing=1.0, frication=0.2, centre=500.0, bandwidth=1000.0)] * 2
    levels = []
    for sample_rate in (8000, 16000, 48000):
        frequencies, power = welch(articulate(talker, score, sample_rate, rng), sample_rate, nperseg=sample_rate // 10)
        bands = [(300, 600), (600, 1200), (2000, 3500)]  # voice, voice, noise
        levels.append([power[(frequencies >= low) & (frequencies < high)].sum() for low, high in bands])
    decibels = 10 * np.log10(np.array(levels) / np.array(levels)[:, :1])
    assert_allclose(decibels - decibels[1], 0, atol=2.5)  # near half the rate a digital resonator bends a little


def test_a_burst_comes_after_silence(rng: np.random.Generator):
    talker = draw_talker(rng, "m")
    target = talker.formants[0]
    score = [
        Segment(0.2, target, voicing=1.0),
        Segment(0.08, target),
        Segment(0.01, target, frication=0.3, centre=4400.0, bandwidth=1600.0),
        Segment(0.06, target),
        Segment(0.2, target, voicing=1.0),
    ]
    samples = articulate(talker, score, 16000, rng)
    closure, burst = samples[round(0.24 * 16000) : round(0.27 * 16000)], samples[round(0.28 * 16000) :][:160]
    assert 10 * np.log10(np.mean(burst**2) / np.mean(closure**2)) > 20


def test_speech_has_unit_level_outside_the_pauses(rng: np.random.Generator):
    talker = draw_talker(rng, "f")
    target = talker.formants[0]
    samples = articulate(talker, [Segment(0.5, target), Segment(1.0, target, voicing=1.0)], 16000, rng)
    assert np.sqrt(np.mean(samples[8000:] ** 2)) == pytest.approx(1.0, abs=0.02)
    assert np.abs(samples[:7000]).max() < 1e-3


@pytest.mark.parametrize("sample_rate", [8000, 16000])
@pytest.mark.parametrize("slope", [-8.0, -4.0])
def test_the_noise_floor_is_as_stated(slope: float, sample_rate: int, rng: np.random.Generator):
    session = replace(FLAT, noise=-50.0, noise_slope=slope)
    noise = record(session, np.zeros(4 * sample_rate, np.float32), sample_rate, rng)
    assert 10 * np.log10(np.mean(noise**2)) == pytest.approx(-50.0, abs=0.01)
    frequencies, power = welch(noise, sample_rate, nperseg=512)
    band = (frequencies > 300) & (frequencies < 3500)
    fitted, _ = np.polyfit(np.log2(frequencies[band]), 10 * np.log10(power[band]), 1)
    assert fitted == pytest.approx(slope, abs=0.5)


def test_the_pauses_of_a_recording_hold_the_noise_floor(rng: np.random.Generator):
    speech = utter(draw_talker(rng, "m"), 2.0, 16000, rng)
    samples = record(replace(FLAT, noise=-45.0), speech, 16000, rng)
    assert 10 * np.log10(np.mean(samples[:1500] ** 2)) == pytest.approx(-45.0, abs=1.0)
    assert 10 * np.log10(np.mean(samples**2)) > -26


def test_a_microphone_has_its_level_response_and_low_cut(rng: np.random.Generator):
    # Over 100 .. 8000 Hz on a logarithmic axis, cos(pi k x): at the bottom 1, in the middle (894 Hz) 0 and -1 for
    # k = 1, 2, at the top -1 and 1. A second-order cut is at half the amplitude at its corner: -6 dB.
    times = np.arange(16000) / 16000
    for frequency, session, decibels in [
        (1000.0, FLAT, -20.0),
        (np.sqrt(100.0 * 8000.0), replace(FLAT, response=(3.0, 2.0)), -22.0),
        (7900.0, replace(FLAT, response=(3.0, 2.0)), -21.0),
        (500.0, replace(FLAT, low_cut=500.0), -26.02),
        (4000.0, replace(FLAT, low_cut=500.0), -20.14),
    ]:
        tone = np.sqrt(2) * np.sin(2 * np.pi * frequency * times).astype(np.float32)
        heard = record(session, tone, 16000, rng)[2000:-2000]
        assert 10 * np.log10(np.mean(heard**2)) == pytest.approx(decibels, abs=0.2)


def test_a_recording_that_would_clip_is_turned_down_as_a_whole(rng: np.random.Generator):
    speech = utter(draw_talker(rng, "m"), 2.0, 16000, rng)
    quiet, loud = (record(replace(FLAT, level=level), speech, 16000, rng) for level in (-20.0, 0.0))
    assert np.max(np.abs(loud)) == pytest.approx(0.99, abs=1e-6)
    assert_allclose(loud / np.max(np.abs(loud)), quiet / np.max(np.abs(quiet)), atol=1e-3)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"kind": "real"}, "kind"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"sample_rate": 7999}, "sample_rate"),
        ({"sample_rate": 16000.5}, "sample_rate"),
        ({"n_speakers": 1}, "n_speakers"),
        ({"n_background": 0}, "n_background"),
        ({"n_background_utterances": 0}, "n_background_utterances"),
        ({"n_enrol": 0}, "n_enrol"),
        ({"n_test": "6"}, "n_test"),
        ({"seconds": 0.9}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"speakers": 3}, "speakers"),
    ],
)
def test_a_bad_configuration_is_refused_by_name(values: dict[str, object], match: str):
    with pytest.raises(ValidationError, match=rf"(?m)^{match}$"):
        SyntheticConfig(**values)
