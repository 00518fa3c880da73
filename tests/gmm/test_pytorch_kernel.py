"""The kernels on PyTorch's tensors, on the processor: the literal sums, and numpy's statistics and scores to 1e-5."""

import sys
from functools import partial

import numpy as np
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

import naive
from helpers.models import all_of, assert_close, draw, random_gmm
from helpers.paths import ROOT
from speechgmm import DiagonalGMM, accumulate, log_likelihood, map_adapt, run, score_matrix, train
from speechgmm.cli import app
from speechgmm.errors import ModelError, RecipeError
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.kernels.choice import torch_kernels
from speechgmm.gmm.training.config import IndependentConfig, TrainingConfig
from speechgmm.parallel.engine import Engine, sum_over
from speechgmm.recipe.reading.loader import load_recipe
from speechgmm.recipe.schema.recipe import Recipe
from speechgmm.scoring.llr import ScoringConfig

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'speechgmm[torch]'")
kernels = torch_kernels("torch")


@pytest.fixture(params=[1 << 12, 1 << 16, 1 << 22], ids="{} values".format)
def some_room(request, monkeypatch):
    """Blocks of fewer frames than the usual 1,024, of a few times as many, and of all."""
    monkeypatch.setitem(kernels.VALUES_AT_ONCE, "torch", request.param)


def adapted(rng, ubm, n_models, adapt=("means",)):
    return [map_adapt(ubm, accumulate(ubm, draw(rng, ubm, 60) + 0.3), adapt=adapt) for _ in range(n_models)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-11)])
@pytest.mark.parametrize("n_frames", [1, 25])
@pytest.mark.parametrize(("n_components", "n_features"), [(1, 1), (5, 3), (16, 1), (130, 2)])
def test_statistics_are_the_literal_sums(rng, n_components, n_features, n_frames, dtype, tolerance):
    gmm = random_gmm(rng, n_components, n_features)
    frames = draw(rng, gmm, n_frames)
    weights = rng.uniform(0, 3, n_frames)
    expected = naive.accumulate(frames, gmm.weights, gmm.means, gmm.variances, weights)
    stats = accumulate(gmm, frames, weights=weights, dtype=dtype, kernel="torch")
    assert_close(stats, expected, tolerance)
    assert (stats.n_frames, stats.skipped) == (n_frames, 0.0)


@pytest.mark.usefixtures("some_room")
@pytest.mark.parametrize("n_frames", [0, 1023, 1024, 5000])
def test_statistics_and_likelihoods_of_many_blocks_are_those_of_double_precision(rng, n_frames):
    gmm = random_gmm(rng, 21, 8)
    frames, weights = draw(rng, gmm, n_frames).astype(np.float32), rng.uniform(0, 2, n_frames)
    exact = accumulate(gmm, frames, weights=weights, dtype=np.float64)
    assert_close(accumulate(gmm, frames, weights=weights, kernel="torch"), all_of(exact), 1e-5)
    expected = log_likelihood(gmm, frames, dtype=np.float64)
    np.testing.assert_allclose(log_likelihood(gmm, frames, kernel="torch"), expected, rtol=1e-5)


