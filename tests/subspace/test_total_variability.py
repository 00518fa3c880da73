"""i-vectors: Kaldi's and Bob's values, recordings alone and among others, odd recordings and models, files."""

import copy

import numpy as np
import pytest

from helpers.models import draw, random_gmm
from helpers.paths import GOLDEN
from naive.subspace_ivectors import posterior
from speechgmm import accumulate, save_gmm
from speechgmm.errors import ModelError
from speechgmm.gmm.storage import check_front_end, read_header
from speechgmm.subspace import packed
from speechgmm.subspace.statistics import StackedStats, StatsStore, blocks_of, stack_statistics, write_statistics
from speechgmm.subspace.total_variability.accumulators import accumulate_evidence, log_likelihood
from speechgmm.subspace.total_variability.model import TotalVariability
from speechgmm.subspace.total_variability.posterior import ivectors
from speechgmm.subspace.total_variability.storage import load_total_variability, save_total_variability

BOB, KALDI, LITERAL = (np.load(GOLDEN / "subspace" / f"{name}.npz") for name in ("bob", "ivector_kaldi", "literal"))

STATS = np.load(GOLDEN / "subspace" / "ivector_stats.npz")
"""Sums of Kaldi's posteriors (`full5_posteriors`, and `gs3_` those pruned to three components) over the frames of each
of 40 recordings, and `online_` over the first frame of the first recording and every tenth after it."""


def stacked(zeroth, first) -> StackedStats:
    """Statistics of recordings, of which only these are known."""
    return StackedStats(zeroth, first, np.ceil(zeroth.sum(axis=1)).astype(int))


def random_model(rng, n_components=5, n_features=3, rank=4) -> TotalVariability:
    """Draw a model."""
    shape = (n_components, n_features)
    return TotalVariability(rng.normal(size=shape), rng.normal(size=(*shape, rank)), rng.uniform(0.3, 2, size=shape))


def random_statistics(rng, model, n_recordings=21) -> StackedStats:
    """Draw statistics of recordings."""
    zeroth = rng.gamma(1, 20, size=(n_recordings, model.n_components))
    first = zeroth[:, :, None] * model.means + rng.normal(size=(n_recordings, *model.means.shape)) * 20
    return stacked(zeroth, first)


def kaldi_ivectors(extractor: str, zeroth, first, **options) -> np.ndarray:
    """Extract with one of Kaldi's extractors, in the usual form, with its covariances made unit matrices."""
    loadings = KALDI[f"{extractor}_M"]
    means = float(KALDI[f"{extractor}_prior_offset"]) * loadings[:, :, 0]
    whiten = np.linalg.cholesky(KALDI[f"{extractor}_sigma_inv"]).transpose(0, 2, 1)  # W' W is the precision
    model = TotalVariability(np.einsum("cde,ce->cd", whiten, means), whiten @ loadings, np.ones_like(means))
    return ivectors(model, stacked(zeroth, np.einsum("cde,uce->ucd", whiten, first)), **options).values


@pytest.mark.parametrize(
    ("extractor", "golden", "options"),
    [
        ("start", "init", {}),
        *((f"{name}{n}", f"{name}_{n}", {}) for name in ("def", "nodiag", "novar") for n in (1, 5)),
        ("def5", "def_5_aw03", {"acoustic_weight": 0.3}),
        ("def5", "def_5_aw03_mc20", {"acoustic_weight": 0.3, "max_count": 20.0}),
    ],
)
def test_vectors_of_recordings_are_kaldis(extractor, golden, options):
    found = kaldi_ivectors(extractor, STATS["zeroth"], STATS["first"], **options)
    expected = KALDI[f"ivectors_{golden}"]
    np.testing.assert_allclose(found, expected, atol=6e-8 * np.abs(expected).max(), rtol=0)


def test_vectors_from_pruned_posteriors_are_kaldis():
    expected = KALDI["ivectors_def_5_gs3"]
    found = kaldi_ivectors("def5", STATS["gs3_zeroth"], STATS["gs3_first"])
    np.testing.assert_allclose(found, expected, atol=6e-8 * np.abs(expected).max(), rtol=0)


