"""Frames checked against a model, block by block, and the model as the kernels want it."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import FloatArray
from speechgmm.errors import ModelError
from speechgmm.gmm.checks import real_numbers
from speechgmm.gmm.kernels import dense, missing_features
from speechgmm.gmm.model import DiagonalGMM


def log_joint_blocks(
    gmm: DiagonalGMM, frames: FloatArray, dtype: type[np.floating], *, missing: bool
) -> Iterator[tuple[slice, FloatArray]]:
    """Compute joint log-densities of frames and components, block by block.

    Parameters
    ----------
    gmm, frames, dtype, missing
        As for `log_likelihood`.

    Yields
    ------
    rows : slice
        Which frames the block is of.
    joint : np.ndarray, shape (B, C), nats
        ``log(w_c N(x_t; m_c, v_c))``, the caller's to overwrite.

    Raises
    ------
    ValueError
        As for `log_likelihood`.
    """
    coefficients = model_coefficients(gmm, dtype, missing=missing)
    for start, expanded in expanded_blocks(gmm, frames, coefficients, missing=missing):
        yield slice(start, start + len(expanded)), dense.log_joint(expanded, coefficients)


def model_coefficients(gmm: DiagonalGMM, dtype: type[np.floating], *, missing: bool = False) -> dense.Coefficients:
    """Prepare a model for the kernels, in double precision where single would not do.

    Parameters
    ----------
    gmm : DiagonalGMM
        The model.
    dtype : np.float32 or np.float64
        Precision asked for.
    missing : bool
        Whether for frames with missing features.

    Returns
    -------
    dense.Coefficients
        Its coefficients about its own reference.

    Raises
    ------
    ValueError
        If `dtype` is neither, or the parameters are so large or so small that their squares or ratios are infinite.
    """
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype {np.dtype(dtype)}: expected float32 or float64")
    kernel = missing_features if missing else dense
    with np.errstate(over="ignore", invalid="ignore"):  # told below
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
    """Check the type and the shape of frames against a model; their values are checked block by block.

    Parameters
    ----------
    gmm : DiagonalGMM, D features
        The model.
    frames : array_like, shape (T, D)
        Feature frames, in memory or mapped.

    Returns
    -------
    np.ndarray, shape (T, D)
        The frames themselves, where they are an array.

    Raises
    ------
    ModelError
        If they are no real numbers, some are masked, or the shape does not fit the model.
    """
    array = real_numbers("frames", frames)
    if array.ndim != 2 or array.shape[1] != gmm.n_features:
        raise ModelError(f"frames of shape {array.shape}; the model expects (T, {gmm.n_features})")
    return array


def expanded_blocks(
    gmm: DiagonalGMM, frames: FloatArray, coefficients: dense.Coefficients, *, missing: bool = False
) -> Iterator[tuple[int, FloatArray]]:
    """Check frames against a model and give them block by block, as the kernels want them.

    Parameters
    ----------
    gmm : DiagonalGMM, D features
        The model.
    frames : np.ndarray, shape (T, D)
        Feature frames, in memory or mapped.
    coefficients : dense.Coefficients
        Reference and precision to expand them in.
    missing : bool
        Whether NaN is a missing feature.

    Yields
    ------
    start : int
        Index of the block's first frame.
    expanded : np.ndarray, shape (B, 2D + 1), or (B, 3D + 1) with `missing`
        The block as `dense.expand` or `missing.expand` gives it.

    Raises
    ------
    ValueError
        If the shape does not fit the model, or a value is not finite.
    """
    expand = missing_features.expand if missing else dense.expand
    for start, block in checked_blocks(gmm, frames, missing=missing):
        yield start, expand(block, coefficients.reference, coefficients.product.dtype.type)


def checked_blocks(gmm: DiagonalGMM, frames: FloatArray, *, missing: bool = False) -> Iterator[tuple[int, FloatArray]]:
    """Check frames against a model and give them block by block.

    Parameters
    ----------
    gmm, frames, missing
        As for `expanded_blocks`.

    Yields
    ------
    start : int
        Index of the block's first frame.
    block : np.ndarray, shape (B, D), float32 or float64
        The frames.

    Raises
    ------
    ValueError
        As for `expanded_blocks`.
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
    """Find the frame that made NaN of what was computed before its frames were checked.

    Parameters
    ----------
    gmm, frames
        As for `checked_blocks`.
    sums : array_like
        What a kernel of torch gave.

    Raises
    ------
    ValueError
        As for `checked_blocks`.
    """
    if np.isnan(sums).any():
        for _ in checked_blocks(gmm, frames):
            pass
