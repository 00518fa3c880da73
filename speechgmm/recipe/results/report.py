"""The report of an experiment, from nothing but its folder of results."""

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
from speechgmm.recipe.layout import PLOTS, RECIPE_FILE, REPORT_FILE
from speechgmm.recipe.reading.non_defaults import given_keys, lines_of, settings_of
from speechgmm.recipe.results.figures import figures
from speechgmm.recipe.results.reading import DataRow, Results, open_results


def report_results(folder: Path, out: Path | None = None, *, png: bool = False) -> Path:
    """Write the report of a folder of results: ``report.html`` and ``plots`` in it, or one page elsewhere.

    A run ends with it, and so it can be made anew at any time.

    Parameters
    ----------
    folder : Path
        The folder, as a run leaves it.
    out : Path, optional
        The page, in place of the one in the folder, which is left as it is.
    png : bool
        Whether to write the plots as PNG beside SVG, which takes longer than all else.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ResultsError
        If these are no results, or not all of them.
    OSError
        If a file cannot be written.
    """
    results = open_results(folder)
    drawn = figures(results)
    if out is None:
        for each in drawn:
            each.save(folder / PLOTS, png=png)
    page = out or folder / REPORT_FILE
    write_page(page, render_report(report_content(results, drawn)))
    return page


def report_content(results: Results, drawn: Sequence[NamedFigure]) -> ReportContent:
    """Put the report together.

    Parameters
    ----------
    results : Results
        The experiment.
    drawn : sequence of NamedFigure
        The plots, as `figures` gives them.

    Returns
    -------
    ReportContent
        For `speechgmm.evaluation.report.page.render_report`.
    """
    recipe, decision = results.recipe, results.metrics["decision"]
    given = given_keys(recipe)
    heard = {row.id: TestInfo(row.speaker, row.path, row.seconds) for row in results.data if row.role == "test"}
    return ReportContent(
        title=recipe.name,
        summary=summary(results),
        warnings=tuple(results.provenance["warnings"]),
        trial_lists=results.metrics["trials"],
        confidence=recipe.evaluation.confidence if recipe.evaluation.bootstrap else None,
        decision=f"Threshold {decision['threshold']:+.2f} nats: {decision['meaning']}." if decision else "",
        identification=results.metrics["identification"],
        plots=tuple(each.plot for each in drawn),
        worst=worst_trials(results.trials, heard),
        breakdowns=_breakdowns(results),
        data=_data_roles(results),
        skipped=results.skipped,
        training=tuple(Training(", ".join(of), _iterations(rows)) for of, rows in results.training.items()),
        settings=settings_of(given),
        recipe=(results.folder / RECIPE_FILE).read_text(encoding="utf-8"),
        marked=lines_of(results.folder / RECIPE_FILE, given),
        provenance=_flat(results.provenance),
        stages=tuple(
            StageResult(each["stage"], each["digest"], each["made_at"], each["seconds"], each["peak_memory"])
            for each in results.provenance["stages"]
        ),
    )


def summary(results: Results) -> str:
    """Say in a sentence or two what was done, and how much of it could not be.

    Parameters
    ----------
    results : Results
        The experiment.

    Returns
    -------
    str
        Who was enrolled against what, and how many trials there are.
    """
    recipe, metrics = results.recipe, results.metrics
    n_models, n_trials = metrics["identification"]["n_models"], len(results.trials.models)
    n_heard = len({row.speaker for row in results.data if row.role == "background" and row.seconds is not None})
    sizes = " and ".join(f"{size}" for size in results.sizes)
    if sizes:
        against = f"{'background models' if len(results.sizes) > 1 else 'a background model'} of {sizes} Gaussians"
        text = f"{n_models} speakers enrolled against {against} from {n_heard} speakers; {n_trials:,} trials."
    else:
        cohort = f"{n_heard} speakers of the background" if n_heard else "the other speakers"
        text = f"{n_models} speakers with models of their own, compared with those of {cohort}; {n_trials:,} trials."
    if recipe.systems:
        text += f" The scores are those of {len(recipe.systems)} systems together: "
        text += f"{', '.join(member.name for member in recipe.systems_or_self)}."
    if metrics["calibration"]:
        text += f" Scores are log-likelihood ratios, calibrated on {metrics['calibration']['trained_on']}."
    n_unscored = int(np.count_nonzero(np.isnan(results.trials.llrs)))
    if n_unscored:
        text += f" {n_unscored:,} of the trials have no score, because what they need could not be used."
    return text


