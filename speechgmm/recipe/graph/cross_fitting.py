"""Cross-fitting: systems trained on half of the background's speakers, and scored on trials among the other half."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import numpy as np

from speechgmm.corpus.manifest import Corpus, Utterance
from speechgmm.errors import CorpusError
from speechgmm.gmm.training.config import IndependentConfig
from speechgmm.recipe.graph.system import System, build_system
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.context import StageContext
from speechgmm.recipe.stages.features import RoleFeatures
from speechgmm.scoring.calibration import check_disjoint

HALVES = ("first", "second")

LEAST_SPEAKERS = 5
"""Speakers of two utterances in each half: fewer say little about all others, and that with great certainty."""


class HalfSystems(NamedTuple):
    """The systems that were trained on one half of the background, and the tests of the other half."""

    systems: tuple[System, ...]
    test: tuple[Utterance, ...]


def cross_fitted_systems(
    recipe: Recipe, backgrounds: Sequence[RoleFeatures], corpus: Corpus, context: StageContext
) -> tuple[HalfSystems, ...]:
    """Train the systems on each half of the background's speakers, and score trials among the other half.

    `backgrounds` holds the background in the features of each system. Raise CorpusError where there are too few
    speakers of two utterances, or a first model may know the speakers of both halves.
    """
    _check_first_models(recipe)
    stores = [background.store for background in backgrounds]
    by_speaker: dict[str, list[Utterance]] = {}
    for utterance in backgrounds[0].utterances:
        if all(utterance.id in store for store in stores):
            by_speaker.setdefault(utterance.speaker, []).append(utterance)
    halves = _halves(by_speaker, np.random.default_rng(recipe.seed))
    n_enrol = _usual_enrolment(corpus)
    fitted = []
    for name, trained, tried in zip(HALVES, halves, reversed(halves), strict=True):
        check_disjoint(trained, tried, f"the background and the trials of the {name} half")
        known = tuple(each for utterances in trained.values() for each in utterances)
        enrol, test = _enrolment(tried, n_enrol)
        systems = []
        for system, background in zip(recipe.systems_or_self, backgrounds, strict=True):
            system_label = f" of the {name} half" + (f", {system.name}" if recipe.systems else "")
            roles = [replace(background, utterances=utterances) for utterances in (known, enrol, test)]
            half = _with_cohort_share(system, len(trained) / len(by_speaker))
            systems.append(build_system(half, roles[0], roles[1], roles[2], context, system_label))
        fitted.append(HalfSystems(tuple(systems), test))
    return tuple(fitted)


def _check_first_models(recipe: Recipe) -> None:
    """Refuse systems that start from a model which may know the speakers of both halves."""
    for system in recipe.systems_or_self:
        training = system.speakers if isinstance(system.speakers, IndependentConfig) else system.ubm
        if training.initial_model:
            raise CorpusError(
                f"initial_model {training.initial_model} may know the speakers of both halves; name a trial list in "
                "calibration.on"
            )


def _with_cohort_share(system: Recipe, share: float) -> Recipe:
    """Let a system of some of the speakers choose as large a share of its cohort as the whole system does."""
    if system.normalisation.method != "as":
        return system
    top_n = max(2, round(system.normalisation.top_n * share))
    return system.model_copy(update={"normalisation": system.normalisation.model_copy(update={"top_n": top_n})})


def _halves(
    by_speaker: Mapping[str, list[Utterance]], rng: np.random.Generator
) -> tuple[dict[str, list[Utterance]], ...]:
    """Draw two halves of the speakers, those of two utterances or more and the others alike."""
    several = sorted(name for name, utterances in by_speaker.items() if len(utterances) > 1)
    single = sorted(by_speaker.keys() - {*several})
    shuffled = [[names[n] for n in rng.permutation(len(names))] for names in (several, single)]
    parts = zip(*(np.array_split(names, 2) for names in shuffled), strict=True)
    halves = tuple({str(name): by_speaker[name] for name in sorted(np.concatenate(part))} for part in parts)
    if min(sum(len(utterances) > 1 for utterances in half.values()) for half in halves) < LEAST_SPEAKERS:
        raise CorpusError(
            f"{len(by_speaker)} speakers of the background model, {len(several)} with two utterances or more; expected "
            f"{2 * LEAST_SPEAKERS} of those"
        )
    return halves


def _usual_enrolment(corpus: Corpus) -> int:
    """Return the median number of utterances that a model is enrolled from."""
    return int(median(Counter(utterance.enrols for utterance in corpus.enrol).values()))


def _enrolment(
    by_speaker: Mapping[str, list[Utterance]], n_enrol: int
) -> tuple[tuple[Utterance, ...], tuple[Utterance, ...]]:
    """Divide each speaker's utterances into enrolment and tests; a speaker of one utterance has neither."""
    enrol, test = [], []
    for utterances in by_speaker.values():
        n_first = min(n_enrol, len(utterances) - 1)
        if n_first:
            enrol += utterances[:n_first]
            test += utterances[n_first:]
    return tuple(enrol), tuple(test)
