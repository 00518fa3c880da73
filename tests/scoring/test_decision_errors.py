"""Errors of decisions by threshold: counted one by one, and in words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from speechgmm.scoring.decision_errors import THRESHOLDS, DecisionErrors, count_errors, errors_in_words

ratios = st.lists(st.one_of(st.sampled_from(THRESHOLDS), st.floats(-30, 30)), min_size=1, max_size=12)


def rate(values):
    values = list(values)
    return sum(values) / len(values)


@given(ratios, ratios)
def test_every_rate_is_that_of_the_decisions_at_its_threshold(target, nontarget):
    truth = np.arange(len(target) + len(nontarget)) < len(target)
    found = count_errors(np.array(target + nontarget), truth)
    assert (found.thresholds[0], found.thresholds[-1], len(found.thresholds)) == (-10, 10, 41)
    for threshold, p_miss, p_fa in zip(found.thresholds, found.p_miss, found.p_fa, strict=True):
        assert p_miss == pytest.approx(rate(llr < threshold for llr in target), abs=1e-15)
        assert p_fa == pytest.approx(rate(llr >= threshold for llr in nontarget), abs=1e-15)
        assert found.at(threshold) == (p_miss, p_fa)
    assert DecisionErrors.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("truth", [True, False])
def test_one_kind_of_trial_has_no_errors_to_count(truth):
    assert count_errors(np.zeros(3), np.full(3, truth)) is None


def test_rates_between_thresholds_are_on_a_line_and_beyond_them_unknown():
    table = DecisionErrors(thresholds=(0.0, 2.0), p_miss=(0.1, 0.5), p_fa=(0.04, 0.0))
    assert table.at(0.5) == pytest.approx((0.2, 0.03))
    assert (table.at(-0.1), table.at(2.1)) == (None, None)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"p_fa": (0.5,)}, "2 and 1 rates for 2 thresholds"),
        ({"thresholds": (1.0, 1.0)}, "expected thresholds that increase"),
        ({"p_miss": (0.2, 0.1)}, "p_miss that never falls"),
        ({"p_fa": (0.1, 0.2)}, "p_fa that never rises"),
        ({"p_fa": (1.1, 0.2)}, "less than or equal to 1"),
    ],
)
def test_a_table_that_no_trials_can_have_given_is_refused(keys, message):
    right = {"thresholds": (0.0, 1.0), "p_miss": (0.1, 0.2), "p_fa": (0.2, 0.1)}
    with pytest.raises(ValidationError, match=message):
        DecisionErrors(**{**right, **keys})


@pytest.mark.parametrize(
    ("p_miss", "p_fa", "rejected", "accepted"),
    [
        (0.123, 0.0, "about 12 are rejected", "fewer than 1 is accepted"),
        (0.0099, 0.01, "fewer than 1 is rejected", "about 1 is accepted"),
        (0.99, 0.016, "about 99 are rejected", "about 2 are accepted"),
        (1.0, 0.995, "more than 99 are rejected", "more than 99 are accepted"),
    ],
)
def test_words_say_how_many_of_a_hundred(p_miss, p_fa, rejected, accepted):
    expected = f"of 100 recordings of the right speaker {rejected}, of 100 of others {accepted}"
    assert errors_in_words(p_miss, p_fa) == expected
