"""How good scores are: error rates, detection costs, the cost of log-likelihood ratios, identification.

Conventions
-----------
- Every function takes two one-dimensional arrays, never labels: the scores of target trials (the test was spoken
  by the model's speaker) and of nontarget trials (by somebody else). A higher score speaks for "same speaker".
- A trial is accepted when ``score >= threshold``.
- P_miss is the share of target trials that are rejected, P_fa the share of nontarget trials that are accepted;
  both are fractions of 1.
- Equal scores are accepted or rejected together, whichever side they are on: no threshold can part them. All the
  order-based numbers (EER, minimum DCF, minimum Cllr) therefore depend on the ranking of the scores only, and any
  strictly increasing map of the scores leaves them as they are.
- Scores of +inf and -inf are ranks like any other. NaN is not a score, and an empty side has no error rate: both
  are a `ValueError` that names the side.
- Everything is computed in float64 and in O(n log n) time for n trials.
"""

import math
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.special import rel_entr

from speechgmm.arrays import Float64Array, IntArray


class OperatingPoints(NamedTuple):
    """What each distinct threshold gives; see `error_rates`."""

    thresholds: Float64Array
    p_miss: Float64Array
    p_fa: Float64Array


class Costs(NamedTuple):
    """What errors cost, and how often a target trial is expected: the parameters of a detection cost.

    Parameters
    ----------
    c_miss : float > 0
        Cost of rejecting a target trial.
    c_fa : float > 0
        Cost of accepting a nontarget trial.
    p_target : float, 0 < p_target < 1
        Prior probability of a target trial where the decisions will be made; not the share in the trial list.
    """

    c_miss: float
    c_fa: float
    p_target: float


# The speaker recognition evaluation plans of NIST for 2008, 2010 (core condition) and 2016 (without the equal
# weighting of that evaluation's data partitions), and Nagrani, Chung, Zisserman (2017), Interspeech, for VoxCeleb.
# A preset of several is the mean of their minima.
PRESETS: Final[dict[str, tuple[Costs, ...]]] = {
    "sre08": (Costs(c_miss=10.0, c_fa=1.0, p_target=0.01),),
    "sre10": (Costs(c_miss=1.0, c_fa=1.0, p_target=0.001),),
    "sre16": (Costs(c_miss=1.0, c_fa=1.0, p_target=0.01), Costs(c_miss=1.0, c_fa=1.0, p_target=0.005)),
    "voxceleb": (Costs(c_miss=1.0, c_fa=1.0, p_target=0.01),),
}


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
    targets = np.sort(_scores("target", target))
    nontargets = np.sort(_scores("nontarget", nontarget))
    distinct = np.unique(np.concatenate([targets, nontargets]))
    p_miss = np.append(np.searchsorted(targets, distinct), targets.size) / targets.size
    # counted from the top, so that equal shares on the two sides are equal numbers after rounding as well
    p_fa = (nontargets.size - np.append(np.searchsorted(nontargets, distinct), nontargets.size)) / nontargets.size
    return OperatingPoints(np.append(distinct, np.inf), p_miss, p_fa)


