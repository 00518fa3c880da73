"""Symmetric matrices of which one triangle is stored, in LAPACK's rectangular full packed form.

It takes R (R + 1) / 2 numbers, so that sums of such matrices are matrix products of half the size, and its routines
are as fast as those of full matrices. Where a function writes into an array, that array is a contiguous row.
"""

from functools import lru_cache

import numpy as np
from scipy.linalg import lapack

from speechgmm.arrays import Float64Array, IntArray

FORM = {"transr": "N", "uplo": "L"}


def size(rank: int) -> int:
    """Count the numbers that a matrix of R x R takes."""
    return rank * (rank + 1) // 2


def pack(matrices: Float64Array) -> Float64Array:
    """Pack symmetric matrices, shape (..., R, R), of which the lower triangles count, into shape (..., P)."""
    rows, columns = _positions(matrices.shape[-1])
    return np.ascontiguousarray(matrices[..., rows, columns])


def unpack(packed: Float64Array, rank: int) -> Float64Array:
    """Return symmetric matrices in full, shape (..., R, R)."""
    rows, columns = _positions(rank)
    matrices = np.empty((*packed.shape[:-1], rank, rank))
    matrices[..., rows, columns] = packed
    matrices[..., columns, rows] = packed
    return matrices


def diagonal(rank: int) -> IntArray:
    """Return where the diagonal is, in the order of the packed numbers, shape (R,)."""
    rows, columns = _positions(rank)
    return np.flatnonzero(rows == columns)


def aligned_rows(n_rows: int, n_columns: int) -> Float64Array:
    """Return an array without values, of which each row begins at a multiple of 16 bytes.

    The order of LAPACK's sums may depend on that: matrices in such rows have the same factors alone and among others.
    """
    return np.empty((n_rows, n_columns + n_columns % 2))[:, :n_columns]


def add_outer(packed: Float64Array, vectors: Float64Array) -> None:
    """Add the outer product of each row of vectors, shape (K, R), with itself to a matrix."""
    n_vectors, rank = vectors.shape
    if rank:
        lapack.dsfrk(rank, n_vectors, 1.0, vectors.T, 1.0, packed, overwrite_c=1, **FORM)


def factorise(packed: Float64Array, rank: int) -> bool:
    """Replace a matrix by its lower Cholesky factor; return False if it is not positive definite."""
    return rank == 0 or lapack.dpftrf(rank, packed, overwrite_a=1, **FORM)[1] == 0


def solve(factor: Float64Array, right: Float64Array) -> Float64Array:
    """Solve for as many right-hand sides as there are columns, shape (R, K), with the factor of a matrix."""
    solution: Float64Array = lapack.dpftrs(len(right), factor, right, **FORM)[0] if len(right) else right
    return solution


def solve_triangular(factor: Float64Array, right: Float64Array, *, transposed: bool = False) -> Float64Array:
    """Solve with the lower factor itself, or with its transpose, for right-hand sides of shape (R, K)."""
    if not len(right):
        return right
    solution: Float64Array = lapack.dtfsm(1.0, factor, right, trans="T" if transposed else "N", **FORM)
    return solution


def invert(factor: Float64Array, rank: int) -> None:
    """Replace a factor by the inverse of its matrix."""
    if rank:
        lapack.dpftri(rank, factor, overwrite_a=1, **FORM)


@lru_cache(maxsize=8)
def _positions(rank: int) -> tuple[IntArray, IntArray]:
    """Return the row and the column of each packed number, in the lower triangle, as LAPACK packs them."""
    if rank == 0:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    numbers = np.arange(rank * rank, dtype=np.float64).reshape(rank, rank)
    flat = lapack.dtrttf(numbers, **FORM)[0].astype(np.intp)
    return flat // rank, flat % rank
