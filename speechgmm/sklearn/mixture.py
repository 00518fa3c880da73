"""A Gaussian mixture with diagonal covariances as a scikit-learn estimator."""

import warnings
from numbers import Integral, Real
from operator import index
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted, validate_data

from speechgmm.arrays import Float64Array, FloatArray, IntArray
from speechgmm.errors import ModelError
from speechgmm.gmm import density
from speechgmm.gmm.likelihood import log_likelihood, posteriors
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats, accumulate
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.gmm.training.initialisation import initialise
from speechgmm.gmm.training.update import ml_update
from speechgmm.parallel.threads import one_thread
from speechgmm.sklearn.rows import PRECISIONS, generator, rows_that_count


class DiagonalGaussianMixture(DensityMixin, BaseEstimator):
    """A mixture of Gaussians with diagonal covariances, trained by maximum likelihood.

    Parameters
    ----------
    n_components : int >= 1
        Number of Gaussians, C.
    max_iter : int >= 1
        Maximum number of EM iterations.
    tol : float >= 0, nats
        EM stops when the log-likelihood per row changes by less, as in scikit-learn; 0 never stops early.
    variance_floor : float, 0 to 1
        Minimum variance, as a share of the variance of all rows along that feature. It replaces scikit-learn's
        `reg_covar`, and needs no units.
    weight_floor : float >= 0
        Minimum weight of a component.
    min_occupancy : float >= 0, rows
        A component with fewer rows, counted by their weights, is not updated; while the first model is made, it is
        moved next to the heaviest component. The default is 0, because weights may be of any scale.
    initial : "splitting", "k-means", "k-means++" or "random"
        How the first model is made; see `TrainingConfig`.
    initial_iterations : int >= 0
        EM iterations at each size while the first model is split up to C components.
    initial_frames : int >= 1
        Maximum number of rows, drawn evenly, that the first model is made from.
    gmm_init : DiagonalGMM, C components, optional
        The first model; made from the rows by default.
    random_state : int, RandomState or None
        Seeds the choice of rows for the first model and the directions of its splits, and `sample`.

    Attributes
    ----------
    gmm_ : DiagonalGMM, C components over D features
        The model, for every function of `speechgmm`.
    weights_, means_, covariances_ : np.ndarray, shapes (C,), (C, D), (C, D), read-only
        Its parameters; `covariances_` holds the diagonals, as scikit-learn's does for ``covariance_type="diag"``.
    stats_ : SufficientStats
        Statistics of the last iteration, from which `gmm_` was computed.
    start_gmm_ : DiagonalGMM
        The model before the last iteration, under which the posteriors in `stats_` are.
    lower_bound_ : float, nats
        Log-likelihood per row, weighted, under `start_gmm_`.
    converged_ : bool
        Whether the log-likelihood changed by less than `tol` before `fit` ran out of iterations.
    n_iter_ : int
        Number of EM iterations.
    n_features_in_ : int
        D.

    Notes
    -----
    A row of integer weight counts as so many equal rows: the first model is made from the distinct rows of positive
    weight, once each, and the iterations are weighted. A row of weight 0 is ignored.

    References
    ----------
    Reynolds and Rose (1995), IEEE Trans. Speech and Audio Processing 3, eqs. 6-8.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm.sklearn import DiagonalGaussianMixture
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(-3, 1, (200, 1)), rng.normal(3, 1, (200, 1))])
    >>> mixture = DiagonalGaussianMixture(n_components=2, initial="k-means", random_state=0).fit(X)
    >>> sorted(mixture.means_.ravel().round().tolist())
    [-3.0, 3.0]
    >>> mixture.predict_proba([[-3.0], [3.0]]).max(axis=1).round(2).tolist()
    [1.0, 1.0]
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        max_iter: int = 100,
        tol: float = 1e-3,
        variance_floor: float = 0.01,
        weight_floor: float = 1e-5,
        min_occupancy: float = 0.0,
        initial: str = "splitting",
        initial_iterations: int = 4,
        initial_frames: int = 100_000,
        gmm_init: DiagonalGMM | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.max_iter = max_iter
        self.tol = tol
        self.variance_floor = variance_floor
        self.weight_floor = weight_floor
        self.min_occupancy = min_occupancy
        self.initial = initial
        self.initial_iterations = initial_iterations
        self.initial_frames = initial_frames
        self.gmm_init = gmm_init
        self.random_state = random_state

    @one_thread()
    def fit(self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Train a mixture from scratch.

        Parameters
        ----------
        X : array_like, shape (T, D), finite
            Rows; without `gmm_init`, at least C distinct ones of positive weight.
        y
            Ignored.
        sample_weight : array_like, shape (T,), finite and >= 0, optional
            How often each row counts; once by default.

        Returns
        -------
        DiagonalGaussianMixture
            This estimator.

        Raises
        ------
        ValueError
            If there are fewer distinct rows than components, a value is out of range, or `gmm_init` has another shape.
        """
        del y
        max_iter = check_scalar(self.max_iter, "max_iter", Integral, min_val=1)
        tol = check_scalar(self.tol, "tol", Real, min_val=0)
        config = self._config()
        rows, weights = rows_that_count(validate_data(self, X, dtype=PRECISIONS), sample_weight)
        self.gmm_ = self._first_model(rows, config)
        self.n_iter_ = 0
        self.converged_ = False
        bound = -np.inf
        while self.n_iter_ < max_iter and not self.converged_:
            self._begin_pass()
            self._update(rows, weights, config)
            self.converged_ = bool(abs(self.lower_bound_ - bound) < tol)
            bound = self.lower_bound_
        if not self.converged_:
            warnings.warn(
                f"the log-likelihood per row still changed by tol {tol} or more after max_iter {max_iter} iterations",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    @one_thread()
    def partial_fit(
        self,
        X: npt.ArrayLike,
        y: object = None,
        sample_weight: npt.ArrayLike | None = None,
        *,
        new_pass: bool = False,
    ) -> Self:
        """Add rows to those of the current EM iteration, and update the model from all of them.

        An iteration is a pass over rows in any number of parts. Posteriors are those of the model at the start of the
        pass, and after each part the model is what one iteration over all rows of the pass so far gives. The first part
        of all also makes the first model, unless there is `gmm_init`. After `fit`, parts are added to the rows of its
        last iteration.

        Parameters
        ----------
        X : array_like, shape (T, D), finite
            Rows; those that make the first model as for `fit`.
        y
            Ignored.
        sample_weight : array_like, shape (T,), finite and >= 0, optional
            How often each row counts; once by default.
        new_pass : bool
            Whether these rows are the first of another iteration, which starts from the current model.

        Returns
        -------
        DiagonalGaussianMixture
            This estimator.

        Raises
        ------
        ValueError
            As for `fit`.
        """
        del y
        config = self._config()
        first = not hasattr(self, "gmm_")
        rows, weights = rows_that_count(validate_data(self, X, dtype=PRECISIONS, reset=first), sample_weight)
        if first:
            self.gmm_ = self._first_model(rows, config)
            self.n_iter_ = 0
        if first or new_pass:
            self._begin_pass()
        self.converged_ = False
        self._update(rows, weights, config)
        return self

    def fit_predict(self, X: npt.ArrayLike, y: object = None, sample_weight: npt.ArrayLike | None = None) -> IntArray:
        """Train a mixture and find the most probable component of each row.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        np.ndarray of int, shape (T,), 0 to C - 1
            As returned by `predict`.
        """
        return self.fit(X, y, sample_weight).predict(X)

    @one_thread()
    def score_samples(self, X: npt.ArrayLike) -> Float64Array:
        """Compute the log-density of each row.

        Parameters
        ----------
        X : array_like, shape (T, D), finite
            Rows.

        Returns
        -------
        np.ndarray, shape (T,), float64, nats
            ``log p(x_t)``.
        """
        rows = self._rows(X)
        return log_likelihood(self.gmm_, rows, dtype=rows.dtype.type)

    def score(self, X: npt.ArrayLike, y: object = None) -> float:
        """Compute the mean log-density of the rows.

        Parameters
        ----------
        X : array_like, shape (T, D), finite
            Rows.
        y
            Ignored.

        Returns
        -------
        float, nats
            ``mean_t log p(x_t)``.
        """
        del y
        return float(self.score_samples(X).mean())

    @one_thread()
    def predict(self, X: npt.ArrayLike) -> IntArray:
        """Find the most probable component of each row.

        Parameters
        ----------
        X : array_like, shape (T, D), finite
            Rows.

        Returns
        -------
        np.ndarray of int, shape (T,), 0 to C - 1
            The component with the greatest posterior; of equals the first.
        """
        rows = self._rows(X)
        return density.classify(self.gmm_, rows, dtype=rows.dtype.type)

    @one_thread()
    def predict_proba(self, X: npt.ArrayLike) -> Float64Array:
        """Compute the posterior probability of each component for each row.

        Parameters
        ----------
        X : array_like, shape (T, D), finite
            Rows.

        Returns
        -------
        np.ndarray, shape (T, C), float64, 0 to 1
            Each row sums to 1.
        """
        rows = self._rows(X)
        return posteriors(self.gmm_, rows, dtype=rows.dtype.type)

    def sample(self, n_samples: int = 1) -> tuple[Float64Array, IntArray]:
        """Draw rows from the mixture.

        Parameters
        ----------
        n_samples : int >= 0
            Number of rows, T. If `random_state` is an int, each call returns the same rows.

        Returns
        -------
        X : np.ndarray, shape (T, D), float64
            Independent rows.
        y : np.ndarray of int, shape (T,), 0 to C - 1
            The component that each was drawn from.

        Raises
        ------
        ValueError
            If `n_samples` is negative.
        """
        check_is_fitted(self, "gmm_")
        return density.sample(self.gmm_, index(n_samples), generator(self.random_state))

    def aic(self, X: npt.ArrayLike) -> float:
        """Compute Akaike's information criterion: the lower, the better.

        Parameters
        ----------
        X : array_like, shape (T, D), finite
            Rows.

        Returns
        -------
        float, nats
            ``2 k - 2 log L``, with k free parameters.
        """
        return density.aic(self.gmm_, float(self.score_samples(X).sum()))

    def bic(self, X: npt.ArrayLike) -> float:
        """Compute the Bayesian information criterion: the lower, the better.

        Parameters
        ----------
        X : array_like, shape (T, D), finite
            Rows.

        Returns
        -------
        float, nats
            ``k log T - 2 log L``, with k free parameters.
        """
        values = self.score_samples(X)
        return density.bic(self.gmm_, float(values.sum()), len(values))

    @property
    def weights_(self) -> Float64Array:
        """Prior of each component, shape (C,)."""
        return self.gmm_.weights

    @property
    def means_(self) -> Float64Array:
        """Mean of each component, shape (C, D)."""
        return self.gmm_.means

    @property
    def covariances_(self) -> Float64Array:
        """Variance of each component along each feature, shape (C, D)."""
        return self.gmm_.variances

    @property
    def lower_bound_(self) -> float:
        """Log-likelihood per row of the last iteration, under the model that it started from, in nats."""
        return self.stats_.log_likelihood / float(self.stats_.zeroth.sum())

    def _config(self) -> TrainingConfig:
        """Check the parameters of `TrainingConfig`; `max_iter` and `tol` are this estimator's own."""
        counts = ("n_components", "initial_iterations", "initial_frames")
        values: dict[str, Any] = {name: int(check_scalar(getattr(self, name), name, Integral)) for name in counts}
        values["initial"] = self.initial
        for name in ("variance_floor", "weight_floor", "min_occupancy"):
            values[name] = float(check_scalar(getattr(self, name), name, Real))
        return TrainingConfig(**values)

    def _first_model(self, rows: FloatArray, config: TrainingConfig) -> DiagonalGMM:
        """Return the given first model, or make it from the distinct rows: repeats and weights make no difference."""
        if self.gmm_init is not None:
            expected = (config.n_components, rows.shape[1])
            if self.gmm_init.means.shape != expected:
                raise ModelError(f"gmm_init of shape {self.gmm_init.means.shape}; expected {expected}")
            return self.gmm_init
        rng = generator(self.random_state)
        distinct = np.unique(rows, axis=0)
        if len(distinct) < config.size:
            raise ModelError(f"n_components {config.n_components} is more than the {len(distinct)} distinct rows")
        if len(distinct) > config.initial_frames:
            distinct = distinct[np.sort(rng.choice(len(distinct), config.initial_frames, replace=False))]
        return initialise(distinct, config, rng)

    def _begin_pass(self) -> None:
        """Start an iteration from the current model."""
        self.start_gmm_ = self.gmm_
        self.stats_ = SufficientStats.zeros(*self.gmm_.means.shape)
        self.n_iter_ += 1

    def _update(self, rows: FloatArray, weights: Float64Array, config: TrainingConfig) -> None:
        """Add rows to the iteration, and perform its M step."""
        self.stats_ += accumulate(self.start_gmm_, rows, weights=weights, dtype=rows.dtype.type)
        self.gmm_ = ml_update(self.stats_, self.start_gmm_, config)

    def _rows(self, X: npt.ArrayLike) -> FloatArray:
        """Check rows against the model."""
        check_is_fitted(self, "gmm_")
        rows: FloatArray = validate_data(self, X, dtype=PRECISIONS, reset=False)
        return rows
