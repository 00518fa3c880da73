"""The command that runs an experiment."""

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechgmm.cli.common import (
    JobsOption,
    RecipeArgument,
    exit_on_error,
    group_reasons,
    printable,
    recipe_file,
    shorten_paths,
)
from speechgmm.cli.tables import show_identification, show_numbers
from speechgmm.errors import RecipeError, SpeechGMMError

if TYPE_CHECKING:
    from speechgmm.gmm.kernels.dense import TorchKernel
    from speechgmm.parallel.engine import Engine
    from speechgmm.recipe.running.runner import RunResult


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""The names that a recipe may have, copied from `speechgmm.recipe.schema.recipe` so that --help need not import it."""

MAX_REASONS = 5
"""Reasons that the end of a run lists for utterances that could not be used."""


class Stage(StrEnum):
    """The names in `speechgmm.recipe.stages.context.STAGES`, copied so that --help need not import it."""

    corpus = "corpus"
    features = "features"
    ubm = "ubm"
    statistics = "statistics"
    subspace = "subspace"
    vectors = "vectors"
    backend = "backend"
    speakers = "speakers"
    scores = "scores"
    normalisation = "normalisation"
    calibration = "calibration"
    evaluation = "evaluation"
    report = "report"


class Device(StrEnum):
    """Device on which PyTorch computes."""

    cpu = "cpu"
    cuda = "cuda"


KERNELS: "dict[Device, TorchKernel]" = {Device.cpu: "torch", Device.cuda: "cuda"}
"""The kernel of each device."""


class EngineKind(StrEnum):
    """How the work is distributed: in this process, in worker processes, or on a cluster."""

    serial = "serial"
    processes = "processes"
    dask = "dask"


EngineOption = Annotated[
    EngineKind, typer.Option("--engine", help="Run in this process, in worker processes, or on a Dask cluster.")
]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Scheduler of the cluster for --engine dask, as in tcp://host:8786; a local cluster by default.",
        show_default=False,
    ),
]


def build_engine(kind: EngineKind, jobs: int | None, scheduler: str | None) -> "Engine":
    """Build the engine that the options describe; raise `SpeechGMMError` if they do not go together."""
    from speechgmm.parallel.engine import Engine, available_cores

    if scheduler is not None and kind != EngineKind.dask:
        raise SpeechGMMError(f"--scheduler {scheduler} with --engine {kind.value}: expected --engine dask")
    if scheduler is not None and jobs is not None:
        raise SpeechGMMError(
            f"--jobs {jobs} with --scheduler {scheduler}: the cluster has its own workers; leave --jobs out"
        )
    return Engine(kind.value, jobs or available_cores(), scheduler)


def _checked_name(name: str | None) -> str | None:
    """Refuse a name that no folder of results can have."""
    if name is not None and not NAME.fullmatch(name):
        raise typer.BadParameter(
            f"{name!r}; expected at most 100 letters, digits, '.', '_' and '-', the first a letter or a digit"
        )
    return name


def run(
    recipe: RecipeArgument,
    *,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as in ubm.n_components=128. Repeatable."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            callback=_checked_name,
            help="Name of the folder of these results, as --set name=NAME.",
            show_default="as the recipe says, else its file's name",
        ),
    ] = None,
    results: Annotated[
        Path, typer.Option(help="Folder of all results; this run writes into the folder NAME in it.")
    ] = Path("results"),
    jobs: JobsOption = None,
    engine: EngineOption = EngineKind.processes,
    scheduler: SchedulerOption = None,
    device: Annotated[
        Device | None,
        typer.Option(
            show_default="as the recipe says",
            help="Train and score with PyTorch on the CPU or an NVIDIA GPU: sets kernel to torch or cuda.",
        ),
    ] = None,
    from_: Annotated[
        Stage | None,
        typer.Option(
            "--from",
            metavar="STAGE",
            help="Rerun this stage and those after it, even if their outputs are stored; the stages are those of "
            "--until.",
        ),
    ] = None,
    until: Annotated[
        Stage | None,
        typer.Option("--until", metavar="STAGE", help=f"Stop after this stage: {', '.join(Stage)}."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Rerun all stages.")] = False,
) -> None:
    """Run an experiment: features, background model, speaker models, scores, metrics and report.

    Outputs that an earlier run has stored are used again if nothing that they depend on has changed. Results of
    another recipe that had the same name are kept in NAME.previous.
    """
    from rich.console import Console

    from speechgmm.recipe.running.runner import run as run_recipe

    with exit_on_error():
        if force and from_:
            raise RecipeError(f"--force and --from {from_.value}: expected one of them")
        if from_ and until and [*Stage].index(from_) > [*Stage].index(until):
            raise RecipeError(f"--from {from_.value} is after --until {until.value}: nothing would be rerun")
        overrides = [*(set_ or ()), *([f"name='{name}'"] if name else [])]
        result = run_recipe(
            recipe_file(recipe, overrides),
            overrides=overrides,
            results=results,
            engine=build_engine(engine, jobs, scheduler),
            kernel=None if device is None else KERNELS[device],
            console=Console(stderr=True),
            from_stage="corpus" if force else from_ and from_.value,
            until_stage=until and until.value,
        )
        if result.metrics:
            _print_metrics(result)
        else:
            _print_stages(result, until or Stage.report)


def _print_stages(result: "RunResult", until: Stage) -> None:
    """Print the stages of a run that stopped before its metrics, and whether the last that was asked for was one."""
    for stage in result.stages:
        how = "stored before" if stage.reused else f"done in {stage.metadata['seconds']:.1f} s"
        typer.echo(shorten_paths(f"{stage.title}: {how}, in {stage.folder}"))
    if all(stage.folder.parent.name != until.value for stage in result.stages):
        typer.echo(f"{until.value}: nothing to do: this recipe has no such stage")
    _print_warnings(result)


def _print_warnings(result: "RunResult") -> None:
    """Print what makes the results look better than they are, what was skipped, and which outputs were damaged."""
    for warning in result.warnings:
        typer.secho(f"warning: {shorten_paths(printable(warning))}", fg="yellow")
    for stage in result.stages:
        if stage.damage:
            message = f"{stage.title}: stored output was damaged ({stage.damage}); computed again"
            typer.secho(f"warning: {message}", fg="yellow")
    unusable = {(item.id, item.reason): None for item in result.skipped if item.kind == "utterance"}
    if unusable:
        n = len({name for name, _ in unusable})
        typer.secho(f"warning: {n:,} utterance{'s' * (n > 1)} could not be used:", fg="yellow")
        lines = group_reasons(unusable)
        for line in lines[:MAX_REASONS]:
            typer.echo(printable(f"  {line}"))
        more = f"{len(lines) - MAX_REASONS:,} more reasons" if len(lines) > MAX_REASONS else "each of them"
        typer.echo(shorten_paths(f"  {more}: {result.folder / 'skipped.csv'}"))
    if result.previous:
        compare = f"speechgmm compare {result.previous} {result.folder}" if result.metrics else f"{result.previous}"
        typer.echo(shorten_paths(f"earlier results of this name, of another recipe: {compare}"))


def _print_metrics(result: "RunResult") -> None:
    """Print the metrics of a run with their definitions."""
    from speechgmm.recipe.results.report import calibration_phrase

    lists: dict[str, Any] = result.metrics["trials"]
    show_numbers(lists)
    show_identification(result.metrics["identification"])
    calibration = result.metrics["calibration"]
    if calibration:
        decision = result.metrics["decision"]
        typer.echo(f"threshold: {decision['threshold']:+.2f} nats, {decision['meaning']}")
        if decision["errors"]:
            typer.echo(f"decisions: {decision['errors']}")
        trials = f" ({calibration['n_target']:,} target and {calibration['n_nontarget']:,} nontarget trials)"
        beside = [
            *(["the log duration"] if calibration["duration"] else []),
            *(["the condition"] if calibration.get("condition") else []),
        ]
        sides = f", with {' and '.join(beside)} of the test" if beside else ""
        typer.echo(f"{calibration_phrase(calibration)}{trials if calibration['n_target'] else ''}{sides}")
        if any(numbers["trains_calibration"] for numbers in lists.values()):
            typer.echo("*: calibration was trained on trials of this list, so its metrics look better than they are")
    _print_warnings(result)
    n_unscored = sum(numbers["n_unscored"] for numbers in lists.values())
    if n_unscored:
        typer.echo(shorten_paths(f"{n_unscored} trials have no score; reasons: {result.folder / 'skipped.csv'}"))
    typer.echo(shorten_paths(f"report: {result.folder / 'report.html'}"))
    typer.echo(shorten_paths(f"results: {result.folder}"))
