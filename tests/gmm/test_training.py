"""Maximum likelihood training."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

import naive
from helpers.models import draw, golden_gmm, random_gmm
from helpers.paths import GOLDEN
from speechgmm import DiagonalGMM, accumulate, log_likelihood, train
from speechgmm.errors import ModelError
from speechgmm.gmm.training import em
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.gmm.training.initialisation import initialise
from speechgmm.gmm.training.shards import draw_sample, parts_of
from speechgmm.gmm.training.update import ml_update

NO_FLOORS = TrainingConfig(n_components=1, variance_floor=0, weight_floor=0, min_occupancy=0)


def test_the_update_is_the_literal_formula(rng):
    gmm = random_gmm(rng)
    stats = accumulate(gmm, draw(rng, gmm, 300), dtype=np.float64)
    weights, means, variances = naive.ml_update(stats.zeroth, stats.first, stats.second)
    updated = ml_update(stats, gmm, NO_FLOORS)
    np.testing.assert_allclose(updated.weights, weights, rtol=1e-13)
    np.testing.assert_allclose(updated.means, means, rtol=1e-13)
    np.testing.assert_allclose(updated.variances, variances, rtol=1e-12)


@pytest.mark.parametrize("number", [0, 1])
def test_the_update_agrees_with_kaldi(number):
    stats = accumulate(golden_gmm(str(number)), np.load(GOLDEN / "gmm_feats.npy"))
    updated = ml_update(stats, golden_gmm(str(number)), NO_FLOORS)
    expected = golden_gmm(str(number + 1))
    np.testing.assert_allclose(updated.weights, expected.weights, rtol=2e-5)
    np.testing.assert_allclose(updated.means, expected.means, rtol=1e-4, atol=1e-4)
    # Kaldi's floor is absolute, 1e-3.
    np.testing.assert_allclose(np.maximum(updated.variances, 1e-3), expected.variances, rtol=1e-4)


def test_ten_iterations_agree_with_scikit_learn(rng):
    truth = random_gmm(rng, 4, 3)
    frames = draw(rng, truth, 2000)
    gmm = DiagonalGMM(np.full(4, 0.25), frames[:4], np.ones((4, 3)))
    reference = GaussianMixture(
        4,
        covariance_type="diag",
        max_iter=10,
        tol=0,
        reg_covar=0,
        weights_init=gmm.weights,
        means_init=gmm.means,
        precisions_init=1 / gmm.variances,
    )
    with pytest.warns(match="did not converge"):
        reference.fit(frames)
    for _ in range(10):
        gmm = ml_update(accumulate(gmm, frames, dtype=np.float64), gmm, NO_FLOORS)
    np.testing.assert_allclose(gmm.weights, reference.weights_, rtol=1e-6)
    np.testing.assert_allclose(gmm.means, reference.means_, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gmm.variances, reference.covariances_, rtol=1e-6)


def test_the_log_likelihood_never_falls(rng):
    truth = random_gmm(rng, 6, 4)
    config = TrainingConfig(n_components=6, n_iterations=25, tolerance=0, variance_floor=0, min_occupancy=0)
    history = train([draw(rng, truth, 4000)], config).history
    gains = np.diff([each.log_likelihood for each in history])
    assert len(history) == 25
    assert (gains > -1e-7).all()


def test_training_finds_the_model_that_made_the_frames(rng):
    truth = DiagonalGMM(
        np.array([0.2, 0.3, 0.5]),
        np.array([[-4.0, 0.0], [0.0, 5.0], [4.0, -1.0]]),
        np.array([[1.0, 0.5], [0.5, 1.0], [2.0, 0.3]]),
    )
    frames = draw(rng, truth, 20_000)
    found = train([frames], TrainingConfig(n_components=3, n_iterations=30)).gmm
    order = np.argsort(found.means[:, 0])
    # Three standard errors of a mean over 4,000 frames of variance 2 are 0.07.
    np.testing.assert_allclose(found.weights[order], truth.weights, atol=0.02)
    np.testing.assert_allclose(found.means[order], truth.means, atol=0.07)
    np.testing.assert_allclose(found.variances[order], truth.variances, rtol=0.1)


@pytest.mark.parametrize("n_components", [1, 2, 3, 7, 37, 64])
def test_any_number_of_components_is_honoured(rng, n_components):
    frames = draw(rng, random_gmm(rng), 2000)
    assert train([frames], TrainingConfig(n_components=n_components, n_iterations=2)).gmm.n_components == n_components


def test_the_same_seed_gives_the_same_bits_and_another_does_not(rng):
    frames = draw(rng, random_gmm(rng, 8), 3000).astype(np.float32)
    config = TrainingConfig(n_components=8, n_iterations=3)
    first, again, other = (train([frames], config, rng=np.random.default_rng(seed)).gmm for seed in (1, 1, 2))
    assert np.array_equal(first.means, again.means)
    assert not np.array_equal(first.means, other.means)


def test_an_offset_of_the_features_moves_the_model_and_nothing_else(rng):
    frames = draw(rng, random_gmm(rng, 6), 5000).astype(np.float32)
    config = TrainingConfig(n_components=4, n_iterations=5)
    centred = train([frames], config).gmm
    moved = train([frames + np.float32(10_000)], config).gmm
    # Adding 10,000 rounds the frames to 1e-3.
    np.testing.assert_allclose(moved.means - 10_000, centred.means, atol=0.02)
    np.testing.assert_allclose(moved.variances, centred.variances, rtol=0.02)


@pytest.mark.parametrize("offset", [1e4, 1e5, 1e6])
def test_variances_at_a_large_offset_are_positive_and_right(rng, offset):
    frames = (rng.normal(size=(20_000, 3)) + offset).astype(np.float32)
    gmm = train([frames], TrainingConfig(n_components=1, n_iterations=2)).gmm
    np.testing.assert_allclose(gmm.variances, frames.astype(float).var(axis=0)[None], rtol=0.01)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((50, 3)),
        np.full((50, 3), 1e4),
        np.repeat(np.eye(3), 20, axis=0),
        np.concatenate([np.zeros((49, 3)), np.ones((1, 3))]),
        np.column_stack([np.linspace(0, 1, 50), np.full(50, 7.0), np.zeros(50)]),
    ],
    ids=["zeros", "constant", "three distinct", "one outlier", "constant columns"],
)
@pytest.mark.parametrize("n_components", [1, 8, 50])
def test_degenerate_frames_give_finite_models(frames, n_components):
    result = train([frames.astype(np.float32)], TrainingConfig(n_components=n_components, n_iterations=4))
    assert result.gmm.n_components == n_components
    assert np.isfinite(log_likelihood(result.gmm, frames)).all()
    assert np.isfinite([each.log_likelihood for each in result.history]).all()


def test_one_frame_makes_a_model_of_one_component():
    gmm = train([np.ones((1, 4), np.float32)], TrainingConfig(n_components=1)).gmm
    np.testing.assert_allclose(gmm.means, 1)


def test_more_components_than_frames_is_refused(rng):
    with pytest.raises(ModelError, match="n_components 64 is more than the 10 frames"):
        train([rng.normal(size=(10, 2))], TrainingConfig(n_components=64))


def test_floors_hold_and_are_counted(rng):
    frames = np.concatenate([rng.normal(size=(2000, 2)), rng.normal(size=(2000, 2)) * 1e-3 + 20])
    config = TrainingConfig(n_components=2, n_iterations=10, variance_floor=0.05, weight_floor=0.1)
    result = train([frames], config)
    assert (result.gmm.variances >= 0.05 * frames.var(axis=0) * (1 - 1e-6)).all()
    assert result.history[-1].n_floored > 0
    for floor in (0.15, 0.2):
        weights = train([frames], TrainingConfig(n_components=5, weight_floor=floor)).gmm.weights
        assert weights.min() >= floor - 1e-12
        assert weights.sum() == pytest.approx(1)


def two_clusters(rng):
    """Frames in two places, and a model with its third component where there is nothing."""
    frames = np.concatenate([rng.normal(size=(3000, 2)), rng.normal(size=(1000, 2)) + 30]).astype(np.float32)
    means = np.array([[0.0, 0.0], [30.0, 30.0], [500.0, 500.0]])
    return frames, DiagonalGMM(np.full(3, 1 / 3), means, np.ones((3, 2)))


def test_a_starving_component_keeps_its_place_in_the_update(rng):
    frames, gmm = two_clusters(rng)
    stats = accumulate(gmm, frames)
    updated = ml_update(stats, gmm, TrainingConfig(n_components=3, min_occupancy=10))
    np.testing.assert_allclose(updated.means[2], 500)
    assert updated.weights[2] == pytest.approx(1e-5)
    # One with some frames, but too few, keeps its place as well.
    few = ml_update(stats, gmm, TrainingConfig(n_components=3, min_occupancy=1500))
    np.testing.assert_allclose(few.means[1], gmm.means[1])
    assert not np.allclose(few.means[0], gmm.means[0], atol=1e-6)


def test_a_starving_component_is_put_beside_the_heaviest(rng, monkeypatch):
    frames, gmm = two_clusters(rng)
    monkeypatch.setattr(em, "initialise", lambda *_, **__: gmm)
    result = train([frames], TrainingConfig(n_components=3, n_iterations=30, tolerance=0))
    assert [each.n_revived for each in result.history[:3]] == [1, 0, 0]
    assert len(result.history) == 30
    # Two of the three share the larger cluster now.
    assert (result.gmm.means[:, 0] < 5).sum() == 2
    assert accumulate(result.gmm, frames).zeroth.min() > 10
    once = train([frames], TrainingConfig(n_components=3, n_iterations=1))
    assert once.history[0].n_revived == 0  # nothing would train it afterwards
    np.testing.assert_allclose(once.gmm.means[2], 500)


def test_there_must_be_enough_frames_for_both_halves(rng, monkeypatch):
    frames, gmm = two_clusters(rng)
    monkeypatch.setattr(em, "initialise", lambda *_, **__: gmm)
    config = TrainingConfig(n_components=3, n_iterations=3, min_occupancy=1600)
    assert [each.n_revived for each in train([frames], config).history] == [0, 0, 0]


def test_training_does_not_converge_when_a_component_is_reseeded(rng, monkeypatch):
    # Reseeding may cost likelihood, which says nothing about convergence.
    steps = [(-3.2, 0), (-3.19999, 1), (-18.0, 0), (-5.0, 0), (-4.9999999, 0)]
    history = [em.Iteration(n, False, 8, ll, n_revived=revived) for n, (ll, revived) in enumerate(steps, 1)]
    converged = [em.converged(history[:n], 0.0, 1e-4) for n in range(1, 6)]
    assert converged == [False, False, False, False, True]
    assert not em.converged(history, 0.0, 0.0)


def test_units_of_the_features_do_not_matter(rng):
    frames = draw(rng, random_gmm(rng, 6), 3000)
    config = TrainingConfig(n_components=4, n_iterations=60, tolerance=1e-4)
    plain = train([frames], config)
    for factor in (2.0**-20, 2.0**-3, 2.0**20):
        scaled = train([frames * factor], config)
        assert len(scaled.history) == len(plain.history)
        np.testing.assert_allclose(scaled.gmm.means / factor, plain.gmm.means, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(scaled.gmm.variances / factor**2, plain.gmm.variances, rtol=1e-4)


@pytest.mark.parametrize("key", ["initial_iterations", "initial_frames"])
def test_the_first_model_is_made_as_configured(rng, key):
    frames = draw(rng, random_gmm(rng, 6), 3000)
    few, many = (
        train([frames], TrainingConfig(n_components=6, n_iterations=1, **{key: value})).gmm for value in (6, 20)
    )
    assert not np.allclose(few.means, many.means)


def test_bad_shards_are_refused(rng):
    for shards in ([], [np.zeros((5, 2)), np.zeros((5, 3))], [np.zeros(5)]):
        with pytest.raises(ModelError, match="frames with one D"):
            train(shards, TrainingConfig(n_components=1))
    with pytest.raises(ModelError, match="all finite"):
        train([np.full((50, 2), np.nan)], TrainingConfig(n_components=1))


def test_the_tolerance_stops_training(rng):
    frames = draw(rng, random_gmm(rng), 3000)
    loose = train([frames], TrainingConfig(n_components=4, n_iterations=50, tolerance=1e-2))
    tight = train([frames], TrainingConfig(n_components=4, n_iterations=50, tolerance=1e-6))
    assert loose.converged
    assert len(loose.history) < len(tight.history)


def test_files_and_arrays_train_the_same_model(rng, tmp_path):
    parts = np.array_split(draw(rng, random_gmm(rng), 3000).astype(np.float32), 3)
    paths = []
    for number, part in enumerate(parts):
        paths.append(tmp_path / f"{number}.npy")
        np.save(paths[-1], part)
    config = TrainingConfig(n_components=5, n_iterations=3)
    assert np.array_equal(train(paths, config).gmm.means, train(parts, config).gmm.means)


def test_a_sample_is_in_order_without_repeats_and_from_everywhere(rng):
    shards = [np.arange(start, start + 100, dtype=np.float32)[:, None] for start in (0, 100, 200)]
    sample = draw_sample(parts_of(shards), 120, rng).frames[:, 0]
    assert len(sample) == 120
    assert (np.diff(sample) > 0).all()
    assert {int(value) // 100 for value in sample} == {0, 1, 2}
    assert len(draw_sample(parts_of(shards), 1000, rng).frames) == 300


def test_initialise_and_update_refuse_nothing_at_all(rng):
    gmm = random_gmm(rng)
    with pytest.raises(ModelError, match="0 frames to make a model from"):
        initialise(np.zeros((0, 3)), TrainingConfig(n_components=2), rng)
    with pytest.raises(ValueError, match="statistics of no frames"):
        ml_update(accumulate(gmm, np.zeros((0, 3))), gmm, NO_FLOORS)
    with pytest.raises(ValueError, match="for a model of shape"):
        ml_update(accumulate(gmm, np.zeros((5, 3))), random_gmm(rng, 4), NO_FLOORS)


def test_a_weight_floor_without_room_is_refused():
    with pytest.raises(ValueError, match=r"weight_floor 0\.2 times n_components 6"):
        TrainingConfig(n_components=6, weight_floor=0.2)
