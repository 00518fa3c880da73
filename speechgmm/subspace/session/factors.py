"""Factors with loadings on the means of a mixture: their Gram matrices, and their posteriors given statistics.

Everything here is in units of the variances: features, loadings and shifts are divided by the standard deviations.
Symmetric matrices are packed as their lower triangles, R (R + 1) / 2 numbers each, so that a sum over components or
recordings is one matrix product.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from speechgmm.arrays import Float64Array
from speechgmm.errors import ModelError


@dataclass(frozen=True, eq=False)
class Posteriors:
    """Normal posteriors of R factors for n recordings, as the lower Cholesky factors of their precisions."""

    cholesky: Float64Array  # (n, R, R); what is above the diagonals has no meaning

    def means(self, projected: Float64Array) -> Float64Array:
        """Return the means from what the statistics project on the factors; both are (n, R)."""
        solved = projected.copy()
        if solved.size:
            for factor, row in zip(self.cholesky, solved, strict=True):
                row[:] = lapack.dpotrs(factor.T, row, lower=0)[0]
        return solved

    def whiten(self, values: Float64Array) -> Float64Array:
        """Solve G w = v for each row v of (n, R), where G is the Cholesky factor."""
        return self._triangular(values, transposed=1)

    def colour(self, values: Float64Array) -> Float64Array:
        """Solve G' x = w for each row w of (n, R): for w of G^-1 b, x is the posterior's mean."""
        return self._triangular(values, transposed=0)

    def _triangular(self, values: Float64Array, transposed: int) -> Float64Array:
        """Solve with the upper factor G' in Fortran's order, or with G, for each row."""
        solved = values.copy()
        if solved.size:
            for factor, row in zip(self.cholesky, solved, strict=True):
                row[:] = lapack.dtrtrs(factor.T, row, lower=0, trans=transposed)[0]
        return solved

    def moments(self, means: Float64Array) -> Float64Array:
        """Return E[x x'], the covariances plus the products of the means, packed, shape (n, P)."""
        rank = means.shape[1]
        rows, columns = np.tril_indices(rank)
        packed = means[:, rows] * means[:, columns]
        if rank:
            for moment, factor in zip(packed, self.cholesky, strict=True):
                moment += lapack.dpotri(factor.T, lower=0)[0].T[rows, columns]
        return packed

    @property
    def log_determinant(self) -> float:
        """The logarithms of the determinants of the precisions, summed over recordings."""
        return 2 * float(np.log(np.diagonal(self.cholesky, axis1=1, axis2=2)).sum())


@dataclass(frozen=True, eq=False)
class Factors:
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

    def posteriors(self, zeroth: Float64Array) -> Posteriors:
        """Return the posteriors of the factors of n recordings with occupancies (n, C)."""
        return posteriors_of(zeroth @ self.gram, self.rank)


def factors_of(loadings: Float64Array) -> Factors:
    """Compute the Gram matrix of the loadings of each component, (C, D, R)."""
    rows, columns = np.tril_indices(loadings.shape[2])
    return Factors(loadings, (loadings.transpose(0, 2, 1) @ loadings)[:, rows, columns])


def posteriors_of(gram: Float64Array, rank: int) -> Posteriors:
    """Return the posteriors of R factors from the Gram matrices of n recordings, packed (n, P)."""
    numbers = np.arange(rank)
    packed = gram.copy()
    packed[:, numbers * (numbers + 3) // 2] += 1.0  # the diagonal
    return Posteriors(cholesky(packed, rank))


def cholesky(packed: Float64Array, rank: int) -> Float64Array:
    """Factorise packed matrices (n, P); ModelError if one of them is not positive definite to rounding."""
    rows, columns = np.tril_indices(rank)
    factors = np.zeros((len(packed), rank, rank))
    factors[:, rows, columns] = packed
    if rank:
        for number, factor in enumerate(factors):
            # Lower in C's order is upper in Fortran's, which LAPACK factorises in place.
            _, failed = lapack.dpotrf(factor.T, lower=0, clean=0, overwrite_a=1)
            if failed:
                raise ModelError(
                    f"the matrix of {rank} factors in row {number} is singular to rounding; expected finite statistics "
                    "and loadings of less than about a million standard deviations"
                )
    return factors


def solve_loadings(second: Float64Array, product: Float64Array) -> Float64Array:
    """Return the loadings T of n components with T A = B: A packed (n, P), B (n, D, R)."""
    solved = product.copy()
    if solved.size:
        for factor, loadings in zip(cholesky(second, product.shape[2]), solved, strict=True):
            loadings[:] = lapack.dpotrs(factor.T, loadings.T, lower=0)[0].T
    return solved
