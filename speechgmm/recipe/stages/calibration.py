"""Calibration as a stage: the map from scores to log-likelihood ratios, and the threshold of decisions.

Files: ``calibration.json``, which says in place of a calibration why the trials gave none.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.corpus.manifest import Corpus, Trial, Utterance
from speechgmm.errors import CorpusError
from speechgmm.features.store.store import FeatureStore
from speechgmm.files import write_json
from speechgmm.recipe.cache.outputs import StageKey, StageOutput
from speechgmm.recipe.layout import CALIBRATION_FILE, ON_OTHER_CORPORA
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.context import StageContext, to_json
from speechgmm.recipe.stages.features import frame_counts
from speechgmm.recipe.stages.score_matrix import ScoreMatrix
from speechgmm.scoring.calibration import (
    SCALES_KEY,
    Calibration,
    LinearCalibration,
    check_disjoint,
    load_calibration,
    train_calibration,
)
from speechgmm.scoring.calibration_prior import Prior
from speechgmm.scoring.decision_errors import ERRORS_KEY, DecisionErrors, count_errors
from speechgmm.scoring.shipped_map import ShippedMap, Standard
from speechgmm.scoring.side_information import N_COLUMNS, SideKind, side_columns
from speechgmm.scoring.thresholds import ThresholdConfig, find_threshold, with_preset_costs

VERSION = 4
"""Rises whenever the same inputs would give another output."""

OPTIONAL = ("n_speakers", "folds", "prior", "standard", "copies")
"""Keys of the file that a calibration need not have."""

REFUSED = "refused"
"""The key of the file under which a stage says why its trials gave no calibration."""


class LabelledScores(NamedTuple):
    """Trials whose truth is known: scores (n, S) of S systems, targets (n,) or not, and side information (n, Q)."""

    scores: Float64Array
    target: BoolArray
    side: Float64Array
    n_speakers: int  # whose trials they are
    n_folds: int | None = None  # that they come from; None for a trial list
    others: Float64Array | None = None  # scores (M, S) that are of nontargets for sure, known beside these trials


@dataclass(frozen=True, eq=False)
class TrainedCalibration:
    """A calibration, and what it was trained on."""

    calibration: Calibration
    trained_on: str  # in words
    n_target: int  # trials of each kind
    n_nontarget: int
    threshold: float  # nats; a trial is accepted from this log-likelihood ratio on
    scales: tuple[float, ...] = ()  # that the systems' scores are divided by before they are summed; none: by nothing
    n_speakers: int | None = None  # of these trials; None in results of earlier versions
    folds: int | None = None  # that the trials come from; None for a trial list
    prior: str | None = None  # what was known before the trials: "shipped", "wide"; None for nothing
    standard: Sequence[float] | None = None  # mean and deviation of the sum of unknown speakers' scores, scaled
    copies: int | None = None  # augmented copies of each test; those with one flaw are tests too; None for none
    errors: DecisionErrors | None = None  # of decisions on the trials that it was trained on
    sides: tuple[SideKind, ...] = ()  # the side information that it takes

    def apply(self, scores: Sequence[ScoreMatrix], store: FeatureStore) -> ScoreMatrix:
        """Turn the scores of the systems, which have the same models and tests, into log-likelihood ratios in nats.

        The store has the tests in the features of the first system, and so their durations and conditions.
        """
        first = scores[0]
        scores = divide_by_scales(scores, self.scales)
        side = None
        if self.sides:
            side = np.tile(side_information(self.sides, store, first.tests), (len(first.models), 1))
        llrs = self.calibration.apply(np.stack([each.matrix.ravel() for each in scores], axis=1), side)
        return replace(first, matrix=llrs.reshape(first.matrix.shape))

    def to_json(self) -> dict[str, JsonValue]:
        """Return what ``calibration.json`` holds."""
        return {
            "calibration": to_json(self.calibration),
            "duration": "duration" in self.sides,
            **({"condition": True} if "condition" in self.sides else {}),
            "threshold": self.threshold,
            "trained_on": self.trained_on,
            "n_target": self.n_target,
            "n_nontarget": self.n_nontarget,
            **{name: getattr(self, name) for name in OPTIONAL if getattr(self, name) is not None},
            **({SCALES_KEY: list(self.scales)} if self.scales else {}),
            **({ERRORS_KEY: to_json(self.errors)} if self.errors else {}),
        }


def calibration_output(
    recipe: Recipe,
    inputs: dict[str, JsonValue],
    labelled: Callable[[], LabelledScores],
    trained_on: str,
    context: StageContext,
    known: ShippedMap | None = None,
    *,
    refused: str = "",
) -> StageOutput:
    """Train the calibration on labelled scores, or find it; `inputs` states what these scores depend on.

    `known` is the map that is known of such scores before these trials, if there is one; `refused` says why there is no
    calibration, where the trials are for the systems' scales alone.
    """
    sections: JsonValue = {"calibration": to_json(recipe.calibration), "decision": to_json(decision_of(recipe))}
    map_inputs: JsonValue = None if known is None else [known.weight, known.offset, known.covariance.tolist()]

    def work(folder: Path, *_: object) -> None:
        """Write the calibration, or why there is none."""
        trials = labelled()
        try:
            if refused:
                raise CorpusError(refused)
            document = train_on(recipe, trials, trained_on, known).to_json()
        except CorpusError as error:
            scales = scales_of(recipe, trials)
            document = {REFUSED: str(error), **({SCALES_KEY: list(scales)} if scales else {})}
        write_json(folder / CALIBRATION_FILE, document)

    return context.output(StageKey("calibration", VERSION, {"config": sections, "map": map_inputs, **inputs}), work)


def load_trained_calibration(folder: Path) -> TrainedCalibration:
    """Read what the stage has written; raise CorpusError, with its reason, if the trials gave no calibration."""
    document = json.loads((folder / CALIBRATION_FILE).read_text(encoding="utf-8"))
    if REFUSED in document:
        raise CorpusError(document[REFUSED])
    rest = {name: document[name] for name in ("trained_on", "n_target", "n_nontarget", "threshold")}
    return TrainedCalibration(
        load_calibration(document["calibration"]),
        **rest,
        scales=load_scales(folder),
        **{name: document.get(name) for name in OPTIONAL},
        errors=DecisionErrors.model_validate(document[ERRORS_KEY]) if ERRORS_KEY in document else None,
        sides=tuple(kind for kind in N_COLUMNS if document.get(kind)),
    )


def decision_of(recipe: Recipe) -> ThresholdConfig:
    """Return how a recipe decides, with the costs of the evaluation's first preset where it gives none."""
    return with_preset_costs(recipe.decision, recipe.evaluation.dcf)


