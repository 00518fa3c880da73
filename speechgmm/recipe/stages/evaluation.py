"""Evaluation as a stage: the metrics of each trial list and of identification, and a table of the scores.

Files: ``metrics.json`` and ``scores.csv``.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import Float64Array, IntArray
from speechgmm.corpus.manifest import Corpus, Trial, Utterance
from speechgmm.evaluation.summary import (
    EvaluationConfig,
    ListMetrics,
    error_shares,
    summarise,
    summarise_identification,
    uncertainty,
    without_costs,
)
from speechgmm.features.store.store import FeatureStore
from speechgmm.files import write_csv, write_json
from speechgmm.recipe.cache.outputs import StageKey, StageOutput
from speechgmm.recipe.layout import IN_LIST, METRICS_FILE, SCORES_COLUMNS, SCORES_FILE
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.calibration import TrainedCalibration, decision_of, divide_by_scales
from speechgmm.recipe.stages.context import StageContext, to_json
from speechgmm.recipe.stages.pretrained import scorer_of
from speechgmm.recipe.stages.score_matrix import ScoreMatrix, index_of, restrict_to_common, sum_systems
from speechgmm.recipe.stages.scores import ScoredGroups
from speechgmm.scoring.decision_errors import ERRORS_KEY, errors_in_words
from speechgmm.scoring.thresholds import threshold_meaning

VERSION = 7
"""Rises whenever the same inputs would give another output."""


@dataclass(frozen=True, eq=False)
class FinalScores:
    """Scores of the trials as they are evaluated, of the models and tests that all systems have."""

    raw: ScoreMatrix  # before calibration; of several systems their sum
    llrs: ScoreMatrix  # calibrated, if there is a calibration
    ranks: ScoreMatrix  # used for ranking: uncalibrated with PAV, which maps distinct scores to equal ones


def final_scores(
    recipe: Recipe,
    systems: Sequence[ScoreMatrix],
    calibration: TrainedCalibration | None,
    tests: FeatureStore,
    scales: Sequence[float] = (),
) -> FinalScores:
    """Add up or calibrate the scores of the systems; `tests` has the tests in the features of the first system.

    The scores are divided by `scales` before they are added, if there are any.
    """
    scores = restrict_to_common(systems)
    raw = sum_systems(divide_by_scales(scores, scales))
    llrs = calibration.apply(scores, tests) if calibration else raw
    return FinalScores(raw, llrs, raw if recipe.calibration.method == "pav" else llrs)


def evaluation_output(
    recipe: Recipe,
    corpus: Corpus,
    scored: Sequence[ScoredGroups],
    calibration_stage: StageOutput | None,
    calibration: TrainedCalibration | None,
    final: Callable[[], FinalScores],
    context: StageContext,
) -> StageOutput:
    """Evaluate the final scores, or find what was computed; `scored` is what the final scores are made of."""
    inputs: dict[str, JsonValue] = {
        "config": {"evaluation": to_json(recipe.evaluation), "decision": to_json(recipe.decision)},
        "seed": recipe.seed,
        "ranks": recipe.calibration.method == "pav",
        "calibrated_on": recipe.calibration.on,
        "scores": [[output.digest for output in groups] for groups in scored],
        "calibration": None if calibration_stage is None else calibration_stage.digest,
        "trials": {
            name: [[trial.model, trial.test, trial.target] for trial in trials]
            for name, trials in corpus.trials.items()
        },
        "lists": list[JsonValue](corpus.trials),  # in their order, which is that of the tables
        "speakers": [[each.id, each.speaker] for each in corpus.test],
        "models": dict(corpus.speaker_of),
    }

    def work(folder: Path, *_: object) -> None:
        """Write the metrics and the table."""
        scores = final()
        write_json(folder / METRICS_FILE, _metrics(recipe, corpus, scores, calibration))
        _write_scores(folder / SCORES_FILE, corpus, scores)

    return context.output(StageKey("evaluation", VERSION, inputs), work)


def load_metrics(folder: Path) -> dict[str, Any]:
    """Read ``metrics.json`` in the folder of the stage, or of results."""
    metrics: dict[str, Any] = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
    return metrics


def _metrics(
    recipe: Recipe, corpus: Corpus, scores: FinalScores, calibration: TrainedCalibration | None
) -> dict[str, Any]:
    """Compute the metrics of each trial list and of identification, with what the calibration was trained on."""
    lists = {}
    trained_on = {(trial.model, trial.test) for trial in corpus.trials.get(recipe.calibration.on, ())}
    for name, trials in corpus.trials.items():
        target = np.array([trial.target for trial in trials], np.bool_)
        llrs, ranks = scores.llrs.for_trials(trials), scores.ranks.for_trials(trials)
        metrics = summarise(llrs, target, recipe.evaluation, ranks=ranks)
        speakers, rng = _speaker_numbers(corpus, trials), np.random.default_rng(recipe.seed)
        metrics["intervals"] = uncertainty(llrs, target, speakers, recipe.evaluation, rng, ranks=ranks)
        if calibration:
            metrics["p_miss"], metrics["p_fa"] = error_shares(llrs, target, calibration.threshold)
            uncalibrated = summarise(scores.raw.for_trials(trials), target, recipe.evaluation)
            metrics["cllr_uncalibrated"] = uncalibrated["cllr"]
            metrics["trains_calibration"] = any((each.model, each.test) in trained_on for each in trials)
        lists[name] = metrics if calibration or scores_are_llrs(recipe) else without_costs(metrics)
    sections: dict[str, Any] = {"calibration": None, "decision": None}
    if calibration:
        sections = _calibration_and_decision(recipe, calibration, lists)
    identification = _identification(corpus, scores.ranks, recipe.evaluation, recipe.seed)
    return {"trials": lists, **sections, "identification": identification}


def scores_are_llrs(recipe: Recipe) -> bool:
    """Return whether a recipe's scores are log-likelihood ratios before any calibration.

    They are none if they are sums over systems, normalised by a cohort, first-order approximations, cosines or margins.
    """
    if recipe.systems or recipe.normalisation.method != "none":
        return False
    if recipe.vectors is not None:
        return scorer_of(recipe) == "plda"
    return recipe.speakers.method == "independent" or recipe.scoring.method == "llr"


def _calibration_and_decision(
    recipe: Recipe, calibration: TrainedCalibration, lists: Mapping[str, ListMetrics]
) -> dict[str, Any]:
    """Return two sections: what the calibration was trained on, and the threshold of decisions with their errors."""
    document = calibration.to_json()
    del document["calibration"]
    document.pop(ERRORS_KEY, None)
    decision = {
        "method": recipe.decision.method,
        "threshold": document.pop("threshold"),
        "meaning": threshold_meaning(recipe.decision, recipe.evaluation.dcf),
        "errors": _decision_errors(recipe, lists),
    }
    return {"calibration": document, "decision": decision}


def _decision_errors(recipe: Recipe, lists: Mapping[str, ListMetrics]) -> str | None:
    """Say how many decisions on the first list are wrong; None if a kind of its trials has no scores."""
    name, metrics = next(iter(lists.items()))
    p_miss, p_fa = metrics["p_miss"], metrics["p_fa"]
    if p_miss is None or p_fa is None:
        return None
    costs = decision_of(recipe).costs
    at = f"at p_target {costs.p_target:g}, " if costs and recipe.decision.uses_costs else ""
    return f"{at}{errors_in_words(p_miss, p_fa)} (on the list {name})"


def _speaker_numbers(corpus: Corpus, trials: Sequence[Trial]) -> tuple[IntArray, IntArray]:
    """Return numbers for the speakers of the models and of the tests of n trials, two arrays of shape (n,)."""
    speaker = {utterance.id: utterance.speaker for utterance in corpus.test}
    number = index_of(sorted({*corpus.speaker_of.values(), *speaker.values()}))
    models = [number[corpus.speaker_of[trial.model]] for trial in trials]
    return np.array(models, np.intp), np.array([number[speaker[trial.test]] for trial in trials], np.intp)


def _identification(corpus: Corpus, scores: ScoreMatrix, config: EvaluationConfig, seed: int) -> dict[str, Any]:
    """Compute how often the right model wins, where a test has one, and what becomes of tests that have none."""
    model_of = {speaker: model for model, speaker in corpus.speaker_of.items()}
    n_models = Counter(corpus.speaker_of.values())
    row, column = index_of(scores.models), index_of(scores.tests)
    tests = [each for each in corpus.test if n_models[each.speaker] == 1]
    known = [each for each in tests if each.id in column and model_of[each.speaker] in row]
    unknown = [each for each in corpus.test if n_models[each.speaker] == 0 and each.id in column]
    counts = {"n_tests": len(known), "n_models": len(scores.models), "n_unscored": len(tests) - len(known)}
    if not known:
        return counts | {"rate": None, "cmc": None, "open_set": None, "intervals": None}
    number = index_of(sorted({each.speaker for each in corpus.test}))

    def columns_of(utterances: Sequence[Utterance]) -> tuple[Float64Array, IntArray]:
        """Return the scores of tests (M, n), and the numbers of their speakers (n,)."""
        speakers = np.array([number[each.speaker] for each in utterances], np.intp)
        return scores.matrix[:, [column[each.id] for each in utterances]], speakers

    matrix, speakers = columns_of(known)
    truth = np.array([row[model_of[each.speaker]] for each in known])
    rng = np.random.default_rng(seed)
    return counts | summarise_identification((matrix, truth, speakers), columns_of(unknown), config, rng)


def _write_scores(path: Path, corpus: Corpus, scores: FinalScores) -> None:
    """Write every trial with its scores, the speaker of its test, and which lists it is in.

    Where there is no score the fields are empty, and skipped.csv says why.
    """

    def text(score: float) -> str:
        """Format all digits."""
        return "" if np.isnan(score) else repr(score)

    trials = corpus.distinct_trials
    speaker = {utterance.id: utterance.speaker for utterance in corpus.test}
    lists = [frozenset(each) for each in corpus.trials.values()]
    raw, llrs = (matrix.for_trials(trials).tolist() for matrix in (scores.raw, scores.llrs))
    rows = (
        (
            *(trial.model, trial.test, text(score), text(llr), "target" if trial.target else "nontarget"),
            speaker[trial.test],
            *("1" if trial in each else "0" for each in lists),
        )
        for trial, score, llr in zip(trials, raw, llrs, strict=True)
    )
    write_csv(path, (*SCORES_COLUMNS, *(IN_LIST + name for name in corpus.trials)), rows)
