"""Scikit-learn estimators: thin adapters of the models and functions of `speechgmm.gmm` and `speechgmm.subspace`.

Mixtures and statistics are computed in the precision of `X`, double unless the rows are single, and everything on one
thread, which is faster for the package's blocks and leaves the other threads to scikit-learn's `n_jobs`.
"""

from speechgmm.sklearn.classifier import GMMClassifier
from speechgmm.sklearn.ivectors import IVectorTransformer
from speechgmm.sklearn.mixture import DiagonalGaussianMixture
from speechgmm.sklearn.supervectors import SupervectorTransformer

__all__ = ["DiagonalGaussianMixture", "GMMClassifier", "IVectorTransformer", "SupervectorTransformer"]
