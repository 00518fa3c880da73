"""Where one step of a training hands something on to another: weights, precisions, starts, limits, states."""

from pathlib import Path

import numpy as np
import pytest

import naive
from helpers.models import draw, random_gmm
from helpers.training import PARAMETERS, PLACES, Stopped, clusters, stop_after
from speechgmm import DiagonalGMM, SufficientStats, accumulate, log_likelihood, train
from speechgmm.gmm.training.checkpoint import TrainingState, load_state, save_state
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.gmm.training.history import Iteration, converged
from speechgmm.gmm.training.initialisation import initialise
from speechgmm.gmm.training.shards import Part, draw_sample, hold_out, parts_of, total_weight
from speechgmm.gmm.training.update import ml_update, reseed_starved, treat_starving
from speechgmm.parallel.engine import sum_over

THREE = DiagonalGMM(np.full(3, 1 / 3), PLACES + 3, np.full((3, 2), 4.0))
"""Three standard deviations of a cluster beside each of `clusters`, so that the first iterations move a lot."""

KEPT = np.arange(2400) % 240 < 216
"""Which of the frames of `clusters` are trained on when a tenth is held out: all but the end of each tenth of them."""


def after(n_updates, frames, start=THREE, weights=None):
    """Do EM in one piece and in double precision."""
    config = TrainingConfig(n_components=start.n_components)
    for _ in range(n_updates):
        start = ml_update(accumulate(start, frames, weights=weights, dtype=np.float64), start, config)
    return start


def assert_alike(one, other, rtol=1e-9, atol=1e-9):
    for name in PARAMETERS:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=rtol, atol=atol)


def telling(values):
    """Add as `sum_over` does, but tell these mean log-likelihoods of held-out frames instead of the true ones."""
    told = iter(values)

    def add(function, items):
        total = sum_over(function, items)
        return total if isinstance(total, SufficientStats) else next(told) * total_weight(items)

    return add


def with_one_astray():
    """Make a model with three components at the clusters and the last one where no frames are."""
    return DiagonalGMM(np.array([0.3, 0.3, 0.3, 0.1]), np.concatenate([PLACES, [[500.0, 500.0]]]), np.ones((4, 2)))


def test_any_early_iteration_may_reseed_as_others_follow(rng):
    config = TrainingConfig(n_components=4, early_iterations=2, n_iterations=1, tolerance=0)
    result = train([clusters(rng)], config, start=with_one_astray())
    assert [(each.early, each.n_revived) for each in result.history] == [(True, 1), (True, 0), (False, 0)]
    assert result.gmm.means.max() < 50


def test_the_model_given_is_that_of_the_best_of_all_iterations(rng):
    frames = clusters(rng)
    config = TrainingConfig(n_components=3, n_iterations=4, tolerance=0, held_out=0.1)
    result = train([frames], config, start=THREE, dtype=np.float64, sum_over=telling([-3.0, -1.0, -2.0, -1.5]))
    assert [each.held_out for each in result.history] == pytest.approx([-3.0, -1.0, -2.0, -1.5])
    assert_alike(result.gmm, after(2, frames[KEPT]))


@pytest.mark.parametrize("count", ["n_revived", "n_removed"])
def test_neither_of_two_iterations_compared_may_reseed_or_remove(count):
    plain, moved = (Iteration(1, False, 8, -3.0, **{count: n}) for n in (0, 1))
    told = {pair: converged(pair, 0.0, 1e-4) for pair in ((plain, plain), (moved, plain), (plain, moved))}
    assert list(told.values()) == [True, False, False]


@pytest.mark.parametrize("factor", [2.0**-20, 2.0**20])
def test_units_of_the_features_do_not_matter_to_held_out_frames_either(rng, factor):
    frames = draw(rng, random_gmm(rng, 6), 3000)
    config = TrainingConfig(n_components=4, n_iterations=40, tolerance=1e-4, held_out=0.2)
    plain, scaled = (train([frames * by], config, dtype=np.float64) for by in (1.0, factor))
    assert plain.history[-1].held_out > plain.history[-2].held_out  # it stopped by the tolerance, not by a loss
    assert len(scaled.history) == len(plain.history)
    assert 3 < len(plain.history) < 40


def test_a_held_out_frame_counts_as_often_as_its_weight_says(rng):
    frames = clusters(rng)
    weights = np.where(frames[:, 0] > 4, 5.0, 0.25)
    config = TrainingConfig(n_components=3, n_iterations=1, held_out=0.1)
    result = train([frames], config, weights=[weights], start=THREE, dtype=np.float64)
    gmm = after(1, frames[KEPT], weights=weights[KEPT])
    values = naive.log_likelihood(frames[~KEPT].astype(float), gmm.weights, gmm.means, gmm.variances)
    assert result.history[0].held_out == pytest.approx(np.average(values, weights=weights[~KEPT]), rel=1e-9)


