"""Many speaker models stacked for scoring, as their differences from one background model."""

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
    """M models prepared for scoring, in half the memory of their means, and of their variances where those differ."""

    ubm: DiagonalGMM
    coefficients: dense.Coefficients  # the background model, in the form that the kernels use
    differences: dense.Differences  # of the M models from the background model

    @property
    def n_models(self) -> int:
        """Number of models, M."""
        return int(self.differences.product.shape[2])


def stack(models: Sequence[DiagonalGMM], ubm: DiagonalGMM) -> StackedModels:
    """Stack the differences of models from the background model that they were adapted from, in its precision.

    ValueError if shapes differ.
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
    """Yield the log-likelihood ratios of the next B frames against each model, shape (B, M), in nats, block by block.

    ``log p(x_t | model) - log p(x_t | ubm)``, summed over the `top_components` best of the UBM for each frame, or over
    all if None. Blocks of `dense.BLOCK_FRAMES` frames, counted from the first frame, are computed independently.
    ValueError if the shape (T, D) does not fit the models, or a frame is not finite.
    """
    n_top = _n_top(stacked, top_components)
    n_rows = dense.frames_at_once(n_top)
    for _, block in expanded_blocks(stacked.ubm, frames, stacked.coefficients):
        for start in range(0, len(block), n_rows):
            yield dense.frame_llr(block[start : start + n_rows], stacked.coefficients, stacked.differences, n_top)


def ratio_sums(
    stacked: StackedModels, top_components: int | None, kernel: dense.Kernel
) -> Callable[[FloatArray], Float64Array]:
    """Return a function from an utterance's frames (T, D) to the sums of their log-likelihood ratios (M,), in nats.

    PyTorch kernels move the models to their device here, once. The function raises ValueError as `ratio_blocks` does.
    ModelError if the kernel is not available, or its device lacks memory.
    """
    if not is_torch(kernel):
        return partial(_ratio_sums, stacked, top_components)
    n_top = _n_top(stacked, top_components)
    on_device = torch_kernels(kernel).ratio_sums(stacked.coefficients, stacked.differences, n_top, kernel)

    def sums(frames: FloatArray) -> Float64Array:
        """Sum the ratios of an utterance on the device."""
        frames = checked_frames(stacked.ubm, frames)
        values: Float64Array = on_device(frames)
        check_sums(stacked.ubm, frames, values)
        return values

    return sums


def _ratio_sums(stacked: StackedModels, top_components: int | None, frames: FloatArray) -> Float64Array:
    """Sum the ratios of an utterance, block by block."""
    total = np.zeros(stacked.n_models)
    for ratios in ratio_blocks(stacked, frames, top_components):
        total += ratios.sum(axis=0, dtype=np.float64)
    return total


def _n_top(stacked: StackedModels, top_components: int | None) -> int:
    """Return the number of components that likelihoods are summed over."""
    n_components = stacked.ubm.n_components
    return min(top_components or n_components, n_components)
