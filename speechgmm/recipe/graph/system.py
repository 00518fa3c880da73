"""A system as stages: background models, the speakers' models, and scores that are normalised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from speechgmm.gmm.training.config import IndependentConfig
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.context import StageContext
from speechgmm.recipe.stages.features import RoleFeatures
from speechgmm.recipe.stages.normalisation import normalised_scores
from speechgmm.recipe.stages.score_matrix import ScoreMatrix, load_scores
from speechgmm.recipe.stages.scores import ScoredGroups, scores_against_cohort, scores_against_ubm
from speechgmm.recipe.stages.speakers import SpeakerModels, adapted_models, independent_models, load_untrained
from speechgmm.recipe.stages.ubm import UbmSet, background_models
from speechgmm.scoring.normalisation import check_cohort


@dataclass(frozen=True, eq=False)
class System:
    """The models of a system, and what it scored."""

    models: tuple[SpeakerModels, ...]  # of the enrolled speakers: one group, or one for each sex
    scored: ScoredGroups  # normalised as the recipe says

    @property
    def scores(self) -> ScoreMatrix:
        """The scores of all models."""
        return load_scores([output.folder for output in self.scored])

    @property
    def untrained(self) -> dict[str, str]:
        """Enrolled speakers who could not be given a model of their own, and why."""
        folders = [models.speakers.folder for models in self.models if not models.ubm]
        return {speaker: reason for folder in folders for speaker, reason in load_untrained(folder).items()}


@dataclass(frozen=True)
class _Parts:
    """What all stages of one system share."""

    recipe: Recipe
    background: RoleFeatures
    context: StageContext
    system_label: str  # sets the titles of its stages apart, where there are several systems


def build_system(
    recipe: Recipe,
    background: RoleFeatures,
    enrol: RoleFeatures,
    test: RoleFeatures,
    context: StageContext,
    system_label: str = "",
) -> System:
    """Train, enrol, score and normalise, or find what is stored: for a whole system, or for half of its background.

    The background gives the background models and the cohort. Raise CorpusError where there is no background and it is
    needed, or the sex of a speaker is not known and background models are per sex; raise ModelError where a role has
    nothing that can be used, or the cohort is too small for the normalisation.
    """
    cohort = [utterance.speaker for utterance in background.utterances]
    check_cohort({utterance.speaker for utterance in enrol.utterances}, cohort, recipe.normalisation)
    parts = _Parts(recipe, background, context, system_label)
    ubms = UbmSet()
    if not isinstance(recipe.speakers, IndependentConfig):
        ubms = background_models(recipe.ubm, recipe.seed, background, context, system_label)
    models = _models(parts, ubms, enrol, "")
    scored = _scores(parts, ubms, models, test, "")
    if recipe.normalisation.method != "none":
        cohort_scored = _cohort_scores(parts, ubms, models, test)
        scored = normalised_scores(
            recipe.normalisation,
            scored,
            cohort_scored,
            enrol.speaker_of,
            background,
            context,
            f"normalisation{system_label}",
        )
    return System(models, scored)


def _models(parts: _Parts, ubms: UbmSet, role: RoleFeatures, role_label: str) -> tuple[SpeakerModels, ...]:
    """Adapt or train the models of a role's speakers."""
    recipe, config = parts.recipe, parts.recipe.speakers
    if isinstance(config, IndependentConfig):
        return (
            independent_models(config, recipe.seed, role, parts.context, f"speakers{role_label}{parts.system_label}"),
        )
    return adapted_models(config, ubms, role, parts.context, role_label, parts.system_label)


def _scores(
    parts: _Parts, ubms: UbmSet, models: Sequence[SpeakerModels], test: RoleFeatures, role_label: str
) -> ScoredGroups:
    """Score tests against models, relative to their background model or to the models of a cohort."""
    scored = []
    for group in models:
        title = f"scores{role_label}{group.sex_label}{parts.system_label}"
        if group.ubm:
            config = parts.recipe.scoring
            scored.append(scores_against_ubm(config, group.ubm, group, test, parts.context, title))
        else:
            scored.append(scores_against_cohort(_cohort(parts, ubms, group), group, test, parts.context, title))
    return tuple(scored)


def _cohort(parts: _Parts, ubms: UbmSet, models: SpeakerModels) -> SpeakerModels:
    """Return the models that stand for all other speakers: the background's, or the enrolled ones where it is empty."""
    return _models(parts, ubms, parts.background, " of the cohort")[0] if parts.background.utterances else models


def _cohort_scores(
    parts: _Parts, ubms: UbmSet, models: Sequence[SpeakerModels], test: RoleFeatures
) -> Mapping[str, ScoredGroups]:
    """Score the background's speakers, each of whom gets a model, as far as the normalisation needs it."""
    method, background = parts.recipe.normalisation.method, parts.background
    scored: dict[str, ScoredGroups] = {}
    if method in ("z", "zt", "tz", "s", "as"):
        scored["z_scores"] = _scores(parts, ubms, models, background, " of the cohort's utterances")
    if method in ("t", "zt", "tz", "s", "as"):
        cohort = _models(parts, ubms, background, " of the cohort")
        scored["t_scores"] = _scores(parts, ubms, cohort, test, " of the cohort's models")
        if method in ("zt", "tz"):
            scored["cohort_scores"] = _scores(parts, ubms, cohort, background, " of the cohort by itself")
    return scored
