"""The command that compares folders of results."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgmm.cli.common import exit_on_error

if TYPE_CHECKING:
    from speechgmm.recipe.series.comparison import Comparison, Difference


def compare(
    results: Annotated[list[Path], typer.Argument(help="Folders of results, two or more.", show_default=False)],
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    csv_: Annotated[bool, typer.Option("--csv", help="Print the numbers as CSV.")] = False,
) -> None:
    """Compare results with the first of them: keys of the recipes, numbers, and how sure the differences are.

    Where the trials are the same, differences have intervals of paired draws of the speakers; they differ where an
    interval does not hold 0.
    """
    import csv
    import json
    import sys

    from speechgmm.recipe.series.comparison import compare as compare_results

    with exit_on_error():
        found = compare_results(results)
        if json_:
            typer.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
        elif csv_:
            rows = found.rows()
            writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        else:
            _show_comparison(found)


def _show_comparison(found: "Comparison") -> None:
    """Print what sets results apart."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in found.names:
        table.add_column(Text(name), justify="right")
    for key, texts in found.keys.items():
        table.add_row(key, *map(Text, texts))
    if found.keys:
        table.add_section()
    for number, values in found.numbers.items():
        apart = found.differences.get(number, (None,) * len(values))
        percent = number.endswith((".eer", ".eer_hull")) or number == "identification"
        table.add_row(number, *(_compared(value, each, percent) for value, each in zip(values, apart, strict=True)))
    Console().print(table)
    if found.differences:
        typer.echo(
            f"in brackets: the difference to {found.names[0]}, and its {found.confidence:.0%} interval over speakers"
        )
    else:
        typer.echo("no intervals of differences: the trials are not the same")


def _compared(value: float | None, apart: "Difference | None", percent: bool) -> str:
    """Format a number, and its difference to the first."""
    if value is None:
        return "-"
    scale, form = (100.0, ".2f") if percent else (1.0, ".3f")
    text = f"{scale * value:{form}}{'%' if percent else ''}"
    if apart is None:
        return text
    difference, low, high = (f"{scale * each:+{form}}" for each in apart)
    return f"{text} [{difference}: {low} to {high}]"
