import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.paths import GOLDEN
from naive import subspace_plda as naive
from speechgmm.errors import ModelError
from speechgmm.subspace.backend.config import PldaAdaptationConfig, PldaConfig
from speechgmm.subspace.backend.plda import PldaScorer, fit_plda
from speechgmm.subspace.backend.plda_adaptation import adapt_plda
from speechgmm.subspace.backend.plda_model import Plda, plda_llrs, project, smooth_plda
from speechgmm.subspace.backend.plda_training import train_plda
from speechgmm.subspace.backend.scorer import EnrolledVectors
from speechgmm.subspace.vectors import Vectors


def kaldis(name):
    arrays = np.load(GOLDEN / "subspace" / "plda_kaldi.npz")
    return Plda(*(arrays[f"{name}_{part}"] for part in ("mean", "transform", "psi")))


def kaldis_input():
    """Vectors of training, their speakers, those of adaptation, and those of 12 speakers by 3."""
    arrays = np.load(GOLDEN / "subspace" / "input.npz")
    speakers = [str(number) for number in arrays["emb_speaker"]]
    test = arrays["emb_test"].reshape(12, 3, 6)
    return arrays["emb"].astype(np.float64), speakers, arrays["emb_adapt"].astype(np.float64), test


def assert_same_model(model, expected, rtol):
    def close(found, wanted):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=rtol * np.abs(wanted).max())

    close(model.mean, expected.mean)
    close(model.psi, expected.psi)
    signs = np.sign((model.transform * expected.transform).sum(axis=1))
    close(model.transform * signs[:, None], expected.transform)


def draw_speakers(rng, counts, n_dimensions, between=1.0):
    """Vectors of speakers with so many recordings each, and their names."""
    numbers = np.repeat(np.arange(len(counts)), counts)
    mixing = rng.normal(size=(n_dimensions, n_dimensions))
    vectors = between * rng.normal(size=(len(counts), n_dimensions))[numbers] + rng.normal(size=(len(numbers), 1)) @ (
        rng.normal(size=(1, n_dimensions))
    )
    vectors += rng.normal(size=vectors.shape) @ mixing
    return vectors + 3, [f"speaker {number}" for number in numbers]


def some_model(rng, n_dimensions=4):
    psi = np.sort(rng.uniform(0, 6, n_dimensions))[::-1]
    return Plda(rng.normal(size=n_dimensions), rng.normal(size=(n_dimensions, n_dimensions)), psi)


def scorer(model, **keys):
    return PldaScorer(PldaConfig(step="plda", **keys), model)


# Kaldi


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


def test_smoothing_is_that_of_kaldi():
    # It reads the share as a float.
    assert_same_model(smooth_plda(kaldis("plda10"), 0.2), kaldis("plda10_smooth"), rtol=3e-8)


@pytest.mark.parametrize(
    ("name", "config", "rtol"),
    [
        ("plda10_adapt", None, 4e-7),  # the shares there are floats
        ("plda10_adapt2", PldaAdaptationConfig(within_scale=0.75, between_scale=0.25, mean_scale=0.0), 1e-12),
    ],
)
def test_adaptation_is_that_of_kaldi(name, config, rtol):
    assert_same_model(adapt_plda(kaldis("plda10"), kaldis_input()[2], config), kaldis(name), rtol)


@pytest.mark.parametrize(
    ("scores", "name", "length", "count"),
    [
        ("norm", "plda10", "expected", 2),
        ("nonorm", "plda10", "none", 2),
        ("simple", "plda10", "simple", 2),
        ("one", "plda10", "expected", 1),
        ("adapt", "plda10_adapt", "expected", 2),
        ("smooth", "plda10_smooth", "expected", 2),
    ],
)
def test_scores_are_those_of_kaldi(scores, name, length, count):
    vectors = kaldis_input()[3]
    means = vectors[:, :2].mean(axis=1)  # in single precision, as there
    enrolled = EnrolledVectors(means, np.full(12, count), np.zeros(12))
    expected = np.load(GOLDEN / "subspace" / "plda_kaldi.npz")[f"scores_{scores}"]
    found = scorer(kaldis(name), length=length).score(enrolled, Vectors(vectors[:, 2]))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)  # written with six digits


