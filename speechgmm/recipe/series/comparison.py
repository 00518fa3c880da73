"""What sets the results of several runs apart: keys of their recipes, numbers, and how sure the differences are."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import Float64Array
from speechgmm.errors import RecipeError
from speechgmm.evaluation.bootstrap import ABSOLUTE, TrialGroup, differences, resampled
from speechgmm.evaluation.summary import EvaluationConfig
from speechgmm.recipe.layout import IN_LIST, METRICS_FILE, RECIPE_FILE, SCORES_FILE
from speechgmm.recipe.reading.yaml import read_document
from speechgmm.recipe.series.sweep import flatten_metrics


class Difference(NamedTuple):
    """A number less that of the first results, and the interval of this."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Results side by side.

    Parameters
    ----------
    names : tuple of str
        Of the folders, as far as it takes to tell them apart.
    keys : dict of str to tuple of str
        Dotted keys of the recipes that are not all alike, with the value in each; empty where one has no such key.
    numbers : dict of str to tuple of float or None
        By trial list and name, as in ``trials.min_dcf.sre08``, and ``identification``: that of each.
    differences : dict of str to tuple of Difference or None
        By the same names: of each to the first. None for the first itself, and for what has other trials.
    confidence : float
        Share of experiments with other speakers in which an interval should hold the true difference.
    """

    names: tuple[str, ...]
    keys: dict[str, tuple[str, ...]]
    numbers: dict[str, tuple[float | None, ...]]
    differences: dict[str, tuple[Difference | None, ...]]
    confidence: float

    def to_json(self) -> dict[str, Any]:
        """Write the comparison as JSON data.

        Returns
        -------
        dict
            Its parts by name.
        """
        apart = {
            name: [None if each is None else each._asdict() for each in found]
            for name, found in self.differences.items()
        }
        return {
            "results": list(self.names),
            "keys": {key: list(values) for key, values in self.keys.items()},
            "numbers": {name: list(values) for name, values in self.numbers.items()},
            "differences": apart,
            "confidence": self.confidence,
        }

    def rows(self) -> list[dict[str, str | float | None]]:
        """Write the numbers as a table.

        Returns
        -------
        list of dict
            ``number``, ``result``, ``value``, ``difference``, ``low`` and ``high``.
        """
        empty = (None,) * len(self.names)
        return [
            {"number": number, "result": name, "value": value}
            | (dict.fromkeys(Difference._fields) if apart is None else apart._asdict())
            for number, values in self.numbers.items()
            for name, value, apart in zip(self.names, values, self.differences.get(number, empty), strict=True)
        ]


def compare(folders: Sequence[Path]) -> Comparison:
    """Compare the results of runs with the first of them.

    Intervals are of paired differences: speakers are drawn once for both systems, as often as the first recipe's
    evaluation says, from seed 0. They are of the trials that both have scored, where both lists have the same trials.

    Parameters
    ----------
    folders : sequence of Path
        Two or more folders of results.

    Returns
    -------
    Comparison
        What sets them apart.

    Raises
    ------
    RecipeError
        If there are not two, or one is no folder of results.
    """
    if len(folders) < 2:
        raise RecipeError(f"{len(folders)} folder of results to compare; expected two or more")
    results = [_read(folder) for folder in folders]
    config = _evaluation(results[0])
    keys = dict.fromkeys(key for each in results for key in each.recipe if key != "name")
    apart = {key: tuple(each.recipe.get(key, "") for each in results) for key in keys}
    names = dict.fromkeys(name for each in results for name in each.numbers)
    first = results[0]
    against = [_differences(first, each, config) for each in results[1:]]
    found = {name: (None, *(each.get(name) for each in against)) for name in names if any(name in d for d in against)}
    return Comparison(
        _names(folders),
        {key: values for key, values in apart.items() if len(set(values)) > 1},
        {name: tuple(each.numbers.get(name) for each in results) for name in names},
        found,
        config.confidence,
    )


class _Trials(NamedTuple):
    """The trials of a list."""

    order: tuple[tuple[str, str, str, str], ...]  # model, test, label, and who speaks in the test; sorted
    llrs: Float64Array  # in this order, NaN where there is none
    ranks: Float64Array  # what the trials are ordered by: of pav, which makes equal what is not, the scores


class _Result(NamedTuple):
    """What a folder holds."""

    recipe: dict[str, str]  # by dotted key, as JSON text
    values: dict[str, JsonValue]
    numbers: dict[str, float | int | None]
    trials: dict[str, _Trials]


def _read(folder: Path) -> _Result:
    """Read a folder of results."""
    missing = [name for name in (RECIPE_FILE, METRICS_FILE, SCORES_FILE) if not (folder / name).is_file()]
    if missing:
        hint = f"; it holds a series: {folder}/*/ are its results" if (folder / "sweep.csv").is_file() else ""
        raise RecipeError(
            f"{folder}: no {', no '.join(missing)}; expected a folder of results, as results/NAME after a run{hint}"
        )
    values = read_document(folder / RECIPE_FILE).values
    try:
        metrics = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
        recipe = dict(_flat(values, ""))
        ranked = "score" if recipe.get("calibration.method") == "pav" else "llr"
        return _Result(recipe, values, flatten_metrics(metrics), _trials(folder / SCORES_FILE, ranked))
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise RecipeError(f"{folder}: damaged results, or not of a run: {error!r}") from error


def _flat(value: JsonValue, key: str) -> list[tuple[str, str]]:
    """Give the values below a key as text, by dotted key."""
    if isinstance(value, dict) and value:
        return [pair for name, below in value.items() for pair in _flat(below, f"{key}.{name}" if key else name)]
    return [(key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]


def _trials(path: Path, ranked: str) -> dict[str, _Trials]:
    """Read the trials of each list; none, if an earlier version wrote them without lists or speakers."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    lists = [column.removeprefix(IN_LIST) for column in rows[0] if column.startswith(IN_LIST)] if rows else []
    rows.sort(key=lambda row: (row["model"], row["test"]))
    trials = {}
    for name in lists:
        own = [row for row in rows if row[IN_LIST + name] == "1"]
        order = tuple((row["model"], row["test"], row["label"], row["speaker"]) for row in own)
        columns = {column: np.array([float(row[column] or "nan") for row in own]) for column in {"llr", ranked}}
        trials[name] = _Trials(order, columns["llr"], columns[ranked])
    return trials


