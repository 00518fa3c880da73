"""The table of the numbers of trial lists, each with its meaning."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer

MEANINGS = {
    "n_target": "scored trials in which the model's speaker speaks",
    "n_nontarget": "scored trials in which somebody else does",
    "n_unscored": "trials without a score",
    "eer": "where as large a share of targets is missed as of nontargets accepted; with other speakers (low-high)",
    "cllr": "bits; cost of the scores taken as log-likelihood ratios",
    "min_cllr": "bits; the same if the scores were calibrated perfectly",
    "p_miss": "share of targets below the threshold, which are rejected",
    "p_fa": "share of nontargets at the threshold or above, which are accepted",
}

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

    rows = _rows(list(lists.values()))
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

    laid_out = _rows(list(parts.values()))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(Text(column), no_wrap=True)
    for title, _, _ in laid_out:
        table.add_column(title.replace(" ", "\n"), justify="right", no_wrap=True)
    for place, name in enumerate(parts):
        table.add_row(Text(name or "(empty)"), *(cells[place] for _, cells, _ in laid_out))
    needed = Console(width=WIDEST).measure(table).maximum
    Console(width=max(Console().width, needed)).print(table)


def _rows(lists: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str], str]]:
    """Lay out the numbers of the trial lists: a title, a cell for each list, a meaning."""
    from speechgmm.evaluation.metrics import PRESETS

    rows = [
        ("target", [f"{each['n_target']:,}" for each in lists], MEANINGS["n_target"]),
        ("nontarget", [f"{each['n_nontarget']:,}" for each in lists], MEANINGS["n_nontarget"]),
        ("unscored", [f"{each['n_unscored']:,}" for each in lists], MEANINGS["n_unscored"]),
        ("EER", [number(each["eer"], "{:.2%}") + _interval(each) for each in lists], MEANINGS["eer"]),
    ]
    for preset in lists[0]["min_dcf"]:
        costs = ", ".join(f"c_miss {c.c_miss:g} c_fa {c.c_fa:g} p_target {c.p_target:g}" for c in PRESETS[preset])
        cells = [number(each["min_dcf"][preset], "{:.3f}") for each in lists]
        rows.append((f"minDCF {preset}", cells, f"least cost, relative to no scores; {costs}"))
        cells = [number(each["act_dcf"][preset], "{:.3f}") for each in lists]
        rows.append((f"actDCF {preset}", cells, "cost of the decisions that the scores ask for, as ratios"))
    rows.append(("Cllr", [number(each["cllr"], "{:.3f}") for each in lists], MEANINGS["cllr"]))
    if "cllr_uncalibrated" in lists[0]:
        cells = [number(each["cllr_uncalibrated"], "{:.3f}") for each in lists]
        rows.append(("Cllr, raw", cells, "bits; of the scores before calibration"))
    rows.append(("minCllr", [number(each["min_cllr"], "{:.3f}") for each in lists], MEANINGS["min_cllr"]))
    if "p_miss" in lists[0]:
        rows.append(("P_miss", [number(each["p_miss"], "{:.2%}") for each in lists], MEANINGS["p_miss"]))
        rows.append(("P_fa", [number(each["p_fa"], "{:.2%}") for each in lists], MEANINGS["p_fa"]))
    return rows


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


def _interval(numbers: Mapping[str, Any]) -> str:
    """Format the interval of the EER in per cent, where there is one."""
    intervals = numbers["intervals"]
    return (
        " ({:.1f}-{:.1f})".format(*(100 * each for each in intervals["eer"])) if intervals and intervals["eer"] else ""
    )
