"""Zeroth and first-order statistics of many recordings, in memory or in a folder, read block by block.

Files of a folder: ``zeroth.npy`` (U, C), ``first.npy`` (U, C, D), ``second.npy`` (C, D), which is summed over all
recordings, and ``recordings.json`` with their names and numbers of frames.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from pydantic import JsonValue

from speechgmm.arrays import CopiedOnArrival, Float64Array, IntArray, read_only
from speechgmm.errors import ModelError
from speechgmm.files import replacing, write_array, write_json
from speechgmm.gmm.statistics import SufficientStats

RECORDINGS_AT_ONCE = 64
"""Recordings in a block: what is read, and what a worker is given, at a time. It determines the last bits of sums."""

LARGEST_SUM = 1e100
"""Largest first-order statistic: squares of larger ones may be infinite."""

ZEROTH_FILE, FIRST_FILE, SECOND_FILE, NAMES_FILE = "zeroth.npy", "first.npy", "second.npy", "recordings.json"


@dataclass(frozen=True, eq=False)
class StackedStats(CopiedOnArrival):
    """Statistics of U recordings under one background model, side by side.

    Raises ModelError if shapes disagree, a value is not finite, or an occupancy is negative.
    """

    zeroth: Float64Array  # (U, C), frames
    first: Float64Array  # (U, C, D), about 0
    n_frames: IntArray  # (U,)
    second: Float64Array | None = None  # (C, D), about 0: the sum over all recordings, where it is known

    def __post_init__(self) -> None:
        for name in ("zeroth", "first"):
            object.__setattr__(self, name, read_only(getattr(self, name)))
        if self.second is not None:
            object.__setattr__(self, "second", read_only(self.second))
        object.__setattr__(self, "n_frames", np.asarray(self.n_frames, np.intp))
        shape = self.first.shape
        if len(shape) != 3 or self.zeroth.shape != shape[:2] or self.n_frames.shape != shape[:1]:
            raise ModelError(
                f"statistics of shapes {self.zeroth.shape}, {shape} and {self.n_frames.shape} frames; "
                "expected (U, C), (U, C, D) and (U,)"
            )
        if self.second is not None and self.second.shape != shape[1:]:
            raise ModelError(f"second-order statistics of shape {self.second.shape}; expected {shape[1:]}")
        usable = np.isfinite(self.zeroth).all(axis=1) & np.isfinite(self.first).all(axis=(1, 2))
        usable &= (self.zeroth >= 0).all(axis=1)
        if self.second is not None and not np.isfinite(self.second).all():
            raise ModelError("second-order statistics hold NaN or infinity; expected finite sums")
        if not usable.all():
            raise ModelError(
                f"statistics of recording {int(np.argmin(usable))} hold NaN, infinity or a negative occupancy; "
                "expected finite sums"
            )
        if (largest := np.abs(self.first).max(initial=0.0)) > LARGEST_SUM:
            raise ModelError(f"statistics hold sums of {largest:.3g}; expected at most {LARGEST_SUM:g}")

    def __len__(self) -> int:
        return len(self.zeroth)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of components C and of features D."""
        return self.first.shape[1], self.first.shape[2]

    def rows(self, rows: Sequence[int]) -> "StackedStats":
        """Return the statistics of some recordings; the second order is not known of them."""
        chosen = list(rows)
        return StackedStats(self.zeroth[chosen], self.first[chosen], self.n_frames[chosen])


@dataclass(frozen=True)
class StatsStore:
    """Statistics of recordings in a folder, memory-mapped."""

    folder: Path

    @cached_property
    def _listed(self) -> tuple[tuple[str, ...], IntArray]:
        """Names and numbers of frames of the recordings."""
        listed = json.loads((self.folder / NAMES_FILE).read_text(encoding="utf-8"))
        return tuple(listed["names"]), np.array(listed["n_frames"], np.intp)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the recordings, in the order of the rows."""
        return self._listed[0]

    @property
    def n_frames(self) -> IntArray:
        """Number of frames of each recording, shape (U,)."""
        return self._listed[1]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of components C and of features D."""
        n_components, n_features = self.second.shape
        return n_components, n_features

    @cached_property
    def second(self) -> Float64Array:
        """The second-order statistics of all recordings together, shape (C, D)."""
        summed: Float64Array = np.load(self.folder / SECOND_FILE)
        return summed

    def rows(self, rows: Sequence[int]) -> StackedStats:
        """Read the statistics of some recordings."""
        chosen = list(rows)
        zeroth = np.load(self.folder / ZEROTH_FILE, mmap_mode="r")
        first = np.load(self.folder / FIRST_FILE, mmap_mode="r")
        return StackedStats(zeroth[chosen], first[chosen], self.n_frames[chosen])


