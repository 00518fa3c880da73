"""The folder of results: models, scores, metrics, what was skipped, plots, report and provenance."""

import csv
import logging
import platform
import shutil
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from speechgmm.corpus.manifest import Corpus
from speechgmm.evaluation.plots import save_svg
from speechgmm.evaluation.report import SkippedItem, write_report
from speechgmm.features.store import FeatureStore
from speechgmm.files import replacing, write_csv, write_json
from speechgmm.gmm.storage import load_gmm
from speechgmm.recipe.cache import StageOutput, versions
from speechgmm.recipe.evaluating import METRICS_FILE, SCORES_FILE, Judged, load_metrics
from speechgmm.recipe.loader import dump_recipe
from speechgmm.recipe.reporting import Outcome, figures, report_content
from speechgmm.recipe.schema import Recipe
from speechgmm.recipe.stages import SIZES_FILE, SPEAKERS_FILE, TRAINING_FILE
from speechgmm.recipe.system import System
from speechgmm.scoring.gallery import CALIBRATION_FILE, COHORT_FILE, UBM_FILE
from speechgmm.scoring.gallery_cohort import Cohort, save_cohort

logger = logging.getLogger(__name__)

SYSTEMS, SEXES = "systems", "sexes"
FILES = (METRICS_FILE, SCORES_FILE, "skipped.csv", "recipe.yaml", "provenance.json", "report.html")
"""What a run writes beside models, training history, plots and log."""


@dataclass(frozen=True, eq=False)
class Finished:
    """An experiment whose stages have run.

    Parameters
    ----------
    corpus : Corpus
        The lists.
    stores : mapping of str to mapping of str to FeatureStore
        The features of each role, of each system by its name.
    systems : tuple of System
        Models and scores, in the order of the recipe's systems; one where it has none.
    judged : Judged
        The scores of the trials.
    calibration : StageOutput or None
        The calibration, if there is one.
    evaluation : StageOutput
        The numbers.
    outputs : tuple of StageOutput
        All stages, in the order in which they ran.
    skipped : tuple of SkippedItem
        What could not be used, and why.
    warnings : tuple of str
        What makes results look better than they are, what in the recipe does nothing, and what could not be done.
    git : str or None
        The commit that the recipe's folder is at.
    """

    corpus: Corpus
    stores: Mapping[str, Mapping[str, FeatureStore]]
    systems: tuple[System, ...]
    judged: Judged
    calibration: StageOutput | None
    evaluation: StageOutput
    outputs: tuple[StageOutput, ...]
    skipped: tuple[SkippedItem, ...]
    warnings: tuple[str, ...]
    git: str | None


def clear_results(folder: Path) -> None:
    """Remove what an earlier run left, so that a folder never shows two runs at once.

    Parameters
    ----------
    folder : Path
        The folder of results; files of other names stay.

    Raises
    ------
    OSError
        If a file cannot be removed.
    """
    for name in (*FILES, UBM_FILE, SPEAKERS_FILE, TRAINING_FILE, SIZES_FILE, CALIBRATION_FILE, COHORT_FILE):
        (folder / name).unlink(missing_ok=True)
    for plot in (folder / "plots").glob("*.svg"):
        plot.unlink()
    for name in (UBM_FILE, SPEAKERS_FILE, TRAINING_FILE, SIZES_FILE):
        for below in (SYSTEMS, SEXES):
            for path in (folder / below).rglob(name):
                path.unlink()


def write_skipped(
    folder: Path,
    corpus: Corpus,
    stores: Mapping[str, Mapping[str, FeatureStore]],
    untrained: Mapping[str, Mapping[str, str]] | None = None,
) -> tuple[SkippedItem, ...]:
    """Write and log what could not be used, as soon as it is known: a later stage may fail because of it.

    Parameters
    ----------
    folder : Path
        The folder of results, for ``skipped.csv``.
    corpus : Corpus
        The lists.
    stores : mapping of str to mapping of str to FeatureStore
        The features of each role, of each system by its name.
    untrained : mapping of str to mapping of str to str, optional
        Speakers whose models could not be trained, and why, likewise.

    Returns
    -------
    tuple of SkippedItem
        Utterances without features, and speakers that are left without a model.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    several = len(stores) > 1
    skipped: tuple[SkippedItem, ...] = ()
    for name, each in stores.items():
        system = name if several else ""
        skipped += _skipped(corpus, each, system)
        without = untrained[name] if untrained else {}
        skipped += tuple(SkippedItem("model", who, "enrol", "", why, system) for who, why in without.items())
    for item in skipped:
        of = f"{item.system}: " if several else ""
        logger.warning("%sskipped %s %s %s: %s", of, item.kind, item.id, item.path, item.reason)
    write_csv(folder / "skipped.csv", ("kind", "id", "role", "path", "reason", "system"), map(astuple, skipped))
    return skipped


def write_results(folder: Path, recipe: Recipe, finished: Finished, *, report: bool = True) -> dict[str, Any]:
    """Write all that an experiment leaves behind.

    Parameters
    ----------
    folder : Path
        Where to write; what is there from an earlier run is replaced, file by file.
    recipe : Recipe
        The experiment.
    finished : Finished
        The outputs of its stages.
    report : bool
        Whether to write the report and its plots too.

    Returns
    -------
    dict
        What ``metrics.json`` holds.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    for member, system in zip(recipe.members, finished.systems, strict=True):
        _copy_models(system, folder / SYSTEMS / member.name if recipe.systems else folder)
    if recipe.normalisation.method != "none":
        _write_cohort(folder / COHORT_FILE, finished)
    if finished.calibration:
        _copy(finished.calibration.folder / CALIBRATION_FILE, folder / CALIBRATION_FILE)
    for name in (METRICS_FILE, SCORES_FILE):
        _copy(finished.evaluation.folder / name, folder / name)
    provenance = _provenance(recipe, finished)
    write_json(folder / "provenance.json", provenance)
    resolved = dump_recipe(recipe)
    with replacing(folder / "recipe.yaml") as temporary:
        temporary.write_text(resolved, encoding="utf-8")
    metrics = load_metrics(finished.evaluation.folder)
    if report:
        _write_report(folder, recipe, finished, metrics, provenance)
    return metrics


