"""What scorers have in common: the models that they make of a speaker's vectors, and how they score tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from speechgmm.arrays import Float64Array, IntArray, read_only
from speechgmm.errors import ModelError
from speechgmm.subspace.backend.config import ScorerConfig
from speechgmm.subspace.vectors import Vectors

Arrays = Mapping[str, Float64Array]
"""The arrays that a step or scorer was fitted to, by name, as files hold them."""


@dataclass(frozen=True, eq=False)
class EnrolledVectors:
    """What M models are compared by: one vector each, and what a scorer needs beside it.

    Parameters
    ----------
    values : np.ndarray, shape (M, R)
        Mean vectors, or the weights of support-vector machines.
    counts : np.ndarray of int, shape (M,)
        Vectors that each model was enrolled with.
    offsets : np.ndarray, shape (M,)
        What a support-vector machine adds to its product; 0 for others.
    covariances : np.ndarray, shape (M, R, R), optional
        What the posterior covariances of the vectors add to that of the mean, where they are propagated.

    Raises
    ------
    ValueError
        If shapes disagree, or a value is not finite.

    Examples
    --------
    >>> from speechgmm import EnrolledVectors
    >>> ann = EnrolledVectors([[0.5, 1.0]], counts=[3], offsets=[0.0])
    >>> bo = EnrolledVectors([[-0.5, 2.0]], counts=[1], offsets=[0.0])
    >>> len(EnrolledVectors.stack([ann, bo]))
    2
    """

    values: Float64Array
    counts: IntArray
    offsets: Float64Array
    covariances: Float64Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", read_only(self.values))
        object.__setattr__(self, "counts", np.asarray(self.counts, np.intp))
        object.__setattr__(self, "offsets", read_only(self.offsets))
        if self.covariances is not None:
            object.__setattr__(self, "covariances", read_only(self.covariances))
        n_models = len(self.values)
        if self.values.ndim != 2 or self.counts.shape != (n_models,) or self.offsets.shape != (n_models,):
            raise ModelError(
                f"models of shapes {self.values.shape}, {self.counts.shape} and {self.offsets.shape}; "
                "expected (M, R), (M,) and (M,)"
            )
        if not (np.isfinite(self.values).all() and np.isfinite(self.offsets).all()):
            raise ModelError("models hold NaN or infinity; expected finite numbers")

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def stack(cls, models: Sequence[Self]) -> Self:
        """Put models side by side.

        Parameters
        ----------
        models : sequence of EnrolledVectors, at least one
            Models of one back end.

        Returns
        -------
        EnrolledVectors
            All of them, in this order.

        Raises
        ------
        ModelError
            If there are none.
        """
        if not models:
            raise ModelError("no models; expected one or more")
        covariances = [each.covariances for each in models if each.covariances is not None]
        return cls(
            np.concatenate([each.values for each in models]),
            np.concatenate([each.counts for each in models]),
            np.concatenate([each.offsets for each in models]),
            np.concatenate(covariances) if len(covariances) == len(models) else None,
        )


class Scorer(Protocol):
    """The last step of a back end, fitted to the background."""

    @property
    def config(self) -> ScorerConfig:
        """What it was fitted as."""

    @property
    def arrays(self) -> Arrays:
        """What it was fitted to."""

    def enrol(self, vectors: Vectors, speaker: str | None = None) -> EnrolledVectors:
        """Make one model of the vectors of one speaker; what the background has of that speaker is left out."""

    def score(self, models: EnrolledVectors, tests: Vectors) -> Float64Array:
        """Score U tests against M models, shape (M, U); a column has the same bits whatever the other tests are."""
