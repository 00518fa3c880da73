"""Running a series of experiments, which share stored stages, and writing their table."""

import csv
import json
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from speechgmm.files import replacing
from speechgmm.parallel.engine import Engine, workers
from speechgmm.recipe.layout import (
    CACHE,
    LOG_FILE,
    METRICS_FILE,
    PREVIOUS_SERIES_FILE,
    PROVENANCE_FILE,
    RECIPE_FILE,
    REPORT_FILE,
    SERIES_FILE,
)
from speechgmm.recipe.reading.loader import dump_recipe
from speechgmm.recipe.results.earlier import differences_from
from speechgmm.recipe.running.planning import plan
from speechgmm.recipe.running.runner import run
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.series.points import Series, SeriesPoint
from speechgmm.recipe.stages.evaluation import load_metrics

FAILURES = (ValueError, ArithmeticError, MemoryError, OSError, RuntimeError)
"""Errors of one point, by its keys, its data or the machine, after which the other points still run."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a point: its metrics, or why it failed."""

    point: SeriesPoint
    metrics: dict[str, Any] | None  # contents of its metrics.json; None if it failed
    reason: str = ""  # why it failed, in one line
    reused: bool = False  # whether its results were there already
    seconds: float = 0.0  # how long the run took
    warnings: tuple[str, ...] = ()  # of its run


def run_series(
    series: Series,
    *,
    results: str | Path = "results",
    engine: Engine | None = None,
    console: Console | None = None,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
) -> tuple[Outcome, ...]:
    """Run the points of a series one after another, each using the stages that others have stored.

    The results of a point go into ``RESULTS/SERIES/POINT``. A point whose results are there, from the same recipe and
    data, is not run again. Results of another recipe are kept in ``POINT.previous``, and the table of a series of
    other recipes in ``sweep.previous.csv``. One that fails is noted with its reason, and its ``log.txt`` has the
    traceback. After each point, the table ``RESULTS/SERIES/sweep.csv`` is written again and `on_outcome` is called.

    Raises OSError if the table cannot be written, and WorkerError if no scheduler answers at the engine's address.
    """
    folder = Path(results).resolve() / series.name
    folder.mkdir(parents=True, exist_ok=True)
    _keep_table(folder, series)
    outcomes: list[Outcome] = []
    with workers(engine):
        for point in series.points:
            if point.recipe is None:
                outcome = Outcome(point, None, _one_line(point.problem))
            else:
                outcome = _find_results(point, point.recipe, folder) or _run(
                    point, point.recipe, folder, engine, console
                )
            outcomes.append(outcome)
            _write_table(folder / SERIES_FILE, series, outcomes)
            on_outcome(outcome)
    return tuple(outcomes)


def flatten_metrics(metrics: dict[str, Any]) -> dict[str, float | int | None]:
    """Return the metrics of ``metrics.json`` by dotted name, such as ``trials.min_dcf.sre08``, and ``identification``.

    Intervals and the numbers of trials are left out.
    """
    flat: dict[str, float | int | None] = {}
    for list_name, values in metrics["trials"].items():
        flat |= {f"{list_name}.{name}": value for name, value in _flatten(values) if not name.startswith("n_")}
    return flat | {"identification": metrics["identification"]["rate"]}


def _flatten(values: dict[str, Any]) -> Iterator[tuple[str, float | int | None]]:
    """Yield the numbers of nested metrics by dotted name."""
    for name, value in values.items():
        if name == "intervals" or isinstance(value, bool):
            continue
        if isinstance(value, dict):
            yield from ((f"{name}.{inner_name}", inner) for inner_name, inner in _flatten(value))
        else:
            yield name, value


def _keep_table(folder: Path, series: Series) -> None:
    """Keep the table of an earlier series if all results that are there are of other recipes than the points'."""
    recipes = {folder / point.name: point.recipe for point in series.points if point.recipe}
    there = [path for path in recipes if (path / METRICS_FILE).is_file()]
    table = folder / SERIES_FILE
    if there and table.is_file() and all(differences_from(path, recipes[path]) for path in there):
        with replacing(folder / PREVIOUS_SERIES_FILE) as temporary:
            shutil.copyfile(table, temporary)


def _find_results(point: SeriesPoint, recipe: Recipe, folder: Path) -> Outcome | None:
    """Return the results of a point if they are complete, of this recipe, and of the data as they are now.

    Results with a report are complete, because it is written last.
    """
    results = folder / point.name
    try:
        text = (results / RECIPE_FILE).read_text(encoding="utf-8")
        if not (results / REPORT_FILE).is_file():
            return None
        provenance = json.loads((results / PROVENANCE_FILE).read_text(encoding="utf-8"))
        used = [stage["digest"] for stage in provenance["stages"]]
        warnings = tuple(provenance["warnings"])
        metrics = load_metrics(results)
        planned, unknown, resolved = plan(recipe, folder.parent)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if unknown or text != dump_recipe(resolved.recipe):
        return None
    if any(stage.why for stage in planned) or [stage.output.digest for stage in planned] != used:
        return None
    if metrics != load_metrics(planned[-1].output.folder):  # numbers that have changed since the run wrote them
        return None
    return Outcome(point, metrics, reused=True, warnings=warnings)


def _run(point: SeriesPoint, recipe: Recipe, folder: Path, engine: Engine | None, console: Console | None) -> Outcome:
    """Run a point, or return why it failed."""
    started = time.perf_counter()
    try:
        done = run(recipe, results=folder, engine=engine, console=console, cache=folder.parent / CACHE)
    except FAILURES as error:
        point_folder = folder / point.name
        point_folder.mkdir(exist_ok=True)
        with (point_folder / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(traceback.format_exc())
        reason = _one_line(str(error) or type(error).__name__)
        return Outcome(point, None, reason, seconds=time.perf_counter() - started)
    return Outcome(point, done.metrics, seconds=time.perf_counter() - started, warnings=done.warnings)


def _one_line(text: str) -> str:
    """Join the lines of a message into one."""
    return "; ".join(text.split("\n"))


def _write_table(path: Path, series: Series, outcomes: Sequence[Outcome]) -> None:
    """Write a row for each point, without times, so that the same series gives the same bytes."""
    rows = [flatten_metrics(outcome.metrics) if outcome.metrics else {} for outcome in outcomes]
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["member", *series.keys, "status", *columns, "reason"])
        for outcome, row in zip(outcomes, rows, strict=True):
            values = [outcome.point.values.get(key, "") for key in series.keys]
            status = "failed" if outcome.metrics is None else "done"
            cells = ["" if row.get(name) is None else repr(row[name]) for name in columns]
            writer.writerow([outcome.point.name, *values, status, *cells, outcome.reason])
