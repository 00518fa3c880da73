"""The exact E step, compiled: the work between the two matrix products is one pass over data that a cache holds.

It computes what `dense.add_blocks` does, in another order and with its own exponential, so that the last bits differ.
Joint log-densities lie by component, frames side by side in a row: every step works on as many frames at once as the
processor has lanes, and none adds across them. So sums have one order on every machine: nothing here runs in parallel,
and the compiler may not reorder; it may only fuse a product and a sum into one rounding.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numba
import numpy as np

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.gmm.kernels import dense
from speechgmm.gmm.kernels.dense import BLOCK_FRAMES, LOG_SHARE_FLOOR, MAX_SCALED_VALUE, Coefficients, Reference

ROWS = 512
"""Frames computed at once: their joint log-densities under 512 components stay in the cache of a core."""

SUMMED_IN_SINGLE = 32
"""Shares that are added in single precision before their sum is added to a total in double."""

LOWEST = np.float32(LOG_SHARE_FLOOR)
PER_LOG_2 = np.float32(1 / np.log(2))
LOG_2_HIGH = np.float32(355 / 512)
LOG_2_LOW = np.float32(np.log(2) - 355 / 512)
"""The two parts of log 2: the first times a whole number of up to 15 bits is exact."""

TO_WHOLE = np.float32(1.5 * 2**23)
"""A number so large that its neighbours in single precision are whole numbers: adding it rounds."""

ONE, P2, P3, P4, P5, P6, P7 = (np.float32(1 / factorial) for factorial in (1, 2, 6, 24, 120, 720, 5040))
"""Taylor's coefficients of the exponential: up to log(2) / 2 the rest is below 6e-9."""

Function = TypeVar("Function", bound=Callable[..., Any])


def add_blocks(
    blocks: Iterable[tuple[FloatArray, Float64Array]], model: Coefficients, moments: Float64Array
) -> tuple[float, float]:
    """Do an exact E step as `dense.add_blocks` does, which also does the work for models in double precision.

    Return the log-likelihood, and 0 frames skipped.
    """
    product = np.ascontiguousarray(model.product.T)
    n_components, n_wide = product.shape
    if product.dtype == np.float64:
        return dense.add_blocks(blocks, model, moments)
    buffer, expanded = np.empty(ROWS * n_components, np.float32), np.empty((BLOCK_FRAMES, n_wide), np.float32)
    sums = np.empty(product.shape, np.float32)
    log_likelihood = 0.0
    for block, block_counts in blocks:
        expand_about(model.reference, block, expanded)
        counts = np.array(block_counts, np.float64)
        for start in range(0, len(block), ROWS):
            part = slice(start, min(start + ROWS, len(block)))
            rows = expanded[part]
            joint = buffer[: n_components * len(rows)].reshape(n_components, -1)
            np.matmul(product, rows.T, out=joint)
            log_likelihood += _to_shares(joint, counts[part], rows)
            np.matmul(joint, rows, out=sums)
            _add(sums, moments)
    return log_likelihood, 0.0


def expand_about(about: Reference, block: FloatArray, expanded: FloatArray) -> None:
    """Compute [z, 1, z^2] of a block into `expanded`, to the same bits as `dense.expand`."""
    wide = np.result_type(block.dtype, expanded.dtype)
    centre, inverse = about.centre.astype(wide), (1 / about.scale).astype(wide)
    _expand(np.ascontiguousarray(block), centre, inverse, wide.type(MAX_SCALED_VALUE), expanded)


def jit(function: Function) -> Function:
    """Compile a function at its first call, and cache the result on disk where a folder can be written to."""
    try:
        result: Function = numba.njit(function, cache=True, error_model="numpy", fastmath={"contract"})
    except RuntimeError:  # neither the package's folder nor the user's cache can be written to
        result = numba.njit(function, error_model="numpy", fastmath={"contract"})
    return result


def inlined(function: Function) -> Function:
    """Compile a function into its callers, where the compiler sees which arrays do not overlap."""
    result: Function = numba.njit(function, inline="always")
    return result


