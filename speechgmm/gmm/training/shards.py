"""The frames of a training: shards in memory or on disk, the parts that are trained on, and a sample of them."""

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
"""Frames, usually a hundred seconds, of which some at the end are held out."""

ROWS_AT_ONCE = 65_536
"""Rows that are looked through at a time for one that is not finite."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some consecutive frames of a shard, with their weights.

    Parameters
    ----------
    name : str
        What people call the shard.
    shard : str, Path or np.ndarray of shape (T, D)
        A `.npy` file, which is memory-mapped, or an array.
    weights : str, Path or np.ndarray of shape (T,), optional
        How often each frame of the shard counts; once when not given.
    start, stop : int, 0 to T
        Which frames.
    first : int >= 0
        What people call row 0 of `shard`, where that is a piece of theirs.
    """

    name: str
    shard: Shard
    weights: Shard | None
    start: int
    stop: int
    first: int = 0

    def __len__(self) -> int:
        return self.stop - self.start

    def frames(self) -> FloatArray:
        """Give the frames, shape (T, D), mapped into memory if they are in a file; refuse a file that has shrunk."""
        frames = _opened(self.shard)[self.start : self.stop]
        if len(frames) != len(self):
            raise ModelError(f"{self.name}: {self.start + len(frames)} frames; there were {self.stop} or more before")
        return frames

    def counts(self) -> FloatArray | None:
        """Give the frames' weights, shape (T,), if there are any."""
        return None if self.weights is None else _opened(self.weights)[self.start : self.stop]

    def check(self) -> None:
        """Look through all frames of the shard for one that is not finite.

        Raises
        ------
        ModelError
            If there is one; it names the shard and the row.
        """
        frames = _opened(self.shard)
        for start in range(0, len(frames), ROWS_AT_ONCE):
            finite = np.isfinite(frames[start : start + ROWS_AT_ONCE]).all(axis=1)
            if not finite.all():
                row = self.first + start + int(np.argmin(finite))
                raise ModelError(f"{self.name}: frame {row} holds NaN or infinity; features must be all finite")


@dataclass(frozen=True, eq=False)
class Sample:
    """Frames drawn from all.

    Parameters
    ----------
    frames : np.ndarray, shape (T, D)
        In the order of the shards.
    weights : np.ndarray, shape (T,), > 0, or None
        How often each counts.
    """

    frames: FloatArray
    weights: Float64Array | None

    def part(self) -> Part:
        """Give the sample as frames to train on."""
        return Part("sample", self.frames, self.weights, 0, len(self.frames))


def parts_of(shards: Sequence[Shard | Part], weights: Sequence[Shard] | None = None) -> tuple[Part, ...]:
    """Check the shapes of shards, and the weights of their frames.

    Parameters
    ----------
    shards : sequence of str, Path or np.ndarray of shape (T, D), or of Part
        At least one; T may be 0.
    weights : sequence of the same length of str, Path or np.ndarray of shape (T,), optional
        How often each frame counts.

    Returns
    -------
    tuple of Part
        Each a whole shard, or the part that was given.

    Raises
    ------
    ModelError
        If shapes disagree, there is no feature, or weights are negative, not finite, or all nothing.
    """
    shards = tuple(shards)
    parts = [each if isinstance(each, Part) else _whole(number, each) for number, each in enumerate(shards)]
    shapes = [part.frames().shape for part in parts]
    if any(len(shape) != 2 for shape in shapes) or len({shape[1] for shape in shapes}) != 1 or shapes[0][1] == 0:
        shown = ", ".join(map(str, shapes[:3]))
        raise ModelError(f"{len(shapes)} shards of shapes {shown}, ...; expected a list of (T, D) frames with one D")
    if weights is None:
        return tuple(parts)
    if len(weights) != len(parts):
        raise ModelError(f"weights of {len(weights)} shards; expected those of {len(parts)}")
    weighted = tuple(_weighted(part, each) for part, each in zip(parts, weights, strict=True))
    if not total_weight(weighted) > 0:
        raise ModelError("the weights of all frames are 0; expected some above")
    return weighted


