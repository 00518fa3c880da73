"""Reverberation: how fast the sound of a recording fades in the bands of speech.

Each word ends in a fade. Speech itself fades fast; in a room, the sound of the room fades after it.
"""

from itertools import pairwise
from typing import Final

import numpy as np
from scipy import fft

from speechgmm.arrays import Float32Array, IntArray
from speechgmm.audio.bandwidth import unit_window

EDGES: Final = (280, 530, 780, 1280, 1780, 2530, 3400)
"""Edges of the bands that fade, in Hz: those of speech on a telephone."""

FRAME_SECONDS: Final = 0.016
N_FRAMES: Final = 3
"""Frames over which a fade is measured."""

LEAST_DB: Final = -100
MOST_DB: Final = 40
STEPS: Final = 4
MOST_FALL: Final = 80
"""Levels are counted in decibels, and falls in quarters of a decibel."""

NOISE_SHARE: Final = 0.10
PEAK_SHARE: Final = 0.95
ABOVE_NOISE: Final = 20
BELOW_PEAK: Final = 25
"""A fade begins this far above the band's quiet frames, and at most this far below its loud ones, in dB."""

FAST_SHARE: Final = 0.05
"""Share of the fades that are faster than the one that counts."""

FEWEST_FADES: Final = 20


class DecayMeter:
    """Counts how far the levels of bands fall from frame to frame; memory does not grow."""

    def __init__(self, sample_rate: int, n: int) -> None:
        """Prepare for frames of n samples, those of 16 ms."""
        self._n = n
        self._window = unit_window(n)
        self._fall_seconds = N_FRAMES * n / sample_rate
        bins = [round(edge * n / sample_rate) for edge in EDGES]
        self._bands = [slice(start, stop) for start, stop in pairwise(bins) if stop <= n // 2]
        n_levels = MOST_DB - LEAST_DB + 1
        self._before = np.empty((0, len(self._bands)), np.intp)  # the levels of the last frames, in steps
        self._levels = np.zeros((len(self._bands), n_levels), np.intp)
        self._falls = np.zeros((len(self._bands), n_levels, STEPS * MOST_FALL + 1), np.intp)

    def push(self, frames: Float32Array) -> None:
        """Add the next frames (T, n), T >= 1."""
        if not self._bands:
            return
        squares = np.square(fft.rfft(frames * self._window).view(np.float32))
        power = np.stack([squares[:, 2 * band.start : 2 * band.stop].sum(axis=1) for band in self._bands], axis=1)
        decibels = 10 * np.log10(np.maximum(power * np.float32(2 / self._n), np.float32(10 ** (LEAST_DB / 10))))
        steps = np.rint((np.minimum(decibels, MOST_DB) - LEAST_DB) * STEPS).astype(np.intp)
        levels = np.concatenate([self._before, steps])
        _count(self._levels, steps // STEPS)
        starts = levels[:-N_FRAMES]
        falls = np.minimum(np.maximum(starts - levels[N_FRAMES:], 0), STEPS * MOST_FALL)
        _count(self._falls, starts // STEPS, falls)
        self._before = levels[-N_FRAMES:]

    def skip(self) -> None:
        """Leave out frames: the next ones do not follow the last."""
        self._before = self._before[:0]

    def seconds(self) -> float | None:
        """Compute the time of a fall by 60 dB, of the fastest fades but a twentieth; None with too few fades."""
        counts = np.cumsum(self._levels, axis=1)
        totals = counts[:, -1:]
        noise = np.argmax(counts >= NOISE_SHARE * totals, axis=1)[:, np.newaxis]
        peak = np.argmax(counts >= PEAK_SHARE * totals, axis=1)[:, np.newaxis]
        level = np.arange(counts.shape[1])
        falls = self._falls[(level > noise + ABOVE_NOISE) & (level > peak - BELOW_PEAK)].sum(axis=0)
        falls[0] = 0  # where the level stays or rises
        if falls.sum() < FEWEST_FADES:
            return None
        at = int(np.argmax(np.cumsum(falls) >= (1 - FAST_SHARE) * falls.sum()))
        return 60 * self._fall_seconds * STEPS / at


def _count(counts: IntArray, *places: IntArray) -> None:
    """Add one to the counts of each band at the places (T, bands)."""
    np.add.at(counts, (np.arange(len(counts)), *places), 1)
