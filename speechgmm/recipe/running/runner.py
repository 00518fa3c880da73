"""Running a recipe: its stages in their order, and between them the folder of results."""

import logging
import subprocess
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from speechgmm.corpus.manifest import Corpus
from speechgmm.errors import ModelError, RecipeError, ResultsError
from speechgmm.evaluation.report.content import SkippedItem
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.spectral.config import empty_filters
from speechgmm.features.store.store import FeatureStore, clipped_warnings
from speechgmm.gmm.kernels.dense import TorchKernel
from speechgmm.parallel.engine import Engine, workers
from speechgmm.recipe.cache.outputs import LOCKS, StageCache, StageOutput
from speechgmm.recipe.graph.experiment import (
    ExperimentCalibration,
    ExperimentEvaluation,
    ExperimentFeatures,
    ExperimentSystems,
    experiment_stages,
)
from speechgmm.recipe.layout import CACHE, LOG_FILE, RESULTS_LOCK_PREFIX
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.results.earlier import OtherResults, other_results
from speechgmm.recipe.results.writing import ExperimentOutputs, clear_results, write_results, write_skipped
from speechgmm.recipe.running import doubts
from speechgmm.recipe.running.conditions import condition_warnings
from speechgmm.recipe.running.log import log_to
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.stages.context import STAGES, StageRunner, StoppedEarly
from speechgmm.recipe.stages.evaluation import load_metrics
from speechgmm.recipe.stages.progress import ProgressBars
from speechgmm.recipe.stages.rates import ResolvedRecipe
from speechgmm.recipe.stages.shared_frames import check_shared_frames
from speechgmm.wording import first_few

logger = logging.getLogger(__name__)

MAX_ODDITIES = 5
"""Sentences about odd recordings in the warnings of a run."""


@dataclass(frozen=True)
class RunResult:
    """What a run left behind."""

    folder: Path  # the folder of results
    metrics: dict[str, Any]  # what its metrics.json holds; empty if the run was to stop before
    warnings: tuple[str, ...]  # what makes results look better than they are, and what in the recipe does nothing
    stages: tuple[StageOutput, ...]  # in their order: where their outputs are, and which were stored already
    skipped: tuple[SkippedItem, ...] = ()  # what could not be used, and why
    previous: Path | None = None  # where the results of another recipe are kept that had this name before


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
    """Run an experiment: every stage from the corpus to the report.

    Stages whose outputs are stored by an earlier run, and whose inputs have not changed, are not run again.

    Parameters
    ----------
    recipe : str, Path or Recipe
        The recipe, or its file.
    overrides : sequence of str
        ``KEY=VALUE`` for a recipe's file; see `load_recipe`.
    results : str or Path
        Folder in which the results go into a folder of the recipe's name. The outputs of stages, which experiments
        share, go into its ``.cache``. Results of another recipe that had this name are kept in ``NAME.previous``.
    engine : Engine, optional
        Where to run: in this process, on all cores (the default) or on a cluster. The results are the same, bit for
        bit.
    kernel : "torch" or "cuda", optional
        Train and score with this kernel of PyTorch instead of the recipe's. Results may differ in their last bits.
    console : rich.console.Console, optional
        Terminal that shows progress; no progress is shown when not given.
    from_stage : str, optional
        Rerun this stage, one of `speechgmm.recipe.stages.context.STAGES`, and all after it, although they are stored.
    until_stage : str, optional
        The last stage to run; all stages run when not given.
    cache : str or Path, optional
        Folder for the outputs of stages, instead of ``.cache``.

    Returns
    -------
    RunResult
        The results folder, the metrics, and the outputs of the stages.

    Raises
    ------
    RecipeError, CorpusError, ModelError
        If the recipe is wrong, the lists cannot be read, or there are too few data for the experiment.
    ResultsError
        If another run is writing these results, or their folder holds files that are not of a run.
    WorkerError
        If workers died, or the engine's scheduler does not answer.
    ValueError
        If there is no such stage.
    OSError
        If results cannot be written.

    Examples
    --------
    A small experiment on synthetic talkers, in this process, without the report:

    >>> from speechgmm import Engine, Recipe, run
    >>> corpus = {"kind": "synthetic", "n_speakers": 2, "n_background": 2, "n_test": 1, "seconds": 2.0}
    >>> recipe = Recipe(name="tiny", corpus=corpus, ubm={"n_components": 4}, calibration={"method": "none"})
    >>> done = run(recipe, results="results", engine=Engine("serial"), until_stage="evaluation")
    >>> done.folder.name, done.metrics["trials"]["trials"]["n_nontarget"]
    ('tiny', 2)
    >>> [stage.title for stage in done.stages][-3:]
    ['speakers', 'scores', 'evaluation']
    """
    rerun = frozenset(STAGES[_index(from_stage) :] if from_stage else ())
    until = STAGES[_index(until_stage)] if until_stage else STAGES[-1]
    source = None if isinstance(recipe, Recipe) else Path(recipe).resolve()
    recipe = _checked_recipe(recipe, overrides, kernel)
    if STAGES.index(until) > STAGES.index("features") and (missing := recipe.missing_kernels()):
        raise ModelError("; ".join(missing))  # before the results of an earlier run are cleared
    results = Path(results).resolve()  # workers may have been born in another folder
    folder = results / recipe.name
    engine = engine or Engine("processes")
    stored = Path(cache or results / CACHE).resolve()
    with (
        _only_run(stored / LOCKS, folder),
        other_results(folder, recipe) as other,
        log_to(folder / LOG_FILE),
        ProgressBars(console) as bars,
        workers(engine),
    ):
        logger.info("run of %s, seed %d, on %s", recipe.name, recipe.seed, engine)
        runner = StageRunner(StageCache(stored, rerun), engine, bars, until)
        replacing = _Replacing(folder, source, other, console)
        done = _run_stages(recipe, replacing, runner, _git_state(source.parent if source else Path.cwd()))
        logger.info("results in %s", folder)
    return done


