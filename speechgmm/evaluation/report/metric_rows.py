"""Rows of metrics on a page: a row for each metric with its definition, a cell for each trial list."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from speechgmm.evaluation.bootstrap import ABSOLUTE
from speechgmm.evaluation.costs import PRESETS, Costs, bayes_threshold
from speechgmm.evaluation.summary import ListMetrics

Metrics = Mapping[str, Any]
"""The metrics of a trial list, or of identification, by the keys of ``metrics.json``."""

NO_SCORES: Final = "needs scored trials of both kinds"
CERTAIN_ERRORS: Final = "infinite: some trials are certain and wrong"
NOT_COMPUTED: Final = "not computed"
NO_RATIOS: Final = "no log-likelihood ratios: not calibrated"
NO_TESTS: Final = "no test of an enrolled speaker has scores"
NOT_HERE: Final = "not computed for so few models, or without tests of unknown speakers"

_EER: Final = (
    "Equal error rate: the error rate at the threshold where the miss rate (target trials rejected) equals the "
    "false-alarm rate (nontarget trials accepted). 0 % is perfect, 50 % is chance."
)
_IDENTIFICATION: Final = (
    "The share of tests for which the right speaker's model scores strictly higher than every other model of the "
    "closed set."
)
_MIN_DCF: Final = (
    "Minimum normalised detection cost: the cost at the best threshold for these trials. 0 is perfect, 1 is the cost "
    "of deciding without scores."
)
_ACT_DCF: Final = (
    "Actual normalised detection cost: the cost when deciding at the Bayes threshold. At least min DCF; above 1 it is "
    "worse than deciding without scores."
)
_CLLR: Final = (
    "Cost of the log-likelihood ratios, which measures discrimination and calibration together. 0 is perfect, 1 is the "
    "cost of ratios without information, and above 1 the ratios mislead."
)
_MIN_CLLR: Final = (
    "Cllr after the best monotone recalibration on these trials: the part due to discrimination. The rest of Cllr is "
    "due to calibration."
)
_CLLR_UNCALIBRATED: Final = "Cllr of the scores before calibration."
_P_MISS: Final = "The share of target trials below the decision threshold, which are rejected."
_P_FA: Final = "The share of nontarget trials at or above the decision threshold, which are accepted."
_EER_HULL: Final = (
    "The equal error rate on the convex hull of the ROC, which decisions reach that choose at random between two "
    "thresholds. At most the EER."
)
_AUC: Final = (
    "The probability that a target trial scores above a nontarget trial; ties count half. 1 is perfect, 0.5 is chance."
)
_MISS_RATE_AT: Final = "The lowest miss rate at a threshold with at most this false-alarm rate."
_BEST: Final = "The share of tests whose right model is among this many best-scoring models; ties count against it."
_OPEN_SET: Final = (
    "Detection and identification rate: the share of the tests of enrolled speakers whose right model scores highest, "
    "and above the threshold that at most this share of the tests of unknown speakers reaches."
)


class IntervalText(NamedTuple):
    """A confidence interval as the page shows it."""

    low: str
    high: str
    difference: str = ""  # of an interval of a difference, the difference itself
    holds_zero: bool = False  # whether an interval of a difference contains 0


class Cell(NamedTuple):
    """A metric as the page shows it."""

    text: str
    unit: str = ""
    reason: str = ""  # why there is no value, if the text is a dash
    interval: IntervalText | None = None
    difference: IntervalText | None = None


class Metric(NamedTuple):
    """A metric with its name, definition and number format."""

    key: str  # of its value among the metrics of a list, as in ``min_dcf.sre08``
    name: str
    meaning: tuple[str, ...]  # the definition, line by line
    scale: float = 1.0
    decimals: int = 3
    unit: str = ""

    def cell(self, metrics: Metrics, difference: tuple[float, float, float] | None = None) -> Cell:
        """Format the value in the metrics of a list; a dash with a reason if there is none.

        `difference` is that to another system, with low and high of its interval.
        """
        why_none = _why_none(metrics, self.key)
        cell = number_cell(_value(metrics, self.key), self.scale, self.decimals, self.unit, why_none)
        interval = _value(metrics.get("intervals") or {}, self.key)
        if interval is not None:
            low, high = map(self._text, interval)
            cell = cell._replace(interval=IntervalText(low, high))
        if difference is not None:
            text, low, high = (self._text(value, sign="+") for value in difference)
            holds_zero = difference[1] <= 0.0 <= difference[2]
            cell = cell._replace(difference=IntervalText(low, high, text, holds_zero))
        return cell

    def _text(self, value: float, sign: str = "") -> str:
        """Format the end of an interval, or a difference with its sign."""
        return f"{self.scale * value:{sign},.{self.decimals}f}".replace("-", "−")


class Row(NamedTuple):
    """A row of a table of metrics."""

    metric: Metric
    cells: tuple[Cell, ...]


def headline_rows(columns: Mapping[str, ListMetrics], differences: "Differences | None" = None) -> tuple[Row, ...]:
    """Lay out the main metrics, a column for each list: EER, detection costs, Cllr, and error rates of decisions.

    `differences` has those of each column by the key of a metric.
    """
    return _rows(
        (_EER_METRIC, *_detection_costs(columns), *_LIKELIHOOD_RATIOS, *_DECISIONS), columns, differences or {}
    )


def further_rows(columns: Mapping[str, ListMetrics], differences: "Differences | None" = None) -> tuple[Row, ...]:
    """Lay out the other metrics: EER of the ROC convex hull, area under the ROC, miss rates at false-alarm rates."""
    rates = dict.fromkeys(rate for metrics in columns.values() for rate in metrics.get("p_miss_at_fa") or {})
    at_rates = (
        Metric(
            f"p_miss_at_fa.{rate}", f"Miss rate at {100 * float(rate):g} % false alarms", (_MISS_RATE_AT,), *_PERCENT
        )
        for rate in rates
    )
    return _rows((*_OF_ROC, *at_rates), columns, differences or {})


def identification_rows(columns: Mapping[str, Metrics]) -> tuple[Row, ...]:
    """Lay out the metrics of identification: rates at ranks, and in an open set; a column for each results folder."""
    flat = {}
    for name, metrics in columns.items():
        shares, open_set = metrics["cmc"] or (), metrics["open_set"] or {}
        best = {str(rank): shares[rank - 1] for rank in (2, 3, 5, 10, 20) if rank <= len(shares)}
        flat[name] = {**metrics, "best": best, "dir_at_fa": open_set.get("dir_at_fa", {})}
    ranks, rates = (
        dict.fromkeys(k for metrics in flat.values() for k in metrics[key]) for key in ("best", "dir_at_fa")
    )
    rows = (
        Metric("rate", "Identification rate", (_IDENTIFICATION,), *_PERCENT),
        *(Metric(f"best.{rank}", f"Among the best {rank}", (_BEST,), *_PERCENT) for rank in ranks),
        *(
            Metric(f"dir_at_fa.{rate}", f"Open set, {100 * float(rate):g} % false alarms", (_OPEN_SET,), *_PERCENT)
            for rate in rates
        ),
    )
    return _rows(rows, flat, {})


def number_cell(
    value: float | None, scale: float = 1.0, decimals: int = 3, unit: str = "", why_none: str = NO_SCORES
) -> Cell:
    """Format a number; a dash with the reason if there is none."""
    if value is None:
        return Cell("–", reason=why_none)
    if math.isnan(value):
        return Cell("–", reason="the computation gave no number")
    if math.isinf(value):
        return Cell("∞" if value > 0 else "−∞", unit)
    return Cell(f"{scale * value:,.{decimals}f}".replace("-", "−"), unit)


Differences = Mapping[str, Sequence[tuple[float, float, float] | None]]
_PERCENT: Final = (100.0, 2, "%")
_EER_METRIC: Final = Metric("eer", "EER", (_EER,), *_PERCENT)
_LIKELIHOOD_RATIOS: Final = (
    Metric("cllr", "Cllr", (_CLLR,), unit="bit"),
    Metric("min_cllr", "min Cllr", (_MIN_CLLR,), unit="bit"),
)
_DECISIONS: Final = (
    Metric("cllr_uncalibrated", "Cllr before calibration", (_CLLR_UNCALIBRATED,), unit="bit"),
    Metric("p_miss", "Miss rate", (_P_MISS,), *_PERCENT),
    Metric("p_fa", "False-alarm rate", (_P_FA,), *_PERCENT),
)
_OF_ROC: Final = (
    Metric("eer_hull", "EER of the ROC convex hull", (_EER_HULL,), *_PERCENT),
    Metric("auc", "Area under the ROC", (_AUC,), decimals=4),
)


def _rows(metrics: Sequence[Metric], columns: Mapping[str, Metrics], differences: Differences) -> tuple[Row, ...]:
    """Fill in the metrics that at least one column has."""
    none = (None,) * len(columns)
    return tuple(
        Row(
            metric,
            tuple(
                metric.cell(column, difference)
                for column, difference in zip(columns.values(), differences.get(metric.key, none), strict=True)
            ),
        )
        for metric in metrics
        if any(_has(column, metric.key) for column in columns.values())
    )


def _why_none(metrics: Metrics, key: str) -> str:
    """Return the reason why a list, or an identification, lacks a metric that others have."""
    if "n_target" not in metrics:
        return NO_TESTS if metrics["rate"] is None else NOT_HERE
    if metrics.get("are_llrs") is False and key.startswith((*ABSOLUTE, "p_miss", "p_fa")):
        return NO_RATIOS
    if not _has(metrics, key):
        return NOT_COMPUTED
    return CERTAIN_ERRORS if metrics["n_target"] and metrics["n_nontarget"] else NO_SCORES


def _value(metrics: Metrics, key: str) -> Any:
    """Look up a value, or an interval, by its key; None if there is none."""
    name, _, below = key.partition(".")
    value = metrics.get(name)
    return (value or {}).get(below) if below else value


def _has(metrics: Metrics, key: str) -> bool:
    """Return whether a list has a metric, even if its value is None."""
    name, _, below = key.partition(".")
    return name in metrics and (not below or below in (metrics[name] or {}))


def _detection_costs(columns: Mapping[str, ListMetrics]) -> Iterator[Metric]:
    """Yield minimum and actual detection cost of every preset that some column has."""
    for preset in dict.fromkeys(preset for metrics in columns.values() for preset in metrics["min_dcf"]):
        several = PRESETS[preset]
        yield Metric(f"min_dcf.{preset}", f"min DCF {preset}", (_MIN_DCF, *_cost_meaning(several)))
        yield Metric(f"act_dcf.{preset}", f"act DCF {preset}", (_ACT_DCF, _bayes_meaning(several)))


def _cost_meaning(several: tuple[Costs, ...]) -> tuple[str, ...]:
    """Describe the costs of a minimum DCF, and its normalisation."""
    lines = []
    for costs in several:
        norm = min(costs.c_miss * costs.p_target, costs.c_fa * (1.0 - costs.p_target))
        lines.append(
            f"c_miss = {costs.c_miss:g}, c_fa = {costs.c_fa:g}, p_target = {costs.p_target:g}; "
            f"divided by min(c_miss\u00a0p_target, c_fa\u00a0(1\u00a0−\u00a0p_target))\u00a0=\u00a0{norm:g}"
        )
    if len(several) > 1:
        lines.append(f"The mean of these {len(several)} costs, each at its own best threshold.")
    return tuple(lines)


def _bayes_meaning(several: tuple[Costs, ...]) -> str:
    """Describe the thresholds of the decisions."""
    formula = "log(c_fa\u00a0(1\u00a0−\u00a0p_target)\u00a0/\u00a0(c_miss\u00a0p_target))"
    thresholds = " and ".join(f"{bayes_threshold(costs):.2f}" for costs in several)
    return f"Bayes threshold {formula}: {thresholds} nats."
