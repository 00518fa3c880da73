"""What a calibration is trained on: trials of cross-fitted systems among the background's speakers, or a trial list."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import JsonValue

from speechgmm.corpus.manifest import Corpus
from speechgmm.errors import CorpusError
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.recipe.cache.outputs import StageOutput
from speechgmm.recipe.graph.cross_fitting import FoldSystems, cross_fitted_systems
from speechgmm.recipe.graph.system import System
from speechgmm.recipe.layout import ON_BACKGROUND, ON_OTHER_CORPORA
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.calibration import (
    LabelledScores,
    calibration_output,
    join_trials,
    label_all_pairs,
    label_listed_trials,
    no_trials,
)
from speechgmm.recipe.stages.context import StageContext
from speechgmm.recipe.stages.features import RoleFeatures, n_speakers
from speechgmm.recipe.stages.score_matrix import restrict_to_common
from speechgmm.scoring.shipped_maps import ShippedMap, shipped_map


class Calibrated(NamedTuple):
    """A calibration, and the systems that were trained for it."""

    output: StageOutput
    folds: tuple[FoldSystems, ...] = ()
    names: tuple[str, ...] = ()  # of the systems
    why_no_trials: str = ""

    def warnings(self) -> tuple[str, ...]:
        """List what is doubtful about the models of the folds, once they are there; or say why there are none."""
        if self.why_no_trials:
            return (self.why_no_trials,)
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
        return _on_background(recipe, features, context)
    return Calibrated(_on_list(recipe, systems, features[0], corpus, context))


def _on_background(recipe: Recipe, features: Sequence[Mapping[str, RoleFeatures]], context: StageContext) -> Calibrated:
    """Calibrate on the trials of all folds together; on none, where there are too few speakers and a shipped map."""
    backgrounds = [by_role["background"] for by_role in features]
    n_cohort = n_speakers(backgrounds[0])
    known = _known_before(recipe)
    prior = None if known is None else known.prior(len(backgrounds), n_cohort)
    why_no_trials = ""
    try:
        folds = cross_fitted_systems(recipe, backgrounds, features[0]["enrol"], context)
    except CorpusError as error:
        if prior is None:
            raise
        folds, why_no_trials = (), f"calibrated {ON_OTHER_CORPORA}, as the background gives no trials: {error}"
    inputs: dict[str, JsonValue] = {
        "scores": [[_digests(system) for system in fold.systems] for fold in folds],
        "speakers": [[[each.id, each.speaker] for each in fold.test] for fold in folds],
    }

    def labelled() -> LabelledScores:
        """Label all pairs of each fold."""
        return join_trials([pairs(fold) for fold in folds]) if folds else no_trials(len(backgrounds))

    def pairs(fold: FoldSystems) -> LabelledScores:
        """Label the pairs of one fold that all systems have scored."""
        scores = restrict_to_common([system.scores for system in fold.systems])
        trials = label_all_pairs(scores, fold.test, backgrounds[0].store)
        if known is None:
            return trials
        return trials._replace(scores=known.scale(fold.n_trained).convert(trials.scores, known.scale(n_cohort)))

    output = calibration_output(recipe, inputs, labelled, ON_BACKGROUND, context, prior)
    return Calibrated(output, folds, tuple(system.name for system in recipe.systems_or_self), why_no_trials)


def _known_before(recipe: Recipe) -> ShippedMap | None:
    """Return the map that comes with the package, if it is asked for and of scores such as those of all systems."""
    calibration = recipe.calibration
    asked = calibration.method == "logistic" and calibration.prior == "shipped"
    if not asked or calibration.systems != "equal" or calibration.duration:
        return None
    systems = recipe.systems_or_self
    normalisation = systems[0].normalisation
    if not all(_adapts(system) and system.normalisation == normalisation for system in systems):
        return None
    return shipped_map(normalisation, len(systems))


def _adapts(system: Recipe) -> bool:
    """Whether scores are log-likelihood ratios of models adapted by MAP."""
    is_adapted = system.vectors is None and isinstance(system.speakers, AdaptationConfig)
    return is_adapted and system.scoring.method == "llr"


def _on_list(
    recipe: Recipe,
    systems: Sequence[System],
    by_role: Mapping[str, RoleFeatures],
    corpus: Corpus,
    context: StageContext,
) -> StageOutput:
    """Calibrate on a trial list of the corpus."""
    name = recipe.calibration.on
    trials = corpus.trials[name]
    inputs: dict[str, JsonValue] = {
        "scores": [_digests(system) for system in systems],
        "trials": [[trial.model, trial.test, trial.target] for trial in trials],
        "models": dict(corpus.speaker_of),
    }

    def labelled() -> LabelledScores:
        """Label the trials that all systems have scored."""
        scores = np.stack([system.scores.for_trials(trials) for system in systems], axis=1)  # one matrix at a time
        return label_listed_trials(scores, trials, corpus.speaker_of, by_role["test"].store)

    known = _known_before(recipe)
    prior = None if known is None else known.prior(len(systems), n_speakers(by_role["background"]))
    return calibration_output(recipe, inputs, labelled, f"the trials of {name}", context, prior)


def _digests(system: System) -> list[JsonValue]:
    """List the digests of a system's scores."""
    return [output.digest for output in system.scored]
