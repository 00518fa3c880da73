"""Calibration as a part of an experiment: what it is trained on, and how it is applied."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import Float64Array
from speechgmm.corpus.manifest import Corpus, Trial, Utterance
from speechgmm.errors import CorpusError
from speechgmm.recipe.cache import StageOutput
from speechgmm.recipe.schema import Recipe
from speechgmm.recipe.stages import Scores
from speechgmm.recipe.system import Means, Voices, build_system, plain
from speechgmm.scoring.calibration import (
    Calibration,
    Fold,
    check_disjoint,
    train_calibration,
    train_cross_fitted,
)

HALVES = ("first", "second")

LEAST_SPEAKERS = 2
"""Speakers in each half without whom there are no nontarget trials."""

ON_BACKGROUND = "trials among the speakers of the background model: each half of them by a system of the other half"


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A calibration, and what it was trained on.

    Parameters
    ----------
    calibration : Calibration
        The map from scores to log-likelihood ratios.
    trained_on : str
        In words.
    n_target, n_nontarget : int >= 1
        Trials of each kind.
    """

    calibration: Calibration
    trained_on: str
    n_target: int
    n_nontarget: int

    def apply(self, scores: Sequence[Scores]) -> Scores:
        """Turn scores into log-likelihood ratios.

        Parameters
        ----------
        scores : sequence of Scores
            Of the systems that it was trained for, of the same models and tests.

        Returns
        -------
        Scores
            In nats.
        """
        first = scores[0]
        llrs = self.calibration.apply(np.stack([each.matrix.ravel() for each in scores], axis=1))
        return replace(first, matrix=llrs.reshape(first.matrix.shape))

    def facts(self) -> dict[str, JsonValue]:
        """Give what ``calibration.json`` holds.

        Returns
        -------
        JSON data
            The map, and what it was trained on.
        """
        return {
            "calibration": plain(self.calibration),
            "trained_on": self.trained_on,
            "n_target": self.n_target,
            "n_nontarget": self.n_nontarget,
        }


def cross_fit(
    recipe: Recipe, backgrounds: Sequence[Voices], corpus: Corpus, means: Means
) -> tuple[Calibrated, tuple[StageOutput, ...]]:
    """Calibrate on the speakers of the background model: systems of one half tell about the other, both ways.

    Parameters
    ----------
    recipe : Recipe
        The systems, the calibration, and the seed that draws the halves.
    backgrounds : sequence of Voices
        The speakers, in the features of each system.
    corpus : Corpus
        Says how many utterances an evaluated model is enrolled from; as many are taken here, where that leaves any.
    means : Means
        How to run.

    Returns
    -------
    Calibrated
        Trained on the trials of both halves together.
    tuple of StageOutput
        The stages that it took.

    Raises
    ------
    CorpusError
        If there are too few speakers of two utterances or more.
    """
    of_speaker: dict[str, list[Utterance]] = {}
    for utterance in backgrounds[0].utterances:
        if all(utterance.id in voices.store for voices in backgrounds):
            of_speaker.setdefault(utterance.speaker, []).append(utterance)
    halves = _halves(of_speaker, np.random.default_rng(recipe.seed))
    n_enrol = _usual_enrolment(corpus)
    folds: list[Fold] = []
    outputs: list[StageOutput] = []
    n_target = n_nontarget = 0
    for name, trained, tried in zip(HALVES, halves, reversed(halves), strict=True):
        background = tuple(each for own in trained.values() for each in own)
        enrol, test = _enrolment(tried, n_enrol)
        scores = []
        for member, voices in zip(recipe.members, backgrounds, strict=True):
            of = f" of the {name} half" + (f", {member.name}" if recipe.systems else "")
            known, enrolled, tested = (replace(voices, utterances=own) for own in (background, enrol, test))
            system = build_system(member, known, enrolled, tested, means, of)
            scores.append(system.scores)
            outputs += system.outputs
        target, nontarget = _sides(scores, test)
        folds.append(Fold(list(trained), list(tried), target, nontarget))
        n_target, n_nontarget = n_target + len(target), n_nontarget + len(nontarget)
    calibration = train_cross_fitted(folds, recipe.calibration.config)
    return Calibrated(calibration, ON_BACKGROUND, n_target, n_nontarget), tuple(outputs)


