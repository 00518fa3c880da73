"""How far speech is above noise, band by band.

A recording of few seconds may have no pause in which noise is heard alone. But each band has some: vowels leave high
bands empty, and fricatives low ones.
"""

from typing import Final

import numpy as np

from speechgmm.arrays import Float32Array

WIDTH: Final = 4
"""So many bands of 125 Hz are measured as one."""

QUIET_SHARE: Final = 0.10
LOUD_SHARE: Final = 0.95
"""The noise and the speech in a band have the levels that these shares of the frames don't exceed."""

QUIET_BELOW: Final = 2.45
"""By so many dB is the level that white noise in a band exceeds in 9 frames of 10 below its mean."""

LEAST_DB: Final = -120.0
MOST_DB: Final = 60.0
LEAST_POWER: Final = np.float32(10 ** (LEAST_DB / 10))
MOST_POWER: Final = np.float32(10 ** (MOST_DB / 10))
LEVELS_PER_DB: Final = 2
"""The levels of bands are counted in steps of half a decibel; full scale is 0 dB."""


class NoiseRatioMeter:
    """Counts the levels of each band; memory does not grow."""

    def __init__(self, n_bands: int) -> None:
        self._n_levels = round((MOST_DB - LEAST_DB) * LEVELS_PER_DB) + 1
        self._counts = np.zeros((max(1, n_bands // WIDTH), self._n_levels), np.intp)

    def push(self, power: Float32Array) -> None:
        """Add the power of the bands of 125 Hz (T, n) of the next frames, T >= 1; those above the last whole one."""
        n_wide = len(self._counts)
        joined = power[:, : n_wide * WIDTH].reshape(len(power), n_wide, -1).sum(axis=2)
        decibels = 10 * np.log10(np.clip(joined, LEAST_POWER, MOST_POWER))
        steps = ((decibels - LEAST_DB) * LEVELS_PER_DB + 0.5).astype(np.intp)
        places = steps + self._n_levels * np.arange(n_wide)
        self._counts += np.bincount(places.ravel(), minlength=self._counts.size).reshape(self._counts.shape)

    def ratio(self, high: float, band_width: float) -> float:
        """Compute the mean over the bands to where the sound ends, in Hz, of speech above noise, in dB."""
        chosen = self._counts[: max(1, int(high / (WIDTH * band_width)))]
        below = np.cumsum(chosen, axis=1)
        n_frames = below[0, -1]
        loud, quiet = ((below < share * n_frames).sum(axis=1) for share in (LOUD_SHARE, QUIET_SHARE))
        return max(0.0, float(np.mean(loud - quiet)) / LEVELS_PER_DB - QUIET_BELOW)
