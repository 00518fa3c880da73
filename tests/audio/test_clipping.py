"""Clipped samples. Expected shares follow from the arcsine, or from counting one sample after the other."""

import numpy as np
import pytest

from speechgmm.audio.clipping import FlatTops, flat_top_share

RATE = 16000


def sine(frequency=101.3, seconds=4.0):
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE).astype(np.float32)


def counted(samples):
    """The literal definition."""
    n = 0
    for extreme in (max(samples), min(samples)):
        at_it = [abs(extreme) >= 0.01 and sample == extreme for sample in samples]
        n += sum(here and (before or after) for before, here, after in zip(
            [False, *at_it[:-1]], at_it, [*at_it[1:], False], strict=True))  # fmt: skip
    return n / len(samples)


@pytest.mark.parametrize("full_scale", [1.0, 0.3, 0.05])
@pytest.mark.parametrize("level", [0.3, 0.7, 0.95])
def test_a_clipped_sine_has_the_share_of_the_arcsine(level, full_scale):
    samples = np.clip(sine(), -level, level) * np.float32(full_scale)
    assert flat_top_share(samples) == pytest.approx(1 - 2 / np.pi * np.arcsin(level), abs=0.01)


def test_one_side_may_be_clipped():
    assert flat_top_share(np.minimum(sine(), np.float32(0.5))) == pytest.approx(1 / 3, abs=0.01)


def test_peaks_silence_and_coarse_rounding_are_not_clipped(rng):
    assert flat_top_share(sine(440.0)) == 0
    assert flat_top_share(np.zeros(RATE, np.float32)) == 0
    assert flat_top_share(np.zeros(0, np.float32)) == 0
    assert flat_top_share((np.rint(rng.normal(size=RATE)) / 2**15).astype(np.float32)) == 0


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_blocks_of_any_size_have_the_share_of_the_whole(rng, size):
    samples = (np.rint(np.clip(3 * rng.normal(size=300), -4, 3)) / 10).astype(np.float32)
    tops = FlatTops()
    for start in range(0, len(samples), size):
        tops.push(samples[start : start + size])
    assert tops.share() == counted(samples) > 0
