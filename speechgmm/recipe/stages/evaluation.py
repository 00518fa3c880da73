"""Evaluation as a stage: the numbers of each trial list, and a table of the scores."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import Float64Array, IntArray
from speechgmm.corpus.manifest import Corpus, Trial, Utterance
from speechgmm.evaluation.summary import (
    EvaluationConfig,
    error_shares,
    summarise,
    summarise_identification,
    uncertainty,
)
from speechgmm.features.store.store import FeatureStore
from speechgmm.files import write_csv, write_json
from speechgmm.recipe.cache.outputs import StageOutput
from speechgmm.recipe.graph.calibration import TrainedCalibration
from speechgmm.recipe.graph.system import System
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.context import StageContext, to_json
from speechgmm.recipe.stages.scores import ScoreMatrix, restrict_to_common, sum_systems
from speechgmm.scoring.thresholds import threshold_meaning

METRICS_FILE, SCORES_FILE = "metrics.json", "scores.csv"

IN_LIST = "list:"
"""What a column of the scores is called, before the name of the trial list that it tells of."""


@dataclass(frozen=True, eq=False)
class FinalScores:
    """Scores of the trials as they are evaluated.

    Parameters
    ----------
    raw : ScoreMatrix
        Before calibration; of several systems their sum.
    llrs : ScoreMatrix
        TrainedCalibration, if there is a calibration.
    ranks : ScoreMatrix
        What the order of the trials is that of: pav makes equal what is not.
    """

    raw: ScoreMatrix
    llrs: ScoreMatrix
    ranks: ScoreMatrix


def final_scores(
    recipe: Recipe, systems: Sequence[System], calibrated: TrainedCalibration | None, tests: FeatureStore
) -> FinalScores:
    """Put the scores of the systems together, and calibrate them.

    Parameters
    ----------
    recipe : Recipe
        The experiment.
    systems : sequence of System
        Their scores.
    calibrated : TrainedCalibration or None
        The calibration, if there is one.
    tests : FeatureStore
        The tests in the features of the first system, which tell their durations.

    Returns
    -------
    FinalScores
        Of the models and tests that all systems have.
    """
    scores = restrict_to_common([system.scores for system in systems])
    raw = sum_systems(scores)
    llrs = calibrated.apply(scores, tests) if calibrated else raw
    return FinalScores(raw, llrs, raw if recipe.calibration.method == "pav" else llrs)


def evaluate(
    recipe: Recipe,
    corpus: Corpus,
    systems: Sequence[System],
    calibration: StageOutput | None,
    final: FinalScores | None,
    calibrated: TrainedCalibration | None,
    context: StageContext,
) -> StageOutput:
    """Evaluate the scores: ``metrics.json`` and ``scores.csv``.

    Parameters
    ----------
    recipe : Recipe
        The experiment.
    corpus : Corpus
        The lists.
    systems : sequence of System
        What was scored.
    calibration : StageOutput or None
        The calibration, if there is one.
    judged, calibrated
        What is evaluated; None where it is only planned.
    context : StageContext
        How to run.

    Returns
    -------
    StageOutput
        Where the files are.
    """
    inputs: dict[str, JsonValue] = {
        "config": {"evaluation": to_json(recipe.evaluation), "decision": to_json(recipe.decision)},
        "seed": recipe.seed,
        "ranks": recipe.calibration.method == "pav",
        "calibrated_on": recipe.calibration.on,
        "scores": [[output.digest for output in system.scored] for system in systems],
        "calibration": None if calibration is None else calibration.digest,
        "trials": {
            name: [[trial.model, trial.test, trial.target] for trial in trials]
            for name, trials in corpus.trials.items()
        },
        "lists": list[JsonValue](corpus.trials),  # in their order, which is that of the tables
        "speakers": [[each.id, each.speaker] for each in corpus.test],
        "models": dict(corpus.speaker_of),
    }

    def run(folder: Path) -> None:
        """Compute and write."""
        if final is None:
            raise ValueError("evaluation without scores: it was to be planned only")
        write_json(folder / METRICS_FILE, _metrics(recipe, corpus, final, calibrated))
        _write_scores(folder / SCORES_FILE, corpus, final.raw, final.llrs)

    return context.output("evaluation", inputs, run)


def load_metrics(folder: Path) -> dict[str, Any]:
    """Read the numbers that `evaluate` wrote.

    Parameters
    ----------
    folder : Path
        The stage's folder, or that of results.

    Returns
    -------
    dict
        What ``metrics.json`` holds.
    """
    metrics: dict[str, Any] = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
    return metrics


def _metrics(
    recipe: Recipe, corpus: Corpus, final: FinalScores, calibrated: TrainedCalibration | None
) -> dict[str, Any]:
    """Compute the numbers of each trial list, what they rest on, and those of identification."""
    lists = {}
    learnt_from = {(trial.model, trial.test) for trial in corpus.trials.get(recipe.calibration.on, ())}
    for name, trials in corpus.trials.items():
        target = np.array([trial.target for trial in trials], np.bool_)
        llrs = final.llrs.for_trials(trials)
        lists[name] = summarise(llrs, target, recipe.evaluation, ranks=final.ranks.for_trials(trials))
        who = _speakers(corpus, trials)
        rng = np.random.default_rng(recipe.seed)
        lists[name]["intervals"] = uncertainty(
            llrs, target, who, recipe.evaluation, rng, ranks=final.ranks.for_trials(trials)
        )
        if calibrated:
            lists[name]["p_miss"], lists[name]["p_fa"] = error_shares(llrs, target, calibrated.threshold)
            lists[name]["cllr_uncalibrated"] = summarise(final.raw.for_trials(trials), target, recipe.evaluation)[
                "cllr"
            ]
            lists[name]["trains_calibration"] = any((each.model, each.test) in learnt_from for each in trials)
    facts = {"calibration": None, "decision": None} if calibrated is None else _learnt(recipe, calibrated)
    identification = _identification(corpus, final.ranks, recipe.evaluation, recipe.seed)
    return {"trials": lists, **facts, "identification": identification}


def _learnt(recipe: Recipe, calibrated: TrainedCalibration) -> dict[str, Any]:
    """Say what the calibrated scores and the decisions rest on."""
    facts = calibrated.facts()
    del facts["calibration"]
    threshold = facts.pop("threshold")
    meaning = threshold_meaning(recipe.decision)
    return {
        "calibration": facts,
        "decision": {"method": recipe.decision.method, "threshold": threshold, "meaning": meaning},
    }


def _speakers(corpus: Corpus, trials: Sequence[Trial]) -> tuple[IntArray, IntArray]:
    """Give numbers to the speakers of the models and of the tests of trials."""
    heard = {utterance.id: utterance.speaker for utterance in corpus.test}
    number = {name: number for number, name in enumerate(sorted({*corpus.speaker_of.values(), *heard.values()}))}
    models = [number[corpus.speaker_of[trial.model]] for trial in trials]
    return np.array(models, np.intp), np.array([number[heard[trial.test]] for trial in trials], np.intp)


def _identification(corpus: Corpus, scores: ScoreMatrix, config: EvaluationConfig, seed: int) -> dict[str, Any]:
    """Compute how often the right model wins, where a test has one, and what becomes of tests that have none."""
    model_of = {speaker: model for model, speaker in corpus.speaker_of.items()}
    several = Counter(corpus.speaker_of.values())
    row = {model: number for number, model in enumerate(scores.models)}
    column = {test: number for number, test in enumerate(scores.tests)}
    tests = [each for each in corpus.test if several[each.speaker] == 1]
    known = [each for each in tests if each.id in column and model_of[each.speaker] in row]
    unknown = [each for each in corpus.test if several[each.speaker] == 0 and each.id in column]
    counts = {"n_tests": len(known), "n_models": len(scores.models), "n_unscored": len(tests) - len(known)}
    if not known:
        return counts | {"rate": None, "cmc": None, "open_set": None, "intervals": None}
    number = {name: number for number, name in enumerate(sorted({each.speaker for each in corpus.test}))}

    def of(utterances: Sequence[Utterance]) -> tuple[Float64Array, IntArray]:
        """Give the scores of tests, models x tests, and who speaks in them."""
        speakers = np.array([number[each.speaker] for each in utterances], np.intp)
        return scores.matrix[:, [column[each.id] for each in utterances]], speakers

    matrix, speakers = of(known)
    truth = np.array([row[model_of[each.speaker]] for each in known])
    found = summarise_identification((matrix, truth, speakers), of(unknown), config, np.random.default_rng(seed))
    return counts | found


def _write_scores(path: Path, corpus: Corpus, raw: ScoreMatrix, scores: ScoreMatrix) -> None:
    """Write every trial with its scores, who speaks in the test, and which lists it is in.

    Where there is no score the fields are empty, and skipped.csv says why.
    """

    def text(score: float) -> str:
        """Write all digits."""
        return "" if np.isnan(score) else repr(score)

    trials = corpus.distinct_trials
    speaker = {utterance.id: utterance.speaker for utterance in corpus.test}
    lists = [frozenset(each) for each in corpus.trials.values()]
    rows = (
        (
            *(trial.model, trial.test, text(score), text(llr), "target" if trial.target else "nontarget"),
            speaker[trial.test],
            *("1" if trial in each else "0" for each in lists),
        )
        for trial, score, llr in zip(
            trials, raw.for_trials(trials).tolist(), scores.for_trials(trials).tolist(), strict=True
        )
    )
    lists_columns = (IN_LIST + name for name in corpus.trials)
    write_csv(path, ("model", "test", "score", "llr", "label", "speaker", *lists_columns), rows)
