"""Log-likelihood ratios of frames, windows and live audio."""

import numpy as np
import pytest

import naive
from helpers.models import draw, random_gmm
from speechgmm import RunningLLR, ScoringConfig, accumulate, frame_llrs, llr, map_adapt, score_matrix, windowed_llr

TOP = ScoringConfig(top_components=3)
MANY = ScoringConfig(top_components=70)  # of 80: blocks of fewer frames than the features' blocks


@pytest.fixture
def ubm(rng):
    return random_gmm(rng, 80, 4)


@pytest.fixture
def models(rng, ubm):
    return [map_adapt(ubm, accumulate(ubm, draw(rng, ubm, 100) + 0.5)) for _ in range(3)]


def test_each_frame_has_the_ratio_it_has_alone(rng, ubm, models):
    frames = draw(rng, ubm, 30)
    ratios = frame_llrs(models, ubm, frames, TOP)
    for t, x in enumerate(frames):
        expected = [llr(model, ubm, x[None], top_components=3) for model in models]
        assert ratios[t] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("config", [TOP, MANY, ScoringConfig(top_components=None)])
def test_the_mean_of_the_frames_is_the_score(rng, ubm, models, config):
    frames = draw(rng, ubm, 2500)
    whole = score_matrix(models, ubm, [frames], config)[:, 0]
    assert frame_llrs(models, ubm, frames, config).mean(axis=0) == pytest.approx(whole, abs=1e-12)


def test_no_frames_have_no_ratios(ubm, models):
    assert frame_llrs(models, ubm, np.zeros((0, 4)), TOP).shape == (0, 3)


@pytest.mark.parametrize(
    ("window", "step"), [(1, 1), (300, 100), (100, 300), (1024, 1024), (1500, 7), (2500, 1), (3, 1100)]
)
def test_windows_are_means_of_frames(rng, ubm, models, window, step):
    frames = draw(rng, ubm, 2500)
    ratios = frame_llrs(models, ubm, frames, TOP)
    expected = naive.windowed_means(ratios, window, step)
    centres, means = windowed_llr(models, ubm, frames, TOP, window=window, step=step)
    assert centres.tolist() == [centre for centre, _ in expected]
    np.testing.assert_allclose(means, [mean for _, mean in expected], rtol=0, atol=1e-11)


@pytest.mark.parametrize(("window", "step"), [(0, 1), (5, 0), (11, 1)])
def test_windows_that_cannot_be_are_refused(rng, ubm, models, window, step):
    with pytest.raises(ValueError, match=f"window {window} and step {step} for 10 frames"):
        windowed_llr(models, ubm, draw(rng, ubm, 10), TOP, window=window, step=step)


@pytest.mark.parametrize("config", [TOP, MANY, ScoringConfig(top_components=None)])
@pytest.mark.parametrize("n_pushed", [300, 1024, 2047, 5000])
def test_live_scores_are_those_of_the_whole_so_far(rng, ubm, models, config, n_pushed):
    frames = draw(rng, ubm, 2500).astype(np.float32)
    running = RunningLLR(models, ubm, config)
    for start in range(0, len(frames), n_pushed):
        scores = running.push(frames[start : start + n_pushed])
        so_far = frames[: start + n_pushed]
        assert running.n_frames == len(so_far)
        np.testing.assert_array_equal(scores, score_matrix(models, ubm, [so_far], config)[:, 0])


def test_live_scores_do_not_depend_on_the_pushes(rng, ubm, models):
    frames = draw(rng, ubm, 400)
    running = RunningLLR(models, ubm, TOP)
    for start in range(0, 400, 5):
        piece = frames[start : start + 5].copy()
        scores = running.push(piece)
        piece[:] = np.nan  # the caller's to use again
    np.testing.assert_array_equal(scores, score_matrix(models, ubm, [frames], TOP)[:, 0])


def test_a_push_of_nothing_changes_nothing(rng, ubm, models):
    running = RunningLLR(models, ubm, TOP)
    assert np.isnan(running.push(np.zeros((0, 4)))).all()
    scores = running.push(draw(rng, ubm, 10))
    np.testing.assert_array_equal(running.push(np.zeros((0, 4))), scores)


def test_a_refused_push_changes_nothing(rng, ubm, models):
    running = RunningLLR(models, ubm, TOP)
    scores = running.push(draw(rng, ubm, 1500))
    with pytest.raises(ValueError, match="NaN"):
        running.push(np.full((1500, 4), np.nan))
    with pytest.raises(ValueError, match=r"expects \(T, 4\)"):
        running.push(np.zeros((3, 5)))
    np.testing.assert_array_equal(running.push(np.zeros((0, 4))), scores)


def test_linear_scoring_has_no_frames(ubm, models):
    with pytest.raises(ValueError, match="method linear scores whole utterances"):
        RunningLLR(models, ubm, ScoringConfig(method="linear"))
