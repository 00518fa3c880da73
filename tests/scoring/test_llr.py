"""Log-likelihood ratios."""

import numpy as np
import pytest

import naive
from helpers.models import draw, golden_gmm, parameters, random_gmm
from helpers.paths import GOLDEN
from speechgmm import (
    DiagonalGMM,
    ScoringConfig,
    accumulate,
    grouped_score_matrix,
    llr,
    log_likelihood,
    map_adapt,
    score_matrix,
)
from speechgmm.scoring.llr import prepare

TOP = ScoringConfig(top_components=3)


@pytest.fixture
def ubm(rng):
    return random_gmm(rng, 8, 4)


def speaker(rng, ubm, adapt=("means",)):
    return map_adapt(ubm, accumulate(ubm, draw(rng, ubm, 100) + 0.5), adapt=adapt)


@pytest.mark.parametrize("n_top", [1, 3, 7, 8, None, 99])
@pytest.mark.parametrize("adapt", [("means",), ("weights", "means", "variances")])
def test_the_ratio_is_the_literal_one(rng, ubm, n_top, adapt):
    model = speaker(rng, ubm, adapt)
    frames = draw(rng, ubm, 40)
    expected = naive.llr(frames, parameters(model), parameters(ubm), n_top or 8)
    assert llr(model, ubm, frames, top_components=n_top) == pytest.approx(expected, abs=1e-5)


def test_the_exact_ratio_is_the_difference_of_log_likelihoods(rng, ubm):
    model = speaker(rng, ubm)
    frames = draw(rng, ubm, 2500)
    expected = np.mean(log_likelihood(model, frames) - log_likelihood(ubm, frames))
    assert llr(model, ubm, frames) == pytest.approx(expected, abs=1e-5)


def test_the_best_components_agree_with_kaldi():
    # The background part of the ratio is minus the ratio of a one-component model that is certain.
    ubm = golden_gmm("1")
    frames = np.load(GOLDEN / "gmm_feats.npy")
    certain = DiagonalGMM(np.full(8, 1 / 8), np.zeros((8, 39)), np.ones((8, 39)))
    own = -0.5 * (np.log(2 * np.pi) * 39 + (frames.astype(float) ** 2).sum(axis=1)) + np.log(4 / 8)
    expected = np.mean(own - np.load(GOLDEN / "gmm_1.likes_gselect4_sorted.npy"))
    assert llr(certain, ubm, frames, top_components=4) == pytest.approx(expected, rel=1e-5)


def test_the_background_model_against_itself_scores_nothing(rng, ubm):
    assert llr(ubm, ubm, draw(rng, ubm, 300), top_components=5) == pytest.approx(0, abs=1e-6)


def test_a_score_does_not_depend_on_what_else_is_scored(rng, ubm):
    models = [speaker(rng, ubm) for _ in range(3)]
    utterances = [draw(rng, ubm, n_frames).astype(np.float32) for n_frames in (1, 300, 1500)]
    together = score_matrix(models, ubm, utterances, TOP)
    for column, frames in enumerate(utterances):
        assert np.array_equal(score_matrix(models, ubm, [frames], TOP)[:, 0], together[:, column])
    for row, model in enumerate(models):
        assert score_matrix([model], ubm, utterances, TOP)[0] == pytest.approx(together[row], abs=1e-6)


