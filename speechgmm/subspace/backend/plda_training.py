"""Training of PLDA: EM on the means and the scatter of speakers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse

from speechgmm.arrays import Float64Array, IntArray
from speechgmm.errors import ModelError
from speechgmm.parallel.threads import one_thread
from speechgmm.subspace.backend.plda_model import Plda, diagonalise, with_fixed_signs

ROWS_AT_ONCE = 4096
"""Recordings that are centred at once."""

LEAST_VARIANCE, MOST_VARIANCE = 1e-4, 1e8
"""Variances of dimensions for which EM starts from the identity; otherwise it starts from the variances themselves."""

UNFORGOTTEN = 4.0
"""Variance of the model, relative to that of the vectors, from which EM has not left its start behind."""

MOST_VALUE = 1e100
"""Largest number in a vector: squares of larger ones are no finite numbers."""

Expectation = Callable[[Float64Array, Float64Array], tuple[Float64Array, Float64Array]]
"""The covariances within and between that posteriors give, from the rows that make both diagonal, and psi."""


@dataclass(frozen=True)
class SpeakerStatistics:
    """Sums of N vectors of S speakers, which are all that EM needs."""

    speaker_of: IntArray  # (N,)
    counts: IntArray  # (S,)
    means: Float64Array  # (S, R)
    scatter: Float64Array  # (R, R), about the means
    magnitudes: Float64Array  # (R,), largest in each dimension

    @property
    def mean(self) -> Float64Array:
        """Mean of the speakers, each counting once."""
        return np.asarray(self.means.mean(axis=0))

    @property
    def sizes(self) -> str:
        """How many there are, in words."""
        return f"{self.counts.sum()} recordings of {len(self.counts)} speakers in {self.means.shape[1]} dimensions"


@dataclass(frozen=True)
class Span:
    """The r directions in which vectors vary, brought to a total covariance of I, and the R - r others."""

    basis: Float64Array  # (r, R)
    others: Float64Array  # (R - r, R)
    start: Float64Array  # (r, r): the rows that make the start's covariances the identity


def train_plda(vectors: Float64Array, speakers: Sequence[str], n_iterations: int = 10) -> Plda:
    """Train two-covariance PLDA by EM.

    EM starts from covariances of I, as Kaldi's does. If a dimension has a variance below 0.0001 or above 1e8, it
    starts from the variances instead. Directions in which no two vectors differ get no variance between speakers, so
    they do not change scores.

    Parameters
    ----------
    vectors : array, shape (U, R)
        One vector for each recording.
    speakers : sequence of U str
        Who speaks in each; some may have one recording only.
    n_iterations : int >= 1
        Iterations of EM.

    Returns
    -------
    Plda
        The model. Its `warnings` say where the data are too few for the dimensions.

    Raises
    ------
    ModelError
        If there are fewer than two speakers, none has two recordings, all recordings of each speaker are the same,
        shapes disagree, or a value is not a finite number.

    References
    ----------
    Ioffe (2006), ECCV, 531-542, in the form of Kaldi (ivector/plda.cc).

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import train_plda
    >>> rng = np.random.default_rng(5)
    >>> speakers = np.repeat(np.arange(5000), 4)
    >>> vectors = 2 * rng.normal(size=(5000, 1))[speakers] + rng.normal(size=(20000, 1))
    >>> model = train_plda(vectors, [f"speaker {number}" for number in speakers])
    >>> model.between.round(), model.within.round()
    (array([[4.]]), array([[1.]]))
    """
    with one_thread():
        statistics = speaker_statistics(vectors, speakers)
        span = find_span(statistics)
        return run_em(statistics, span, _expectation(statistics, span), n_iterations)


def _expectation(statistics: SpeakerStatistics, span: Span) -> Expectation:
    """Return the E step on the sums of speakers."""
    means = (statistics.means - statistics.mean) @ span.basis.T
    scatter = span.basis @ statistics.scatter @ span.basis.T

    def expect(rows: Float64Array, psi: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Take the posteriors of speakers, who differ in their mean and number of recordings only."""
        return _expected_covariances(statistics.counts, means @ rows.T, rows @ scatter @ rows.T, psi)

    return expect


