"""A plot of who speaks when: the waveform, and below it a row with the segments of each speaker.

The recording is read in blocks, and only the extremes of each stretch of it are kept.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from speechgmm.arrays import Float32Array
from speechgmm.audio.reading import Channel, audio_blocks
from speechgmm.errors import GalleryError
from speechgmm.evaluation.plots.style import COLOURS, INK, plot_style, rendered
from speechgmm.files import write_bytes
from speechgmm.gallery.segments import Segment, clock, seconds_by_speaker
from speechgmm.gallery.speakers import UNKNOWN

PLOT_SUFFIXES: Final = (".png", ".svg", ".pdf")
"""Suffixes of the files that a plot can be written to."""

MOST_DRAWN: Final = 20
"""Largest number of speakers that have a row in the plot."""

LONGEST_LABEL: Final = 24
"""Largest number of characters of a name that are shown beside its row."""

COLUMNS: Final = 2000
"""Largest number of stretches of the waveform that are drawn."""

NARROWEST: Final = 1 / 1000
"""Least width of a bar, as a share of the plot's: shorter segments of long recordings stay visible."""

STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800)
"""Seconds between marks on the axis of time."""

MOST_MARKS: Final = 9
"""Largest number of marks on the axis of time, as far as `STEPS` reach."""


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


def draw_timeline(
    path: Path, segments: Sequence[Segment], names: Sequence[str], waveform: Envelope, title: str
) -> None:
    """Write the plot of segments to a file with a suffix in `PLOT_SUFFIXES`; `names` are of all speakers."""
    check_plot_file(path)
    figure = timeline_figure(segments, names, waveform, title)
    write_bytes(path, rendered(figure, path.suffix.lower()[1:], "white"))


def timeline_figure(segments: Sequence[Segment], names: Sequence[str], waveform: Envelope, title: str) -> Figure:
    """Plot the waveform and, below it, a row for each speaker with a bar for each segment, and the speaker's time.

    Of more than `MOST_DRAWN` speakers, those are shown who speak longest.
    """
    labels = rows_of(segments, names)
    totals = seconds_by_speaker(segments)
    heights = 1.0, 0.34 * max(len(labels), 3)  # inches
    with plot_style():
        figure = Figure(figsize=(10.0, 1.3 + sum(heights)), layout="constrained")
        above, below = figure.subplots(2, sharex=True, height_ratios=heights)
        n_speakers = len({*names, *labels} - {UNKNOWN})
        n_shown = len(labels) - (UNKNOWN in labels)
        cut = f"; {n_shown} of {n_speakers} speakers" if n_shown < n_speakers else ""
        above.set_title(f"{title}{cut}", loc="left", fontsize="medium")
        _draw_waveform(above, waveform)
        for row, label in enumerate(labels):
            _draw_segments(below, row, [each for each in segments if each.speaker == label], waveform.seconds)
        short = [name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…" for name in labels]
        below.set_yticks(range(len(labels)), short)
        times = below.secondary_yaxis("right")
        times.set_yticks(range(len(labels)), [clock(totals.get(label, 0.0)) for label in labels])
        for axis in (below, times):
            axis.tick_params(axis="y", length=0)
        times.spines["right"].set_visible(False)
        below.set(ylim=(max(len(labels), 1) - 0.4, -0.6), xlim=(0, waveform.seconds), xlabel="time, h:mm:ss")
        below.grid(visible=False, axis="y")
        below.spines["left"].set_visible(False)
        below.xaxis.set_major_locator(MultipleLocator(_step(waveform.seconds)))
        below.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(seconds)))
    return figure


def rows_of(segments: Sequence[Segment], names: Sequence[str]) -> list[str]:
    """Choose the speakers who have a row, in the order of `names`; those who are not there, and `UNKNOWN`, follow."""
    totals = seconds_by_speaker(segments)
    known = [*names, *sorted(totals.keys() - {*names, UNKNOWN})]
    longest = sorted(known, key=lambda name: -totals.get(name, 0.0))[:MOST_DRAWN]
    return [name for name in known if name in longest] + [UNKNOWN] * (UNKNOWN in totals)


def check_plot_file(path: Path) -> None:
    """Refuse a file whose suffix is not in `PLOT_SUFFIXES`."""
    if path.suffix.lower() not in PLOT_SUFFIXES:
        raise GalleryError(f"{path}: suffix {path.suffix!r}; plots are written to {', '.join(PLOT_SUFFIXES)}")


def _draw_waveform(axes: Axes, waveform: Envelope) -> None:
    """Draw the area between the extremes."""
    edges = np.linspace(0.0, waveform.seconds, len(waveform.lows) + 1)
    axes.stairs(waveform.highs, edges, baseline=waveform.lows, fill=True, color=INK, alpha=0.75, linewidth=0.4)
    peak = 1.05 * float(max(waveform.highs.max(), -waveform.lows.min())) or 1.0
    axes.set(ylim=(-peak, peak), ylabel="amplitude\n(full scale: 1)")


def _draw_segments(axes: Axes, row: int, segments: Sequence[Segment], seconds: float) -> None:
    """Draw the bars of one speaker on a pale strip; an unknown speaker's are grey."""
    unknown = bool(segments) and segments[0].speaker == UNKNOWN
    colour = INK if unknown else COLOURS[row % len(COLOURS)]
    spans = [(each.start, max(each.stop - each.start, NARROWEST * seconds)) for each in segments]
    axes.axhspan(row - 0.36, row + 0.36, color=INK, alpha=0.06, linewidth=0)
    axes.broken_barh(spans, (row - 0.36, 0.72), color=colour, alpha=0.55 if unknown else 1.0, linewidth=0)


def _step(seconds: float) -> int:
    """Choose the seconds between two marks on the axis of time."""
    return next((step for step in STEPS if seconds <= step * MOST_MARKS), STEPS[-1])
