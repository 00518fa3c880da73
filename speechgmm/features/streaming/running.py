"""Levels and means of the audio so far, where those of the whole utterance are not known before its end.

Both are updated at fixed places, so that the pieces in which rows come make no difference, and take constant memory.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import Float32Array, IntArray
from speechgmm.features.frames.normalisation import DEFAULT_MIN_WINDOW, NormalisationConfig, centre_and_scale
from speechgmm.features.frames.vad import DECIBELS_PER_NEPER_OF_POWER, KALDI_LOG_SCALE, VadConfig

Rows = npt.NDArray[Any]
"""Frames or energies, time first."""

SPEECH_ENERGY: Final = np.float32(1e30)
"""A log energy above every level, which stands for speech; its negative stands for no speech."""

LEVEL_FRAMES: Final = 10
"""Frames from one level to the next."""

FIRST_FRAMES: Final = 100
"""Frames from which the first level is derived."""

BIN_DB: Final = 0.05
LOWEST_DB: Final = -250.0
N_BINS: Final = 8000
"""The energies so far are counted in bins, from -250 to 150 dB."""


class RunningLevelStep:
    """Compare log energies with the level that `speech_frames` derives from energies, here from all so far.

    The result is an energy that stands for speech or for none. A frame waits for the level of its block, which includes
    the block's frames.
    """

    def __init__(self, config: VadConfig) -> None:
        self.lookahead, self.warmup = LEVEL_FRAMES - 1, FIRST_FRAMES - 1
        self._config = config
        self._buffered: Float32Array = np.empty(0, np.float32)
        self._counts: IntArray = np.zeros(N_BINS, np.intp)
        self._total = 0.0
        self._n_counted = 0

    def push(self, rows: Rows, final: bool) -> Rows:
        """Process the next energies, and return decisions on those whose block is complete."""
        buffered = np.concatenate([self._buffered, rows.astype(np.float32)])
        decisions, start = [], 0
        while start < len(buffered):
            stop = start + (LEVEL_FRAMES if self._n_counted else FIRST_FRAMES)
            if stop > len(buffered) and not final:
                break
            decisions.append(self._decide(buffered[start:stop]))
            start = stop
        self._buffered = buffered[start:].copy()
        return np.concatenate(decisions) if decisions else buffered[:0]

    def _decide(self, energies: Float32Array) -> Rows:
        """Add the energies of a block to those before, and compare them with the level of all."""
        if self._config.method == "energy":
            level = self._mean_level(energies)
            speech = energies.astype(np.float64) + KALDI_LOG_SCALE > level
        else:
            decibels = energies * DECIBELS_PER_NEPER_OF_POWER
            speech = decibels > self._percentile_level(decibels)
        self._n_counted += len(energies)
        return np.where(speech, SPEECH_ENERGY, -SPEECH_ENERGY)

    def _mean_level(self, energies: Float32Array) -> float:
        """Derive the level from the mean energy, as the method `energy` does, in Kaldi's units."""
        for energy in energies.tolist():  # one by one: the order of additions does not depend on blocks
            self._total += energy
        mean = self._total / (self._n_counted + len(energies)) + KALDI_LOG_SCALE
        return self._config.threshold + self._config.mean_scale * mean

    def _percentile_level(self, decibels: Rows) -> float:
        """Derive the level from the quiet and the loud frames, as the method `percentile` does, to a bin."""
        places = np.clip((decibels - LOWEST_DB) / BIN_DB, 0, N_BINS - 1).astype(np.intp)
        np.add.at(self._counts, places, 1)
        ranks = np.cumsum(self._counts)
        quiet, loud = LOWEST_DB + BIN_DB * (np.searchsorted(ranks, np.array([0.05, 0.95]) * ranks[-1]) + 0.5)
        return float(max(loud - self._config.range_db, quiet + self._config.margin_db))


class RunningMeansStep:
    """Subtract the mean of the rows so far, and divide by their deviation."""

    def __init__(self, config: NormalisationConfig) -> None:
        self.lookahead, self.warmup = 0, DEFAULT_MIN_WINDOW - 1
        self._config = config
        self._waiting: Rows = np.empty((0, 0))
        self._total: Rows = np.empty((0, 0))
        self._n_summed = 0

    def push(self, rows: Rows, final: bool) -> Rows:
        """Process the next rows, and return them once there are enough for a mean."""
        if len(self._waiting):
            rows = np.concatenate([self._waiting, rows]) if len(rows) else self._waiting
        if not len(rows) or (not self._n_summed and len(rows) <= self.warmup and not final):
            self._waiting = rows.copy()
            return rows[:0]
        self._waiting = rows[:0].copy()
        values = rows.astype(np.float64)
        if self._config.variance:
            values = np.concatenate([values, values**2], axis=1)
        before = self._total if self._n_summed else np.zeros((1, values.shape[1]))
        sums = np.cumsum(np.concatenate([before, values]), axis=0)[1:]
        numbers = self._n_summed + np.arange(len(rows))
        ends = np.minimum(np.maximum(numbers, self.warmup), numbers[-1])
        averages = sums[ends - self._n_summed] / (ends + 1)[:, np.newaxis]
        self._total, self._n_summed = sums[-1:].copy(), self._n_summed + len(rows)
        mean, square = averages[:, : rows.shape[1]], averages[:, rows.shape[1] :]
        return centre_and_scale(rows, mean, square - mean**2 if self._config.variance else None, self._config)
