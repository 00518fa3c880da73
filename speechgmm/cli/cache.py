"""The command that lists and prunes the cache of stage outputs."""

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
    results: Annotated[Path, typer.Option(help="Folder of all results, which holds the cache.")] = Path("results"),
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete outputs that no results use, and unfinished ones.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the cached outputs of stages with their sizes and the results that use them, or delete unused ones."""
    from speechgmm.recipe.cache.inventory import list_entries
    from speechgmm.recipe.cache.inventory import prune as remove

    with exit_on_error():
        entries = remove(list_entries(results)) if prune else list_entries(results)
        if as_json:
            typer.echo(json.dumps([asdict(entry) | {"folder": str(entry.folder)} for entry in entries], indent=2))
            return
        size = f"{sum(entry.size for entry in entries) / MEGABYTE:,.1f} MB"
        if entries:
            _print_table(entries)
        typer.echo(f"{len(entries)} removed, {size} freed" if prune else f"{len(entries)} stored, {size}")


def _print_table(entries: "tuple[CacheEntry, ...]") -> None:
    """Print a table of cached outputs."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("stage", "digest", "created", "MB", "used by"):
        table.add_column(title, justify="right" if title == "MB" else "left", overflow="fold")
    for entry in entries:
        users = ", ".join(entry.used_by) or (entry.state if entry.state != "whole" else "nothing")
        table.add_row(entry.stage, entry.folder.name[-32:][:12], entry.made_at, f"{entry.size / MEGABYTE:,.1f}", users)
    Console().print(table)
