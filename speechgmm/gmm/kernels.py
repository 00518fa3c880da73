"""Blocked kernels: arrays in, arrays out, nothing checked.

The log of w_c N(x; m_c, v_c) is a linear function of [z, 1, z^2], where z = (x - centre) / scale, so that one matrix
product gives it for a block of frames and all components, and another one gives the statistics. Centre and scale
are those of the model as a whole: about them, single precision holds whatever offset the raw features have. The
scale is a power of two and the centre a number that single precision has, so that z costs no rounding of its own.

Blocks lie in memory by component, not by frame (Fortran's order): what is done along the components of every frame,
such as finding the likeliest, then runs over whole rows of frames at once.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray, IntArray

BLOCK_FRAMES = 1024
"""Frames in one block; nothing of size (frames x components) is larger."""

SINGLE_PRECISION_LIMIT = 100.0
"""Squared distance of a mean from the centre, in its own standard deviations and per feature, up to which the
cancellation in z m / v - z^2 / 2 v leaves single precision a log-likelihood within 1e-5."""

LARGEST_PRECISION = 1e15
"""Ratio of the whole's variance to a component's up to which single precision holds the farthest frame."""

FARTHEST = 1e9
"""Frames farther than this many scales from the centre are taken as this far, where squares stay finite."""

FAINTEST = -60.0
"""Log of the share of the likeliest component below which a component's density is taken as nothing. Smaller numbers
would come near those that single precision has no full digits for, which processors are a hundred times slower with."""


class Reference(NamedTuple):
    """The point and the units that frames are computed in, each of shape (D,)."""

    centre: Float64Array
    scale: Float64Array


class Differences(NamedTuple):
    """How M models differ from a UBM: `product` is (C, 2D + 1, M), or (C, D + 1, M) without z^2."""

    product: FloatArray


class Coefficients(NamedTuple):
    """What log_joint needs of a model: `product` is (2D + 1, C)."""

    reference: Reference
    product: FloatArray


def reference(weights: Float64Array, means: Float64Array, variances: Float64Array) -> Reference:
    """Take the mean and, to a power of two, the standard deviation of the mixture as a whole."""
    centre = (weights @ means).astype(np.float32).astype(np.float64)
    total = weights @ (variances + (means - centre) ** 2)
    return Reference(centre, np.exp2(np.round(np.log2(total) / 2)))


def holds_in_single_precision(means: Float64Array, variances: Float64Array, about: Reference) -> bool:
    """Tell whether single precision is enough for this model about this reference."""
    distance = np.mean((means - about.centre) ** 2 / variances, axis=1)
    precision = about.scale**2 / variances
    return bool(distance.max() <= SINGLE_PRECISION_LIMIT and precision.max() <= LARGEST_PRECISION)


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
    """Make [z, 1, z^2], shape (B, 2D + 1), of a block of frames, shape (B, D)."""
    n_features = block.shape[1]
    expanded = np.empty((2 * n_features + 1, len(block)), dtype)
    z = expanded[:n_features]
    expanded[n_features] = 1
    # In the better of the two precisions: the frames may carry more digits than dtype has, or fewer.
    wide = np.result_type(block.dtype, dtype)
    moved = np.subtract(block.T, about.centre.astype(wide)[:, None], dtype=wide, order="C")
    moved *= (1 / about.scale).astype(wide)[:, None]
    np.clip(moved, -FARTHEST, FARTHEST, out=z, casting="unsafe")
    np.square(z, out=expanded[n_features + 1 :])
    return expanded.T


def log_joint(expanded: FloatArray, model: Coefficients) -> FloatArray:
    """Compute log(w_c N(x_t; m_c, v_c)), shape (B, C)."""
    joint: FloatArray = (model.product.T @ expanded.T).T
    return joint


def to_shares(joint: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Turn joint log-densities (B, C) into shares of the highest, in place; return log p(x_t) and sums of shares (B,).

    A share divided by the sum is the posterior.
    """
    highest = joint.max(axis=1)
    joint -= highest[:, None]
    np.maximum(joint, FAINTEST, out=joint)
    np.exp(joint, out=joint)
    joint -= np.exp(np.full_like(highest, FAINTEST))[:1]
    total = joint @ np.ones(joint.shape[1], joint.dtype)  # takes a third of the time of numpy's sum
    likelihood: FloatArray = highest + np.log(total)
    return likelihood, total


