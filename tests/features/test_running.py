"""Levels and means of the audio so far, against a slow literal twin."""

import numpy as np
import pytest

from speechgmm import FeatureConfig, FeatureStream, extract
from speechgmm.features.extract import analyse
from speechgmm.features.frames.vad import VadConfig, speech_frames
from speechgmm.features.streaming.running import RunningLevelStep

ALL = {"method": "none"}


def bursts(rng, seconds=6):
    """Noise whose level rises and falls."""
    samples = rng.normal(scale=0.1, size=16000 * seconds)
    return samples * np.repeat(10.0 ** rng.uniform(-3, 0, size=4 * seconds), 4000)


def streamed(samples, config, size):
    stream = FeatureStream(config, running=True)
    frames, numbers = [], []
    for start in range(0, len(samples), size):
        frames.append(stream.push(samples[start : start + size]))
        numbers.append(stream.numbers)
        assert stream.n_determined >= max((int(each[-1]) + 1 for each in numbers if len(each)), default=0)
    frames.append(stream.finish())
    return np.concatenate(frames), np.concatenate([*numbers, stream.numbers])


@pytest.mark.parametrize("vad", [{}, {"close_gaps": 0.1, "min_speech": 0.05}, {"method": "energy", "context": 3}])
def test_pieces_make_no_difference(rng, vad):
    samples, config = bursts(rng), FeatureConfig(vad=vad, normalisation={"mean": 1.0, "variance": True})
    whole, numbers = streamed(samples, config, len(samples))
    assert 0 < len(whole) < 600
    assert np.all(np.diff(numbers) > 0)
    for size in (1600, 3777):
        pieces, others = streamed(samples, config, size)
        np.testing.assert_array_equal(pieces, whole)
        np.testing.assert_array_equal(others, numbers)


@pytest.mark.parametrize("config", [VadConfig(), VadConfig(method="energy", threshold=5.5, mean_scale=0.5)])
def test_each_level_is_that_of_the_frames_so_far(rng, config):
    energy = rng.normal(-8, 4, size=437).astype(np.float32)
    step = RunningLevelStep(config)
    found = np.concatenate(
        [step.push(piece, False) for piece in np.split(energy, [7, 60, 300])] + [step.push(energy[:0], True)]
    )
    assert len(found) == len(energy)
    ends = [100, *range(110, 437, 10), 437]
    expected = np.concatenate(
        [speech_frames(energy[:end], config)[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    )
    assert np.count_nonzero((found > 0) != expected) <= 1  # percentiles are exact to 0.05 dB


def test_means_are_those_of_the_frames_so_far(rng):
    samples = bursts(rng, 4)
    plain = extract(samples, FeatureConfig(vad=ALL, normalisation={"mean": 0.0})).astype(np.float64)
    found, _ = streamed(samples, FeatureConfig(vad=ALL, normalisation={"mean": 0.5, "variance": True}), 1600)
    for number in (0, 50, 99, 100, 250, len(plain) - 1):
        so_far = plain[: max(number + 1, 100)]
        expected = (plain[number] - 0.5 * so_far.mean(axis=0)) / so_far.std(axis=0)
        np.testing.assert_allclose(found[number], expected, rtol=1e-4, atol=1e-4)


def test_numbers_are_those_of_the_speech_frames(rng):
    samples = bursts(rng)
    config = FeatureConfig(vad={"method": "energy", "threshold": 12.0, "mean_scale": 0.0}, normalisation={"mean": 0.0})
    frames, numbers = streamed(samples, config, 1600)
    expected = analyse(samples, config)
    np.testing.assert_array_equal(numbers, np.flatnonzero(expected.speech))
    np.testing.assert_array_equal(frames, expected.frames)


def test_what_has_no_running_twin_is_refused():
    with pytest.raises(ValueError, match=r"vad.method gaussians derives its level from it"):
        FeatureStream(FeatureConfig(vad={"method": "gaussians"}), running=True)
