"""The intervals of a trial list, as metrics.json has them."""

import numpy as np
import pytest
from pydantic import ValidationError

from speechgmm.evaluation.bootstrap import TrialGroup, intervals
from speechgmm.evaluation.summary import EvaluationConfig, summarise, uncertainty


@pytest.fixture
def trials(rng):
    """Scores, kinds and speakers of all speakers against all, one score missing."""
    models, tests = np.repeat(np.arange(6), 12), np.tile(np.repeat(np.arange(6), 2), 6)
    scores = rng.normal(size=72) + 2.0 * (models == tests)
    scores[5] = np.nan
    return scores, models == tests, (models, tests)


def test_the_intervals_are_those_of_the_scored_trials_under_the_names_of_the_numbers(trials):
    scores, target, (models, tests) = trials
    config = EvaluationConfig(dcf=("sre10", "sre16"), false_alarm_rates=(0.1,), bootstrap=50, confidence=0.8)
    found = uncertainty(scores, target, (models, tests), config, np.random.default_rng(3))
    numbers = summarise(scores, target, config)
    assert list(found) == [name for name in numbers if not name.startswith("n_")]
    kinds = target & ~np.isnan(scores), ~target & ~np.isnan(scores)
    sides = [TrialGroup(scores[kind], models[kind], tests[kind]) for kind in kinds]
    settings = {"presets": ("sre10", "sre16"), "false_alarm_rates": (0.1,), "n_resamples": 50, "confidence": 0.8}
    expected = intervals(*sides, **settings, rng=np.random.default_rng(3))
    assert tuple(found["eer"]) == expected["eer"]
    assert tuple(found["min_dcf"]["sre16"]) == expected["min_dcf.sre16"]
    assert tuple(found["act_dcf"]["sre10"]) == expected["act_dcf.sre10"]


def test_there_are_none_where_none_are_asked_for_or_a_kind_is_missing(trials, rng):
    scores, target, speakers = trials
    assert uncertainty(scores, target, speakers, EvaluationConfig(bootstrap=0), rng) is None
    only = np.where(target, np.nan, scores)
    assert uncertainty(only, target, speakers, EvaluationConfig(), rng) is None


def test_numbers_that_there_are_not_have_their_names(trials):
    scores, target, _ = trials
    config = EvaluationConfig(dcf=("sre10",), false_alarm_rates=(0.25,))
    there = summarise(scores, target, config)
    for kind, sides in ((target, (0, 60 - 1)), (~target, (12, 0))):
        found = summarise(np.where(kind, np.nan, scores), target, config)
        assert list(found) == list(there)
        assert (found["n_target"], found["n_nontarget"]) == sides
        assert {found[name] for name in ("eer", "eer_hull", "auc", "cllr", "min_cllr")} == {None}
        assert (found["p_miss_at_fa"], found["min_dcf"], found["act_dcf"]) == ({"0.25": None}, *[{"sre10": None}] * 2)


def test_one_trial_of_each_kind_has_numbers_and_a_certain_error_has_no_cllr():
    config = EvaluationConfig(dcf=("sre08",))
    found = summarise(np.array([1.0, -1.0]), np.array([True, False]), config)
    assert (found["eer"], found["eer_hull"], found["auc"], found["min_cllr"]) == (0, 0, 1, 0)
    assert (found["p_miss_at_fa"], found["n_certain_errors"]) == ({"0.01": 0, "0.001": 0}, 0)
    wrong = summarise(np.array([-np.inf, np.inf]), np.array([True, False]), config)
    assert (wrong["eer"], wrong["eer_hull"], wrong["auc"], wrong["min_cllr"]) == (1, 0.5, 0, 1)
    assert (wrong["cllr"], wrong["n_certain_errors"]) == (None, 2)
    right = summarise(np.array([np.inf, -np.inf]), np.array([True, False]), config)
    assert (right["cllr"], right["n_certain_errors"]) == (0, 0)


@pytest.mark.parametrize(
    "keys",
    [
        {"bootstrap": -1},
        {"confidence": 1.0},
        {"confidence": 0.0},
        {"bootstrap": 1.5},
        {"false_alarm_rates": [0.0]},
        {"false_alarm_rates": [0.01, 1.0]},
        {"false_alarm_rates": 0.01},
    ],
)
def test_what_has_no_meaning_is_refused(keys):
    with pytest.raises(ValidationError):
        EvaluationConfig(**keys)
