"""What training can be told: first models, weights, limits, stopping, starving, checkpoints, sizes."""

import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from sklearn.datasets import load_digits

from helpers.models import draw, random_gmm
from helpers.tables import read_rows
from helpers.training import PARAMETERS, PLACES, Stopped, clusters, stop_after
from speechgmm import DiagonalGMM, accumulate, load_gmm, log_likelihood, run, save_gmm, train
from speechgmm.errors import CheckpointError, ModelError, RecipeError
from speechgmm.gmm.training import em
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.gmm.training.initialisation import initialise
from speechgmm.gmm.training.shards import hold_out, parts_of
from speechgmm.gmm.training.update import ml_update
from speechgmm.parallel.engine import Engine, sum_over
from speechgmm.recipe.reading.loader import load_recipe

METHODS = ["splitting", "k-means", "k-means++", "random"]


def same(one: DiagonalGMM, other: DiagonalGMM) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in PARAMETERS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_components", [1, 2, 7, 20])
def test_every_first_model_has_the_components_asked_for_and_is_seeded(rng, method, n_components):
    frames = draw(rng, random_gmm(rng, 6), 2000).astype(np.float32)
    config = TrainingConfig(n_components=n_components, initial=method)
    first, again, other = (initialise(frames, config, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.n_components == n_components
    assert same(first, again)
    assert n_components == 1 or not same(first, other)


@pytest.mark.parametrize("method", ["k-means", "k-means++"])
def test_a_clustered_first_model_has_the_moments_of_its_clusters(rng, method):
    frames = clusters(rng)
    gmm = initialise(frames, TrainingConfig(n_components=3, initial=method, variance_floor=0), rng)
    order = np.argsort(gmm.means[:, 0])
    nearest = np.argmin(((frames[:, None] - PLACES) ** 2).sum(axis=2), axis=1)
    for component, place in zip(order, range(3), strict=True):
        own = frames[nearest == place].astype(float)
        assert gmm.weights[component] == pytest.approx(len(own) / len(frames))
        np.testing.assert_allclose(gmm.means[component], own.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(gmm.variances[component], own.var(axis=0), rtol=1e-4)


def test_k_means_moves_the_centres_that_it_starts_from(rng):
    frames = draw(rng, random_gmm(rng, 6), 2000).astype(np.float32)
    plain, moved = (
        initialise(frames, TrainingConfig(n_components=6, initial=m), rng) for m in ("k-means++", "k-means")
    )
    assert log_likelihood(moved, frames).mean() > log_likelihood(plain, frames).mean()


def test_a_random_first_model_stands_on_frames_with_the_variance_of_all(rng):
    frames = clusters(rng)
    gmm = initialise(frames, TrainingConfig(n_components=5, initial="random"), rng)
    rows = {tuple(row) for row in frames.tolist()}
    assert all(tuple(mean) in rows for mean in gmm.means.tolist())
    np.testing.assert_allclose(gmm.variances, np.tile(frames.astype(float).var(axis=0), (5, 1)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "frames",
    [
        np.full((50, 3), 1e4),
        np.repeat(np.eye(3), 20, axis=0),
        np.column_stack([np.linspace(0, 1, 50), np.full(50, 7.0)]),
    ],
    ids=["constant", "three distinct", "a constant column"],
)
@pytest.mark.parametrize("starving", ["split", "remove", "keep"])
def test_degenerate_frames_give_finite_models_from_every_start(frames, method, starving):
    config = TrainingConfig(n_components=8, n_iterations=4, initial=method, starving=starving)
    gmm = train([frames.astype(np.float32)], config).gmm
    assert np.isfinite(log_likelihood(gmm, frames)).all()
    assert gmm.n_components == 8 or starving == "remove"


def test_a_given_model_is_where_training_starts(rng, tmp_path):
    frames = draw(rng, random_gmm(rng, 4), 2000).astype(np.float32)
    start = random_gmm(rng, 4)
    config = TrainingConfig(n_components=4, n_iterations=1)
    expected = ml_update(accumulate(start, frames), start, config)
    assert same(train([frames], config, start=start).gmm, expected)
    save_gmm(tmp_path / "start.safetensors", start)
    named = config.model_copy(update={"initial_model": str(tmp_path / "start.safetensors")})
    assert same(train([frames], named).gmm, expected)
    assert same(initialise(frames, config, rng, start=start), start)


def test_a_given_model_with_fewer_components_is_split(rng):
    frames = clusters(rng)
    start = DiagonalGMM(np.array([0.5, 0.5]), np.array([[-4.0, 4.0], [8.0, -3.0]]), np.full((2, 2), 9.0))
    grown = initialise(frames, TrainingConfig(n_components=3, initial_iterations=0), rng, start=start)
    assert grown.n_components == 3
    # The first of the two, equally heavy, is split: 0.2 deviations of 3 to either side.
    np.testing.assert_allclose(np.abs(grown.means[[0, 2]] - start.means[0]), 0.6)
    np.testing.assert_allclose(grown.means[1], start.means[1])


def test_a_given_model_that_does_not_fit_is_refused(rng):
    frames = clusters(rng)
    for start in (random_gmm(rng, 5, 2), random_gmm(rng, 2, 3)):
        with pytest.raises(ModelError, match=rf"first model of {start.n_components} components x {start.n_features}"):
            train([frames], TrainingConfig(n_components=4), start=start)


@pytest.mark.parametrize("method", METHODS)
def test_a_frame_of_weight_two_counts_as_two(rng, method):
    frames = clusters(rng)
    weights = rng.integers(0, 3, len(frames)).astype(float)
    repeated = np.repeat(frames, weights.astype(int), axis=0)
    config = TrainingConfig(n_components=3, n_iterations=20, initial=method, starving="keep")
    weighted = train([frames], config, weights=[weights])
    plain = train([repeated], config)
    if method != "random":  # which may stand on any three frames
        for name in PARAMETERS:
            one, other = (getattr(result.gmm, name) for result in (weighted, plain))
            order = [np.argsort(result.gmm.means[:, 0]) for result in (weighted, plain)]
            np.testing.assert_allclose(one[order[0]], other[order[1]], rtol=1e-4, atol=1e-4)
    start = random_gmm(rng, 3, 2)
    once = config.model_copy(update={"n_iterations": 3})
    weighted, plain = train([frames], once, weights=[weights], start=start), train([repeated], once, start=start)
    np.testing.assert_allclose(weighted.gmm.means, plain.gmm.means, rtol=1e-5, atol=1e-5)
    assert weighted.history[-1].log_likelihood == pytest.approx(plain.history[-1].log_likelihood, rel=1e-6)


def test_weights_come_from_files_too_and_bad_ones_are_refused(rng, tmp_path):
    frames = clusters(rng)
    weights = rng.uniform(size=len(frames))
    np.save(tmp_path / "frames.npy", frames)
    np.save(tmp_path / "weights.npy", weights)
    config = TrainingConfig(n_components=3, n_iterations=2)
    mapped = train([tmp_path / "frames.npy"], config, weights=[tmp_path / "weights.npy"])
    assert same(mapped.gmm, train([frames], config, weights=[weights]).gmm)
    for bad, told in ((-weights, "-0"), (weights * np.nan, "nan of frame 0"), (weights[:-1], r"of shape \(2399,\)")):
        with pytest.raises(ModelError, match=f"shard 0: weights.*{told}"):
            train([frames], config, weights=[bad])
    with pytest.raises(ModelError, match="weights of all frames are 0"):
        train([frames], config, weights=[0 * weights])
    with pytest.raises(ModelError, match="weights of 1 shards; expected those of 2"):
        train([frames, frames], config, weights=[weights])


def test_frames_of_no_weight_may_be_anything_finite(rng):
    frames = clusters(rng)
    weights = np.repeat([1.0, 0.0], [2000, 400])
    other = np.where(weights[:, None] > 0, frames, 1e6).astype(np.float32)
    config = TrainingConfig(n_components=3, n_iterations=5)
    assert same(train([frames], config, weights=[weights]).gmm, train([other], config, weights=[weights]).gmm)


def test_the_ceiling_holds_and_is_counted(rng):
    frames = clusters(rng)
    result = train([frames], TrainingConfig(n_components=2, n_iterations=5, variance_ceiling=0.1))
    assert (result.gmm.variances <= 0.1 * frames.astype(float).var(axis=0) * (1 + 1e-6)).all()
    assert result.history[-1].n_ceiled > 0
    assert train([frames], TrainingConfig(n_components=2, n_iterations=5)).history[-1].n_ceiled == 0
    with pytest.raises(ValueError, match=r"variance_ceiling 0\.1 is below the variance_floor 0\.5"):
        TrainingConfig(variance_ceiling=0.1, variance_floor=0.5)


@pytest.mark.parametrize(
    ("starving", "n_left", "counts"), [("split", 4, (1, 0)), ("keep", 4, (0, 0)), ("remove", 3, (0, 1))]
)
def test_a_starving_component_is_treated_as_configured_and_counted(rng, starving, n_left, counts):
    frames = clusters(rng)
    start = DiagonalGMM(np.full(4, 0.25), np.concatenate([PLACES, [[500.0, 500.0]]]), np.ones((4, 2)))
    config = TrainingConfig(n_components=4, n_iterations=5, tolerance=0, starving=starving)
    result = train([frames], config, start=start)
    assert result.history[0].n_starving == 1
    assert (result.history[0].n_revived, result.history[0].n_removed) == counts
    assert result.gmm.n_components == result.history[-1].n_components == n_left
    assert result.gmm.weights.sum() == pytest.approx(1)
    assert (result.gmm.means.max() > 400) == (starving == "keep")


def test_removing_leaves_the_heaviest(rng):
    config = TrainingConfig(n_components=3, n_iterations=3, starving="remove", min_occupancy=1e6)
    result = train([clusters(rng)], config)
    assert result.gmm.n_components == 1
    assert sum(each.n_removed for each in result.history) == 2


def overfitted(**keys):
    """Train forty components on few frames, which the held-out ones get less likely under, sooner or later."""
    rng = np.random.default_rng(3)
    frames = draw(rng, random_gmm(rng, 2, 4), 400)
    config = TrainingConfig(n_components=40, n_iterations=40, variance_floor=1e-4, min_occupancy=1, **keys)
    return frames, train([frames[:200], frames[200:]], config, dtype=np.float64)


def test_training_stops_by_the_frames_that_were_held_out(rng):
    frames, result = overfitted(held_out=0.25)
    # The last five of every twenty frames.
    held = frames[np.arange(400) % 20 >= 15]
    told = [each.held_out for each in result.history]
    assert result.n_frames == 300
    assert result.converged
    assert len(told) < 40
    assert told[-1] < max(told)
    assert log_likelihood(result.gmm, held, dtype=np.float64).mean() == pytest.approx(max(told), rel=1e-12)
    gains = np.diff([each.log_likelihood for each in result.history])
    assert (gains > 0).all()  # those that were trained on would have gone on
    _, never = overfitted(held_out=0.25, tolerance=0)
    assert len(never.history) == 40
    assert never.history[0].held_out == told[0]


def test_held_out_frames_change_nothing_in_what_the_others_train(rng):
    frames = clusters(rng)
    config = TrainingConfig(n_components=3, n_iterations=2, tolerance=0)
    held = train([frames], config.model_copy(update={"held_out": 0.25}))
    alone = train([frames[240 * n : 240 * n + 180] for n in range(10)], config)
    assert [each.log_likelihood for each in held.history] == [each.log_likelihood for each in alone.history]


def test_nothing_to_hold_out_is_said(rng):
    with pytest.raises(ModelError, match=r"held_out 0\.1 of 8 frames in 2 shards is no frame"):
        train([np.eye(4), np.eye(4)], TrainingConfig(n_components=1, held_out=0.1))


def test_early_iterations_see_the_sample_only(rng):
    frames = [draw(rng, random_gmm(rng, 6), 2000).astype(np.float32)] * 2
    seen = []

    def spy(function, items):
        seen.append(len(items))
        return sum_over(function, items)

    config = TrainingConfig(n_components=6, n_iterations=3, early_iterations=4, tolerance=0, initial_frames=500)
    result = train(frames, config, sum_over=spy)
    assert [(each.early, each.number) for each in result.history] == [
        *((True, number) for number in (1, 2, 3, 4)),
        *((False, number) for number in (1, 2, 3)),
    ]
    assert seen == [2, 2, 2]
    early = [each.log_likelihood for each in result.history if each.early]
    assert (np.diff(early) > 0).all()
    plain = train(frames, config.model_copy(update={"early_iterations": 0}))
    assert result.history[4].log_likelihood > plain.history[0].log_likelihood


def test_early_iterations_stop_when_they_gain_nothing(rng):
    config = TrainingConfig(n_components=3, n_iterations=3, early_iterations=50, tolerance=1e-4)
    result = train([clusters(rng)], config)
    assert 1 < sum(each.early for each in result.history) < 50
    assert any(not each.early for each in result.history)


@pytest.mark.parametrize("n_components", [3, 4, 6])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_columns_of_zeros_count_for_nothing(n_components, seed):
    rng = np.random.default_rng(seed)
    other = rng.exponential(size=(300, 3)).astype(np.float32)
    frames = np.column_stack([other, np.zeros((300, 2), np.float32)])
    config = TrainingConfig(n_components=n_components, n_iterations=12, tolerance=0, min_occupancy=0)
    result = train([frames], config)
    assert result.gmm.variances[:, 3:].min() > 0.5
    gains = np.diff([each.log_likelihood for each in result.history])
    assert gains.min() > -1e-4
    # The columns add the log-density at the middle of their own wide Gaussian, and nothing else.
    start = random_gmm(rng, n_components, 3)
    wide = DiagonalGMM(
        start.weights,
        np.column_stack([start.means, np.zeros((n_components, 2))]),
        np.column_stack([start.variances, np.ones((n_components, 2))]),
    )
    alone, beside = train([other], config, start=start).gmm, train([frames], config, start=wide).gmm
    np.testing.assert_allclose(beside.means[:, :3], alone.means, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(beside.variances[:, :3], alone.variances, rtol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
def test_pictures_of_digits_have_constant_pixels_and_train(dtype, method):
    frames = load_digits().data.astype(dtype)
    for n_components in (4, 16):
        config = TrainingConfig(n_components=n_components, n_iterations=8, initial=method, tolerance=0, min_occupancy=0)
        result = train([frames], config)
        assert np.diff([each.log_likelihood for each in result.history]).min() > -1e-3
        assert np.isfinite(log_likelihood(result.gmm, frames)).all()


def test_small_weights_and_large_ones_mean_the_same(rng):
    frames = clusters(rng)
    gmm = random_gmm(rng, 3, 2)
    once = accumulate(gmm, frames)
    for factor in (1e-300, 1e-44, 1e37, 1e300):
        stats = accumulate(gmm, frames, weights=np.full(len(frames), factor))
        np.testing.assert_allclose(stats.zeroth / factor, once.zeroth, rtol=1e-5)
        np.testing.assert_allclose(stats.first / factor, once.first, rtol=1e-4, atol=1e-2)
        assert stats.log_likelihood / factor == pytest.approx(once.log_likelihood, rel=1e-6)


def test_weights_of_half_precision_are_added_in_double(rng):
    frames = rng.normal(size=(20_000, 2)).astype(np.float32)
    config = TrainingConfig(n_components=2, n_iterations=3)
    half, double = (train([frames], config, weights=[np.full(20_000, 7, dtype)]) for dtype in (np.float16, np.float64))
    assert [each.log_likelihood for each in half.history] == [each.log_likelihood for each in double.history]


def test_a_feature_in_tiny_units_keeps_its_density():
    gmm = DiagonalGMM(np.ones(1), np.zeros((1, 2)), np.array([[1.0, 1e-80]]))
    expected = -np.log(2 * np.pi) - 0.5 * np.log(1e-80)
    for dtype in (np.float32, np.float64):
        frames = np.zeros((3, 2), dtype)
        np.testing.assert_allclose(log_likelihood(gmm, frames), expected, rtol=1e-6)
        for skip_below in (0.0, 1e-6):
            assert accumulate(gmm, frames, skip_below=skip_below).zeroth == pytest.approx(3)


def test_candidates_are_checked_before_any_is_trained(rng):
    with pytest.raises(ValueError, match="candidates 2, 2, 4: expected each once"):
        TrainingConfig(n_components="auto", candidates=[2, 2, 4])
    told = []
    frames = clusters(rng)
    for config, keys in (
        (TrainingConfig(n_components="auto", candidates=[4, 200]), {}),
        (TrainingConfig(n_components="auto", candidates=[16, 4]), {"start": random_gmm(rng, 8, 2)}),
    ):
        with pytest.raises(ModelError, match=r"n_components 200 is more than|expected at most 4"):
            train([frames[:90]], config, on_iteration=told.append, **keys)
    assert not told


def test_a_size_chosen_by_frames_that_stay_held_out_is_not_trained_again(rng):
    told = []
    config = TrainingConfig(n_components="auto", candidates=[2, 3], n_iterations=2, tolerance=0, held_out=0.2)
    result = train([clusters(rng)], config, on_iteration=told.append)
    assert len(told) == 4
    chosen = max(result.choices, key=lambda choice: choice.held_out)
    assert max(each.held_out for each in result.history) == chosen.held_out


@pytest.mark.parametrize("n_iterations", range(1, 8))
def test_a_stopped_training_goes_on_with_the_same_bits(rng, tmp_path, n_iterations):
    frames = draw(rng, random_gmm(rng, 6), 1500).astype(np.float32)
    config = TrainingConfig(
        n_components=6,
        n_iterations=5,
        early_iterations=2,
        tolerance=0,
        held_out=0.1,
        initial="random",
        min_occupancy=40,
    )
    whole = train([frames], config)
    file = tmp_path / "state.safetensors"
    with pytest.raises(Stopped):
        train([frames], config, checkpoint=file, on_iteration=stop_after(n_iterations))
    rest = []
    resumed = train([frames], config, checkpoint=file, on_iteration=rest.append)
    assert len(rest) == 7 - n_iterations
    assert same(resumed.gmm, whole.gmm)
    untimed = [[{**vars(each), "seconds": 0} for each in result.history] for result in (resumed, whole)]
    assert untimed[0] == untimed[1]
    assert same(train([frames], config, checkpoint=file, on_iteration=stop_after(1)).gmm, whole.gmm)  # complete


def test_a_converged_training_does_not_go_on(rng, tmp_path):
    config = TrainingConfig(n_components=3, n_iterations=50, tolerance=1e-3)
    result = train([clusters(rng)], config, checkpoint=tmp_path / "state")
    assert result.converged
    again = train([clusters(np.random.default_rng(20240229))], config, checkpoint=tmp_path / "state")
    assert again.converged
    assert len(again.history) == len(result.history)


def test_the_state_of_another_training_is_refused(rng, tmp_path):
    frames = clusters(rng)
    config = TrainingConfig(n_components=3, n_iterations=2)
    file = tmp_path / "state"
    train([frames], config, checkpoint=file)
    others = [
        ([frames], config.model_copy(update={"n_iterations": 3}), {}),
        ([frames * 2], config, {}),
        ([frames[:5], frames[5:]], config, {}),
        ([frames], config, {"rng": np.random.default_rng(1)}),
        ([frames], config, {"dtype": np.float64}),
        ([frames], config, {"start": random_gmm(rng, 3, 2)}),
        ([frames], config, {"weights": [np.full(len(frames), 2.0)]}),
    ]
    for shards, other, keys in others:
        with pytest.raises(ModelError, match="state of another training"):
            train(shards, other, checkpoint=file, **keys)
    whole = file.read_bytes()
    odd = save({"a": np.ones(1)}, {"speechgmm_training": "[" * 200_000})
    for damage in (b"", b"not a state", whole[:-8], odd, whole.replace(b'number\\": 1', b'number\\": "')):
        file.write_bytes(damage)
        with pytest.raises(CheckpointError, match="not readable as the state of a training"):
            train([frames], config, checkpoint=file)


def test_a_checkpoint_that_is_no_file_is_refused_before_training(rng, tmp_path):
    told = []
    for path in (tmp_path, "/dev/full"):
        with pytest.raises(CheckpointError, match="no file; name one"):
            train([clusters(rng)], TrainingConfig(n_components=2), checkpoint=path, on_iteration=told.append)
    assert not told


def test_a_shard_that_changed_since_is_another_training_and_one_that_shrinks_is_refused(rng, tmp_path):
    frames = clusters(rng)
    np.save(tmp_path / "shard.npy", frames)
    config = TrainingConfig(n_components=2, n_iterations=4, tolerance=0, initial_frames=50)
    with pytest.raises(Stopped):
        train([tmp_path / "shard.npy"], config, checkpoint=tmp_path / "state", on_iteration=stop_after(2))
    np.save(tmp_path / "shard.npy", frames + 1)
    os.utime(tmp_path / "shard.npy", (1, 1))
    with pytest.raises(CheckpointError, match="another training"):
        train([tmp_path / "shard.npy"], config, checkpoint=tmp_path / "state")

    def shrink(iteration):
        np.save(tmp_path / "shard.npy", frames[: -7 * iteration.number])

    with pytest.raises(ModelError, match=r"shard\.npy: 2393 frames; there were 2400"):
        train([tmp_path / "shard.npy"], config, on_iteration=shrink)


def test_workers_get_the_frames_of_their_own_part_only(rng):
    parts = [part for group in hold_out(parts_of([clusters(rng)]), 0.1) for part in group]
    assert len(parts) == 20
    assert sum(len(ForkingPickler.dumps(part)) for part in parts) < 1.5 * 2400 * 2 * 4


def test_a_damaged_state_does_not_keep_a_run_from_going_on(quickstart, monkeypatch):
    real = em.save_state

    def save_and_stop(path, state, identity):
        real(path, state, identity)
        raise Stopped

    keys = ("seed=8", "name=damaged")
    with monkeypatch.context() as stopping:
        stopping.setattr(em, "save_state", save_and_stop)
        with pytest.raises(Stopped):
            quickstart(*keys)
    (state,) = (quickstart().parent / ".cache" / "ubm").glob(".unfinished-*/*")
    state.write_bytes(state.read_bytes()[:-8])
    assert "training starts again" in (quickstart(*keys) / "log.txt").read_text()


KILLED = """
import os, signal, sys
import numpy as np
from speechgmm import TrainingConfig, save_gmm, train

def on_iteration(iteration):
    if sys.argv[2] == "killed" and iteration.number == 3:
        os.kill(os.getpid(), signal.SIGKILL)

frames = np.random.default_rng(0).normal(size=(3000, 4)).astype(np.float32)
config = TrainingConfig(n_components=8, n_iterations=6, tolerance=0)
result = train([frames], config, checkpoint=sys.argv[1] + "/state", on_iteration=on_iteration)
save_gmm(sys.argv[1] + "/gmm.safetensors", result.gmm)
"""


def test_a_killed_training_goes_on_with_the_same_bits(tmp_path):
    for name, ways in (("whole", ["lives"]), ("resumed", ["killed", "lives"])):
        (tmp_path / name).mkdir()
        codes = [subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name), way]).returncode for way in ways]
        assert codes == ([0] if name == "whole" else [-signal.SIGKILL, 0])
    one, other = ((tmp_path / name / "gmm.safetensors").read_bytes() for name in ("whole", "resumed"))
    assert one == other


@pytest.mark.parametrize("method", METHODS)
def test_engines_of_any_size_train_the_same_bytes(rng, tmp_path, method):
    paths = []
    for number, part in enumerate(np.array_split(draw(rng, random_gmm(rng, 6, 8), 3000).astype(np.float32), 5)):
        paths.append(tmp_path / f"{number}.npy")
        np.save(paths[-1], part)
    config = TrainingConfig(n_components=7, n_iterations=3, early_iterations=1, initial=method, held_out=0.1)
    models = [
        train(paths, config, sum_over=partial(sum_over, engine=engine)).gmm
        for engine in (Engine("serial"), *(Engine("processes", n) for n in (1, 2, 3)))
    ]
    assert all(same(models[0], other) for other in models[1:])


def test_the_number_of_components_is_chosen_by_held_out_frames(rng):
    parts = [clusters(rng) for _ in range(2)]
    config = TrainingConfig(n_components="auto", candidates=[1, 2, 3, 60], n_iterations=20, min_occupancy=1)
    result = train(parts, config)
    assert result.gmm.n_components == 3
    assert [each.n_components for each in result.choices] == [1, 2, 3, 60]
    assert max(result.choices, key=lambda each: each.held_out).n_components == 3
    assert result.n_frames == 4800  # the one that was chosen is trained on all
    held = train(parts, config.model_copy(update={"held_out": 0.2}))
    assert held.n_frames == 3840
    with pytest.raises(ModelError, match="n_components 60 is more than the 45 frames"):
        train([parts[0][:50]], config)


def test_a_stopped_choice_goes_on_with_the_same_bits(rng, tmp_path):
    frames = clusters(rng)
    config = TrainingConfig(n_components="auto", candidates=[2, 3], n_iterations=4, tolerance=0, initial="random")
    whole = train([frames], config)
    for n_iterations in (2, 6, 10):
        with pytest.raises(Stopped):
            train([frames], config, checkpoint=tmp_path / "state", on_iteration=stop_after(n_iterations))
        resumed = train([frames], config, checkpoint=tmp_path / "state")
        assert same(resumed.gmm, whole.gmm)
        assert resumed.choices == whole.choices
        for file in tmp_path.iterdir():
            file.unlink()


@pytest.mark.parametrize("bad", ["many", 0, -3, 2.0, True, None])
def test_a_number_of_components_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match="expected a whole number of 1 or more, or auto"):
        TrainingConfig(n_components=bad)


def test_a_size_to_be_chosen_is_none_yet(rng):
    with pytest.raises(ValueError, match="a number is chosen by `train`"):
        initialise(clusters(rng), TrainingConfig(n_components="auto"), rng)
    with pytest.raises(ValueError, match=r"weight_floor 0\.01 times n_components 200"):
        TrainingConfig(n_components="auto", candidates=[2, 200], weight_floor=0.01)


@pytest.mark.parametrize("row", [3, 70_000, 99_999])
def test_a_frame_that_is_not_finite_is_named_with_its_shard(rng, tmp_path, row):
    good, bad = rng.normal(size=(2, 100_000, 2)).astype(np.float32)
    bad[row, 1] = np.inf
    for shards, name in (([good, bad], "shard 1"), ([tmp_path / "good.npy", tmp_path / "bad.npy"], "bad.npy")):
        np.save(tmp_path / "good.npy", good)
        np.save(tmp_path / "bad.npy", bad)
        for held_out in (0.0, 0.5):
            config = TrainingConfig(n_components=2, initial_frames=50, n_iterations=1, held_out=held_out)
            with pytest.raises(ModelError, match=rf"{name}: frame {row} holds NaN or infinity"):
                train(shards, config)


def test_an_empty_shard_among_others_changes_nothing(rng):
    frames = clusters(rng)
    config = TrainingConfig(n_components=3, n_iterations=3)
    assert same(train([frames, frames[:0]], config).gmm, train([frames], config).gmm)
    with pytest.raises(ModelError, match="n_components 3 is more than the 0 frames"):
        train([frames[:0]], config)
    with pytest.raises(ModelError, match="frames with one D"):
        train([np.zeros((5, 0))], config)


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """Runs a small experiment; all share the voices."""
    folder = tmp_path_factory.mktemp("results")
    recipe = Path(__file__).parents[2] / "recipes" / "quickstart.yaml"
    small = (
        *("corpus.n_speakers=5", "corpus.n_background=10", "corpus.seconds=2"),
        *("corpus.n_background_utterances=2", "corpus.n_enrol=2", "corpus.n_test=2"),
        *("ubm.n_components=4", "ubm.n_iterations=3", "calibration.method=none", "evaluation.dcf=[sre08]"),
    )

    def quickstart(*overrides):
        return run(recipe, overrides=(*small, *overrides), results=folder, engine=Engine("serial")).folder

    return quickstart


def test_a_recipe_chooses_its_size_and_starts_from_a_model(quickstart, monkeypatch):
    assert not (quickstart() / "sizes.csv").exists()
    chosen = quickstart("ubm.n_components=auto", "ubm.candidates=[2, 5]")
    sizes = read_rows(chosen / "sizes.csv")
    best = max(sizes, key=lambda row: float(row["held_out_log_likelihood_per_frame"]))["n_components"]
    assert [row["n_components"] for row in sizes] == ["2", "5"]
    assert load_gmm(chosen / "ubm.safetensors").n_components == int(best)
    history = read_rows(chosen / "training.csv")
    assert {row["n_components"] for row in history} == {best}
    monkeypatch.chdir(chosen)
    started = quickstart("ubm.initial_model=ubm.safetensors", f"ubm.n_components={best}", "name=started")
    assert load_recipe(started / "recipe.yaml").ubm.initial_model == str(chosen / "ubm.safetensors")
    # It begins where the other one ended, not where it began.
    first, last = (
        float(row["log_likelihood_per_frame"]) for row in (read_rows(started / "training.csv")[0], history[-1])
    )
    assert first > last


def test_a_model_of_another_front_end_is_no_start(quickstart):
    first = quickstart() / "ubm.safetensors"
    with pytest.raises(ModelError, match="another front end: n_cepstra"):
        quickstart(f"ubm.initial_model={first}", "features.n_cepstra=10", "name=other")
    with pytest.raises(ModelError, match="no such model file"):
        quickstart("ubm.initial_model=nowhere.safetensors")
    with pytest.raises(RecipeError, match="initial_model"):
        quickstart("ubm.initial_model=[a, b]")


def test_a_run_that_is_stopped_in_training_goes_on_from_its_last_iteration(quickstart, monkeypatch):
    real = em.save_state

    def save_and_stop(path, state, identity):
        real(path, state, identity)
        if len(state.history) == 2:
            raise Stopped

    keys = ("seed=7", "name=stopped")
    monkeypatch.setattr(em, "save_state", save_and_stop)
    with pytest.raises(Stopped):
        quickstart(*keys)
    monkeypatch.undo()
    resumed = quickstart(*keys)
    log = (resumed / "log.txt").read_text()
    assert "ubm: iteration 3" in log
    assert "ubm: iteration 2" not in log
    names = ("ubm.safetensors", "scores.csv", "training.csv")
    files = [(resumed / name).read_bytes() for name in names]
    stages = resumed.parent / ".cache" / "ubm"
    assert not list(stages.glob(".unfinished-*"))
    shutil.rmtree(stages)
    whole = quickstart(*keys)
    assert "ubm: iteration 2" in (whole / "log.txt").read_text()
    assert files == [(whole / name).read_bytes() for name in names]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda frames: frames.astype(complex), "shard 0 of type complex128; expected real numbers"),
        (lambda frames: frames.astype(object), "shard 0 of type object"),
        (lambda _: [[1.0, 2.0], [3.0]], "shard 0 of rows that differ in length"),
        (lambda _: None, "shard 0 of type object"),
        (lambda frames: frames * 1e200, "features up to .*e\\+201: expected numbers whose squares are finite"),
    ],
    ids=["complex", "objects", "ragged", "nothing", "huge"],
)
def test_what_are_no_frames_is_said_by_its_shard(rng, change, told):
    with pytest.raises(ModelError, match=told):
        train([change(clusters(rng).astype(float))], TrainingConfig(n_components=2))


