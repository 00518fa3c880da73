"""A plot of a timeline: the waveform, and below it each speaker's scores and answers.

The recording is read in blocks, and only the extremes of each stretch of it are kept.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from speechgmm.arrays import Float32Array
from speechgmm.audio.reading import Channel, audio_blocks
from speechgmm.errors import GalleryError
from speechgmm.evaluation.plots.style import COLOURS, INK, plot_style, rendered
from speechgmm.files import write_bytes
from speechgmm.gallery.speakers import UNKNOWN
from speechgmm.gallery.timeline import Timeline

PLOT_SUFFIXES: Final = (".png", ".svg", ".pdf")
"""Suffixes of the files that a plot can be written to."""

MOST_DRAWN: Final = 20
"""Largest number of speakers that have a row in the plot."""

LONGEST_LABEL: Final = 24
"""Largest number of characters of a name that are shown beside its row."""

COLUMNS: Final = 2000
"""Largest number of stretches of the waveform that are drawn."""


class Envelope(NamedTuple):
    """The range of a waveform in C stretches of equal length."""

    lows: Float32Array  # (C,) lowest sample of each stretch, full scale at 1
    highs: Float32Array  # (C,) highest sample of each stretch
    seconds: float  # length of the whole


def read_envelope(path: Path, seconds: float, *, channel: Channel = None) -> Envelope:
    """Read the range of a waveform that is `seconds` long, in bounded memory.

    It has `COLUMNS` stretches, or one for each sample if these are fewer.
    """
    blocks, rate = audio_blocks(path, channel=channel)
    n_samples = max(1, round(seconds * rate))
    n_columns = min(COLUMNS, n_samples)
    lows, highs = np.full(n_columns, np.inf, np.float32), np.full(n_columns, -np.inf, np.float32)
    offset = 0
    for block in blocks:
        columns = np.minimum((offset + np.arange(len(block))) * n_columns // n_samples, n_columns - 1)
        starts = np.flatnonzero(np.diff(columns, prepend=-1))
        touched = columns[starts]
        lows[touched] = np.minimum(lows[touched], np.minimum.reduceat(block, starts))
        highs[touched] = np.maximum(highs[touched], np.maximum.reduceat(block, starts))
        offset += len(block)
    return Envelope(lows, highs, seconds)


def draw_timeline(path: Path, timeline: Timeline, waveform: Envelope, title: str) -> None:
    """Write the plot of a timeline to a file with a suffix in `PLOT_SUFFIXES`."""
    check_plot_file(path)
    write_bytes(path, rendered(timeline_figure(timeline, waveform, title), path.suffix.lower()[1:], "white"))


def timeline_figure(timeline: Timeline, waveform: Envelope, title: str) -> Figure:
    """Plot the waveform and, below it, a row for each speaker with colours for scores and a bar for answers.

    Of more than `MOST_DRAWN` speakers, those are shown who speak longest or come nearest to it.
    """
    shown = _shown(timeline)
    labels = [timeline.names[number] for number in shown] + [UNKNOWN] * (UNKNOWN in timeline.answers)
    heights = 1.2, 0.42 * max(len(labels), 3)  # inches
    with plot_style():
        figure = Figure(figsize=(10.0, 1.5 + sum(heights)), layout="constrained")
        above, below = figure.subplots(2, sharex=True, height_ratios=heights)
        cut = f"; {len(shown)} of {len(timeline.names)} speakers" if len(shown) < len(timeline.names) else ""
        above.set_title(f"{title}{cut}; bars: who speaks", loc="left", fontsize="medium")
        _draw_waveform(above, waveform)
        _draw_scores(below, timeline, shown)
        _draw_answers(below, timeline, labels)
        short = [name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…" for name in labels]
        below.set_yticks(range(len(labels)), short)
        below.tick_params(axis="y", length=0)
        below.set(ylim=(len(labels) - 0.4, -0.6), xlim=(0, float(timeline.stops[-1])), xlabel="time, s")
        below.grid(visible=False)
        below.spines["left"].set_visible(False)
    return figure


def check_plot_file(path: Path) -> None:
    """Refuse a file whose suffix is not in `PLOT_SUFFIXES`."""
    if path.suffix.lower() not in PLOT_SUFFIXES:
        raise GalleryError(f"{path}: suffix {path.suffix!r}; plots are written to {', '.join(PLOT_SUFFIXES)}")


def _shown(timeline: Timeline) -> list[int]:
    """Choose the speakers who have a row, as positions in the order of their names."""
    seconds = timeline.seconds()
    highest = np.nanmax(timeline.scores, axis=0)
    order = sorted(
        range(len(timeline.names)), key=lambda number: (-seconds.get(timeline.names[number], 0.0), -highest[number])
    )
    return sorted(order[:MOST_DRAWN])


def _draw_waveform(axes: Axes, waveform: Envelope) -> None:
    """Draw the area between the extremes."""
    edges = np.linspace(0.0, waveform.seconds, len(waveform.lows) + 1)
    axes.stairs(waveform.highs, edges, baseline=waveform.lows, fill=True, color=INK, alpha=0.75, linewidth=0.4)
    peak = 1.05 * float(max(waveform.highs.max(), -waveform.lows.min())) or 1.0
    axes.set(ylim=(-peak, peak), ylabel="amplitude\n(full scale: 1)")


def _draw_scores(axes: Axes, timeline: Timeline, shown: Sequence[int]) -> None:
    """Draw the scores as colours that differ by their lightness alone."""
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
    """Draw bars in the rows of the answers, on a white strip."""
    edges = np.append(timeline.starts, timeline.stops[-1])
    for row, label in enumerate(labels):
        changes = np.flatnonzero(np.diff([answer == label for answer in timeline.answers], prepend=False, append=False))
        spans = [(edges[first], edges[last] - edges[first]) for first, last in changes.reshape(-1, 2)]
        axes.axhspan(row + 0.2, row + 0.5, color="white", linewidth=0)
        axes.broken_barh(spans, (row + 0.23, 0.24), color=COLOURS[1], linewidth=0)
