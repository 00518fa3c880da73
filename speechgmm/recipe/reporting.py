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
from speechgmm.recipe.stages import Scores

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
    stores : mapping of str to FeatureStore
        The features of each role.
    scores : Scores
        The scores that there are.
    metrics : dict
        What ``metrics.json`` holds.
    skipped : tuple of SkippedItem
        What was not used, and why.
    training : tuple of float, nats
        Log-likelihood per frame of each EM iteration.
    sizes : tuple of int
        Components of each system's background model.
    """

    corpus: Corpus
    stores: Mapping[str, FeatureStore]
    scores: Scores
    metrics: Mapping[str, Any]
    skipped: tuple[SkippedItem, ...]
    training: tuple[float, ...]
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
        ``det`` and ``scores`` (of lists in which both kinds of trial have scores) and ``training`` (of a background
        model).
    """
    sides = {name: _sides(trials, outcome.scores) for name, trials in outcome.corpus.trials.items()}
    usable = {name: pair for name, pair in sides.items() if min(map(len, pair)) > 0}
    drawn = []
    if usable:
        first, pair = next(iter(usable.items()))
        det = plots.det_figure(usable, config.dcf)
        drawn.append(Drawn("det", "Detection error trade-off", plots.DET_CAPTION, det))
        drawn.append(Drawn("scores", f"Scores of {first}", plots.HISTOGRAM_CAPTION, plots.histogram_figure(*pair)))
    if outcome.training:
        training = plots.training_figure(outcome.training)
        drawn.append(Drawn("training", "Training of the background model", plots.TRAINING_CAPTION, training))
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
    identification = outcome.metrics["identification"]
    return ReportContent(
        title=recipe.name,
        summary=_summary(recipe, outcome),
        costs={name: PRESETS[name] for name in recipe.evaluation.dcf},
        trial_lists=tuple(_trial_list(name, trials, outcome) for name, trials in corpus.trials.items()),
        identification=IdentificationResult(
            identification["n_tests"],
            identification["n_models"],
            _or_reason(identification["rate"], "no test of an enrolled speaker has scores"),
        ),
        plots=tuple(Plot(each.title, each.caption, plots.svg_text(each.figure)) for each in drawn),
        data=tuple(_data_role(role, outcome) for role in outcome.stores),
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
    heard = {each.speaker for each in corpus.background if each.id in outcome.stores["background"]}
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
    numbers = outcome.metrics["trials"][name]
    paths = {utterance.id: utterance.path for utterance in outcome.corpus.test}
    values = outcome.scores.of(trials)
    ranked = [number for number in np.argsort(values, kind="stable") if not np.isnan(values[number])]
    lowest = [number for number in ranked if trials[number].target][:N_WORST]
    highest = [number for number in reversed(ranked) if not trials[number].target][:N_WORST]

    def worst(chosen: Sequence[int]) -> tuple[WorstTrial, ...]:
        """Add scores and files to trials."""
        return tuple(
            WorstTrial(trials[each].model, trials[each].test, float(values[each]), paths[trials[each].test])
            for each in chosen
        )

    return TrialListResult(
        name,
        numbers["n_target"],
        numbers["n_nontarget"],
        numbers["n_unscored"],
        _or_reason(numbers["eer"], NO_SCORES),
        {preset: _or_reason(value, NO_SCORES) for preset, value in numbers["min_dcf"].items()},
        _or_reason(numbers["cllr"], NO_SCORES),
        _or_reason(numbers["min_cllr"], NO_SCORES),
        worst(lowest),
        worst(highest),
    )


def _or_reason(value: float | None, reason: str) -> float | str:
    """Give a number, or why there is none."""
    return reason if value is None else value


def _data_role(role: str, outcome: Outcome) -> DataRole:
    """Count the data of a role; minutes are of the utterances that were used."""
    utterances = outcome.corpus.role(role)
    store = outcome.stores[role]
    return DataRole(
        role,
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
