"""The tables of the short-time spectrum: windows, filter banks and cosine transforms, as plain arrays."""

from functools import lru_cache
from typing import Literal

import numpy as np

from speechgmm.arrays import Float32Array, Float64Array, FloatArray, read_only

WindowName = Literal["povey", "hamming", "hann", "blackman", "rectangular"]
Scale = Literal["mel", "slaney", "linear"]
Shape = Literal["scale", "hertz", "bins"]

SLANEY_BREAK = 15.0
"""Position at which Slaney's scale changes from linear to logarithmic: 1000 Hz, or 15 steps of 200/3 Hz."""


@lru_cache(maxsize=16)
def window(name: WindowName, length: int, periodic: bool) -> Float64Array:
    """Compute a window (length,), with values from 0 to 1, read-only.

    Povey's is a Hann window to the power 0.85 (Kaldi). The period is `length` for a periodic window (as for spectral
    analysis in SciPy), or one sample less, so that the window is symmetric.
    """
    phase = 2 * np.pi * np.arange(length) / max(length - (not periodic), 1)
    hann = 0.5 - 0.5 * np.cos(phase)
    match name:
        case "povey":
            values = hann**0.85
        case "hann":
            values = hann
        case "hamming":
            values = 0.54 - 0.46 * np.cos(phase)
        case "blackman":
            values = np.maximum(0.42 - 0.5 * np.cos(phase) + 0.08 * np.cos(2 * phase), 0)
        case "rectangular":
            values = np.ones(length)
    return read_only(values)


def to_scale(hertz: FloatArray, scale: Scale) -> Float64Array:
    """Map frequencies in Hz to the axis on which filters are evenly spaced: mel, Slaney's mel, or hertz.

    O'Shaughnessy (1987), Speech communication: the mel formula of HTK (HTK book, eq. 5.13) and Kaldi. Slaney (1998),
    Auditory Toolbox: linear to 1 kHz, then 27 steps for a factor of 6.4.
    """
    match scale:
        case "mel":
            return 1127.0 * np.log1p(hertz.astype(np.float64) / 700.0)
        case "slaney":
            logarithmic = SLANEY_BREAK + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4)
            return np.where(hertz < 1000, hertz * 3 / 200, logarithmic)
        case "linear":
            return hertz.astype(np.float64)


def to_hertz(values: Float64Array, scale: Scale) -> Float64Array:
    """Map positions on an axis to frequencies in Hz: the inverse of `to_scale`."""
    match scale:
        case "mel":
            return 700.0 * np.expm1(values / 1127.0)
        case "slaney":
            logarithmic = 1000 * np.exp((np.maximum(values, SLANEY_BREAK) - SLANEY_BREAK) * np.log(6.4) / 27)
            return np.where(values < SLANEY_BREAK, values * 200 / 3, logarithmic)
        case "linear":
            return values


@lru_cache(maxsize=16)
def filter_edges(scale: Scale, n_filters: int, low: float, high: float) -> Float64Array:
    """Space the edges of F triangular filters evenly on an axis: (F + 2,) in Hz, read-only.

    Filter f rises from edge f to edge f + 1, and falls to edge f + 2. `low` and `high`, in Hz, are the lower edge of
    the first filter and the upper edge of the last.
    """
    first, last = to_scale(np.array([low, high]), scale)
    return read_only(to_hertz(np.linspace(first, last, n_filters + 2), scale))


@lru_cache(maxsize=16)
def filter_bank(
    scale: Scale, n_filters: int, low: float, high: float, *, shape: Shape, area: bool, n_fft: int, sample_rate: int
) -> Float64Array:
    """Compute the weights of triangular filters, (n_fft // 2 + 1, F), at least 0 and read-only.

    The first four arguments are those of `filter_edges`. `shape` is the axis on which the sides are straight: the
    scale itself (HTK, Kaldi), hertz (Slaney, librosa), or the bins of the spectrum, with every edge moved down to a
    whole one (python_speech_features). With `area`, a filter's height is 2 over its width in hertz, so that its area
    is 1; otherwise its height is 1.
    """
    edges = filter_edges(scale, n_filters, low, high)
    bins = np.arange(n_fft // 2 + 1.0)
    match shape:
        case "scale":
            axis, corners = to_scale(bins * sample_rate / n_fft, scale), to_scale(edges, scale)
        case "hertz":
            axis, corners = bins * sample_rate / n_fft, edges
        case "bins":
            axis, corners = bins, np.floor((n_fft + 1) * edges / sample_rate)
    width = np.diff(corners)
    width[width == 0] = 1.0  # two corners on one bin: this side has no slope, and nothing is divided
    rising = (axis[:, None] - corners[:-2]) / width[:-1]
    falling = (corners[2:] - axis[:, None]) / width[1:]
    bank = np.maximum(0.0, np.minimum(np.where(axis[:, None] < corners[1:-1], rising, 1.0), falling.clip(max=1.0)))
    if area:
        bank *= 2 / (edges[2:] - edges[:-2])
    return read_only(bank)


@lru_cache(maxsize=16)
def cosine_transform(n_filters: int, first: int, n_cepstra: int, lifter: float, orthonormal: bool) -> Float64Array:
    """Compute the matrix (F, C) of the cosine transform (DCT-II) of log filter outputs, with the lifter; read-only.

    It is multiplied from the right. `first` is the order of the first cepstrum; a `lifter` of 0 is none. With
    `orthonormal`, c0 is scaled by the square root of 1/2, so that the rows have norm 1; HTK does not scale it. HTK
    book, eq. 5.14 (transform) and 5.12 (lifter).
    """
    order = np.arange(first, first + n_cepstra)
    phase = np.pi / n_filters * (np.arange(n_filters)[:, None] + 0.5) * order
    transform = np.sqrt(2 / n_filters) * np.cos(phase)
    if orthonormal:
        transform[:, order == 0] *= np.sqrt(0.5)
    if lifter:
        transform *= 1 + 0.5 * lifter * np.sin(np.pi * order / lifter)
    return read_only(transform)


def padded(table: Float64Array, multiple: int) -> Float32Array:
    """Convert a table (R, C) to single precision, with columns of zeros up to a multiple.

    Matrix products of such widths avoid a slow path for the remaining columns.
    """
    return np.pad(table, ((0, 0), (0, -table.shape[1] % multiple))).astype(np.float32)
