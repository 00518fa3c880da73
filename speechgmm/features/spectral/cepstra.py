"""From a waveform to static features and log energies, at once or in pieces.

Frames are computed in blocks of a fixed size, in which each frame has a fixed position, so that its values depend
neither on its neighbours nor on how much of the waveform was available when it was computed.
"""

from contextlib import nullcontext
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import fft
from scipy.linalg import blas

from speechgmm.arrays import Float32Array, Float64Array, FloatArray
from speechgmm.features.frames.vad import DECIBELS_PER_NEPER_OF_POWER
from speechgmm.features.spectral import filters
from speechgmm.features.spectral.config import CepstraConfig, block_frames, filter_bank, frame_count
from speechgmm.parallel.threads import one_thread

FILTER_MULTIPLE = 8
"""Filter banks are padded to a multiple of this many: matrix products of other widths are slower by a half."""


def cepstra(samples: Float32Array, config: CepstraConfig) -> tuple[Float32Array, Float32Array]:
    """Compute the static features (T, D) of a waveform (n,), and the log energy (T,) of each frame in nats.

    The samples are at ``config.sample_rate``, full scale at 1, none above ``config.max_amplitude``. The features are
    finite cepstra, log filter-bank values or a log spectrum. The log energy is that of a frame's sum of squares before
    pre-emphasis and window, not below the log of ``log_floor`` (which is in units of ``sample_scale``).
    """
    frames, energy, log_energy = CepstraStream(config).analyse(samples, final=True)
    if config.top_db is not None:
        least = frames.max(initial=-np.inf) - np.float32(config.top_db)
        with one_thread():
            frames = _static_features(np.maximum(frames, least), config, _make_tables(config)).astype(np.float32)
        _place_energy(frames, energy, config)
    return frames, log_energy


