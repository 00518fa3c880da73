"""Training of total variability: Bob's and literal values, theory, starving components, too little data, resumption."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from helpers.paths import GOLDEN
from naive.subspace_ivectors import expectations, explained_share, log_likelihood
from speechgmm import DiagonalGMM, Engine
from speechgmm.errors import CheckpointError, ModelError
from speechgmm.parallel.engine import sum_over
from speechgmm.subspace import packed
from speechgmm.subspace.statistics import StackedStats, StatsStore, blocks_of
from speechgmm.subspace.total_variability import training
from speechgmm.subspace.total_variability.accumulators import accumulate_factors
from speechgmm.subspace.total_variability.checkpoint import FactorState
from speechgmm.subspace.total_variability.history import FactorIteration, history_warnings
from speechgmm.subspace.total_variability.model import TotalVariability
from speechgmm.subspace.total_variability.posterior import ivectors
from speechgmm.subspace.total_variability.training import FactorTraining, train_total_variability
from speechgmm.subspace.total_variability.update import maximise, minimise_divergence, orthogonalise
from speechgmm.subspace.vectors import IVectorConfig

BOB, LITERAL = (np.load(GOLDEN / "subspace" / f"{name}.npz") for name in ("bob", "literal"))
UBM = DiagonalGMM(BOB["ubm_weights"], BOB["ubm_means"], BOB["ubm_variances"])
START = TotalVariability(UBM.means, BOB["iv_T0"], UBM.variances)
STATS = StackedStats(BOB["stat_zeroth"], BOB["stat_first"], BOB["stat_frames"], BOB["stat_second"].sum(axis=0))
PLAIN = IVectorConfig(rank=4, minimum_divergence=False, variance_floor=0.0, min_occupancy=0.0)
FULL = PLAIN.model_copy(update={"minimum_divergence": True})


def states(config: IVectorConfig, n_iterations: int) -> list[FactorState]:
    """Iterate from Bob's start, without the turn of the factors that comes last."""
    em = FactorTraining(UBM, config, blocks_of(STATS), config.acoustic_weight * STATS.second, sum_over)
    all_states = [FactorState(START)]
    for _ in range(n_iterations):
        all_states.append(em.iterate(all_states[-1]))
    return all_states


def assert_same(model: TotalVariability, other: TotalVariability) -> None:
    """Compare models bit for bit."""
    for name in ("means", "loadings", "variances"):
        assert np.array_equal(getattr(model, name), getattr(other, name))


def drawn(rng, n_recordings=60, n_components=4, n_features=3, rank=2, frames=30.0):
    """Draw a background model, and statistics of recordings whose means move along a few factors."""
    shape = (n_components, n_features)
    variances = rng.uniform(0.3, 2, size=shape)
    ubm = DiagonalGMM(np.full(n_components, 1 / n_components), 3 * rng.normal(size=shape), variances)
    zeroth = rng.gamma(2, frames / 2, size=(n_recordings, n_components)) + 0.1
    loadings = 0.7 * rng.normal(size=(*shape, rank))
    factors = rng.normal(size=(n_recordings, rank))
    means = ubm.means + np.einsum("cdr,ur->ucd", loadings, factors)
    seen = means + rng.normal(size=means.shape) * np.sqrt(variances / zeroth[:, :, None])
    second = zeroth[:, :, None] * (variances + seen**2)
    n_frames = np.ceil(zeroth.sum(axis=1)).astype(int)
    return ubm, StackedStats(zeroth, zeroth[:, :, None] * seen, n_frames, second.sum(axis=0)), second


def objectives(result) -> np.ndarray:
    """The objective before each iteration, and that of the trained model."""
    return np.array([*(step.objective for step in result.history), result.objective])


