"""Windows of audio that comes in blocks, at the rates of several front ends, and how unlike the audio is so far."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from speechgmm import FeatureConfig
from speechgmm.audio.condition import Condition, measure_condition
from speechgmm.audio.samples import Resampler, resample
from speechgmm.audio.seen import distance, summarise, unlike
from speechgmm.gallery.config import RecogniserConfig
from speechgmm.gallery.live_condition import LiveCondition
from speechgmm.gallery.live_windows import LiveWindows

LOUD = summarise([Condition(low=62.5, high=8000.0, level=-5.0, snr=60.0, clipped=0.0)], 16000)
FACTS = RecogniserConfig.model_construct(recorded=LOUD.to_json(), trained=LOUD.to_json())


def some_gallery(*front_ends, facts=FACTS):
    """What of a gallery decides on windows."""
    return SimpleNamespace(
        front_ends={str(number): each for number, each in enumerate(front_ends)},
        front_end=front_ends[0],
        config=SimpleNamespace(resample=True, first_recogniser=facts),
        recognisers=(None,),
    )


def bursts(rng, rate, seconds):
    """White noise in bursts of 0.8 s with pauses of 0.2 s, louder from second to second."""
    samples = 0.01 * rng.normal(size=rate * seconds) * (1 + np.arange(rate * seconds) // rate)
    return (samples * (np.arange(len(samples)) % rate < 0.8 * rate)).astype(np.float32)


def windows_of(gallery, samples, rate):
    """Push a tenth of a second at a time; return the windows with the seconds of audio pushed before each."""
    live = LiveWindows(gallery, rate, 1.5, 0.5)
    found = []
    for start in range(0, len(samples), rate // 10):
        found += [(live.seconds, each) for each in live.push(samples[start : start + rate // 10])]
    return found + [(live.seconds, each) for each in live.finish()]


def test_windows_of_another_rate_are_those_of_resampled_audio(rng):
    gallery = some_gallery(FeatureConfig(), FeatureConfig(kind="lfcc"), FeatureConfig.preset("kaldi"))
    samples = bursts(rng, 44100, 4)
    converted = windows_of(gallery, samples, 44100)
    usual = windows_of(gallery, resample(samples, 44100, 16000), 16000)
    assert len(converted) == len(usual) == 8
    for (_, ours), (_, theirs) in zip(converted, usual, strict=True):
        assert ours.pieces.keys() == theirs.pieces.keys() == {"0", "1", "2"}
        for name in ours.pieces:
            np.testing.assert_array_equal(ours.pieces[name], theirs.pieces[name])


def test_audio_is_converted_once_for_each_rate(rng, monkeypatch):
    made = []

    def resampler(*rates):
        made.append(rates)
        return Resampler(*rates)

    monkeypatch.setattr("speechgmm.gallery.live_windows.Resampler", resampler)
    telephone = FeatureConfig(sample_rate=8000, high_frequency=3700)
    gallery = some_gallery(FeatureConfig(), FeatureConfig(kind="lfcc"), telephone)
    windows_of(gallery, bursts(rng, 44100, 1), 44100)
    assert made == [(44100, 16000), (44100, 8000)]
    windows_of(gallery, bursts(rng, 16000, 1), 16000)
    assert made[2:] == [(16000, 8000)]


def test_the_distance_is_that_of_the_audio_so_far(rng):
    """It is measured first after 10 s, and then every second; the last windows have that of the whole."""
    samples = bursts(rng, 16000, 14)[:-8000]
    expected = {seconds: distance(measure_condition(samples[: 16000 * seconds], 16000), LOUD)
                for seconds in range(10, 14)}  # fmt: skip
    assert expected[10] > expected[13] > 1
    whole = distance(measure_condition(samples, 16000), LOUD)
    found = windows_of(some_gallery(FeatureConfig()), samples, 16000)
    for seconds, each in found:
        right = whole if seconds == 13.5 else expected.get(int(seconds + 1e-9), 0.0)
        assert each.distance == pytest.approx(right, rel=1e-6), seconds
    assert {each.distance == 0 for seconds, each in found if seconds < 9.95} == {True}


def test_each_aspect_is_found_once(rng):
    samples = bursts(rng, 16000, 12)
    live = LiveWindows(some_gallery(FeatureConfig()), 16000, 1.5, 0.5)
    list(live.push(samples[: 16000 * 9]))
    assert live.unlike == ()
    list(live.push(samples[16000 * 9 : 16000 * 10]))
    first = live.unlike
    assert first == unlike(measure_condition(samples[: 16000 * 10], 16000), LOUD)
    assert [each.split(":")[0] for each in first] == ["level"]
    list(live.push(samples[16000 * 10 :]))
    list(live.finish())
    assert unlike(measure_condition(samples, 16000), LOUD) != first == live.unlike


def test_clipping_is_that_of_the_audio_before_it_is_resampled(rng):
    samples = np.clip(20 * bursts(rng, 48000, 2), -0.5, 0.5)
    known = LiveCondition(FACTS, 16000)
    known.push(samples, resample(samples, 48000, 16000), 1.6)
    known.finish(np.empty(0, np.float32), 1.6)
    assert any(each.startswith("clipping: clipped samples") for each in known.unlike.values())


@pytest.mark.parametrize(("share", "is_measured"), [(0.0, False), (0.09, False), (0.11, True)])
def test_audio_with_hardly_any_speech_is_not_measured(rng, share, is_measured):
    known = LiveCondition(FACTS, 16000)
    samples = bursts(rng, 16000, 10)
    known.push(samples, samples, 10 * share)
    assert (known.distance > 0, bool(known.unlike)) == (is_measured, is_measured)
    before = known.distance
    known.push(np.zeros(160000, np.float32), np.zeros(160000, np.float32), 10 * share)
    assert known.distance == before


def test_short_audio_is_measured_in_the_end(rng):
    samples = bursts(rng, 16000, 4)
    found = windows_of(some_gallery(FeatureConfig()), samples, 16000)
    whole = distance(measure_condition(samples, 16000), LOUD)
    assert [each.distance for _, each in found][-1] == pytest.approx(whole) != 0
    assert found[0][1].condition is None
    assert found[-1][1].condition.high == measure_condition(samples, 16000).high


def test_nothing_is_measured_where_nothing_is_known(rng, monkeypatch):
    monkeypatch.setattr("speechgmm.audio.condition.ConditionMeter.push", lambda *_: pytest.fail("measured"))
    knowing_nothing = some_gallery(FeatureConfig(), facts=RecogniserConfig.model_construct())
    found = windows_of(knowing_nothing, bursts(rng, 16000, 12), 16000)
    assert {each.distance for _, each in found} == {0.0}


def test_memory_does_not_grow(rng):
    known, samples = LiveCondition(FACTS, 16000), bursts(rng, 16000, 15)
    held = []
    tracemalloc.start()
    try:
        for seconds in (15, 30, 45, 60):
            for block in np.split(samples, 150):
                known.push(block, block, float(seconds))
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert known.unlike
    assert held[3] - held[0] < 20_000
