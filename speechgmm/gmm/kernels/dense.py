"""Blocked kernels: arrays in, arrays out, nothing checked.

The log of w_c N(x; m_c, v_c) is a linear function of [z, 1, z^2], where z = (x - centre) / scale, so that one matrix
product gives it for a block of frames and all components, and another one gives the statistics. Centre and scale
are those of the model as a whole: about them, single precision holds whatever offset the raw features have. The
scale is a power of two and the centre a number that single precision has, so that z costs no rounding of its own.

Blocks lie in memory by component, not by frame (Fortran's order): what is done along the components of every frame,
such as finding the likeliest, then runs over whole rows of frames at once.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray, IntArray

TorchKernel = Literal["torch", "cuda"]
"""PyTorch's, on the processor or on an NVIDIA card."""

Kernel = Literal["numpy", "numba", TorchKernel]
"""Who computes an exact E step: these here, or others that give the same but for the last bits."""

BLOCK_FRAMES = 1024
"""Frames in one block; nothing of size (frames x components) is larger."""

SINGLE_PRECISION_LIMIT = 100.0
"""Squared distance of a mean from the centre, in its own standard deviations and per feature, up to which the
cancellation in z m / v - z^2 / 2 v leaves single precision a log-likelihood within 1e-5."""

SCALES = (1e-30, 1e30)
"""Units of frames that single precision has room for, and for their inverses."""

LARGEST_PRECISION = 1e15
"""Ratio of the whole's variance to a component's up to which single precision holds the farthest frame."""

MAX_SCALED_VALUE = 1e9
"""Frames farther than this many scales from the centre are taken as this far, where squares stay finite."""

LOG_SHARE_FLOOR = -60.0
"""Log of the share of the likeliest component below which a component's density is taken as nothing. Smaller numbers
would come near those that single precision has no full digits for, which processors are a hundred times slower with."""


SCORES_AT_ONCE = 1 << 22
"""Scores of a frame, a component and a model that are in memory together: 16 MB in single precision."""

SUMMED_AT_ONCE = 1 << 18
"""Those of them that are put in the order of the frames and summed together: as many as a core's own cache holds."""

MODELS_AT_ONCE = 64
"""Models that are scored together at least, where there are as many: fewer would make thin products."""

Parameters = tuple[Float64Array, Float64Array, Float64Array]
"""Weights (C,), means (C, D) and variances (C, D) of a model."""


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
    """Make [z, 1, z^2], shape (B, 2D + 1), of a block of frames, shape (B, D)."""
    n_features = block.shape[1]
    expanded = np.empty((2 * n_features + 1, len(block)), dtype)
    z = expanded[:n_features]
    expanded[n_features] = 1
    # In the better of the two precisions: the frames may carry more digits than dtype has, or fewer.
    wide = np.result_type(block.dtype, dtype)
    moved = np.subtract(block.T, about.centre.astype(wide)[:, None], dtype=wide, order="C")
    moved *= (1 / about.scale).astype(wide)[:, None]
    np.clip(moved, -MAX_SCALED_VALUE, MAX_SCALED_VALUE, out=z, casting="unsafe")
    np.square(z, out=expanded[n_features + 1 :])
    return expanded.T


def log_joint(expanded: FloatArray, model: Coefficients) -> FloatArray:
    """Compute log(w_c N(x_t; m_c, v_c)), shape (B, C)."""
    return _product(model.product.T, expanded.T).T


def _product(left: FloatArray, right: FloatArray) -> FloatArray:
    """Multiply matrices of finite numbers; BLAS may flag as invalid what it read beside them and did not use."""
    with np.errstate(invalid="ignore"):
        product: FloatArray = left @ right
    return product


