"""The folder of results: models, scores, metrics, what was skipped, plots, report and provenance."""

import csv
import json
import logging
import platform
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from speechgmm.arrays import IntArray
from speechgmm.corpus.manifest import Corpus, Trial
from speechgmm.evaluation.metrics import identification_rate
from speechgmm.evaluation.plots import save_svg
from speechgmm.evaluation.report import SkippedItem, write_report
from speechgmm.evaluation.summary import error_shares, summarise, uncertainty
from speechgmm.features.store import FeatureStore
from speechgmm.files import replacing
from speechgmm.gmm.storage import load_gmm
from speechgmm.recipe.cache import StageOutput, versions
from speechgmm.recipe.calibrating import Calibrated, added
from speechgmm.recipe.loader import dump_recipe
from speechgmm.recipe.reporting import Outcome, figures, report_content
from speechgmm.recipe.schema import Recipe
from speechgmm.recipe.stages import SIZES_FILE, SPEAKERS_FILE, TRAINING_FILE, Scores
from speechgmm.recipe.system import System
from speechgmm.scoring.gallery import CALIBRATION_FILE, COHORT_FILE, UBM_FILE
from speechgmm.scoring.gallery_cohort import Cohort, save_cohort
from speechgmm.scoring.thresholds import threshold_meaning

logger = logging.getLogger(__name__)

SYSTEMS, SEXES = "systems", "sexes"
FILES = ("metrics.json", "scores.csv", "skipped.csv", "recipe.yaml", "provenance.json", "report.html")
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
    scores : tuple of Scores
        Those of the models and tests that all systems have.
    calibrated : Calibrated or None
        The calibration, if there is one.
    outputs : tuple of StageOutput
        All stages, in the order in which they ran.
    skipped : tuple of SkippedItem
        What could not be used, and why.
    warnings : tuple of str
        What makes results look better than they are, what in the recipe does nothing, and what could not be done.
    """

    corpus: Corpus
    stores: Mapping[str, Mapping[str, FeatureStore]]
    systems: tuple[System, ...]
    scores: tuple[Scores, ...]
    calibrated: Calibrated | None
    outputs: tuple[StageOutput, ...]
    skipped: tuple[SkippedItem, ...]
    warnings: tuple[str, ...]


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
    _write_csv(folder / "skipped.csv", ("kind", "id", "role", "path", "reason", "system"), map(astuple, skipped))
    return skipped


def write_results(folder: Path, recipe: Recipe, finished: Finished) -> dict[str, Any]:
    """Evaluate the scores and write all that an experiment leaves behind.

    Parameters
    ----------
    folder : Path
        Where to write; what is there from an earlier run is replaced, file by file.
    recipe : Recipe
        The experiment.
    finished : Finished
        The outputs of its stages.

    Returns
    -------
    dict
        What ``metrics.json`` holds.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    raw = added(finished.scores)
    first = next(iter(finished.stores.values()))
    scores = finished.calibrated.apply(finished.scores, first["test"]) if finished.calibrated else raw
    # pav makes equal what is not: the order of trials is that of their scores
    ranks = raw if recipe.calibration.method == "pav" else scores
    metrics = _metrics(recipe, finished, raw, scores, ranks)
    ubms = {
        (*([member.name] if recipe.systems else []), *([models.sex] if models.sex else [])): models.ubm.folder
        for member, system in zip(recipe.members, finished.systems, strict=True)
        for models in system.models
        if models.ubm
    }
    histories = {of: _training(ubm) for of, ubm in ubms.items()}
    sizes = tuple(load_gmm(ubm / UBM_FILE).n_components for ubm in ubms.values())
    outcome = Outcome(finished.corpus, finished.stores, scores, ranks, metrics, finished.skipped, histories, sizes)
    for member, system in zip(recipe.members, finished.systems, strict=True):
        _copy_models(system, folder / SYSTEMS / member.name if recipe.systems else folder)
    if recipe.normalisation.method != "none":
        _write_cohort(folder / COHORT_FILE, finished)
    if finished.calibrated:
        _write_json(folder / CALIBRATION_FILE, finished.calibrated.facts())
    _write_scores(folder / "scores.csv", finished.corpus.distinct_trials, raw, scores)
    _write_json(folder / "metrics.json", metrics)
    provenance = _provenance(recipe, finished)
    _write_json(folder / "provenance.json", provenance)
    resolved = dump_recipe(recipe)
    with replacing(folder / "recipe.yaml") as temporary:
        temporary.write_text(resolved, encoding="utf-8")
    drawn = figures(outcome, recipe.evaluation)
    for each in drawn:
        save_svg(each.figure, folder / "plots" / f"{each.name}.svg")
    write_report(folder / "report.html", report_content(recipe, outcome, drawn, finished.outputs, provenance))
    return metrics


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


