"""Scores with the session taken out against Bob, literal twins, and scores of MAP models."""

import numpy as np
import pytest

import naive
from helpers.models import draw, random_gmm
from helpers.models import parameters as mixture
from helpers.session import (
    BOB,
    BOB_STATS,
    ROWS,
    bob_model,
    draw_model,
    draw_statistics,
    parameters,
    ubm_of,
)
from naive.subspace_session import session_of
from speechgmm import SufficientStats, accumulate, linear_score_matrix, llr, map_adapt
from speechgmm.errors import ModelError
from speechgmm.subspace.session.enrolment import latent_factors, speaker_shift
from speechgmm.subspace.session.model import JointFactorModel
from speechgmm.subspace.session.scoring import session_llrs, session_means, session_scores

TESTS = BOB_STATS.rows([rows[3] for rows in ROWS])


def bob_shifts(name, n_sweeps):
    return [latent_factors(bob_model(name, 5), BOB_STATS.rows(rows[:3]), n_sweeps).shift for rows in ROWS]


@pytest.mark.parametrize(("name", "n_sweeps"), [("isv", 1), ("isv", 3), ("jfa", 1)])
def test_scores_are_those_of_bob(name, n_sweeps):
    scores = session_scores(bob_model(name, 5), bob_shifts(name, n_sweeps), TESTS)
    np.testing.assert_allclose(scores, BOB[f"{name}_scores{n_sweeps}"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["isv", "jfa"])
def test_means_with_the_session_of_a_test_are_those_of_bob(name):
    model = bob_model(name, 5)
    for number, expected in enumerate(BOB[f"{name}_ux_test"]):
        shift = session_means(model, TESTS.rows([number])) - model.means
        np.testing.assert_allclose(shift.ravel(), expected, rtol=0, atol=1e-13)


def test_scores_are_the_literal_ones(rng):
    model = draw_model(rng)
    stats, _ = draw_statistics(rng, model, n_speakers=5)
    shifts = [speaker_shift(model, stats.rows(range(first, first + 3))) for first in (0, 4, 8)]
    expected = np.empty((3, 20))
    for test, (n, f) in enumerate(zip(stats.zeroth, stats.first, strict=True)):
        _, by_session = session_of(n, f, parameters(model))
        centred = f - n[:, None] * (model.means + by_session)
        expected[:, test] = [(shift / model.variances * centred).sum() / 200 for shift in shifts]
    np.testing.assert_allclose(session_scores(model, shifts, stats), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("size", "rank", "n_models"), [((32, 24), 7, 37), ((33, 39), 13, 7), ((11, 31), 50, 311)])
def test_a_column_has_the_same_bits_whatever_the_other_tests_are(rng, size, rank, n_models):
    model = draw_model(rng, *size, session_rank=rank)
    stats, _ = draw_statistics(rng, model, n_speakers=15)
    shifts = rng.normal(size=(n_models, *model.means.shape))
    whole = session_scores(model, shifts, stats)
    for rows in ([17], [59, 3, 20], list(range(59, -1, -1)), list(range(5, 50))):
        assert session_scores(model, shifts, stats.rows(rows)).tobytes() == whole[:, rows].tobytes()


def test_without_session_factors_scores_are_the_linear_ones_of_map_models(rng):
    drawn = draw_model(rng, session_rank=0, speaker_rank=0)
    model = JointFactorModel(
        drawn.means, drawn.variances, drawn.session, drawn.speaker, np.sqrt(drawn.variances / 10.0)
    )
    stats, _ = draw_statistics(rng, model, n_speakers=6)
    shifts = [speaker_shift(model, stats.rows([row])) for row in range(0, 24, 4)]
    listed = [SufficientStats(n, f, np.ones_like(f), 0.0, 200) for n, f in zip(stats.zeroth, stats.first, strict=True)]
    models = [map_adapt(ubm_of(model), each, relevance_factor=10.0) for each in listed[::4]]
    expected = linear_score_matrix(models, ubm_of(model), listed)
    np.testing.assert_allclose(session_scores(model, shifts, stats), expected, rtol=1e-4, atol=1e-5)  # single precision


@pytest.mark.parametrize("n_top", [None, 2])
def test_frame_llrs_are_those_of_two_mixtures_with_the_session(rng, n_top):
    model, ubm = drawn_for_frames(rng)
    shifts = rng.normal(0, 0.4, (3, *model.means.shape))
    utterances = [draw(rng, ubm, n_frames) + rng.normal(0, 0.3, 3) for n_frames in (1, 40)]
    scores = session_llrs(model, ubm.weights, shifts, utterances, top_components=n_top)
    for test, frames in enumerate(utterances):
        n, f, *_ = naive.accumulate(frames, *mixture(ubm))
        _, by_session = session_of(n, f, parameters(model))
        background = (ubm.weights, ubm.means + by_session, ubm.variances)
        for speaker, shift in enumerate(shifts):
            other = (ubm.weights, background[1] + shift, ubm.variances)
            expected = naive.llr(frames, other, background, n_top or 6)
            assert scores[speaker, test] == pytest.approx(expected, abs=2e-5)  # single precision


def test_frame_llrs_without_session_factors_are_those_of_the_plain_models(rng):
    model, ubm = drawn_for_frames(rng, session_rank=0)
    frames = draw(rng, ubm, 50)
    adapted = map_adapt(ubm, accumulate(ubm, draw(rng, ubm, 80) + 0.3))
    score = session_llrs(model, ubm.weights, [adapted.means - ubm.means], [frames])
    assert score[0, 0] == pytest.approx(llr(adapted, ubm, frames), abs=1e-5)


def test_a_column_of_frame_llrs_has_the_same_bits_whatever_the_other_utterances_are(rng):
    model, ubm = drawn_for_frames(rng)
    shifts = rng.normal(0, 0.4, (3, *model.means.shape))
    utterances = [draw(rng, ubm, n_frames) for n_frames in (30, 7, 200)]
    whole = session_llrs(model, ubm.weights, shifts, utterances)
    for column, frames in enumerate(utterances):
        assert session_llrs(model, ubm.weights, shifts, [frames]).tobytes() == whole[:, [column]].tobytes()


def test_a_shift_of_zero_scores_zero(rng):
    model, ubm = drawn_for_frames(rng)
    frames, shifts = draw(rng, ubm, 50), np.zeros((1, *model.means.shape))
    assert session_scores(model, shifts, [accumulate(ubm, frames)]) == 0
    assert abs(session_llrs(model, ubm.weights, shifts, [frames])) < 1e-6  # single precision


def test_tests_and_shifts_that_cannot_be_scored_are_refused(rng):
    model, ubm = drawn_for_frames(rng)
    silent = SufficientStats.zeros(6, 3)
    shifts = np.zeros((2, 6, 3))
    with pytest.raises(ModelError, match="a test of no frames has no score"):
        session_scores(model, shifts, [silent])
    with pytest.raises(ModelError, match="an utterance of no frames has no score"):
        session_llrs(model, ubm.weights, shifts, [np.zeros((0, 3))])
    with pytest.raises(ModelError, match=r"shifts of shape \(6, 3\); expected \(M, 6, 3\)"):
        session_scores(model, shifts[0], [silent])
    shifts[1, 0, 0] = np.nan
    with pytest.raises(ModelError, match="the shift of speaker 1 holds NaN or infinity"):
        session_llrs(model, ubm.weights, shifts, [np.zeros((1, 3))])
    with pytest.raises(ModelError, match="statistics of 2 tests; expected those of one"):
        session_means(model, [silent, silent])
    np.testing.assert_array_equal(session_means(model, [silent]), model.means)


def drawn_for_frames(rng, session_rank=2):
    """A model whose components overlap, and its background model."""
    drawn = draw_model(rng, session_rank=session_rank, speaker_rank=0)
    model = JointFactorModel(drawn.means / 4, drawn.variances, drawn.session, drawn.speaker, drawn.residual)
    return model, ubm_of(model)


@pytest.mark.parametrize("top", [0, -1])
def test_fewer_components_than_one_are_refused(top, rng):
    ubm = random_gmm(rng)
    model = JointFactorModel(ubm.means, ubm.variances, np.ones((5, 3, 1)), np.zeros((5, 3, 0)), np.ones((5, 3)))
    with pytest.raises(ModelError, match=f"top_components {top}; expected 1 or more"):
        session_llrs(model, ubm.weights, [ubm.means], [rng.normal(size=(4, 3))], top_components=top)
    with pytest.raises(ModelError, match=r"shifts of 1e\+76; expected at most 1e\+75"):
        session_llrs(model, ubm.weights, [np.full((5, 3), 1e76)], [rng.normal(size=(4, 3))])