def add_blocks(blocks: Iterable[tuple[FloatArray, FloatArray]], model: Coefficients, moments: Float64Array) -> float:
    """Add the moments of expanded blocks (B, 2D + 1), each frame as often as it counts (B,), to `moments`.

    Moments are sums of posterior times [z, 1, z^2], shape (C, 2D + 1). Return the log-likelihood. Overwrites blocks.
    """
    log_likelihood = 0.0
    for expanded, counts in blocks:
        shares = log_joint(expanded, model)
        likelihoods, total = to_shares(shares)
        # Posteriors are shares over their sum, by which fewer numbers are divided here.
        expanded *= (counts / total)[:, None].astype(expanded.dtype)
        moments += shares.T @ expanded
        log_likelihood += float(likelihoods.astype(np.float64) @ counts)
    return log_likelihood


def to_posteriors(joint: FloatArray) -> None:
    """Turn joint log-densities (B, C) into posteriors, in place."""
    _, total = to_shares(joint)
    joint /= total[:, None]


def log_sum(joint: FloatArray, axis: int) -> FloatArray:
    """Compute log(sum(exp(joint))) along an axis; `joint` is overwritten."""
    highest = joint.max(axis=axis, keepdims=True)
    joint -= highest
    np.maximum(joint, FAINTEST, out=joint)  # of too little weight to be seen in the sum
    np.exp(joint, out=joint)
    total: FloatArray = np.log(joint.sum(axis=axis)) + highest.squeeze(axis)
    return total


def raw_moments(moments: Float64Array, about: Reference) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Turn sums of posterior times [z, 1, z^2], shape (C, 2D + 1), into sums of posterior, times x, and times x^2."""
    n_features = len(about.centre)
    zeroth = moments[:, n_features]
    first = moments[:, :n_features] * about.scale
    second = moments[:, n_features + 1 :] * about.scale**2
    offset = zeroth[:, None] * about.centre
    return zeroth, first + offset, second + about.centre * (2 * first + offset)


def differences(models: Sequence[Coefficients], ubm: Coefficients, dtype: type[np.floating]) -> Differences:
    """Subtract the UBM's coefficients, which are double as the models' are, and arrange them by component.

    Where all models have the UBM's variances, the half of the product that belongs to z^2 is nothing, and left out.
    """
    products = np.stack([each.product - ubm.product for each in models], axis=-1)
    n_features = len(ubm.reference.centre)
    if not products[n_features + 1 :].any():
        products = products[: n_features + 1]
    return Differences(np.ascontiguousarray(products.swapaxes(0, 1), dtype))


def frame_llr(expanded: FloatArray, ubm: Coefficients, models: Differences, n_top: int) -> FloatArray:
    """Compute log p(x_t | model) - log p(x_t | UBM), shape (B, M), over the UBM's best components of each frame.

    It is the log of sum_c gamma_tc w'_c N'(x_t) / w_c N(x_t), with gamma from the UBM, so that the two likelihoods,
    which may be large, are never subtracted. For each component there is one product, of the frames that chose it
    with all models.
    """
    joint = log_joint(expanded, ubm)
    n_frames, n_components = joint.shape
    chosen: IntArray = np.broadcast_to(np.arange(n_components), joint.shape)
    if n_top < n_components:
        chosen = np.argpartition(joint, n_components - n_top, axis=1)[:, n_components - n_top :]
        joint = np.take_along_axis(joint, chosen, axis=1)
    log_gamma = joint - log_sum(joint.copy(), axis=1)[:, None]
    inputs = expanded[:, : models.product.shape[1]]
    ratios = np.empty((n_frames, chosen.shape[1], models.product.shape[2]), joint.dtype)
    order = np.argsort(chosen, axis=None, kind="stable")
    bounds = np.searchsorted(chosen.ravel()[order], np.arange(n_components + 1))
    for component in range(n_components):
        frames, slots = np.divmod(order[bounds[component] : bounds[component + 1]], chosen.shape[1])
        if len(frames):
            ratios[frames, slots] = inputs[frames] @ models.product[component]
    ratios += log_gamma[:, :, None]
    return log_sum(ratios, axis=1)
