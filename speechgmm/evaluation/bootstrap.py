"""How sure the numbers are: intervals by resampling speakers, for one system and for the difference of two.

Trials are not independent: those of a speaker share the voice. So speakers are drawn with replacement, as many as there
are, and a trial counts as often as its speakers were drawn: c_i c_j times between two of them, and c_i times if both
sides are speaker i, as each copy of a speaker speaks against his own model. A speaker's count is the same wherever he
stands, as model and in a test. Drawn for the two sides apart, target trials would count c_i c'_i times, and the
intervals come out too wide (by 1.7 in the standard error of the misses); speakers who are on one side only are
independent of the others either way.

References
----------
Bisani, Ney (2004), ICASSP, "Bootstrap estimates for confidence intervals in ASR performance evaluation", for drawing
whatever is independent, and for the difference of two systems on the same draws.
Poh, Bengio (2007), Pattern Recognition 40, "Estimating the confidence interval of expected performance curve in
biometric authentication using joint bootstrap", for drawing users, not trials.
Owen (2007), Annals of Applied Statistics 1, "The pigeonhole bootstrap", for weights that are products of counts.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import BoolArray, Float64Array, IntArray
from speechgmm.evaluation.costs import PRESETS, bayes_threshold, detection_cost
from speechgmm.evaluation.identification import detected_and_identified
from speechgmm.evaluation.operating_points import OperatingPoints, error_rates, ordered_numbers

BLOCK: Final = 2**22
"""Trials times resamples that are in memory at once: 32 MB for each array of them."""

ABSOLUTE: Final = ("cllr", "act_dcf.")
"""How the names begin of numbers for which more than the order of the scores counts."""

Interval = tuple[float, float]


class TrialGroup(NamedTuple):
    """The trials of one kind, target or nontarget.

    Parameters
    ----------
    scores : array_like, shape (n,)
        No NaN.
    models, tests : array_like of int, shape (n,), >= 0
        The speaker of the model, and the one who speaks in the test, by number; the same numbers on both sides.
    """

    scores: npt.ArrayLike
    models: npt.ArrayLike
    tests: npt.ArrayLike


class Answers(NamedTuple):
    """How tests were answered by the models of a set.

    Parameters
    ----------
    won : np.ndarray, shape (U,), bool
        Whether the test's own model scores strictly higher than every other.
    best : np.ndarray, shape (U,)
        The highest score of any model.
    speakers : np.ndarray of int, shape (U,), >= 0
        Who speaks in the test, by number.
    """

    won: BoolArray
    best: Float64Array
    speakers: IntArray


def intervals(
    target: TrialGroup,
    nontarget: TrialGroup,
    *,
    presets: Sequence[str],
    false_alarm_rates: Sequence[float],
    n_resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, Interval | None]:
    """Compute percentile intervals of the numbers in `metrics`, as far as chance in the speakers goes.

    Parameters
    ----------
    target, nontarget : TrialGroup
        The trials.
    presets : sequence of str
        Names in `metrics.PRESETS`, of detection costs.
    false_alarm_rates : sequence of float, 0 <= rate < 1
        At which misses are counted.
    n_resamples : int >= 1
        How many times to draw the speakers.
    confidence : float, 0 < confidence < 1
        Share of experiments whose interval should hold the number of all speakers in the world.
    rng : numpy.random.Generator
        Draws.

    Returns
    -------
    dict of str to (float, float) or None
        Low and high of ``eer``, ``eer_hull``, ``auc``, ``cllr``, ``min_cllr``, of ``min_dcf.P`` and ``act_dcf.P`` for
        each preset P, and of ``p_miss_at_fa.R`` for each false-alarm rate R, in the units of `metrics`. Draws that
        leave out all trials of a kind have no numbers and do not count; None if half of them or more are such, if low
        or high is infinite, or all trials are of one speaker.

    Raises
    ------
    ValueError
        If a side is empty, scores are NaN, or lengths differ.
    """
    counts = _draw((*target[1:], *nontarget[1:]), n_resamples, rng)
    return _percentiles(resampled(target, nontarget, counts, presets, false_alarm_rates), confidence)


def differences(
    target: TrialGroup,
    nontarget: TrialGroup,
    others: tuple[npt.ArrayLike, npt.ArrayLike],
    *,
    presets: Sequence[str],
    false_alarm_rates: Sequence[float],
    n_resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, Interval | None]:
    """Compute percentile intervals of the other system's numbers less those of this, on the same trials and draws.

    Parameters
    ----------
    target, nontarget : TrialGroup
        The trials, with the scores of one system.
    others : two array_likes, shapes as the scores of `target` and `nontarget`
        The scores of the other system, in the same order.
    presets, false_alarm_rates, n_resamples, confidence, rng
        As for `intervals`.

    Returns
    -------
    dict of str to (float, float) or None
        As for `intervals`. Systems differ where an interval does not hold 0.

    Raises
    ------
    ValueError
        As for `intervals`.
    """
    counts = _draw((*target[1:], *nontarget[1:]), n_resamples, rng)
    first = resampled(target, nontarget, counts, presets, false_alarm_rates)
    other = target._replace(scores=others[0]), nontarget._replace(scores=others[1])
    second = resampled(*other, counts, presets, false_alarm_rates)
    return _percentiles({name: second[name] - values for name, values in first.items()}, confidence)


def resampled(
    target: TrialGroup,
    nontarget: TrialGroup,
    counts: npt.ArrayLike,
    presets: Sequence[str],
    false_alarm_rates: Sequence[float],
) -> dict[str, Float64Array]:
    """Compute the numbers of each resample.

    Scores are sorted once, for all resamples, and successive scores of one kind are taken together: between them the
    ROC is a straight line, so neither the crossing that is the EER, nor a least cost, nor a pool of PAV is inside.

    Parameters
    ----------
    target, nontarget : TrialGroup
        The trials.
    counts : array_like of int, shape (S, R), >= 0
        How often each of S speakers is in each of R resamples.
    presets, false_alarm_rates
        As for `intervals`.

    Returns
    -------
    dict of str to np.ndarray, shape (R,)
        What the functions in `metrics` give for the scores, each repeated as often as its trial counts; NaN where a
        kind of trial is missing. Names as for `intervals`.

    Raises
    ------
    ValueError
        If a side is empty, scores are NaN, or lengths differ.
    """
    drawn = np.asarray(counts)
    sides = _checked("target", target), _checked("nontarget", nontarget)
    names = ordered_numbers(error_rates(sides[0].scores, sides[1].scores), presets, false_alarm_rates)
    asked = _Asked(presets, false_alarm_rates, tuple(names))
    cuts = [bayes_threshold(costs) for preset in presets for costs in PRESETS[preset]]
    starts = _starts(sides[0].scores, sides[1].scores, cuts)
    sorted_sides = [_sorted(side, starts, sign) for side, sign in zip(sides, (-1.0, 1.0), strict=True)]
    step = max(1, BLOCK // max(len(side.scores) for side in sides))
    blocks = []
    for start in range(0, drawn.shape[1], step):
        some = drawn[:, start : start + step]
        block = np.vstack([some, np.ones((1, some.shape[1]))])  # of float64, in which sums of whole numbers are exact
        target_side, nontarget_side = (_weigh(side, block, len(starts)) for side in sorted_sides)
        blocks.append(_numbers(target_side, nontarget_side, starts, asked))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def identification_intervals(
    known: Answers,
    unknown: Answers | None,
    *,
    false_alarm_rates: Sequence[float],
    n_resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, Interval | None]:
    """Compute percentile intervals of identification rates, as far as chance in the speakers of the tests goes.

    The models stay who they are: a set with a speaker twice could not tell the two apart.

    Parameters
    ----------
    known : Answers
        Of the tests of speakers with a model.
    unknown : Answers, optional
        Of those of speakers without.
    false_alarm_rates : sequence of float, 0 <= rate < 1
        For the open set.
    n_resamples, confidence, rng
        As for `intervals`.

    Returns
    -------
    dict of str to (float, float) or None
        Low and high of ``rate``, and, if there are unknown speakers, of ``dir_at_fa.R`` for each false-alarm rate R.
        None if half of the draws or more leave out all tests of a kind.
    """
    both = [known] if unknown is None else [known, unknown]
    counts = _draw([each.speakers for each in both], n_resamples, rng)
    rates = np.full((n_resamples, 1 if unknown is None else 1 + len(false_alarm_rates)), np.nan)
    for draw, drawn in enumerate(counts.T):
        again = np.repeat(np.arange(len(known.won)), drawn[known.speakers])
        if not len(again):
            continue
        rates[draw, 0] = np.mean(known.won[again])
        strangers = () if unknown is None else np.repeat(np.arange(len(unknown.won)), drawn[unknown.speakers])
        if unknown is not None and len(strangers):
            found = known.won[again], known.best[again], unknown.best[strangers]
            rates[draw, 1:] = [detected_and_identified(*found, rate) for rate in false_alarm_rates]
    names = ("rate", *(f"dir_at_fa.{rate}" for rate in false_alarm_rates))
    return _percentiles(dict(zip(names, rates.T, strict=False)), confidence)


class _Asked(NamedTuple):
    """Which numbers are asked for."""

    presets: Sequence[str]
    false_alarm_rates: Sequence[float]
    names: tuple[str, ...]  # of those that `ordered_numbers` gives


class _Checked(NamedTuple):
    """A side as arrays."""

    scores: Float64Array
    models: IntArray
    tests: IntArray


class _Sorted(NamedTuple):
    """A side by increasing score."""

    models: IntArray  # rows of the counts
    tests: IntArray  # rows of the counts; the one after the last, which is 1, where the speaker is the model's
    costs: Float64Array  # what each trial adds to Cllr, nats
    groups: IntArray  # numbers of the groups that have trials of this side
    first: IntArray  # the first trial of each


class _Weighed(NamedTuple):
    """A side in B resamples."""

    grouped: Float64Array  # (G, B): how many trials each of G groups has
    total: Float64Array  # (B,): how many there are
    cost: Float64Array  # (B,): their mean cost


def _draw(speakers: Sequence[npt.ArrayLike], n_resamples: int, rng: np.random.Generator) -> IntArray:
    """Draw how often each speaker is in each resample, shape (S, R); one alone never, for want of others to draw."""
    present = np.unique(np.concatenate([np.asarray(each) for each in speakers]))
    counts = np.zeros((n_resamples, present[-1] + 1), np.int32)  # the largest array, where there are many speakers
    for row in counts if len(present) > 1 else ():
        row[present] = rng.multinomial(len(present), np.full(len(present), 1.0 / len(present)))
    return counts.T


def _checked(name: str, side: TrialGroup) -> _Checked:
    """Turn a side into arrays, or raise an error that names it."""
    scores = np.asarray(side.scores, dtype=np.float64)
    models, tests = np.asarray(side.models), np.asarray(side.tests)
    if scores.ndim != 1 or scores.size == 0 or np.isnan(scores).any():
        raise ValueError(f"{name} scores: shape {scores.shape}, expected one dimension, at least one score, and no NaN")
    for what, speakers in (("models", models), ("tests", tests)):
        if speakers.shape != scores.shape or not np.issubdtype(speakers.dtype, np.integer) or speakers.min() < 0:
            raise ValueError(f"{name} {what}: expected {scores.size} numbers of speakers, whole and not negative")
    return _Checked(scores, models, tests)


def _starts(targets: Float64Array, nontargets: Float64Array, thresholds: Sequence[float]) -> Float64Array:
    """Give the lowest score of each group: scores of one kind that no score of the other and no threshold parts."""
    distinct = np.unique(np.concatenate([targets, nontargets]))
    kind = np.isin(distinct, targets) + 2 * np.isin(distinct, nontargets)
    starts = np.append(True, (kind[1:] != kind[:-1]) | (kind[1:] == 3))
    cuts = np.searchsorted(distinct, thresholds)
    starts[cuts[cuts < len(distinct)]] = True
    lowest: Float64Array = distinct[starts]
    return lowest


def _sorted(side: _Checked, starts: Float64Array, sign: float) -> _Sorted:
    """Sort a side, and find where the groups begin in it."""
    order = np.argsort(side.scores, kind="stable")
    groups, first = np.unique(np.searchsorted(starts, side.scores[order], side="right") - 1, return_index=True)
    tests = np.where(side.models == side.tests, -1, side.tests)
    costs = np.logaddexp(0.0, sign * side.scores[order])
    return _Sorted(side.models[order], tests[order], costs, groups, first)


def _weigh(side: _Sorted, counts: Float64Array, n_groups: int) -> _Weighed:
    """Count each trial of a side as often as its speakers were drawn; the last row of the counts is 1."""
    weights = counts[side.models]
    weights *= counts[side.tests]
    grouped = np.zeros((n_groups, counts.shape[1]))
    grouped[side.groups] = np.add.reduceat(weights, side.first, axis=0)
    total = grouped.sum(axis=0)
    finite = np.isfinite(side.costs)
    cost = np.einsum("n,nb->b", np.where(finite, side.costs, 0.0), weights)
    cost[weights[~finite].any(axis=0)] = np.inf
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: there are none
        return _Weighed(grouped, total, cost / total)


@np.errstate(invalid="ignore")  # 0 / 0 is NaN: a kind of trial is missing
def _numbers(target: _Weighed, nontarget: _Weighed, starts: Float64Array, asked: _Asked) -> dict[str, Float64Array]:
    """Compute the numbers of some resamples."""
    before = np.zeros((1, len(target.total)))
    p_miss = np.vstack([before, np.cumsum(target.grouped, axis=0)]) / target.total
    p_fa = (nontarget.total - np.vstack([before, np.cumsum(nontarget.grouped, axis=0)])) / nontarget.total
    found = {"cllr": (target.cost + nontarget.cost) / (2.0 * np.log(2.0))}
    for preset in asked.presets:
        cuts = [np.searchsorted(starts, bayes_threshold(costs)) for costs in PRESETS[preset]]
        costs = [detection_cost(p_miss[cut], p_fa[cut], of) for cut, of in zip(cuts, PRESETS[preset], strict=True)]
        found[f"act_dcf.{preset}"] = np.mean(costs, axis=0)
    thresholds = np.append(starts, np.inf)
    there = np.vstack([target.grouped + nontarget.grouped > 0, np.ones_like(before, np.bool_)])
    ordered = [dict.fromkeys(asked.names, math.nan)] * len(target.total)
    for draw in np.flatnonzero((target.total > 0) & (nontarget.total > 0)).tolist():
        kept = there[:, draw]
        points = OperatingPoints(thresholds[kept], p_miss[kept, draw], p_fa[kept, draw])
        ordered[draw] = ordered_numbers(points, asked.presets, asked.false_alarm_rates)
    return found | {name: np.array([numbers[name] for numbers in ordered]) for name in asked.names}


def _percentiles(numbers: Mapping[str, Float64Array], confidence: float) -> dict[str, Interval | None]:
    """Give the values that leave out half of the rest on either side; both are values of resamples."""
    share = (1.0 - confidence) / 2.0
    found: dict[str, Interval | None] = {}
    for name, values in numbers.items():
        usable = np.sort(values[~np.isnan(values)])
        n_outside = int(share * usable.size + 1e-9)  # a whole number of values is one, whatever its last bit
        low, high = (usable[n_outside], usable[-1 - n_outside]) if usable.size else (0.0, 0.0)
        known = 2 * usable.size > values.size and math.isfinite(low) and math.isfinite(high)
        found[name] = (float(low), float(high)) if known else None
    return found
