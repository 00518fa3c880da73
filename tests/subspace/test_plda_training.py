import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.paths import GOLDEN
from helpers.plda import assert_same_model, draw_speakers, kaldis, kaldis_input
from naive import subspace_plda as naive
from speechgmm.errors import ModelError
from speechgmm.subspace.backend.config import PldaConfig
from speechgmm.subspace.backend.plda import PldaScorer
from speechgmm.subspace.backend.plda_adaptation import adapt_plda
from speechgmm.subspace.backend.plda_model import plda_llrs, smooth_plda
from speechgmm.subspace.backend.plda_training import train_plda


@pytest.mark.parametrize("n_iterations", [1, 10, 50])
def test_em_makes_the_model_of_kaldi(n_iterations):
    vectors, speakers, _, _ = kaldis_input()
    model = train_plda(vectors, speakers, n_iterations)
    assert_same_model(model, kaldis(f"plda{n_iterations}"), rtol=1e-12)
    assert model.warnings == ()


def test_the_covariances_of_the_model_are_those_in_the_original_space():
    vectors, speakers, _, _ = kaldis_input()
    model = train_plda(vectors, speakers)
    expected = np.load(GOLDEN / "subspace" / "literal.npz")
    np.testing.assert_allclose(model.within, expected["plda10_within"], rtol=1e-11)
    np.testing.assert_allclose(model.between, expected["plda10_between"], rtol=1e-11)


def test_em_takes_the_steps_of_the_joint_posteriors(rng):
    vectors, speakers = draw_speakers(rng, [1, 4, 2, 3, 3, 1, 5], 3)
    for n_iterations in (1, 3):
        model = train_plda(vectors, speakers, n_iterations)
        mean, within, between = naive.em(vectors, speakers, n_iterations)
        np.testing.assert_allclose(model.mean, mean, rtol=1e-12)
        np.testing.assert_allclose(model.within, within, rtol=1e-10)
        np.testing.assert_allclose(model.between, between, rtol=1e-10)


def test_the_likelihood_never_falls(rng):
    vectors, speakers = draw_speakers(rng, [1, 4, 2, 3, 3, 1, 5, 2, 2], 4)
    names = np.array(speakers)
    likelihoods = []
    for n_iterations in range(1, 15):
        model = train_plda(vectors, speakers, n_iterations)
        each = [
            naive.joint_log_density(vectors[names == name], model.mean, model.within, model.between)
            for name in np.unique(names)
        ]
        likelihoods.append(sum(each))
    assert (np.diff(likelihoods) > -1e-9).all()
    assert likelihoods[-1] > likelihoods[0] + 1


def test_vectors_without_speakers_have_next_to_no_variance_between_them(rng):
    speakers = [str(number) for number in np.repeat(np.arange(500), 6)]
    vectors = rng.normal(size=(3000, 3))
    least = [train_plda(vectors, speakers, n).psi for n in (1, 10, 300)]
    assert (least[1] < least[0]).all()
    assert (least[2] < least[1]).all()
    assert least[2].max() < 0.02


def test_the_model_of_many_speakers_is_the_one_that_drew_them(rng):
    vectors, speakers = draw_speakers(rng, [5] * 4000, 2, between=2.0)
    model = train_plda(vectors, speakers, 30)
    np.testing.assert_allclose(model.between, 4 * np.eye(2), atol=0.35)


def test_the_largest_entry_of_every_row_is_positive(rng):
    vectors, speakers = draw_speakers(rng, [3] * 30, 5)
    rows = train_plda(vectors, speakers).transform
    assert (np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1) > 0).all()


# Little or bad data


@pytest.mark.parametrize(
    ("vectors", "speakers", "message"),
    [
        (np.eye(4), list("abcd"), "4 recordings of 4 speakers, one each"),
        (np.eye(4), list("aaaa"), "4 recordings of 1 speaker;"),
        (np.eye(4), list("aab"), "3 speakers"),
        (np.ones((4, 2)), list("aabb"), "4 recordings of 2 speakers in 2 dimensions, all of them alike"),
        (np.full((4, 2), 0.1) + 1e-17, list("aabb"), "all of them alike"),
        (np.array([[1.0], [1.0], [2.0], [2.0]]), list("aabb"), "those of each speaker are the same"),
        (np.array([[1.0], [np.nan], [2.0], [2.0]]), list("aabb"), "holds NaN"),
        (np.array([[1.0], [1e200], [2.0], [2.0]]), list("aabb"), "above 1e\\+100"),
        (np.zeros((0, 3)), [], "vectors of shape"),
        (np.zeros((3, 0)), list("aab"), "vectors of shape"),
    ],
)
def test_data_that_allow_no_model_are_refused_with_their_counts(vectors, speakers, message):
    with pytest.raises(ModelError, match=message):
        train_plda(vectors, speakers)


def test_few_speakers_and_few_recordings_are_warned_of(rng):
    vectors, speakers = draw_speakers(rng, [2] * 6, 8)
    model = train_plda(vectors, speakers)
    assert any("6 speakers are few for 8 dimensions" in each for each in model.warnings)
    assert any("12 recordings less 6 speakers leave 6 differences for 8" in each for each in model.warnings)
    assert any("lda" in each for each in model.warnings)
    assert np.isfinite(plda_llrs(model, vectors, np.ones(12, int), vectors)).all()
    assert PldaScorer(PldaConfig(step="plda"), model).warnings == model.warnings


@pytest.mark.parametrize("n_iterations", [10, 1000])
def test_many_iterations_on_too_few_recordings_stay_finite(n_iterations, rng):
    vectors, speakers = draw_speakers(rng, [2] * 6, 8)
    model = train_plda(vectors, speakers, n_iterations)
    assert np.isfinite(plda_llrs(model, vectors, np.ones(12, int), rng.normal(size=(5, 8)))).all()


