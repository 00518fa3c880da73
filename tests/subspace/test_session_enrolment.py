"""Enrolment with ISV and JFA against Bob, dense joint posteriors, and MAP adaptation."""

import numpy as np
import pytest

from helpers.session import (
    BOB,
    BOB_STATS,
    LITERAL,
    ROWS,
    bob_model,
    draw_model,
    draw_statistics,
    pairs,
    parameters,
    ubm_of,
)
from naive.subspace_session import joint_posterior, sweeps
from speechgmm import SufficientStats, map_adapt
from speechgmm.errors import ModelError
from speechgmm.subspace.session.enrolment import latent_factors, speaker_shift
from speechgmm.subspace.session.model import JointFactorModel
from speechgmm.subspace.statistics import StackedStats, StatsStore, write_statistics

ENROLMENTS = [BOB_STATS.rows(rows[:3]) for rows in ROWS]


def assert_near(values, expected, share):
    np.testing.assert_allclose(np.ravel(values), np.ravel(expected), rtol=0, atol=share * np.abs(expected).max())


@pytest.mark.parametrize("name", ["isv", "jfa"])
def test_factors_are_the_mean_of_the_joint_posterior(name):
    latents = [latent_factors(bob_model(name, 5), stats) for stats in ENROLMENTS]
    assert_near([each.residual for each in latents], LITERAL[f"{name}_exact_z"], 1e-9)
    assert_near([each.session for each in latents], LITERAL[f"{name}_exact_x"], 1e-9)
    if name == "jfa":
        assert_near([each.speaker for each in latents], LITERAL["jfa_exact_y"], 1e-9)


@pytest.mark.parametrize("n_sweeps", [1, 3])
def test_sweeps_of_isv_are_those_of_bob(n_sweeps):
    latents = [latent_factors(bob_model("isv", 5), stats, n_sweeps) for stats in ENROLMENTS]
    assert_near([each.residual for each in latents], BOB[f"isv_z_enrol{n_sweeps}"], 1e-12)


def test_one_sweep_of_jfa_is_that_of_bob():
    latents = [latent_factors(bob_model("jfa", 5), stats, 1) for stats in ENROLMENTS]
    assert_near([each.speaker for each in latents], BOB["jfa_y_enrol1"], 1e-12)
    assert_near([each.residual for each in latents], BOB["jfa_z_enrol1"], 1e-12)


def test_three_sweeps_of_jfa_are_the_literal_ones_and_not_those_of_bob():
    """From its second sweep, Bob centres on m - d z where m + d z is meant."""
    model = bob_model("jfa", 5)
    for number, stats in enumerate(ENROLMENTS):
        found = latent_factors(model, stats, 3)
        _, y, z = sweeps(pairs(stats), parameters(model), 3)
        assert_near(found.speaker, y, 1e-12)
        assert_near(found.residual, z, 1e-12)
        assert np.abs(found.residual.ravel() - BOB["jfa_z_enrol3"][number]).max() > 1e-3


@pytest.mark.parametrize("n_recordings", [1, 2, 70])  # the last in two blocks
@pytest.mark.parametrize("ranks", [(2, 3), (3, 0), (0, 2), (0, 0)])
def test_any_number_of_recordings_and_factors_gives_the_joint_posterior(rng, n_recordings, ranks):
    model = draw_model(rng, session_rank=ranks[0], speaker_rank=ranks[1])
    stats, _ = draw_statistics(rng, model, n_speakers=1, n_recordings=n_recordings)
    x, y, z = joint_posterior(pairs(stats), parameters(model))
    found = latent_factors(model, stats)
    for value, expected in ((found.session, x), (found.speaker, y), (found.residual, z)):
        np.testing.assert_allclose(np.ravel(value), np.ravel(expected), rtol=0, atol=1e-9)
    shift = model.speaker @ y + model.residual * z.reshape(model.means.shape)
    np.testing.assert_allclose(speaker_shift(model, stats), shift, rtol=0, atol=1e-9)


