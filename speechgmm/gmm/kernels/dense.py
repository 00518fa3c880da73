"""Blocked kernels in numpy: arrays in, arrays out, nothing checked.

The log of w_c N(x; m_c, v_c) is a linear function of [z, 1, z^2], where z = (x - centre) / scale, so that one matrix
product computes it for a block of frames and all components, and another one computes the statistics. Centre and scale
are those of the mixture as a whole: relative to them, single precision is enough whatever offset the raw features have.
The scale is a power of two and the centre a single-precision number, so that z adds no rounding of its own.

Blocks lie in memory by component, not by frame (Fortran's order): operations along the components of every frame,
such as finding the likeliest, then run over whole rows of frames at once.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray, IntArray

TorchKernel = Literal["torch", "cuda"]
"""PyTorch's kernels, on the processor or on an NVIDIA card."""

Kernel = Literal["numpy", "numba", TorchKernel]
"""The kernels of an exact E step: numpy's, in this module, and others whose results differ in their last bits."""

BLOCK_FRAMES = 1024
"""Frames in one block; nothing of size (frames x components) is larger."""

SINGLE_PRECISION_LIMIT = 100.0
"""Squared distance of a mean from the centre, in the component's standard deviations and per feature, up to which
log-likelihoods in single precision stay within 1e-5, in spite of the cancellation in z m / v - z^2 / 2 v."""

SCALES = (1e-30, 1e30)
"""Smallest and largest scale that single precision can hold together with its inverse."""

LARGEST_PRECISION = 1e15
"""Ratio of the mixture's variance to a component's up to which the farthest frame stays finite in single precision."""

MAX_SCALED_VALUE = 1e9
"""Frames farther than this many scales from the centre are moved to this distance, where squares stay finite."""

LOG_SHARE_FLOOR = -60.0
"""Log of the share of the likeliest component's density below which a component's density counts as 0. Smaller shares
would come near the subnormal numbers of single precision, with which processors are a hundred times slower."""

SCORES_AT_ONCE = 1 << 22
"""Scores of a frame, a component and a model that are in memory together: 16 MB in single precision."""

SUMMED_AT_ONCE = 1 << 18
"""How many of those scores are put in the order of the frames and summed together: as many as a core's cache holds."""

MODELS_AT_ONCE = 64
"""Fewest models to score together, where there are as many: with fewer, matrix products would be thin and slow."""

ModelArrays = tuple[Float64Array, Float64Array, Float64Array]
"""Weights (C,), means (C, D) and variances (C, D) of a model."""


class Reference(NamedTuple):
    """The origin and the units in which frames are computed, each of shape (D,)."""

    centre: Float64Array
    scale: Float64Array


class Differences(NamedTuple):
    """How M models differ from a UBM: `product` is (C, 2D + 1, M), or (C, D + 1, M) without z^2."""

    product: FloatArray


class Coefficients(NamedTuple):
    """A model as `log_joint` multiplies frames with it: `product` is (2D + 1, C)."""

    reference: Reference
    product: FloatArray


def reference(weights: Float64Array, means: Float64Array, variances: Float64Array) -> Reference:
    """Compute the mean of the mixture as a whole, and its standard deviation rounded to a power of two."""
    centre = (weights @ means).astype(np.float32).astype(np.float64)
    total = weights @ (variances + (means - centre) ** 2)
    return Reference(centre, np.exp2(np.round(np.log2(total) / 2)))


def holds_in_single_precision(means: Float64Array, variances: Float64Array, about: Reference) -> bool:
    """Check whether single precision is enough for this model about this reference."""
    distance = np.mean((means - about.centre) ** 2 / variances, axis=1)
    precision = about.scale**2 / variances
    has_room = about.scale.min() >= SCALES[0] and about.scale.max() <= SCALES[1]
    return bool(has_room and distance.max() <= SINGLE_PRECISION_LIMIT and precision.max() <= LARGEST_PRECISION)


def coefficients(
    weights: Float64Array, means: Float64Array, variances: Float64Array, about: Reference, dtype: type[np.floating]
) -> Coefficients:
    """Expand log(w_c N(x; m_c, v_c)) in z, 1 and z^2."""
    shifted = (means - about.centre) / about.scale
    precisions = about.scale**2 / variances
    constant = np.log(weights) - 0.5 * np.sum(np.log(2 * np.pi * variances) + shifted**2 * precisions, axis=1)
    product = np.concatenate([(shifted * precisions).T, constant[None], -0.5 * precisions.T])
    return Coefficients(about, np.ascontiguousarray(product, dtype))


