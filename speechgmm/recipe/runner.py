"""Running a recipe: which stage needs what, what is there already, and the folder of results."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from speechgmm.configuration import Configuration
from speechgmm.corpus.formats import KaldiConfig, read_kaldi
from speechgmm.corpus.manifest import ROLES, Corpus, Utterance
from speechgmm.corpus.synthetic import SyntheticConfig
from speechgmm.features.cepstra_config import empty_filters
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.store import clipped_warnings, open_store
from speechgmm.parallel import Engine
from speechgmm.recipe import stages
from speechgmm.recipe.cache import StageCache, StageOutput
from speechgmm.recipe.loader import load_recipe
from speechgmm.recipe.results import Finished, clear_results, write_results, write_skipped
from speechgmm.recipe.schema import Recipe
from speechgmm.recipe.stages import Tick

logger = logging.getLogger(__name__)

# The number of a stage goes up whenever the same inputs would make another output.
VERSIONS = {"corpus": 1, "features": 2, "ubm": 3, "speakers": 3, "scores": 3}


@dataclass(frozen=True)
class RunResult:
    """What a run left behind.

    Parameters
    ----------
    folder : Path
        The folder of results.
    metrics : dict
        What its ``metrics.json`` holds.
    warnings : tuple of str
        What about the lists makes results look better than they are, and what in the recipe does nothing.
    """

    folder: Path
    metrics: dict[str, Any]
    warnings: tuple[str, ...]


def run(
    recipe: str | Path | Recipe,
    *,
    overrides: Sequence[str] = (),
    results: str | Path = "results",
    engine: Engine | None = None,
    console: Console | None = None,
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
    console : rich.console.Console, optional
        Where progress is shown, if it is a terminal; nowhere when not given.

    Returns
    -------
    RunResult
        The folder of results, and the metrics.

    Raises
    ------
    RecipeError, CorpusError, ModelError
        If the recipe, the lists or the amount of data don't allow the experiment.
    OSError
        If results cannot be written.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides)
    elif overrides:
        raise ValueError("overrides are for a recipe's file; change the recipe itself")
    results = Path(results).resolve()  # workers may have been born in another folder
    folder = results / recipe.name
    engine = engine or Engine("processes")
    with _log_to(folder / "log.txt"), _Bars(console) as bars:
        clear_results(folder)
        logger.info("run of %s, seed %d, on %s with %d jobs", recipe.name, recipe.seed, engine.kind, engine.n_jobs)
        finished = _run_stages(recipe, folder, _Means(StageCache(results / ".cache"), engine, bars))
        metrics = write_results(folder, recipe, finished)
        logger.info("results in %s", folder)
    return RunResult(folder, metrics, finished.warnings)


@dataclass(frozen=True)
class _Means:
    """What stages need to run: where outputs are kept, where the work is done, where progress is shown."""

    cache: StageCache
    engine: Engine
    bars: "_Bars"


def _run_stages(recipe: Recipe, folder: Path, means: _Means) -> Finished:
    """Run the stages, or find their outputs: the graph of the experiment."""
    corpus, voices = _corpus(recipe.corpus, means)
    warnings = _logged((*empty_filters(recipe.features), *corpus.warnings()))
    features = {role: _features(role, corpus.role(role), recipe.features, means) for role in ROLES}
    stores = {role: open_store(output.folder) for role, output in features.items()}
    clipped = {stored.utterance: stored.clipped for store in stores.values() for stored in store.utterances}
    warnings += _logged(clipped_warnings(clipped))
    skipped = write_skipped(folder, corpus, stores)
    ubm = _ubm(recipe, features["background"], means)
    speakers = _speakers(recipe, corpus, ubm, features["enrol"], means)
    scores = _scores(recipe, ubm, speakers, features["test"], means)
    return Finished(corpus, features, ubm, speakers, scores, voices, stores, skipped, warnings)


def _logged(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Put warnings into the log, and give them on."""
    for warning in warnings:
        logger.warning("%s", warning)
    return warnings


def _features(role: str, utterances: Sequence[Utterance], config: FeatureConfig, means: _Means) -> StageOutput:
    """Extract the features of a role."""
    title = f"features of {role}"
    stage = partial(
        stages.extract_features,
        utterances=utterances,
        config=config,
        engine=means.engine,
        tick=means.bars.tick(title),
    )
    inputs = {"config": _plain(config), "utterances": _digests(utterances)}
    return means.cache.obtain("features", VERSIONS["features"], inputs, stage, title=title)


