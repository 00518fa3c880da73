"""Unsupervised adaptation of PLDA: vectors of unknown speakers give what variance the model does not explain."""

import numpy as np
import scipy.linalg

from speechgmm.arrays import Float64Array
from speechgmm.errors import ModelError
from speechgmm.parallel.threads import one_thread
from speechgmm.subspace.backend.config import PldaAdaptationConfig
from speechgmm.subspace.backend.plda_model import Plda, from_covariances, project


def adapt_plda(model: Plda, vectors: Float64Array, config: PldaAdaptationConfig | None = None) -> Plda:
    """Adapt a model to vectors of unknown speakers, such as those of the enrolment.

    Where these vectors vary more than the model expects, the difference is shared out to the covariances within and
    between speakers. Where they vary less, the model stays as it is. Their mean replaces the model's.

    Parameters
    ----------
    model : Plda, R dimensions
        The trained model.
    vectors : array, shape (U, R)
        Vectors of two or more recordings; nothing is known of their speakers.
    config : PldaAdaptationConfig, optional
        The shares; its defaults are Kaldi's.

    Returns
    -------
    Plda
        The adapted model.

    Raises
    ------
    ModelError
        If there are fewer than two vectors, a value is not a finite number, or shapes disagree.

    References
    ----------
    Kaldi, ivector/plda.cc, `PldaUnsupervisedAdaptor`.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import Plda, adapt_plda
    >>> model = Plda(mean=[0.0], transform=[[1.0]], psi=[3.0])
    >>> adapted = adapt_plda(model, np.array([[-3.0], [3.0]]))  # a variance of 9 where 4 is expected
    >>> adapted.within, adapted.between
    (array([[2.5]]), array([[6.5]]))
    """
    config = config or PldaAdaptationConfig()
    vectors = np.asarray(vectors, np.float64)
    if vectors.ndim != 2 or len(vectors) < 2:
        raise ModelError(f"PLDA: adaptation to vectors of shape {vectors.shape}; expected (U, R), U at least 2")
    if not np.isfinite(vectors).all():
        raise ModelError("PLDA: a vector for adaptation holds NaN or infinity; expected finite numbers")
    with one_thread():
        return _adapted(model, vectors, config)


def _adapted(model: Plda, vectors: Float64Array, config: PldaAdaptationConfig) -> Plda:
    """Share out the variance that the model does not explain, in the space in which it explains 1."""
    projected = project(model, vectors) / np.sqrt(1 + model.psi)
    shift = projected.mean(axis=0)
    centred = projected - shift
    covariance = centred.T @ centred / len(projected) + config.mean_scale * np.outer(shift, shift)
    values, directions = scipy.linalg.eigh(covariance)
    excess = np.maximum(values - 1, 0.0)
    explained = (directions.T / (1 + model.psi)) @ directions
    return from_covariances(
        vectors.mean(axis=0),
        directions.T @ (model.transform / np.sqrt(1 + model.psi)[:, None]),
        explained + np.diag(config.within_scale * excess),
        (directions.T * (model.psi / (1 + model.psi))) @ directions + np.diag(config.between_scale * excess),
        model.warnings,
    )
