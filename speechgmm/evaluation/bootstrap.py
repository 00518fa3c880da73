"""Confidence intervals by resampling speakers, for the metrics of one system and for the difference of two.

Trials are not independent: those of a speaker share the voice. So speakers are drawn with replacement, as many as there
are, and a trial is weighted by how often its speakers were drawn: c_i c_j times between speakers i and j, and c_i times
if both sides are speaker i, because each copy of a speaker is tested against its own model. A speaker has one count, as
model and in tests. With separate draws for models and tests, target trials would count c_i c'_i times, and the
intervals would be too wide (by 1.7 in the standard error of the misses); speakers who are on one side only are
independent of the others in either case.

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
from speechgmm.evaluation.operating_points import OperatingPoints, error_rates, rank_metrics

BLOCK: Final = 2**22
"""Trials times resamples in memory at once: 32 MB for each array of them."""

ABSOLUTE: Final = ("cllr", "act_dcf.")
"""Prefixes of the names of metrics that depend on the values of the scores, not only on their order."""

Interval = tuple[float, float]


class TrialGroup(NamedTuple):
    """The trials of one kind, target or nontarget, with their speakers."""

    scores: npt.ArrayLike  # (n,), no NaN
    models: npt.ArrayLike  # (n,) ints >= 0: the speaker of the model; the same numbers for both kinds of trial
    tests: npt.ArrayLike  # (n,) ints >= 0: the speaker in the test


class IdentificationOutcomes(NamedTuple):
    """How U tests were answered by the models of a closed or open set."""

    won: BoolArray  # (U,): whether the test's own model scores strictly higher than every other
    best: Float64Array  # (U,): the highest score of any model
    speakers: IntArray  # (U,), ints >= 0: the speaker in the test


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
    """Compute percentile intervals of the metrics under resampling of the speakers.

    Low and high of ``eer``, ``eer_hull``, ``auc``, ``cllr``, ``min_cllr``, of ``min_dcf.P`` and ``act_dcf.P`` for each
    preset P of `speechgmm.evaluation.costs.PRESETS`, and of ``p_miss_at_fa.R`` for each false-alarm rate R, in the
    units of `metrics`. Resamples without trials of a kind do not count. None if half of them or more are such, if low
    or high is infinite, or all trials are of one speaker. ValueError if a kind of trial has no scores, scores are NaN,
    or lengths differ.
    """
    counts = _draw_speakers((*target[1:], *nontarget[1:]), n_resamples, rng)
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
    """Compute percentile intervals of another system's metrics minus those of this one, on the same resamples.

    `others` are the target and nontarget scores of the other system for the same trials, in the same order. The
    difference is significant if its interval excludes 0. Otherwise as `intervals`.
    """
    counts = _draw_speakers((*target[1:], *nontarget[1:]), n_resamples, rng)
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
    """Compute the metrics of each of R resamples, an array (R,) by name; names are those of `intervals`.

    `counts`, (S, R), has how often each of S speakers is in each resample. Values are what the functions in `metrics`
    return for scores repeated as often as their trials count; NaN where a kind of trial is missing. ValueError as for
    `intervals`.

    Scores are sorted once, for all resamples, and successive scores of one kind are grouped: between them the ROC is a
    straight line, so that neither the crossing that is the EER, nor a minimum cost, nor a pool of PAV is inside a
    group.
    """
    drawn = np.asarray(counts)
    sides = _trial_arrays("target", target), _trial_arrays("nontarget", nontarget)
    names = rank_metrics(error_rates(sides[0].scores, sides[1].scores), presets, false_alarm_rates)
    metric_names = _MetricNames(presets, false_alarm_rates, tuple(names))
    cuts = [bayes_threshold(costs) for preset in presets for costs in PRESETS[preset]]
    starts = _group_starts(sides[0].scores, sides[1].scores, cuts)
    sorted_sides = [_sort_trials(side, starts, sign) for side, sign in zip(sides, (-1.0, 1.0), strict=True)]
    step = max(1, BLOCK // max(len(side.scores) for side in sides))
    blocks = []
    for start in range(0, drawn.shape[1], step):
        chosen = drawn[:, start : start + step]
        block = np.vstack([chosen, np.ones((1, chosen.shape[1]))])  # float64, where sums of whole numbers are exact
        target_side, nontarget_side = (_count_trials(side, block, len(starts)) for side in sorted_sides)
        blocks.append(_resample_metrics(target_side, nontarget_side, starts, metric_names))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def identification_intervals(
    known: IdentificationOutcomes,
    unknown: IdentificationOutcomes | None,
    *,
    false_alarm_rates: Sequence[float],
    n_resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, Interval | None]:
    """Compute percentile intervals of identification rates under resampling of the speakers of the tests.

    Low and high of ``rate``, and, with `unknown` speakers, of ``dir_at_fa.R`` for each false-alarm rate R. None if half
    of the resamples or more have no tests of a kind. The models are not resampled: a set with a speaker twice could not
    tell the two apart.
    """
    kinds = [known] if unknown is None else [known, unknown]
    counts = _draw_speakers([tests.speakers for tests in kinds], n_resamples, rng)
    rates = np.full((n_resamples, 1 if unknown is None else 1 + len(false_alarm_rates)), np.nan)
    for draw, drawn in enumerate(counts.T):
        known_tests = np.repeat(np.arange(len(known.won)), drawn[known.speakers])
        if not len(known_tests):
            continue
        rates[draw, 0] = np.mean(known.won[known_tests])
        unknown_tests = () if unknown is None else np.repeat(np.arange(len(unknown.won)), drawn[unknown.speakers])
        if unknown is not None and len(unknown_tests):
            outcomes = known.won[known_tests], known.best[known_tests], unknown.best[unknown_tests]
            rates[draw, 1:] = [detected_and_identified(*outcomes, rate) for rate in false_alarm_rates]
    names = ("rate", *(f"dir_at_fa.{rate}" for rate in false_alarm_rates))
    return _percentiles(dict(zip(names, rates.T, strict=False)), confidence)


class _MetricNames(NamedTuple):
    """The presets, false-alarm rates and names of the metrics to compute."""

    presets: Sequence[str]
    false_alarm_rates: Sequence[float]
    names: tuple[str, ...]  # keys of `rank_metrics`


class _TrialArrays(NamedTuple):
    """The trials of one kind as arrays."""

    scores: Float64Array
    models: IntArray
    tests: IntArray


class _SortedTrials(NamedTuple):
    """The trials of one kind, by increasing score."""

    models: IntArray  # rows of the counts
    tests: IntArray  # rows of the counts; the row after the last, always 1, where the speaker is the model's
    costs: Float64Array  # each trial's contribution to Cllr, nats
    groups: IntArray  # numbers of the groups that have trials of this kind
    first: IntArray  # the first trial of each group


class _TrialCounts(NamedTuple):
    """Weighted counts of the trials of one kind in B resamples."""

    grouped: Float64Array  # (G, B): trials of each of G groups
    total: Float64Array  # (B,): all trials
    cost: Float64Array  # (B,): their mean contribution to Cllr, nats


def _draw_speakers(speakers: Sequence[npt.ArrayLike], n_resamples: int, rng: np.random.Generator) -> IntArray:
    """Draw how often each speaker is in each resample, shape (S, R); all counts are 0 if there is only one speaker."""
    present = np.unique(np.concatenate([np.asarray(column) for column in speakers]))
    counts = np.zeros((n_resamples, present[-1] + 1), np.int32)  # the largest array, if there are many speakers
    for row in counts if len(present) > 1 else ():
        row[present] = rng.multinomial(len(present), np.full(len(present), 1.0 / len(present)))
    return counts.T


def _trial_arrays(name: str, side: TrialGroup) -> _TrialArrays:
    """Convert the trials of one kind to arrays; a ValueError names the kind."""
    scores = np.asarray(side.scores, dtype=np.float64)
    models, tests = np.asarray(side.models), np.asarray(side.tests)
    if scores.ndim != 1 or scores.size == 0 or np.isnan(scores).any():
        raise ValueError(f"{name} scores: shape {scores.shape}, expected one dimension, at least one score, and no NaN")
    for what, speakers in (("models", models), ("tests", tests)):
        if speakers.shape != scores.shape or not np.issubdtype(speakers.dtype, np.integer) or speakers.min() < 0:
            raise ValueError(f"{name} {what}: expected {scores.size} numbers of speakers, whole and not negative")
    return _TrialArrays(scores, models, tests)


def _group_starts(targets: Float64Array, nontargets: Float64Array, thresholds: Sequence[float]) -> Float64Array:
    """Return the lowest score of each group: scores of one kind with no score of the other and no threshold between."""
    distinct = np.unique(np.concatenate([targets, nontargets]))
    kind = np.isin(distinct, targets) + 2 * np.isin(distinct, nontargets)
    starts = np.append(True, (kind[1:] != kind[:-1]) | (kind[1:] == 3))
    cuts = np.searchsorted(distinct, thresholds)
    starts[cuts[cuts < len(distinct)]] = True
    lowest: Float64Array = distinct[starts]
    return lowest


def _sort_trials(side: _TrialArrays, starts: Float64Array, sign: float) -> _SortedTrials:
    """Sort the trials of one kind, and find where the groups begin; `sign` is -1 for targets, 1 for nontargets."""
    order = np.argsort(side.scores, kind="stable")
    groups, first = np.unique(np.searchsorted(starts, side.scores[order], side="right") - 1, return_index=True)
    tests = np.where(side.models == side.tests, -1, side.tests)
    costs = np.logaddexp(0.0, sign * side.scores[order])
    return _SortedTrials(side.models[order], tests[order], costs, groups, first)


def _count_trials(side: _SortedTrials, counts: Float64Array, n_groups: int) -> _TrialCounts:
    """Weight each trial of a kind by how often its speakers were drawn; the last row of the counts is 1."""
    weights = counts[side.models]
    weights *= counts[side.tests]
    grouped = np.zeros((n_groups, counts.shape[1]))
    grouped[side.groups] = np.add.reduceat(weights, side.first, axis=0)
    total = grouped.sum(axis=0)
    finite = np.isfinite(side.costs)
    cost = np.einsum("n,nb->b", np.where(finite, side.costs, 0.0), weights)
    cost[weights[~finite].any(axis=0)] = np.inf
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN where a resample has no trials
        return _TrialCounts(grouped, total, cost / total)


@np.errstate(invalid="ignore")  # 0 / 0 is NaN: a kind of trial is missing
def _resample_metrics(
    target: _TrialCounts, nontarget: _TrialCounts, starts: Float64Array, metric_names: _MetricNames
) -> dict[str, Float64Array]:
    """Compute the metrics of a block of resamples."""
    before = np.zeros((1, len(target.total)))
    p_miss = np.vstack([before, np.cumsum(target.grouped, axis=0)]) / target.total
    p_fa = (nontarget.total - np.vstack([before, np.cumsum(nontarget.grouped, axis=0)])) / nontarget.total
    metrics = {"cllr": (target.cost + nontarget.cost) / (2.0 * np.log(2.0))}
    for preset in metric_names.presets:
        cuts = [np.searchsorted(starts, bayes_threshold(costs)) for costs in PRESETS[preset]]
        costs = [detection_cost(p_miss[cut], p_fa[cut], one) for cut, one in zip(cuts, PRESETS[preset], strict=True)]
        metrics[f"act_dcf.{preset}"] = np.mean(costs, axis=0)
    thresholds = np.append(starts, np.inf)
    has_trials = np.vstack([target.grouped + nontarget.grouped > 0, np.ones_like(before, np.bool_)])
    by_draw = [dict.fromkeys(metric_names.names, math.nan)] * len(target.total)
    for draw in np.flatnonzero((target.total > 0) & (nontarget.total > 0)).tolist():
        groups = has_trials[:, draw]
        points = OperatingPoints(thresholds[groups], p_miss[groups, draw], p_fa[groups, draw])
        by_draw[draw] = rank_metrics(points, metric_names.presets, metric_names.false_alarm_rates)
    return metrics | {name: np.array([draw[name] for draw in by_draw]) for name in metric_names.names}


def _percentiles(metrics: Mapping[str, Float64Array], confidence: float) -> dict[str, Interval | None]:
    """Return the central interval of each metric's resamples; both ends are values of resamples."""
    share = (1.0 - confidence) / 2.0
    by_name: dict[str, Interval | None] = {}
    for name, values in metrics.items():
        usable = np.sort(values[~np.isnan(values)])
        n_outside = int(share * usable.size + 1e-9)  # a whole number in spite of rounding
        low, high = (usable[n_outside], usable[-1 - n_outside]) if usable.size else (0.0, 0.0)
        exists = 2 * usable.size > values.size and math.isfinite(low) and math.isfinite(high)
        by_name[name] = (float(low), float(high)) if exists else None
    return by_name
