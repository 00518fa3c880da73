"""The command that lists and prints the recipes, systems and sections that come with the package."""

from typing import Annotated

import typer

from speechgmm.cli.common import exit_on_error
from speechgmm.errors import RecipeError

HEADINGS = {
    "recipes": "Recipes: speechgmm run NAME",
    "systems": "Systems, for systems: [NAME, NAME] or base: NAME",
}
"""The headings of the lists of whole recipes and systems."""


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="Print this one, with its comments.", show_default="list all")
    ] = None,
) -> None:
    """List the shipped recipes, systems and sections, with a line on each, or print one of them.

    What it prints is a copy that runs in any folder.
    """
    with exit_on_error():
        if name is None:
            _list_all()
        else:
            typer.echo(_text_of(name), nl=False)


def _list_all() -> None:
    """Print the names of all shipped files, kind by kind, with their first sentences."""
    from rich.console import Console
    from rich.table import Table

    from speechgmm.recipe.shipped import folder_of, kinds, shipped_names, summary_of

    console = Console(highlight=False)
    width = max(len(name) for kind in kinds() for name in shipped_names(kind))
    for kind in kinds():
        heading = HEADINGS.get(kind, f"Sections, for {kind}: NAME")
        summaries = [(name, summary_of(folder_of(kind) / f"{name}.yaml")) for name in shipped_names(kind)]
        if not console.is_terminal:
            typer.echo("\n".join([heading, *(f"  {name:<{width}}  {text}" for name, text in summaries), ""]))
            continue
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
        table.add_column(no_wrap=True, min_width=width)
        table.add_column()
        for row in summaries:
            table.add_row(*row)
        console.print(heading, table, "", sep="\n", markup=False)


def _text_of(name: str) -> str:
    """Return the text of the shipped file of a name; raise `RecipeError` with those like it if there is none."""
    from speechgmm.recipe.reading.suggestions import near_names
    from speechgmm.recipe.shipped import kinds, shipped_file, shipped_names
    from speechgmm.wording import join_names

    for kind in kinds():
        if path := shipped_file(kind, name):
            return path.read_text(encoding="utf-8")
    near = near_names(name, [each for kind in kinds() for each in shipped_names(kind)])
    meant = f"; did you mean {join_names(near, 'or')}?" if near else "; speechgmm recipes lists what there is"
    raise RecipeError(f"{name}: nothing shipped has this name{meant}")