def _breakdowns(results: Results) -> tuple[Breakdown, ...]:
    """Compute the numbers of the first list by what is known of its tests: their length, and who speaks."""
    trials, recipe = results.trials, results.recipe
    if not trials.usable():
        return ()
    name = trials.usable()[0]
    chosen = np.logical_or(*trials.scored(name))
    tests = {row.id: row for row in reversed(results.data) if row.role == "test"}  # as the first system heard them
    rows = [tests[trials.tests[number]] for number in np.flatnonzero(chosen)]
    columns = {
        "seconds of the test": binned([f"{row.seconds:g}" for row in rows]),
        "sex of the speaker": [row.sex for row in rows],
    }
    models, speakers = (numbers[chosen] for numbers in trials.speakers)
    config = recipe.evaluation.model_copy(update={"bootstrap": 0})
    found = []
    for column, values in columns.items():
        if len(set(values)) > 1:
            sides = trials.llrs[chosen], trials.target[chosen], (models, speakers)
            parts = breakdown(*sides, values, config, recipe.seed, ranks=trials.ranks[chosen])
            found.append(Breakdown(name, column, parts, tuple(part or "(empty)" for part in too_few(parts))))
    return tuple(found)


def _data_roles(results: Results) -> tuple[DataRole, ...]:
    """Count the data of each role, of each system; seconds are of the utterances that were used."""
    roles = []
    for (system, role), rows in groupby(results.data, key=lambda row: (row.system, row.role)):
        of_role = list(rows)
        used = [row for row in of_role if row.seconds is not None]
        roles.append(
            DataRole(
                f"{role}, {system}" if system else role,
                len({row.speaker for row in of_role}),
                _sexes(of_role),
                len(of_role),
                sum(row.seconds or 0.0 for row in used),
                sum(row.speech_seconds or 0.0 for row in used),
                len(of_role) - len(used),
            )
        )
    return tuple(roles)


def _sexes(rows: Sequence[DataRow]) -> str:
    """Count the speakers of each sex, where the corpus tells."""
    sexes = {row.speaker: row.sex for row in rows if row.sex}
    return ", ".join(f"{list(sexes.values()).count(sex)} {sex}" for sex in sorted(set(sexes.values())))


def _iterations(rows: Sequence[Mapping[str, str]]) -> tuple[TrainingRow, ...]:
    """Lay out a training: what each iteration gained on the one before it, of as many components."""
    counts = {"n_floored": "variances at the floor", "n_starving": "starving", "n_removed": "removed"}
    found: list[TrainingRow] = []
    before: tuple[str, int] | None = None
    for row in rows:
        size, value = int(row["n_components"]), float(row["log_likelihood_per_frame"])
        remarks = ["early, on some of the frames"] if row["early"] == "True" else []
        remarks += [f"{row[key]} {what}" for key, what in counts.items() if row.get(key, "0") != "0"]
        gain = value - found[-1].log_likelihood if before == (row["early"], size) else None
        found.append(TrainingRow(row["number"], size, value, gain, ", ".join(remarks)))
        before = row["early"], size
    return tuple(found)


def _flat(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Give provenance as lines of text; stages and warnings have places of their own."""
    flat = {}
    for key, value in provenance.items():
        if key in ("stages", "warnings"):
            continue
        if isinstance(value, Mapping):
            value = ", ".join(f"{name} {each}" for name, each in value.items())
        flat[key] = str(value)
    return flat
