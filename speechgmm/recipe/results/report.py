"""The report of an experiment, from its results folder alone."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from speechgmm.evaluation.breakdown import binned, breakdown, too_few
from speechgmm.evaluation.report.content import (
    Breakdown,
    DataRole,
    ReportContent,
    StageResult,
    Training,
    TrainingRow,
)
from speechgmm.evaluation.report.figures import NamedFigure
from speechgmm.evaluation.report.page import render_report, write_page
from speechgmm.evaluation.report.trials import TestInfo, worst_trials
from speechgmm.evaluation.summary import without_costs
from speechgmm.recipe.layout import (
    EARLIER_ON_BACKGROUND,
    ON_BACKGROUND,
    ON_OTHER_CORPORA,
    PLOTS,
    RECIPE_FILE,
    REPORT_FILE,
)
from speechgmm.recipe.reading.non_defaults import lines_of, non_default_keys, non_default_settings
from speechgmm.recipe.results.figures import draw_figures
from speechgmm.recipe.results.reading import DataRow, Results, open_results
from speechgmm.recipe.schema.recipe import Recipe


def report_results(folder: Path, out: Path | None = None, *, png: bool = False) -> Path:
    """Write the report of an experiment, and return the path of its page.

    Writes ``report.html`` and ``plots`` into the results folder, or only the page elsewhere if `out` names one. With
    `png` the plots are written as PNG beside SVG, which takes longer than all else. Raises ResultsError as
    `open_results` does, and OSError if a file cannot be written.
    """
    results = open_results(folder)
    figures = draw_figures(results)
    if out is None:
        for figure in figures:
            figure.save(folder / PLOTS, png=png)
    page = out or folder / REPORT_FILE
    write_page(page, render_report(report_content(results, figures)))
    return page


def report_content(results: Results, figures: Sequence[NamedFigure]) -> ReportContent:
    """Collect everything that the report shows, with the figures of `draw_figures`."""
    recipe, decision = results.recipe, results.metrics["decision"]
    settings = non_default_keys(recipe)
    tests = {row.id: TestInfo(row.speaker, row.path, row.seconds) for row in results.data if row.role == "test"}
    return ReportContent(
        title=recipe.name,
        summary=summary(results),
        warnings=tuple(results.provenance["warnings"]),
        trial_lists=results.metrics["trials"],
        confidence=recipe.evaluation.confidence if recipe.evaluation.bootstrap else None,
        decision=f"Threshold {decision['threshold']:+.2f} nats: {decision['meaning']}." if decision else "",
        identification=results.metrics["identification"],
        plots=tuple(figure.plot for figure in figures),
        worst=worst_trials(results.trials, tests),
        breakdowns=_breakdowns(results),
        data=_data_roles(results),
        skipped=results.skipped,
        training=tuple(Training(", ".join(labels), _training_rows(rows)) for labels, rows in results.training.items()),
        settings=non_default_settings(settings),
        recipe=(results.folder / RECIPE_FILE).read_text(encoding="utf-8"),
        marked=lines_of(results.folder / RECIPE_FILE, settings),
        provenance=_provenance_lines(results.provenance),
        stages=tuple(
            StageResult(stage["stage"], stage["digest"], stage["made_at"], stage["seconds"], stage["peak_memory"])
            for stage in results.provenance["stages"]
        ),
    )


def summary(results: Results) -> str:
    """Summarise an experiment in a few sentences: speakers, models, trials, and how many trials have no score."""
    recipe, metrics = results.recipe, results.metrics
    n_models, n_trials = metrics["identification"]["n_models"], len(results.trials.models)
    n_background = len({row.speaker for row in results.data if row.role == "background" and row.seconds is not None})
    sizes = " and ".join(f"{size}" for size in dict.fromkeys(results.sizes))
    if sizes:
        against = f"{'background models' if len(results.sizes) > 1 else 'a background model'} of {sizes} Gaussians"
        origin = _origin_of_backgrounds(recipe, n_background)
        text = f"{n_models} speakers enrolled against {against} {origin}; {n_trials:,} trials."
    else:
        cohort = f"{n_background} speakers of the background" if n_background else "the other speakers"
        text = f"{n_models} speakers with models of their own, compared with those of {cohort}; {n_trials:,} trials."
    if recipe.vectors is not None:
        kind = "supervectors" if recipe.vectors.kind == "supervector" else "i-vectors"
        backend = ", ".join(step.step for step in recipe.backend) or "the pretrained back end"
        text += f" Recordings are {kind}, compared by {backend}."
    if recipe.systems:
        names = ", ".join(system.name for system in recipe.systems)
        text += f" The scores are fused from {len(recipe.systems)} systems: {names}."
    if recipe.augment:
        text += f" Augmentation: {recipe.copies_in_words}."
    if metrics["calibration"]:
        text += f" Scores are log-likelihood ratios, {calibration_phrase(metrics['calibration'])}."
        if errors := metrics["decision"].get("errors"):  # which results of earlier versions do not have
            text += f" Decisions: {errors}."
    n_unscored = int(np.count_nonzero(np.isnan(results.trials.llrs)))
    if n_unscored:
        text += f" {n_unscored:,} of the trials have no score, because what they need could not be used."
    return text


def _origin_of_backgrounds(recipe: Recipe, n_background: int) -> str:
    """Say where background models are from: the speakers of the background, or pretrained models."""
    systems = [system for system in recipe.systems_or_self if system.speakers.method != "independent"]
    pretrained = dict.fromkeys(system.ubm.pretrained for system in systems if system.ubm.pretrained)
    learns = any(system.ubm.pretrained is None or system.ubm.adapt is not None for system in systems)
    origins = [f"from {n_background} speakers"] if learns else []
    origins += [f"that came pretrained ({', '.join(pretrained)})"] if pretrained else []
    return " and ".join(origins)


def calibration_phrase(calibration: Mapping[str, Any]) -> str:
    """Return how scores were calibrated, in words, from the section ``calibration`` of ``metrics.json``."""
    trained_on = calibration["trained_on"]
    if trained_on == EARLIER_ON_BACKGROUND:
        return "calibrated by 2-fold cross-validation on the background speakers"
    if trained_on == ON_OTHER_CORPORA:
        return "calibrated by the map that comes with speechgmm alone"
    if trained_on == ON_BACKGROUND:
        how = f"by {calibration['folds']}-fold cross-validation on {calibration['n_speakers']} background speakers"
    else:
        how = f"on {trained_on}"
    copies = calibration.get("copies")
    tests = f", with up to {copies} augmented {'copies' if copies > 1 else 'copy'} of each test" if copies else ""
    start = ", from the map that comes with speechgmm" if calibration.get("prior") == "shipped" else ""
    return f"calibrated {how}{tests}{start}"


def _breakdowns(results: Results) -> tuple[Breakdown, ...]:
    """Compute the metrics of the first list separately by the length of the test and the sex of its speaker."""
    trials, recipe = results.trials, results.recipe
    if not trials.usable():
        return ()
    name = trials.usable()[0]
    chosen = np.logical_or(*trials.scored(name))
    tests = {row.id: row for row in reversed(results.data) if row.role == "test"}  # of the first system
    rows = [tests[trials.tests[number]] for number in np.flatnonzero(chosen)]
    columns = {
        "seconds of the test": binned([f"{row.seconds:g}" for row in rows]),
        "sex of the speaker": [row.sex for row in rows],
    }
    models, speakers = (numbers[chosen] for numbers in trials.speakers)
    config = recipe.evaluation.model_copy(update={"bootstrap": 0})
    breakdowns = []
    for column, values in columns.items():
        if len(set(values)) > 1:
            sides = trials.llrs[chosen], trials.target[chosen], (models, speakers)
            parts = breakdown(*sides, values, config, recipe.seed, ranks=trials.ranks[chosen])
            if not results.are_llrs:
                parts = {part: without_costs(metrics) for part, metrics in parts.items()}
            breakdowns.append(Breakdown(name, column, parts, tuple(part or "(empty)" for part in too_few(parts))))
    return tuple(breakdowns)


def _data_roles(results: Results) -> tuple[DataRole, ...]:
    """Count the data of each role of each system; seconds are those of the utterances that were used."""
    roles = []
    for (system, role), rows in groupby(results.data, key=lambda row: (row.system, row.role)):
        role_rows = list(rows)
        used = [row for row in role_rows if row.seconds is not None]
        roles.append(
            DataRole(
                f"{role}, {system}" if system else role,
                len({row.speaker for row in role_rows}),
                _count_sexes(role_rows),
                len(role_rows),
                sum(row.seconds or 0.0 for row in used),
                sum(row.speech_seconds or 0.0 for row in used),
                len(role_rows) - len(used),
            )
        )
    return tuple(roles)


def _count_sexes(rows: Sequence[DataRow]) -> str:
    """Count the speakers of each sex, in words; speakers whose sex is not known are left out."""
    sexes = {row.speaker: row.sex for row in rows if row.sex}
    return ", ".join(f"{list(sexes.values()).count(sex)} {sex}" for sex in sorted(set(sexes.values())))


def _training_rows(rows: Sequence[Mapping[str, str]]) -> tuple[TrainingRow, ...]:
    """Return the iterations of a training, each with its gain over the one before if that had as many components."""
    counts = {"n_floored": "variances at the floor", "n_starving": "starving", "n_removed": "removed"}
    iterations: list[TrainingRow] = []
    before: tuple[str, int] | None = None
    for row in rows:
        size, value = int(row["n_components"]), float(row["log_likelihood_per_frame"])
        remarks = ["early, on some of the frames"] if row["early"] == "True" else []
        remarks += [f"{row[key]} {what}" for key, what in counts.items() if row.get(key, "0") != "0"]
        gain = value - iterations[-1].log_likelihood if before == (row["early"], size) else None
        iterations.append(TrainingRow(row["number"], size, value, gain, ", ".join(remarks)))
        before = row["early"], size
    return tuple(iterations)


def _provenance_lines(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Format provenance as lines of text, but for stages and warnings, which the page shows elsewhere."""
    lines = {}
    for key, value in provenance.items():
        if key in ("stages", "warnings"):
            continue
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {item}" for name, item in value.items())
        lines[key] = str(value)
    return lines
