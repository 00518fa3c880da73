"""The state of a training on disk, so that one that was killed goes on where it was, with the same bits."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from speechgmm.arrays import Float64Array
from speechgmm.configuration import fingerprint
from speechgmm.errors import CheckpointError
from speechgmm.files import check_readable, write_bytes
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.storage import DAMAGE, PARAMETERS
from speechgmm.gmm.training.history import HISTORY, Iteration


@dataclass(frozen=True, eq=False)
class TrainingState:
    """All that the next iteration depends on, but for frames and configuration.

    Parameters
    ----------
    gmm : DiagonalGMM
        The model that the last iteration made.
    best : DiagonalGMM
        The one, of those made from all frames, under which held-out frames are likeliest; the last one without any.
    history : tuple of Iteration
        All so far.
    """

    gmm: DiagonalGMM
    best: DiagonalGMM
    history: tuple[Iteration, ...]


def save_state(path: Path, state: TrainingState, training: str) -> None:
    """Write a state in one step.

    Parameters
    ----------
    path : Path
        Where to; replaced if it exists.
    state : TrainingState
        The state.
    training : str
        What tells this training from others.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    tensors = {f"{part}.{name}": getattr(getattr(state, part), name) for part in ("gmm", "best") for name in PARAMETERS}
    header: dict[str, Any] = {"training": training, "history": [asdict(each) for each in state.history]}
    header["digest"] = _digest(header, tensors)
    write_bytes(path, save(tensors, {"speechgmm_training": json.dumps(header)}))


def load_state(path: Path, training: str) -> TrainingState | None:
    """Read a state.

    Parameters
    ----------
    path : Path
        Where it may be.
    training : str
        What `save_state` was told.

    Returns
    -------
    TrainingState or None
        None if there is no such file.

    Raises
    ------
    CheckpointError
        If the file is damaged, or the state of another training, or the path is that of something else than a file.
    """
    if not path.exists():
        return None
    if not path.is_file():
        raise CheckpointError(f"{path}: no file; name one that can keep the state of a training")
    try:
        check_readable(path)
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})["speechgmm_training"])
            arrays: dict[str, Float64Array] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header.pop("digest") != _digest(header, arrays):
            raise ValueError("its digest is not that of its content")
        gmm, best = (DiagonalGMM(*(arrays[f"{part}.{name}"] for name in PARAMETERS)) for part in ("gmm", "best"))
        state = TrainingState(gmm, best, tuple(HISTORY.validate_json(json.dumps(header["history"]), strict=True)))
        found = header["training"]
    except DAMAGE as error:
        raise CheckpointError(
            f"{path}: not readable as the state of a training ({error}); remove it to begin anew"
        ) from error
    if found != training:
        raise CheckpointError(f"{path}: the state of another training; name another file, or remove it to begin anew")
    return state


def _digest(header: dict[str, Any], tensors: Mapping[str, Float64Array]) -> str:
    """Digest all that a state says: a bit that has changed would be trained on."""
    digest = hashlib.sha256(fingerprint(header).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    return digest.hexdigest()