def _checked_recipe(recipe: str | Path | Recipe, overrides: Sequence[str], kernel: TorchKernel | None) -> Recipe:
    """Read the recipe if it is a file, choose its kernel, and refuse a series."""
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides)
    elif overrides:
        raise ValueError("overrides are for a recipe's file; change the recipe itself")
    if kernel is not None:
        recipe = recipe.with_kernel(kernel)
    if recipe.sweep is not None:
        raise RecipeError(f"{recipe.name}: sweep: a series of experiments; run it with: speechgmm sweep RECIPE")
    return recipe


@dataclass(frozen=True)
class _Replacing:
    """A folder of results, and what is in it that a run replaces."""

    folder: Path
    recipe_file: Path | None  # of the run
    other: OtherResults | None  # results of another recipe, which are kept
    console: Console | None

    def clear(self) -> None:
        """Remove earlier results; keep those of another recipe, and print where."""
        if self.other:
            kept = self.other.keep()
            logger.warning("%s", kept)
            if self.console:
                self.console.print(f"note: {kept}", markup=False, highlight=False, soft_wrap=True)
        clear_results(self.folder, self.recipe_file)


def _run_stages(recipe: Recipe, earlier: _Replacing, runner: StageRunner, git: str | None) -> RunResult:
    """Run the stages, or find their outputs, and write what they give as soon as it is known."""
    folder = earlier.folder
    skipped: tuple[SkippedItem, ...] = ()
    warnings: list[str] = []
    metrics: dict[str, Any] = {}
    try:
        for step in experiment_stages(recipe, runner):
            match step:
                case Corpus() as corpus:
                    if earlier.other or not runner.stops_before("evaluation"):
                        earlier.clear()  # not before: a root that is misspelt leaves what is there
                    warnings += _log_warnings(corpus.warnings())
                case ResolvedRecipe(recipe=recipe) as resolved:
                    warnings += _log_rates(resolved) + _log_warnings(_empty_filters(recipe))
                case ExperimentFeatures() as features:
                    stores = features.open_stores()
                    warnings += _log_warnings(
                        audio_warnings_of(stores) + clipped_warnings(_clipped_shares(stores, features.copies()))
                    )
                    warnings += _log_warnings(condition_warnings(stores, features.copies(unlearnt=True)))
                    first_stores = next(iter(stores.values()))
                    warnings += _log_warnings(check_shared_frames(recipe.corpus, corpus, first_stores))
                    skipped = write_skipped(folder, corpus, stores)
                case ExperimentSystems(systems=systems):
                    untrained = {name: system.untrained for name, system in zip(stores, systems, strict=True)}
                    if any(untrained.values()):
                        skipped = write_skipped(folder, corpus, stores, untrained)
                    warnings += _log_warnings(doubts.without_model(skipped))
                    warnings += _log_warnings(doubts.doubtful_models(recipe, systems))
                case ExperimentCalibration() as calibration:
                    warnings += _log_warnings((calibration.why_none,) if calibration.why_none else ())
                    warnings += _log_warnings(calibration.warnings())
                case ExperimentEvaluation() as evaluation:
                    if trained := calibration.trained:
                        warnings += _log_warnings(doubts.few_speakers(trained.trained_on, trained.n_speakers))
                    warnings += _log_warnings(doubts.doubtful_numbers(load_metrics(evaluation.output.folder)))
                    outputs = ExperimentOutputs(
                        corpus=corpus,
                        stores=stores,
                        systems=systems,
                        scores=evaluation.scores(),
                        calibration=calibration.output if calibration.trained else None,
                        evaluation=evaluation.output,
                        stages=tuple(runner.outputs),
                        skipped=skipped,
                        warnings=tuple(warnings),
                        git=git,
                    )
                    metrics = write_results(folder, recipe, outputs, report=not runner.stops_before("report"))
    except StoppedEarly:
        pass  # as the user asked
    previous = earlier.other.previous if earlier.other else None
    return RunResult(folder, metrics, tuple(warnings), tuple(runner.outputs), skipped, previous)


