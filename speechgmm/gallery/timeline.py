"""The speakers of a long recording over time: scores of the enrolled speakers in windows, and their table."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.errors import GalleryError
from speechgmm.features.extract import Extraction, FeatureConfig
from speechgmm.files import write_bytes
from speechgmm.gallery.audio import GalleryExtraction
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.recognition import HeardTest, check_decidable, score_tests
from speechgmm.gallery.speakers import UNKNOWN
from speechgmm.scoring.identification import IdentificationConfig, identify

LEAST_SPEECH = 0.1
"""Least share of speech in a whole window for it to be scored."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """The speakers of a recording in W windows, each scored against M enrolled speakers."""

    names: tuple[str, ...]  # (M,) of the speakers
    window: float  # length of a window, in seconds
    hop: float  # from the middle of a window to that of the next, in seconds
    starts: Float64Array  # (W,) of each window, in seconds
    stops: Float64Array  # (W,) of each window, in seconds
    edges: Float64Array  # (W + 1,) of the hops that windows are centred on, from 0 to the recording's end, in seconds
    speech: Float64Array  # (S, 2) start and stop of each stretch of speech frames, in seconds
    scores: Float64Array  # (W, M), NaN in windows with too little speech
    ranks: Float64Array  # (W, M) the same before calibration
    config: IdentificationConfig  # by which windows are answered
    calibrated: bool  # whether the scores are log-likelihood ratios
    answers: tuple[str | None, ...]  # (W,) a name or `UNKNOWN`; None in windows with too little speech
    tied: tuple[tuple[str, ...], ...]  # (W,) the names that would be the answer if they were not equal
    quantity: str  # what the scores are
    unit: str  # of the scores
    damaged: Mapping[str, str]  # why speakers' files are unusable, by their path

    def seconds(self) -> dict[str, float]:
        """Sum the seconds of the hops of each answer, the longest first; windows without an answer are left out."""
        totals: dict[str, float] = {}
        for answer, length in zip(self.answers, np.diff(self.edges).tolist(), strict=True):
            if answer is not None:
                totals[answer] = totals.get(answer, 0.0) + length
        return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def make_timeline(
    gallery: Gallery,
    extraction: GalleryExtraction,
    window: float,
    config: IdentificationConfig | None = None,
    *,
    hop: float | None = None,
    on_scored: Callable[[int, int], None] | None = None,
) -> Timeline:
    """Identify the speaker in windows of a recording, which the gallery's `read` returned.

    `window` and `hop` are in seconds. The recording is cut into hops, the last of which may be shorter, and each has a
    window centred on it, as far as the recording reaches. Without `hop`, windows follow one another. Prior and
    threshold are the gallery's own without `config`. A calibration holds for recordings of the length that it was
    trained on, so in short windows it is more certain than it should be. `on_scored` is called with the numbers of
    windows scored and to score. If `hop` is shorter than a frame or longer than `window`, or no window has enough
    speech, a GalleryError is raised, as are the errors of `identify_speaker`.
    """
    shift = gallery.front_end.shift_seconds
    hop = window if hop is None else hop
    check_window(window, hop, shift)
    config = gallery.config.decisions.identification if config is None else config
    check_decidable(gallery, config)
    edges, starts, stops = place_windows(extraction.seconds, window, hop)
    pieces = _pieces(gallery, extraction, starts, stops)
    needed = LEAST_SPEECH * min(window, extraction.seconds) / shift
    first = next(iter(gallery.front_ends))
    spoken = np.array([len(piece[first]) >= needed and all(map(len, piece.values())) for piece in pieces])
    if not spoken.any():
        raise GalleryError(f"no window of {window:g} s has {LEAST_SPEECH:.0%} of speech")
    heard = extraction.audio.bandwidth, extraction.audio.distance, extraction.condition
    tests = [HeardTest(piece, *heard) for piece, enough in zip(pieces, spoken, strict=True) if enough]
    scored = score_tests(gallery, tests, on_scored=on_scored)
    scores = np.full((len(starts), len(scored.names)), np.nan)
    scores[spoken] = scored.matrix.T
    ranks = np.full_like(scores, np.nan)
    ranks[spoken] = scored.raw.T
    identified = [
        identify(row, scored.names, config, ranks=rank) if enough else None
        for row, rank, enough in zip(scores, ranks, spoken, strict=True)
    ]
    return Timeline(
        names=scored.names,
        window=window,
        hop=hop,
        starts=starts,
        stops=stops,
        edges=edges,
        speech=stretches(_centres(gallery.front_end, extraction), shift, extraction.seconds),
        scores=scores,
        ranks=ranks,
        config=config,
        calibrated=gallery.config.calibrated,
        answers=tuple(None if found is None else found.answer or UNKNOWN for found in identified),
        tied=tuple(() if found is None else found.tied for found in identified),
        quantity=gallery.config.score_quantity,
        unit=gallery.config.score_unit,
        damaged=scored.damaged,
    )


def check_window(window: float, hop: float, shift: float) -> None:
    """Refuse lengths of windows and hops, in seconds, that do not fit each other and the frames' shift."""
    if not (np.isfinite(window) and window >= shift):
        raise GalleryError(f"window of {window:g} s; expected at least a frame's {shift:g} s")
    if not shift <= hop <= window:
        raise GalleryError(f"hop of {hop:g} s; expected at least a frame's {shift:g} s, and no more than the window")


