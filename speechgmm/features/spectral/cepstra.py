"""From a waveform to static features and log energies, at once or in pieces.

Frames are computed in blocks of a fixed size, in which a frame has a place of its own, so that its values depend
neither on its neighbours nor on how much of the waveform was there when it was computed.
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
"""Filter banks are filled up to a multiple of this many: matrix products of other widths are slower by a half."""


def cepstra(samples: Float32Array, config: CepstraConfig) -> tuple[Float32Array, Float32Array]:
    """Compute static features and the log energy of each frame.

    Parameters
    ----------
    samples : np.ndarray, shape (n,), float32
        Mono waveform at ``config.sample_rate``, full scale at 1, nowhere above ``config.loudest``.
    config : CepstraConfig
        What to compute.

    Returns
    -------
    frames : np.ndarray, shape (T, D), float32, finite
        Cepstra, log filter-bank values or log spectrum.
    log_energy : np.ndarray, shape (T,), float32, nats
        Log of the sum of squares of each frame, before pre-emphasis and window, of samples with full scale at 1;
        not below the log of ``log_floor`` (which is in units of ``sample_scale``).
    """
    frames, energy, log_energy = CepstraStream(config).analyse(samples, final=True)
    if config.top_db is not None:
        least = frames.max(initial=-np.inf) - np.float32(config.top_db)
        with one_thread():
            frames = _static(np.maximum(frames, least), config, _tables(config)).astype(np.float32)
        _place_energy(frames, energy, config)
    return frames, log_energy


class CepstraStream:
    """Static features of a waveform that comes in pieces: together the bits that `cepstra` gives for the whole.

    Parameters
    ----------
    config : CepstraConfig
        What to compute.
    """

    def __init__(self, config: CepstraConfig) -> None:
        self.config = config
        self.n_samples = 0
        self.n_frames = 0
        self._tables = _tables(config)
        self._rng = np.random.default_rng(0)
        self._last = np.zeros(1, np.float32)
        self._raw = _Held()
        self._emphasised = _Held()
        self._room = _room(config)

    def push(self, samples: Float32Array, *, final: bool = False) -> tuple[Float32Array, Float32Array]:
        """Take the next samples, and give the frames that they determine.

        Parameters
        ----------
        samples : np.ndarray, shape (n,), n >= 0, float32
            As for `cepstra`. They are looked at again with the next ones: don't write to them meanwhile.
        final : bool
            Whether the waveform ends here.

        Returns
        -------
        frames : np.ndarray, shape (T, D), float32
            As `cepstra` gives them.
        log_energy : np.ndarray, shape (T,), float32, nats

        Raises
        ------
        ValueError
            If ``top_db`` is set, which only a whole utterance determines.
        """
        if self.config.top_db is not None:
            raise ValueError(f"top_db {self.config.top_db:g} is relative to the loudest frame of a whole utterance")
        frames, _, log_energy = self.analyse(samples, final=final)
        return frames, log_energy

    def analyse(self, samples: Float32Array, *, final: bool) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Do what `push` does; with ``top_db`` the frames are the log filters that it applies to.

        Parameters
        ----------
        samples, final
            As for `push`.

        Returns
        -------
        frames : np.ndarray, shape (T, D), float32
            Features, or log filters.
        energy : np.ndarray, shape (T,), float32
            What ``energy`` puts among the features.
        log_energy : np.ndarray, shape (T,), float32, nats
            As for `push`.
        """
        config = self.config
        self._take(samples)
        start, stop = self.n_frames, self._determined(final)
        limited = config.top_db is not None
        frames = np.empty((stop - start, _n_logs(config) if limited else config.n_static), np.float32)
        energies = np.empty((2, stop - start), np.float32)
        size = len(self._room.frames)
        blocks = range(start - start % size, stop, size) if stop > start else ()
        with one_thread() if blocks else nullcontext():
            for at in blocks:
                first, last = max(at, start), min(at + size, stop)
                rows, here = slice(first - at, last - at), slice(first - start, last - start)
                self._fill(rows, first, last)
                logs, energies_there = _logs(self._room, config, self._tables)
                frames[here] = (logs if limited else _static(logs, config, self._tables))[rows]
                energies[:, here] = energies_there[:, rows]
        self.n_frames = stop
        energy, log_energy = _log_energies(energies, config)
        if not limited:
            _place_energy(frames, energy, config)
        return frames, energy, log_energy

    def _take(self, samples: Float32Array) -> None:
        """Hold more samples, and drop those that no later frame sees."""
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

    def _determined(self, final: bool) -> int:
        """Count the frames that the samples so far determine."""
        config, n = self.config, self.n_samples
        if final:
            return frame_count(n, config)
        if n < config.frame_samples and config.padding == "mirror":
            return 0  # what ends here has no frames at all
        return max((n - config.first_sample - config.frame_samples) // config.shift_samples + 1, 0)

    def _fill(self, rows: slice, start: int, stop: int) -> None:
        """Copy frames into their places of the blocks, which are zero elsewhere: what is left there would overflow."""
        config = self.config
        begin = start * config.shift_samples + config.first_sample
        n_samples = (stop - start - 1) * config.shift_samples + config.frame_samples
        shape, strides = (stop - start, config.frame_samples), (config.shift_samples * 4, 4)
        for block, held in ((self._room.frames, self._raw), (self._room.emphasised, self._emphasised)):
            if stop - start < len(block):
                block[: rows.start], block[rows.stop :] = 0, 0
            if held.samples.size:
                piece = held.piece(begin, n_samples, config.padding == "mirror")
                block[rows, : config.frame_samples] = np.ndarray(shape, np.float32, piece.data, 0, strides)


class _Held:
    """The end of a waveform: what later frames still see of it."""

    def __init__(self) -> None:
        self.samples = np.empty(0, np.float32)
        self.origin = 0

    def extend(self, samples: Float32Array, needed_from: int) -> None:
        """Drop what lies before a place, and append."""
        n_dropped = min(max(needed_from - self.origin, 0), len(self.samples))
        kept = self.samples[n_dropped:]
        self.origin += n_dropped
        self.samples = np.concatenate([kept, samples]) if len(kept) else samples

    def piece(self, begin: int, n_samples: int, mirrored: bool) -> Float32Array:
        """Give samples from a place on, continued beyond the ends by their mirror image or by zeros."""
        at = begin - self.origin
        if at >= 0 and at + n_samples <= len(self.samples):
            return self.samples[at : at + n_samples]
        margin = int(at > 0)  # the mirror image of a single frame may reach one sample beyond it
        left = max(-at, 0)
        inside = self.samples[max(at, 0) - margin : max(at + n_samples, 0)]
        right = n_samples + margin - left - len(inside)
        padded = np.pad(inside, (left, right), mode="symmetric") if mirrored else np.pad(inside, (left, right))
        return padded[margin:]


class _Room(NamedTuple):
    """Room for a block of frames (B, n_fft), the same emphasised, values of bins (B, bins), and energies (2, B)."""

    frames: Float32Array
    emphasised: Float32Array
    values: Float32Array
    squares: Float32Array
    energies: Float32Array


def _room(config: CepstraConfig) -> _Room:
    """Make room for a block; beyond the frames' samples it is, and stays, 0."""
    n_frames, bins = block_frames(config), config.fft_size // 2 + 1
    frames, emphasised = np.zeros((2, n_frames, config.fft_size), np.float32)
    values, squares = np.empty((2, n_frames, bins), np.float32)
    return _Room(frames, emphasised, values, squares, np.empty((2, n_frames), np.float32))


class _Tables(NamedTuple):
    """What the blocks of a configuration are multiplied with."""

    ones: Float32Array
    window: Float32Array
    bank: Float32Array
    transform: Float64Array


@lru_cache(maxsize=4)
def _tables(config: CepstraConfig) -> _Tables:
    """Make the tables; the window, which has the scale, is there for each frame of a block: one long row is quicker."""
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


def _n_logs(config: CepstraConfig) -> int:
    """Count the values of a frame before the cosine transform, with those that fill the bank up."""
    bank = _tables(config).bank
    return len(bank) if config.kind == "spectrogram" else len(bank.T)


def _logs(room: _Room, config: CepstraConfig, tables: _Tables) -> tuple[Float32Array, Float32Array]:
    """Compute log filters (or spectrum) of a block, and raw energies (2, B): of the features and of the frames."""
    values, energies = room.values, room.energies
    if config.remove_dc:
        _remove_means(room.frames, tables.ones, config.frame_samples)
    np.vecdot(room.frames, room.frames, out=energies[1])
    energies[1] *= np.float32(config.sample_scale**2)
    if config.emphasises_signal and config.remove_dc:
        _remove_means(room.emphasised, tables.ones, config.frame_samples)
    elif not config.emphasises_signal:
        _emphasise(room, config.preemphasis)
    frames = room.emphasised
    frames *= tables.window
    spectrum = fft.rfft(frames, axis=1)
    np.square(spectrum.real, out=values)
    values += np.square(spectrum.imag, out=room.squares)
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
    """Take the logarithm of energies of the features and of the frames (2, T); the latter for full scale at 1."""
    floor = max(config.log_floor, config.energy_floor)
    log_energy = _logarithm(energies[1], "natural", config.log_floor) - np.float32(2 * np.log(config.sample_scale))
    return _logarithm(energies[0], config.log, floor), log_energy


def _remove_means(frames: Float32Array, ones: Float32Array, length: int) -> None:
    """Subtract each frame's mean in place: a rank-one update, which numpy has no quick way for."""
    means = np.vecdot(frames, ones) / np.float32(length)
    blas.sger(-1.0, ones, means, a=frames.T, overwrite_a=1)


def _emphasise(room: _Room, coefficient: float) -> None:
    """Subtract from each sample a share of the one before; the sample before the first is the first (Kaldi, HTK)."""
    np.copyto(room.emphasised, room.frames)
    if coefficient:
        # The block as one long row is quicker than row by row, and wrong only where rows begin.
        row, emphasised = room.frames.reshape(-1), room.emphasised.reshape(-1)
        blas.saxpy(row, emphasised, n=row.size - 1, a=-coefficient, offy=1)
        room.emphasised[:, 0] = room.frames[:, 0] * np.float32(1 - coefficient)


def _logarithm(values: Float32Array, log: str, floor: float) -> Float32Array:
    """Take the decimal logarithm in decibels, or the natural one, in place."""
    np.maximum(values, np.float32(floor), out=values)
    np.log(values, out=values)
    if log == "decibel":
        values *= np.float32(DECIBELS_PER_NEPER_OF_POWER)
    return values


def _static(logs: Float32Array, config: CepstraConfig, tables: _Tables) -> FloatArray:
    """Turn log filters or spectrum (B, at least their number) into features (B, D), with room for a log energy."""
    if config.is_cepstral:
        return logs @ tables.transform  # in double precision: a sum of decibels loses digits otherwise
    if config.kind == "logmel" and config.replaces_first:
        return np.pad(logs[:, : config.n_filters], ((0, 0), (1, 0)))
    return logs[:, : config.n_static]


def _place_energy(frames: Float32Array, energy: Float32Array, config: CepstraConfig) -> None:
    """Put the log energy (T,) into the features (T, D), and the first of them last if it is asked for."""
    if config.replaces_first:
        frames[:, 0] = energy
    if config.energy_last:
        frames[:] = np.roll(frames, -1, axis=1)
