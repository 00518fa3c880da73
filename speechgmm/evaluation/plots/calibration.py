"""Plots of calibration: Bayes error and reliability of log-likelihood ratios."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatter
from scipy.special import expit

from speechgmm.arrays import Float64Array
from speechgmm.evaluation.costs import PRESETS, Costs, bayes_threshold, detection_cost
from speechgmm.evaluation.operating_points import OperatingPoints, convex_hull, error_rates
from speechgmm.evaluation.plots.distributions import bin_edges, fits_axis, score_label
from speechgmm.evaluation.plots.style import COLOURS, INK, PRESET_MARKS, WIDTH, plot_style

BAYES_ERROR_CAPTION: Final = (
    "Normalised detection cost over the prior of a target trial: when deciding at the Bayes threshold (actual), and at "
    "the best threshold for these trials (minimum). The gap between the two is the loss due to calibration; 1 is the "
    "cost of deciding without scores, and ratios above it do harm. Both errors have equal costs; other costs shift the "
    "prior, and marks show the presets. At the far left and right a curve depends on few errors."
)
RELIABILITY_CAPTION: Final = (
    "Recalibrated over given log-likelihood ratios. Recalibration is by pooling adjacent violators (PAV) on these "
    "trials. On the diagonal the ratios are well calibrated; where the curve is flatter, they are overconfident, and "
    "where it is above the diagonal, too low. Beyond the last trial of a kind the map is infinite and follows the edge "
    "of the frame. Below: number of trials; where they are few, the curve above is rough."
)

_PRIOR_LOG_ODDS: Final = np.linspace(-8.0, 8.0, 321)
_MOST_COSTLY: Final = 2.0  # end of the cost axis


def bayes_error_figure(target: npt.ArrayLike, nontarget: npt.ArrayLike, presets: Sequence[str] = ()) -> Figure:
    """Draw the normalised detection cost of log-likelihood ratios over the prior, marking the presets.

    Actual and minimum cost, and the cost 1 of deciding without scores, for prior log-odds from -8 to 8; costs up to 2.
    A preset is marked at the prior that is equivalent to it with equal costs. ValueError if a kind of trial has no
    scores or contains NaN, or a preset is unknown.

    References
    ----------
    Brümmer, du Preez (2006), Computer Speech and Language 20, "Application-independent evaluation of speaker
    detection": the APE plot. Brümmer, de Villiers (2011), "The BOSARIS toolkit: theory, algorithms and code for
    surviving the new DCF": its normalised form.
    """
    for preset in presets:
        if preset not in PRESETS:
            raise ValueError(f"costs {preset!r}: expected one of {', '.join(PRESETS)}")
    points = error_rates(target, nontarget)
    hull = convex_hull(points)
    actual, minimum = _costs(points, hull, _PRIOR_LOG_ODDS)
    with plot_style():
        figure = Figure(figsize=(WIDTH, 0.8 * WIDTH), layout="constrained")
        axes = figure.add_subplot(
            xlim=(_PRIOR_LOG_ODDS[0], _PRIOR_LOG_ODDS[-1]),
            ylim=(-0.01, min(_MOST_COSTLY, max(1.1, 1.05 * float(actual.max())))),
            xlabel="prior log-odds of a target trial, log(P / (1 − P))",
            ylabel="normalised detection cost",
        )
        axes.plot(_PRIOR_LOG_ODDS, actual, color=COLOURS[1], label="actual")
        axes.plot(_PRIOR_LOG_ODDS, minimum, color=COLOURS[0], linestyle="--", label="minimum")
        axes.axhline(1.0, color=INK, linestyle=":", linewidth=1.0, label="without scores")
        for preset in presets:
            _mark_preset(axes, points, hull, preset)
        figure.legend(loc="outside upper left", ncols=3, columnspacing=1.2)
    return figure


def reliability_figure(target: npt.ArrayLike, nontarget: npt.ArrayLike) -> Figure:
    """Draw recalibrated over given log-likelihood ratios, and the number of trials.

    Above, the map from scores to ratios by PAV, which needs no prior, with the diagonal. Below, on a logarithmic axis,
    the trials of each kind in 60 bins. Infinite ratios count in the map but are not shown; the axis label has their
    number. ValueError if a kind of trial has no scores or contains NaN.

    References
    ----------
    Brümmer, du Preez (2006), Computer Speech and Language 20, for log-likelihood ratios by PAV; Murphy, Winkler (1977),
    Applied Statistics 26, for reliability diagrams.
    """
    points = error_rates(target, nontarget)
    scores, ratios = _pav_map(points)
    sides = {"target": np.asarray(target, np.float64), "nontarget": np.asarray(nontarget, np.float64)}
    edges = bin_edges(points.thresholds[fits_axis(points.thresholds)])
    finite = np.append(ratios[np.isfinite(ratios)], [-1.0, 1.0])
    frame = 1.1 * finite.min(), 1.1 * finite.max()
    with plot_style():
        figure = Figure(figsize=(WIDTH, 1.1 * WIDTH), layout="constrained")
        above, below = figure.subplots(2, sharex=True, height_ratios=(2.5, 1.0))
        above.axline((0.0, 0.0), slope=1.0, color=INK, linestyle=":", linewidth=1.0, label="well calibrated")
        line = np.clip(scores, edges[0], edges[-1]), np.clip(ratios, *frame)
        above.plot(*line, color=COLOURS[2], label="PAV on these trials", clip_on=False)
        above.set(xlim=(edges[0], edges[-1]), ylim=frame, ylabel="log-likelihood ratio by PAV, nats")
        counts = {name: np.histogram(values[fits_axis(values)], edges)[0] for name, values in sides.items()}
        below.set(ylim=(0.7, 2.0 * max(1, *(bins.max() for bins in counts.values()))), ylabel="trials in each bin")
        below.set_yscale("log")
        for (name, bins), colour, style in zip(counts.items(), COLOURS, ("-", "--"), strict=False):
            below.stairs(bins, edges, color=colour, linestyle=style, linewidth=1.2, label=name)
        below.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
        below.yaxis.set_minor_formatter(LogFormatter())  # labels within a decade, as plain text instead of TeX
        below.set_xlabel(score_label("log-likelihood ratio, nats", target, nontarget))
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def _costs(points: OperatingPoints, hull: OperatingPoints, log_odds: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Compute the actual and the minimum cost at each prior, with equal costs of both errors."""
    decided = np.searchsorted(points.thresholds, -log_odds)
    actual, minimum = np.empty(len(log_odds)), np.empty(len(log_odds))
    for number, (prior, place) in enumerate(zip(expit(log_odds).tolist(), decided, strict=True)):
        costs = Costs(c_miss=1.0, c_fa=1.0, p_target=prior)
        actual[number] = detection_cost(points.p_miss[place], points.p_fa[place], costs)
        minimum[number] = detection_cost(hull.p_miss, hull.p_fa, costs).min()
    return actual, minimum


