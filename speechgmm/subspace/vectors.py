"""Vectors of recordings: what a recipe asks for, and the values that back ends take."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from speechgmm.arrays import Float64Array, read_only
from speechgmm.configuration import Configuration
from speechgmm.errors import ModelError

LARGEST = 1e100
"""Largest number in a vector: squares of larger ones may be infinite."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors of U recordings and, where they are known, the covariances of their posteriors.

    An immutable value: the arrays are float64 and read-only.

    Parameters
    ----------
    values : np.ndarray, shape (U, R), at most 1e100
        One vector in each row.
    covariances : np.ndarray, shape (U, R, R), optional
        The posterior covariance of each; `ivectors` returns them when asked.

    Raises
    ------
    ValueError
        If shapes disagree, or a value is not finite.

    Examples
    --------
    >>> from speechgmm import Vectors
    >>> vectors = Vectors([[0.5, -1.0], [2.0, 0.0], [1.5, 1.0]])
    >>> len(vectors), vectors.dimension
    (3, 2)
    """

    values: Float64Array
    covariances: Float64Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", read_only(self.values))
        if self.values.ndim != 2:
            raise ModelError(f"vectors of shape {self.values.shape}; expected (U, R)")
        if not np.isfinite(self.values).all():
            row = int(np.argmin(np.isfinite(self.values).all(axis=1)))
            raise ModelError(f"vector {row} holds NaN or infinity; expected finite numbers")
        if (largest := np.abs(self.values).max(initial=0.0)) > LARGEST:
            raise ModelError(f"vectors hold numbers of {largest:.3g}; expected at most {LARGEST:g}")
        if self.covariances is not None:
            object.__setattr__(self, "covariances", read_only(self.covariances))
            if self.covariances.shape != (*self.values.shape, self.values.shape[1]):
                raise ModelError(
                    f"covariances of shape {self.covariances.shape} for vectors of shape {self.values.shape}; "
                    "expected (U, R, R)"
                )
            if not (usable := np.isfinite(self.covariances).all(axis=(1, 2))).all():
                row = int(np.argmin(usable))
                raise ModelError(f"the covariance of vector {row} holds NaN or infinity; expected finite numbers")

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dimension(self) -> int:
        """Number of dimensions, R."""
        return int(self.values.shape[1])


def as_vectors(vectors: Vectors | npt.ArrayLike) -> Vectors:
    """Return vectors as a value; an array of shape (U, R) has no covariances."""
    return vectors if isinstance(vectors, Vectors) else Vectors(np.asarray(vectors, np.float64))


class SupervectorConfig(Configuration):
    """Supervectors: the shifts of the means of a MAP-adapted model, scaled so that distances bound divergences.

    Parameters
    ----------
    kind : "supervector"
        One vector of C x D numbers for each recording.
    relevance_factor : float > 0, frames
        Frames of evidence at which recording and background model weigh the same.
    """

    kind: Literal["supervector"] = "supervector"
    relevance_factor: float = Field(10.0, gt=0)


class IVectorConfig(Configuration):
    """i-vectors: the posterior means of the factors of a total-variability model, trained on the background.

    Parameters
    ----------
    kind : "ivector"
        One vector of `rank` numbers for each recording.
    rank : int >= 1
        Number of factors, R.
    n_iterations : int >= 1
        Iterations of EM.
    minimum_divergence : bool
        Whether each iteration moves the means, and turns and scales the factors, so that they are standard normal
        over the training recordings again.
    update_variances : bool
        Whether the variances within a recording are estimated too; otherwise they are those of the background model.
    variance_floor : float, 0 to 1
        Least of these variances, as a share of the background model's.
    min_occupancy : float >= 0, frames
        A component with fewer frames in the training recordings keeps its factor loadings.
    acoustic_weight : float, 0 < acoustic_weight <= 1
        Share of its occupancies that a recording counts with, as neighbouring frames are alike.
    max_count : float > 0, frames, or null
        Sum of the occupancies, after that weight, that a recording counts with at most when its vector is extracted.
    pooled : bool
        Whether a model has one vector, from the statistics of all its recordings together, instead of one for each.

    Examples
    --------
    >>> from speechgmm import IVectorConfig
    >>> IVectorConfig(rank=150).n_iterations
    10
    """

    kind: Literal["ivector"] = "ivector"
    rank: int = Field(100, ge=1)
    n_iterations: int = Field(10, ge=1)
    minimum_divergence: bool = True
    update_variances: bool = True
    variance_floor: float = Field(0.1, ge=0, le=1)
    min_occupancy: float = Field(10.0, ge=0)
    acoustic_weight: float = Field(1.0, gt=0, le=1)
    max_count: float | None = Field(None, gt=0)
    pooled: bool = False
