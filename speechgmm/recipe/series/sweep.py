"""Running a series of experiments: they share their stored stages, and end in one table."""

import csv
import json
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from speechgmm.files import replacing
from speechgmm.parallel.engine import Engine, workers
from speechgmm.recipe.layout import CACHE, LOG_FILE, PROVENANCE_FILE, RECIPE_FILE, REPORT_FILE, SERIES_FILE
from speechgmm.recipe.reading.loader import dump_recipe
from speechgmm.recipe.running.planning import plan
from speechgmm.recipe.running.runner import run
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.series.points import Series, SeriesPoint
from speechgmm.recipe.stages.evaluation import load_metrics

FAILURES = (ValueError, ArithmeticError, MemoryError, OSError, RuntimeError)
"""What may befall one member, and leaves the others to be run: its keys, its data, the machine."""


@dataclass(frozen=True)
class Outcome:
    """What became of a member.

    Parameters
    ----------
    member : SeriesPoint
        Which.
    metrics : dict or None
        What its ``metrics.json`` holds; None if it failed.
    reason : str
        Why it failed, in a line.
    kept : bool
        Whether its results were there already.
    seconds : float
        How long it took.
    warnings : tuple of str
        Of its run.
    """

    point: SeriesPoint
    metrics: dict[str, Any] | None
    reason: str = ""
    kept: bool = False
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()


def run_series(
    series: Series,
    *,
    results: str | Path = "results",
    engine: Engine | None = None,
    console: Console | None = None,
    tell: Callable[[Outcome], None] = lambda _: None,
) -> tuple[Outcome, ...]:
    """Run the members of a series one after another; what one has stored, others find.

    A member whose results are there, of the very same recipe, is not run again. One that fails is noted with its
    reason, and the traceback is in its ``log.txt``. The table, ``NAME/sweep.csv``, is written anew after each.

    Parameters
    ----------
    series : Series
        What to run.
    results : str or Path
        Members' results go into folders of their names, in the folder of the series' name below this one.
    engine, console
        As for `run`.
    tell : callable
        Told of each member when it is done.

    Returns
    -------
    tuple of Outcome
        In the order of the members.

    Raises
    ------
    OSError
        If the table cannot be written.
    WorkerError
        If no scheduler answers at the engine's address.
    """
    folder = Path(results).resolve() / series.name
    folder.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    with workers(engine):
        for point in series.points:
            if point.recipe is None:
                outcome = Outcome(point, None, _line(point.problem))
            else:
                outcome = _kept(point, point.recipe, folder) or _run(point, point.recipe, folder, engine, console)
            outcomes.append(outcome)
            _write_table(folder / SERIES_FILE, series, outcomes)
            tell(outcome)
    return tuple(outcomes)


def flatten_metrics(metrics: dict[str, Any]) -> dict[str, float | int | None]:
    """Lay out the numbers of a run: all but the intervals and the numbers of trials.

    Parameters
    ----------
    metrics : dict
        What ``metrics.json`` holds.

    Returns
    -------
    dict of str to number or None
        By trial list and name, as in ``trials.min_dcf.sre08``, and ``identification``.
    """
    flat: dict[str, float | int | None] = {}
    for name, values in metrics["trials"].items():
        flat |= {f"{name}.{number}": value for number, value in _flat(values) if not number.startswith("n_")}
    return flat | {"identification": metrics["identification"]["rate"]}


def _flat(values: dict[str, Any]) -> Iterator[tuple[str, float | int | None]]:
    """Give numbers by dotted name."""
    for name, value in values.items():
        if name == "intervals" or isinstance(value, bool):
            continue
        if isinstance(value, dict):
            yield from ((f"{name}.{below}", each) for below, each in _flat(value))
        else:
            yield name, value


def _kept(point: SeriesPoint, recipe: Recipe, folder: Path) -> Outcome | None:
    """Find the results of a member: whole (the report is written last), of this recipe, and of the data as they are."""
    place = folder / point.name
    try:
        if (place / RECIPE_FILE).read_text(encoding="utf-8") != dump_recipe(recipe):
            return None
        if not (place / REPORT_FILE).is_file():
            return None
        provenance = json.loads((place / PROVENANCE_FILE).read_text(encoding="utf-8"))
        used = [stage["digest"] for stage in provenance["stages"]]
        warnings = tuple(provenance["warnings"])
        metrics = load_metrics(place)
        planned, unknown = plan(recipe, folder.parent)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if unknown or any(each.why for each in planned) or [each.output.digest for each in planned] != used:
        return None
    if metrics != load_metrics(planned[-1].output.folder):  # numbers that have changed since the run wrote them
        return None
    return Outcome(point, metrics, kept=True, warnings=warnings)


def _run(point: SeriesPoint, recipe: Recipe, folder: Path, engine: Engine | None, console: Console | None) -> Outcome:
    """Run a member, or note why that failed."""
    started = time.perf_counter()
    try:
        done = run(recipe, results=folder, engine=engine, console=console, cache=folder.parent / CACHE)
    except FAILURES as error:
        place = folder / point.name
        place.mkdir(exist_ok=True)
        with (place / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(traceback.format_exc())
        return Outcome(point, None, _line(str(error) or type(error).__name__), seconds=time.perf_counter() - started)
    return Outcome(point, done.metrics, seconds=time.perf_counter() - started, warnings=done.warnings)


def _line(text: str) -> str:
    """Put a message into one line."""
    return "; ".join(text.split("\n"))


def _write_table(path: Path, series: Series, outcomes: Sequence[Outcome]) -> None:
    """Write a row for each member; no times, so that the same series gives the same bytes."""
    laid_out = [flatten_metrics(each.metrics) if each.metrics else {} for each in outcomes]
    columns = tuple(dict.fromkeys(name for each in laid_out for name in each))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["member", *series.keys, "status", *columns, "reason"])
        for outcome, found in zip(outcomes, laid_out, strict=True):
            values = [outcome.point.values.get(key, "") for key in series.keys]
            status = "failed" if outcome.metrics is None else "done"
            cells = ["" if found.get(name) is None else repr(found[name]) for name in columns]
            writer.writerow([outcome.point.name, *values, status, *cells, outcome.reason])
