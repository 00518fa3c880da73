"""The command that writes a report of results, or a comparison of several results."""

from pathlib import Path
from typing import Annotated

import typer

from speechgmm.cli.common import check_page, exit_on_error, results_folder
from speechgmm.errors import ResultsError


def report(
    results: Annotated[list[Path], typer.Argument(help="One or more results folders.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            help="HTML page to write; required for several folders.", show_default="report.html in the folder"
        ),
    ] = None,
) -> None:
    """Write the report of a results folder again, from that folder alone: report.html, and plots as SVG and PNG.

    For several folders, write one page that compares them with the first: recipes, metrics, and differences with
    confidence intervals.
    """
    from speechgmm.recipe.results.report import report_results
    from speechgmm.recipe.series.comparison_page import report_comparison

    with exit_on_error():
        results = [results_folder(each) for each in results]
        if out is not None:
            check_page("--out", out)
        if len(results) == 1:
            page = report_results(results[0], out, png=True)
        elif out is None:
            raise ResultsError(f"{len(results)} results folders and no --out; expected the name of the page")
        else:
            page = report_comparison(results, out)
        typer.echo(f"report: {page}")
