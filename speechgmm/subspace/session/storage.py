"""Models of speaker and session factors on disk, in the container of all models."""

from pathlib import Path

from speechgmm.errors import ModelError
from speechgmm.gmm.storage import FrontEnd, load_model_arrays, save_model_arrays
from speechgmm.subspace.session.model import ARRAYS, JointFactorModel

KIND = "joint_factors"


def save_joint_factors(path: str | Path, model: JointFactorModel, *, front_end: FrontEnd | None = None) -> None:
    """Write a model of speaker and session factors to a file.

    Parameters
    ----------
    path : str or Path
        The file to write; an existing one is replaced in one step.
    model : JointFactorModel
        The model.
    front_end : mapping, optional
        The configuration of the front end that made the training frames, as for `save_gmm`.

    Raises
    ------
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import JointFactorModel, load_joint_factors, save_joint_factors
    >>> means, variances = np.zeros((2, 1)), np.ones((2, 1))
    >>> model = JointFactorModel(means, variances, np.ones((2, 1, 1)), np.zeros((2, 1, 0)), variances / 2)
    >>> save_joint_factors("isv.safetensors", model)
    >>> load_joint_factors("isv.safetensors").session_rank
    1
    """
    save_model_arrays(Path(path), {name: getattr(model, name) for name in ARRAYS}, KIND, front_end)


def load_joint_factors(path: str | Path) -> JointFactorModel:
    """Read a model that `save_joint_factors` wrote.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    JointFactorModel
        The model, bit for bit.

    Raises
    ------
    ModelError
        If the file is missing, damaged, of another kind, or in a newer format.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import JointFactorModel, load_joint_factors, save_joint_factors
    >>> means, variances = np.zeros((2, 1)), np.ones((2, 1))
    >>> jfa = JointFactorModel(means, variances, np.ones((2, 1, 1)), np.ones((2, 1, 2)), variances / 2)
    >>> save_joint_factors("jfa.safetensors", jfa)
    >>> load_joint_factors("jfa.safetensors").speaker.shape
    (2, 1, 2)
    """
    arrays, _ = load_model_arrays(Path(path), KIND, ARRAYS)
    try:
        return JointFactorModel(**arrays)
    except ValueError as error:
        raise ModelError(f"{path}: {error}") from error
