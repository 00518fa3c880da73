"""The command that looks after the outputs of stages."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgmm.cli.common import exit_on_error

if TYPE_CHECKING:
    from speechgmm.recipe.cache.inventory import CacheEntry

MEGABYTE = 1e6


def cache(
    results: Annotated[Path, typer.Option(help="The folder of results, whose stages are listed.")] = Path("results"),
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove what no results rest on, and what was never finished.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")] = False,
) -> None:
    """List the stored outputs of stages, their sizes, and what results rest on them; or remove what none does."""
    from speechgmm.recipe.cache.inventory import list_entries
    from speechgmm.recipe.cache.inventory import prune as remove

    with exit_on_error():
        listed = remove(list_entries(results)) if prune else list_entries(results)
        if as_json:
            typer.echo(json.dumps([asdict(each) | {"folder": str(each.folder)} for each in listed], indent=2))
            return
        size = f"{sum(each.size for each in listed) / MEGABYTE:,.1f} MB"
        if listed:
            _print(listed)
        typer.echo(f"{len(listed)} removed, {size} freed" if prune else f"{len(listed)} stored, {size}")


def _print(listed: "tuple[CacheEntry, ...]") -> None:
    """Print the outputs in columns."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("stage", "digest", "made", "MB", "used by"):
        table.add_column(title, justify="right" if title == "MB" else "left", overflow="fold")
    for each in listed:
        used = ", ".join(each.used_by) or (each.state if each.state != "whole" else "nothing")
        table.add_row(each.stage, each.folder.name[-32:][:12], each.made_at, f"{each.size / MEGABYTE:,.1f}", used)
    Console().print(table)
