"""The total-variability model as an immutable value: a mixture whose means move along a few factors."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from speechgmm.arrays import Float64Array, read_only
from speechgmm.errors import ModelError
from speechgmm.subspace import packed


@dataclass(frozen=True, eq=False)
class TotalVariability:
    """A model of how the means of a mixture of C components over D features change from recording to recording.

    In a recording with factors y, the mean of component c is m_c + T_c y, and y is standard normal over recordings.
    An immutable value: the arrays are float64, C-contiguous and read-only.

    Parameters
    ----------
    means : np.ndarray, shape (C, D)
        Mean m_c of each component over recordings.
    loadings : np.ndarray, shape (C, D, R)
        T_c: how far each of R factors moves each mean. R may be 0; then all recordings have the same means.
    variances : np.ndarray, shape (C, D), > 0
        Variance of each component along each feature within a recording.

    Raises
    ------
    ModelError
        If shapes disagree, a value is not a finite number, or a variance is not positive.

    References
    ----------
    Dehak, Kenny, Dehak, Dumouchel, Ouellet (2011), IEEE Trans. Audio, Speech, and Language Processing 19, eq. 1;
    Kenny, Boulianne, Dumouchel (2005), IEEE Trans. Speech and Audio Processing 13.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import TotalVariability
    >>> model = TotalVariability(means=np.zeros((2, 3)), loadings=np.ones((2, 3, 1)), variances=np.ones((2, 3)))
    >>> model.n_components, model.n_features, model.rank
    (2, 3, 1)
    """

    means: Float64Array
    loadings: Float64Array
    variances: Float64Array

    def __post_init__(self) -> None:
        for name in ("means", "loadings", "variances"):
            array = read_only(getattr(self, name))
            object.__setattr__(self, name, array)
            if not np.isfinite(array).all():
                raise ModelError(f"{name} of a total-variability model hold NaN or infinity; expected finite numbers")
        if self.means.ndim != 2 or 0 in self.means.shape:
            raise ModelError(f"means of shape {self.means.shape}; expected (C, D)")
        if self.loadings.ndim != 3 or self.loadings.shape[:2] != self.means.shape:
            raise ModelError(
                f"loadings of shape {self.loadings.shape}; expected (C, D, R) with means {self.means.shape}"
            )
        if self.variances.shape != self.means.shape:
            raise ModelError(f"variances of shape {self.variances.shape}; expected {self.means.shape}, as the means")
        if not self.variances.min() > 0:
            raise ModelError(f"least variance {self.variances.min():g}; expected all above 0")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the parameters only, so that the copy's arrays are read-only and products are not sent to workers."""
        return type(self), (self.means, self.loadings, self.variances)

    @property
    def n_components(self) -> int:
        """Number of Gaussians, C."""
        return int(self.means.shape[0])

    @property
    def n_features(self) -> int:
        """Number of features, D."""
        return int(self.means.shape[1])

    @property
    def rank(self) -> int:
        """Number of factors, R."""
        return int(self.loadings.shape[2])

    @cached_property
    def scaled_loadings(self) -> Float64Array:
        """S_c^-1 T_c of all components, shape (C D, R)."""
        return (self.loadings / self.variances[:, :, None]).reshape(self.means.size, self.rank)

    @cached_property
    def precisions(self) -> Float64Array:
        """T_c' S_c^-1 T_c: what a frame of each component adds to the factors' precision, packed, shape (C, P)."""
        precisions = np.zeros((self.n_components, packed.size(self.rank)))
        for row, loadings, variances in zip(precisions, self.loadings, self.variances, strict=True):
            packed.add_outer(row, loadings / np.sqrt(variances)[:, None])
        return precisions
