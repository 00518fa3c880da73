"""Vectors of recordings straight from statistics: supervectors, Fisher vectors and VLAD of a background model.

Each recording's vector has the same bits alone and among others: nothing is multiplied across recordings.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from speechgmm.arrays import Float64Array
from speechgmm.errors import ModelError
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats
from speechgmm.subspace.statistics import Statistics, as_source, blocks_of


def supervectors(ubm: DiagonalGMM, statistics: Statistics, relevance_factor: float = 10.0) -> Float64Array:
    """Turn the statistics of each recording into a supervector of KL-normalised mean shifts.

    Parameters
    ----------
    ubm : DiagonalGMM, C components over D features
        The background model.
    statistics : sequence of U SufficientStats, StackedStats or StatsStore, shape (C, D)
        Statistics of each recording under `ubm`; those of a folder are read block by block.
    relevance_factor : float > 0, frames
        Frames of evidence at which recording and background model weigh the same, r.

    Returns
    -------
    np.ndarray, shape (U, C D), float64
        ``sqrt(w_c) S_c^-1/2 (m^s_c - m_c)``, component by component, with m^s the means of `map_adapt`; computed as
        ``sqrt(w_c) S_c^-1/2 (F_c - N_c m_c) / (N_c + r)``. Half of the squared distance of two of them is an upper
        bound on the Kullback-Leibler divergence of the adapted models. A recording of no frames has the vector 0.

    Raises
    ------
    ModelError
        If there are no statistics, their shape is not that of `ubm`, or the relevance factor is not above 0.

    References
    ----------
    Campbell, Sturim, Reynolds (2006), IEEE Signal Processing Letters 13, 308-311.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, accumulate, supervectors
    >>> ubm = DiagonalGMM(weights=[0.5, 0.5], means=[[-5.0], [5.0]], variances=[[1.0], [4.0]])
    >>> recording = accumulate(ubm, np.full((20, 1), 6.0))
    >>> supervectors(ubm, [recording], relevance_factor=20.0).round(3)
    array([[0.   , 0.177]])
    """
    if not (np.isfinite(relevance_factor) and relevance_factor > 0):
        raise ModelError(f"relevance_factor {relevance_factor}: expected more than 0 frames")
    scales = np.sqrt(ubm.weights[:, None] / ubm.variances)
    vectors = np.empty((len(statistics), ubm.means.size))
    for rows, zeroth, sums in _centred_blocks(ubm, statistics):
        shifts = sums * scales / (zeroth[:, :, None] + relevance_factor)
        vectors[rows] = shifts.reshape(len(shifts), -1)
    return vectors


def fisher_vectors(ubm: DiagonalGMM, statistics: Sequence[SufficientStats], *, variances: bool = True) -> Float64Array:
    """Turn the statistics of each recording into a Fisher vector: how its frames would move the model's parameters.

    Parameters
    ----------
    ubm : DiagonalGMM, C components over D features
        The background model.
    statistics : sequence of U SufficientStats, shapes (C,), (C, D), (C, D)
        Statistics of each recording under `ubm`.
    variances : bool
        Whether the gradients by the standard deviations follow those by the means.

    Returns
    -------
    np.ndarray, shape (U, 2 C D), or (U, C D) without `variances`, float64
        Gradients of the mean log-likelihood of a frame by means and standard deviations, each times the inverse square
        root of its approximate Fisher information: component by component first
        ``sum_t gamma_tc (x_t - m_c) / s_c / (T sqrt(w_c))``, then
        ``sum_t gamma_tc ((x_t - m_c)^2 / s_c^2 - 1) / (T sqrt(2 w_c))``, with s the standard deviations and T the
        number of frames. Gradients by weights are left out, as in the second reference. Its two normalisations are not
        applied: the power is ``np.sign(v) * np.sqrt(np.abs(v))``, and the length is a step of a back end.

    Raises
    ------
    ModelError
        If there are no statistics, their shape is not that of `ubm`, a value is not finite, or a recording has no
        frames.

    References
    ----------
    Perronnin and Dance (2007), CVPR, section 3.
    Perronnin, Sánchez, Mensink (2010), ECCV, 143-156.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, accumulate, fisher_vectors
    >>> ubm = DiagonalGMM(weights=[1.0], means=[[1.0]], variances=[[4.0]])
    >>> recording = accumulate(ubm, np.array([[3.0], [5.0]]))
    >>> fisher_vectors(ubm, [recording]).round(3)
    array([[1.5  , 1.061]])
    """
    if not statistics:
        raise ModelError("no statistics; expected those of one recording or more")
    vectors = np.empty((len(statistics), (1 + variances) * ubm.means.size))
    for number, (row, stats) in enumerate(zip(vectors, statistics, strict=True)):
        _check_recording(number, stats, ubm)
        row[: ubm.means.size] = _mean_gradient(ubm, stats).ravel()
        if variances:
            row[ubm.means.size :] = _deviation_gradient(ubm, stats).ravel()
    return vectors


def vlad(ubm: DiagonalGMM, statistics: Statistics) -> Float64Array:
    """Add up how far each recording's frames are from the means of their components: VLAD.

    Parameters
    ----------
    ubm : DiagonalGMM, C components over D features
        The background model; its means are the codebook.
    statistics : sequence of U SufficientStats, StackedStats or StatsStore, shape (C, D)
        Statistics of each recording under `ubm`. Frames count for components by the posteriors that the statistics are
        from: those of `accumulate` are soft assignments; statistics of posteriors that are 0 or 1 give the hard
        assignment of the reference.

    Returns
    -------
    np.ndarray, shape (U, C D), float64, units of the features
        ``sum_t gamma_tc (x_t - m_c) = F_c - N_c m_c``, component by component. They are not divided by their length,
        which is a step of a back end.

    Raises
    ------
    ModelError
        If there are no statistics, or their shape is not that of `ubm`.

    References
    ----------
    Jégou, Douze, Schmid, Pérez (2010), CVPR, 3304-3311.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, accumulate, vlad
    >>> ubm = DiagonalGMM(weights=[0.5, 0.5], means=[[-5.0], [5.0]], variances=[[1.0], [1.0]])
    >>> vlad(ubm, [accumulate(ubm, np.array([[-5.5], [6.0], [6.0]]))]).round(3)
    array([[-0.5,  2. ]])
    """
    vectors = np.empty((len(statistics), ubm.means.size))
    for rows, _, sums in _centred_blocks(ubm, statistics):
        vectors[rows] = sums.reshape(len(sums), -1)
    return vectors


def _centred_blocks(ubm: DiagonalGMM, statistics: Statistics) -> Iterator[tuple[slice, Float64Array, Float64Array]]:
    """Yield the rows of the next B recordings, their occupancies (B, C), and first orders about the means (B, C, D)."""
    start = 0
    for block in blocks_of(as_source(statistics, ubm.means.shape)):
        stats = block.load()
        yield slice(start, start + len(stats)), stats.zeroth, stats.first - stats.zeroth[:, :, None] * ubm.means
        start += len(stats)


def _check_recording(number: int, stats: SufficientStats, ubm: DiagonalGMM) -> None:
    """Refuse statistics of another shape, of no frames, or not finite."""
    if stats.first.shape != ubm.means.shape:
        raise ModelError(f"statistics of shape {stats.first.shape} for a model of shape {ubm.means.shape}")
    if stats.n_frames == 0:
        raise ModelError(f"recording {number} has no frames; expected one or more for a Fisher vector")
    if not all(np.isfinite(array).all() for array in (stats.zeroth, stats.first, stats.second)):
        raise ModelError(f"statistics of recording {number} hold NaN or infinity; expected finite sums")


def _mean_gradient(ubm: DiagonalGMM, stats: SufficientStats) -> Float64Array:
    """Return the normalised gradient by the means, shape (C, D)."""
    sums = stats.first - stats.zeroth[:, None] * ubm.means
    gradient: Float64Array = sums / np.sqrt(ubm.weights[:, None] * ubm.variances) / stats.n_frames
    return gradient


def _deviation_gradient(ubm: DiagonalGMM, stats: SufficientStats) -> Float64Array:
    """Return the normalised gradient by the standard deviations, shape (C, D)."""
    zeroth = stats.zeroth[:, None]
    squares = stats.second - 2 * ubm.means * stats.first + zeroth * ubm.means**2
    gradient: Float64Array = (squares / ubm.variances - zeroth) / np.sqrt(2 * ubm.weights)[:, None] / stats.n_frames
    return gradient
