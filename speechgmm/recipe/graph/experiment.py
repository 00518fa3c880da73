"""The stages of an experiment in their order, the same whether they run or are planned.

`experiment_stages` yields what is known after each step. Whoever walks it, a run or a plan, works between the steps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from speechgmm.corpus.manifest import ROLES, Corpus, Role
from speechgmm.errors import CorpusError, ModelError
from speechgmm.features.store.store import FeatureStore
from speechgmm.recipe.cache.outputs import StageOutput
from speechgmm.recipe.graph.calibration import calibrate, needs_enrolment_scores
from speechgmm.recipe.graph.system import System, build_system
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.schema.sections import AugmentSection
from speechgmm.recipe.stages.calibration import (
    TrainedCalibration,
    check_list,
    load_scales,
    load_trained_calibration,
)
from speechgmm.recipe.stages.context import STAGES, NotYetKnown, StageContext, StoppedEarly
from speechgmm.recipe.stages.copies import Copy, with_copies
from speechgmm.recipe.stages.corpus import find_corpus
from speechgmm.recipe.stages.evaluation import FinalScores, evaluation_output, final_scores
from speechgmm.recipe.stages.features import RoleFeatures, role_features
from speechgmm.recipe.stages.missing_background import with_background
from speechgmm.recipe.stages.pretrained import check_pretrained, known_recordings
from speechgmm.recipe.stages.rates import ResolvedRecipe, resolve_rates
from speechgmm.recipe.stages.small_cohorts import without_small_cohorts


@dataclass(frozen=True)
class ExperimentFeatures:
    """The features of each role, as each system sees them, by the system's name in the order of the recipe."""

    by_system: Mapping[str, Mapping[str, RoleFeatures]]
    augment: AugmentSection | None = None  # what the copies among them are for

    @property
    def roles(self) -> Sequence[Mapping[str, RoleFeatures]]:
        """The roles, for each system."""
        return tuple(self.by_system.values())

    def copies(self, *, unlearnt: bool = False) -> frozenset[tuple[str, str]]:
        """Return the augmented copies by role and name: all, or those that no model is trained on or enrolled from."""
        learnt = {"background": self.augment.background, "enrol": self.augment.enrolment} if self.augment else {}
        return frozenset(
            (role, each.id)
            for role, features in self.roles[0].items()
            for each in features.utterances
            if isinstance(each, Copy) and not (unlearnt and learnt[role])
        )

    def open_stores(self) -> dict[str, dict[str, FeatureStore]]:
        """Open the feature store of each role, by the system's name."""
        return {
            name: {role: features.store for role, features in by_role.items()}
            for name, by_role in self.by_system.items()
        }


@dataclass(frozen=True)
class ExperimentSystems:
    """The systems, in the order of the recipe; one where it has none of its own."""

    systems: tuple[System, ...]


@dataclass(frozen=True, eq=False)
class ExperimentCalibration:
    """The calibration; or why there is none, where the recipe asks for one."""

    output: StageOutput | None = None
    trained: TrainedCalibration | None = None
    why_none: str = ""
    scales: tuple[float, ...] = ()  # that the systems' scores are divided by, with a calibration and without
    warnings: Callable[[], tuple[str, ...]] = tuple  # what is doubtful about the models that were trained for it


@dataclass(frozen=True)
class ExperimentEvaluation:
    """The output of the evaluation, and the scores that it is of, which are put together when they are asked for."""

    output: StageOutput
    scores: Callable[[], FinalScores]


ExperimentStep = (
    Corpus | ResolvedRecipe | ExperimentFeatures | ExperimentSystems | ExperimentCalibration | ExperimentEvaluation
)


def experiment_stages(recipe: Recipe, context: StageContext) -> Iterator[ExperimentStep]:
    """Go through the stages of an experiment, and yield what each step has found.

    Ends with StoppedEarly before a stage that is not to run, and with NotYetKnown, in a plan, before stages that depend
    on outputs which are not there.
    """
    corpus = with_background(find_corpus(recipe.corpus, context), recipe)
    recipe, corpus = without_small_cohorts(recipe, corpus)
    check_list(recipe, corpus)
    resolved = resolve_rates(recipe, corpus)
    check_pretrained(resolved.recipe)
    corpus = replace(corpus, notes=(*corpus.notes, *known_recordings(resolved.recipe, corpus)))
    yield corpus
    yield resolved
    recipe = resolved.recipe
    features = extract_roles(recipe, corpus, context)
    yield features
    systems = build_systems(recipe, features, context)
    yield ExperimentSystems(systems)
    calibration = _calibration(recipe, corpus, features, systems, context)
    yield calibration
    yield _evaluation(recipe, corpus, features, systems, calibration, context)


