"""Who speaks when in a long recording: the enrolled speakers' scores in windows of it, and as a table."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray, IntArray
from speechgmm.errors import GalleryError
from speechgmm.features.extract import Extraction
from speechgmm.files import write_bytes
from speechgmm.gallery.gallery import Gallery
from speechgmm.gallery.recognition import check_decidable, score_tests
from speechgmm.gallery.speakers import UNKNOWN
from speechgmm.scoring.identification import IdentificationConfig, identify

LEAST_SPEECH = 0.1
"""Share of a whole window that has to be speech for a window to have scores."""


@dataclass(frozen=True, eq=False)
class Timeline:
    """Who speaks when.

    Parameters
    ----------
    names : tuple of M str
        The speakers.
    starts, stops : np.ndarray, shape (W,), seconds
        Where each window begins and ends.
    scores : np.ndarray, shape (W, M)
        Score of each speaker in each window; NaN in windows with too little speech.
    answers : tuple of W (str or None)
        Who speaks: a name, `speechgmm.gallery.speakers.UNKNOWN`, or None in windows with too little speech.
    quantity, unit : str
        What the scores are, and their unit, as the gallery says.
    damaged : dict of str to str
        What is wrong with each speaker's file that cannot be used, by its path.
    """

    names: tuple[str, ...]
    starts: Float64Array
    stops: Float64Array
    scores: Float64Array
    answers: tuple[str | None, ...]
    quantity: str
    unit: str
    damaged: Mapping[str, str]

    def seconds(self) -> dict[str, float]:
        """Add up how long each speaks.

        Returns
        -------
        dict of str to float, seconds
            By the answer, the longest first; windows without one are left out.
        """
        totals: dict[str, float] = {}
        for answer, length in zip(self.answers, (self.stops - self.starts).tolist(), strict=True):
            if answer is not None:
                totals[answer] = totals.get(answer, 0.0) + length
        return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))


def make_timeline(
    gallery: Gallery, read: Extraction, window: float, config: IdentificationConfig | None = None
) -> Timeline:
    """Identify the speaker in windows of a recording, one after the other.

    Parameters
    ----------
    gallery : Gallery
        The speakers.
    read : Extraction
        The recording, as the gallery's `read` gives it.
    window : float > 0, seconds
        Length of a window; the last one may be shorter.
    config : IdentificationConfig, optional
        Prior and threshold; the gallery's own when not given.

    Returns
    -------
    Timeline
        Scores and answers. A calibration holds for recordings of the length that it was trained on, which in short
        windows makes it surer than it should be.

    Raises
    ------
    ValueError
        If `window` is not a positive length, no window has enough speech, or as for `identify_speaker`.
    """
    if not (np.isfinite(window) and window >= gallery.front_end.shift_seconds):
        raise GalleryError(f"window of {window:g} s; expected at least a frame's {gallery.front_end.shift_seconds:g} s")
    config = gallery.config.decisions.identification if config is None else config
    check_decidable(gallery, config)
    n_windows = max(1, int(np.ceil(read.seconds / window - 1e-9)))
    starts = window * np.arange(n_windows, dtype=np.float64)
    stops = np.minimum(starts + window, read.seconds, dtype=np.float64)
    pieces = _pieces(gallery, read, window, n_windows)
    needed = LEAST_SPEECH * min(window, read.seconds) / gallery.front_end.shift_seconds
    spoken = np.array([len(piece) >= needed for piece in pieces])
    if not spoken.any():
        raise GalleryError(f"no window of {window:g} s has {LEAST_SPEECH:.0%} of speech")
    found = score_tests(gallery, [piece for piece, enough in zip(pieces, spoken, strict=True) if enough])
    scores = np.full((len(starts), len(found.names)), np.nan)
    scores[spoken] = found.matrix.T
    ranks = np.full_like(scores, np.nan)
    ranks[spoken] = found.raw.T
    answers = tuple(
        (identify(row, found.names, config, ranks=rank).answer or UNKNOWN) if enough else None
        for row, rank, enough in zip(scores, ranks, spoken, strict=True)
    )
    return Timeline(found.names, starts, stops, scores, answers, gallery.quantity, gallery.unit, found.damaged)


def write_table(path: Path, timeline: Timeline) -> None:
    """Write a timeline as CSV: start, end, best, and a column of scores for each speaker.

    Parameters
    ----------
    path : Path
        Where to; replaced if it exists.
    timeline : Timeline
        What to write. `best` is the answer, and it and the scores are empty in windows with too little speech.

    Raises
    ------
    OSError
        If it cannot be written.
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


def _pieces(gallery: Gallery, read: Extraction, window: float, n_windows: int) -> list[FloatArray]:
    """Cut the speech frames of a recording into windows, each frame where its middle lies."""
    front_end = gallery.front_end
    centres = front_end.first_centre_seconds + np.flatnonzero(read.speech) * front_end.shift_seconds
    window_of: IntArray = np.clip((centres / window).astype(np.intp), 0, n_windows - 1)
    return np.split(read.frames, np.searchsorted(window_of, np.arange(1, n_windows)))
