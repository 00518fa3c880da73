"""Total-variability models on disk: model files, as those of mixtures."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from speechgmm.errors import ModelError
from speechgmm.gmm.storage import FrontEnd, load_model_arrays, save_model_arrays
from speechgmm.subspace.total_variability.model import TotalVariability

KIND = "total_variability"

ARRAYS = ("loadings", "means", "variances")


def save_total_variability(
    path: str | Path, model: TotalVariability, *, front_end: FrontEnd | None = None, half: bool = False
) -> None:
    """Write a total-variability model to a file.

    Parameters
    ----------
    path : str or Path
        The file to write; an existing one is replaced in one step.
    model : TotalVariability
        The model.
    front_end : mapping, optional
        The configuration of the front end that made the training frames, as ``config.model_dump(mode="json")``
        returns it.
    half : bool
        Whether the loadings are stored in half precision (float16), which takes a quarter of the space and keeps three
        decimal digits.

    Raises
    ------
    ModelError
        If a loading is too large for half precision, 65504 at most.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import TotalVariability, load_total_variability, save_total_variability
    >>> model = TotalVariability(np.zeros((2, 3)), np.ones((2, 3, 1)), np.ones((2, 3)))
    >>> save_total_variability("factors.safetensors", model)
    >>> bool(np.array_equal(load_total_variability("factors.safetensors").loadings, model.loadings))
    True
    """
    arrays: dict[str, npt.NDArray[np.floating]] = {name: getattr(model, name) for name in ARRAYS}
    if half:
        largest = float(np.abs(model.loadings).max(initial=0.0))
        if largest > np.finfo(np.float16).max:
            raise ModelError(f"a loading of {largest:.3g}; expected at most 65504 for half precision")
        arrays["loadings"] = model.loadings.astype(np.float16)
    save_model_arrays(Path(path), arrays, KIND, front_end)


def load_total_variability(path: str | Path) -> TotalVariability:
    """Read a model that `save_total_variability` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    TotalVariability
        The model, bit for bit as it was stored.

    Raises
    ------
    ModelError
        If the file is missing, damaged, of another kind, or in a newer format.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import TotalVariability, load_total_variability, save_total_variability
    >>> model = TotalVariability(np.zeros((2, 3)), np.ones((2, 3, 1)), np.ones((2, 3)))
    >>> save_total_variability("factors.safetensors", model)
    >>> load_total_variability("factors.safetensors").rank
    1
    """
    arrays, _ = load_model_arrays(Path(path), KIND, ARRAYS, maybe_half=("loadings",))
    try:
        return TotalVariability(**arrays)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
