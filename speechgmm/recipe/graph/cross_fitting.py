"""Cross-fitting: systems trained without a fold of the background's speakers, and scored on trials among that fold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import numpy as np

from speechgmm.corpus.manifest import Utterance
from speechgmm.errors import CorpusError
from speechgmm.features.store.store import FeatureStore
from speechgmm.gmm.training.config import IndependentConfig
from speechgmm.recipe.graph.system import System, build_system
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.context import StageContext
from speechgmm.recipe.stages.features import RoleFeatures
from speechgmm.scoring.calibration import check_disjoint

ENOUGH_SPEAKERS = 20
"""Speakers from which on there are `MOST_FOLDS` folds by default; `FEWEST_FOLDS` below."""

FEWEST_FOLDS, MOST_FOLDS = 2, 4

LEAST_SPEAKERS = 2
"""Speakers of two utterances in each fold: fewer make no nontarget trials."""


class FoldSystems(NamedTuple):
    """The systems that were trained without the speakers of a fold, and the tests of that fold."""

    systems: tuple[System, ...]
    test: tuple[Utterance, ...]


def cross_fitted_systems(
    recipe: Recipe, backgrounds: Sequence[RoleFeatures], enrol: RoleFeatures, context: StageContext
) -> tuple[FoldSystems, ...]:
    """Train the systems without each fold of the background's speakers, and score trials among that fold.

    `backgrounds` holds the background in the features of each system; models are enrolled from about as much speech
    as those of `enrol`, which is of the first system. Raise CorpusError where there are too few speakers of two
    utterances, or a first model may know the speakers of all folds.
    """
    _check_first_models(recipe)
    stores = [background.store for background in backgrounds]
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in backgrounds[0].utterances:
        if all(utterance.id in store for store in stores):
            by_speaker.setdefault(utterance.speaker, []).append(utterance)
    rng = np.random.default_rng(recipe.seed)
    folds = _draw_folds(by_speaker, recipe.calibration.folds, rng)
    frames = _frames_of(stores[0])
    usual = _usual_enrolment(enrol)
    fitted = []
    for number, tried in enumerate(folds, 1):
        trained = {name: by_speaker[name] for name in sorted(by_speaker) if name not in tried}
        check_disjoint(trained, tried, f"the background and the trials of fold {number}")
        known = tuple(each for utterances in trained.values() for each in utterances)
        enrolled, test = _divide(tried, frames, usual, rng)
        systems = []
        for system, background in zip(recipe.systems_or_self, backgrounds, strict=True):
            system_label = f" of fold {number}" + (f", {system.name}" if recipe.systems else "")
            roles = [replace(background, utterances=utterances) for utterances in (known, enrolled, test)]
            without_fold = _with_cohort_share(system, len(trained) / len(by_speaker))
            systems.append(build_system(without_fold, roles[0], roles[1], roles[2], context, system_label))
        fitted.append(FoldSystems(tuple(systems), test))
    return tuple(fitted)


def _check_first_models(recipe: Recipe) -> None:
    """Refuse systems that start from a model which may know the speakers of all folds."""
    for system in recipe.systems_or_self:
        training = system.speakers if isinstance(system.speakers, IndependentConfig) else system.ubm
        if training.initial_model:
            raise CorpusError(
                f"initial_model {training.initial_model} may know the speakers of all folds; name a trial list in "
                "calibration.on"
            )


def _with_cohort_share(system: Recipe, share: float) -> Recipe:
    """Let a system of some of the speakers choose as large a share of its cohort as the whole system does."""
    if system.normalisation.method != "as":
        return system
    top_n = max(2, round(system.normalisation.top_n * share))
    return system.model_copy(update={"normalisation": system.normalisation.model_copy(update={"top_n": top_n})})


def _draw_folds(
    by_speaker: Mapping[str, list[Utterance]], n_folds: int | None, rng: np.random.Generator
) -> list[dict[str, list[Utterance]]]:
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
    parts = [np.array_split([names[n] for n in rng.permutation(len(names))], n_folds) for names in (several, single)]
    return [
        {str(name): by_speaker[str(name)] for name in sorted([*some, *others])}
        for some, others in zip(*parts, strict=True)
    ]


def _frames_of(store: FeatureStore) -> dict[str, int]:
    """Return the number of speech frames of each utterance in a store."""
    return {stored.utterance: stored.stop - stored.start for stored in store.utterances}


def _usual_enrolment(enrol: RoleFeatures) -> float:
    """Return the median number of speech frames that a model is enrolled from."""
    frames = _frames_of(enrol.store)
    enrolled: dict[str, int] = {}
    for utterance in enrol.utterances:
        enrolled[utterance.enrols] = enrolled.get(utterance.enrols, 0) + frames.get(utterance.id, 0)
    return median(enrolled.values())


def _divide(
    by_speaker: Mapping[str, list[Utterance]], frames: Mapping[str, int], usual: float, rng: np.random.Generator
) -> tuple[tuple[Utterance, ...], tuple[Utterance, ...]]:
    """Divide each speaker's utterances at random into enrolment and tests; a speaker of one utterance has neither.

    Enrolment has at least one utterance, and others as long as they bring its speech frames closer to the usual number
    of them. It is whole sessions where a speaker has several.
    """
    enrol: list[Utterance] = []
    test: list[Utterance] = []
    for utterances in by_speaker.values():
        if len(utterances) < 2:
            continue
        enrolled, n_frames = 0, 0
        parts = list(_parts(utterances, rng))
        for part in parts[:-1]:
            n_more = sum(frames[each.id] for each in part)
            if enrolled and abs(n_frames + n_more - usual) > abs(n_frames - usual):
                break
            enrolled, n_frames = enrolled + 1, n_frames + n_more
        enrol += [each for part in parts[:enrolled] for each in part]
        test += [each for part in parts[enrolled:] for each in part]
    return tuple(enrol), tuple(test)


def _parts(utterances: Sequence[Utterance], rng: np.random.Generator) -> Iterator[list[Utterance]]:
    """Yield a speaker's sessions in random order, or the utterances alone where there are not several sessions."""
    sessions: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        sessions.setdefault(f"session {utterance.session}" if utterance.session else utterance.id, []).append(utterance)
    parts = list(sessions.values()) if len(sessions) > 1 else [[each] for each in utterances]
    yield from (parts[number] for number in rng.permutation(len(parts)))
