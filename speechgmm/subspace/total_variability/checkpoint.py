"""The state of a training on disk, so that one that was killed resumes where it was, with the same bits."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from speechgmm.configuration import fingerprint
from speechgmm.errors import CheckpointError
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.training.checkpoint import load_training, save_training
from speechgmm.subspace.statistics import StackedStats, StatsStore, identify_statistics
from speechgmm.subspace.total_variability.history import HISTORY, FactorIteration
from speechgmm.subspace.total_variability.model import TotalVariability
from speechgmm.subspace.total_variability.storage import ARRAYS, KIND
from speechgmm.subspace.vectors import IVectorConfig
from speechgmm.tensors import Arrays, FileFormat, content_digest

STATE_FORMAT = FileFormat(
    "state of a training",
    CheckpointError,
    unreadable="not readable as the state of a training",
    foreign="not readable as the state of a training of factors",
    key="speechgmm_factors",
    digest=content_digest,
)


@dataclass(frozen=True, eq=False)
class FactorState:
    """What the next iteration depends on, besides statistics and configuration."""

    model: TotalVariability
    history: tuple[FactorIteration, ...] = ()  # all iterations so far


def save_state(path: Path, state: FactorState, training: str) -> None:
    """Write a state in one step; `training` is a digest that identifies this training."""
    arrays = {name: getattr(state.model, name) for name in ARRAYS}
    save_training(path, STATE_FORMAT, training, state.history, arrays, kind=KIND)


def load_state(path: Path, training: str) -> FactorState | None:
    """Read a state, or None if there is no such file; errors are those of `load_training`."""

    def state(arrays: Arrays, history: list[FactorIteration]) -> FactorState:
        """Make the state from what its file holds."""
        return FactorState(TotalVariability(**arrays), tuple(history))

    return load_training(path, STATE_FORMAT, training, HISTORY, state, kind=KIND, names=ARRAYS)


def training_digest(
    source: StackedStats | StatsStore, ubm: DiagonalGMM, config: IVectorConfig, start: TotalVariability
) -> str:
    """Digest what identifies a training: the statistics, the background model, the settings and the first model.

    Statistics in a folder count by the sizes and times of change of its files.
    """
    digest = hashlib.sha256()
    files = identify_statistics(source, digest)
    arrays = [ubm.weights, ubm.means, ubm.variances, *(getattr(start, name) for name in ARRAYS)]
    for array in arrays if source.second is None else [*arrays, source.second]:
        digest.update(np.ascontiguousarray(array).data)
    settings = config.model_dump(mode="json", exclude={"max_count", "pooled"})
    size: list[JsonValue] = [len(source), *source.shape]
    return fingerprint({"settings": settings, "size": size, "files": files, "arrays": digest.hexdigest()})
