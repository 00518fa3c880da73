"""Expected values come from closed forms, from cases small enough to do by hand, from literal twins, and from
scikit-learn; none was printed by the code under test."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score, roc_curve

import naive
from speechgmm.evaluation.metrics import (
    PRESETS,
    Costs,
    act_dcf,
    auc,
    cllr,
    dcf,
    eer,
    eer_hull,
    eer_threshold,
    error_rates,
    min_cllr,
    min_dcf,
    miss_rate_at,
)
from speechgmm.evaluation.operating_points import rank_metrics

EVEN = Costs(1.0, 1.0, 0.5)
# few distinct values, so that ties within and between the sides are common
finite_scores = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)
scores = st.lists(st.sampled_from([-np.inf, -2.0, -0.5, 0.0, 0.25, 1.0, 3.0, np.inf]), min_size=1, max_size=12)
some_costs = st.builds(Costs, st.sampled_from([0.5, 1.0, 10.0]), st.sampled_from([1.0, 3.0]), st.floats(0.001, 0.999))


def gaussian_llrs(d_prime, n_target, n_nontarget):
    """Scores N(+-d'^2/2, d'^2), which are their own log-likelihood ratios."""
    rng = np.random.default_rng(7)
    mean = d_prime**2 / 2
    return rng.normal(mean, d_prime, n_target), rng.normal(-mean, d_prime, n_nontarget)


# ---- operating points ----


def test_operating_points_by_hand():
    thresholds, p_miss, p_fa = error_rates([3, 1, 2, 2], [0, 2])
    assert thresholds.tolist() == [0, 1, 2, 3, np.inf]
    assert p_miss.tolist() == [0, 0, 0.25, 0.75, 1]
    assert p_fa.tolist() == [1, 0.5, 0.5, 0, 0]


@given(scores, scores)
def test_operating_points_are_those_of_the_literal_twin(target, nontarget):
    expected = naive.error_rates(target, nontarget)
    points = error_rates(target, nontarget)
    assert points.thresholds[:-1].tolist() == [threshold for threshold, _, _ in expected[:-1]]
    assert points.thresholds[-1] == np.inf
    assert points.p_miss.tolist() == [float(p_miss) for _, p_miss, _ in expected]
    assert points.p_fa.tolist() == [float(p_fa) for _, _, p_fa in expected]


def test_operating_points_agree_with_scikit_learn():
    rng = np.random.default_rng(3)
    target, nontarget = rng.normal(1, 1, 300).round(1), rng.normal(0, 1, 500).round(1)
    labels = np.repeat([1, 0], [300, 500])
    p_fa, p_detection, thresholds = roc_curve(labels, np.concatenate([target, nontarget]), drop_intermediate=False)
    points = error_rates(target, nontarget)
    np.testing.assert_array_equal(points.thresholds, thresholds[::-1])
    np.testing.assert_allclose(points.p_miss, 1 - p_detection[::-1], atol=1e-15)
    np.testing.assert_allclose(points.p_fa, p_fa[::-1], atol=1e-15)


# ---- equal error rate ----


@pytest.mark.parametrize(
    ("target", "nontarget", "expected"),
    [
        pytest.param([2, 3], [0, 1], 0.0, id="separated"),
        pytest.param([0, 1], [2, 3], 1.0, id="separated the wrong way"),
        pytest.param([1], [0], 0.0, id="one trial a side"),
        pytest.param([5, 5, 5], [5, 5], 0.5, id="all equal"),
        pytest.param([1, 3], [0, 2], 0.5, id="a step crosses the diagonal"),
        # the points (P_fa, P_miss) are (1, 0), (1/2, 0), (0, 1/2), (0, 1): the tie at 1 is the slanted middle
        pytest.param([1, 2], [0, 1], 0.25, id="a tie crosses the diagonal"),
        pytest.param([1, 2, 3, 4], [-1, 0, 0, 2], 0.25, id="a point on the diagonal"),
        pytest.param([np.inf, 0], [-np.inf, 0], 0.25, id="infinite"),
        pytest.param([np.inf], [np.inf], 0.5, id="certain, and of no use"),
    ],
)
def test_eer_by_hand(target, nontarget, expected):
    assert eer(target, nontarget) == expected


@given(scores, scores)
def test_eer_is_that_of_the_literal_twin(target, nontarget):
    assert eer(target, nontarget) == pytest.approx(float(naive.eer(target, nontarget)), abs=1e-15)


@pytest.mark.parametrize("d_prime", [0.5, 2.0, 3.0])
def test_eer_of_gaussian_scores(d_prime):
    expected = norm.cdf(-d_prime / 2)
    target, nontarget = gaussian_llrs(d_prime, 200_000, 200_000)
    # four standard errors of a share of 200,000
    assert eer(target, nontarget) == pytest.approx(expected, abs=4 * np.sqrt(expected / 200_000))


@given(scores, scores)
def test_eer_does_not_change_when_both_sides_change_places(target, nontarget):
    assert eer(-np.array(nontarget), -np.array(target)) == pytest.approx(eer(target, nontarget), abs=1e-15)


@pytest.mark.parametrize(
    ("target", "nontarget", "expected"),
    [([2, 3], [0, 1], 2), ([0, 1, 2, 3], [-3, -2, 0, 1], 1), ([5], [5], 5), ([1, 9], [0, 2], 2)],
)
def test_eer_threshold_by_hand(target, nontarget, expected):
    assert eer_threshold(target, nontarget) == expected


# ---- equal error rate of the convex hull ----


@pytest.mark.parametrize(
    ("target", "nontarget", "expected"),
    [
        pytest.param([2, 3], [0, 1], 0.0, id="separated"),
        # the hull is the chance diagonal, which the raw EER of 1 is beyond
        pytest.param([0, 1], [2, 3], 0.5, id="separated the wrong way"),
        pytest.param([1], [0], 0.0, id="one trial a side"),
        pytest.param([0], [1], 0.5, id="one trial a side, the wrong way"),
        pytest.param([5, 5, 5], [5, 5], 0.5, id="all equal"),
        # the corner at (1/2, 1/2) is cut by the line from (1/2, 0) to (0, 1/2)
        pytest.param([1, 3], [0, 2], 0.25, id="a step crosses the diagonal"),
        pytest.param([1, 2], [0, 1], 0.25, id="a tie crosses the diagonal"),
        # corners (1, 0), (1/4, 0), (0, 1/2) and (0, 1); y = 1/2 - 2 x meets y = x at 1/6
        pytest.param([1, 2, 3, 4], [-1, 0, 0, 2], 1 / 6, id="a point on the diagonal is no corner"),
        pytest.param([np.inf], [np.inf], 0.5, id="certain, and of no use"),
    ],
)
def test_eer_of_the_hull_by_hand(target, nontarget, expected):
    assert eer_hull(target, nontarget) == pytest.approx(expected, abs=1e-15)


@given(scores, scores)
def test_eer_of_the_hull_is_that_of_the_literal_twin(target, nontarget):
    assert eer_hull(target, nontarget) == pytest.approx(float(naive.eer_hull(target, nontarget)), abs=1e-15)
    assert eer_hull(target, nontarget) <= min(eer(target, nontarget), 0.5) + 1e-15


@given(scores, scores)
@settings(max_examples=30)
def test_eer_of_the_hull_is_the_worst_case_of_the_best_decisions(target, nontarget):
    # the minimax theorem: max over priors of the least error rate, which a search over priors comes close to
    _, p_miss, p_fa = error_rates(target, nontarget)
    least = [(prior * p_miss + (1 - prior) * p_fa).min() for prior in np.linspace(0, 1, 1001)]
    assert max(least) <= eer_hull(target, nontarget) + 1e-15
    assert max(least) == pytest.approx(eer_hull(target, nontarget), abs=1e-3)


# ---- area under the ROC ----


@pytest.mark.parametrize(
    ("target", "nontarget", "expected"),
    [
        ([1], [0], 1.0),
        ([0], [1], 0.0),
        ([0], [0], 0.5),
        ([1, 3], [0, 2], 0.75),
        ([1, 2], [0, 1], 0.875),
        ([np.inf, 0], [-np.inf, 0], 0.875),
    ],
)
def test_area_by_hand(target, nontarget, expected):
    assert auc(target, nontarget) == expected


@given(scores, scores)
def test_area_is_the_share_of_pairs_in_order(target, nontarget):
    assert auc(target, nontarget) == pytest.approx(float(naive.auc(target, nontarget)), abs=1e-15)


def test_area_is_that_of_scikit_learn():
    rng = np.random.default_rng(4)
    target, nontarget = rng.normal(1, 1, 300).round(1), rng.normal(0, 1, 500).round(1)
    expected = roc_auc_score(np.repeat([1, 0], [300, 500]), np.concatenate([target, nontarget]))
    assert auc(target, nontarget) == pytest.approx(expected, abs=1e-12)


# ---- misses at a false-alarm rate ----


def test_misses_at_a_false_alarm_rate_by_hand():
    target, nontarget = [0.5, 2, 2, 7], [0, 1, 2, 3]
    # none of the nontargets: above 3; one: above 2, where the ties are; two: from the 2s on; three: above 0
    assert [miss_rate_at(target, nontarget, p_fa) for p_fa in (0, 0.25, 0.5, 0.75)] == [0.75, 0.75, 0.25, 0.0]
    assert miss_rate_at(target, nontarget, 0.49) == 0.75
    assert miss_rate_at([np.inf], [np.inf], 0) == 1
    assert miss_rate_at([1], [0], 0.001) == 0


@given(scores, scores, st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.25, 0.3, 0.5, 0.75, 0.9]))
def test_misses_at_a_false_alarm_rate_are_those_of_the_literal_twin(target, nontarget, p_fa):
    assert miss_rate_at(target, nontarget, p_fa) == float(naive.miss_rate_at(target, nontarget, p_fa))


def test_a_share_of_the_trials_is_that_share_whatever_its_digits():
    # k of 1000 may be accepted at k / 1000, for every k: no rounding makes it one less
    target, nontarget = np.arange(1000) + 0.5, np.arange(1000)
    for k in range(1000):
        assert miss_rate_at(target, nontarget, float(f"0.{k:03}")) == (1000 - k - 1) / 1000


@pytest.mark.parametrize("p_fa", [-0.1, 1.0, np.nan])
def test_a_false_alarm_rate_that_is_none(p_fa):
    with pytest.raises(ValueError, match=f"p_fa = {p_fa}: expected a share from 0 to 1, 1 excluded"):
        miss_rate_at([1.0], [0.0], p_fa)


# ---- closed forms ----


@pytest.mark.parametrize("d_prime", [1.0, 2.5])
def test_a_million_gaussian_ratios_give_the_closed_forms(d_prime):
    """Ratios N(+-d^2/2, d^2), all that follows from them, and errors of sampling four times as large as expected."""
    n = 500_000
    target, nontarget = gaussian_llrs(d_prime, n, n)
    eer_ = norm.cdf(-d_prime / 2)
    four_errors = 4 * np.sqrt(eer_ / n)
    assert eer(target, nontarget) == pytest.approx(eer_, abs=four_errors)
    assert eer_hull(target, nontarget) == pytest.approx(eer_, abs=four_errors)
    area = norm.cdf(d_prime / np.sqrt(2))
    assert auc(target, nontarget) == pytest.approx(area, abs=4 * np.sqrt(2 * area * (1 - area) / n))
    for p_fa in (0.1, 0.01, 0.001):
        p_miss = norm.cdf(norm.isf(p_fa) - d_prime)
        # the threshold is a quantile of the nontargets, and its error moves the misses too
        slope = norm.pdf(norm.isf(p_fa) - d_prime) / norm.pdf(norm.isf(p_fa))
        error = np.sqrt((p_miss * (1 - p_miss) + slope**2 * p_fa) / n)
        assert miss_rate_at(target, nontarget, p_fa) == pytest.approx(p_miss, abs=4 * error)
    for costs in (EVEN, Costs(1, 1, 0.1), Costs(10, 1, 0.01), Costs(1, 1, 0.01)):
        miss, alarm = costs.c_miss * costs.p_target, costs.c_fa * (1 - costs.p_target)
        best = np.log(alarm / miss)
        p_miss, p_fa = norm.cdf((best - d_prime**2 / 2) / d_prime), norm.sf((best + d_prime**2 / 2) / d_prime)
        least = (miss * p_miss + alarm * p_fa) / min(miss, alarm)
        error = np.sqrt(miss**2 * p_miss + alarm**2 * p_fa) / min(miss, alarm) / np.sqrt(n)
        assert act_dcf(target, nontarget, costs) == pytest.approx(least, abs=4 * error)
        assert min_dcf(target, nontarget, costs) == pytest.approx(least, abs=4 * error)
        assert min_dcf(target, nontarget, costs) <= act_dcf(target, nontarget, costs)

    def cost(x):
        return norm.pdf(x, d_prime**2 / 2, d_prime) * np.log2(1 + np.exp(-x))

    expected, _ = quad(cost, d_prime**2 / 2 - 9 * d_prime, d_prime**2 / 2 + 9 * d_prime)
    spread = np.logaddexp(0, -target).std() / np.log(2) / np.sqrt(2 * n)
    assert cllr(target, nontarget) == pytest.approx(expected, abs=4 * spread)
    assert min_cllr(target, nontarget) == pytest.approx(expected, abs=4 * spread + 1e-4)  # PAV fits some noise
    assert min_cllr(target, nontarget) <= cllr(target, nontarget)


# ---- detection cost ----


def test_presets_are_those_of_their_evaluations():
    assert PRESETS["sre08"] == (Costs(10, 1, 0.01),)
    assert PRESETS["sre10"] == (Costs(1, 1, 0.001),)
    assert PRESETS["sre16"] == (Costs(1, 1, 0.01), Costs(1, 1, 0.005))
    assert PRESETS["voxceleb"] == (Costs(1, 1, 0.01),)


def test_dcf_by_hand():
    # one miss of four, one false alarm of ten: (10 * 0.01 / 4 + 0.99 / 10) / 0.1
    target, nontarget = [1, 5, 5, 5], [2, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    assert dcf(target, nontarget, 2.0, *PRESETS["sre08"]) == pytest.approx(1.24, rel=1e-14)


def test_a_score_equal_to_the_threshold_is_accepted():
    assert dcf([1.0], [0.0], 1.0, EVEN) == 0.0
    assert dcf([1.0], [1.0], 1.0, EVEN) == 1.0


@pytest.mark.parametrize("costs", [Costs(10, 1, 0.01), Costs(1, 1, 0.9), Costs(1, 5, 0.5)])
def test_the_better_blind_decision_costs_1(costs):
    blind = [dcf([1.0], [0.0], threshold, costs) for threshold in (-np.inf, np.inf)]
    assert min(blind) == pytest.approx(1.0, rel=1e-15)


@given(scores, scores, st.floats(-4, 4), some_costs)
def test_dcf_is_that_of_the_literal_twin(target, nontarget, threshold, costs):
    expected = naive.dcf(target, nontarget, threshold, costs)
    assert dcf(target, nontarget, threshold, costs) == pytest.approx(expected, rel=1e-12)


@given(scores, scores, some_costs)
def test_min_dcf_is_that_of_the_literal_twin(target, nontarget, costs):
    expected = naive.min_dcf(target, nontarget, costs)
    assert min_dcf(target, nontarget, costs) == pytest.approx(expected, rel=1e-12)


@given(finite_scores, finite_scores, st.floats(-5, 5), some_costs)
def test_no_threshold_beats_the_minimum(target, nontarget, threshold, costs):
    assert min_dcf(target, nontarget, costs) <= dcf(target, nontarget, threshold, costs) + 1e-12


def test_min_dcf_of_a_preset_of_several_is_the_mean_of_their_minima():
    target, nontarget = gaussian_llrs(2.5, 500, 5000)
    minima = [min_dcf(target, nontarget, costs) for costs in PRESETS["sre16"]]
    assert min_dcf(target, nontarget, "sre16") == pytest.approx(np.mean(minima), rel=1e-15)
    assert minima[0] != minima[1]


@pytest.mark.parametrize("name", ["sre08", "voxceleb"])
def test_min_dcf_of_gaussian_scores(name):
    d_prime, (costs,) = 3.0, PRESETS[name]
    target, nontarget = gaussian_llrs(d_prime, 200_000, 200_000)

    def expected(threshold):
        p_miss = norm.cdf((threshold - d_prime**2 / 2) / d_prime)
        p_fa = norm.sf((threshold + d_prime**2 / 2) / d_prime)
        return naive.cost(p_miss, p_fa, costs)

    lowest = minimize_scalar(expected, bounds=(-20, 20), method="bounded").fun
    assert min_dcf(target, nontarget, name) == pytest.approx(lowest, abs=0.01)


# ---- cost of log-likelihood ratios ----


def test_cllr_of_scores_that_say_nothing_is_1():
    assert cllr([0.0, 0.0], [0.0]) == 1.0


def test_cllr_by_hand():
    # the target pays log2(1 + 1/3), the nontarget log2(1 + 1/7)
    assert cllr([np.log(3)], [-np.log(7)]) == pytest.approx((np.log2(4 / 3) + np.log2(8 / 7)) / 2, rel=1e-14)


def test_cllr_of_huge_ratios():
    assert cllr([1e4], [-1e4]) == 0.0
    # log2(1 + e^x) is x / ln 2 for a large x; one of the two trials pays it
    assert cllr([-1e4], [-1e4]) == pytest.approx(1e4 / (2 * np.log(2)), rel=1e-15)
    assert cllr([np.inf], [-np.inf]) == 0.0
    assert cllr([np.inf, -np.inf], [-1.0]) == np.inf


@given(st.lists(st.floats(-50, 50), min_size=1), st.lists(st.floats(-50, 50), min_size=1))
def test_cllr_is_that_of_the_literal_twin(target, nontarget):
    # the twin loses ratios below the spacing of doubles at 1
    assert cllr(target, nontarget) == pytest.approx(naive.cllr(target, nontarget), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("d_prime", [1.0, 3.0])
def test_cllr_and_min_cllr_of_gaussian_ratios(d_prime):
    # both sides pay the same by symmetry; calibrated ratios leave nothing for PAV to gain but the noise it fits
    mean = d_prime**2 / 2
    expected, _ = quad(lambda x: norm.pdf(x, mean, d_prime) * np.log1p(np.exp(-x)) / np.log(2), -40, 40)
    target, nontarget = gaussian_llrs(d_prime, 100_000, 100_000)
    assert cllr(target, nontarget) == pytest.approx(expected, abs=0.005)
    assert min_cllr(target, nontarget) == pytest.approx(expected, abs=0.005)
    assert cllr(3 * target + 1, 3 * nontarget + 1) > expected + 0.05


@pytest.mark.parametrize(
    ("target", "nontarget", "expected"),
    [
        pytest.param([2, 3], [0, 1], 0.0, id="separated"),
        pytest.param([0, 1], [2, 3], 1.0, id="separated the wrong way"),
        pytest.param([7, 7], [7], 1.0, id="all equal"),
        # the two in the middle are a pool of one of two targets and one of one nontarget, with a ratio of 1/2
        pytest.param([1, 3], [2], (0.5 * np.log2(3) + np.log2(1.5)) / 2, id="one pool"),
        pytest.param([np.inf, 0], [-np.inf, 0], 0.5, id="infinite ends and a tie"),
    ],
)
def test_min_cllr_by_hand(target, nontarget, expected):
    assert min_cllr(target, nontarget) == pytest.approx(expected, abs=1e-15)


@given(scores, scores)
def test_min_cllr_is_that_of_the_literal_twin(target, nontarget):
    assert min_cllr(target, nontarget) == pytest.approx(naive.min_cllr(target, nontarget), abs=1e-13)


def test_min_cllr_is_the_cllr_of_isotonic_calibration_by_scikit_learn():
    rng = np.random.default_rng(5)
    target, nontarget = rng.normal(1, 1, 400).round(1), rng.normal(0, 2, 900).round(1)
    calibration = IsotonicRegression().fit(np.concatenate([target, nontarget]), np.repeat([1.0, 0.0], [400, 900]))
    with np.errstate(divide="ignore"):
        ratios = [
            np.log(posterior) - np.log1p(-posterior) - np.log(400 / 900)
            for posterior in (calibration.predict(target), calibration.predict(nontarget))
        ]
    assert min_cllr(target, nontarget) == pytest.approx(cllr(*ratios), rel=1e-9)


@given(finite_scores, finite_scores)
def test_calibration_never_makes_cllr_worse(target, nontarget):
    assert min_cllr(target, nontarget) <= min(cllr(target, nontarget), 1.0) + 1e-12


# ---- what the numbers may depend on ----


ORDERED = {
    "eer": eer,
    "eer_hull": eer_hull,
    "auc": auc,
    "miss_rate_at": lambda target, nontarget: miss_rate_at(target, nontarget, 0.25),
    "min_dcf": lambda target, nontarget: min_dcf(target, nontarget, "sre08"),
    "min_cllr": min_cllr,
}


@pytest.mark.parametrize("metric", ORDERED.values(), ids=ORDERED)
@given(target=scores, nontarget=scores)
@settings(max_examples=40)
def test_only_the_order_matters(metric, target, nontarget):
    for increasing in (np.arctan, np.exp, lambda x: 3 * x - 100):
        moved = metric(increasing(np.array(target)), increasing(np.array(nontarget)))
        assert moved == metric(target, nontarget)


@pytest.mark.parametrize("metric", [eer, cllr, min_cllr, lambda target, nontarget: min_dcf(target, nontarget, EVEN)])
@given(target=finite_scores, nontarget=finite_scores, seed=st.integers(0, 9))
@settings(max_examples=40)
def test_order_and_repetition_of_trials_do_not_matter(metric, target, nontarget, seed):
    shuffle = np.random.default_rng(seed).permutation
    moved = metric(shuffle(np.tile(target, 2)), shuffle(np.tile(nontarget, 3)))
    assert moved == pytest.approx(metric(target, nontarget), abs=1e-12)


@given(target=scores, nontarget=scores)
def test_numbers_computed_together_are_those_computed_alone(target, nontarget):
    found = rank_metrics(error_rates(target, nontarget), ("sre08", "sre16"), (0.25, 0.01))
    assert found == {
        "eer": eer(target, nontarget),
        "eer_hull": eer_hull(target, nontarget),
        "auc": auc(target, nontarget),
        "p_miss_at_fa.0.25": miss_rate_at(target, nontarget, 0.25),
        "p_miss_at_fa.0.01": miss_rate_at(target, nontarget, 0.01),
        "min_dcf.sre08": min_dcf(target, nontarget, "sre08"),
        "min_dcf.sre16": min_dcf(target, nontarget, "sre16"),
        "min_cllr": min_cllr(target, nontarget),
    }


def test_inputs_are_not_changed():
    target, nontarget = np.array([3.0, 1.0, 2.0]), np.array([2.0, 0.0])
    for metric in (*ORDERED.values(), cllr, eer_threshold):
        metric(target, nontarget)
    assert target.tolist() == [3, 1, 2]
    assert nontarget.tolist() == [2, 0]


# ---- bad input ----


@pytest.mark.parametrize(
    "metric",
    [
        *ORDERED.values(),
        error_rates,
        eer_threshold,
        cllr,
        lambda target, nontarget: act_dcf(target, nontarget, "sre08"),
        lambda target, nontarget: dcf(target, nontarget, 0.0, EVEN),
    ],
)
def test_scores_that_are_none_name_their_side(metric):
    with pytest.raises(ValueError, match=r"nontarget scores: none, expected at least one"):
        metric([1.0], [])
    with pytest.raises(ValueError, match=r"^target scores: 2 of 3 are NaN, the first at index 1"):
        metric([1.0, np.nan, np.nan], [1.0])
    with pytest.raises(ValueError, match=r"^target scores: shape \(1, 2\), expected one dimension"):
        metric([[1.0, 2.0]], [1.0])
    with pytest.raises(ValueError, match=r"nontarget scores: shape \(\), expected one dimension"):
        metric([1.0], 2.0)


@pytest.mark.parametrize(
    ("costs", "message"),
    [
        (Costs(0, 1, 0.1), r"c_miss = 0: expected a positive finite cost"),
        (Costs(1, -2, 0.1), r"c_fa = -2: expected a positive finite cost"),
        (Costs(1, np.nan, 0.1), r"c_fa = nan"),
        (Costs(1, 1, 1.0), r"p_target = 1.0: expected a probability between 0 and 1"),
        ("sre80", r"costs 'sre80': expected Costs or one of sre08, sre10, sre16, voxceleb"),
    ],
)
def test_costs_without_meaning(costs, message):
    with pytest.raises(ValueError, match=message):
        min_dcf([1.0], [0.0], costs)


def test_a_threshold_that_is_no_number():
    with pytest.raises(ValueError, match="threshold = nan"):
        dcf([1.0], [0.0], np.nan, EVEN)


def test_numbers_need_no_plots():
    program = "import sys, speechgmm.evaluation.metrics; print({'matplotlib', 'jinja2'} & sys.modules.keys())"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
