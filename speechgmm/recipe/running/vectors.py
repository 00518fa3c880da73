"""Vectors of recordings by the models of a recipe: of those of its corpus, or of any others, written to a file."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from speechgmm.arrays import Float64Array
from speechgmm.corpus.manifest import ROLES, Corpus, Role, Utterance
from speechgmm.errors import CorpusError, ModelError, RecipeError
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.formats.vectors import check_vector_file, write_vectors
from speechgmm.features.store.store import FeatureStore, UnusableUtterance, clipped_warnings, open_store
from speechgmm.features.store.writing import Source, write_store
from speechgmm.files import WRITING
from speechgmm.gmm.kernels.dense import TorchKernel
from speechgmm.parallel.engine import Engine, map_in_order, workers
from speechgmm.recipe.cache.outputs import StageCache, StageOutput
from speechgmm.recipe.graph.experiment import ExperimentFeatures, experiment_stages
from speechgmm.recipe.layout import CACHE, SUBSPACE_FILE, UBM_FILE
from speechgmm.recipe.running.runner import audio_warnings_of
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.schema.sections import VectorsConfig
from speechgmm.recipe.stages.context import StageRunner, StoppedEarly
from speechgmm.recipe.stages.features import RoleFeatures
from speechgmm.recipe.stages.pretrained import vectors_config
from speechgmm.recipe.stages.progress import ProgressBars
from speechgmm.recipe.stages.rates import ResolvedRecipe
from speechgmm.recipe.stages.statistics import role_statistics, write_role_statistics
from speechgmm.recipe.stages.subspace import load_warnings
from speechgmm.recipe.stages.vectors import opened_extractor
from speechgmm.subspace.extraction import extract_vectors
from speechgmm.subspace.statistics import RECORDINGS_AT_ONCE, StatsStore

LAST_STAGE = "subspace"
"""The last stage that vectors need: those of the corpus are extracted from stored statistics, block by block."""


@dataclass(frozen=True)
class WrittenVectors:
    """What was written, and what could not be."""

    n_vectors: int  # 0 if no recording could be used, and nothing is written
    dimension: int
    renamed: bool  # whether white space in names is written as _
    unusable: tuple[UnusableUtterance, ...]
    warnings: tuple[str, ...]  # about the recordings and the models
    stages: tuple[StageOutput, ...]  # of the recipe, done or found


@dataclass(frozen=True)
class _Group:
    """Recordings with statistics."""

    features: FeatureStore
    statistics: StatsStore
    rows: tuple[int, ...]  # of the statistics of those to write

    @property
    def names(self) -> list[str]:
        """Names of the recordings to write."""
        return [self.statistics.names[row] for row in self.rows]


@dataclass(frozen=True)
class _Models:
    """A system that makes vectors: its background model and, of i-vectors, its factors."""

    resolved: ResolvedRecipe
    config: VectorsConfig
    ubm: StageOutput
    factors: StageOutput | None

    @property
    def ubm_file(self) -> Path:
        """The file of the background model."""
        return self.ubm.folder / UBM_FILE

    @property
    def warnings(self) -> tuple[str, ...]:
        """Which rate was taken of several, and what is doubtful about the factors."""
        return self.resolved.warnings + (load_warnings(self.factors.folder) if self.factors else ())

    def vectors(self, groups: Sequence[_Group], engine: Engine) -> Iterator[Float64Array]:
        """Extract the vectors of recordings, in blocks of a fixed size."""
        model = self.factors.folder / SUBSPACE_FILE if self.factors else self.ubm_file
        for group in groups:
            starts = range(0, len(group.rows), RECORDINGS_AT_ONCE)
            blocks = [group.rows[start : start + RECORDINGS_AT_ONCE] for start in starts]
            extract = partial(_extract, self.config, model, group.statistics.folder)
            for block in map_in_order(extract, blocks, engine):
                yield from block


def write_recipe_vectors(
    recipe: Recipe,
    out: Path,
    *,
    recordings: Sequence[Source] | None = None,
    roles: Sequence[Role] = ROLES,
    results: str | Path = "results",
    engine: Engine | None = None,
    kernel: TorchKernel | None = None,
    console: Console | None = None,
) -> WrittenVectors:
    """Write the vectors of recordings, or those of roles of the recipe's corpus, to a file.

    The models are trained, or found stored, as `run` would until its stage of vectors. A recording has the same vector
    in the corpus and beside it. Nothing is written if no recording can be used. Raises RecipeError for a recipe of
    another kind, and otherwise what `run` and `write_vectors` raise.
    """
    recipe = recipe if kernel is None else recipe.with_kernel(kernel)
    _check_makes_vectors(recipe, has_audio=recordings is not None)
    if missing := recipe.missing_kernels():
        raise ModelError("; ".join(missing))
    check_vector_file(out, _names_in_file(out, [each.utterance for each in recordings or ()]))
    if recordings is not None:
        roles = ()
    engine, results = engine or Engine("processes"), Path(results).resolve()  # workers may be in another folder
    with ProgressBars(console) as bars, workers(engine):
        runner = StageRunner(StageCache(results / CACHE), engine, bars, LAST_STAGE)
        resolved, features, taken = _run_stages(recipe, runner, out, roles)
        stages = {output.title: output for output in runner.outputs}
        models = _Models(resolved, vectors_config(resolved.recipe), stages["ubm"], stages.get("subspace"))
        if recordings is not None:
            with _folder_beside(out) as folder:
                return _write(models, [_other_group(models, recordings, folder, runner)], out, runner)
        trained = resolved.recipe.ubm
        statistics = {
            role: role_statistics(models.ubm, trained.kernel, features[role], runner, f"statistics of {role}")
            for role in roles
            if features[role].utterances
        }
        groups = [_corpus_group(features[role].store, each.store, taken[role]) for role, each in statistics.items()]
        return _write(models, groups, out, runner)


def _check_makes_vectors(recipe: Recipe, *, has_audio: bool) -> None:
    """Refuse a recipe that makes no vectors, and recordings where it takes no audio."""
    if recipe.sweep is not None:
        raise RecipeError(
            f"{recipe.name}: sweep: a series of experiments, and vectors are of one; expected a recipe of one, or the "
            "results folder of one of its points"
        )
    if recipe.systems:
        fit = [system.name for system in recipe.systems if system.vectors is not None]
        names = ", ".join(system.name for system in recipe.systems)
        hint = f"the recipe of {' or '.join(fit)} alone" if fit else "a recipe with the section vectors; none has it"
        raise RecipeError(f"{recipe.name}: a fusion of {names}, and vectors are of one system; expected {hint}")
    if recipe.vectors is None:
        raise RecipeError(
            f"{recipe.name}: speakers.method {recipe.speakers.method} makes models of speakers, and no vectors of "
            "recordings; expected a recipe with the section vectors, as in vectors: {kind: ivector} and backend: "
            "[center, length, plda]"
        )
    if has_audio and not isinstance(recipe.features, FeatureConfig):
        raise RecipeError(
            f"{recipe.name}: features.kind {recipe.features.kind}: its models are of imported features, and cannot "
            "take audio; expected no recordings, for the vectors of its corpus"
        )


def _run_stages(
    recipe: Recipe, runner: StageRunner, out: Path, roles: Sequence[Role]
) -> tuple[ResolvedRecipe, dict[str, RoleFeatures], dict[Role, frozenset[str]]]:
    """Run the stages that vectors need; return the recipe, the features of each role, and the names that each gives.

    Names are checked before anything is trained.
    """
    resolved, features = ResolvedRecipe(recipe), dict[str, RoleFeatures]()
    taken: dict[Role, frozenset[str]] = {}
    with suppress(StoppedEarly):
        for step in experiment_stages(recipe, runner):
            match step:
                case Corpus() as corpus:
                    taken = _each_once({role: corpus.role(role) for role in roles})
                    ids = [each.id for role in roles for each in corpus.role(role) if each.id in taken[role]]
                    check_vector_file(out, _names_in_file(out, ids))
                case ResolvedRecipe() as resolved:
                    pass
                case ExperimentFeatures(roles=(by_role,)):
                    features = dict(by_role)
    return resolved, features, taken


def _each_once(roles: Mapping[Role, Sequence[Utterance]]) -> dict[Role, frozenset[str]]:
    """Return the recordings that each role gives: those that none before it has; refuse two of one name."""
    known: dict[str, tuple[Role, Utterance]] = {}
    for role, utterances in roles.items():
        for utterance in utterances:
            before, other = known.setdefault(utterance.id, (role, utterance))
            if other.audio != utterance.audio:
                raise CorpusError(
                    f"{utterance.id}: another recording in {role} than in {before}, and a file of vectors has one of "
                    f"each name; expected --role {before} or --role {role}"
                )
    return {role: frozenset(name for name, (first, _) in known.items() if first == role) for role in roles}


def _names_in_file(out: Path, names: Sequence[str]) -> list[str]:
    """Return names as a file holds them: Kaldi's cannot hold white space."""
    return [re.sub(r"\s", "_", name) for name in names] if out.suffix.lower() == ".ark" else list(names)


