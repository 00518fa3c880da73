"""Reading a results folder: all that a report needs, without the corpus, its features or the cache."""

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
from speechgmm.recipe.results.wrong_folders import not_results
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.schema.sections import EmAdaptationConfig

T = TypeVar("T")

RERUN_HINT = "run the recipe again, which uses what is stored, and then this"
"""What to do if results are incomplete or damaged."""


class DataRow(NamedTuple):
    """An utterance as a system used it; its lengths are None if the system could not use it."""

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
    """The results of a run, as `open_results` reads them.

    Parameters
    ----------
    folder : Path
        The results folder.
    recipe : Recipe
        The experiment, every default filled in.
    metrics, provenance : mapping of str to JSON data
        Contents of ``metrics.json`` and ``provenance.json``.
    trials : TrialTable
        Contents of ``scores.csv``: every trial with its scores, in nats.
    data : tuple of DataRow
        Contents of ``data.csv``: every utterance, with its length in seconds.
    skipped : tuple of SkippedItem
        Contents of ``skipped.csv``: what could not be used, and why.
    confusion : tuple of (str, str, int)
        Contents of ``confusion.csv``: the right model, the model that was answered, and the number of tests.
    training : mapping of tuple of str to tuple of dict
        Rows of the ``training.csv`` of each background model, by its system and sex, where there are several.
    sizes : tuple of int
        Number of components of each background model.

    Examples
    --------
    See `open_results`.
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

    @property
    def are_llrs(self) -> bool:
        """Whether the scores in ``trials.llrs`` are log-likelihood ratios; assumed of results of earlier versions."""
        return all(metrics.get("are_llrs", True) for metrics in self.metrics["trials"].values())


def open_results(folder: str | Path) -> Results:
    """Read the results of a run.

    Parameters
    ----------
    folder : str or Path
        The results folder, such as ``results/NAME``.

    Returns
    -------
    Results
        The recipe, metrics, scores, data and training; speaker models are not read.

    Raises
    ------
    ResultsError
        If this is no results folder, the run did not finish, or a file is missing, damaged or of another version. The
        message says what to do.

    Examples
    --------
    >>> from speechgmm import Engine, Recipe, open_results, run
    >>> corpus = {"kind": "synthetic", "n_speakers": 2, "n_background": 2, "n_test": 1, "seconds": 2.0}
    >>> recipe = Recipe(name="tiny", corpus=corpus, ubm={"n_components": 4}, calibration={"method": "none"})
    >>> done = run(recipe, engine=Engine("serial"), until_stage="evaluation")
    >>> results = open_results("results/tiny")
    >>> results.sizes, len(results.data), list(results.trials.lists)
    ((4,), 26, ['trials'])
    >>> results.metrics["trials"]["trials"]["n_target"], results.trials.llrs.shape
    (2, (4,))
    """
    folder = Path(folder)
    _check_files(folder)
    try:
        recipe = load_recipe(folder / RECIPE_FILE)
        ubms = _ubm_folders(folder, recipe)
        sizes = tuple(load_gmm(path / UBM_FILE).n_components for path in ubms.values())
    except SpeechGMMError as error:
        raise ResultsError(f"{error}\nthese results are damaged, or of another version; {RERUN_HINT}") from error
    untrained = {(system.name,) if recipe.systems else () for system in recipe.systems_or_self if _has_no_em(system)}
    data = tuple(_read_table(folder / DATA_FILE, DATA_COLUMNS, _parse_utterance)[1])
    metrics = _read_metrics(folder / METRICS_FILE)
    trials = _read_trials(folder / SCORES_FILE, data, rank_by="raw" if recipe.calibration.method == "pav" else "llrs")
    _check_counts(folder / SCORES_FILE, trials, metrics)
    return Results(
        folder,
        recipe,
        metrics,
        _read_json(folder / PROVENANCE_FILE, ("seed", "created", "versions", "warnings", "stages")),
        trials,
        data,
        tuple(_read_table(folder / SKIPPED_FILE, SKIPPED_COLUMNS, lambda row: SkippedItem(*row))[1]),
        tuple(_read_table(folder / CONFUSION_FILE, CONFUSION_COLUMNS, lambda row: (row[0], row[1], int(row[2])))[1]),
        {labels: _read_training(path / TRAINING_FILE) for labels, path in ubms.items() if labels[:1] not in untrained},
        sizes,
    )


def _check_files(folder: Path) -> None:
    """Refuse a folder without results, or with only some of the files, and say what to do."""
    has_run = (folder / METRICS_FILE).is_file()  # a run may have the name of a series
    if not folder.is_dir() or ((folder / SERIES_FILE).is_file() and not has_run):
        raise ResultsError(not_results(folder))
    written_by_all_versions = (METRICS_FILE, SCORES_FILE, RECIPE_FILE, PROVENANCE_FILE)
    files = (*written_by_all_versions, SKIPPED_FILE, DATA_FILE, CONFUSION_FILE)
    missing = [name for name in files if not (folder / name).is_file()]
    if not missing:
        return
    if not any((folder / name).is_file() for name in (*files, LOG_FILE)):
        raise ResultsError(not_results(folder))
    lacking = f"{folder}: no {', no '.join(missing)}"
    if all((folder / name).is_file() for name in written_by_all_versions):
        raise ResultsError(f"{lacking}: removed, or these results are of an earlier version; {RERUN_HINT}")
    raise ResultsError(f"{lacking}: the run was stopped, or is still running; run it again to resume it")


def _has_no_em(system: Recipe) -> bool:
    """Whether the background model of a system comes from no EM: a pretrained one, unless that goes on with EM."""
    return system.ubm.pretrained is not None and not isinstance(system.ubm.adapt, EmAdaptationConfig)


def _ubm_folders(folder: Path, recipe: Recipe) -> dict[tuple[str, ...], Path]:
    """Find the folder of each background model, by its system and its sex, where there are several."""
    folders: dict[tuple[str, ...], Path] = {}
    for system in recipe.systems_or_self:
        labels: tuple[str, ...] = (system.name,) if recipe.systems else ()
        system_folder = folder / SYSTEMS / system.name if recipe.systems else folder
        if system.speakers.method == "independent":
            continue
        if system.ubm.per_sex:
            folders |= {(*labels, path.name): path for path in sorted((system_folder / SEXES).glob("*"))}
        else:
            folders[labels] = system_folder
    return folders


@contextmanager
def _named_in_errors(path: Path) -> Iterator[None]:
    """Raise any error about the contents of a file as ResultsError with its path and what to do."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        if isinstance(error, ResultsError):
            raise
        why = f"no {error}" if isinstance(error, KeyError) else getattr(error, "strerror", None) or error
        raise ResultsError(f"{path}: {why}; damaged, or of another version: {RERUN_HINT}") from error