def expand(block: FloatArray, about: Reference, dtype: type[np.floating]) -> FloatArray:
    """Compute [z, 1, z^2], shape (B, 2D + 1), from a block of frames, shape (B, D)."""
    n_features = block.shape[1]
    expanded = np.empty((2 * n_features + 1, len(block)), dtype)
    z = expanded[:n_features]
    expanded[n_features] = 1
    # In the better of the two precisions: the frames may carry more digits than dtype has, or fewer.
    wide = np.result_type(block.dtype, dtype)
    shifted = np.subtract(block.T, about.centre.astype(wide)[:, None], dtype=wide, order="C")
    shifted *= (1 / about.scale).astype(wide)[:, None]
    np.clip(shifted, -MAX_SCALED_VALUE, MAX_SCALED_VALUE, out=z, casting="unsafe")
    np.square(z, out=expanded[n_features + 1 :])
    return expanded.T


def log_joint(expanded: FloatArray, model: Coefficients) -> FloatArray:
    """Compute log(w_c N(x_t; m_c, v_c)), shape (B, C)."""
    return _product(model.product.T, expanded.T).T


def _product(left: FloatArray, right: FloatArray) -> FloatArray:
    """Multiply finite matrices; ignore BLAS's flags for memory beside them that it read and did not use."""
    with np.errstate(invalid="ignore"):
        product: FloatArray = left @ right
    return product


