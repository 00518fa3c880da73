"""Cross-fitting: systems trained without a fold of the background's speakers, and scored on trials among that fold."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import numpy as np

from speechgmm.augmentation.config import AugmentConfig
from speechgmm.corpus.manifest import Utterance
from speechgmm.errors import CorpusError, ModelError
from speechgmm.gmm.training.config import IndependentConfig
from speechgmm.recipe.graph.system import System, build_system
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.context import StageContext
from speechgmm.recipe.stages.copies import Copy, without_copies
from speechgmm.recipe.stages.features import RoleFeatures, frame_counts, why_empty
from speechgmm.scoring.calibration import check_disjoint
from speechgmm.scoring.normalisation import check_cohort

ENOUGH_SPEAKERS = 20
"""Speakers from which on there are `MOST_FOLDS` folds by default; `FEWEST_FOLDS` below."""

FEWEST_FOLDS, MOST_FOLDS = 2, 4

LEAST_SPEAKERS = 2
"""Speakers of two utterances that a fold has at least: fewer make no nontarget trials."""

BySpeaker = Mapping[str, Sequence[Utterance]]
"""Speakers with their utterances."""


class FoldSystems(NamedTuple):
    """The systems that were trained without the speakers of a fold, and the tests of that fold."""

    systems: tuple[System, ...]
    test: tuple[Utterance, ...]


def cross_fitted_systems(
    recipe: Recipe, backgrounds: Sequence[RoleFeatures], enrol: RoleFeatures, context: StageContext
) -> tuple[FoldSystems, ...]:
    """Train the systems without each fold of the background's speakers, and score trials among that fold.

    `backgrounds` holds the background in the features of each system. Models are enrolled with about as much speech as
    those of `enrol`, which is in the features of the first system. Augmented copies go where their recording goes, as
    far as the recipe uses them there. Raise CorpusError where there are too few speakers
    of two utterances, or a first model may know the speakers of all folds.
    """
    _check_first_models(recipe)
    stores = [background.store for background in backgrounds]
    by_speaker: dict[str, list[Utterance]] = {}
    usable = [each for each in backgrounds[0].utterances if all(each.id in store for store in stores)]
    for utterance in without_copies(usable):
        by_speaker.setdefault(utterance.speaker, []).append(utterance)
    copies = _Copies(usable)
    rng = np.random.default_rng(recipe.seed)
    folds = _draw_folds(by_speaker, recipe.calibration.folds, rng)
    _check_cohorts(recipe, folds, by_speaker)
    frames, usual = frame_counts(stores[0]), _usual_frames(enrol)
    fitted = []
    for number, tried in enumerate(folds, 1):
        trained = {name: by_speaker[name] for name in sorted(by_speaker) if name not in tried}
        check_disjoint(trained, tried, f"the background and the trials of fold {number}")
        known = tuple(each for utterances in trained.values() for each in utterances)
        enrolled, test = _draw_enrolment(tried, frames, usual, rng)
        if augment := recipe.augment:
            known = copies.beside(known) if augment.background else known
            enrolled = copies.beside(enrolled) if augment.enrolment else enrolled
            test = copies.with_one_flaw(test, augment.effects_alone) if augment.calibration else test
        systems = []
        for system, background in zip(recipe.systems_or_self, backgrounds, strict=True):
            system_label = f" of fold {number}" + (f", {system.name}" if recipe.systems else "")
            roles = [replace(background, utterances=utterances) for utterances in (known, enrolled, test)]
            without_fold = _with_cohort_share(system, len(trained) / len(by_speaker))
            systems.append(build_system(without_fold, roles[0], roles[1], roles[2], context, system_label))
        fitted.append(FoldSystems(tuple(systems), test))
    return tuple(fitted)


class _Copies:
    """The augmented copies of recordings."""

    def __init__(self, utterances: Sequence[Utterance]) -> None:
        self._of: dict[str, list[Copy]] = {}
        for each in utterances:
            if isinstance(each, Copy):
                self._of.setdefault(each.of, []).append(each)

    def beside(self, recordings: Sequence[Utterance]) -> tuple[Utterance, ...]:
        """Return recordings, each followed by its copies."""
        return tuple(each for recording in recordings for each in (recording, *self._of.get(recording.id, ())))

    def with_one_flaw(self, recordings: Sequence[Utterance], config: AugmentConfig) -> tuple[Utterance, ...]:
        """Return recordings, each followed by those of its copies that have at most one flaw.

        Copies with several are hard, and recordings rarely have several: a calibration that fits them is too careful
        with the others.
        """
        return tuple(
            each for each in self.beside(recordings) if not isinstance(each, Copy) or each.plan(config).n_flaws <= 1
        )


def _check_first_models(recipe: Recipe) -> None:
    """Refuse systems that start from a model which may know the speakers of all folds."""
    for system in recipe.systems_or_self:
        training = system.speakers if isinstance(system.speakers, IndependentConfig) else system.ubm
        if training.initial_model:
            raise CorpusError(
                f"initial_model {training.initial_model} may know the speakers of all folds; name a trial list in "
                "calibration.on"
            )


def _check_cohorts(recipe: Recipe, folds: Sequence[BySpeaker], by_speaker: BySpeaker) -> None:
    """Refuse folds that leave too few speakers for a cohort, before any system is trained."""
    for system in recipe.systems_or_self:
        for tried in folds:
            cohort = [name for name, utterances in by_speaker.items() if name not in tried for _ in utterances]
            try:
                check_cohort(tried, cohort, system.normalisation)
            except ModelError as error:
                raise CorpusError(
                    f"{len(by_speaker)} speakers of the background leave {len({*cohort})} without a fold, too few for "
                    f"the cohort of normalisation.method {system.normalisation.method}"
                ) from error


def _with_cohort_share(system: Recipe, share: float) -> Recipe:
    """Let a system of some of the speakers choose as large a share of its cohort as the whole system does."""
    if system.normalisation.method != "as":
        return system
    top_n = max(2, round(system.normalisation.top_n * share))
    return system.model_copy(update={"normalisation": system.normalisation.model_copy(update={"top_n": top_n})})


def _draw_folds(by_speaker: BySpeaker, n_folds: int | None, rng: np.random.Generator) -> list[BySpeaker]:
    """Draw folds of the speakers, those of two utterances or more and the others alike."""
    several = sorted(name for name, utterances in by_speaker.items() if len(utterances) > 1)
    single = sorted(by_speaker.keys() - {*several})
    if n_folds is None:
        n_folds = MOST_FOLDS if len(several) >= ENOUGH_SPEAKERS else FEWEST_FOLDS
    if len(several) < LEAST_SPEAKERS * n_folds:
        raise CorpusError(
            f"{len(by_speaker)} speakers of the background, {len(several)} with two utterances or more; expected "
            f"{LEAST_SPEAKERS * n_folds} of those for {n_folds} folds"
        )
    drawn: list[list[str]] = [[] for _ in range(n_folds)]
    for names in (several, single):
        for fold, numbers in zip(drawn, np.array_split(rng.permutation(len(names)), n_folds), strict=True):
            fold += [names[number] for number in numbers]
    return [{name: by_speaker[name] for name in sorted(fold)} for fold in drawn]


def _usual_frames(enrol: RoleFeatures) -> float:
    """Return the median number of speech frames that a model is enrolled with."""
    frames = frame_counts(enrol.store)
    enrolled: dict[str, int] = {}
    for utterance in without_copies(enrol.utterances):
        if utterance.id in frames:
            enrolled[utterance.enrols] = enrolled.get(utterance.enrols, 0) + frames[utterance.id]
    if not enrolled:
        raise ModelError(why_empty(enrol.store))
    return median(enrolled.values())


def _draw_enrolment(
    by_speaker: BySpeaker, frames: Mapping[str, int], usual: float, rng: np.random.Generator
) -> tuple[tuple[Utterance, ...], tuple[Utterance, ...]]:
    """Draw each speaker's utterances for enrolment, and those for tests; a speaker of one utterance has neither.

    Enrolment takes session after session, in random order, as long as another utterance brings its speech frames
    closer to the usual number. The sessions that it takes nothing of are for tests; there is always one.
    """
    enrol: list[Utterance] = []
    test: list[Utterance] = []
    for utterances in by_speaker.values():
        if len(utterances) < 2:
            continue
        sessions = _shuffled_sessions(utterances, rng)
        candidates = [(number, each) for number, session in enumerate(sessions[:-1]) for each in session]
        last, n_frames = 0, 0.0
        for number, utterance in candidates:
            n_more = n_frames + frames[utterance.id]
            if n_frames and abs(n_more - usual) > abs(n_frames - usual):
                break
            enrol.append(utterance)
            last, n_frames = number, n_more
        test += [each for session in sessions[last + 1 :] for each in session]
    return tuple(enrol), tuple(test)


def _shuffled_sessions(utterances: Sequence[Utterance], rng: np.random.Generator) -> list[list[Utterance]]:
    """Return a speaker's sessions in random order, and their utterances; each is one where there are not several.

    An utterance whose session is not known is a session, too.
    """
    sessions: dict[tuple[str | None, str], list[Utterance]] = {}
    for utterance in utterances:
        name = (utterance.session, "" if utterance.session else utterance.id)
        sessions.setdefault(name, []).append(utterance)
    parts = [*sessions.values()] if len(sessions) > 1 else [[each] for each in utterances]
    drawn = [parts[number] for number in rng.permutation(len(parts))]
    return [[part[number] for number in rng.permutation(len(part))] for part in drawn]
