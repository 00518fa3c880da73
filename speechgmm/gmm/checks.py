"""Checks of arrays that users give: real numbers, frames and their weights."""

import numpy as np
import numpy.typing as npt

from speechgmm.arrays import FloatArray
from speechgmm.errors import ModelError


def real_numbers(name: str, values: npt.ArrayLike) -> FloatArray:
    """Give an array of real numbers, and refuse what would only become one by losing something.

    Parameters
    ----------
    name : str
        What the error calls it.
    values : array_like
        Whatever somebody gave.

    Returns
    -------
    np.ndarray
        The values themselves, where they are an array.

    Raises
    ------
    ModelError
        If they are no real numbers, some are masked, or rows differ in length.
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
    """Check how often frames count.

    Parameters
    ----------
    weights : array_like, shape (T,)
        What somebody gave.
    n_frames : int >= 0
        T.
    name : str
        What the error calls them.

    Returns
    -------
    np.ndarray, shape (T,), finite and >= 0
        The weights.

    Raises
    ------
    ModelError
        If they are something else; it names the first wrong one.
    """
    array = real_numbers(name, weights)
    if array.shape != (n_frames,):
        raise ModelError(f"{name} of shape {array.shape}; expected ({n_frames},)")
    usable = np.isfinite(array) & (array >= 0)
    if not usable.all():
        frame = int(np.argmin(usable))
        raise ModelError(f"{name}: {array[frame]:g} of frame {frame}; expected finite numbers, not negative")
    return array
