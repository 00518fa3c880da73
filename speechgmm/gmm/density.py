"""What a mixture is good for as a density: sampling, hard clustering, filling in what is missing, choosing its size."""

import math

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray, IntArray
from speechgmm.gmm.blocks import checked_frames, log_joint_blocks
from speechgmm.gmm.kernels import dense
from speechgmm.gmm.model import DiagonalGMM


def sample(gmm: DiagonalGMM, n_frames: int, rng: np.random.Generator) -> tuple[Float64Array, IntArray]:
    """Draw frames from a mixture.

    Parameters
    ----------
    gmm : DiagonalGMM, C components over D features
        The model.
    n_frames : int >= 0
        How many, T.
    rng : np.random.Generator
        Draws them: the same seed gives the same bits.

    Returns
    -------
    frames : np.ndarray, shape (T, D), float64
        Independent frames.
    components : np.ndarray of int, shape (T,), 0 to C - 1
        The component that each was drawn from.

    Raises
    ------
    ValueError
        If `n_frames` is negative.
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
        Precision of the products. A model that single precision does not hold is computed in double.
    missing : bool
        Whether NaN stands for a feature that was not observed, as for `log_likelihood`.

    Returns
    -------
    np.ndarray of int, shape (T,), 0 to C - 1
        The component of the greatest posterior; the first of equals.

    Raises
    ------
    ValueError
        If the shape does not fit the model, or a value is not finite.
    """
    frames = checked_frames(gmm, frames)
    result = np.empty(len(frames), np.intp)
    for rows, joint in log_joint_blocks(gmm, frames, dtype, missing=missing):
        result[rows] = joint.argmax(axis=1)
    return result


def impute(gmm: DiagonalGMM, frames: FloatArray, *, rng: np.random.Generator | None = None) -> Float64Array:
    """Fill in missing features from those that were observed in the same frame.

    Parameters
    ----------
    gmm : DiagonalGMM, C components over D features
        The model.
    frames : np.ndarray, shape (T, D)
        Feature frames, NaN where a feature is missing and finite elsewhere.
    rng : np.random.Generator, optional
        Draws what is missing from its distribution given the rest, so that a filled frame is one that the model could
        have given. When not given, the expected value is filled in: the best guess of each feature, but too near the
        middle for statistics of the whole.

    Returns
    -------
    np.ndarray, shape (T, D), float64
        A copy; what was observed is as it was.

    Raises
    ------
    ValueError
        If the shape does not fit the model, or a value is infinite.

    Notes
    -----
    Within a component features are independent, so that the observed ones tell of the others only which component
    it was: E[x_d | x_o] = sum_c gamma_c(x_o) m_cd, with the posteriors gamma of the marginals. Always computed in
    double precision.

    References
    ----------
    Ghahramani and Jordan (1994), Supervised learning from incomplete data via an EM approach, NIPS 6, section 3.
    """
    filled = np.array(checked_frames(gmm, frames), np.float64)
    uniform = None if rng is None else rng.random(len(filled))
    for rows, gamma in log_joint_blocks(gmm, filled, np.float64, missing=True):
        block = filled[rows]
        dense.to_posteriors(gamma)
        if rng is None or uniform is None:
            guesses = gamma @ gmm.means
        else:
            drawn = np.sum(gamma.cumsum(axis=1) < uniform[rows, None], axis=1).clip(max=gmm.n_components - 1)
            guesses = gmm.means[drawn] + np.sqrt(gmm.variances[drawn]) * rng.standard_normal(block.shape)
        np.copyto(block, guesses, where=np.isnan(block))
    return filled


def aic(gmm: DiagonalGMM, log_likelihood: float) -> float:
    """Compute Akaike's information criterion: the lower, the better a model should do on other frames.

    Parameters
    ----------
    gmm : DiagonalGMM
        The model, trained on the frames.
    log_likelihood : float, nats
        Of all frames together: ``log_likelihood(gmm, frames).sum()``, or that of their statistics.

    Returns
    -------
    float, nats
        ``2 k - 2 log L``, with k = `gmm.n_parameters`.

    References
    ----------
    Akaike (1974), IEEE Trans. Automatic Control 19, 716-723.
    """
    return 2 * gmm.n_parameters - 2 * log_likelihood


def bic(gmm: DiagonalGMM, log_likelihood: float, n_frames: int) -> float:
    """Compute the Bayesian information criterion, which asks more of each parameter than Akaike's.

    Parameters
    ----------
    gmm, log_likelihood
        As for `aic`.
    n_frames : int >= 1
        Number of frames, taken for independent; those of overlapping windows of speech are not, and then larger models
        seem better than they are.

    Returns
    -------
    float, nats
        ``k log T - 2 log L``, with k = `gmm.n_parameters`; the lower, the better.

    Raises
    ------
    ValueError
        If there are no frames.

    References
    ----------
    Schwarz (1978), Annals of Statistics 6, 461-464.
    """
    if n_frames < 1:
        raise ValueError(f"n_frames {n_frames}: expected 1 or more")
    return gmm.n_parameters * math.log(n_frames) - 2 * log_likelihood
