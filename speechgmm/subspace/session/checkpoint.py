"""The state of a training of speaker and session factors on disk, so that one that was killed resumes."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import JsonValue

from speechgmm.configuration import fingerprint
from speechgmm.errors import CheckpointError
from speechgmm.gmm.training.checkpoint import STATE_FORMAT
from speechgmm.subspace.session.config import ISVConfig, JFAConfig
from speechgmm.subspace.session.history import HISTORY, FactorIteration
from speechgmm.subspace.session.model import ARRAYS, JointFactorModel
from speechgmm.subspace.statistics import FIRST_FILE, ZEROTH_FILE, StackedStats, StatsStore
from speechgmm.tensors import load_arrays, refuse_damage, save_arrays


@dataclass(frozen=True, eq=False)
class SessionState:
    """What the next iteration depends on, besides statistics and configuration."""

    model: JointFactorModel  # after the last iteration
    history: tuple[FactorIteration, ...]  # all iterations so far


def save_state(path: Path, state: SessionState, training: str) -> None:
    """Write a state in one step; `training` is a digest that identifies this training."""
    header = {"training": training, "history": [asdict(iteration) for iteration in state.history]}
    save_arrays(path, STATE_FORMAT, header, {name: getattr(state.model, name) for name in ARRAYS})


def load_state(path: Path, training: str) -> SessionState | None:
    """Read a state, or None if there is no such file.

    A file that is damaged, no regular file, or the state of a training other than `training` raises a CheckpointError.
    """
    if not path.exists():
        return None
    if not path.is_file():
        raise CheckpointError(f"{path}: no file; name one that can keep the state of a training")
    try:
        header, arrays = load_arrays(path, STATE_FORMAT)
    except FileNotFoundError:
        return None
    except CheckpointError as error:
        raise CheckpointError(f"{error}; remove it to start again") from error
    if header.get("training") != training:
        raise CheckpointError(f"{path}: the state of another training; name another file, or remove it to start again")
    with refuse_damage(CheckpointError, f"{path}: {STATE_FORMAT.unreadable}; remove it to start again"):
        model = JointFactorModel(*(arrays[name] for name in ARRAYS))
        return SessionState(model, tuple(HISTORY.validate_json(json.dumps(header["history"]), strict=True)))


def training_id(
    source: StackedStats | StatsStore, speakers: Sequence[str], config: ISVConfig | JFAConfig, first: JointFactorModel
) -> str:
    """Digest what identifies a training: its configuration, first model, speakers and statistics.

    Statistics in a folder count by the sizes and times of change of its files.
    """
    digest = hashlib.sha256(json.dumps(list(map(str, speakers))).encode())
    arrays = [getattr(first, name) for name in ARRAYS]
    stamps: list[JsonValue] = []
    if isinstance(source, StackedStats):
        arrays += [source.zeroth, source.first]
    else:
        status = [(source.folder / name).stat() for name in (ZEROTH_FILE, FIRST_FILE)]
        stamps = [[each.st_size, each.st_mtime_ns] for each in status]
    for array in arrays:
        digest.update(array.data)
    return fingerprint({"config": config.model_dump(mode="json"), "files": stamps, "arrays": digest.hexdigest()})
