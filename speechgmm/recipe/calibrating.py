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
from speechgmm.recipe.system import Means, System, Voices, build_system, plain
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

    def apply(self, scores: Scores) -> Scores:
        """Turn scores into log-likelihood ratios.

        Parameters
        ----------
        scores : Scores
            Of the system that it was trained for.

        Returns
        -------
        Scores
            In nats.
        """
        llrs = self.calibration.apply(scores.matrix.ravel())
        return replace(scores, matrix=llrs.reshape(scores.matrix.shape))

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
    recipe: Recipe, background: Voices, corpus: Corpus, means: Means
) -> tuple[Calibrated, tuple[StageOutput, ...]]:
    """Calibrate on the speakers of the background model: a system of one half tells about the other, both ways.

    Parameters
    ----------
    recipe : Recipe
        The system, the calibration, and the seed that draws the halves.
    background : Voices
        The speakers.
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
    for utterance in background.usable().utterances:
        of_speaker.setdefault(utterance.speaker, []).append(utterance)
    halves = _halves(of_speaker, recipe.seed)
    n_enrol = _usual_enrolment(corpus)
    folds: list[Fold] = []
    outputs: list[StageOutput] = []
    n_target = n_nontarget = 0
    for name, trained, tried in zip(HALVES, halves, reversed(halves), strict=True):
        enrol, test = _enrolment(tried, n_enrol)
        system = build_system(
            recipe,
            replace(background, utterances=tuple(each for own in trained.values() for each in own)),
            replace(background, utterances=enrol),
            replace(background, utterances=test),
            means,
            of=f" of the {name} half",
        )
        target, nontarget = _sides(system.scores, test)
        folds.append(Fold(list(trained), list(tried), target, nontarget))
        outputs += system.outputs
        n_target, n_nontarget = n_target + len(target), n_nontarget + len(nontarget)
    calibration = train_cross_fitted(folds, recipe.calibration.config)
    return Calibrated(calibration, ON_BACKGROUND, n_target, n_nontarget), tuple(outputs)


def on_trials(recipe: Recipe, system: System, corpus: Corpus) -> Calibrated:
    """Calibrate on a trial list of the corpus.

    Parameters
    ----------
    recipe : Recipe
        Names the list.
    system : System
        Has the scores.
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
    scores = system.scores.of(corpus.trials[name])
    target = np.array([trial.target for trial in corpus.trials[name]], np.bool_)
    scored = ~np.isnan(scores)
    sides = scores[scored & target], scores[scored & ~target]
    calibration = train_calibration(*sides, recipe.calibration.config)
    return Calibrated(calibration, f"the trials of {name}", *map(len, sides))


def _halves(of_speaker: Mapping[str, list[Utterance]], seed: int) -> tuple[dict[str, list[Utterance]], ...]:
    """Draw two halves of the speakers, or say why there are none."""
    names = sorted(of_speaker)
    order = np.random.default_rng(seed).permutation(len(names))
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


def _sides(scores: Scores, test: Sequence[Utterance]) -> tuple[Float64Array, Float64Array]:
    """Give the scores of all tests against all models, those of the right one and those of the others."""
    who = {utterance.id: utterance.speaker for utterance in test}
    target = np.array(scores.models)[:, None] == np.array([who[each] for each in scores.tests])
    return scores.matrix[target], scores.matrix[~target]


def _speakers(trials: Sequence[Trial], corpus: Corpus) -> set[str]:
    """List who speaks in trials, and who is claimed to."""
    who = {utterance.id: utterance.speaker for utterance in corpus.test}
    return {trial.model for trial in trials} | {who[trial.test] for trial in trials}
