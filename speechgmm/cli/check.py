"""The command that looks over the data of a recipe, and its table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgmm.cli.common import JobsOption, exit_on_error

if TYPE_CHECKING:
    from speechgmm.recipe.preparing.checking import CheckReport

MOST_SHOWN = 3
"""Cases of a kind that are shown."""


def check(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as in corpus.root=/data. Repeatable."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print all that was found as JSON.")] = False,
    jobs: JobsOption = None,
) -> None:
    """Look over a recipe and its data, before anything is computed: lists, headers of recordings, speakers, trials.

    Exit status: 0 if there are no errors, 2 if there are.
    """
    from speechgmm.parallel.engine import Engine, available_cores
    from speechgmm.recipe.preparing.checking import check_recipe
    from speechgmm.recipe.reading.loader import load_recipe

    with exit_on_error("interrupted"):
        checked = check_recipe(load_recipe(recipe, set_ or ()), Engine("processes", jobs or available_cores()))
    if json:
        _print_json(checked)
    else:
        _show(checked)
    if checked.count("error"):
        raise typer.Exit(2)


def _print_json(checked: "CheckReport") -> None:
    """Print all that was found, for programs."""
    import json
    from dataclasses import asdict

    counts = {"errors": checked.count("error"), "warnings": checked.count("warning")}
    typer.echo(json.dumps(counts | asdict(checked), indent=2, ensure_ascii=False))


def _show(checked: "CheckReport") -> None:
    """Print what there is and what is wrong, each in a table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if checked.roles:
        table = Table("", box=box.SIMPLE_HEAD, pad_edge=False)
        for title in ("speakers", "utterances", "hours", "Hz"):
            table.add_column(title, justify="right")
        for role, data in checked.roles.items():
            hours = f"{data.hours:.2f}" if data.sample_rates else "-"
            rates = ", ".join(map(str, data.sample_rates)) or "-"
            table.add_row(role, f"{data.n_speakers:,}", f"{data.n_utterances:,}", hours, rates)
        console.print(table)
        typer.echo("trials: " + ", ".join(f"{count:,} in {name}" for name, count in checked.n_trials.items()))
    if not checked.findings:
        typer.secho("nothing is wrong", fg="green")
        return
    table = Table("", "what", "cases", "which", box=box.SIMPLE_HEAD, pad_edge=False)
    for finding in checked.findings:
        colour = "red" if finding.severity == "error" else "yellow"
        shown = "\n".join(finding.items[:MOST_SHOWN])
        if len(finding.items) > MOST_SHOWN:
            shown += f"\nand {len(finding.items) - MOST_SHOWN:,} more"
        table.add_row(Text(finding.severity, colour), finding.what, f"{len(finding.items):,}", Text(shown))
    console.print(table)
    typer.echo(f"errors: {checked.count('error'):,}, warnings: {checked.count('warning'):,}")