def _mark_preset(axes: Axes, points: OperatingPoints, hull: OperatingPoints, preset: str) -> None:
    """Mark the actual (filled) and minimum costs of a preset."""
    log_odds = -np.array([bayes_threshold(costs) for costs in PRESETS[preset]])
    actual, minimum = _costs(points, hull, log_odds)
    shape = PRESET_MARKS[preset]
    visible = np.minimum(actual, axes.get_ylim()[1])
    axes.plot(log_odds, visible, color=INK, linestyle="", marker=shape, clip_on=False, zorder=3, label=f"DCF {preset}")
    axes.plot(log_odds, minimum, color=INK, linestyle="", marker=shape, markerfacecolor="none", zorder=3)


def _pav_map(points: OperatingPoints) -> tuple[Float64Array, Float64Array]:
    """Return the corners of the map from scores to log-likelihood ratios: each pool's lowest and highest score."""
    hull = convex_hull(points)
    after = np.searchsorted(points.thresholds, hull.thresholds[1:])
    with np.errstate(divide="ignore"):
        ratios = np.log(np.diff(hull.p_miss)) - np.log(-np.diff(hull.p_fa))
    ends = np.stack([hull.thresholds[:-1], points.thresholds[after - 1]], axis=1)
    return ends.ravel(), np.repeat(ratios, 2)