def _corpus_group(features: FeatureStore, statistics: StatsStore, taken: frozenset[str]) -> _Group:
    """Return those recordings of a role that no other role gives."""
    return _Group(features, statistics, tuple(row for row, name in enumerate(statistics.names) if name in taken))


def _other_group(models: _Models, recordings: Sequence[Source], folder: Path, runner: StageRunner) -> _Group:
    """Extract features and statistics of recordings beside the corpus, in a folder that is removed afterwards."""
    recipe = models.resolved.recipe
    assert isinstance(recipe.features, FeatureConfig)
    progress = runner.bars.callback("features of the recordings")
    progress(0, len(recordings))
    for n_done in write_store(folder / "features", recordings, recipe.features, runner.engine):
        progress(n_done, len(recordings))
    features = open_store(folder / "features")
    statistics = folder / "statistics"
    if not features.utterances:
        return _Group(features, StatsStore(statistics), ())
    statistics.mkdir()
    write_role_statistics(
        statistics,
        runner.engine,
        runner.bars.callback("statistics of the recordings"),
        ubm=models.ubm_file,
        kernel=recipe.ubm.kernel,
        features=features.folder,
        utterances=[each.utterance for each in recordings],
    )
    return _Group(features, StatsStore(statistics), tuple(range(len(features.utterances))))