def _log_rates(resolved: ResolvedRecipe) -> tuple[str, ...]:
    """Write to the log which rate features take from the corpus; return it where recordings are resampled."""
    if resolved.taken and not resolved.mixed:
        logger.info("%s", resolved.taken)
    return _log_warnings(resolved.warnings)


def _empty_filters(recipe: Recipe) -> tuple[str, ...]:
    """Warn of filters that have no frequency of the spectrum below them."""
    front_ends = [system.features for system in recipe.systems_or_self if isinstance(system.features, FeatureConfig)]
    return tuple(warning for front_end in front_ends for warning in empty_filters(front_end))


def _clipped_shares(stores: Mapping[str, Mapping[str, FeatureStore]], copies: Set[tuple[str, str]]) -> dict[str, float]:
    """Return what share of the samples of each recording is clipped; copies may be clipped on purpose."""
    return {
        stored.utterance: stored.clipped
        for by_role in stores.values()
        for role, store in by_role.items()
        for stored in store.utterances
        if (role, stored.utterance) not in copies
    }


def audio_warnings_of(stores: Mapping[str, Mapping[str, FeatureStore]]) -> tuple[str, ...]:
    """List what is odd about recordings that were read: one sentence for each oddity, with the first of them."""
    named: dict[str, dict[str, None]] = {}
    for store in (store for by_role in stores.values() for store in by_role.values()):
        for stored in store.utterances:
            for warning in stored.warnings:
                named.setdefault(warning, {})[stored.utterance] = None
    sentences = [f"{warning}: {first_few(list(names))}" for warning, names in named.items()]
    if len(sentences) > MAX_ODDITIES:
        others = list(dict.fromkeys(name for names in list(named.values())[MAX_ODDITIES:] for name in names))
        sentences[MAX_ODDITIES:] = [f"other oddities of {len(others):,} more recordings, such as {others[0]}"]
    return tuple(sentences)


def _index(stage: str) -> int:
    """Return the place of a stage in their order."""
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
    name = f"{RESULTS_LOCK_PREFIX}{folder.parent.name[-40:]}-{folder.name}"  # a name has 255 bytes at most
    lock = FileLock(locks / name)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ResultsError(
            f"{folder}: another run is writing these results; wait for it, or give this one another name (--name)"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _log_warnings(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Write warnings to the log, and return them."""
    for warning in warnings:
        logger.warning("%s", warning)
    return warnings