def test_double_precision_is_double_in_every_iteration(rng):
    truth = random_gmm(rng, 3, 2)
    frames = draw(rng, truth, 100)
    config = TrainingConfig(n_components=3, n_iterations=1, variance_floor=0, weight_floor=0, min_occupancy=0)
    result = train([frames], config, start=truth, dtype=np.float64)
    *statistics, likelihood = naive.accumulate(frames, truth.weights, truth.means, truth.variances)
    assert_alike(result.gmm, DiagonalGMM(*naive.ml_update(*statistics)), rtol=1e-11, atol=1e-12)
    assert result.history[0].log_likelihood == pytest.approx(likelihood / 100, rel=1e-12)


def test_the_first_model_knows_the_weights_of_its_frames(rng):
    frames = clusters(rng).astype(float)
    weights = np.where(frames[:, 0] > 4, 5.0, 0.25)
    result = train([frames], TrainingConfig(n_components=1), weights=[weights], dtype=np.float64)
    mean = np.average(frames, axis=0, weights=weights)
    variance = np.average((frames - mean) ** 2, axis=0, weights=weights)
    # No Gaussian does better than this one, and under it the squared distance is 1 for each feature in the mean.
    entropy = 0.5 * np.sum(np.log(2 * np.pi * variance) + 1)
    assert result.history[0].log_likelihood == pytest.approx(-entropy, rel=1e-10)


def test_sizes_are_tried_from_the_model_that_is_given(rng):
    frames = clusters(rng)
    config = TrainingConfig(n_components="auto", candidates=[3], n_iterations=1)
    result = train([frames], config, start=THREE, dtype=np.float64)
    expected = log_likelihood(after(1, frames[KEPT]), frames[~KEPT], dtype=np.float64).mean()
    assert [each.held_out for each in result.choices] == pytest.approx([expected], rel=1e-9)


