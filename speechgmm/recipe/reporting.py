"""What the report of an experiment says and shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from speechgmm.arrays import Float64Array
from speechgmm.corpus.manifest import Corpus, Trial
from speechgmm.evaluation import plots
from speechgmm.evaluation.metrics import PRESETS
from speechgmm.evaluation.report import (
    DataRole,
    DecidedResult,
    IdentificationResult,
    Plot,
    ReportContent,
    SkippedItem,
    StageResult,
    TrialListResult,
    WorstTrial,
)
from speechgmm.evaluation.summary import EvaluationConfig
from speechgmm.features.store import FeatureStore
from speechgmm.recipe.cache import StageOutput
from speechgmm.recipe.loader import dump_recipe
from speechgmm.recipe.schema import Recipe
from speechgmm.recipe.scored import Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

N_WORST = 10
"""Trials of each kind that the report names, to listen to."""

NO_SCORES = "needs scored trials of both kinds"


@dataclass(frozen=True)
class Outcome:
    """What came out of an experiment.

    Parameters
    ----------
    corpus : Corpus
        The lists.
    stores : mapping of str to mapping of str to FeatureStore
        The features of each role, of each system by its name.
    scores : Scores
        The scores that there are, calibrated if they could be.
    ranks : Scores
        Those that order the trials.
    metrics : dict
        What ``metrics.json`` holds.
    skipped : tuple of SkippedItem
        What was not used, and why.
    histories : mapping of tuple of str to tuple of float, nats
        Log-likelihood per frame of each EM iteration of the background models, by the system and the sex that they are
        of, where there are several.
    sizes : tuple of int
        Components of each system's background model.
    """

    corpus: Corpus
    stores: Mapping[str, Mapping[str, FeatureStore]]
    scores: Scores
    ranks: Scores
    metrics: Mapping[str, Any]
    skipped: tuple[SkippedItem, ...]
    histories: Mapping[tuple[str, ...], tuple[float, ...]]
    sizes: tuple[int, ...]


class Drawn(NamedTuple):
    """A plot: the name of its file, and a title and a caption for the report."""

    name: str
    title: str
    caption: str
    figure: "Figure"


def figures(outcome: Outcome, config: EvaluationConfig) -> tuple[Drawn, ...]:
    """Draw the plots of an experiment.

    Parameters
    ----------
    outcome : Outcome
        What to show.
    config : EvaluationConfig
        Which detection costs the DET plot marks.

    Returns
    -------
    tuple of Drawn
        ``det`` and ``scores`` (of lists in which both kinds of trial have scores) and ``training`` of each background
        model, with the system and the sex that it is of.
    """
    ranked = {name: _sides(trials, outcome.ranks) for name, trials in outcome.corpus.trials.items()}
    usable = {name: pair for name, pair in ranked.items() if min(map(len, pair)) > 0}
    drawn = []
    if usable:
        first = next(iter(usable))
        det = plots.det_figure(usable, config.dcf)
        histogram = plots.histogram_figure(*_sides(outcome.corpus.trials[first], outcome.scores))
        drawn.append(Drawn("det", "Detection error trade-off", plots.DET_CAPTION, det))
        drawn.append(Drawn("scores", f"Scores of {first}", plots.HISTOGRAM_CAPTION, histogram))
    for of, history in outcome.histories.items():
        name, title = "-".join(("training", *of)), ", ".join(("Training of the background model", *of))
        drawn.append(Drawn(name, title, plots.TRAINING_CAPTION, plots.training_figure(history)))
    return tuple(drawn)


def report_content(
    recipe: Recipe,
    outcome: Outcome,
    drawn: Sequence[Drawn],
    outputs: Sequence[StageOutput],
    provenance: Mapping[str, Any],
) -> ReportContent:
    """Put the report together.

    Parameters
    ----------
    recipe : Recipe
        The experiment.
    outcome : Outcome
        What came out of it.
    drawn : sequence of Drawn
        The plots, as `figures` gives them.
    outputs : sequence of StageOutput
        The stages.
    provenance : dict
        What ``provenance.json`` holds.

    Returns
    -------
    ReportContent
        For `speechgmm.evaluation.report.write_report`.
    """
    corpus = outcome.corpus
    identification, decision = outcome.metrics["identification"], outcome.metrics["decision"]
    return ReportContent(
        title=recipe.name,
        summary=_summary(recipe, outcome),
        costs={name: PRESETS[name] for name in recipe.evaluation.dcf},
        trial_lists=tuple(_trial_list(name, trials, outcome) for name, trials in corpus.trials.items()),
        decision=f"Threshold {decision['threshold']:+.2f} nats: {decision['meaning']}." if decision else "",
        identification=IdentificationResult(
            identification["n_tests"],
            identification["n_models"],
            _or_reason(identification["rate"], "no test of an enrolled speaker has scores"),
        ),
        plots=tuple(Plot(each.title, each.caption, plots.svg_text(each.figure)) for each in drawn),
        data=tuple(
            _data_role(role, f", {system}" if recipe.systems else "", outcome.corpus, store)
            for system, stores in outcome.stores.items()
            for role, store in stores.items()
        ),
        skipped=outcome.skipped,
        recipe=dump_recipe(recipe),
        provenance=_flat(provenance),
        stages=tuple(
            StageResult(each.title, each.digest, each.made["made_at"], each.made["seconds"], each.made["peak_memory"])
            for each in outputs
        ),
    )


def _summary(recipe: Recipe, outcome: Outcome) -> str:
    """Say in a sentence or two what was done, and how much of it could not be."""
    corpus = outcome.corpus
    models, trials = len(outcome.scores.models), len(corpus.distinct_trials)
    backgrounds = [stores["background"] for stores in outcome.stores.values()]
    heard = {each.speaker for each in corpus.background if any(each.id in store for store in backgrounds)}
    sizes = " and ".join(f"{size}" for size in outcome.sizes)
    if sizes:
        against = f"{'background models' if len(outcome.sizes) > 1 else 'a background model'} of {sizes} Gaussians"
        text = f"{models} speakers enrolled against {against} from {len(heard)} speakers; {trials:,} trials."
    else:
        cohort = f"{len(heard)} speakers of the background" if heard else "the other speakers"
        text = f"{models} speakers with models of their own, compared with those of {cohort}; {trials:,} trials."
    if recipe.systems:
        text += f" The scores are those of {len(recipe.systems)} systems together: "
        text += f"{', '.join(member.name for member in recipe.members)}."
    n_unscored = int(np.isnan(outcome.scores.of(corpus.distinct_trials)).sum())
    facts = outcome.metrics["calibration"]
    if facts:
        text += f" Scores are log-likelihood ratios, calibrated on {facts['trained_on']}."
    if n_unscored:
        text += f" {n_unscored:,} of the trials have no score, because what they need could not be used."
    return text


def _sides(trials: Sequence[Trial], scores: Scores) -> tuple[Float64Array, Float64Array]:
    """Give the scores that there are, of target and of nontarget trials."""
    values = scores.of(trials)
    target = np.array([trial.target for trial in trials], np.bool_)
    scored = ~np.isnan(values)
    return values[scored & target], values[scored & ~target]


def _trial_list(name: str, trials: Sequence[Trial], outcome: Outcome) -> TrialListResult:
    """Give the numbers and the worst trials of one list."""
    numbers, decision = outcome.metrics["trials"][name], outcome.metrics["decision"]
    paths = {utterance.id: utterance.path for utterance in outcome.corpus.test}
    values = outcome.scores.of(trials)
    ranked = [number for number in np.argsort(outcome.ranks.of(trials), kind="stable") if not np.isnan(values[number])]
    lowest = [number for number in ranked if trials[number].target][:N_WORST]
    highest = [number for number in reversed(ranked) if not trials[number].target][:N_WORST]

    def worst(chosen: Sequence[int]) -> tuple[WorstTrial, ...]:
        """Add scores and files to trials."""
        return tuple(
            WorstTrial(trials[each].model, trials[each].test, float(values[each]), paths[trials[each].test])
            for each in chosen
        )

    def measured(key: str) -> float | str:
        """Give a number, or why there is none."""
        return _or_reason(numbers[key], NO_SCORES)

    def by_costs(key: str) -> dict[str, float | str]:
        """Give the numbers of all costs likewise."""
        return {preset: _or_reason(value, NO_SCORES) for preset, value in numbers[key].items()}

    return TrialListResult(
        name=name,
        n_target=numbers["n_target"],
        n_nontarget=numbers["n_nontarget"],
        n_unscored=numbers["n_unscored"],
        eer=measured("eer"),
        min_dcf=by_costs("min_dcf"),
        act_dcf=by_costs("act_dcf"),
        cllr=measured("cllr"),
        min_cllr=measured("min_cllr"),
        decided=DecidedResult(*map(measured, ("cllr_uncalibrated", "p_miss", "p_fa"))) if decision else None,
        trains_calibration=numbers.get("trains_calibration", False),
        lowest_targets=worst(lowest),
        highest_nontargets=worst(highest),
    )


def _or_reason(value: float | None, reason: str) -> float | str:
    """Give a number, or why there is none."""
    return reason if value is None else value


def _data_role(role: str, of: str, corpus: Corpus, store: FeatureStore) -> DataRole:
    """Count the data of a role; minutes are of the utterances that were used."""
    utterances = corpus.role(role)
    return DataRole(
        f"{role}{of}",
        len({utterance.speaker for utterance in utterances}),
        len(utterances),
        sum(stored.seconds for stored in store.utterances) / 60,
        sum(stored.speech_seconds for stored in store.utterances) / 60,
        len(store.unusable),
    )


def _flat(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Give provenance as lines of text; the stages have a table of their own."""
    flat = {}
    for key, value in provenance.items():
        if key == "stages":
            continue
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {each}" for name, each in value.items())
        elif isinstance(value, list):
            value = "; ".join(value) or "none"
        flat[key] = str(value)
    return flat
