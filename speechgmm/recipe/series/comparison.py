"""Comparing the results of several runs: keys of their recipes, metrics, and intervals of the differences."""

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
from speechgmm.files import is_file
from speechgmm.recipe.layout import IN_LIST, METRICS_FILE, RECIPE_FILE, SCORES_FILE, SERIES_FILE
from speechgmm.recipe.reading.yaml import read_document
from speechgmm.recipe.results.wrong_folders import not_results
from speechgmm.recipe.series.sweep import flatten_metrics


class Difference(NamedTuple):
    """The difference of a metric to that of the first results, and its confidence interval."""

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Results side by side: each tuple has one entry for each results folder."""

    names: tuple[str, ...]  # of the folders, as short as they are distinct
    keys: dict[str, tuple[str, ...]]  # dotted keys in which the recipes differ; empty text if a recipe lacks the key
    numbers: dict[str, tuple[float | None, ...]]  # metrics by name, such as trials.min_dcf.sre08 and identification
    differences: dict[str, tuple[Difference | None, ...]]  # to the first results; None for these, and for other trials
    confidence: float  # share of experiments with other speakers in which an interval should hold the true difference
    without_ratios: tuple[frozenset[str], ...]  # metrics that are None because scores are no log-likelihood ratios

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        differences = {
            name: [None if difference is None else difference._asdict() for difference in row]
            for name, row in self.differences.items()
        }
        return {
            "results": list(self.names),
            "keys": {key: list(values) for key, values in self.keys.items()},
            "numbers": {name: list(values) for name, values in self.numbers.items()},
            "differences": differences,
            "confidence": self.confidence,
        }

    def rows(self) -> list[dict[str, str | float | None]]:
        """Return the metrics as a table: ``number``, ``result``, ``value``, ``difference``, ``low`` and ``high``."""
        empty = (None,) * len(self.names)
        return [
            {"number": number, "result": name, "value": value}
            | (dict.fromkeys(Difference._fields) if difference is None else difference._asdict())
            for number, values in self.numbers.items()
            for name, value, difference in zip(self.names, values, self.differences.get(number, empty), strict=True)
        ]


def compare(folders: Sequence[Path]) -> Comparison:
    """Compare the results of runs with those of the first folder.

    Intervals are of paired differences: each bootstrap sample draws the same speakers for both systems. The first
    recipe's evaluation sets the number of samples; the seed is 0. A trial list is compared if it has the same trials in
    both results, on the trials that both have scored. Raises RecipeError for fewer than two folders, and for a folder
    without results.
    """
    if len(folders) < 2:
        raise RecipeError(f"{len(folders)} folder of results to compare; expected two or more")
    results = [_read_results(folder) for folder in folders]
    first, *others = results
    config = _evaluation_config(first)
    keys = dict.fromkeys(key for result in results for key in result.recipe if key != "name")
    values_of = {key: tuple(result.recipe.get(key, "") for result in results) for key in keys}
    names = dict.fromkeys(name for result in results for name in result.numbers)
    to_first = [_differences(first, other, config) for other in others]
    return Comparison(
        _folder_names(folders),
        {key: values for key, values in values_of.items() if len(set(values)) > 1},
        {name: tuple(result.numbers.get(name) for result in results) for name in names},
        {
            name: (None, *(differences.get(name) for differences in to_first))
            for name in names
            if any(name in differences for differences in to_first)
        },
        config.confidence,
        tuple(result.without_ratios for result in results),
    )


class _Trials(NamedTuple):
    """The trials of a list."""

    order: tuple[tuple[str, str, str, str], ...]  # model, test, label and the test's speaker of each trial; sorted
    llrs: Float64Array  # in this order, NaN where a trial has no score
    ranks: Float64Array  # scores that rank the trials: uncalibrated for PAV, which maps distinct scores to equal ones


class _Result(NamedTuple):
    """The results in a folder."""

    recipe: dict[str, str]  # values as text, by dotted key
    values: dict[str, JsonValue]  # of the recipe, as they stand in its file
    numbers: dict[str, float | int | None]  # metrics by dotted name
    without_ratios: frozenset[str]  # those that are None because the scores are no log-likelihood ratios
    trials: dict[str, _Trials]  # by trial list


def _read_results(folder: Path) -> _Result:
    """Read a results folder."""
    missing = [name for name in (RECIPE_FILE, METRICS_FILE, SCORES_FILE) if not (folder / name).is_file()]
    if len(missing) == 3 or (METRICS_FILE in missing and is_file(folder / SERIES_FILE)):
        raise RecipeError(not_results(folder))
    if missing:
        raise RecipeError(
            f"{folder}: no {', no '.join(missing)}: the run was stopped, or is still running; run it again to resume it"
        )
    values = read_document(folder / RECIPE_FILE).values
    try:
        metrics = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
        recipe = dict(_flatten(values, ""))
        rank_by = "score" if recipe.get("calibration.method") == "pav" else "llr"
        trials = _read_trials(folder / SCORES_FILE, rank_by)
        return _Result(recipe, values, flatten_metrics(metrics), _without_ratios(metrics), trials)
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise RecipeError(f"{folder}: damaged results, or not of a run: {error!r}") from error


def _without_ratios(metrics: dict[str, Any]) -> frozenset[str]:
    """Name the metrics, as `flatten_metrics` does, that are missing because scores are no log-likelihood ratios."""
    return frozenset(
        f"{name}.{metric}"
        for name, values in metrics["trials"].items()
        if not values.get("are_llrs", True)
        for metric in ("cllr", *(f"act_dcf.{preset}" for preset in values["act_dcf"]))
    )


def _flatten(value: JsonValue, key: str) -> list[tuple[str, str]]:
    """List the values at and below a key as text, each with its dotted key."""
    if isinstance(value, dict) and value:
        return [pair for name, inner in value.items() for pair in _flatten(inner, f"{key}.{name}" if key else name)]
    return [(key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]


def _read_trials(path: Path, rank_by: str) -> dict[str, _Trials]:
    """Read the trials of each list; none if an earlier version wrote them without lists or speakers."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    lists = [column.removeprefix(IN_LIST) for column in rows[0] if column.startswith(IN_LIST)] if rows else []
    rows.sort(key=lambda row: (row["model"], row["test"]))
    trials = {}
    for name in lists:
        in_list = [row for row in rows if row[IN_LIST + name] == "1"]
        order = tuple((row["model"], row["test"], row["label"], row["speaker"]) for row in in_list)
        columns = {column: np.array([float(row[column] or "nan") for row in in_list]) for column in {"llr", rank_by}}
        trials[name] = _Trials(order, columns["llr"], columns[rank_by])
    return trials