def load_scales(folder: Path) -> tuple[float, ...]:
    """Read what the systems' scores are divided by, also where the trials gave no calibration; nothing: as they are."""
    return tuple(json.loads((folder / CALIBRATION_FILE).read_text(encoding="utf-8")).get(SCALES_KEY, ()))


def scales_of(recipe: Recipe, trials: LabelledScores) -> tuple[float, ...]:
    """Compute the deviation of each system's nontarget scores, if these are to be divided by it."""
    nontarget = trials.scores[~trials.target]
    if not len(nontarget) and trials.others is not None:
        nontarget = trials.others
    if recipe.calibration.systems != "scaled" or not len(nontarget):
        return ()
    deviations = nontarget.std(axis=0)
    return tuple(float(each) if each > 0 else 1.0 for each in deviations)


def divide_by_scales(systems: Sequence[ScoreMatrix], scales: Sequence[float]) -> list[ScoreMatrix]:
    """Divide the scores of each system by its scale, if there are any."""
    if not scales:
        return [*systems]
    return [replace(each, matrix=each.matrix / scale) for each, scale in zip(systems, scales, strict=True)]


def train_on(recipe: Recipe, trials: LabelledScores, trained_on: str, known: ShippedMap | None) -> TrainedCalibration:
    """Train a calibration, and find the threshold of decisions on the same trials; raise CorpusError if they cannot.

    `known` is the shipped map where it holds; ON_OTHER_CORPORA takes that alone, and a threshold that needs no trials.
    """
    scores, target, side, n_speakers, n_folds, others = trials
    if scales := scales_of(recipe, trials):
        scores, others = scores / np.array(scales), None if others is None else others / np.array(scales)
    standard = None if others is None else Standard.of(others)
    if trained_on == ON_OTHER_CORPORA and known is not None:
        return _by_map_alone(recipe, known, standard, scales)
    n_target, n_nontarget = int(target.sum()), int((~target).sum())
    _check_both_kinds(n_target, n_nontarget)
    prior = _prior(recipe, known, standard or Standard.of(scores[~target]))
    learns_alone = recipe.calibration.method == "logistic" and prior is None
    if learns_alone:
        check_overlap(scores[target], scores[~target])
    sides = recipe.calibration.sides
    of_both = (side[target], side[~target]) if sides else None
    calibration = train_calibration(
        scores[target], scores[~target], recipe.calibration.config, side=of_both, prior=prior, n_speakers=n_speakers
    )
    check_direction(calibration)
    llrs = calibration.apply(scores, side if sides else None)
    if learns_alone:  # weights may separate what the sum of the scores does not
        check_overlap(llrs[target, None], llrs[~target, None])
    return TrainedCalibration(
        calibration,
        trained_on,
        n_target,
        n_nontarget,
        find_threshold(llrs[target], llrs[~target], decision_of(recipe)),
        scales,
        n_speakers,
        n_folds,
        "wide" if prior == "wide" else "shipped" if prior else None,
        None if standard is None else (standard.sum_mean, standard.sum_deviation),
        recipe.augment.copies if recipe.augment and recipe.calibrates_on_copies else None,
        count_errors(llrs, target),
        sides,
    )


