"""Features on disk: shards of float32 frames that can be memory-mapped, and an index of the utterances in them.

A store is a folder with ``index.json`` and ``shard-00000.npy``, ... An utterance lies wholly in one shard. Which
utterances share a shard depends on their order and length alone, so that statistics added shard by shard are the same
whoever computes them.
"""

import io
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import Float32Array
from speechgmm.audio.condition import Condition
from speechgmm.errors import ModelError

FORMAT_VERSION = 2
BLOCK_ROWS = 8192
"""Frames that are read from disk at a time."""

MAX_CLIPPED_SHARE = 0.001
"""Share of clipped samples above which there is a warning about a recording."""

MAX_CLIPPED_NAMED = 5
"""Clipped recordings that warnings name."""


@dataclass(frozen=True)
class StoredUtterance:
    """The position of an utterance's frames in its shard, and its durations."""

    utterance: str  # its id
    shard: str  # file name
    start: int  # its first row in the shard
    stop: int  # the row after its last
    seconds: float  # of audio
    speech_seconds: float
    clipped: float  # share of clipped samples, 0 to 1
    warnings: tuple[str, ...] = ()  # what is odd about its file, which they do not name: it may be moved
    condition: Condition | None = None  # None where it was not measured: imported features, or an older store


@dataclass(frozen=True)
class UnusableUtterance:
    """An utterance without features, and the reason, which does not name the file: it may be moved."""

    utterance: str
    reason: str


@dataclass(frozen=True)
class FeatureStore:
    """The features of a list of utterances, read from disk when needed.

    Parameters
    ----------
    folder : Path
        The folder of the shards.
    n_features : int
        Features of a frame, D.
    front_end : dict
        The configuration that computed them, as JSON data.
    utterances : tuple of StoredUtterance
        In the order of the list.
    unusable : tuple of UnusableUtterance
        The rest of the list: utterances without features.

    Examples
    --------
    >>> import numpy as np
    >>> import soundfile
    >>> from speechgmm import FeatureConfig, open_store, write_store
    >>> from speechgmm.features.store.writing import Source
    >>> tone = 0.1 * np.sin(2 * np.pi * 220 * np.arange(16000) / 16000)
    >>> soundfile.write("ann-1.wav", tone, 16000)
    >>> config = FeatureConfig.preset("kaldi")
    >>> n_done = list(write_store("features", [Source("ann-1", "ann-1.wav")], config))
    >>> store = open_store("features")
    >>> "ann-1" in store, store.n_frames, store.n_features
    (True, 98, 13)
    >>> store.frames("ann-1").shape
    (98, 13)
    """

    folder: Path
    n_features: int
    front_end: dict[str, JsonValue]
    utterances: tuple[StoredUtterance, ...]
    unusable: tuple[UnusableUtterance, ...]

    @cached_property
    def _by_id(self) -> dict[str, StoredUtterance]:
        """The utterances by their ids."""
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
            `.npy` files of shape (frames, D).
        """
        return tuple(self.folder / name for name in dict.fromkeys(stored.shard for stored in self.utterances))

    def ranges(self, utterances: Collection[str]) -> tuple[tuple[Path, int, int], ...]:
        """Find the frames of the given utterances.

        Parameters
        ----------
        utterances : collection of str
            Ids; those that are not in the store have no frames.

        Returns
        -------
        tuple of (Path, int, int)
            A shard file, its first frame and the one after the last; ranges that adjoin are merged.
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
    """Format warnings for recordings with more than one clipped sample in a thousand: one sentence each.

    `clipped` maps names to shares of clipped samples, 0 to 1. Beyond five recordings, one sentence counts the others.
    """
    warnings = [
        f"clipped: {share:.1%} of the samples of {name}" for name, share in clipped.items() if share > MAX_CLIPPED_SHARE
    ]
    if len(warnings) > MAX_CLIPPED_NAMED:
        warnings[MAX_CLIPPED_NAMED:] = [f"clipped: {len(warnings) - MAX_CLIPPED_NAMED:,} more recordings"]
    return tuple(warnings)


def open_store(folder: str | Path) -> FeatureStore:
    """Open a folder that `write_store` has completed.

    Parameters
    ----------
    folder : str or Path
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

    Examples
    --------
    >>> import numpy as np
    >>> import soundfile
    >>> from speechgmm import FeatureConfig, open_store, write_store
    >>> from speechgmm.features.store.writing import Source
    >>> soundfile.write("ann-1.wav", 0.1 * np.sin(2 * np.pi * 220 * np.arange(16000) / 16000), 16000)
    >>> soundfile.write("bob-1.wav", np.zeros(16000), 16000)
    >>> sources = [Source("ann-1", "ann-1.wav"), Source("bob-1", "bob-1.wav")]
    >>> n_done = list(write_store("features", sources, FeatureConfig.preset("kaldi")))
    >>> store = open_store("features")
    >>> [stored.utterance for stored in store.utterances]
    ['ann-1']
    >>> store.unusable[0].reason
    'nothing but silence: all 16000 samples are 0'
    """
    folder = Path(folder)
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    if index["format_version"] != FORMAT_VERSION:
        raise ModelError(
            f"{folder}: feature store of format version {index['format_version']}; expected {FORMAT_VERSION}"
        )
    return FeatureStore(
        folder,
        index["n_features"],
        index["front_end"],
        tuple(_stored_utterance(entry) for entry in index["utterances"]),
        tuple(UnusableUtterance(**entry) for entry in index["unusable"]),
    )


def _stored_utterance(entry: dict[str, Any]) -> StoredUtterance:
    """Return an utterance of an index."""
    condition = entry.pop("condition", None)
    return StoredUtterance(**entry, condition=condition and Condition(**condition))
