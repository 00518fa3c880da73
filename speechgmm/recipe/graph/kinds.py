"""The kinds of systems: how each makes the models of speakers, and scores tests against them.

A kind is made once for a system. It then makes models of the speakers of a role, and scores the recordings of a role,
by the role's name. Stages that all of its models and scores need, such as statistics, are called when it is made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from speechgmm.errors import CorpusError
from speechgmm.features.extract import FeatureConfig
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.training.config import IndependentConfig
from speechgmm.recipe.cache.outputs import StageOutput
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.schema.sections import PretrainedVectorsConfig
from speechgmm.recipe.stages.backend import fitted_backend
from speechgmm.recipe.stages.context import StageContext
from speechgmm.recipe.stages.enrolled_vectors import enrolled_vectors, vector_scores
from speechgmm.recipe.stages.features import RoleFeatures
from speechgmm.recipe.stages.missing_background import learns_from_background
from speechgmm.recipe.stages.pretrained import (
    pretrained_background,
    shipped_backend,
    shipped_factors,
    shipped_source,
    shipped_steps,
    vectors_config,
)
from speechgmm.recipe.stages.scores import ScoredGroups, scores_against_cohort, scores_against_ubm
from speechgmm.recipe.stages.sessions import session_scores_of, session_speakers
from speechgmm.recipe.stages.speakers import SpeakerModels, adapted_models, independent_models
from speechgmm.recipe.stages.statistics import RoleStatistics, role_statistics
from speechgmm.recipe.stages.subspace import trained_factors
from speechgmm.recipe.stages.ubm import UbmSet, background_models
from speechgmm.recipe.stages.vectors import Extractor, RoleVectors, role_vectors
from speechgmm.subspace.backend.config import propagates_covariances
from speechgmm.subspace.session.config import ISVConfig, JFAConfig
from speechgmm.subspace.vectors import IVectorConfig

SpeakerGroups = tuple[SpeakerModels, ...]
"""Models of speakers: one group, or one for each sex."""

COHORT = "cohort"
"""The role of the background as recorded, where the background has augmented copies too."""


@dataclass(frozen=True)
class Parts:
    """What all stages of one system share."""

    recipe: Recipe
    roles: Mapping[str, RoleFeatures]  # by name: background, enrol, test, and what else a normalisation scores
    context: StageContext
    system_label: str  # sets the titles of its stages apart, where there are several systems

    @property
    def cohort(self) -> str:
        """Name of the role whose speakers normalise scores."""
        return COHORT if COHORT in self.roles else "background"


class SystemKind(Protocol):
    """How a system makes models and scores; titles of stages end in a label that says which these are."""

    def models(self, role: str, label: str) -> SpeakerGroups:
        """Make the models of a role's speakers, or find them."""

    def scores(self, models: SpeakerGroups, role: str, label: str) -> ScoredGroups:
        """Score the recordings of a role against models, or find the scores."""


def system_kind(parts: Parts) -> SystemKind:
    """Return the kind of a recipe's system, after the stages that all its models and scores need."""
    recipe = parts.recipe
    if isinstance(recipe.speakers, IndependentConfig) and recipe.vectors is None:
        return IndependentSystem(parts, recipe.speakers)
    background, context = parts.roles["background"], parts.context
    if recipe.ubm.pretrained is not None:
        ubms = UbmSet(pooled=pretrained_background(recipe, background, context, parts.system_label))
    else:
        ubms = background_models(recipe.ubm, recipe.seed, background, context, parts.system_label)
    if recipe.vectors is not None:
        return _vector_system(parts, _pooled(ubms))
    if isinstance(recipe.speakers, ISVConfig | JFAConfig):
        return _session_system(parts, recipe.speakers, _pooled(ubms))
    assert isinstance(recipe.speakers, AdaptationConfig)
    return AdaptedSystem(parts, recipe.speakers, ubms)


@dataclass(frozen=True)
class AdaptedSystem:
    """Models adapted from background models, and compared with them."""

    parts: Parts
    config: AdaptationConfig
    ubms: UbmSet

    def models(self, role: str, label: str) -> SpeakerGroups:
        """Adapt the models, those of each sex from its background model where there are several."""
        parts = self.parts
        return adapted_models(self.config, self.ubms, parts.roles[role], parts.context, label, parts.system_label)

    def scores(self, models: SpeakerGroups, role: str, label: str) -> ScoredGroups:
        """Score tests relative to the background model of each group."""
        parts, scored = self.parts, []
        for group in models:
            title = f"scores{label}{group.sex_label}{parts.system_label}"
            assert group.ubm is not None
            config, test = parts.recipe.scoring, parts.roles[role]
            scored.append(scores_against_ubm(config, group.ubm, group, test, parts.context, title))
        return tuple(scored)


