"""A classifier with one Gaussian mixture for each class, as a scikit-learn estimator."""

from functools import partial
from operator import index
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.errors import ModelError
from speechgmm.gmm.adaptation import AdaptationConfig, Parameter, map_iterate
from speechgmm.gmm.likelihood import log_likelihood
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import accumulate
from speechgmm.parallel.threads import one_thread
from speechgmm.sklearn.mixture import DiagonalGaussianMixture
from speechgmm.sklearn.rows import PRECISIONS, rows_that_count


class GMMClassifier(ClassifierMixin, BaseEstimator):
    """A classifier by the densities of one Gaussian mixture for each class.

    Parameters
    ----------
    n_components : int >= 1
        Number of Gaussians of each class, C.
    method : {"independent", "map"}
        "independent": a mixture for each class, trained on its own rows. "map": mixtures adapted by relevance MAP from
        that of all rows, the universal background model; better for classes with few rows.
    relevance_factor : float, 0 to 1e12, rows
        For "map": number of rows, counted by their weights, at which data and prior have equal weight.
    adapt : sequence of {"weights", "means", "variances"}
        For "map": which parameters are adapted; the others stay the background model's.
    adaptation_iterations : int >= 1
        For "map": number of times that posteriors are computed and the model adapted.
    ubm : DiagonalGMM, D features, optional
        For "map": a background model of other rows, which is used as it is. Nothing is trained then, and `n_components`
        and the training parameters below have no effect.
    priors : array_like, shape (K,), > 0, optional
        Prior of each class, in the order of `classes_`; they sum to 1. By default the weighted share of its rows.
    max_iter, tol, variance_floor, weight_floor, min_occupancy, initial_iterations, initial_frames, random_state
        As for `DiagonalGaussianMixture`.

    Attributes
    ----------
    classes_ : np.ndarray, shape (K,)
        Labels of the classes that have a row of positive weight.
    class_prior_ : np.ndarray, shape (K,)
        Prior of each class.
    gmms_ : list of K DiagonalGMM
        The model of each class.
    ubm_ : DiagonalGMM or None
        The background model of "map".
    n_iter_ : int
        Largest number of EM iterations of any trained mixture; 0 with a given `ubm`.
    n_features_in_ : int
        D.

    Notes ----- Rows are classified one by one. Of several rows that are known to be of one class, such as the frames of
    a recording, the class is that with the greatest mean:
    ``classes_[predict_joint_log_proba(X).mean(axis=0).argmax()]``, which counts the prior once.

    References
    ----------
    Reynolds, Quatieri, Dunn (2000), Digital Signal Processing 10, 19-41.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm.sklearn import GMMClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(-2, 1, (200, 3)), rng.normal(2, 1, (200, 3))])
    >>> y = ["ann"] * 200 + ["bob"] * 200
    >>> classifier = GMMClassifier(n_components=2, random_state=0).fit(X, y)
    >>> classifier.predict([[-2.0, -1.5, -2.5], [1.5, 2.0, 2.5]]).tolist()
    ['ann', 'bob']
    >>> bool(classifier.score(X, y) > 0.98)
    True
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        method: Literal["independent", "map"] = "independent",
        relevance_factor: float = 10.0,
        adapt: tuple[Parameter, ...] = ("means",),
        adaptation_iterations: int = 1,
        ubm: DiagonalGMM | None = None,
        priors: npt.ArrayLike | None = None,
        max_iter: int = 100,
        tol: float = 1e-3,
        variance_floor: float = 0.01,
        weight_floor: float = 1e-5,
        min_occupancy: float = 0.0,
        initial_iterations: int = 4,
        initial_frames: int = 100_000,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.method = method
        self.relevance_factor = relevance_factor
        self.adapt = adapt
        self.adaptation_iterations = adaptation_iterations
        self.ubm = ubm
        self.priors = priors
        self.max_iter = max_iter
        self.tol = tol
        self.variance_floor = variance_floor
        self.weight_floor = weight_floor
        self.min_occupancy = min_occupancy
        self.initial_iterations = initial_iterations
        self.initial_frames = initial_frames
        self.random_state = random_state

    @one_thread()
    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Train the model of each class.

        Parameters
        ----------
        X : array_like, shape (T, D), finite
            Rows.
        y : array_like, shape (T,)
            The class of each row.
        sample_weight : array_like, shape (T,), finite and >= 0, optional
            How often each row counts; once by default.

        Returns
        -------
        GMMClassifier
            This estimator.

        Raises
        ------
        ValueError
            If a mixture has more components than distinct rows to train on, or a value is out of range.
        """
        if self.method not in ("independent", "map"):
            raise ValueError(f"method {self.method!r}: expected independent or map")
        if self.ubm is not None and self.method != "map":
            raise ValueError(f"method {self.method} has no use for a ubm; expected map with it")
        rows, labels = validate_data(self, X, y, dtype=PRECISIONS)
        check_classification_targets(labels)
        rows, weights, labels = rows_that_count(rows, sample_weight, labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        self.class_prior_ = self._priors(np.bincount(codes, weights).astype(np.float64))
        classes = [(rows[codes == code], weights[codes == code]) for code in range(len(self.classes_))]
        random_state = check_random_state(self.random_state)  # one for all classes
        self.n_iter_ = 0
        if self.method == "independent":
            self.ubm_ = None
            self.gmms_ = [
                self._train(*chosen, f"class {label!r}", random_state)
                for label, chosen in zip(self.classes_.tolist(), classes, strict=True)
            ]
        else:
            self.ubm_ = self.ubm or self._train(rows, weights, "all classes", random_state)
            self.gmms_ = [self._adapt(self.ubm_, *chosen) for chosen in classes]
        return self

    @one_thread()
    def predict_joint_log_proba(self, X: npt.ArrayLike) -> Float64Array:
        """Compute the log of the joint density of row and class.

        Parameters
        ----------
        X : array_like, shape (T, D), finite
            Rows.

        Returns
        -------
        np.ndarray, shape (T, K), float64, nats
            ``log P(k) + log p(x_t | k)``.
        """
        check_is_fitted(self, "gmms_")
        rows = validate_data(self, X, dtype=PRECISIONS, reset=False)
        columns = [log_likelihood(gmm, rows, dtype=rows.dtype.type) for gmm in self.gmms_]
        joint: Float64Array = np.stack(columns, axis=1) + np.log(self.class_prior_)
        return joint

    def predict_log_proba(self, X: npt.ArrayLike) -> Float64Array:
        """Compute the log of the probability of each class.

        Parameters
        ----------
        X : array_like, shape (T, D), finite
            Rows.

        Returns
        -------
        np.ndarray, shape (T, K), float64, <= 0
            ``log P(k | x_t)``.
        """
        result: Float64Array = log_softmax(self.predict_joint_log_proba(X), axis=1)
        return result

    def predict_proba(self, X: npt.ArrayLike) -> Float64Array:
        """Compute the probability of each class.

        Parameters
        ----------
        X : array_like, shape (T, D), finite
            Rows.

        Returns
        -------
        np.ndarray, shape (T, K), float64, 0 to 1
            Each row sums to 1.
        """
        return np.exp(self.predict_log_proba(X))

    def decision_function(self, X: npt.ArrayLike) -> Float64Array:
        """Compute the values that the decision is made by.

        Parameters
        ----------
        X : array_like, shape (T, D), finite
            Rows.

        Returns
        -------
        np.ndarray, shape (T, K), or (T,) for two classes, float64, nats
            The joint log-density of each class; for two classes the log of their odds, positive for the second.
        """
        joint = self.predict_joint_log_proba(X)
        return joint[:, 1] - joint[:, 0] if len(self.classes_) == 2 else joint

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Find the most probable class of each row.

        Parameters
        ----------
        X : array_like, shape (T, D), finite
            Rows.

        Returns
        -------
        np.ndarray, shape (T,)
            Labels; of equally probable classes the first.
        """
        best = self.predict_joint_log_proba(X).argmax(axis=1)
        labels: npt.NDArray[Any] = self.classes_[best]
        return labels

    def _priors(self, counts: Float64Array) -> Float64Array:
        """Return the given priors, or the shares of the classes."""
        if self.priors is None:
            return np.asarray(counts / counts.sum())
        priors = np.asarray(self.priors, np.float64)
        if priors.shape != counts.shape or not (priors > 0).all() or abs(priors.sum() - 1) > 1e-6:
            raise ValueError(f"priors {priors}; expected one for each of {len(counts)} classes, above 0, with sum 1")
        return priors

    def _train(
        self, rows: FloatArray, weights: Float64Array, whose: str, random_state: np.random.RandomState
    ) -> DiagonalGMM:
        """Train a mixture; an error names the class."""
        names = ("max_iter", "tol", "variance_floor", "weight_floor", "min_occupancy", "initial_iterations")
        mixture = DiagonalGaussianMixture(self.n_components, random_state=random_state)
        mixture.set_params(**{name: getattr(self, name) for name in (*names, "initial_frames")})
        try:
            mixture.fit(rows, sample_weight=weights)
        except ModelError as error:
            raise ModelError(f"{whose}: {error}") from error
        self.n_iter_ = max(self.n_iter_, mixture.n_iter_)
        gmm: DiagonalGMM = mixture.gmm_
        return gmm

    def _adapt(self, ubm: DiagonalGMM, rows: FloatArray, weights: Float64Array) -> DiagonalGMM:
        """Adapt the background model to a class."""
        config = AdaptationConfig(
            relevance_factor=float(self.relevance_factor),
            adapt=tuple(self.adapt),
            n_iterations=index(self.adaptation_iterations),
        )
        return map_iterate(ubm, partial(accumulate, frames=rows, weights=weights, dtype=rows.dtype.type), config)
