"""Scikit-learn estimators: thin adapters of the models and functions of `speechgmm.gmm`.

Everything is computed in the precision of `X`, double unless the rows are single, and on one thread, which is faster
for the package's blocks and leaves the other threads to scikit-learn's `n_jobs`.
"""

from speechgmm.sklearn.classifier import GMMClassifier
from speechgmm.sklearn.mixture import DiagonalGaussianMixture

__all__ = ["DiagonalGaussianMixture", "GMMClassifier"]
