"""Running a recipe: which stage needs what, what is there already, and the folder of results."""

import logging
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from traceback import format_exception_only
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from speechgmm.corpus.manifest import first_few
from speechgmm.errors import CorpusError, ModelError, RecipeError, ResultsError
from speechgmm.evaluation.breakdown import FEWEST, too_few
from speechgmm.evaluation.report.content import SkippedItem
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.spectral.config import empty_filters
from speechgmm.features.store.store import FeatureStore, clipped_warnings
from speechgmm.gmm.kernels.dense import TorchKernel
from speechgmm.parallel.engine import Engine, workers
from speechgmm.recipe.cache.outputs import LOCKS, StageCache, StageOutput
from speechgmm.recipe.graph.calibration import TrainedCalibration, calibrate, check_list, load_calibrated
from speechgmm.recipe.graph.experiment import ExperimentFeatures, build_systems, extract_roles, find_corpus
from speechgmm.recipe.graph.system import System
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.results.writing import ExperimentOutputs, clear_results, write_results, write_skipped
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.context import STAGES, StageContext, StoppedEarly
from speechgmm.recipe.stages.evaluation import evaluate, final_scores, load_metrics
from speechgmm.recipe.stages.progress import Bars

logger = logging.getLogger(__name__)

CACHE = ".cache"
"""Where the outputs of stages are, below the folder of results."""

RESULTS_LOCK = "results-"
"""What the name of a lock begins with that a run holds as long as it writes its results."""


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Parameters
    ----------
    folder : Path
        The folder of results.
    metrics : dict
        What its ``metrics.json`` holds; empty if the run was to stop before.
    warnings : tuple of str
        What about the lists makes results look better than they are, and what in the recipe does nothing.
    stages : tuple of StageOutput
        The stages, in their order: where their outputs are, and which were there already.
    """

    folder: Path
    metrics: dict[str, Any]
    warnings: tuple[str, ...]
    stages: tuple[StageOutput, ...]


def run(
    recipe: str | Path | Recipe,
    *,
    overrides: Sequence[str] = (),
    results: str | Path = "results",
    engine: Engine | None = None,
    kernel: TorchKernel | None = None,
    console: Console | None = None,
    from_stage: str | None = None,
    until_stage: str | None = None,
    cache: str | Path | None = None,
) -> RunResult:
    """Run an experiment.

    Parameters
    ----------
    recipe : str, Path or Recipe
        The recipe, or its file.
    overrides : sequence of str
        ``KEY=VALUE`` for a recipe's file; see `load_recipe`.
    results : str or Path
        The experiment's results go into the folder of its name below this one, and outputs of stages, which
        experiments share, into ``.cache`` below it.
    engine : Engine, optional
        Where to run; the results are the same, bit for bit. Processes on all cores when not given.
    kernel : "torch" or "cuda", optional
        Train and score by this kernel of PyTorch, whatever the recipe names; the last bits are its own.
    console : rich.console.Console, optional
        Where progress is shown, if it is a terminal; nowhere when not given.
    from_stage : str, optional
        The first of `speechgmm.recipe.stages.context.STAGES` to rerun, and all after it, though its output is stored.
    until_stage : str, optional
        The last stage to run; all when not given.
    cache : str or Path, optional
        Another folder for the outputs of stages.

    Returns
    -------
    RunResult
        The folder of results, and the metrics.

    Raises
    ------
    RecipeError, CorpusError, ModelError
        If the recipe, the lists or the amount of data don't allow the experiment.
    ResultsError
        If another run is writing these results.
    WorkerError
        If workers died, or the engine's scheduler does not answer.
    ValueError
        If there is no such stage.
    OSError
        If results cannot be written.
    """
    rerun = frozenset(STAGES[_place(from_stage) :] if from_stage else ())
    until = STAGES[_place(until_stage)] if until_stage else STAGES[-1]
    source = Path.cwd() if isinstance(recipe, Recipe) else Path(recipe).resolve().parent
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides)
    elif overrides:
        raise ValueError("overrides are for a recipe's file; change the recipe itself")
    if kernel is not None:
        recipe = recipe.with_kernel(kernel)
    if recipe.sweep is not None:
        raise RecipeError(f"{recipe.name}: sweep: a series of experiments; run it with: speechgmm sweep RECIPE")
    if STAGES.index(until) > STAGES.index("features") and (missing := recipe.missing_kernels()):
        raise ModelError("; ".join(missing))  # before the results of an earlier run are cleared
    results = Path(results).resolve()  # workers may have been born in another folder
    folder = results / recipe.name
    engine = engine or Engine("processes")
    stored = Path(cache or results / CACHE).resolve()
    with _only_run(stored / LOCKS, folder), _log_to(folder / "log.txt"), Bars(console) as bars, workers(engine):
        logger.info("run of %s, seed %d, on %s", recipe.name, recipe.seed, engine)
        context = StageContext(StageCache(stored, rerun), engine, bars, until)
        done = _run_stages(recipe, folder, context, _git_state(source))
        logger.info("results in %s", folder)
    return done


def _run_stages(recipe: Recipe, folder: Path, context: StageContext, git: str | None) -> RunResult:
    """Run the stages, or find their outputs, and write what they give."""
    corpus = find_corpus(recipe.corpus, context)
    if corpus is None:
        raise ValueError("a corpus that is only planned")
    check_list(recipe, corpus)
    if not context.stops_before("evaluation"):
        clear_results(folder)  # not before: a root that is misspelt leaves what is there
    warnings = _logged(corpus.warnings())
    for member in recipe.systems_or_self:
        if isinstance(member.features, FeatureConfig):
            warnings += _logged(empty_filters(member.features))
    try:
        heard = extract_roles(recipe, corpus, context)
    except StoppedEarly:
        return RunResult(folder, {}, warnings, tuple(context.outputs))
    stores = {
        member.name: {role: each.store for role, each in own.items()}
        for member, own in zip(recipe.systems_or_self, heard.voices, strict=True)
    }
    warnings += _logged(clipped_warnings(_clipped(stores)))
    skipped = write_skipped(folder, corpus, stores)
    systems = build_systems(recipe, heard, context)
    if systems is None:
        return RunResult(folder, {}, warnings, tuple(context.outputs))
    untrained = {name: system.untrained for name, system in zip(stores, systems, strict=True)}
    if any(untrained.values()):
        skipped = write_skipped(folder, corpus, stores, untrained)
    warnings += _logged(_without_model(skipped))
    calibration, calibrated, why_not = _calibrate(recipe, systems, heard, context)
    warnings += _logged(why_not)
    if context.stops_before("evaluation"):
        return RunResult(folder, {}, warnings, tuple(context.outputs))
    final = final_scores(recipe, systems, calibrated, heard.voices[0]["test"].store)
    evaluation = evaluate(recipe, corpus, systems, calibration, final, calibrated, context)
    warnings += _logged(_too_few(evaluation))
    outputs = tuple(context.outputs)
    known = calibration if calibrated else None
    finished = ExperimentOutputs(corpus, stores, systems, final, known, evaluation, outputs, skipped, warnings, git)
    metrics = write_results(folder, recipe, finished, report=not context.stops_before("report"))
    return RunResult(folder, metrics, warnings, outputs)


def _calibrate(
    recipe: Recipe, systems: Sequence[System], heard: ExperimentFeatures, context: StageContext
) -> tuple[StageOutput | None, TrainedCalibration | None, tuple[str, ...]]:
    """Calibrate, if the recipe says so and the data allow it; or say why it could not be."""
    stage: StageOutput | None = None
    if recipe.calibration.method == "none" or context.stops_before("calibration"):
        return None, None, ()
    try:
        stage = calibrate(recipe, systems, heard.voices, heard.corpus, context)
        return stage, load_calibrated(stage.folder), ()
    except (CorpusError, ModelError) as error:
        return stage, None, (f"the scores are not calibrated: {error}",)


def _without_model(skipped: Sequence[SkippedItem]) -> tuple[str, ...]:
    """Name the models that could not be made: nobody may look for them in a list of what was skipped."""
    names = list(dict.fromkeys(item.id for item in skipped if item.kind == "model"))
    return (f"models that could not be made, so that their trials have no score: {first_few(names)}",) if names else ()


def _too_few(evaluation: StageOutput) -> tuple[str, ...]:
    """Name the lists whose numbers, and their intervals, say little."""
    names = too_few(load_metrics(evaluation.folder)["trials"])
    few = f"fewer than {FEWEST} target or nontarget trials with scores"
    return (f"{few}, too few to say much, in the list {first_few(names)}",) if names else ()


def _clipped(stores: Mapping[str, Mapping[str, FeatureStore]]) -> dict[str, float]:
    """Tell what share of the samples of each utterance is clipped."""
    return {
        stored.utterance: stored.clipped
        for own in stores.values()
        for store in own.values()
        for stored in store.utterances
    }


def _place(stage: str) -> int:
    """Find a stage in their order."""
    if stage not in STAGES:
        raise ValueError(f"stage {stage!r}; expected one of {', '.join(STAGES)}")
    return STAGES.index(stage)


def _git_state(folder: Path) -> str | None:
    """Name the commit that a folder is at, with -dirty if files differ from it; None where there is none."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


