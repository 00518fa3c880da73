"""Many models side by side, as their differences from one background model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.errors import ModelError
from speechgmm.gmm.blocks import check_sums, checked_frames, expanded_blocks, model_coefficients
from speechgmm.gmm.kernels import dense
from speechgmm.gmm.kernels.choice import is_torch, torch_kernels
from speechgmm.gmm.model import DiagonalGMM


@dataclass(frozen=True, eq=False)
class StackedModels:
    """Models prepared for scoring: half the memory of their means, or of means and variances, where those differ too.

    Parameters
    ----------
    ubm : DiagonalGMM, C components over D features
        The background model.
    coefficients : dense.Coefficients
        The background model, as the kernels want it.
    differences : dense.Differences, of M models
        The models' differences from it.
    """

    ubm: DiagonalGMM
    coefficients: dense.Coefficients
    differences: dense.Differences

    @property
    def n_models(self) -> int:
        """Number of models, M."""
        return int(self.differences.product.shape[2])


def stack(models: Sequence[DiagonalGMM], ubm: DiagonalGMM) -> StackedModels:
    """Take the models' differences from a background model, in its precision.

    Parameters
    ----------
    models : sequence of M DiagonalGMM, C components over D features
        The speakers' models, adapted from `ubm`.
    ubm : DiagonalGMM, C components over D features
        The background model.

    Returns
    -------
    StackedModels
        To score any number of utterances against.

    Raises
    ------
    ValueError
        If shapes differ.
    """
    for model in models:
        if model.means.shape != ubm.means.shape:
            raise ModelError(f"a model of shape {model.means.shape} for a UBM of shape {ubm.means.shape}")
    coefficients = model_coefficients(ubm, np.float32)
    differences = dense.differences(
        [(model.weights, model.means, model.variances) for model in models],
        (ubm.weights, ubm.means, ubm.variances),
        coefficients.reference,
        coefficients.product.dtype.type,
    )
    return StackedModels(ubm, coefficients, differences)


def ratio_blocks(stacked: StackedModels, frames: FloatArray, top_components: int | None) -> Iterator[FloatArray]:
    """Compute the log-likelihood ratios of frames, block by block.

    Parameters
    ----------
    stacked : StackedModels, M models
        The models.
    frames : np.ndarray, shape (T, D)
        Feature frames, in memory or mapped.
    top_components : int >= 1, or None
        Components of the UBM, the best for each frame, that both likelihoods are summed over; None for all.

    Yields
    ------
    np.ndarray, shape (B, M), nats
        ``log p(x_t | model) - log p(x_t | ubm)`` of the next B frames. Blocks of `dense.BLOCK_FRAMES` frames are
        computed each for itself, counted from the first frame.

    Raises
    ------
    ValueError
        If the shape does not fit the models, or a frame is not finite.
    """
    n_top = _n_top(stacked, top_components)
    n_rows = dense.frames_at_once(n_top)
    for _, block in expanded_blocks(stacked.ubm, frames, stacked.coefficients):
        for start in range(0, len(block), n_rows):
            yield dense.frame_llr(block[start : start + n_rows], stacked.coefficients, stacked.differences, n_top)


def ratio_sums(
    stacked: StackedModels, top_components: int | None, kernel: dense.Kernel
) -> Callable[[FloatArray], Float64Array]:
    """Prepare to add up the log-likelihood ratios of any number of utterances.

    Parameters
    ----------
    stacked : StackedModels, M models
        The models; those of a kernel of torch are put on its device here, once.
    top_components : int >= 1, or None
        As for `ratio_blocks`.
    kernel : dense.Kernel
        Who computes.

    Returns
    -------
    callable
        From an utterance's frames (T, D) to the sums over them for each model, shape (M,), float64, nats. It raises
        ValueError as `ratio_blocks` does.

    Raises
    ------
    ModelError
        If the kernel is not there, or its device has no room.
    """
    if not is_torch(kernel):
        return partial(_ratio_sums, stacked, top_components)
    n_top = _n_top(stacked, top_components)
    on_device = torch_kernels(kernel).ratio_sums(stacked.coefficients, stacked.differences, n_top, kernel)

    def sums(frames: FloatArray) -> Float64Array:
        """Add up the ratios of an utterance there."""
        frames = checked_frames(stacked.ubm, frames)
        values: Float64Array = on_device(frames)
        check_sums(stacked.ubm, frames, values)
        return values

    return sums


def _ratio_sums(stacked: StackedModels, top_components: int | None, frames: FloatArray) -> Float64Array:
    """Add up the ratios of an utterance, block by block."""
    total = np.zeros(stacked.n_models)
    for ratios in ratio_blocks(stacked, frames, top_components):
        total += ratios.sum(axis=0, dtype=np.float64)
    return total


def _n_top(stacked: StackedModels, top_components: int | None) -> int:
    """Give the number of components that likelihoods are summed over."""
    n_components = stacked.ubm.n_components
    return min(top_components or n_components, n_components)