def _evaluation_config(result: _Result) -> EvaluationConfig:
    """Return the evaluation of a recipe; keys that its version did not have are at today's defaults."""
    section = result.values.get("evaluation")
    values = section if isinstance(section, dict) else {}
    known = {name: value for name, value in values.items() if name in EvaluationConfig.model_fields}
    return EvaluationConfig.model_validate(known)


def _differences(first: _Result, other: _Result, config: EvaluationConfig) -> dict[str, Difference]:
    """Compute the differences of the metrics of the lists that have the same trials in both results."""
    by_number = {}
    for name, trials in first.trials.items():
        other_trials = other.trials.get(name)
        if config.bootstrap == 0 or other_trials is None or other_trials.order != trials.order:
            continue
        presets = [preset for preset in config.dcf if f"{name}.min_dcf.{preset}" in other.numbers]
        for number, difference in _paired_differences(trials, other_trials, presets, config).items():
            if all(result.numbers.get(f"{name}.{number}") is not None for result in (first, other)):
                by_number[f"{name}.{number}"] = difference
    return by_number


def _paired_differences(
    first: _Trials, other: _Trials, presets: Sequence[str], config: EvaluationConfig
) -> dict[str, Difference]:
    """Compute differences between two systems, and their intervals, on the trials that both have scored."""
    target = np.array([row[2] == "target" for row in first.order], np.bool_)
    speaker_of = {row[0]: row[3] for row in first.order if row[2] == "target"}  # a model may have a name of its own
    model_speakers = [speaker_of.get(row[0], row[0]) for row in first.order]
    test_speakers = [row[3] for row in first.order]
    index = {name: number for number, name in enumerate(sorted({*model_speakers, *test_speakers}))}
    models, tests = (np.array([index[name] for name in names], np.intp) for names in (model_speakers, test_speakers))
    scored = ~(np.isnan(first.llrs) | np.isnan(other.llrs))
    kinds = target & scored, ~target & scored
    if not all(kind.any() for kind in kinds):
        return {}

    def compute(scores: Float64Array, other_scores: Float64Array) -> dict[str, Difference]:
        """Compute the differences of all metrics from two arrays of scores."""
        targets, nontargets = (TrialGroup(scores[kind], models[kind], tests[kind]) for kind in kinds)
        others = other_scores[kinds[0]], other_scores[kinds[1]]
        each_speaker_once = np.ones((len(index), 1), np.int64)
        settings = each_speaker_once, presets, config.false_alarm_rates
        metrics = resampled(targets, nontargets, *settings)
        other_metrics = resampled(targets._replace(scores=others[0]), nontargets._replace(scores=others[1]), *settings)
        intervals = differences(
            targets,
            nontargets,
            others,
            presets=presets,
            false_alarm_rates=config.false_alarm_rates,
            n_resamples=config.bootstrap,
            confidence=config.confidence,
            rng=np.random.default_rng(0),
        )
        return {
            name: Difference(float(other_metrics[name][0] - metrics[name][0]), *interval)
            for name, interval in intervals.items()
            if interval is not None and np.isfinite(other_metrics[name][0] - metrics[name][0])
        }

    by_llrs = compute(first.llrs, other.llrs)
    if first.ranks is first.llrs and other.ranks is other.llrs:
        return by_llrs
    by_ranks = compute(first.ranks, other.ranks)
    return {name: difference for name, difference in by_ranks.items() if not name.startswith(ABSOLUTE)} | {
        name: difference for name, difference in by_llrs.items() if name.startswith(ABSOLUTE)
    }


def _folder_names(folders: Sequence[Path]) -> tuple[str, ...]:
    """Return the last part of each path if these are distinct, or else the whole paths."""
    last = [folder.resolve().name for folder in folders]
    return tuple(last if len(set(last)) == len(last) else map(str, folders))
