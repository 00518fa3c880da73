"""What a calibration is trained on: trials of cross-fitted systems among the background's speakers, or a trial list."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import JsonValue

from speechgmm.corpus.manifest import Corpus
from speechgmm.recipe.cache.outputs import StageOutput
from speechgmm.recipe.graph.cross_fitting import FoldSystems, cross_fitted_systems
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
    folds: tuple[FoldSystems, ...] = ()
    names: tuple[str, ...] = ()  # of the systems

    def warnings(self) -> tuple[str, ...]:
        """List what is doubtful about the models of the folds, once they are there."""
        return tuple(
            f"{name}, without fold {number} of the background: {warning}"
            for number, fold in enumerate(self.folds, 1)
            for name, system in zip(self.names, fold.systems, strict=True)
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
        return _on_background(recipe, backgrounds, features[0]["enrol"], context)
    return Calibrated(_on_list(recipe, systems, features[0]["test"], corpus, context))


def _on_background(
    recipe: Recipe, backgrounds: Sequence[RoleFeatures], enrol: RoleFeatures, context: StageContext
) -> Calibrated:
    """Calibrate on the trials of all folds together."""
    folds = cross_fitted_systems(recipe, backgrounds, enrol, context)
    inputs: dict[str, JsonValue] = {
        "scores": [[_digests(system) for system in fold.systems] for fold in folds],
        "speakers": [[[each.id, each.speaker] for each in fold.test] for fold in folds],
    }

    def labelled() -> LabelledScores:
        """Label all pairs of each fold."""
        return LabelledScores(*map(np.concatenate, zip(*(pairs(fold) for fold in folds), strict=True)))

    def pairs(fold: FoldSystems) -> LabelledScores:
        """Label the pairs of one fold that all systems have scored."""
        scores = restrict_to_common([system.scores for system in fold.systems])
        return label_all_pairs(scores, fold.test, backgrounds[0].store)

    output = calibration_output(recipe, inputs, labelled, ON_BACKGROUND, context)
    return Calibrated(output, folds, tuple(system.name for system in recipe.systems_or_self))


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