def _metrics(recipe: Recipe, finished: Finished, raw: Scores, scores: Scores, ranks: Scores) -> dict[str, Any]:
    """Compute the numbers of each trial list, what they rest on, and closed-set identification."""
    calibrated = finished.calibrated
    lists = {}
    for name, trials in finished.corpus.trials.items():
        target = np.array([trial.target for trial in trials], np.bool_)
        llrs = scores.of(trials)
        lists[name] = summarise(llrs, target, recipe.evaluation, ranks=ranks.of(trials))
        who = _speakers(finished.corpus, trials)
        rng = np.random.default_rng(recipe.seed)
        lists[name]["intervals"] = uncertainty(llrs, target, who, recipe.evaluation, rng, ranks=ranks.of(trials))
        if calibrated:
            lists[name] |= error_shares(llrs, target, calibrated.threshold)
            lists[name]["cllr_uncalibrated"] = summarise(raw.of(trials), target, recipe.evaluation)["cllr"]
            lists[name]["trains_calibration"] = name == recipe.calibration.on
    facts = {"calibration": None, "decision": None} if calibrated is None else _learnt(recipe, calibrated)
    return {"trials": lists, **facts, "identification": _identification(finished.corpus, ranks)}


def _learnt(recipe: Recipe, calibrated: Calibrated) -> dict[str, Any]:
    """Say what the calibrated scores and the decisions rest on."""
    facts = calibrated.facts()
    del facts["calibration"]
    threshold = facts.pop("threshold")
    meaning = threshold_meaning(recipe.decision)
    return {
        "calibration": facts,
        "decision": {"method": recipe.decision.method, "threshold": threshold, "meaning": meaning},
    }


def _speakers(corpus: Corpus, trials: Sequence[Trial]) -> tuple[IntArray, IntArray]:
    """Give numbers to the speakers of the models and of the tests of trials."""
    heard = {utterance.id: utterance.speaker for utterance in corpus.test}
    number = {name: number for number, name in enumerate(dict.fromkeys((*corpus.models, *heard.values())))}
    models = [number[trial.model] for trial in trials]
    return np.array(models, np.intp), np.array([number[heard[trial.test]] for trial in trials], np.intp)


def _identification(corpus: Corpus, scores: Scores) -> dict[str, Any]:
    """Compute how often the right model wins, among the tests whose speaker has a model."""
    row = {model: number for number, model in enumerate(scores.models)}
    column = {test: number for number, test in enumerate(scores.tests)}
    enrolled = set(corpus.models)
    tests = [utterance for utterance in corpus.test if utterance.speaker in enrolled]
    usable = [utterance for utterance in tests if utterance.id in column and utterance.speaker in row]
    rate = None
    if usable:
        matrix = scores.matrix[:, [column[utterance.id] for utterance in usable]]
        rate = identification_rate(matrix, np.array([row[utterance.speaker] for utterance in usable]))
    return {
        "n_tests": len(usable),
        "n_models": len(scores.models),
        "n_unscored": len(tests) - len(usable),
        "rate": rate,
    }


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


def _write_scores(path: Path, trials: Sequence[Trial], raw: Scores, scores: Scores) -> None:
    """Write every trial with its scores; where there is none the fields are empty, and skipped.csv says why."""

    def text(score: float) -> str:
        """Write all digits."""
        return "" if np.isnan(score) else repr(score)

    rows = (
        (trial.model, trial.test, text(score), text(llr), "target" if trial.target else "nontarget")
        for trial, score, llr in zip(trials, raw.of(trials).tolist(), scores.of(trials).tolist(), strict=True)
    )
    _write_csv(path, ("model", "test", "score", "llr", "label"), rows)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON; a NaN in it would be a bug."""
    with replacing(path) as temporary:
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def _copy(source: Path, target: Path) -> None:
    """Copy a file into place."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