@pytest.mark.usefixtures("some_room")
@pytest.mark.parametrize("adapt", [("means",), ("means", "variances", "weights")], ids="+".join)
@pytest.mark.parametrize("top_components", [None, 1, 4])
def test_scores_are_those_of_numpy(rng, top_components, adapt):
    ubm = random_gmm(rng, 12, 6)
    models = adapted(rng, ubm, 70, adapt)
    utterances = [draw(rng, ubm, n_frames).astype(np.float32) for n_frames in (1, 300, 2500)]
    expected, found = (
        score_matrix(models, ubm, utterances, ScoringConfig(top_components=top_components, kernel=kernel))
        for kernel in ("numpy", "torch")
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_scores_are_the_literal_ones_in_double_precision(rng):
    gmm = random_gmm(rng, 4, 2)
    ubm = DiagonalGMM(gmm.weights, gmm.means * 1e4, gmm.variances)  # which single precision does not hold
    (model,) = adapted(rng, ubm, 1, ("means", "variances", "weights"))
    frames = draw(rng, ubm, 30)
    likelihoods = [naive.accumulate(frames, each.weights, each.means, each.variances)[3] for each in (model, ubm)]
    (found,) = score_matrix([model], ubm, [frames], ScoringConfig(top_components=None, kernel="torch")).ravel()
    assert found == pytest.approx((likelihoods[0] - likelihoods[1]) / 30, abs=1e-7)  # of parts of 1e8


def test_linear_scores_are_those_of_numpy(rng):
    ubm = random_gmm(rng, 12, 6)
    models, utterances = adapted(rng, ubm, 5), [draw(rng, ubm, 200) for _ in range(3)]
    expected, found = (
        score_matrix(models, ubm, utterances, ScoringConfig(method="linear", kernel=kernel))
        for kernel in ("numpy", "torch")
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert not np.array_equal(found, expected)  # it was torch that computed


def test_of_components_that_tie_the_first_are_taken(rng):
    ubm = DiagonalGMM(np.full(6, 1 / 6), np.zeros((6, 2)), np.ones((6, 2)))
    moved = [DiagonalGMM(ubm.weights, np.eye(6)[:, [number]] * [[1.0, 0.0]], ubm.variances) for number in range(6)]
    frames = draw(rng, ubm, 50)
    scores = score_matrix(moved, ubm, [frames], ScoringConfig(top_components=3, kernel="torch"))[:, 0]
    assert (scores[:3] != 0).all()
    assert (scores[3:] == 0).all()


def test_frames_far_from_everything_are_shared_as_by_numpy(rng):
    gmm = random_gmm(rng)
    frames = np.array([[1e30, 0, 0], [-1e12, 1e12, 3.0], [0, 0, 0]], np.float32)
    assert_close(accumulate(gmm, frames, kernel="torch"), all_of(accumulate(gmm, frames)), 1e-5)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_an_offset_of_the_features_costs_no_digits(rng, offset):
    gmm = random_gmm(rng, 10, 5)
    frames = draw(rng, gmm, 2000)
    moved = DiagonalGMM(gmm.weights, gmm.means + offset, gmm.variances)
    found = log_likelihood(moved, frames + offset, kernel="torch")
    np.testing.assert_allclose(found, log_likelihood(gmm, frames, dtype=np.float64), rtol=1e-5)


def test_training_gives_the_same_bits_for_any_workers_and_goes_where_numpy_does(rng):
    frames = draw(rng, random_gmm(rng, 50, 4), 3000)
    config = TrainingConfig(n_components=16, n_iterations=2, held_out=0.1, kernel="torch")
    shards = [frames[:1800], frames[1800:]]
    one, two = (
        train(shards, config, sum_over=partial(sum_over, engine=Engine("processes", n_jobs=n_jobs)))
        for n_jobs in (1, 2)
    )
    assert np.array_equal(one.gmm.means, two.gmm.means)
    assert np.array_equal(one.gmm.variances, two.gmm.variances)
    of_numpy = train(shards, config.model_copy(update={"kernel": "numpy"}))
    np.testing.assert_allclose(one.gmm.means, of_numpy.gmm.means, rtol=1e-4, atol=1e-4)
    held_out = [[each.held_out for each in result.history] for result in (one, of_numpy)]
    np.testing.assert_allclose(*held_out, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_frames_that_are_not_finite_are_refused_by_their_number(rng, bad):
    gmm = random_gmm(rng)
    frames = draw(rng, gmm, 1500)
    frames[1234, 1] = bad
    config = ScoringConfig(top_components=2, kernel="torch")
    for compute in (
        lambda: accumulate(gmm, frames, kernel="torch"),
        lambda: log_likelihood(gmm, frames, kernel="torch"),
        lambda: score_matrix([gmm], gmm, [frames], config),
    ):
        with pytest.raises(ModelError, match="frame 1234 holds NaN or infinity"):
            compute()


def test_torch_is_left_as_it_was(rng):
    torch.set_num_threads(2)
    torch.set_float32_matmul_precision("high")
    try:
        accumulate(random_gmm(rng), np.zeros((4, 3)), kernel="torch")
        assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (2, "high")
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_device_without_room_is_reported_in_a_line(rng, monkeypatch):
    monkeypatch.setattr(kernels, "_expand", lambda *_: torch.empty(1 << 60))
    with pytest.raises(ModelError, match=r"^kernel torch: the device has no room left: .*memory.*") as caught:
        accumulate(random_gmm(rng), np.zeros((4, 3)), kernel="torch")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_a_card_that_is_not_there_is_reported_in_a_line(rng):
    gmm, frames = random_gmm(rng), np.zeros((4, 3))
    for compute in (
        lambda: accumulate(gmm, frames, kernel="cuda"),
        lambda: log_likelihood(gmm, frames, kernel="cuda"),
        lambda: score_matrix([gmm], gmm, [frames], ScoringConfig(kernel="cuda")),
        lambda: run(ROOT / "recipes" / "quickstart.yaml", kernel="cuda"),
    ):
        with pytest.raises(ModelError, match=r"kernel cuda: torch .* finds no CUDA device here.*; expected one"):
            compute()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_card_computes_what_numpy_does(rng):
    ubm = random_gmm(rng, 100, 20)
    frames = draw(rng, ubm, 5000).astype(np.float32)
    exact = accumulate(ubm, frames, dtype=np.float64)
    first, second = (accumulate(ubm, frames, kernel="cuda") for _ in range(2))
    assert_close(first, all_of(exact), 1e-5)
    assert all(np.array_equal(*pair) for pair in zip(all_of(first), all_of(second), strict=True))
    models = adapted(rng, ubm, 70)
    expected, found = (
        score_matrix(models, ubm, [frames], ScoringConfig(kernel=kernel)) for kernel in ("numpy", "cuda")
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_a_run_on_a_card_that_is_not_there_ends_before_it_begins(tmp_path):
    command = ["run", str(ROOT / "recipes" / "quickstart.yaml"), "--device", "cuda", "--results", str(tmp_path)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: kernel cuda: torch")
    assert result.stderr.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_a_recipe_computes_by_the_kernel_of_the_device_asked_for():
    recipe = load_recipe(ROOT / "recipes" / "quickstart.yaml")
    chosen = recipe.with_kernel("torch")
    assert (chosen.ubm.kernel, chosen.scoring.kernel) == ("torch", "torch")
    assert chosen.ubm.n_components == recipe.ubm.n_components
    corpus = recipe.corpus
    alone = Recipe(name="alone", corpus=corpus, speakers=IndependentConfig(n_components=4))
    assert alone.with_kernel("torch") == alone.model_copy(
        update={"speakers": IndependentConfig(n_components=4, kernel="torch")}
    )
    both = Recipe(name="both", corpus=corpus, systems=(alone, Recipe(name="plain", corpus=corpus)))
    kernels = [(each.speakers, each.ubm.kernel) for each in both.with_kernel("torch").systems_or_self]
    assert kernels == [(IndependentConfig(n_components=4, kernel="torch"), "numpy"), (AdaptationConfig(), "torch")]


def test_a_recipe_that_skips_is_not_computed_by_a_device():
    recipe = load_recipe(ROOT / "recipes" / "quickstart.yaml", ["ubm.skip_below=1e-6"])
    with pytest.raises(RecipeError, match=r"quickstart: ubm.skip_below 1e-06: kernel torch skips nothing; expected 0"):
        recipe.with_kernel("torch")


def test_what_skips_has_no_kernel_of_torch(rng):
    with pytest.raises(ModelError, match=r"skip_below 0\.1 with kernel torch: expected 0"):
        accumulate(random_gmm(rng), np.zeros((4, 3)), skip_below=0.1, kernel="torch")
    with pytest.raises(ValidationError, match="skip_below 1e-06: kernel cuda skips nothing; expected 0"):
        TrainingConfig(skip_below=1e-6, kernel="cuda")


def test_without_torch_its_extra_is_named(rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "speechgmm.gmm.kernels.pytorch")
    monkeypatch.delattr("speechgmm.gmm.kernels.pytorch")
    with pytest.raises(ModelError, match=r"kernel torch needs the package torch: pip install 'speechgmm\[torch\]'"):
        accumulate(random_gmm(rng), np.zeros((4, 3)), kernel="torch")