def test_vectors_of_speakers_are_those_of_sums_of_statistics():
    zeroth, first = (STATS[name].reshape(10, 4, *STATS[name].shape[1:]).sum(axis=1) for name in ("zeroth", "first"))
    expected = KALDI["ivectors_def_5_spk"]
    found = kaldi_ivectors("def5", zeroth, first)
    np.testing.assert_allclose(found, expected, atol=6e-8 * np.abs(expected).max(), rtol=0)


def test_vectors_of_a_growing_recording_are_those_of_kaldis_online_extraction():
    expected = KALDI["ivectors_def_5_online_first"]
    found = kaldi_ivectors("def5", STATS["online_zeroth"], STATS["online_first"])
    np.testing.assert_allclose(found, expected, atol=2e-6 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("name", ["iv_proj_0", "iv_sigma_proj10", "iv_nosigma_proj5"])
def test_vectors_are_bobs(name):
    kind, number = name.removesuffix("proj_0").removeprefix("iv_").split("_proj") if "sigma" in name else ("", "")
    loadings = BOB[f"iv_{kind}_T{number}"] if kind else BOB["iv_T0"]
    variances = BOB[f"iv_{kind}_sigma{number}"] if kind else BOB["ubm_variances"]
    model = TotalVariability(BOB["ubm_means"], loadings, variances)
    found = ivectors(model, stacked(BOB["stat_zeroth"], BOB["stat_first"]))
    np.testing.assert_allclose(found.values, BOB[name], atol=1e-13 * np.abs(BOB[name]).max(), rtol=1e-12)
    assert found.covariances is None


def test_vectors_and_covariances_are_the_literal_ones():
    model = TotalVariability(*(LITERAL[f"iv_md_{name}10"] for name in ("mean", "T", "sigma")))
    found = ivectors(model, stacked(BOB["stat_zeroth"], BOB["stat_first"]), covariances=True)
    np.testing.assert_allclose(found.values, LITERAL["iv_md_proj10"], atol=1e-12)
    np.testing.assert_allclose(found.covariances, LITERAL["iv_md_cov10"], atol=1e-13)


@pytest.mark.parametrize("rank", [1, 2, 5, 30])
def test_vectors_of_any_rank_are_those_of_the_naive_twin(rng, rank):
    model = random_model(rng, rank=rank)
    stats = random_statistics(rng, model)
    found = ivectors(model, stats, covariances=True)
    for row in range(len(stats)):
        mean, covariance = posterior(stats.zeroth[row], stats.first[row], model.means, model.loadings, model.variances)
        np.testing.assert_allclose(found.values[row], mean, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(found.covariances[row], covariance, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("size", [(3, 2, 2), (64, 7, 50), (32, 20, 120)])
def test_a_recordings_vector_has_the_same_bits_alone_and_among_others(rng, size):
    model = random_model(rng, *size)
    stats = random_statistics(rng, model, 70)
    among = ivectors(model, stats, covariances=True, max_count=100.0)
    for row in (0, 3, 7, 11, 13, 17, 33, 63, 64, 69):
        alone = ivectors(model, stats.rows([row]), covariances=True, max_count=100.0)
        assert np.array_equal(alone.values[0], among.values[row])
        assert np.array_equal(alone.covariances[0], among.covariances[row])
    turned = ivectors(model, stats.rows(range(69, -1, -1)), max_count=100.0)
    assert np.array_equal(turned.values[::-1], among.values)


def test_statistics_from_a_folder_and_in_a_list_give_the_same_bits(rng, tmp_path):
    ubm = random_gmm(rng)
    model = random_model(rng)
    stats = [accumulate(ubm, draw(rng, ubm, n_frames)) for n_frames in (30, 0, 100)]
    for _ in write_statistics(tmp_path, ["a", "b", "c"], stats, ubm.means.shape):
        pass
    assert np.array_equal(ivectors(model, StatsStore(tmp_path)).values, ivectors(model, stats).values)


def test_a_recording_without_frames_has_the_vector_0_and_the_priors_covariance(rng):
    model = random_model(rng)
    found = ivectors(model, stacked(np.zeros((1, 5)), np.zeros((1, 5, 3))), covariances=True, max_count=3.0)
    assert np.array_equal(found.values, np.zeros((1, 4)))
    assert np.array_equal(found.covariances[0], np.eye(4))


def test_a_maximum_count_scales_longer_recordings_only(rng):
    model = random_model(rng)
    stats = random_statistics(rng, model, 2)
    long = stacked(stats.zeroth * [[1], [10]], stats.first * [[[1]], [[10]]])
    count = float(stats.zeroth.sum(axis=1).max())
    found, plain = ivectors(model, long, max_count=count), ivectors(model, long)
    assert np.array_equal(found.values[0], plain.values[0])
    scale = count / long.zeroth[1].sum()
    mean, _ = posterior(scale * long.zeroth[1], scale * long.first[1], model.means, model.loadings, model.variances)
    np.testing.assert_allclose(found.values[1], mean, rtol=1e-10)


def test_a_model_of_rank_0_is_the_background_model(rng):
    ubm = random_gmm(rng)
    stats = stack_statistics([accumulate(ubm, draw(rng, ubm, 50), dtype=np.float64) for _ in range(3)])
    model = TotalVariability(ubm.means, np.zeros((5, 3, 0)), ubm.variances)
    vectors = ivectors(model, stats, covariances=True)
    assert vectors.values.shape == (3, 0)
    assert vectors.covariances.shape == (3, 0, 0)
    evidence = accumulate_evidence(model, 1.0, blocks_of(stats)[0])
    found = log_likelihood(model, evidence, stats.second)
    n, f, s = stats.zeroth.sum(axis=0), stats.first.sum(axis=0), stats.second
    distances = (s - 2 * f * ubm.means + n[:, None] * ubm.means**2) / ubm.variances
    frames = n @ np.log(2 * np.pi * ubm.variances).sum(axis=1) + distances.sum()
    assert found == pytest.approx(-0.5 * frames / 150, rel=1e-12)


@pytest.mark.parametrize("rank", range(8))
def test_packed_matrices_are_factorised_solved_and_inverted(rng, rank):
    root = rng.normal(size=(rank, rank))
    vectors = rng.normal(size=(3, rank))
    matrix = root @ root.T + np.eye(rank)
    row = packed.pack(matrix)
    assert row.shape == (packed.size(rank),)
    np.testing.assert_array_equal(np.tril(packed.unpack(row, rank)), np.tril(matrix))
    np.testing.assert_array_equal(np.sort(row[packed.diagonal(rank)]), np.sort(np.diag(matrix)))
    packed.add_outer(row, vectors)
    matrix = matrix + vectors.T @ vectors
    np.testing.assert_allclose(packed.unpack(row, rank), matrix, rtol=1e-13)
    assert packed.factorise(row, rank)
    right = rng.normal(size=(rank, 2))
    np.testing.assert_allclose(matrix @ packed.solve(row, right), right, atol=1e-10)
    lower = packed.solve_triangular(row, matrix)
    np.testing.assert_allclose(lower, np.linalg.cholesky(matrix).T, atol=1e-10)
    np.testing.assert_allclose(packed.solve_triangular(row, lower, transposed=True), np.eye(rank), atol=1e-10)
    packed.invert(row, rank)
    np.testing.assert_allclose(matrix @ packed.unpack(row, rank), np.eye(rank), atol=1e-10)


def test_a_packed_matrix_that_is_not_positive_definite_is_noticed():
    assert not packed.factorise(packed.pack(np.array([[1.0, 2.0], [2.0, 1.0]])), 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"means": np.zeros(3)}, r"means of shape \(3,\); expected \(C, D\)"),
        (
            {"loadings": np.zeros((2, 4, 2))},
            r"loadings of shape \(2, 4, 2\); expected \(C, D, R\) with means \(2, 3\)",
        ),
        ({"loadings": np.zeros((2, 3))}, r"loadings of shape \(2, 3\)"),
        ({"variances": np.ones((3, 2))}, r"variances of shape \(3, 2\); expected \(2, 3\), as the means"),
        ({"variances": np.zeros((2, 3))}, "least variance 0; expected all above 0"),
        ({"means": np.full((2, 3), np.nan)}, "means of a total-variability model hold NaN or infinity"),
    ],
)
def test_a_model_of_impossible_arrays_is_refused(changes, message):
    arrays = {"means": np.zeros((2, 3)), "loadings": np.zeros((2, 3, 2)), "variances": np.ones((2, 3))}
    with pytest.raises(ModelError, match=message):
        TotalVariability(**{**arrays, **changes})


