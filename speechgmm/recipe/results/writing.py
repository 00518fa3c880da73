"""Writing a results folder: models, scores, metrics, what was skipped, report and provenance."""

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
from speechgmm.gallery.pretrained import about_pretrained
from speechgmm.recipe import layout
from speechgmm.recipe.cache.outputs import StageOutput
from speechgmm.recipe.graph.system import System
from speechgmm.recipe.reading.loader import dump_recipe
from speechgmm.recipe.results.report import report_results
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.copies import copied_recording
from speechgmm.recipe.stages.evaluation import FinalScores, load_metrics
from speechgmm.recipe.stages.pretrained import pretrained_models
from speechgmm.recipe.stages.score_matrix import ScoreMatrix, index_of
from speechgmm.version import versions

logger = logging.getLogger(__name__)

MODEL_FILES = (
    *(layout.UBM_FILE, layout.TRAINING_FILE, layout.SIZES_FILE),
    *(layout.SUBSPACE_FILE, layout.FACTORS_FILE, layout.BACKEND_FILE, layout.SPEAKERS_FILE),
)
"""Files of models and their training, of which each system and each sex may have its own."""

RESULT_FILES = (
    layout.METRICS_FILE,
    layout.SCORES_FILE,
    layout.DATA_FILE,
    layout.CONFUSION_FILE,
    layout.SKIPPED_FILE,
    layout.RECIPE_FILE,
    layout.PROVENANCE_FILE,
    layout.REPORT_FILE,
    layout.CALIBRATION_FILE,
    layout.COHORT_FILE,
)
"""The other files that a run writes, without plots and log."""


@dataclass(frozen=True, eq=False)
class ExperimentOutputs:
    """An experiment whose stages have run."""

    corpus: Corpus
    stores: Mapping[str, Mapping[str, FeatureStore]]  # of each role, by the name of the system
    systems: tuple[System, ...]  # in the order of the recipe's systems; one where it has none
    scores: FinalScores
    calibration: StageOutput | None
    evaluation: StageOutput
    stages: tuple[StageOutput, ...]  # all stages, in the order in which they ran
    skipped: tuple[SkippedItem, ...]
    warnings: tuple[str, ...]  # what makes results look better than they are, does nothing, or could not be done
    git: str | None  # the commit that the recipe's folder is at


def result_files(folder: Path) -> list[Path]:
    """List what a run writes into a folder and a later one replaces, but for the log; some may not be there."""
    names = (*RESULT_FILES, *MODEL_FILES)
    plots = [path for suffix in ("svg", "png") for path in (folder / layout.PLOTS).glob(f"*.{suffix}")]
    below = (folder / layout.SYSTEMS, folder / layout.SEXES)
    models = [path for name in MODEL_FILES for parent in below for path in parent.rglob(name)]
    return [*(folder / name for name in names), *plots, *models]


def clear_results(folder: Path, recipe_file: Path | None = None) -> None:
    """Remove the files of an earlier run, so that a folder never shows two runs at once; files of other names stay.

    So does the file of the recipe that runs, as a run that is stopped could not be repeated without it.
    """
    for path in result_files(folder):
        if path != recipe_file:
            path.unlink(missing_ok=True)
    for partial in folder.rglob(f"{WRITING}*"):  # of a run that was killed: no other run writes here now
        if partial.is_file():
            partial.unlink()


def write_skipped(
    folder: Path,
    corpus: Corpus,
    stores: Mapping[str, Mapping[str, FeatureStore]],
    untrained: Mapping[str, Mapping[str, str]] | None = None,
) -> tuple[SkippedItem, ...]:
    """Write and log what could not be used, as soon as it is known, because a later stage may fail for that reason.

    These are the utterances without features, the models that have no utterance left, and those that could not be
    trained without a background model, each with its reason. `stores` and `untrained` go by the names of the systems.
    """
    skipped: tuple[SkippedItem, ...] = ()
    for name, by_role in stores.items():
        system = name if len(stores) > 1 else ""
        skipped += _skipped_items(corpus, by_role, system)
        reasons = untrained[name] if untrained else {}
        skipped += tuple(SkippedItem("model", model, "enrol", "", why, system) for model, why in reasons.items())
    for item in skipped:
        label = f"{item.system}: " if item.system else ""
        logger.warning("%sskipped %s %s %s: %s", label, item.kind, item.id, item.path, item.reason)
    write_csv(folder / layout.SKIPPED_FILE, layout.SKIPPED_COLUMNS, map(astuple, skipped))
    return skipped


def write_results(folder: Path, recipe: Recipe, outputs: ExperimentOutputs, *, report: bool = True) -> dict[str, Any]:
    """Write all results of an experiment, replacing file by file, and return the contents of ``metrics.json``."""
    for config, system in zip(recipe.systems_or_self, outputs.systems, strict=True):
        _copy_models(system, folder / layout.SYSTEMS / config.name if recipe.systems else folder)
    if recipe.normalisation.method != "none":
        _write_cohort(folder / layout.COHORT_FILE, outputs)
    if outputs.calibration:
        _copy(outputs.calibration.folder / layout.CALIBRATION_FILE, folder / layout.CALIBRATION_FILE)
    for name in (layout.METRICS_FILE, layout.SCORES_FILE):
        _copy(outputs.evaluation.folder / name, folder / name)
    _write_data(folder / layout.DATA_FILE, outputs, several=bool(recipe.systems))
    _write_confusion(folder / layout.CONFUSION_FILE, outputs.corpus, outputs.scores.ranks)
    write_json(folder / layout.PROVENANCE_FILE, _provenance(recipe, outputs))
    resolved = dump_recipe(recipe)
    with replacing(folder / layout.RECIPE_FILE) as temporary:
        temporary.write_text(resolved, encoding="utf-8")
    if report:
        report_results(folder)
    return load_metrics(outputs.evaluation.folder)