def test_scores_of_two_enrolments_are_those_of_joint_gaussians_in_the_golden_values():
    plda, vectors = scorer(kaldis("plda10")), kaldis_input()[3].astype(np.float64)
    enrolled = EnrolledVectors.stack([plda.enrol(Vectors(each[:2])) for each in vectors])
    expected = np.load(GOLDEN / "subspace" / "literal.npz")["twocov_scores"]
    np.testing.assert_allclose(plda.score(enrolled, Vectors(vectors[:, 2])), expected, rtol=0, atol=1e-11)


# Theory


def test_scores_are_the_ratios_of_joint_gaussians_for_any_number_of_enrolments(rng):
    model = some_model(rng)
    vectors, tests = rng.normal(size=(10, 4)) * 2, rng.normal(size=(5, 4)) * 2
    parts = [vectors[:1], vectors[1:3], vectors[3:6], vectors[6:10]]
    plda = scorer(model)
    scores = plda.score(EnrolledVectors.stack([plda.enrol(Vectors(part)) for part in parts]), Vectors(tests))
    expected = [[naive.llr(part, test, model.mean, model.within, model.between) for test in tests] for part in parts]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-10)


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


def test_two_vectors_score_the_same_whichever_is_enrolled(rng):
    model = some_model(rng)
    first, second = rng.normal(size=(2, 6, 4)) * 3
    ones = np.ones(6, int)
    for length in ("none", "expected", "simple"):
        scores = plda_llrs(model, first, ones, second, length)
        np.testing.assert_allclose(plda_llrs(model, second, ones, first, length), scores.T, rtol=0, atol=1e-11)


def test_normalised_lengths_are_what_they_say(rng):
    model, vectors = some_model(rng), rng.normal(size=(3, 4)) * 5
    counts = np.array([1, 2, 7])
    centred = (vectors - model.mean) @ model.transform.T
    for length, norms in (
        ("simple", np.linalg.norm(centred, axis=1)),
        ("expected", np.sqrt((centred**2 / (model.psi + 1 / counts[:, None])).sum(axis=1))),
    ):
        scaled = centred * (2 / norms)[:, None]  # two is the root of four dimensions
        back = np.linalg.solve(model.transform, scaled.T).T + model.mean
        tests = back[:1]
        expected = plda_llrs(model, back, counts, tests)
        np.testing.assert_allclose(plda_llrs(model, vectors, counts, vectors[:1], length), expected, atol=1e-10)


