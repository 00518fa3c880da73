"""The steps of the front end for rows that come in pieces.

A step receives rows and returns rows, and keeps the past rows that later ones need. Where a row depends on its
neighbours alone, the function for the whole utterance is applied to the neighbourhood.
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
from speechgmm.features.frames.vad import FRAME_ROUNDING, VadConfig, speech_frames
from speechgmm.features.streaming.running import SPEECH_ENERGY, RunningLevelStep, RunningMeansStep

Rows = npt.NDArray[Any]
"""Frames, energies or speech decisions, time first."""

RUNS_ALONE = VadConfig(method="energy", threshold=0.0, mean_scale=0.0, context=0)
"""The VAD under which such energies become the decisions that they stand for, so that only rules on runs apply."""


def standardises(config: NormalisationConfig) -> bool:
    """Check whether the normalisation uses a mean or variance."""
    return bool(config.mean or config.c0_mean or config.variance)


def _compares_frames(config: NormalisationConfig) -> bool:
    """Check whether the normalisation compares frames with each other."""
    return standardises(config) or config.warp is not None


def has_deltas(config: DeltaConfig) -> bool:
    """Check whether any deltas are appended."""
    return config.order > 0 or config.sdc is not None


def normalises_over_speech(config: FeatureConfig) -> bool:
    """Check whether the normalisation compares speech frames only, while other frames are still present."""
    if not _compares_frames(config.normalisation):
        return False
    before_selection = config.order.index("normalisation") < config.order.index("selection")
    return config.normalisation.over == "speech" and config.vad.method != "none" and before_selection


class StreamStep(Protocol):
    """A step on rows that come in pieces: row t needs row max(t + lookahead, warmup), or the end, to be determined."""

    lookahead: int
    warmup: int

    def push(self, rows: Rows, final: bool) -> Rows:
        """Process the next rows, and return those that are now determined."""


def push_through(steps: Iterable[StreamStep], rows: Rows, final: bool) -> Rows:
    """Push rows through steps, one after the other, and return the rows of the last.

    A step that receives no rows is not run, except where `final` marks the end.
    """
    for step in steps:
        if len(rows) or final:
            rows = step.push(rows, final)
    return rows


def latency(steps: Iterable[StreamStep], lookahead: int = 0, warmup: int = 0) -> tuple[int, int]:
    """Compute the lookahead and warmup, in rows, of steps as if they were one.

    The arguments are those of the steps before them.
    """
    for step in steps:
        lookahead, warmup = lookahead + step.lookahead, max(warmup, lookahead + step.warmup)
    return lookahead, warmup


def concat_rows(buffered: Rows, rows: Rows) -> Rows:
    """Concatenate rows; where one of the arrays has none, its width does not matter."""
    if len(buffered) and len(rows):
        return np.concatenate([buffered, rows])
    return rows if len(rows) else buffered


def derives_level(config: VadConfig) -> bool:
    """Check whether the level of speech follows from energies of the whole utterance."""
    return config.method in ("percentile", "gaussians") or (config.method == "energy" and bool(config.mean_scale))


def activity_steps(config: VadConfig, frame_shift: float) -> list[StreamStep]:
    """Return the steps from log energies to speech decisions; none where all frames are speech.

    `frame_shift` is in seconds. A level of the whole utterance is that of the energies so far.
    """
    votes = config.model_copy(update={"close_gaps": 0.0, "min_speech": 0.0})
    reach = config.context if config.method == "energy" else 0
    steps: list[StreamStep] = []
    if derives_level(config):
        steps.append(RunningLevelStep(config))
        votes = RUNS_ALONE.model_copy(update={"context": reach, "proportion": config.proportion})
    steps.append(_NeighbourhoodStep(lambda rows, first, stop: speech_frames(rows, votes)[first:stop], reach, reach))
    runs = _RunsStep(config, frame_shift)
    if runs.lookahead:
        steps.append(runs)
    return steps if config.method != "none" or runs.lookahead else []


def frame_steps(config: FeatureConfig) -> tuple[list[StreamStep], list[StreamStep]]:
    """Return the steps of deltas and normalisation before the selection of the speech frames, and those after it.

    Means and ranks over speech alone are those of the speech frames, so that these can be selected first. Means of the
    whole utterance are those of the frames so far.
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
                    steps.append(_RastaStep())
                (after if normalises_over_speech(config) else steps).extend(_normalisation_steps(normalisation))
            case "selection":
                steps = after
    return before, after


