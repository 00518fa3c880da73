"""Who speaks when in a long recording: the enrolled speakers' scores in windows of it, as a table and as a picture."""

import csv
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from speechgmm.arrays import Float64Array, FloatArray, IntArray
from speechgmm.errors import GalleryError
from speechgmm.features.extract import Extraction
from speechgmm.files import write_bytes
from speechgmm.scoring.enrolled import UNKNOWN
from speechgmm.scoring.gallery import Gallery
from speechgmm.scoring.identification import IdentificationConfig, identify
from speechgmm.scoring.recognition import check_decidable, score_tests

LEAST_SPEECH = 0.1
"""Share of a whole window that has to be speech for a window to have scores."""

MOST_DRAWN: Final = 20
"""Speakers that have a row in the picture."""

LONGEST_LABEL: Final = 24
"""Characters of a name that are shown beside its row."""

PICTURES: Final = (".png", ".svg", ".pdf")
"""Suffixes of pictures."""

_INK: Final = "#1c2023"
_STYLE: Final = {
    "font.size": 10.0,
    "font.sans-serif": ["DejaVu Sans"],  # it comes with matplotlib
    "text.parse_math": False,  # a name may contain dollars
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "speechgmm",  # identifiers would be random otherwise
}
_NO_METADATA: Final = {
    ".png": {"Software": None},
    ".svg": dict.fromkeys(("Creator", "Date", "Format", "Type")),
    ".pdf": dict.fromkeys(("Creator", "Producer", "CreationDate")),
}


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
        Who speaks: a name, `speechgmm.scoring.enrolled.UNKNOWN`, or None in windows with too little speech.
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


def draw_timeline(path: Path, timeline: Timeline, title: str) -> None:
    """Draw a timeline: a row for each speaker, colours for scores, and a bar under whoever speaks.

    Parameters
    ----------
    path : Path
        Where to, with a suffix in `PICTURES`; replaced if it exists.
    timeline : Timeline
        What to draw; of more than `MOST_DRAWN` speakers, those who speak longest or come nearest to it.
    title : str
        What was recorded.

    Raises
    ------
    GalleryError
        If the suffix is of no kind of picture.
    OSError
        If the picture cannot be written.
    """
    check_picture(path)
    shown = _shown(timeline)
    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # in a name
        has_unknown = UNKNOWN in timeline.answers
        n_rows = len(shown) + has_unknown
        figure = Figure(figsize=(10.0, 1.5 + 0.42 * max(n_rows, 3)), layout="constrained")
        axes = figure.subplots()
        cut = f"; {len(shown)} of {len(timeline.names)} speakers" if len(shown) < len(timeline.names) else ""
        axes.set_title(f"{title}{cut}; bars: who speaks")
        _draw_scores(axes, timeline, shown)
        labels = [timeline.names[number] for number in shown] + [UNKNOWN] * has_unknown
        _draw_answers(axes, timeline, labels)
        short = [name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…" for name in labels]
        axes.set_yticks(range(n_rows), short)
        axes.tick_params(axis="y", length=0)
        axes.set(ylim=(n_rows - 0.4, -0.6), xlim=(0, float(timeline.stops[-1])), xlabel="time, s")
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        buffer = io.BytesIO()
        suffix = path.suffix.lower()
        figure.savefig(buffer, format=suffix[1:], dpi=150, metadata=_NO_METADATA[suffix])
    write_bytes(path, buffer.getbuffer())


def check_picture(path: Path) -> None:
    """Refuse a file that is no picture by its name.

    Parameters
    ----------
    path : Path
        Where a picture is to be written.

    Raises
    ------
    GalleryError
        If its suffix is not in `PICTURES`.
    """
    if path.suffix.lower() not in PICTURES:
        raise GalleryError(f"{path}: suffix {path.suffix!r}; pictures are written to {', '.join(PICTURES)}")


def _pieces(gallery: Gallery, read: Extraction, window: float, n_windows: int) -> list[FloatArray]:
    """Cut the speech frames of a recording into windows, each frame where its middle lies."""
    front_end = gallery.front_end
    centres = front_end.first_centre_seconds + np.flatnonzero(read.speech) * front_end.shift_seconds
    window_of: IntArray = np.clip((centres / window).astype(np.intp), 0, n_windows - 1)
    return np.split(read.frames, np.searchsorted(window_of, np.arange(1, n_windows)))


def _shown(timeline: Timeline) -> list[int]:
    """Choose the speakers who have a row, in the order of their names."""
    seconds = timeline.seconds()
    highest = np.nanmax(timeline.scores, axis=0)
    order = sorted(
        range(len(timeline.names)), key=lambda number: (-seconds.get(timeline.names[number], 0.0), -highest[number])
    )
    return sorted(order[:MOST_DRAWN])


def _draw_scores(axes: Axes, timeline: Timeline, shown: Sequence[int]) -> None:
    """Draw the scores as colours, whose lightness alone tells them apart."""
    edges = np.append(timeline.starts, timeline.stops[-1])
    scores = timeline.scores[:, shown].T
    low, high = np.nanquantile(scores, 0.05), np.nanmax(scores)
    rows = np.arange(len(shown) + 1) - 0.5
    image = axes.pcolormesh(edges, rows, scores, cmap="cividis", vmin=low, vmax=max(high, low + 1e-6), rasterized=True)
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.colorbar(image, ax=axes, pad=0.01, fraction=0.04, extend="min").set_label(
        f"{timeline.quantity},\n{timeline.unit}"
    )


def _draw_answers(axes: Axes, timeline: Timeline, labels: Sequence[str]) -> None:
    """Draw a bar in the row of whoever speaks."""
    edges = np.append(timeline.starts, timeline.stops[-1])
    for row, label in enumerate(labels):
        changes = np.flatnonzero(np.diff([answer == label for answer in timeline.answers], prepend=False, append=False))
        spans = [(edges[first], edges[last] - edges[first]) for first, last in changes.reshape(-1, 2)]
        axes.broken_barh(spans, (row + 0.2, 0.3), facecolor="#d55e00", edgecolor="white", linewidth=0.4)
