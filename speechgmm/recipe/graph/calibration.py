"""Calibration as a part of an experiment: what it is trained on, and how it is applied."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.corpus.manifest import Corpus, Trial, Utterance
from speechgmm.errors import CorpusError
from speechgmm.features.store.store import FeatureStore
from speechgmm.files import write_json
from speechgmm.gallery.layout import CALIBRATION_FILE
from speechgmm.gmm.training.config import IndependentConfig
from speechgmm.recipe.cache.outputs import StageOutput
from speechgmm.recipe.graph.system import System, build_system
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.context import StageContext, to_json
from speechgmm.recipe.stages.features import RoleFeatures
from speechgmm.recipe.stages.scores import ScoreMatrix, restrict_to_common
from speechgmm.scoring.calibration import (
    Calibration,
    LinearCalibration,
    check_disjoint,
    duration_side,
    load_calibration,
    train_calibration,
)
from speechgmm.scoring.thresholds import find_threshold

HALVES = ("first", "second")

REFUSED = "refused"
"""The key under which a stage says why its trials taught nothing."""

LEAST_SPEAKERS = 5
"""Speakers of two utterances in each half: fewer say little about all others, and that with great certainty."""

ON_BACKGROUND = "trials among the speakers of the background model: each half of them by a system of the other half"


class LabelledScores(NamedTuple):
    """Trials whose truth is known: scores (n, S), whether they are targets (n,), and side information (n,)."""

    scores: Float64Array
    target: BoolArray
    durations: Float64Array


@dataclass(frozen=True, eq=False)
class TrainedCalibration:
    """A calibration, and what it was trained on.

    Parameters
    ----------
    calibration : Calibration
        The map from scores to log-likelihood ratios.
    trained_on : str
        In words.
    n_target, n_nontarget : int >= 1
        Trials of each kind.
    threshold : float, nats
        From which log-likelihood ratio on a trial is accepted.
    """

    calibration: Calibration
    trained_on: str
    n_target: int
    n_nontarget: int
    threshold: float

    def apply(self, scores: Sequence[ScoreMatrix], store: FeatureStore) -> ScoreMatrix:
        """Turn scores into log-likelihood ratios.

        Parameters
        ----------
        scores : sequence of ScoreMatrix
            Of the systems that it was trained for, of the same models and tests.
        store : FeatureStore
            Has the tests in the features of the first system, and so their durations.

        Returns
        -------
        ScoreMatrix
            In nats.
        """
        first = scores[0]
        side = None
        if self.calibration.n_sides:
            side = np.broadcast_to(_durations(store, first.tests), first.matrix.shape).ravel()
        llrs = self.calibration.apply(np.stack([each.matrix.ravel() for each in scores], axis=1), side)
        return replace(first, matrix=llrs.reshape(first.matrix.shape))

    def facts(self) -> dict[str, JsonValue]:
        """Give what ``calibration.json`` holds.

        Returns
        -------
        JSON data
            The map, what it was trained on, whether it takes durations, and the threshold.
        """
        return {
            "calibration": to_json(self.calibration),
            "duration": self.calibration.n_sides > 0,
            "threshold": self.threshold,
            "trained_on": self.trained_on,
            "n_target": self.n_target,
            "n_nontarget": self.n_nontarget,
        }


def calibrate(
    recipe: Recipe,
    systems: Sequence[System],
    voices: Sequence[Mapping[str, RoleFeatures]],
    corpus: Corpus,
    context: StageContext,
) -> StageOutput:
    """Calibrate as the recipe says, on the background's speakers or on a trial list.

    Parameters
    ----------
    recipe : Recipe
        The systems, the calibration, and the seed that draws the halves.
    systems : sequence of System
        Their scores.
    voices : sequence of mappings of str to RoleFeatures
        The roles, in the features of each system.
    corpus : Corpus
        Has the trial lists, and says how many utterances a model is enrolled from.
    context : StageContext
        How to run.

    Returns
    -------
    StageOutput
        The calibration, for `load_calibrated`.

    Raises
    ------
    CorpusError
        If there are too few speakers of two utterances or more, or a background model starts from one that may know
        them all.
    """
    inputs: dict[str, JsonValue] = {
        "config": {"calibration": to_json(recipe.calibration), "decision": to_json(recipe.decision)},
    }
    if recipe.calibration.on == "background":
        halves = _cross_fitted(recipe, [own["background"] for own in voices], corpus, context)
        inputs["scores"] = [[_digests(system) for system in half.systems] for half in halves]
        inputs["speakers"] = [[[each.id, each.speaker] for each in half.test] for half in halves]
        store = voices[0]["background"]
        learn = partial(_learn_on_halves, recipe, halves, store)
    else:
        trials = corpus.trials[recipe.calibration.on]
        inputs["scores"] = [_digests(system) for system in systems]
        inputs["trials"] = [[trial.model, trial.test, trial.target] for trial in trials]
        learn = partial(_learn_on_trials, recipe, systems, trials, voices[0]["test"])

    def run(folder: Path) -> None:
        """Write what is learnt, or why nothing is."""
        try:
            facts = learn().facts()
        except CorpusError as error:
            facts = {REFUSED: str(error)}
        write_json(folder / CALIBRATION_FILE, facts)

    return context.output("calibration", inputs, run)


def load_calibrated(folder: Path) -> TrainedCalibration:
    """Read what `calibrate` has learnt.

    Parameters
    ----------
    folder : Path
        The stage's folder.

    Returns
    -------
    TrainedCalibration
        To apply to scores.

    Raises
    ------
    CorpusError
        If the trials taught nothing that can be relied on.
    """
    facts = json.loads((folder / CALIBRATION_FILE).read_text(encoding="utf-8"))
    if REFUSED in facts:
        raise CorpusError(facts[REFUSED])
    of = {name: facts[name] for name in ("trained_on", "n_target", "n_nontarget", "threshold")}
    return TrainedCalibration(load_calibration(facts["calibration"]), **of)


class _Half(NamedTuple):
    """The systems that were trained on one half of the background, and the tests of the other half."""

    systems: tuple[System, ...]
    test: tuple[Utterance, ...]


def _cross_fitted(
    recipe: Recipe, backgrounds: Sequence[RoleFeatures], corpus: Corpus, context: StageContext
) -> tuple[_Half, ...]:
    """Train the systems on each half of the background's speakers, and score trials among the other half."""
    for member in recipe.systems_or_self:
        of_models = member.speakers if isinstance(member.speakers, IndependentConfig) else member.ubm
        if of_models.initial_model:
            raise CorpusError(
                f"initial_model {of_models.initial_model} may know the speakers of both halves; name a trial list in "
                "calibration.on"
            )
    stores = [voices.store for voices in backgrounds]
    of_speaker: dict[str, list[Utterance]] = {}
    for utterance in backgrounds[0].utterances:
        if all(utterance.id in store for store in stores):
            of_speaker.setdefault(utterance.speaker, []).append(utterance)
    halves = _halves(of_speaker, np.random.default_rng(recipe.seed))
    n_enrol = _usual_enrolment(corpus)
    fitted = []
    for name, trained, tried in zip(HALVES, halves, reversed(halves), strict=True):
        check_disjoint(trained, tried, f"the background and the trials of the {name} half")
        background = tuple(each for own in trained.values() for each in own)
        enrol, test = _enrolment(tried, n_enrol)
        systems = []
        for member, voices in zip(recipe.systems_or_self, backgrounds, strict=True):
            of = f" of the {name} half" + (f", {member.name}" if recipe.systems else "")
            known, enrolled, tested = (replace(voices, utterances=own) for own in (background, enrol, test))
            half = _of_half(member, len(trained) / len(of_speaker))
            systems.append(build_system(half, known, enrolled, tested, context, of))
        fitted.append(_Half(tuple(systems), test))
    return tuple(fitted)


