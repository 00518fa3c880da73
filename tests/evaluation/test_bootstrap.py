"""Intervals by drawing speakers, against trials that are repeated one by one and against known error rates."""

import numpy as np
import pytest
from scipy.stats import norm

from speechgmm.evaluation import bootstrap, metrics
from speechgmm.evaluation.bootstrap import TrialGroup, differences, intervals, resampled

PRESETS = ("sre08", "sre16")
RATES = (0.1, 0.01)


def simulated(rng, n_speakers, n_tests, eer):
    """Scores of all speakers against all: voices move them as models and in tests, on top of noise of variance 1.

    Target and nontarget scores are normal with the same variance v, so the EER is that of two such: with means d
    apart it is Phi(-d / (2 sqrt(v))), and d is chosen to make it what it is.
    """
    models = np.repeat(np.arange(n_speakers), n_speakers * n_tests)
    tests = np.tile(np.repeat(np.arange(n_speakers), n_tests), n_speakers)
    scores = rng.normal(scale=0.5, size=n_speakers)[models] + rng.normal(scale=0.5, size=n_speakers)[tests]
    scores += rng.normal(size=len(models)) - 2 * norm.ppf(eer) * np.sqrt(1.5) * (models == tests)
    return sides(scores, models, tests)


def sides(scores, models, tests):
    target = models == tests
    return tuple(TrialGroup(scores[kind], models[kind], tests[kind]) for kind in (target, ~target))


def repeated(side, counts):
    """The scores, each as often as its trial counts: once for each copy of the speaker, or of each pair of copies."""
    scores = []
    for score, model, test in zip(*map(np.asarray, side), strict=True):
        scores += [score] * int(counts[model] if model == test else counts[model] * counts[test])
    return scores


def numbers(target, nontarget):
    """The numbers as the functions in `metrics` give them."""
    return {
        "eer": metrics.eer(target, nontarget),
        "eer_hull": metrics.eer_hull(target, nontarget),
        "auc": metrics.auc(target, nontarget),
        **{f"p_miss_at_fa.{rate}": metrics.miss_rate_at(target, nontarget, rate) for rate in RATES},
        **{f"min_dcf.{preset}": metrics.min_dcf(target, nontarget, preset) for preset in PRESETS},
        **{f"act_dcf.{preset}": metrics.act_dcf(target, nontarget, preset) for preset in PRESETS},
        "cllr": metrics.cllr(target, nontarget),
        "min_cllr": metrics.min_cllr(target, nontarget),
    }


@pytest.mark.parametrize("ties", [False, True])
def test_a_resample_is_its_trials_repeated(rng, ties, monkeypatch):
    monkeypatch.setattr(bootstrap, "BLOCK", 600)  # several blocks
    target, nontarget = simulated(rng, 8, 2, 0.2)
    if ties:
        target, nontarget = (each._replace(scores=np.round(each.scores)) for each in (target, nontarget))
        nontarget.scores[:3] = -np.inf
        target.scores[:2] = np.inf
    counts = rng.multinomial(8, np.full(8, 1 / 8), 20).T
    found = resampled(target, nontarget, counts, PRESETS, RATES)
    for number, drawn in enumerate(counts.T):
        expected = numbers(repeated(target, drawn), repeated(nontarget, drawn))
        assert {name: values[number] for name, values in found.items()} == pytest.approx(expected, abs=1e-12)


def test_a_certain_error_costs_without_limit_where_it_is_drawn():
    target = TrialGroup([-np.inf, 1.0, 2.0], [0, 1, 2], [0, 1, 2])
    nontarget = TrialGroup([0.0, -1.0], [1, 2], [2, 1])
    found = resampled(target, nontarget, [[1, 0], [1, 1], [1, 1]], (), ())
    assert found["cllr"][0] == np.inf
    assert found["cllr"][1] == pytest.approx(metrics.cllr([1.0, 2.0], [0.0, -1.0]))


def test_draws_without_trials_of_a_kind_do_not_count(rng):
    target, nontarget = TrialGroup([1.0, 2.0], [0, 1], [0, 1]), TrialGroup([0.0, -1.0], [0, 1], [1, 0])
    found = resampled(target, nontarget, [[1, 2], [1, 0]], ("sre08",), (0.1,))
    for values in found.values():
        assert np.isfinite(values[0])
        assert np.isnan(values[1])
    only_one = TrialGroup([3.0], [0], [0])  # of five speakers: a third of the draws have no target
    many = TrialGroup(
        np.zeros(20), np.repeat(np.arange(5), 4), (np.repeat(np.arange(5), 4) + np.tile(np.arange(1, 5), 5)) % 5
    )
    settings = {"presets": (), "false_alarm_rates": (), "n_resamples": 200, "confidence": 0.95, "rng": rng}
    assert intervals(only_one, many, **settings)["eer"] == (0.0, 0.0)
    few = TrialGroup([0.0], [3], [4])  # and only about a third have the two others
    assert intervals(only_one, few, **settings)["eer"] is None


