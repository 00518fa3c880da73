"""Windows of audio that comes in blocks, at the rates of several front ends."""

from types import SimpleNamespace

import numpy as np

from speechgmm import FeatureConfig
from speechgmm.audio.samples import Resampler, resample
from speechgmm.gallery.live_windows import LiveWindows


def some_gallery(*front_ends):
    """What of a gallery decides on windows."""
    return SimpleNamespace(
        front_ends={str(number): each for number, each in enumerate(front_ends)},
        front_end=front_ends[0],
        config=SimpleNamespace(resample=True),
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
