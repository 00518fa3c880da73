"""The condition of a recording, whoever speaks, and how it differs from that of others.

It is the band, level and noise of its sound, its clipped samples, its reverberation, and traces of lossy codecs.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final

import numpy as np
from scipy import fft

from speechgmm.arrays import Float32Array
from speechgmm.audio.bandwidth import BAND_BINS, frame_length, power_of_bands, spectrum_end, unit_window
from speechgmm.audio.clipping import FlatTops
from speechgmm.audio.decays import DecayMeter
from speechgmm.audio.holes import HoleMeter
from speechgmm.audio.levels import LEVELS_PER_DB, LevelCounts
from speechgmm.audio.noise_ratio import NoiseRatioMeter

SPECTRUM_EVERY: Final = 8
"""Of so many frames, the spectrum of one counts for the band."""

BLOCK_FRAMES: Final = 128
"""Frames that are measured at a time: four seconds."""

BLOCKS_AT_FIRST: Final = 8
BLOCKS_EVERY: Final = 8
"""Of so many blocks, fades, holes and noise are measured in one, after so many at first: spectra take time."""

LOUD_SHARE: Final = 0.95
"""The speech of a recording has the level that this share of the frames don't exceed."""

SPEECH_RANGE: Final = 40
SPEECH_MARGIN: Final = 3
"""Speech is at most this far below the loud frames, and more than this above the quiet ones, in dB."""

LEAST_DB: Final = -100.0
MOST_DB: Final = 40.0
"""The range in which the levels of frames are counted, from the rounding of 16 bits on."""

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
    snr: float  # of speech above the quietest frames, in dB: the mean over bands
    clipped: float | None = None  # share of samples, 0 to 1; None where an earlier version measured
    decay: float | None = None  # seconds of a fall by 60 dB, of the fastest fades; None with too few
    holes: float | None = None  # share of frames and bands that are silent for a moment, 0 to 1


MEASURES: Final = tuple(field.name for field in fields(Condition))

MARGINS: Final = {"low": 100.0, "level": 6.0, "snr": 3.0, "clipped": 0.001, "decay": 0.01, "holes": 0.003}
"""Differences that matter, in the units of each measure."""

HIGH_MARGIN: Final = 0.1
"""The same for the end of the band, as a share of its frequency."""

FLAWS: Final = frozenset({"clipped", "decay", "holes"})
"""Measures of which less is never unusual."""

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
        return self.excess(value) > 1

    def excess(self, value: float) -> float:
        """Return by how many margins a value is outside the range; 0 inside it."""
        return max(0.0, self.least - value, value - self.most) / self.margin


