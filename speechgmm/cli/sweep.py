"""The command that runs a series of experiments, and prints their table."""

from collections.abc import Sequence
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechgmm.cli.common import JobsOption, exit_on_error
from speechgmm.cli.run import EngineKind, EngineOption, SchedulerOption, engine_of

if TYPE_CHECKING:
    from speechgmm.recipe.series.points import Series
    from speechgmm.recipe.series.sweep import Outcome

FAILED = 3
"""Exit status where some of what was asked for could not be done, and the rest was."""


class SortKey(StrEnum):
    """The number that orders a table, of the first trial list."""

    eer = "eer"
    min_dcf = "min_dcf"
    act_dcf = "act_dcf"
    cllr = "cllr"
    min_cllr = "min_cllr"


def sweep(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)],
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE,...",
            help="One experiment for each of the values, as in ubm.n_components=32,64; a single one is set for all. "
            "Repeatable.",
        ),
    ] = None,
    results: Annotated[
        Path, typer.Option(help="Results go into folders of their own, in the folder of the recipe's name in here.")
    ] = Path("results"),
    sort: Annotated[SortKey, typer.Option(help="What orders the table.")] = SortKey.eer,
    jobs: JobsOption = None,
    engine: EngineOption = EngineKind.processes,
    scheduler: SchedulerOption = None,
) -> None:
    """Run an experiment at many points: of the recipe's own sweep, or of all values of --set, each with each.

    They run one after another and share what they have in common. One that is finished already is not run again. If one
    cannot be run, or fails, its reason is told and the others run; the exit status is 3 then.
    """
    from rich.console import Console

    from speechgmm.recipe.layout import SERIES_FILE
    from speechgmm.recipe.series.points import load_series
    from speechgmm.recipe.series.sweep import run_series

    with exit_on_error():
        where = engine_of(engine, jobs, scheduler)
        series = load_series(recipe, set_ or ())
        typer.echo(f"{series.name}: {len(series.points)} experiments, over {', '.join(series.keys) or 'one point'}")
        for point in series.points:
            if point.recipe is None:
                typer.secho(f"cannot be run: {point.name}: {point.problem}", fg="red")
        told_of = _Counter(len(series.points))
        outcomes = run_series(
            series, results=results, engine=where, console=Console(stderr=True), on_outcome=told_of.tell
        )
        _show(series, outcomes, sort.value)
        typer.echo(f"table: {results / series.name / SERIES_FILE}")
    if any(each.metrics is None for each in outcomes):
        raise typer.Exit(FAILED)


class _Counter:
    """A line for each experiment that is done."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0

    def tell(self, outcome: "Outcome") -> None:
        """Print it."""
        self._done += 1
        state = "done" if outcome.metrics else f"failed: {outcome.reason}"
        state = "kept" if outcome.reused else f"{state} ({outcome.seconds:.1f} s)"
        if outcome.point.recipe is not None:
            typer.echo(f"{self._done}/{self._total} {outcome.point.name}: {state}")


TITLES = {"eer": "EER", "min_dcf": "minDCF", "act_dcf": "actDCF", "cllr": "Cllr", "min_cllr": "minCllr"}


def _show(series: "Series", outcomes: "Sequence[Outcome]", sort: str) -> None:
    """Print the table, the best first and what failed last, and all warnings once."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from speechgmm.recipe.series.points import short_names

    ranked = sorted(outcomes, key=lambda each: _rank(each, sort))
    lists = list(dict.fromkeys(name for each in outcomes if each.metrics for name in each.metrics["trials"]))
    shown = tuple(dict.fromkeys(("eer", "min_dcf", sort)))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for word in short_names(series.keys).values():
        table.add_column(word, justify="right")
    for name in lists:
        for number in shown:
            table.add_column(f"{name}\n{_title(number, outcomes)}", justify="right", no_wrap=True)
    for outcome in ranked:
        values = [outcome.point.values.get(key, "") for key in series.keys]
        trials = outcome.metrics["trials"] if outcome.metrics else {}
        cells = [_cell(_one(trials[name], number), number) for name in lists if name in trials for number in shown]
        table.add_row(*(Text(value) for value in values), *(cells or ["failed"][: len(lists)]))
    Console().print(table)
    for outcome in outcomes:
        if outcome.metrics is None:
            typer.secho(f"failed: {outcome.point.name}: {outcome.reason}", fg="red")
    for warning in dict.fromkeys(warning for each in outcomes for warning in each.warnings):
        typer.secho(f"warning: {warning}", fg="yellow")


def _rank(outcome: "Outcome", sort: str) -> float:
    """Give what orders an experiment: its number in the first trial list, or more than any."""
    value = _one(next(iter(outcome.metrics["trials"].values())), sort) if outcome.metrics else None
    return inf if value is None else value


def _one(numbers: dict[str, Any], name: str) -> float | None:
    """Give a number of a trial list; of detection costs, the first."""
    value = numbers[name]
    found: float | None = next(iter(value.values())) if isinstance(value, dict) else value
    return found


def _title(name: str, outcomes: "Sequence[Outcome]") -> str:
    """Name a number; where every experiment has the same first detection costs, with these."""
    values = [each.metrics["trials"].values() for each in outcomes if each.metrics]
    costs = {next(iter(one[name])) for each in values for one in each if isinstance(one[name], dict)}
    return " ".join([TITLES[name], *(costs if len(costs) == 1 else ())])


def _cell(value: float | None, name: str) -> str:
    """Format a number, or a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.2%}" if name == "eer" else f"{value:.3f}"
