"""The command that writes a first recipe for a folder of recordings."""

import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from speechgmm.cli.common import JobsOption, exit_on_error


def init(
    folder: Annotated[Path, typer.Argument(help="Folder or table (.csv, .tsv) of recordings.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Recipe to write.", show_default="the folder's name with .yaml")
    ] = None,
    jobs: JobsOption = None,
) -> None:
    """Write a recipe that runs on a folder of recordings, and print what was found in it.

    Recordings may be in a folder for each speaker, in a table with columns for paths and speakers, or in the layout of
    a known corpus.
    """
    from speechgmm.corpus.formats.discovery import discover
    from speechgmm.parallel.engine import Engine, available_cores
    from speechgmm.recipe.preparing.first_recipe import (
        choose_settings,
        common_rate,
        format_duration,
        usable_utterances,
        write_recipe,
    )
    from speechgmm.recipe.preparing.survey import survey

    with exit_on_error("interrupted; nothing is written"):
        recordings = survey(discover(folder), Engine("processes", jobs or available_cores()))
        if not recordings.utterances:
            typer.echo("\n".join(recordings.ignored), err=True)
        chosen = choose_settings(recordings)
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", folder.resolve().stem).strip("-._") or "mine"
        path = out or Path(f"{name}.yaml")
        written = write_recipe(recordings, chosen, path)
    rates = _format_rates(recordings.rates(recordings.utterances))
    typer.echo(f"found: {recordings.corpus.how}")
    typer.echo(f"{len(recordings.of_speaker):,} speakers, {format_duration(recordings)} in recordings: {rates}")
    for note in recordings.ignored:
        typer.echo(f"ignored: {note}")
    counts = recordings.rates(usable_utterances(recordings, chosen))
    rate = common_rate(counts)
    if others := Counter({other: count for other, count in counts.items() if other != rate}):
        typer.echo(f"sample rate: {rate} Hz; resampled to it: {_format_rates(others)}")
    if chosen.has_background:
        typer.echo(f"plan: a background model of {chosen.n_components} Gaussians, and speaker models adapted from it")
    else:
        typer.echo(f"plan: {chosen.n_components} Gaussians for each speaker; too few speakers for a background model")
    typer.echo(f"wrote {' and '.join(map(str, written))}; next: speechgmm check {path}, speechgmm run {path}")


def _format_rates(rates: Counter[int]) -> str:
    """Format the number of recordings of each sample rate, the most frequent first."""
    return ", ".join(f"{count:,} at {rate} Hz" for rate, count in rates.most_common())
