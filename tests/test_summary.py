"""The intervals of a trial list, as metrics.json has them."""

import numpy as np
import pytest
from pydantic import ValidationError

from speechgmm.evaluation.bootstrap import Side, intervals
from speechgmm.evaluation.summary import EvaluationConfig, summarise, uncertainty


@pytest.fixture
def trials(rng):
    """Scores, kinds and speakers of everybody against everybody, one score missing."""
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
    sides = [Side(scores[kind], models[kind], tests[kind]) for kind in kinds]
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


@pytest.mark.parametrize("keys", [{"bootstrap": -1}, {"confidence": 1.0}, {"confidence": 0.0}, {"bootstrap": 1.5}])
def test_what_has_no_meaning_is_refused(keys):
    with pytest.raises(ValidationError):
        EvaluationConfig(**keys)
