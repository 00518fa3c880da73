"""Identification in closed and open sets. Expected values come from cases done by hand, from literal twins, from
closed forms, and from scikit-learn; none was printed by the code under test."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.metrics import confusion_matrix, top_k_accuracy_score

import naive
from speechgmm.cli.tables import show_identification
from speechgmm.evaluation.bootstrap import IdentificationOutcomes, identification_intervals
from speechgmm.evaluation.identification import (
    cmc,
    confusion,
    detection_identification_rate,
    identification_rate,
    true_ranks,
)

# won; lost; tied at the top; won by an infinite score
TABLE = [[2.0, 1.0, 5.0, -np.inf], [1.0, 3.0, 5.0, -np.inf], [0.0, 2.0, 0.0, np.inf]]
TRUTH = [0, 0, 0, 2]

levels = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0, np.inf])  # few, so that ties are common
shares = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.9])


@st.composite
def sets(draw):
    """Scores of known tests and of unknown ones, and the right models."""
    n_models = draw(st.integers(1, 5))
    column = st.lists(levels, min_size=n_models, max_size=n_models)
    tests = draw(st.lists(st.tuples(column, st.integers(0, n_models - 1)), min_size=1, max_size=8))
    strangers = draw(st.lists(column, min_size=1, max_size=8))
    return np.array([each for each, _ in tests]).T, [right for _, right in tests], np.array(strangers).T


def test_identification_by_hand():
    assert identification_rate(TABLE, TRUTH) == 0.5
    assert true_ranks(TABLE, TRUTH).tolist() == [1, 3, 2, 1]
    assert cmc(TABLE, TRUTH).tolist() == [0.5, 0.75, 1.0]
    # the third test is won by models 0 and 1 alike, so it goes to the one that is wrong
    assert confusion(TABLE, TRUTH).tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 1]]
    assert confusion([[1.0], [1.0], [1.0]], [1]).tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_an_open_set_by_hand():
    known = [[5.0, 3.0, 1.0, 9.0], [0.0, 2.0, 0.0, 8.0]]  # the last one is lost, with a high score
    unknown = [[4.0, 0.0, 2.0, 1.0], [1.0, 2.0, 2.0, 0.0]]  # at most 4, 2, 2 and 1
    rates = {p_fa: detection_identification_rate(known, [0, 0, 0, 1], unknown, p_fa) for p_fa in (0, 0.25, 0.5, 0.75)}
    # above 4; above 2, as the two at 2 go together: 1/4 of alarms, and 3/4 only from there on
    assert rates == {0: 0.25, 0.25: 0.5, 0.5: 0.5, 0.75: 0.5}
    assert detection_identification_rate(known, [0, 0, 0, 1], [[0.5, 0.0]] * 2, 0.5) == 0.75
    # a score that an unknown test has as well is rejected with it
    assert detection_identification_rate([[2.0]], [0], [[2.0]], 0.0) == 0
    assert detection_identification_rate([[np.inf]], [0], [[np.inf]], 0.0) == 0
    assert detection_identification_rate([[np.inf]], [0], [[-np.inf]], 0.0) == 1


@given(sets())
def test_the_numbers_are_those_of_the_literal_twins(found):
    table, truth, _ = found
    assert identification_rate(table, truth) == naive.identification_rate(table.tolist(), truth)
    assert cmc(table, truth).tolist() == naive.cmc(table.tolist(), truth)
    assert confusion(table, truth).tolist() == naive.confusion(table.tolist(), truth)


@given(sets(), shares)
def test_the_open_set_is_that_of_the_literal_twin(found, p_fa):
    known, truth, unknown = found
    expected = naive.detection_identification_rate(known.tolist(), truth, unknown.tolist(), p_fa)
    assert detection_identification_rate(known, truth, unknown, p_fa) == pytest.approx(expected, abs=1e-15)


@given(sets(), shares)
def test_only_the_order_matters(found, p_fa):
    known, truth, unknown = found
    for increasing in (np.arctan, np.exp, lambda x: 3 * x - 100):
        assert cmc(increasing(known), truth).tolist() == cmc(known, truth).tolist()
        assert confusion(increasing(known), truth).tolist() == confusion(known, truth).tolist()
        moved = detection_identification_rate(increasing(known), truth, increasing(unknown), p_fa)
        assert moved == detection_identification_rate(known, truth, unknown, p_fa)


@given(sets())
def test_ranks_and_confusions_add_up(found):
    table, truth, _ = found
    shares, counts = cmc(table, truth), confusion(table, truth)
    assert shares[0] == identification_rate(table, truth) == pytest.approx(np.trace(counts) / len(truth))
    assert shares[-1] == 1
    assert (np.diff(shares) >= 0).all()
    assert counts.sum(axis=1).tolist() == np.bincount(truth, minlength=len(table)).tolist()


def test_ranks_and_confusions_are_those_of_scikit_learn(rng):
    table, truth = rng.normal(size=(7, 200)), rng.integers(0, 7, 200)
    expected = [top_k_accuracy_score(truth, table.T, k=k, labels=range(7)) for k in range(1, 7)]
    assert cmc(table, truth)[:-1] == pytest.approx(expected)
    assert (confusion(table, truth) == confusion_matrix(truth, table.argmax(axis=0), labels=range(7))).all()


def test_gaussian_scores_in_an_open_set():
    """Own model N(d, 1), nine others N(0, 1): the largest of M is Phi(x)^M, and all that follows from it."""
    rng, d, n_models, n_tests = np.random.default_rng(5), 3.0, 10, 200_000
    known, unknown = rng.normal(size=(n_models, n_tests)), rng.normal(size=(n_models, n_tests))
    truth = rng.integers(0, n_models, n_tests)
    known[truth, np.arange(n_tests)] += d
    four_errors = 4 * np.sqrt(0.25 / n_tests)
    for rank in (1, 2, 3):
        # fewer than `rank` of the nine others above x
        def among_the_best(x, rank=rank):
            above = sum([1.0, 9.0, 36.0][k] * norm.sf(x) ** k * norm.cdf(x) ** (n_models - 1 - k) for k in range(rank))
            return norm.pdf(x - d) * above

        expected, _ = quad(among_the_best, d - 8, d + 8)
        assert cmc(known, truth)[rank - 1] == pytest.approx(expected, abs=four_errors)
    for p_fa in (0.01, 0.1):
        threshold = norm.ppf((1 - p_fa) ** (1 / n_models))
        expected, _ = quad(lambda x: norm.pdf(x - d) * norm.cdf(x) ** (n_models - 1), threshold, d + 8)
        found = detection_identification_rate(known, truth, unknown, p_fa)
        # the threshold is a quantile of the unknown tests: its own error moves the rate as well
        assert found == pytest.approx(expected, abs=2 * four_errors)


# ---- intervals ----


def test_an_interval_of_identification_draws_the_speakers_of_the_tests():
    # three speakers of one test each, of whom one is missed: 0 to 3 of three draws are of the one
    won, best = np.array([True, True, False]), np.array([3.0, 1.0, 2.0])
    settings = {"false_alarm_rates": (0.5,), "n_resamples": 4000, "confidence": 0.9}
    found = identification_intervals(
        IdentificationOutcomes(won, best, np.arange(3)), None, **settings, rng=np.random.default_rng(1)
    )
    # all three draws are of the missed one with probability 1/27, which is less than 5 %; two are with 6/27
    assert found == {"rate": (1 / 3, 1.0)}
    strangers = IdentificationOutcomes(np.zeros(2, bool), np.array([1.5, 2.5]), np.array([3, 4]))
    found = identification_intervals(
        IdentificationOutcomes(won, best, np.arange(3)), strangers, **settings, rng=np.random.default_rng(1)
    )
    assert list(found) == ["rate", "dir_at_fa.0.5"]
    assert found["dir_at_fa.0.5"] == (0.0, 1.0)


def test_a_draw_is_its_tests_repeated(rng):
    """With one resample the interval is a point: the number of the tests, each as often as its speaker."""
    table, truth = rng.normal(size=(4, 30)), np.repeat(np.arange(4), [9, 8, 7, 6])
    table[truth, np.arange(30)] += 1.0
    strangers, who = rng.normal(size=(4, 20)), np.repeat([4, 5, 6, 7, 8], 4)
    known = IdentificationOutcomes(true_ranks(table, truth) == 1, table.max(axis=0), truth)
    unknown = IdentificationOutcomes(np.zeros(20, bool), strangers.max(axis=0), who)
    settings = {"false_alarm_rates": (0.1, 0.3), "n_resamples": 1, "confidence": 0.5}
    for seed in range(5):
        found = identification_intervals(known, unknown, **settings, rng=np.random.default_rng(seed))
        same = np.random.default_rng(seed)
        drawn = same.multinomial(9, np.full(9, 1 / 9))
        again, others = np.repeat(np.arange(30), drawn[truth]), np.repeat(np.arange(20), drawn[who])
        assert found["rate"] == (identification_rate(table[:, again], truth[again]),) * 2
        for p_fa in (0.1, 0.3):
            expected = detection_identification_rate(table[:, again], truth[again], strangers[:, others], p_fa)
            assert found[f"dir_at_fa.{p_fa}"] == (expected,) * 2


def test_what_is_printed_of_them(capsys):
    found = {
        **{"n_tests": 40, "n_models": 10, "rate": 0.925, "cmc": [0.925]},
        "open_set": {"n_known": 40, "n_unknown": 20, "dir_at_fa": {"0.01": 0.5, "0.1": 0.75}},
        "intervals": {"rate": [0.85, 0.9751], "dir_at_fa": {"0.01": [0.25, 0.625], "0.1": None}},
    }
    show_identification(found)
    show_identification(found | {"intervals": None})
    show_identification(found | {"n_tests": 0, "rate": None, "open_set": None, "intervals": None})
    tests = "tests score highest with their own speaker's model, among 10 models"
    strangers = "open set, 20 tests of unknown speakers: detection and identification rate"
    assert capsys.readouterr().out.splitlines() == [
        f"identification: 92.5% (85.0-97.5) of 40 {tests}",
        f"{strangers} 50.0% (25.0-62.5) at 1%, 75.0% at 10% false alarms",
        f"identification: 92.5% of 40 {tests}",
        f"{strangers} 50.0% at 1%, 75.0% at 10% false alarms",
        f"identification: - of 0 {tests}",
    ]


# ---- bad input ----


@pytest.mark.parametrize("number", [identification_rate, cmc, confusion, true_ranks])
@pytest.mark.parametrize(
    ("table", "truth", "message"),
    [
        ([1.0, 2.0], [0], r"scores: shape \(2,\), expected models x tests"),
        (np.zeros((0, 3)), [0, 0, 0], r"scores: shape \(0, 3\)"),
        ([[1.0, 2.0]], [0], r"truth: shape \(1,\), expected \(2,\)"),
        ([[1.0, 2.0], [1.0, np.nan]], [0, 0], r"scores: NaN for model 1 and test 1"),
        ([[1.0, 2.0]], [0, 1], r"truth: 1 for test 1, expected 0 to 0"),
        ([[1.0, 2.0]], [-1, 0], r"truth: -1 for test 0"),
        ([[1.0, 2.0]], [0.0, 0.0], r"truth: float64 values, expected whole numbers"),
    ],
)
def test_identification_of_bad_input(number, table, truth, message):
    with pytest.raises(ValueError, match=message):
        number(table, truth)


@pytest.mark.parametrize(
    ("unknown", "p_fa", "message"),
    [
        ([[0.0], [1.0]], 0.1, "unknown: 2 models, expected the 1 of the known tests"),
        ([[]], 0.1, r"unknown: shape \(1, 0\), expected models x tests"),
        ([[np.nan]], 0.1, "unknown: NaN for model 0 and test 0"),
        ([[0.0]], 1.0, "p_fa = 1.0: expected a share from 0 to 1, 1 excluded"),
        ([[0.0]], np.nan, "p_fa = nan"),
    ],
)
def test_an_open_set_of_bad_input(unknown, p_fa, message):
    with pytest.raises(ValueError, match=message):
        detection_identification_rate([[1.0]], [0], unknown, p_fa)