def _ubm(recipe: Recipe, features: StageOutput, means: _Means) -> StageOutput:
    """Train the background model."""
    start = recipe.ubm.initial_model
    inputs: dict[str, JsonValue] = {
        "config": _plain(recipe.ubm.model_copy(update={"initial_model": start and _digest(Path(start))})),
        "seed": recipe.seed,
        "features": features.digest,
    }
    stage = partial(
        stages.train_ubm,
        unfinished=means.cache.unfinished("ubm", VERSIONS["ubm"], inputs),
        features=features.folder,
        config=recipe.ubm,
        seed=recipe.seed,
        engine=means.engine,
        tick=means.bars.tick("background model"),
    )
    return means.cache.obtain("ubm", VERSIONS["ubm"], inputs, stage)


def _speakers(recipe: Recipe, corpus: Corpus, ubm: StageOutput, features: StageOutput, means: _Means) -> StageOutput:
    """Adapt the speakers' models."""
    stage = partial(
        stages.adapt_speakers,
        ubm=ubm.folder / stages.UBM_FILE,
        features=features.folder,
        utterances=corpus.enrol,
        config=recipe.speakers,
        engine=means.engine,
        tick=means.bars.tick("speakers"),
    )
    inputs: dict[str, JsonValue] = {
        "config": _plain(recipe.speakers),
        "ubm": ubm.digest,
        "features": features.digest,
        "speakers": [[utterance.id, utterance.speaker] for utterance in corpus.enrol],
    }
    return means.cache.obtain("speakers", VERSIONS["speakers"], inputs, stage)


def _scores(
    recipe: Recipe, ubm: StageOutput, speakers: StageOutput, features: StageOutput, means: _Means
) -> StageOutput:
    """Score the tests."""
    stage = partial(
        stages.score_tests,
        ubm=ubm.folder / stages.UBM_FILE,
        speakers=speakers.folder / stages.SPEAKERS_FILE,
        features=features.folder,
        config=recipe.scoring,
        engine=means.engine,
        tick=means.bars.tick("scores"),
    )
    inputs: dict[str, JsonValue] = {
        "config": _plain(recipe.scoring),
        "speakers": speakers.digest,
        "features": features.digest,
    }
    return means.cache.obtain("scores", VERSIONS["scores"], inputs, stage)


def _corpus(config: SyntheticConfig | KaldiConfig, means: _Means) -> tuple[Corpus, StageOutput | None]:
    """Read the lists; the embedded voices are recorded first, and then read like any other corpus."""
    if isinstance(config, KaldiConfig):
        return read_kaldi(config), None
    stage = partial(stages.synthesise, config=config, engine=means.engine, tick=means.bars.tick("voices"))
    voices = means.cache.obtain("corpus", VERSIONS["corpus"], {"config": _plain(config)}, stage)
    return read_kaldi(KaldiConfig(root=str(voices.folder))), voices


def _digests(utterances: Sequence[Utterance]) -> JsonValue:
    """Digest the content of the audio files; one that cannot be read has none."""
    return [[utterance.id, _digest(Path(utterance.path))] for utterance in utterances]


def _digest(path: Path) -> str:
    """Digest a file; what is none, or has a name that none can have, is told apart from those that can be read."""
    try:
        if not path.is_file():
            return "no file"
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        return f"unreadable: {error}"


def _plain(config: Configuration) -> JsonValue:
    """Give a configuration as JSON data."""
    data: JsonValue = config.model_dump(mode="json")
    return data


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Write the package's log messages to a file, from the start."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    package = logging.getLogger("speechgmm")
    level = package.level
    package.addHandler(handler)
    package.setLevel(logging.INFO)
    try:
        yield
    finally:
        package.setLevel(level)
        package.removeHandler(handler)
        handler.close()


class _Bars:
    """Progress bars, one for each stage that runs; none when the console is not a terminal."""

    def __init__(self, console: Console | None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=console is None or not console.is_terminal,
        )

    def __enter__(self) -> "_Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tick(self, title: str) -> Tick:
        """Make the function that moves one bar, which appears at its first call."""
        tasks: list[TaskID] = []

        def tick(done: int, total: int) -> None:
            """Move the bar."""
            if not tasks:
                tasks.append(self._progress.add_task(title, total=total))
            self._progress.update(tasks[0], completed=done)

        return tick