def _deltas(config: DeltaConfig) -> "_NeighbourhoodStep":
    """Return the step that appends deltas."""
    past = future = config.order * config.window
    if config.sdc is not None:
        past, future = config.sdc.d, config.sdc.d + config.sdc.p * (config.sdc.k - 1)
    return _NeighbourhoodStep(lambda rows, first, stop: append_deltas(rows, config)[first:stop], past, future)


def _normalisation_steps(config: NormalisationConfig) -> Iterator[StreamStep]:
    """Yield the steps of the normalisation after RASTA."""
    if config.window is not None:
        yield _SlidingStep(config, config.window)
    elif standardises(config):
        yield RunningMeansStep(config)
    if config.warp is not None:
        yield _warping(config.warp)
    if config.rasta or _compares_frames(config):
        yield _NeighbourhoodStep(lambda rows, first, stop: to_single(rows[first:stop]), 0, 0)


def _warping(window: int) -> "_NeighbourhoodStep":
    """Return the step of feature warping."""
    return _NeighbourhoodStep(
        lambda rows, first, stop: warp(rows[first:stop], rows, np.arange(first, stop), window),
        window // 2,
        window - window // 2 - 1,
    )


class _NeighbourhoodStep:
    """A step in which row t depends on rows t - past to t + future.

    The function receives the buffered rows, the first row to return and the one after the last.
    """

    def __init__(self, function: Callable[[Rows, int, int], Rows], past: int, future: int) -> None:
        self.lookahead, self.warmup = future, 0
        self._function = function
        self._past = past
        self._buffered: Rows = np.empty(0)
        self._n_emitted = 0

    def push(self, rows: Rows, final: bool) -> Rows:
        """Process the next rows, and return those whose future rows, or the end, have come."""
        buffered, start = concat_rows(self._buffered, rows), self._n_emitted
        stop = len(buffered) if final else max(len(buffered) - self.lookahead, start)
        result = self._function(buffered, start, stop) if stop > start else rows[:0]
        n_dropped = max(stop - self._past, 0)
        self._buffered, self._n_emitted = buffered[n_dropped:].copy(), stop - n_dropped
        return result


class _RunsStep:
    """Close gaps and drop short speech, as `speech_frames` does, in speech decisions that come in pieces."""

    def __init__(self, config: VadConfig, frame_shift: float) -> None:
        # The longest runs that are inverted, in frames, are shorter than the keys say: with as many frames before and
        # after it, the decision about a frame is known.
        shortest = (config.close_gaps / frame_shift, config.min_speech / frame_shift)
        self.lookahead, self.warmup = sum(max(math.ceil(n - FRAME_ROUNDING) - 1, 0) for n in shortest), 0
        self._config = RUNS_ALONE.model_copy(update={"close_gaps": config.close_gaps, "min_speech": config.min_speech})
        self._frame_shift = frame_shift
        self._buffered: Rows = np.empty(0, np.bool_)
        self._n_emitted = 0

    def push(self, rows: Rows, final: bool) -> Rows:
        """Process the next decisions, and return those that no later one can change."""
        buffered, start = concat_rows(self._buffered, rows), self._n_emitted
        stop, if_end = len(buffered), self._apply_rules(buffered)
        if not final:
            # More speech in never means less speech out: the extremes are the end, and speech that goes on.
            if_speech = self._apply_rules(np.concatenate([buffered, np.ones(self.lookahead + 1, np.bool_)]))
            undecided = if_end[start:] != if_speech[start : len(buffered)]
            stop = start + int(np.argmax(undecided)) if undecided.any() else stop
        n_dropped = max(stop - self.lookahead, 0)
        self._buffered, self._n_emitted = buffered[n_dropped:].copy(), stop - n_dropped
        return if_end[start:stop]

    def _apply_rules(self, speech: BoolArray) -> BoolArray:
        """Apply the rules as if there were no other decisions."""
        log_energy = np.where(speech, SPEECH_ENERGY, -SPEECH_ENERGY)
        return speech_frames(log_energy, self._config, frame_shift=self._frame_shift)


