"""Names for the array types that signatures use, whose docstrings give the shapes; and arrays that stay as they are."""

from typing import Any

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.floating[Any]]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]


def read_only(array: npt.ArrayLike) -> Float64Array:
    """Give a float64, C-contiguous array that nobody can write to.

    Parameters
    ----------
    array : array_like
        Any numbers.

    Returns
    -------
    np.ndarray, float64
        A copy; `array` itself if it is such an array already and no view of another, which could still be written.
    """
    fixed = np.ascontiguousarray(array, np.float64)
    if fixed is not array or fixed.base is not None or fixed.flags.writeable:
        fixed = fixed.copy()
        fixed.flags.writeable = False
    return fixed
