"""Factors with loadings on the means of a mixture: their Gram matrices, and their posteriors given statistics.

Everything here is in units of the variances: features, loadings and shifts are divided by the standard deviations.
Symmetric matrices are packed, so that a sum over components or recordings is one matrix product.
"""

from dataclasses import dataclass

import numpy as np

from speechgmm.arrays import CopiedOnArrival, Float64Array
from speechgmm.errors import ModelError
from speechgmm.subspace import packed


@dataclass(frozen=True, eq=False)
class PosteriorPrecisions:
    """Precisions of the normal posteriors of R factors for n recordings, as their lower Cholesky factors."""

    cholesky: Float64Array  # (n, P), packed: G of each
    rank: int  # R

    def means(self, projected: Float64Array) -> Float64Array:
        """Return the means from what the statistics project on the factors; both are (n, R)."""
        means = np.empty_like(projected)
        for mean, factor, right in zip(means, self.cholesky, projected, strict=True):
            mean[:] = packed.solve(factor, right[:, None])[:, 0]
        return means

    def whiten(self, values: Float64Array) -> Float64Array:
        """Solve G w = v for each row v of (n, R)."""
        return self._triangular(values, transposed=False)

    def colour(self, values: Float64Array) -> Float64Array:
        """Solve G' x = w for each row w of (n, R): for w of G^-1 b, x is the posterior's mean."""
        return self._triangular(values, transposed=True)

    def _triangular(self, values: Float64Array, *, transposed: bool) -> Float64Array:
        """Solve with G, or with G', for each row."""
        solved = np.empty_like(values)
        for row, factor, right in zip(solved, self.cholesky, values, strict=True):
            row[:] = packed.solve_triangular(factor, right[:, None], transposed=transposed)[:, 0]
        return solved

    def moments(self, means: Float64Array) -> Float64Array:
        """Return E[x x'], the covariances plus the products of the means, packed, shape (n, P)."""
        moments = self.cholesky.copy()
        for row, moment in enumerate(moments):
            packed.invert(moment, self.rank)
            packed.add_outer(moment, means[row : row + 1])
        return moments

    @property
    def log_determinant(self) -> float:
        """The logarithms of the determinants of the precisions, summed over recordings."""
        return 2 * float(np.log(self.cholesky[:, packed.diagonal(self.rank)]).sum())


@dataclass(frozen=True, eq=False)
class Factors(CopiedOnArrival):
    """R standard normal factors, their loadings on the means of C components, and the loadings' Gram matrices."""

    loadings: Float64Array  # (C, D, R)
    gram: Float64Array  # (C, P), packed

    @property
    def rank(self) -> int:
        """Number of factors, R."""
        return int(self.loadings.shape[2])

    @property
    def _matrix(self) -> Float64Array:
        """The loadings of all means, shape (C D, R)."""
        n_components, n_features, rank = self.loadings.shape
        return self.loadings.reshape(n_components * n_features, rank)

    def project(self, centred: Float64Array) -> Float64Array:
        """Multiply centred statistics (n, C, D) by the loadings, shape (n, R)."""
        return centred.reshape(len(centred), len(self._matrix)) @ self._matrix

    def shifts(self, values: Float64Array) -> Float64Array:
        """Return the shifts of the means that n values of the factors (n, R) make, shape (n, C, D)."""
        return (values @ self._matrix.T).reshape(len(values), *self.loadings.shape[:2])

    def precisions(self, zeroth: Float64Array) -> PosteriorPrecisions:
        """Return the precisions of the factors of n recordings with occupancies (n, C)."""
        return posterior_precisions(zeroth @ self.gram, self.rank)


def factors_of(loadings: Float64Array) -> Factors:
    """Compute the Gram matrix of the loadings of each component, (C, D, R); ModelError if one is not finite."""
    gram = np.zeros((len(loadings), packed.size(loadings.shape[2])))
    for row, each in zip(gram, loadings, strict=True):
        packed.add_outer(row, each)
    if not np.isfinite(gram).all():
        largest = np.abs(loadings).max()
        raise ModelError(f"loadings of up to {largest:.3g} standard deviations; expected about one or less")
    return Factors(loadings, gram)


def posterior_precisions(gram: Float64Array, rank: int) -> PosteriorPrecisions:
    """Return the precisions of R factors from the Gram matrices of n recordings, packed (n, P)."""
    precisions = packed.aligned_rows(*gram.shape)
    precisions[:] = gram
    precisions[:, packed.diagonal(rank)] += 1.0
    for row, precision in enumerate(precisions):
        _factorise(precision, rank, row)
    return PosteriorPrecisions(precisions, rank)


def solve_loadings(second: Float64Array, product: Float64Array) -> Float64Array:
    """Return the loadings T of n components with T A = B: A packed (n, P), B (n, D, R)."""
    loadings = np.empty_like(product)
    for row, (moments, right) in enumerate(zip(second, product, strict=True)):
        factor = moments.copy()
        _factorise(factor, product.shape[2], row)
        loadings[row] = packed.solve(factor, right.T).T
    return loadings


def _factorise(matrix: Float64Array, rank: int, row: int) -> None:
    """Replace the packed matrix of a row by its Cholesky factor; ModelError if it is not positive definite."""
    if not packed.factorise(matrix, rank):
        raise ModelError(
            f"the matrix of {rank} factors in row {row} is singular to rounding; expected finite statistics "
            "and loadings of less than about a million standard deviations"
        )