def eer(target: npt.ArrayLike, nontarget: npt.ArrayLike) -> float:
    """Compute the equal error rate: where misses and false alarms are equally frequent.

    The operating points of `error_rates` are joined by straight lines in the plane of P_fa and P_miss, and the
    answer is where that line crosses P_miss = P_fa. A score that target and nontarget trials share makes the
    line slanted there, as if its trials were decided by a coin. The crossing always exists and is unique. It is
    not the EER of the ROC's convex hull, which is never larger.

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
    """
    _, p_miss, p_fa = error_rates(target, nontarget)
    gap = p_miss - p_fa  # strictly increasing from -1 to 1: every distinct score rejects at least one more trial
    after = int(np.searchsorted(gap, 0.0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return float((1.0 - share) * p_miss[before] + share * p_miss[after])


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


def detection_cost(p_miss: Float64Array, p_fa: Float64Array, costs: Costs) -> Float64Array:
    """Weigh error rates into the normalised detection cost.

    Parameters
    ----------
    p_miss, p_fa : ndarray, shape (K,)
        Error rates, fractions of 1.
    costs : Costs
        What they cost.

    Returns
    -------
    ndarray, shape (K,), >= 0
        (c_miss p_target P_miss + c_fa (1 - p_target) P_fa) / min(c_miss p_target, c_fa (1 - p_target)): 1 is
        the cost of the better of "accept everything" and "accept nothing".

    Raises
    ------
    ValueError
        If a cost is not positive and finite, or `p_target` is not between 0 and 1.

    References
    ----------
    NIST (2008), Year 2008 Speaker Recognition Evaluation Plan, for the cost and its normalisation.
    """
    for name, cost in (("c_miss", costs.c_miss), ("c_fa", costs.c_fa)):
        if not 0.0 < cost < np.inf:
            raise ValueError(f"{name} = {cost}: expected a positive finite cost")
    if not 0.0 < costs.p_target < 1.0:
        raise ValueError(f"p_target = {costs.p_target}: expected a probability between 0 and 1, both excluded")
    miss, false_alarm = costs.c_miss * costs.p_target, costs.c_fa * (1.0 - costs.p_target)
    return (miss * p_miss + false_alarm * p_fa) / min(miss, false_alarm)


def dcf(target: npt.ArrayLike, nontarget: npt.ArrayLike, threshold: float, costs: Costs) -> float:
    """Compute the normalised detection cost of the decisions at one threshold.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores; infinite ones are allowed.
    threshold : float, unit of the scores
        Trials that score this or more are accepted; -inf accepts everything, +inf only scores of +inf.
    costs : Costs
        What errors cost. (A preset of several has one threshold for each, so it is not accepted here.)

    Returns
    -------
    float >= 0
        See `detection_cost`; 1 is the cost of deciding without looking at the scores.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN; if the threshold is NaN; if `costs` have no
        meaning.
    """
    targets, nontargets = _scores("target", target), _scores("nontarget", nontarget)
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
        What errors cost. For a preset of several the answer is the mean of their minima, each with its own
        threshold.

    Returns
    -------
    float, 0 to 1
        See `detection_cost`; 0 if a threshold makes no error, 1 if the scores are of no use.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN; if the preset is unknown or `costs` have no
        meaning.
    """
    several = (costs,) if isinstance(costs, Costs) else _preset(costs)
    _, p_miss, p_fa = error_rates(target, nontarget)
    return float(np.mean([detection_cost(p_miss, p_fa, one).min() for one in several]))


def act_dcf(target: npt.ArrayLike, nontarget: npt.ArrayLike, costs: Costs | str) -> float:
    """Compute the normalised detection cost of the decisions that log-likelihood ratios themselves ask for.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores, taken as natural log-likelihood ratios; infinite ones are allowed.
    costs : Costs or a name in `PRESETS`
        What errors cost; the mean for a preset of several.

    Returns
    -------
    float >= 0
        At least `min_dcf`; above 1 where it were better not to listen.

    Raises
    ------
    ValueError
        As for `min_dcf`.

    References
    ----------
    Brümmer, du Preez (2006), Computer Speech and Language 20: the threshold is
    ``log(c_fa (1 - p_target) / (c_miss p_target))``.
    """
    several = (costs,) if isinstance(costs, Costs) else _preset(costs)
    actual = []
    for one in several:
        detection_cost(np.zeros(1), np.zeros(1), one)  # refuses costs without a meaning
        threshold = math.log(one.c_fa) + math.log1p(-one.p_target) - math.log(one.c_miss) - math.log(one.p_target)
        actual.append(dcf(target, nontarget, threshold, one))
    return float(np.mean(actual))


def cllr(target: npt.ArrayLike, nontarget: npt.ArrayLike) -> float:
    """Compute the cost of scores that are taken at their word as log-likelihood ratios.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Log-likelihood ratios, nats. +inf for a target and -inf for a nontarget are certain and right, and cost
        nothing; -inf for a target and +inf for a nontarget are certain and wrong.

    Returns
    -------
    float >= 0, bits
        0 is perfect, 1 is the cost of ratios that all say nothing (0 nats), and more than 1 misleads; +inf if
        any trial is certain and wrong.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN.

    References
    ----------
    Brümmer, du Preez (2006), Computer Speech and Language 20, "Application-independent evaluation of speaker
    detection", the definition of C_llr.
    """
    targets, nontargets = _scores("target", target), _scores("nontarget", nontarget)
    # log(1 + e^x) as logaddexp, which neither overflows nor loses small values
    of_targets = np.logaddexp(0.0, -targets).mean()
    of_nontargets = np.logaddexp(0.0, nontargets).mean()
    return float((of_targets + of_nontargets) / (2.0 * np.log(2.0)))


def min_cllr(target: npt.ArrayLike, nontarget: npt.ArrayLike) -> float:
    """Compute the Cllr that is left when the scores are calibrated as well as their order allows.

    The best non-decreasing map from scores to log-likelihood ratios is found on these very trials by pooling
    adjacent violators (PAV). What remains is due to discrimination; ``cllr - min_cllr`` is due to calibration.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores of any scale; infinite ones are allowed. Only their order matters.

    Returns
    -------
    float, 0 to 1, bits
        0 if every target scores above every nontarget, 1 if the scores are of no use.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN.

    References
    ----------
    Brümmer, du Preez (2006), Computer Speech and Language 20, for C_llr^min by PAV.
    """
    _, p_miss, p_fa = error_rates(target, nontarget)
    of_targets, of_nontargets = np.diff(p_miss), -np.diff(p_fa)  # share of each side that has this distinct score
    weights = of_targets + of_nontargets
    # PAV finds the same pools whatever the weight of a side; with equal weights the prior log-odds are 0
    starts = isotonic_regression(of_targets / weights, weights=weights).blocks[:-1]
    pooled_targets = np.add.reduceat(of_targets, starts)
    pooled_nontargets = np.add.reduceat(of_nontargets, starts)
    both = pooled_targets + pooled_nontargets
    # A pool's ratio is a/b, so its targets pay a log(1 + b/a) and its nontargets b log(1 + a/b); a pool that has
    # only one side is certain and right, and rel_entr(0, .) is 0.
    costs = -rel_entr(pooled_targets, both) - rel_entr(pooled_nontargets, both)
    return float(costs.sum() / (2.0 * np.log(2.0)))


def identification_rate(scores: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Compute how often the right model wins, among all the models of a closed set.

    Parameters
    ----------
    scores : array_like, shape (M, U)
        Score of each of M models for each of U tests; infinite ones are allowed.
    truth : array_like of int, shape (U,), 0 <= truth < M
        Index of the right model of each test.

    Returns
    -------
    float
        A fraction of 1: tests whose own model scores strictly higher than every other. A tie at the top does
        not count.

    Raises
    ------
    ValueError
        If there are no models or tests, shapes do not fit, a score is NaN, or an index is not of a model.
    """
    matrix = np.asarray(scores, dtype=np.float64)
    right = _indices(truth)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"scores: shape {matrix.shape}, expected models x tests, at least one of each")
    n_models, n_tests = matrix.shape
    if right.shape != (n_tests,):
        raise ValueError(f"truth: shape {right.shape}, expected {(n_tests,)}, one index for each test")
    if np.isnan(matrix).any():
        model, test = np.argwhere(np.isnan(matrix))[0]
        raise ValueError(f"scores: NaN for model {model} and test {test}, expected numbers")
    if right.min() < 0 or right.max() >= n_models:
        test = int(np.argmax((right < 0) | (right >= n_models)))
        raise ValueError(f"truth: {right[test]} for test {test}, expected 0 to {n_models - 1}")
    own = matrix[right, np.arange(n_tests)]
    return float(np.mean((matrix >= own).sum(axis=0) == 1))


def _scores(side: str, values: npt.ArrayLike) -> Float64Array:
    """Turn the scores of one side into float64, or raise an error that names the side."""
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


def _indices(values: npt.ArrayLike) -> IntArray:
    """Turn whole numbers into an index array."""
    indices = np.asarray(values)
    if not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(f"truth: {indices.dtype} values, expected whole numbers")
    return indices.astype(np.intp)


def _preset(name: str) -> tuple[Costs, ...]:
    """Look up the costs that go by a name."""
    if name not in PRESETS:
        raise ValueError(f"costs {name!r}: expected Costs or one of {', '.join(PRESETS)}")
    return PRESETS[name]
