"""Linear scoring from statistics."""

import numpy as np
import pytest

import naive
from helpers.models import draw, parameters, random_gmm
from speechgmm import (
    DiagonalGMM,
    ScoringConfig,
    SufficientStats,
    accumulate,
    linear_score_matrix,
    llr,
    map_adapt,
    score_matrix,
)

LINEAR = ScoringConfig(method="linear")


@pytest.fixture
def ubm(rng):
    return random_gmm(rng, 8, 4)


def speaker(rng, ubm):
    return map_adapt(ubm, accumulate(ubm, draw(rng, ubm, 100) + 0.5))


def test_the_score_is_the_literal_one(rng, ubm):
    models = [speaker(rng, ubm) for _ in range(3)]
    utterances = [draw(rng, ubm, n_frames) for n_frames in (1, 30)]
    scores = linear_score_matrix(models, ubm, [accumulate(ubm, frames) for frames in utterances])
    expected = [
        [naive.linear_score(frames, parameters(model), parameters(ubm)) for frames in utterances] for model in models
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_the_method_of_a_configuration_is_the_function(rng, ubm):
    models = [speaker(rng, ubm) for _ in range(3)]
    utterances = [draw(rng, ubm, 7) for _ in range(70)]
    direct = linear_score_matrix(models, ubm, [accumulate(ubm, frames) for frames in utterances])
    np.testing.assert_array_equal(score_matrix(models, ubm, utterances, LINEAR), direct)


def test_it_is_the_ratio_s_slope_at_the_ubm(rng, ubm):
    frames = draw(rng, ubm, 200)
    direction = rng.normal(size=ubm.means.shape)

    def moved(length):
        return DiagonalGMM(ubm.weights, ubm.means + length * direction, ubm.variances)

    slope = (llr(moved(0.01), ubm, frames) - llr(moved(-0.01), ubm, frames)) / 0.02
    linear = linear_score_matrix([moved(1.0)], ubm, [accumulate(ubm, frames)])[0, 0]
    assert linear == pytest.approx(slope, rel=1e-3, abs=1e-3)


def test_a_score_does_not_depend_on_what_else_is_scored(rng, ubm, monkeypatch):
    monkeypatch.setattr("speechgmm.scoring.linear.VALUES_AT_ONCE", 64)
    models = [speaker(rng, ubm) for _ in range(5)]
    utterances = [draw(rng, ubm, n_frames).astype(np.float32) for n_frames in (1, 300, 1500, *range(2, 20))]
    together = score_matrix(models, ubm, utterances, LINEAR)
    for column, frames in enumerate(utterances):
        assert np.array_equal(score_matrix(models, ubm, [frames], LINEAR)[:, 0], together[:, column])
    for row, model in enumerate(models):
        assert score_matrix([model], ubm, utterances, LINEAR)[0] == pytest.approx(together[row], abs=1e-5)


def test_an_offset_and_units_do_not_change_scores(rng, ubm):
    model = speaker(rng, ubm)
    frames = draw(rng, ubm, 200)
    scale, shift = np.array([0.01, 1.0, 100.0, 3.0]), 1000.0

    def moved(gmm):
        return DiagonalGMM(gmm.weights, gmm.means * scale + shift, gmm.variances * scale**2)

    score = score_matrix([model], ubm, [frames], LINEAR)
    np.testing.assert_allclose(
        score_matrix([moved(model)], moved(ubm), [frames * scale + shift], LINEAR), score, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", ["weights", "variances"])
def test_a_model_with_more_of_its_own_is_refused(rng, ubm, name):
    other = map_adapt(ubm, accumulate(ubm, draw(rng, ubm, 50)), adapt=("means", name))
    with pytest.raises(ValueError, match=f"model 1 has {name} of its own; linear scoring expects the UBM's"):
        score_matrix([ubm, other], ubm, [draw(rng, ubm, 5)], LINEAR)


def test_bad_requests_are_refused(rng, ubm):
    with pytest.raises(ValueError, match=r"\(5, 3\) for a UBM of shape \(8, 4\)"):
        linear_score_matrix([random_gmm(rng)], ubm, [])
    with pytest.raises(ValueError, match=r"statistics of shape \(5, 3\)"):
        linear_score_matrix([ubm], ubm, [SufficientStats.zeros(5, 3)])
    with pytest.raises(ValueError, match="no frames"):
        score_matrix([ubm], ubm, [np.zeros((0, 4))], LINEAR)
