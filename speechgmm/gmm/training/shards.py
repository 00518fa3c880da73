"""The frames of a training: shards in memory or on disk, the parts of them that are trained on, and a sample."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.errors import ModelError
from speechgmm.gmm.checks import check_weights, real_numbers

Shard = str | Path | FloatArray

HOLDOUT_SPAN = 10_000
"""Frames, usually a hundred seconds, of which the last ones are held out."""

ROWS_AT_ONCE = 65_536
"""Rows that are checked at a time for one that is not finite."""


@dataclass(frozen=True, eq=False)
class Part:
    """Consecutive frames of a shard, with their weights."""

    name: str  # of the shard, in messages
    shard: Shard  # a `.npy` file, which is memory-mapped, or an array, (T, D)
    weights: Shard | None  # (T,): how often each frame of the shard counts; once if None
    start: int  # the part's first row of the shard
    stop: int  # and the row after its last
    first: int = 0  # number, in messages, of row 0 of `shard`, if that is a piece of the user's shard

    def __len__(self) -> int:
        return self.stop - self.start

    def frames(self) -> FloatArray:
        """Return the frames, shape (T, D), memory-mapped if they are in a file; refuse a file that has shrunk."""
        frames = _open(self.shard)[self.start : self.stop]
        if len(frames) != len(self):
            raise ModelError(f"{self.name}: {self.start + len(frames)} frames; there were {self.stop} or more before")
        return frames

    def counts(self) -> FloatArray | None:
        """Return the frames' weights, shape (T,), if there are any."""
        return None if self.weights is None else _open(self.weights)[self.start : self.stop]

    def check(self) -> None:
        """Refuse a shard with a frame that is not finite: the error names the shard and the row."""
        frames = _open(self.shard)
        for start in range(0, len(frames), ROWS_AT_ONCE):
            finite = np.isfinite(frames[start : start + ROWS_AT_ONCE]).all(axis=1)
            if not finite.all():
                row = self.first + start + int(np.argmin(finite))
                raise ModelError(f"{self.name}: frame {row} holds NaN or infinity; features must be all finite")


@dataclass(frozen=True, eq=False)
class Sample:
    """Frames drawn from all parts, in their order."""

    frames: FloatArray  # (T, D)
    weights: Float64Array | None  # (T,), > 0: how often each counts; once if None

    def part(self) -> Part:
        """Return the sample as a part to train on."""
        return Part("sample", self.frames, self.weights, 0, len(self.frames))


def parts_of(shards: Sequence[Shard | Part], weights: Sequence[Shard] | None = None) -> tuple[Part, ...]:
    """Return shards as parts with weights: each shard as a whole, and parts as they are.

    Raises ModelError if shapes disagree, there is no feature, or weights are negative, not finite, or all 0.
    """
    shards = tuple(shards)
    parts = [shard if isinstance(shard, Part) else _whole_shard(n, shard) for n, shard in enumerate(shards)]
    shapes = [part.frames().shape for part in parts]
    if any(len(shape) != 2 for shape in shapes) or len({shape[1] for shape in shapes}) != 1 or shapes[0][1] == 0:
        shown = ", ".join(map(str, shapes[:3]))
        raise ModelError(f"{len(shapes)} shards of shapes {shown}, ...; expected a list of (T, D) frames with one D")
    if weights is None:
        return tuple(parts)
    if len(weights) != len(parts):
        raise ModelError(f"weights of {len(weights)} shards; expected those of {len(parts)}")
    weighted = tuple(_with_weights(part, array) for part, array in zip(parts, weights, strict=True))
    if not total_weight(weighted) > 0:
        raise ModelError("the weights of all frames are 0; expected some above")
    return weighted


def total_weight(parts: Sequence[Part]) -> float:
    """Add up how often the frames count: their number, if they have no weights."""
    return float(
        sum(len(part) if (counts := part.counts()) is None else counts.sum(dtype=np.float64) for part in parts)
    )