def _write_data(path: Path, outputs: ExperimentOutputs, *, several: bool) -> None:
    """Write the length of each utterance for each system; lengths are empty if the system could not use it.

    The augmented copies of a role follow its recordings.
    """
    rows = []
    for system, stores in outputs.stores.items():
        label = system if several else ""
        for role, store in stores.items():
            stored_by_id = {stored.utterance: stored for stored in store.utterances}
            recordings = {each.id: each for each in outputs.corpus.role(role)}
            copies = [name for name in _names(store) if name not in recordings]
            named = [(each.id, role, each) for each in recordings.values()]
            named += [(name, f"{role} copies", recordings[copied_recording(name)]) for name in copies]
            for name, of_role, utterance in named:
                model = utterance.enrols if role == "enrol" else ""
                stored = stored_by_id.get(name)
                lengths = (repr(stored.seconds), repr(stored.speech_seconds)) if stored else ("", "")
                who = utterance.speaker, model, utterance.sex or ""
                rows.append((label, of_role, name, *who, utterance.path, *lengths))
    write_csv(path, layout.DATA_COLUMNS, rows)


def _names(store: FeatureStore) -> list[str]:
    """List the utterances that a store was made of, those with features first."""
    return [each.utterance for each in store.utterances] + [each.utterance for each in store.unusable]


def _write_confusion(path: Path, corpus: Corpus, scores: ScoreMatrix) -> None:
    """Write how many tests of each model were answered as each model, where any were; of speakers with one model."""
    n_models = Counter(corpus.speaker_of.values())
    row = index_of([corpus.speaker_of[model] for model in scores.models])
    column = index_of(scores.tests)
    tests = [test for test in corpus.test if n_models[test.speaker] == 1 and test.speaker in row and test.id in column]
    rows: list[tuple[str, str, str]] = []
    if tests:
        matrix = scores.matrix[:, [column[test.id] for test in tests]]
        truth = np.array([row[test.speaker] for test in tests], np.intp)
        # not a matrix of all models, which would be larger than the scores if speakers are many
        pairs, counts = np.unique(np.stack([truth, answers(matrix, truth)], axis=1), axis=0, return_counts=True)
        counted = zip(pairs.tolist(), counts.tolist(), strict=True)
        rows = [(scores.models[right], scores.models[answer], str(n_tests)) for (right, answer), n_tests in counted]
    write_csv(path, layout.CONFUSION_COLUMNS, rows)


def _skipped_items(corpus: Corpus, stores: Mapping[str, FeatureStore], system: str) -> tuple[SkippedItem, ...]:
    """List a system's utterances without features, and the models that have no utterance left."""
    items = []
    for role, store in stores.items():
        paths = {utterance.id: utterance.path for utterance in corpus.role(role)}
        for unusable in store.unusable:
            name = unusable.utterance
            path = paths[name] if name in paths else paths[copied_recording(name)]
            items.append(SkippedItem("utterance", name, role, path, unusable.reason, system))
    enrolled = {utterance.enrols for utterance in corpus.enrol if utterance.id in stores["enrol"]}
    items += [
        SkippedItem("model", model, "enrol", "", "none of its enrolment utterances could be used", system)
        for model in corpus.models
        if model not in enrolled
    ]
    return tuple(items)


def _copy_models(system: System, folder: Path) -> None:
    """Copy the models and training tables of a system; models of each sex go into a folder of their own."""
    for models in system.models:
        target = folder / layout.SEXES / models.sex if models.sex else folder
        _copy(models.speakers.folder / layout.SPEAKERS_FILE, target / layout.SPEAKERS_FILE)
        for output in (models.ubm, models.factors, models.backend):
            for name in MODEL_FILES:
                if output and (output.folder / name).is_file():
                    _copy(output.folder / name, target / name)


def _write_cohort(path: Path, outputs: ExperimentOutputs) -> None:
    """Write the cohort that scores are normalised by, so that a gallery can normalise its scores by the same one."""
    (stores,) = outputs.stores.values()  # a fusion has none: each of its systems has its own normalisation
    store = stores["background"]
    used = [utterance for utterance in outputs.corpus.background if utterance.id in store]
    frames = tuple(store.frames(utterance.id) for utterance in used)
    save_cohort(path, Cohort(tuple(utterance.speaker for utterance in used), frames), store.front_end)


def _provenance(recipe: Recipe, outputs: ExperimentOutputs) -> dict[str, Any]:
    """Collect what is needed to reproduce the results."""
    return {
        "platform": platform.platform(),
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "git": outputs.git,
        "seed": recipe.seed,
        "warnings": list(outputs.warnings),
        **_pretrained(recipe),
        "stages": [
            {
                "stage": output.title,
                "digest": output.digest,
                **{name: output.metadata[name] for name in ("made_at", "seconds", "peak_memory", "made_by")},
            }
            for output in outputs.stages
        ],
    }


def _pretrained(recipe: Recipe) -> dict[str, Any]:
    """Say which pretrained models a recipe has taken, if any; the stages' inputs hold the digests of their files."""
    versions_of = {name: about_pretrained(name).version for name in pretrained_models(recipe)}
    return {"pretrained": versions_of} if versions_of else {}


def _copy(source: Path, target: Path) -> None:
    """Copy a file into place."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
