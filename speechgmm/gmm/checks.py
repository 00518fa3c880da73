"""Checks of arrays that users pass in: real numbers, and weights of frames."""

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import FloatArray
from speechgmm.errors import ModelError


def real_numbers(name: str, values: npt.ArrayLike) -> FloatArray:
    """Return values as an array, itself if it is one; refuse those that are not real numbers, masked or ragged.

    The error calls them by `name`.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ModelError(f"{name} of rows that differ in length; expected an array of real numbers") from error
    if array.dtype.kind not in "biuf":
        raise ModelError(f"{name} of type {array.dtype}; expected real numbers")
    if np.ma.is_masked(values):
        raise ModelError(f"{name} with masked values; expected numbers, or NaN where a feature may be missing")
    return array


def check_weights(weights: npt.ArrayLike, n_frames: int, name: str = "weights") -> FloatArray:
    """Return weights of frames, shape (T,); refuse another shape, and name the first that is negative or not finite."""
    array = real_numbers(name, weights)
    if array.shape != (n_frames,):
        raise ModelError(f"{name} of shape {array.shape}; expected ({n_frames},)")
    usable = np.isfinite(array) & (array >= 0)
    if not usable.all():
        frame = int(np.argmin(usable))
        raise ModelError(f"{name}: {array[frame]:g} of frame {frame}; expected finite numbers, not negative")
    return array
