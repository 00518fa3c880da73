"""The folder of results: models, scores, metrics, what was skipped, plots, report and provenance."""

import logging
import platform
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from speechgmm.corpus.manifest import Corpus
from speechgmm.evaluation.identification import answers
from speechgmm.evaluation.report.content import SkippedItem
from speechgmm.features.store.store import FeatureStore
from speechgmm.files import WRITING, replacing, write_csv, write_json
from speechgmm.gallery.cohort import Cohort, save_cohort
from speechgmm.gallery.layout import CALIBRATION_FILE, COHORT_FILE, UBM_FILE
from speechgmm.recipe.cache.outputs import StageOutput
from speechgmm.recipe.graph.system import System
from speechgmm.recipe.reading.loader import dump_recipe
from speechgmm.recipe.results.reading import (
    CONFUSION_COLUMNS,
    CONFUSION_FILE,
    DATA_COLUMNS,
    DATA_FILE,
    PROVENANCE_FILE,
    RECIPE_FILE,
    SEXES,
    SKIPPED_COLUMNS,
    SKIPPED_FILE,
    SYSTEMS,
)
from speechgmm.recipe.results.report import PLOTS, REPORT_FILE, report_results
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.evaluation import METRICS_FILE, SCORES_FILE, FinalScores, load_metrics
from speechgmm.recipe.stages.scores import ScoreMatrix
from speechgmm.recipe.stages.ubm import SIZES_FILE, SPEAKERS_FILE, TRAINING_FILE
from speechgmm.version import versions

logger = logging.getLogger(__name__)

FILES = (METRICS_FILE, SCORES_FILE, DATA_FILE, CONFUSION_FILE, SKIPPED_FILE, RECIPE_FILE, PROVENANCE_FILE, REPORT_FILE)
"""What a run writes beside models, training history, plots and log."""


@dataclass(frozen=True, eq=False)
class ExperimentOutputs:
    """An experiment whose stages have run.

    Parameters
    ----------
    corpus : Corpus
        The lists.
    stores : mapping of str to mapping of str to FeatureStore
        The features of each role, of each system by its name.
    systems : tuple of System
        Models and scores, in the order of the recipe's systems; one where it has none.
    judged : FinalScores
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
    final: FinalScores
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
    for suffix in ("svg", "png"):
        for plot in (folder / PLOTS).glob(f"*.{suffix}"):
            plot.unlink()
    for name in (UBM_FILE, SPEAKERS_FILE, TRAINING_FILE, SIZES_FILE):
        for below in (SYSTEMS, SEXES):
            for path in (folder / below).rglob(name):
                path.unlink()
    for half in folder.rglob(f"{WRITING}*"):  # of a run that was killed: nobody else writes here now
        if half.is_file():
            half.unlink()


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
    write_csv(folder / SKIPPED_FILE, SKIPPED_COLUMNS, map(astuple, skipped))
    return skipped


def write_results(folder: Path, recipe: Recipe, outputs: ExperimentOutputs, *, report: bool = True) -> dict[str, Any]:
    """Write all that an experiment leaves behind.

    Parameters
    ----------
    folder : Path
        Where to write; what is there from an earlier run is replaced, file by file.
    recipe : Recipe
        The experiment.
    finished : ExperimentOutputs
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
    for member, system in zip(recipe.systems_or_self, outputs.systems, strict=True):
        _copy_models(system, folder / SYSTEMS / member.name if recipe.systems else folder)
    if recipe.normalisation.method != "none":
        _write_cohort(folder / COHORT_FILE, outputs)
    if outputs.calibration:
        _copy(outputs.calibration.folder / CALIBRATION_FILE, folder / CALIBRATION_FILE)
    for name in (METRICS_FILE, SCORES_FILE):
        _copy(outputs.evaluation.folder / name, folder / name)
    _write_data(folder / DATA_FILE, outputs, several=bool(recipe.systems))
    _write_confusion(folder / CONFUSION_FILE, outputs.corpus, outputs.final.ranks)
    write_json(folder / PROVENANCE_FILE, _provenance(recipe, outputs))
    resolved = dump_recipe(recipe)
    with replacing(folder / RECIPE_FILE) as temporary:
        temporary.write_text(resolved, encoding="utf-8")
    if report:
        report_results(folder)
    return load_metrics(outputs.evaluation.folder)


def _write_data(path: Path, outputs: ExperimentOutputs, *, several: bool) -> None:
    """Write what each system heard of each utterance: without seconds, if it could not be used."""
    rows = []
    for system, stores in outputs.stores.items():
        for role, store in stores.items():
            stored = {each.utterance: each for each in store.utterances}
            for each in outputs.corpus.role(role):
                model = each.enrols if role == "enrol" else ""
                used = stored.get(each.id)
                lengths = (repr(used.seconds), repr(used.speech_seconds)) if used else ("", "")
                of = system if several else ""
                rows.append((of, role, each.id, each.speaker, model, each.sex or "", each.path, *lengths))
    write_csv(path, DATA_COLUMNS, rows)


def _write_confusion(path: Path, corpus: Corpus, scores: ScoreMatrix) -> None:
    """Write how many tests of each model each model won, where it won any, among speakers who have one model."""
    several = Counter(corpus.speaker_of.values())
    row = {corpus.speaker_of[model]: number for number, model in enumerate(scores.models)}
    column = {test: number for number, test in enumerate(scores.tests)}
    tests = [each for each in corpus.test if several[each.speaker] == 1 and each.speaker in row and each.id in column]
    rows: list[tuple[str, str, str]] = []
    if tests:
        matrix = scores.matrix[:, [column[each.id] for each in tests]]
        truth = np.array([row[each.speaker] for each in tests], np.intp)
        # not as a matrix of all models, which many speakers make larger than their scores
        pairs, counts = np.unique(np.stack([truth, answers(matrix, truth)], axis=1), axis=0, return_counts=True)
        found = zip(pairs.tolist(), counts.tolist(), strict=True)
        rows = [(scores.models[right], scores.models[won], str(n_tests)) for (right, won), n_tests in found]
    write_csv(path, CONFUSION_COLUMNS, rows)


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


def _write_cohort(path: Path, outputs: ExperimentOutputs) -> None:
    """Write the speakers that scores are normalised by, for galleries to normalise theirs likewise."""
    (stores,) = outputs.stores.values()  # of a fusion, each system has a normalisation of its own
    store = stores["background"]
    used = [utterance for utterance in outputs.corpus.background if utterance.id in store]
    frames = tuple(store.frames(utterance.id) for utterance in used)
    save_cohort(path, Cohort(tuple(utterance.speaker for utterance in used), frames), store.front_end)


def _provenance(recipe: Recipe, outputs: ExperimentOutputs) -> dict[str, Any]:
    """Collect what one needs to know to do it again."""
    return {
        "platform": platform.platform(),
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": outputs.git,
        "seed": recipe.seed,
        "warnings": list(outputs.warnings),
        "stages": [
            {
                "stage": output.title,
                "digest": output.digest,
                **{name: output.metadata[name] for name in ("made_at", "seconds", "peak_memory", "made_by")},
            }
            for output in outputs.outputs
        ],
    }


def _copy(source: Path, target: Path) -> None:
    """Copy a file into place."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
