"""The diagonal-covariance Gaussian mixture: its value, its log-density and its posteriors."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import Float64Array, FloatArray, read_only
from speechgmm.errors import ModelError
from speechgmm.gmm import kernels, marginals
from speechgmm.gmm.kernel_choice import check_kernel, is_torch, torch_kernels


@dataclass(frozen=True, eq=False)
class DiagonalGMM:
    """A mixture of C Gaussians over D features, each with its own variance for every feature.

    An immutable value: the arrays are float64, C-contiguous and read-only.

    Parameters
    ----------
    weights : np.ndarray, shape (C,), > 0
        Prior of each component; they sum to 1.
    means : np.ndarray, shape (C, D)
        Mean of each component.
    variances : np.ndarray, shape (C, D), > 0
        Variance of each component along each feature.

    Raises
    ------
    ValueError
        If shapes disagree, a value is not a finite number, a weight or variance is not positive, or the weights don't
        sum to 1 (within 1e-6).
    """

    weights: Float64Array
    means: Float64Array
    variances: Float64Array

    def __post_init__(self) -> None:
        for name in ("weights", "means", "variances"):
            array = read_only(real_numbers(name, getattr(self, name)))
            if not np.isfinite(array).all():
                raise ValueError(f"{name} hold NaN or infinity")
            object.__setattr__(self, name, array)
        if self.means.ndim != 2 or self.weights.shape != self.means.shape[:1] or 0 in self.means.shape:
            raise ValueError(f"weights {self.weights.shape} and means {self.means.shape}; expected (C,) and (C, D)")
        if self.variances.shape != self.means.shape:
            raise ValueError(f"variances {self.variances.shape}; expected {self.means.shape}, as the means")
        if not self.variances.min() > 0:
            raise ValueError(f"least variance {self.variances.min():g}; expected all above 0")
        if not self.weights.min() > 0 or abs(self.weights.sum() - 1) > 1e-6:
            raise ValueError(
                f"weights from {self.weights.min():g} with sum {self.weights.sum():.9g}; "
                "expected all above 0 and a sum of 1"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Unpickle through the constructor, so that the arrays are read-only there too."""
        return type(self), (self.weights, self.means, self.variances)

    @property
    def n_components(self) -> int:
        """Number of Gaussians, C."""
        return int(self.means.shape[0])

    @property
    def n_features(self) -> int:
        """Number of features, D."""
        return int(self.means.shape[1])

    @property
    def n_parameters(self) -> int:
        """Number of free parameters: C - 1 weights, CD means and CD variances."""
        return self.n_components - 1 + 2 * self.means.size

    @property
    def reference(self) -> kernels.Reference:
        """Mean and scale of the whole, that frames are computed about."""
        return kernels.reference(self.weights, self.means, self.variances)


def log_likelihood(
    gmm: DiagonalGMM,
    frames: FloatArray,
    *,
    dtype: type[np.floating] = np.float32,
    missing: bool = False,
    kernel: kernels.Kernel = "numpy",
) -> Float64Array:
    """Compute the log-density of each frame.

    Parameters
    ----------
    gmm : DiagonalGMM, C components over D features
        The model.
    frames : np.ndarray, shape (T, D), finite
        Feature frames.
    dtype : np.float32 or np.float64
        Precision of the products. A model that single precision does not hold is computed in double.
    missing : bool
        Whether NaN stands for a feature that was not observed, rather than for an error. The density is then that of
        the features that were, which is 1 where there are none.
    kernel : "numpy", "numba", "torch" or "cuda"
        Who computes: ``torch`` and ``cuda`` as for `speechgmm.gmm.statistics.accumulate`. It is numpy with ``numba``,
        and with features missing.

    Returns
    -------
    np.ndarray, shape (T,), float64, nats
        ``log p(x_t)``.

    Raises
    ------
    ValueError
        If the shape does not fit the model, or a value is not finite; or `kernel` is none of these or not there.
    """
    frames = checked_frames(gmm, frames)
    check_kernel(kernel)
    if is_torch(kernel) and not missing:
        values: Float64Array = torch_kernels(kernel).log_likelihoods(frames, model_coefficients(gmm, dtype), kernel)
        check_sums(gmm, frames, values)
        return values
    result = np.empty(len(frames))
    for rows, joint in log_joint_blocks(gmm, frames, dtype, missing=missing):
        result[rows] = kernels.log_sum(joint, axis=1)
    return result