@pytest.mark.parametrize(("kind", "update_variances"), [("sigma", True), ("nosigma", False)])
def test_models_after_1_5_and_10_iterations_are_bobs(kind, update_variances):
    done = states(PLAIN.model_copy(update={"update_variances": update_variances}), 10)
    for n in (1, 5, 10):
        model = done[n].model
        np.testing.assert_allclose(model.loadings, BOB[f"iv_{kind}_T{n}"], atol=1e-13)
        np.testing.assert_allclose(model.variances, BOB[f"iv_{kind}_sigma{n}"], rtol=1e-12)
        assert np.array_equal(model.means, UBM.means)
        found = ivectors(model, STATS).values
        np.testing.assert_allclose(found, BOB[f"iv_{kind}_proj{n}"], atol=1e-12)


def test_sums_of_the_first_iteration_are_bobs():
    stats = sum_over(partial(accumulate_factors, START, 1.0), blocks_of(STATS, 7))
    np.testing.assert_allclose(packed.unpack(stats.moments, 4), BOB["iv_acc_nij_sigma_wij2"], rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(stats.products.reshape(8, 5, 4), BOB["iv_acc_fnorm_sigma_wij"], rtol=1e-11, atol=1e-10)
    np.testing.assert_allclose(stats.evidence.zeroth, BOB["iv_acc_nij"], rtol=1e-13)


def test_models_with_minimum_divergence_are_the_literal_ones():
    done = states(FULL, 10)
    for n in (1, 5, 10):
        for name, key in (("loadings", "T"), ("variances", "sigma"), ("means", "mean")):
            np.testing.assert_allclose(getattr(done[n].model, name), LITERAL[f"iv_md_{key}{n}"], atol=1e-12)
    assert done[10].history[-1].explained == pytest.approx(
        explained_share(done[10].model.loadings, done[10].model.variances, UBM.weights), rel=1e-12
    )


def test_the_objective_after_every_half_step_is_the_literal_one():
    em = FactorTraining(UBM, FULL, blocks_of(STATS), STATS.second, sum_over)
    model = START
    found = [em.objective(model)]
    for _ in range(10):
        stats = accumulate_factors(model, 1.0, blocks_of(STATS)[0])
        updated = maximise(model, stats, np.zeros(8, bool), STATS.second, 1e-10 * UBM.variances).model
        model = minimise_divergence(updated, stats)
        found += [em.objective(updated), em.objective(model)]
    np.testing.assert_allclose(found, LITERAL["iv_md_objective"], rtol=1e-13)


def test_the_objective_is_that_of_one_gaussian_and_never_falls(rng):
    ubm, stats, second = drawn(rng)
    zeroth, first = stats.zeroth.copy(), stats.first.copy()
    zeroth[3, 1], first[3, 1], second[3, 1] = 0, 0, 0  # a recording without frames of a component
    stats = StackedStats(zeroth, first, stats.n_frames, second.sum(axis=0))
    start = TotalVariability(ubm.means, rng.normal(size=(4, 3, 2)), ubm.variances)
    result = train_total_variability(ubm, stats, IVectorConfig(rank=2), start=start)
    for model, found in ((start, result.history[0].objective), (result.model, result.objective)):
        arrays = (model.means, model.loadings, model.variances)
        each = [log_likelihood(*one, *arrays) for one in zip(stats.zeroth, stats.first, second, strict=True)]
        assert found == pytest.approx(sum(each) / stats.zeroth.sum(), rel=1e-12)
    assert (np.diff(objectives(result)) > 0).all()
    assert result.warnings == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"variance_floor": 1.0},
        {"min_occupancy": 900.0},
        {"acoustic_weight": 0.2},
        {"update_variances": False},
        {"minimum_divergence": False},
        {"rank": 12, "n_iterations": 30},
        {"rank": 1},
    ],
)
def test_the_objective_never_falls_whatever_is_asked_for(rng, changes):
    ubm, stats, _ = drawn(rng, frames=15.0)
    result = train_total_variability(ubm, stats, IVectorConfig(**{"rank": 3, **changes}))
    assert (np.diff(objectives(result)) > -1e-12 * np.abs(result.objective)).all()
    assert all(0 < step.explained < 1 for step in result.history)
    assert [step.number for step in result.history] == list(range(1, len(result.history) + 1))


