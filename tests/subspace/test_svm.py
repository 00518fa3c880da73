"""Support-vector machines, one for each model."""

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from helpers.processes import modules_after
from naive import subspace_backend as naive
from speechgmm.errors import ModelError
from speechgmm.subspace.backend import svm
from speechgmm.subspace.backend.config import SvmConfig
from speechgmm.subspace.backend.scorer import EnrolledVectors
from speechgmm.subspace.backend.svm import SvmScorer, fit_svm
from speechgmm.subspace.vectors import Vectors


def machine(negatives, speakers=None, penalty=1.0):
    negatives = np.asarray(negatives, np.float64)
    speakers = speakers or [f"s{number}" for number in range(len(negatives))]
    return fit_svm(SvmConfig(step="svm", penalty=penalty), Vectors(negatives), speakers)


def penalties(n_positive, n_negative, penalty):
    """What errors cost: in sum the same on both sides, and `penalty` on average."""
    n_both = n_positive + n_negative
    return [penalty * n_both / 2 / n_negative] * n_negative + [penalty * n_both / 2 / n_positive] * n_positive


@pytest.fixture
def overlapping(rng):
    """80 background vectors, and 4 of a speaker among them, so that some are on the wrong side."""
    return rng.normal(size=(80, 5)) + 3.0, rng.normal(size=(4, 5)) + 3.5


def test_two_points_are_separated_in_the_middle():
    model = machine([[0.0, 1.0]]).enrol(Vectors([[2.0, 1.0]]))
    np.testing.assert_allclose(model.values, [[1.0, 0.0]], atol=1e-7)
    np.testing.assert_allclose(model.offsets, [-1.0], atol=1e-7)
    assert model.counts.tolist() == [1]


def test_the_edges_of_the_margin_score_1_and_minus_1():
    scorer = machine([[0.0, 0.0], [-1.0, 5.0], [0.0, -3.0]], penalty=100.0)
    models = scorer.enrol(Vectors([[4.0, 0.0], [9.0, 1.0]]))
    scores = scorer.score(models, Vectors([[0.0, 7.0], [2.0, 0.0], [4.0, -2.0]]))
    np.testing.assert_allclose(scores, [[-1.0, 0.0, 1.0]], atol=1e-6)


@pytest.mark.parametrize("penalty", [0.4, 2.0, 50.0])
def test_the_machine_is_the_best_of_all_choices_of_multipliers(rng, penalty):
    for _ in range(4):
        negatives, positives = rng.normal(size=(5, 2)), rng.normal(size=(2, 2)) + 0.7
        model = machine(negatives, penalty=penalty).enrol(Vectors(positives))
        signs = np.array([-1.0] * 5 + [1.0] * 2)
        vectors = np.vstack([negatives, positives])
        normal, offset = naive.support_vector_machine(vectors, signs, penalties(2, 5, penalty))
        np.testing.assert_allclose(model.values[0], normal, atol=1e-9)
        assert model.offsets[0] == pytest.approx(offset, abs=1e-9)


def test_at_a_low_penalty_the_normal_is_the_difference_of_the_means(overlapping):
    negatives, positives = overlapping
    model = machine(negatives, penalty=1e-4).enrol(Vectors(positives))
    expected = 1e-4 * 84 / 2 * (positives.mean(axis=0) - negatives.mean(axis=0))  # all at the penalty, as heavy in sum
    np.testing.assert_allclose(model.values[0], expected, rtol=1e-9)


@pytest.mark.parametrize("penalty", [0.1, 1.0, 1000.0])
def test_the_conditions_of_the_optimum_hold(overlapping, penalty):
    negatives, positives = overlapping
    model = machine(negatives, penalty=penalty).enrol(Vectors(positives))
    vectors, signs = np.vstack([negatives, positives]), np.repeat([-1.0, 1.0], [80, 4])
    costs = np.array(penalties(4, 80, penalty))
    margins = signs * (vectors @ model.values[0] + model.offsets[0])
    free = np.abs(margins - 1) < 1e-9
    multipliers = np.where(margins < 1, costs, 0.0)  # at the penalty inside the margin, 0 outside, between on its edge
    system = np.vstack([signs * vectors.T, signs])  # the normal is the weighted sum, and the weights add up to 0
    rest = np.append(model.values[0], 0) - system[:, ~free] @ multipliers[~free]
    between = lsq_linear(system[:, free], rest, (0, costs[free]), tol=1e-14)
    scale = np.abs(system) @ multipliers + 1
    assert (np.abs(between.fun) < 1e-9 * scale.max()).all()


