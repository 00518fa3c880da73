"""Vectors of every recording of a role, as a stage.

Files: ``vectors.npy`` (U, R), ``recordings.json`` with their names, and ``covariances.npy`` (U, R, R) where the back
end propagates them.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydantic import JsonValue

from speechgmm.files import replacing, write_json
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.storage import load_gmm
from speechgmm.parallel.engine import Engine, map_in_order
from speechgmm.recipe.cache.outputs import StageKey, StageOutput
from speechgmm.recipe.layout import SUBSPACE_FILE, UBM_FILE
from speechgmm.recipe.schema.sections import VectorsConfig
from speechgmm.recipe.stages.context import StageContext, to_json
from speechgmm.recipe.stages.progress import ProgressCallback
from speechgmm.recipe.stages.statistics import RoleStatistics
from speechgmm.subspace.extraction import extract_vectors
from speechgmm.subspace.statistics import RECORDINGS_AT_ONCE, StatsStore, write_header
from speechgmm.subspace.total_variability.model import TotalVariability
from speechgmm.subspace.total_variability.storage import load_total_variability
from speechgmm.subspace.vectors import IVectorConfig, Vectors

VERSION = 1
"""Rises whenever the same inputs would give another output."""

VECTORS_FILE, NAMES_FILE, COVARIANCES_FILE = "vectors.npy", "recordings.json", "covariances.npy"


@dataclass(frozen=True)
class Extractor:
    """What makes vectors of statistics: a kind of vectors, and the models that it needs."""

    config: VectorsConfig
    ubm: StageOutput
    factors: StageOutput | None  # of i-vectors
    covariances: bool  # whether the back end propagates those of the posteriors

    @property
    def inputs(self) -> dict[str, JsonValue]:
        """What vectors depend on beside the statistics."""
        config = (
            self.config.model_copy(update={"pooled": False}) if isinstance(self.config, IVectorConfig) else self.config
        )
        return {
            "config": to_json(config),
            "ubm": self.ubm.digest,
            "subspace": self.factors.digest if self.factors else None,
            "covariances": self.covariances,
        }

    @property
    def model(self) -> Path:
        """The file of the model that vectors are extracted with."""
        return self.factors.folder / SUBSPACE_FILE if self.factors else self.ubm.folder / UBM_FILE


@dataclass(frozen=True)
class RoleVectors:
    """A role, and the vectors of those of its recordings that have statistics."""

    statistics: RoleStatistics
    vectors: StageOutput


def role_vectors(extractor: Extractor, statistics: RoleStatistics, context: StageContext, title: str) -> RoleVectors:
    """Extract the vectors of a role's recordings, or find them."""
    inputs = {**extractor.inputs, "statistics": statistics.statistics.digest}
    work = partial(
        write_role_vectors,
        model=extractor.model,
        config=extractor.config,
        covariances=extractor.covariances,
        statistics=statistics.statistics.folder,
    )
    return RoleVectors(statistics, context.output(StageKey("vectors", VERSION, inputs), work, title))


def write_role_vectors(
    folder: Path,
    engine: Engine,
    progress: ProgressCallback,
    *,
    model: Path,
    config: VectorsConfig,
    covariances: bool,
    statistics: Path,
) -> None:
    """Write the vectors of all recordings of a store of statistics, a block at a time."""
    store = StatsStore(statistics)
    blocks = [
        range(start, min(start + RECORDINGS_AT_ONCE, len(store))) for start in range(0, len(store), RECORDINGS_AT_ONCE)
    ]
    progress(0, len(store))
    parts = map_in_order(partial(_vectors_of_rows, model, config, covariances, statistics), blocks, engine)
    first = next(parts)
    shape = len(store), first.dimension
    with ExitStack() as stack:
        values = _array_file(stack, folder / VECTORS_FILE, shape)
        uncertain = _array_file(stack, folder / COVARIANCES_FILE, (*shape, shape[1])) if covariances else None
        n_done = 0
        for part in chain([first], parts):
            values.write(part.values.data)
            if uncertain and part.covariances is not None:
                uncertain.write(part.covariances.data)
            n_done += len(part)
            progress(n_done, len(store))
    write_json(folder / NAMES_FILE, {"names": list(store.names)})


def _array_file(stack: ExitStack, path: Path, shape: tuple[int, ...]) -> BinaryIO:
    """Open a `.npy` file for its rows, which takes its place when the stack ends."""
    stream = stack.enter_context(stack.enter_context(replacing(path)).open("wb"))
    write_header(stream, shape)
    return stream


def names_of(folder: Path) -> tuple[str, ...]:
    """Read the names of the recordings whose vectors a folder holds, in their order."""
    return tuple(json.loads((folder / NAMES_FILE).read_text(encoding="utf-8"))["names"])


def load_vectors(folder: Path, rows: Sequence[int] | None = None) -> Vectors:
    """Read the vectors of a folder, all or some of them."""
    chosen = slice(None) if rows is None else list(rows)
    file = folder / COVARIANCES_FILE
    covariances = np.load(file, mmap_mode="r")[chosen] if file.exists() else None
    return Vectors(np.load(folder / VECTORS_FILE, mmap_mode="r")[chosen], covariances)


def _vectors_of_rows(model: Path, config: VectorsConfig, covariances: bool, statistics: Path, rows: range) -> Vectors:
    """Extract the vectors of some recordings."""
    return extract_vectors(
        config, opened_extractor(config, model), StatsStore(statistics).rows(rows), covariances=covariances
    )


@lru_cache(maxsize=2)
def opened_extractor(config: VectorsConfig, path: Path) -> TotalVariability | DiagonalGMM:
    """Read the model that extracts vectors, once in a worker: that of total variability, or the background model."""
    return load_total_variability(path) if isinstance(config, IVectorConfig) else load_gmm(path)
