"""The E step without what carries nothing: compiled kernels that skip components of no weight in a frame.

After the one matrix product that gives the joint log-densities of a block, a component whose share of the likeliest
component's density is below a threshold is left out: it gets neither an exponential nor a part in the second product.
A share is never less than the posterior, so what is left out has a posterior below the threshold, to the rounding of
the joint log-density. What is kept is divided by the sum of what is kept, so that posteriors still sum to 1.

Sums have one order on every machine: nothing here runs in parallel, and the compiler may not reorder. Counters are
unsigned because the compiler then need not ask whether an index counts from the end.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import numba
import numpy as np

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.gmm.kernels import BLOCK_FRAMES, FARTHEST, Coefficients, Reference

ROWS = 512
"""Frames in one product: their joint log-densities under 512 components stay in the cache of a core until they are
searched. What is kept of them is added up for the whole block."""

LANES = 32
"""Running maxima of a row, kept side by side so that they compile to vectors."""

FAINT = 100.0
"""What is left out is counted in two classes: above and below the threshold over this."""

WORD = 8
"""Marks that are looked at together: the bytes of a 64-bit word."""

EIGHT = 8
"""Rows that are added at once."""

Function = TypeVar("Function", bound=Callable[..., Any])


class Kept(NamedTuple):
    """What is kept of a block, frame by frame, with room for everything.

    Shares are of the density of the likeliest component, `highest` is its log, and `totals` are their sums; `n_near`
    counts what is kept and what is left out by less than `FAINT`. The entries of frame t are ``starts[t]`` to
    ``starts[t + 1]`` of `components` and `shares`.
    """

    highest: Any
    totals: Any
    n_near: Any
    starts: Any
    components: Any
    shares: Any


class Arranged(NamedTuple):
    """The same component by component: the entries of c end at ``ends[c]``, where those of the next begin."""

    ends: Any
    frames: Any
    posteriors: Any


def add_blocks(
    blocks: Iterable[tuple[FloatArray, FloatArray]], model: Coefficients, skip_below: float, moments: Float64Array
) -> tuple[float, float]:
    """Add the moments of blocks of frames, leaving out what is below a threshold.

    Parameters
    ----------
    blocks : iterable of (np.ndarray of shape (B, D), np.ndarray of shape (B,))
        Frames in single or double precision, finite, and how often each counts.
    model : Coefficients
        The model.
    skip_below : float, 0 to 1, both excluded
        Share of the likeliest component's density below which a component is left out of a frame.
    moments : np.ndarray, shape (C, 2D + 1), float64
        Sums of posterior times [z, 1, z^2]; added to, in place.

    Returns
    -------
    log_likelihood : float, nats
        Sum of log p(x_t) over the frames.
    skipped : float, frames
        Not less than the sum of all posteriors left out.
    """
    dtype = model.product.dtype.type
    n_wide, n_components = model.product.shape
    kept, arranged = _room(n_components, dtype)
    expanded, joint = np.empty((BLOCK_FRAMES, n_wide), dtype), np.empty((ROWS, n_components), dtype)
    marks = np.zeros((ROWS, -(-n_components // WORD) * WORD), np.uint8)
    words = marks.view(np.uint64)
    thresholds = dtype(np.log(skip_below)), dtype(np.log(skip_below / FAINT))
    log_likelihood = skipped = 0.0
    for block, counts in blocks:
        _expand_about(model.reference, block, expanded)
        n_frames, n_kept = len(block), 0
        arranged.ends[:] = 0
        for start in range(0, n_frames, ROWS):
            rows = expanded[start : min(start + ROWS, n_frames)]
            np.matmul(rows, model.product, out=joint[: len(rows)])
            n_kept = _search(joint[: len(rows)], *thresholds, start, n_kept, marks, words, kept, arranged.ends)
        np.exp(kept.shares[:n_kept], out=kept.shares[:n_kept])
        counts = np.array(counts, np.float64)
        skipped += skip_below * _add_kept(expanded, counts, kept, arranged, moments)
        log_totals = np.log(kept.totals[:n_frames], dtype=np.float64)
        log_likelihood += float((kept.highest[:n_frames] + log_totals) @ counts)
    return log_likelihood, skipped


def _room(n_components: int, dtype: type[np.floating]) -> tuple[Kept, Arranged]:
    """Make the arrays that all blocks use, with an entry more than there can be, as entries are written ahead."""
    most = BLOCK_FRAMES * n_components + 1
    kept = Kept(
        highest=np.empty(BLOCK_FRAMES, dtype),
        totals=np.empty(BLOCK_FRAMES, dtype),
        n_near=np.empty(BLOCK_FRAMES, np.uint32),
        starts=np.zeros(BLOCK_FRAMES + 1, np.uint32),
        components=np.empty(most, np.uint32),
        shares=np.empty(most, dtype),
    )
    arranged = Arranged(np.zeros(n_components, np.uint32), np.empty(most, np.uint16), np.empty(most, dtype))
    return kept, arranged


def _expand_about(about: Reference, block: FloatArray, expanded: FloatArray) -> None:
    """Make [z, 1, z^2] of a block, as `kernels.expand` does, to the same bits."""
    wide = np.result_type(block.dtype, expanded.dtype)
    centre, inverse = about.centre.astype(wide), (1 / about.scale).astype(wide)
    _expand(np.ascontiguousarray(block), centre, inverse, wide.type(FARTHEST), expanded)


def _compiled(function: Function) -> Function:
    """Compile at the first call, and keep the result on disk where there is a place for it."""
    try:
        compiled: Function = numba.njit(function, cache=True, error_model="numpy")
    except RuntimeError:  # neither the package's folder nor the user's cache can be written to
        compiled = numba.njit(function, error_model="numpy")
    return compiled


@_compiled
def _expand(block: Any, centre: Any, inverse: Any, farthest: Any, expanded: Any) -> None:
    """Move, scale, clip and square."""
    n_features = block.shape[1]
    for t in range(len(block)):
        row, out = block[t], expanded[t]
        out[n_features] = 1
        for d in range(n_features):
            z = (row[d] - centre[d]) * inverse[d]
            z = farthest if z > farthest else z
            out[d] = -farthest if z < -farthest else z
        for d in range(n_features):
            out[n_features + 1 + d] = out[d] * out[d]


@_compiled
def _highest(row: Any, lanes: Any) -> Any:
    """Find the highest number of a row; one running maximum instead of many would not compile to vectors."""
    lanes[:] = row[0]
    n_whole = len(row) // (4 * LANES) * (4 * LANES)
    for first in range(0, n_whole, 4 * LANES):
        for i in range(first, first + LANES):
            a, b, c, d = row[i], row[i + LANES], row[i + 2 * LANES], row[i + 3 * LANES]
            a, c = b if b > a else a, d if d > c else c
            a = c if c > a else a
            lanes[i - first] = a if a > lanes[i - first] else lanes[i - first]
    for first in range(n_whole, len(row), LANES):
        for i in range(first, min(first + LANES, len(row))):
            lanes[i - first] = row[i] if row[i] > lanes[i - first] else lanes[i - first]
    n_lanes = LANES
    while n_lanes > 1:
        n_lanes //= 2
        for lane in range(n_lanes):
            other = lanes[n_lanes + lane]
            lanes[lane] = other if other > lanes[lane] else lanes[lane]
    return lanes[0]


@_compiled
def _mark(joint: Any, log_skip: Any, log_faint: Any, start: int, marked: Any, kept: Kept) -> None:
    """Mark what is kept of the frames from `start` on, and count it with what is left out by less than `FAINT`."""
    lanes = np.empty(LANES, joint.dtype)
    for t in range(len(joint)):
        row, marks = joint[t], marked[t]
        highest = _highest(row, lanes)
        floor, faint_floor = highest + log_skip, highest + log_faint
        n_near = np.uint32(0)
        for c in range(len(row)):
            marks[c] = row[c] >= floor
            n_near += np.uint32(row[c] >= faint_floor)
        kept.highest[start + t], kept.n_near[start + t] = highest, n_near


@_compiled
def _collect(joint: Any, start: int, n_before: int, marked: Any, words: Any, kept: Kept, n_each: Any) -> Any:
    """List what is marked, with the logs of the shares, after the entries that there are; return their new number.

    Counts the entries of each component in `n_each`, too.

    Every candidate is written, and the next one over it unless it was marked: a branch would be guessed wrong too
    often. Words without a mark are passed over.
    """
    n_kept = np.uintp(n_before)
    word_numbers = np.empty(words.shape[1] + 1, np.uint32)
    for t in range(len(joint)):
        marks, row_words = marked[t], words[t]
        n_words = np.uintp(0)
        for word in range(len(row_words)):
            word_numbers[n_words] = word
            n_words += np.uintp(row_words[word] != 0)
        for i in range(n_words):
            first = np.uintp(word_numbers[i]) * np.uintp(WORD)
            for j in range(WORD):
                kept.components[n_kept] = first + np.uintp(j)
                n_kept += np.uintp(marks[first + np.uintp(j)])
        kept.starts[start + t + 1] = n_kept
    for t in range(len(joint)):
        row, highest = joint[t], kept.highest[start + t]
        for entry in range(kept.starts[start + t], kept.starts[start + t + 1]):
            kept.shares[entry] = row[kept.components[entry]] - highest
            n_each[kept.components[entry]] += 1
    return n_kept


@_compiled
def _search(
    joint: Any,
    log_skip: Any,
    log_faint: Any,
    start: int,
    n_before: int,
    marks: Any,
    words: Any,
    kept: Kept,
    n_each: Any,
) -> Any:
    """List what is kept of the frames from `start` on, after `n_before` entries; return the new number of entries."""
    _mark(joint, log_skip, log_faint, start, marks, kept)
    return _collect(joint, start, n_before, marks, words, kept, n_each)


@_compiled
def _arrange(counts: Any, kept: Kept, arranged: Arranged) -> float:
    """Turn shares into posteriors, as often as the frame counts, and arrange them by component.

    ``arranged.ends`` says how many entries a component has, and then where they end. Return the most that the
    posteriors left out can be, in thresholds.
    """
    ends = arranged.ends
    n_entries = 0
    for c in range(len(ends)):  # where a component begins; filling moves it to where it ends
        n_entries += ends[c]
        ends[c] = n_entries - ends[c]
    left_out = 0.0
    for t in range(len(counts)):
        first, last = kept.starts[t], kept.starts[t + 1]
        total = kept.shares.dtype.type(0)
        for entry in range(first, last):
            total += kept.shares[entry]
        kept.totals[t] = total
        n_kept, n_near, n_all = np.int64(last) - np.int64(first), np.int64(kept.n_near[t]), len(ends)
        left_out += counts[t] / total * ((n_near - n_kept) + (n_all - n_near) / FAINT)
        scale = kept.shares.dtype.type(counts[t] / total)
        for entry in range(first, last):
            c = kept.components[entry]
            arranged.frames[ends[c]] = t
            arranged.posteriors[ends[c]] = kept.shares[entry] * scale
            ends[c] += 1
    return left_out


@_compiled
def _add_kept(expanded: Any, counts: Any, kept: Kept, arranged: Arranged, moments: Any) -> float:
    """Add posteriors times [z, 1, z^2], in the frames' precision within the block; return what `_arrange` does.

    Squares are taken anew: that is faster than to fetch them. The vectors that this compiles to go beyond z and 1, to a
    whole number of them; what they sum there is not used.
    """
    left_out = _arrange(counts, kept, arranged)
    n_features = expanded.shape[1] // 2
    n_summed = min((n_features // 16 + 1) * 16, expanded.shape[1])
    first, second = np.empty(n_summed, expanded.dtype), np.empty(n_summed, expanded.dtype)
    i = np.uintp(0)
    for c in range(len(moments)):
        end = np.uintp(arranged.ends[c])
        if i == end:
            continue
        first[:] = 0
        second[:] = 0
        while i + np.uintp(EIGHT) <= end:
            _add_eight(expanded, arranged.frames, arranged.posteriors, i, first, second)
            i += np.uintp(EIGHT)
        while i < end:
            row, p = expanded[arranged.frames[i]], arranged.posteriors[i]
            for d in range(n_summed):
                first[d] += p * row[d]
                second[d] += p * row[d] * row[d]
            i += np.uintp(1)
        for d in range(n_features):
            moments[c, d] += first[d]
            moments[c, n_features + 1 + d] += second[d]
        moments[c, n_features] += first[n_features]
    return left_out


@_compiled
def _add_eight(rows: Any, frames: Any, factors: Any, i: Any, first: Any, second: Any) -> None:
    """Add eight rows and their squares, each times its factor, for one fetching and storing of the sums."""
    i1, i2, i3, i4 = i + np.uintp(1), i + np.uintp(2), i + np.uintp(3), i + np.uintp(4)
    i5, i6, i7 = i + np.uintp(5), i + np.uintp(6), i + np.uintp(7)
    a0, a1, a2, a3 = rows[frames[i]], rows[frames[i1]], rows[frames[i2]], rows[frames[i3]]
    a4, a5, a6, a7 = rows[frames[i4]], rows[frames[i5]], rows[frames[i6]], rows[frames[i7]]
    f0, f1, f2, f3 = factors[i], factors[i1], factors[i2], factors[i3]
    f4, f5, f6, f7 = factors[i4], factors[i5], factors[i6], factors[i7]
    for d in range(len(first)):
        z0, z1, z2, z3, z4, z5, z6, z7 = a0[d], a1[d], a2[d], a3[d], a4[d], a5[d], a6[d], a7[d]
        g0, g1, g2, g3, g4, g5, g6, g7 = f0 * z0, f1 * z1, f2 * z2, f3 * z3, f4 * z4, f5 * z5, f6 * z6, f7 * z7
        first[d] += ((g0 + g1) + (g2 + g3)) + ((g4 + g5) + (g6 + g7))
        second[d] += ((g0 * z0 + g1 * z1) + (g2 * z2 + g3 * z3)) + ((g4 * z4 + g5 * z5) + (g6 * z6 + g7 * z7))
