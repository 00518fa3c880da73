"""The short-time spectrum and its cepstra: framing, window, spectrum, filter bank, log, cosine transform.

The definitions are Kaldi's where the field has several (frames, Povey window, mel scale, triangular filters in
mel, lifter), so that the numbers can be compared; samples have their full scale at 1, not at 32768, which moves
only c0 and the energy, by a constant.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy import fft

from speechgmm.arrays import Float32Array, FloatArray
from speechgmm.configuration import Configuration

ROUNDING = 1e-6
"""Samples by which a product of seconds and rate may fall short of the whole number that it stands for."""

BLOCK_FRAMES = 256
"""Frames in one block. Every block is filled up to this size, so that a frame's values don't depend on its
neighbours: matrix products of other shapes may round in another order."""


class CepstraConfig(Configuration):
    """The static features: framing, spectrum, filters and cepstra.

    Parameters
    ----------
    sample_rate : int, 1 to 1,000,000, Hz
        Rate that the audio is brought to.
    frame_length, frame_shift : float, above 0 to 60, seconds
        Length of a frame, and from the start of one to the start of the next.
    snip_edges : bool
        Whether only frames that lie wholly inside the audio are used; else it is mirrored at both ends.
    remove_dc : bool
        Whether each frame's mean is subtracted first.
    dither : float >= 0
        Standard deviation of Gaussian noise added to the samples (full scale is 1); 0 adds none.
    preemphasis : float, 0 to below 1
        Coefficient a of x[n] - a x[n-1].
    window : "povey", "hamming", "hann", "blackman" or "rectangular"
        Shape of the window.
    n_fft : int, samples, optional
        Length of the transform, at least the frame's; the next power of two when not given.
    spectrum : "power" or "magnitude"
        What the filters sum.
    filter_scale : "mel", "slaney" or "linear"
        Axis on which filters are evenly spaced; `linear` when `kind` is lfcc, else `mel`, when not given.
    n_filters : int >= 1
        Number of triangular filters.
    low_frequency : float >= 0, Hz
        Lower edge of the first filter.
    high_frequency : float, Hz, optional
        Upper edge of the last filter; 95 % of half the sample rate when not given.
    filter_norm : "peak" or "area"
        Whether each filter has height 1, or its weights sum to 1.
    log_floor : float, 1e-37 to 1e37
        Least value that a logarithm is taken of.
    kind : "mfcc", "lfcc", "logmel" or "spectrogram"
        Cepstra on the mel or the linear scale, log filter-bank values, or the log spectrum.
    n_cepstra : int >= 1
        Cepstral coefficients, counted with c0 or the energy.
    lifter : float >= 0
        Cepstral lifter; 0 for none.
    energy : "c0", "raw", "windowed" or "none"
        The first coefficient: c0; in its place the log energy of the frame as it came, or after pre-emphasis and
        window; or none of these, so that the first is c1.
    """

    sample_rate: int = Field(16000, gt=0, le=1_000_000)
    frame_length: float = Field(0.025, gt=0, le=60)
    frame_shift: float = Field(0.010, gt=0, le=60)
    snip_edges: bool = False
    remove_dc: bool = True
    dither: float = Field(0.0, ge=0)
    preemphasis: float = Field(0.97, ge=0, lt=1)
    window: Literal["povey", "hamming", "hann", "blackman", "rectangular"] = "povey"
    n_fft: int | None = None
    spectrum: Literal["power", "magnitude"] = "power"
    filter_scale: Literal["mel", "slaney", "linear"] = "mel"
    n_filters: int = Field(30, ge=1)
    low_frequency: float = Field(20.0, ge=0)
    high_frequency: float | None = None
    filter_norm: Literal["peak", "area"] = "peak"
    log_floor: float = Field(1e-10, ge=1e-37, le=1e37)
    kind: Literal["mfcc", "lfcc", "logmel", "spectrogram"] = "mfcc"
    n_cepstra: int = Field(24, ge=1)
    lifter: float = Field(22.0, ge=0)
    energy: Literal["c0", "raw", "windowed", "none"] = "c0"

    @model_validator(mode="before")
    @classmethod
    def _scale_of_kind(cls, data: Any) -> Any:
        """Let the kind choose the scale where none is given."""
        if isinstance(data, Mapping) and data.get("kind") == "lfcc" and "filter_scale" not in data:
            return {**data, "filter_scale": "linear"}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """Refuse what no spectrum can give."""
        if self.shift_samples < 1 or self.frame_samples < 2:
            raise ValueError(
                f"frames of {self.frame_samples} samples every {self.shift_samples}: "
                f"frame_length and frame_shift are seconds, and too short for {self.sample_rate} Hz"
            )
        if self.fft_size < self.frame_samples:
            raise ValueError(
                f"n_fft {self.n_fft} is shorter than the frame of {self.frame_samples} samples "
                f"({self.frame_length} s at {self.sample_rate} Hz)"
            )
        if not self.low_frequency < self.top_frequency <= self.sample_rate / 2:
            raise ValueError(
                f"filters from {self.low_frequency:g} to {self.top_frequency:g} Hz; expected low_frequency < "
                f"high_frequency <= {self.sample_rate / 2:g} Hz, half of the sample rate"
            )
        if (self.kind == "lfcc") != (self.filter_scale == "linear") and self.kind in ("mfcc", "lfcc"):
            raise ValueError(f"kind {self.kind} with filter_scale {self.filter_scale}: lfcc is the linear one")
        last = self.n_cepstra + (self.energy == "none")
        if self.kind in ("mfcc", "lfcc") and last > self.n_filters:
            raise ValueError(f"n_cepstra {self.n_cepstra} from n_filters {self.n_filters}: too few filters")
        return self

    @property
    def frame_samples(self) -> int:
        """Samples in a frame: whole ones, as Kaldi counts."""
        return int(self.frame_length * self.sample_rate + ROUNDING)

    @property
    def shift_samples(self) -> int:
        """Samples from one frame to the next: whole ones, as Kaldi counts."""
        return int(self.frame_shift * self.sample_rate + ROUNDING)

    @property
    def fft_size(self) -> int:
        """Length of the Fourier transform."""
        return 1 << (self.frame_samples - 1).bit_length() if self.n_fft is None else self.n_fft

    @property
    def top_frequency(self) -> float:
        """Upper edge of the last filter in Hz."""
        return 0.475 * self.sample_rate if self.high_frequency is None else self.high_frequency

    @property
    def n_static(self) -> int:
        """Features of a frame before deltas."""
        if self.kind == "spectrogram":
            return self.fft_size // 2 + 1
        return self.n_filters if self.kind == "logmel" else self.n_cepstra


def frame_count(n_samples: int, config: CepstraConfig) -> int:
    """Count the frames of a waveform.

    Parameters
    ----------
    n_samples : int >= 0
        Length of the waveform.
    config : CepstraConfig
        Its frame length and shift, and whether the edges are snipped.

    Returns
    -------
    int >= 0
        With `snip_edges`, the frames that lie wholly inside; else one for each whole or nearly whole shift
        (the waveform is mirrored at both ends), and none if the waveform is shorter than one frame.
    """
    length, shift = config.frame_samples, config.shift_samples
    if n_samples < length:
        return 0
    if config.snip_edges:
        return 1 + (n_samples - length) // shift
    return (n_samples + shift // 2) // shift


def cepstra(samples: Float32Array, config: CepstraConfig) -> tuple[Float32Array, Float32Array]:
    """Compute static features and the log energy of each frame.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), float32
        Mono waveform at ``config.sample_rate``, full scale at 1.
    config : CepstraConfig
        What to compute.

    Returns
    -------
    frames : np.ndarray, shape (T, D), float32
        Cepstra, log filter-bank values or log spectrum; natural logarithm.
    log_energy : np.ndarray, shape (T,), float32
        Log of the sum of squares of each frame, before pre-emphasis and window, floored at ``log_floor``.
    """
    n_frames = frame_count(len(samples), config)
    frames = np.empty((n_frames, config.n_static), np.float32)
    log_energy = np.empty(n_frames, np.float32)
    padded, first = _padded(samples, n_frames, config)
    block = np.empty((BLOCK_FRAMES, config.frame_samples), np.float32)
    for start in range(0, n_frames, BLOCK_FRAMES):
        stop = min(start + BLOCK_FRAMES, n_frames)
        offset = first + start * config.shift_samples
        windows = np.lib.stride_tricks.sliding_window_view(padded[offset:], config.frame_samples)
        block[: stop - start] = windows[:: config.shift_samples][: stop - start]
        block[stop - start :] = 0
        values, energies = _block_features(block, config)
        frames[start:stop] = values[: stop - start]
        log_energy[start:stop] = energies[: stop - start]
    return frames, log_energy


def empty_filters(config: CepstraConfig) -> tuple[str, ...]:
    """Name the filters that lie between two bins of the spectrum, whose output is constant.

    Parameters
    ----------
    config : CepstraConfig
        The filters, and the length of the transform.

    Returns
    -------
    tuple of str
        One sentence each, with number (from 1) and edges; none for a plain spectrogram.
    """
    if config.kind == "spectrogram":
        return ()
    hertz, scaled, edges = _axis(config)
    centres = np.interp(edges[1:-1], scaled, hertz)
    return tuple(
        f"filter {number + 1} of {config.n_filters}, around {centres[number]:.0f} Hz, has no bin of a transform of "
        f"{config.fft_size} points: its output is constant; use fewer filters or a larger n_fft"
        for number in np.flatnonzero(~_filter_bank(config).any(axis=0))
    )


def _padded(samples: Float32Array, n_frames: int, config: CepstraConfig) -> tuple[Float32Array, int]:
    """Mirror the ends that frames reach beyond; give the samples and where the first frame starts in them."""
    if config.snip_edges or n_frames == 0:
        return samples, 0
    length, shift = config.frame_samples, config.shift_samples
    first = shift // 2 - length // 2  # the first frame is centred on the middle of the first shift
    left = max(0, -first)
    right = max(0, first + (n_frames - 1) * shift + length - len(samples))
    return np.pad(samples, (left, right), mode="symmetric"), left + first


def _block_features(block: Float32Array, config: CepstraConfig) -> tuple[Float32Array, Float32Array]:
    """Compute the features of a full block of raw frames, which is overwritten."""
    floor = np.float32(config.log_floor)
    if config.remove_dc:
        block -= block.mean(axis=1, keepdims=True)
    log_energy = np.log(np.maximum(np.einsum("tn,tn->t", block, block), floor))
    if config.preemphasis:
        # The sample before the first is taken to be the first, as Kaldi does.
        previous = np.concatenate([block[:, :1], block[:, :-1]], axis=1)
        block -= np.float32(config.preemphasis) * previous
    block *= _window(config.window, config.frame_samples)
    energy = log_energy
    if config.energy == "windowed":
        energy = np.log(np.maximum(np.einsum("tn,tn->t", block, block), floor))
    spectrum = fft.rfft(block, config.fft_size, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    values = power if config.spectrum == "power" else np.sqrt(power)
    if config.kind != "spectrogram":
        values = values @ _filter_bank(config)
    values = np.log(np.maximum(values, floor))
    if config.kind in ("mfcc", "lfcc"):
        values = values @ _cosine_transform(config)
        if config.energy in ("raw", "windowed"):
            values[:, 0] = energy
    return values, log_energy


@lru_cache(maxsize=16)
def _window(name: str, length: int) -> Float32Array:
    """Make a symmetric window; Povey's is a Hann window to the power 0.85 (Kaldi)."""
    phase = 2 * np.pi * np.arange(length) / max(length - 1, 1)
    hann = 0.5 - 0.5 * np.cos(phase)
    match name:
        case "povey":
            window = hann**0.85
        case "hann":
            window = hann
        case "hamming":
            window = 0.54 - 0.46 * np.cos(phase)
        case "blackman":
            window = 0.42 - 0.5 * np.cos(phase) + 0.08 * np.cos(2 * phase)
        case _:
            window = np.ones(length)
    return window.astype(np.float32)