def test_impossible_requests_are_refused(rng):
    model = random_model(rng)
    stats = random_statistics(rng, model)
    with pytest.raises(ModelError, match="no statistics"):
        ivectors(model, [])
    with pytest.raises(ModelError, match=r"statistics of shape \(5, 3\) for a model of shape \(5, 2\)"):
        ivectors(random_model(rng, 5, 2), stats)
    for weight in (0.0, 1.5, -1.0, np.nan):
        with pytest.raises(ModelError, match="acoustic_weight"):
            ivectors(model, stats, acoustic_weight=weight)
    for count in (0.0, -1.0, np.nan):
        with pytest.raises(ModelError, match="max_count"):
            ivectors(model, stats, max_count=count)


@pytest.mark.parametrize("scale", [1e12, 1e160, 1e300])
def test_loadings_beyond_double_precision_are_refused(rng, scale):
    model = random_model(rng)
    huge = TotalVariability(model.means, scale * np.ones_like(model.loadings), model.variances)
    with pytest.raises(ModelError, match=r"a recording of [\d.]+ frames cannot be computed: the loadings, up to"):
        ivectors(huge, random_statistics(rng, model))


def test_a_model_is_immutable_and_is_copied_without_its_products(rng):
    model = random_model(rng)
    ivectors(model, random_statistics(rng, model))
    again = copy.deepcopy(model)
    assert np.array_equal(again.loadings, model.loadings)
    assert "precisions" in vars(model)
    assert "precisions" not in vars(again)
    with pytest.raises(ValueError, match="read-only"):
        again.loadings[0] = 1