class CepstraStream:
    """Static features of a waveform that comes in pieces, with the same bits as `cepstra` of the whole."""

    def __init__(self, config: CepstraConfig) -> None:
        self.config = config
        self.n_samples = 0
        self.n_frames = 0
        self._tables = _make_tables(config)
        self._rng = np.random.default_rng(0)
        self._last = np.zeros(1, np.float32)
        self._raw = _SampleBuffer()
        self._emphasised = _SampleBuffer()
        self._workspace = _make_workspace(config)

    def push(self, samples: Float32Array, *, final: bool = False) -> tuple[Float32Array, Float32Array]:
        """Return the features (T, D) and log energies (T,) of the frames that the next samples (n,) complete.

        `final` marks the end of the waveform. The samples are read again with the next ones: don't write to them
        meanwhile. Raises ValueError if ``top_db`` is set, because only a whole utterance determines it.
        """
        if self.config.top_db is not None:
            raise ValueError(f"top_db {self.config.top_db:g} is relative to the loudest frame of a whole utterance")
        frames, _, log_energy = self.analyse(samples, final=final)
        return frames, log_energy

    def analyse(self, samples: Float32Array, *, final: bool) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Return the features as `push` does, their energy values (T,), and the log energies (T,).

        With ``top_db`` the first are the log filter outputs, to which the limit applies.
        """
        config = self.config
        self._buffer_samples(samples)
        start, stop = self.n_frames, self._count_determined(final)
        limited = config.top_db is not None
        frames = np.empty((stop - start, _n_log_values(config) if limited else config.n_static), np.float32)
        energies = np.empty((2, stop - start), np.float32)
        size = len(self._workspace.frames)
        blocks = range(start - start % size, stop, size) if stop > start else ()
        with one_thread() if blocks else nullcontext():
            for block_start in blocks:
                first, last = max(block_start, start), min(block_start + size, stop)
                rows, frame_rows = slice(first - block_start, last - block_start), slice(first - start, last - start)
                self._copy_frames(rows, first, last)
                logs, block_energies = _log_filters(self._workspace, config, self._tables)
                frames[frame_rows] = (logs if limited else _static_features(logs, config, self._tables))[rows]
                energies[:, frame_rows] = block_energies[:, rows]
        self.n_frames = stop
        energy, log_energy = _log_energies(energies, config)
        if not limited:
            _place_energy(frames, energy, config)
        return frames, energy, log_energy

    def _buffer_samples(self, samples: Float32Array) -> None:
        """Append samples to the buffers, and drop those that no later frame uses."""
        config = self.config
        samples = np.ascontiguousarray(samples, np.float32)
        if config.dither:
            noise: Float32Array = self._rng.standard_normal(len(samples), dtype=np.float32)
            samples = samples + np.float32(config.dither) * noise
        needed_from = self.n_frames * config.shift_samples + config.first_sample - 1
        self.n_samples += len(samples)
        self._raw.extend(samples, needed_from)
        if config.emphasises_signal and len(samples):
            before = np.concatenate([self._last, samples[:-1]])
            self._last = samples[-1:].copy()
            before *= np.float32(config.preemphasis)
            self._emphasised.extend(samples - before, needed_from)

    def _count_determined(self, final: bool) -> int:
        """Count the frames that the samples so far determine."""
        config, n = self.config, self.n_samples
        if final:
            return frame_count(n, config)
        if n < config.frame_samples and config.padding == "mirror":
            return 0  # a waveform that ends here has no frames
        return max((n - config.first_sample - config.frame_samples) // config.shift_samples + 1, 0)

    def _copy_frames(self, rows: slice, start: int, stop: int) -> None:
        """Copy frames to their rows of the blocks, and set the other rows to zero: old values there would overflow."""
        config = self.config
        begin = start * config.shift_samples + config.first_sample
        n_samples = (stop - start - 1) * config.shift_samples + config.frame_samples
        shape, strides = (stop - start, config.frame_samples), (config.shift_samples * 4, 4)
        for block, buffer in ((self._workspace.frames, self._raw), (self._workspace.emphasised, self._emphasised)):
            if stop - start < len(block):
                block[: rows.start], block[rows.stop :] = 0, 0
            if buffer.samples.size:
                piece = buffer.piece(begin, n_samples, config.padding == "mirror")
                block[rows, : config.frame_samples] = np.ndarray(shape, np.float32, piece.data, 0, strides)


class _SampleBuffer:
    """The end of a waveform: the samples that later frames still use."""

    def __init__(self) -> None:
        self.samples = np.empty(0, np.float32)
        self.origin = 0

    def extend(self, samples: Float32Array, needed_from: int) -> None:
        """Drop the samples before a position, and append others."""
        n_dropped = min(max(needed_from - self.origin, 0), len(self.samples))
        remaining = self.samples[n_dropped:]
        self.origin += n_dropped
        self.samples = np.concatenate([remaining, samples]) if len(remaining) else samples

    def piece(self, begin: int, n_samples: int, mirrored: bool) -> Float32Array:
        """Return samples from a position on, continued beyond the ends by their mirror image or by zeros."""
        offset = begin - self.origin
        if offset >= 0 and offset + n_samples <= len(self.samples):
            return self.samples[offset : offset + n_samples]
        margin = int(offset > 0)  # the mirror image of a single frame may reach one sample beyond it
        left = max(-offset, 0)
        inside = self.samples[max(offset, 0) - margin : max(offset + n_samples, 0)]
        right = n_samples + margin - left - len(inside)
        padded = np.pad(inside, (left, right), mode="symmetric") if mirrored else np.pad(inside, (left, right))
        return padded[margin:]


class _Workspace(NamedTuple):
    """Arrays for a block of frames (B, n_fft), their emphasised copy, values of bins (B, bins), and energies (2, B)."""

    frames: Float32Array
    emphasised: Float32Array
    values: Float32Array
    squares: Float32Array
    energies: Float32Array


def _make_workspace(config: CepstraConfig) -> _Workspace:
    """Allocate the arrays of a block; beyond the frames' samples they are, and stay, 0."""
    n_frames, bins = block_frames(config), config.fft_size // 2 + 1
    frames, emphasised = np.zeros((2, n_frames, config.fft_size), np.float32)
    values, squares = np.empty((2, n_frames, bins), np.float32)
    return _Workspace(frames, emphasised, values, squares, np.empty((2, n_frames), np.float32))


class _Tables(NamedTuple):
    """The tables by which the blocks of a configuration are multiplied."""

    ones: Float32Array
    window: Float32Array
    bank: Float32Array
    transform: Float64Array


@lru_cache(maxsize=4)
def _make_tables(config: CepstraConfig) -> _Tables:
    """Compute the tables; the scaled window is repeated for each frame of a block: one long row is faster."""
    length = config.frame_samples
    window = np.zeros((block_frames(config), config.fft_size), np.float32)
    window[:, :length] = filters.window(config.window, length, config.periodic_window) * config.sample_scale
    first = 1 if config.energy == "none" else 0
    transform = filters.cosine_transform(
        config.n_filters, first, config.n_cepstra, config.lifter, config.dct_norm == "orthonormal"
    )
    ones = np.zeros(config.fft_size, np.float32)
    ones[:length] = 1
    return _Tables(
        ones,
        window,
        filters.padded(filter_bank(config), FILTER_MULTIPLE),
        np.pad(transform, ((0, -config.n_filters % FILTER_MULTIPLE), (0, 0))),
    )


