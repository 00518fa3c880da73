"""The E step without negligible components: compiled kernels that skip components of no weight in a frame.

After the one matrix product that computes the joint log-densities of a block, a component whose share of the likeliest
component's density is below a threshold is left out: it gets neither an exponential nor a part in the second product.
A share is never less than the posterior, so every posterior left out is below the threshold, to the rounding of the
joint log-density. The shares kept are divided by their sum, so that posteriors still sum to 1.

Joint log-densities lie by component: entries to keep are then found component by component, in the order that the sums
need. Sums have one order on every machine: nothing here runs in parallel, and the compiler may not reorder; it may only
fuse a product and a sum into one rounding. Counters are unsigned because the compiler then need not check whether an
index counts from the end.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import extending
from numba.cpython.unsafe import numbers

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.gmm.kernels.compiled import ROWS, expand_about, find_highest, inlined, jit
from speechgmm.gmm.kernels.dense import BLOCK_FRAMES, Coefficients

BITS = 64
"""Frames that are compared at once, each for one bit of a word."""

EIGHT = 8
"""Rows that are added, or entries that are listed, at once."""

_emitted: Callable[[Any], Any] = extending.intrinsic
_types: Any = numba.types
_trailing_zeros: Any = numbers.trailing_zeros
_as_array: Any = numba.carray  # type: ignore[attr-defined]


class SparseShares(NamedTuple):
    """The shares that are not skipped, component by component, in arrays with room for all of them and eight more.

    Shares are of the density of the frame's likeliest component.
    """

    ends: Any  # (C,): where the entries of each component end, and those of the next begin
    frames: Any  # the frame of each entry
    shares: Any  # its share, or the log of it until that is exponentiated


def add_blocks(
    blocks: Iterable[tuple[FloatArray, Float64Array]], skip_below: float, model: Coefficients, moments: Float64Array
) -> tuple[float, float]:
    """Do an E step as `dense.add_blocks` does, without components below a share (0 to 1) of the likeliest's density.

    Return the log-likelihood, and an upper bound on the sum of all posteriors left out, in frames.
    """
    product = np.ascontiguousarray(model.product.T)
    n_components, n_wide = product.shape
    dtype = product.dtype.type
    capacity = ROWS * n_components
    ends, frames = np.empty(n_components, np.uint32), np.empty(capacity + EIGHT, np.uint16)
    kept = SparseShares(ends, frames, np.empty(capacity + EIGHT, dtype))
    buffer, expanded = np.empty(capacity, dtype), np.empty((BLOCK_FRAMES, n_wide), dtype)
    log_skip = dtype(np.log(skip_below))
    log_likelihood = left_out = 0.0
    for block, block_counts in blocks:
        expand_about(model.reference, block, expanded)
        counts = np.array(block_counts, np.float64)
        for start in range(0, len(block), ROWS):
            part = slice(start, min(start + ROWS, len(block)))
            rows = expanded[part]
            joint = buffer[: n_components * len(rows)].reshape(n_components, -1)
            np.matmul(product, rows.T, out=joint)
            highest, n_kept = _search(joint, log_skip, kept)
            np.exp(kept.shares[:n_kept], out=kept.shares[:n_kept])
            sums = _add_kept(rows, counts[part], highest, kept, moments)
            log_likelihood, left_out = log_likelihood + sums[0], left_out + sums[1]
    return log_likelihood, skip_below * left_out


@_emitted
def _on_stack(_: Any, length: Any, like: Any) -> Any:
    """Return a pointer to numbers of the type of `like` on the stack, where no other pointer can lead."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        """Emit the one instruction."""
        return builder.alloca(context.get_value_type(like), size=arguments[0])

    return _types.CPointer(like)(length, like), generate


@_emitted
def _marks(_: Any, numbers: Any, limits: Any, start: Any) -> Any:
    """Return a word that marks, lowest bit first, which numbers from `start` on are not below their limits."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        """Load, compare, and read the flags as an integer."""
        vector = ir.VectorType(context.get_value_type(numbers.dtype), BITS).as_pointer()
        arrays = [context.make_array(numbers)(context, builder, array).data for array in arguments[:2]]
        pointers = [builder.bitcast(builder.gep(array, [arguments[2]]), vector) for array in arrays]
        vectors = [builder.load(pointer, align=numbers.dtype.bitwidth // 8) for pointer in pointers]
        return builder.bitcast(builder.fcmp_ordered(">=", *vectors), ir.IntType(BITS))

    return _types.uint64(numbers, limits, start), generate


@_emitted
def _count_ones(_: Any, word: Any) -> Any:
    """Count the ones in a word."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        """Emit the one instruction."""
        return builder.ctpop(arguments[0])

    return word(word), generate


@inlined
def _list_high(row: Any, floor: Any, n_before: Any, listed: Any) -> Any:
    """Append the positions of the numbers that are not below their floor; return the new number of entries.

    Eight entries are written at a time, and later ones overwrite those beyond the marks: a branch for each would be
    predicted wrong too often.
    """
    n_listed = n_before
    n_whole = len(row) // BITS * BITS
    for first in range(0, n_whole, BITS):
        start = np.uintp(first)
        marks = _marks(row, floor, start)
        n_marks, n_done = _count_ones(marks), np.uintp(0)
        while True:
            for i in range(EIGHT):
                listed[n_listed + n_done + np.uintp(i)] = start + _trailing_zeros(marks)
                marks &= marks - np.uint64(1)
            n_done += np.uintp(EIGHT)
            if n_done >= n_marks:  # nearly always
                break
        n_listed += n_marks
    for t in range(n_whole, len(row)):
        listed[n_listed] = t
        n_listed += np.uintp(row[t] >= floor[t])
    return n_listed


@jit
def _search(joint: Any, log_skip: Any, kept: SparseShares) -> Any:
    """List the entries to keep, with logs of shares; return each frame's highest number, and the number of entries."""
    highest = np.empty(joint.shape[1], joint.dtype)
    find_highest(joint, highest)
    floor = highest + log_skip
    n_kept = np.uintp(0)
    for c in range(len(joint)):
        row, first = joint[c], n_kept
        n_kept = _list_high(row, floor, first, kept.frames)
        for entry in range(first, n_kept):
            kept.shares[entry] = row[kept.frames[entry]] - highest[kept.frames[entry]]
        kept.ends[c] = n_kept
    return highest, n_kept