def _read_json(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """Read a JSON object that has these keys."""
    with _named_in_errors(path):
        document = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise TypeError(f"{type(document).__name__}, expected an object")
        for key in keys:
            document[key]
        return document


def _read_metrics(path: Path) -> dict[str, Any]:
    """Read the metrics, and check that all those are there that a report uses."""
    metrics = _read_json(path, ("trials", "calibration", "decision", "identification"))
    with _named_in_errors(path):
        for list_metrics in metrics["trials"].values():
            for key in ("n_target", "n_nontarget", "n_unscored", "eer", "cllr", "min_cllr"):
                if not isinstance(list_metrics[key], int | float | None):
                    raise TypeError(f"{key} {list_metrics[key]!r}, expected a number")
            for key in ("min_dcf", "act_dcf"):
                dict(list_metrics[key])
        for key in ("n_tests", "n_models"):
            int(metrics["identification"][key])
        for key in ("rate", "cmc", "open_set", "intervals"):
            metrics["identification"][key]
    return metrics


def _read_table(path: Path, columns: Sequence[str], parse: Callable[[list[str]], T]) -> tuple[list[str], list[T]]:
    """Read the header and the parsed rows of a table with these columns, and perhaps others after them."""
    with _named_in_errors(path), path.open(newline="", encoding="utf-8") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        if header[: len(columns)] != list(columns):
            raise ValueError(f"columns {','.join(header)}, expected {','.join(columns)}")
        parsed = []
        for row in reader:
            if len(row) != len(header):
                raise ValueError(f"line {reader.line_num}: {len(row)} values, expected {len(header)}")
            try:
                parsed.append(parse(row))
            except ValueError as error:
                raise ValueError(f"line {reader.line_num}: {error}") from error
        return header, parsed


def _read_trials(path: Path, data: Sequence[DataRow], rank_by: str) -> TrialTable:
    """Read the trials with their scores.

    `rank_by` names the scores that rank the trials. PAV maps distinct scores to equal ones, so ranks use the
    uncalibrated scores.
    """
    speaker_of = {row.model: row.speaker for row in data if row.role == "enrol"}
    number_of = {name: number for number, name in enumerate(dict.fromkeys(row.speaker for row in data))}
    usable = {row.id for row in data if row.role == "test" and row.seconds is not None}

    def parse(row: list[str]) -> tuple[str, str, int, int, bool, float, float, tuple[bool, ...]]:
        """Parse a trial; a name that occurs many times is kept in memory once."""
        model, test, score, llr, label, speaker, *in_lists = row
        if label not in ("target", "nontarget"):
            raise ValueError(f"label {label!r}, expected target or nontarget")
        if model not in speaker_of or speaker not in number_of:
            raise ValueError(f"model {model!r} or speaker {speaker!r} is not in {DATA_FILE}")
        if (score or llr) and test not in usable:
            raise ValueError(f"test {test!r} has a score, and no seconds in {DATA_FILE}")
        speakers = number_of[speaker_of[model]], number_of[speaker]
        scores = float(score or "nan"), float(llr or "nan")
        return (
            intern(model),
            intern(test),
            *speakers,
            label == "target",
            *scores,
            tuple(flag == "1" for flag in in_lists),
        )

    header, rows = _read_table(path, SCORES_COLUMNS, parse)
    columns = map(list, zip(*rows, strict=True) if rows else [()] * 8)
    models, tests, model_speakers, test_speakers, target, raw, llrs, in_lists = columns
    in_list = np.array(in_lists, np.bool_).reshape(len(rows), len(header) - len(SCORES_COLUMNS))
    lists = {name.removeprefix(IN_LIST): in_list[:, n] for n, name in enumerate(header[len(SCORES_COLUMNS) :])}
    scores = {"raw": np.array(raw, np.float64), "llrs": np.array(llrs, np.float64)}
    speakers = np.array(model_speakers, np.intp), np.array(test_speakers, np.intp)
    return TrialTable(models, tests, speakers, np.array(target, np.bool_), **scores, ranks=scores[rank_by], lists=lists)


def _check_counts(path: Path, trials: TrialTable, metrics: Mapping[str, Any]) -> None:
    """Check that there are as many trials as the metrics count: a table that was cut short is still a table."""
    for name, list_metrics in metrics["trials"].items():
        with _named_in_errors(path):
            found = [int(np.count_nonzero(kind)) for kind in trials.scored(name)]
            expected = [list_metrics["n_target"], list_metrics["n_nontarget"]]
            if found != expected:
                raise ValueError(
                    f"{name}: {found} target and nontarget trials with scores, {METRICS_FILE} has {expected}"
                )


def _parse_utterance(row: list[str]) -> DataRow:
    """Parse a row of ``data.csv``."""
    system, role, name, speaker, model, sex, path, *lengths = row
    seconds, speech = (float(length) if length else None for length in lengths)
    return DataRow(system, role, name, speaker, model, sex, path, seconds, speech)


def _read_training(path: Path) -> tuple[Mapping[str, str], ...]:
    """Read the iterations of the training of a background model."""
    with _named_in_errors(path), path.open(newline="", encoding="utf-8") as stream:
        rows = tuple(csv.DictReader(stream))
        for row in rows:
            float(row["log_likelihood_per_frame"])
            int(row["n_components"])
            row["early"], row["number"]
        return rows