class ConditionMeter:
    """Measures the condition of a recording that comes in blocks; its memory does not grow."""

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._n = frame_length(sample_rate)
        self._window = unit_window(self._n)
        self._waiting = np.empty(0, np.float32)
        self._levels = LevelCounts(1, LEAST_DB, MOST_DB)
        self._squares = np.zeros(self._n // 2 * 2 + 2)  # of real and imaginary parts
        self._n_frames = 0
        self._tops, self._decays = FlatTops(), DecayMeter(sample_rate, self._n // 2)
        n_bands = self._n // 2 // BAND_BINS
        self._holes, self._noise = HoleMeter(n_bands), NoiseRatioMeter(n_bands)

    def push(self, samples: Float32Array) -> None:
        """Add the next samples (n,), full scale at 1."""
        self._tops.push(samples)
        if len(self._waiting):
            samples = np.concatenate([self._waiting, samples])
        n_frames = len(samples) // self._n
        frames = samples[: n_frames * self._n].reshape(n_frames, self._n)
        start = 0
        while start < n_frames:
            stop = start + BLOCK_FRAMES - self._n_frames % BLOCK_FRAMES
            self._add(frames[start:stop])
            start = stop
        self._waiting = samples[n_frames * self._n :].copy()

    def speech_share(self) -> float:
        """Return the share of the time that is speech: by the front end's rule for speech, on frames of 32 ms."""
        quiet, loud = (int(self._levels.quantile_steps(share)[0]) for share in (0.05, 0.95))
        least = max(loud - SPEECH_RANGE * LEVELS_PER_DB, quiet + SPEECH_MARGIN * LEVELS_PER_DB)
        return float(self._levels.n_above(least)[0] / max(1, self._n_frames))

    def finish(self, *, clipped: float | None = None) -> Condition:
        """Return the condition; a last piece that fills no frame counts only if there is no frame.

        `clipped` is the share of clipped samples of the original, if what was measured was resampled.
        """
        if not self._n_frames:
            self._add(np.pad(self._waiting, (0, self._n - len(self._waiting)))[np.newaxis])
        (loud,) = self._levels.quantile_steps(LOUD_SHARE)
        n_spectra = -(-self._n_frames // SPECTRUM_EVERY)
        power = self._squares.reshape(-1, 2).sum(axis=1) * (2 / (n_spectra * self._n))
        width = self._sample_rate / self._n
        audible = power[LOWEST_BIN:] >= power[LOWEST_BIN:].max() * 10 ** (-LOW_DB / 10)
        high = spectrum_end(10 * np.log10(power_of_bands(power) + 1e-20), self._sample_rate)
        return Condition(
            low=(LOWEST_BIN + int(np.argmax(audible))) * width,
            high=high,
            level=LEAST_DB + float(loud) / LEVELS_PER_DB,
            snr=self._noise.ratio(high, BAND_BINS * width),
            clipped=self._tops.share() if clipped is None else clipped,
            decay=self._decays.seconds(),
            holes=self._holes.share(high, BAND_BINS * width),
        )

    def _add(self, frames: Float32Array) -> None:
        """Count the levels of frames (T, n), T >= 1, and of their bands, and add the spectra of some."""
        means = np.vecdot(frames, np.full(self._n, 1 / self._n, np.float32))
        power = np.vecdot(frames, frames) / self._n - np.square(means)
        self._levels.push(power[:, np.newaxis])
        chosen = slice(-self._n_frames % SPECTRUM_EVERY, None, SPECTRUM_EVERY)
        block, begins = divmod(self._n_frames, BLOCK_FRAMES)
        if block < BLOCKS_AT_FIRST or block % BLOCKS_EVERY == 0:
            centred = frames - means[:, np.newaxis]
            squares = self._transform(centred)
            self._add_flaws(centred, squares, is_start=block > BLOCKS_AT_FIRST and begins == 0)
            squares = squares[chosen]
        else:
            squares = self._transform(frames[chosen] - means[chosen, np.newaxis])
        self._squares += squares.sum(axis=0)
        self._n_frames += len(frames)

    def _transform(self, frames: Float32Array) -> Float32Array:
        """Compute the squares of the real and imaginary parts of the spectra of frames (T, n)."""
        return np.square(fft.rfft(frames * self._window).view(np.float32))

    def _add_flaws(self, frames: Float32Array, squares: Float32Array, *, is_start: bool) -> None:
        """Add fades, holes and noise of frames (T, n) with these spectra; `is_start`: those before were left out."""
        if is_start:
            self._decays.skip()
            self._holes.skip()
        self._decays.push(frames[:, : self._n // 2 * 2].reshape(-1, self._n // 2))
        power = power_of_bands((squares[:, ::2] + squares[:, 1::2]) * np.float32(2 / self._n))
        self._holes.push(power)
        self._noise.push(power)


def measure_condition(samples: Float32Array, sample_rate: int, *, clipped: float | None = None) -> Condition:
    """Measure the condition of a waveform (n,), n >= 1, full scale at 1.

    Band, level and noise are measured on frames of 32 ms. The level of speech is the 95th percentile of the frames'
    levels. The ratio of speech to noise is the mean over bands of 500 Hz of their 95th percentile above their 10th,
    less what the latter is below the mean of steady noise. The band of the recording is that of the mean spectrum of
    every eighth frame: from the lowest frequency within 30 dB of the loudest to where a filter or a codec ends it, as
    in `real_bandwidth`. `FlatTops`, `DecayMeter` and `HoleMeter` measure the rest; `clipped` is the share of clipped
    samples of the original, if it was resampled.
    """
    meter = ConditionMeter(sample_rate)
    meter.push(samples)
    return meter.finish(clipped=clipped)


def usual_condition(conditions: Collection[Condition], beyond: float = USUAL_SHARE) -> dict[str, Usual]:
    """Summarise each measure of recordings, one or more; those that no recording has are left out.

    At either end, the share `beyond` of the recordings is outside the range.
    """
    compared = [compared_values(each) for each in conditions]
    by_measure = {measure: [each[measure] for each in compared if measure in each] for measure in MEASURES}
    return {measure: _usual(measure, values, beyond) for measure, values in by_measure.items() if values}


def compared_values(condition: Condition) -> dict[str, float]:
    """Return the measures that a recording has as they are compared: without differences that make none."""
    values = {**asdict(condition), "snr": min(condition.snr, CLEAN_SNR)}
    return {measure: value for measure, value in values.items() if value is not None}


def unusual_measures(condition: Condition, usual: Mapping[str, Usual]) -> frozenset[str]:
    """Return the measures in which one recording differs clearly from others."""
    values = compared_values(condition)
    return frozenset(name for name in values.keys() & usual.keys() if usual[name].is_far_outside(values[name]))


def _usual(measure: str, values: Sequence[float], beyond: float) -> Usual:
    """Summarise the values of a measure."""
    median = float(np.median(values))
    least = 0.0 if measure in FLAWS else float(np.quantile(values, beyond, method="lower"))
    most = float(np.quantile(values, 1 - beyond, method="higher"))
    return Usual(median, least, most, margin_of(measure, median))


def margin_of(measure: str, median: float) -> float:
    """Return the difference that matters in a measure with a median."""
    return MARGINS.get(measure, HIGH_MARGIN * median)