def test_smoothing_adds_a_share_of_between_to_within(rng):
    model = some_model(rng)
    smooth = smooth_plda(model, 0.3)
    np.testing.assert_allclose(smooth.within, model.within + 0.3 * model.between, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(smooth.between, model.between, rtol=1e-9, atol=1e-12)


def test_adaptation_to_vectors_that_the_model_explains_moves_its_mean_only(rng):
    model = some_model(rng)
    total = np.linalg.cholesky(model.within + model.between)
    corners = 0.9 * np.sqrt(2) * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]) @ np.eye(2, 4)
    adapted = adapt_plda(model, model.mean + corners @ total.T / 2)
    np.testing.assert_allclose(adapted.within, model.within, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(adapted.between, model.between, rtol=1e-9, atol=1e-10)


# Scorer


def test_a_column_has_the_same_bits_whatever_the_other_tests_are(rng):
    model, tests = some_model(rng, 7), rng.normal(size=(37, 7))
    enrolled = EnrolledVectors(rng.normal(size=(5, 7)), np.array([1, 3, 1, 2, 9]), np.zeros(5))
    for length in ("none", "expected", "simple"):
        plda = scorer(model, length=length)
        scores = plda.score(enrolled, Vectors(tests))
        for start, stop in ((0, 1), (5, 22), (36, 37), (0, 16)):
            assert (plda.score(enrolled, Vectors(tests[start:stop])) == scores[:, start:stop]).all()
        assert plda.score(enrolled, Vectors(tests[:0])).shape == (5, 0)


def test_the_scorer_comes_back_from_its_arrays():
    vectors, speakers, _, tests = kaldis_input()
    plda = fit_plda(PldaConfig(step="plda", length="expected"), Vectors(vectors), speakers)
    again = PldaScorer.from_arrays(plda.config, {name: array.copy() for name, array in plda.arrays.items()})
    enrolled = plda.enrol(Vectors(tests[0]), "Ann")
    assert (again.score(enrolled, Vectors(tests[1])) == plda.score(enrolled, Vectors(tests[1]))).all()
    with pytest.raises(ModelError, match="no transform or psi among mean"):
        PldaScorer.from_arrays(plda.config, {"mean": plda.model.mean})


def test_a_scorer_is_trained_then_adapted_then_smoothed():
    vectors, speakers, others, _ = kaldis_input()
    config = PldaConfig(step="plda", n_iterations=10, smoothing=0.2, adaptation=PldaAdaptationConfig())
    plda = fit_plda(config, Vectors(vectors), speakers, Vectors(others))
    expected = smooth_plda(kaldis("plda10_adapt"), 0.2)
    assert_same_model(plda.model, expected, rtol=4e-7)
    with pytest.raises(ModelError, match="adaptation without vectors"):
        fit_plda(config, Vectors(vectors), speakers)


def test_the_mean_of_the_vectors_is_enrolled_with_their_number(rng):
    vectors = rng.normal(size=(3, 4))
    plda = scorer(some_model(rng))
    enrolled = plda.enrol(Vectors(vectors))
    np.testing.assert_allclose(enrolled.values, vectors.mean(axis=0)[None], rtol=1e-14)
    assert enrolled.counts.tolist() == [3]
    assert enrolled.covariances is None
    with pytest.raises(ModelError, match="no vectors to enrol"):
        plda.enrol(Vectors(vectors[:0]))
    with pytest.raises(ModelError, match="vectors of 3 dimensions for PLDA of 4"):
        plda.enrol(Vectors(vectors[:, :3]))
    with pytest.raises(ModelError, match="vectors of 3 dimensions for PLDA of 4"):
        plda.score(enrolled, Vectors(vectors[:, :3]))


# The value


def test_a_model_is_read_only_and_survives_pickling(rng):
    model = some_model(rng)
    again = pickle.loads(pickle.dumps(model))
    for each in (model, again):
        for name in ("mean", "transform", "psi"):
            with pytest.raises(ValueError, match="read-only"):
                getattr(each, name)[:] = 0
    assert (again.transform == model.transform).all()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"mean": [0.0]}, r"mean \(1,\), transform \(2, 2\) and psi \(2,\)"),
        ({"psi": [1.0, 2.0]}, "falling"),
        ({"psi": [1.0, -1.0]}, "none below 0"),
        ({"mean": [0.0, np.nan]}, "mean holds NaN"),
        ({"transform": [[1.0, 1.0], [1.0, 1.0]]}, "singular"),
    ],
)
def test_a_model_that_makes_no_sense_is_refused(keys, message):
    with pytest.raises(ModelError, match=message):
        Plda(**{"mean": [0.0, 0.0], "transform": np.eye(2), "psi": [2.0, 1.0], **keys})


def test_the_largest_entry_of_every_row_is_positive(rng):
    vectors, speakers = draw_speakers(rng, [3] * 30, 5)
    rows = train_plda(vectors, speakers).transform
    assert (np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1) > 0).all()


@pytest.mark.parametrize("smoothing", [-0.1, np.nan, np.inf])
def test_smoothing_by_less_than_nothing_is_refused(smoothing, rng):
    with pytest.raises(ModelError, match="smoothing"):
        smooth_plda(some_model(rng), smoothing)


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
    assert scorer(model).warnings == model.warnings


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


def test_a_start_that_is_not_left_behind_is_warned_of(rng):
    vectors, speakers = draw_speakers(rng, [3] * 60, 3)
    model = train_plda(vectors / np.sqrt(500 * vectors.var()), speakers, 1)
    assert any("after 1 iterations" in each for each in model.warnings)


def test_speakers_with_one_recording_help_without_harm(rng):
    vectors, speakers = draw_speakers(rng, [1] * 30 + [2], 3)
    model = train_plda(vectors, speakers)
    assert np.isfinite(plda_llrs(model, vectors, np.ones(32, int), vectors)).all()


def test_vectors_far_beyond_everything_are_refused_or_scored(rng):
    model = some_model(rng)
    with pytest.raises(ModelError, match="vector 1 is more than 1e\\+100 deviations"):
        project(model, np.array([np.zeros(4), np.full(4, 1e300)]))
    assert np.isfinite(plda_llrs(model, np.full((1, 4), 1e50), np.ones(1, int), np.full((1, 4), -1e50))).all()


@pytest.mark.parametrize(
    ("vectors", "message"),
    [(np.zeros((1, 4)), "U at least 2"), (np.full((3, 4), np.inf), "NaN or infinity"), (np.zeros((3, 2)), "PLDA of 4")],
)
def test_adaptation_refuses_what_it_cannot_use(vectors, message, rng):
    with pytest.raises(ModelError, match=message):
        adapt_plda(some_model(rng), vectors)


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
