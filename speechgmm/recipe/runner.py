"""Running a recipe: which stage needs what, what is there already, and the folder of results."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from rich.console import Console

from speechgmm.corpus.commands import commands_of, files_among, output_paths
from speechgmm.corpus.formats import CorpusConfig, read_corpus
from speechgmm.corpus.kaldi import KaldiConfig
from speechgmm.corpus.manifest import ROLES, Corpus, Utterance
from speechgmm.corpus.synthetic import SyntheticConfig
from speechgmm.errors import CorpusError, ModelError
from speechgmm.features.cepstra_config import empty_filters
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.store import clipped_warnings
from speechgmm.parallel import Engine
from speechgmm.recipe import stages
from speechgmm.recipe.cache import StageCache, StageOutput
from speechgmm.recipe.calibrating import Calibrated, check_list, common, cross_fit, on_trials
from speechgmm.recipe.loader import load_recipe
from speechgmm.recipe.progress import Bars
from speechgmm.recipe.results import Finished, clear_results, write_results, write_skipped
from speechgmm.recipe.schema import Recipe
from speechgmm.recipe.stages import Scores
from speechgmm.recipe.system import VERSIONS, Means, Voices, build_system, digest, extract_voices, plain

logger = logging.getLogger(__name__)


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
    with _log_to(folder / "log.txt"), Bars(console) as bars:
        clear_results(folder)
        logger.info("run of %s, seed %d, on %s with %d jobs", recipe.name, recipe.seed, engine.kind, engine.n_jobs)
        finished = _run_stages(recipe, folder, Means(StageCache(results / ".cache"), engine, bars))
        metrics = write_results(folder, recipe, finished)
        logger.info("results in %s", folder)
    return RunResult(folder, metrics, finished.warnings, finished.outputs)


def _run_stages(recipe: Recipe, folder: Path, means: Means) -> Finished:
    """Run the stages, or find their outputs: the graph of the experiment."""
    corpus, recorded = _corpus(recipe.corpus, means)
    check_list(recipe, corpus)
    warnings = _logged(corpus.warnings())
    outputs: tuple[StageOutput, ...] = (recorded,) if recorded else ()
    voices: list[dict[str, Voices]] = []
    for member in recipe.members:
        of = f", {member.name}" if recipe.systems else ""
        if isinstance(member.features, FeatureConfig):
            warnings += _logged(empty_filters(member.features))
        voices.append(
            {
                role: extract_voices(f"features of {role}{of}", corpus.role(role), member.features, means)
                for role in ROLES
            }
        )
        outputs += tuple(each.features for each in voices[-1].values())
    stores = {
        member.name: {role: each.store for role, each in own.items()}
        for member, own in zip(recipe.members, voices, strict=True)
    }
    clipped = {
        stored.utterance: stored.clipped
        for own in stores.values()
        for store in own.values()
        for stored in store.utterances
    }
    warnings += _logged(clipped_warnings(clipped))
    skipped = write_skipped(folder, corpus, stores)
    systems = []
    for member, own in zip(recipe.members, voices, strict=True):
        of = f" of {member.name}" if recipe.systems else ""
        systems.append(build_system(member, own["background"], own["enrol"], own["test"], means, of))
        outputs += systems[-1].outputs
    untrained = {name: system.untrained for name, system in zip(stores, systems, strict=True)}
    if any(untrained.values()):
        skipped = write_skipped(folder, corpus, stores, untrained)
    scores = common([system.scores for system in systems])
    calibrated, more, why_not = _calibrated(recipe, scores, voices, corpus, means)
    warnings += _logged(why_not)
    return Finished(corpus, stores, tuple(systems), scores, calibrated, (*outputs, *more), skipped, warnings)


def _calibrated(
    recipe: Recipe, scores: Sequence[Scores], voices: Sequence[Mapping[str, Voices]], corpus: Corpus, means: Means
) -> tuple[Calibrated | None, tuple[StageOutput, ...], tuple[str, ...]]:
    """Calibrate, if the recipe says so and the data allow it; give the stages that it took, and why it could not be."""
    if recipe.calibration.method == "none":
        return None, (), ()
    try:
        if recipe.calibration.on != "background":
            return on_trials(recipe, scores, corpus, voices[0]["test"].store), (), ()
        return *cross_fit(recipe, [own["background"] for own in voices], corpus, means), ()
    except (CorpusError, ModelError) as error:
        return None, (), (f"the scores are not calibrated: {error}",)


def _logged(warnings: tuple[str, ...]) -> tuple[str, ...]:
    """Put warnings into the log, and give them on."""
    for warning in warnings:
        logger.warning("%s", warning)
    return warnings


def _corpus(config: CorpusConfig, means: Means) -> tuple[Corpus, StageOutput | None]:
    """Read the lists; the embedded voices are recorded first, and then read like any other corpus."""
    if not isinstance(config, SyntheticConfig):
        return _recorded(read_corpus(config), Path(config.root), means)
    stage = partial(stages.synthesise, config=config, engine=means.engine, tick=means.bars.tick("voices"))
    voices = means.cache.obtain("corpus", VERSIONS["corpus"], {"config": plain(config)}, stage)
    return read_corpus(KaldiConfig(root=str(voices.folder))), voices


def _recorded(corpus: Corpus, root: Path, means: Means) -> tuple[Corpus, StageOutput | None]:
    """Put the output of commands in their place, if there are any among the paths."""
    commands = commands_of([utterance for role in ROLES for utterance in corpus.role(role)])
    if not commands:
        return corpus, None
    inputs: dict[str, JsonValue] = {
        "commands": [[each, [digest(path) for path in files_among(each, root)]] for each in commands]
    }
    tick = means.bars.tick("commands")
    stage = partial(stages.run_commands, commands=commands, root=root, engine=means.engine, tick=tick)
    recorded = means.cache.obtain("corpus", VERSIONS["corpus"], inputs, stage, title="commands")
    paths = output_paths(recorded.folder, commands)

    def heard(utterances: Sequence[Utterance]) -> tuple[Utterance, ...]:
        """Name the files."""
        return tuple(replace(each, path=str(paths.get(each.path, each.path))) for each in utterances)

    own = {role: heard(corpus.role(role)) for role in ROLES}
    return replace(corpus, background=own["background"], enrol=own["enrol"], test=own["test"]), recorded


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
