"""The command that checks a recipe and its data, or audio files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechgmm.cli.check_audio import check_audio, holds_audio
from speechgmm.cli.common import JobsOption, exit_on_error, printable, recipe_file, recipe_path
from speechgmm.errors import RecipeError

if TYPE_CHECKING:
    from speechgmm.recipe.preparing.checking import CheckReport, Finding

MOST_SHOWN = 3
"""Cases of each kind of finding in the table; those with the same message count as one."""


def check(
    paths: Annotated[
        list[Path],
        typer.Argument(
            parser=recipe_path,
            metavar="RECIPE | AUDIO...",
            help="The recipe: a YAML file, or the name of a shipped one; or audio files and folders of them.",
            show_default=False,
        ),
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as in corpus.root=/data. Repeatable."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, with every case.")] = False,
    jobs: JobsOption = None,
    gallery: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Compare audio files with the recordings of this gallery's models.", show_default=False
        ),
    ] = None,
) -> None:
    """Check a recipe and its data, or recordings, before anything is computed.

    Of a recipe, lists, headers of recordings, speakers and trials are checked; recordings of the same length are
    compared. Of audio files, the table shows speech, band, level, noise, clipping, reverberation and codecs.

    Exit status: 0 without errors, 2 with errors; 3 if some audio files were unusable (listed), and the rest were
    measured.
    """
    with exit_on_error("interrupted"):
        if recipe := _recipe_among(paths, set_ or ()):
            if gallery is not None:
                raise RecipeError(f"--gallery {gallery}: for audio files, and {recipe} is a recipe; leave it out")
            _check_recipe(recipe, set_ or (), json=json, jobs=jobs)
        else:
            check_audio(paths, gallery=gallery, json=json)


def _recipe_among(paths: Sequence[Path], overrides: Sequence[str]) -> Path | None:
    """Return the recipe that is to be checked, or None if all paths are of audio."""
    others = [path for path in paths if not holds_audio(path)]
    if not others and not overrides:
        return None
    if len(paths) == 1:
        return paths[0]
    if not others:
        raise RecipeError(f"--set {overrides[0]}: for a recipe, and {paths[0]} is audio; leave --set out")
    raise RecipeError(
        f"{others[0]}: neither an audio file nor the only argument; expected one recipe, or audio files and folders of "
        "them"
    )


def _check_recipe(recipe: Path, overrides: Sequence[str], *, json: bool, jobs: int | None) -> None:
    """Check a recipe and its data, and print what was found."""
    from rich.console import Console

    from speechgmm.parallel.engine import Engine, available_cores
    from speechgmm.recipe.preparing.checking import check_recipe
    from speechgmm.recipe.reading.loader import load_recipe
    from speechgmm.recipe.stages.progress import ProgressBars

    loaded = load_recipe(recipe_file(recipe, overrides), overrides)
    with ProgressBars(Console(stderr=True)) as bars:
        report = check_recipe(loaded, Engine("processes", jobs or available_cores()), bars)
    if json:
        _print_json(report)
    else:
        _print_tables(report)
    if report.count("error"):
        raise typer.Exit(2)


def _print_json(report: "CheckReport") -> None:
    """Print all findings as one JSON document."""
    import json
    from dataclasses import asdict

    counts = {"errors": report.count("error"), "warnings": report.count("warning")}
    typer.echo(json.dumps(counts | asdict(report), indent=2, ensure_ascii=False))


def _print_tables(report: "CheckReport") -> None:
    """Print a table of the data and one of the findings."""
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    console = Console()
    if report.roles:
        table = Table("", box=box.SIMPLE_HEAD, pad_edge=False)
        for title in ("speakers", "utterances", "hours", "Hz"):
            table.add_column(title, justify="right")
        for role, data in report.roles.items():
            hours = f"{data.hours:.2f}" if data.sample_rates else "-"
            rates = ", ".join(map(str, data.sample_rates)) or "-"
            table.add_row(role, f"{data.n_speakers:,}", f"{data.n_utterances:,}", hours, rates)
        console.print(table)
        lists = (f"{count:,} in the list {name}" for name, count in report.n_trials.items())
        typer.echo(f"trials: {', '.join(lists)}")
    typer.echo(f"checked: {report.checked}")
    for line in filter(None, (report.taken, report.copies)):
        typer.echo(line)
    if not report.findings:
        typer.secho("nothing is wrong", fg="green")
        return
    what, which = Column("what", max_width=24), Column("which", overflow="fold")  # no name is cut short
    table = Table("", what, "cases", which, box=box.SIMPLE_HEAD, pad_edge=False)
    for finding in report.findings:
        colour = "red" if finding.severity == "error" else "yellow"
        cases = Text(printable(_which(finding)))
        table.add_row(Text(finding.severity, colour), finding.what, f"{len(finding.items):,}", cases)
    console.print(table)
    typer.echo(f"errors: {report.count('error'):,}, warnings: {report.count('warning'):,}")


def _which(finding: "Finding") -> str:
    """List the first cases of a finding, those with the same message in one line, and what to do about them."""
    shown = finding.groups[:MOST_SHOWN]
    unit = "lines" if finding.what == "in the lists" else "recordings"
    lines = []
    for group in shown:
        if group.count > 1:
            lines.append(f"{group.count:,} {unit}: {group.message}{group.first and f'; the first: {group.first}'}")
        else:
            lines.append(f"{group.first}{group.first and ': '}{group.message}")
    if n_others := len(finding.items) - sum(group.count for group in shown):
        lines.append(f"and {n_others:,} more")
    return "\n".join([*lines, *([finding.expected] if finding.expected else [])])
