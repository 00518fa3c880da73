"""PLDA with uncertain vectors: the covariance of each one's posterior is added to the covariance within speakers.

x_i = m + y + e_i, with y ~ N(0, B) for each speaker and e_i ~ N(0, W + S_i) for recording i, whose posterior has the
covariance S_i (Kenny et al. 2013). All matrices of R x R here are in the space in which W is I and B is diag(psi).
"""

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri

from speechgmm.arrays import Float64Array, IntArray
from speechgmm.errors import ModelError
from speechgmm.parallel.threads import one_thread
from speechgmm.subspace.backend.plda_model import Length, Plda, length_factors, project
from speechgmm.subspace.backend.plda_training import (
    Expectation,
    Span,
    SpeakerStatistics,
    find_span,
    run_em,
    speaker_statistics,
)
from speechgmm.subspace.vectors import Vectors

VALUES_AT_ONCE = 1 << 20
"""Values of the matrices of a block of models, or of recordings in training: what a cache holds."""

TEST_VALUES_AT_ONCE = 1 << 23
"""Values of the matrices of a block of tests, for which the models' are computed again."""

ROUNDING = 1e-12
"""Share of a covariance's trace that is added to its diagonal, so that rounding does not make a variance negative."""


def train_uncertain_plda(vectors: Vectors, speakers: Sequence[str], n_iterations: int = 10) -> Plda:
    """Train PLDA by the exact EM of vectors with covariances; with covariances of 0 it is that of `train_plda`.

    An iteration takes a few products of R x R matrices for each recording. ModelError as there, and if covariances are
    missing or have a negative variance.
    """
    covariances = known_covariances(vectors)
    with one_thread():
        statistics = speaker_statistics(vectors.values, speakers)
        span = find_span(statistics)
        return run_em(statistics, span, _expectation(statistics, span, vectors.values, covariances), n_iterations)


def _expectation(
    statistics: SpeakerStatistics, span: Span, values: Float64Array, covariances: Float64Array
) -> Expectation:
    """Return the E step on the recordings of one speaker after another."""
    members = np.split(np.argsort(statistics.speaker_of, kind="stable"), np.cumsum(statistics.counts)[:-1])
    centred = (values - statistics.mean) @ span.basis.T

    def expect(rows: Float64Array, psi: Float64Array) -> tuple[Float64Array, Float64Array]:
        """Take the posteriors of each speaker, and of the recordings' parts within the speaker."""
        within, between = np.zeros((2, len(psi), len(psi)))
        for own in members:
            spreads = _spreads(covariances[own], rows @ span.basis, own)
            moments = _speaker_moments(centred[own] @ rows.T, _inverses(spreads), psi)
            within += moments[0]
            between += moments[1]
        return within / len(values), between / len(members)

    return expect


