"""Plots of the distribution of scores."""

from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.evaluation.metrics import eer_threshold
from speechgmm.evaluation.operating_points import error_rates
from speechgmm.evaluation.plots.style import COLOURS, INK, WIDTH, plot_style, thin

HISTOGRAM_CAPTION: Final = (
    "Distribution of the scores; the bars of each kind of trial add up to 100 %. The less the two overlap, the better. "
    "The dashed line is the threshold where miss rate and false-alarm rate are most nearly equal; a solid line is the "
    "decision threshold."
)
TIPPETT_CAPTION: Final = (
    "Share of trials with at least a given log-likelihood ratio. The curve of the target trials should stay high far "
    "to the right, that of the nontarget trials should fall far to the left. Target trials left of 0 and nontarget "
    "trials right of 0 have misleading ratios, the more so the farther from 0. Before calibration, 0 has no meaning."
)

_FARTHEST: Final = 1e300  # beyond it the length of an axis may overflow


def histogram_figure(target: npt.ArrayLike, nontarget: npt.ArrayLike, threshold: float | None = None) -> Figure:
    """Draw histograms of target and nontarget scores, the EER threshold, and the decision threshold if there is one.

    Both histograms have the same 60 bins from the lowest to the highest score, in percent of each kind. Infinite scores
    count in the thresholds and percentages but have no bar; the axis label has their number. ValueError if a kind of
    trial has no scores or contains NaN.
    """
    equal_errors = eer_threshold(target, nontarget)
    sides = {"target": np.asarray(target, np.float64), "nontarget": np.asarray(nontarget, np.float64)}
    finite = {name: scores[fits_axis(scores)] for name, scores in sides.items()}
    edges = bin_edges(np.concatenate(list(finite.values())))
    with plot_style():
        figure = Figure(figsize=(WIDTH, 0.72 * WIDTH), layout="constrained")
        axes = figure.add_subplot(xlabel=score_label("score", target, nontarget), ylabel="trials in each bin, %")
        for (name, scores), colour, line in zip(sides.items(), COLOURS, ("-", "--"), strict=False):
            heights = 100.0 * np.histogram(finite[name], edges)[0] / scores.size
            axes.stairs(heights, edges, fill=True, color=colour, alpha=0.35)
            axes.stairs(heights, edges, color=colour, linestyle=line, linewidth=1.2, label=name)
        if fits_axis(equal_errors):
            label = f"EER threshold {equal_errors:.3g}"
            axes.axvline(equal_errors, color=INK, linestyle="--", linewidth=1.0, label=label)
        if threshold is not None and fits_axis(threshold):
            axes.axvline(threshold, color=INK, linewidth=1.0, label=f"decision threshold {threshold:.3g}")
        figure.legend(loc="outside upper left", ncols=3 if threshold is None else 2, columnspacing=1.2)
    return figure


def tippett_figure(
    target: npt.ArrayLike, nontarget: npt.ArrayLike, raw: tuple[npt.ArrayLike, npt.ArrayLike] | None = None
) -> Figure:
    """Draw a Tippett plot: the share of the trials whose log-likelihood ratio, in nats, is at least x.

    For each kind of trial a step curve that falls from 100 % to 0; the vertical line is at 0 nats. `raw`, the target
    and nontarget scores before calibration, are drawn in a panel of their own. Infinite ratios count in the shares but
    are not shown; the axis label has their number. ValueError if a kind of trial has no scores or contains NaN.

    References
    ----------
    Meuwly, Drygajlo (2001), Odyssey, "Forensic speaker recognition based on a Bayesian framework and Gaussian mixture
    modelling (GMM)".
    """
    panels = [("log-likelihood ratio, nats", (target, nontarget))]
    if raw is not None:
        panels.insert(0, ("score before calibration", raw))
    with plot_style():
        figure = Figure(figsize=(WIDTH, 0.72 * WIDTH), layout="constrained")
        for axes, (name, sides) in zip(
            figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True
        ):
            _draw_shares(axes, *sides)
            axes.set(xlabel=score_label(name, *sides), ylim=(-1, 101))
        figure.axes[0].set_ylabel("trials with at least this value, %")
        figure.axes[-1].axvline(0.0, color=INK, linestyle=":", linewidth=1.0)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def fits_axis(scores: npt.ArrayLike) -> BoolArray:
    """Return which scores fit on an axis: neither infinite nor beyond 1e300."""
    return np.asarray(np.abs(scores) <= _FARTHEST)


def score_label(quantity: str, target: npt.ArrayLike, nontarget: npt.ArrayLike) -> str:
    """Return the label of an axis of scores, with the number of infinite scores, if any."""
    sides = {"target": np.asarray(target), "nontarget": np.asarray(nontarget)}
    infinite = [f"{n} {name}" for name, scores in sides.items() if (n := np.count_nonzero(~fits_axis(scores)))]
    return f"{quantity} ({' and '.join(infinite)} infinite, not shown)" if infinite else quantity


def bin_edges(scores: Float64Array) -> Float64Array:
    """Return the edges (61,) of 60 equal bins over finite scores, or around scores that hardly differ."""
    lowest, highest = (scores.min(), scores.max()) if scores.size else (0.0, 0.0)
    size = max(1.0, abs(lowest), abs(highest))
    margin = 0.0 if highest - lowest > 1e-9 * size else 0.5 * size
    return np.linspace(lowest - margin, highest + margin, 61)


def _draw_shares(axes: Axes, target: npt.ArrayLike, nontarget: npt.ArrayLike) -> None:
    """Draw the share of trials of each kind that reach each score."""
    points = error_rates(target, nontarget)
    places = np.flatnonzero(fits_axis(points.thresholds))
    if places.size == 0:
        return
    # after the last finite score, only scores of +inf remain
    scores = np.append(points.thresholds[places], points.thresholds[places[-1]])
    reached = np.append(places, places[-1] + 1)
    cell = float(np.ptp(scores)) / 500 or 1.0
    shares = {"target": 1.0 - points.p_miss, "nontarget": points.p_fa}
    for (name, share), colour, line in zip(shares.items(), COLOURS, ("-", "--"), strict=False):
        steps = thin(np.stack([scores, 100.0 * share[reached]]), (cell, 0.25))
        axes.plot(*steps, color=colour, linestyle=line, drawstyle="steps-pre", label=name)
