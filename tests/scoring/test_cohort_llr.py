"""Scores against a cohort of other speakers' models."""

import numpy as np
import pytest

import naive
from helpers.models import draw, parameters, random_gmm
from speechgmm import cohort_score_matrix

AVERAGES = ["utterance", "frame"]


@pytest.fixture
def models(rng):
    return [random_gmm(rng, n_components, 4) for n_components in (3, 5, 4, 6)]


@pytest.mark.parametrize("average", AVERAGES)
def test_the_score_is_the_literal_one(rng, models, average):
    utterances = [draw(rng, models[0], 20), draw(rng, models[1], 1)]
    cohort = [models[2], models[3], random_gmm(rng, 2, 4)]
    excluded = np.array([[False, False, False], [True, False, True], [True, False, False]])
    scores = cohort_score_matrix(models[:3], cohort, utterances, excluded=excluded, average=average)
    for row, model in enumerate(models[:3]):
        left = [parameters(gmm) for gmm, out in zip(cohort, excluded[row], strict=True) if not out]
        for column, frames in enumerate(utterances):
            expected = naive.cohort_score(frames, parameters(model), left, average)
            assert scores[row, column] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("average", AVERAGES)
def test_a_cohort_of_the_model_alone_scores_nothing(rng, models, average):
    frames = draw(rng, models[0], 2500)
    assert cohort_score_matrix(models[:1], models[:1], [frames], average=average) == pytest.approx(0, abs=1e-9)


def test_the_mean_of_frames_is_that_of_the_mixed_cohort(rng, models):
    """As a background model of all their Gaussians."""
    frames = draw(rng, models[0], 50)
    score = cohort_score_matrix(models[:1], models, [frames], average="frame")[0, 0]
    mixed = [np.concatenate([getattr(gmm, name) for gmm in models]) for name in ("weights", "means", "variances")]
    own, other = (
        naive.log_likelihood(frames, *each).mean() for each in (parameters(models[0]), (mixed[0] / 4, *mixed[1:]))
    )
    assert score == pytest.approx(own - other, abs=1e-5)


@pytest.mark.parametrize("average", AVERAGES)
def test_a_score_does_not_depend_on_what_else_is_scored(rng, models, average):
    utterances = [draw(rng, models[0], n_frames).astype(np.float32) for n_frames in (1, 300, 1500)]
    own = np.eye(4, dtype=bool)
    together = cohort_score_matrix(models, models, utterances, excluded=own, average=average)
    for column, frames in enumerate(utterances):
        alone = cohort_score_matrix(models, models, [frames], excluded=own, average=average)
        np.testing.assert_array_equal(alone[:, 0], together[:, column])
    for row, model in enumerate(models):
        alone = cohort_score_matrix([model], models, utterances, excluded=own[row : row + 1], average=average)
        np.testing.assert_allclose(alone[0], together[row], atol=1e-9)


def test_bad_requests_are_refused(rng, models):
    frames = draw(rng, models[0], 5)
    with pytest.raises(ValueError, match=r"shape \(2, 4\); expected \(4, 4\)"):
        cohort_score_matrix(models, models, [frames], excluded=np.zeros((2, 4), bool))
    with pytest.raises(ValueError, match="model 2 has no speaker left in a cohort of 4"):
        cohort_score_matrix(models, models, [frames], excluded=np.arange(4)[:, None] == [2, 2, 2, 2])
    with pytest.raises(ValueError, match="model 0 has no speaker left in a cohort of 0"):
        cohort_score_matrix(models, [], [frames])
    with pytest.raises(ValueError, match="no frames"):
        cohort_score_matrix(models, models, [np.zeros((0, 4))])
    with pytest.raises(ValueError, match="expects"):
        cohort_score_matrix(models, models, [np.zeros((3, 5))])