class _RastaStep:
    """The RASTA filter on rows that come in pieces."""

    def __init__(self) -> None:
        self.lookahead, self.warmup = RASTA_ADVANCE, 0
        self._first: Rows | None = None
        self._last: Rows = np.empty((0, 0))
        self._state: Rows = np.empty((0, 0))
        self._n_to_drop = RASTA_ADVANCE

    def push(self, rows: Rows, final: bool) -> Rows:
        """Process the next rows, and return those that the filter, which looks ahead, has reached."""
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


class _SlidingStep:
    """Subtract the mean of a sliding window, and divide by its deviation, in rows that come in pieces.

    Every window ends with some row, and begins `length` rows before, or at the beginning: a row needs the sums up to
    the last row of its window.
    """

    def __init__(self, config: NormalisationConfig, window: int) -> None:
        self._config = config
        self._length = window if config.center else window + 1
        self.lookahead = window - window // 2 - 1 if config.center else 0
        self.warmup = (self._length if config.center else config.min_window) - 1
        self._sums = _TrailingSums(self._length)
        self._frames: Rows = np.empty((0, 0))
        self._last: Rows = np.empty((0, 0))
        self._n_received = 0
        self._n_emitted = 0

    def push(self, rows: Rows, final: bool) -> Rows:
        """Process the next rows, and return those whose windows have ended."""
        frames, values = concat_rows(self._frames, rows), rows.astype(np.float64)
        if self._config.variance:
            values = np.concatenate([values, values**2], axis=1)
        sums = concat_rows(self._last, self._sums.push(values) if len(values) else values)
        self._n_received += len(rows)
        start, stop = self._n_emitted, self._n_received
        if not final:
            stop = max(stop - self.lookahead, start) if stop > self.warmup else start
        self._frames, self._last, self._n_emitted = frames[stop - start :].copy(), sums[-1:].copy(), stop
        if stop == start:
            return rows[:0]
        ends = np.minimum(np.maximum(np.arange(start, stop) + self.lookahead, self.warmup), self._n_received - 1)
        averages = sums[ends - self._n_received] / np.minimum(ends + 1, self._length)[:, None]
        mean, square = averages[:, : frames.shape[1]], averages[:, frames.shape[1] :]
        variance = square - mean**2 if self._config.variance else None
        return centre_and_scale(frames[: stop - start], mean, variance, self._config)


class _TrailingSums:
    """Sums over the `length` rows that end with each row, in the order of additions of `normalise_frames`.

    Cumulative sums restart every `length` rows, and a window is the end of one run and the beginning of the next.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._run: list[Float64Array] = []
        self._n_in_run = 0
        self._total: Rows = np.empty((0, 0))
        self._suffix_sums: Rows = np.empty((0, 0))

    def push(self, values: Float64Array) -> Float64Array:
        """Process rows (n, D), n >= 1, and return the sum that ends with each."""
        sums = np.empty(values.shape)
        start = 0
        while start < len(values):
            offset = self._n_in_run
            part = values[start : start + self._length - offset]
            prefix_sums = np.cumsum(concat_rows(self._total, part), axis=0)[len(self._total) :]
            self._total = prefix_sums[-1:].copy()
            suffix_part = self._suffix_sums[offset + 1 : offset + 1 + len(part)]
            sums[start : start + len(part)] = prefix_sums
            if len(suffix_part):
                sums[start : start + len(suffix_part)] += suffix_part
            self._run.append(part.copy())
            self._n_in_run += len(part)
            start += len(part)
            if self._n_in_run == self._length:
                self._suffix_sums = np.cumsum(np.concatenate(self._run)[::-1], axis=0)[::-1]
                self._run, self._n_in_run, self._total = [], 0, self._total[:0]
        return sums
