"""Pictures of scores and of training: values -> Figure -> SVG.

A figure is built without a display and without global state, in the same style whatever the user's matplotlib is
set to, and the same values give the same bytes of SVG. There are two ways out: `save_svg` writes a file that stands
alone, on white, and `svg_text` gives an element to put into a page, where the neutral ink takes the colour of the
page's text, light or dark. The curves have mid-tone colours that people with colour-blindness can tell apart (after
Okabe and Ito 2008) and line styles that tell them apart without any colour.

`DET_CAPTION`, `HISTOGRAM_CAPTION` and `TRAINING_CAPTION` say in plain words how to read each of them.
"""

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import matplotlib
import matplotlib.style
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import LineStyleType
from scipy.special import ndtri

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.evaluation.metrics import PRESETS, detection_cost, eer, eer_threshold, error_rates
from speechgmm.files import replacing

DET_CAPTION: Final = (
    "Each curve shows, for every threshold, how many target trials are rejected (misses) and how many nontarget "
    "trials are accepted (false alarms); nearer to the lower left is better, and scores with normal distributions "
    "give a straight line. Circles mark the equal error rate, the other marks the minimum of each detection cost. "
    "A rate without any error is drawn as half an error, and whatever lies outside the frame on its edge."
)
HISTOGRAM_CAPTION: Final = (
    "How the scores of the trials are distributed; the bars of each kind add up to 100 %. The less the two overlap "
    "the better. The dashed line is the threshold at which misses and false alarms are most nearly equal."
)
TRAINING_CAPTION: Final = (
    "The log-likelihood of the training frames under the model that entered each iteration. It must not fall, and "
    "training may stop where it has become flat."
)

_COLOURS: Final = ("#1f82c0", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LINES: Final[tuple[LineStyleType, ...]] = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))
_MARKS: Final = dict(zip(PRESETS, ("D", "s", "^", "v"), strict=True))
_INK: Final = "#1c2023"  # replaced by the colour of the text in `svg_text`; used for nothing else
_WIDTH: Final = 4.6  # inches; the text stays readable when a phone shrinks this to its width
_LOWEST_RATE: Final = 1e-5  # no axis goes below 0.001 %
_TICKS: Final = (1e-5, 1e-4, 1e-3, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99)
_STYLE: Final = {
    "font.size": 9.5,
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica"],  # the first comes with matplotlib and is measured
    "text.parse_math": False,  # a name may contain dollars
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.linewidth": 0.6,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _INK,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "figure.constrained_layout.h_pad": 0.08,
    "svg.fonttype": "none",  # text stays text: it can be searched, and any script can be shown
    "svg.hashsalt": "speechgmm",  # identifiers would be random otherwise
}


def det_figure(lists: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]], presets: Sequence[str] = ()) -> Figure:
    """Draw detection error trade-off curves on normal-deviate axes.

    Parameters
    ----------
    lists : mapping from str to (array_like, array_like), at least one
        Target and nontarget scores by the name of the trial list; one curve each.
    presets : sequence of str, names in `speechgmm.evaluation.metrics.PRESETS`
        Detection costs whose minima are marked on every curve; a preset of several has several marks.

    Returns
    -------
    Figure
        Percent axes up to 60 %, or to 99 % if an EER is above 40 %, and down to what the trials can resolve: half
        an error, 1/(2N) for the longest list of N trials, but at least 0.001 % and at most 1 %. An error rate of
        0 or 1 is drawn half an error away from it; marks outside the frame are drawn on its edge. The middle of
        a name with more than 38 characters is left out of the legend.

    Raises
    ------
    ValueError
        If there are no lists, a side has no valid scores, or a preset is unknown.

    References
    ----------
    Martin, Doddington, Kamm, Ordowski, Przybocki (1997), Eurospeech, "The DET curve in assessment of detection
    task performance".
    """
    if not lists:
        raise ValueError("DET figure: no trial lists, expected at least one")
    for preset in presets:
        if preset not in PRESETS:
            raise ValueError(f"costs {preset!r}: expected one of {', '.join(PRESETS)}")
    rates = [eer(target, nontarget) for target, nontarget in lists.values()]
    sizes = np.array([[np.size(nontarget), np.size(target)] for target, nontarget in lists.values()])
    lowest = ndtri(np.clip(0.5 / sizes.max(axis=0), _LOWEST_RATE, 0.01))
    highest = ndtri(0.6 if max(rates) <= 0.4 else 0.99)
    with _house_style():
        # the legend has a row for each entry below the frame, so that it hides no curve
        figure = Figure(figsize=(_WIDTH, _WIDTH + 0.2 * (len(lists) + len(presets))), layout="constrained")
        axes = figure.add_subplot(box_aspect=1, xlim=(lowest[0], highest), ylim=(lowest[1], highest))
        _label_in_percent(axes.xaxis, "false alarms: nontarget trials accepted, %")
        _label_in_percent(axes.yaxis, "misses: target trials rejected, %")
        axes.axline((0.0, 0.0), slope=1.0, color=_INK, alpha=0.35, linewidth=0.6)
        handles = []
        for number, (scores, rate) in enumerate(zip(lists.values(), rates, strict=True)):
            style = _LineStyle(_COLOURS[number % len(_COLOURS)], _LINES[number % len(_LINES)])
            _draw_det_curve(axes, scores, rate, presets, style)
            handles.append(Line2D([], [], color=style.colour, linestyle=style.line, marker="o"))
        # the name comes last, because matplotlib before 3.10 leaves out what starts with an underscore
        labels = [f"EER {100 * rate:.2f} %, {_shorten(name)}" for name, rate in zip(lists, rates, strict=True)]
        for preset in presets:
            handles.append(Line2D([], [], color=_INK, linestyle="", marker=_MARKS[preset], markerfacecolor="none"))
            labels.append(f"minimum of DCF {preset}")
        figure.legend(handles, labels, loc="outside lower left", handlelength=3.2)
    return figure