def test_factors_are_standard_normal_over_the_recordings_after_minimum_divergence():
    stats = accumulate_factors(START, 1.0, blocks_of(STATS)[0])
    moved = minimise_divergence(START, stats)
    _, _, factor_sum, factor_moments = expectations(
        STATS.zeroth, STATS.first, START.means, START.loadings, START.variances
    )
    mean = factor_sum / 40
    covariance = factor_moments / 40 - np.outer(mean, mean)
    np.testing.assert_allclose(moved.means, START.means + START.loadings @ mean, atol=1e-12)
    # the shifts that the factors explain have the covariance that they had over the recordings
    turned = moved.loadings.reshape(40, 4) @ moved.loadings.reshape(40, 4).T
    loadings = START.loadings.reshape(40, 4)
    np.testing.assert_allclose(turned, loadings @ covariance @ loadings.T, atol=1e-11)


def test_orthogonal_factors_come_in_order_and_say_the_same():
    turned = orthogonalise(START, UBM.weights)
    mean_precision = np.einsum("c,cdr,cd,cds->rs", UBM.weights, turned.loadings, 1 / turned.variances, turned.loadings)
    np.testing.assert_allclose(mean_precision, np.diag(np.diag(mean_precision)), atol=1e-12)
    assert (np.diff(np.diag(mean_precision)) < 0).all()
    outer = [model.loadings.reshape(40, 4) @ model.loadings.reshape(40, 4).T for model in (turned, START)]
    np.testing.assert_allclose(*outer, atol=1e-12)
    flipped = TotalVariability(START.means, -START.loadings, START.variances)
    np.testing.assert_allclose(orthogonalise(flipped, UBM.weights).loadings, turned.loadings, atol=1e-12)
    whitened = (turned.loadings / np.sqrt(turned.variances)[:, :, None]).reshape(40, 4)
    assert (whitened.max(axis=0) == np.abs(whitened).max(axis=0)).all()


def test_factors_of_drawn_recordings_are_found(rng):
    ubm, stats, _ = drawn(rng, n_recordings=400, frames=200.0)
    result = train_total_variability(ubm, stats, IVectorConfig(rank=2, n_iterations=20))
    np.testing.assert_allclose(result.model.variances, ubm.variances, rtol=0.05)
    vectors = ivectors(result.model, stats).values
    np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(np.cov(vectors.T), np.eye(2), atol=0.05)


def test_sums_in_any_cut_give_the_whole():
    whole = accumulate_factors(START, 0.5, blocks_of(STATS, 40)[0])
    for size in (1, 7, 39):
        merged = sum_over(partial(accumulate_factors, START, 0.5), blocks_of(STATS, size))
        assert merged.n_recordings == 40
        for name in ("products", "moments", "factor_sum", "factor_moments"):
            np.testing.assert_allclose(getattr(merged, name), getattr(whole, name), rtol=1e-11, atol=1e-9)
        assert merged.evidence.gain == pytest.approx(whole.evidence.gain, rel=1e-13)


def test_results_are_the_same_bits_on_any_engine_and_from_a_folder(rng, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "BLOCK", 16)
    ubm, stats, _ = drawn(rng)
    config = IVectorConfig(rank=3, n_iterations=2)
    serial = train_total_variability(ubm, stats, config)
    processes = partial(sum_over, engine=Engine("processes", n_jobs=2))
    assert_same(train_total_variability(ubm, stats, config, sum_over=processes).model, serial.model)
    for name in ("zeroth", "first", "second"):
        np.save(tmp_path / f"{name}.npy", getattr(stats, name))
    listed = {"names": [str(number) for number in range(60)], "n_frames": stats.n_frames.tolist()}
    (tmp_path / "recordings.json").write_text(json.dumps(listed))
    stored = train_total_variability(ubm, StatsStore(tmp_path), config, sum_over=processes)
    assert_same(stored.model, serial.model)
    assert stored.objective == serial.objective


