"""The model of two-covariance PLDA: its value, smoothing, and log-likelihood ratios."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.linalg

from speechgmm.arrays import Float64Array, IntArray, read_only
from speechgmm.errors import ModelError
from speechgmm.subspace.backend.products import row_products

Length = Literal["none", "expected", "simple"]

MOST_SMOOTHING = 1e6

MOST_DEVIATIONS = 1e100
"""Farthest that a vector may be from the mean, in deviations within speakers: squares beyond are no finite numbers."""

MOST_RATIO = 1e8
"""Largest variance between speakers relative to that within them, to which vectors without any within would go."""


@dataclass(frozen=True, eq=False)
class Plda:
    """Two-covariance PLDA: a recording's vector is its speaker's, plus what differs between recordings.

    x = m + y + e, with y ~ N(0, B) drawn once for each speaker and e ~ N(0, W) for each recording. The model is stored
    as the transform that makes W the identity and B diagonal. An immutable value: the arrays are float64, C-contiguous
    and read-only.

    Parameters
    ----------
    mean : np.ndarray, shape (R,)
        Mean of the speakers, m.
    transform : np.ndarray, shape (R, R)
        A: ``A W A' = I`` and ``A B A' = diag(psi)``.
    psi : np.ndarray, shape (R,), >= 0, falling
        Variance between speakers in each dimension of ``A (x - m)``, in which the variance within speakers is 1.
    warnings : tuple of str
        What was odd about the data that the model was trained on.

    Raises
    ------
    ModelError
        If shapes disagree, a value is not a finite number, `transform` is singular, or `psi` is negative or rises.

    References
    ----------
    Ioffe (2006), ECCV, 531-542.

    Examples
    --------
    >>> from speechgmm import Plda
    >>> model = Plda(mean=[1.0, 0.0], transform=[[2.0, 0.0], [0.0, 1.0]], psi=[12.0, 3.0])
    >>> model.within
    array([[0.25, 0.  ],
           [0.  , 1.  ]])
    >>> model.between
    array([[3., 0.],
           [0., 3.]])
    """

    mean: Float64Array
    transform: Float64Array
    psi: Float64Array
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("mean", "transform", "psi"):
            array = read_only(getattr(self, name))
            if not np.isfinite(array).all():
                raise ModelError(f"PLDA: {name} holds NaN or infinity; expected finite numbers")
            object.__setattr__(self, name, array)
        n = self.mean.size
        if n == 0 or (self.mean.shape, self.transform.shape, self.psi.shape) != ((n,), (n, n), (n,)):
            raise ModelError(
                f"PLDA: mean {self.mean.shape}, transform {self.transform.shape} and psi {self.psi.shape}; "
                "expected (R,), (R, R) and (R,), R at least 1"
            )
        if self.psi[-1] < 0 or (np.diff(self.psi) > 0).any():
            raise ModelError(
                f"PLDA: psi from {self.psi[0]:g} to {self.psi[-1]:g}; expected falling numbers, none below 0"
            )
        if np.linalg.slogdet(self.transform)[0] == 0:
            raise ModelError("PLDA: the transform is singular; expected one that has an inverse")

    def __reduce__(self) -> tuple[Any, ...]:
        """Unpickle through the constructor, so that the copy's arrays are read-only too."""
        return type(self), (self.mean, self.transform, self.psi, self.warnings)

    @property
    def dimension(self) -> int:
        """Number of dimensions, R."""
        return int(self.mean.size)

    @property
    def within(self) -> Float64Array:
        """Covariance of the recordings of one speaker, W, shape (R, R)."""
        return self._in_original_space(np.ones(self.dimension))

    @property
    def between(self) -> Float64Array:
        """Covariance of the speakers, B, shape (R, R)."""
        return self._in_original_space(self.psi)

    def _in_original_space(self, variances: Float64Array) -> Float64Array:
        """Return the covariance that the transform makes diagonal, with these variances."""
        root: Float64Array = np.linalg.solve(self.transform, np.diag(np.sqrt(variances)))
        return root @ root.T


def from_covariances(
    mean: Float64Array,
    basis: Float64Array,
    within: Float64Array,
    between: Float64Array,
    warnings: tuple[str, ...] = (),
) -> Plda:
    """Make the model of which both covariances are given in the space of the rows of `basis`, shape (R, R)."""
    turn, psi = diagonalise(within, between)
    return Plda(mean, with_fixed_signs(turn @ basis), psi, warnings)


