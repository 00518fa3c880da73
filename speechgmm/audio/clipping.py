"""Clipped samples at any level: flat tops at the extremes of a recording."""

from typing import Final

import numpy as np

from speechgmm.arrays import Float32Array

LEAST_PEAK: Final = 0.01
"""Flat extremes below are those of coarse rounding; full scale is 1."""


class FlatTops:
    """Counts the samples of a waveform that stay at its greatest or its least value; it comes in blocks."""

    def __init__(self) -> None:
        self._n_samples = 0
        self._signs = _Extreme(), _Extreme()

    def push(self, samples: Float32Array) -> None:
        """Add the next samples (n,)."""
        self._n_samples += len(samples)
        if len(samples):
            self._signs[0].push(samples, float(samples.max(initial=0)))
            self._signs[1].push(samples, float(samples.min(initial=0)))

    def share(self) -> float:
        """Compute the share of samples that are clipped, from 0 to 1.

        A sample counts if it and a neighbour both have the greatest value of all, or both the least one, on its own
        side of 0. One alone is a peak.
        """
        high, low = self._signs
        n = high.n_flat * (high.value >= LEAST_PEAK) + low.n_flat * (low.value <= -LEAST_PEAK)
        return n / max(1, self._n_samples)


class _Extreme:
    """The samples that stay at an extreme of what came so far."""

    def __init__(self) -> None:
        self.value = 0.0
        self.n_flat = 0
        self._last = np.zeros(2, np.float32)  # samples before the next block

    def push(self, samples: Float32Array, extreme: float) -> None:
        """Add the next samples (n,), n >= 1, whose extreme on its side of 0 is given; 0 if they have none."""
        if abs(extreme) > abs(self.value):
            self.value, self.n_flat = extreme, 0
        if extreme == self.value != 0:
            here = np.flatnonzero(np.concatenate([self._last, samples]) == np.float32(extreme))
            is_next = np.diff(here, prepend=-2) == 1  # after another
            starts = is_next & ~np.concatenate([[False], is_next[:-1]])
            is_new = here >= len(self._last)
            self.n_flat += int(np.count_nonzero(is_next & is_new) + np.count_nonzero(starts & is_new))
        self._last = np.concatenate([self._last, samples[-2:]])[-2:]


def flat_top_share(samples: Float32Array) -> float:
    """Compute the share of a waveform (n,) that is clipped, at any level, as `FlatTops` counts it."""
    tops = FlatTops()
    tops.push(samples)
    return tops.share()