def test_random_loadings_come_from_the_generator(rng):
    ubm, stats, _ = drawn(rng)
    config = IVectorConfig(rank=3, n_iterations=1)
    first, again, other = (
        train_total_variability(ubm, stats, config, rng=np.random.default_rng(seed)).model for seed in (1, 1, 2)
    )
    assert_same(first, again)
    assert not np.allclose(first.loadings, other.loadings)
    assert_same(
        train_total_variability(ubm, stats, config).model,
        train_total_variability(ubm, stats, config, rng=np.random.default_rng(0)).model,
    )


def test_starving_components_keep_their_loadings_and_variances():
    zeroth, first, second = STATS.zeroth.copy(), STATS.first.copy(), STATS.second.copy()
    zeroth[:, 2] *= 0.01
    first[:, 2] *= 0.01
    second[2] *= 0.01
    zeroth[:, 5], first[:, 5], second[5] = 0, 0, 0
    stats = StackedStats(zeroth, first, STATS.n_frames, second)
    config = IVectorConfig(rank=4, minimum_divergence=False, n_iterations=3)
    result = train_total_variability(UBM, stats, config, start=START)
    expected = orthogonal_rows(START)
    found = orthogonal_rows(result.model)
    for component in (2, 5):
        np.testing.assert_allclose(found[component], expected[component], atol=1e-12)
        assert np.array_equal(result.model.variances[component], UBM.variances[component])
    assert not np.allclose(found[0], expected[0])
    assert [step.n_kept for step in result.history] == [2, 2, 2]
    assert result.warnings == (
        "2 of 8 components have fewer than 10 frames in all recordings together; they keep their first loadings and "
        "variances",
    )


def orthogonal_rows(model: TotalVariability) -> np.ndarray:
    """What no turn of the factors changes, shape (C, D, D)."""
    return model.loadings @ model.loadings.transpose(0, 2, 1)


def test_min_occupancy_counts_frames_before_the_acoustic_weight():
    least = float(STATS.zeroth.sum(axis=0).min())
    config = IVectorConfig(rank=4, n_iterations=1, acoustic_weight=0.1, min_occupancy=0.99 * least)
    assert train_total_variability(UBM, STATS, config, start=START).history[0].n_kept == 0
    config = config.model_copy(update={"min_occupancy": 1.01 * least})
    assert train_total_variability(UBM, STATS, config, start=START).history[0].n_kept == 1


def test_an_acoustic_weight_is_training_on_scaled_statistics():
    scaled = StackedStats(0.3 * STATS.zeroth, 0.3 * STATS.first, STATS.n_frames, 0.3 * STATS.second)
    weighted = train_total_variability(UBM, STATS, FULL.model_copy(update={"acoustic_weight": 0.3}), start=START)
    plain = train_total_variability(UBM, scaled, FULL, start=START)
    np.testing.assert_allclose(weighted.model.loadings, plain.model.loadings, atol=1e-12)
    np.testing.assert_allclose(weighted.model.variances, plain.model.variances, rtol=1e-12)
    np.testing.assert_allclose(objectives(weighted), objectives(plain), rtol=1e-13)


def test_variances_are_floored_at_a_share_of_the_background_models(rng):
    ubm, stats, _ = drawn(rng)
    wide = DiagonalGMM(ubm.weights, ubm.means, 50 * ubm.variances)
    result = train_total_variability(wide, stats, IVectorConfig(rank=2, variance_floor=0.5))
    assert np.array_equal(result.model.variances, 0.5 * wide.variances)
    assert result.history[-1].n_floored == 12


