"""The command that runs an experiment."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechgmm.cli.common import JobsOption, exit_on_error, printable
from speechgmm.cli.tables import show_identification, show_numbers
from speechgmm.errors import RecipeError, SpeechGMMError

if TYPE_CHECKING:
    from speechgmm.gmm.kernels.dense import TorchKernel
    from speechgmm.parallel.engine import Engine
    from speechgmm.recipe.running.runner import RunResult


class Stage(StrEnum):
    """What `speechgmm.recipe.stages.context.STAGES` names, without what it imports."""

    corpus = "corpus"
    features = "features"
    ubm = "ubm"
    speakers = "speakers"
    scores = "scores"
    normalisation = "normalisation"
    calibration = "calibration"
    evaluation = "evaluation"
    report = "report"


class Device(StrEnum):
    """Where PyTorch computes."""

    cpu = "cpu"
    cuda = "cuda"


KERNELS: "dict[Device, TorchKernel]" = {Device.cpu: "torch", Device.cuda: "cuda"}
"""The kernel of each device."""


class EngineKind(StrEnum):
    """Where the work is done."""

    serial = "serial"
    processes = "processes"
    dask = "dask"


EngineOption = Annotated[EngineKind, typer.Option("--engine", help="Where the work is done.")]
SchedulerOption = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Scheduler of the cluster that --engine dask is to use, as in tcp://host:8786; a local one without.",
        show_default=False,
    ),
]


def engine_of(kind: EngineKind, jobs: int | None, scheduler: str | None) -> "Engine":
    """Make an engine of the options.

    Parameters
    ----------
    kind : EngineKind
        Of ``--engine``.
    jobs : int, optional
        Of ``--jobs``; all cores when not given.
    scheduler : str, optional
        Of ``--scheduler``.

    Returns
    -------
    Engine
        Where to run.

    Raises
    ------
    SpeechGMMError
        If they do not go together.
    """
    from speechgmm.parallel.engine import Engine, available_cores

    if scheduler is not None and kind != EngineKind.dask:
        raise SpeechGMMError(f"--scheduler {scheduler} with --engine {kind.value}: expected --engine dask")
    if scheduler is not None and jobs is not None:
        raise SpeechGMMError(f"--jobs {jobs} with --scheduler {scheduler}: its cluster has workers of its own")
    return Engine(kind.value, jobs or available_cores(), scheduler)


def run(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)],
    *,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key, as in ubm.n_components=128. Repeatable."),
    ] = None,
    results: Annotated[Path, typer.Option(help="Results go into the folder of the recipe's name in here.")] = Path(
        "results"
    ),
    jobs: JobsOption = None,
    engine: EngineOption = EngineKind.processes,
    scheduler: SchedulerOption = None,
    device: Annotated[
        Device | None,
        typer.Option(
            show_default="as the recipe says",
            help="Train and score by PyTorch, on the processor or an NVIDIA card: sets kernel to torch or cuda.",
        ),
    ] = None,
    from_: Annotated[
        Stage | None, typer.Option("--from", help="Make this stage and those after it anew, though they are stored.")
    ] = None,
    until: Annotated[Stage | None, typer.Option("--until", help="Stop after this stage.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Make all stages anew.")] = False,
) -> None:
    """Run an experiment: features, background model, speakers, scores, metrics, report.

    What an earlier run has stored, and nothing has changed for, is used again.
    """
    from rich.console import Console

    from speechgmm.recipe.running.runner import run as run_recipe

    with exit_on_error():
        if force and from_:
            raise RecipeError(f"--force and --from {from_.value}: expected one of them")
        if from_ and until and [*Stage].index(from_) > [*Stage].index(until):
            raise RecipeError(f"--from {from_.value} is after --until {until.value}: nothing would be made anew")
        done = run_recipe(
            recipe,
            overrides=set_ or (),
            results=results,
            engine=engine_of(engine, jobs, scheduler),
            kernel=None if device is None else KERNELS[device],
            console=Console(stderr=True),
            from_stage="corpus" if force else from_ and from_.value,
            until_stage=until and until.value,
        )
        if done.metrics:
            _show(done)
        else:
            _show_stages(done)


def _show_stages(done: "RunResult") -> None:
    """Print the stages of a run that was to stop before its numbers."""
    for stage in done.stages:
        how = "was there" if stage.reused else f"done in {stage.metadata['seconds']:.1f} s"
        typer.echo(f"{stage.title}: {how}, in {stage.folder}")
    _warn(done)


def _warn(done: "RunResult") -> None:
    """Print what makes the results look better than they are, and what was damaged."""
    for warning in done.warnings:
        typer.secho(f"warning: {printable(warning)}", fg="yellow")
    for stage in done.stages:
        if stage.damage:
            what = f"{stage.title}: what was stored is damaged ({stage.damage}), and made again"
            typer.secho(f"warning: {what}", fg="yellow")


def _show(done: "RunResult") -> None:
    """Print the numbers of a run, each with its meaning."""
    from speechgmm.recipe.results.report import calibration_phrase

    lists: dict[str, Any] = done.metrics["trials"]
    show_numbers(lists)
    show_identification(done.metrics["identification"])
    calibration = done.metrics["calibration"]
    if calibration:
        decision = done.metrics["decision"]
        typer.echo(f"threshold: {decision['threshold']:+.2f} nats, {decision['meaning']}")
        trials = f"{calibration['n_target']:,} target and {calibration['n_nontarget']:,} nontarget trials"
        duration = ", with the logarithm of the test's duration" if calibration["duration"] else ""
        typer.echo(f"{calibration_phrase(calibration['trained_on'])} ({trials}){duration}")
        if any(numbers["trains_calibration"] for numbers in lists.values()):
            typer.echo("*: calibration was trained on trials of this list, so its numbers look better than they are")
    _warn(done)
    n_unscored = sum(numbers["n_unscored"] for numbers in lists.values())
    if n_unscored:
        typer.echo(f"{n_unscored} trials have no score; why: {done.folder / 'skipped.csv'}")
    typer.echo(f"report: {done.folder / 'report.html'}")
    typer.echo(f"results: {done.folder}")