def extract_roles(recipe: Recipe, corpus: Corpus, context: StageContext) -> ExperimentFeatures:
    """Extract the features of each role for each system, or find them."""
    by_system: dict[str, Mapping[str, RoleFeatures]] = {}
    utterances = {role: with_copies(corpus.role(role), _n_copies(recipe, role)) for role in ROLES}
    for system in recipe.systems_or_self:
        label = f", {system.name}" if recipe.systems else ""
        by_system[system.name] = {
            role: role_features(
                f"features of {role}{label}", utterances[role], system.features, context, recipe.augment
            )
            for role in ROLES
        }
    return ExperimentFeatures(by_system, recipe.augment)


def _n_copies(recipe: Recipe, role: Role) -> int:
    """Return how many augmented copies of the recordings of a role are used, for whatever purpose."""
    augment = recipe.augment
    if augment is None:
        return 0
    in_calibration = recipe.calibrates_on_copies
    used = {
        "background": augment.background or in_calibration,
        "enrol": augment.enrolment or (in_calibration and needs_enrolment_scores(recipe)),
        "test": False,
    }
    return augment.copies if used[role] else 0


def build_systems(recipe: Recipe, features: ExperimentFeatures, context: StageContext) -> tuple[System, ...]:
    """Train, enrol and score with each system, or find what is stored.

    Raises StoppedEarly where a stage before the scores was the last that was asked for, once the stages before it are
    done for all systems.
    """
    built: list[System] = []
    stopped: StoppedEarly | None = None
    scores_enrolment = needs_enrolment_scores(recipe) and not context.stops_before("calibration")
    augment = recipe.augment
    for system, by_role in zip(recipe.systems_or_self, features.roles, strict=True):
        system_label = f" of {system.name}" if recipe.systems else ""
        try:
            background, enrol = by_role["background"], by_role["enrol"]
            tests = enrol if recipe.calibrates_on_copies else enrol.as_recorded()
            roles = (
                background if augment and augment.background else background.as_recorded(),
                enrol if augment and augment.enrolment else enrol.as_recorded(),
                by_role["test"],
            )
            enrolment_tests = tests if scores_enrolment else None
            built.append(build_system(system, *roles, context, system_label, enrolment_tests=enrolment_tests))
        except StoppedEarly as error:
            stopped = error
    if stopped:
        raise stopped
    return tuple(built)


def _calibration(
    recipe: Recipe,
    corpus: Corpus,
    features: ExperimentFeatures,
    systems: Sequence[System],
    context: StageContext,
) -> ExperimentCalibration:
    """Calibrate, if the recipe says so and the data allow it."""
    if recipe.calibration.method == "none":
        return ExperimentCalibration()
    if context.stops_before("calibration"):
        raise StoppedEarly("calibration")
    if recipe.calibration.on == "background" and not _can_cross_fit(features, context):
        raise NotYetKnown(*STAGES[STAGES.index("calibration") : -1])
    output, scales = None, tuple[float, ...]()
    try:
        done = calibrate(recipe, systems, features.roles, corpus, context)
        output = done.output
        scales = load_scales(output.folder) if context.is_there(output) else ()
        trained = load_trained_calibration(output.folder) if context.is_there(output) else None
    except (CorpusError, ModelError) as error:
        why_none = f"the scores are not calibrated: {error}"
        if recipe.calibration.systems != "equal" and not scales:
            why_none += "; so the systems' scores are summed as they are, whatever their scales"
        return ExperimentCalibration(output, None, why_none, scales)
    return ExperimentCalibration(output, trained, scales=scales, warnings=done.warnings)


def _can_cross_fit(features: ExperimentFeatures, context: StageContext) -> bool:
    """Whether the features are there that folds are drawn by: every system's background, the first one's enrolment."""
    needed = [by_role["background"] for by_role in features.roles] + [features.roles[0]["enrol"]]
    return all(context.is_there(role.features) for role in needed)


def _evaluation(
    recipe: Recipe,
    corpus: Corpus,
    features: ExperimentFeatures,
    systems: Sequence[System],
    calibration: ExperimentCalibration,
    context: StageContext,
) -> ExperimentEvaluation:
    """Evaluate the scores of the systems together."""

    @cache
    def scores() -> FinalScores:
        """Put the scores together, once."""
        matrices = [system.scores for system in systems]
        return final_scores(recipe, matrices, calibration.trained, features.roles[0]["test"].store, calibration.scales)

    scored = [system.scored for system in systems]
    output = evaluation_output(recipe, corpus, scored, calibration.output, calibration.trained, scores, context)
    return ExperimentEvaluation(output, scores)
