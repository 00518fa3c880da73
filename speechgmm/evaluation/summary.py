"""The metrics of one trial list, as `metrics.json` holds them."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Annotated, Final, Literal, NotRequired, TypedDict, cast

import numpy as np
from pydantic import Field

from speechgmm.arrays import BoolArray, Float64Array, IntArray
from speechgmm.configuration import Configuration
from speechgmm.evaluation.bootstrap import (
    ABSOLUTE,
    IdentificationOutcomes,
    Interval,
    TrialGroup,
    identification_intervals,
    intervals,
)
from speechgmm.evaluation.identification import cmc, detection_identification_rate, identification_rate, true_ranks
from speechgmm.evaluation.metrics import act_dcf, cllr
from speechgmm.evaluation.operating_points import error_rates, rank_metrics
from speechgmm.wording import join_names

MOST_RANKS: Final = 20
"""Highest rank of a reported cumulative match characteristic."""

OPEN_SET_FALSE_ALARMS: Final = (0.01, 0.1)
"""False-alarm rates of open-set identification: shares of unknown speakers' tests that are answered by a model."""


class EvaluationConfig(Configuration):
    """Which metrics are computed from the scores.

    Parameters
    ----------
    dcf : list of "sre08", "sre10", "sre16", "voxceleb"
        Detection costs, named after the evaluations that define them.
    false_alarm_rates : list of float, 0 < rate < 1
        False-alarm rates at which the miss rate is reported.
    bootstrap : int, 0 <= bootstrap <= 100,000
        Number of bootstrap resamples of the speakers, for the confidence intervals of the metrics; 0 for no intervals.
    confidence : float, 0 < confidence < 1
        Confidence level of the intervals: the share of experiments with other speakers whose interval should contain
        the true value.
    """

    dcf: Annotated[tuple[Literal["sre08", "sre10", "sre16", "voxceleb"], ...], Field(strict=False)] = (
        "sre08",
        "voxceleb",
    )
    false_alarm_rates: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(strict=False)] = (0.01, 0.001)
    bootstrap: int = Field(1000, ge=0, le=100_000)
    confidence: float = Field(0.95, gt=0, lt=1)


class ListMetrics(TypedDict):
    """The metrics of one trial list, as ``metrics.json`` holds them; None for a metric that does not exist."""

    n_target: int  # scored target trials
    n_nontarget: int  # scored nontarget trials
    n_unscored: int  # trials without a score
    n_certain_errors: int  # targets that score -inf, and nontargets that score +inf
    eer: float | None  # fraction of 1, as are eer_hull and auc
    eer_hull: float | None
    auc: float | None
    p_miss_at_fa: dict[str, float | None]  # fractions of 1, by false-alarm rate
    min_dcf: dict[str, float | None]  # normalised, by preset
    act_dcf: dict[str, float | None]  # normalised, by preset
    cllr: float | None  # bits; None where certain errors make it infinite
    min_cllr: float | None  # bits
    intervals: NotRequired[dict[str, object] | None]  # (low, high) under the same names; see `uncertainty`
    p_miss: NotRequired[float | None]  # of calibrated scores, at the decision threshold; a fraction of 1
    p_fa: NotRequired[float | None]  # likewise
    cllr_uncalibrated: NotRequired[float | None]  # bits
    trains_calibration: NotRequired[bool]  # whether calibration was trained on trials of this list
    are_llrs: NotRequired[bool]  # false: scores are no log-likelihood ratios, so act_dcf and cllr are None


def summarise(
    llrs: Float64Array,
    target: BoolArray,
    config: EvaluationConfig,
    *,
    ranks: Float64Array | None = None,
) -> ListMetrics:
    """Compute the metrics of one trial list.

    `llrs` are scores (n,), taken as log-likelihood ratios in nats; NaN where a trial has none. `ranks` are the
    uncalibrated scores, where a calibration such as PAV has made different scores equal: metrics that depend only on
    the ranking are computed from them. Metrics that need both kinds of trial are None where one kind has no scores.
    """
    scored = ~np.isnan(llrs)
    sides = llrs[scored & target], llrs[scored & ~target]
    counts: dict[str, object] = {
        "n_target": len(sides[0]),
        "n_nontarget": len(sides[1]),
        "n_unscored": int(np.count_nonzero(~scored)),
        "n_certain_errors": int(np.count_nonzero(sides[0] == -np.inf) + np.count_nonzero(sides[1] == np.inf)),
    }
    if min(map(len, sides)) == 0:
        return cast(ListMetrics, counts | _nested({}, config))
    ordered = sides if ranks is None else (ranks[scored & target], ranks[scored & ~target])
    metrics: dict[str, float | None] = {**rank_metrics(error_rates(*ordered), config.dcf, config.false_alarm_rates)}
    metrics |= {f"act_dcf.{preset}": act_dcf(*sides, preset) for preset in config.dcf}
    with np.errstate(over="ignore"):  # scores of 1e308 overflow
        cost = cllr(*sides)
    metrics["cllr"] = cost if np.isfinite(cost) else None
    return cast(ListMetrics, counts | _nested(metrics, config))


def without_costs(metrics: ListMetrics) -> ListMetrics:
    """Leave out the metrics that take scores for log-likelihood ratios, with their intervals."""
    none: dict[str, object] = {"act_dcf": dict.fromkeys(metrics["act_dcf"]), "cllr": None}
    ends = metrics.get("intervals")
    return cast(ListMetrics, {**metrics, **none, "intervals": ends and {**ends, **none}, "are_llrs": False})


