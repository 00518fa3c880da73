"""Steps on vectors that were fitted to a background: values that any vectors are put through.

A vector comes out with the same bits alone and among others. Posterior covariances go through the same linear maps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from speechgmm.arrays import Float64Array, read_only
from speechgmm.errors import ModelError
from speechgmm.subspace.backend.config import (
    CenterConfig,
    CoralConfig,
    EfrConfig,
    LdaConfig,
    LengthConfig,
    NapConfig,
    TransformConfig,
    WccnConfig,
    WhitenConfig,
)
from speechgmm.subspace.backend.products import row_lengths, row_products
from speechgmm.subspace.backend.scorer import Arrays
from speechgmm.subspace.vectors import Vectors

SHORTEST = 1e-100
"""Length below which a vector counts as 0 and keeps its length, as it has no direction."""


class Transform(Protocol):
    """A step of a back end before the last one, fitted to the background."""

    @property
    def config(self) -> TransformConfig:
        """What it was fitted as."""

    @property
    def arrays(self) -> Arrays:
        """What it was fitted to."""

    def apply(self, vectors: Vectors) -> Vectors:
        """Put vectors through the step; raise ModelError if they have another dimension than the background's."""


@dataclass(frozen=True, eq=False)
class Affine:
    """Subtract a mean, multiply by a matrix, or both: A (x - m)."""

    config: CenterConfig | WhitenConfig | WccnConfig | LdaConfig
    mean: Float64Array | None = None  # (D,)
    matrix: Float64Array | None = None  # (K, D)

    def __post_init__(self) -> None:
        _freeze(self, {"mean": 1, "matrix": 2})

    @property
    def arrays(self) -> Arrays:
        """Mean and matrix, where there are."""
        return {name: getattr(self, name) for name in ("mean", "matrix") if getattr(self, name) is not None}

    def apply(self, vectors: Vectors) -> Vectors:
        """Put vectors through the map."""
        return _affine(self.config, vectors, self.mean, self.matrix)


@dataclass(frozen=True)
class Length:
    """Divide every vector by its length, and multiply by one length for all."""

    config: LengthConfig

    @property
    def arrays(self) -> Arrays:
        """None."""
        return {}

    def apply(self, vectors: Vectors) -> Vectors:
        """Give the vectors that are not 0 the same length."""
        return _of_length(vectors, np.sqrt(vectors.dimension) if self.config.scale == "dimension" else 1.0)


@dataclass(frozen=True, eq=False)
class EigenFactorRadial:
    """Subtract a mean, multiply by a whitening matrix and divide by the length, I times."""

    config: EfrConfig
    means: Float64Array  # (I, D)
    matrices: Float64Array  # (I, D, D)

    def __post_init__(self) -> None:
        _freeze(self, {"means": 2, "matrices": 3})

    @property
    def arrays(self) -> Arrays:
        """Mean and matrix of each iteration."""
        return {"means": self.means, "matrices": self.matrices}

    def apply(self, vectors: Vectors) -> Vectors:
        """Put vectors through all iterations."""
        for mean, matrix in zip(self.means, self.matrices, strict=True):
            vectors = _of_length(_affine(self.config, vectors, mean, matrix), 1.0)
        return vectors


@dataclass(frozen=True, eq=False)
class Projection:
    """Remove directions: x - V V' x."""

    config: NapConfig
    directions: Float64Array  # (K, D), orthonormal rows: V'

    def __post_init__(self) -> None:
        _freeze(self, {"directions": 2})

    @property
    def arrays(self) -> Arrays:
        """The directions."""
        return {"directions": self.directions}

    def apply(self, vectors: Vectors) -> Vectors:
        """Remove the directions from vectors."""
        _check_dimension(self.config, vectors, self.directions.shape[1])
        parts = row_products(vectors.values, self.directions.T)
        values = vectors.values - row_products(parts, self.directions)
        if vectors.covariances is None:
            return Vectors(values)
        complement = np.eye(vectors.dimension) - self.directions.T @ self.directions
        return Vectors(values, moved_covariances(vectors.covariances, complement))


@dataclass(frozen=True)
class Unchanged:
    """Leave vectors as they are: CORAL has moved those of the background only."""

    config: CoralConfig

    @property
    def arrays(self) -> Arrays:
        """None."""
        return {}

    def apply(self, vectors: Vectors) -> Vectors:
        """Return the vectors."""
        return vectors


ARRAYS_OF: Mapping[str, tuple[Callable[..., Transform], tuple[str, ...]]] = {
    "center": (Affine, ("mean",)),
    "whiten": (Affine, ("mean", "matrix")),
    "length": (Length, ()),
    "efr": (EigenFactorRadial, ("means", "matrices")),
    "nap": (Projection, ("directions",)),
    "wccn": (Affine, ("matrix",)),
    "lda": (Affine, ("mean", "matrix")),
    "coral": (Unchanged, ()),
}
"""The value that each step is fitted as, and the names of its arrays."""


def transform_of(config: TransformConfig, arrays: Arrays) -> Transform:
    """Make a fitted step from its arrays; raise ModelError if they are not those of such a step."""
    kind, names = ARRAYS_OF[config.step]
    if set(arrays) != set(names):
        raise ModelError(
            f"{config.step}: arrays {', '.join(sorted(arrays)) or 'missing'}; expected {', '.join(names) or 'none'}"
        )
    return kind(config, **arrays)


def moved_covariances(covariances: Float64Array, matrix: Float64Array) -> Float64Array:
    """Return A P A' of each covariance P, exactly symmetric, shape (U, K, K)."""
    moved = np.empty((len(covariances), len(matrix), len(matrix)))
    for row, covariance in zip(moved, covariances, strict=True):
        product = matrix @ covariance @ matrix.T
        row[:] = (product + product.T) / 2
    return moved


def _affine(
    config: TransformConfig, vectors: Vectors, mean: Float64Array | None, matrix: Float64Array | None
) -> Vectors:
    """Subtract a mean and multiply by a matrix, each if there is one."""
    values, covariances = vectors.values, vectors.covariances
    if mean is not None:
        _check_dimension(config, vectors, len(mean))
        values = values - mean
    if matrix is not None:
        _check_dimension(config, vectors, matrix.shape[1])
        values = row_products(values, matrix.T)
        covariances = None if covariances is None else moved_covariances(covariances, matrix)
    return Vectors(values, covariances)


def _of_length(vectors: Vectors, length: float) -> Vectors:
    """Give every vector this length; one of length 0 stays 0."""
    lengths = row_lengths(vectors.values)
    scales = np.where(lengths > SHORTEST, lengths / length, 1.0)
    values = vectors.values / scales[:, None]
    if vectors.covariances is None:
        return Vectors(values)
    return Vectors(values, vectors.covariances / np.square(scales)[:, None, None])


def _check_dimension(config: TransformConfig, vectors: Vectors, expected: int) -> None:
    """Refuse vectors of another dimension than those that the step was fitted to."""
    if vectors.dimension != expected:
        raise ModelError(
            f"{config.step}: vectors of {vectors.dimension} dimensions; expected {expected}, as the background's"
        )


def _freeze(step: object, ranks: Mapping[str, int]) -> None:
    """Make a step's arrays read-only, and refuse those of another rank, or not finite."""
    for name, rank in ranks.items():
        if (array := getattr(step, name)) is None:
            continue
        array = read_only(array)
        object.__setattr__(step, name, array)
        if array.ndim != rank or not np.isfinite(array).all():
            raise ModelError(f"{name} of shape {array.shape}; expected {rank} axes and finite numbers")
