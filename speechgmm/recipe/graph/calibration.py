"""What a calibration is trained on: trials of cross-fitted systems among the background's speakers, or a trial list."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import Float64Array
from speechgmm.corpus.manifest import Corpus
from speechgmm.errors import CorpusError, ModelError
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.recipe.cache.outputs import StageOutput
from speechgmm.recipe.graph.cross_fitting import FoldSystems, cross_fitted_systems
from speechgmm.recipe.graph.system import System
from speechgmm.recipe.layout import ON_BACKGROUND, ON_OTHER_CORPORA
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.schema.sections import PretrainedVectorsConfig
from speechgmm.recipe.stages.calibration import (
    LabelledScores,
    calibration_output,
    join_trials,
    label_all_pairs,
    label_listed_trials,
    no_trials,
)
from speechgmm.recipe.stages.context import StageContext
from speechgmm.recipe.stages.features import RoleFeatures
from speechgmm.recipe.stages.score_matrix import load_scores, restrict_to_common
from speechgmm.recipe.stages.scores import ScoredGroups
from speechgmm.scoring.shipped_map import ShippedMap, Standard, shipped_map


class Calibrated(NamedTuple):
    """A calibration, and the systems that were trained for it."""

    output: StageOutput
    folds: tuple[FoldSystems, ...] = ()
    names: tuple[str, ...] = ()  # of the systems
    why_no_trials: str = ""

    def warnings(self) -> tuple[str, ...]:
        """List what is doubtful about the models of the folds, once they are there; or say why there are none."""
        if self.why_no_trials:
            return (
                "the scores are calibrated by the map that comes with speechgmm alone, because the background gives no "
                f"trials: {self.why_no_trials}",
            )
        return tuple(
            f"{name}, without fold {number} of the background: {warning}"
            for number, fold in enumerate(self.folds, 1)
            for name, system in zip(self.names, fold.systems, strict=True)
            for warning in system.warnings
        )


def needs_enrolment_scores(recipe: Recipe) -> bool:
    """Whether calibration compares models with the enrolment of other speakers: nontargets of the whole system."""
    return recipe.calibration.method == "logistic" and recipe.calibration.prior != "none"


def calibrate(
    recipe: Recipe,
    systems: Sequence[System],
    features: Sequence[Mapping[str, RoleFeatures]],
    corpus: Corpus,
    context: StageContext,
) -> Calibrated:
    """Calibrate as the recipe says, or find the calibration; `features` holds the roles as each system sees them."""
    on_background = recipe.calibration.on == "background"
    how = _on_background if on_background else _on_list
    return how(recipe, systems, features, corpus, context)


def _on_background(
    recipe: Recipe,
    systems: Sequence[System],
    features: Sequence[Mapping[str, RoleFeatures]],
    corpus: Corpus,
    context: StageContext,
) -> Calibrated:
    """Calibrate on the trials of all folds together; on none, where there are too few speakers and a shipped map."""
    backgrounds = [by_role["background"] for by_role in features]
    known = _known_before(recipe)
    try:
        folds = cross_fitted_systems(recipe, backgrounds, features[0]["enrol"], context)
    except (CorpusError, ModelError) as error:
        scaled = _scales_by_enrolment(recipe, systems)
        if known is not None and (recipe.decision.method == "bayes" or not scaled):
            return _by_map_alone(recipe, known, systems, features, corpus, str(error), context)
        if scaled:
            return _scales_alone(recipe, systems, features, corpus, str(error), context)
        raise
    inputs: dict[str, JsonValue] = {
        "scores": [[_digests(system.scored) for system in fold.systems] for fold in folds],
        "speakers": [[[each.id, each.speaker] for each in fold.test] for fold in folds],
        "enrolment": _enrolment_inputs(systems, corpus, features),
    }

    def labelled() -> LabelledScores:
        """Label all pairs of each fold that all systems have scored, on the scale of the whole systems."""
        others = _enrolled_nontargets(systems, corpus, features)
        whole, trials = Standard.of(others), []
        for fold in folds:
            scores = restrict_to_common([system.scores for system in fold.systems])
            of_fold = label_all_pairs(scores, fold.test, recipe.calibration.sides, backgrounds[0].store)
            own = Standard.of(of_fold.scores[~of_fold.target])
            if whole is not None and own is not None:
                of_fold = of_fold._replace(scores=own.convert(of_fold.scores, whole))
            trials.append(of_fold)
        return join_trials(trials)._replace(others=others)

    output = calibration_output(recipe, inputs, labelled, ON_BACKGROUND, context, known)
    return Calibrated(output, folds, tuple(system.name for system in recipe.systems_or_self))


def _by_map_alone(
    recipe: Recipe,
    known: ShippedMap,
    systems: Sequence[System],
    features: Sequence[Mapping[str, RoleFeatures]],
    corpus: Corpus,
    why: str,
    context: StageContext,
) -> Calibrated:
    """Calibrate without trials; raise CorpusError, which says why there are none, if the threshold needs them."""
    if recipe.decision.method != "bayes":
        raise CorpusError(f"{why}; or decision.method bayes, which needs no trials")

    def labelled() -> LabelledScores:
        """Return no trials, but the nontargets of the whole systems."""
        return no_trials(len(systems))._replace(others=_enrolled_nontargets(systems, corpus, features))

    inputs: dict[str, JsonValue] = {"enrolment": _enrolment_inputs(systems, corpus, features)}
    output = calibration_output(recipe, inputs, labelled, ON_OTHER_CORPORA, context, known)
    return Calibrated(output, why_no_trials=why)


def _scales_by_enrolment(recipe: Recipe, systems: Sequence[System]) -> bool:
    """Whether scores of the enrolment of other speakers can say how the systems' scores are to be scaled."""
    return recipe.calibration.systems == "scaled" and all(system.enrolment for system in systems)


