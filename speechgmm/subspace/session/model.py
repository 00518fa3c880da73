"""The model of what speakers and sessions change in the means of a mixture."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from speechgmm.arrays import CopiedOnArrival, Float64Array, read_only
from speechgmm.errors import ModelError
from speechgmm.subspace.session.factors import Factors, factors_of
from speechgmm.subspace.statistics import StackedStats

ARRAYS = ("means", "variances", "session", "speaker", "residual")


LARGEST = 1e75
"""Largest number in a model, and in shifts of its means: products of larger ones may be infinite."""


@dataclass(frozen=True, eq=False)
class WhitenedModel(CopiedOnArrival):
    """A model in units of the background model's standard deviations: what every computation uses."""

    means: Float64Array  # (C, D), in the units of the features
    deviations: Float64Array  # (C, D)
    session: Factors
    speaker: Factors
    residual: Float64Array  # (C, D): d over the standard deviations

    def centred(self, stats: StackedStats) -> Float64Array:
        """Return first-order statistics about the means, shape (n, C, D)."""
        centred: Float64Array = stats.zeroth[:, :, None] * self.means
        np.subtract(stats.first, centred, out=centred)
        centred /= self.deviations
        return centred

    def residual_shift(self, zeroth: Float64Array, unexplained: Float64Array) -> Float64Array:
        """Return d E[z] of n speakers, from what no other factor explains of their statistics, shape (n, C, D)."""
        return unexplained * (self.residual**2 / (1 + zeroth[:, :, None] * self.residual**2))


@dataclass(frozen=True, eq=False)
class JointFactorModel:
    """What speaker and session change in the means of a mixture: ``M_h = m + V y + U x_h + d z``.

    M_h are the means of one speaker's recording h. The speaker's factors y (Rv) and residual z (C D), and the factors
    x_h (Ru) of the recording's session, are standard normal. Inter-session variability (ISV) has no V: Rv is 0. An
    immutable value: the arrays are float64, C-contiguous and read-only.

    Parameters
    ----------
    means : np.ndarray, shape (C, D)
        m, the means of the background model.
    variances : np.ndarray, shape (C, D), > 0
        The variances of the background model.
    session : np.ndarray, shape (C, D, Ru)
        U, in the units of the features. Ru may be 0.
    speaker : np.ndarray, shape (C, D, Rv)
        V, in the units of the features. Rv may be 0.
    residual : np.ndarray, shape (C, D)
        d, in the units of the features.

    Raises
    ------
    ModelError
        If shapes disagree, a value is not finite, or a variance is not positive.

    References
    ----------
    Kenny (2005), Joint factor analysis of speaker and session variability, CRIM-06/08-13.
    Vogt and Sridharan (2008), Computer Speech and Language 22, 17-38.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import JointFactorModel
    >>> means, variances = np.zeros((2, 1)), np.ones((2, 1))
    >>> isv = JointFactorModel(means, variances, [[[1.0]], [[0.5]]], np.zeros((2, 1, 0)), np.sqrt(variances / 4))
    >>> isv.session_rank, isv.speaker_rank
    (1, 0)
    """

    means: Float64Array
    variances: Float64Array
    session: Float64Array
    speaker: Float64Array
    residual: Float64Array

    def __post_init__(self) -> None:
        for name in ARRAYS:
            array = read_only(getattr(self, name))
            if not np.isfinite(array).all():
                raise ModelError(f"{name} of a joint factor model: NaN or infinity; expected finite numbers")
            if (largest := np.abs(array).max(initial=0.0)) > LARGEST:
                raise ModelError(f"{name} of a joint factor model: {largest:.3g}; expected at most {LARGEST:g}")
            object.__setattr__(self, name, array)
        shape = self.means.shape
        if len(shape) != 2 or 0 in shape or self.variances.shape != shape or self.residual.shape != shape:
            raise ModelError(
                f"means {shape}, variances {self.variances.shape} and residual {self.residual.shape}; "
                "expected (C, D) of each"
            )
        for name in ("session", "speaker"):
            found = getattr(self, name).shape
            if len(found) != 3 or found[:2] != shape:
                raise ModelError(f"{name} loadings of shape {found}; expected ({shape[0]}, {shape[1]}, R)")
        if not self.variances.min() > 0:
            raise ModelError(f"least variance {self.variances.min():g}; expected all above 0")

    def __reduce__(self) -> tuple[Any, ...]:
        """Unpickle through the constructor, so that the copy's arrays are read-only too."""
        return type(self), tuple(getattr(self, name) for name in ARRAYS)

    @property
    def session_rank(self) -> int:
        """Number of session factors, Ru."""
        return int(self.session.shape[2])

    @property
    def speaker_rank(self) -> int:
        """Number of speaker factors, Rv."""
        return int(self.speaker.shape[2])

    @cached_property
    def whitened(self) -> WhitenedModel:
        """The model in units of its standard deviations, with the Gram matrices of the loadings."""
        deviations = np.sqrt(self.variances)
        session, speaker = (factors_of(loadings / deviations[:, :, None]) for loadings in (self.session, self.speaker))
        return WhitenedModel(self.means, deviations, session, speaker, self.residual / deviations)
