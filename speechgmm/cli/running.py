"""The command that runs an experiment, and the table of its numbers."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechgmm.cli.common import JobsOption, told
from speechgmm.errors import RecipeError

if TYPE_CHECKING:
    from speechgmm.recipe.runner import RunResult

MEANINGS = {
    "n_target": "scored trials in which the model's speaker speaks",
    "n_nontarget": "scored trials in which somebody else does",
    "n_unscored": "trials whose model or test could not be used",
    "eer": "where as large a share of targets is missed as of nontargets accepted; with other speakers (low-high)",
    "cllr": "bits; cost of the scores taken as log-likelihood ratios",
    "min_cllr": "bits; the same if the scores were calibrated perfectly",
    "p_miss": "share of targets below the threshold, which are rejected",
    "p_fa": "share of nontargets at the threshold or above, which are accepted",
}

NARROWEST = 24
"""Columns that the meanings of the numbers need beside them; with fewer they follow below."""


class Stage(StrEnum):
    """What `speechgmm.recipe.means.STAGES` names, without what it imports."""

    corpus = "corpus"
    features = "features"
    ubm = "ubm"
    speakers = "speakers"
    scores = "scores"
    normalisation = "normalisation"
    calibration = "calibration"
    evaluation = "evaluation"
    report = "report"


class EngineKind(StrEnum):
    """Where the work is done."""

    serial = "serial"
    processes = "processes"


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
    engine: Annotated[EngineKind, typer.Option(help="Where the work is done.")] = EngineKind.processes,
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

    from speechgmm.parallel import Engine, available_cores
    from speechgmm.recipe.runner import run as run_recipe

    where = Engine(engine.value, jobs or available_cores())
    with told():
        if force and from_:
            raise RecipeError(f"--force and --from {from_.value}: expected one of them")
        if from_ and until and [*Stage].index(from_) > [*Stage].index(until):
            raise RecipeError(f"--from {from_.value} is after --until {until.value}: nothing would be made anew")
        done = run_recipe(
            recipe,
            overrides=set_ or (),
            results=results,
            engine=where,
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
        how = "was there" if stage.reused else f"done in {stage.made['seconds']:.1f} s"
        typer.echo(f"{stage.title}: {how}, in {stage.folder}")
    for warning in done.warnings:
        typer.secho(f"warning: {warning}", fg="yellow")


def _show(done: "RunResult") -> None:
    """Print the numbers of a run, each with its meaning."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    lists: dict[str, Any] = done.metrics["trials"]
    rows = _rows(list(lists.values()))
    widths = [max(len(name), *(len(cells[n]) for _, cells, _ in rows)) for n, name in enumerate(lists)]
    needed = max(len(title) for title, _, _ in rows) + sum(width + 3 for width in widths) + 3
    width = Console().width
    beside = width - needed >= NARROWEST
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name, numbers in lists.items():
        title = f"{name}*" if numbers.get("trains_calibration") else name
        table.add_column(title, justify="right", no_wrap=True)
    if beside:
        table.add_column("", style="dim")
    for title, cells, meaning in rows:
        table.add_row(title, *cells, *([meaning] if beside else []))
    Console(width=max(width, needed)).print(table)
    if not beside:
        for title, _, meaning in rows:
            typer.echo(f"{title}: {meaning}")
    identification = done.metrics["identification"]
    typer.echo(
        f"identification: {_number(identification['rate'], '{:.1%}')} of {identification['n_tests']} tests score "
        f"highest with their own speaker's model, of {identification['n_models']}"
    )
    calibration = done.metrics["calibration"]
    if calibration:
        decision = done.metrics["decision"]
        typer.echo(f"threshold: {decision['threshold']:+.2f} nats, {decision['meaning']}")
        trials = f"{calibration['n_target']:,} target and {calibration['n_nontarget']:,} nontarget trials"
        duration = ", with the logarithm of the test's duration" if calibration["duration"] else ""
        typer.echo(f"calibrated on {calibration['trained_on']} ({trials}){duration}")
        if any(numbers["trains_calibration"] for numbers in lists.values()):
            typer.echo("*: calibration was trained on this list, so its numbers look better than they are")
    for warning in done.warnings:
        typer.secho(f"warning: {warning}", fg="yellow")
    n_unscored = sum(numbers["n_unscored"] for numbers in lists.values())
    if n_unscored:
        typer.echo(f"{n_unscored} trials have no score; why: {done.folder / 'skipped.csv'}")
    typer.echo(f"report: {done.folder / 'report.html'}")
    typer.echo(f"results: {done.folder}")


def _rows(lists: list[dict[str, Any]]) -> list[tuple[str, list[str], str]]:
    """Lay out the numbers of the trial lists: a title, a cell for each list, a meaning."""
    from speechgmm.evaluation.metrics import PRESETS

    rows = [
        ("target", [f"{each['n_target']:,}" for each in lists], MEANINGS["n_target"]),
        ("nontarget", [f"{each['n_nontarget']:,}" for each in lists], MEANINGS["n_nontarget"]),
        ("unscored", [f"{each['n_unscored']:,}" for each in lists], MEANINGS["n_unscored"]),
        ("EER", [_number(each["eer"], "{:.2%}") + _interval(each) for each in lists], MEANINGS["eer"]),
    ]
    for preset in lists[0]["min_dcf"]:
        costs = ", ".join(f"c_miss {c.c_miss:g} c_fa {c.c_fa:g} p_target {c.p_target:g}" for c in PRESETS[preset])
        cells = [_number(each["min_dcf"][preset], "{:.3f}") for each in lists]
        rows.append((f"minDCF {preset}", cells, f"least cost, relative to no scores; {costs}"))
        cells = [_number(each["act_dcf"][preset], "{:.3f}") for each in lists]
        rows.append((f"actDCF {preset}", cells, "cost of the decisions that the scores ask for, as ratios"))
    rows.append(("Cllr", [_number(each["cllr"], "{:.3f}") for each in lists], MEANINGS["cllr"]))
    if "cllr_uncalibrated" in lists[0]:
        cells = [_number(each["cllr_uncalibrated"], "{:.3f}") for each in lists]
        rows.append(("Cllr, raw", cells, "bits; of the scores before calibration"))
    rows.append(("minCllr", [_number(each["min_cllr"], "{:.3f}") for each in lists], MEANINGS["min_cllr"]))
    if "p_miss" in lists[0]:
        rows.append(("P_miss", [_number(each["p_miss"], "{:.2%}") for each in lists], MEANINGS["p_miss"]))
        rows.append(("P_fa", [_number(each["p_fa"], "{:.2%}") for each in lists], MEANINGS["p_fa"]))
    return rows


def _number(value: float | None, form: str) -> str:
    """Format a number, or a dash where there is none."""
    return "-" if value is None else form.format(value)


def _interval(numbers: dict[str, Any]) -> str:
    """Format the interval of the EER in per cent, where there is one."""
    intervals = numbers["intervals"]
    return (
        " ({:.1f}-{:.1f})".format(*(100 * each for each in intervals["eer"])) if intervals and intervals["eer"] else ""
    )
