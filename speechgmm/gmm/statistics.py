"""Baum-Welch statistics of frames under a model: the E step."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import Float64Array, FloatArray, read_only
from speechgmm.errors import ModelError
from speechgmm.gmm.blocks import FrameBlocks, check_sums, checked_frames, model_coefficients
from speechgmm.gmm.checks import check_weights
from speechgmm.gmm.kernels import dense
from speechgmm.gmm.kernels.choice import choose_e_step
from speechgmm.gmm.model import DiagonalGMM

SINGLE_ROUNDING = 1e-5
"""Statistics of the same frames differ by less than this share when accumulated in other single-precision blocks."""

DOUBLE_ROUNDING = 1e-12
"""After all its parts are subtracted from a sum, less than this share of it is left, by rounding."""


@dataclass(frozen=True, eq=False)
class SufficientStats:
    """Baum-Welch statistics: everything about the frames that a model's update or adaptation needs.

    Statistics of parts add up to those of the whole, and can be subtracted again: to remove a recording, compute
    ``whole - accumulate(gmm, recording)``. The difference is exact to the rounding of the sum; what is left of a
    component by rounding alone becomes 0.

    Parameters
    ----------
    zeroth : np.ndarray, shape (C,), frames
        N_c = sum_t gamma_tc, the occupancy of each component.
    first : np.ndarray, shape (C, D)
        F_c = sum_t gamma_tc x_t.
    second : np.ndarray, shape (C, D)
        S_c = sum_t gamma_tc x_t^2.
    log_likelihood : float, nats
        sum_t log p(x_t) under the model that the posteriors gamma are from; weighted if the frames are.
    n_frames : int
        Number of frames, each counted once.
    skipped : float >= 0, frames
        Upper bound on the sum of the posteriors left out; 0 if none were. No occupancy is off by more frames, and the
        log-likelihood is at most as many nats too low.

    Raises
    ------
    ValueError
        If the shapes disagree, or statistics are subtracted that are not part of these.

    References
    ----------
    Reynolds, Quatieri, Dunn (2000), Digital Signal Processing 10, eqs. 7-10, before the division by N_c.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, accumulate
    >>> gmm = DiagonalGMM(weights=[0.5, 0.5], means=[[-3.0], [3.0]], variances=[[1.0], [1.0]])
    >>> monday, tuesday = np.array([[-3.5], [2.5]]), np.array([[3.0]])
    >>> total = accumulate(gmm, monday) + accumulate(gmm, tuesday)
    >>> total.n_frames, total.zeroth.round(3)
    (3, array([1., 2.]))
    >>> (total - accumulate(gmm, tuesday)).zeroth.round(3)
    array([1., 1.])
    """

    zeroth: Float64Array
    first: Float64Array
    second: Float64Array
    log_likelihood: float
    n_frames: int
    skipped: float = 0.0

    def __post_init__(self) -> None:
        for name in ("zeroth", "first", "second"):
            object.__setattr__(self, name, read_only(getattr(self, name)))
        shape = self.first.shape
        if len(shape) != 2 or self.zeroth.shape != shape[:1] or self.second.shape != shape:
            raise ValueError(
                f"statistics of shapes {self.zeroth.shape}, {shape}, {self.second.shape}; expected (C,), (C, D), (C, D)"
            )

    @classmethod
    def zeros(cls, n_components: int, n_features: int) -> Self:
        """Return the statistics of no frames: adding them changes nothing.

        Parameters
        ----------
        n_components, n_features : int >= 1
            C and D.

        Returns
        -------
        SufficientStats
            All zero.

        Examples
        --------
        >>> from speechgmm import SufficientStats
        >>> SufficientStats.zeros(n_components=2, n_features=3).second
        array([[0., 0., 0.],
               [0., 0., 0.]])
        """
        shape = (n_components, n_features)
        return cls(np.zeros(n_components), np.zeros(shape), np.zeros(shape), 0.0, 0)

    def __add__(self, other: Self) -> Self:
        if not isinstance(other, SufficientStats):
            return NotImplemented
        if self.first.shape != other.first.shape:
            raise ValueError(f"statistics of shape {self.first.shape} and {other.first.shape} cannot be added")
        return type(self)(
            self.zeroth + other.zeroth,
            self.first + other.first,
            self.second + other.second,
            self.log_likelihood + other.log_likelihood,
            self.n_frames + other.n_frames,
            self.skipped + other.skipped,
        )

    def __sub__(self, other: Self) -> Self:
        if not isinstance(other, SufficientStats):
            return NotImplemented
        if self.first.shape != other.first.shape:
            raise ValueError(f"statistics of shape {self.first.shape} and {other.first.shape} cannot be subtracted")
        if other.n_frames > self.n_frames:
            raise ValueError(f"statistics of {other.n_frames} frames are no part of those of {self.n_frames} frames")
        zeroth = _subtract("zeroth", self.zeroth, other.zeroth)
        remains = (zeroth > 0)[:, None]
        return type(self)(
            zeroth,
            np.where(remains, self.first - other.first, 0.0),
            np.where(remains, _subtract("second", self.second, other.second), 0.0),
            self.log_likelihood - other.log_likelihood,
            self.n_frames - other.n_frames,
            self.skipped + other.skipped,  # either may be off by this much
        )


def accumulate(
    gmm: DiagonalGMM,
    frames: FloatArray,
    *,
    weights: npt.ArrayLike | None = None,
    dtype: type[np.floating] = np.float32,
    skip_below: float = 0.0,
    kernel: dense.Kernel = "numpy",
) -> SufficientStats:
    """Compute the Baum-Welch statistics of frames under a model: the E step.

    Parameters
    ----------
    gmm : DiagonalGMM, C components over D features
        The model that the posteriors gamma are computed with.
    frames : np.ndarray, shape (T, D), finite
        Feature frames, in memory or mapped. T may be 0.
    weights : np.ndarray, shape (T,), finite and >= 0, optional
        How often each frame counts; once when not given.
    dtype : np.float32 or np.float64
        Precision of the products within a block of frames; totals are float64. Models with too wide a range for single
        precision are computed in double.
    skip_below : float, 0 <= skip_below < 1
        Components whose density is below this share of the likeliest one's in a frame are left out of that frame, and
        every posterior left out is below this share too; 0 leaves none out. With hundreds of components and features
        of speech, 2e-7 is about twice as fast, and statistics stay within 1e-5 of those of double precision. Needs the
        extra ``fast``; the first call ever compiles for some seconds.
    kernel : "numpy", "numba", "torch" or "cuda"
        Which kernel computes an E step that skips nothing; results differ in their last bits. ``numba`` is faster with
        many components; it needs the extra ``fast``, and its first call compiles, too. In double precision it computes
        as ``numpy`` does. With `skip_below`, ``numpy`` and ``numba`` are the same. ``torch`` is PyTorch on the
        processor, ``cuda`` PyTorch on an NVIDIA card; both need the extra ``torch`` and cannot skip.

    Returns
    -------
    SufficientStats, shapes (C,), (C, D), (C, D)
        The statistics, and how much was skipped.

    Raises
    ------
    ValueError
        If shapes disagree, a value is not finite, a weight is negative, `skip_below`, `dtype` or `kernel` is none of
        these, or the kernel's package, device or memory is missing.

    References
    ----------
    Reynolds, Quatieri, Dunn (2000), Digital Signal Processing 10, eqs. 7-10, before the division by N_c.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, accumulate
    >>> gmm = DiagonalGMM(weights=[0.5, 0.5], means=[[-3.0], [3.0]], variances=[[1.0], [1.0]])
    >>> stats = accumulate(gmm, np.array([[-3.5], [2.5], [3.0]]))
    >>> stats.zeroth.round(3)
    array([1., 2.])
    >>> (stats.first / stats.zeroth[:, None]).round(2)
    array([[-3.5 ],
           [ 2.75]])
    """
    frames = checked_frames(gmm, frames)
    counts, unit = _scale_weights(weights, len(frames))
    if not 0 <= skip_below < 1:
        raise ModelError(f"skip_below {skip_below}: expected 0, to skip nothing, or a share below 1")
    e_step = choose_e_step(kernel, skip_below)
    coefficients = model_coefficients(gmm, dtype)
    moments = np.zeros((gmm.n_components, 2 * gmm.n_features + 1))
    log_likelihood, skipped = e_step(FrameBlocks(gmm, frames, counts, skip_below), coefficients, moments)
    check_sums(gmm, frames, log_likelihood)
    zeroth, first, second = dense.raw_moments(moments * unit, coefficients.reference)
    return SufficientStats(zeroth, first, second, log_likelihood * unit, len(frames), skipped * unit)


def _scale_weights(weights: npt.ArrayLike | None, n_frames: int) -> tuple[Float64Array, float]:
    """Divide weights by about the largest, so that they fit single precision; return also that unit, a power of 2."""
    if weights is None:
        return np.ones(n_frames), 1.0
    counts = check_weights(weights, n_frames).astype(np.float64)
    largest = counts.max(initial=0.0)
    unit = float(np.exp2(np.floor(np.log2(largest)))) if largest > 0 else 1.0
    return counts / unit, unit


def _subtract(name: str, whole: Float64Array, part: Float64Array) -> Float64Array:
    """Subtract sums of numbers that are never negative, and replace what is rounding alone by 0."""
    rest = whole - part
    # Small posteriors lose more digits than large ones: the sum of all components limits one with nearly no frames.
    rounding = SINGLE_ROUNDING * (whole + SINGLE_ROUNDING * whole.sum(axis=0))
    if (rest < -rounding).any():
        worst = np.unravel_index(np.argmin(rest + rounding), rest.shape)
        raise ValueError(
            f"{name} of component {worst[0]} is {whole[worst]:g} less {part[worst]:g}; "
            "expected a part of these statistics"
        )
    return np.where(rest > DOUBLE_ROUNDING * whole, rest, 0.0)