def test_what_all_vectors_have_in_common_moves_the_plane_and_does_not_turn_it(overlapping):
    negatives, positives = overlapping
    model = machine(negatives).enrol(Vectors(positives))
    far = machine(negatives + 1e5).enrol(Vectors(positives + 1e5))
    np.testing.assert_allclose(far.values, model.values, atol=1e-5)
    np.testing.assert_allclose(
        (positives + 1e5) @ far.values[0] + far.offsets, positives @ model.values[0] + model.offsets, atol=1e-4
    )


def test_the_speakers_own_recordings_are_left_out(overlapping):
    negatives, positives = overlapping
    speakers = [f"s{number // 4}" for number in range(80)]
    model = machine(negatives, speakers).enrol(Vectors(positives), "s3")
    others = np.delete(negatives, range(12, 16), axis=0)
    alone = machine(others).enrol(Vectors(positives))
    np.testing.assert_allclose(model.values, alone.values, atol=1e-6)
    np.testing.assert_allclose(model.offsets, alone.offsets, atol=1e-5)
    kept = machine(negatives, speakers).enrol(Vectors(positives), "a stranger")
    assert np.array_equal(kept.values, machine(negatives, speakers).enrol(Vectors(positives)).values)


def test_a_model_is_the_same_bits_whatever_was_enrolled_before(overlapping, rng):
    negatives, positives = overlapping
    first = machine(negatives)
    first.enrol(Vectors(rng.normal(size=(3, 5))))
    model, again = first.enrol(Vectors(positives)), machine(negatives).enrol(Vectors(positives))
    assert np.array_equal(model.values, again.values)
    assert np.array_equal(model.offsets, again.offsets)


def test_a_test_has_the_same_bits_whatever_the_other_tests_are(overlapping, rng):
    negatives, _ = overlapping
    scorer = machine(negatives)
    models = EnrolledVectors.stack([scorer.enrol(Vectors(rng.normal(size=(3, 5)))) for _ in range(7)])
    tests = rng.normal(size=(37, 5))
    whole = scorer.score(models, Vectors(tests))
    assert whole.shape == (7, 37)
    assert np.array_equal(np.hstack([scorer.score(models, Vectors(row[None])) for row in tests]), whole)


def test_vectors_that_are_all_the_same_have_a_machine_of_zeros():
    scorer = machine(np.ones((4, 3)))
    model = scorer.enrol(Vectors(np.ones((2, 3))))
    np.testing.assert_allclose(model.values, np.zeros((1, 3)), atol=1e-12)
    assert np.isfinite(model.offsets).all()


def test_what_has_no_machine_is_refused(overlapping):
    negatives, positives = overlapping
    with pytest.raises(ModelError, match="svm: all 80 background recordings are of ann; expected those of others too"):
        machine(negatives, ["ann"] * 80).enrol(Vectors(positives), "ann")
    with pytest.raises(ModelError, match="svm: vectors of 3 dimensions; expected 5, as the background's"):
        machine(negatives).enrol(Vectors(np.ones((2, 3))))
    with pytest.raises(ModelError, match="tests of 3 dimensions for models of 5; expected the same"):
        machine(negatives).score(machine(negatives).enrol(Vectors(positives)), Vectors(np.ones((2, 3))))
    with pytest.raises(ModelError, match="for 3 speakers; expected"):
        SvmScorer(SvmConfig(step="svm"), negatives, ("a", "b", "c"))


def test_scikit_learn_is_imported_when_the_first_machine_is_trained():
    assert "sklearn" not in modules_after("import speechgmm.subspace.backend.chain")


def test_vectors_that_no_number_of_steps_separates_are_refused(rng, monkeypatch):
    monkeypatch.setattr(svm, "MOST_STEPS", 50)
    background = Vectors(rng.normal(size=(120, 5)))
    scorer = fit_svm(SvmConfig(step="svm", penalty=1e4), background, ["bo"] * 120)
    with pytest.raises(ModelError, match="no plane found in 50 steps between 3 vectors of a model and 120 of the back"):
        scorer.enrol(Vectors(rng.normal(size=(3, 5))))