def total_weight(parts: Sequence[Part]) -> float:
    """Add up how often the frames count.

    Parameters
    ----------
    parts : sequence of Part
        Any.

    Returns
    -------
    float >= 0, frames
        Their number, where they have no weights.
    """
    return float(
        sum(len(part) if (counts := part.counts()) is None else counts.sum(dtype=np.float64) for part in parts)
    )


def hold_out(parts: Sequence[Part], share: float) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Set the end of each stretch of frames aside: neighbours are alike, so single frames would tell too little.

    Parameters
    ----------
    parts : sequence of Part
        All frames. Each is cut into stretches of up to `HOLDOUT_SPAN` frames, ten or more where that leaves a frame to
        set aside in each, so that frames in any order are set aside evenly.
    share : float, 0 to 1
        How much of each, rounded down to whole frames.

    Returns
    -------
    kept, held : tuple of Part
        The rest, and what was set aside.
    """
    if share == 0:
        return tuple(parts), ()
    kept, held = [], []
    for part in parts:
        n_stretches = max(math.ceil(len(part) / HOLDOUT_SPAN), min(10, int(share * len(part))), 1)
        edges = [part.start + len(part) * number // n_stretches for number in range(n_stretches + 1)]
        for start, stop in pairwise(edges):
            bound = stop - int(share * (stop - start))
            kept.append(_piece(part, start, bound))
            held.append(_piece(part, bound, stop))
    return tuple(kept), tuple(part for part in held if len(part))


def draw_sample(parts: Sequence[Part], n_frames: int, rng: np.random.Generator) -> Sample:
    """Draw frames evenly from all that count, in order and without repeats; all of them if there are no more.

    Parameters
    ----------
    parts : sequence of Part
        Where the frames are; only the chosen ones are read.
    n_frames : int >= 1
        How many.
    rng : np.random.Generator
        Chooses them.

    Returns
    -------
    Sample
        At most `n_frames`, in single precision unless a shard is in double.

    Raises
    ------
    ModelError
        If one of them is not finite; it names the shard and the row.
    """
    bounds = np.cumsum([0] + [_n_that_count(part) for part in parts])
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


def _whole(number: int, shard: Shard) -> Part:
    """Take all of a shard, which is called by its file or its number."""
    name = str(shard) if isinstance(shard, str | Path) else f"shard {number}"
    checked = _checked(name, shard)
    return Part(name, checked, None, 0, len(_opened(checked)) if _opened(checked).ndim else 0)


def _weighted(part: Part, weights: Shard) -> Part:
    """Give a part's frames weights, which are those of the whole shard."""
    name = f"{part.name}: weights"
    checked = _checked(name, weights)
    check_weights(_opened(checked), len(_opened(part.shard)), name)
    return replace(part, weights=checked)


def _piece(part: Part, start: int, stop: int) -> Part:
    """Take some frames of a part; of an array only these, because workers get all that a part holds."""
    if isinstance(part.shard, str | Path):
        return replace(part, start=start, stop=stop)
    weights = part.weights
    if weights is not None:
        weights = _opened(weights)[start:stop]
    return Part(part.name, part.shard[start:stop], weights, 0, stop - start, part.first + start)


def _checked(name: str, array: Shard) -> Shard:
    """Refuse an array, or a file, that holds no real numbers."""
    if not isinstance(array, str | Path):
        return real_numbers(name, array)
    try:
        real_numbers(name, _opened(array))
    except ModelError:
        raise
    except (ValueError, EOFError) as error:
        raise ModelError(f"{array}: not readable as a .npy file of numbers ({error})") from error
    return array


def _opened(array: Shard) -> FloatArray:
    """Give an array, mapped into memory if it is in a file."""
    if isinstance(array, str | Path):
        opened: FloatArray = np.load(array, mmap_mode="r")
        return opened
    return array


def _n_that_count(part: Part) -> int:
    """Count the frames of positive weight."""
    counts = part.counts()
    return len(part) if counts is None else int(np.count_nonzero(counts))
