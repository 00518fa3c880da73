"""The tables of the short-time spectrum: windows, filter banks and cosine transforms, as plain arrays."""

from functools import lru_cache
from typing import Literal

import numpy as np

from speechgmm.arrays import Float32Array, Float64Array, FloatArray, read_only

WindowName = Literal["povey", "hamming", "hann", "blackman", "rectangular"]
Scale = Literal["mel", "slaney", "linear"]
Shape = Literal["scale", "hertz", "bins"]

SLANEY_BREAK = 15.0
"""Where Slaney's scale turns from linear to logarithmic: 1000 Hz, and 15 steps of 200/3 Hz."""


@lru_cache(maxsize=16)
def window(name: WindowName, length: int, periodic: bool) -> Float64Array:
    """Make a window.

    Parameters
    ----------
    name : WindowName
        Its shape; Povey's is a Hann window to the power 0.85 (Kaldi).
    length : int >= 1, samples
        Its length.
    periodic : bool
        Whether its period is `length` (as for spectral analysis in SciPy), or one less, so that it is symmetric.

    Returns
    -------
    np.ndarray, shape (length,), read-only
        Values from 0 to 1.
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
    """Map frequencies to the axis on which filters are evenly spaced.

    Parameters
    ----------
    hertz : np.ndarray, any shape, Hz >= 0
        Frequencies.
    scale : {"mel", "slaney", "linear"}
        The axis.

    Returns
    -------
    np.ndarray, same shape
        Mel by O'Shaughnessy's or Slaney's formula, or hertz.

    References
    ----------
    O'Shaughnessy (1987), Speech communication: the formula of HTK (HTK book, eq. 5.13) and Kaldi.
    Slaney (1998), Auditory Toolbox: linear to 1 kHz, then 27 steps for a factor of 6.4.
    """
    match scale:
        case "mel":
            return 1127.0 * np.log1p(hertz.astype(np.float64) / 700.0)
        case "slaney":
            above = SLANEY_BREAK + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4)
            return np.where(hertz < 1000, hertz * 3 / 200, above)
        case "linear":
            return hertz.astype(np.float64)


def to_hertz(values: Float64Array, scale: Scale) -> Float64Array:
    """Invert `to_scale`.

    Parameters
    ----------
    values : np.ndarray, any shape
        Places on the axis.
    scale : {"mel", "slaney", "linear"}
        The axis.

    Returns
    -------
    np.ndarray, same shape, Hz
        Frequencies.
    """
    match scale:
        case "mel":
            return 700.0 * np.expm1(values / 1127.0)
        case "slaney":
            above = 1000 * np.exp((np.maximum(values, SLANEY_BREAK) - SLANEY_BREAK) * np.log(6.4) / 27)
            return np.where(values < SLANEY_BREAK, values * 200 / 3, above)
        case "linear":
            return values


@lru_cache(maxsize=16)
def filter_edges(scale: Scale, n_filters: int, low: float, high: float) -> Float64Array:
    """Space triangular filters evenly on an axis.

    Parameters
    ----------
    scale : {"mel", "slaney", "linear"}
        The axis.
    n_filters : int >= 1
        Number of filters, F.
    low, high : float, Hz
        Lower edge of the first and upper edge of the last filter.

    Returns
    -------
    np.ndarray, shape (F + 2,), Hz, read-only
        Filter f rises from edge f to edge f + 1, and falls to edge f + 2.
    """
    first, last = to_scale(np.array([low, high]), scale)
    return read_only(to_hertz(np.linspace(first, last, n_filters + 2), scale))


@lru_cache(maxsize=16)
def filter_bank(
    scale: Scale, n_filters: int, low: float, high: float, *, shape: Shape, area: bool, n_fft: int, sample_rate: int
) -> Float64Array:
    """Make triangular filters.

    Parameters
    ----------
    scale, n_filters, low, high
        As for `filter_edges`.
    shape : {"scale", "hertz", "bins"}
        On which axis the sides are straight: the scale itself (HTK, Kaldi), hertz (Slaney, librosa), or the bins of
        the spectrum, with every edge moved down to a whole one (python_speech_features).
    area : bool
        Whether a filter's height is 2 over its width in hertz, so that its area is 1, or just 1.
    n_fft : int >= 1, samples
        Length of the transform.
    sample_rate : int > 0, Hz
        Rate of the samples.

    Returns
    -------
    np.ndarray, shape (n_fft // 2 + 1, F), read-only
        Weights, at least 0.
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
    width[width == 0] = 1.0  # two corners on one bin: there is no side, and nothing to divide
    rising = (axis[:, None] - corners[:-2]) / width[:-1]
    falling = (corners[2:] - axis[:, None]) / width[1:]
    bank = np.maximum(0.0, np.minimum(np.where(axis[:, None] < corners[1:-1], rising, 1.0), falling.clip(max=1.0)))
    if area:
        bank *= 2 / (edges[2:] - edges[:-2])
    return read_only(bank)


@lru_cache(maxsize=16)
def cosine_transform(n_filters: int, first: int, n_cepstra: int, lifter: float, orthonormal: bool) -> Float64Array:
    """Make the cosine transform (DCT-II) of log filters, with the lifter.

    Parameters
    ----------
    n_filters : int >= 1
        Number of filters, F.
    first : int >= 0
        Order of the first cepstrum.
    n_cepstra : int >= 1
        Number of cepstra, C.
    lifter : float >= 0
        Cepstral lifter; 0 for none.
    orthonormal : bool
        Whether c0 is scaled by the square root of 1/2, so that the rows have norm 1, or not (HTK).

    Returns
    -------
    np.ndarray, shape (F, C), read-only
        Its matrix, to be multiplied from the right.

    References
    ----------
    HTK book, eq. 5.14 (transform) and 5.12 (lifter).
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
    """Give a table in single precision, with columns of zeros up to a multiple.

    Parameters
    ----------
    table : np.ndarray, shape (R, C)
        Any.
    multiple : int >= 1
        What the number of columns is brought to a multiple of: matrix products of such widths need no slow path
        for the rest.

    Returns
    -------
    np.ndarray, shape (R, C or more), float32
        The table and zeros.
    """
    return np.pad(table, ((0, 0), (0, -table.shape[1] % multiple))).astype(np.float32)
