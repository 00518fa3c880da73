"""Error rates at every threshold, and the metrics that follow from them alone.

The conventions are those of `speechgmm.evaluation.metrics`, whose functions take scores. For several metrics of the
same trials, sort them once, with `error_rates`, and compute all metrics from the operating points.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.special import rel_entr

from speechgmm.arrays import Float64Array
from speechgmm.evaluation.costs import Costs, detection_cost, several_costs


class OperatingPoints(NamedTuple):
    """Thresholds in increasing order with their error rates; see `error_rates`."""

    thresholds: Float64Array
    p_miss: Float64Array  # fractions of 1
    p_fa: Float64Array  # fractions of 1


def error_rates(target: npt.ArrayLike, nontarget: npt.ArrayLike) -> OperatingPoints:
    """Compute the error rates at every threshold that makes a difference.

    Returns K + 1 operating points for K distinct scores: the distinct scores in increasing order, from "accept
    everything" (P_miss = 0, P_fa = 1), and at the end +inf for "accept nothing" (P_miss = 1, P_fa = 0), which rejects
    even scores of +inf. ValueError as for `checked_scores`.
    """
    targets = np.sort(checked_scores("target", target))
    nontargets = np.sort(checked_scores("nontarget", nontarget))
    distinct = np.unique(np.concatenate([targets, nontargets]))
    p_miss = np.append(np.searchsorted(targets, distinct), targets.size) / targets.size
    # counted from the top, so that equal shares on the two sides are equal numbers after rounding as well
    p_fa = (nontargets.size - np.append(np.searchsorted(nontargets, distinct), nontargets.size)) / nontargets.size
    return OperatingPoints(np.append(distinct, np.inf), p_miss, p_fa)


def convex_hull(points: OperatingPoints) -> OperatingPoints:
    """Select the corners of the ROC's convex hull: the operating points that are best for some costs of errors.

    The first and the last point are among them. Between two corners are the scores of one pool of PAV.

    References
    ----------
    Fawcett, Niculescu-Mizil (2007), Machine Learning 68, "PAV and the ROC convex hull".
    """
    targets, nontargets = np.diff(points.p_miss), -np.diff(points.p_fa)  # share of each kind at a distinct score
    weights = targets + nontargets
    # PAV finds the same pools for any relative weight of the two kinds; with equal weights the prior log-odds are 0
    corners = isotonic_regression(targets / weights, weights=weights).blocks
    return OperatingPoints(*(column[corners] for column in points))


def equal_error_rate(points: OperatingPoints) -> float:
    """Find where the straight lines between operating points cross P_miss = P_fa; a fraction of 1.

    All points give the raw EER, those of `convex_hull` that of the hull.
    """
    gap = points.p_miss - points.p_fa  # strictly increasing from -1 to 1: every distinct score rejects one trial more
    after = int(np.searchsorted(gap, 0.0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return float((1.0 - share) * points.p_miss[before] + share * points.p_miss[after])


def area_under_roc(points: OperatingPoints) -> float:
    """Compute the area under the ROC, whose operating points are joined by straight lines; a fraction of 1."""
    # the area above the ROC is a sum of trapezoids of these widths and mean heights
    above = float(np.sum(-np.diff(points.p_fa) * (points.p_miss[1:] + points.p_miss[:-1])) / 2.0)
    return 1.0 - above


def least_miss_rate(points: OperatingPoints, p_fa: float) -> float:
    """Find the lowest P_miss at a threshold with at most this P_fa, 0 <= p_fa < 1."""
    if not 0 <= p_fa < 1:
        raise ValueError(f"p_fa = {p_fa}: expected a share from 0 to 1, 1 excluded")
    return float(points.p_miss[np.argmax(points.p_fa <= p_fa)])


def least_cost(points: OperatingPoints, costs: Costs | str) -> float:
    """Find the lowest detection cost of any operating point; the mean of the minima for a preset of several costs."""
    return float(np.mean([detection_cost(points.p_miss, points.p_fa, one).min() for one in several_costs(costs)]))


def least_cllr(hull: OperatingPoints) -> float:
    """Compute the minimum Cllr, in bits, from the corners of the ROC's convex hull."""
    targets, nontargets = np.diff(hull.p_miss), -np.diff(hull.p_fa)
    both = targets + nontargets
    # A pool's ratio is a/b, so its targets cost a log(1 + b/a) and its nontargets b log(1 + a/b); a pool with trials of
    # one kind only is certain and right, and rel_entr(0, .) is 0.
    costs = -rel_entr(targets, both) - rel_entr(nontargets, both)
    return float(costs.sum() / (2.0 * np.log(2.0)))


def rank_metrics(
    points: OperatingPoints, presets: Sequence[str], false_alarm_rates: Sequence[float]
) -> dict[str, float]:
    """Compute the metrics that depend only on the ranking of the scores, by name.

    ``eer``, ``eer_hull``, ``auc``, ``p_miss_at_fa.R`` for each false-alarm rate R, ``min_dcf.P`` for each preset P, and
    ``min_cllr``, as the functions in `speechgmm.evaluation.metrics` compute them.
    """
    hull = convex_hull(points)
    return {
        "eer": equal_error_rate(points),
        "eer_hull": equal_error_rate(hull),
        "auc": area_under_roc(points),
        **{f"p_miss_at_fa.{rate}": least_miss_rate(points, rate) for rate in false_alarm_rates},
        **{f"min_dcf.{preset}": least_cost(points, preset) for preset in presets},
        "min_cllr": least_cllr(hull),
    }


def checked_scores(side: str, values: npt.ArrayLike) -> Float64Array:
    """Convert the scores of one kind of trial to float64; infinite ones are allowed.

    ValueError if there are none, they are not one-dimensional or contain NaN; `side` names them in the message.
    """
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1:
        raise ValueError(f"{side} scores: shape {scores.shape}, expected one dimension")
    if scores.size == 0:
        raise ValueError(f"{side} scores: none, expected at least one")
    missing = np.isnan(scores)
    if missing.any():
        raise ValueError(
            f"{side} scores: {np.count_nonzero(missing)} of {scores.size} are NaN, the first at index "
            f"{np.argmax(missing)}; expected numbers or infinities"
        )
    return scores
