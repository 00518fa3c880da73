"""Detection error trade-off plots."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.typing import LineStyleType
from scipy.special import ndtri

from speechgmm.arrays import Float64Array
from speechgmm.evaluation.bands import Band
from speechgmm.evaluation.costs import PRESETS, detection_cost
from speechgmm.evaluation.metrics import eer
from speechgmm.evaluation.operating_points import OperatingPoints, error_rates
from speechgmm.evaluation.plots.style import COLOURS, INK, LINES, PRESET_MARKS, WIDTH, plot_style, shorten, thin

_CAPTION: Final = (
    "Each curve shows, for every threshold, the share of target trials rejected (misses) over the share of nontarget "
    "trials accepted (false alarms). Nearer to the lower left is better; normally distributed scores give a straight "
    "line. Circles mark the equal error rate. A rate of zero is drawn as half an error, and marks outside the frame "
    "are drawn on its edge."
)
_MINIMA_CAPTION: Final = "Other marks are at the minimum of each detection cost."
_DECISIONS_CAPTION: Final = "Crosses mark the decision threshold."
_BANDS_CAPTION: Final = "A shaded band is the confidence interval of the miss rate, from resampled speakers."

_LOWEST_RATE: Final = 1e-5  # the axes end at 0.001 %
_TICKS: Final = (1e-5, 1e-4, 1e-3, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99)


def det_figure(
    lists: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
    presets: Sequence[str] = (),
    bands: Mapping[str, Band | None] | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> Figure:
    """Draw detection error trade-off curves on normal-deviate axes, one for each trial list.

    `lists` has target and nontarget scores by the name of the list. The minima of the preset detection costs are marked
    on every curve, several for a preset of several costs; `bands` are confidence bands from
    `speechgmm.evaluation.bands.det_band`; the errors at the decision `thresholds` of some lists are marked too.

    Axes are in percent, up to 60 %, or to 99 % if an EER is above 40 %, and down to what the trials can resolve: half
    an error, 1/(2N) for the longest list of N trials, but between 0.001 % and 1 %. An error rate of 0 or 1 is drawn
    half an error away from it; marks outside the frame are drawn on its edge. The legend leaves out the middle of names
    with more than 38 characters. ValueError if there are no lists, a kind of trial has no valid scores, a preset is
    unknown, or a band or threshold is of an unknown list.

    References
    ----------
    Martin, Doddington, Kamm, Ordowski, Przybocki (1997), Eurospeech, "The DET curve in assessment of detection
    task performance".
    """
    drawn_bands = {name: band for name, band in (bands or {}).items() if band is not None}
    decided = thresholds or {}
    _check(lists, presets, {*drawn_bands, *decided})
    rates = [eer(target, nontarget) for target, nontarget in lists.values()]
    sizes = np.array([[np.size(nontarget), np.size(target)] for target, nontarget in lists.values()])
    lowest = ndtri(np.clip(0.5 / sizes.max(axis=0), _LOWEST_RATE, 0.01))
    highest = ndtri(0.6 if max(rates) <= 0.4 else 0.99)
    with plot_style():
        # the legend has a row for each entry below the frame, so that it hides no curve
        n_rows = len(lists) + len(presets) + bool(decided) + len({band.confidence for band in drawn_bands.values()})
        figure = Figure(figsize=(WIDTH, WIDTH + 0.2 * n_rows), layout="constrained")
        axes = figure.add_subplot(box_aspect=1, xlim=(lowest[0], highest), ylim=(lowest[1], highest))
        _label_in_percent(axes.xaxis, "false alarms: nontarget trials accepted, %")
        _label_in_percent(axes.yaxis, "misses: target trials rejected, %")
        axes.axline((0.0, 0.0), slope=1.0, color=INK, alpha=0.35, linewidth=0.6)
        handles: list[Line2D | Patch] = []
        for number, ((name, scores), rate) in enumerate(zip(lists.items(), rates, strict=True)):
            curve = _Curve.from_scores(*scores, COLOURS[number % len(COLOURS)], LINES[number % len(LINES)])
            _draw_curve(axes, curve, drawn_bands.get(name))
            _mark(axes, curve, "o", curve.colour, np.array([rate, rate]))
            _mark_minima(axes, curve, presets)
            if name in decided:
                _mark(axes, curve, "X", curve.colour, _errors(*scores, decided[name]))
            handles.append(Line2D([], [], color=curve.colour, linestyle=curve.line, marker="o"))
        # the name comes last, because matplotlib before 3.10 leaves out labels that start with an underscore
        labels = [f"EER {100 * rate:.2f} %, {shorten(name)}" for name, rate in zip(lists, rates, strict=True)]
        for preset in presets:
            handles.append(_handle(PRESET_MARKS[preset], "none"))
            labels.append(f"minimum of DCF {preset}")
        if decided:
            handles.append(_handle("X", INK))
            labels.append("at the decision threshold")
        for confidence in sorted({band.confidence for band in drawn_bands.values()}):
            handles.append(Patch(color=INK, alpha=0.2, linewidth=0))
            labels.append(f"{100 * confidence:g} % band, from resampled speakers")
        figure.legend(handles, labels, loc="outside lower left", handlelength=3.2)
    return figure


def det_caption(
    presets: Sequence[str] = (),
    bands: Mapping[str, Band | None] | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> str:
    """Explain how to read the curves, marks and bands of `det_figure`, which takes the same arguments."""
    shown = {
        _MINIMA_CAPTION: bool(presets),
        _DECISIONS_CAPTION: bool(thresholds),
        _BANDS_CAPTION: any((bands or {}).values()),
    }
    return " ".join([_CAPTION, *(text for text, is_shown in shown.items() if is_shown)])


class _Curve(NamedTuple):
    """The DET curve of one trial list, and how it is drawn."""

    points: OperatingPoints
    half_errors: Float64Array  # (2, 1): of false alarms and of misses
    colour: str
    line: LineStyleType

    @classmethod
    def from_scores(cls, target: npt.ArrayLike, nontarget: npt.ArrayLike, colour: str, line: LineStyleType) -> "_Curve":
        """Compute the points of a list's curve."""
        half_errors = 0.5 / np.array([[np.size(nontarget)], [np.size(target)]])
        return cls(error_rates(target, nontarget), half_errors, colour, line)

    def deviates(self, rates: Float64Array) -> Float64Array:
        """Convert false-alarm and miss rates, (2, n), to normal deviates; a rate of zero becomes half an error."""
        deviates: Float64Array = ndtri(np.clip(rates, self.half_errors, 1.0 - self.half_errors))
        return deviates


