"""The command that compares results folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgmm.cli.common import exit_on_error, results_folder
from speechgmm.cli.tables import NOT_CALIBRATED

if TYPE_CHECKING:
    from speechgmm.recipe.series.comparison import Comparison, Difference


def compare(
    results: Annotated[list[Path], typer.Argument(help="Two or more results folders.", show_default=False)],
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    csv_: Annotated[bool, typer.Option("--csv", help="Print the metrics as CSV.")] = False,
) -> None:
    """Compare results with the first: recipe keys that differ, metrics, and differences with confidence intervals.

    If the trials are the same, intervals are from a paired bootstrap over speakers. A difference is significant if its
    interval excludes 0.
    """
    import csv
    import json
    import sys

    from speechgmm.recipe.series.comparison import compare as compare_results

    with exit_on_error():
        comparison = compare_results([results_folder(each) for each in results])
        if json_:
            typer.echo(json.dumps(comparison.to_json(), indent=2, ensure_ascii=False))
        elif csv_:
            rows = comparison.rows()
            writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        else:
            _print_comparison(comparison)


def _print_comparison(comparison: "Comparison") -> None:
    """Print a table of recipe keys that differ, metrics and differences."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in comparison.names:
        table.add_column(Text(name), justify="right")
    for key, texts in comparison.keys.items():
        table.add_row(key, *map(Text, texts))
    if comparison.keys:
        table.add_section()
    for name, values in comparison.numbers.items():
        differences = comparison.differences.get(name, (None,) * len(values))
        percent = name.endswith((".eer", ".eer_hull")) or name == "identification"
        cells = (_format_cell(*pair, percent) for pair in zip(values, differences, strict=True))
        without = (name in names for names in comparison.without_ratios)
        table.add_row(name, *(NOT_CALIBRATED if no else cell for cell, no in zip(cells, without, strict=True)))
    Console().print(table)
    if comparison.differences:
        first, confidence = comparison.names[0], comparison.confidence
        typer.echo(f"in brackets: difference from {first} and its {confidence:.0%} interval over speakers")
    else:
        typer.echo("no differences: the results do not share a trial list, or evaluation.bootstrap is 0")


def _format_cell(value: float | None, difference: "Difference | None", percent: bool) -> str:
    """Format a metric, with its difference from the first results and the interval."""
    if value is None:
        return "-"
    scale, form = (100.0, ".2f") if percent else (1.0, ".3f")
    text = f"{scale * value:{form}}{'%' if percent else ''}"
    if difference is None:
        return text
    change, low, high = (f"{scale * number:+{form}}" for number in difference)
    return f"{text} [{change}: {low} to {high}]"
