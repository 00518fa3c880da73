"""Models that come with the package, in place of trained ones: stages of ubm, subspace and backend.

A stage holds the models with the front end of the recipe in their headers, which may resample where they did not.
Files: those of the stages that train such models, without tables of iterations.
"""

import csv
import shutil
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path

from pydantic import JsonValue

from speechgmm.corpus.manifest import ROLES, Corpus
from speechgmm.errors import ModelError
from speechgmm.features.extract import FeatureConfig
from speechgmm.features.store.store import open_store
from speechgmm.files import is_file, replacing
from speechgmm.gallery.building import SystemSource
from speechgmm.gallery.pretrained import about_pretrained, intact_source, pretrained_name, pretrained_system
from speechgmm.gmm.adaptation import AdaptationConfig, map_iterate
from speechgmm.gmm.kernels.dense import Kernel
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats, accumulate
from speechgmm.gmm.storage import FrontEnd, load_gmm, save_gmm
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.gmm.training.shards import Part
from speechgmm.parallel.engine import Engine, sum_over
from speechgmm.recipe.cache.outputs import StageKey, StageOutput
from speechgmm.recipe.layout import BACKEND_FILE, SUBSPACE_FILE, UBM_FILE
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.recipe.schema.sections import EmAdaptationConfig, PretrainedVectorsConfig, VectorsConfig
from speechgmm.recipe.shipped import ROOT
from speechgmm.recipe.stages.context import StageContext, to_json
from speechgmm.recipe.stages.features import RoleFeatures, why_empty
from speechgmm.recipe.stages.progress import ProgressCallback
from speechgmm.recipe.stages.subspace import write_warnings
from speechgmm.recipe.stages.ubm import write_ubm
from speechgmm.subspace.backend.config import ScorerConfig, TransformConfig
from speechgmm.subspace.backend.storage import load_backend
from speechgmm.subspace.total_variability.storage import load_total_variability, save_total_variability
from speechgmm.wording import first_few

VERSION = 1
"""Rises whenever the same inputs would give another output."""

TABLE = "speech.csv"
"""The list of the speech that models are trained on, beside their recipe."""


def shipped_source(system: Recipe) -> SystemSource:
    """Return the pretrained system whose models a system takes: that of its front end.

    A ModelError says what is missing: the models, the front end among them, or the bytes that a file once had.
    """
    assert system.ubm.pretrained is not None
    assert isinstance(system.features, FeatureConfig)
    vectors = isinstance(system.vectors, PretrainedVectorsConfig)
    try:
        name = pretrained_name(system.ubm.pretrained, system.features.sample_rate)
        source = pretrained_system(name, system.features, vectors=vectors)
    except ModelError as error:
        raise ModelError(f"{system.name}: ubm.pretrained {error}") from error
    return intact_source(source)


def check_pretrained(recipe: Recipe) -> None:
    """Raise ModelError if a pretrained model of a recipe is not there; its front ends have their rates."""
    for system in recipe.systems_or_self:
        if system.ubm.pretrained is not None:
            shipped_source(system)


def pretrained_models(recipe: Recipe) -> tuple[str, ...]:
    """List the recognisers whose models a recipe takes, each once; its front ends have their rates."""
    named = [
        pretrained_name(system.ubm.pretrained, system.features.sample_rate)
        for system in recipe.systems_or_self
        if system.ubm.pretrained is not None and isinstance(system.features, FeatureConfig)
    ]
    return tuple(dict.fromkeys(named))


def known_recordings(recipe: Recipe, corpus: Corpus) -> tuple[str, ...]:
    """Warn of recordings that pretrained models of a recipe were trained on, as far as their files' names show it."""
    paths = list(dict.fromkeys(each.path for role in ROLES for each in corpus.role(role)))
    warnings = []
    for name in pretrained_models(recipe):
        names = _training_files(about_pretrained(name).recipe)
        if known := [Path(path).name for path in paths if Path(path).stem in names]:
            warnings.append(
                f"{len(known):,} of {len(paths):,} recordings have names of files that {name} was trained on "
                f"({first_few(known)}): if they are these, results are better than for other speakers"
            )
    return tuple(warnings)


@lru_cache(maxsize=2)
def _training_files(recipe: str) -> frozenset[str]:
    """Return the names, without their suffix, of the files that a shipped recipe trains on, as here and as published.

    The lists here put the speaker before the names of speechocean762, and zeros before the speakers of LibriSpeech.
    """
    table = (ROOT / recipe).with_name(TABLE)
    if not is_file(table):
        return frozenset()
    with table.open(encoding="utf-8", newline="") as stream:
        stems = {Path(row["path"]).stem for row in csv.DictReader(stream)}
    published = {stem.partition("-")[2] if stem[0] == "S" else stem.lstrip("L0") for stem in stems}
    return frozenset(stems | published)


def vectors_config(system: Recipe) -> VectorsConfig:
    """Return how a system makes vectors: as its section says, or as the pretrained model does."""
    assert system.vectors is not None
    if not isinstance(system.vectors, PretrainedVectorsConfig):
        return system.vectors
    config = shipped_source(system).config.vectors
    assert config is not None
    return config


def scorer_of(system: Recipe) -> str:
    """Return the name of the step by which a back end scores, the system's own or the pretrained one."""
    return (system.backend or shipped_steps(shipped_source(system)))[-1].step


def shipped_steps(source: SystemSource) -> tuple[TransformConfig | ScorerConfig, ...]:
    """Return the steps of a pretrained back end."""
    return load_backend(source.files[BACKEND_FILE]).configs


