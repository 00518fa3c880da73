"""Scoring by the cosine of the angle between vectors."""

from dataclasses import dataclass

import numpy as np

from speechgmm.arrays import Float64Array
from speechgmm.errors import ModelError
from speechgmm.subspace.backend.config import CosineConfig
from speechgmm.subspace.backend.products import row_lengths, row_products
from speechgmm.subspace.backend.scorer import Arrays, EnrolledVectors
from speechgmm.subspace.backend.transforms import SHORTEST
from speechgmm.subspace.vectors import Vectors


@dataclass(frozen=True)
class CosineScorer:
    """The cosine of a model's mean vector and a test's, -1 to 1; 0 if either is 0."""

    config: CosineConfig

    @property
    def arrays(self) -> Arrays:
        """None: it is fitted to nothing."""
        return {}

    def enrol(self, vectors: Vectors, speaker: str | None = None) -> EnrolledVectors:  # noqa: ARG002 - the protocol's
        """Make a model of the mean of the vectors of one speaker."""
        mean = vectors.values.mean(axis=0, keepdims=True)
        return EnrolledVectors(mean, np.array([len(vectors)]), np.zeros(1))

    def score(self, models: EnrolledVectors, tests: Vectors) -> Float64Array:
        """Score U tests against M models, shape (M, U)."""
        check_comparable(models, tests)
        cosines = row_products(_unit(tests.values), _unit(models.values).T)
        return np.ascontiguousarray(cosines.T)


def check_comparable(models: EnrolledVectors, tests: Vectors) -> None:
    """Refuse tests of another dimension than the models'."""
    if models.values.shape[1] != tests.dimension:
        raise ModelError(
            f"tests of {tests.dimension} dimensions for models of {models.values.shape[1]}; expected the same"
        )


def _unit(rows: Float64Array) -> Float64Array:
    """Divide each row by its length; a row of 0 stays 0."""
    lengths = row_lengths(rows)
    unit: Float64Array = rows / np.where(lengths > SHORTEST, lengths, np.inf)[:, None]
    return unit
