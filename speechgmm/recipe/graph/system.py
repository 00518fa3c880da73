"""A system as stages: background models, the speakers' models, and scores that are normalised."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from speechgmm.corpus.manifest import Utterance
from speechgmm.recipe.graph.kinds import COHORT, Parts, SpeakerGroups, SystemKind, system_kind
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.context import StageContext
from speechgmm.recipe.stages.features import RoleFeatures, usable_utterances
from speechgmm.recipe.stages.normalisation import normalised_scores
from speechgmm.recipe.stages.score_matrix import ScoreMatrix, load_scores
from speechgmm.recipe.stages.scores import ScoredGroups
from speechgmm.recipe.stages.small_cohorts import normalisation_key
from speechgmm.recipe.stages.speakers import load_untrained
from speechgmm.recipe.stages.subspace import load_warnings
from speechgmm.scoring.normalisation import check_cohort

COHORT_SAMPLE = "cohort sample"
"""The role of one utterance of each background speaker."""

ENROLMENT_TESTS = "enrolment as tests"
"""The role of the enrolment as tests, where models are made of fewer copies of it, or more."""


@dataclass(frozen=True, eq=False)
class System:
    """The models of a system, and what it scored."""

    models: SpeakerGroups  # of the enrolled speakers
    scored: ScoredGroups  # normalised as the recipe says
    enrolment: ScoredGroups = ()  # scores of the enrolment against all models, likewise, if they were asked for

    @property
    def scores(self) -> ScoreMatrix:
        """The scores of all models."""
        return load_scores([output.folder for output in self.scored])

    @property
    def untrained(self) -> dict[str, str]:
        """Enrolled speakers who could not be given a model of their own, and why."""
        folders = [models.speakers.folder for models in self.models if not models.ubm]
        return {speaker: reason for folder in folders for speaker, reason in load_untrained(folder).items()}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is doubtful about its factors and its back end."""
        outputs = [output for models in self.models for output in (models.factors, models.backend) if output]
        return tuple(warning for output in outputs for warning in load_warnings(output.folder))


def build_system(
    recipe: Recipe,
    background: RoleFeatures,
    enrol: RoleFeatures,
    test: RoleFeatures,
    context: StageContext,
    system_label: str = "",
    *,
    enrolment_tests: RoleFeatures | None = None,
) -> System:
    """Train, enrol, score and normalise, or find what is stored: for a whole system, or without a fold of background.

    The background gives the background models and, as recorded, the cohort. `enrolment_tests` is the enrolment where
    that is compared with all models too, perhaps with other copies than models are made of. Raise CorpusError where
    there is no background and it is needed, or the sex of a speaker is not known and background models are per sex;
    raise ModelError where a role has nothing that can be used, or the cohort is too small for the normalisation.
    """
    cohort = background.as_recorded()
    speakers = [utterance.speaker for utterance in cohort.utterances]
    key = normalisation_key(recipe, several=bool(system_label))
    check_cohort({utterance.speaker for utterance in enrol.utterances}, speakers, recipe.normalisation, key)
    roles = {"background": background, "enrol": enrol, "test": test}
    needs_cohort = recipe.normalisation.method != "none" or recipe.speakers.method == "independent"
    if needs_cohort and cohort.ids != background.ids:
        roles[COHORT] = cohort
    if recipe.normalisation.shrinkage:
        roles[COHORT_SAMPLE] = _first_of_each_speaker(cohort, context)
    as_tests = "enrol"
    if enrolment_tests is not None and enrolment_tests.ids != enrol.ids:
        as_tests, roles[ENROLMENT_TESTS] = ENROLMENT_TESTS, enrolment_tests
    parts = Parts(recipe, roles, context, system_label)
    kind = system_kind(parts)
    models = kind.models("enrol", "")
    scored = _scores(kind, parts, models, "test", "")
    enrolment = _scores(kind, parts, models, as_tests, " of the enrolment") if enrolment_tests else ()
    return System(models, scored, enrolment)


def _scores(kind: SystemKind, parts: Parts, models: SpeakerGroups, role: str, label: str) -> ScoredGroups:
    """Score the recordings of a role against models, and normalise the scores as the recipe says."""
    scored = kind.scores(models, role, label)
    config = parts.recipe.normalisation
    if config.method == "none":
        return scored
    return normalised_scores(
        config,
        scored,
        _cohort_scores(kind, parts, models, role, label),
        parts.roles["enrol"].speaker_of,
        parts.roles[parts.cohort],
        parts.context,
        f"normalisation{label}{parts.system_label}",
    )


def _cohort_scores(
    kind: SystemKind, parts: Parts, models: SpeakerGroups, role: str, label: str
) -> Mapping[str, ScoredGroups]:
    """Score the background's speakers, each of whom gets a model, as far as normalising a role's scores needs it."""
    config, background = parts.recipe.normalisation, parts.cohort
    scored: dict[str, ScoredGroups] = {}
    if config.method != "t":
        scored["z_scores"] = kind.scores(models, background, " of the cohort's utterances")
    if config.method == "z" and not config.shrinkage:
        return scored
    cohort = kind.models(background, " of the cohort")
    if config.method != "z":
        scored["t_scores"] = kind.scores(cohort, role, f" of the cohort's models{label}")
    if config.shrinkage:
        scored["cohort_scores"] = kind.scores(cohort, COHORT_SAMPLE, " of the cohort by itself")
    elif config.method in ("zt", "tz"):
        scored["cohort_scores"] = kind.scores(cohort, background, " of the cohort by itself")
    return scored


def _first_of_each_speaker(background: RoleFeatures, context: StageContext) -> RoleFeatures:
    """Return the first utterance with features of each speaker: enough to know how the cohort scores by itself."""
    first: dict[str, Utterance] = {}
    for utterance in usable_utterances(background, context):
        first.setdefault(utterance.speaker, utterance)
    return replace(background, utterances=tuple(first.values()))
