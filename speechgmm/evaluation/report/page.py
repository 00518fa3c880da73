"""Render content to a self-contained HTML page."""

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
    number_cell,
)
from speechgmm.files import replacing

N_SKIPPED_SHOWN: Final = 50
"""Skipped items that a page lists."""


def render_report(content: ReportContent) -> str:
    """Render the report of one experiment as an HTML document; everything but the plots' SVG is escaped."""
    rows, further = headline_rows(content.trial_lists), further_rows(content.trial_lists)
    identification = identification_rows({"": content.identification} if content.identification else {})
    return _render(
        "report.html.j2",
        content=content,
        headlines=_headlines(content),
        has_intervals=any(cell.interval for row in (*rows, *further, *identification) for cell in row.cells),
        rows=rows,
        further=further,
        identification=identification,
        breakdowns=[(breakdown, headline_rows(breakdown.parts)) for breakdown in content.breakdowns],
        plots=_with_unique_ids(content.plots),
        skipped_by_kind=sorted(Counter(item.kind for item in content.skipped).items()),
        n_skipped_shown=N_SKIPPED_SHOWN,
        fewest=FEWEST,
    )


def render_comparison(content: ComparisonContent) -> str:
    """Render the comparison of several experiments as an HTML document; everything but the plots' SVG is escaped."""
    return _render(
        "comparison.html.j2",
        content=content,
        rows=[
            (one, headline_rows(one.columns, one.differences) + further_rows(one.columns, one.differences))
            for one in content.lists
        ],
        identification=identification_rows(content.identification),
        plots=_with_unique_ids(tuple(one.plot for one in content.lists if one.plot)),
    )


def write_page(path: Path, page: str) -> None:
    """Write a rendered page to a file, replacing an existing one; OSError if it cannot be written."""
    # paths that are not valid UTF-8 contain lone surrogates, which are shown as escapes
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
    environment.filters["number_cell"] = number_cell
    environment.filters["duration"] = _duration
    return environment.get_template(template).render(values)


def _headlines(content: ReportContent) -> list[tuple[str, str, Cell, str]]:
    """Select the metrics at the top of a report, each with its name, the trials or tests it is of, and its meaning."""
    headlines = []
    if content.trial_lists:
        name, metrics = next(iter(content.trial_lists.items()))
        rows: dict[str, Row] = {row.metric.key: row for row in headline_rows({name: metrics})}
        costs = [key for key in rows if key.startswith("min_dcf.")][:1]
        names = {"eer": "Equal error rate", "cllr": "Cllr"}
        for key in ("eer", *costs, "cllr"):
            metric = rows[key].metric
            headlines.append((names.get(key, metric.name), f"on {name}", rows[key].cells[0], metric.meaning[0]))
    if content.identification:
        basis = f"of {content.identification['n_tests']:,} tests"
        rate = identification_rows({"": content.identification})[0]
        headlines.append(("Identified", basis, rate.cells[0], rate.metric.meaning[0]))
    return headlines


def _duration(seconds: float | None) -> str:
    """Format a length of time in a suitable unit."""
    if seconds is None:
        return ""
    if seconds < 60.0:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600.0 else f"{seconds / 3600:,.1f} h"


def _with_unique_ids(plots: tuple[Plot, ...]) -> list[tuple[Plot, Markup]]:
    """Prefix the identifiers inside each plot, so that they are unique on the page."""
    ids = re.compile(r'(\bid="|href="#|url\(#)')
    return [
        (plot, Markup(re.sub(r"<[^>]+>", lambda tag: ids.sub(rf"\g<1>plot{number}-", tag[0]), plot.svg)))  # noqa: B023
        for number, plot in enumerate(plots, start=1)
    ]