def _prior(recipe: Recipe, known: ShippedMap | None, standard: Standard | None) -> Prior | None:
    """Return what is known before the trials, given the nontargets of the systems."""
    if recipe.calibration.method != "logistic" or recipe.calibration.prior == "none":
        return None
    return "wide" if known is None or standard is None else known.prior(standard)


def _by_map_alone(
    recipe: Recipe, known: ShippedMap, standard: Standard | None, scales: tuple[float, ...]
) -> TrainedCalibration:
    """Calibrate by what is known before any trial, given the standard of scaled scores."""
    if standard is None:
        raise CorpusError("one enrolled speaker, and no other's recordings to compare with; expected two or more")
    weight, offset = known.prior(standard).mean.tolist()
    of_all = LinearCalibration(weights=(weight,) * len(standard.means), offset=offset)
    threshold, measured = find_threshold((), (), decision_of(recipe)), (standard.sum_mean, standard.sum_deviation)
    return TrainedCalibration(
        of_all, ON_OTHER_CORPORA, 0, 0, threshold, scales, n_speakers=0, prior="shipped", standard=measured
    )


def label_listed_trials(
    scores: Float64Array,
    trials: Sequence[Trial],
    speaker_of: Mapping[str, str],
    sides: Sequence[SideKind],
    store: FeatureStore,
) -> LabelledScores:
    """Label the scores (n, S) of n listed trials; those that some system has no score of (NaN) are left out.

    `speaker_of` names the speaker of each model; `sides` is the side information asked for, of the tests in the store.
    """
    rows = np.flatnonzero(~np.isnan(scores).any(axis=1)).tolist()
    target = np.array([trials[row].target for row in rows], np.bool_)
    n_speakers = len({speaker_of[trials[row].model] for row in rows if trials[row].target})
    side = side_information(sides, store, [trials[row].test for row in rows])
    return LabelledScores(scores[rows], target, side, n_speakers)


