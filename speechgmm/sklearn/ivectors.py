"""i-vectors of recordings, as a scikit-learn transformer."""

import warnings
from numbers import Integral, Real
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from sklearn.utils import check_scalar

from speechgmm.arrays import Float64Array
from speechgmm.features.extract import FeatureConfig
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.parallel.threads import one_thread
from speechgmm.sklearn.background import RecordingTransformer
from speechgmm.sklearn.mixture import DiagonalGaussianMixture
from speechgmm.sklearn.recordings import RecordingsLike
from speechgmm.sklearn.rows import generator
from speechgmm.subspace.statistics import Statistics, StatsStore, write_statistics
from speechgmm.subspace.total_variability.posterior import ivectors
from speechgmm.subspace.total_variability.training import train_total_variability
from speechgmm.subspace.vectors import IVectorConfig


class IVectorTransformer(RecordingTransformer):
    """i-vectors of recordings: the factors of what differs between them, under a background mixture.

    Parameters
    ----------
    n_components : int >= 1
        Number of Gaussians of the background mixture, C.
    rank : int, 1 to C x D
        Numbers in an i-vector, R. Recordings can show fewer factors than there are recordings.
    factor_iterations : int >= 1
        EM iterations of the total-variability model.
    minimum_divergence : bool
        Whether each iteration moves the means, and turns and scales the factors, so that they are standard normal over
        the training recordings again.
    update_variances : bool
        Whether the variances within a recording are estimated too; otherwise they are those of the background mixture.
    acoustic_weight : float, 0 < acoustic_weight <= 1
        Share of its occupancies that a recording counts with, as neighbouring frames are alike.
    max_count : float > 0, frames, optional
        Sum of the occupancies, after that weight, that a recording counts with at most in `transform`.
    ubm : DiagonalGMM or fitted DiagonalGaussianMixture, optional
        A background mixture of other recordings, which is used as it is. `n_components` and the parameters of its
        training below have no effect then. In cross-validation and searches give a DiagonalGMM, such as
        ``mixture.gmm_``: they fit clones, and clones of estimators are not fitted.
    front_end : FeatureConfig, optional
        The front end for paths of audio files; ``FeatureConfig()`` by default.
    max_iter, tol, variance_floor, weight_floor, initial, initial_iterations, initial_frames
        As for `DiagonalGaussianMixture`.
    min_occupancy : float >= 0, frames
        As for `DiagonalGaussianMixture`; a component with fewer frames also keeps its first factor loadings.
    random_state : int, RandomState or None
        Seeds the first mixture, as for `DiagonalGaussianMixture`, and the first factor loadings. With an int, the
        loadings are the same whether the mixture is trained or given.

    Attributes
    ----------
    ubm_ : DiagonalGMM, C components over D features
        The background mixture: that of `DiagonalGaussianMixture` with these parameters, fitted to the frames of all
        recordings; or `ubm`.
    total_variability_ : TotalVariability, R factors
        The total-variability model, trained by `train_total_variability`.
    n_iter_ : int
        Number of EM iterations of the mixture; 0 with a given `ubm`.
    n_features_in_ : int
        D, if it was fitted to a table of rows; a list of recordings has no columns.

    Notes
    -----
    `X` is a list of recordings. Each is an array of frames, shape (T, D), or the path of an audio file. In a table of
    rows, as scikit-learn's other estimators take, each row is a recording of one frame. Statistics are computed in the
    precision of the frames, and everything else in double.

    Memory holds the statistics of 64 recordings at a time; while the factors are trained, those of all are in a
    temporary folder. Audio files are read one after the other; the frames of all are in memory while the mixture is
    trained, and not with a given `ubm`.

    References
    ----------
    Dehak, Kenny, Dehak, Dumouchel, Ouellet (2011), IEEE Trans. Audio, Speech, and Language Processing 19, 788-798.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    >>> from sklearn.pipeline import make_pipeline
    >>> from speechgmm.sklearn import IVectorTransformer
    >>> rng = np.random.default_rng(0)
    >>> speakers = np.repeat(["ann", "bob"], 20)
    >>> recordings = [rng.normal(0.3 if speaker == "bob" else 0, 1, (50, 3)) for speaker in speakers]
    >>> classifier = make_pipeline(IVectorTransformer(2, rank=2, random_state=0), LinearDiscriminantAnalysis())
    >>> classifier.fit(recordings, speakers).predict([rng.normal(0.3, 1, (500, 3))]).tolist()
    ['bob']
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        rank: int = 1,
        factor_iterations: int = 10,
        minimum_divergence: bool = True,
        update_variances: bool = True,
        acoustic_weight: float = 1.0,
        max_count: float | None = None,
        ubm: DiagonalGMM | DiagonalGaussianMixture | None = None,
        front_end: FeatureConfig | None = None,
        max_iter: int = 100,
        tol: float = 1e-3,
        variance_floor: float = 0.01,
        weight_floor: float = 1e-5,
        min_occupancy: float = 0.0,
        initial: str = "splitting",
        initial_iterations: int = 4,
        initial_frames: int = 100_000,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.rank = rank
        self.factor_iterations = factor_iterations
        self.minimum_divergence = minimum_divergence
        self.update_variances = update_variances
        self.acoustic_weight = acoustic_weight
        self.max_count = max_count
        self.ubm = ubm
        self.front_end = front_end
        self.max_iter = max_iter
        self.tol = tol
        self.variance_floor = variance_floor
        self.weight_floor = weight_floor
        self.min_occupancy = min_occupancy
        self.initial = initial
        self.initial_iterations = initial_iterations
        self.initial_frames = initial_frames
        self.random_state = random_state

    @one_thread()
    def fit(self, X: RecordingsLike, y: object = None) -> Self:
        """Train the background mixture and the total-variability model.

        Parameters
        ----------
        X : list of array_like, shape (T, D), or of str or Path; or array_like, shape (U, D)
            Two recordings or more: frames, or paths of audio files. The rows of a table are recordings of one frame.
        y
            Ignored.

        Returns
        -------
        IVectorTransformer
            This estimator.

        Raises
        ------
        ValueError
            If a recording cannot be used, which the message names by its place in `X`; if there are fewer distinct
            frames than components; or if a value is out of range.

        Warns
        -----
        UserWarning
            If the recordings cannot determine as many factors.
        """
        del y
        with TemporaryDirectory() as folder:
            self._fit(X, Path(folder))
        return self

    @one_thread()
    def fit_transform(self, X: RecordingsLike, y: object = None) -> Float64Array:
        """Fit to recordings and turn them into vectors: the same as `fit` and `transform`, reading audio files once.

        Parameters
        ----------
        X, y
            As for `fit`.

        Returns
        -------
        np.ndarray, shape (U, R), float64
            As returned by `transform`.
        """
        del y
        with TemporaryDirectory() as folder:
            return self._vectors(self._fit(X, Path(folder)))

    @one_thread()
    def transform(self, X: RecordingsLike) -> Float64Array:
        """Turn recordings into i-vectors.

        Parameters
        ----------
        X
            Recordings, as for `fit`, of D features; one or more.

        Returns
        -------
        np.ndarray, shape (U, R), float64
            What `ivectors` returns for their statistics. A recording has the same bits alone and among others.

        Raises
        ------
        ValueError
            If a recording cannot be used, which the message names by its place in `X`.
        """
        recordings = self._fitted_recordings(X)
        return np.concatenate([self._vectors(block) for block in recordings.statistics_in_blocks(self.ubm_)])

    @property
    def _n_features_out(self) -> int:
        """Numbers in a vector."""
        return self.total_variability_.rank

    def _fit(self, X: RecordingsLike, folder: Path) -> StatsStore:
        """Fit to recordings; return their statistics, which are in the folder."""
        config = self._config()
        rng = generator(self.random_state).spawn(1)[0]  # apart from the mixture's random numbers
        recordings = self._fit_background(X, at_least=2)
        names = [str(number) for number in range(len(recordings))]
        for _ in write_statistics(folder, names, recordings.statistics(self.ubm_), self.ubm_.means.shape):
            pass
        store = StatsStore(folder)
        result = train_total_variability(self.ubm_, store, config, rng=rng)
        for remark in result.warnings:
            warnings.warn(remark, stacklevel=2)
        self.total_variability_ = result.model
        return store

    def _vectors(self, statistics: Statistics) -> Float64Array:
        """Turn the statistics of recordings into i-vectors."""
        config = self._config()
        extracted = ivectors(
            self.total_variability_, statistics, acoustic_weight=config.acoustic_weight, max_count=config.max_count
        )
        return extracted.values.copy()

    def _config(self) -> IVectorConfig:
        """Check the parameters of `IVectorConfig`."""
        values: dict[str, Any] = {}
        for name in ("minimum_divergence", "update_variances"):
            values[name] = bool(check_scalar(getattr(self, name), name, (bool, np.bool_)))
        for name in ("acoustic_weight", "min_occupancy"):
            values[name] = float(check_scalar(getattr(self, name), name, Real))
        if self.max_count is not None:
            values["max_count"] = float(check_scalar(self.max_count, "max_count", Real))
        return IVectorConfig(
            rank=int(check_scalar(self.rank, "rank", Integral)),
            n_iterations=int(check_scalar(self.factor_iterations, "factor_iterations", Integral, min_val=1)),
            **values,
        )