def test_hours_of_recordings_give_the_joint_posterior_although_sweeps_hardly_move(rng):
    model = draw_model(rng)
    stats, _ = draw_statistics(rng, model, n_speakers=1, n_recordings=20, n_frames=100_000)
    x, y, z = joint_posterior(pairs(stats), parameters(model))
    assert np.abs(latent_factors(model, stats, 100).session - x).max() > 1e-2
    found = latent_factors(model, stats)
    for value, expected in ((found.session, x), (found.speaker, y), (found.residual, z)):
        np.testing.assert_allclose(np.ravel(value), np.ravel(expected), rtol=0, atol=1e-8)


@pytest.mark.parametrize("relevance_factor", [4.0, 16.0])
def test_the_residual_alone_is_map_adaptation_of_means(rng, relevance_factor):
    drawn = draw_model(rng, session_rank=0, speaker_rank=0)
    residual = np.sqrt(drawn.variances / relevance_factor)
    model = JointFactorModel(drawn.means, drawn.variances, drawn.session, drawn.speaker, residual)
    stats, _ = draw_statistics(rng, model, n_speakers=1)
    zeroth, first = stats.zeroth.sum(axis=0), stats.first.sum(axis=0)
    whole = SufficientStats(zeroth, first, np.ones_like(first), 0.0, 800)
    adapted = map_adapt(ubm_of(model), whole, relevance_factor=relevance_factor)
    np.testing.assert_allclose(speaker_shift(model, stats), adapted.means - model.means, rtol=1e-10, atol=1e-12)


def test_a_residual_of_zero_leaves_no_residual(rng):
    drawn = draw_model(rng)
    model = JointFactorModel(drawn.means, drawn.variances, drawn.session, drawn.speaker, np.zeros(drawn.means.shape))
    stats, _ = draw_statistics(rng, model, n_speakers=1)
    found = latent_factors(model, stats)
    assert not found.residual.any()
    np.testing.assert_allclose(found.shift, model.speaker @ joint_posterior(pairs(stats), parameters(model))[1])


def test_recordings_and_components_without_frames_change_nothing(rng):
    model = draw_model(rng)
    stats, _ = draw_statistics(rng, model, n_speakers=1)
    zeroth, first = stats.zeroth.copy(), stats.first.copy()
    zeroth[:, 2], first[:, 2] = 0.0, 0.0
    silent = (np.zeros((2, *array.shape[1:])) for array in (zeroth, first, stats.n_frames))
    arrays = (zeroth, first, stats.n_frames)
    joined = StackedStats(*(np.concatenate(both) for both in zip(arrays, silent, strict=True)))
    shift = speaker_shift(model, joined)
    np.testing.assert_allclose(shift, speaker_shift(model, StackedStats(*arrays)), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(latent_factors(model, joined).session[-2:], 0)
    assert not latent_factors(model, joined).residual[2].any()
    assert not speaker_shift(model, joined.rows([4, 5])).any()


def test_statistics_in_memory_in_a_list_and_in_a_folder_give_the_same_bytes(rng, tmp_path):
    model = draw_model(rng)
    stats, _ = draw_statistics(rng, model, n_speakers=1, n_recordings=3)
    listed = [
        SufficientStats(n, f, np.ones_like(f), 0.0, count)
        for n, f, count in zip(stats.zeroth, stats.first, stats.n_frames.tolist(), strict=True)
    ]
    for _ in write_statistics(tmp_path, list("abc"), listed, model.means.shape):
        pass
    first, *others = [speaker_shift(model, source).tobytes() for source in (stats, listed, StatsStore(tmp_path))]
    assert others == [first, first]


def test_statistics_that_do_not_fit_are_refused(rng):
    model = draw_model(rng)
    with pytest.raises(ModelError, match=r"statistics of shape \(8, 5\) for a model of shape \(6, 3\)"):
        speaker_shift(model, BOB_STATS)
    with pytest.raises(ModelError, match="no statistics"):
        speaker_shift(model, [])