def histogram_figure(target: npt.ArrayLike, nontarget: npt.ArrayLike) -> Figure:
    """Draw how target and nontarget scores are distributed, and the threshold of equal errors.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores. Infinite ones count in the threshold and in the percentages but have no bar; the label of the
        axis says how many they are.

    Returns
    -------
    Figure
        Two histograms over the same 60 bins from the lowest to the highest score, in percent of each side.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN.
    """
    threshold = eer_threshold(target, nontarget)
    sides = {"target": np.asarray(target, np.float64), "nontarget": np.asarray(nontarget, np.float64)}
    finite = {name: scores[np.isfinite(scores)] for name, scores in sides.items()}
    edges = _bin_edges(np.concatenate(list(finite.values())))
    infinite = [f"{n} {name}" for name, scores in sides.items() if (n := scores.size - finite[name].size)]
    with _house_style():
        figure = Figure(figsize=(_WIDTH, 0.72 * _WIDTH), layout="constrained")
        axes = figure.add_subplot(xlabel="score", ylabel="trials in each bin, %")
        if infinite:
            axes.set_xlabel(f"score ({' and '.join(infinite)} infinite, not shown)")
        for (name, scores), colour in zip(sides.items(), _COLOURS, strict=False):
            heights = 100.0 * np.histogram(finite[name], edges)[0] / scores.size
            axes.stairs(heights, edges, fill=True, color=colour, alpha=0.35)
            axes.stairs(heights, edges, color=colour, linewidth=1.2, label=name)
        if np.isfinite(threshold):
            label = f"EER threshold {threshold:.3g}"
            axes.axvline(threshold, color=_INK, linestyle="--", linewidth=1.0, label=label)
        figure.legend(loc="outside upper left", ncols=3, columnspacing=1.2)
    return figure


