import numpy as np
import pytest

from naive import subspace_plda as naive
from speechgmm.errors import ModelError
from speechgmm.subspace.backend import plda_uncertainty
from speechgmm.subspace.backend.config import PldaConfig
from speechgmm.subspace.backend.plda import PldaScorer, fit_plda
from speechgmm.subspace.backend.plda_model import Plda
from speechgmm.subspace.backend.plda_training import train_plda
from speechgmm.subspace.backend.plda_uncertainty import train_uncertain_plda
from speechgmm.subspace.backend.scorer import EnrolledVectors
from speechgmm.subspace.vectors import Vectors


def some_covariances(rng, n, n_dimensions, scale=0.5):
    """Positive definite matrices, of large and small vectors in turn."""
    roots = scale * rng.normal(size=(n, n_dimensions, n_dimensions)) * rng.uniform(0.2, 2, (n, 1, 1))
    return roots @ roots.transpose(0, 2, 1)


def some_vectors(rng, n, n_dimensions, scale=0.5):
    return Vectors(rng.normal(size=(n, n_dimensions)) * 2, some_covariances(rng, n, n_dimensions, scale))


def some_speakers(rng, counts, n_dimensions):
    numbers = np.repeat(np.arange(len(counts)), counts)
    values = 2 * rng.normal(size=(len(counts), n_dimensions))[numbers] + rng.normal(size=(len(numbers), n_dimensions))
    return Vectors(values, some_covariances(rng, len(numbers), n_dimensions)), [str(number) for number in numbers]


def certain(vectors):
    return Vectors(vectors.values, np.zeros((len(vectors), vectors.dimension, vectors.dimension)))


def some_scorer(rng, n_dimensions=3, psi=None, **keys):
    psi = np.sort(rng.uniform(0, 6, n_dimensions))[::-1] if psi is None else psi
    model = Plda(rng.normal(size=n_dimensions), rng.normal(size=(n_dimensions, n_dimensions)), psi)
    return PldaScorer(PldaConfig(step="plda", uncertainty=True, **keys), model)


def part(vectors, rows):
    return Vectors(vectors.values[rows], None if vectors.covariances is None else vectors.covariances[rows])


def enrol_by(scorer, vectors, cuts):
    return EnrolledVectors.stack([scorer.enrol(part(vectors, slice(*each))) for each in cuts])


CUTS = [(0, 1), (1, 3), (3, 6), (6, 10)]


@pytest.mark.parametrize("psi", [None, [4.0, 0.5, 0.0]])
def test_scores_are_the_ratios_of_joint_gaussians(psi, rng):
    scorer = some_scorer(rng, psi=psi)
    vectors, tests, model = some_vectors(rng, 10, 3), some_vectors(rng, 4, 3), scorer.model
    scores = scorer.score(enrol_by(scorer, vectors, CUTS), tests)
    for row, (start, stop) in enumerate(CUTS):
        for column in range(4):
            expected = naive.llr(
                vectors.values[start:stop],
                tests.values[column],
                model.mean,
                model.within,
                model.between,
                vectors.covariances[start:stop],
                tests.covariances[column],
            )
            assert scores[row, column] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("length", ["none", "expected", "simple"])
def test_without_uncertainty_scores_are_the_plain_ones(length, rng):
    scorer = some_scorer(rng, 4, length=length)
    plain = PldaScorer(PldaConfig(step="plda", length=length), scorer.model)
    vectors, tests = some_vectors(rng, 10, 4), some_vectors(rng, 6, 4)
    expected = plain.score(enrol_by(plain, vectors, CUTS), tests)
    found = scorer.score(enrol_by(scorer, certain(vectors), CUTS), certain(tests))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_a_normalised_length_scales_the_uncertainty(rng):
    scorer = some_scorer(rng, 4)
    normalised = PldaScorer(PldaConfig(step="plda", uncertainty=True, length="simple"), scorer.model)
    vectors, model = some_vectors(rng, 3, 4), scorer.model
    factors = 2 / np.linalg.norm((vectors.values - model.mean) @ model.transform.T, axis=1)
    scaled = Vectors(
        model.mean + factors[:, None] * (vectors.values - model.mean), factors[:, None, None] ** 2 * vectors.covariances
    )
    ones = [(0, 1), (1, 2), (2, 3)]
    expected = scorer.score(enrol_by(scorer, scaled, ones), scaled)
    np.testing.assert_allclose(normalised.score(enrol_by(normalised, vectors, ones), vectors), expected, atol=1e-9)


