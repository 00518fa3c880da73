"""The command that runs a series of experiments and prints a table of them."""

from collections.abc import Sequence
from enum import StrEnum
from math import inf
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
from speechgmm.cli.run import EngineKind, EngineOption, SchedulerOption, build_engine
from speechgmm.cli.tables import COST, NOT_CALIBRATED, PERCENT, format_number, lacks_ratios

if TYPE_CHECKING:
    from speechgmm.recipe.series.points import Series
    from speechgmm.recipe.series.sweep import Outcome

SOME_FAILED = 3
"""Exit status if some experiments failed and the others ran."""


class SortKey(StrEnum):
    """Metrics of the first trial list that can order the table."""

    eer = "eer"
    min_dcf = "min_dcf"
    act_dcf = "act_dcf"
    cllr = "cllr"
    min_cllr = "min_cllr"


def sweep(
    recipe: RecipeArgument,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE,...",
            help="One experiment for each value, as in ubm.n_components=32,64; a single value is set for all. "
            "Repeatable.",
        ),
    ] = None,
    results: Annotated[
        Path, typer.Option(help="Folder of all results; the experiments write into NAME/POINT/ in it.")
    ] = Path("results"),
    sort: Annotated[SortKey, typer.Option(help="Metric of the first trial list to sort the table by.")] = SortKey.eer,
    jobs: JobsOption = None,
    engine: EngineOption = EngineKind.processes,
    scheduler: SchedulerOption = None,
) -> None:
    """Run a series of experiments: the points of the recipe's sweep, or every combination of the --set values.

    Experiments share the outputs that they have in common, and finished ones are not run again. If one experiment
    fails, its reason is printed and the others continue; the exit status is then 3.
    """
    from rich.console import Console

    from speechgmm.recipe.layout import SERIES_FILE
    from speechgmm.recipe.series.points import load_series, split_values
    from speechgmm.recipe.series.sweep import run_series

    with exit_on_error():
        workers = build_engine(engine, jobs, scheduler)
        recipe = recipe_file(recipe, [text for text in set_ or () if len(split_values(text)) == 1])
        series = load_series(recipe, set_ or ())
        experiments = "1 experiment" if len(series.points) == 1 else f"{len(series.points)} experiments"
        typer.echo(f"{series.name}: {experiments}, over {', '.join(series.keys) or 'one point'}")
        for point in series.points:
            if point.recipe is None:
                typer.secho(f"cannot be run: {point.name}: {point.problem}", fg="red")
        progress = _ProgressLines(len(series.points))
        console = Console(stderr=True)
        outcomes = run_series(series, results=results, engine=workers, console=console, on_outcome=progress.add)
        _print_table(series, outcomes, sort.value)
        typer.echo(f"table: {results / series.name / SERIES_FILE}")
    if any(outcome.metrics is None for outcome in outcomes):
        raise typer.Exit(SOME_FAILED)


class _ProgressLines:
    """Printed lines, one for each finished experiment."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0

    def add(self, outcome: "Outcome") -> None:
        """Print the line of one experiment."""
        self._done += 1
        state = "done" if outcome.metrics else f"failed: {shorten_paths(printable(outcome.reason))}"
        state = "kept" if outcome.reused else f"{state} ({outcome.seconds:.1f} s)"
        if outcome.point.recipe is not None:
            typer.echo(f"{self._done}/{self._total} {outcome.point.name}: {state}")


TITLES = {"eer": "EER", "min_dcf": "minDCF", "act_dcf": "actDCF", "cllr": "Cllr", "min_cllr": "minCllr"}


def _print_table(series: "Series", outcomes: "Sequence[Outcome]", sort: str) -> None:
    """Print the table, the best first and failed experiments last, then failures, and each warning once."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from speechgmm.recipe.series.points import short_names

    ranked = sorted(outcomes, key=lambda outcome: _sort_value(outcome, sort))
    finished = [outcome.metrics for outcome in outcomes if outcome.metrics]
    lists = list(dict.fromkeys(name for metrics in finished for name in metrics["trials"]))
    shown = tuple(dict.fromkeys(("eer", "min_dcf", sort)))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for word in short_names(series.keys).values():
        table.add_column(word, justify="right")
    for name in lists:
        for metric in shown:
            table.add_column(f"{name}\n{_title(metric, finished)}", justify="right", no_wrap=True)
    for outcome in ranked:
        values = [outcome.point.values.get(key, "") for key in series.keys]
        trials = outcome.metrics["trials"] if outcome.metrics else {}
        pairs = [(trials[name], metric) for name in lists if name in trials for metric in shown]
        cells = [_format_cell(numbers, metric) for numbers, metric in pairs]
        table.add_row(*(Text(value) for value in values), *(cells or ["failed"][: len(lists)]))
    Console().print(table)
    for line in group_reasons((outcome.point.name, outcome.reason) for outcome in outcomes if not outcome.metrics):
        typer.secho(f"failed: {shorten_paths(printable(line))}", fg="red")
    for warning in dict.fromkeys(warning for outcome in outcomes for warning in outcome.warnings):
        typer.secho(f"warning: {shorten_paths(printable(warning))}", fg="yellow")


def _sort_value(outcome: "Outcome", metric: str) -> float:
    """Return the metric of an experiment's first trial list, infinity if it has none."""
    value = _value(next(iter(outcome.metrics["trials"].values())), metric) if outcome.metrics else None
    return inf if value is None else value


def _value(numbers: dict[str, Any], metric: str) -> float | None:
    """Return a metric of a trial list; of detection costs, the first preset's."""
    values = numbers[metric]
    value: float | None = next(iter(values.values())) if isinstance(values, dict) else values
    return value


def _title(metric: str, finished: Sequence[dict[str, Any]]) -> str:
    """Return the title of a metric, with the preset of detection costs if all experiments have the same first one."""
    trial_lists = [numbers for metrics in finished for numbers in metrics["trials"].values()]
    presets = {next(iter(numbers[metric])) for numbers in trial_lists if isinstance(numbers[metric], dict)}
    return " ".join([TITLES[metric], *(presets if len(presets) == 1 else ())])


def _format_cell(numbers: dict[str, Any], metric: str) -> str:
    """Format a metric of a trial list, as a dash if it has no value."""
    if lacks_ratios(numbers, metric):
        return NOT_CALIBRATED
    return format_number(_value(numbers, metric), PERCENT if metric == "eer" else COST)
