"""Deltas: how the static features move."""

from functools import lru_cache

import numpy as np
from pydantic import Field

from speechgmm.arrays import Float32Array, Float64Array
from speechgmm.configuration import Configuration


class DeltaConfig(Configuration):
    """Which deltas are appended.

    Parameters
    ----------
    order : int, 0 to 4
        0 for none, 1 for deltas, 2 for deltas and double deltas, ...
    window : int >= 1, frames
        Frames on either side that a first-order delta looks at.
    """

    order: int = Field(2, ge=0, le=4)
    window: int = Field(3, ge=1, le=100)


def append_deltas(frames: Float32Array, config: DeltaConfig) -> Float32Array:
    """Append deltas of each order, by regression over a window.

    Parameters
    ----------
    frames : np.ndarray, shape (T, D), float32
        Static features; the first and last frame stand for what lies beyond the ends.
    config : DeltaConfig
        Orders and window.

    Returns
    -------
    np.ndarray, shape (T, D * (order + 1)), float32
        The features, then their deltas, then the deltas of these, ...

    References
    ----------
    HTK book, eq. 5.16; orders above one are one filter on the static features (Kaldi), which differs from
    repeated deltas at the ends only.
    """
    n_frames, n_features = frames.shape
    result = np.empty((n_frames, n_features * (config.order + 1)), np.float32)
    result[:, :n_features] = frames
    for order in range(1, config.order + 1):
        kernel = _delta_kernel(order, config.window)
        reach = len(kernel) // 2
        padded = np.pad(frames, ((reach, reach), (0, 0)), mode="edge").astype(np.float64)
        delta = np.zeros((n_frames, n_features))
        for step, weight in enumerate(kernel):
            delta += weight * padded[step : step + n_frames]
        result[:, n_features * order : n_features * (order + 1)] = delta
    return result


@lru_cache(maxsize=16)
def _delta_kernel(order: int, window: int) -> Float64Array:
    """Make the filter of one order: the regression slope, convolved with itself."""
    steps = np.arange(-window, window + 1)
    slope = steps / np.sum(steps**2)
    kernel = slope
    for _ in range(order - 1):
        kernel = np.convolve(kernel, slope)
    return kernel
