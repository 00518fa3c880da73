"""The command that writes a first recipe for somebody's recordings."""

import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from speechgmm.cli.common import JobsOption, exit_on_error


def init(
    folder: Annotated[
        Path, typer.Argument(help="A folder of recordings, or a table of them (.csv, .tsv).", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="The recipe to write.", show_default="the folder's name, .yaml")
    ] = None,
    jobs: JobsOption = None,
) -> None:
    """Look at recordings, say what they are, and write a recipe that runs on them.

    It knows a folder for each speaker, a table with columns of paths and speakers, and the layouts of known corpora.
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
    rates = _told_rates(recordings.rates(recordings.utterances))
    typer.echo(f"found: {recordings.corpus.how}")
    typer.echo(f"{len(recordings.of_speaker):,} speakers, {format_duration(recordings)} in recordings: {rates}")
    for each in recordings.ignored:
        typer.echo(f"ignored: {each}")
    used = recordings.rates(usable_utterances(recordings, chosen))
    rate = common_rate(used)
    if others := Counter({each: count for each, count in used.items() if each != rate}):
        typer.echo(f"sample rate: {rate} Hz; resampled to it: {_told_rates(others)}")
    if chosen.has_background:
        typer.echo(f"plan: a background model of {chosen.n_components} Gaussians, and speakers adapted from it")
    else:
        typer.echo(f"plan: a model of {chosen.n_components} Gaussians for each speaker alone; too few for a background")
    typer.echo(f"wrote {' and '.join(map(str, written))}; next: speechgmm check {path}, speechgmm run {path}")


def _told_rates(rates: Counter[int]) -> str:
    """Count the recordings of each rate, the most frequent first."""
    return ", ".join(f"{count:,} at {rate} Hz" for rate, count in rates.most_common())
