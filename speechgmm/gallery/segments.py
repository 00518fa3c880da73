"""Segments of a recording: who speaks from when to when, found from the scores of its windows."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

import numpy as np

from speechgmm.arrays import BoolArray, Float64Array, IntArray
from speechgmm.errors import GalleryError
from speechgmm.gallery.lengths import PAUSE, TURN
from speechgmm.gallery.speakers import UNKNOWN
from speechgmm.gallery.timeline import Timeline
from speechgmm.scoring.identification import TIE, IdentificationConfig
from speechgmm.scoring.switching import forward_backward, most_probable_states

NEARBY: Final = 0.25
"""Longest way that a change of speakers moves to a pause, in seconds."""


class Segment(NamedTuple):
    """A stretch of a recording in which one speaker speaks."""

    start: float  # seconds
    stop: float  # seconds, after the start
    speaker: str  # a name, or `UNKNOWN` for a speaker who is not enrolled
    score: float | None = None  # mean of the speaker's scores in its windows; None for `UNKNOWN`
    posterior: float | None = None  # mean probability of this answer in its windows; None without a calibration


class ScoredHops(Protocol):
    """W hops of a recording, or of a part of it, with scores against M speakers: what segments are made of."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names (M,) of the speakers."""

    @property
    def hop(self) -> float:
        """Length of a hop, in seconds."""

    @property
    def edges(self) -> Float64Array:
        """Edges (W + 1,) of the hops, in seconds."""

    @property
    def speech(self) -> Float64Array:
        """Start and stop (S, 2) of each stretch of speech frames, in seconds; there is at least one."""

    @property
    def scores(self) -> Float64Array:
        """Scores (W, M)."""

    @property
    def ranks(self) -> Float64Array:
        """Scores (W, M) before calibration."""


class States(NamedTuple):
    """The state of each window, as the number of a speaker, M for an unknown one and -1 for too little speech."""

    states: IntArray  # (W,)
    posteriors: Float64Array | None  # (W,) of these states


class StateModel(NamedTuple):
    """The model of `find_segments`: its states are the speakers and, unless the set is closed, an unknown one."""

    prior: Float64Array  # (S,)
    p_switch: float  # after each hop
    unknown: float | None  # log-likelihood ratio of the unknown speaker

    @classmethod
    def of(cls, config: IdentificationConfig, n_speakers: int, turn: float, hop: float) -> "StateModel":
        """Build the model for a number of speakers; `turn` and `hop` are in seconds."""
        p_switch = float(-np.expm1(-hop / turn))
        if config.threshold is not None:
            return cls(np.full(n_speakers + 1, 1 / (n_speakers + 1)), p_switch, config.threshold)
        prior = np.full(n_speakers, (1 - config.p_unknown) / n_speakers)
        if config.p_unknown > 0:
            return cls(np.append(prior, config.p_unknown), p_switch, 0.0)
        return cls(prior, p_switch, None)

    def emissions(self, ratios: Float64Array, share: float) -> Float64Array:
        """Return log-likelihoods (W, S) of windows with ratios (W, M), each of which counts this share."""
        if self.unknown is not None:
            ratios = np.column_stack((ratios, np.full(len(ratios), self.unknown)))
        return ratios * share


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
    check_lengths(turn=turn, pause=pause)
    return segments_of(timeline, _smoothed(timeline, turn) if timeline.calibrated else _answered(timeline), pause)


def check_lengths(**lengths: float) -> None:
    """Refuse lengths in seconds that are not positive, by their names."""
    for name, value in lengths.items():
        if not (np.isfinite(value) and value > 0):
            raise GalleryError(f"{name} of {value:g} s; expected a positive number")


def segments_of(hops: ScoredHops, found: States, pause: float) -> tuple[Segment, ...]:
    """Make segments of the states of hops, as `find_segments` does."""
    runs = _runs(found.states)
    bounds = [hops.edges[0], *(_nearby_pause(hops, hops.edges[first]) for first, _ in runs[1:]), hops.edges[-1]]
    speech = _bridged(hops.speech, pause)
    return tuple(
        segment
        for (first, last), span in zip(runs, pairwise(bounds), strict=True)
        if found.states[first] >= 0
        for segment in _run_segments(hops, found, slice(first, last), np.clip(speech, *span))
    )


