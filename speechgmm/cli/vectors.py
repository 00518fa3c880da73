"""``speechgmm vectors``: the vectors of recordings by the models of a recipe, with their names, in a file."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from speechgmm.cli.common import (
    JobsOption,
    exit_on_error,
    group_reasons,
    printable,
    recipe_file,
    recipe_path,
    results_folder,
    shorten_paths,
)
from speechgmm.cli.features import parse_channel, parse_raw_format
from speechgmm.cli.run import KERNELS, Device, EngineKind, EngineOption, SchedulerOption, build_engine
from speechgmm.errors import ResultsError

if TYPE_CHECKING:
    from speechgmm.features.sources import FoundSources
    from speechgmm.recipe.running.vectors import WrittenVectors
    from speechgmm.recipe.schema.recipe import Recipe


class RoleName(StrEnum):
    """The names in `speechgmm.corpus.manifest.ROLES`, copied so that --help need not import it."""

    background = "background"
    enrol = "enrol"
    test = "test"


RecipeArgument = Annotated[
    Path,
    typer.Argument(
        parser=recipe_path, help="The recipe, a YAML file, or the results folder of a run.", show_default=False
    ),
]
AudioArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="AUDIO...",
        help="Audio files, folders of them, or Kaldi data directories.",
        show_default="the recordings of the recipe's corpus",
    ),
]
OutOption = Annotated[
    Path,
    typer.Option(help="Output. The suffix selects the format: .npz, .h5, .csv or .ark (and .scp).", show_default=False),
]
RoleOption = Annotated[
    list[RoleName] | None,
    typer.Option(
        help="Only the recordings of this role of the corpus. Repeatable.", show_default="all, each recording once"
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as in vectors.rank=200. Repeatable."),
]
ChannelOption = Annotated[
    str | None,
    typer.Option(metavar="N|mean", help="Of AUDIO of several channels, the one to read (from 0), or their mean."),
]
RawOption = Annotated[
    str | None,
    typer.Option(
        metavar="RATE,CHANNELS,FORMAT", help="Format of AUDIO without a header, such as 16000,1,s16le or 8000,1,mulaw."
    ),
]
ResultsOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of all results, which holds the stored stages.",
        show_default="results, or the one that RECIPE is in",
    ),
]
DeviceOption = Annotated[
    Device | None,
    typer.Option(
        show_default="as the recipe says",
        help="Compute with PyTorch on the CPU or an NVIDIA GPU: sets kernel to torch or cuda.",
    ),
]


def vectors(
    recipe: RecipeArgument,
    audio: AudioArgument = None,
    *,
    out: OutOption,
    role: RoleOption = None,
    set_: SetOption = None,
    channel: ChannelOption = None,
    raw: RawOption = None,
    results: ResultsOption = None,
    jobs: JobsOption = None,
    engine: EngineOption = EngineKind.processes,
    scheduler: SchedulerOption = None,
    device: DeviceOption = None,
) -> None:
    """Write the i-vectors or supervectors of recordings, with their names.

    The background model and the factors are trained as by run, or found stored; then the vectors of the corpus's
    recordings, or of AUDIO, are extracted. Names of AUDIO are those that the command features gives.

    Exit status 3: some recordings could not be used; they are listed with the reasons, and the others are written.
    """
    from rich.console import Console

    from speechgmm.corpus.manifest import ROLES
    from speechgmm.features.sources import find_sources
    from speechgmm.recipe.running.vectors import write_recipe_vectors

    with exit_on_error():
        _check_options(audio, role, channel, raw)
        loaded, results = _recipe_and_results(recipe, set_ or (), results)
        found = find_sources(audio, channel=parse_channel(channel), raw=parse_raw_format(raw)) if audio else None
        written = write_recipe_vectors(
            loaded,
            out,
            recordings=found.sources if found else None,
            roles=[name for name in ROLES if not role or name in role],
            results=results,
            engine=build_engine(engine, jobs, scheduler),
            kernel=None if device is None else KERNELS[device],
            console=Console(stderr=True),
        )
        _show(loaded, out, written, found)
        if written.unusable:
            _exit_with_unusable(written, found)


def _check_options(
    audio: Sequence[str] | None, role: Sequence[RoleName] | None, channel: str | None, raw: str | None
) -> None:
    """Refuse options that have no effect."""
    if audio and role:
        raise typer.BadParameter("it is of the corpus; expected no AUDIO beside it", param_hint="--role")
    for option, value in (("--channel", channel), ("--raw", raw)):
        if value is not None and not audio:
            raise typer.BadParameter("it is of AUDIO; the corpus says it of its recordings", param_hint=option)


def _recipe_and_results(path: Path, overrides: Sequence[str], results: Path | None) -> "tuple[Recipe, Path]":
    """Read a recipe, or that of a results folder, and return the folder of all results with it."""
    from speechgmm.recipe.layout import CACHE, RECIPE_FILE
    from speechgmm.recipe.reading.loader import load_recipe
    from speechgmm.recipe.results.wrong_folders import not_results

    folder = results_folder(path)
    if not folder.is_dir():
        return load_recipe(recipe_file(path, overrides), overrides), results or Path("results")
    if not (folder / RECIPE_FILE).is_file():
        raise ResultsError(not_results(folder))
    above = folder.resolve().parents
    beside = next((parent for parent in above[:2] if (parent / CACHE).is_dir()), above[0])  # points are a level deeper
    return load_recipe(folder / RECIPE_FILE, overrides), results or beside


def _show(recipe: "Recipe", out: Path, written: "WrittenVectors", found: "FoundSources | None") -> None:
    """Print what went where, and what is odd."""
    is_ark = out.suffix.lower() == ".ark"
    if written.n_vectors:
        if written.renamed:
            typer.echo("white space in names is written as _")
        assert recipe.vectors is not None
        kind = "supervector" if recipe.vectors.kind == "supervector" else "i-vector"
        files = f"{out}, {out.with_suffix('.scp')}" if is_ark else f"{out}"
        typer.echo(
            f"{files}: {written.n_vectors:,} {kind}{'s' * (written.n_vectors > 1)} of {written.dimension:,} numbers"
            f"{', in single precision' * is_ark}"
        )
    damaged = [
        f"{stage.title}: stored output was damaged ({stage.damage}); computed again"
        for stage in written.stages
        if stage.damage
    ]
    for warning in (*damaged, *written.warnings):
        typer.secho(f"warning: {shorten_paths(printable(warning))}", fg="yellow")
    for note in found.notes if found else ():
        typer.echo(printable(f"note: {note}"))


def _exit_with_unusable(written: "WrittenVectors", found: "FoundSources | None") -> NoReturn:
    """List the recordings that could not be used, and exit with status 3."""
    n_unusable = len(written.unusable)
    n = n_unusable + written.n_vectors
    title = f"{n_unusable:,} of {n:,} recordings could not be used:"
    if not written.n_vectors:
        title = f"none of {n:,} recordings could be used; nothing is written:" if n > 1 else "nothing is written:"
    paths = {source.utterance: source.path for source in found.sources if source.start is None} if found else {}
    typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(title, err=True)
    for line in group_reasons((paths.get(each.utterance, each.utterance), each.reason) for each in written.unusable):
        typer.echo(printable(f"  {line}"), err=True)
    raise typer.Exit(3)