def to_shares(joint: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Turn joint log-densities (B, C) into shares of the likeliest component's density, in place.

    Return log p(x_t) and the sums of shares, each (B,): a share divided by its frame's sum is the posterior.
    """
    highest = joint.max(axis=1)
    joint -= highest[:, None]
    np.maximum(joint, LOG_SHARE_FLOOR, out=joint)
    np.exp(joint, out=joint)
    joint -= np.exp(np.full_like(highest, LOG_SHARE_FLOOR))[:1]
    total = joint @ np.ones(joint.shape[1], joint.dtype)  # takes a third of the time of numpy's sum
    likelihood: FloatArray = highest + np.log(total)
    return likelihood, total


def add_blocks(
    blocks: Iterable[tuple[FloatArray, Float64Array]], model: Coefficients, moments: Float64Array
) -> tuple[float, float]:
    """Do an exact E step: add the moments of blocks of frames (B, D), each frame as often as it counts (B,).

    `moments` are sums of posterior times [z, 1, z^2], shape (C, 2D + 1), added to in place. Return the log-likelihood,
    and 0 frames skipped.
    """
    log_likelihood = 0.0
    for block, counts in blocks:
        expanded = expand(block, model.reference, model.product.dtype.type)
        shares = log_joint(expanded, model)
        likelihoods, total = to_shares(shares)
        # Posteriors are shares over their sum; dividing the frames by the sum instead divides fewer numbers.
        expanded *= (counts / total)[:, None].astype(expanded.dtype)
        moments += _product(shares.T, expanded)
        log_likelihood += float(likelihoods.astype(np.float64) @ counts)
    return log_likelihood, 0.0


def to_posteriors(joint: FloatArray) -> None:
    """Turn joint log-densities (B, C) into posteriors, in place."""
    _, total = to_shares(joint)
    joint /= total[:, None]


def log_sum(joint: FloatArray, axis: int) -> FloatArray:
    """Compute log(sum(exp(joint))) along an axis; `joint` is overwritten."""
    highest = joint.max(axis=axis, keepdims=True)
    joint -= highest
    np.maximum(joint, LOG_SHARE_FLOOR, out=joint)  # too small to change the sum
    np.exp(joint, out=joint)
    total: FloatArray = np.log(joint.sum(axis=axis)) + highest.squeeze(axis)
    return total


def raw_moments(moments: Float64Array, about: Reference) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Turn sums of posterior times [z, 1, z^2], shape (C, 2D + 1), into sums of posterior times 1, x and x^2."""
    n_features = len(about.centre)
    zeroth = moments[:, n_features]
    first = moments[:, :n_features] * about.scale
    second = moments[:, n_features + 1 :] * about.scale**2
    offset = zeroth[:, None] * about.centre
    return zeroth, first + offset, second + about.centre * (2 * first + offset)


def differences(
    models: Sequence[ModelArrays], ubm: ModelArrays, about: Reference, dtype: type[np.floating]
) -> Differences:
    """Subtract the UBM's coefficients from the models', in double precision, and arrange them by component.

    Where all models have the UBM's variances, the half of the product that belongs to z^2 would be 0 and is left out.
    """
    n_components, n_features = ubm[1].shape
    same_variances = all(variances is ubm[2] or np.array_equal(variances, ubm[2]) for _, _, variances in models)
    product = np.empty((n_components, (1 if same_variances else 2) * n_features + 1, len(models)), dtype)
    for component, ubm_terms in enumerate(zip(*_terms(*ubm, about), strict=True)):
        weights = np.array([model[0][component] for model in models])
        means = np.array([model[1][component] for model in models]).reshape(-1, n_features)
        variances = ubm[2][component] if same_variances else np.array([model[2][component] for model in models])
        terms = _terms(weights, means, variances, about)
        linear, constant, quadratic = (new - old for new, old in zip(terms, ubm_terms, strict=True))
        product[component, :n_features] = linear.T
        product[component, n_features] = constant
        if not same_variances:
            product[component, n_features + 1 :] = quadratic.T
    return Differences(product)


def frame_llr(expanded: FloatArray, ubm: Coefficients, models: Differences, n_top: int) -> FloatArray:
    """Compute log p(x_t | model) - log p(x_t | UBM), shape (B, M), over the UBM's best components of each frame.

    It is the log of sum_c gamma_tc w'_c N'(x_t) / w_c N(x_t), with gamma from the UBM, so that the two log-likelihoods,
    which may be large, are never subtracted. The best components are found once for all models.
    """
    joint = np.ascontiguousarray(log_joint(expanded, ubm))  # frame by frame, as components are chosen for each
    n_frames, n_models = len(joint), models.product.shape[2]
    best = _best_components(joint, n_top) if n_top < joint.shape[1] else None
    if best is not None:
        joint = np.take_along_axis(joint, best.components, axis=1)
    log_gamma = (joint - log_sum(joint.copy(), axis=1)[:, None]).T[:, :, None]
    inputs = np.ascontiguousarray(expanded[:, : models.product.shape[1]])
    ratios = np.empty((n_frames, n_models), joint.dtype)
    n_parts = max(1, -(-n_models * joint.size // SCORES_AT_ONCE))
    width = max(1, -(-n_models // n_parts))
    n_rows = n_frames if best is None else max(1, SUMMED_AT_ONCE // (n_top * width))
    for first in range(0, n_models, width):
        columns = slice(first, first + width)
        product = models.product[:, :, columns]
        log_ratios = np.matmul(inputs, product) if best is None else _best_products(inputs, product, best)
        for start in range(0, n_frames, n_rows):
            rows = slice(start, start + n_rows)
            piece = log_ratios[:, rows] if best is None else log_ratios[best.places[:, rows]]
            piece += log_gamma[:, rows]
            ratios[rows, columns] = log_sum(piece, axis=0)
    return ratios


def frames_at_once(n_top: int) -> int:
    """Return how many frames `frame_llr` should get at a time, so that it can also score enough models at a time."""
    return min(BLOCK_FRAMES, max(1, SCORES_AT_ONCE // (MODELS_AT_ONCE * n_top)))


class _BestComponents(NamedTuple):
    """The best components of each frame, and all pairs of a frame and one of its best components, by component."""

    components: IntArray  # (B, n_top): the best components of each frame
    frames: IntArray  # (B n_top,): the frame of each pair
    bounds: IntArray  # (C + 1,): where the pairs of each component begin
    places: IntArray  # (n_top, B): where the pairs of each frame are


def _best_components(joint: FloatArray, n_top: int) -> _BestComponents:
    """Find the best components of each frame; where several tie for the last place, the first of them."""
    n_frames, n_components = joint.shape
    last = n_components - n_top
    best = joint >= np.partition(joint, last, axis=1)[:, last, None]
    for row in np.flatnonzero(np.count_nonzero(best, axis=1) > n_top):
        best[row] = False
        best[row, np.argsort(-joint[row], kind="stable")[:n_top]] = True
    components = np.flatnonzero(best).reshape(n_frames, n_top) - n_components * np.arange(n_frames)[:, None]
    flat = components.ravel().astype(np.min_scalar_type(n_components))  # small integers have a faster sort
    order = np.argsort(flat, kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    bounds = np.searchsorted(flat[order], np.arange(n_components + 1))
    return _BestComponents(components, order // n_top, bounds, places.reshape(n_frames, n_top).T)


def _best_products(inputs: FloatArray, product: FloatArray, best: _BestComponents) -> FloatArray:
    """Multiply, for each component, the frames that it is among the best of with all models; shape (B n_top, M)."""
    rows = inputs[best.frames]
    result = np.empty((len(rows), product.shape[2]), inputs.dtype)
    bounds = best.bounds.tolist()
    for component, (begin, end) in enumerate(pairwise(bounds)):
        if begin < end:
            np.matmul(rows[begin:end], product[component], out=result[begin:end])
    return result


def _terms(
    weights: Float64Array, means: Float64Array, variances: Float64Array, about: Reference
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Expand log(w N(x; m, v)) + D/2 log(2 pi) of any Gaussians in z, 1 and z^2: (..., D), (...), (..., D)."""
    shifted = (means - about.centre) / about.scale
    precisions = about.scale**2 / variances
    linear = shifted * precisions
    constant = np.log(weights) - 0.5 * np.sum(np.log(variances) + shifted * linear, axis=-1)
    return linear, constant, -0.5 * precisions