def test_recordings_without_frames_change_nothing(rng):
    ubm, stats, _ = drawn(rng)
    empty = StackedStats(
        *(np.concatenate([array, np.zeros_like(array[:5])]) for array in (stats.zeroth, stats.first, stats.n_frames)),
        stats.second,
    )
    config = IVectorConfig(rank=2)
    with_empty, without = (train_total_variability(ubm, each, config) for each in (empty, stats))
    np.testing.assert_allclose(with_empty.model.loadings, without.model.loadings, atol=1e-10)
    assert with_empty.objective == pytest.approx(without.objective, rel=1e-13)


def test_more_factors_than_recordings_can_show_are_warned_of(rng):
    ubm, stats, _ = drawn(rng, n_recordings=6)
    result = train_total_variability(ubm, stats, IVectorConfig(rank=12, n_iterations=30))
    assert result.warnings[0] == (
        "rank 12, but the number of recordings with frames is 6, which cannot show as many factors; use a lower rank "
        "or more recordings"
    )
    assert (np.diff(objectives(result)) > -1e-12 * np.abs(result.objective)).all()


def test_a_single_recording_trains_a_model_with_a_warning(rng):
    ubm, stats, _ = drawn(rng, n_recordings=1)
    result = train_total_variability(ubm, stats, IVectorConfig(rank=1, n_iterations=50))
    assert "rank 1, but the number of recordings with frames is 1," in result.warnings[0]
    assert (np.diff(objectives(result)) > -1e-12 * np.abs(result.objective)).all()
    assert np.isfinite(result.model.loadings).all()


def test_equal_recordings_train_a_model_without_factors(rng):
    ubm, one, _ = drawn(rng, n_recordings=1)
    arrays = (np.repeat(array, 8, axis=0) for array in (one.zeroth, one.first, one.n_frames))
    stats = StackedStats(*arrays, 8 * one.second)
    result = train_total_variability(ubm, stats, IVectorConfig(rank=2, n_iterations=50))
    assert (np.diff(objectives(result)) > -1e-12 * np.abs(result.objective)).all()
    assert result.history[-1].explained < result.history[0].explained


def test_singular_equations_get_a_ridge_and_a_warning():
    stats = accumulate_factors(START, 1.0, blocks_of(STATS)[0])
    moments = stats.moments.copy()
    moments[3] = packed.pack(100 * np.ones((4, 4)))
    updated = maximise(START, replace(stats, moments=moments), np.zeros(8, bool), STATS.second, None)
    assert updated.n_regularised == 1
    assert np.isfinite(updated.model.loadings).all()
    moments[3] *= -1
    with pytest.raises(ModelError, match="posterior moments of a component are not positive"):
        maximise(START, replace(stats, moments=moments), np.zeros(8, bool), STATS.second, None)
    step = FactorIteration(1, -2.0, 0, 0, n_regularised=3, standardised=False, explained=0.5, seconds=1.0)
    regularised, not_standardised = history_warnings([step, replace(step, n_regularised=0)])
    assert "up to 3 components had singular equations in 1 of 2 iterations" in regularised
    assert "in 2 of 2 iterations the covariance of the factors was not positive definite" in not_standardised


def test_a_covariance_that_is_not_positive_definite_leaves_minimum_divergence_out():
    stats = accumulate_factors(START, 1.0, blocks_of(STATS)[0])
    singular = replace(stats, factor_moments=packed.pack(np.outer(stats.factor_sum, stats.factor_sum) / 40 - np.eye(4)))
    assert minimise_divergence(START, singular) is None