def hold_out(parts: Sequence[Part], share: float) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Divide the frames into those to train on and a share, rounded down, to hold out: the end of each stretch.

    Neighbouring frames are alike, so that single frames held out would be too similar to those trained on. Each part is
    cut into stretches of up to `HOLDOUT_SPAN` frames, ten or more if that leaves a frame to hold out in each, so that
    frames in any order are held out evenly.
    """
    if share == 0:
        return tuple(parts), ()
    kept, held_out = [], []
    for part in parts:
        n_stretches = max(math.ceil(len(part) / HOLDOUT_SPAN), min(10, int(share * len(part))), 1)
        edges = [part.start + len(part) * number // n_stretches for number in range(n_stretches + 1)]
        for start, stop in pairwise(edges):
            bound = stop - int(share * (stop - start))
            kept.append(_slice(part, start, bound))
            held_out.append(_slice(part, bound, stop))
    return tuple(kept), tuple(part for part in held_out if len(part))


def draw_sample(parts: Sequence[Part], n_frames: int, rng: np.random.Generator) -> Sample:
    """Draw up to `n_frames` frames evenly from all that count, in order and without repeats; read no others.

    The sample is in single precision unless a shard is in double. Raises ModelError, with the name of the shard and the
    row, if a frame drawn is not finite.
    """
    bounds = np.cumsum([0] + [_count_weighted(part) for part in parts])
    total = int(bounds[-1])
    chosen = (
        np.sort(rng.choice(total, n_frames, replace=False, shuffle=False)) if n_frames < total else np.arange(total)
    )
    frames, weights = [], []
    for part, start, stop in zip(parts, bounds[:-1], bounds[1:], strict=True):
        rows = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, stop)] - start
        counts = part.counts()
        if counts is not None:
            rows = np.flatnonzero(counts)[rows]
            weights.append(counts[rows].astype(np.float64))
        drawn = part.frames()[rows]
        if not np.isfinite(drawn).all():
            part.check()
        frames.append(drawn if drawn.dtype == np.float64 else drawn.astype(np.float32))
    return Sample(np.concatenate(frames), np.concatenate(weights) if weights else None)


def _whole_shard(number: int, shard: Shard) -> Part:
    """Return all of a shard as a part, named by its file or its number."""
    name = str(shard) if isinstance(shard, str | Path) else f"shard {number}"
    checked = _check_array(name, shard)
    return Part(name, checked, None, 0, len(_open(checked)) if _open(checked).ndim else 0)


def _with_weights(part: Part, weights: Shard) -> Part:
    """Return a part with weights, which are those of the whole shard."""
    name = f"{part.name}: weights"
    checked = _check_array(name, weights)
    check_weights(_open(checked), len(_open(part.shard)), name)
    return replace(part, weights=checked)


def _slice(part: Part, start: int, stop: int) -> Part:
    """Return rows of the shard as a part; of an array only these, because workers are sent all that a part holds."""
    if isinstance(part.shard, str | Path):
        return replace(part, start=start, stop=stop)
    weights = part.weights
    if weights is not None:
        weights = _open(weights)[start:stop]
    return Part(part.name, part.shard[start:stop], weights, 0, stop - start, part.first + start)


def _check_array(name: str, array: Shard) -> Shard:
    """Return an array or a file of real numbers, and refuse any other."""
    if not isinstance(array, str | Path):
        return real_numbers(name, array)
    try:
        real_numbers(name, _open(array))
    except ModelError:
        raise
    except (ValueError, EOFError) as error:
        raise ModelError(f"{array}: not readable as a .npy file of numbers ({error})") from error
    return array


def _open(array: Shard) -> FloatArray:
    """Return an array, memory-mapped if it is in a file."""
    if isinstance(array, str | Path):
        opened: FloatArray = np.load(array, mmap_mode="r")
        return opened
    return array


def _count_weighted(part: Part) -> int:
    """Count the frames of positive weight."""
    counts = part.counts()
    return len(part) if counts is None else int(np.count_nonzero(counts))