def _learn_on_halves(recipe: Recipe, halves: Sequence[_Half], voices: RoleFeatures) -> TrainedCalibration:
    """Learn from the trials of both halves together."""
    trials = [
        _all_pairs(restrict_to_common([system.scores for system in half.systems]), half.test, voices.store)
        for half in halves
    ]
    return _train_on(recipe, LabelledScores(*map(np.concatenate, zip(*trials, strict=True))), ON_BACKGROUND)


def _learn_on_trials(
    recipe: Recipe, systems: Sequence[System], trials: Sequence[Trial], voices: RoleFeatures
) -> TrainedCalibration:
    """Learn from a trial list of the corpus, which `check_list` has seen."""
    scores = np.stack([system.scores.for_trials(trials) for system in systems], axis=1)
    scored = np.flatnonzero(~np.isnan(scores).any(axis=1)).tolist()
    target = np.array([trials[number].target for number in scored], np.bool_)
    durations = _durations(voices.store, [trials[number].test for number in scored])
    return _train_on(
        recipe, LabelledScores(scores[scored], target, durations), f"the trials of {recipe.calibration.on}"
    )


def _digests(system: System) -> list[JsonValue]:
    """Say what scores a system has."""
    return [output.digest for output in system.scored]


def check_overlap(target: Float64Array, nontarget: Float64Array) -> None:
    """Refuse to learn from trials without an error: any certainty, however great, would fit them.

    Parameters
    ----------
    target, nontarget : np.ndarray, shapes (N, S) and (M, S)
        Scores of S systems.

    Raises
    ------
    CorpusError
        If a kind is missing, or no target's sum of scores is below any nontarget's.
    """
    if not (len(target) and len(nontarget)):
        raise CorpusError(
            f"{len(target)} target and {len(nontarget)} nontarget trials have scores; expected some of both"
        )
    if target.sum(axis=1).min() >= nontarget.sum(axis=1).max():
        raise CorpusError(
            f"none of {len(target)} target trials scores below any of {len(nontarget)} nontarget trials: they cannot "
            "tell how sure a score may be"
        )


