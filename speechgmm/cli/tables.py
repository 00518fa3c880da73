"""Tables of the metrics of trial lists, with the definition of each metric."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import typer

DEFINITIONS = {
    "n_target": "scored trials with the same speaker in model and test",
    "n_nontarget": "scored trials with different speakers in model and test",
    "n_unscored": "trials without a score",
    "eer": "equal error rate: miss rate where it equals the false alarm rate",
    "eer_hull": "EER of the ROC convex hull",
    "auc": "area under the ROC curve: how often a target scores above a nontarget",
    "act_dcf": "cost when deciding at the Bayes threshold",
    "cllr": "cost of the log-likelihood ratios, bits",
    "cllr_uncalibrated": "Cllr before calibration, bits",
    "min_cllr": "Cllr after optimal calibration of these scores, bits",
    "p_miss": "miss rate: targets rejected, below the threshold",
    "p_fa": "false alarm rate: nontargets accepted, at or above the threshold",
}

NOT_CALIBRATED = "not calibrated"
"""In place of a metric of log-likelihood ratios, if the scores are none."""

PERCENT, SHARE, COST = "{:.2%}", "{:.4f}", "{:.3f}"

Row = tuple[str, list[str], str]
"""A title, a cell for each trial list, and a definition."""

MIN_DEFINITION_WIDTH = 24
"""Least width, in characters, of a column of definitions; if there is less room, they follow below the table."""

UNLIMITED_WIDTH = 10_000
"""Width, in characters, at which the natural width of a table is measured."""


def show_numbers(lists: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the metrics of trial lists, one column per list, with the definition of each metric.

    Each list has the metrics of `speechgmm.evaluation.summary.summarise` and ``intervals``; metrics that only
    calibrated runs have are printed if they are there.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = _metric_rows(list(lists.values()), all_intervals=True)
    widths = [max(len(name), *(len(cells[n]) for _, cells, _ in rows)) for n, name in enumerate(lists)]
    needed = max(len(title) for title, _, _ in rows) + sum(width + 3 for width in widths) + 3
    width = Console().width
    has_room = width - needed >= MIN_DEFINITION_WIDTH
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name, numbers in lists.items():
        title = f"{name}*" if numbers.get("trains_calibration") else name
        table.add_column(Text(title), justify="right", no_wrap=True)
    if has_room:
        table.add_column("", style="dim")
    for title, cells, definition in rows:
        table.add_row(title, *cells, *([definition] if has_room else []))
    Console(width=max(width, needed)).print(table)
    if not has_room:
        for title, _, definition in rows:
            typer.echo(f"{title}: {definition}")


def show_parts(column: str, parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the metrics of the parts of a trial list, one row per part.

    `column` divides the trials; `parts`, at least one, come from `speechgmm.evaluation.breakdown.breakdown`.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = _metric_rows(list(parts.values()), all_intervals=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(Text(column), no_wrap=True)
    for title, _, _ in rows:
        table.add_column(title.replace(" ", "\n"), justify="right", no_wrap=True)
    for index, name in enumerate(parts):
        table.add_row(Text(name or "(empty)"), *(cells[index] for _, cells, _ in rows))
    needed = Console(width=UNLIMITED_WIDTH).measure(table).maximum
    Console(width=max(Console().width, needed)).print(table)


def show_identification(metrics: Mapping[str, Any]) -> None:
    """Print the identification metrics of ``metrics.json``: closed set, and open set if there are unknown speakers."""
    intervals = metrics["intervals"] or {"rate": None, "dir_at_fa": {}}
    rate = format_number(metrics["rate"], "{:.1%}") + format_interval(intervals["rate"], "{:.2%}")
    typer.echo(
        f"identification: {rate} of {metrics['n_tests']} tests score highest with their own speaker's model, "
        f"among {metrics['n_models']} models"
    )
    if metrics["open_set"]:
        rates = [
            format_number(rate, "{:.1%}")
            + format_interval(intervals["dir_at_fa"].get(p_fa), "{:.2%}")
            + f" at {float(p_fa):.0%}"
            for p_fa, rate in metrics["open_set"]["dir_at_fa"].items()
        ]
        typer.echo(
            f"open set, {metrics['open_set']['n_unknown']} tests of unknown speakers: detection and identification "
            f"rate {', '.join(rates)} false alarms"
        )


def _metric_rows(lists: Sequence[Mapping[str, Any]], *, all_intervals: bool) -> list[Row]:
    """Build the rows of the metrics of trial lists, with all intervals or the EER's alone."""
    from speechgmm.evaluation.costs import PRESETS

    def row(title: str, metric: str, form: str, definition: str = "", key: str | None = None) -> Row:
        """Build a row with a cell for each list."""
        has_interval = all_intervals or metric == "eer"
        cells = [
            _format_metric(numbers, metric, key, form)
            + (_format_metric_interval(numbers, metric, key, form) if has_interval else "")
            for numbers in lists
        ]
        definition = definition or DEFINITIONS[metric]
        if NOT_CALIBRATED in cells:
            definition += "; needs log-likelihood ratios: calibrate the scores"
        return title, cells, definition

    rows = [row(name.removeprefix("n_"), name, "{:,}") for name in ("n_target", "n_nontarget", "n_unscored")]
    has_intervals = any((numbers["intervals"] or {}).get("eer") for numbers in lists)
    eer = DEFINITIONS["eer"] + ("; bootstrap interval (low-high)" if has_intervals else "")
    rows += [row("EER", "eer", PERCENT, eer), row("EER, hull", "eer_hull", PERCENT), row("AUC", "auc", SHARE)]
    for rate in lists[0]["p_miss_at_fa"]:
        percent = f"{100 * float(rate):g}%"
        definition = f"miss rate at a false alarm rate of at most {percent}"
        rows.append(row(f"P_miss at {percent}", "p_miss_at_fa", PERCENT, definition, rate))
    for preset in lists[0]["min_dcf"]:
        costs = ", ".join(f"c_miss {c.c_miss:g} c_fa {c.c_fa:g} p_target {c.p_target:g}" for c in PRESETS[preset])
        rows.append(row(f"minDCF {preset}", "min_dcf", COST, f"minimum normalised detection cost; {costs}", preset))
        rows.append(row(f"actDCF {preset}", "act_dcf", COST, DEFINITIONS["act_dcf"], preset))
    rows.append(row("Cllr", "cllr", COST))
    if "cllr_uncalibrated" in lists[0]:
        rows.append(row("Cllr, raw", "cllr_uncalibrated", COST))
    rows.append(row("minCllr", "min_cllr", COST))
    if "p_miss" in lists[0]:
        rows += [row("P_miss", "p_miss", PERCENT), row("P_fa", "p_fa", PERCENT)]
    return rows