@contextmanager
def _folder_beside(out: Path) -> Iterator[Path]:
    """Create a temporary folder beside a file, and remove it in the end; interrupted workers may still write to it."""
    parent = out.resolve().parent
    parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=WRITING, dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _write(models: _Models, groups: Sequence[_Group], out: Path, runner: StageRunner) -> WrittenVectors:
    """Write the vectors of groups; write nothing if there are none."""
    names = [name for group in groups for name in group.names]
    names_in_file = _names_in_file(out, names)
    progress, dimension = runner.bars.callback("vectors"), 0

    def counted() -> Iterator[Float64Array]:
        """Pass vectors on, and move the bar."""
        nonlocal dimension
        progress(0, len(names))
        for n_done, vector in enumerate(models.vectors(groups, runner.engine), 1):
            dimension = len(vector)
            yield vector
            progress(n_done, len(names))

    if names:
        write_vectors(out, names_in_file, counted())
    warnings = (*models.warnings, *_audio_warnings(groups, {*names}))
    outputs = tuple(runner.outputs)
    return WrittenVectors(len(names), dimension, names_in_file != names, _unusable(groups), warnings, outputs)


def _extract(config: VectorsConfig, model: Path, statistics: Path, rows: Sequence[int]) -> Float64Array:
    """Extract the vectors of some recordings, shape (U, R)."""
    return extract_vectors(config, opened_extractor(config, model), _opened_statistics(statistics).rows(rows)).values


@lru_cache(maxsize=2)
def _opened_statistics(folder: Path) -> StatsStore:
    """Open statistics, once in a worker."""
    return StatsStore(folder)


def _unusable(groups: Sequence[_Group]) -> tuple[UnusableUtterance, ...]:
    """List the recordings that could not be used, each once."""
    return tuple({each.utterance: each for group in groups for each in group.features.unusable}.values())


def _audio_warnings(groups: Sequence[_Group], names: set[str]) -> tuple[str, ...]:
    """List what is odd about the recordings that were used."""
    stores = {"": {str(number): group.features for number, group in enumerate(groups)}}
    clipped = {
        each.utterance: each.clipped
        for group in groups
        for each in group.features.utterances
        if each.utterance in names
    }
    return (*audio_warnings_of(stores), *clipped_warnings(clipped))
