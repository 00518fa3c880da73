"""The command that writes a report of stored results, or a comparison of several."""

from pathlib import Path
from typing import Annotated

import typer

from speechgmm.cli.common import check_page, exit_on_error
from speechgmm.errors import ResultsError


def report(
    results: Annotated[list[Path], typer.Argument(help="A folder of results, or several.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(help="The page; needed for several folders.", show_default="report.html in the folder"),
    ] = None,
) -> None:
    """Write the report of results anew, from nothing but their folder: report.html, and plots as SVG and PNG.

    Of several folders, one page that compares them with the first: recipes, numbers, and how sure the differences are.
    """
    from speechgmm.recipe.results.report import report_results
    from speechgmm.recipe.series.comparison_page import report_comparison

    with exit_on_error():
        if out is not None:
            check_page("--out", out)
        if len(results) == 1:
            page = report_results(results[0], out, png=True)
        elif out is None:
            raise ResultsError(f"{len(results)} folders of results and no --out; expected the name of the page")
        else:
            page = report_comparison(results, out)
        typer.echo(f"report: {page}")
