"""Supervectors of recordings, as a scikit-learn transformer."""

from numbers import Real
from typing import Self

import numpy as np
from sklearn.utils import check_scalar

from speechgmm.arrays import Float64Array
from speechgmm.features.extract import FeatureConfig
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.parallel.threads import one_thread
from speechgmm.sklearn.background import RecordingTransformer
from speechgmm.sklearn.mixture import DiagonalGaussianMixture
from speechgmm.sklearn.recordings import Recordings, RecordingsLike
from speechgmm.subspace.supervectors import supervectors


class SupervectorTransformer(RecordingTransformer):
    """Supervectors of recordings: how far MAP adaptation moves the means of a background mixture.

    Parameters
    ----------
    n_components : int >= 1
        Number of Gaussians of the background mixture, C; a supervector has C x D numbers.
    relevance_factor : float > 0, frames
        Frames of evidence at which recording and background mixture weigh the same.
    ubm : DiagonalGMM or fitted DiagonalGaussianMixture, optional
        A background mixture of other recordings, which is used as it is. Nothing is trained then, `fit` reads no
        recording, and `n_components` and the training parameters below have no effect. In cross-validation and
        searches give a DiagonalGMM, such as ``mixture.gmm_``: they fit clones, and clones of estimators are not fitted.
    front_end : FeatureConfig, optional
        The front end for paths of audio files; ``FeatureConfig()`` by default.
    max_iter, tol, variance_floor, weight_floor, min_occupancy, initial, initial_iterations, initial_frames
        As for `DiagonalGaussianMixture`.
    random_state : int, RandomState or None
        Seeds the first mixture, as for `DiagonalGaussianMixture`.

    Attributes
    ----------
    ubm_ : DiagonalGMM, C components over D features
        The background mixture: that of `DiagonalGaussianMixture` with these parameters, fitted to the frames of all
        recordings; or `ubm`.
    n_iter_ : int
        Number of EM iterations of the mixture; 0 with a given `ubm`.
    n_features_in_ : int
        D, if it was fitted to a table of rows; a list of recordings has no columns.

    Notes
    -----
    `X` is a list of recordings. Each is an array of frames, shape (T, D), or the path of an audio file. In a table of
    rows, as scikit-learn's other estimators take, each row is a recording of one frame. Statistics are computed in the
    precision of the frames, and vectors in double.

    Memory holds the statistics of 64 recordings at a time. Audio files are read one after the other; the frames of all
    are in memory while the mixture is trained, and not with a given `ubm`.

    References
    ----------
    Campbell, Sturim, Reynolds (2006), IEEE Signal Processing Letters 13, 308-311.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.svm import LinearSVC
    >>> from speechgmm.sklearn import SupervectorTransformer
    >>> rng = np.random.default_rng(0)
    >>> speakers = np.repeat(["ann", "bob"], 20)
    >>> recordings = [rng.normal(0.3 if speaker == "bob" else 0, 1, (50, 3)) for speaker in speakers]
    >>> SupervectorTransformer(4, random_state=0).fit_transform(recordings).shape
    (40, 12)
    >>> classifier = make_pipeline(SupervectorTransformer(4, random_state=0), LinearSVC(random_state=0))
    >>> classifier.fit(recordings, speakers).predict([rng.normal(0.3, 1, (500, 3))]).tolist()
    ['bob']
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        relevance_factor: float = 10.0,
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
        self.relevance_factor = relevance_factor
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
        """Train the background mixture on the frames of all recordings.

        Parameters
        ----------
        X : list of array_like, shape (T, D), or of str or Path; or array_like, shape (U, D)
            Recordings: frames, or paths of audio files. The rows of a table are recordings of one frame.
        y
            Ignored.

        Returns
        -------
        SupervectorTransformer
            This estimator.

        Raises
        ------
        ValueError
            If a recording cannot be used, which the message names by its place in `X`; if there are fewer distinct
            frames than components; or if a value is out of range.
        """
        del y
        self._fit(X)
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
        np.ndarray, shape (U, C D), float64
            As returned by `transform`.
        """
        del y
        return self._vectors(self._fit(X))

    @one_thread()
    def transform(self, X: RecordingsLike) -> Float64Array:
        """Turn recordings into supervectors.

        Parameters
        ----------
        X
            Recordings, as for `fit`, of D features.

        Returns
        -------
        np.ndarray, shape (U, C D), float64
            What `supervectors` returns for their statistics. A recording has the same bits alone and among others.

        Raises
        ------
        ValueError
            If a recording cannot be used, which the message names by its place in `X`.
        """
        return self._vectors(self._fitted_recordings(X))

    @property
    def _n_features_out(self) -> int:
        """Numbers in a vector."""
        return int(self.ubm_.means.size)

    def _fit(self, X: RecordingsLike) -> Recordings:
        """Check the parameters and fit to recordings; return them, in memory if they had to be."""
        check_scalar(self.relevance_factor, "relevance_factor", Real, min_val=0, include_boundaries="neither")
        return self._fit_background(X)

    def _vectors(self, recordings: Recordings) -> Float64Array:
        """Turn recordings into supervectors, some at a time."""
        blocks = recordings.statistics_in_blocks(self.ubm_)
        return np.concatenate([supervectors(self.ubm_, block, float(self.relevance_factor)) for block in blocks])