@jit
def _to_posteriors(counts: Any, highest: Any, kept: SparseShares) -> tuple[float, float]:
    """Turn shares into posteriors times how often the frame counts.

    Return the log-likelihood, and an upper bound on the posteriors left out as a multiple of the threshold: as if every
    density left out were just below it.
    """
    n_entries = np.uintp(kept.ends[-1])
    totals, n_kept = np.zeros_like(highest), np.zeros(len(counts), np.uint32)
    for entry in range(n_entries):
        totals[kept.frames[entry]] += kept.shares[entry]
        n_kept[kept.frames[entry]] += np.uint32(1)
    log_likelihood = left_out = 0.0
    for t in range(len(counts)):
        log_likelihood += counts[t] * (highest[t] + np.log(totals[t]))
        totals[t] = counts[t] / totals[t]
        left_out += float(totals[t]) * (len(kept.ends) - n_kept[t])
    for entry in range(n_entries):
        kept.shares[entry] *= totals[kept.frames[entry]]
    return log_likelihood, left_out


@inlined
def _add_eight(rows: Any, frames: Any, factors: Any, i: Any, first: Any, second: Any) -> None:
    """Add eight rows and their squares, each times its factor, so that the sums are loaded and stored once."""
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


@jit
def _add_kept(rows: Any, counts: Any, highest: Any, kept: SparseShares, moments: Any) -> tuple[float, float]:
    """Add posteriors times [z, 1, z^2], in the frames' precision within a part; return what `_to_posteriors` does.

    Squares are computed again, which is faster than loading them. The loops run past z and 1 to the end of a vector;
    the sums there are not used.
    """
    sums = _to_posteriors(counts, highest, kept)
    n_features = rows.shape[1] // 2
    n_summed = np.uintp(min((n_features // 16 + 1) * 16, rows.shape[1]))
    zero = rows.dtype.type(0)
    first = _as_array(_on_stack(n_summed, zero), (n_summed,))
    second = _as_array(_on_stack(n_summed, zero), (n_summed,))
    i = np.uintp(0)
    for c in range(len(moments)):
        end = np.uintp(kept.ends[c])
        if i == end:
            continue
        first[:] = zero
        second[:] = zero
        while i + np.uintp(EIGHT) <= end:
            _add_eight(rows, kept.frames, kept.shares, i, first, second)
            i += np.uintp(EIGHT)
        while i < end:
            row, p = rows[kept.frames[i]], kept.shares[i]
            for d in range(n_summed):
                first[d] += p * row[d]
                second[d] += p * row[d] * row[d]
            i += np.uintp(1)
        for d in range(n_features):
            moments[c, d] += first[d]
            moments[c, n_features + 1 + d] += second[d]
        moments[c, n_features] += first[n_features]
    return sums
