"""Deltas and shifted deltas: how the static features change over time."""

from functools import lru_cache
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from speechgmm.arrays import Float32Array, Float64Array
from speechgmm.configuration import Configuration


class ShiftedDeltaConfig(Configuration):
    """Shifted delta cepstra, N-d-P-k in the literature's notation; the defaults are the usual 7-1-3-7.

    Parameters
    ----------
    n : int >= 1
        Number of static features, counted from the first, whose deltas are computed.
    d : int >= 1, frames
        Frames on either side that a delta uses.
    p : int >= 1, frames
        Shift from one block of deltas to the next.
    k : int >= 1
        Blocks of deltas per frame.
    """

    n: int = Field(7, ge=1)
    d: int = Field(1, ge=1, le=100)
    p: int = Field(3, ge=1, le=100)
    k: int = Field(7, ge=1, le=100)


class DeltaConfig(Configuration):
    """Which deltas are appended: regression deltas of some orders, or shifted deltas.

    Parameters
    ----------
    order : int, 0 to 4
        0 for none, 1 for deltas, 2 for deltas and double deltas, ...; 0 with `sdc`.
    window : int >= 1, frames
        Frames on either side that a first-order delta uses.
    edges : "kaldi" or "htk"
        What an order above the first uses beyond the ends: the first and last static features, repeated ("kaldi",
        where each order is one filter on the static features), or the first and last delta of the order below, repeated
        ("htk"). In between the two agree.
    sdc : section, optional
        Shifted deltas; none by default.
    """

    order: int = Field(2, ge=0, le=4)
    window: int = Field(3, ge=1, le=100)
    edges: Literal["kaldi", "htk"] = "kaldi"
    sdc: ShiftedDeltaConfig | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse keys that contradict each other."""
        if self.sdc is not None and self.order > 0:
            raise ValueError(f"sdc takes the place of deltas: expected order 0, not {self.order}")
        if self.sdc is not None and self.edges == "htk":
            raise ValueError("edges htk is for deltas of a higher order, and sdc has none: leave edges out")
        return self

    def n_columns(self, n_static: int) -> int:
        """Return the number of columns of `append_deltas` for D static features: D (order + 1), or D + n k with `sdc`.

        Raises ValueError if `sdc` needs more static features than there are.
        """
        if self.sdc is None:
            return n_static * (self.order + 1)
        if self.sdc.n > n_static:
            raise ValueError(f"sdc.n {self.sdc.n}: expected at most the {n_static} static features that there are")
        return n_static + self.sdc.n * self.sdc.k


def append_deltas(frames: Float32Array, config: DeltaConfig) -> Float32Array:
    """Append deltas of each order, by regression over a window, or shifted deltas, to static features (T, D).

    The columns are the features, their deltas, the deltas of these, ...: (T, D (order + 1)). With shifted deltas they
    are the features, the deltas of the first n at the frame itself, those p frames later, ...: (T, D + n k). Beyond
    the ends, the first and the last frame are repeated. Raises ValueError as `DeltaConfig.n_columns` does.

    HTK book, eq. 5.16; orders above one are one filter on the static features (Kaldi), which differs from repeated
    deltas (HTK, ``edges: htk``) at the ends only. Torres-Carrasquillo and others (2002), ICSLP, for shifted deltas;
    each is the regression slope of eq. 5.16 over d frames on either side (Kaldi's add-deltas-sdc), which for d = 1 is
    half the paper's difference.
    """
    n_frames, n_features = frames.shape
    result = np.empty((n_frames, config.n_columns(n_features)), np.float32)
    result[:, :n_features] = frames
    if config.sdc is not None:
        result[:, n_features:] = _shifted_deltas(frames[:, : config.sdc.n], config.sdc)
        return result
    previous: Float32Array | Float64Array = frames  # the features, or the deltas of the order below
    for order in range(1, config.order + 1):
        if config.edges == "htk":
            previous = delta = _filtered(previous, _delta_kernel(1, config.window))
        else:
            delta = _filtered(frames, _delta_kernel(order, config.window))
        result[:, n_features * order : n_features * (order + 1)] = delta
    return result


def _filtered(frames: Float32Array | Float64Array, kernel: Float64Array) -> Float64Array:
    """Filter each column along time; the first and last frame are repeated beyond the ends."""
    reach = len(kernel) // 2
    padded = np.pad(frames, ((reach, reach), (0, 0)), mode="edge").astype(np.float64)
    filtered = np.zeros(frames.shape)
    for step, weight in enumerate(kernel):
        filtered += weight * padded[step : step + len(frames)]
    return filtered


def _shifted_deltas(frames: Float32Array, config: ShiftedDeltaConfig) -> Float64Array:
    """Compute the deltas at frames t, t + p, ..., t + (k - 1) p of the features (T, n), side by side."""
    n_frames = len(frames)
    # The last frame is repeated before the deltas are computed: far beyond the end they are 0.
    longer = np.pad(frames, ((0, config.p * (config.k - 1)), (0, 0)), mode="edge")
    delta = _filtered(longer, _delta_kernel(1, config.d))
    return np.concatenate([delta[config.p * i : config.p * i + n_frames] for i in range(config.k)], axis=1)


@lru_cache(maxsize=16)
def _delta_kernel(order: int, window: int) -> Float64Array:
    """Compute the filter of one order: the regression slope, convolved with itself."""
    steps = np.arange(-window, window + 1)
    slope = steps / np.sum(steps**2)
    kernel = slope
    for _ in range(order - 1):
        kernel = np.convolve(kernel, slope)
    return kernel