def _format_metric(numbers: Mapping[str, Any], metric: str, key: str | None, form: str) -> str:
    """Format a metric of a list; `key` chooses one where a metric has several values, as by preset."""
    if lacks_ratios(numbers, metric):
        return NOT_CALIBRATED
    if metric == "cllr" and numbers["n_certain_errors"]:
        return "inf"
    return format_number(numbers[metric] if key is None else numbers[metric][key], form)


def lacks_ratios(numbers: Mapping[str, Any], metric: str) -> bool:
    """Whether a list has no value of a metric because its scores are no log-likelihood ratios."""
    return metric in ("act_dcf", "cllr") and numbers.get("are_llrs") is False


def _format_metric_interval(numbers: Mapping[str, Any], metric: str, key: str | None, form: str) -> str:
    """Format the interval of a metric, if it has one."""
    ends = (numbers["intervals"] or {}).get(metric)
    return format_interval(ends if key is None or ends is None else ends[key], form)


def format_interval(ends: Sequence[float] | None, form: str) -> str:
    """Format an interval as in `` (1.2-3.4)``, without per cent signs; return an empty string without one.

    `form` is the format of the metric, as in ``{:.1%}``; the interval has one digit less.
    """
    if ends is None:
        return ""
    shorter = re.sub(r"\d", lambda digit: str(int(digit[0]) - 1), form)
    return " ({}-{})".format(*(shorter.format(end).rstrip("%") for end in ends))


def format_number(value: float | None, form: str) -> str:
    """Format a metric by a format as in ``{:.1%}``, as a dash if it has no value."""
    return "-" if value is None else form.format(value)
