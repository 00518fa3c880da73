"""The condition of a recording: the band, level and noise of its sound; and how it differs from that of others."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Final

import numpy as np
from scipy import fft

from speechgmm.arrays import Float32Array
from speechgmm.audio.bandwidth import frame_length, power_of_bands, spectrum_end

SPECTRUM_EVERY: Final = 8
"""Of so many frames, one is transformed; the level of each is measured."""

BLOCK_FRAMES: Final = 256
"""Frames that are measured at a time."""

QUIET_SHARE: Final = 0.10
LOUD_SHARE: Final = 0.95
"""The noise and the speech of a recording have the levels that these shares of the frames don't exceed."""

LEAST_DB: Final = -100.0
MOST_DB: Final = 40.0
LEAST_POWER: Final = np.float32(10 ** (LEAST_DB / 10))
MOST_POWER: Final = np.float32(10 ** (MOST_DB / 10))
LEVELS_PER_DB: Final = 2
"""Frame levels are counted in steps of half a decibel, from the rounding of 16 bits on; full scale is 0 dB."""

LOWEST_BIN: Final = 2
"""Bins below are those of rumble, and of the constant part."""

LOW_DB: Final = 30.0
"""Sound begins at the lowest frequency whose level is at most this far below that of the loudest."""

USUAL_SHARE: Final = 0.05
"""Share of recordings beyond either end of the usual range."""


@dataclass(frozen=True)
class Condition:
    """How a recording sounds, whoever speaks."""

    low: float  # frequency at which its sound begins, in Hz
    high: float  # frequency at which its sound ends, in Hz: half the sample rate where no filter or codec ended it
    level: float  # of speech, in dB of full scale
    snr: float  # of speech above the quietest frames, in dB


MEASURES: Final = tuple(field.name for field in fields(Condition))

MARGINS: Final = {"low": 100.0, "level": 6.0, "snr": 6.0}
"""Differences that matter, in the units of each measure."""

HIGH_MARGIN: Final = 0.1
"""The same for the end of the band, as a share of its frequency."""

CLEAN_SNR: Final = 40.0
"""With a ratio above this, in dB, noise makes no difference any more."""


@dataclass(frozen=True)
class Usual:
    """A measure of many recordings: its median, the range of nine recordings in ten, and a difference that matters."""

    median: float
    least: float
    most: float
    margin: float

    def is_outside(self, value: float) -> bool:
        """Check whether a value is outside the range, and far enough from the median."""
        return not self.least <= value <= self.most and abs(value - self.median) > self.margin

    def is_far_outside(self, value: float) -> bool:
        """Check whether a value is outside the range by more than the margin."""
        return not self.least - self.margin <= value <= self.most + self.margin


class ConditionMeter:
    """Measures the condition of a recording that comes in blocks; its memory does not grow."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._n = frame_length(sample_rate)
        self._window = _window(self._n)
        self._waiting = np.empty(0, np.float32)
        self._levels = np.zeros(int((MOST_DB - LEAST_DB) * LEVELS_PER_DB) + 1, np.int64)
        self._squares = np.zeros(self._n // 2 * 2 + 2)  # of real and imaginary parts
        self._n_frames = 0

    def push(self, samples: Float32Array) -> None:
        """Add the next samples (n,), full scale at 1."""
        if len(self._waiting):
            samples = np.concatenate([self._waiting, samples])
        n_frames = len(samples) // self._n
        frames = samples[: n_frames * self._n].reshape(n_frames, self._n)
        for start in range(0, n_frames, BLOCK_FRAMES):
            self._add(frames[start : start + BLOCK_FRAMES])
        self._waiting = samples[n_frames * self._n :].copy()

    def finish(self) -> Condition:
        """Return the condition; a last piece that fills no frame counts only if there is no frame."""
        if not self._n_frames:
            self._add(np.pad(self._waiting, (0, self._n - len(self._waiting)))[np.newaxis])
        shares = QUIET_SHARE * self._n_frames, LOUD_SHARE * self._n_frames
        quiet, loud = np.searchsorted(np.cumsum(self._levels), shares)
        n_spectra = -(-self._n_frames // SPECTRUM_EVERY)
        power = self._squares.reshape(-1, 2).sum(axis=1) * (2 / (n_spectra * self._n))
        width = self._sample_rate / self._n
        audible = power[LOWEST_BIN:] >= power[LOWEST_BIN:].max() * 10 ** (-LOW_DB / 10)
        return Condition(
            low=(LOWEST_BIN + int(np.argmax(audible))) * width,
            high=spectrum_end(10 * np.log10(power_of_bands(power) + 1e-20), self._sample_rate),
            level=LEAST_DB + float(loud) / LEVELS_PER_DB,
            snr=float(loud - quiet) / LEVELS_PER_DB,
        )

    def _add(self, frames: Float32Array) -> None:
        """Count the levels of frames (T, n), T >= 1, and add the spectra of some."""
        means = np.vecdot(frames, np.full(self._n, 1 / self._n, np.float32))
        power = np.vecdot(frames, frames) / self._n - np.square(means)
        decibels = 10 * np.log10(np.minimum(np.maximum(power, LEAST_POWER), MOST_POWER))
        steps = ((decibels - LEAST_DB) * LEVELS_PER_DB + 0.5).astype(np.intp)
        self._levels += np.bincount(steps, minlength=len(self._levels))
        chosen = slice(-self._n_frames % SPECTRUM_EVERY, None, SPECTRUM_EVERY)
        spectra = fft.rfft((frames[chosen] - means[chosen, np.newaxis]) * self._window)
        self._squares += np.square(spectra.view(np.float32)).sum(axis=0)
        self._n_frames += len(frames)


@lru_cache(maxsize=4)
def _window(n: int) -> Float32Array:
    """Compute the window of a frame (n,), of unit power."""
    window = np.blackman(n)
    scaled: Float32Array = (window / np.sqrt(np.sum(np.square(window)))).astype(np.float32)
    return scaled


def measure_condition(samples: Float32Array, sample_rate: int) -> Condition:
    """Measure the condition of a waveform (n,), n >= 1, full scale at 1.

    Band, level and noise are measured on frames of 32 ms. The level of speech is the 95th percentile of the frames'
    levels, the noise the 10th. The band is that of the mean spectrum of every eighth frame: from the lowest frequency
    within 30 dB of the loudest to where a filter or a codec ends it, as in `real_bandwidth`.
    """
    meter = ConditionMeter(sample_rate)
    meter.push(samples)
    return meter.finish()


def usual_condition(conditions: Collection[Condition]) -> dict[str, Usual]:
    """Summarise each measure of recordings, one or more."""
    values = [compared_values(each) for each in conditions]
    return {measure: _usual(measure, [each[measure] for each in values]) for measure in MEASURES}


def compared_values(condition: Condition) -> dict[str, float]:
    """Return the measures of a recording as they are compared: without differences that make none."""
    return {**asdict(condition), "snr": min(condition.snr, CLEAN_SNR)}


def unusual_measures(condition: Condition, usual: Mapping[str, Usual]) -> frozenset[str]:
    """Return the measures in which one recording differs clearly from others."""
    return frozenset(name for name, value in compared_values(condition).items() if usual[name].is_far_outside(value))


def _usual(measure: str, values: Sequence[float]) -> Usual:
    """Summarise the values of a measure."""
    median = float(np.median(values))
    least = float(np.quantile(values, USUAL_SHARE, method="lower"))
    most = float(np.quantile(values, 1 - USUAL_SHARE, method="higher"))
    return Usual(median, least, most, MARGINS.get(measure, HIGH_MARGIN * median))
