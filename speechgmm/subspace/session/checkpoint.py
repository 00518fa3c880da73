"""The state of a training of speaker and session factors on disk, so that one that was killed resumes."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from speechgmm.configuration import fingerprint
from speechgmm.gmm.training.checkpoint import STATE_FORMAT, load_training, save_training
from speechgmm.subspace.session.config import ISVConfig, JFAConfig
from speechgmm.subspace.session.history import HISTORY, SessionIteration
from speechgmm.subspace.session.model import ARRAYS, JointFactorModel
from speechgmm.subspace.statistics import StackedStats, StatsStore, identify_statistics
from speechgmm.tensors import Arrays


@dataclass(frozen=True, eq=False)
class SessionState:
    """What the next iteration depends on, besides statistics and configuration."""

    model: JointFactorModel  # after the last iteration
    history: tuple[SessionIteration, ...]  # all iterations so far


def save_state(path: Path, state: SessionState, training: str) -> None:
    """Write a state in one step; `training` is a digest that identifies this training."""
    arrays = {name: getattr(state.model, name) for name in ARRAYS}
    save_training(path, STATE_FORMAT, training, state.history, arrays)


def load_state(path: Path, training: str) -> SessionState | None:
    """Read a state, or None if there is no such file; errors are those of `load_training`."""

    def state(arrays: Arrays, history: list[SessionIteration]) -> SessionState:
        """Make the state from what its file holds."""
        return SessionState(JointFactorModel(*(arrays[name] for name in ARRAYS)), tuple(history))

    return load_training(path, STATE_FORMAT, training, HISTORY, state)


def training_id(
    source: StackedStats | StatsStore, speakers: Sequence[str], config: ISVConfig | JFAConfig, first: JointFactorModel
) -> str:
    """Digest what identifies a training: its configuration, first model, speakers and statistics.

    Statistics in a folder count by the sizes and times of change of its files.
    """
    digest = hashlib.sha256(json.dumps(list(map(str, speakers))).encode())
    for name in ARRAYS:
        digest.update(getattr(first, name).data)
    files = identify_statistics(source, digest)
    return fingerprint({"config": config.model_dump(mode="json"), "files": files, "arrays": digest.hexdigest()})