def posteriors(
    gmm: DiagonalGMM, frames: FloatArray, *, dtype: type[np.floating] = np.float32, missing: bool = False
) -> Float64Array:
    """Compute how likely each component is to have given each frame.

    Parameters
    ----------
    gmm, frames, dtype, missing
        As for `log_likelihood`. A frame with nothing observed has the weights for posteriors.

    Returns
    -------
    np.ndarray, shape (T, C), float64, 0 to 1
        Each row sums to 1.

    Raises
    ------
    ValueError
        As for `log_likelihood`.
    """
    frames = checked_frames(gmm, frames)
    result = np.empty((len(frames), gmm.n_components))
    for rows, joint in log_joint_blocks(gmm, frames, dtype, missing=missing):
        kernels.to_posteriors(joint)
        result[rows] = joint
    return result


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
        yield slice(start, start + len(expanded)), kernels.log_joint(expanded, coefficients)


def model_coefficients(gmm: DiagonalGMM, dtype: type[np.floating], *, missing: bool = False) -> kernels.Coefficients:
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
    kernels.Coefficients
        Its coefficients about its own reference.

    Raises
    ------
    ValueError
        If `dtype` is neither, or the parameters are so large or so small that their squares or ratios are infinite.
    """
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype {np.dtype(dtype)}: expected float32 or float64")
    kernel = marginals if missing else kernels
    with np.errstate(over="ignore", invalid="ignore"):  # told below
        about = gmm.reference
        if not kernel.holds_in_single_precision(gmm.means, gmm.variances, about):
            dtype = np.float64
        coefficients: kernels.Coefficients = kernel.coefficients(gmm.weights, gmm.means, gmm.variances, about, dtype)
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


def real_numbers(name: str, values: npt.ArrayLike) -> FloatArray:
    """Give an array of real numbers, and refuse what would only become one by losing something.

    Parameters
    ----------
    name : str
        What the error calls it.
    values : array_like
        Whatever somebody gave.

    Returns
    -------
    np.ndarray
        The values themselves, where they are an array.

    Raises
    ------
    ModelError
        If they are no real numbers, some are masked, or rows differ in length.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ModelError(f"{name} of rows that differ in length; expected an array of real numbers") from error
    if array.dtype.kind not in "biuf":
        raise ModelError(f"{name} of type {array.dtype}; expected real numbers")
    if np.ma.is_masked(values):
        raise ModelError(f"{name} with masked values; expected numbers, or NaN where a feature may be missing")
    return array


def expanded_blocks(
    gmm: DiagonalGMM, frames: FloatArray, coefficients: kernels.Coefficients, *, missing: bool = False
) -> Iterator[tuple[int, FloatArray]]:
    """Check frames against a model and give them block by block, as the kernels want them.

    Parameters
    ----------
    gmm : DiagonalGMM, D features
        The model.
    frames : np.ndarray, shape (T, D)
        Feature frames, in memory or mapped.
    coefficients : kernels.Coefficients
        Reference and precision to expand them in.
    missing : bool
        Whether NaN is a missing feature.

    Yields
    ------
    start : int
        Index of the block's first frame.
    expanded : np.ndarray, shape (B, 2D + 1), or (B, 3D + 1) with `missing`
        The block as `kernels.expand` or `marginals.expand` gives it.

    Raises
    ------
    ValueError
        If the shape does not fit the model, or a value is not finite.
    """
    expand = marginals.expand if missing else kernels.expand
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
    for start in range(0, len(frames), kernels.BLOCK_FRAMES):
        block = np.asarray(frames[start : start + kernels.BLOCK_FRAMES])
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
