"""The numbers of trial lists as a page lays them out: a row for each, with its definition, a cell for each list."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from speechgmm.evaluation.costs import PRESETS, Costs, bayes_threshold
from speechgmm.evaluation.report.content import Numbers

NO_SCORES: Final = "needs scored trials of both kinds"
CERTAIN_ERRORS: Final = "infinite: trials that are certain are wrong"
NO_TESTS: Final = "no test of an enrolled speaker has scores"
NOT_HERE: Final = "not for as many models, or without tests of unknown speakers"

EER: Final = (
    "The share of errors at the threshold where misses (target trials rejected) and false alarms (nontarget trials "
    "accepted) are equally frequent. 0 % is perfect, 50 % is chance."
)
IDENTIFICATION: Final = (
    "The share of tests for which the right speaker's model scores strictly higher than every other model of the "
    "closed set; a tie at the top does not count."
)
_MIN_DCF: Final = (
    "The expected cost of decisions at the threshold that is best for these trials. 0 is perfect, 1 is what deciding "
    "without the scores costs."
)
_ACT_DCF: Final = (
    "The expected cost, as of min DCF, of the decisions that the scores themselves ask for as log-likelihood ratios. "
    "At least min DCF; above 1 it were better not to listen."
)
_CLLR: Final = (
    "What it costs, in bits, to take the scores at their word as log-likelihood ratios (natural logarithm). 0 is "
    "perfect, 1 is what scores that say nothing cost, and more than 1 misleads."
)
_MIN_CLLR: Final = (
    "The Cllr that would be left after the best monotone recalibration on these same trials, so it depends on the "
    "order of the scores only. The rest of Cllr is due to calibration."
)
_EER_HULL: Final = (
    "The equal error rate on the convex hull of the ROC, which is what the best mixture of two thresholds reaches. "
    "At most the EER above, which is of the thresholds that there are."
)
_AUC: Final = (
    "The share of pairs of a target and a nontarget trial in which the target scores higher; of a tie, half. "
    "1 is perfect, 0.5 is chance."
)
_BEST: Final = "The share of tests whose right model is outscored, or equalled, by fewer than so many others."
_OPEN_SET: Final = (
    "The share of the tests of enrolled speakers whose right model scores highest and above the threshold that no more "
    "than this share of the tests of speakers without a model reaches."
)


class Interval(NamedTuple):
    """Low and high of a number as the page shows them; of a difference, whether it holds 0, and the difference."""

    low: str
    high: str
    difference: str = ""
    holds_zero: bool = False


class Cell(NamedTuple):
    """A number as the page shows it: the text, its unit, the reason if the text is a dash, and how sure it is."""

    text: str
    unit: str = ""
    reason: str = ""
    interval: Interval | None = None
    difference: Interval | None = None


class Measure(NamedTuple):
    """A number of a trial list.

    Parameters
    ----------
    key : str
        Where it stands among the numbers of a list, as in ``min_dcf.sre08``.
    name : str
        What people call it.
    meaning : tuple of str
        What that is, line by line.
    scale, decimals, unit
        How it is written.
    """

    key: str
    name: str
    meaning: tuple[str, ...]
    scale: float = 1.0
    decimals: int = 3
    unit: str = ""

    def cell(self, numbers: Numbers, difference: tuple[float, float, float] | None = None) -> Cell:
        """Write the number of a list.

        Parameters
        ----------
        numbers : Numbers
            Of the list.
        difference : three floats, optional
            To another system, and low and high of its interval.

        Returns
        -------
        Cell
            A dash with a reason where there is none.
        """
        cell = written(_find(numbers, self.key), self.scale, self.decimals, self.unit, _why_none(numbers))
        found = _find(numbers.get("intervals") or {}, self.key)
        if found is not None:
            low, high = map(self._text, found)
            cell = cell._replace(interval=Interval(low, high))
        if difference is not None:
            apart, low, high = (self._text(each, sign="+") for each in difference)
            holds_zero = difference[1] <= 0.0 <= difference[2]
            cell = cell._replace(difference=Interval(low, high, apart, holds_zero))
        return cell

    def _text(self, value: float, sign: str = "") -> str:
        """Write a bound of an interval, or a difference with its sign."""
        return f"{self.scale * value:{sign},.{self.decimals}f}".replace("-", "−")


class Row(NamedTuple):
    """A row of a table of numbers."""

    measure: Measure
    cells: tuple[Cell, ...]


def headline_rows(columns: Mapping[str, Numbers], differences: "Differences | None" = None) -> tuple[Row, ...]:
    """Lay out the numbers that everybody asks for.

    Parameters
    ----------
    columns : mapping of str to Numbers
        A column for each.
    differences : mapping of str to sequence of (three floats or None), optional
        By the key of a number, those of each column.

    Returns
    -------
    tuple of Row
        EER, detection costs, Cllr; and the shares of errors where decisions were made.
    """
    return _rows((_EER_MEASURE, *_of_costs(columns), *_LIKELIHOOD_RATIOS, *_DECISIONS), columns, differences or {})


def further_rows(columns: Mapping[str, Numbers], differences: "Differences | None" = None) -> tuple[Row, ...]:
    """Lay out the other numbers: EER of the hull, area under the ROC, misses at given false alarms.

    Parameters
    ----------
    columns, differences
        As for `headline_rows`.

    Returns
    -------
    tuple of Row
        Those that some column has.
    """
    rates = dict.fromkeys(rate for numbers in columns.values() for rate in numbers.get("p_miss_at_fa") or {})
    at_rates = (
        Measure(
            f"p_miss_at_fa.{rate}",
            f"Misses at {100 * float(rate):g} % false alarms",
            ("The lowest share of targets rejected at a threshold with no more than this share of false alarms.",),
            *_PERCENT,
        )
        for rate in rates
    )
    return _rows((*_OF_ROC, *at_rates), columns, differences or {})


def identification_rows(columns: Mapping[str, Numbers]) -> tuple[Row, ...]:
    """Lay out the numbers of identification: its rate, that of ranks, and of an open set.

    Parameters
    ----------
    columns : mapping of str to mapping
        A column for each: as ``metrics.json`` has them.

    Returns
    -------
    tuple of Row
        Those that some column has.
    """
    flat = {}
    for name, found in columns.items():
        shares, open_set = found["cmc"] or (), found["open_set"] or {}
        best = {str(rank): shares[rank - 1] for rank in (2, 3, 5, 10, 20) if rank <= len(shares)}
        flat[name] = {**found, "best": best, "dir_at_fa": open_set.get("dir_at_fa", {})}
    ranks, rates = (dict.fromkeys(k for each in flat.values() for k in each[key]) for key in ("best", "dir_at_fa"))
    measures = (
        Measure("rate", "Identification rate", (IDENTIFICATION,), *_PERCENT),
        *(Measure(f"best.{rank}", f"Among the best {rank}", (_BEST,), *_PERCENT) for rank in ranks),
        *(
            Measure(f"dir_at_fa.{rate}", f"Open set, {100 * float(rate):g} % false alarms", (_OPEN_SET,), *_PERCENT)
            for rate in rates
        ),
    )
    return _rows(measures, flat, {})


def written(
    value: float | None, scale: float = 1.0, decimals: int = 3, unit: str = "", why_none: str = NO_SCORES
) -> Cell:
    """Write a number.

    Parameters
    ----------
    value : float or None
        The number.
    scale, decimals, unit
        How.
    why_none : str
        Why there is none, if there is none.

    Returns
    -------
    Cell
        A dash with the reason, where there is no number.
    """
    if value is None:
        return Cell("–", reason=why_none)
    if math.isnan(value):
        return Cell("–", reason="the computation gave no number")
    if math.isinf(value):
        return Cell("∞" if value > 0 else "−∞", unit)
    return Cell(f"{scale * value:,.{decimals}f}".replace("-", "−"), unit)


Differences = Mapping[str, Sequence[tuple[float, float, float] | None]]
_PERCENT: Final = (100.0, 2, "%")
_EER_MEASURE: Final = Measure("eer", "EER", (EER,), *_PERCENT)
_LIKELIHOOD_RATIOS: Final = (
    Measure("cllr", "Cllr", (_CLLR,), unit="bit"),
    Measure("min_cllr", "min Cllr", (_MIN_CLLR,), unit="bit"),
)
_DECISIONS: Final = (
    Measure("cllr_uncalibrated", "Cllr, raw", ("The Cllr of the scores before calibration.",), unit="bit"),
    Measure("p_miss", "Misses", ("The share of target trials below the threshold, which are rejected.",), *_PERCENT),
    Measure(
        "p_fa",
        "False alarms",
        ("The share of nontarget trials at the threshold or above, which are accepted.",),
        *_PERCENT,
    ),
)
_OF_ROC: Final = (
    Measure("eer_hull", "EER of the convex hull", (_EER_HULL,), *_PERCENT),
    Measure("auc", "Area under the ROC", (_AUC,), decimals=4),
)


def _rows(measures: Sequence[Measure], columns: Mapping[str, Numbers], differences: Differences) -> tuple[Row, ...]:
    """Fill in the measures that some column has."""
    none = (None,) * len(columns)
    return tuple(
        Row(
            measure,
            tuple(
                measure.cell(numbers, apart)
                for numbers, apart in zip(columns.values(), differences.get(measure.key, none), strict=True)
            ),
        )
        for measure in measures
        if any(_has(numbers, measure.key) for numbers in columns.values())
    )


def _why_none(numbers: Numbers) -> str:
    """Say why a list, or an identification, has no number where others have one."""
    if "n_target" not in numbers:
        return NO_TESTS if numbers["rate"] is None else NOT_HERE
    return CERTAIN_ERRORS if numbers["n_target"] and numbers["n_nontarget"] else NO_SCORES


def _find(numbers: Numbers, key: str) -> Any:
    """Look a number, or an interval, up by its key."""
    name, _, below = key.partition(".")
    found = numbers.get(name)
    return (found or {}).get(below) if below else found


def _has(numbers: Numbers, key: str) -> bool:
    """Tell whether a list knows of a number, though it may have none."""
    name, _, below = key.partition(".")
    return name in numbers and (not below or below in (numbers[name] or {}))


def _of_costs(columns: Mapping[str, Numbers]) -> Iterator[Measure]:
    """Give the measures of all detection costs that some column has."""
    for preset in dict.fromkeys(preset for numbers in columns.values() for preset in numbers["min_dcf"]):
        several = PRESETS[preset]
        yield Measure(f"min_dcf.{preset}", f"min DCF {preset}", (_MIN_DCF, *_cost_meaning(several)))
        yield Measure(f"act_dcf.{preset}", f"act DCF {preset}", (_ACT_DCF, _bayes_meaning(several)))


def _cost_meaning(several: tuple[Costs, ...]) -> tuple[str, ...]:
    """Say what the costs of a minimum DCF are, and its normalisation."""
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
    """Say at which thresholds decisions are made."""
    formula = "log(c_fa\u00a0(1\u00a0−\u00a0p_target)\u00a0/\u00a0(c_miss\u00a0p_target))"
    return f"Accepted from {formula} on: {' and '.join(f'{bayes_threshold(each):.2f}' for each in several)} nats."
