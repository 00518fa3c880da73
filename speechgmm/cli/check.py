"""The command that checks a recipe and its data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgmm.cli.common import JobsOption, exit_on_error

if TYPE_CHECKING:
    from speechgmm.recipe.preparing.checking import CheckReport

MOST_SHOWN = 3
"""Cases of each kind of finding in the table."""


def check(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as in corpus.root=/data. Repeatable."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, with every case.")] = False,
    jobs: JobsOption = None,
) -> None:
    """Check a recipe and its data before anything is computed: lists, recording headers, speakers and trials.

    Exit status: 0 without errors, 2 with errors.
    """
    from speechgmm.parallel.engine import Engine, available_cores
    from speechgmm.recipe.preparing.checking import check_recipe
    from speechgmm.recipe.reading.loader import load_recipe

    with exit_on_error("interrupted"):
        report = check_recipe(load_recipe(recipe, set_ or ()), Engine("processes", jobs or available_cores()))
    if json:
        _print_json(report)
    else:
        _print_tables(report)
    if report.count("error"):
        raise typer.Exit(2)


def _print_json(report: "CheckReport") -> None:
    """Print all findings as one JSON document."""
    import json
    from dataclasses import asdict

    counts = {"errors": report.count("error"), "warnings": report.count("warning")}
    typer.echo(json.dumps(counts | asdict(report), indent=2, ensure_ascii=False))


def _print_tables(report: "CheckReport") -> None:
    """Print a table of the data and one of the findings."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if report.roles:
        table = Table("", box=box.SIMPLE_HEAD, pad_edge=False)
        for title in ("speakers", "utterances", "hours", "Hz"):
            table.add_column(title, justify="right")
        for role, data in report.roles.items():
            hours = f"{data.hours:.2f}" if data.sample_rates else "-"
            rates = ", ".join(map(str, data.sample_rates)) or "-"
            table.add_row(role, f"{data.n_speakers:,}", f"{data.n_utterances:,}", hours, rates)
        console.print(table)
        typer.echo("trials: " + ", ".join(f"{count:,} in {name}" for name, count in report.n_trials.items()))
    if not report.findings:
        typer.secho("nothing is wrong", fg="green")
        return
    table = Table("", "what", "cases", "which", box=box.SIMPLE_HEAD, pad_edge=False)
    for finding in report.findings:
        colour = "red" if finding.severity == "error" else "yellow"
        shown = "\n".join(finding.items[:MOST_SHOWN])
        if len(finding.items) > MOST_SHOWN:
            shown += f"\nand {len(finding.items) - MOST_SHOWN:,} more"
        table.add_row(Text(finding.severity, colour), finding.what, f"{len(finding.items):,}", Text(shown))
    console.print(table)
    typer.echo(f"errors: {report.count('error'):,}, warnings: {report.count('warning'):,}")