def seconds_by_speaker(segments: Sequence[Segment]) -> dict[str, float]:
    """Sum the seconds of each speaker's segments, the longest first."""
    totals: dict[str, float] = {}
    for segment in segments:
        totals[segment.speaker] = totals.get(segment.speaker, 0.0) + segment.stop - segment.start
    return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def _answered(timeline: Timeline) -> States:
    """Take the answers of the windows as their states."""
    numbers = {name: number for number, name in enumerate((*timeline.names, UNKNOWN))}
    answers = [-1 if answer is None else numbers[answer] for answer in timeline.answers]
    return States(np.array(answers, dtype=np.intp), None)


def _smoothed(timeline: Timeline, turn: float) -> States:
    """Find the most probable states of the windows, and their posteriors."""
    model = StateModel.of(timeline.config, len(timeline.names), turn, timeline.hop)
    emissions = model.emissions(timeline.scores, timeline.hop / min(timeline.window, float(timeline.edges[-1])))
    prior, p_switch = model.prior, model.p_switch
    states = np.full(len(emissions), -1, dtype=np.intp)
    posteriors = np.full(len(emissions), np.nan)
    spoken: BoolArray = np.isfinite(timeline.scores[:, 0])
    for first, last in _runs(spoken):
        if spoken[first]:
            run = slice(first, last)
            states[run] = most_probable_states(emissions[run], prior, p_switch)
            all_posteriors = forward_backward(emissions[run], prior, p_switch).posteriors
            posteriors[run] = all_posteriors[np.arange(last - first), states[run]]
    return States(states, posteriors)


def _runs(values: BoolArray | IntArray) -> list[tuple[int, int]]:
    """Find the runs of equal values, as first and one after the last."""
    changes = np.flatnonzero(np.diff(values)) + 1
    edges = [0, *changes.tolist(), len(values)]
    return list(pairwise(edges))


def _nearby_pause(hops: ScoredHops, edge: float) -> float:
    """Move an edge of hops to the middle of the longest pause near it, if there is one."""
    near = min(NEARBY, hops.hop / 2)  # edges do not pass one another
    low, high = edge - near, edge + near
    pauses = np.clip(np.column_stack((hops.speech[:-1, 1], hops.speech[1:, 0])), low, high)
    lengths = pauses[:, 1] - pauses[:, 0]
    return float(pauses[np.argmax(lengths)].mean()) if (lengths > 0).any() else edge


def _run_segments(hops: ScoredHops, found: States, run: slice, speech: Float64Array) -> Iterator[Segment]:
    """Make a segment of each stretch of speech (S, 2) in a run of windows with one state; others are empty."""
    number = untied(hops.scores[run], hops.ranks[run], int(found.states[run.start]))
    is_known = number < len(hops.names)
    for start, stop in speech[speech[:, 0] < speech[:, 1]].tolist():
        # the windows whose hops the segment touches; a moved edge may leave it none of its own
        low = int(np.searchsorted(hops.edges, start, side="right")) - 1
        high = int(np.searchsorted(hops.edges, stop))
        low = min(max(low, run.start), run.stop - 1)
        windows = slice(low, max(min(high, run.stop), low + 1))
        yield Segment(
            start,
            stop,
            hops.names[number] if is_known else UNKNOWN,
            float(hops.scores[windows, number].mean()) if is_known else None,
            None if found.posteriors is None else float(found.posteriors[windows].mean()),
        )


def untied(scores: Float64Array, ranks: Float64Array, number: int) -> int:
    """Return the speaker of windows (W, M), or M, the unknown one, if several have the same scores in all of them.

    Uncalibrated scores, the ranks, decide between speakers whose ratios a calibration such as PAV has made equal.
    """
    n_speakers = scores.shape[1]
    if number >= n_speakers:
        return number
    means, mean_ranks = scores.mean(axis=0), ranks.mean(axis=0)
    near = np.flatnonzero(np.abs(means - means[number]) <= TIE * max(1.0, abs(means[number])))
    best = near[np.argmax(mean_ranks[near])]
    equal = np.abs(mean_ranks[near] - mean_ranks[best]) <= TIE * max(1.0, abs(mean_ranks[best]))
    return int(best) if equal.sum() == 1 else n_speakers


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