def _check(lists: Mapping[str, object], presets: Sequence[str], named: set[str]) -> None:
    """Refuse values that cannot be drawn."""
    if not lists:
        raise ValueError("DET figure: no trial lists, expected at least one")
    for preset in presets:
        if preset not in PRESETS:
            raise ValueError(f"costs {preset!r}: expected one of {', '.join(PRESETS)}")
    for unknown in sorted(named - set(lists)):
        raise ValueError(f"band or threshold of {unknown!r}: expected one of the lists {', '.join(lists)}")


def _draw_curve(axes: Axes, curve: _Curve, band: Band | None) -> None:
    """Draw a curve over its band."""
    if band is not None:
        low, high = (curve.deviates(np.stack([band.p_fa, edge])) for edge in (band.low, band.high))
        axes.fill_between(low[0], low[1], high[1], color=curve.colour, alpha=0.2, linewidth=0)
    line = curve.deviates(_bend_ties(np.stack([curve.points.p_fa, curve.points.p_miss])))
    axes.plot(*thin(line, (1 / 150, 1 / 150)), color=curve.colour, linestyle=curve.line)


def _mark_minima(axes: Axes, curve: _Curve, presets: Sequence[str]) -> None:
    """Mark the minima of detection costs."""
    _, p_miss, p_fa = curve.points
    for preset in presets:
        for costs in PRESETS[preset]:
            best = np.argmin(detection_cost(p_miss, p_fa, costs))
            _mark(axes, curve, PRESET_MARKS[preset], "none", np.array([p_fa[best], p_miss[best]]))


def _mark(axes: Axes, curve: _Curve, shape: str, filling: str, rates: Float64Array) -> None:
    """Mark false-alarm and miss rates, (2,), inside the frame or on its edge."""
    lowest, highest = np.transpose([axes.get_xlim(), axes.get_ylim()])
    place = np.clip(curve.deviates(rates[:, None])[:, 0], lowest, highest)
    axes.plot(*place, marker=shape, color=curve.colour, markerfacecolor=filling, clip_on=False, zorder=3)


def _errors(target: npt.ArrayLike, nontarget: npt.ArrayLike, threshold: float) -> Float64Array:
    """Return the false-alarm and miss rates at a threshold, (2,)."""
    return np.array([np.mean(np.asarray(nontarget) >= threshold), np.mean(np.asarray(target) < threshold)])


def _handle(shape: str, filling: str) -> Line2D:
    """Return a mark for the legend."""
    return Line2D([], [], color=INK, linestyle="", marker=shape, markerfacecolor=filling)


def _bend_ties(points: Float64Array) -> Float64Array:
    """Add points on long slanted segments, which are straight between rates but not between normal deviates."""
    slanted = np.flatnonzero((np.abs(np.diff(points)) > 1e-3).all(axis=0))
    given = np.arange(points.shape[1], dtype=np.float64)
    between = (slanted[:, None] + np.arange(1, 16) / 16).ravel()
    positions = np.sort(np.concatenate([given, between]))
    return np.stack([np.interp(positions, given, rates) for rates in points])


def _label_in_percent(axis: Axis, label: str) -> None:
    """Set the label and percent ticks of an axis of normal deviates."""
    lowest, highest = axis.get_view_interval()
    rates = [rate for rate in _TICKS if lowest <= ndtri(rate) <= highest]
    axis.set_ticks(ndtri(rates), labels=[f"{100.0 * rate:g}" for rate in rates])
    axis.set_label_text(label)
