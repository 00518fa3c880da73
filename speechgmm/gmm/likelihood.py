"""Log-densities and posteriors of frames under a model."""

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.gmm.blocks import check_sums, checked_frames, log_joint_blocks, model_coefficients
from speechgmm.gmm.kernels import dense
from speechgmm.gmm.kernels.choice import check_kernel, is_torch, torch_kernels
from speechgmm.gmm.model import DiagonalGMM


def log_likelihood(
    gmm: DiagonalGMM,
    frames: FloatArray,
    *,
    dtype: type[np.floating] = np.float32,
    missing: bool = False,
    kernel: dense.Kernel = "numpy",
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
        result[rows] = dense.log_sum(joint, axis=1)
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
        dense.to_posteriors(joint)
        result[rows] = joint
    return result
