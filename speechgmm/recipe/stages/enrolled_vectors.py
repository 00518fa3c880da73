"""Speakers and scores of systems on vectors, as stages: a back end makes a model of a speaker's vectors.

Files of ``speakers``: ``speakers.safetensors``. Of ``scores``: those of a score matrix.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import Float64Array
from speechgmm.gmm.storage import read_header
from speechgmm.parallel.engine import Engine, map_in_order
from speechgmm.recipe.cache.outputs import StageKey, StageOutput
from speechgmm.recipe.layout import BACKEND_FILE, SPEAKERS_FILE
from speechgmm.recipe.schema.sections import VectorsConfig
from speechgmm.recipe.stages.context import StageContext
from speechgmm.recipe.stages.progress import ProgressCallback
from speechgmm.recipe.stages.scores import VERSION as SCORES_VERSION
from speechgmm.recipe.stages.scores import write_score_blocks
from speechgmm.recipe.stages.sessions import rows_of_models
from speechgmm.recipe.stages.speakers import VERSION as SPEAKERS_VERSION
from speechgmm.recipe.stages.speakers import SpeakerModels, inputs_of_enrolment
from speechgmm.recipe.stages.vectors import Extractor, RoleVectors, load_vectors, names_of, opened_extractor
from speechgmm.subspace.backend.chain import Backend
from speechgmm.subspace.backend.scorer import EnrolledVectors
from speechgmm.subspace.backend.storage import load_backend, load_enrolled, save_enrolled
from speechgmm.subspace.extraction import extract_vectors
from speechgmm.subspace.statistics import StackedStats, StatsStore
from speechgmm.subspace.vectors import IVectorConfig, Vectors


def enrolled_vectors(
    extractor: Extractor, backend: StageOutput, role: RoleVectors, context: StageContext, title: str
) -> SpeakerModels:
    """Enrol a role's speakers, or find their models."""
    features = role.statistics.role
    pooled = isinstance(extractor.config, IVectorConfig) and extractor.config.pooled
    inputs: dict[str, JsonValue] = {
        "backend": backend.digest,
        "vectors": role.vectors.digest,
        "pooled": extractor.inputs if pooled else None,
        "speakers": inputs_of_enrolment(features),
        "speaker_of": dict(features.speaker_of),
    }
    work = partial(
        write_enrolled_vectors,
        backend=backend.folder / BACKEND_FILE,
        vectors=role.vectors.folder,
        pooled=_Pooling(extractor, role) if pooled else None,
        enrols={each.id: each.enrols for each in features.utterances},
        speaker_of=features.speaker_of,
    )
    speakers = context.output(StageKey("speakers", SPEAKERS_VERSION, inputs), work, title)
    return SpeakerModels(extractor.ubm, speakers, features.speaker_of, factors=extractor.factors, backend=backend)


class _Pooling:
    """What makes one vector of all recordings of a model; a small value that workers are sent."""

    def __init__(self, extractor: Extractor, role: RoleVectors) -> None:
        self.config: VectorsConfig = extractor.config
        self.model = extractor.model
        self.covariances = extractor.covariances
        self.statistics = role.statistics.statistics.folder

    def vectors(self, rows: Sequence[int]) -> Vectors:
        """Extract the vector of the sum of the statistics of some recordings."""
        part = StatsStore(self.statistics).rows(rows)
        summed = StackedStats(part.zeroth.sum(axis=0)[None], part.first.sum(axis=0)[None], part.n_frames.sum()[None])
        model = opened_extractor(self.config, self.model)
        return extract_vectors(self.config, model, summed, covariances=self.covariances)


def write_enrolled_vectors(
    folder: Path,
    engine: Engine,
    progress: ProgressCallback,
    *,
    backend: Path,
    vectors: Path,
    pooled: _Pooling | None,
    enrols: Mapping[str, str],
    speaker_of: Mapping[str, str],
) -> None:
    """Write the model of each speaker who has vectors."""
    rows_by_model = rows_of_models(names_of(vectors), enrols)
    items = [(speaker_of[name], rows) for name, rows in rows_by_model.items()]
    models: list[EnrolledVectors] = []
    progress(0, len(items))
    for model in map_in_order(partial(_enrol, backend, vectors, pooled), items, engine):
        models.append(model)
        progress(len(models), len(items))
    save_enrolled(folder / SPEAKERS_FILE, tuple(rows_by_model), EnrolledVectors.stack(models))


def vector_scores(models: SpeakerModels, test: RoleVectors, context: StageContext, title: str) -> StageOutput:
    """Score vectors against models of the same back end, or find the scores."""
    assert models.backend is not None
    inputs: dict[str, JsonValue] = {
        "backend": models.backend.digest,
        "speakers": models.speakers.digest,
        "vectors": test.vectors.digest,
    }
    work = partial(
        write_vector_scores,
        backend=models.backend.folder / BACKEND_FILE,
        speakers=models.speakers.folder / SPEAKERS_FILE,
        vectors=test.vectors.folder,
    )
    return context.output(StageKey("scores", SCORES_VERSION, inputs), work, title)


def write_vector_scores(
    folder: Path, engine: Engine, progress: ProgressCallback, *, backend: Path, speakers: Path, vectors: Path
) -> None:
    """Score all stored vectors against every model."""
    score = partial(_score, backend, speakers, vectors)
    write_score_blocks(folder, engine, progress, read_header(speakers).names, names_of(vectors), score)


@lru_cache(maxsize=2)
def _backend(path: Path) -> Backend:
    """Read a back end, once in a worker."""
    return load_backend(path)


@lru_cache(maxsize=2)
def _enrolled(path: Path) -> EnrolledVectors:
    """Read models, once in a worker."""
    return load_enrolled(path)[1]


@lru_cache(maxsize=2)
def _row_of(vectors: Path) -> dict[str, int]:
    """Return the row of each recording, once in a worker."""
    return {name: row for row, name in enumerate(names_of(vectors))}


def _enrol(backend: Path, vectors: Path, pooled: _Pooling | None, item: tuple[str, Sequence[int]]) -> EnrolledVectors:
    """Enrol one speaker."""
    speaker, rows = item
    return _backend(backend).enrol(pooled.vectors(rows) if pooled else load_vectors(vectors, rows), speaker)


def _score(backend: Path, speakers: Path, vectors: Path, tests: Sequence[str]) -> Float64Array:
    """Score a block of tests against all models."""
    rows = [_row_of(vectors)[test] for test in tests]
    scores: Float64Array = np.asarray(_backend(backend).score(_enrolled(speakers), load_vectors(vectors, rows)))
    return scores
