"""Posteriors of the factors of recordings, given their statistics: the i-vectors."""

from dataclasses import dataclass

import numpy as np

from speechgmm.arrays import Float64Array
from speechgmm.errors import ModelError
from speechgmm.parallel.threads import one_thread
from speechgmm.subspace import packed
from speechgmm.subspace.statistics import Statistics, as_source, blocks_of
from speechgmm.subspace.total_variability.model import TotalVariability
from speechgmm.subspace.vectors import Vectors

ROWS = 8
"""Rows of each matrix product of an extraction, the last padded with zeros. OpenBLAS adds in the same order in all of
them; with other numbers of rows, also 12 and 16, the order depends on a row's place on some processors."""


@dataclass(frozen=True, eq=False)
class Posteriors:
    """Normal posteriors of the factors of U recordings, and how likely these are."""

    means: Float64Array  # (U, R)
    covariances: Float64Array  # (U, P), packed; not usable unless they were asked for
    gains: Float64Array  # (U,), nats: log-likelihood of the frames, less that with all factors 0


def ivectors(
    model: TotalVariability,
    statistics: Statistics,
    *,
    acoustic_weight: float = 1.0,
    max_count: float | None = None,
    covariances: bool = False,
) -> Vectors:
    """Extract the i-vectors of recordings: the posterior means of their factors.

    Parameters
    ----------
    model : TotalVariability, C components over D features, R factors
        The model.
    statistics : sequence of SufficientStats, StackedStats or StatsStore, of U recordings
        Their statistics under the background model. The sum of the statistics of a speaker's recordings gives one
        vector of the speaker.
    acoustic_weight : float, 0 < acoustic_weight <= 1
        Share of its occupancies that a recording counts with, as neighbouring frames are alike.
    max_count : float > 0, frames, optional
        Sum of the occupancies, after that weight, that a recording counts with at most.
    covariances : bool
        Whether to compute the covariances of the posteriors, too.

    Returns
    -------
    Vectors, shapes (U, R) and (U, R, R)
        ``L^-1 sum_c T_c' S_c^-1 (F_c - N_c m_c)`` and ``L^-1``, with ``L = I + sum_c N_c T_c' S_c^-1 T_c``. A
        recording without frames has the vector 0. A recording's vector has the same bits alone and among others.

    Raises
    ------
    ModelError
        If there are no statistics, their shape is not the model's, a weight is out of its range, or the loadings are so
        large that the posterior cannot be computed.

    References
    ----------
    Kenny, Boulianne, Dumouchel (2005), IEEE Trans. Speech and Audio Processing 13, proposition 1;
    Dehak, Kenny, Dehak, Dumouchel, Ouellet (2011), IEEE Trans. Audio, Speech, and Language Processing 19, eq. 5.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, TotalVariability, accumulate, ivectors
    >>> ubm = DiagonalGMM(weights=[1.0], means=[[0.0, 0.0]], variances=[[1.0, 1.0]])
    >>> model = TotalVariability(ubm.means, loadings=[[[1.0], [0.0]]], variances=ubm.variances)
    >>> statistics = [accumulate(ubm, np.array([[2.0, 5.0], [4.0, -5.0]]))]
    >>> vectors = ivectors(model, statistics, covariances=True)
    >>> vectors.values.round(6), vectors.covariances.round(6)  # (2 + 4) / (1 + 2), 1 / (1 + 2)
    (array([[2.]]), array([[[0.333333]]]))
    """
    if not 0 < acoustic_weight <= 1:
        raise ModelError(f"acoustic_weight {acoustic_weight}: expected a number above 0, at most 1")
    if max_count is not None and not max_count > 0:
        raise ModelError(f"max_count {max_count}: expected a number above 0, or none")
    source = as_source(statistics, model.means.shape)
    values = np.empty((len(source), model.rank))
    full = np.empty((len(source), model.rank, model.rank)) if covariances else None
    start = 0
    for block in blocks_of(source):
        stats = block.load()
        rows = slice(start, start := start + len(stats))
        scales = _scales(stats.zeroth, acoustic_weight, max_count)
        zeroth = stats.zeroth * scales[:, None]
        centred = centre(model, zeroth, stats.first * scales[:, None, None])
        with one_thread():
            found = posteriors(model, zeroth, centred, covariances=covariances, rows_at_once=ROWS)
        values[rows] = found.means
        if full is not None:
            full[rows] = packed.unpack(found.covariances, model.rank)
    return Vectors(values, full)


def posteriors(
    model: TotalVariability,
    zeroth: Float64Array,
    centred: Float64Array,
    *,
    covariances: bool,
    rows_at_once: int | None = None,
) -> Posteriors:
    """Compute the posteriors for statistics of shapes (U, C) and (U, C, D), about the model's means.

    Matrix products have `rows_at_once` rows, U if not given.
    """
    n_recordings = len(zeroth)
    on_diagonal = packed.diagonal(model.rank)
    with np.errstate(over="ignore", invalid="ignore"):  # checked below
        precisions = _product(zeroth, model.precisions, rows_at_once)
        precisions[:, on_diagonal] += 1
        right = _product(centred.reshape(n_recordings, -1), model.scaled_loadings, rows_at_once)
    means = np.empty((n_recordings, model.rank))
    log_deviations = np.empty(n_recordings)
    for row, (precision, each) in enumerate(zip(precisions, right, strict=True)):
        usable = packed.factorise(precision, model.rank)
        scale = precision[on_diagonal]
        if not (usable and np.isfinite(scale).all() and np.isfinite(each).all()):
            raise ModelError(
                f"the posterior of a recording of {zeroth[row].sum():.6g} frames cannot be computed: the loadings, up "
                f"to {_largest(model):.3g} standard deviations, are too large; expected about one or less"
            )
        means[row] = packed.solve(precision, each[:, None])[:, 0]
        log_deviations[row] = -np.log(scale).sum()
        if covariances:
            packed.invert(precision, model.rank)
    gains = 0.5 * (right * means).sum(axis=1) + log_deviations
    return Posteriors(means, precisions, gains)


def centre(model: TotalVariability, zeroth: Float64Array, first: Float64Array) -> Float64Array:
    """Return first-order statistics about the means of the model, shape (U, C, D)."""
    return first - zeroth[:, :, None] * model.means


def _largest(model: TotalVariability) -> float:
    """Return the largest loading, in standard deviations."""
    return float(np.abs(model.loadings / np.sqrt(model.variances)[:, :, None]).max(initial=0))


def _scales(zeroth: Float64Array, acoustic_weight: float, max_count: float | None) -> Float64Array:
    """Return the factor of the statistics of each recording, shape (U,)."""
    scales = np.full(len(zeroth), acoustic_weight)
    if max_count is not None and max_count < np.inf:
        counts = acoustic_weight * zeroth.sum(axis=1)
        scales *= max_count / np.maximum(counts, max_count)
    return scales


def _product(rows: Float64Array, matrix: Float64Array, rows_at_once: int | None) -> Float64Array:
    """Multiply rows by a matrix, all at once or in blocks of so many rows, the last padded with zeros."""
    at_once = rows_at_once or len(rows)
    n_padded = -(-len(rows) // at_once) * at_once
    product = packed.aligned_rows(n_padded, matrix.shape[1])
    padded = rows
    if n_padded > len(rows):
        padded = np.zeros((n_padded, rows.shape[1]))
        padded[: len(rows)] = rows
    for start in range(0, n_padded, at_once):
        block = slice(start, start + at_once)
        np.matmul(padded[block], matrix, out=product[block])
    return product[: len(rows)]
