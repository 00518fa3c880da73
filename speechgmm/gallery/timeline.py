"""The speakers of a long recording over time: scores of the enrolled speakers in windows, and their table."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray, IntArray
from speechgmm.errors import GalleryError
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
    starts: Float64Array  # (W,) of each window, in seconds
    stops: Float64Array  # (W,) of each window, in seconds
    scores: Float64Array  # (W, M), NaN in windows with too little speech
    answers: tuple[str | None, ...]  # (W,) a name or `UNKNOWN`; None in windows with too little speech
    tied: tuple[tuple[str, ...], ...]  # (W,) the names that would be the answer if they were not equal
    quantity: str  # what the scores are
    unit: str  # of the scores
    damaged: Mapping[str, str]  # why speakers' files are unusable, by their path

    def seconds(self) -> dict[str, float]:
        """Sum the seconds of each answer, the longest first; windows without an answer are left out."""
        totals: dict[str, float] = {}
        for answer, length in zip(self.answers, (self.stops - self.starts).tolist(), strict=True):
            if answer is not None:
                totals[answer] = totals.get(answer, 0.0) + length
        return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def make_timeline(
    gallery: Gallery,
    extraction: GalleryExtraction,
    window: float,
    config: IdentificationConfig | None = None,
    *,
    on_scored: Callable[[int, int], None] | None = None,
) -> Timeline:
    """Identify the speaker in consecutive windows of a recording, which the gallery's `read` returned.

    `window` is in seconds, and the last window may be shorter. Prior and threshold are the gallery's own without
    `config`. A calibration holds for recordings of the length that it was trained on, so in short windows it is more
    certain than it should be. `on_scored` is called with the numbers of windows scored and to score. If `window` is
    shorter than a frame, or no window has enough speech, a GalleryError is raised, as are the errors of
    `identify_speaker`.
    """
    if not (np.isfinite(window) and window >= gallery.front_end.shift_seconds):
        raise GalleryError(f"window of {window:g} s; expected at least a frame's {gallery.front_end.shift_seconds:g} s")
    config = gallery.config.decisions.identification if config is None else config
    check_decidable(gallery, config)
    n_windows = max(1, int(np.ceil(extraction.seconds / window - 1e-9)))
    starts = window * np.arange(n_windows, dtype=np.float64)
    stops = np.minimum(starts + window, extraction.seconds, dtype=np.float64)
    pieces = _pieces(gallery, extraction, window, n_windows)
    needed = LEAST_SPEECH * min(window, extraction.seconds) / gallery.front_end.shift_seconds
    first = next(iter(gallery.front_ends))
    spoken = np.array([len(piece[first]) >= needed and all(map(len, piece.values())) for piece in pieces])
    if not spoken.any():
        raise GalleryError(f"no window of {window:g} s has {LEAST_SPEECH:.0%} of speech")
    bandwidth = extraction.audio.bandwidth
    tests = [HeardTest(piece, bandwidth) for piece, enough in zip(pieces, spoken, strict=True) if enough]
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
        scored.names,
        starts,
        stops,
        scores,
        tuple(None if found is None else found.answer or UNKNOWN for found in identified),
        tuple(() if found is None else found.tied for found in identified),
        gallery.config.score_quantity,
        gallery.config.score_unit,
        scored.damaged,
    )


def write_table(path: Path, timeline: Timeline) -> None:
    """Write a timeline as CSV: start, end, best, which is the answer, and a column of scores for each speaker.

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
    gallery: Gallery, extraction: GalleryExtraction, window: float, n_windows: int
) -> list[dict[str, FloatArray]]:
    """Split the speech frames of a recording into windows, each frame by its middle, for each front end."""
    pieces: list[dict[str, FloatArray]] = [{} for _ in range(n_windows)]
    for name, front_end in gallery.front_ends.items():
        found = extraction.by_front_end[name]
        centres = front_end.first_centre_seconds + np.flatnonzero(found.speech) * front_end.shift_seconds
        window_of: IntArray = np.clip((centres / window).astype(np.intp), 0, n_windows - 1)
        split = np.split(found.frames, np.searchsorted(window_of, np.arange(1, n_windows)))
        for piece, frames in zip(pieces, split, strict=True):
            piece[name] = frames
    return pieces