def test_an_interval_leaves_out_as_much_on_either_side(monkeypatch, rng):
    values = np.full(200, np.nan)
    monkeypatch.setattr(bootstrap, "resampled", lambda *_: {"eer": values})
    side, settings = (
        TrialGroup([0.0], [0], [0]),
        {"presets": (), "false_alarm_rates": (), "n_resamples": 1, "confidence": 0.95, "rng": rng},
    )
    values[:100] = rng.permutation(100)  # exactly half of the draws are of use
    assert intervals(side, side, **settings)["eer"] is None
    values[100] = 100  # of 0 to 100, 2.5 % are 2.525 values: the third from either end
    assert intervals(side, side, **settings)["eer"] == (2.0, 98.0)


@pytest.mark.parametrize(("confidence", "expected"), [(0.95, (26, 975)), (0.9, (51, 950)), (0.5, (251, 750))])
def test_of_a_thousand_draws_as_many_are_below_as_above(monkeypatch, rng, confidence, expected):
    monkeypatch.setattr(bootstrap, "resampled", lambda *_: {"eer": rng.permutation(np.arange(1.0, 1001))})
    side = TrialGroup([0.0], [0], [0])
    settings = {"presets": (), "false_alarm_rates": (), "n_resamples": 1, "confidence": confidence, "rng": rng}
    assert intervals(side, side, **settings)["eer"] == expected


def test_of_one_speaker_there_is_no_telling_what_others_would_give(rng):
    target, nontarget = (TrialGroup(rng.normal(size=9) + d, np.full(9, 3), np.full(9, 3)) for d in (1.0, 0.0))
    settings = {"presets": ("sre08",), "false_alarm_rates": (0.1,), "n_resamples": 20, "confidence": 0.9, "rng": rng}
    assert set(intervals(target, nontarget, **settings).values()) == {None}


def test_the_same_draws_and_order_of_speakers_alone(rng):
    target, nontarget = simulated(rng, 10, 2, 0.1)
    settings = {"presets": PRESETS, "false_alarm_rates": RATES, "n_resamples": 100, "confidence": 0.9}
    first = intervals(target, nontarget, **settings, rng=np.random.default_rng(5))
    again = intervals(target, nontarget, **settings, rng=np.random.default_rng(5))
    assert first == again
    shuffled = rng.permutation(len(nontarget.scores))
    moved = TrialGroup(*(each[shuffled] for each in nontarget))
    again = intervals(target, moved, **settings, rng=np.random.default_rng(5))
    for name, interval in first.items():
        assert again[name] == pytest.approx(interval)
    for low, high in first.values():
        assert low <= high


def test_a_difference_is_paired(rng):
    target, nontarget = simulated(rng, 20, 3, 0.1)
    settings = {"presets": PRESETS, "false_alarm_rates": RATES, "n_resamples": 200, "confidence": 0.95, "rng": rng}
    same = differences(target, nontarget, (target.scores, nontarget.scores), **settings)
    assert set(same.values()) == {(0.0, 0.0)}
    worse = differences(target, nontarget, (target.scores - 0.7, nontarget.scores + 0.7), **settings)
    alone = intervals(target, nontarget, **settings)
    assert worse["eer"][0] > 0  # other system less this one
    assert worse["min_cllr"][0] > 0
    # so little other noise is significant only because the voices are the same
    close = differences(target, nontarget, (target.scores + 1e-3, nontarget.scores), **settings)
    assert close["cllr"][1] - close["cllr"][0] < 0.05 * (alone["cllr"][1] - alone["cllr"][0])


def test_no_interval_of_what_is_no_number():
    good = TrialGroup([1.0], [0], [0])
    for bad, message in (
        (TrialGroup([np.nan], [0], [1]), "nontarget scores.*no NaN"),
        (TrialGroup([], [], []), "nontarget scores.*at least one"),
        (TrialGroup([1.0], [0, 1], [1]), "nontarget models.*1 numbers"),
        (TrialGroup([1.0], [0], [-1]), "nontarget tests.*not negative"),
    ):
        with pytest.raises(ValueError, match=message):
            resampled(good, bad, [[1], [1]], (), ())


@pytest.mark.slow
def test_intervals_hold_the_error_rate_as_often_as_they_say(capsys):
    """In 200 experiments, each with other speakers; and the numbers beside it that have a closed form too."""
    rng = np.random.default_rng(0)
    settings = {"presets": (), "false_alarm_rates": (0.01,), "n_resamples": 500, "confidence": 0.95, "rng": rng}
    for n_speakers, n_tests, eer in ((30, 5, 0.05), (60, 7, 0.02)):
        d = -2 * norm.ppf(eer)  # between the means, in standard deviations
        true = {"eer": eer, "auc": norm.cdf(d / np.sqrt(2)), "p_miss_at_fa.0.01": norm.cdf(norm.isf(0.01) - d)}
        held = dict.fromkeys(true, 0)
        for _ in range(200):
            found = intervals(*simulated(rng, n_speakers, n_tests, eer), **settings)
            for name, value in true.items():
                low, high = found[name]
                held[name] += low <= value <= high
        with capsys.disabled():
            shares = ", ".join(f"{name} in {count / 200:.1%}" for name, count in held.items())
            print(f"\n{n_speakers} speakers, EER {eer:.0%}: of 200 intervals of 95 %, those hold {shares}")  # noqa: T201  # asked for
        assert 0.90 <= held["eer"] / 200 <= 0.99
