"""Baum-Welch statistics: the E step."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import Float64Array, FloatArray, read_only
from speechgmm.errors import ModelError
from speechgmm.gmm.blocks import check_sums, checked_blocks, checked_frames, expanded_blocks, model_coefficients
from speechgmm.gmm.checks import check_weights
from speechgmm.gmm.kernels import dense
from speechgmm.gmm.kernels.choice import check_kernel, is_torch, numba_kernels, torch_kernels
from speechgmm.gmm.model import DiagonalGMM

SINGLE_ROUNDING = 1e-5
"""Statistics of the same frames, accumulated in single precision in other blocks, differ by less than this share."""

DOUBLE_ROUNDING = 1e-12
"""What is left of a sum after its parts were subtracted, as a share of it, when it is rounding and nothing else."""


@dataclass(frozen=True, eq=False)
class SufficientStats:
    """All that a model's update needs of its frames. Statistics of parts add up to those of the whole.

    What was added can be subtracted again: a recording is forgotten by ``whole - accumulate(gmm, recording)``, to the
    rounding of the sum. What is left of a component by rounding alone is nothing.

    Parameters
    ----------
    zeroth : np.ndarray, shape (C,), frames
        N_c = sum_t gamma_tc, the occupancy of each component.
    first : np.ndarray, shape (C, D)
        F_c = sum_t gamma_tc x_t.
    second : np.ndarray, shape (C, D)
        S_c = sum_t gamma_tc x_t^2.
    log_likelihood : float, nats
        sum_t log p(x_t) under the model that gave gamma; weighted where frames are.
    n_frames : int
        Frames counted.
    skipped : float >= 0, frames
        Not less than the sum of all posteriors that were left out: no component's occupancy is off by more frames, and
        the log-likelihood is at most as many nats too low. 0 where nothing was.

    Raises
    ------
    ValueError
        If the shapes disagree; and from a subtraction of more than there is.
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
        """Make the statistics of no frames: adding them changes nothing.

        Parameters
        ----------
        n_components, n_features : int >= 1
            C and D.

        Returns
        -------
        SufficientStats
            All zero.
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
        zeroth = _remainder("zeroth", self.zeroth, other.zeroth)
        left = (zeroth > 0)[:, None]
        return type(self)(
            zeroth,
            np.where(left, self.first - other.first, 0.0),
            np.where(left, _remainder("second", self.second, other.second), 0.0),
            self.log_likelihood - other.log_likelihood,
            self.n_frames - other.n_frames,
            self.skipped + other.skipped,  # what either is off by
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
    """Accumulate the statistics of frames under a model.

    Parameters
    ----------
    gmm : DiagonalGMM, C components over D features
        The model that gives the posteriors gamma.
    frames : np.ndarray, shape (T, D), finite
        Feature frames; may be memory-mapped. T may be 0.
    weights : np.ndarray, shape (T,), finite and >= 0, optional
        How often each frame counts; once when not given.
    dtype : np.float32 or np.float64
        Precision of the products within a block; totals are float64. A model that single precision does not hold
        is computed in double.
    skip_below : float, 0 <= skip_below < 1
        Components whose density is below this share of the likeliest one's in a frame are left out of it, and every
        posterior left out is below it, too; 0 leaves none out. With hundreds of components and features of speech,
        2e-7 is about twice as fast, and statistics stay within 1e-5 of those of double precision. Needs the extra
        `fast`; the first call compiles for some seconds, where no call before has.
    kernel : "numpy", "numba", "torch" or "cuda"
        Who computes what skips nothing; the last bits of each are others. ``numba`` is faster where there are many
        components; it needs the extra `fast`, and its first call compiles, too. In double precision it is numpy's, and
        what skips has one kernel only, and does not ask which of the two. ``torch`` is PyTorch on the processor and
        ``cuda`` on an NVIDIA card, by the extra `torch`; they skip nothing.

    Returns
    -------
    SufficientStats, shapes (C,), (C, D), (C, D)
        The statistics, and how much was skipped.

    Raises
    ------
    ValueError
        If shapes disagree, or a value is not finite or a weight negative, or `skip_below` is not in its range or
        `kernel` not one of these, or what they need is not there or has no room.

    References
    ----------
    Reynolds, Quatieri, Dunn (2000), Digital Signal Processing 10, eqs. 7-10, before the division by N_c.
    """
    frames = checked_frames(gmm, frames)
    counts, unit = _in_units(weights, len(frames))
    if not 0 <= skip_below < 1:
        raise ModelError(f"skip_below {skip_below}: expected 0, to skip nothing, or a share below 1")
    check_kernel(kernel, skip_below)
    coefficients = model_coefficients(gmm, dtype)
    moments = np.zeros((gmm.n_components, 2 * gmm.n_features + 1))
    blocks = ((block, counts[at : at + len(block)]) for at, block in checked_blocks(gmm, frames))
    skipped = 0.0
    if skip_below:
        _, skipping = numba_kernels("skip_below")
        log_likelihood, skipped = skipping.add_blocks(blocks, coefficients, skip_below, moments)
    elif kernel == "numba":
        fused, _ = numba_kernels("kernel numba")
        log_likelihood = fused.add_blocks(blocks, coefficients, moments)
    elif is_torch(kernel):
        log_likelihood = torch_kernels(kernel).add_frames(frames, counts, coefficients, moments, kernel)
        check_sums(gmm, frames, log_likelihood)
    else:
        blocks = ((block, counts[at : at + len(block)]) for at, block in expanded_blocks(gmm, frames, coefficients))
        log_likelihood = dense.add_blocks(blocks, coefficients, moments)
    zeroth, first, second = dense.raw_moments(moments * unit, coefficients.reference)
    return SufficientStats(zeroth, first, second, log_likelihood * unit, len(frames), skipped * unit)


def _in_units(weights: npt.ArrayLike | None, n_frames: int) -> tuple[Float64Array, float]:
    """Give weights in units of about the largest, which single precision has room for, and the unit: a power of 2."""
    if weights is None:
        return np.ones(n_frames), 1.0
    counts = check_weights(weights, n_frames).astype(np.float64)
    largest = counts.max(initial=0.0)
    unit = float(np.exp2(np.floor(np.log2(largest)))) if largest > 0 else 1.0
    return counts / unit, unit


def _remainder(name: str, whole: Float64Array, part: Float64Array) -> Float64Array:
    """Subtract sums of what is never negative, and take what rounding leaves for nothing."""
    rest = whole - part
    # Small posteriors lose more digits than large ones: a component that has nearly no frames is judged by them all.
    rounding = SINGLE_ROUNDING * (whole + SINGLE_ROUNDING * whole.sum(axis=0))
    if (rest < -rounding).any():
        at = np.unravel_index(np.argmin(rest + rounding), rest.shape)
        raise ValueError(
            f"{name} of component {at[0]} is {whole[at]:g} less {part[at]:g}; expected a part of these statistics"
        )
    return np.where(rest > DOUBLE_ROUNDING * whole, rest, 0.0)
