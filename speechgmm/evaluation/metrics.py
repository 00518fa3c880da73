"""How good scores are: error rates, detection costs, and the cost of log-likelihood ratios.

Conventions
-----------
- Every function takes two one-dimensional arrays, never labels: the scores of target trials (the test was spoken
  by the model's speaker) and of nontarget trials (by another speaker). A higher score speaks for "same speaker".
- A trial is accepted when ``score >= threshold``.
- P_miss is the share of target trials that are rejected, P_fa the share of nontarget trials that are accepted;
  both are fractions of 1.
- Equal scores are accepted or rejected together, whichever side they are on: no threshold can separate them. All
  order-based metrics (EER, area under the ROC, miss rate at a false-alarm rate, minimum DCF, minimum Cllr) therefore
  depend on the ranking of the scores only, and any strictly increasing map of the scores leaves them as they are.
- Scores of +inf and -inf are ranks like any other. NaN is not a score, and an empty side has no error rate: both
  are a `ValueError` that names the side. One trial a side is enough for a metric.
- Everything is computed in float64 and in O(n log n) time for n trials.

`Costs`, `PRESETS`, `detection_cost`, `OperatingPoints` and `error_rates`, which these functions take or build on, can
be imported from here as well.
"""

import numpy as np
import numpy.typing as npt

from speechgmm.evaluation.costs import PRESETS, Costs, bayes_threshold, detection_cost, several_costs
from speechgmm.evaluation.operating_points import (
    OperatingPoints,
    area_under_roc,
    checked_scores,
    convex_hull,
    equal_error_rate,
    error_rates,
    least_cllr,
    least_cost,
    least_miss_rate,
)

__all__ = ["PRESETS", "Costs", "OperatingPoints", "detection_cost", "error_rates"]
__all__ += ["act_dcf", "auc", "cllr", "dcf", "eer", "eer_hull", "eer_threshold", "min_cllr", "min_dcf", "miss_rate_at"]


def eer(target: npt.ArrayLike, nontarget: npt.ArrayLike) -> float:
    """Compute the equal error rate: where misses and false alarms are equally frequent.

    The operating points of `error_rates` are joined by straight lines in the plane of P_fa and P_miss, and the EER is
    where that line crosses P_miss = P_fa. A score that target and nontarget trials share makes the line slanted there,
    as if its trials were decided by a coin. The crossing always exists and is unique. It is not the EER of the ROC's
    convex hull, `eer_hull`, which is never larger.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores; infinite ones are allowed. Only their order matters.

    Returns
    -------
    float
        A fraction of 1: 0 if every target scores above every nontarget, 0.5 if all scores are equal.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN.

    Examples
    --------
    >>> from speechgmm import eer
    >>> eer([0.5, 2.0, 3.0, 4.0], [-1.0, 0.0, 1.0, 0.2])
    0.25
    """
    return equal_error_rate(error_rates(target, nontarget))


def eer_hull(target: npt.ArrayLike, nontarget: npt.ArrayLike) -> float:
    """Compute the equal error rate of the ROC's convex hull.

    A decision that chooses at random between two thresholds has error rates on the straight line between theirs; the
    convex hull is the best that such decisions reach. Where it crosses P_miss = P_fa is also the greatest cost, over
    all priors, of the best decisions when both errors cost the same.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores; infinite ones are allowed. Only their order matters.

    Returns
    -------
    float, 0 to 0.5
        A fraction of 1, at most `eer`; 0.5 if the scores carry no information.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN.

    References
    ----------
    Brümmer, de Villiers (2013), "The BOSARIS Toolkit: theory, algorithms and code for surviving the new DCF", for
    the EER of the ROC's convex hull.
    """
    return equal_error_rate(convex_hull(error_rates(target, nontarget)))


def eer_threshold(target: npt.ArrayLike, nontarget: npt.ArrayLike) -> float:
    """Find the score that, as a threshold, makes P_miss and P_fa most nearly equal.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores; infinite ones are allowed.

    Returns
    -------
    float
        One of the scores; of several that are equally near, the lowest.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN.
    """
    thresholds, p_miss, p_fa = error_rates(target, nontarget)
    return float(thresholds[np.argmin(np.abs(p_miss - p_fa))])


def auc(target: npt.ArrayLike, nontarget: npt.ArrayLike) -> float:
    """Compute the area under the ROC: how often a target trial scores above a nontarget trial.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores; infinite ones are allowed. Only their order matters.

    Returns
    -------
    float
        A fraction of 1, of all pairs of a target and a nontarget trial; pairs of equal scores count half. 1 if every
        target scores above every nontarget, 0.5 if the scores carry no information.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN.

    References
    ----------
    Hanley, McNeil (1982), Radiology 143, "The meaning and use of the area under a ROC curve".
    """
    return area_under_roc(error_rates(target, nontarget))


def miss_rate_at(target: npt.ArrayLike, nontarget: npt.ArrayLike, p_fa: float) -> float:
    """Compute the lowest P_miss at a threshold whose P_fa is at most a given one.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores; infinite ones are allowed. Only their order matters.
    p_fa : float, 0 <= p_fa < 1
        The largest share of nontarget trials that may be accepted. Below 1 / M, none may be: P_miss is then that at the
        lowest threshold above all nontarget trials.

    Returns
    -------
    float
        A fraction of 1. Nothing is interpolated: targets that tie with a nontarget trial that must be rejected are
        missed.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN; if `p_fa` is out of range.
    """
    return least_miss_rate(error_rates(target, nontarget), p_fa)