def test_a_model_comes_back_bit_for_bit_with_its_front_end(rng, tmp_path):
    model = random_model(rng)
    path = tmp_path / "factors.safetensors"
    save_total_variability(path, model, front_end={"n_cepstra": 24})
    again = load_total_variability(path)
    for name in ("means", "loadings", "variances"):
        assert np.array_equal(getattr(again, name), getattr(model, name))
    assert read_header(path).kind == "total_variability"
    with pytest.raises(ModelError, match="n_cepstra 24 there, 20 here"):
        check_front_end(path, {"n_cepstra": 20})
    save_total_variability(tmp_path / "again", model, front_end={"n_cepstra": 24})
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_other_files_are_refused(rng, tmp_path):
    with pytest.raises(ModelError, match="no such model file"):
        load_total_variability(tmp_path / "missing")
    save_gmm(tmp_path / "gmm", random_gmm(rng))
    with pytest.raises(ModelError, match="holds 'gmm'; expected 'total_variability'"):
        load_total_variability(tmp_path / "gmm")
    save_total_variability(tmp_path / "cut", random_model(rng))
    data = (tmp_path / "cut").read_bytes()
    (tmp_path / "cut").write_bytes(data[:-8])
    with pytest.raises(ModelError, match="cut: not readable as a model file"):
        load_total_variability(tmp_path / "cut")
    (tmp_path / "cut").write_bytes(data[:-8] + np.float64(-1).tobytes())  # the last variance
    with pytest.raises(ModelError, match="cut: least variance -1"):
        load_total_variability(tmp_path / "cut")