def to_shares(joint: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Turn joint log-densities (B, C) into shares of the highest, in place; return log p(x_t) and sums of shares (B,).

    A share divided by the sum is the posterior.
    """
    highest = joint.max(axis=1)
    joint -= highest[:, None]
    np.maximum(joint, LOG_SHARE_FLOOR, out=joint)
    np.exp(joint, out=joint)
    joint -= np.exp(np.full_like(highest, LOG_SHARE_FLOOR))[:1]
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
        moments += _product(shares.T, expanded)
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
    np.maximum(joint, LOG_SHARE_FLOOR, out=joint)  # of too little weight to be seen in the sum
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


def differences(
    models: Sequence[Parameters], ubm: Parameters, about: Reference, dtype: type[np.floating]
) -> Differences:
    """Subtract the UBM's coefficients from the models', in double precision, and arrange them by component.

    Where all models have the UBM's variances, the half of the product that belongs to z^2 is nothing, and left out.
    """
    n_components, n_features = ubm[1].shape
    same = all(variances is ubm[2] or np.array_equal(variances, ubm[2]) for _, _, variances in models)
    product = np.empty((n_components, (1 if same else 2) * n_features + 1, len(models)), dtype)
    for component, of_ubm in enumerate(zip(*_terms(*ubm, about), strict=True)):
        weights = np.array([each[component] for each, _, _ in models])
        means = np.array([each[component] for _, each, _ in models]).reshape(-1, n_features)
        variances = ubm[2][component] if same else np.array([each[component] for _, _, each in models])
        terms = _terms(weights, means, variances, about)
        linear, constant, quadratic = (new - old for new, old in zip(terms, of_ubm, strict=True))
        product[component, :n_features] = linear.T
        product[component, n_features] = constant
        if not same:
            product[component, n_features + 1 :] = quadratic.T
    return Differences(product)


def frame_llr(expanded: FloatArray, ubm: Coefficients, models: Differences, n_top: int) -> FloatArray:
    """Compute log p(x_t | model) - log p(x_t | UBM), shape (B, M), over the UBM's best components of each frame.

    It is the log of sum_c gamma_tc w'_c N'(x_t) / w_c N(x_t), with gamma from the UBM, so that the two likelihoods,
    which may be large, are never subtracted. The best components are found once for all models.
    """
    joint = np.ascontiguousarray(log_joint(expanded, ubm))  # frame by frame, as components are chosen for each
    n_frames, n_models = len(joint), models.product.shape[2]
    choice = _choose(joint, n_top) if n_top < joint.shape[1] else None
    if choice is not None:
        joint = np.take_along_axis(joint, choice.chosen, axis=1)
    log_gamma = (joint - log_sum(joint.copy(), axis=1)[:, None]).T[:, :, None]
    inputs = np.ascontiguousarray(expanded[:, : models.product.shape[1]])
    ratios = np.empty((n_frames, n_models), joint.dtype)
    n_parts = max(1, -(-n_models * joint.size // SCORES_AT_ONCE))
    width = max(1, -(-n_models // n_parts))
    n_rows = n_frames if choice is None else max(1, SUMMED_AT_ONCE // (n_top * width))
    for first in range(0, n_models, width):
        some = slice(first, first + width)
        product = models.product[:, :, some]
        moved = np.matmul(inputs, product) if choice is None else _chosen_products(inputs, product, choice)
        for start in range(0, n_frames, n_rows):
            rows = slice(start, start + n_rows)
            piece = moved[:, rows] if choice is None else moved[choice.places[:, rows]]
            piece += log_gamma[:, rows]
            ratios[rows, some] = log_sum(piece, axis=0)
    return ratios


def frames_at_once(n_top: int) -> int:
    """Give how many frames `frame_llr` should have at a time, so that it also has enough models at a time."""
    return min(BLOCK_FRAMES, max(1, SCORES_AT_ONCE // (MODELS_AT_ONCE * n_top)))


class _Choice(NamedTuple):
    """The components of each frame (B, n_top); and pairs of a frame and a component of it, component by component.

    `frames` is the frame of each pair, `bounds` (C + 1,) where the pairs of each component begin, and `places`
    (n_top, B) where those of each frame are.
    """

    chosen: IntArray
    frames: IntArray
    bounds: IntArray
    places: IntArray


def _choose(joint: FloatArray, n_top: int) -> _Choice:
    """Find the best components of each frame; of those that tie with the last, the first."""
    n_frames, n_components = joint.shape
    last = n_components - n_top
    best = joint >= np.partition(joint, last, axis=1)[:, last, None]
    for row in np.flatnonzero(np.count_nonzero(best, axis=1) > n_top):
        best[row] = False
        best[row, np.argsort(-joint[row], kind="stable")[:n_top]] = True
    chosen = np.flatnonzero(best).reshape(n_frames, n_top) - n_components * np.arange(n_frames)[:, None]
    flat = chosen.ravel().astype(np.min_scalar_type(n_components))  # small integers have a faster sort
    order = np.argsort(flat, kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    bounds = np.searchsorted(flat[order], np.arange(n_components + 1))
    return _Choice(chosen, order // n_top, bounds, places.reshape(n_frames, n_top).T)


def _chosen_products(inputs: FloatArray, product: FloatArray, choice: _Choice) -> FloatArray:
    """Multiply, for each component, the frames that chose it with all models; shape (B n_top, M)."""
    taken = inputs[choice.frames]
    result = np.empty((len(taken), product.shape[2]), inputs.dtype)
    bounds = choice.bounds.tolist()
    for component, (begin, end) in enumerate(pairwise(bounds)):
        if begin < end:
            np.matmul(taken[begin:end], product[component], out=result[begin:end])
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