def dcf(target: npt.ArrayLike, nontarget: npt.ArrayLike, threshold: float, costs: Costs) -> float:
    """Compute the normalised detection cost of the decisions at one threshold.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores; infinite ones are allowed.
    threshold : float, unit of the scores
        Trials that score this or more are accepted; -inf accepts everything, +inf only scores of +inf.
    costs : Costs
        The costs of errors. A preset may have several costs, each with its own threshold, and is not accepted here.

    Returns
    -------
    float >= 0
        See `detection_cost`; 1 is the cost of deciding without the scores.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN; if the threshold is NaN; if `costs` are out of
        range.

    Examples
    --------
    >>> from speechgmm import dcf
    >>> from speechgmm.evaluation.metrics import Costs
    >>> costs = Costs(c_miss=1.0, c_fa=1.0, p_target=0.5)
    >>> dcf([0.5, 2.0, 3.0, 4.0], [-1.0, 0.0, 1.0, 0.2], threshold=0.6, costs=costs)
    0.5
    """
    targets, nontargets = checked_scores("target", target), checked_scores("nontarget", nontarget)
    if np.isnan(threshold):
        raise ValueError("threshold = nan: expected a number")
    p_miss = np.mean(targets < threshold, keepdims=True)
    p_fa = np.mean(nontargets >= threshold, keepdims=True)
    return float(detection_cost(p_miss, p_fa, costs)[0])


def min_dcf(target: npt.ArrayLike, nontarget: npt.ArrayLike, costs: Costs | str) -> float:
    """Compute the normalised detection cost at the threshold that is best for these very trials.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores; infinite ones are allowed. Only their order matters.
    costs : Costs or a name in `PRESETS`
        The costs of errors. For a preset of several costs the result is the mean of their minima, each with its own
        threshold.

    Returns
    -------
    float, 0 to 1
        See `detection_cost`; 0 if a threshold makes no error, 1 if the scores carry no information.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN; if the preset is unknown or `costs` are out of
        range.

    Examples
    --------
    >>> from speechgmm import min_dcf
    >>> min_dcf([0.5, 2.0, 3.0, 4.0], [-1.0, 0.0, 1.0, 0.2], "sre08")
    0.25
    """
    return least_cost(error_rates(target, nontarget), costs)


def act_dcf(target: npt.ArrayLike, nontarget: npt.ArrayLike, costs: Costs | str) -> float:
    """Compute the actual detection cost: the normalised cost when deciding at the Bayes threshold.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores, taken as natural log-likelihood ratios; infinite ones are allowed.
    costs : Costs or a name in `PRESETS`
        The costs of errors; the result is the mean for a preset of several.

    Returns
    -------
    float >= 0
        At least `min_dcf`; above 1 it is worse than deciding without the scores.

    Raises
    ------
    ValueError
        As for `min_dcf`.

    References
    ----------
    Brümmer, du Preez (2006), Computer Speech and Language 20: the threshold is
    ``log(c_fa (1 - p_target) / (c_miss p_target))``.

    Examples
    --------
    >>> from speechgmm import act_dcf
    >>> act_dcf([1.5, 3.0, 4.0, 6.0], [-6.0, -4.0, 2.0, -1.0], "sre08")  # the Bayes threshold is 2.29 nats
    0.25
    """
    several = several_costs(costs)
    return float(np.mean([dcf(target, nontarget, bayes_threshold(one), one) for one in several]))


def cllr(target: npt.ArrayLike, nontarget: npt.ArrayLike) -> float:
    """Compute the cost of the scores as log-likelihood ratios.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Log-likelihood ratios, nats. +inf for a target and -inf for a nontarget are certain and right, and cost
        nothing; -inf for a target and +inf for a nontarget are certain and wrong.

    Returns
    -------
    float >= 0, bits
        0 is perfect, 1 is the cost of ratios without information (0 nats), and above 1 the ratios mislead; +inf if any
        trial is certain and wrong.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN.

    References
    ----------
    Brümmer, du Preez (2006), Computer Speech and Language 20, "Application-independent evaluation of speaker
    detection", the definition of C_llr.

    Examples
    --------
    >>> from speechgmm import cllr
    >>> round(cllr([1.5, 3.0, 4.0, 6.0], [-6.0, -4.0, 2.0, -1.0]), 3)
    0.493
    """
    targets, nontargets = checked_scores("target", target), checked_scores("nontarget", nontarget)
    # log(1 + e^x) as logaddexp, which neither overflows nor loses small values
    of_targets = np.logaddexp(0.0, -targets).mean()
    of_nontargets = np.logaddexp(0.0, nontargets).mean()
    return float((of_targets + of_nontargets) / (2.0 * np.log(2.0)))


def min_cllr(target: npt.ArrayLike, nontarget: npt.ArrayLike) -> float:
    """Compute the Cllr after the best possible calibration of these scores.

    The best non-decreasing map from scores to log-likelihood ratios is found on these very trials by pooling
    adjacent violators (PAV). What remains is due to discrimination; ``cllr - min_cllr`` is due to calibration.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores of any scale; infinite ones are allowed. Only their order matters.

    Returns
    -------
    float, 0 to 1, bits
        0 if every target scores above every nontarget, 1 if the scores carry no information.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN.

    References
    ----------
    Brümmer, du Preez (2006), Computer Speech and Language 20, for C_llr^min by PAV.

    Examples
    --------
    >>> from speechgmm import min_cllr
    >>> round(min_cllr([1.5, 3.0, 4.0, 6.0], [-6.0, -4.0, 2.0, -1.0]), 3)
    0.25
    """
    return least_cllr(convex_hull(error_rates(target, nontarget)))