def _expected_covariances(
    counts: IntArray, means: Float64Array, scatter: Float64Array, psi: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return the expected covariances within and between, where the present ones are I and diag(psi)."""
    n = counts[:, None]
    shrinkage = 1 / (1 + n * psi)
    variances = psi * shrinkage
    offsets = means * (n * variances)
    residuals = means * shrinkage
    within = scatter + np.diag((n * variances).sum(axis=0)) + (n * residuals).T @ residuals
    between = np.diag(variances.sum(axis=0)) + offsets.T @ offsets
    return within / counts.sum(), between / len(counts)


def run_em(statistics: SpeakerStatistics, span: Span, expect: Expectation, n_iterations: int) -> Plda:
    """Repeat EM in the directions in which the vectors vary, and make the model.

    Each iteration works in the space in which the covariances of the one before are I and diag(psi), so the next
    covariance within speakers is well conditioned whatever the data are.
    """
    if n_iterations < 1:
        raise ModelError(f"PLDA: {n_iterations} iterations; expected 1 or more")
    rows, psi = span.start, np.ones(len(span.start))
    for _ in range(n_iterations):
        turn, psi = diagonalise(*expect(rows, psi))
        rows = turn @ rows
    unforgotten = int((1 + psi > UNFORGOTTEN * (rows**2).sum(axis=1)).sum())
    transform = with_fixed_signs(np.concatenate([rows @ span.basis, span.others]))
    psi = np.concatenate([psi, np.zeros(len(span.others))])
    return Plda(statistics.mean, transform, psi, _data_warnings(statistics, span, unforgotten, n_iterations))


def speaker_statistics(vectors: Float64Array, speakers: Sequence[str]) -> SpeakerStatistics:
    """Sum vectors by speaker. ModelError if they do not allow a model."""
    vectors = np.asarray(vectors, np.float64)
    if vectors.ndim != 2 or 0 in vectors.shape or len(vectors) != len(speakers):
        raise ModelError(f"PLDA: vectors of shape {vectors.shape} and {len(speakers)} speakers; expected (U, R) and U")
    magnitudes = np.maximum(vectors.max(axis=0), -vectors.min(axis=0))
    if not (magnitudes < MOST_VALUE).all():  # NaN neither
        raise ModelError(f"PLDA: a vector holds NaN or a number above {MOST_VALUE:g}; expected finite, smaller numbers")
    _, speaker_of, counts = np.unique(np.asarray(speakers), return_inverse=True, return_counts=True)
    _check_counts(counts)
    members = scipy.sparse.csr_array((np.ones(len(vectors)), (speaker_of, np.arange(len(vectors)))))
    means = np.asarray(members @ vectors) / counts[:, None]
    scatter = np.zeros((vectors.shape[1], vectors.shape[1]))
    for first in range(0, len(vectors), ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        centred = vectors[rows] - means[speaker_of[rows]]
        scatter += centred.T @ centred
    return SpeakerStatistics(speaker_of, counts, means, scatter, magnitudes)


def _check_counts(counts: IntArray) -> None:
    """Refuse one speaker, and speakers with one recording each."""
    if len(counts) < 2:
        raise ModelError(
            f"PLDA: {counts.sum()} recordings of {len(counts)} speaker; expected two speakers or more, and many more "
            "for a good model"
        )
    if counts.max() < 2:
        raise ModelError(
            f"PLDA: {counts.sum()} recordings of {len(counts)} speakers, one each; expected some speakers with two or "
            "more, as otherwise what differs between speakers and between recordings cannot be separated"
        )


def find_span(statistics: SpeakerStatistics) -> Span:
    """Find the directions in which vectors vary. ModelError if there is none, or none within speakers."""
    centred = statistics.means - statistics.mean
    n = statistics.counts.sum()
    total = (statistics.scatter + (statistics.counts[:, None] * centred).T @ centred) / n
    variances = np.diag(total).copy()
    varies = variances > (1e-12 * statistics.magnitudes) ** 2
    if not varies.any():
        raise ModelError(f"PLDA: {statistics.sizes}, all of them alike; expected vectors that differ")
    deviations = np.sqrt(np.where(varies, variances, variances[varies].mean()))
    correlations = np.where(np.outer(varies, varies), total / deviations / deviations[:, None], 0.0)
    values, vectors = scipy.linalg.eigh((correlations + correlations.T) / 2)
    kept = values > 1e-11 * values[-1]
    basis = vectors[:, kept].T / np.sqrt(values[kept])[:, None] / deviations
    if np.einsum("ij,jk,ik->", basis, statistics.scatter, basis, optimize=True) <= 1e-12 * n * len(basis):
        raise ModelError(f"PLDA: {statistics.sizes}; those of each speaker are the same; expected some that differ")
    from_identity = variances[varies].min() >= LEAST_VARIANCE and variances[varies].max() <= MOST_VARIANCE
    if from_identity:
        start_rows = basis @ scipy.linalg.qr(deviations[:, None] * vectors[:, kept], mode="economic")[0]
    else:
        start_rows = basis * deviations
    root = scipy.linalg.qr(start_rows.T, mode="r")[0]
    start = scipy.linalg.solve_triangular(root[: len(basis)], np.eye(len(basis)), trans="T")
    return Span(basis, vectors[:, ~kept].T / deviations, start)


def _data_warnings(statistics: SpeakerStatistics, span: Span, unforgotten: int, n_iterations: int) -> tuple[str, ...]:
    """Say where the data are too few for the dimensions, and where EM has not come far enough."""
    n_recordings, n_speakers, n_dimensions = statistics.counts.sum(), len(statistics.counts), statistics.means.shape[1]
    found = []
    if len(span.others):
        found.append(
            f"PLDA: {statistics.sizes} do not vary in {len(span.others)} directions, which scores leave out; "
            "remove these dimensions with lda or use vectors of a lower rank"
        )
    if n_speakers <= len(span.basis):
        found.append(
            f"PLDA: {n_speakers} speakers are few for {n_dimensions} dimensions: expected more speakers than "
            "dimensions; a lower rank, lda and smoothing help"
        )
    if n_recordings - n_speakers < len(span.basis):
        found.append(
            f"PLDA: {n_recordings} recordings less {n_speakers} speakers leave {n_recordings - n_speakers} differences "
            f"for {n_dimensions} dimensions: expected as many or more; use lda or vectors of a lower rank, or more "
            "recordings of each speaker"
        )
    if unforgotten:
        found.append(
            f"PLDA: after {n_iterations} iterations the model's variance is more than {UNFORGOTTEN:g} times that of "
            f"the vectors in {unforgotten} of {n_dimensions} directions; use more iterations, or whiten first"
        )
    return tuple(found)
