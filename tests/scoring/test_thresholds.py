"""Thresholds. Expected values come from closed forms, from every possible threshold in turn, and from cases by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import naive
from speechgmm.evaluation.costs import bayes_threshold
from speechgmm.evaluation.metrics import Costs, dcf, eer_threshold, min_dcf
from speechgmm.scoring.thresholds import (
    EQUAL_ERRORS,
    CostsConfig,
    ThresholdConfig,
    find_threshold,
    min_dcf_threshold,
    p_fa_threshold,
    threshold_meaning,
    with_preset_costs,
)

few_scores = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)
some_costs = st.builds(Costs, st.sampled_from([0.5, 1.0, 10.0]), st.sampled_from([1.0, 3.0]), st.floats(0.001, 0.999))


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        (Costs(1, 1, 0.5), 0.0),
        (Costs(10, 1, 0.01), math.log(9.9)),  # NIST 2008
        (Costs(1, 1, 0.001), math.log(999)),  # NIST 2010
        (Costs(1, 4, 0.8), 0.0),
    ],
)
def test_the_bayes_threshold_is_the_ratio_of_what_errors_cost(costs, expected):
    assert bayes_threshold(costs) == pytest.approx(expected, abs=1e-12)


def test_the_bayes_threshold_of_calibrated_ratios_is_nearly_the_best(rng):
    target, nontarget = rng.normal(2, 2, 200_000), rng.normal(-2, 2, 200_000)
    for costs in (Costs(1, 1, 0.5), Costs(10, 1, 0.01), Costs(1, 5, 0.3)):
        found = dcf(target, nontarget, bayes_threshold(costs), costs)
        assert found == pytest.approx(min_dcf(target, nontarget, costs), rel=0.01)


@pytest.mark.parametrize("costs", [Costs(0, 1, 0.5), Costs(1, math.inf, 0.5), Costs(1, 1, 1.0), Costs(1, 1, math.nan)])
def test_costs_without_a_meaning_are_refused(costs):
    with pytest.raises(ValueError, match="expected a"):
        bayes_threshold(costs)


@given(few_scores, few_scores, some_costs)
def test_no_threshold_costs_less_than_that_of_min_dcf(target, nontarget, costs):
    found = min_dcf_threshold(target, nontarget, costs)
    assert math.isfinite(found)
    assert naive.dcf(target, nontarget, found, costs) == pytest.approx(naive.min_dcf(target, nontarget, costs))


def test_thresholds_of_trials_by_hand():
    target, nontarget = [1.0, 3.0, 4.0], [0.0, 2.0]
    assert min_dcf_threshold(target, nontarget, Costs(1, 1, 0.5)) == 3.0
    assert min_dcf_threshold(target, nontarget, Costs(1, 1, 0.9)) == 1.0
    assert min_dcf_threshold([0.0], [1.0], Costs(1, 2, 0.5)) == np.nextafter(1.0, 2.0)
    assert p_fa_threshold(target, nontarget, 0.5) == np.nextafter(0.0, 1.0)
    assert p_fa_threshold(target, nontarget, 0.49) == np.nextafter(2.0, 3.0)


@given(few_scores, few_scores, st.floats(0, 1, exclude_max=True))
def test_a_false_alarm_rate_is_kept_and_used_up(target, nontarget, p_fa):
    found = p_fa_threshold(target, nontarget, p_fa)
    assert sum(score >= found for score in nontarget) / len(nontarget) <= p_fa
    lower = np.nextafter(found, -np.inf)
    assert sum(score >= lower for score in nontarget) / len(nontarget) > p_fa


def test_a_false_alarm_rate_is_kept_on_other_trials_of_the_kind(rng):
    threshold = p_fa_threshold([0.0], rng.normal(size=100_000), 0.01)
    assert threshold == pytest.approx(2.3263, abs=0.05)  # the normal deviate of 1 %


@pytest.mark.parametrize("p_fa", [-0.1, 1.0, math.nan])
def test_a_false_alarm_rate_that_is_none_is_refused(p_fa):
    with pytest.raises(ValueError, match=f"p_fa = {p_fa}: expected a share"):
        p_fa_threshold([1.0], [0.0], p_fa)


def test_a_configuration_finds_its_threshold():
    target, nontarget = [1.0, 3.0, 4.0], [0.0, 2.0]
    costs = CostsConfig(c_miss=10.0, c_fa=1.0, p_target=0.01)
    found = [
        find_threshold(target, nontarget, config)
        for config in (
            ThresholdConfig(costs=costs),
            ThresholdConfig(method="min_dcf", costs=costs),
            ThresholdConfig(method="eer"),
            ThresholdConfig(method="p_fa", p_fa=0.5),
        )
    ]
    assert found == pytest.approx([math.log(9.9), 3.0, eer_threshold(target, nontarget), 0.0], abs=1e-12)


@pytest.mark.parametrize("method", ["min_dcf", "eer", "p_fa"])
def test_a_side_without_scores_has_no_threshold(method):
    config = ThresholdConfig(method=method, p_fa=0.1 if method == "p_fa" else None)
    with pytest.raises(ValueError, match="nontarget scores: none"):
        find_threshold([1.0], [], config)


@pytest.mark.parametrize(
    "keys",
    [
        {"method": "p_fa"},
        {"method": "eer", "p_fa": 0.1},
        {"method": "eer", "costs": CostsConfig(c_miss=2.0)},
        {"method": "p_fa", "p_fa": 1.0},
        {"costs": {"c_miss": 0.0}},
    ],
)
def test_configurations_without_a_meaning_are_refused(keys):
    with pytest.raises(ValidationError):
        ThresholdConfig(**keys)


@pytest.mark.parametrize(
    ("config", "presets", "costs", "source"),
    [
        (ThresholdConfig(), ("sre08", "voxceleb"), (10, 1, 0.01), "the costs of sre08, the evaluation's first preset"),
        (ThresholdConfig(method="min_dcf"), ("sre16",), (1, 1, 0.01), "the costs of sre16"),  # the first of its two
        (ThresholdConfig(costs=CostsConfig(c_miss=2)), ("sre08",), (2, 1, 0.01), ""),
    ],
)
def test_costs_that_a_decision_leaves_open_are_those_of_the_first_preset(config, presets, costs, source):
    found = with_preset_costs(config, presets).costs
    assert (found.c_miss, found.c_fa, found.p_target) == costs
    meaning = threshold_meaning(config, presets)
    assert f"c_miss {costs[0]}, c_fa {costs[1]}, p_target {costs[2]}" in meaning
    assert source in meaning
    assert bool(source) == ("preset" in meaning)


def test_no_costs_are_filled_in_where_none_have_an_effect():
    config = ThresholdConfig(method="eer")
    assert with_preset_costs(config, ("sre08",)) == config
    assert with_preset_costs(ThresholdConfig(), ()) == ThresholdConfig()
    assert "c_miss 1, c_fa 1, p_target 0.01" in threshold_meaning(ThresholdConfig())
    # resolved recipes of earlier versions have these costs for every method
    assert not ThresholdConfig(method="eer", costs=CostsConfig()).has_own_costs


def test_equal_errors_have_the_threshold_zero():
    assert bayes_threshold(Costs(**EQUAL_ERRORS.model_dump())) == pytest.approx(0, abs=1e-15)