def test_impossible_trainings_are_refused(rng):
    ubm, stats, _ = drawn(rng)
    with pytest.raises(ModelError, match=r"rank 13 is more than the 12 means .* \(4 components x 3 features\)"):
        train_total_variability(ubm, stats, IVectorConfig(rank=13))
    with pytest.raises(ModelError, match="update_variances needs second-order statistics"):
        train_total_variability(ubm, stats.rows(range(10)), IVectorConfig(rank=2))
    with pytest.raises(ModelError, match=r"a first model with loadings of shape \(8, 5, 4\); expected \(4, 3, 2\)"):
        train_total_variability(ubm, stats, IVectorConfig(rank=2), start=START)
    with pytest.raises(ModelError, match=r"statistics of shape \(4, 3\) for a model of shape \(8, 5\)"):
        train_total_variability(UBM, stats, IVectorConfig(rank=2))
    with pytest.raises(ModelError, match="no statistics"):
        train_total_variability(ubm, [], IVectorConfig(rank=2))
    with pytest.raises(ModelError, match=r"none of 4 components has the 1e\+06 frames that min_occupancy asks for"):
        train_total_variability(ubm, stats, IVectorConfig(rank=2, min_occupancy=1e6))
    with pytest.raises(ModelError, match="second-order statistics hold NaN"):
        train_total_variability(ubm, replace(stats, second=np.full((4, 3), np.nan)), IVectorConfig(rank=2))
    empty = StackedStats(np.zeros((3, 4)), np.zeros((3, 4, 3)), np.zeros(3), np.zeros((4, 3)))
    with pytest.raises(ModelError, match="statistics of no frames"):
        train_total_variability(ubm, empty, IVectorConfig(rank=2))


def test_variances_that_stay_need_no_second_order(rng):
    ubm, stats, _ = drawn(rng)
    config = IVectorConfig(rank=2, update_variances=False)
    without, known = (train_total_variability(ubm, each, config) for each in (stats.rows(range(60)), stats))
    assert_same(without.model, known.model)
    gains = [np.diff(objectives(result)) for result in (without, known)]
    np.testing.assert_allclose(*gains, atol=1e-10)


class Stop(Exception):
    """Raised to end a training."""


@pytest.mark.parametrize("n_done", [1, 3])
def test_a_training_that_was_stopped_resumes_with_the_same_bits(rng, tmp_path, n_done):
    ubm, stats, _ = drawn(rng)
    config = IVectorConfig(rank=2, n_iterations=5)

    def stop(iteration):
        if iteration.number == n_done:
            raise Stop

    path = tmp_path / "state"
    with pytest.raises(Stop):
        train_total_variability(ubm, stats, config, checkpoint=path, on_iteration=stop)
    numbers = []
    resumed = train_total_variability(
        ubm, stats, config, checkpoint=path, on_iteration=lambda iteration: numbers.append(iteration.number)
    )
    assert numbers == list(range(n_done + 1, 6))
    whole = train_total_variability(ubm, stats, config)
    assert_same(resumed.model, whole.model)
    assert np.array_equal(objectives(resumed), objectives(whole))
    assert_same(train_total_variability(ubm, stats, config, checkpoint=path).model, whole.model)


def test_a_state_of_another_training_or_a_damaged_one_is_refused(rng, tmp_path):
    ubm, stats, _ = drawn(rng)
    config = IVectorConfig(rank=2, n_iterations=1)
    path = tmp_path / "state"
    train_total_variability(ubm, stats, config, checkpoint=path)
    other = StackedStats(stats.zeroth, 1.001 * stats.first, stats.n_frames, stats.second)
    for statistics, settings in ((other, config), (stats, config.model_copy(update={"n_iterations": 2}))):
        with pytest.raises(CheckpointError, match="the state of another training; name another file, or remove it"):
            train_total_variability(ubm, statistics, settings, checkpoint=path)
    with pytest.raises(CheckpointError, match="another training"):
        train_total_variability(ubm, stats, config, checkpoint=path, rng=np.random.default_rng(5))
    train_total_variability(ubm, stats, config.model_copy(update={"pooled": True}), checkpoint=path)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CheckpointError, match=r"state: damaged: its digest .*; remove it to start again"):
        train_total_variability(ubm, stats, config, checkpoint=path)
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"not readable as the state of a training .*; remove it to start again"):
        train_total_variability(ubm, stats, config, checkpoint=path)
    with pytest.raises(CheckpointError, match="no file; name one"):
        train_total_variability(ubm, stats, config, checkpoint=tmp_path)
