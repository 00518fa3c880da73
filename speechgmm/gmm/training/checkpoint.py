"""The state of a training on disk, so that one that was killed resumes where it was, with the same bits."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter

from speechgmm.configuration import fingerprint
from speechgmm.errors import CheckpointError
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.storage import PARAMETERS
from speechgmm.gmm.training.history import HISTORY, Iteration
from speechgmm.tensors import Arrays, FileFormat, Header, load_arrays, refuse_damage, save_arrays

State = TypeVar("State")
Step = TypeVar("Step")


@dataclass(frozen=True, eq=False)
class TrainingState:
    """What the next iteration depends on, besides frames and configuration."""

    gmm: DiagonalGMM  # the model after the last iteration
    best: DiagonalGMM  # of the models of all frames, the likeliest on held-out frames; the last one without any
    history: tuple[Iteration, ...]  # all iterations so far


def save_state(path: Path, state: TrainingState, training: str) -> None:
    """Write a state in one step; `training` is a digest that identifies this training."""
    arrays = {f"{part}.{name}": getattr(getattr(state, part), name) for part in ("gmm", "best") for name in PARAMETERS}
    save_training(path, STATE_FORMAT, training, state.history, arrays)


def load_state(path: Path, training: str) -> TrainingState | None:
    """Read a state, or None if there is no such file; errors are those of `load_training`."""

    def state(arrays: Arrays, history: list[Iteration]) -> TrainingState:
        """Make the state from what its file holds."""
        gmm, best = (DiagonalGMM(*(arrays[f"{part}.{name}"] for name in PARAMETERS)) for part in ("gmm", "best"))
        return TrainingState(gmm, best, tuple(history))

    return load_training(path, STATE_FORMAT, training, HISTORY, state)


def save_training(
    path: Path, file_format: FileFormat, training: str, history: Sequence[Any], arrays: Arrays, *, kind: str = ""
) -> None:
    """Write the state of a training of any model in one step: its digest `training`, its iterations and its arrays."""
    header = {"training": training, "history": [asdict(iteration) for iteration in history]}
    save_arrays(path, file_format, header, arrays, kind=kind)


def load_training(
    path: Path,
    file_format: FileFormat,
    training: str,
    history: TypeAdapter[list[Step]],
    state: Callable[[Arrays, list[Step]], State],
    *,
    kind: str = "",
    names: Sequence[str] | None = None,
) -> State | None:
    """Read what `save_training` wrote, and make a state of it; None if there is no such file.

    A file that is damaged, no regular file, or the state of a training other than `training` raises a CheckpointError.
    """
    if not path.exists():
        return None
    if not path.is_file():
        raise CheckpointError(f"{path}: no file; name one that can keep the state of a training")
    try:
        header, arrays = load_arrays(path, file_format, kind=kind, names=names)
        with refuse_damage(CheckpointError, f"{path}: {file_format.unreadable}"):
            if header["training"] == training:
                return state(arrays, history.validate_json(json.dumps(header["history"]), strict=True))
    except FileNotFoundError:
        return None
    except CheckpointError as error:
        raise CheckpointError(f"{error}; remove it to start again") from error
    raise CheckpointError(f"{path}: the state of another training; name another file, or remove it to start again")


def _digest(header: Header, arrays: Arrays) -> str:
    """Digest all that a state holds: a changed bit would be trained on."""
    digest = hashlib.sha256(fingerprint(dict(header)).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()


STATE_FORMAT = FileFormat(
    "state of a training",
    CheckpointError,
    unreadable="not readable as the state of a training",
    foreign="not readable as the state of a training",
    version=None,  # the first format had none, and states of it are resumed
    key="speechgmm_training",
    digest=_digest,
)
