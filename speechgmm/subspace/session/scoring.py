"""Scores of tests against enrolled speakers, with what the session of the test changes taken out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.errors import ModelError
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import accumulate
from speechgmm.parallel.threads import one_thread
from speechgmm.scoring.stacked import ratio_sums, stack
from speechgmm.subspace.session.factors import posterior_precisions
from speechgmm.subspace.session.model import LARGEST, JointFactorModel, WhitenedModel
from speechgmm.subspace.statistics import StackedStats, Statistics, as_source, blocks_of, stack_statistics

TESTS_AT_ONCE = 16
"""Rows of every matrix product, padded with zeros: products of other shapes may add in another order.

Columns are padded to a multiple of it, too: with others, some BLAS kernels add in an order that depends on the row.
"""


@one_thread()
def session_scores(model: JointFactorModel, shifts: npt.ArrayLike, statistics: Statistics) -> Float64Array:
    """Score the statistics of every test against every speaker: linear scoring with the session's point estimate.

    Parameters
    ----------
    model : JointFactorModel, C components over D features
        The trained model.
    shifts : np.ndarray, shape (M, C, D), in the units of the features
        What `speaker_shift` returns for each speaker.
    statistics : sequence of U SufficientStats, StackedStats or StatsStore
        Statistics of each test under the background model.

    Returns
    -------
    np.ndarray, shape (M, U), float64, nats
        ``sum_c shift_c^T S_c^-1 (F_c - N_c (m_c + U_c x)) / n_frames``, where x is the posterior mean of the session
        factors from the test alone, as if of no speaker. A column depends on its own test only, and a row, up to
        rounding, on its own speaker.

    Raises
    ------
    ModelError
        If shapes differ, a shift is not finite, or a test has no frames.

    References
    ----------
    Glembek, Burget, Dehak, Brümmer, Kenny (2009), ICASSP, 4057-4060, section 3.5.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, JointFactorModel, accumulate, session_scores, speaker_shift
    >>> ubm = DiagonalGMM([0.5, 0.5], [[-3.0], [3.0]], [[1.0], [1.0]])
    >>> session = np.ones((2, 1, 1))  # a session shifts both means alike
    >>> model = JointFactorModel(ubm.means, ubm.variances, session, np.zeros((2, 1, 0)), np.full((2, 1), 0.5))
    >>> ann = speaker_shift(model, [accumulate(ubm, np.array([[-1.5], [3.0], [2.5]]))])
    >>> test = accumulate(ubm, np.array([[-2.5], [2.0], [1.5]]))
    >>> session_scores(model, [ann], [test]).round(2)
    array([[0.17]])
    """
    source, whitened = as_source(statistics, model.means.shape), model.whitened
    checked, sessions = _checked_shifts(model, shifts), _Sessions.of(model)
    per_deviation = _padded_columns((checked / whitened.deviations).reshape(len(checked), model.means.size).T)
    scores = np.empty((len(checked), len(source)))
    first = 0
    for block in blocks_of(source, TESTS_AT_ONCE):
        stats = block.load()
        if not stats.n_frames.all():
            raise ModelError("a test of no frames has no score")
        zeroth, centred = _padded_rows(stats.zeroth), _padded_rows(whitened.centred(stats))
        centred -= zeroth[:, :, None] * sessions.shifts(zeroth, centred)
        products = centred.reshape(TESTS_AT_ONCE, model.means.size) @ per_deviation
        scores[:, first : first + len(stats)] = products[: len(stats), : len(checked)].T / stats.n_frames
        first += len(stats)
    return scores


@one_thread()
def session_means(model: JointFactorModel, statistics: Statistics) -> Float64Array:
    """Return the means of the background model as the session of one test shifts them.

    Parameters
    ----------
    model : JointFactorModel, C components over D features
        The trained model.
    statistics : sequence of 1 SufficientStats, StackedStats or StatsStore
        Statistics of the test under the background model.

    Returns
    -------
    np.ndarray, shape (C, D), float64, in the units of the features
        ``m + U x``, where x is the posterior mean of the session factors, as if of no speaker; m without frames.

    Raises
    ------
    ModelError
        If there is not one test, or shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, JointFactorModel, accumulate, session_means
    >>> ubm = DiagonalGMM([0.5, 0.5], [[-3.0], [3.0]], [[1.0], [1.0]])
    >>> session = np.ones((2, 1, 1))  # a session shifts both means alike
    >>> model = JointFactorModel(ubm.means, ubm.variances, session, np.zeros((2, 1, 0)), np.full((2, 1), 0.5))
    >>> session_means(model, [accumulate(ubm, np.array([[-2.0], [3.5], [4.5]]))]).round(2)
    array([[-2.25],
           [ 3.75]])
    """
    source = as_source(statistics, model.means.shape)
    if len(source) != 1:
        raise ModelError(f"statistics of {len(source)} tests; expected those of one")
    return _means_with_session(_Sessions.of(model), source.rows([0]))


@one_thread()
def session_llrs(
    model: JointFactorModel,
    weights: npt.ArrayLike,
    shifts: npt.ArrayLike,
    utterances: Sequence[FloatArray],
    *,
    top_components: int | None = None,
) -> Float64Array:
    """Score the frames of every utterance against every speaker, with the utterance's session in both models.

    Parameters
    ----------
    model : JointFactorModel, C components over D features
        The trained model.
    weights : np.ndarray, shape (C,), > 0
        The weights of the background model, whose means and variances `model` has.
    shifts : np.ndarray, shape (M, C, D), in the units of the features
        What `speaker_shift` returns for each speaker.
    utterances : sequence of U np.ndarray, each of shape (T, D), T >= 1
        The frames of each utterance.
    top_components : int >= 1, optional
        Number of components of the background model with the session, the best for each frame, over which both
        likelihoods are summed; all by default.

    Returns
    -------
    np.ndarray, shape (M, U), float64, nats
        Mean frame log-likelihood ratios of a mixture with the means ``m + U x + shift`` to one with ``m + U x``; x is
        that of `session_means`. A column depends on its own utterance only, and a row, up to rounding, on its own
        speaker.

    Raises
    ------
    ValueError
        If shapes differ, there are no frames, a frame is not finite, or `top_components` is below 1.

    References
    ----------
    Vogt and Sridharan (2008), Computer Speech and Language 22, 17-38.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, JointFactorModel, accumulate, session_llrs, speaker_shift
    >>> ubm = DiagonalGMM([0.5, 0.5], [[-3.0], [3.0]], [[1.0], [1.0]])
    >>> session = np.ones((2, 1, 1))  # a session shifts both means alike
    >>> model = JointFactorModel(ubm.means, ubm.variances, session, np.zeros((2, 1, 0)), np.full((2, 1), 0.5))
    >>> ann = speaker_shift(model, [accumulate(ubm, np.array([[-1.5], [3.0], [2.5]]))])
    >>> session_llrs(model, ubm.weights, [ann], [np.array([[-2.5], [2.0], [1.5]])]).round(2)
    array([[0.15]])
    """
    if top_components is not None and top_components < 1:
        raise ModelError(f"top_components {top_components}; expected 1 or more, or none for all")
    ubm = DiagonalGMM(np.asarray(weights), model.means, model.variances)
    checked, sessions = _checked_shifts(model, shifts), _Sessions.of(model)
    scores = np.empty((len(checked), len(utterances)))
    for column, frames in zip(scores.T, utterances, strict=True):
        if not len(frames):
            raise ModelError("an utterance of no frames has no score")
        means = _means_with_session(sessions, stack_statistics([accumulate(ubm, frames)]))
        background = DiagonalGMM(ubm.weights, means, ubm.variances)
        speakers = [DiagonalGMM(ubm.weights, means + shift, ubm.variances) for shift in checked]
        column[:] = ratio_sums(stack(speakers, background), top_components, "numpy")(frames) / len(frames)
    return scores


@dataclass(frozen=True, eq=False)
class _Sessions:
    """The session factors of a model, padded for products of which a row depends on its own test only."""

    model: WhitenedModel
    gram: Float64Array  # (C, P and more)
    loadings: Float64Array  # (C D, Ru and more)
    transposed: Float64Array  # (Ru, C D and more)

    @classmethod
    def of(cls, model: JointFactorModel) -> Self:
        """Pad the factors of a model."""
        factors = model.whitened.session
        matrix = factors.loadings.reshape(model.means.size, factors.rank)
        return cls(model.whitened, *map(_padded_columns, (factors.gram, matrix, matrix.T)))

    def shifts(self, zeroth: Float64Array, centred: Float64Array) -> Float64Array:
        """Return U x of padded tests, x from each alone, shape (TESTS_AT_ONCE, C, D), in standard deviations."""
        factors, size = self.model.session, self.model.means.size
        projected = (centred.reshape(TESTS_AT_ONCE, size) @ self.loadings)[:, : factors.rank]
        gram = (zeroth @ self.gram)[:, : factors.gram.shape[1]]
        values = posterior_precisions(gram, factors.rank).means(projected)
        return (values @ self.transposed)[:, :size].reshape(centred.shape)


def _means_with_session(sessions: _Sessions, stats: StackedStats) -> Float64Array:
    """Return m + U x of one test, (C, D)."""
    model = sessions.model
    shifts = sessions.shifts(_padded_rows(stats.zeroth), _padded_rows(model.centred(stats)))
    means: Float64Array = model.means + model.deviations * shifts[0]
    return means


def _padded_rows(values: Float64Array) -> Float64Array:
    """Return a copy with rows of zeros added, `TESTS_AT_ONCE` in all."""
    padded = np.zeros((TESTS_AT_ONCE, *values.shape[1:]))
    padded[: len(values)] = values
    return padded


def _padded_columns(matrix: Float64Array) -> Float64Array:
    """Return a copy with columns of zeros added, to a multiple of `TESTS_AT_ONCE`."""
    n_columns = matrix.shape[1]
    padded = np.zeros((len(matrix), -(-n_columns // TESTS_AT_ONCE) * TESTS_AT_ONCE))
    padded[:, :n_columns] = matrix
    return padded


def _checked_shifts(model: JointFactorModel, shifts: npt.ArrayLike) -> Float64Array:
    """Return shifts as an array; ModelError if they do not fit the model, or one is not finite."""
    array = np.asarray(shifts, np.float64)
    if array.ndim != 3 or array.shape[1:] != model.means.shape:
        n_components, n_features = model.means.shape
        raise ModelError(f"shifts of shape {array.shape}; expected (M, {n_components}, {n_features})")
    if not np.isfinite(array).all():
        number = int(np.argmin(np.isfinite(array).all(axis=(1, 2))))
        raise ModelError(f"the shift of speaker {number} holds NaN or infinity; expected finite numbers")
    if (largest := np.abs(array).max(initial=0.0)) > LARGEST:
        raise ModelError(f"shifts of {largest:.3g}; expected at most {LARGEST:g}")
    return array
