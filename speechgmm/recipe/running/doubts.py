"""What is doubtful about a run: sentences for its warnings, about its models, its calibration and its numbers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from speechgmm.evaluation.breakdown import FEWEST, too_few
from speechgmm.evaluation.report.content import SkippedItem
from speechgmm.evaluation.summary import ListMetrics, costs_above_one
from speechgmm.recipe.graph.system import System
from speechgmm.recipe.layout import ON_BACKGROUND
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.wording import first_few

FEWEST_SPEAKERS = 20
"""Fewest speakers of the background for a calibration on it that holds for other speakers."""

LOSS_BY_CALIBRATION = 0.005
"""Bits by which Cllr may rise through calibration before it is a doubt."""


def without_model(skipped: Sequence[SkippedItem]) -> tuple[str, ...]:
    """Name the models that could not be made: users may not look for them in a list of what was skipped."""
    names = list(dict.fromkeys(item.id for item in skipped if item.kind == "model"))
    return (f"models that could not be made, so that their trials have no score: {first_few(names)}",) if names else ()


def doubtful_models(recipe: Recipe, systems: Sequence[System]) -> tuple[str, ...]:
    """List what is doubtful about the factors and back ends of systems."""
    named = zip(recipe.systems_or_self, systems, strict=True)
    label = "{}: {}" if recipe.systems else "{1}"
    return tuple(label.format(config.name, warning) for config, system in named for warning in system.warnings)


def few_speakers(trained_on: str, n_speakers: int | None) -> tuple[str, ...]:
    """Warn of a calibration on trials of few of the background's speakers; without trials, another warning says so."""
    if trained_on != ON_BACKGROUND or n_speakers is None or n_speakers >= FEWEST_SPEAKERS:
        return ()
    return (
        f"calibrated on {n_speakers} background speakers, fewer than {FEWEST_SPEAKERS}: log-likelihood ratios and "
        "threshold may be far off for other speakers; add background speakers, or calibrate on a trial list "
        "(calibration.on)",
    )


def doubtful_numbers(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """List the doubts that ``metrics.json`` raises: calibrations that do harm, and lists of few trials."""
    lists: Mapping[str, ListMetrics] = metrics["trials"]
    few = too_few(lists)
    too_short = f"fewer than {FEWEST} target or nontarget trials with scores, too few to say much, in the list "
    harm = [doubt for name, numbers in lists.items() for doubt in _harm_by_calibration(name, numbers)]
    return (*harm, *([too_short + first_few(few)] if few else ()))


def _harm_by_calibration(name: str, numbers: ListMetrics) -> Iterator[str]:
    """Say where calibrated scores of a list are worse than before, or than no scores; nothing without a calibration."""
    if "cllr_uncalibrated" not in numbers:
        return
    after, before = numbers["cllr"], numbers["cllr_uncalibrated"]
    cure = "calibrate on trials like those of this list (calibration.on)"
    if after is not None and round(after, 3) > 1:
        yield f"{name}: Cllr is {after:.3f} after calibration, above 1: the log-likelihood ratios mislead; {cure}"
    elif after is not None and before is not None and after - before > LOSS_BY_CALIBRATION:
        yield (
            f"{name}: Cllr is {after:.3f} after calibration and {before:.3f} before it: calibration makes these scores "
            f"worse; {cure}, or leave it out (calibration.method none)"
        )
    if costly := costs_above_one(numbers):
        yield f"{name}: {costly}: such decisions are worse than without scores; do not decide at these costs, or {cure}"