@jit
def _expand(block: Any, centre: Any, inverse: Any, farthest: Any, expanded: Any) -> None:
    """Shift, scale, clip and square the features of each frame."""
    n_features = block.shape[1]
    for t in range(len(block)):
        row, out = block[t], expanded[t]
        out[n_features] = 1
        for d in range(n_features):
            z = (row[d] - centre[d]) * inverse[d]
            z = farthest if z > farthest else z
            z = -farthest if z < -farthest else z
            out[d] = z
            out[n_features + 1 + d] = out[d] * out[d]


@jit
def find_highest(joint: Any, highest: Any) -> None:
    """Find the highest number of each column, eight rows at a time."""
    highest[:] = joint[0]
    n_whole = len(joint) // 8 * 8
    for c in range(0, n_whole, 8):
        r0, r1, r2, r3 = joint[c], joint[c + 1], joint[c + 2], joint[c + 3]
        r4, r5, r6, r7 = joint[c + 4], joint[c + 5], joint[c + 6], joint[c + 7]
        for t in range(len(highest)):
            a, b = r1[t] if r1[t] > r0[t] else r0[t], r3[t] if r3[t] > r2[t] else r2[t]
            d, e = r5[t] if r5[t] > r4[t] else r4[t], r7[t] if r7[t] > r6[t] else r6[t]
            a, d = b if b > a else a, e if e > d else d
            a = d if d > a else a
            highest[t] = a if a > highest[t] else highest[t]
    for c in range(n_whole, len(joint)):
        for t in range(len(highest)):
            highest[t] = joint[c, t] if joint[c, t] > highest[t] else highest[t]


@inlined
def _exp(x: Any) -> Any:
    """Compute exp(x) to a relative error of 2e-7 for x above `LOG_SHARE_FLOOR`, up to 0; 0 for lower x.

    exp(k log 2 + r) = 2^k exp(r), with log 2 in two parts (Cody and Waite 1980, Software Manual for the Elementary
    Functions, chapter 6). Every step has a vector instruction.
    """
    y = x if x > LOWEST else LOWEST
    k = (y * PER_LOG_2 + TO_WHOLE) - TO_WHOLE
    r = (y - k * LOG_2_HIGH) - k * LOG_2_LOW
    p = (((((P7 * r + P6) * r + P5) * r + P4) * r + P3) * r + P2) * r * r + r + ONE
    power = np.int32((np.int32(k) + 127) << 23).view(np.float32)  # IEEE 754: 2^k by its exponent
    return p * power if x > LOWEST else np.float32(0)


@jit
def _to_shares(joint: Any, counts: Any, rows: Any) -> float:
    """Turn joint log-densities into shares of each frame's highest, and scale each frame by count over sum of shares.

    The product of these shares and frames is that of posteriors and frames, as often as those count. Return the
    log-likelihood.
    """
    highest, sums = np.empty(joint.shape[1], np.float32), np.empty(joint.shape[1], np.float32)
    totals = np.zeros(joint.shape[1])
    find_highest(joint, highest)
    for first in range(0, len(joint), SUMMED_IN_SINGLE):
        sums[:] = 0
        for c in range(first, min(first + SUMMED_IN_SINGLE, len(joint))):
            row = joint[c]
            for t in range(len(highest)):
                share = _exp(row[t] - highest[t])
                row[t] = share
                sums[t] += share
        totals += sums
    log_likelihood = 0.0
    for t in range(len(rows)):
        log_likelihood += counts[t] * (highest[t] + np.log(totals[t]))
        row, factor = rows[t], np.float32(counts[t] / totals[t])
        for d in range(len(row)):
            row[d] *= factor
    return log_likelihood


@jit
def _add(sums: Any, moments: Any) -> None:
    """Add single-precision sums to totals in double."""
    for c in range(len(moments)):
        for d in range(moments.shape[1]):
            moments[c, d] += sums[c, d]