def check_direction(calibration: Calibration) -> None:
    """Refuse a calibration by which a higher score speaks against the speaker.

    Parameters
    ----------
    calibration : Calibration
        As learnt.

    Raises
    ------
    CorpusError
        If the weights, of which some may be negative where there are several systems, add up to 0 or less.
    """
    if isinstance(calibration, LinearCalibration) and sum(calibration.weights) <= 0:
        shown = ", ".join(f"{weight:g}" for weight in calibration.weights)
        raise CorpusError(f"the weights that the trials taught are {shown}; expected a sum above 0")


def check_list(recipe: Recipe, corpus: Corpus) -> None:
    """Check the list that calibration is to be trained on, before anything else is done.

    Parameters
    ----------
    recipe : Recipe
        May name one.
    corpus : Corpus
        Has the lists.

    Raises
    ------
    CorpusError
        If there is no such list; or, unless that is allowed, it is the only one, or has speakers who are evaluated or
        in the background.
    """
    name = recipe.calibration.on
    if recipe.calibration.method == "none" or name == "background":
        return
    if name not in corpus.trials:
        raise CorpusError(
            f"calibration.on {name!r}: expected background, or one of the lists {', '.join(corpus.trials)}"
        )
    if recipe.calibration.allow_evaluated:
        return
    others = [trial for other, trials in corpus.trials.items() if other != name for trial in trials]
    if not others:
        raise CorpusError(f"calibration.on {name}: it is the only list, and would be evaluated by what it trained")
    own = _speakers(corpus.trials[name], corpus)
    check_disjoint(own, _speakers(others, corpus), f"the list {name} and those evaluated")
    check_disjoint(own, {utterance.speaker for utterance in corpus.background}, f"the list {name} and the background")


def _of_half(member: Recipe, share: float) -> Recipe:
    """Let a system of some of the speakers choose as large a share of its cohort as the whole system does."""
    if member.normalisation.method != "as":
        return member
    top_n = max(2, round(member.normalisation.top_n * share))
    return member.model_copy(update={"normalisation": member.normalisation.model_copy(update={"top_n": top_n})})


def _halves(
    of_speaker: Mapping[str, list[Utterance]], rng: np.random.Generator
) -> tuple[dict[str, list[Utterance]], ...]:
    """Draw two halves of the speakers, or say why there are none."""
    several = sorted(name for name, own in of_speaker.items() if len(own) > 1)
    single = sorted(of_speaker.keys() - {*several})
    drawn = [[names[n] for n in rng.permutation(len(names))] for names in (several, single)]
    parts = zip(*(np.array_split(names, 2) for names in drawn), strict=True)
    halves = tuple({str(name): of_speaker[name] for name in sorted(np.concatenate(part))} for part in parts)
    if min(sum(len(own) > 1 for own in half.values()) for half in halves) < LEAST_SPEAKERS:
        raise CorpusError(
            f"{len(of_speaker)} speakers of the background model, {len(several)} with two utterances or more; expected "
            f"{2 * LEAST_SPEAKERS} of those"
        )
    return halves


def _usual_enrolment(corpus: Corpus) -> int:
    """Count the utterances that a model is usually enrolled from."""
    return int(median(Counter(utterance.enrols for utterance in corpus.enrol).values()))


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


def _all_pairs(scores: Sequence[ScoreMatrix], test: Sequence[Utterance], store: FeatureStore) -> LabelledScores:
    """Make trials of all tests against all models, whose names are those of their speakers."""
    who = {utterance.id: utterance.speaker for utterance in test}
    target = np.array(scores[0].models)[:, None] == np.array([who[each] for each in scores[0].tests])
    durations = np.broadcast_to(_durations(store, scores[0].tests), target.shape)
    stacked = np.stack([each.matrix.ravel() for each in scores], axis=1)
    return LabelledScores(stacked, target.ravel(), durations.ravel())


def _train_on(recipe: Recipe, trials: LabelledScores, trained_on: str) -> TrainedCalibration:
    """Train on trials, unless they teach nothing, and find the threshold of decisions on them."""
    scores, target, durations = trials
    check_overlap(scores[target], scores[~target])
    both = (durations[target], durations[~target]) if recipe.calibration.duration else None
    calibration = train_calibration(scores[target], scores[~target], recipe.calibration.config, side=both)
    check_direction(calibration)
    llrs = calibration.apply(scores, durations if recipe.calibration.duration else None)
    if isinstance(calibration, LinearCalibration):  # weights may part what the sum of the scores does not
        check_overlap(llrs[target, None], llrs[~target, None])
    threshold = find_threshold(llrs[target], llrs[~target], recipe.decision)
    return TrainedCalibration(calibration, trained_on, int(target.sum()), int((~target).sum()), threshold)


def _durations(store: FeatureStore, tests: Sequence[str]) -> Float64Array:
    """Give the side information of tests (n,)."""
    frames = {stored.utterance: stored.stop - stored.start for stored in store.utterances}
    return duration_side([frames[test] for test in tests])


def _speakers(trials: Sequence[Trial], corpus: Corpus) -> set[str]:
    """List who speaks in trials, and who is claimed to."""
    who = {utterance.id: utterance.speaker for utterance in corpus.test}
    return {corpus.speaker_of[trial.model] for trial in trials} | {who[trial.test] for trial in trials}
