"""Kernels for frames with missing features: arrays in, arrays out, nothing checked.

A marginal of a diagonal Gaussian is the product over the observed features, so that a missing feature adds nothing to
the log-density. With z = (x - centre) / scale and o = 1 where x is observed, both 0 where it is missing,
log(w_c N(x_o; m_c, v_c)) is linear in [z, 1, z^2, o], and one matrix product computes it as for complete frames. The
sum has no terms that would have to cancel: for a frame with nothing observed it is exactly log w_c.
"""

import numpy as np

from speechgmm.arrays import BoolArray, Float64Array, FloatArray
from speechgmm.gmm.kernels import dense
from speechgmm.gmm.kernels.dense import Coefficients, Reference


def holds_in_single_precision(means: Float64Array, variances: Float64Array, about: Reference) -> bool:
    """Check whether single precision is enough even where only one feature is observed, whichever it is."""
    per_feature = Reference(np.tile(about.centre, len(means))[:, None], np.tile(about.scale, len(means))[:, None])
    return dense.holds_in_single_precision(means.reshape(-1, 1), variances.reshape(-1, 1), per_feature)


def coefficients(
    weights: Float64Array, means: Float64Array, variances: Float64Array, about: Reference, dtype: type[np.floating]
) -> Coefficients:
    """Expand log(w_c N(x_o; m_c, v_c)) in z, 1, z^2 and o: `product` is (3D + 1, C)."""
    shifted = (means - about.centre) / about.scale
    precisions = about.scale**2 / variances
    constants = -0.5 * (np.log(2 * np.pi * variances) + shifted**2 * precisions)
    product = np.concatenate([(shifted * precisions).T, np.log(weights)[None], -0.5 * precisions.T, constants.T])
    return Coefficients(about, np.ascontiguousarray(product, dtype))


def expand(block: FloatArray, about: Reference, dtype: type[np.floating]) -> FloatArray:
    """Compute [z, 1, z^2, o], shape (B, 3D + 1), from a block of frames, shape (B, D), in which NaN is missing."""
    observed: BoolArray = ~np.isnan(block)
    filled = np.where(observed, block, about.centre.astype(block.dtype))  # z of the centre is 0, exactly
    return np.concatenate([dense.expand(filled, about, dtype), observed.astype(dtype)], axis=1)