@contextmanager
def _only_run(locks: Path, folder: Path) -> Iterator[None]:
    """Be the only run that writes these results."""
    locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(locks / f"{RESULTS_LOCK}{folder.parent.name[-40:]}-{folder.name}")  # a name has 255 bytes at most
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ResultsError(f"{folder}: another run is writing these results; wait for it, or give it a name") from error
    try:
        yield
    finally:
        lock.release()


def _logged(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Put warnings into the log, and give them on."""
    for warning in warnings:
        logger.warning("%s", warning)
    return warnings


class _LogFile(logging.FileHandler):
    """A log that cannot be written ends the run, as any other file of the results would."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002  # logging's own name
        """Raise the error that logging would print."""
        error = sys.exception()
        if isinstance(error, OSError):
            error.filename = self.baseFilename
        raise  # logging calls this where it has caught the error


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Write the package's log messages to a file, from the start; a link in its place is not written through."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    handler = _LogFile(path, mode="w", encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    package = logging.getLogger("speechgmm")
    level = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    except (Exception, KeyboardInterrupt, SystemExit) as error:  # whatever ends a run, its log tells
        with suppress(OSError):  # a full disk may be what ended it
            logger.error("ended by %s", "".join(format_exception_only(error)).strip())
        raise
    finally:
        package.setLevel(level)
        package.removeHandler(handler)
        with suppress(OSError):  # every message was written when it came, or ended the run
            handler.close()
