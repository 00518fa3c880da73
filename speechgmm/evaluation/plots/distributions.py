"""How scores are distributed."""

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
    "How the scores of the trials are distributed; the bars of each kind add up to 100 %. The less the two overlap "
    "the better. The dashed line is the threshold at which misses and false alarms are most nearly equal, "
    "the solid one, if there is one, that of the decisions that were made."
)
TIPPETT_CAPTION: Final = (
    "How many of the trials have a log-likelihood ratio of at least that much. The curve of the target trials should "
    "stay high far to the right, that of the nontarget trials should fall far to the left. What is left of 0 under "
    "target trials, or right of 0 under nontarget trials, speaks for the wrong answer, and the more so the farther "
    "it goes. Before calibration the place of 0 means nothing."
)

_FARTHEST: Final = 1e300  # beyond it the length of an axis may be no number


def histogram_figure(target: npt.ArrayLike, nontarget: npt.ArrayLike, threshold: float | None = None) -> Figure:
    """Draw how target and nontarget scores are distributed, the threshold of equal errors, and that of the decisions.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores. Infinite ones count in the thresholds and in the percentages but have no bar; the label of the
        axis says how many they are.
    threshold : float, unit of the scores, optional
        From which score on trials were accepted.

    Returns
    -------
    Figure
        Two histograms over the same 60 bins from the lowest to the highest score, in percent of each side.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN.
    """
    of_equal_errors = eer_threshold(target, nontarget)
    sides = {"target": np.asarray(target, np.float64), "nontarget": np.asarray(nontarget, np.float64)}
    finite = {name: scores[has_place(scores)] for name, scores in sides.items()}
    edges = bin_edges(np.concatenate(list(finite.values())))
    with plot_style():
        figure = Figure(figsize=(WIDTH, 0.72 * WIDTH), layout="constrained")
        axes = figure.add_subplot(xlabel=score_label("score", target, nontarget), ylabel="trials in each bin, %")
        for (name, scores), colour, line in zip(sides.items(), COLOURS, ("-", "--"), strict=False):
            heights = 100.0 * np.histogram(finite[name], edges)[0] / scores.size
            axes.stairs(heights, edges, fill=True, color=colour, alpha=0.35)
            axes.stairs(heights, edges, color=colour, linestyle=line, linewidth=1.2, label=name)
        if has_place(of_equal_errors):
            label = f"EER threshold {of_equal_errors:.3g}"
            axes.axvline(of_equal_errors, color=INK, linestyle="--", linewidth=1.0, label=label)
        if threshold is not None and has_place(threshold):
            axes.axvline(threshold, color=INK, linewidth=1.0, label=f"threshold of the decisions {threshold:.3g}")
        figure.legend(loc="outside upper left", ncols=3 if threshold is None else 2, columnspacing=1.2)
    return figure


def tippett_figure(
    target: npt.ArrayLike, nontarget: npt.ArrayLike, raw: tuple[npt.ArrayLike, npt.ArrayLike] | None = None
) -> Figure:
    """Draw a Tippett plot: the share of the trials whose log-likelihood ratio is at least x.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,), nats
        Log-likelihood ratios. Infinite ones count in the shares, but their place is not shown; the label of the axis
        says how many they are.
    raw : (array_like, array_like), optional
        The target and nontarget scores before calibration, drawn beside.

    Returns
    -------
    Figure
        For each kind of trial a step curve that falls from 100 % to 0; the vertical line is at 0 nats.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN.

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
        figure.axes[0].set_ylabel("trials with at least this, %")
        figure.axes[-1].axvline(0.0, color=INK, linestyle=":", linewidth=1.0)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def has_place(scores: npt.ArrayLike) -> BoolArray:
    """Tell which scores have a place on an axis: not infinite ones, and as such count those beyond 1e300."""
    return np.asarray(np.abs(scores) <= _FARTHEST)


def score_label(quantity: str, target: npt.ArrayLike, nontarget: npt.ArrayLike) -> str:
    """Name an axis of scores, and say how many are infinite.

    Parameters
    ----------
    quantity : str
        What is on the axis.
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores.

    Returns
    -------
    str
        The name alone if all have a place.
    """
    sides = {"target": np.asarray(target), "nontarget": np.asarray(nontarget)}
    infinite = [f"{n} {name}" for name, scores in sides.items() if (n := np.count_nonzero(~has_place(scores)))]
    return f"{quantity} ({' and '.join(infinite)} infinite, not shown)" if infinite else quantity


def bin_edges(scores: Float64Array) -> Float64Array:
    """Lay 60 equal bins over scores, or around them where they hardly differ.

    Parameters
    ----------
    scores : np.ndarray, shape (n,), finite

    Returns
    -------
    np.ndarray, shape (61,)
        Their edges, from the lowest score to the highest.
    """
    lowest, highest = (scores.min(), scores.max()) if scores.size else (0.0, 0.0)
    size = max(1.0, abs(lowest), abs(highest))
    margin = 0.0 if highest - lowest > 1e-9 * size else 0.5 * size
    return np.linspace(lowest - margin, highest + margin, 61)


def _draw_shares(axes: Axes, target: npt.ArrayLike, nontarget: npt.ArrayLike) -> None:
    """Draw how many trials of each kind reach each score."""
    points = error_rates(target, nontarget)
    places = np.flatnonzero(has_place(points.thresholds))
    if places.size == 0:
        return
    # after the last finite score, what reaches +inf is left
    scores = np.append(points.thresholds[places], points.thresholds[places[-1]])
    reached = np.append(places, places[-1] + 1)
    cell = float(np.ptp(scores)) / 500 or 1.0
    shares = {"target": 1.0 - points.p_miss, "nontarget": points.p_fa}
    for (name, share), colour, line in zip(shares.items(), COLOURS, ("-", "--"), strict=False):
        steps = thin(np.stack([scores, 100.0 * share[reached]]), (cell, 0.25))
        axes.plot(*steps, color=colour, linestyle=line, drawstyle="steps-pre", label=name)