def _n_log_values(config: CepstraConfig) -> int:
    """Count the values of a frame before the cosine transform, including the padding of the filter bank."""
    bank = _make_tables(config).bank
    return len(bank) if config.kind == "spectrogram" else len(bank.T)


def _log_filters(workspace: _Workspace, config: CepstraConfig, tables: _Tables) -> tuple[Float32Array, Float32Array]:
    """Compute log filter outputs (or spectrum) of a block, and energies (2, B): of the features and of the frames."""
    values, energies = workspace.values, workspace.energies
    if config.remove_dc:
        _remove_means(workspace.frames, tables.ones, config.frame_samples)
    np.vecdot(workspace.frames, workspace.frames, out=energies[1])
    energies[1] *= np.float32(config.sample_scale**2)
    if config.emphasises_signal and config.remove_dc:
        _remove_means(workspace.emphasised, tables.ones, config.frame_samples)
    elif not config.emphasises_signal:
        _emphasise(workspace, config.preemphasis)
    frames = workspace.emphasised
    frames *= tables.window
    spectrum = fft.rfft(frames, axis=1)
    np.square(spectrum.real, out=values)
    values += np.square(spectrum.imag, out=workspace.squares)
    if config.spectrum == "magnitude":
        np.sqrt(values, out=values)
    elif config.spectrum == "periodogram":
        values *= np.float32(1 / config.fft_size)
    match config.energy:
        case "windowed":
            np.vecdot(frames, frames, out=energies[0])
        case "spectrum":
            np.sum(values, axis=1, out=energies[0])
        case _:
            energies[0] = energies[1]
    if config.kind != "spectrogram":
        values = values @ tables.bank
    return values if config.log == "none" else _logarithm(values, config.log, config.log_floor), energies


def _log_energies(energies: Float32Array, config: CepstraConfig) -> tuple[Float32Array, Float32Array]:
    """Compute the logarithms of energies of the features and of the frames (2, T); the latter for full scale at 1."""
    floor = max(config.log_floor, config.energy_floor)
    log_energy = _logarithm(energies[1], "natural", config.log_floor) - np.float32(2 * np.log(config.sample_scale))
    return _logarithm(energies[0], config.log, floor), log_energy


def _remove_means(frames: Float32Array, ones: Float32Array, length: int) -> None:
    """Subtract each frame's mean in place: a rank-one update, for which numpy has no fast way."""
    means = np.vecdot(frames, ones) / np.float32(length)
    blas.sger(-1.0, ones, means, a=frames.T, overwrite_a=1)


def _emphasise(workspace: _Workspace, coefficient: float) -> None:
    """Subtract from each sample a share of the one before; the sample before the first is the first (Kaldi, HTK)."""
    np.copyto(workspace.emphasised, workspace.frames)
    if coefficient:
        # The block as one long row is faster than row by row, and wrong only where rows begin.
        row, emphasised = workspace.frames.reshape(-1), workspace.emphasised.reshape(-1)
        blas.saxpy(row, emphasised, n=row.size - 1, a=-coefficient, offy=1)
        workspace.emphasised[:, 0] = workspace.frames[:, 0] * np.float32(1 - coefficient)


def _logarithm(values: Float32Array, log: str, floor: float) -> Float32Array:
    """Compute the decimal logarithm in decibels, or the natural one, in place."""
    np.maximum(values, np.float32(floor), out=values)
    np.log(values, out=values)
    if log == "decibel":
        values *= np.float32(DECIBELS_PER_NEPER_OF_POWER)
    return values


def _static_features(logs: Float32Array, config: CepstraConfig, tables: _Tables) -> FloatArray:
    """Convert log filter outputs or spectrum (B, at least their number) to features (B, D), with room for an energy."""
    if config.is_cepstral:
        return logs @ tables.transform  # in double precision: a sum of decibels loses digits otherwise
    if config.kind == "logmel" and config.replaces_first:
        return np.pad(logs[:, : config.n_filters], ((0, 0), (1, 0)))
    return logs[:, : config.n_static]


def _place_energy(frames: Float32Array, energy: Float32Array, config: CepstraConfig) -> None:
    """Write the log energy (T,) into the features (T, D), and move the first column to the end where configured."""
    if config.replaces_first:
        frames[:, 0] = energy
    if config.energy_last:
        frames[:] = np.roll(frames, -1, axis=1)