@dataclass(frozen=True)
class IndependentSystem:
    """Models that are each trained alone, and compared with those of a cohort."""

    parts: Parts
    config: IndependentConfig

    def models(self, role: str, label: str) -> SpeakerGroups:
        """Train the models."""
        parts = self.parts
        title = f"speakers{label}{parts.system_label}"
        return (independent_models(self.config, parts.recipe.seed, parts.roles[role], parts.context, title),)

    def scores(self, models: SpeakerGroups, role: str, label: str) -> ScoredGroups:
        """Score tests relative to the models of the background's speakers, or of the enrolled ones without any."""
        parts = self.parts
        has_cohort = bool(parts.roles[parts.cohort].utterances)
        (group,) = models
        (cohort,) = self.models(parts.cohort, " of the cohort") if has_cohort else models
        title = f"scores{label}{parts.system_label}"
        return (scores_against_cohort(cohort, group, parts.roles[role], parts.context, title),)


@dataclass(frozen=True)
class SessionSystem:
    """Models that leave out what changes between sessions, from statistics under one background model."""

    parts: Parts
    ubm: StageOutput
    factors: StageOutput
    statistics: Mapping[str, RoleStatistics]  # by the name of the role

    def models(self, role: str, label: str) -> SpeakerGroups:
        """Enrol the speakers by sweeps over the factors of their recordings."""
        title = f"speakers{label}{self.parts.system_label}"
        return (session_speakers(self.ubm, self.factors, self.statistics[role], self.parts.context, title),)

    def scores(self, models: SpeakerGroups, role: str, label: str) -> ScoredGroups:
        """Score tests relative to the background model, both with the session of the test."""
        title = f"scores{label}{self.parts.system_label}"
        (group,) = models
        config = self.parts.recipe.scoring
        return (session_scores_of(config, group, self.statistics[role], self.parts.context, title),)


@dataclass(frozen=True)
class VectorSystem:
    """Vectors of recordings, which a back end compares."""

    parts: Parts
    extractor: Extractor
    backend: StageOutput
    vectors: Mapping[str, RoleVectors]  # by the name of the role

    def models(self, role: str, label: str) -> SpeakerGroups:
        """Enrol the speakers with their vectors."""
        title = f"speakers{label}{self.parts.system_label}"
        return (enrolled_vectors(self.extractor, self.backend, self.vectors[role], self.parts.context, title),)

    def scores(self, models: SpeakerGroups, role: str, label: str) -> ScoredGroups:
        """Score the vectors of tests."""
        title = f"scores{label}{self.parts.system_label}"
        (group,) = models
        return (vector_scores(group, self.vectors[role], self.parts.context, title),)


def _session_system(parts: Parts, config: ISVConfig | JFAConfig, ubm: StageOutput) -> SessionSystem:
    """Accumulate the statistics of all roles, and train the factors."""
    statistics = _statistics(parts, ubm)
    factors = trained_factors(
        config, parts.recipe.seed, ubm, statistics["background"], parts.context, f"subspace{parts.system_label}"
    )
    return SessionSystem(parts, ubm, factors, statistics)


def _vector_system(parts: Parts, ubm: StageOutput) -> VectorSystem:
    """Accumulate the statistics of all roles, train the factors of i-vectors, extract vectors and fit the back end."""
    recipe, context, system_label = parts.recipe, parts.context, parts.system_label
    config = vectors_config(recipe)
    statistics = _statistics(parts, ubm)
    shipped = shipped_source(recipe) if isinstance(recipe.vectors, PretrainedVectorsConfig) else None
    factors, title = None, f"subspace{system_label}"
    if shipped and isinstance(recipe.features, FeatureConfig):
        factors = shipped_factors(shipped, ubm, recipe.features, context, title)
    elif isinstance(config, IVectorConfig):
        factors = trained_factors(config, recipe.seed, ubm, statistics["background"], context, title)
    steps = shipped_steps(shipped) if shipped and not recipe.backend else recipe.backend
    extractor = Extractor(config, ubm, factors, propagates_covariances(steps))
    vectors = {
        role: role_vectors(extractor, of_role, context, f"vectors of {role}{system_label}")
        for role, of_role in statistics.items()
    }
    title = f"backend{system_label}"
    if shipped and not recipe.backend:
        backend = shipped_backend(shipped, context, title)
    else:
        backend = fitted_backend(recipe.backend, vectors["background"], vectors["enrol"], context, title)
    return VectorSystem(parts, extractor, backend, vectors)


def _statistics(parts: Parts, ubm: StageOutput) -> dict[str, RoleStatistics]:
    """Accumulate the statistics of each role, or find them; of the background where anything needs them."""
    recipe = parts.recipe
    needs_background = learns_from_background(recipe) or recipe.normalisation.method != "none"
    return {
        role: role_statistics(
            ubm, recipe.ubm.kernel, features, parts.context, f"statistics of {role}{parts.system_label}"
        )
        for role, features in parts.roles.items()
        if role != "background" or needs_background
    }


def _pooled(ubms: UbmSet) -> StageOutput:
    """Return the background model of all speakers."""
    if ubms.pooled is None:
        raise CorpusError("ubm.per_sex: models on statistics need one background model of all speakers")
    return ubms.pooled