def _evaluation(result: _Result) -> EvaluationConfig:
    """Give how sure differences should be: as sure as the recipe says, with the defaults of today for the rest."""
    section = result.values.get("evaluation")
    given = section if isinstance(section, dict) else {}
    known = {name: value for name, value in given.items() if name in EvaluationConfig.model_fields}
    return EvaluationConfig.model_validate(known)


def _differences(first: _Result, other: _Result, config: EvaluationConfig) -> dict[str, Difference]:
    """Compare the numbers of the lists that have the same trials."""
    found = {}
    for name, own in first.trials.items():
        theirs = other.trials.get(name)
        if config.bootstrap == 0 or theirs is None or theirs.order != own.order:
            continue
        presets = [each for each in config.dcf if f"{name}.min_dcf.{each}" in other.numbers]
        for number, apart in _paired(own, theirs, presets, config).items():
            if all(each.numbers.get(f"{name}.{number}") is not None for each in (first, other)):
                found[f"{name}.{number}"] = apart
    return found


def _paired(own: _Trials, theirs: _Trials, presets: Sequence[str], config: EvaluationConfig) -> dict[str, Difference]:
    """Compute differences between two systems, and their intervals, on the trials that both have scored."""
    target = np.array([row[2] == "target" for row in own.order], np.bool_)
    speaker_of = {row[0]: row[3] for row in own.order if row[2] == "target"}  # a model may have a name of its own
    claimed = [speaker_of.get(row[0], row[0]) for row in own.order]
    heard = [row[3] for row in own.order]
    speakers = {name: number for number, name in enumerate(sorted({*claimed, *heard}))}
    models, tests = (np.array([speakers[name] for name in names], np.intp) for names in (claimed, heard))
    scored = ~(np.isnan(own.llrs) | np.isnan(theirs.llrs))
    kinds = target & scored, ~target & scored
    if not all(kind.any() for kind in kinds):
        return {}

    def of(scores: Float64Array, others: Float64Array) -> dict[str, Difference]:
        """Compute those of one kind of scores."""
        target_side, nontarget_side = (TrialGroup(scores[kind], models[kind], tests[kind]) for kind in kinds)
        other_scores = others[kinds[0]], others[kinds[1]]
        everybody = np.ones((len(speakers), 1), np.int64)
        settings = everybody, presets, config.false_alarm_rates
        before = resampled(target_side, nontarget_side, *settings)
        after = resampled(
            target_side._replace(scores=other_scores[0]), nontarget_side._replace(scores=other_scores[1]), *settings
        )
        apart = differences(
            target_side,
            nontarget_side,
            other_scores,
            presets=presets,
            false_alarm_rates=config.false_alarm_rates,
            n_resamples=config.bootstrap,
            confidence=config.confidence,
            rng=np.random.default_rng(0),
        )
        return {
            name: Difference(float(after[name][0] - before[name][0]), *interval)
            for name, interval in apart.items()
            if interval is not None and np.isfinite(after[name][0] - before[name][0])
        }

    absolute = of(own.llrs, theirs.llrs)
    if own.ranks is own.llrs and theirs.ranks is theirs.llrs:
        return absolute
    ordered = of(own.ranks, theirs.ranks)
    return {name: each for name, each in ordered.items() if not name.startswith(ABSOLUTE)} | {
        name: each for name, each in absolute.items() if name.startswith(ABSOLUTE)
    }


def _names(folders: Sequence[Path]) -> tuple[str, ...]:
    """Name the folders by their last part, where that tells them apart."""
    last = [folder.resolve().name for folder in folders]
    return tuple(last if len(set(last)) == len(last) else map(str, folders))