def training_figure(log_likelihood: npt.ArrayLike) -> Figure:
    """Draw how the log-likelihood grew during training.

    Parameters
    ----------
    log_likelihood : array_like, shape (I,), I >= 1, nats
        Log-likelihood per frame in each iteration, under the model that entered it.

    Returns
    -------
    Figure
        One curve over the iterations, counted from 1.

    Raises
    ------
    ValueError
        If the history is empty, is not one-dimensional or has values that are not finite.
    """
    history = np.asarray(log_likelihood, dtype=np.float64)
    if history.ndim != 1 or history.size == 0:
        raise ValueError(f"log-likelihood: shape {history.shape}, expected one value for each iteration")
    if not np.isfinite(history).all():
        iteration = np.argmin(np.isfinite(history))
        raise ValueError(f"log-likelihood {history[iteration]} in iteration {iteration + 1}: expected numbers")
    with _house_style():
        figure = Figure(figsize=(_WIDTH, 0.72 * _WIDTH), layout="constrained")
        axes = figure.add_subplot(xlabel="iteration", ylabel="log-likelihood per frame, nats")
        axes.plot(np.arange(1, history.size + 1), history, color=_COLOURS[0], marker="o", markersize=3.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.ticklabel_format(axis="y", useOffset=False)
    return figure


def svg_text(figure: Figure) -> str:
    """Render a figure as an SVG element for a page.

    Parameters
    ----------
    figure : Figure
        One of this module's.

    Returns
    -------
    str
        ``<svg ...>...</svg>`` on a transparent ground, its ink in the colour of the surrounding text
        (`currentColor`). The same figure gives the same text.
    """
    return _render(figure, "none").replace(_INK, "currentColor")


def save_svg(figure: Figure, path: Path) -> None:
    """Write a figure to an SVG file that stands alone: dark ink on white.

    Parameters
    ----------
    figure : Figure
        One of this module's.
    path : Path
        The file; an existing one is replaced. The same figure gives the same bytes.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(_render(figure, "white"), encoding="utf-8", newline="\n")


class _LineStyle(NamedTuple):
    """How one trial list is drawn."""

    colour: str
    line: LineStyleType


def _draw_det_curve(
    axes: Axes,
    scores: tuple[npt.ArrayLike, npt.ArrayLike],
    rate: float,
    presets: Sequence[str],
    style: _LineStyle,
) -> None:
    """Draw one list's curve, its EER (`rate`) and the minima of its detection costs."""
    target, nontarget = scores
    _, p_miss, p_fa = error_rates(target, nontarget)
    points = np.stack([p_fa, p_miss])
    half_errors = 0.5 / np.array([[np.size(nontarget)], [np.size(target)]])
    line = ndtri(np.clip(_bend_ties(points), half_errors, 1.0 - half_errors))
    axes.plot(*_thin(line), color=style.colour, linestyle=style.line)
    marks = [("o", style.colour, np.array([rate, rate]))]
    marks += [
        (_MARKS[preset], "none", points[:, np.argmin(detection_cost(p_miss, p_fa, costs))])
        for preset in presets
        for costs in PRESETS[preset]
    ]
    lowest, highest = np.transpose([axes.get_xlim(), axes.get_ylim()])
    for shape, filling, rates in marks:
        place = np.clip(ndtri(np.clip(rates, half_errors[:, 0], 1.0 - half_errors[:, 0])), lowest, highest)
        axes.plot(*place, marker=shape, color=style.colour, markerfacecolor=filling, clip_on=False, zorder=3)


def _bend_ties(points: Float64Array) -> Float64Array:
    """Add points on long slanted segments, which are straight between rates but not between normal deviates."""
    slanted = np.flatnonzero((np.abs(np.diff(points)) > 1e-3).all(axis=0))
    own = np.arange(points.shape[1], dtype=np.float64)
    between = (slanted[:, None] + np.arange(1, 16) / 16).ravel()
    positions = np.sort(np.concatenate([own, between]))
    return np.stack([np.interp(positions, own, rates) for rates in points])


def _thin(line: Float64Array) -> Float64Array:
    """Leave out points that would be drawn within a third of a point (1/216 inch) of their neighbours."""
    moves = (np.diff(np.round(150.0 * line)) != 0.0).any(axis=0)
    kept: BoolArray = np.append(True, moves) | np.append(moves, True)
    return line[:, kept]


def _shorten(name: str) -> str:
    """Leave out the middle of a name that would not fit into the width of the figure."""
    return name if len(name) <= 38 else f"{name[:24]}…{name[-13:]}"


def _bin_edges(scores: Float64Array) -> Float64Array:
    """Lay 60 equal bins over finite scores, or around them where they hardly differ."""
    lowest, highest = (scores.min(), scores.max()) if scores.size else (0.0, 0.0)
    size = max(1.0, abs(lowest), abs(highest))
    margin = 0.0 if highest - lowest > 1e-9 * size else 0.5 * size
    return np.linspace(lowest - margin, highest + margin, 61)


def _label_in_percent(axis: Axis, label: str) -> None:
    """Give an axis of normal deviates its ticks in percent and its name."""
    lowest, highest = axis.get_view_interval()
    rates = [rate for rate in _TICKS if lowest <= ndtri(rate) <= highest]
    axis.set_ticks(ndtri(rates), labels=[f"{100.0 * rate:g}" for rate in rates])
    axis.set_label_text(label)


def _render(figure: Figure, ground: str) -> str:
    """Turn a figure into an SVG element on a ground of this colour, without date or version."""
    buffer = io.StringIO()
    with _house_style(), warnings.catch_warnings():
        # the text stays text, so a script that our measuring font lacks is shown all the same
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", facecolor=ground, metadata=no_metadata)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


@contextmanager
def _house_style() -> Iterator[None]:
    """Set matplotlib to our style for a while, whatever the user's own settings are."""
    with matplotlib.style.context(["default", _STYLE]):
        yield
