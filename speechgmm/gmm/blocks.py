"""Frames checked against a model, block by block, and a model's coefficients for the kernels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.errors import ModelError
from speechgmm.gmm.checks import real_numbers
from speechgmm.gmm.kernels import dense, missing_features
from speechgmm.gmm.model import DiagonalGMM


@dataclass(frozen=True, eq=False)
class FrameBlocks:
    """Frames for an E step, checked against a model block by block as a kernel iterates over them.

    PyTorch's kernels read `frames` and `counts` whole; their results are checked afterwards, by `check_sums`.
    """

    gmm: DiagonalGMM
    frames: FloatArray  # (T, D), of the type and shape that `checked_frames` returns
    counts: Float64Array  # (T,): how often each frame counts
    skip_below: float = 0.0  # share of the likeliest component's density below which a component may be left out

    def __iter__(self) -> Iterator[tuple[FloatArray, Float64Array]]:
        for start, block in checked_blocks(self.gmm, self.frames):
            yield block, self.counts[start : start + len(block)]


def log_joint_blocks(
    gmm: DiagonalGMM, frames: FloatArray, dtype: type[np.floating], *, missing: bool
) -> Iterator[tuple[slice, FloatArray]]:
    """Compute ``log(w_c N(x_t; m_c, v_c))`` in nats, shape (B, C), block by block, each with the slice of its frames.

    Callers may overwrite the arrays. Arguments and errors are those of `log_likelihood`.
    """
    coefficients = model_coefficients(gmm, dtype, missing=missing)
    for start, expanded in expanded_blocks(gmm, frames, coefficients, missing=missing):
        yield slice(start, start + len(expanded)), dense.log_joint(expanded, coefficients)


def model_coefficients(gmm: DiagonalGMM, dtype: type[np.floating], *, missing: bool = False) -> dense.Coefficients:
    """Compute a model's coefficients for the kernels, in double precision where single is not enough.

    Raises ModelError for parameters so large or so small that their squares or ratios are infinite.
    """
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype {np.dtype(dtype)}: expected float32 or float64")
    kernel = missing_features if missing else dense
    with np.errstate(over="ignore", invalid="ignore"):  # reported below
        about = gmm.reference
        if not kernel.holds_in_single_precision(gmm.means, gmm.variances, about):
            dtype = np.float64
        coefficients: dense.Coefficients = kernel.coefficients(gmm.weights, gmm.means, gmm.variances, about, dtype)
    if not np.isfinite(coefficients.product).all():
        raise ModelError(
            f"means from {gmm.means.min():g} to {gmm.means.max():g} with variances from {gmm.variances.min():g} to "
            f"{gmm.variances.max():g}: expected numbers whose squares and ratios are finite"
        )
    return coefficients


def checked_frames(gmm: DiagonalGMM, frames: npt.ArrayLike) -> FloatArray:
    """Return frames as an array, itself if it is one, and refuse a type or shape that does not fit the model.

    Values are checked later, block by block: the frames may be a memory map.
    """
    array = real_numbers("frames", frames)
    if array.ndim != 2 or array.shape[1] != gmm.n_features:
        raise ModelError(f"frames of shape {array.shape}; the model expects (T, {gmm.n_features})")
    return array


def expanded_blocks(
    gmm: DiagonalGMM, frames: FloatArray, coefficients: dense.Coefficients, *, missing: bool = False
) -> Iterator[tuple[int, FloatArray]]:
    """Yield checked blocks expanded to [z, 1, z^2], each with the index of its first frame.

    They are as `dense.expand` returns them, shape (B, 2D + 1), or, with `missing`, as `missing_features.expand` does.
    """
    expand = missing_features.expand if missing else dense.expand
    for start, block in checked_blocks(gmm, frames, missing=missing):
        yield start, expand(block, coefficients.reference, coefficients.product.dtype.type)


def checked_blocks(gmm: DiagonalGMM, frames: FloatArray, *, missing: bool = False) -> Iterator[tuple[int, FloatArray]]:
    """Yield blocks of frames (B, D) in single or double precision, each with the index of its first frame.

    Raises ModelError with the number of the first frame that is not finite; with `missing`, NaN is a missing feature.
    """
    frames = checked_frames(gmm, frames)
    for start in range(0, len(frames), dense.BLOCK_FRAMES):
        block = np.asarray(frames[start : start + dense.BLOCK_FRAMES])
        if block.dtype not in (np.float32, np.float64):
            block = block.astype(np.float64)
        usable = ~np.isinf(block) if missing else np.isfinite(block)
        if not usable.all():
            row = start + int(np.argmin(usable.all(axis=1)))
            expected = "finite, or NaN where missing" if missing else "finite"
            raise ModelError(f"frame {row} holds {'' if missing else 'NaN or '}infinity; features must be {expected}")
        yield start, block


def check_sums(gmm: DiagonalGMM, frames: FloatArray, sums: npt.ArrayLike) -> None:
    """Refuse sums that are NaN because of a frame that PyTorch's kernels used unchecked, with that frame's number."""
    if np.isnan(sums).any():
        for _ in checked_blocks(gmm, frames):
            pass
