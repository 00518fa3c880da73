"""The error rates at every threshold, and the numbers that follow from them alone.

The conventions are those of `speechgmm.evaluation.metrics`, whose functions take scores. Whoever needs several numbers
of the same trials sorts them once, by `error_rates`, and computes all from the operating points.
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
    """What thresholds give, in increasing order; see `error_rates`."""

    thresholds: Float64Array
    p_miss: Float64Array
    p_fa: Float64Array


def error_rates(target: npt.ArrayLike, nontarget: npt.ArrayLike) -> OperatingPoints:
    """Compute the error rates at every threshold that makes a difference.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores; infinite ones are allowed.

    Returns
    -------
    OperatingPoints
        `thresholds`, `p_miss` and `p_fa`, each of shape (K + 1,) for K distinct scores: the distinct scores in
        increasing order, from "accept everything" (P_miss = 0, P_fa = 1) on, and at the end +inf for "accept
        nothing" (P_miss = 1, P_fa = 0), which rejects even scores of +inf.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN.
    """
    targets = np.sort(checked_scores("target", target))
    nontargets = np.sort(checked_scores("nontarget", nontarget))
    distinct = np.unique(np.concatenate([targets, nontargets]))
    p_miss = np.append(np.searchsorted(targets, distinct), targets.size) / targets.size
    # counted from the top, so that equal shares on the two sides are equal numbers after rounding as well
    p_fa = (nontargets.size - np.append(np.searchsorted(nontargets, distinct), nontargets.size)) / nontargets.size
    return OperatingPoints(np.append(distinct, np.inf), p_miss, p_fa)


def convex_hull(points: OperatingPoints) -> OperatingPoints:
    """Keep the operating points that are the best for some costs of errors: the corners of the ROC's convex hull.

    Parameters
    ----------
    points : OperatingPoints, shape (K + 1,)
        As `error_rates` gives them.

    Returns
    -------
    OperatingPoints, shape (H + 1,), 1 <= H <= K
        The first and the last among them. Between two corners are the scores of one pool of PAV.

    References
    ----------
    Fawcett, Niculescu-Mizil (2007), Machine Learning 68, "PAV and the ROC convex hull".
    """
    of_targets, of_nontargets = np.diff(points.p_miss), -np.diff(points.p_fa)  # share of each side at a distinct score
    weights = of_targets + of_nontargets
    # PAV finds the same pools whatever the weight of a side; with equal weights the prior log-odds are 0
    corners = isotonic_regression(of_targets / weights, weights=weights).blocks
    return OperatingPoints(*(each[corners] for each in points))


def equal_error_rate(points: OperatingPoints) -> float:
    """Find where the straight lines between operating points cross P_miss = P_fa.

    Parameters
    ----------
    points : OperatingPoints
        From "accept everything" to "accept nothing": all, for the raw EER, or those of `convex_hull`.

    Returns
    -------
    float
        A fraction of 1.
    """
    gap = points.p_miss - points.p_fa  # strictly increasing from -1 to 1: every distinct score rejects one trial more
    after = int(np.searchsorted(gap, 0.0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return float((1.0 - share) * points.p_miss[before] + share * points.p_miss[after])


def area_under_roc(points: OperatingPoints) -> float:
    """Compute the area under the ROC, of which straight lines join the operating points.

    Parameters
    ----------
    points : OperatingPoints
        As `error_rates` gives them.

    Returns
    -------
    float
        A fraction of 1: 1 if a threshold makes no error.
    """
    # over it are trapezoids of these widths and mean heights
    over = float(np.sum(-np.diff(points.p_fa) * (points.p_miss[1:] + points.p_miss[:-1])) / 2.0)
    return 1.0 - over


def least_miss_rate(points: OperatingPoints, p_fa: float) -> float:
    """Find the lowest P_miss at a threshold that accepts no more than a share of the nontarget trials.

    Parameters
    ----------
    points : OperatingPoints
        As `error_rates` gives them.
    p_fa : float, 0 <= p_fa < 1
        The share.

    Returns
    -------
    float
        A fraction of 1.

    Raises
    ------
    ValueError
        If `p_fa` is not a share below 1.
    """
    if not 0 <= p_fa < 1:
        raise ValueError(f"p_fa = {p_fa}: expected a share from 0 to 1, 1 excluded")
    return float(points.p_miss[np.argmax(points.p_fa <= p_fa)])


def least_cost(points: OperatingPoints, costs: Costs | str) -> float:
    """Find the least detection cost of any operating point.

    Parameters
    ----------
    points : OperatingPoints
        As `error_rates` gives them.
    costs : Costs or a name in `speechgmm.evaluation.costs.PRESETS`
        What errors cost; of a preset of several the mean of their minima.

    Returns
    -------
    float, 0 to 1
        See `speechgmm.evaluation.costs.detection_cost`.

    Raises
    ------
    ValueError
        If the preset is unknown or `costs` have no meaning.
    """
    return float(np.mean([detection_cost(points.p_miss, points.p_fa, one).min() for one in several_costs(costs)]))


def least_cllr(hull: OperatingPoints) -> float:
    """Compute the Cllr of ratios that are the best for the corners of the ROC's convex hull.

    Parameters
    ----------
    hull : OperatingPoints
        As `convex_hull` gives them.

    Returns
    -------
    float, 0 to 1, bits
        See `speechgmm.evaluation.metrics.min_cllr`.
    """
    targets, nontargets = np.diff(hull.p_miss), -np.diff(hull.p_fa)
    both = targets + nontargets
    # A pool's ratio is a/b, so its targets pay a log(1 + b/a) and its nontargets b log(1 + a/b); a pool that has
    # only one side is certain and right, and rel_entr(0, .) is 0.
    costs = -rel_entr(targets, both) - rel_entr(nontargets, both)
    return float(costs.sum() / (2.0 * np.log(2.0)))


def ordered_numbers(
    points: OperatingPoints, presets: Sequence[str], false_alarm_rates: Sequence[float]
) -> dict[str, float]:
    """Compute all the numbers that depend on nothing but the order of the scores.

    Parameters
    ----------
    points : OperatingPoints
        As `error_rates` gives them.
    presets : sequence of str
        Names in `speechgmm.evaluation.costs.PRESETS`.
    false_alarm_rates : sequence of float, 0 <= rate < 1
        At which misses are counted.

    Returns
    -------
    dict of str to float
        ``eer``, ``eer_hull``, ``auc``, ``p_miss_at_fa.R`` for each false-alarm rate R, ``min_dcf.P`` for each preset P,
        and ``min_cllr``: what the functions in `speechgmm.evaluation.metrics` give.
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
    """Turn the scores of one side into float64.

    Parameters
    ----------
    side : str
        What the message calls them.
    values : array_like, shape (N,)
        Scores; infinite ones are allowed.

    Returns
    -------
    np.ndarray, shape (N,)
        The same numbers.

    Raises
    ------
    ValueError
        If there is none, they are not one-dimensional or contain NaN.
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
