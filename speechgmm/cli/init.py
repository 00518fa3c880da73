"""The command that writes a first recipe for a folder of recordings."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgmm.cli.common import JobsOption, exit_on_error, progress_bars

if TYPE_CHECKING:
    from speechgmm.corpus.formats.discovered import DiscoveredCorpus
    from speechgmm.recipe.preparing.choice_of_systems import SystemsName
    from speechgmm.recipe.preparing.first_recipe import FirstRecipeSettings
    from speechgmm.recipe.preparing.survey import Survey

MOST_REASONS = 5
"""Reasons why recordings cannot be used that are printed."""


class Systems(StrEnum):
    """Names of the systems that a recipe may have: a copy, because help should not need the recipe."""

    BEST = "best"
    DEFAULT = "default"
    FAST = "fast"


SYSTEMS_HELP = """
best: the scores of four front ends, added; the fewest errors, four times the time.\n
default: one front end, every key written out.\n
fast: the same with a small background model and linear scoring, for a first look; without background speakers, or with
a pretrained background model, the same recipe as default.
"""
"""What the names of systems mean, a line each."""


def init(
    folder: Annotated[
        Path, typer.Argument(help="Folder or table (.csv, .tsv) of recordings, or of their lists.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="Recipe to write.", show_default="the folder's name with .yaml")
    ] = None,
    systems: Annotated[Systems, typer.Option(help=SYSTEMS_HELP)] = Systems.DEFAULT,
    jobs: JobsOption = None,
) -> None:
    """Write a recipe that runs on a folder of recordings, and print what was found in it.

    Recordings may be in a folder for each speaker, perhaps within folders such as train and test; in a table with
    columns for paths and speakers; in Kaldi data directories, which may have features instead; or in the layout of a
    known corpus. Trial lists beside them are used if they fit. Where there is too little speech for a background model,
    recordings of 16 kHz or more get a pretrained one. Exit status 3: some recordings cannot be used; they are listed
    with the reasons, and a recipe is written for the others, if any.
    """
    from speechgmm.corpus.formats.discovery import discover
    from speechgmm.recipe.preparing.first_recipe import safe_name, write_recipe
    from speechgmm.recipe.preparing.places import check_place

    with exit_on_error("interrupted; nothing is written"):
        check_place(folder)
        recordings = _survey(discover(folder), jobs)
        chosen = _settings(recordings, systems.value)
        path = out or Path(f"{safe_name(folder.resolve().stem)}.yaml")
        written = write_recipe(recordings, chosen, path)
    _print_found(recordings)
    _print_plan(recordings, chosen)
    typer.echo(f"wrote {' and '.join(map(str, written))}; next: speechgmm check {path}, speechgmm run {path}")
    if recordings.n_unusable:
        raise typer.Exit(3)


def _survey(corpus: "DiscoveredCorpus", jobs: int | None) -> "Survey":
    """Read the headers of recordings, and show progress on a terminal."""
    from speechgmm.parallel.engine import Engine, available_cores
    from speechgmm.recipe.preparing.survey import survey

    with progress_bars() as progress:
        task = progress.add_task("reading headers", total=None)

        def show(n_read: int, n_all: int) -> None:
            """Update the bar."""
            progress.update(task, completed=n_read, total=n_all)

        return survey(corpus, Engine("processes", jobs or available_cores()), show)


def _settings(recordings: "Survey", systems: "SystemsName") -> "FirstRecipeSettings":
    """Choose the settings; if the usable recordings do not allow an experiment, print what is left out."""
    from speechgmm.errors import CorpusError
    from speechgmm.recipe.preparing.first_recipe import choose_settings

    try:
        return choose_settings(recordings, systems)
    except CorpusError:
        left_out = [*_ignored(recordings), *(_unusable(recordings) if recordings.n_unusable else ())]
        if left_out:
            typer.echo("\n".join(left_out), err=True)
        if recordings.utterances:
            raise
    typer.echo("none of the recordings can be used; nothing is written", err=True)
    raise typer.Exit(3)


def _ignored(recordings: "Survey") -> list[str]:
    """List what else is in the folder."""
    return [f"ignored: {note}" for note in recordings.corpus.ignored]


def _unusable(recordings: "Survey") -> list[str]:
    """List the recordings that cannot be used, and why."""
    return [f"recordings that cannot be used: {recordings.n_unusable:,}", *_first_reasons(recordings.unusable)]


def _print_found(recordings: "Survey") -> None:
    """Print what was recognised, who speaks and how much, and what is left out."""
    from speechgmm.recipe.preparing.first_recipe import format_duration
    from speechgmm.wording import first_few

    corpus, speakers = recordings.corpus, sorted(recordings.of_speaker)
    lines = [f"found: {corpus.how}"]
    lines += [f"guessed: {doubt}" for doubt in corpus.doubts]
    lines.append(f"speakers: {first_few(speakers)}")
    kinds = f"{recordings.n_static} features a frame"
    if not corpus.has_features:
        kinds = _format_rates(recordings.rates(recordings.utterances))
    lines.append(f"{len(speakers):,} speakers, {format_duration(recordings)} in recordings: {kinds}")
    lines += _ignored(recordings)
    if recordings.n_unusable:
        lines += _unusable(recordings)
    if recordings.odd:
        lines += ["odd recordings, which are used:", *_first_reasons(recordings.odd)]
    typer.echo("\n".join(lines))


def _first_reasons(reasons: Sequence[str]) -> list[str]:
    """Indent the first reasons, and count the others."""
    more = len(reasons) - MOST_REASONS
    return [f"  {reason}" for reason in reasons[:MOST_REASONS]] + [f"  and {more:,} other reasons"] * (more > 0)


def _print_plan(recordings: "Survey", chosen: "FirstRecipeSettings") -> None:
    """Print the sample rate, if recordings are resampled, and the models that the recipe asks for."""
    from speechgmm.recipe.preparing.first_recipe import common_rate, usable_utterances

    counts = recordings.rates(usable_utterances(recordings, chosen))
    rate = common_rate(counts)
    if others := Counter({other: count for other, count in counts.items() if other != rate}):
        typer.echo(f"sample rate: {rate} Hz; resampled to it: {_format_rates(others)}")
    if any(each.channel == "mean" for each in recordings.utterances):
        typer.echo("channels: averaged, where a recording has several")
    typer.echo(f"plan: {chosen.why}")


def _format_rates(rates: Counter[int]) -> str:
    """Format the number of recordings of each sample rate, the most frequent first."""
    return ", ".join(f"{count:,} at {rate} Hz" for rate, count in rates.most_common())