def pretrained_background(
    system: Recipe, background: RoleFeatures, context: StageContext, system_label: str
) -> StageOutput:
    """Find the pretrained background model, adapted to the background if the recipe says so; the label ends titles."""
    source, config = shipped_source(system), system.ubm
    front_end = to_json(system.features)
    assert isinstance(front_end, dict)
    title = f"ubm{system_label}" if config.adapt is None else f"ubm as shipped{system_label}"
    inputs: dict[str, JsonValue] = {"pretrained": source.config.digests[UBM_FILE], "front_end": front_end}
    work = partial(_write_shipped_ubm, source=source.files[UBM_FILE], front_end=front_end)
    shipped = context.output(StageKey("ubm", VERSION, inputs), work, title)
    if config.adapt is None:
        return shipped
    inputs = {
        "ubm": shipped.digest,
        "config": config.model_dump(mode="json", exclude={"pretrained"}),
        "seed": system.seed,
        "features": background.features.digest,
        "utterances": list[JsonValue](background.ids),
    }
    key = StageKey("ubm", VERSION, inputs)
    work = partial(
        _write_adapted_ubm,
        unfinished=context.cache.unfinished(key),
        ubm=shipped.folder / UBM_FILE,
        features=background.features.folder,
        utterances=background.ids,
        adaptation=config.adapt,
        kernel=config.kernel,
        seed=system.seed,
    )
    return context.output(key, work, f"ubm{system_label}")


def shipped_factors(
    source: SystemSource, ubm: StageOutput, front_end: FeatureConfig, context: StageContext, title: str
) -> StageOutput:
    """Find the factors of a pretrained system of i-vectors."""
    data = to_json(front_end)
    assert isinstance(data, dict)
    inputs: dict[str, JsonValue] = {
        "pretrained": source.config.digests[SUBSPACE_FILE],
        "ubm": ubm.digest,
        "front_end": data,
    }
    work = partial(_write_shipped_factors, source=source.files[SUBSPACE_FILE], front_end=data)
    return context.output(StageKey("subspace", VERSION, inputs), work, title)


def shipped_backend(source: SystemSource, context: StageContext, title: str) -> StageOutput:
    """Find the back end of a pretrained system."""
    inputs: dict[str, JsonValue] = {"pretrained": source.config.digests[BACKEND_FILE]}
    work = partial(_write_shipped_backend, source=source.files[BACKEND_FILE])
    return context.output(StageKey("backend", VERSION, inputs), work, title)


def _write_shipped_ubm(
    folder: Path, _engine: Engine, _progress: ProgressCallback, *, source: Path, front_end: FrontEnd
) -> None:
    """Write a pretrained background model with the front end of a recipe."""
    save_gmm(folder / UBM_FILE, load_gmm(source), front_end=front_end)


def _write_shipped_factors(
    folder: Path, _engine: Engine, _progress: ProgressCallback, *, source: Path, front_end: FrontEnd
) -> None:
    """Write pretrained factors with the front end of a recipe; their loadings are in half precision as they came."""
    save_total_variability(folder / SUBSPACE_FILE, load_total_variability(source), front_end=front_end, half=True)
    write_warnings(folder, ())


def _write_shipped_backend(folder: Path, _engine: Engine, _progress: ProgressCallback, *, source: Path) -> None:
    """Copy a pretrained back end; doubts about its training are not the user's."""
    with replacing(folder / BACKEND_FILE) as temporary:
        shutil.copyfile(source, temporary)
    write_warnings(folder, ())


def _write_adapted_ubm(
    folder: Path,
    engine: Engine,
    progress: ProgressCallback,
    *,
    unfinished: Path,
    ubm: Path,
    features: Path,
    utterances: Sequence[str],
    adaptation: AdaptationConfig | EmAdaptationConfig,
    kernel: Kernel,
    seed: int,
) -> None:
    """Adapt a background model to utterances of a feature store."""
    gmm = load_gmm(ubm)
    if isinstance(adaptation, EmAdaptationConfig):
        config = TrainingConfig(
            n_components=gmm.n_components,
            initial_model=str(ubm),
            n_iterations=adaptation.n_iterations,
            starving="keep",  # reseeding would forget what the own background lacks
            kernel=kernel,
        )
        write_ubm(
            folder,
            engine,
            progress,
            unfinished=unfinished,
            features=features,
            utterances=utterances,
            config=config,
            seed=seed,
        )
        return
    store = open_store(features)
    parts = [Part(str(path), path, None, start, stop) for path, start, stop in store.ranges(utterances)]
    if not parts:
        raise ModelError(f"there is nothing to adapt the UBM to: {why_empty(store)}")
    done = 0

    def statistics(model: DiagonalGMM) -> SufficientStats:
        """Accumulate those of all utterances under a model, and move the bar by an iteration."""
        nonlocal done
        total = sum_over(partial(_accumulate, model, kernel), parts, engine)
        done += 1
        progress(done, adaptation.n_iterations)
        return total

    progress(0, adaptation.n_iterations)
    save_gmm(folder / UBM_FILE, map_iterate(gmm, statistics, adaptation), front_end=store.front_end)


def _accumulate(gmm: DiagonalGMM, kernel: Kernel, part: Part) -> SufficientStats:
    """Accumulate the statistics of a part of the background, on a worker."""
    return accumulate(gmm, part.frames(), kernel=kernel)