Statistics = Sequence[SufficientStats] | StackedStats | StatsStore
"""Statistics of recordings, as functions of this package take them."""


@dataclass(frozen=True, eq=False)
class StatsBlock:
    """Some recordings: what a worker is given. Those of a folder are read by the worker."""

    source: StackedStats | StatsStore
    chosen: tuple[int, ...]

    def load(self) -> StackedStats:
        """Return the statistics of these recordings."""
        if isinstance(self.source, StackedStats) and self.chosen == tuple(range(len(self.source))):
            return self.source
        return self.source.rows(self.chosen)


def stack_statistics(statistics: Sequence[SufficientStats]) -> StackedStats:
    """Put statistics of recordings side by side; raise ModelError if there are none, or their shapes differ."""
    statistics = list(statistics)
    if not statistics:
        raise ModelError("no statistics; expected those of one recording or more")
    for number, each in enumerate(statistics):
        if not isinstance(each, SufficientStats):
            raise ModelError(f"statistics {number} of type {type(each).__name__}; expected SufficientStats")
    shapes = {each.first.shape for each in statistics}
    if len(shapes) > 1:
        raise ModelError(f"statistics of shapes {', '.join(map(str, sorted(shapes)))}; expected one shape")
    second = np.sum([each.second for each in statistics], axis=0)
    n_frames = np.array([each.n_frames for each in statistics], np.intp)
    zeroth, first = (np.stack([getattr(each, name) for each in statistics]) for name in ("zeroth", "first"))
    return StackedStats(zeroth, first, n_frames, second)


def as_source(statistics: Statistics, shape: tuple[int, int]) -> StackedStats | StatsStore:
    """Return statistics as a source of blocks; raise ModelError if there are none, or they are of another shape."""
    if isinstance(statistics, SufficientStats):
        raise ModelError("statistics of one recording; expected a list of them, as in [statistics]")
    source = statistics if isinstance(statistics, StackedStats | StatsStore) else stack_statistics(statistics)
    if not len(source):
        raise ModelError("no statistics; expected those of one recording or more")
    if source.shape != shape:
        raise ModelError(f"statistics of shape {source.shape} for a model of shape {shape}")
    return source


def blocks_of(source: StackedStats | StatsStore, size: int = RECORDINGS_AT_ONCE) -> list[StatsBlock]:
    """Cut recordings into blocks in their order; of statistics in memory, each holds its own only."""
    blocks = []
    for start in range(0, len(source), size):
        rows = tuple(range(start, min(start + size, len(source))))
        if isinstance(source, StackedStats):
            blocks.append(StatsBlock(source.rows(rows), tuple(range(len(rows)))))
        else:
            blocks.append(StatsBlock(source, rows))
    return blocks


def identify_statistics(source: StackedStats | StatsStore, digest: "hashlib._Hash") -> list[JsonValue]:
    """Add statistics in memory to a digest; return the sizes and times of change of the files of those in a folder."""
    if isinstance(source, StackedStats):
        for array in (source.zeroth, source.first):
            digest.update(array.data)
        return []
    status = [(source.folder / name).stat() for name in (ZEROTH_FILE, FIRST_FILE)]
    return [[each.st_size, each.st_mtime_ns] for each in status]


def write_statistics(
    folder: Path, names: Sequence[str], statistics: Iterable[SufficientStats], shape: tuple[int, int]
) -> Iterator[int]:
    """Write the statistics of named recordings, one after the other; yield how many are written.

    Memory holds those of one recording. The names go last, so that a folder without them is not whole.
    """
    second = np.zeros(shape)
    n_frames: list[int] = []
    with (
        replacing(folder / ZEROTH_FILE) as zeroth_file,
        replacing(folder / FIRST_FILE) as first_file,
        zeroth_file.open("wb") as zeroth,
        first_file.open("wb") as first,
    ):
        write_header(zeroth, (len(names), shape[0]))
        write_header(first, (len(names), *shape))
        for stats in statistics:
            zeroth.write(stats.zeroth.data)
            first.write(stats.first.data)
            second += stats.second
            n_frames.append(stats.n_frames)
            yield len(n_frames)
    write_array(folder / SECOND_FILE, second)
    write_json(folder / NAMES_FILE, {"names": list(names), "n_frames": n_frames})


def write_header(stream: BinaryIO, shape: tuple[int, ...]) -> None:
    """Write the header of a `.npy` file of float64 numbers, which follow row by row."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float64)), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
