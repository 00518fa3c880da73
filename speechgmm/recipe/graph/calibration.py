"""What a calibration is trained on: trials of cross-fitted systems among the background's speakers, or a trial list."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import JsonValue

from speechgmm.corpus.manifest import Corpus
from speechgmm.recipe.cache.outputs import StageOutput
from speechgmm.recipe.graph.cross_fitting import HALVES, HalfSystems, cross_fitted_systems
from speechgmm.recipe.graph.system import System
from speechgmm.recipe.layout import ON_BACKGROUND
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.calibration import (
    LabelledScores,
    calibration_output,
    label_all_pairs,
    label_listed_trials,
)
from speechgmm.recipe.stages.context import StageContext
from speechgmm.recipe.stages.features import RoleFeatures
from speechgmm.recipe.stages.score_matrix import restrict_to_common


class Calibrated(NamedTuple):
    """A calibration, and the systems that were trained for it."""

    output: StageOutput
    halves: tuple[HalfSystems, ...] = ()

    def warnings(self) -> tuple[str, ...]:
        """List what is doubtful about the models of the halves, once they are there."""
        return tuple(
            f"{name} half of the background: {warning}"
            for name, half in zip(HALVES, self.halves, strict=False)
            for system in half.systems
            for warning in system.warnings
        )


def calibrate(
    recipe: Recipe,
    systems: Sequence[System],
    features: Sequence[Mapping[str, RoleFeatures]],
    corpus: Corpus,
    context: StageContext,
) -> Calibrated:
    """Calibrate as the recipe says, or find the calibration; `features` holds the roles as each system sees them."""
    if recipe.calibration.on == "background":
        backgrounds = [by_role["background"] for by_role in features]
        return _on_background(recipe, backgrounds, corpus, context)
    return Calibrated(_on_list(recipe, systems, features[0]["test"], corpus, context))


def _on_background(
    recipe: Recipe, backgrounds: Sequence[RoleFeatures], corpus: Corpus, context: StageContext
) -> Calibrated:
    """Calibrate on the trials of both halves together."""
    halves = cross_fitted_systems(recipe, backgrounds, corpus, context)
    inputs: dict[str, JsonValue] = {
        "scores": [[_digests(system) for system in half.systems] for half in halves],
        "speakers": [[[each.id, each.speaker] for each in half.test] for half in halves],
    }

    def labelled() -> LabelledScores:
        """Label all pairs of each half."""
        return LabelledScores(*map(np.concatenate, zip(*(pairs(half) for half in halves), strict=True)))

    def pairs(half: HalfSystems) -> LabelledScores:
        """Label the pairs of one half that all systems have scored."""
        scores = restrict_to_common([system.scores for system in half.systems])
        return label_all_pairs(scores, half.test, backgrounds[0].store)

    return Calibrated(calibration_output(recipe, inputs, labelled, ON_BACKGROUND, context), halves)


def _on_list(
    recipe: Recipe, systems: Sequence[System], test: RoleFeatures, corpus: Corpus, context: StageContext
) -> StageOutput:
    """Calibrate on a trial list of the corpus."""
    name = recipe.calibration.on
    trials = corpus.trials[name]
    inputs: dict[str, JsonValue] = {
        "scores": [_digests(system) for system in systems],
        "trials": [[trial.model, trial.test, trial.target] for trial in trials],
    }

    def labelled() -> LabelledScores:
        """Label the trials that all systems have scored."""
        scores = np.stack([system.scores.for_trials(trials) for system in systems], axis=1)  # one matrix at a time
        return label_listed_trials(scores, trials, test.store)

    return calibration_output(recipe, inputs, labelled, f"the trials of {name}", context)


def _digests(system: System) -> list[JsonValue]:
    """List the digests of a system's scores."""
    return [output.digest for output in system.scored]
