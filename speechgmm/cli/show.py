"""The command that prints the settings of a recipe and the state of its stages."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgmm.cli.common import RecipeArgument, exit_on_error, recipe_file
from speechgmm.errors import CorpusError

if TYPE_CHECKING:
    from speechgmm.recipe.reading.origins import KeyOrigin


def show(
    recipe: RecipeArgument,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as in ubm.n_components=128. Repeatable."),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of all results, which holds the stored stages.")] = Path(
        "results"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print each setting of a recipe with the file that set it, and whether each stage is stored or would run."""
    from speechgmm.recipe.reading.loader import load_recipe
    from speechgmm.recipe.reading.origins import list_origins
    from speechgmm.recipe.running.planning import plan

    with exit_on_error():
        recipe = recipe_file(recipe, set_ or ())
        rows = list_origins(recipe, set_ or ())
        intro, taken = "would run: ", ""
        try:
            planned, unknown, resolved = plan(load_recipe(recipe, set_ or ()), results)
            taken = resolved.taken
            stages = [(stage.output.title, stage.why) for stage in planned]
            stages += [(title, "not known until earlier stages have run") for title in unknown]
        except CorpusError as error:
            stages, intro = [("all stages", f"cannot run: {error}")], ""
        if as_json:
            plans = [{"stage": title, "stored": why is None, "why": why} for title, why in stages]
            document = {"keys": [row._asdict() for row in rows], "stages": plans, "taken": taken}
            typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        else:
            _print_rows(rows)
            typer.echo()
            if taken:
                typer.echo(f"{taken}\n")
            width = max(len(title) for title, _ in stages)
            for title, why in stages:
                typer.echo(f"{title:<{width}}  {'stored' if why is None else intro + why}")


def _print_rows(rows: list["KeyOrigin"]) -> None:
    """Print rows in columns: on a terminal with dim defaults and folded long values, elsewhere as plain lines.

    Empty lines separate systems, and on a terminal sections.
    """
    from rich.console import Console
    from rich.table import Table

    from speechgmm.recipe.reading.origins import DEFAULT
    from speechgmm.recipe.reading.yaml import flow

    cells = [(row.key, flow(row.value), row.origin) for row in rows]
    console = Console(highlight=False)
    if not console.is_terminal:
        widths = [max(len(row[column]) for row in cells) for column in range(2)]
        system = ""
        for key, value, origin in cells:
            if system != (system := ".".join(key.split(".")[:2]) if key.startswith("systems.") else ""):
                typer.echo()
            typer.echo(f"{key:<{widths[0]}}  {value:<{widths[1]}}  {origin}")
        return
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True)
    section = ""
    for key, value, origin in cells:
        if section != (section := key.rpartition(".")[0]):
            table.add_row()
        table.add_row(key, value, origin, style="dim" if origin == DEFAULT else None)
    console.print(table)