def _scales_alone(
    recipe: Recipe,
    systems: Sequence[System],
    features: Sequence[Mapping[str, RoleFeatures]],
    corpus: Corpus,
    why: str,
    context: StageContext,
) -> Calibrated:
    """Learn the scales of the systems' scores from the enrolment of other speakers, and no calibration."""

    def labelled() -> LabelledScores:
        """Return no trials, but these scores."""
        return no_trials(len(systems))._replace(others=_enrolled_nontargets(systems, corpus, features))

    inputs: dict[str, JsonValue] = {"enrolment": _enrolment_inputs(systems, corpus, features), "refused": why}
    return Calibrated(calibration_output(recipe, inputs, labelled, ON_BACKGROUND, context, refused=why))


def _on_list(
    recipe: Recipe,
    systems: Sequence[System],
    features: Sequence[Mapping[str, RoleFeatures]],
    corpus: Corpus,
    context: StageContext,
) -> Calibrated:
    """Calibrate on a trial list of the corpus."""
    name = recipe.calibration.on
    trials = corpus.trials[name]
    inputs: dict[str, JsonValue] = {
        "scores": [_digests(system.scored) for system in systems],
        "trials": [[trial.model, trial.test, trial.target] for trial in trials],
        "enrolment": _enrolment_inputs(systems, corpus, features),
    }

    def labelled() -> LabelledScores:
        """Label the trials that all systems have scored."""
        scores = np.stack([system.scores.for_trials(trials) for system in systems], axis=1)  # one matrix at a time
        sides, store = recipe.calibration.sides, features[0]["test"].store
        listed = label_listed_trials(scores, trials, corpus.speaker_of, sides, store)
        return listed._replace(others=_enrolled_nontargets(systems, corpus, features))

    output = calibration_output(recipe, inputs, labelled, f"the trials of {name}", context, _known_before(recipe))
    return Calibrated(output)


def _enrolment_inputs(
    systems: Sequence[System], corpus: Corpus, features: Sequence[Mapping[str, RoleFeatures]]
) -> JsonValue:
    """State what scores of the enrolment depend on; nothing where they were not asked for."""
    if not all(system.enrolment for system in systems):
        return None
    speakers: dict[str, JsonValue] = {each.id: each.speaker for each in features[0]["enrol"].utterances}
    return [[_digests(system.enrolment) for system in systems], speakers, dict(corpus.speaker_of)]


def _enrolled_nontargets(
    systems: Sequence[System], corpus: Corpus, features: Sequence[Mapping[str, RoleFeatures]]
) -> Float64Array:
    """Return the scores (M, S) of models for the enrolment of other speakers: trials that are nontargets for sure."""
    if not all(system.enrolment for system in systems):
        return np.empty((0, len(systems)))
    matrices = [load_scores([output.folder for output in system.enrolment]) for system in systems]
    scores = restrict_to_common(matrices)
    speaker = {each.id: each.speaker for each in features[0]["enrol"].utterances}
    of_models = np.array([corpus.speaker_of[name] for name in scores[0].models])
    of_tests = np.array([speaker[name] for name in scores[0].tests])
    others = of_models[:, None] != of_tests
    return np.stack([each.matrix[others] for each in scores], axis=1)


def _known_before(recipe: Recipe) -> ShippedMap | None:
    """Return the map that comes with the package, if it is asked for and of scores such as those of all systems."""
    calibration = recipe.calibration
    asked = calibration.method == "logistic" and calibration.prior == "shipped"
    if not asked or calibration.systems == "trained" or calibration.sides:
        return None
    alike = _adapts if calibration.systems == "equal" else _adapts_or_is_pretrained
    return shipped_map() if all(map(alike, recipe.systems_or_self)) else None


def _adapts_or_is_pretrained(system: Recipe) -> bool:
    """Whether the scores of a system are such, or those of a back end that comes with the package; scaled alike."""
    return _adapts(system) or (isinstance(system.vectors, PretrainedVectorsConfig) and not system.backend)


def _adapts(system: Recipe) -> bool:
    """Whether the scores of a system are log-likelihood ratios of models adapted from one UBM, normalised or not."""
    is_adapted = system.vectors is None and isinstance(system.speakers, AdaptationConfig) and not system.ubm.per_sex
    return is_adapted and system.scoring.method == "llr"


def _digests(outputs: ScoredGroups) -> list[JsonValue]:
    """List the digests of scores."""
    return [output.digest for output in outputs]
