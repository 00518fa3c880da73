"""A folder of results, read back: all that a report needs, without the corpus, its features or the cache."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple, TypeVar

import numpy as np

from speechgmm.errors import ResultsError, SpeechGMMError
from speechgmm.evaluation.report.content import SkippedItem
from speechgmm.evaluation.report.trials import TrialTable
from speechgmm.gmm.storage import load_gmm
from speechgmm.recipe.layout import (
    CONFUSION_COLUMNS,
    CONFUSION_FILE,
    DATA_COLUMNS,
    DATA_FILE,
    IN_LIST,
    LOG_FILE,
    METRICS_FILE,
    PROVENANCE_FILE,
    RECIPE_FILE,
    SCORES_COLUMNS,
    SCORES_FILE,
    SERIES_FILE,
    SEXES,
    SKIPPED_COLUMNS,
    SKIPPED_FILE,
    SYSTEMS,
    TRAINING_FILE,
    UBM_FILE,
)
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.schema.recipe import Recipe

T = TypeVar("T")

AGAIN = "run the recipe again, which uses what is stored, and then this"
"""What to do where results are not whole."""


class DataRow(NamedTuple):
    """An utterance as a system saw it; without seconds if it could not be used."""

    system: str
    role: str
    id: str
    speaker: str
    model: str
    sex: str
    path: str
    seconds: float | None
    speech_seconds: float | None


@dataclass(frozen=True, eq=False)
class Results:
    """What a run left behind.

    Parameters
    ----------
    folder : Path
        Where.
    recipe : Recipe
        The experiment, every default filled in.
    metrics, provenance : dict
        What ``metrics.json`` and ``provenance.json`` hold.
    trials : TrialTable
        What ``scores.csv`` holds.
    data : tuple of DataRow
        What ``data.csv`` holds.
    skipped : tuple of SkippedItem
        What ``skipped.csv`` holds.
    confusion : tuple of (str, str, int)
        What ``confusion.csv`` holds: a model, who was answered in its place or rightly, and how many tests were.
    training : mapping of tuple of str to tuple of dict
        The rows of each ``training.csv``, by the system and the sex that it is of, where there are several.
    sizes : tuple of int
        Components of each background model.
    """

    folder: Path
    recipe: Recipe
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]
    trials: TrialTable
    data: tuple[DataRow, ...]
    skipped: tuple[SkippedItem, ...]
    confusion: tuple[tuple[str, str, int], ...]
    training: Mapping[tuple[str, ...], tuple[Mapping[str, str], ...]]
    sizes: tuple[int, ...]


def open_results(folder: Path) -> Results:
    """Read what a run has left.

    Parameters
    ----------
    folder : Path
        The folder of results.

    Returns
    -------
    Results
        All of it but the speakers' models.

    Raises
    ------
    ResultsError
        If this is no folder of results, the run did not come to its end, or a file is missing, damaged or of another
        version; it says what to do.
    """
    _check_files(folder)
    try:
        recipe = load_recipe(folder / RECIPE_FILE)
        ubms = _background_models(folder, recipe)
        sizes = tuple(load_gmm(path / UBM_FILE).n_components for path in ubms.values())
    except SpeechGMMError as error:
        raise ResultsError(f"{error}\nthese results are damaged, or of another version; {AGAIN}") from error
    data = tuple(_table(folder / DATA_FILE, DATA_COLUMNS, _utterance)[1])
    metrics = _metrics(folder / METRICS_FILE)
    trials = _trials(folder / SCORES_FILE, data, ranked="raw" if recipe.calibration.method == "pav" else "llrs")
    _check_counts(folder / SCORES_FILE, trials, metrics)
    return Results(
        folder,
        recipe,
        metrics,
        _json(folder / PROVENANCE_FILE, ("seed", "created", "versions", "warnings", "stages")),
        trials,
        data,
        tuple(_table(folder / SKIPPED_FILE, SKIPPED_COLUMNS, lambda row: SkippedItem(*row))[1]),
        tuple(_table(folder / CONFUSION_FILE, CONFUSION_COLUMNS, lambda row: (row[0], row[1], int(row[2])))[1]),
        {of: _training(path / TRAINING_FILE) for of, path in ubms.items()},
        sizes,
    )


def _check_files(folder: Path) -> None:
    """Refuse what is no folder of results, or not all of one, and say what to do."""
    expected = "expected a folder of results, as results/NAME after a run"
    if not folder.is_dir():
        raise ResultsError(f"{folder}: {'a file' if folder.exists() else 'no such folder'}; {expected}")
    has_run = (folder / METRICS_FILE).is_file()  # of the name of a series
    if (folder / SERIES_FILE).is_file() and not has_run:
        raise ResultsError(f"{folder}: a series; {folder}/*/ are its results, one folder for each experiment")
    ends = (METRICS_FILE, SCORES_FILE, RECIPE_FILE, PROVENANCE_FILE)
    files = (*ends, SKIPPED_FILE, DATA_FILE, CONFUSION_FILE)
    missing = [name for name in files if not (folder / name).is_file()]
    if not missing:
        return
    lacks = f"{folder}: no {', no '.join(missing)}"
    if not any((folder / name).is_file() for name in (*files, LOG_FILE)):
        raise ResultsError(f"{lacks}; {expected}")
    if all((folder / name).is_file() for name in ends):
        raise ResultsError(f"{lacks}: removed, or these results are of an earlier version; {AGAIN}")
    raise ResultsError(f"{lacks}: the run was stopped, or is still at it; the same run again goes on from there")


def _background_models(folder: Path, recipe: Recipe) -> dict[tuple[str, ...], Path]:
    """Find the folder of each background model, by the system and the sex that it is of, where there are several."""
    found: dict[tuple[str, ...], Path] = {}
    for member in recipe.systems_or_self:
        of: tuple[str, ...] = (member.name,) if recipe.systems else ()
        place = folder / SYSTEMS / member.name if recipe.systems else folder
        if member.speakers.method == "independent":
            continue
        if member.ubm.per_sex:
            found |= {(*of, each.name): each for each in sorted((place / SEXES).glob("*"))}
        else:
            found[of] = place
    return found


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what is wrong with a file into an error that names it."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        if isinstance(error, ResultsError):
            raise
        why = f"no {error}" if isinstance(error, KeyError) else getattr(error, "strerror", None) or error
        raise ResultsError(f"{path}: {why}; damaged, or of another version: {AGAIN}") from error


def _json(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Read a JSON document that has these keys."""
    with _reading(path):
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise TypeError(f"{type(document).__name__}, expected an object")
        for key in keys:
            document[key]
        return document