def label_all_pairs(
    scores: Sequence[ScoreMatrix], test: Sequence[Utterance], sides: Sequence[SideKind], store: FeatureStore
) -> LabelledScores:
    """Label the scores of all tests against all models, which go by the names of their speakers.

    `sides` is the side information asked for, of the tests in the store.
    """
    speaker = {utterance.id: utterance.speaker for utterance in test}
    target = np.array(scores[0].models)[:, None] == np.array([speaker[name] for name in scores[0].tests])
    side = np.tile(side_information(sides, store, scores[0].tests), (len(target), 1))
    stacked = np.stack([each.matrix.ravel() for each in scores], axis=1)
    return LabelledScores(stacked, target.ravel(), side, int(target.any(axis=1).sum()))


def no_trials(n_systems: int) -> LabelledScores:
    """Return what there is where no trials are known."""
    return LabelledScores(np.empty((0, n_systems)), np.empty(0, np.bool_), np.empty((0, 0)), 0)


def join_trials(parts: Sequence[LabelledScores]) -> LabelledScores:
    """Join the trials of folds, which are of different speakers."""
    scores, target, side = (np.concatenate([part[n] for part in parts]) for n in range(3))
    return LabelledScores(scores, target, side, sum(part.n_speakers for part in parts), len(parts))


def side_information(sides: Sequence[SideKind], store: FeatureStore, tests: Sequence[str]) -> Float64Array:
    """Return the side information of n tests in a store, shape (n, Q); refuse one that was not measured."""
    n_frames = frame_counts(store)
    conditions = {each.utterance: each.condition for each in store.utterances}
    if "condition" in sides and any(conditions[test] is None for test in tests):
        raise CorpusError(
            "calibration.condition: features that an earlier version stored lack the condition of recordings: "
            "--from features measures them"
        )
    return side_columns(sides, [n_frames[test] for test in tests], [conditions[test] for test in tests])


def _check_both_kinds(n_target: int, n_nontarget: int) -> None:
    """Refuse trials of one kind alone."""
    if not (n_target and n_nontarget):
        raise CorpusError(f"{n_target} target and {n_nontarget} nontarget trials have scores; expected some of both")


def check_overlap(target: Float64Array, nontarget: Float64Array) -> None:
    """Refuse trials without an error, which any certainty, however great, would fit: scores (N, S) and (M, S)."""
    if target.sum(axis=1).min() >= nontarget.sum(axis=1).max():
        raise CorpusError(
            f"none of {len(target)} target trials scores below any of {len(nontarget)} nontarget trials: they cannot "
            "tell how sure a score may be"
        )


def check_direction(calibration: Calibration) -> None:
    """Refuse a calibration by which a higher score speaks against the speaker.

    Some weights may be negative where there are several systems, but not their sum.
    """
    if isinstance(calibration, LinearCalibration) and sum(calibration.weights) <= 0:
        shown = ", ".join(f"{weight:g}" for weight in calibration.weights)
        raise CorpusError(f"the weights that the trials taught are {shown}; expected a sum above 0")


def check_list(recipe: Recipe, corpus: Corpus) -> None:
    """Refuse, before anything runs, a calibration list that is not there, or that has speakers of other lists.

    The recipe may allow speakers who are evaluated.
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
    speakers = _speakers(corpus.trials[name], corpus)
    check_disjoint(speakers, _speakers(others, corpus), f"the list {name} and those evaluated")
    background = {utterance.speaker for utterance in corpus.background}
    check_disjoint(speakers, background, f"the list {name} and the background")


def _speakers(trials: Sequence[Trial], corpus: Corpus) -> set[str]:
    """List the speakers of the models and of the tests of trials."""
    speaker = {utterance.id: utterance.speaker for utterance in corpus.test}
    return {corpus.speaker_of[trial.model] for trial in trials} | {speaker[trial.test] for trial in trials}
