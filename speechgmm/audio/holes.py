"""Traces of lossy codecs: bands that go silent for a moment, where a codec of few bits had none left for them."""

from typing import Final

import numpy as np

from speechgmm.arrays import Float32Array

HOLE_DB: Final = 25.0
"""A band has a hole in a frame if its level is this far below that of the frames before and after."""

LOWEST_HZ: Final = 1000.0
"""Codecs keep the bands below."""

LEAST_POWER: Final = 1e-12


class HoleMeter:
    """Counts the holes of each band; memory does not grow."""

    def __init__(self, n_bands: int) -> None:
        self._before = np.empty((0, n_bands), np.float32)  # the levels of the last two frames
        self._n_holes = np.zeros(n_bands, np.intp)
        self._n_frames = 0

    def push(self, power: Float32Array) -> None:
        """Add the power of the bands of 125 Hz (T, n) of the next frames, T >= 1."""
        levels = np.concatenate([self._before, 10 * np.log10(np.maximum(power, np.float32(LEAST_POWER)))])
        around = np.minimum(levels[:-2], levels[2:])
        self._n_holes += np.count_nonzero(levels[1:-1] < around - np.float32(HOLE_DB), axis=0)
        self._n_frames += max(0, len(around))
        self._before = levels[-2:]

    def skip(self) -> None:
        """Leave out frames: the next ones do not follow the last."""
        self._before = self._before[:0]

    def share(self, high: float, band_width: float) -> float:
        """Compute the share of holes among the frames and the bands from 1 kHz to where the sound ends, in Hz."""
        chosen = slice(round(LOWEST_HZ / band_width), round(high / band_width))
        n_cells = self._n_frames * len(self._n_holes[chosen])
        return float(self._n_holes[chosen].sum() / n_cells) if n_cells else 0.0