def test_directions_without_variance_do_not_change_scores(rng):
    vectors, speakers = draw_speakers(rng, [3] * 40, 4)
    tests, ones = rng.normal(size=(6, 4)) + 3, np.ones(6, int)
    mixing = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    model = train_plda(np.pad(vectors, ((0, 0), (0, 2)), constant_values=0.7) @ mixing, speakers)
    assert any("do not vary in 2 directions" in each for each in model.warnings)
    expected = plda_llrs(train_plda(vectors, speakers), tests, ones, tests)
    wide = np.pad(tests, ((0, 0), (0, 2)), constant_values=0.7)
    np.testing.assert_allclose(plda_llrs(model, wide @ mixing, ones, wide @ mixing), expected, rtol=0, atol=1e-8)
    wide[:, 4:] = rng.normal(size=(6, 2))
    assert np.isfinite(plda_llrs(model, wide @ mixing, ones, wide @ mixing)).all()


def test_fewer_recordings_than_dimensions_are_modelled_in_their_span(rng):
    vectors, speakers = draw_speakers(rng, [3, 2, 2], 20)
    model = train_plda(vectors, speakers)
    assert (model.psi[6:] == 0).all()
    assert np.isfinite(plda_llrs(model, vectors, np.ones(7, int), rng.normal(size=(50, 20)) * 10)).all()


@pytest.mark.parametrize("scale", [1e-60, 1e6])
def test_the_scale_of_the_vectors_does_not_matter(scale, rng):
    vectors, speakers = draw_speakers(rng, [4] * 60, 3)
    ones = np.ones(5, int)
    expected = plda_llrs(train_plda(vectors, speakers, 200), vectors[:5], ones, vectors[5:9])
    model = train_plda(vectors * scale, speakers, 200)
    assert model.warnings == ()
    np.testing.assert_allclose(
        plda_llrs(model, vectors[:5] * scale, ones, vectors[5:9] * scale), expected, rtol=0, atol=1e-5
    )


def test_dimensions_of_very_different_scale_stand_side_by_side(rng):
    vectors, speakers = draw_speakers(rng, [4] * 60, 3)
    scales = np.array([1e-20, 1.0, 1e20])
    ones = np.ones(5, int)
    expected = plda_llrs(train_plda(vectors, speakers, 200), vectors[:5], ones, vectors[5:9])
    found = plda_llrs(train_plda(vectors * scales, speakers, 200), vectors[:5] * scales, ones, vectors[5:9] * scales)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_two_identical_recordings_are_no_harm(rng):
    vectors, speakers = draw_speakers(rng, [3] * 20, 3)
    vectors[1] = vectors[0]
    vectors[3:6] = vectors[3]
    model = train_plda(vectors, speakers)
    assert model.warnings == ()
    assert np.isfinite(plda_llrs(model, vectors, np.ones(60, int), vectors)).all()


def test_a_start_that_is_not_left_behind_is_warned_of(rng):
    vectors, speakers = draw_speakers(rng, [3] * 60, 3)
    model = train_plda(vectors / np.sqrt(500 * vectors.var()), speakers, 1)
    assert any("after 1 iterations" in each for each in model.warnings)


def test_speakers_with_one_recording_help_without_harm(rng):
    vectors, speakers = draw_speakers(rng, [1] * 30 + [2], 3)
    model = train_plda(vectors, speakers)
    assert np.isfinite(plda_llrs(model, vectors, np.ones(32, int), vectors)).all()


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    counts=st.lists(st.integers(1, 4), min_size=2, max_size=6),
    n_dimensions=st.integers(1, 6),
    kinds=st.lists(st.sampled_from(["normal", "constant", "copy", "tiny", "huge", "integer"]), min_size=6, max_size=6),
    n_iterations=st.sampled_from([1, 10, 60]),
)
def test_any_vectors_have_a_model_with_finite_scores_or_an_error(seed, counts, n_dimensions, kinds, n_iterations):
    rng = np.random.default_rng(seed)
    speakers = [str(number) for number in np.repeat(np.arange(len(counts)), counts)]
    vectors = rng.normal(size=(len(speakers), n_dimensions))
    for column, kind in enumerate(kinds[:n_dimensions]):
        if kind == "constant":
            vectors[:, column] = 0.1
        elif kind == "copy":
            vectors[:, column] = vectors[:, 0]
        elif kind == "integer":
            vectors[:, column] = np.rint(vectors[:, column])
        else:
            vectors[:, column] *= {"normal": 1, "tiny": 1e-30, "huge": 1e30}[kind]
    try:
        model = train_plda(vectors, speakers, n_iterations)
    except ModelError:
        return
    tests = np.vstack([vectors, vectors + rng.normal(size=vectors.shape)])
    for each in (model, smooth_plda(model, 0.5), adapt_plda(model, tests)):
        assert np.isfinite(plda_llrs(each, vectors, np.ones(len(vectors), int), tests, "expected")).all()
        assert np.isfinite(each.within).all()


@pytest.mark.parametrize("seed", range(10))
def test_fewer_differences_than_dimensions_give_a_model_and_a_warning(seed):
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.normal(size=(10, 88)), 9, axis=0) + rng.normal(size=(90, 88))
    model = train_plda(vectors, np.repeat([*"abcdefghij"], 9))
    assert any("leave 80 differences for 88 dimensions" in each for each in model.warnings)
    assert (np.diff(smooth_plda(model, 0.3).psi) <= 0).all()