def test_equal_uncertainty_of_all_is_a_wider_covariance_within(rng):
    scorer = some_scorer(rng)
    vectors, tests = some_vectors(rng, 10, 3), some_vectors(rng, 4, 3)
    extra = vectors.covariances[0]
    model = scorer.model
    wider = [
        naive.llr(vectors.values[:4], test, model.mean, model.within + extra, model.between) for test in tests.values
    ]
    enrolled = scorer.enrol(Vectors(vectors.values[:4], np.tile(extra, (4, 1, 1))))
    np.testing.assert_allclose(enrolled.values[0], vectors.values[:4].mean(axis=0), atol=1e-10)
    np.testing.assert_allclose(enrolled.covariances[0], extra / 4, atol=1e-10)
    scores = scorer.score(enrolled, Vectors(tests.values, np.tile(extra, (4, 1, 1))))
    np.testing.assert_allclose(scores[0], wider, atol=1e-9)


def test_vectors_that_say_nothing_score_nothing(rng):
    scorer = some_scorer(rng)
    tests = some_vectors(rng, 4, 3)
    nothing = Vectors(rng.normal(size=(2, 3)), np.tile(1e12 * np.eye(3), (2, 1, 1)))
    np.testing.assert_allclose(scorer.score(scorer.enrol(nothing), tests), np.zeros((1, 4)), atol=1e-6)


def test_a_column_has_the_same_bits_whatever_the_other_tests_and_blocks_are(rng, monkeypatch):
    scorer = some_scorer(rng, 5, length="expected")
    vectors, tests = some_vectors(rng, 10, 5), some_vectors(rng, 23, 5)
    enrolled = enrol_by(scorer, vectors, CUTS)
    scores = scorer.score(enrolled, tests)
    monkeypatch.setattr(plda_uncertainty, "TEST_VALUES_AT_ONCE", 100)
    for start, stop in ((0, 1), (3, 20), (22, 23)):
        assert (scorer.score(enrolled, part(tests, slice(start, stop))) == scores[:, start:stop]).all()
    monkeypatch.setattr(plda_uncertainty, "VALUES_AT_ONCE", 50)
    np.testing.assert_allclose(scorer.score(enrolled, tests), scores, rtol=0, atol=1e-12)
    assert scorer.score(enrolled, part(tests, slice(0))).shape == (4, 0)


def test_em_without_uncertainty_is_the_plain_one(rng):
    vectors, speakers = some_speakers(rng, [1, 4, 2, 3, 1], 3)
    for n_iterations in (1, 10):
        expected = train_plda(vectors.values, speakers, n_iterations)
        found = train_uncertain_plda(certain(vectors), speakers, n_iterations)
        np.testing.assert_allclose(found.psi, expected.psi, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.transform, expected.transform, rtol=1e-8, atol=1e-9)


def test_em_takes_the_steps_of_the_joint_posteriors(rng):
    vectors, speakers = some_speakers(rng, [1, 4, 2, 3, 3], 3)
    for n_iterations in (1, 4):
        model = train_uncertain_plda(vectors, speakers, n_iterations)
        mean, within, between = naive.em(vectors.values, speakers, n_iterations, vectors.covariances)
        np.testing.assert_allclose(model.mean, mean, rtol=1e-12)
        np.testing.assert_allclose(model.within, within, rtol=0, atol=1e-10)
        np.testing.assert_allclose(model.between, between, rtol=0, atol=1e-10)


