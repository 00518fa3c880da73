"""Scores of models that have no background model: against a cohort of other speakers' models."""

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
    """Score every utterance against every model, normalised by a cohort.

    Parameters
    ----------
    models : sequence of M DiagonalGMM over D features
        The speakers' models, each trained alone; their sizes may differ.
    cohort : sequence of B DiagonalGMM over D features
        Models of speakers who stand for everybody else. Those that are among `models` are computed once.
    utterances : sequence of U np.ndarray, each of shape (T, D), T >= 1
        The frames of each utterance.
    excluded : np.ndarray of bool, shape (M, B), optional
        Which of the cohort do not count for which model: those of its own speaker. All count when not given.
    average : "utterance" or "frame"
        Of what likelihoods of the cohort the mean is taken: see Returns.

    Returns
    -------
    np.ndarray, shape (M, U), float64, nats
        With ``L(g) = mean_t log p(x_t | g)``, the likelihood of an utterance normalised by its duration, and means
        over the b of the cohort that count for the model:
        `utterance` is ``L(model) - log mean_b exp L(b)``, the reference's;
        `frame` is ``L(model) - mean_t log mean_b p(x_t | b)``, as of a background model that mixes the cohort.
        A column depends on its own utterance only, and a row on its own model and the cohort.

    Raises
    ------
    ValueError
        If shapes differ, there are no frames, a frame is not finite, or a model has no cohort left.

    References
    ----------
    Reynolds (1995), Speech Communication 17, 91-108: the background speakers' normalisation of verification.
    """
    if excluded is None:
        excluded = np.zeros((len(models), len(cohort)), bool)
    if excluded.shape != (len(models), len(cohort)):
        raise ModelError(f"excluded of shape {excluded.shape}; expected ({len(models)}, {len(cohort)})")
    if (lonely := np.flatnonzero(excluded.all(axis=1))).size:
        raise ModelError(f"model {lonely[0]} has nobody left in a cohort of {len(cohort)}")
    # A model that is in both is computed once.
    distinct = {id(gmm): gmm for gmm in (*models, *cohort)}
    place = {key: number for number, key in enumerate(distinct)}
    of_models = [place[id(gmm)] for gmm in models]
    of_cohort = [place[id(gmm)] for gmm in cohort]
    prepared = [(gmm, model_coefficients(gmm, np.float32)) for gmm in distinct.values()]
    scores = np.empty((len(models), len(utterances)))
    for column, frames in enumerate(utterances):
        likelihoods = _likelihoods(prepared, frames)
        others = likelihoods[:, of_cohort]
        if average == "utterance":
            others = others.mean(axis=0, keepdims=True)
        scores[:, column] = likelihoods[:, of_models].mean(axis=0) - _log_means(others, excluded).mean(axis=0)
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
    """Take the log of the mean of exp over the cohort (N, B), less those excluded (M, B), shape (N, M)."""
    masks, which = np.unique(excluded, axis=0, return_inverse=True)
    means = [dense.log_sum(likelihoods[:, ~mask], axis=1) - np.log(np.count_nonzero(~mask)) for mask in masks]
    return np.stack(means, axis=1)[:, which.ravel()]
