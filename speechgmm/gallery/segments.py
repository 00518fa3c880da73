"""Segments of a recording: who speaks from when to when, found from the scores of its windows."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from speechgmm.arrays import BoolArray, Float64Array, IntArray
from speechgmm.errors import GalleryError
from speechgmm.gallery.speakers import UNKNOWN
from speechgmm.gallery.switching import most_probable_states, state_posteriors
from speechgmm.gallery.timeline import Timeline
from speechgmm.scoring.identification import TIE

TURN: Final = 3.0
"""Usual mean length of a turn, in seconds."""

PAUSE: Final = 0.5
"""Usual length of the longest pause within a segment, in seconds."""

NEARBY: Final = 0.25
"""Longest way that a change of speakers moves to a pause, in seconds."""


class Segment(NamedTuple):
    """A stretch of a recording in which one speaker speaks."""

    start: float  # seconds
    stop: float  # seconds, after the start
    speaker: str  # a name, or `UNKNOWN` for a speaker who is not enrolled
    score: float | None = None  # mean of the speaker's scores in its windows; None for `UNKNOWN`
    posterior: float | None = None  # mean probability of this answer in its windows; None without a calibration


class _States(NamedTuple):
    """The state of each window, as the number of a speaker, M for an unknown one and -1 for too little speech."""

    states: IntArray  # (W,)
    posteriors: Float64Array | None  # (W,) of these states


def find_segments(timeline: Timeline, *, turn: float = TURN, pause: float = PAUSE) -> tuple[Segment, ...]:
    """Find who speaks from when to when, in the order of time; segments do not overlap.

    A hidden Markov model smooths calibrated scores. Its states are the speakers and, unless the set is closed, an
    unknown speaker, whose log-likelihood ratio is 0. A turn lasts `turn` seconds in the mean: after each hop it ends
    with probability ``1 - exp(-hop / turn)``, and the next speaker, perhaps the same one, is drawn from the prior of
    the timeline's `config`. A threshold there replaces the prior: it is the unknown speaker's ratio, and all states are
    equally probable. Windows overlap, so the same frames count in several; ratios are multiplied by ``hop / window``,
    so that they count once. Windows with too little speech have no speaker, and the model starts again after them.

    Scores that are not calibrated have no common scale with probabilities: each window keeps its own answer.

    A segment has the speech in the hops of its windows, and a change of speakers moves to a pause within `NEARBY`. A
    pause of more than `pause` seconds ends a segment. A speaker who shares a segment's scores with another is
    `UNKNOWN`. `turn` and `pause` must be positive numbers, or a GalleryError is raised.
    """
    for name, value in (("turn", turn), ("pause", pause)):
        if not (np.isfinite(value) and value > 0):
            raise GalleryError(f"{name} of {value:g} s; expected a positive number")
    found = _smoothed(timeline, turn) if timeline.calibrated else _answered(timeline)
    runs = _runs(found.states)
    bounds = [0.0, *(_nearby_pause(timeline, timeline.edges[first]) for first, _ in runs[1:]), timeline.edges[-1]]
    speech = _bridged(timeline.speech, pause)
    return tuple(
        segment
        for (first, last), span in zip(runs, pairwise(bounds), strict=True)
        if found.states[first] >= 0
        for segment in _run_segments(timeline, found, slice(first, last), np.clip(speech, *span))
    )


def seconds_by_speaker(segments: Sequence[Segment]) -> dict[str, float]:
    """Sum the seconds of each speaker's segments, the longest first."""
    totals: dict[str, float] = {}
    for segment in segments:
        totals[segment.speaker] = totals.get(segment.speaker, 0.0) + segment.stop - segment.start
    return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def _answered(timeline: Timeline) -> _States:
    """Take the answers of the windows as their states."""
    numbers = {name: number for number, name in enumerate((*timeline.names, UNKNOWN))}
    answers = [-1 if answer is None else numbers[answer] for answer in timeline.answers]
    return _States(np.array(answers, dtype=np.intp), None)


