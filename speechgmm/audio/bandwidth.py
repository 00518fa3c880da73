"""The real bandwidth of a recording: where its spectrum ends, which its sample rate does not tell.

Speech that came over a telephone, through a codec of few bits or from a file of a lower rate keeps an empty band when
it is converted to a higher rate.
"""

from functools import lru_cache
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import Float32Array, Float64Array

Real = TypeVar("Real", bound=np.floating[Any])

FRAME_SECONDS: Final = 0.032
BAND_BINS: Final = 4
"""Bins of a band: 125 Hz with these frames."""

MOST_FRAMES: Final = 3000
"""Frames that are measured at most, spread over the recording."""

ACTIVE_DB: Final = 40.0
"""Frames count whose power is at most this far below the loudest frame's."""

LOUD_PERCENTILE: Final = 95
EMPTY_DB: Final = 65.0
"""A band is empty if its level is further than this below that of the loudest band."""

ROUNDING_POWER: Final = 16 * 2.0**-30 / 12
"""Twelve decibels above the power of rounding to 16 bits; full scale is 1. Dither takes five of them."""

CLIFF_DB: Final = 15.0
CLIFF_HZ: Final = 1000.0
SLOPE_HZ: Final = 250.0
"""Least fall at the end of a band-limited spectrum, from the loudest band of the kHz below to all above the slope."""


def real_bandwidth(samples: Float32Array, sample_rate: int) -> float:
    """Estimate up to which frequency in Hz a waveform (n,), full scale at 1, holds sound; n >= 1.

    The level ``L(f)`` of a band of 125 Hz is the 95th percentile of its power over frames of 32 ms (Blackman window),
    of those within 40 dB of the loudest frame. The estimate ``b`` is the upper edge of the highest band with
    ``L(f) >= max(max L - 65 dB, rounding to 16 bits + 12 dB)``, provided that the spectrum ends there as a filter ends
    it: ``max L(b - 1 kHz ... b) - max L(above b + 250 Hz) >= 15 dB``. Where it fades out slowly, as that of a quiet
    voice does, or reaches the top, the estimate is half the sample rate.
    """
    return spectrum_end(_band_levels(samples, sample_rate), sample_rate)


def spectrum_end(levels: Float64Array, sample_rate: int) -> float:
    """Find the frequency in Hz at which a filter ends a spectrum, as `real_bandwidth` does; half the rate if none does.

    `levels` are those of the bands (n,) of `power_of_bands`, in dB of full scale.
    """
    width = BAND_BINS * sample_rate / frame_length(sample_rate)
    rounding = 10 * np.log10(ROUNDING_POWER * 2 * width / sample_rate)
    present = np.flatnonzero(levels >= max(levels.max() - EMPTY_DB, rounding))
    end = int(present[-1]) + 1 if len(present) else 0
    above = levels[end + round(SLOPE_HZ / width) :]
    below = levels[max(0, end - round(CLIFF_HZ / width)) : end]
    if len(above) and len(below) and below.max() - above.max() >= CLIFF_DB:
        return end * width
    return sample_rate / 2


def frame_length(sample_rate: int) -> int:
    """Count the samples of a frame."""
    return max(2 * BAND_BINS + 2, round(FRAME_SECONDS * sample_rate))


@lru_cache(maxsize=8)
def unit_window(n: int) -> Float32Array:
    """Compute the window of a frame (n,), of unit power."""
    window = np.blackman(n)
    scaled: Float32Array = (window / np.sqrt(np.sum(np.square(window)))).astype(np.float32)
    return scaled


def power_of_bands(power: npt.NDArray[Real]) -> npt.NDArray[Real]:
    """Add the power of the bins of each band: spectra (..., bins) become bands (..., n), without the constant part."""
    n_bands = (power.shape[-1] - 1) // BAND_BINS
    bands = power[..., 1 : 1 + n_bands * BAND_BINS]
    summed: npt.NDArray[Real] = np.add.reduce([bands[..., first::BAND_BINS] for first in range(BAND_BINS)])
    return summed


def _band_levels(samples: Float32Array, sample_rate: int) -> Float64Array:
    """Compute the level of each band in dB."""
    n = frame_length(sample_rate)
    if len(samples) < n:
        samples = np.pad(samples, (0, n - len(samples)))
    n_frames = min(MOST_FRAMES, 1 + 2 * (len(samples) - n) // n)
    starts = np.linspace(0, len(samples) - n, n_frames).astype(np.intp)
    window = np.blackman(n)
    spectra = np.fft.rfft(samples[starts[:, np.newaxis] + np.arange(n)] * window)
    power = np.square(np.abs(spectra)) * (2 / (n * np.sum(np.square(window))))
    active = power.sum(axis=1)
    power = power[active >= active.max() * 10 ** (-ACTIVE_DB / 10)]
    levels: Float64Array = 10 * np.log10(np.percentile(power_of_bands(power), LOUD_PERCENTILE, axis=0) + 1e-20)
    return levels