def _write_report(
    folder: Path, recipe: Recipe, finished: Finished, metrics: Mapping[str, Any], provenance: Mapping[str, Any]
) -> None:
    """Draw the plots, and write the report."""
    ubms = {
        (*([member.name] if recipe.systems else []), *([models.sex] if models.sex else [])): models.ubm.folder
        for member, system in zip(recipe.members, finished.systems, strict=True)
        for models in system.models
        if models.ubm
    }
    histories = {of: _training(ubm) for of, ubm in ubms.items()}
    sizes = tuple(load_gmm(ubm / UBM_FILE).n_components for ubm in ubms.values())
    judged = finished.judged
    outcome = Outcome(
        finished.corpus, finished.stores, judged.llrs, judged.ranks, metrics, finished.skipped, histories, sizes
    )
    drawn = figures(outcome, recipe.evaluation)
    for each in drawn:
        save_svg(each.figure, folder / "plots" / f"{each.name}.svg")
    write_report(folder / "report.html", report_content(recipe, outcome, drawn, finished.outputs, provenance))


def _skipped(corpus: Corpus, stores: Mapping[str, FeatureStore], system: str) -> tuple[SkippedItem, ...]:
    """List a system's utterances without features, and the speakers that are left without a model."""
    items = []
    for role, store in stores.items():
        paths = {utterance.id: utterance.path for utterance in corpus.role(role)}
        items += [
            SkippedItem("utterance", each.utterance, role, paths[each.utterance], each.reason, system)
            for each in store.unusable
        ]
    enrolled = {utterance.enrols for utterance in corpus.enrol if utterance.id in stores["enrol"]}
    items += [
        SkippedItem("model", model, "enrol", "", "none of its enrolment utterances could be used", system)
        for model in corpus.models
        if model not in enrolled
    ]
    return tuple(items)


def _copy_models(system: System, folder: Path) -> None:
    """Copy models, and how the background models came about; those of each sex into a folder of their own."""
    for models in system.models:
        target = folder / SEXES / models.sex if models.sex else folder
        _copy(models.speakers.folder / SPEAKERS_FILE, target / SPEAKERS_FILE)
        for name in (UBM_FILE, TRAINING_FILE, SIZES_FILE):
            if models.ubm and (models.ubm.folder / name).is_file():
                _copy(models.ubm.folder / name, target / name)


def _write_cohort(path: Path, finished: Finished) -> None:
    """Write the speakers that scores are normalised by, for galleries to normalise theirs likewise."""
    (stores,) = finished.stores.values()  # of a fusion, each system has a normalisation of its own
    store = stores["background"]
    used = [utterance for utterance in finished.corpus.background if utterance.id in store]
    frames = tuple(store.frames(utterance.id) for utterance in used)
    save_cohort(path, Cohort(tuple(utterance.speaker for utterance in used), frames), store.front_end)


def _training(folder: Path) -> tuple[float, ...]:
    """Read the log-likelihood per frame of each EM iteration over all frames."""
    with (folder / TRAINING_FILE).open(newline="") as stream:
        rows = csv.DictReader(stream)
        return tuple(float(row["log_likelihood_per_frame"]) for row in rows if row["early"] == "False")


def _provenance(recipe: Recipe, finished: Finished) -> dict[str, Any]:
    """Collect what one needs to know to do it again."""
    return {
        "platform": platform.platform(),
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": finished.git,
        "seed": recipe.seed,
        "warnings": list(finished.warnings),
        "stages": [
            {
                "stage": output.title,
                "digest": output.digest,
                **{name: output.made[name] for name in ("made_at", "seconds", "peak_memory", "made_by")},
            }
            for output in finished.outputs
        ],
    }


def _copy(source: Path, target: Path) -> None:
    """Copy a file into place."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
