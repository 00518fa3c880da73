"""Imported features: read from files of another program, with deltas and normalisation applied to them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from speechgmm.arrays import Float32Array
from speechgmm.configuration import Configuration
from speechgmm.errors import CorpusError
from speechgmm.features.formats.reading import read_place
from speechgmm.features.frames.deltas import DeltaConfig, append_deltas
from speechgmm.features.frames.normalisation import NormalisationConfig, normalise_frames
from speechgmm.features.store.store import StoredUtterance, UnusableUtterance
from speechgmm.features.store.writing import SHARD_SECONDS, write_index
from speechgmm.files import write_array


class ImportedConfig(Configuration):
    """Imported features, made by another program: of speech frames only, or of all frames.

    Parameters
    ----------
    kind : "given"
        Distinguishes imported features from the front ends that read audio.
    n_static : int >= 1
        Features of an imported frame.
    frame_shift : float > 0, seconds
        From one frame to the next; for durations alone.
    deltas, normalisation : sections
        Applied to the imported features, in this order, as for audio.
    """

    kind: Literal["given"] = "given"
    n_static: int = Field(ge=1)
    frame_shift: float = Field(0.010, gt=0, le=60)
    deltas: DeltaConfig = DeltaConfig()
    normalisation: NormalisationConfig = NormalisationConfig()

    @model_validator(mode="after")
    def _deltas_fit(self) -> Self:
        """Refuse shifted deltas of more features than there are."""
        self.deltas.n_columns(self.n_static)
        return self

    @property
    def n_features(self) -> int:
        """Features of a frame, D."""
        return self.deltas.n_columns(self.n_static)


def write_imported_store(folder: Path, places: Mapping[str, str], config: ImportedConfig) -> Iterator[int]:
    """Write imported features into a store; yield the number of utterances done after each shard.

    `places` gives the place of each utterance's features as a Kaldi index does: a file, with ``:OFFSET`` in an
    archive. The folder is created if it does not exist. The store is complete when the iteration ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored: list[StoredUtterance] = []
    unusable: list[UnusableUtterance] = []
    shard: list[Float32Array] = []
    n_shards = n_rows = 0
    for utterance, place in places.items():
        try:
            frames = _read_utterance(place, config)
        except CorpusError as error:
            unusable.append(UnusableUtterance(utterance, str(error).removeprefix(f"{place}: ")))
            continue
        seconds = len(frames) * config.frame_shift
        name = f"shard-{n_shards:05d}.npy"
        stored.append(StoredUtterance(utterance, name, n_rows, n_rows + len(frames), seconds, seconds, 0.0))
        shard.append(frames)
        n_rows += len(frames)
        if n_rows * config.frame_shift >= SHARD_SECONDS:
            write_array(folder / name, np.concatenate(shard))
            shard, n_rows, n_shards = [], 0, n_shards + 1
            yield len(stored) + len(unusable)
    if shard:
        write_array(folder / f"shard-{n_shards:05d}.npy", np.concatenate(shard))
    write_index(folder, config.n_features, config, stored, unusable)
    yield len(places)


def _read_utterance(place: str, config: ImportedConfig) -> Float32Array:
    """Read an utterance's imported features, and apply deltas and normalisation."""
    frames = read_place(place)
    if not len(frames):
        raise CorpusError(f"{place}: no frames")
    if frames.shape[1] != config.n_static:
        raise CorpusError(f"{place}: {frames.shape[1]} features; expected {config.n_static}, as features.n_static says")
    return normalise_frames(append_deltas(frames, config.deltas), np.ones(len(frames), np.bool_), config.normalisation)
