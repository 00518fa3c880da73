"""Log-likelihood ratios of speaker models against a background model."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from pydantic import Field

from speechgmm.arrays import Float32Array, Float64Array, FloatArray
from speechgmm.configuration import Configuration
from speechgmm.errors import ModelError
from speechgmm.gmm.kernels.dense import TorchKernel
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import accumulate
from speechgmm.scoring.linear import mean_shifts, score_statistics
from speechgmm.scoring.stacked import ratio_sums, stack

Scorer = Callable[[Sequence[FloatArray]], Float64Array]
"""Maps U utterances, each of shape (T, D), T >= 1, to their scores against M models, shape (M, U), nats."""

STATISTICS_AT_ONCE = 64
"""Utterances whose statistics linear scoring holds in memory at once."""


class ScoringConfig(Configuration):
    """How a test is scored against a model.

    Parameters
    ----------
    method : "llr" or "linear"
        `llr` is the mean over the frames of the log-likelihood ratio of the speaker's model to the background model.
        `linear` is its first-order approximation from statistics, `linear_score_matrix`: faster, less accurate, and
        only for models that differ from the background model in their means alone.
    top_components : int >= 1, or null
        Number of components of the background model, the best for each frame, over which both likelihoods are summed;
        null for all, which is exact. `linear` ignores it and uses all.
    kernel : "numpy", "torch" or "cuda"
        What computes the likelihoods, or the statistics; results differ in the last bits. ``torch`` is PyTorch on the
        processor and ``cuda`` PyTorch on an NVIDIA card; both need the extra ``torch``. Scores of single frames, of
        windows and of live audio always use numpy.

    Examples
    --------
    >>> from speechgmm import ScoringConfig
    >>> ScoringConfig(top_components=5).method
    'llr'
    """

    method: Literal["llr", "linear"] = "llr"
    top_components: int | None = Field(10, ge=1)
    kernel: Literal["numpy", TorchKernel] = "numpy"


def llr(model: DiagonalGMM, ubm: DiagonalGMM, frames: FloatArray, *, top_components: int | None = None) -> float:
    """Score the frames of one utterance against one speaker's model.

    Parameters
    ----------
    model : DiagonalGMM, C components over D features
        The speaker's model, adapted from `ubm`.
    ubm : DiagonalGMM, C components over D features
        The background model.
    frames : np.ndarray, shape (T, D), T >= 1
        The utterance.
    top_components : int >= 1, optional
        Number of components of the UBM, the best for each frame, over which both likelihoods are summed; all by
        default.

    Returns
    -------
    float, nats
        ``mean_t [log p(x_t | model) - log p(x_t | ubm)]``.

    Raises
    ------
    ValueError
        If shapes differ, there are no frames, or a frame is not finite.

    References
    ----------
    Reynolds, Quatieri, Dunn (2000), Digital Signal Processing 10, eqs. 3 and 15 and section 3.4.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, llr
    >>> ubm = DiagonalGMM([0.5, 0.5], [[-2.0], [2.0]], [[1.0], [1.0]])
    >>> ann = DiagonalGMM(ubm.weights, [[-1.5], [2.5]], ubm.variances)
    >>> round(llr(ann, ubm, np.array([[-1.4], [2.6], [2.5]])), 3)
    0.157
    """
    return float(score_matrix([model], ubm, [frames], ScoringConfig(top_components=top_components))[0, 0])


def score_matrix(
    models: Sequence[DiagonalGMM],
    ubm: DiagonalGMM,
    utterances: Sequence[FloatArray],
    config: ScoringConfig,
) -> Float64Array:
    """Score every utterance against every model.

    Parameters
    ----------
    models : sequence of M DiagonalGMM, C components over D features
        The speakers' models, adapted from `ubm`.
    ubm : DiagonalGMM, C components over D features
        The background model.
    utterances : sequence of U np.ndarray, each of shape (T, D), T >= 1
        The frames of each utterance.
    config : ScoringConfig
        Method, number of components, and kernel.

    Returns
    -------
    np.ndarray, shape (M, U), float64, nats
        Mean frame LLRs. A column depends on its own utterance only, and a row, up to rounding, on its own model.

    Raises
    ------
    ValueError
        If shapes differ, there are no frames, or a frame is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, ScoringConfig, score_matrix
    >>> ubm = DiagonalGMM([0.5, 0.5], [[-2.0], [2.0]], [[1.0], [1.0]])
    >>> ann = DiagonalGMM(ubm.weights, [[-1.5], [2.5]], ubm.variances)
    >>> bob = DiagonalGMM(ubm.weights, [[-2.5], [1.5]], ubm.variances)
    >>> utterances = [np.array([[-1.4], [2.6]]), np.array([[-2.6], [1.3], [1.6]])]
    >>> score_matrix([ann, bob], ubm, utterances, ScoringConfig()).round(2)
    array([[ 0.17, -0.39],
           [-0.41,  0.16]])
    """
    return prepare(models, ubm, config)(utterances)


def prepare(models: Sequence[DiagonalGMM], ubm: DiagonalGMM, config: ScoringConfig) -> Scorer:
    """Prepare models once; return a scorer that maps any number of utterances to their scores, as `score_matrix` does.

    The scorer holds half the memory of the models' means, or of means and variances where those differ too, but not the
    models. ValueError if shapes differ; the scorer raises as `score_matrix` does.
    """
    if config.method == "linear":
        return partial(_score_statistics, mean_shifts(models, ubm), ubm, config)
    return partial(_score_frames, len(models), ratio_sums(stack(models, ubm), config.top_components, config.kernel))


def grouped_score_matrix(
    models: Sequence[DiagonalGMM],
    ubms: Sequence[DiagonalGMM],
    ubm_of: Sequence[int],
    utterances: Sequence[FloatArray],
    config: ScoringConfig,
) -> Float64Array:
    """Score every utterance against models that were adapted from several background models, one for each sex, say.

    Parameters
    ----------
    models : sequence of M DiagonalGMM
        The speakers' models.
    ubms : sequence of DiagonalGMM
        The background models.
    ubm_of : sequence of M int, 0 to the number of UBMs less 1
        Index in `ubms` of the background model that each model was adapted from.
    utterances : sequence of U np.ndarray, each of shape (T, D), T >= 1
        The frames of each utterance.
    config : ScoringConfig
        Method, number of components, and kernel.

    Returns
    -------
    np.ndarray, shape (M, U), float64, nats
        As from `score_matrix`, each row against its own background model.

    Raises
    ------
    ValueError
        As for `score_matrix`, and if `ubm_of` is not one index of a UBM for each model.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, ScoringConfig, grouped_score_matrix
    >>> female = DiagonalGMM([0.5, 0.5], [[-2.0], [2.0]], [[1.0], [1.0]])
    >>> male = DiagonalGMM([0.5, 0.5], [[-3.0], [3.0]], [[1.0], [1.0]])
    >>> ann = DiagonalGMM(female.weights, [[-1.5], [2.5]], female.variances)
    >>> bob = DiagonalGMM(male.weights, [[-3.5], [2.5]], male.variances)
    >>> frames = np.array([[-1.4], [2.6], [2.5]])
    >>> grouped_score_matrix([ann, bob], [female, male], [0, 1], [frames], ScoringConfig()).round(2)
    array([[ 0.16],
           [-0.24]])
    """
    groups = np.asarray(ubm_of, int)
    if groups.shape != (len(models),) or not np.all((groups >= 0) & (groups < len(ubms))):
        raise ModelError(f"ubm_of {list(ubm_of)}: expected {len(models)} numbers from 0 to {len(ubms) - 1}")
    scores = np.empty((len(models), len(utterances)))
    for number, ubm in enumerate(ubms):
        rows = np.flatnonzero(groups == number).tolist()
        scores[rows] = score_matrix([models[row] for row in rows], ubm, utterances, config)
    return scores


def _score_frames(
    n_models: int, sums: Callable[[FloatArray], Float64Array], utterances: Sequence[FloatArray]
) -> Float64Array:
    """Score the frames of utterances, shape (M, U)."""
    scores = np.empty((n_models, len(utterances)))
    for column, frames in enumerate(utterances):
        if len(frames) == 0:
            raise ModelError("an utterance of no frames has no score")
        scores[:, column] = sums(frames) / len(frames)
    return scores


def _score_statistics(
    shifts: Float32Array, ubm: DiagonalGMM, config: ScoringConfig, utterances: Sequence[FloatArray]
) -> Float64Array:
    """Score the statistics of utterances, shape (M, U)."""
    scores = np.empty((len(shifts), len(utterances)))
    for start in range(0, len(utterances), STATISTICS_AT_ONCE):
        chosen = slice(start, start + STATISTICS_AT_ONCE)
        statistics = [accumulate(ubm, frames, kernel=config.kernel) for frames in utterances[chosen]]
        scores[:, chosen] = score_statistics(shifts, ubm, statistics)
    return scores