def costs_above_one(metrics: ListMetrics) -> str:
    """Say for which presets the actual cost is above 1, that of deciding without scores; empty if for none."""
    above = {preset: cost for preset, cost in metrics["act_dcf"].items() if cost is not None and round(cost, 3) > 1}
    if not above:
        return ""
    return f"the actual cost is {join_names([f'{cost:.3f} ({preset})' for preset, cost in above.items()])}, above 1"


def error_shares(llrs: Float64Array, target: BoolArray, threshold: float) -> tuple[float | None, float | None]:
    """Return the miss rate and the false-alarm rate at a decision threshold, as fractions of 1.

    Scores, (n,), are NaN where a trial has none. A trial is accepted if its score is at least the threshold. A rate is
    None where no trial of its kind has a score.
    """
    scored = ~np.isnan(llrs)
    rejected, accepted = llrs[scored & target] < threshold, llrs[scored & ~target] >= threshold
    p_miss, p_fa = (float(np.mean(errors)) if len(errors) else None for errors in (rejected, accepted))
    return p_miss, p_fa


def uncertainty(
    llrs: Float64Array,
    target: BoolArray,
    speakers: tuple[IntArray, IntArray],
    config: EvaluationConfig,
    rng: np.random.Generator,
    *,
    ranks: Float64Array | None = None,
) -> dict[str, object] | None:
    """Compute the intervals of the metrics of one trial list, as (low, high) under the names of `ListMetrics`.

    `speakers` are numbers (n,) of the models' speakers and of the tests'; the other arguments are those of `summarise`.
    An interval is None where most resamples lack a kind of trial, or an end is infinite. The result is None if no
    intervals are asked for, or a kind of trial has no scores.
    """
    scored = ~np.isnan(llrs)
    kinds = target & scored, ~target & scored
    if config.bootstrap == 0 or not all(kind.any() for kind in kinds):
        return None

    def intervals_of(scores: Float64Array, rng: np.random.Generator) -> dict[str, Interval | None]:
        """Compute the intervals of one kind of scores."""
        return intervals(
            *(TrialGroup(scores[kind], speakers[0][kind], speakers[1][kind]) for kind in kinds),
            presets=config.dcf,
            false_alarm_rates=config.false_alarm_rates,
            n_resamples=config.bootstrap,
            confidence=config.confidence,
            rng=rng,
        )

    by_rank = intervals_of(llrs if ranks is None else ranks, deepcopy(rng))
    same = ranks is None or np.array_equal(ranks, llrs, equal_nan=True)
    by_value = by_rank if same else intervals_of(llrs, rng)
    return _nested(by_rank | {name: by_value[name] for name in by_value if name.startswith(ABSOLUTE)}, config)


def summarise_identification(
    known: tuple[Float64Array, IntArray, IntArray],
    unknown: tuple[Float64Array, IntArray],
    config: EvaluationConfig,
    rng: np.random.Generator,
) -> dict[str, object]:
    """Compute the metrics of identification, and their intervals; all are fractions of 1.

    `known` are the scores (M, U) of the tests of enrolled speakers, the index of the right model of each test, and its
    speaker by number; `unknown` are the scores (M, V) and the speakers of tests of speakers without a model. ``rate``
    is the identification rate; ``cmc`` the share of tests whose model is among the best k, for k from 1 to
    `MOST_RANKS`; ``open_set`` has the rates at false-alarm rates, or is None if no speaker is unknown; ``intervals``
    are of ``rate`` and ``dir_at_fa``, or None if none are asked for.
    """
    matrix, truth, speakers = known
    n_unknown = len(unknown[1])
    metrics: dict[str, object] = {
        "rate": identification_rate(matrix, truth),
        "cmc": cmc(matrix, truth)[:MOST_RANKS].tolist(),
        "open_set": None,
        "intervals": None,
    }
    if n_unknown:
        rates = {
            str(rate): detection_identification_rate(matrix, truth, unknown[0], rate) for rate in OPEN_SET_FALSE_ALARMS
        }
        metrics["open_set"] = {"n_known": len(truth), "n_unknown": n_unknown, "dir_at_fa": rates}
    if config.bootstrap:
        flat = identification_intervals(
            IdentificationOutcomes(true_ranks(matrix, truth) == 1, matrix.max(axis=0), speakers),
            IdentificationOutcomes(np.zeros(n_unknown, np.bool_), unknown[0].max(axis=0), unknown[1])
            if n_unknown
            else None,
            false_alarm_rates=OPEN_SET_FALSE_ALARMS,
            n_resamples=config.bootstrap,
            confidence=config.confidence,
            rng=rng,
        )
        by_rate = {str(rate): flat.get(f"dir_at_fa.{rate}") for rate in OPEN_SET_FALSE_ALARMS}
        metrics["intervals"] = {"rate": flat["rate"], "dir_at_fa": by_rate}
    return metrics


def _nested(flat: Mapping[str, object], config: EvaluationConfig) -> dict[str, object]:
    """Nest metrics, or their intervals, as in ``metrics.json``; None for those that do not exist."""

    def by_key(name: str, keys: Sequence[object]) -> dict[str, object]:
        """Return the values of one metric by preset or false-alarm rate."""
        return {str(key): flat.get(f"{name}.{key}") for key in keys}

    return {
        **{name: flat.get(name) for name in ("eer", "eer_hull", "auc")},
        "p_miss_at_fa": by_key("p_miss_at_fa", config.false_alarm_rates),
        "min_dcf": by_key("min_dcf", config.dcf),
        "act_dcf": by_key("act_dcf", config.dcf),
        **{name: flat.get(name) for name in ("cllr", "min_cllr")},
    }
