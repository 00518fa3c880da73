"""What log-likelihood ratios are worth when they are taken at their word."""

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
from speechgmm.evaluation.plots.distributions import bin_edges, has_place, score_label
from speechgmm.evaluation.plots.style import COLOURS, INK, PRESET_MARKS, WIDTH, plot_style

BAYES_ERROR_CAPTION: Final = (
    "What decisions cost, for every prior of a target trial: those that the log-likelihood ratios themselves ask for "
    "(actual) and those at the threshold that is best for these very trials (minimum). The gap between the two is what "
    "calibration could still gain; 1 is the cost of deciding without listening, and ratios above it do harm. "
    "Equal costs of both errors are assumed; other costs shift the prior, and marks show where the presets lie. Far to "
    "the sides a curve rests on few errors."
)
RELIABILITY_CAPTION: Final = (
    "What the log-likelihood ratios should have been, as the trials themselves tell (by pooling adjacent violators), "
    "over what they were. On the diagonal they are right; a curve that is flatter than it means that they claim too "
    "much, and one above it that they are too low. Beyond the last trial of a kind the map is infinite and runs on "
    "the edge of the frame. Below: how many trials there are; where they are few, the curve above is rough."
)

_PRIOR_LOG_ODDS: Final = np.linspace(-8.0, 8.0, 321)
_MOST_COSTLY: Final = 2.0  # no axis of costs goes further


def bayes_error_figure(target: npt.ArrayLike, nontarget: npt.ArrayLike, presets: Sequence[str] = ()) -> Figure:
    """Draw the normalised detection cost of log-likelihood ratios over the prior.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,), nats
        Scores, taken as natural log-likelihood ratios; infinite ones are allowed.
    presets : sequence of str, names in `speechgmm.evaluation.costs.PRESETS`
        Detection costs to mark, at the prior that amounts to the same with equal costs.

    Returns
    -------
    Figure
        Actual and minimum cost, and the default decision's 1, from -8 to 8 of log-odds; costs up to 2.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN, or a preset is unknown.

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
        axes.axhline(1.0, color=INK, linestyle=":", linewidth=1.0, label="without listening")
        for preset in presets:
            _mark_preset(axes, points, hull, preset)
        figure.legend(loc="outside upper left", ncols=3, columnspacing=1.2)
    return figure


def reliability_figure(target: npt.ArrayLike, nontarget: npt.ArrayLike) -> Figure:
    """Draw what log-likelihood ratios should have been over what they are, and how many trials there are.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,), nats
        Scores, taken as natural log-likelihood ratios. Infinite ones count in the map but have no place; the label of
        the axis says how many they are.

    Returns
    -------
    Figure
        Above, the map from scores to ratios by PAV, with the diagonal; it needs no prior. Below, on a logarithmic axis,
        the trials of each kind in 60 bins from the lowest to the highest score.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN.

    References
    ----------
    Brümmer, du Preez (2006), Computer Speech and Language 20, for log-likelihood ratios by PAV; Murphy, Winkler (1977),
    Applied Statistics 26, for reliability diagrams.
    """
    points = error_rates(target, nontarget)
    scores, ratios = _pav_map(points)
    sides = {"target": np.asarray(target, np.float64), "nontarget": np.asarray(nontarget, np.float64)}
    edges = bin_edges(points.thresholds[has_place(points.thresholds)])
    finite = np.append(ratios[np.isfinite(ratios)], [-1.0, 1.0])
    frame = 1.1 * finite.min(), 1.1 * finite.max()
    with plot_style():
        figure = Figure(figsize=(WIDTH, 1.1 * WIDTH), layout="constrained")
        above, below = figure.subplots(2, sharex=True, height_ratios=(2.5, 1.0))
        above.axline((0.0, 0.0), slope=1.0, color=INK, linestyle=":", linewidth=1.0, label="well calibrated")
        line = np.clip(scores, edges[0], edges[-1]), np.clip(ratios, *frame)
        above.plot(*line, color=COLOURS[2], label="these ratios", clip_on=False)
        above.set(xlim=(edges[0], edges[-1]), ylim=frame, ylabel="log-likelihood ratio by PAV, nats")
        counts = {name: np.histogram(values[has_place(values)], edges)[0] for name, values in sides.items()}
        below.set(ylim=(0.7, 2.0 * max(1, *(each.max() for each in counts.values()))), ylabel="trials in a bin")
        below.set_yscale("log")
        for (name, each), colour, style in zip(counts.items(), COLOURS, ("-", "--"), strict=False):
            below.stairs(each, edges, color=colour, linestyle=style, linewidth=1.2, label=name)
        below.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
        below.yaxis.set_minor_formatter(LogFormatter())  # they have labels within a decade; the usual ones are TeX
        below.set_xlabel(score_label("log-likelihood ratio that was given, nats", target, nontarget))
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def _costs(points: OperatingPoints, hull: OperatingPoints, log_odds: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Compute the actual and the minimum cost at each of some priors, with equal costs of both errors."""
    decided = np.searchsorted(points.thresholds, -log_odds)
    actual, minimum = np.empty(len(log_odds)), np.empty(len(log_odds))
    for number, (prior, place) in enumerate(zip(expit(log_odds).tolist(), decided, strict=True)):
        costs = Costs(c_miss=1.0, c_fa=1.0, p_target=prior)
        actual[number] = detection_cost(points.p_miss[place], points.p_fa[place], costs)
        minimum[number] = detection_cost(hull.p_miss, hull.p_fa, costs).min()
    return actual, minimum


def _mark_preset(axes: Axes, points: OperatingPoints, hull: OperatingPoints, preset: str) -> None:
    """Mark actual (filled) and minimum costs of a preset."""
    log_odds = -np.array([bayes_threshold(costs) for costs in PRESETS[preset]])
    actual, minimum = _costs(points, hull, log_odds)
    shape = PRESET_MARKS[preset]
    seen = np.minimum(actual, axes.get_ylim()[1])
    axes.plot(log_odds, seen, color=INK, linestyle="", marker=shape, clip_on=False, zorder=3, label=f"DCF {preset}")
    axes.plot(log_odds, minimum, color=INK, linestyle="", marker=shape, markerfacecolor="none", zorder=3)


def _pav_map(points: OperatingPoints) -> tuple[Float64Array, Float64Array]:
    """Give the corners of the map from scores to log-likelihood ratios: each pool's lowest and highest score."""
    hull = convex_hull(points)
    after = np.searchsorted(points.thresholds, hull.thresholds[1:])
    with np.errstate(divide="ignore"):
        ratios = np.log(np.diff(hull.p_miss)) - np.log(-np.diff(hull.p_fa))
    ends = np.stack([hull.thresholds[:-1], points.thresholds[after - 1]], axis=1)
    return ends.ravel(), np.repeat(ratios, 2)
