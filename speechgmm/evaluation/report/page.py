"""Content -> a self-contained page of HTML."""

import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from speechgmm.evaluation.breakdown import FEWEST
from speechgmm.evaluation.report.content import ComparisonContent, Plot, ReportContent
from speechgmm.evaluation.report.metric_rows import (
    Cell,
    Row,
    further_rows,
    headline_rows,
    identification_rows,
    written,
)
from speechgmm.files import replacing

N_SKIPPED_SHOWN: Final = 50


def render_report(content: ReportContent) -> str:
    """Render the page of one experiment.

    Parameters
    ----------
    content : ReportContent
        What to say. All of it is escaped except the plots' SVG.

    Returns
    -------
    str
        A complete HTML document; the same content gives the same text.
    """
    rows, further = headline_rows(content.trial_lists), further_rows(content.trial_lists)
    identified = identification_rows({"": content.identification} if content.identification else {})
    return _render(
        "report.html.j2",
        content=content,
        headlines=_headlines(content),
        has_intervals=any(cell.interval for row in (*rows, *further, *identified) for cell in row.cells),
        rows=rows,
        further=further,
        identified=identified,
        parts=[(each, headline_rows(each.parts)) for each in content.breakdowns],
        plots=_with_own_ids(content.plots),
        skipped_by_kind=sorted(Counter(item.kind for item in content.skipped).items()),
        n_skipped_shown=N_SKIPPED_SHOWN,
        fewest=FEWEST,
    )


def render_comparison(content: ComparisonContent) -> str:
    """Render the page that compares several experiments.

    Parameters
    ----------
    content : ComparisonContent
        What to say. All of it is escaped except the plots' SVG.

    Returns
    -------
    str
        A complete HTML document; the same content gives the same text.
    """
    return _render(
        "comparison.html.j2",
        content=content,
        rows=[
            (each, headline_rows(each.columns, each.differences) + further_rows(each.columns, each.differences))
            for each in content.lists
        ],
        identified=identification_rows(content.identification),
        plots=_with_own_ids(tuple(each.plot for each in content.lists if each.plot)),
    )


def write_page(path: Path, page: str) -> None:
    """Write a page to one file.

    Parameters
    ----------
    path : Path
        The HTML file; an existing one is replaced.
    page : str
        As it was rendered.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    # paths that are not valid UTF-8 reach us with lone surrogates, which are shown as escapes
    data = page.encode("utf-8", errors="backslashreplace")
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _render(template: str, **values: Any) -> str:
    """Fill in a template."""
    environment = Environment(
        loader=PackageLoader("speechgmm", "evaluation/report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["written"] = written
    environment.filters["duration"] = _duration
    return environment.get_template(template).render(values)


def _headlines(content: ReportContent) -> list[tuple[str, str, Cell, str]]:
    """Choose the numbers one sees first: each with its name, what it is of, and its meaning."""
    chosen = []
    if content.trial_lists:
        name, numbers = next(iter(content.trial_lists.items()))
        rows: dict[str, Row] = {row.measure.key: row for row in headline_rows({name: numbers})}
        costs = [key for key in rows if key.startswith("min_dcf.")][:1]
        names = {"eer": "Equal error rate", "cllr": "Cllr"}
        for key in ("eer", *costs, "cllr"):
            measure = rows[key].measure
            chosen.append((names.get(key, measure.name), f"on {name}", rows[key].cells[0], measure.meaning[0]))
    if content.identification:
        of = f"of {content.identification['n_tests']:,} tests"
        rate = identification_rows({"": content.identification})[0]
        chosen.append(("Identified", of, rate.cells[0], rate.measure.meaning[0]))
    return chosen


def _duration(seconds: float | None) -> str:
    """Write a length of time in the unit that suits it."""
    if seconds is None:
        return ""
    if seconds < 60.0:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600.0 else f"{seconds / 3600:,.1f} h"


def _with_own_ids(plots: tuple[Plot, ...]) -> list[tuple[Plot, Markup]]:
    """Give the identifiers inside each plot a prefix, because a page with several plots would have them twice."""
    ids = re.compile(r'(\bid="|href="#|url\(#)')
    return [
        (plot, Markup(re.sub(r"<[^>]+>", lambda tag: ids.sub(rf"\g<1>plot{number}-", tag[0]), plot.svg)))  # noqa: B023
        for number, plot in enumerate(plots, start=1)
    ]
