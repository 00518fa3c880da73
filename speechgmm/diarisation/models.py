"""The models that voices are compared with, and the space in which PLDA compares them."""

from dataclasses import dataclass, field

import numpy as np

from speechgmm.arrays import Float64Array
from speechgmm.errors import ModelError
from speechgmm.features.extract import FeatureConfig
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.subspace.backend.chain import Backend
from speechgmm.subspace.backend.plda import PldaScorer
from speechgmm.subspace.backend.plda_model import Plda, length_factors, project
from speechgmm.subspace.total_variability.model import TotalVariability
from speechgmm.subspace.vectors import IVectorConfig, Vectors


@dataclass(frozen=True, eq=False)
class DiarisationModels:
    """What diarisation compares voices with: an i-vector extractor and PLDA, with their front end.

    Parameters
    ----------
    front_end : FeatureConfig
        The front end whose features the models are of.
    ubm : DiagonalGMM, C components over D features
        The background model.
    factors : TotalVariability, C components over D features, R factors
        The total-variability model.
    backend : Backend
        Fitted steps that end in ``plda``, without `uncertainty`.
    vectors : IVectorConfig, optional
        How vectors are extracted: `acoustic_weight` and `max_count`; by default, all of a window's frames count.

    Raises
    ------
    ModelError
        If the parts do not fit each other, or the back end does not end in such a ``plda``.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, DiarisationModels, FeatureConfig, TotalVariability, fit_backend
    >>> front_end = FeatureConfig(n_cepstra=2, deltas={"order": 0})
    >>> ubm = DiagonalGMM(weights=[1.0], means=[[0.0, 0.0]], variances=[[1.0, 1.0]])
    >>> factors = TotalVariability(ubm.means, loadings=[[[1.0], [0.5]]], variances=ubm.variances)
    >>> backend = fit_backend(["plda"], np.array([[1.0], [1.2], [-1.0], [-1.3]]), ["ann", "ann", "bo", "bo"])
    >>> DiarisationModels(front_end, ubm, factors, backend).plda.dimension
    1
    """

    front_end: FeatureConfig
    ubm: DiagonalGMM
    factors: TotalVariability
    backend: Backend
    vectors: IVectorConfig = field(default_factory=IVectorConfig)

    def __post_init__(self) -> None:
        shape, n_features = self.ubm.means.shape, self.front_end.n_features
        if n_features != shape[1]:
            raise ModelError(f"a front end of {n_features} features; expected {shape[1]}, as the background model has")
        if self.factors.means.shape != shape:
            raise ModelError(f"factors of shape {self.factors.means.shape}; expected {shape}, as the background model")
        scorer = self.backend.scorer
        if not isinstance(scorer, PldaScorer) or scorer.config.uncertainty:
            found = "plda with uncertainty" if isinstance(scorer, PldaScorer) else scorer.config.step
            raise ModelError(f"a back end that ends in {found}; expected plda without uncertainty")
        self.project(np.zeros((1, self.factors.rank)))

    @property
    def plda(self) -> Plda:
        """The model that the back end ends in."""
        assert isinstance(self.backend.scorer, PldaScorer)
        return self.backend.scorer.model

    def project(self, vectors: Float64Array) -> Float64Array:
        """Put i-vectors through the back end and into the space in which both covariances of PLDA are diagonal.

        Parameters
        ----------
        vectors : np.ndarray, shape (W, R)
            i-vectors as they were extracted.

        Returns
        -------
        np.ndarray, shape (W, R')
            The vectors; those of one speaker have the identity as covariance, and speakers ``plda.psi``.

        Raises
        ------
        ModelError
            If R is not that of the back end.
        """
        scorer = self.backend.scorer
        assert isinstance(scorer, PldaScorer)
        projected = project(scorer.model, self.backend.transform(Vectors(vectors)).values)
        one_each = np.ones(len(projected), np.intp)
        return projected * length_factors(projected, scorer.model.psi, one_each, scorer.config.length)[:, None]
