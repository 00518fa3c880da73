"""The table of the numbers of trial lists, each with its meaning."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import typer

MEANINGS = {
    "n_target": "scored trials in which the model's speaker speaks",
    "n_nontarget": "scored trials in which somebody else does",
    "n_unscored": "trials without a score",
    "eer": "where as large a share of targets is missed as of nontargets accepted",
    "eer_hull": "the same on the convex hull of the ROC, where lots may be drawn",
    "auc": "area under the ROC: how often a target scores above a nontarget",
    "act_dcf": "cost of the decisions that the scores ask for, as ratios",
    "cllr": "bits; cost of the scores taken as log-likelihood ratios",
    "cllr_uncalibrated": "bits; of the scores before calibration",
    "min_cllr": "bits; the same if the scores were calibrated perfectly",
    "p_miss": "share of targets below the threshold, which are rejected",
    "p_fa": "share of nontargets at the threshold or above, which are accepted",
}

PERCENT, SHARE, COST = "{:.2%}", "{:.4f}", "{:.3f}"

Row = tuple[str, list[str], str]
"""A title, a cell for each list, a meaning."""

NARROWEST = 24
"""Columns that the meanings of the numbers need beside them; with fewer they follow below."""

WIDEST = 10_000
"""Columns in which a table of parts finds how many it needs."""


def show_numbers(lists: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the numbers of trial lists, a column for each, and what they mean.

    Parameters
    ----------
    lists : mapping of str to mapping
        By name, what `speechgmm.evaluation.summary.summarise` gives, and ``intervals``; what a calibrated run adds is
        shown where it is there.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = _rows(list(lists.values()), intervals=True)
    widths = [max(len(name), *(len(cells[n]) for _, cells, _ in rows)) for n, name in enumerate(lists)]
    needed = max(len(title) for title, _, _ in rows) + sum(width + 3 for width in widths) + 3
    width = Console().width
    beside = width - needed >= NARROWEST
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name, numbers in lists.items():
        title = f"{name}*" if numbers.get("trains_calibration") else name
        table.add_column(Text(title), justify="right", no_wrap=True)
    if beside:
        table.add_column("", style="dim")
    for title, cells, meaning in rows:
        table.add_row(title, *cells, *([meaning] if beside else []))
    Console(width=max(width, needed)).print(table)
    if not beside:
        for title, _, meaning in rows:
            typer.echo(f"{title}: {meaning}")


def show_parts(column: str, parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the numbers of parts of a trial list, a row for each.

    Parameters
    ----------
    column : str
        What parts them.
    parts : mapping of str to mapping
        From `speechgmm.evaluation.breakdown.breakdown`; at least one.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    laid_out = _rows(list(parts.values()), intervals=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(Text(column), no_wrap=True)
    for title, _, _ in laid_out:
        table.add_column(title.replace(" ", "\n"), justify="right", no_wrap=True)
    for place, name in enumerate(parts):
        table.add_row(Text(name or "(empty)"), *(cells[place] for _, cells, _ in laid_out))
    needed = Console(width=WIDEST).measure(table).maximum
    Console(width=max(Console().width, needed)).print(table)


def show_identification(found: Mapping[str, Any]) -> None:
    """Print how well speakers are told apart.

    Parameters
    ----------
    found : mapping of str to Any
        What ``metrics.json`` has of it.
    """
    intervals = found["intervals"] or {"rate": None, "dir_at_fa": {}}
    rate = number(found["rate"], "{:.1%}") + interval(intervals["rate"], "{:.2%}")
    typer.echo(
        f"identification: {rate} of {found['n_tests']} tests score highest with their own speaker's model, "
        f"of {found['n_models']}"
    )
    if found["open_set"]:
        rates = [
            f"{number(rate, '{:.1%}')}{interval(intervals['dir_at_fa'].get(at), '{:.2%}')} at {float(at):.0%}"
            for at, rate in found["open_set"]["dir_at_fa"].items()
        ]
        typer.echo(
            f"open set, with {found['open_set']['n_unknown']} tests of unknown speakers: detected and identified are "
            f"{', '.join(rates)} false alarms"
        )


def _rows(lists: Sequence[Mapping[str, Any]], *, intervals: bool) -> list[Row]:
    """Lay out the numbers of the trial lists; with intervals of all, or of the EER alone."""
    from speechgmm.evaluation.costs import PRESETS

    def row(title: str, name: str, form: str, meaning: str = "", of: str | None = None) -> Row:
        """Give a cell for each list."""
        shown = intervals or name == "eer"
        cells = [_cell(each, name, of, form) + (_interval(each, name, of, form) if shown else "") for each in lists]
        return title, cells, meaning or MEANINGS[name]

    rows = [row(name.removeprefix("n_"), name, "{:,}") for name in ("n_target", "n_nontarget", "n_unscored")]
    drawn = any((each["intervals"] or {}).get("eer") for each in lists)
    meaning = MEANINGS["eer"] + ("; with other speakers (low-high)" if drawn else "")
    rows += [row("EER", "eer", PERCENT, meaning), row("EER, hull", "eer_hull", PERCENT), row("AUC", "auc", SHARE)]
    for rate in lists[0]["p_miss_at_fa"]:
        percent = f"{100 * float(rate):g}%"
        meaning = f"share of targets missed where no more than {percent} of nontargets are accepted"
        rows.append(row(f"P_miss at {percent}", "p_miss_at_fa", PERCENT, meaning, rate))
    for preset in lists[0]["min_dcf"]:
        costs = ", ".join(f"c_miss {c.c_miss:g} c_fa {c.c_fa:g} p_target {c.p_target:g}" for c in PRESETS[preset])
        rows.append(row(f"minDCF {preset}", "min_dcf", COST, f"least cost, relative to no scores; {costs}", preset))
        rows.append(row(f"actDCF {preset}", "act_dcf", COST, MEANINGS["act_dcf"], preset))
    rows.append(row("Cllr", "cllr", COST))
    if "cllr_uncalibrated" in lists[0]:
        rows.append(row("Cllr, raw", "cllr_uncalibrated", COST))
    rows.append(row("minCllr", "min_cllr", COST))
    if "p_miss" in lists[0]:
        rows += [row("P_miss", "p_miss", PERCENT), row("P_fa", "p_fa", PERCENT)]
    return rows


def _cell(numbers: Mapping[str, Any], name: str, of: str | None, form: str) -> str:
    """Format a number of a list, by what it is for where there are several."""
    if name == "cllr" and numbers["n_certain_errors"]:
        return "inf"
    return number(numbers[name] if of is None else numbers[name][of], form)


def _interval(numbers: Mapping[str, Any], name: str, of: str | None, form: str) -> str:
    """Format the interval of a number, with a digit less, where there is one."""
    found = (numbers["intervals"] or {}).get(name)
    return interval(found if of is None or found is None else found[of], form)


def interval(ends: Sequence[float] | None, form: str) -> str:
    """Format an interval to stand behind its number, or nothing where there is none.

    Parameters
    ----------
    ends : two floats or None
        Low and high.
    form : str
        Of the number, as in ``{:.1%}``; the interval has a digit less.

    Returns
    -------
    str
        As in `` (1.2-3.4)``, without the sign of per cent.
    """
    if ends is None:
        return ""
    shorter = re.sub(r"\d", lambda digit: str(int(digit[0]) - 1), form)
    return " ({}-{})".format(*(shorter.format(each).rstrip("%") for each in ends))


def number(value: float | None, form: str) -> str:
    """Format a number, or a dash where there is none.

    Parameters
    ----------
    value : float or None
        The number.
    form : str
        How, as in ``{:.1%}``.

    Returns
    -------
    str
        As it is printed.
    """
    return "-" if value is None else form.format(value)
