"""Products of rows, with the same bits for a row whatever the other rows are."""

import numpy as np

from speechgmm.arrays import Float64Array

ROWS_AT_ONCE = 8
"""Rows of every matrix product, padded with zeros. OpenBLAS adds in the same order in all of them; with other numbers,
also 16, the order depends on a row's place on some processors."""


def row_products(rows: Float64Array, matrix: Float64Array) -> Float64Array:
    """Multiply U rows (U, D) by a matrix (D, K); shape (U, K)."""
    products = np.empty((len(rows), matrix.shape[1]))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        block = rows[start : start + ROWS_AT_ONCE]
        if len(block) == ROWS_AT_ONCE:
            products[start : start + ROWS_AT_ONCE] = block @ matrix
        else:
            padded = np.zeros((ROWS_AT_ONCE, rows.shape[1]))
            padded[: len(block)] = block
            products[start:] = (padded @ matrix)[: len(block)]
    return products


def row_lengths(rows: Float64Array) -> Float64Array:
    """Return the Euclidean length of each row, shape (U,)."""
    lengths: Float64Array = np.sqrt(np.square(rows).sum(axis=1))
    return lengths
