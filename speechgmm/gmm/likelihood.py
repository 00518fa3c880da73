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
    """Compute the log-density of each frame under a model.

    Parameters
    ----------
    gmm : DiagonalGMM, C components over D features
        The model.
    frames : np.ndarray, shape (T, D), finite
        Feature frames, in memory or mapped.
    dtype : np.float32 or np.float64
        Precision of the matrix products. Models with too wide a range for single precision are computed in double.
    missing : bool
        Whether NaN marks a feature that was not observed; otherwise NaN is an error. The density is then the marginal
        one of the observed features, which is 1 where there are none.
    kernel : "numpy", "numba", "torch" or "cuda"
        Which kernel computes: ``torch`` is PyTorch on the processor, ``cuda`` PyTorch on an NVIDIA card; both need the
        extra ``torch``. ``numba``, and any kernel with `missing`, computes as ``numpy`` does.

    Returns
    -------
    np.ndarray, shape (T,), float64, nats
        ``log p(x_t)``.

    Raises
    ------
    ValueError
        If the shape does not fit the model, a value is not finite, `dtype` or `kernel` is none of these, or the
        kernel's package or device is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, log_likelihood
    >>> gmm = DiagonalGMM(weights=[0.5, 0.5], means=[[-1.0], [1.0]], variances=[[1.0], [1.0]])
    >>> log_likelihood(gmm, np.array([[0.0], [1.0], [5.0]])).round(2)
    array([-1.42, -1.49, -9.61])
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
    """Compute the posterior probability of each component given each frame.

    Parameters
    ----------
    gmm : DiagonalGMM, C components over D features
        The model.
    frames : np.ndarray, shape (T, D), finite
        Feature frames, in memory or mapped.
    dtype : np.float32 or np.float64
        Precision of the matrix products. Models with too wide a range for single precision are computed in double.
    missing : bool
        Whether NaN marks a feature that was not observed; otherwise NaN is an error. A frame with nothing observed has
        the components' weights as its posteriors.

    Returns
    -------
    np.ndarray, shape (T, C), float64, 0 to 1
        ``gamma_tc``; each row sums to 1.

    Raises
    ------
    ValueError
        If the shape does not fit the model, a value is not finite, or `dtype` is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, posteriors
    >>> gmm = DiagonalGMM(weights=[0.5, 0.5], means=[[-1.0], [1.0]], variances=[[1.0], [1.0]])
    >>> posteriors(gmm, np.array([[0.0], [1.0], [5.0]])).round(2)
    array([[0.5 , 0.5 ],
           [0.12, 0.88],
           [0.  , 1.  ]])
    """
    frames = checked_frames(gmm, frames)
    result = np.empty((len(frames), gmm.n_components))
    for rows, joint in log_joint_blocks(gmm, frames, dtype, missing=missing):
        dense.to_posteriors(joint)
        result[rows] = joint
    return result
