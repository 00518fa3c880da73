"""The state of a training on disk, so that one that was killed resumes where it was, with the same bits."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from speechgmm.configuration import fingerprint
from speechgmm.errors import CheckpointError
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.subspace.statistics import StackedStats, StatsStore, blocks_of
from speechgmm.subspace.total_variability.history import HISTORY, FactorIteration
from speechgmm.subspace.total_variability.model import TotalVariability
from speechgmm.subspace.total_variability.storage import ARRAYS, KIND
from speechgmm.subspace.vectors import IVectorConfig
from speechgmm.tensors import FileFormat, content_digest, load_arrays, refuse_damage, save_arrays

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
    header = {"training": training, "history": [asdict(iteration) for iteration in state.history]}
    save_arrays(path, STATE_FORMAT, header, {name: getattr(state.model, name) for name in ARRAYS}, kind=KIND)


def load_state(path: Path, training: str) -> FactorState | None:
    """Read a state, or None if there is no such file.

    A file that is damaged, no regular file, or the state of a training other than `training` raises a CheckpointError.
    """
    if not path.exists():
        return None
    if not path.is_file():
        raise CheckpointError(f"{path}: no file; name one that can keep the state of a training")
    try:
        header, arrays = load_arrays(path, STATE_FORMAT, kind=KIND, names=ARRAYS)
        with refuse_damage(CheckpointError, f"{path}: {STATE_FORMAT.unreadable}"):
            history = tuple(HISTORY.validate_json(json.dumps(header["history"]), strict=True))
            state = FactorState(TotalVariability(**arrays), history)
            trained = header["training"]
    except FileNotFoundError:
        return None
    except CheckpointError as error:
        raise CheckpointError(f"{error}; remove it to start again") from error
    if trained != training:
        raise CheckpointError(f"{path}: the state of another training; name another file, or remove it to start again")
    return state


def training_digest(
    source: StackedStats | StatsStore, ubm: DiagonalGMM, config: IVectorConfig, start: TotalVariability
) -> str:
    """Digest what identifies a training: the statistics, the background model, the settings and the first model."""
    digest = hashlib.sha256()
    for block in blocks_of(source):
        stats = block.load()
        for array in (stats.zeroth, stats.first):
            digest.update(array.data)
    arrays = [ubm.weights, ubm.means, ubm.variances, *(getattr(start, name) for name in ARRAYS)]
    for array in arrays if source.second is None else [*arrays, source.second]:
        digest.update(np.ascontiguousarray(array).data)
    settings = config.model_dump(mode="json", exclude={"max_count", "pooled"})
    size: list[JsonValue] = [len(source), *source.shape]
    return fingerprint({"settings": settings, "size": size, "arrays": digest.hexdigest()})
