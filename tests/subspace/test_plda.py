import copy

import numpy as np
import pytest

from helpers.paths import GOLDEN
from helpers.plda import assert_same_model, kaldis, kaldis_input, some_model
from naive import subspace_plda as naive
from speechgmm.errors import ModelError
from speechgmm.subspace.backend.config import PldaAdaptationConfig, PldaConfig
from speechgmm.subspace.backend.plda import PldaScorer, fit_plda
from speechgmm.subspace.backend.plda_adaptation import adapt_plda
from speechgmm.subspace.backend.plda_model import Plda, plda_llrs, project, smooth_plda
from speechgmm.subspace.backend.scorer import EnrolledVectors
from speechgmm.subspace.vectors import Vectors


def scorer(model, **keys):
    return PldaScorer(PldaConfig(step="plda", **keys), model)


# Kaldi


def test_smoothing_is_that_of_kaldi():
    share = float(np.float32(0.2))  # as it reads the option
    assert_same_model(smooth_plda(kaldis("plda10"), share), kaldis("plda10_smooth"), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "within", "between", "mean"), [("plda10_adapt", 0.3, 0.7, 1.0), ("plda10_adapt2", 0.75, 0.25, 0.0)]
)
def test_adaptation_is_that_of_kaldi(name, within, between, mean):
    within, between = float(np.float32(within)), float(np.float32(between))  # as it reads the options
    config = PldaAdaptationConfig(within_scale=within, between_scale=between, mean_scale=mean)
    assert_same_model(adapt_plda(kaldis("plda10"), kaldis_input()[2], config), kaldis(name), rtol=1e-12)


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
    again = copy.deepcopy(model)
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


@pytest.mark.parametrize("smoothing", [-0.1, np.nan, np.inf])
def test_smoothing_by_less_than_nothing_is_refused(smoothing, rng):
    with pytest.raises(ModelError, match="smoothing"):
        smooth_plda(some_model(rng), smoothing)


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