def place_windows(seconds: float, window: float, hop: float) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Return the edges (W + 1,) of hops over a recording, and starts and stops (W,) of windows centred on them."""
    n_hops = max(1, int(np.ceil(seconds / hop - 1e-9)))
    edges = np.append(hop * np.arange(n_hops, dtype=np.float64), seconds)
    begins = hop * np.arange(n_hops, dtype=np.float64)
    starts = np.maximum(np.round(begins - (window - hop) / 2, 9), 0.0)
    stops = np.minimum(np.round(begins + (window + hop) / 2, 9), seconds)
    return edges, starts, stops


def cut_windows(
    frames: FloatArray, centres: Float64Array, starts: Float64Array, stops: Float64Array
) -> list[FloatArray]:
    """Return the frames (T, D) of each window, views of them: those whose centre (T,) lies in it, all in seconds.

    A window that reaches the recording's end has all frames to the last.
    """
    first = np.searchsorted(centres, starts)
    last = np.searchsorted(centres, np.where(stops < stops[-1], stops, np.inf))
    return [frames[start:stop] for start, stop in zip(first.tolist(), last.tolist(), strict=True)]


def stretches(centres: Float64Array, shift: float, seconds: float) -> Float64Array:
    """Join frames, by their centres (T,), to stretches (S, 2) from start to stop, in seconds."""
    ends = np.flatnonzero(np.diff(centres) > 1.5 * shift)
    starts = centres[np.concatenate(([0], ends + 1))] - shift / 2
    stops = centres[np.concatenate((ends, [len(centres) - 1]))] + shift / 2
    return np.clip(np.column_stack((starts, stops)), 0.0, seconds)


def write_table(path: Path, timeline: Timeline) -> None:
    """Write the windows as CSV: start, end, best, which is the answer, and a column of scores for each speaker.

    `best` and the scores are empty in windows with too little speech.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["start", "end", "best", *timeline.names])
    for start, stop, answer, row in zip(
        timeline.starts.tolist(), timeline.stops.tolist(), timeline.answers, timeline.scores.tolist(), strict=True
    ):
        scores = [""] * len(row) if answer is None else [f"{score:.4f}" for score in row]
        writer.writerow([f"{start:.3f}", f"{stop:.3f}", answer or "", *scores])
    write_bytes(path, text.getvalue().encode())


def _pieces(
    gallery: Gallery, extraction: GalleryExtraction, starts: Float64Array, stops: Float64Array
) -> list[dict[str, FloatArray]]:
    """Cut the speech frames of a recording by each front end into windows, each frame by its middle."""
    pieces: list[dict[str, FloatArray]] = [{} for _ in starts]
    for name, front_end in gallery.front_ends.items():
        found = extraction.by_front_end[name]
        cut = cut_windows(found.frames, _centres(front_end, found), starts, stops)
        for piece, frames in zip(pieces, cut, strict=True):
            piece[name] = frames
    return pieces


def _centres(front_end: FeatureConfig, extraction: Extraction) -> Float64Array:
    """Return the centres of the speech frames of a recording, in seconds."""
    places = np.flatnonzero(extraction.speech).astype(np.float64)
    return front_end.first_centre_seconds + front_end.shift_seconds * places