def diagonalise(within: Float64Array, between: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Return A with ``A within A' = I`` and ``A between A' = diag(psi)``, and psi, which falls."""
    root = scipy.linalg.cholesky((within + within.T) / 2, lower=True)
    half = scipy.linalg.solve_triangular(root, (between + between.T) / 2, lower=True)
    ratio = scipy.linalg.solve_triangular(root, half.T, lower=True)
    values, vectors = scipy.linalg.eigh((ratio + ratio.T) / 2)
    psi = np.maximum(values[::-1], 0.0)
    transform = scipy.linalg.solve_triangular(root, vectors[:, ::-1], lower=True, trans="T").T
    widening = np.maximum(psi / MOST_RATIO, 1.0)
    return transform / np.sqrt(widening)[:, None], np.minimum(psi, MOST_RATIO)


def with_fixed_signs(rows: Float64Array) -> Float64Array:
    """Turn rows around whose largest entry is negative: eigenvectors have no sign of their own."""
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)
    return np.where(largest < 0, -rows, rows)


def smooth_plda(model: Plda, smoothing: float) -> Plda:
    """Add a share of the covariance between speakers to that within them.

    Scores become more cautious, most of all along the dimensions in which speakers differ most.

    Parameters
    ----------
    model : Plda, R dimensions
        The trained model.
    smoothing : float, 0 to 1e6
        The share; 0 leaves the model as it is.

    Returns
    -------
    Plda
        Within covariance W + `smoothing` B; the one between speakers stays B.

    Raises
    ------
    ModelError
        If `smoothing` is out of its range.

    References
    ----------
    Kaldi, ivector/plda.cc, `SmoothWithinClassCovariance`.

    Examples
    --------
    >>> from speechgmm import Plda, smooth_plda
    >>> smooth_plda(Plda([0.0], [[1.0]], [5.0]), 0.2).psi
    array([2.5])
    """
    if not 0 <= smoothing <= MOST_SMOOTHING:
        raise ModelError(f"PLDA: smoothing {smoothing}; expected a number from 0 to {MOST_SMOOTHING:g}")
    widening = 1 + smoothing * model.psi
    psi = np.minimum.accumulate(model.psi / widening)  # equal ones may differ by rounding
    return Plda(model.mean, model.transform / np.sqrt(widening)[:, None], psi, model.warnings)


def plda_llrs(
    model: Plda, means: Float64Array, counts: IntArray, tests: Float64Array, length: Length = "none"
) -> Float64Array:
    """Score vectors against the means of enrolled ones by a given PLDA model.

    Parameters
    ----------
    model : Plda, R dimensions
        The model, as trained, smoothed or adapted.
    means : np.ndarray, shape (M, R)
        The mean of the vectors that each speaker was enrolled with.
    counts : np.ndarray of int, shape (M,), >= 1
        How many vectors each mean is of.
    tests : np.ndarray, shape (U, R)
        Single vectors.
    length : "none", "expected" or "simple"
        Normalisation of the length after the transform: none; to the length that is expected of the mean of so many
        vectors; or to the square root of R.

    Returns
    -------
    np.ndarray, shape (M, U), nats
        The log-likelihood ratio of one speaker to two. Without length normalisation it is exactly that of the vectors
        that a mean is of. A column has the same bits whatever the other tests are.

    Raises
    ------
    ModelError
        If shapes disagree, or a vector is too far from the model's mean.

    References
    ----------
    Ioffe (2006), ECCV, 531-542, in the form of Kaldi, ivector/plda.cc, `LogLikelihoodRatio`.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import Plda, plda_llrs
    >>> model = Plda(mean=[0.0], transform=[[1.0]], psi=[4.0])
    >>> plda_llrs(model, np.array([[2.0]]), np.array([3]), np.array([[2.0], [-2.0]])).round(2)
    array([[ 1.06, -4.59]])
    """
    means, tests, counts = np.asarray(means, np.float64), np.asarray(tests, np.float64), np.asarray(counts, np.intp)
    if counts.shape != means.shape[:1] or (counts < 1).any():
        raise ModelError(f"PLDA: counts {counts.tolist()} of {len(means)} means; expected a number above 0 for each")
    enrolled = project(model, means)
    enrolled *= length_factors(enrolled, model.psi, counts, length)[:, None]
    projected = project(model, tests)
    projected *= length_factors(projected, model.psi, np.ones(len(tests), np.intp), length)[:, None]
    return _diagonal_llrs(model.psi, enrolled, counts, projected)


def project(model: Plda, vectors: Float64Array) -> Float64Array:
    """Transform vectors, shape (U, R), to the space in which both covariances are diagonal; a row by itself."""
    if vectors.ndim != 2 or vectors.shape[1] != model.dimension:
        raise ModelError(f"PLDA of {model.dimension} dimensions: vectors of shape {vectors.shape}; expected (U, R)")
    with np.errstate(over="ignore", invalid="ignore"):
        projected = row_products(vectors - model.mean, model.transform.T)
    far = ~(np.abs(projected) < MOST_DEVIATIONS).all(axis=1)
    if far.any():
        raise ModelError(
            f"PLDA: vector {int(far.argmax())} is more than {MOST_DEVIATIONS:g} deviations from the mean; "
            "expected vectors like those of training"
        )
    return projected


def length_factors(projected: Float64Array, psi: Float64Array, counts: IntArray, length: Length) -> Float64Array:
    """Return what each projected vector, the mean of as many as `counts` says, is multiplied by; 1 for one of zeros."""
    if length == "none":
        return np.ones(len(projected))
    expected = psi + 1 / np.asarray(counts)[:, None] if length == "expected" else np.ones_like(projected)
    squares = (projected**2 / expected).sum(axis=1)
    has_length = squares > 1e-200
    return np.where(has_length, np.sqrt(projected.shape[1] / np.where(has_length, squares, 1.0)), 1.0)


def _diagonal_llrs(psi: Float64Array, means: Float64Array, counts: IntArray, tests: Float64Array) -> Float64Array:
    """Score projected tests against projected means: a quadratic form, so that matrix products are most of it.

    Given n vectors with the mean u, a test is N(k u, v); given none, it is N(0, 1 + psi).
    """
    distinct, which = np.unique(counts, return_inverse=True)
    n_psi = distinct[:, None] * psi
    variances = 1 + psi / (1 + n_psi)
    lost = n_psi * psi / (1 + n_psi)  # 1 + psi less these variances
    curvatures = np.ascontiguousarray((-0.5 * lost / (variances * (1 + psi))).T)
    centres = (n_psi / (1 + n_psi))[which] * means
    slopes = centres / variances[which]
    offsets = 0.5 * np.log1p(lost / variances).sum(axis=1)[which] - 0.5 * (slopes * centres).sum(axis=1)
    slopes = np.ascontiguousarray(slopes.T)
    scores = row_products(tests, slopes)
    scores += row_products(tests**2, curvatures)[:, which]
    scores += offsets
    return np.ascontiguousarray(scores.T)
