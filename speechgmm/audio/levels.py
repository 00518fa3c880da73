"""Counts of levels in decibels, of frames or of bands of them."""

from typing import Final

import numpy as np

from speechgmm.arrays import Float32Array, IntArray

LEVELS_PER_DB: Final = 2
"""Levels are counted in steps of half a decibel; full scale is 0 dB."""


class LevelCounts:
    """Counts the levels of n signals; memory does not grow. Levels beyond either end count as the end."""

    def __init__(self, n_signals: int, least_db: float, most_db: float) -> None:
        self._least_db = least_db
        self._least_power, self._most_power = (np.float32(10 ** (level / 10)) for level in (least_db, most_db))
        self._counts = np.zeros((n_signals, round((most_db - least_db) * LEVELS_PER_DB) + 1), np.int64)

    def push(self, power: Float32Array) -> None:
        """Count the levels of the power (T, n) of the signals in the next frames."""
        decibels = 10 * np.log10(np.minimum(np.maximum(power, self._least_power), self._most_power))
        steps = ((decibels - self._least_db) * LEVELS_PER_DB + 0.5).astype(np.intp)
        n_signals, n_levels = self._counts.shape
        places = steps + n_levels * np.arange(n_signals)
        self._counts += np.bincount(places.ravel(), minlength=self._counts.size).reshape(self._counts.shape)

    def quantile_steps(self, share: float) -> IntArray:
        """Return the level (n,) that a share of each signal's frames does not exceed, in steps above the least."""
        below = np.cumsum(self._counts, axis=1)
        steps: IntArray = (below < share * below[:, -1:]).sum(axis=1)
        return steps

    def n_above(self, step: int) -> IntArray:
        """Count the frames (n,) of each signal above a level, in steps above the least."""
        n_frames: IntArray = self._counts[:, step + 1 :].sum(axis=1)
        return n_frames