def test_lists_are_frames_and_tiny_numbers_count_for_nothing(rng):
    frames = clusters(rng).astype(float)[:200]
    config = TrainingConfig(n_components=2, n_iterations=2)
    assert same(train([frames.tolist()], config).gmm, train([frames], config).gmm)
    assert np.isfinite(log_likelihood(train([frames * 1e-300], config).gmm, frames)).all()


def test_a_file_that_holds_no_frames_is_named(tmp_path):
    (tmp_path / "text.npy").write_text("not frames")
    np.save(tmp_path / "short.npy", np.zeros((500, 4)))
    (tmp_path / "short.npy").write_bytes((tmp_path / "short.npy").read_bytes()[:-100])
    for name in ("text.npy", "short.npy"):
        with pytest.raises(ModelError, match=rf"{name}: not readable as a \.npy file"):
            train([tmp_path / name], TrainingConfig(n_components=2))


def test_what_was_skipped_bounds_the_error_and_is_in_the_history(rng):
    frames = draw(rng, random_gmm(rng, 8), 3000).astype(np.float32)
    start = random_gmm(rng, 8)
    config = TrainingConfig(n_components=8, n_iterations=1)
    exact = train([frames], config, start=start)
    skipping = train([frames], config.model_copy(update={"skip_below": 0.01}), start=start)
    skipped = skipping.history[0].skipped
    assert exact.history[0].skipped == 0
    assert 0 < skipped < 30
    moved = np.abs(skipping.gmm.weights - exact.gmm.weights) * len(frames)
    assert 0 < moved.max() <= skipped
    lost = (exact.history[0].log_likelihood - skipping.history[0].log_likelihood) * len(frames)
    assert 0 < lost <= skipped
