"""Features on disk: shards of float32 frames that can be memory-mapped, and an index of who is where in them.

A store is a folder with ``index.json`` and ``shard-00000.npy``, ... An utterance lies in one shard, whole. Which
utterances share a shard follows from their order and length alone, so that statistics added shard by shard come
out the same whoever computes them.
"""

import io
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import Float32Array
from speechgmm.errors import ModelError

FORMAT_VERSION = 2
BLOCK_ROWS = 8192
"""Frames that are read from disk at a time."""

CLIPPED_SHARE = 0.001
"""Share of clipped samples above which a recording is warned of."""

MOST_CLIPPED = 5
"""Clipped recordings that are named."""


@dataclass(frozen=True)
class StoredUtterance:
    """Where the frames of an utterance are.

    Parameters
    ----------
    utterance : str
        Its id.
    shard : str
        File name of the shard.
    start, stop : int, frames
        Its rows in the shard.
    seconds, speech_seconds : float, seconds
        Length of the audio, and of the speech in it.
    clipped : float, 0 to 1
        Share of the samples that are clipped.
    """

    utterance: str
    shard: str
    start: int
    stop: int
    seconds: float
    speech_seconds: float
    clipped: float


@dataclass(frozen=True)
class Unusable:
    """An utterance without features.

    Parameters
    ----------
    utterance : str
        Its id.
    reason : str
        Why there are none. It does not name the file, which may be moved.
    """

    utterance: str
    reason: str


@dataclass(frozen=True)
class FeatureStore:
    """The features of a list of utterances, read from disk when asked for.

    Parameters
    ----------
    folder : Path
        Where the shards are.
    n_features : int
        Features of a frame, D.
    front_end : dict
        The configuration that made them, as JSON data.
    utterances : tuple of StoredUtterance
        In the order of the list.
    unusable : tuple of Unusable
        The rest of the list.
    """

    folder: Path
    n_features: int
    front_end: dict[str, JsonValue]
    utterances: tuple[StoredUtterance, ...]
    unusable: tuple[Unusable, ...]

    @cached_property
    def _by_id(self) -> dict[str, StoredUtterance]:
        """Look-up of an utterance by its id."""
        return {stored.utterance: stored for stored in self.utterances}

    @property
    def n_frames(self) -> int:
        """Frames of all utterances."""
        return sum(stored.stop - stored.start for stored in self.utterances)

    def __contains__(self, utterance: str) -> bool:
        return utterance in self._by_id

    def frames(self, utterance: str) -> Float32Array:
        """Map the frames of one utterance into memory.

        Parameters
        ----------
        utterance : str
            An id in the store.

        Returns
        -------
        np.ndarray, shape (T, D), float32, read-only
            Its frames.

        Raises
        ------
        KeyError
            If the store has no such utterance.
        """
        stored = self._by_id[utterance]
        shard: Float32Array = np.load(self.folder / stored.shard, mmap_mode="r")
        return shard[stored.start : stored.stop]

    def blocks(self, utterance: str) -> Iterator[Float32Array]:
        """Read an utterance's frames in blocks, for a pass over them in little memory.

        Parameters
        ----------
        utterance : str
            An id in the store.

        Yields
        ------
        np.ndarray, shape (up to 8192, D), float32
            Its frames, in order.

        Raises
        ------
        KeyError
            If the store has no such utterance.
        """
        stored = self._by_id[utterance]
        with (self.folder / stored.shard).open("rb") as stream:
            np.lib.format.read_magic(stream)
            np.lib.format.read_array_header_1_0(stream)
            stream.seek(stored.start * self.n_features * 4, io.SEEK_CUR)
            for start in range(stored.start, stored.stop, BLOCK_ROWS):
                n_rows = min(BLOCK_ROWS, stored.stop - start)
                block = np.fromfile(stream, "<f4", n_rows * self.n_features)
                yield block.reshape(n_rows, self.n_features)

    def shards(self) -> tuple[Path, ...]:
        """List the shard files, in the order of the utterances.

        Returns
        -------
        tuple of Path
            Each a `.npy` file of shape (frames, D).
        """
        return tuple(self.folder / name for name in dict.fromkeys(stored.shard for stored in self.utterances))

    def ranges(self, utterances: Collection[str]) -> tuple[tuple[Path, int, int], ...]:
        """Say where the frames of some utterances are.

        Parameters
        ----------
        utterances : collection of str
            Ids; those that are not in the store have no frames.

        Returns
        -------
        tuple of (Path, int, int)
            A shard file, the first of its frames and the one after the last; neighbours are together.
        """
        ranges: list[tuple[Path, int, int]] = []
        chosen = frozenset(utterances)
        for stored in self.utterances:
            if stored.utterance in chosen:
                path = self.folder / stored.shard
                start = stored.start
                if ranges and ranges[-1][0] == path and ranges[-1][2] == start:
                    start = ranges.pop()[1]
                ranges.append((path, start, stored.stop))
        return tuple(ranges)


def clipped_warnings(clipped: Mapping[str, float]) -> tuple[str, ...]:
    """Name the recordings that are clipped, if there are few, and count the others.

    Parameters
    ----------
    clipped : mapping from str to float, 0 to 1
        Share of clipped samples of each recording, by its name.

    Returns
    -------
    tuple of str
        One sentence each; none if no recording has more than one clipped sample in a thousand.
    """
    warnings = [
        f"clipped: {share:.1%} of the samples of {name}" for name, share in clipped.items() if share > CLIPPED_SHARE
    ]
    if len(warnings) > MOST_CLIPPED:
        warnings[MOST_CLIPPED:] = [f"clipped: {len(warnings) - MOST_CLIPPED:,} more recordings"]
    return tuple(warnings)


def open_store(folder: Path) -> FeatureStore:
    """Open a folder that `write_store` has completed.

    Parameters
    ----------
    folder : Path
        The store.

    Returns
    -------
    FeatureStore
        Its index; frames stay on disk.

    Raises
    ------
    ModelError
        If it was written in another format version.
    OSError
        If there is no store.
    """
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    if index["format_version"] != FORMAT_VERSION:
        raise ModelError(
            f"{folder}: feature store of format version {index['format_version']}; expected {FORMAT_VERSION}"
        )
    return FeatureStore(
        folder,
        index["n_features"],
        index["front_end"],
        tuple(StoredUtterance(**entry) for entry in index["utterances"]),
        tuple(Unusable(**entry) for entry in index["unusable"]),
    )
