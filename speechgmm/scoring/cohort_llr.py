"""Scores without a background model: likelihoods normalised by a cohort of other speakers' models."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from speechgmm.arrays import BoolArray, Float64Array, FloatArray
from speechgmm.errors import ModelError
from speechgmm.gmm.blocks import expanded_blocks, model_coefficients
from speechgmm.gmm.kernels import dense
from speechgmm.gmm.model import DiagonalGMM


def cohort_score_matrix(
    models: Sequence[DiagonalGMM],
    cohort: Sequence[DiagonalGMM],
    utterances: Sequence[FloatArray],
    *,
    excluded: BoolArray | None = None,
    average: Literal["utterance", "frame"] = "utterance",
) -> Float64Array:
    """Score every utterance against every model, normalised by a cohort of other speakers' models.

    Parameters
    ----------
    models : sequence of M DiagonalGMM over D features
        The speakers' models, each trained alone; their sizes may differ.
    cohort : sequence of B DiagonalGMM over D features
        Models of other speakers, who stand for all possible impostors. Those that are also in `models` are computed
        once.
    utterances : sequence of U np.ndarray, each of shape (T, D), T >= 1
        The frames of each utterance.
    excluded : np.ndarray of bool, shape (M, B), optional
        Which cohort models to leave out for each model: those of its own speaker. None by default.
    average : "utterance" or "frame"
        Whether cohort likelihoods are averaged over whole utterances or frame by frame: see Returns.

    Returns
    -------
    np.ndarray, shape (M, U), float64, nats
        With ``L(g) = mean_t log p(x_t | g)``, the log-likelihood of an utterance per frame, and means over the cohort
        models b that are not excluded:
        `utterance` is ``L(model) - log mean_b exp L(b)``, as in the reference;
        `frame` is ``L(model) - mean_t log mean_b p(x_t | b)``, as for a background model that mixes the cohort.
        A column depends on its own utterance only, and a row on its own model and the cohort.

    Raises
    ------
    ValueError
        If shapes differ, there are no frames, a frame is not finite, or a model has no cohort left.

    References
    ----------
    Reynolds (1995), Speech Communication 17, 91-108: the background speakers' normalisation of verification.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import DiagonalGMM, cohort_score_matrix
    >>> ann, bob, eve = (DiagonalGMM([1.0], [[mean]], [[1.0]]) for mean in (-2.0, 0.0, 2.0))
    >>> frames = np.array([[1.8], [2.1], [2.3]])
    >>> same_speaker = np.eye(3, dtype=bool)  # leave each speaker out of the cohort of their own model
    >>> cohort_score_matrix([ann, bob, eve], [ann, bob, eve], [frames], excluded=same_speaker).round(1)
    array([[-7.7],
           [-1.4],
           [ 2.8]])
    """
    if excluded is None:
        excluded = np.zeros((len(models), len(cohort)), bool)
    if excluded.shape != (len(models), len(cohort)):
        raise ModelError(f"excluded of shape {excluded.shape}; expected ({len(models)}, {len(cohort)})")
    if (without_cohort := np.flatnonzero(excluded.all(axis=1))).size:
        raise ModelError(f"model {without_cohort[0]} has no speaker left in a cohort of {len(cohort)}")
    # a model that is in both lists is computed once
    distinct = {id(gmm): gmm for gmm in (*models, *cohort)}
    index_of = {key: number for number, key in enumerate(distinct)}
    model_columns = [index_of[id(gmm)] for gmm in models]
    cohort_columns = [index_of[id(gmm)] for gmm in cohort]
    prepared = [(gmm, model_coefficients(gmm, np.float32)) for gmm in distinct.values()]
    scores = np.empty((len(models), len(utterances)))
    for column, frames in enumerate(utterances):
        likelihoods = _likelihoods(prepared, frames)
        others = likelihoods[:, cohort_columns]
        if average == "utterance":
            others = others.mean(axis=0, keepdims=True)
        scores[:, column] = likelihoods[:, model_columns].mean(axis=0) - _log_means(others, excluded).mean(axis=0)
    return scores


def _likelihoods(prepared: Sequence[tuple[DiagonalGMM, dense.Coefficients]], frames: FloatArray) -> Float64Array:
    """Compute the log-density of each frame under each of K models, shape (T, K)."""
    if len(frames) == 0:
        raise ModelError("an utterance of no frames has no score")
    likelihoods = np.empty((len(frames), len(prepared)))
    for column, (gmm, coefficients) in enumerate(prepared):
        for start, block in expanded_blocks(gmm, frames, coefficients):
            joint = dense.log_joint(block, coefficients)
            likelihoods[start : start + len(block), column] = dense.log_sum(joint, axis=1)
    return likelihoods


def _log_means(likelihoods: Float64Array, excluded: BoolArray) -> Float64Array:
    """Compute the log of the mean likelihood over the cohort (N, B), without those excluded (M, B), shape (N, M)."""
    masks, which = np.unique(excluded, axis=0, return_inverse=True)
    means = [dense.log_sum(likelihoods[:, ~mask], axis=1) - np.log(np.count_nonzero(~mask)) for mask in masks]
    return np.stack(means, axis=1)[:, which.ravel()]
