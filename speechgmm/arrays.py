"""Names for the array types in signatures, and read-only arrays. Docstrings give the shapes."""

from typing import Any

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
FloatArray = npt.NDArray[np.floating[Any]]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]


class CopiedOnArrival:
    """A value whose arrays are copied when it comes from another process.

    An array in a message need not begin at a multiple of 8 bytes, and then its sums may round differently.
    """

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if isinstance(value, np.ndarray):
                value = value.copy()
                value.flags.writeable = False
            object.__setattr__(self, name, value)


def read_only(array: npt.ArrayLike) -> Float64Array:
    """Return a float64, C-contiguous array that cannot be written to.

    An array that already is one, and is no view of an array that could still be written, is returned as it is; any
    other is copied.
    """
    result = np.ascontiguousarray(array, np.float64)
    if result is not array or result.base is not None or result.flags.writeable:
        result = result.copy()
        result.flags.writeable = False
    return result