def _smoothed(timeline: Timeline, turn: float) -> _States:
    """Find the most probable states of the windows, and their posteriors."""
    p_unknown, threshold = timeline.config.p_unknown, timeline.config.threshold
    n_speakers = len(timeline.names)
    ratios, prior = timeline.scores, np.full(n_speakers, (1 - p_unknown) / n_speakers)
    if threshold is not None:
        ratios = np.column_stack((ratios, np.full(len(ratios), threshold)))
        prior = np.full(n_speakers + 1, 1 / (n_speakers + 1))
    elif p_unknown > 0:
        ratios = np.column_stack((ratios, np.zeros(len(ratios))))
        prior = np.append(prior, p_unknown)
    emissions = ratios * (timeline.hop / min(timeline.window, float(timeline.edges[-1])))
    p_switch = -np.expm1(-timeline.hop / turn)
    states = np.full(len(ratios), -1, dtype=np.intp)
    posteriors = np.full(len(ratios), np.nan)
    spoken: BoolArray = np.isfinite(timeline.scores[:, 0])
    for first, last in _runs(spoken):
        if spoken[first]:
            run = slice(first, last)
            states[run] = most_probable_states(emissions[run], prior, p_switch)
            all_posteriors = state_posteriors(emissions[run], prior, p_switch)
            posteriors[run] = all_posteriors[np.arange(last - first), states[run]]
    return _States(states, posteriors)


def _runs(values: BoolArray | IntArray) -> list[tuple[int, int]]:
    """Find the runs of equal values, as first and one after the last."""
    changes = np.flatnonzero(np.diff(values)) + 1
    edges = [0, *changes.tolist(), len(values)]
    return list(pairwise(edges))


def _nearby_pause(timeline: Timeline, edge: float) -> float:
    """Move an edge of hops to the middle of the longest pause near it, if there is one."""
    near = min(NEARBY, timeline.hop / 2)  # edges do not pass one another
    low, high = edge - near, edge + near
    pauses = np.clip(np.column_stack((timeline.speech[:-1, 1], timeline.speech[1:, 0])), low, high)
    lengths = pauses[:, 1] - pauses[:, 0]
    return float(pauses[np.argmax(lengths)].mean()) if (lengths > 0).any() else edge


def _run_segments(timeline: Timeline, found: _States, run: slice, speech: Float64Array) -> Iterator[Segment]:
    """Make a segment of each stretch of speech (S, 2) in a run of windows with one state; others are empty."""
    number = _untied(timeline, int(found.states[run.start]), run)
    is_known = number < len(timeline.names)
    for start, stop in speech[speech[:, 0] < speech[:, 1]].tolist():
        # the windows whose hops the segment touches; a moved edge may leave it none of its own
        low = int(np.searchsorted(timeline.edges, start, side="right")) - 1
        high = int(np.searchsorted(timeline.edges, stop))
        low = min(max(low, run.start), run.stop - 1)
        windows = slice(low, max(min(high, run.stop), low + 1))
        yield Segment(
            start,
            stop,
            timeline.names[number] if is_known else UNKNOWN,
            float(timeline.scores[windows, number].mean()) if is_known else None,
            None if found.posteriors is None else float(found.posteriors[windows].mean()),
        )


def _untied(timeline: Timeline, number: int, windows: slice) -> int:
    """Return the speaker of a run of windows, or M, the unknown one, if several have the same scores in all of it.

    Uncalibrated scores decide between speakers whose ratios a calibration such as PAV has made equal.
    """
    if number >= len(timeline.names):
        return number
    ratios, ranks = timeline.scores[windows].mean(axis=0), timeline.ranks[windows].mean(axis=0)
    near = np.flatnonzero(np.abs(ratios - ratios[number]) <= TIE * max(1.0, abs(ratios[number])))
    best = near[np.argmax(ranks[near])]
    equal = np.abs(ranks[near] - ranks[best]) <= TIE * max(1.0, abs(ranks[best]))
    return int(best) if equal.sum() == 1 else len(timeline.names)


def _bridged(speech: Float64Array, pause: float) -> Float64Array:
    """Join stretches of speech (S, 2) over pauses of at most `pause` seconds."""
    apart = np.flatnonzero(speech[1:, 0] - speech[:-1, 1] > pause + 1e-9)
    starts = speech[np.concatenate(([0], apart + 1)), 0]
    return np.column_stack((starts, speech[np.concatenate((apart, [len(speech) - 1])), 1]))


def clock(seconds: float, digits: int = 0) -> str:
    """Format a time as h:mm:ss, with this many digits of the second's fraction."""
    units = round(seconds * 10**digits)
    whole, fraction = divmod(units, 10**digits)
    text = f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{text}.{fraction:0{digits}d}" if digits else text