def _to_scale(hertz: FloatArray, scale: str) -> FloatArray:
    """Map frequency to the axis on which the filters are evenly spaced."""
    scaled = hertz
    if scale == "mel":
        scaled = 1127.0 * np.log1p(hertz / 700.0)  # O'Shaughnessy (1987); HTK book, eq. 5.13
    elif scale == "slaney":  # Slaney (1998), Auditory Toolbox: linear to 1 kHz, then 27 steps per factor of 6.4
        above = 15 + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4)
        scaled = np.where(hertz < 1000, hertz * 3 / 200, above)
    return scaled


def _axis(config: CepstraConfig) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Give the bins in Hz and on the scale of the filters, and the filters' edges on that scale."""
    hertz = np.arange(config.fft_size // 2 + 1) * (config.sample_rate / config.fft_size)
    ends = np.array([config.low_frequency, config.top_frequency])
    low, high = _to_scale(ends, config.filter_scale)
    return hertz, _to_scale(hertz, config.filter_scale), np.linspace(low, high, config.n_filters + 2)


@lru_cache(maxsize=16)
def _filter_bank(config: CepstraConfig) -> Float32Array:
    """Make the triangular filters, shape (bins, filters), as lines on the scale itself (as Kaldi does)."""
    _, scaled, edges = _axis(config)
    bins = scaled[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bank = np.maximum(0.0, np.minimum(rising, falling))
    if config.filter_norm == "area":
        bank /= np.maximum(bank.sum(axis=0), np.finfo(np.float64).tiny)
    return np.ascontiguousarray(bank, np.float32)


@lru_cache(maxsize=16)
def _cosine_transform(config: CepstraConfig) -> Float32Array:
    """Make the orthonormal DCT-II with the lifter, shape (filters, cepstra)."""
    first = 1 if config.energy == "none" else 0
    order = np.arange(first, first + config.n_cepstra)
    phase = np.pi / config.n_filters * (np.arange(config.n_filters)[:, None] + 0.5) * order
    transform = np.sqrt(2 / config.n_filters) * np.cos(phase)
    transform[:, order == 0] *= np.sqrt(0.5)
    if config.lifter:
        transform *= 1 + 0.5 * config.lifter * np.sin(np.pi * order / config.lifter)  # HTK book, eq. 5.12
    return np.ascontiguousarray(transform, np.float32)
