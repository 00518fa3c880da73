"""Estimators for people who live in scikit-learn: thin adapters around the values and functions of `speechgmm.gmm`.

Needs the extra ``sklearn``. Everything is computed in the precision of `X`: double, unless the rows are single; and
on one thread, which is faster for the package's blocks and leaves the others to scikit-learn's `n_jobs`.
"""

try:
    from speechgmm.sklearn.classifier import GMMClassifier
    from speechgmm.sklearn.mixture import DiagonalGaussianMixture
except ImportError as missing:
    raise ImportError("needs scikit-learn 1.6 or newer: pip install 'speechgmm[sklearn]'") from missing

__all__ = ["DiagonalGaussianMixture", "GMMClassifier"]