def on_trials(recipe: Recipe, systems: Sequence[Scores], corpus: Corpus) -> Calibrated:
    """Calibrate on a trial list of the corpus.

    Parameters
    ----------
    recipe : Recipe
        Names the list.
    systems : sequence of Scores
        The scores of each system, of the same models and tests.
    corpus : Corpus
        Has the list.

    Returns
    -------
    Calibrated
        For the other lists.

    Raises
    ------
    CorpusError
        If there is no such list, a speaker is in another one too unless that is allowed, or a kind of trial is missing.
    """
    name = recipe.calibration.on
    if name not in corpus.trials:
        raise CorpusError(
            f"calibration.on {name!r}: expected background, or one of the lists {', '.join(corpus.trials)}"
        )
    if not recipe.calibration.allow_evaluated:
        others = [trial for other, trials in corpus.trials.items() if other != name for trial in trials]
        own, evaluated = (_speakers(trials, corpus) for trials in (corpus.trials[name], others))
        if not others:
            raise CorpusError(f"calibration.on {name}: it is the only list, and would be evaluated by what it trained")
        check_disjoint(own, evaluated, f"the list {name} and those evaluated")
    scores = np.stack([each.of(corpus.trials[name]) for each in systems], axis=1)
    target = np.array([trial.target for trial in corpus.trials[name]], np.bool_)
    scored = ~np.isnan(scores).any(axis=1)
    sides = scores[scored & target], scores[scored & ~target]
    calibration = train_calibration(*sides, recipe.calibration.config)
    return Calibrated(calibration, f"the trials of {name}", *map(len, sides))


def common(systems: Sequence[Scores]) -> tuple[Scores, ...]:
    """Restrict the scores of several systems to the models and tests that all of them have.

    Parameters
    ----------
    systems : sequence of Scores
        Each of its own models and tests.

    Returns
    -------
    tuple of Scores
        Of the same, in the order of the first.
    """
    models = [name for name in systems[0].models if all(name in each.models for each in systems)]
    tests = [name for name in systems[0].tests if all(name in each.tests for each in systems)]
    shared = []
    for each in systems:
        rows = {name: number for number, name in enumerate(each.models)}
        columns = {name: number for number, name in enumerate(each.tests)}
        matrix = each.matrix[np.ix_([rows[name] for name in models], [columns[name] for name in tests])]
        shared.append(Scores(tuple(models), tuple(tests), matrix))
    return tuple(shared)


def added(systems: Sequence[Scores]) -> Scores:
    """Add up the scores of several systems.

    Parameters
    ----------
    systems : sequence of Scores
        Of the same models and tests.

    Returns
    -------
    Scores
        Of a single system its own.
    """
    return replace(systems[0], matrix=np.sum([each.matrix for each in systems], axis=0))


def _halves(
    of_speaker: Mapping[str, list[Utterance]], rng: np.random.Generator
) -> tuple[dict[str, list[Utterance]], ...]:
    """Draw two halves of the speakers, or say why there are none."""
    names = sorted(of_speaker)
    order = rng.permutation(len(names))
    halves = tuple({names[n]: of_speaker[names[n]] for n in sorted(part)} for part in np.array_split(order, 2))
    if min(sum(len(own) > 1 for own in half.values()) for half in halves) < LEAST_SPEAKERS:
        raise CorpusError(
            f"{len(names)} speakers of the background model; expected two halves, each with {LEAST_SPEAKERS} or "
            "more who have two utterances"
        )
    return halves


def _usual_enrolment(corpus: Corpus) -> int:
    """Count the utterances that a model is usually enrolled from."""
    return int(median(Counter(utterance.speaker for utterance in corpus.enrol).values()))


def _enrolment(
    of_speaker: Mapping[str, list[Utterance]], n_enrol: int
) -> tuple[tuple[Utterance, ...], tuple[Utterance, ...]]:
    """Part each speaker's utterances into enrolment and tests; a speaker of one utterance is no use."""
    enrol, test = [], []
    for own in of_speaker.values():
        n_own = min(n_enrol, len(own) - 1)
        if n_own:
            enrol += own[:n_own]
            test += own[n_own:]
    return tuple(enrol), tuple(test)


def _sides(scores: Sequence[Scores], test: Sequence[Utterance]) -> tuple[Float64Array, Float64Array]:
    """Give the scores (n, S) of all tests against all models, those of the right one and those of the others."""
    who = {utterance.id: utterance.speaker for utterance in test}
    target = np.array(scores[0].models)[:, None] == np.array([who[each] for each in scores[0].tests])
    stacked = np.stack([each.matrix for each in scores], axis=-1)
    return stacked[target], stacked[~target]


def _speakers(trials: Sequence[Trial], corpus: Corpus) -> set[str]:
    """List who speaks in trials, and who is claimed to."""
    who = {utterance.id: utterance.speaker for utterance in corpus.test}
    return {trial.model for trial in trials} | {who[trial.test] for trial in trials}