def test_the_likelihood_never_falls(rng):
    vectors, speakers = some_speakers(rng, [1, 4, 2, 3, 3, 2, 2], 3)
    names = np.array(speakers)
    likelihoods = []
    for n_iterations in range(1, 12):
        model = train_uncertain_plda(vectors, speakers, n_iterations)
        each = [
            naive.joint_log_density(
                vectors.values[names == name],
                model.mean,
                model.within,
                model.between,
                vectors.covariances[names == name],
            )
            for name in np.unique(names)
        ]
        likelihoods.append(sum(each))
    assert (np.diff(likelihoods) > -1e-9).all()
    assert likelihoods[-1] > likelihoods[0] + 0.5


def test_known_noise_is_taken_out_of_the_covariance_within(rng):
    numbers = np.repeat(np.arange(300), 6)
    covariances = some_covariances(rng, len(numbers), 2)
    noise = np.einsum("nij,nj->ni", np.linalg.cholesky(covariances), rng.normal(size=(len(numbers), 2)))
    values = 2 * rng.normal(size=(300, 2))[numbers] + rng.normal(size=(len(numbers), 2)) + noise
    plda = fit_plda(
        PldaConfig(step="plda", uncertainty=True, n_iterations=15),
        Vectors(values, covariances),
        [str(number) for number in numbers],
    )
    np.testing.assert_allclose(plda.model.within, np.eye(2), atol=0.1)
    np.testing.assert_allclose(plda.model.between, 4 * np.eye(2), atol=0.8)


def test_fewer_recordings_than_dimensions_stay_finite(rng):
    vectors, speakers = some_speakers(rng, [3, 2, 2], 12)
    plda = fit_plda(PldaConfig(step="plda", uncertainty=True), vectors, speakers)
    assert plda.warnings
    assert np.isfinite(plda.score(plda.enrol(part(vectors, slice(0, 3))), some_vectors(rng, 9, 12))).all()


@pytest.mark.parametrize("scale", [1e-30, 1e6])
def test_the_scale_of_the_vectors_does_not_matter(scale, rng):
    vectors, speakers = some_speakers(rng, [3] * 12, 2)
    scaled = Vectors(vectors.values * scale, vectors.covariances * scale**2)
    config = PldaConfig(step="plda", uncertainty=True, n_iterations=60)
    scores = []
    for each in (vectors, scaled):
        plda = fit_plda(config, each, speakers)
        scores.append(plda.score(plda.enrol(part(each, slice(0, 3))), part(each, slice(5, 9))))
    np.testing.assert_allclose(scores[1], scores[0], rtol=0, atol=1e-4)


def test_vectors_without_covariances_are_refused_everywhere(rng):
    scorer = some_scorer(rng)
    vectors, speakers = some_speakers(rng, [3, 3], 3)
    bare = Vectors(vectors.values)
    with pytest.raises(ModelError, match="the vectors have no covariances"):
        fit_plda(scorer.config, bare, speakers)
    with pytest.raises(ModelError, match="the vectors have no covariances"):
        scorer.enrol(bare)
    with pytest.raises(ModelError, match="the vectors have no covariances"):
        scorer.score(scorer.enrol(vectors), bare)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_covariances_that_are_no_numbers_are_refused_by_number(value, rng):
    vectors, _ = some_speakers(rng, [3, 3], 3)
    covariances = vectors.covariances.copy()
    np.fill_diagonal(covariances[4], value)
    with pytest.raises(ModelError, match="the covariance of vector 4 holds NaN or infinity"):
        Vectors(vectors.values, covariances)


@pytest.mark.parametrize("value", [-5.0, 1e308])
def test_covariances_that_make_no_sense_are_refused_by_number(value, rng):
    scorer = some_scorer(rng)
    vectors, speakers = some_speakers(rng, [3, 3], 3)
    covariances = vectors.covariances.copy()
    np.fill_diagonal(covariances[4], value)
    broken = Vectors(vectors.values, covariances)
    with pytest.raises(ModelError, match="covariance of vector 4 has a negative variance"):
        scorer.score(scorer.enrol(vectors), broken)
    with pytest.raises(ModelError, match="covariance of vector 4 has a negative variance"):
        scorer.enrol(broken)
    with pytest.raises(ModelError, match="covariance of vector 4 has a negative variance"):
        fit_plda(scorer.config, broken, speakers)