def _metrics(path: Path) -> dict[str, Any]:
    """Read the numbers, and see that all those are there that a report rests on."""
    metrics = _json(path, ("trials", "calibration", "decision", "identification"))
    with _reading(path):
        for numbers in metrics["trials"].values():
            for key in ("n_target", "n_nontarget", "n_unscored", "eer", "cllr", "min_cllr"):
                if not isinstance(numbers[key], int | float | None):
                    raise TypeError(f"{key} {numbers[key]!r}, expected a number")
            for key in ("min_dcf", "act_dcf"):
                dict(numbers[key])
        for key in ("n_tests", "n_models"):
            int(metrics["identification"][key])
        for key in ("rate", "cmc", "open_set", "intervals"):
            metrics["identification"][key]
    return metrics


def _table(path: Path, columns: Sequence[str], take: Callable[[list[str]], T]) -> tuple[list[str], list[T]]:
    """Read a table that has these columns, and perhaps others after them: its header, and what is taken of each row."""
    with _reading(path), path.open(newline="", encoding="utf-8") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        if header[: len(columns)] != list(columns):
            raise ValueError(f"columns {','.join(header)}, expected {','.join(columns)}")
        taken = []
        for row in reader:
            if len(row) != len(header):
                raise ValueError(f"line {reader.line_num}: {len(row)} values, expected {len(header)}")
            try:
                taken.append(take(row))
            except ValueError as error:
                raise ValueError(f"line {reader.line_num}: {error}") from error
        return header, taken


def _trials(path: Path, data: Sequence[DataRow], ranked: str) -> TrialTable:
    """Read the trials with their scores; the calibration by pav makes equal what is not, which `ranked` goes by."""
    speaker_of = {row.model: row.speaker for row in data if row.role == "enrol"}
    number = {name: place for place, name in enumerate(dict.fromkeys(row.speaker for row in data))}
    usable = {row.id for row in data if row.role == "test" and row.seconds is not None}

    def trial(row: list[str]) -> tuple[str, str, int, int, bool, float, float, tuple[bool, ...]]:
        """Take a trial; names are there many times, and kept once."""
        model, test, score, llr, label, speaker, *members = row
        if label not in ("target", "nontarget"):
            raise ValueError(f"label {label!r}, expected target or nontarget")
        if model not in speaker_of or speaker not in number:
            raise ValueError(f"model {model!r} or speaker {speaker!r} is not in {DATA_FILE}")
        if (score or llr) and test not in usable:
            raise ValueError(f"test {test!r} has a score, and no seconds in {DATA_FILE}")
        speakers = number[speaker_of[model]], number[speaker]
        scores = float(score or "nan"), float(llr or "nan")
        return (
            intern(model),
            intern(test),
            *speakers,
            label == "target",
            *scores,
            tuple(each == "1" for each in members),
        )

    header, rows = _table(path, SCORES_COLUMNS, trial)
    models, tests, own, heard, target, raw, llrs, members = map(list, zip(*rows, strict=True) if rows else [()] * 8)
    in_list = np.array(members, np.bool_).reshape(len(rows), len(header) - len(SCORES_COLUMNS))
    lists = {name.removeprefix(IN_LIST): in_list[:, n] for n, name in enumerate(header[len(SCORES_COLUMNS) :])}
    scores = {"raw": np.array(raw, np.float64), "llrs": np.array(llrs, np.float64)}
    speakers = np.array(own, np.intp), np.array(heard, np.intp)
    return TrialTable(models, tests, speakers, np.array(target, np.bool_), **scores, ranks=scores[ranked], lists=lists)


def _check_counts(path: Path, trials: TrialTable, metrics: Mapping[str, Any]) -> None:
    """See that there are as many trials as the numbers are of: a table that was cut short is still a table."""
    for name, numbers in metrics["trials"].items():
        with _reading(path):
            found = [int(np.count_nonzero(kind)) for kind in trials.scored(name)]
            expected = [numbers["n_target"], numbers["n_nontarget"]]
            if found != expected:
                raise ValueError(
                    f"{name}: {found} target and nontarget trials with scores, {METRICS_FILE} has {expected}"
                )


def _utterance(row: list[str]) -> DataRow:
    """Take an utterance of the data."""
    system, role, name, speaker, model, sex, path, *lengths = row
    seconds, speech = (float(each) if each else None for each in lengths)
    return DataRow(system, role, name, speaker, model, sex, path, seconds, speech)


def _training(path: Path) -> tuple[Mapping[str, str], ...]:
    """Read the iterations of a training."""
    with _reading(path), path.open(newline="", encoding="utf-8") as stream:
        rows = tuple(csv.DictReader(stream))
        for row in rows:
            float(row["log_likelihood_per_frame"])
            int(row["n_components"])
            row["early"], row["number"]
        return rows
