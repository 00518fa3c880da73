"""Windows of a recording, each with a vector of the voice in it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.diarisation.config import DiarisationConfig
from speechgmm.diarisation.models import DiarisationModels
from speechgmm.errors import ModelError
from speechgmm.gmm.likelihood import posteriors
from speechgmm.parallel.threads import one_thread
from speechgmm.subspace.extraction import extract_vectors
from speechgmm.subspace.statistics import RECORDINGS_AT_ONCE, StackedStats

LEAST_SPEECH = 0.2
"""Seconds of speech that a window needs; one with less has no vector."""


@dataclass(frozen=True, eq=False)
class Windows:
    """W windows with enough speech, in the order of time."""

    centres: Float64Array  # (W,) in seconds
    vectors: Float64Array  # (W, R) in the space of the models' PLDA


@dataclass(frozen=True, eq=False)
class _Sums:
    """Statistics of the speech frames within one hop."""

    zeroth: Float64Array  # (C,)
    first: Float64Array  # (C, D)
    n_frames: int

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(self.zeroth + other.zeroth, self.first + other.first, self.n_frames + other.n_frames)


def voice_windows(
    frames: FloatArray, times: Float64Array, models: DiarisationModels, config: DiarisationConfig
) -> Windows:
    """Compute the vectors of overlapping windows from speech frames (T, D) and their times (T,), in seconds, rising.

    A window is a whole number of hops, and begins at a multiple of the hop. Memory holds the statistics of
    `RECORDINGS_AT_ONCE` windows at a time. ModelError if no window has `LEAST_SPEECH` seconds of speech.
    """
    n_hops = max(1, round(config.window / config.hop))
    least = LEAST_SPEECH / models.front_end.shift_seconds
    centres, vectors = [], []
    waiting: list[_Sums] = []
    for first, sums in _windows(_hop_sums(frames, times, models, config.hop), n_hops):
        if sums.n_frames >= least:
            centres.append(config.hop * (first + n_hops / 2))
            waiting.append(sums)
        if len(waiting) == RECORDINGS_AT_ONCE:
            vectors.append(_vectors(waiting, models))
            waiting = []
    if waiting:
        vectors.append(_vectors(waiting, models))
    if not vectors:
        raise ModelError(f"no window of {config.window:g} s has {LEAST_SPEECH:g} s of speech; expected one or more")
    return Windows(np.array(centres), np.concatenate(vectors))


def _hop_sums(frames: FloatArray, times: Float64Array, models: DiarisationModels, hop: float) -> Iterator[_Sums | None]:
    """Yield the statistics of each hop from the recording's beginning; None for one without speech."""
    hop_of = (times / hop).astype(np.intp)
    n_hops = int(hop_of[-1]) + 1 if len(hop_of) else 0
    bounds = np.searchsorted(hop_of, np.arange(n_hops + 1))
    for start in range(0, n_hops, RECORDINGS_AT_ONCE):
        ends = bounds[start : start + RECORDINGS_AT_ONCE + 1]
        block = np.asarray(frames[ends[0] : ends[-1]], np.float64)
        with one_thread():
            occupancies = posteriors(models.ubm, block)
            for begin, end in zip(ends[:-1] - ends[0], ends[1:] - ends[0], strict=True):
                rows = occupancies[begin:end]
                yield _Sums(rows.sum(axis=0), rows.T @ block[begin:end], len(rows)) if len(rows) else None


def _windows(hops: Iterator[_Sums | None], n_hops: int) -> Iterator[tuple[int, _Sums]]:
    """Yield the first hop of each window that has speech, and the window's statistics; a shorter recording is one."""
    latest: list[_Sums | None] = []
    number = -1
    for number, sums in enumerate(hops):
        latest = [*latest[-(n_hops - 1) :], sums] if n_hops > 1 else [sums]
        if len(latest) == n_hops and (total := _total(latest)) is not None:
            yield number + 1 - n_hops, total
    if number + 1 < n_hops and (total := _total(latest)) is not None:
        yield 0, total


def _total(sums: list[_Sums | None]) -> _Sums | None:
    """Add the statistics of hops; None if none has speech."""
    spoken = [each for each in sums if each is not None]
    return sum(spoken[1:], spoken[0]) if spoken else None


def _vectors(sums: list[_Sums], models: DiarisationModels) -> Float64Array:
    """Compute the projected vectors of windows."""
    statistics = StackedStats(
        np.stack([each.zeroth for each in sums]),
        np.stack([each.first for each in sums]),
        np.array([each.n_frames for each in sums], np.intp),
    )
    return models.project(extract_vectors(models.vectors, models.factors, statistics).values)
