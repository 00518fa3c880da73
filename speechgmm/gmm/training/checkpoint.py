"""The state of a training on disk, so that one that was killed resumes where it was, with the same bits."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from speechgmm.configuration import fingerprint
from speechgmm.errors import CheckpointError
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.storage import PARAMETERS
from speechgmm.gmm.training.history import HISTORY, Iteration
from speechgmm.tensors import Arrays, FileFormat, Header, load_arrays, refuse_damage, save_arrays


@dataclass(frozen=True, eq=False)
class TrainingState:
    """What the next iteration depends on, besides frames and configuration."""

    gmm: DiagonalGMM  # the model after the last iteration
    best: DiagonalGMM  # of the models of all frames, the likeliest on held-out frames; the last one without any
    history: tuple[Iteration, ...]  # all iterations so far


def save_state(path: Path, state: TrainingState, training: str) -> None:
    """Write a state in one step; `training` is a digest that identifies this training."""
    arrays = {f"{part}.{name}": getattr(getattr(state, part), name) for part in ("gmm", "best") for name in PARAMETERS}
    header = {"training": training, "history": [asdict(iteration) for iteration in state.history]}
    save_arrays(path, STATE_FORMAT, header, arrays)


def load_state(path: Path, training: str) -> TrainingState | None:
    """Read a state, or None if there is no such file.

    A file that is damaged, no regular file, or the state of a training other than `training` raises a CheckpointError.
    """
    if not path.exists():
        return None
    if not path.is_file():
        raise CheckpointError(f"{path}: no file; name one that can keep the state of a training")
    try:
        header, arrays = load_arrays(path, STATE_FORMAT)
        with refuse_damage(CheckpointError, f"{path}: {STATE_FORMAT.unreadable}"):
            gmm, best = (DiagonalGMM(*(arrays[f"{part}.{name}"] for name in PARAMETERS)) for part in ("gmm", "best"))
            state = TrainingState(gmm, best, tuple(HISTORY.validate_json(json.dumps(header["history"]), strict=True)))
            trained = header["training"]
    except FileNotFoundError:
        return None
    except CheckpointError as error:
        raise CheckpointError(f"{error}; remove it to start again") from error
    if trained != training:
        raise CheckpointError(f"{path}: the state of another training; name another file, or remove it to start again")
    return state


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