def test_nor_does_it_where_there_is_much_of_everything(rng):
    ubm = random_gmm(rng, 70, 20)
    models = [speaker(rng, ubm) for _ in range(130)]
    utterances = [draw(rng, ubm, n_frames).astype(np.float32) for n_frames in (2, 3, 17, 319, 1030)]
    for config in (ScoringConfig(), ScoringConfig(top_components=None), ScoringConfig(method="linear")):
        together = score_matrix(models, ubm, utterances, config)
        prepared = prepare(models, ubm, config)
        for column in (4, 0, 3, 1, 2):
            alone = score_matrix(models, ubm, [utterances[column]], config)[:, 0]
            np.testing.assert_array_equal(alone, together[:, column])
            np.testing.assert_array_equal(prepared([utterances[column]])[:, 0], alone)
        some = score_matrix(models[5:7], ubm, utterances, config)
        np.testing.assert_allclose(some, together[5:7], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("config", [TOP, ScoringConfig(top_components=None)])
def test_many_models_are_scored_in_blocks(rng, ubm, monkeypatch, config):
    models = [speaker(rng, ubm) for _ in range(37)]
    frames = draw(rng, ubm, 50)
    whole = score_matrix(models, ubm, [frames], config)
    monkeypatch.setattr("speechgmm.gmm.kernels.dense.MODELS_AT_ONCE", 5)
    monkeypatch.setattr("speechgmm.gmm.kernels.dense.SCORES_AT_ONCE", 1000)
    monkeypatch.setattr("speechgmm.gmm.kernels.dense.SUMMED_AT_ONCE", 100)
    np.testing.assert_allclose(score_matrix(models, ubm, [frames], config), whole, atol=1e-6)


def test_nothing_to_score_has_no_scores(rng, ubm):
    assert score_matrix([], ubm, [draw(rng, ubm, 5)], TOP).shape == (0, 1)
    assert score_matrix([ubm], ubm, [], ScoringConfig(method="linear")).shape == (1, 0)


@pytest.mark.parametrize("n_top", [1, 2, 3])
def test_of_components_that_tie_the_first_are_taken(rng, n_top):
    means = np.repeat(rng.normal(size=(2, 3)), 2, axis=0)  # each component is there twice
    ubm = DiagonalGMM(np.full(4, 0.25), means, np.ones((4, 3)))
    model = DiagonalGMM(ubm.weights, means + rng.normal(size=(4, 3)), ubm.variances)
    frames = rng.normal(size=(30, 3))
    expected = naive.llr(frames, parameters(model), parameters(ubm), n_top)
    assert llr(model, ubm, frames, top_components=n_top) == pytest.approx(expected, abs=1e-5)
    assert llr(ubm, ubm, frames, top_components=n_top) == pytest.approx(0, abs=1e-6)


def test_models_of_one_ubm_each_are_scored_against_it(rng, ubm):
    ubms = [ubm, random_gmm(rng, 5, 4)]
    ubm_of = [1, 0, 1]
    models = [speaker(rng, ubms[group]) for group in ubm_of]
    utterances = [draw(rng, ubm, 20), draw(rng, ubm, 30)]
    scores = grouped_score_matrix(models, ubms, ubm_of, utterances, TOP)
    for row, (model, group) in enumerate(zip(models, ubm_of, strict=True)):
        assert scores[row] == pytest.approx(score_matrix([model], ubms[group], utterances, TOP)[0], abs=1e-6)


@pytest.mark.parametrize("ubm_of", [[0], [0, 2], [0, -1]])
def test_a_model_of_no_ubm_is_refused(rng, ubm, ubm_of):
    with pytest.raises(ValueError, match="2 numbers from 0 to 1"):
        grouped_score_matrix([ubm, ubm], [ubm, ubm], ubm_of, [draw(rng, ubm, 5)], TOP)


def test_an_offset_of_the_features_does_not_change_scores(rng, ubm):
    model = speaker(rng, ubm)
    frames = draw(rng, ubm, 200).astype(np.float32)
    shift = 4096.0

    def moved(gmm):
        return DiagonalGMM(gmm.weights, gmm.means + shift, gmm.variances)

    exact = llr(model, ubm, frames)
    # At 4096 a float32 frame keeps 2.4e-4 of its digits.
    assert llr(moved(model), moved(ubm), frames + np.float32(shift)) == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("spread", [1.0, 100.0])
def test_frames_far_out_lose_no_digits(rng, ubm, spread):
    model = speaker(rng, ubm)
    frames = (spread * rng.normal(size=(50, 4))).astype(np.float32)
    expected = naive.llr(frames.astype(float), parameters(model), parameters(ubm), 8)
    assert llr(model, ubm, frames) == pytest.approx(expected, abs=2e-4)


def test_a_model_far_from_the_ubm_is_scored_exactly(rng, ubm):
    model = DiagonalGMM(ubm.weights, ubm.means + 40.0, ubm.variances * 0.01)
    frames = draw(rng, ubm, 30)
    expected = naive.llr(frames, parameters(model), parameters(ubm), 8)
    assert llr(model, ubm, frames) == pytest.approx(expected, rel=1e-5)


def test_bad_requests_are_refused(rng, ubm):
    with pytest.raises(ValueError, match=r"\(5, 3\) for a UBM of shape \(8, 4\)"):
        llr(random_gmm(rng), ubm, np.zeros((3, 4)))
    with pytest.raises(ValueError, match="no frames"):
        llr(ubm, ubm, np.zeros((0, 4)))
    with pytest.raises(ValueError, match="NaN"):
        llr(ubm, ubm, np.full((2, 4), np.nan))
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        ScoringConfig(top_components=0)
