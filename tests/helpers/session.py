"""Statistics of speakers and sessions: Bob's, and drawn ones."""

import numpy as np

from helpers.paths import GOLDEN
from speechgmm import DiagonalGMM
from speechgmm.subspace.session.model import JointFactorModel
from speechgmm.subspace.statistics import StackedStats

BOB, LITERAL, INPUT = (np.load(GOLDEN / "subspace" / f"{name}.npz") for name in ("bob", "literal", "input"))
BOB_UBM = DiagonalGMM(BOB["ubm_weights"], BOB["ubm_means"], BOB["ubm_variances"])
BOB_STATS = StackedStats(BOB["stat_zeroth"], BOB["stat_first"], BOB["stat_frames"], BOB["stat_second"].sum(axis=0))
SPEAKERS = [str(speaker) for speaker in INPUT["speaker"]]
ROWS = [np.flatnonzero(INPUT["speaker"] == speaker).tolist() for speaker in np.unique(INPUT["speaker"])]
"""The four recordings of each of Bob's speakers."""


def bob_model(name, iteration):
    """The model of Bob's ISV or JFA machine after some iterations; d of ISV is not trained."""
    shape = BOB_UBM.means.shape
    session = BOB[f"{name}_U{iteration}"].reshape(*shape, -1)
    speaker = BOB[f"jfa_V{iteration}"].reshape(*shape, -1) if name == "jfa" else np.zeros((*shape, 0))
    residual = BOB["isv_D0"] if name == "isv" else BOB[f"jfa_D{iteration}"]
    return JointFactorModel(BOB_UBM.means, BOB_UBM.variances, session, speaker, residual.reshape(shape))


def parameters(model):
    """The model as the naive twins take it."""
    return model.means, model.variances, model.session, model.speaker, model.residual


def pairs(stats):
    """Statistics as the naive twins take them."""
    return list(zip(stats.zeroth, stats.first, strict=True))


def draw_model(rng, n_components=6, n_features=3, session_rank=2, speaker_rank=2):
    """A model with sizeable factors."""
    shape = (n_components, n_features)
    variances = rng.uniform(0.5, 2.0, shape)
    loadings = [rng.normal(0, 0.4, (*shape, rank)) for rank in (session_rank, speaker_rank)]
    return JointFactorModel(rng.normal(0, 4, shape), variances, *loadings, rng.uniform(0.1, 0.5, shape))


def draw_statistics(rng, model, n_speakers=8, n_recordings=4, n_frames=200):
    """Statistics of recordings that the model makes, and the speaker of each."""
    speakers = [f"s{number}" for number in range(n_speakers) for _ in range(n_recordings)]
    n_total, n_components = len(speakers), len(model.means)
    zeroth = rng.dirichlet(np.full(n_components, 3.0), n_total) * n_frames
    shifts = (
        rng.normal(size=(n_speakers, model.speaker_rank))
        @ model.speaker.reshape(model.means.size, model.speaker_rank).T
    )
    shifts += rng.normal(size=shifts.shape) * model.residual.ravel()
    means = model.means.ravel() + np.repeat(shifts, n_recordings, axis=0)
    means += (
        rng.normal(size=(n_total, model.session_rank)) @ model.session.reshape(model.means.size, model.session_rank).T
    )
    noise = rng.normal(size=(n_total, *model.means.shape)) * np.sqrt(zeroth[:, :, None] * model.variances)
    first = zeroth[:, :, None] * means.reshape(n_total, *model.means.shape) + noise
    return StackedStats(zeroth, first, np.full(n_total, n_frames)), speakers


def ubm_of(model):
    """The background model of a model."""
    n_components = len(model.means)
    return DiagonalGMM(np.full(n_components, 1 / n_components), model.means, model.variances)