def _speaker_moments(
    offsets: Float64Array, precisions: Float64Array, psi: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return the expected outer products of one speaker's n parts within, summed, and of the speaker's own part."""
    posterior = _speaker_covariance(precisions.sum(axis=0), psi)
    centre = posterior @ (precisions @ offsets[:, :, None]).sum(axis=0)[:, 0]
    parts = (precisions @ (offsets - centre)[:, :, None])[:, :, 0]
    within = parts.T @ parts + (np.eye(len(psi)) - precisions).sum(axis=0)
    within += (precisions @ posterior @ precisions).sum(axis=0)
    return within, posterior + np.outer(centre, centre)


def _speaker_covariance(precision: Float64Array, psi: Float64Array) -> Float64Array:
    """Return the posterior covariance of a speaker from the precision of all recordings; `psi` may hold zeros."""
    root = np.sqrt(psi)
    scaled = np.eye(len(psi)) + root[:, None] * precision * root
    return np.asarray(root[:, None] * _inverses(scaled[None])[0] * root)


def enrol_uncertain(model: Plda, vectors: Vectors) -> tuple[Float64Array, Float64Array]:
    """Return the mean of n vectors of one speaker, weighted by precision, shape (R,), and its covariance, (R, R).

    The covariance is what the vectors' own add to W / n. Both are in the original space and lose nothing: as a function
    of the speaker, the product of the vectors' densities is the density of this mean.
    """
    covariances = known_covariances(vectors)
    numbers = np.arange(len(vectors))
    precisions = _inverses(_spreads(covariances, model.transform, numbers))
    if len(vectors) == 1:
        return vectors.values[0], covariances[0]
    covariance = _inverses(precisions.sum(axis=0)[None])[0]
    mean = covariance @ (precisions @ project(model, vectors.values)[:, :, None]).sum(axis=0)[:, 0]
    half = np.linalg.solve(model.transform, covariance - np.eye(model.dimension) / len(vectors))
    return model.mean + np.linalg.solve(model.transform, mean), np.asarray(np.linalg.solve(model.transform, half.T))


def uncertain_llrs(
    model: Plda, means: Vectors, counts: IntArray, tests: Vectors, length: Length = "none"
) -> Float64Array:
    """Return the log-likelihood ratios of one speaker to two, in nats, shape (M, U).

    `means` are what `enrol_uncertain` makes of as many vectors as `counts` says. A factor that normalises the length of
    a vector applies to its uncertainty as well. Every trial takes a Cholesky factorisation, R^3 / 3 multiplications.
    """
    enrolled, enrolled_rows = _scaled(model, means.values, counts, length)
    projected, test_rows = _scaled(model, tests.values, np.ones(len(tests), np.intp), length)
    mean_covariances, test_covariances = known_covariances(means), known_covariances(tests)
    scores = np.empty((len(means), len(tests)))
    for columns in _blocks(len(tests), TEST_VALUES_AT_ONCE // model.dimension**2):
        spreads = _spreads(test_covariances[columns], test_rows[columns], _numbers(columns))
        for rows in _blocks(len(means), VALUES_AT_ONCE // model.dimension**2):
            n = np.asarray(counts, np.float64)[rows, None, None]
            precisions = n * _inverses(_spreads(n * mean_covariances[rows], enrolled_rows[rows], _numbers(rows)))
            covariances = np.stack([_speaker_covariance(each, model.psi) for each in precisions])
            centres = (covariances @ (precisions @ enrolled[rows, :, None]))[:, :, 0]
            for column, spread in zip(_numbers(columns), spreads, strict=True):
                scores[rows, column] = _log_densities(projected[column] - centres, covariances + spread)
        scores[:, columns] -= _log_densities(projected[columns], spreads + np.diag(model.psi))
    return scores


def _blocks(n: int, n_at_once: int) -> Iterator[slice]:
    """Cut n rows into blocks."""
    step = max(1, n_at_once)
    return (slice(first, min(first + step, n)) for first in range(0, n, step))


def _numbers(rows: slice) -> IntArray:
    """Return the numbers of a block's rows."""
    return np.arange(rows.start, rows.stop)


def _scaled(model: Plda, vectors: Float64Array, counts: IntArray, length: Length) -> tuple[Float64Array, Float64Array]:
    """Return the projected vectors of normalised length, and for each the rows that transform its covariance."""
    projected = project(model, vectors)
    factors = length_factors(projected, model.psi, counts, length)
    return projected * factors[:, None], factors[:, None, None] * model.transform


def _log_densities(offsets: Float64Array, covariances: Float64Array) -> Float64Array:
    """Return the log-densities of n offsets from the mean, without the constant, for covariances of I / 2 or more.

    The factor of a covariance that has the offset as one more row ends in the row that a triangular solve would give.
    """
    n, dimension = offsets.shape
    bordered = np.empty((n, dimension + 1, dimension + 1))
    bordered[:, :-1, :-1] = covariances
    bordered[:, -1, :-1] = bordered[:, :-1, -1] = offsets
    bordered[:, -1, -1] = 4 * (offsets**2).sum(axis=1) + 1
    factors = np.linalg.cholesky(bordered)
    logs = np.log(np.diagonal(factors, axis1=1, axis2=2)[:, :-1]).sum(axis=1)
    return np.asarray(-0.5 * (factors[:, -1, :-1] ** 2).sum(axis=1) - logs)


def known_covariances(vectors: Vectors) -> Float64Array:
    """Return the covariances of vectors. ModelError if they are missing."""
    if vectors.covariances is None:
        raise ModelError(
            "PLDA with uncertainty: the vectors have no covariances; expected those of i-vectors' posteriors; "
            "use i-vectors, or PLDA without uncertainty"
        )
    return vectors.covariances


def _spreads(covariances: Float64Array, rows: Float64Array, numbers: IntArray) -> Float64Array:
    """Return I and the transformed covariance of each vector, shape (n, R, R). ModelError names one that is invalid."""
    with np.errstate(over="ignore", invalid="ignore"):
        turned = rows @ covariances @ np.swapaxes(rows, -1, -2)
        turned = (turned + np.swapaxes(turned, -1, -2)) / 2
        traces = np.trace(turned, axis1=1, axis2=2)
        turned += (1 + ROUNDING * traces)[:, None, None] * np.eye(turned.shape[-1])
    valid = np.isfinite(traces)
    if not valid.all() or not _are_positive(turned - np.eye(turned.shape[-1]) / 2):
        valid[valid] = [_are_positive(each - np.eye(len(each)) / 2) for each in turned[valid]]
        raise ModelError(
            f"PLDA with uncertainty: the covariance of vector {numbers[valid.argmin()]} has a negative variance, or "
            "one that is no finite number; expected a positive semi-definite matrix"
        )
    return np.asarray(turned)


def _are_positive(matrices: Float64Array) -> bool:
    """Tell whether all matrices are positive definite."""
    try:
        np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        return False
    return True


def _inverses(matrices: Float64Array) -> Float64Array:
    """Invert positive definite matrices, shape (n, R, R), where they are needed as such."""
    inverses = np.empty_like(matrices)
    for matrix, inverse in zip(matrices, inverses, strict=True):
        inverse[:] = np.tril(dpotri(dpotrf(matrix, lower=1)[0], lower=1)[0])
        inverse += np.tril(inverse, -1).T
    return inverses
