"""Identification. Expected values come from Bayes' rule, written out, and from cases done by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import naive
from speechgmm.scoring.identification import IdentificationConfig, identify

CLOSED = IdentificationConfig(p_unknown=0.0)
OPEN = IdentificationConfig()
NAMES = ("eve", "bob", "ada")


def test_by_hand():
    found = identify([0.0, math.log(6), math.log(2)], NAMES, OPEN)
    assert [one.name for one in found.candidates] == ["bob", "ada", "eve"]
    np.testing.assert_allclose([one.posterior for one in found.candidates], [1 / 2, 1 / 6, 1 / 12])
    assert found.p_unknown == pytest.approx(1 / 4)
    assert found.answer == "bob"


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=9), st.floats(0, 0.999))
def test_posteriors_are_those_of_bayes_rule(llrs, p_unknown):
    names = [f"speaker {number}" for number in range(len(llrs))]
    found = identify(llrs, names, IdentificationConfig(p_unknown=p_unknown))
    *expected, unknown = naive.posteriors_of_speakers(llrs, p_unknown)
    posterior_of = {one.name: one.posterior for one in found.candidates}
    np.testing.assert_allclose([posterior_of[name] for name in names], expected, rtol=1e-9, atol=1e-300)
    assert found.p_unknown == pytest.approx(unknown, rel=1e-9)


def test_posteriors_are_true_of_speakers_drawn_from_the_prior(rng):
    # 3 speakers and "unknown"; scores of a speaker's model are calibrated ratios of unit-variance observations
    centres, n_tests = np.array([[2.0, 0.0], [0.0, 2.0], [-2.0, -2.0]]), 20_000
    speakers = rng.choice(4, n_tests, p=[0.2, 0.2, 0.2, 0.4])
    tests = np.vstack([centres, np.zeros((1, 2))])[speakers] + rng.normal(size=(n_tests, 2))
    llrs = tests @ centres.T - 0.5 * (centres**2).sum(axis=1)
    found = [identify(row, NAMES, IdentificationConfig(p_unknown=0.4)) for row in llrs]
    best = np.array([one.candidates[0].posterior for one in found])
    right = np.array(
        [NAMES.index(one.candidates[0].name) == speaker for one, speaker in zip(found, speakers, strict=True)]
    )
    for low, high in ((0.2, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 1.0)):
        chosen = (best >= low) & (best < high)
        assert right[chosen].mean() == pytest.approx(best[chosen].mean(), abs=0.03)


def test_an_enrolled_speaker_is_the_answer_in_a_closed_set():
    found = identify([-900.0, -1000.0, -950.0], NAMES, CLOSED)
    assert found.answer == "eve"
    assert found.p_unknown == 0
    assert found.candidates[0].posterior == pytest.approx(1)


@pytest.mark.parametrize(("threshold", "answer"), [(1.9, "bob"), (2.0, "bob"), (2.1, None)])
def test_below_the_threshold_the_speaker_is_unknown(threshold, answer):
    config = IdentificationConfig(threshold=threshold)
    assert identify([1.0, 2.0, -3.0], NAMES, config).answer == answer


def test_unknown_is_the_answer_where_that_is_more_probable():
    assert identify([-1.0, -2.0, -3.0], NAMES, OPEN).answer is None
    assert identify([2.0, -2.0, -3.0], NAMES, OPEN).answer == "eve"
    assert identify([2.0, -2.0, -3.0], NAMES, IdentificationConfig(p_unknown=0.9)).answer is None


def test_of_equal_posteriors_the_speaker_is_the_answer():
    found = identify([0.0], ["anna"], IdentificationConfig(p_unknown=0.5))
    assert (found.candidates[0].posterior, found.p_unknown, found.answer) == (0.5, 0.5, "anna")


def test_a_single_speaker_is_verification():
    # accepted at the Bayes threshold of equal costs, log((1 - p) / p)
    assert identify([1.09], ["ada"], IdentificationConfig(p_unknown=0.75)).answer is None
    assert identify([1.11], ["ada"], IdentificationConfig(p_unknown=0.75)).answer == "ada"


@given(st.permutations(range(3)), st.lists(st.integers(-2, 2).map(float), min_size=3, max_size=3))
def test_the_order_of_enrolment_makes_no_difference(order, llrs):
    before = identify(llrs, NAMES, OPEN)
    after = identify([llrs[i] for i in order], [NAMES[i] for i in order], OPEN)
    assert [one[:2] for one in after.candidates] == [one[:2] for one in before.candidates]
    assert after.answer == before.answer
    assert after.p_unknown == pytest.approx(before.p_unknown)


@pytest.mark.parametrize(
    ("llrs", "names", "message"),
    [
        ([], [], "no enrolled speakers to identify"),
        ([1.0, 2.0], ["ada", "ada"], "speaker ada is enrolled more than once"),
        ([1.0], ["ada", "bob"], r"shape \(1,\), expected \(2,\)"),
        ([1.0, math.nan], ["ada", "bob"], "ratio of speaker bob: nan"),
        ([math.inf, 1.0], ["ada", "bob"], "ratio of speaker ada: inf"),
    ],
)
def test_ratios_and_names_that_identify_no_speaker_are_refused(llrs, names, message):
    with pytest.raises(ValueError, match=message):
        identify(llrs, names, OPEN)


@pytest.mark.parametrize("keys", [{"p_unknown": 1.0}, {"p_unknown": -0.1}, {"threshold": math.inf}])
def test_configurations_without_a_meaning_are_refused(keys):
    with pytest.raises(ValidationError):
        IdentificationConfig(**keys)


@pytest.mark.parametrize("config", [OPEN, CLOSED, IdentificationConfig(threshold=0.5)])
def test_speakers_who_are_equally_good_are_no_answer(config):
    found = identify([2.0, 1.0, 2.0 + 1e-9], NAMES, config)
    assert (found.answer, found.tied) == (None, ("ada", "eve"))
    assert {one.name for one in found.candidates[:2]} == {"ada", "eve"}
    assert identify([2.0, 1.0, 2.0 + 1e-3], NAMES, config).answer == "ada"
    assert identify([-500.0, -1000.0, -500.0 - 1e-9], NAMES, CLOSED).tied == ("ada", "eve")


def test_equal_speakers_who_are_not_the_answer_are_no_tie():
    assert identify([-9.0, -9.0, -10.0], NAMES, OPEN).tied == ()
    assert identify([2.0, 1.0, 1.0], NAMES, OPEN).answer == "eve"


def test_what_a_calibration_makes_equal_is_no_tie_if_scores_differ():
    found = identify([2.0, 2.0, 2.0], NAMES, CLOSED, ranks=[0.1, 0.3, 0.2])
    assert (found.answer, found.tied) == ("bob", ())
    assert identify([2.0, 2.0, 2.0], NAMES, CLOSED, ranks=[0.1, 0.3, 0.3]).tied == ("ada", "bob")
