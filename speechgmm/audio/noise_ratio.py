"""How far speech is above noise, band by band.

A recording of few seconds may have no pause in which noise is heard alone. But each band has some: vowels leave high
bands empty, and fricatives low ones.
"""

from typing import Final

import numpy as np

from speechgmm.arrays import Float32Array
from speechgmm.audio.levels import LEVELS_PER_DB, LevelCounts

WIDTH: Final = 4
"""So many bands of 125 Hz are measured as one."""

QUIET_SHARE: Final = 0.10
LOUD_SHARE: Final = 0.95
"""The noise and the speech in a band have the levels that these shares of the frames don't exceed."""

QUIET_BELOW: Final = 2.45
"""By so many dB is the level that white noise in a band exceeds in 9 frames of 10 below its mean."""

LEAST_DB: Final = -120.0
MOST_DB: Final = 60.0
"""The range in which the levels of bands are counted."""


class NoiseRatioMeter:
    """Counts the levels of each band; memory does not grow."""

    def __init__(self, n_bands: int) -> None:
        self._n_wide = max(1, n_bands // WIDTH)
        self._levels = LevelCounts(self._n_wide, LEAST_DB, MOST_DB)

    def push(self, power: Float32Array) -> None:
        """Add the power of the bands of 125 Hz (T, n) of the next frames, T >= 1; those above the last whole one."""
        self._levels.push(power[:, : self._n_wide * WIDTH].reshape(len(power), self._n_wide, -1).sum(axis=2))

    def ratio(self, high: float, band_width: float) -> float:
        """Compute the mean over the bands to where the sound ends, in Hz, of speech above noise, in dB."""
        chosen = slice(max(1, int(high / (WIDTH * band_width))))
        loud, quiet = (self._levels.quantile_steps(share)[chosen] for share in (LOUD_SHARE, QUIET_SHARE))
        return max(0.0, float(np.mean(loud - quiet)) / LEVELS_PER_DB - QUIET_BELOW)