@pytest.mark.parametrize("tiny", [(-1e-150, 1e-150), (1e-145, 1e-145), (-1e-145, 3e-145)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_too_small_to_be_squared_are_as_good_as_zero(rng, tiny, dtype):
    frames = clusters(rng)[:600].astype(float)
    config = TrainingConfig(n_components=3, n_iterations=3)
    columns = np.where(frames[:, 1] > 3, *tiny), np.zeros(600)
    one, other = (train([np.column_stack([frames, each])], config, dtype=dtype).gmm for each in columns)
    assert_alike(one, other, rtol=1e-5, atol=1e-5)


def test_a_variance_is_not_below_what_single_precision_tells_apart():
    # Two components, each of equal frames, a unit to either side of a million.
    frames = np.repeat([[1e6 - 1], [1e6 + 1]], 100, axis=0)
    start = DiagonalGMM(np.full(2, 0.5), np.array([[1e6 - 1], [1e6 + 1]]), np.full((2, 1), 0.01))
    stats = SufficientStats(np.full(2, 100.0), 100 * start.means, 100 * start.means**2, 0.0, 200)
    least = (2.0**-24 * 1e6) ** 2  # half the distance of numbers of this size: 0.06
    assert np.spacing(np.float32(1e6)) == 0.0625
    config = TrainingConfig(n_components=2, variance_floor=0, n_iterations=2)
    for gmm in (ml_update(stats, start, config), train([frames], config, start=start).gmm):
        np.testing.assert_allclose(gmm.means, start.means)
        assert (gmm.variances >= least * (1 - 1e-6)).all()
        assert (gmm.variances <= 3 * least).all()


@pytest.mark.parametrize("ceiling", [None, 0.1])
@pytest.mark.parametrize("floor", [0.0, 0.01])
def test_a_constant_feature_keeps_a_variance_as_large_as_its_square(rng, floor, ceiling):
    frames = clusters(rng)
    wide = np.column_stack([frames, np.full(len(frames), 8.0)])
    config = TrainingConfig(n_components=3, n_iterations=3, variance_floor=floor, variance_ceiling=ceiling)
    start = DiagonalGMM(THREE.weights, np.column_stack([THREE.means, np.full(3, 8.0)]), np.full((3, 3), 64.0))
    updated = ml_update(accumulate(start, wide, dtype=np.float64), start, config)
    for gmm in (train([wide], config).gmm, updated):
        np.testing.assert_allclose(gmm.means[:, 2], 8)
        assert (gmm.variances[:, 2] >= 64 * (1 - 1e-6)).all()


def test_a_reseeded_component_shares_the_weight_of_the_one_it_is_put_beside():
    means, variances = np.array([[0.0], [10.0], [50.0], [60.0], [70.0]]), np.array([[1.0], [25.0], [4.0], [9.0], [9.0]])
    gmm = DiagonalGMM(np.array([0.2, 0.7, 0.05, 0.03, 0.02]), means, variances)
    reseeded, n_reseeded = reseed_starved(gmm, np.array([100.0, 350.0, 3.0, 2.0, 1.0]), 10.0)
    assert n_reseeded == 3
    # The heaviest is halved, and then each of its halves, a fifth of its deviation of 5 to either side.
    np.testing.assert_allclose(reseeded.weights, np.array([0.2, *[0.7 / 4] * 4]) / 0.9)
    np.testing.assert_allclose(reseeded.means[:, 0], [0, 8, 10, 10, 12])
    np.testing.assert_allclose(reseeded.variances[:, 0], [1, 25, 25, 25, 25])


def test_where_all_components_starve_the_heaviest_is_left(rng):
    config = TrainingConfig(n_components=3, n_iterations=1, starving="remove", min_occupancy=1e6)
    start = DiagonalGMM(np.full(3, 1 / 3), PLACES, np.ones((3, 2)))
    result = train([clusters(rng, (600, 1200, 600))], config, start=start)
    assert result.history[0].n_removed == 2
    np.testing.assert_allclose(result.gmm.means, PLACES[1:2])
    assert result.gmm.weights == pytest.approx([1.0])


def test_a_component_with_just_enough_frames_does_not_starve(rng):
    frames = np.concatenate([rng.normal(size=(10, 1)), rng.normal(size=(30, 1)) + 100])
    start = DiagonalGMM(np.full(2, 0.5), np.array([[1.0], [101.0]]), np.ones((2, 1)))
    config = TrainingConfig(n_components=2, n_iterations=1, min_occupancy=10)
    result = train([frames], config, start=start, dtype=np.float64)
    assert accumulate(start, frames, dtype=np.float64).zeroth[0] == 10
    assert result.history[0].n_starving == 0
    assert result.gmm.means[0, 0] == pytest.approx(frames[:10].mean())
    for starving in ("split", "remove"):
        told = config.model_copy(update={"starving": starving})
        assert treat_starving(start, np.array([10.0, 30.0]), told)[1:] == (0, 0, 0)
    assert reseed_starved(start, np.array([9.0, 20.0]), 10.0)[1] == 1  # just enough for both halves
    assert reseed_starved(start, np.array([9.0, 19.9]), 10.0)[1] == 0


def test_a_component_that_starves_while_a_model_grows_is_put_elsewhere(rng):
    config = TrainingConfig(n_components=5, initial_iterations=3)
    grown = initialise(clusters(rng), config, rng, start=with_one_astray())
    assert grown.n_components == 5
    assert np.abs(grown.means).max() < 20


def test_a_model_grows_on_weighted_frames_as_on_repeated_ones(rng):
    frames = clusters(rng).astype(float)
    weights = np.where(frames[:, 0] > 4, 4.0, 1.0)
    config = TrainingConfig(n_components=5, initial_iterations=3)
    weighted = initialise(frames, config, np.random.default_rng(1), weights=weights, dtype=np.float64)
    repeated = np.repeat(frames, weights.astype(int), axis=0)
    assert_alike(weighted, initialise(repeated, config, np.random.default_rng(1), dtype=np.float64))


@pytest.mark.parametrize("method", ["k-means++", "k-means"])
@pytest.mark.parametrize("n_each", [50, 600])
def test_clusters_are_not_drawn_to_frames_of_nearly_no_weight(rng, method, n_each):
    places = np.repeat([0.0, 10.0, 1000.0], [n_each, n_each, n_each // 10])
    frames, weights = places + rng.normal(size=len(places)), np.where(places == 1000, 1e-9, 1.0)
    order = rng.permutation(len(places))
    config = TrainingConfig(n_components=2, initial=method)
    gmm = initialise(frames[order, None], config, rng, weights=weights[order])
    expected = [frames[places == place].mean() for place in (0, 10)]
    # What has no weight, a thousand away, moves a mean by up to 1e-7.
    np.testing.assert_allclose(np.sort(gmm.means[:, 0]), expected, atol=1e-4)


def test_a_random_start_takes_no_frame_twice(rng):
    frames = np.arange(50.0)[:, None]
    config = TrainingConfig(n_components=50, initial="random", weight_floor=0)
    for weights in (None, np.linspace(0.1, 10, 50)):
        gmm = initialise(frames, config, rng, weights=weights)
        np.testing.assert_array_equal(np.sort(gmm.means[:, 0]), frames[:, 0])


@pytest.mark.parametrize("n_frames", [40, 150, 1000])
def test_a_sample_is_of_frames_that_count_with_their_own_weights(rng, n_frames):
    values = np.arange(300, dtype=np.float32)
    weights = np.where(values % 3 == 1, 0.0, values + 1)
    sample = draw_sample(
        parts_of([values[:100, None], values[100:, None]], [weights[:100], weights[100:]]), n_frames, rng
    )
    drawn = sample.frames[:, 0].astype(int)
    assert len(drawn) == min(n_frames, 200)
    assert (np.diff(drawn) > 0).all()
    assert (drawn % 3 != 1).all()
    np.testing.assert_array_equal(sample.weights, drawn + 1)


def rows_of(parts):
    """Give the rows that parts hold, of shards that hold the numbers of theirs."""
    return np.concatenate([part.frames()[:, 0] for part in parts]).astype(int).tolist()


def test_what_is_held_out_of_a_part_is_within_it():
    part = Part("some", np.arange(200)[:, None], np.arange(200) + 0.5, 40, 100)
    kept, held = hold_out([part], 0.2)
    # Ten stretches of six frames from 40 on; a fifth of six is one, rounded down.
    assert rows_of(held) == list(range(45, 100, 6))
    assert rows_of(kept) == [row for row in range(40, 100) if row not in range(45, 100, 6)]
    np.testing.assert_array_equal(np.concatenate([each.counts() for each in held]), np.arange(45, 100, 6) + 0.5)


@pytest.mark.parametrize(("n_frames", "expected"), [(19, [18]), (29, [13, 28]), (190, range(18, 190, 19))], ids=str)
def test_shares_are_rounded_down_to_whole_frames(n_frames, expected):
    # A tenth of 19 is one frame; of 29 two, each at the end of a half; and ten times 19 is ten stretches of that.
    _, held = hold_out(parts_of([np.arange(n_frames)[:, None]]), 0.1)
    assert rows_of(held) == list(expected)


def test_many_frames_are_held_out_of_stretches_of_no_more_than_ten_thousand():
    rows = np.arange(114_000)
    _, held = hold_out(parts_of([rows[:, None]]), 0.1)
    assert rows_of(held) == rows[rows % 9500 >= 8550].tolist()  # twelve of 9,500


def test_a_training_stopped_past_its_best_model_goes_on_with_it(rng, tmp_path):
    frames = clusters(rng)
    config = TrainingConfig(n_components=3, n_iterations=4, tolerance=0, held_out=0.1)
    add = telling([-3.0, -1.0, -2.0, -2.5])
    keys = {"start": THREE, "dtype": np.float64, "sum_over": add, "checkpoint": tmp_path / "state"}
    with pytest.raises(Stopped):
        train([frames], config, on_iteration=stop_after(3), **keys)
    resumed = train([frames], config, **keys)
    assert [each.held_out for each in resumed.history] == pytest.approx([-3.0, -1.0, -2.0, -2.5])
    assert_alike(resumed.gmm, after(2, frames[KEPT]))


def test_a_state_that_could_not_be_written_leaves_the_one_before(rng, tmp_path, monkeypatch):
    file = tmp_path / "state"
    one, other = random_gmm(rng), random_gmm(rng)
    save_state(file, TrainingState(one, one, ()), "training")
    write = Path.write_bytes

    def no_room(path, data):
        write(path, bytes(data)[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_room)
    with pytest.raises(OSError, match="No space left"):
        save_state(file, TrainingState(other, other, ()), "training")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == [file]
    assert_alike(load_state(file, "training").gmm, one, rtol=0, atol=0)


@pytest.mark.parametrize(("share", "n_faint"), [(0.9e-4, 1000), (0.99e-2, 10)])
def test_what_is_skipped_bounds_what_is_far_below_the_threshold_and_what_is_near(share, n_faint):
    # One component, and some of a share of its density each, everywhere; the threshold is 1e-2.
    shares = np.concatenate([[1.0], np.full(n_faint, share)])
    gmm = DiagonalGMM(shares / shares.sum(), np.zeros((n_faint + 1, 1)), np.ones((n_faint + 1, 1)))
    frames, weights = np.linspace(-2, 2, 20)[:, None], np.linspace(1, 5, 20)
    stats = accumulate(gmm, frames, weights=weights, dtype=np.float64, skip_below=1e-2)
    assert stats.zeroth[0] == pytest.approx(60)  # everything
    left_out = 60 * n_faint * share / (1 + n_faint * share)
    assert left_out <= stats.skipped <= 60 * n_faint * 1e-2 * (1 + 1e-9)
