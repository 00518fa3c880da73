"""Uses of a mixture as a density: sampling, hard clustering, imputing missing features, and choosing its size."""

import math

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray, IntArray
from speechgmm.gmm.blocks import checked_frames, log_joint_blocks
from speechgmm.gmm.kernels import dense
from speechgmm.gmm.model import DiagonalGMM


def sample(gmm: DiagonalGMM, n_frames: int, rng: np.random.Generator) -> tuple[Float64Array, IntArray]:
    """Draw independent frames from a mixture.

    Parameters
    ----------
    gmm : DiagonalGMM, C components over D features
        The model.
    n_frames : int >= 0
        Number of frames to draw, T.
    rng : np.random.Generator
        Source of random numbers: the same seed gives the same bits.

    Returns
    -------
    frames : np.ndarray, shape (T, D), float64
        The frames.
    components : np.ndarray of int, shape (T,), 0 to C - 1
        The component that each frame was drawn from.

    Raises
    ------
    ValueError
        If `n_frames` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, sample
    >>> gmm = DiagonalGMM(weights=[0.5, 0.5], means=[[-5.0, 0.0], [5.0, 0.0]], variances=np.ones((2, 2)))
    >>> frames, components = sample(gmm, 1000, np.random.default_rng(0))
    >>> frames.shape
    (1000, 2)
    >>> bool((components == (frames[:, 0] > 0)).all())
    True
    """
    if n_frames < 0:
        raise ValueError(f"n_frames {n_frames}: expected 0 or more")
    components: IntArray = rng.choice(gmm.n_components, n_frames, p=gmm.weights / gmm.weights.sum())
    frames = rng.standard_normal((n_frames, gmm.n_features))
    deviations = np.sqrt(gmm.variances)
    for start in range(0, n_frames, dense.BLOCK_FRAMES):
        rows = slice(start, start + dense.BLOCK_FRAMES)
        frames[rows] *= deviations[components[rows]]
        frames[rows] += gmm.means[components[rows]]
    return frames, components


def classify(
    gmm: DiagonalGMM, frames: FloatArray, *, dtype: type[np.floating] = np.float32, missing: bool = False
) -> IntArray:
    """Find the likeliest component of each frame: hard clustering.

    Parameters
    ----------
    gmm : DiagonalGMM, C components over D features
        The model.
    frames : np.ndarray, shape (T, D), finite
        Feature frames, in memory or mapped.
    dtype : np.float32 or np.float64
        Precision of the matrix products. Models with too wide a range for single precision are computed in double.
    missing : bool
        Whether NaN marks a feature that was not observed; otherwise NaN is an error.

    Returns
    -------
    np.ndarray of int, shape (T,), 0 to C - 1
        The component with the greatest posterior; of equal ones, the first.

    Raises
    ------
    ValueError
        If the shape does not fit the model, a value is not finite, or `dtype` is none of these.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, classify
    >>> gmm = DiagonalGMM(weights=[0.5, 0.5], means=[[-5.0], [5.0]], variances=[[1.0], [1.0]])
    >>> classify(gmm, np.array([[-4.0], [6.0], [4.5]]))
    array([0, 1, 1])
    """
    frames = checked_frames(gmm, frames)
    result = np.empty(len(frames), np.intp)
    for rows, joint in log_joint_blocks(gmm, frames, dtype, missing=missing):
        result[rows] = joint.argmax(axis=1)
    return result


def impute(gmm: DiagonalGMM, frames: FloatArray, *, rng: np.random.Generator | None = None) -> Float64Array:
    """Fill in missing features from those observed in the same frame.

    Parameters
    ----------
    gmm : DiagonalGMM, C components over D features
        The model.
    frames : np.ndarray, shape (T, D)
        Feature frames, NaN where a feature is missing and finite elsewhere.
    rng : np.random.Generator, optional
        Draws missing features from their distribution given the observed ones, so that filled frames have the spread
        of the model's frames. When not given, the expected value is filled in: the best estimate of each feature, but
        too close to the mean for statistics over many frames.

    Returns
    -------
    np.ndarray, shape (T, D), float64
        A copy of the frames, in which observed features are unchanged.

    Raises
    ------
    ValueError
        If the shape does not fit the model, or a value is infinite.

    Notes
    -----
    Within a component features are independent, so that observed features carry information about missing ones only
    through the component: E[x_d | x_o] = sum_c gamma_c(x_o) m_cd, where gamma_c(x_o) are posteriors under the marginal
    densities of the observed features. Always computed in double precision.

    References
    ----------
    Ghahramani and Jordan (1994), Supervised learning from incomplete data via an EM approach, NIPS 6, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, impute
    >>> gmm = DiagonalGMM(weights=[0.5, 0.5], means=[[-5.0, 1.0], [5.0, 2.0]], variances=np.ones((2, 2)))
    >>> impute(gmm, np.array([[-5.5, np.nan], [4.0, np.nan]])).round(2)
    array([[-5.5,  1. ],
           [ 4. ,  2. ]])
    """
    filled = np.array(checked_frames(gmm, frames), np.float64)
    uniform = None if rng is None else rng.random(len(filled))
    for rows, gamma in log_joint_blocks(gmm, filled, np.float64, missing=True):
        block = filled[rows]
        dense.to_posteriors(gamma)
        if rng is None or uniform is None:
            estimates = gamma @ gmm.means
        else:
            components = np.sum(gamma.cumsum(axis=1) < uniform[rows, None], axis=1).clip(max=gmm.n_components - 1)
            estimates = gmm.means[components] + np.sqrt(gmm.variances[components]) * rng.standard_normal(block.shape)
        np.copyto(block, estimates, where=np.isnan(block))
    return filled


def aic(gmm: DiagonalGMM, log_likelihood: float) -> float:
    """Compute Akaike's information criterion, ``2 k - 2 log L`` with k free parameters; lower is better.

    `log_likelihood` is the sum over the training frames, in nats: ``log_likelihood(gmm, frames).sum()``, or that of
    their statistics. Akaike (1974), IEEE Trans. Automatic Control 19, 716-723.
    """
    return 2 * gmm.n_parameters - 2 * log_likelihood


def bic(gmm: DiagonalGMM, log_likelihood: float, n_frames: int) -> float:
    """Compute the Bayesian information criterion, ``k log T - 2 log L`` with k free parameters; lower is better.

    `log_likelihood` is the sum over the T training frames, in nats. The frames count as independent; those of
    overlapping windows are not, which favours models that are too large. Schwarz (1978), Annals of Statistics 6,
    461-464.
    """
    if n_frames < 1:
        raise ValueError(f"n_frames {n_frames}: expected 1 or more")
    return gmm.n_parameters * math.log(n_frames) - 2 * log_likelihood
