"""The steps of the front end for rows that come in pieces.

A step takes rows and gives rows, and keeps of the past what later rows need. Where a row depends on its neighbours
alone, the function of the whole utterance is applied to the neighbourhood.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.frames.deltas import DeltaConfig, append_deltas
from speechgmm.features.frames.normalisation import (
    RASTA_ADVANCE,
    RASTA_NUMERATOR,
    RASTA_POLE,
    NormalisationConfig,
    centre_and_scale,
    to_single,
    warp,
)
from speechgmm.features.frames.vad import ROUNDING, VadConfig, speech_frames

Rows = npt.NDArray[Any]
"""Frames, energies or truth values: what a step takes and gives, time first."""

ABOVE = np.float32(1e30)
"""A log energy above every level, and its negative one below: votes for the rules about runs of speech."""

RUNS_ALONE = VadConfig(method="energy", threshold=0.0, mean_scale=0.0, context=0)
"""The rule by which such a log energy is the speech that it stands for."""


def standardises(config: NormalisationConfig) -> bool:
    """Tell whether a mean or variance is taken.

    Parameters
    ----------
    config : NormalisationConfig
        The normalisation.

    Returns
    -------
    bool
    """
    return bool(config.mean or config.c0_mean or config.variance)


def _looks_around(config: NormalisationConfig) -> bool:
    """Whether frames are compared with others."""
    return standardises(config) or config.warp is not None


def has_deltas(config: DeltaConfig) -> bool:
    """Tell whether any deltas are appended.

    Parameters
    ----------
    config : DeltaConfig
        The deltas.

    Returns
    -------
    bool
    """
    return config.order > 0 or config.sdc is not None


def counts_speech(config: FeatureConfig) -> bool:
    """Tell whether the normalisation compares frames of which some do not count.

    Parameters
    ----------
    config : FeatureConfig
        The front end.

    Returns
    -------
    bool
    """
    if not _looks_around(config.normalisation):
        return False
    places = [config.order.index(step) for step in ("normalisation", "selection")]
    return config.normalisation.over == "speech" and config.vad.method != "none" and places[0] < places[1]


class StreamStep(Protocol):
    """A step on rows that come in pieces: row t waits for row max(t + lookahead, warmup), or for the end."""

    lookahead: int
    warmup: int

    def push(self, rows: Rows, final: bool) -> Rows:
        """Take the next rows, and give those that they determine."""


def push_through(steps: Iterable[StreamStep], rows: Rows, final: bool) -> Rows:
    """Push rows through steps; nothing comes out if nothing goes in, but at the end.

    Parameters
    ----------
    steps : iterable of StreamStep
        One after the other.
    rows : np.ndarray, shape (n, ...)
        What comes next.
    final : bool
        Whether nothing follows.

    Returns
    -------
    np.ndarray, shape (m, ...)
        What the last step gives.
    """
    for step in steps:
        if len(rows) or final:
            rows = step.push(rows, final)
    return rows


def latency(steps: Iterable[StreamStep], lookahead: int = 0, warmup: int = 0) -> tuple[int, int]:
    """Give `lookahead` and `first` of steps as if they were one, after others that are one already.

    Parameters
    ----------
    steps : iterable of StreamStep
        One after the other.
    lookahead, warmup : int >= 0, rows
        Of those before them.

    Returns
    -------
    tuple of two int >= 0, rows
    """
    for step in steps:
        lookahead, warmup = lookahead + step.lookahead, max(warmup, lookahead + step.warmup)
    return lookahead, warmup


def concat_rows(held: Rows, rows: Rows) -> Rows:
    """Put rows after others; where one has none, its width does not matter.

    Parameters
    ----------
    held, rows : np.ndarray, shapes (n, ...) and (m, ...)
        Any.

    Returns
    -------
    np.ndarray, shape (n + m, ...)
    """
    if len(held) and len(rows):
        return np.concatenate([held, rows])
    return rows if len(rows) else held


def activity_steps(config: VadConfig, frame_shift: float) -> list[StreamStep]:
    """Make the steps from log energies to speech; none where all frames are speech.

    Parameters
    ----------
    config : VadConfig
        The rule.
    frame_shift : float > 0, seconds
        From one frame to the next.

    Returns
    -------
    list of StreamStep
    """
    votes = config.model_copy(update={"close_gaps": 0.0, "min_speech": 0.0})
    reach = config.context if config.method == "energy" else 0
    steps: list[StreamStep] = [_Local(lambda rows, first, stop: speech_frames(rows, votes)[first:stop], reach, reach)]
    runs = _Runs(config, frame_shift)
    if runs.lookahead:
        steps.append(runs)
    return steps if config.method != "none" or runs.lookahead else []


def frame_steps(config: FeatureConfig) -> tuple[list[StreamStep], list[StreamStep]]:
    """Make the steps of deltas and normalisation before the selection, and those after it.

    Means and ranks over speech alone are those of the speech frames, so that these can be selected first.

    Parameters
    ----------
    config : FeatureConfig
        The front end.

    Returns
    -------
    two lists of StreamStep
    """
    before: list[StreamStep] = []
    after: list[StreamStep] = []
    steps, normalisation = before, config.normalisation
    for step in config.order:
        match step:
            case "deltas" if has_deltas(config.deltas):
                steps.append(_deltas(config.deltas))
            case "normalisation":
                if normalisation.rasta:
                    steps.append(_Rasta())
                (after if counts_speech(config) else steps).extend(_normalisation_steps(normalisation))
            case "selection":
                steps = after
    return before, after


def _deltas(config: DeltaConfig) -> "_Local":
    """Make the step that appends deltas."""
    past = future = config.order * config.window
    if config.sdc is not None:
        past, future = config.sdc.d, config.sdc.d + config.sdc.p * (config.sdc.k - 1)
    return _Local(lambda rows, first, stop: append_deltas(rows, config)[first:stop], past, future)


def _normalisation_steps(config: NormalisationConfig) -> Iterator[StreamStep]:
    """Make the steps of the normalisation after RASTA."""
    if config.window is not None:
        yield _Sliding(config, config.window)
    if config.warp is not None:
        yield _warping(config.warp)
    if config.rasta or _looks_around(config):
        yield _Local(lambda rows, first, stop: to_single(rows[first:stop]), 0, 0)


def _warping(window: int) -> "_Local":
    """Make the step that warps."""
    return _Local(
        lambda rows, first, stop: warp(rows[first:stop], rows, np.arange(first, stop), window),
        window // 2,
        window - window // 2 - 1,
    )


class _Local:
    """A function of which row t depends on rows t - past to t + future: applied to those that are held.

    It takes rows, and the first and the one after the last that it is to give.
    """

    def __init__(self, function: Callable[[Rows, int, int], Rows], past: int, future: int) -> None:
        self.lookahead, self.warmup = future, 0
        self._function = function
        self._past = past
        self._held: Rows = np.empty(0)
        self._n_given = 0

    def push(self, rows: Rows, final: bool) -> Rows:
        """Take the next rows, and give those that have their future, or the end, behind them."""
        held, start = concat_rows(self._held, rows), self._n_given
        stop = len(held) if final else max(len(held) - self.lookahead, start)
        result = self._function(held, start, stop) if stop > start else rows[:0]
        n_dropped = max(stop - self._past, 0)
        self._held, self._n_given = held[n_dropped:].copy(), stop - n_dropped
        return result


class _Runs:
    """Gaps closed and short speech dropped, as `speech_frames` does, in truth values that come in pieces."""

    def __init__(self, config: VadConfig, frame_shift: float) -> None:
        # The longest runs that are turned over, in frames. They are shorter than the keys say, so that with as many
        # frames before and after it, the fate of a frame is known.
        shortest = (config.close_gaps / frame_shift, config.min_speech / frame_shift)
        self.lookahead, self.warmup = sum(max(math.ceil(n - ROUNDING) - 1, 0) for n in shortest), 0
        self._config = RUNS_ALONE.model_copy(update={"close_gaps": config.close_gaps, "min_speech": config.min_speech})
        self._frame_shift = frame_shift
        self._held: Rows = np.empty(0, np.bool_)
        self._n_given = 0

    def push(self, rows: Rows, final: bool) -> Rows:
        """Take the next truth values, and give those that are the same whatever follows."""
        held, start = concat_rows(self._held, rows), self._n_given
        stop, least = len(held), self._turned_over(held)
        if not final:
            # More speech before makes more speech after: the extremes are the end, and speech that goes on.
            most = self._turned_over(np.concatenate([held, np.ones(self.lookahead + 1, np.bool_)]))
            open_ = least[start:] != most[start : len(held)]
            stop = start + int(np.argmax(open_)) if open_.any() else stop
        n_dropped = max(stop - self.lookahead, 0)
        self._held, self._n_given = held[n_dropped:].copy(), stop - n_dropped
        return least[start:stop]

    def _turned_over(self, speech: BoolArray) -> BoolArray:
        """Apply the rules as if there were nothing else."""
        return speech_frames(np.where(speech, ABOVE, -ABOVE), self._config, frame_shift=self._frame_shift)


class _Rasta:
    """The RASTA filter on rows that come in pieces."""

    def __init__(self) -> None:
        self.lookahead, self.warmup = RASTA_ADVANCE, 0
        self._first: Rows | None = None
        self._last: Rows = np.empty((0, 0))
        self._state: Rows = np.empty((0, 0))
        self._n_to_drop = RASTA_ADVANCE

    def push(self, rows: Rows, final: bool) -> Rows:
        """Take the next rows, and give those that the filter, which looks ahead, has come to."""
        if self._first is None:
            self._first = rows[0].copy()
            self._state = np.zeros((max(len(RASTA_NUMERATOR) - 1, 1), rows.shape[1]))
        moved = self._last[:0]
        if len(rows):
            moved = rows.astype(np.float64) - self._first
            self._last = moved[-1:].copy()
        if final:
            moved = concat_rows(moved, np.repeat(self._last, RASTA_ADVANCE, axis=0))
        filtered, self._state = lfilter(RASTA_NUMERATOR, (1.0, -RASTA_POLE), moved, axis=0, zi=self._state)
        n_dropped = min(self._n_to_drop, len(filtered))
        self._n_to_drop -= n_dropped
        result: Rows = filtered[n_dropped:]
        return result


class _Sliding:
    """Mean and variance of a sliding window taken out of rows that come in pieces.

    Every window ends with some row, and begins `length` rows before, or at the beginning: a row waits for the sums up
    to the last row of its window.
    """

    def __init__(self, config: NormalisationConfig, window: int) -> None:
        self._config = config
        self._length = window if config.center else window + 1
        self.lookahead = window - window // 2 - 1 if config.center else 0
        self.warmup = (self._length if config.center else config.min_window) - 1
        self._sums = _TrailingSums(self._length)
        self._frames: Rows = np.empty((0, 0))
        self._last: Rows = np.empty((0, 0))
        self._n_taken = 0
        self._n_given = 0

    def push(self, rows: Rows, final: bool) -> Rows:
        """Take the next rows, and give those whose windows have ended."""
        frames, values = concat_rows(self._frames, rows), rows.astype(np.float64)
        if self._config.variance:
            values = np.concatenate([values, values**2], axis=1)
        sums = concat_rows(self._last, self._sums.push(values) if len(values) else values)
        self._n_taken += len(rows)
        start, stop = self._n_given, self._n_taken
        if not final:
            stop = max(stop - self.lookahead, start) if stop > self.warmup else start
        self._frames, self._last, self._n_given = frames[stop - start :].copy(), sums[-1:].copy(), stop
        if stop == start:
            return rows[:0]
        ends = np.minimum(np.maximum(np.arange(start, stop) + self.lookahead, self.warmup), self._n_taken - 1)
        averages = sums[ends - self._n_taken] / np.minimum(ends + 1, self._length)[:, None]
        mean, square = averages[:, : frames.shape[1]], averages[:, frames.shape[1] :]
        variance = square - mean**2 if self._config.variance else None
        return centre_and_scale(frames[: stop - start], mean, variance, self._config)


class _TrailingSums:
    """Sums over the `length` rows that end with each row, in the order of additions of `normalise_frames`.

    Cumulative sums start anew every `length` rows, and a window is the end of one run and the beginning of the next.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._run: list[Float64Array] = []
        self._n_in_run = 0
        self._total: Rows = np.empty((0, 0))
        self._onwards: Rows = np.empty((0, 0))

    def push(self, values: Float64Array) -> Float64Array:
        """Take rows (n, D), n >= 1, and give the sum that ends with each."""
        sums = np.empty(values.shape)
        start = 0
        while start < len(values):
            at = self._n_in_run
            part = values[start : start + self._length - at]
            up_to = np.cumsum(concat_rows(self._total, part), axis=0)[len(self._total) :]
            self._total = up_to[-1:].copy()
            onwards = self._onwards[at + 1 : at + 1 + len(part)]
            sums[start : start + len(part)] = up_to
            if len(onwards):
                sums[start : start + len(onwards)] += onwards
            self._run.append(part.copy())
            self._n_in_run += len(part)
            start += len(part)
            if self._n_in_run == self._length:
                self._onwards = np.cumsum(np.concatenate(self._run)[::-1], axis=0)[::-1]
                self._run, self._n_in_run, self._total = [], 0, self._total[:0]
        return sums
