"""The diagonal-covariance Gaussian mixture model as an immutable value."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from speechgmm.arrays import Float64Array, read_only
from speechgmm.gmm.checks import real_numbers
from speechgmm.gmm.kernels import dense


@dataclass(frozen=True, eq=False)
class DiagonalGMM:
    """A mixture of C Gaussians over D features, each with its own variance along every feature.

    An immutable value: the arrays are float64, C-contiguous and read-only.

    Parameters
    ----------
    weights : np.ndarray, shape (C,), > 0
        Prior probability of each component; they sum to 1.
    means : np.ndarray, shape (C, D)
        Mean of each component.
    variances : np.ndarray, shape (C, D), > 0
        Variance of each component along each feature.

    Raises
    ------
    ValueError
        If shapes disagree, a value is not a finite number, a weight or variance is not positive, or the weights do not
        sum to 1 (within 1e-6).

    References
    ----------
    Reynolds and Rose (1995), IEEE Trans. Speech and Audio Processing 3, eqs. 1-3.

    Examples
    --------
    >>> from speechgmm import DiagonalGMM
    >>> gmm = DiagonalGMM(weights=[0.25, 0.75], means=[[-2.0, 0.0], [3.0, 1.0]], variances=[[1.0, 1.0], [4.0, 0.5]])
    >>> gmm.n_components, gmm.n_features, gmm.n_parameters
    (2, 2, 9)
    >>> gmm.weights @ gmm.means  # the mean of the mixture
    array([1.75, 0.75])
    """

    weights: Float64Array
    means: Float64Array
    variances: Float64Array

    def __post_init__(self) -> None:
        for name in ("weights", "means", "variances"):
            array = read_only(real_numbers(name, getattr(self, name)))
            if not np.isfinite(array).all():
                raise ValueError(f"{name} hold NaN or infinity")
            object.__setattr__(self, name, array)
        if self.means.ndim != 2 or self.weights.shape != self.means.shape[:1] or 0 in self.means.shape:
            raise ValueError(f"weights {self.weights.shape} and means {self.means.shape}; expected (C,) and (C, D)")
        if self.variances.shape != self.means.shape:
            raise ValueError(f"variances {self.variances.shape}; expected {self.means.shape}, as the means")
        if not self.variances.min() > 0:
            raise ValueError(f"least variance {self.variances.min():g}; expected all above 0")
        if not self.weights.min() > 0 or abs(self.weights.sum() - 1) > 1e-6:
            raise ValueError(
                f"weights from {self.weights.min():g} with sum {self.weights.sum():.9g}; "
                "expected all above 0 and a sum of 1"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Unpickle through the constructor, so that the copy's arrays are read-only too."""
        return type(self), (self.weights, self.means, self.variances)

    @property
    def n_components(self) -> int:
        """Number of Gaussians, C."""
        return int(self.means.shape[0])

    @property
    def n_features(self) -> int:
        """Number of features, D."""
        return int(self.means.shape[1])

    @property
    def n_parameters(self) -> int:
        """Number of free parameters: C - 1 weights, CD means and CD variances."""
        return self.n_components - 1 + 2 * self.means.size

    @property
    def reference(self) -> dense.Reference:
        """Mean and scale of the mixture as a whole, relative to which the kernels compute."""
        return dense.reference(self.weights, self.means, self.variances)
