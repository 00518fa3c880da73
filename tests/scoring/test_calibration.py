"""Calibration and fusion. Expected values come from literal twins, closed forms, scipy and scikit-learn."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

import naive
from helpers.processes import modules_after
from speechgmm.evaluation.metrics import cllr, eer, min_cllr
from speechgmm.scoring.calibration import (
    CalibrationConfig,
    LinearCalibration,
    PavCalibration,
    check_disjoint,
    load_calibration,
    train_calibration,
)

LOGISTIC = CalibrationConfig()
PAV = CalibrationConfig(method="pav")
SUM = CalibrationConfig(systems="equal")
few_scores = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=12)


def gaussian_llrs(rng, mean, n_target, n_nontarget):
    """Scores N(+-mean, 2 mean), which are their own log-likelihood ratios."""
    return rng.normal(mean, math.sqrt(2 * mean), n_target), rng.normal(-mean, math.sqrt(2 * mean), n_nontarget)


def overlapping(rng, n_systems=2):
    """A few trials of several systems that no threshold can part."""
    return rng.normal(1, 2, (40, n_systems)), rng.normal(-1, 1, (90, n_systems))


def optimum(target, nontarget, p_target):
    """Weights and offset at the minimum of the literal objective, by another optimiser and no penalty."""

    def cost(parameters):
        return naive.weighted_cost(parameters[:-1], parameters[-1], target, nontarget, p_target)

    start = np.zeros(target.shape[1] + 1)
    found = minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15, "maxiter": 20_000})
    assert found.success
    return found.x


def held_out(calibration, target, nontarget):
    return cllr(calibration.apply(target), calibration.apply(nontarget))


def test_scikit_learn_is_imported_only_to_train():
    assert "sklearn" not in modules_after(
        "import speechgmm.scoring.calibration as c; c.LinearCalibration(weights=(1,))"
    )


# ---- logistic ----


@pytest.mark.parametrize("p_target", [0.5, 0.1, 0.9])
def test_calibrated_scores_are_left_alone(rng, p_target):
    target, nontarget = gaussian_llrs(rng, 2, 100_000, 100_000)
    found = train_calibration(target, nontarget, CalibrationConfig(p_target=p_target))
    assert found.weights[0] == pytest.approx(1, abs=0.02)
    assert found.offset == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(("scale", "offset"), [(3.0, -7.0), (0.01, 100.0), (-2.0, 1.0)])
def test_distorted_scores_are_mended(rng, scale, offset):
    target, nontarget = gaussian_llrs(rng, 4, 100_000, 100_000)
    found = train_calibration(scale * target + offset, scale * nontarget + offset, LOGISTIC)
    fresh = gaussian_llrs(rng, 4, 1000, 1000)
    for llrs in fresh:
        np.testing.assert_allclose(found.apply(scale * llrs + offset), llrs, atol=0.3)
    assert held_out(found, *(scale * llrs + offset for llrs in fresh)) == pytest.approx(cllr(*fresh), abs=0.001)


@pytest.mark.parametrize("p_target", [0.5, 0.01])
@pytest.mark.parametrize("n_systems", [1, 2])
def test_the_optimum_is_that_of_the_literal_objective(rng, n_systems, p_target):
    target, nontarget = overlapping(rng, n_systems)
    found = train_calibration(target, nontarget, CalibrationConfig(p_target=p_target))
    np.testing.assert_allclose([*found.weights, found.offset], optimum(target, nontarget, p_target), rtol=1e-4)


@pytest.mark.parametrize("p_target", [0.5, 0.01, 0.001])
@pytest.mark.parametrize("mean", [0.5, 2.0, 10.0])
def test_the_penalty_moves_no_normal_case(rng, mean, p_target):
    # the slope of the literal objective over its curvature is how far its own minimum is away
    target, nontarget = gaussian_llrs(rng, mean, 5000, 50_000)
    found = train_calibration(target, nontarget, CalibrationConfig(p_target=p_target))
    scores, side = np.concatenate([target, nontarget]), np.repeat([1.0, 0.0], [5000, 50_000])
    shares = np.repeat([p_target / 5000, (1 - p_target) / 50_000], [5000, 50_000])
    design = np.stack([scores, np.ones(scores.size)], axis=1)
    posterior = 1 / (1 + np.exp(-(design @ [found.weights[0], found.offset]) - math.log(p_target / (1 - p_target))))
    slope = design.T @ (shares * (posterior - side))
    curvature = (design.T * (shares * posterior * (1 - posterior))) @ design
    assert np.abs(np.linalg.solve(curvature, slope)).max() < 1e-3


def test_at_its_prior_one_half_calibration_costs_least_cllr(rng):
    target, nontarget = overlapping(rng, 1)
    found = train_calibration(target, nontarget, LOGISTIC)
    least = held_out(found, target, nontarget)
    for scale, offset in ((1.05, 0), (0.95, 0), (1, 0.05), (1, -0.05)):
        other = LinearCalibration(weights=(scale * found.weights[0],), offset=found.offset + offset)
        assert held_out(other, target, nontarget) > least


def test_the_shares_of_trials_in_training_make_no_difference(rng):
    target, nontarget = overlapping(rng)
    once = train_calibration(target, nontarget, LOGISTIC)
    more = train_calibration(target, np.tile(nontarget, (7, 1)), LOGISTIC)
    np.testing.assert_allclose([*more.weights, more.offset], [*once.weights, once.offset], rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.floats(-200, 200), st.floats(-1e4, 1e4))
def test_the_scale_of_scores_makes_no_difference(exponent, offset):
    target, nontarget = overlapping(np.random.default_rng(5), 1)
    expected = train_calibration(target, nontarget, LOGISTIC).apply(target)
    scale = 10.0**exponent
    moved = [scale * (scores + offset) for scores in (target, nontarget)]
    found = train_calibration(*moved, LOGISTIC).apply(moved[0])
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_the_order_of_trials_makes_next_to_no_difference_and_a_second_run_none(rng):
    target, nontarget = overlapping(rng)
    first = train_calibration(target, nontarget, LOGISTIC)
    assert train_calibration(target, nontarget, LOGISTIC) == first
    shuffled = train_calibration(rng.permutation(target), rng.permutation(nontarget), LOGISTIC)
    np.testing.assert_allclose([*shuffled.weights, shuffled.offset], [*first.weights, first.offset], rtol=1e-9)


@pytest.mark.parametrize("p_target", [0.5, 0.001])
@pytest.mark.parametrize(
    ("target", "nontarget"),
    [([1.0], [0.0]), ([3.0, 4.0], [1.0, 2.0]), ([0.0], [1.0, 2.0]), ([1 + 1e-9], [1.0]), ([5.0] * 50, [-5.0] * 50)],
)
def test_scores_that_are_parted_without_an_error_are_calibrated_finitely(target, nontarget, p_target):
    found = train_calibration(target, nontarget, CalibrationConfig(p_target=p_target))
    assert np.isfinite([*found.weights, found.offset]).all()
    of_targets, of_nontargets = found.apply(target), found.apply(nontarget)
    assert 10 < of_targets.min() <= of_targets.max() < 60
    assert -60 < of_nontargets.min() <= of_nontargets.max() < -8


@pytest.mark.parametrize("config", [LOGISTIC, CalibrationConfig(p_target=0.01), PAV])
def test_scores_that_are_all_equal_say_nothing(config):
    found = train_calibration([0.1] * 3, [0.1] * 8, config)
    np.testing.assert_allclose(found.apply([-5.0, 0.1, 7.0]), 0, atol=1e-9)
    assert held_out(found, [0.1], [0.1]) == pytest.approx(1)


# ---- fusion and side information ----


def test_fusion_finds_the_ratio_of_independent_systems(rng):
    # the ratio of independent systems is the sum of their ratios
    systems = [gaussian_llrs(rng, mean, 50_000, 50_000) for mean in (1.0, 2.0)]
    target, nontarget = (np.stack([systems[0][i] / 3, 5 * systems[1][i] - 8], axis=1) for i in (0, 1))
    found = train_calibration(target, nontarget, LOGISTIC)
    np.testing.assert_allclose([found.weights[0] / 3, found.weights[1] * 5], 1, atol=0.04)
    single = [eer(target[:, i], nontarget[:, i]) for i in (0, 1)]
    assert eer(found.apply(target), found.apply(nontarget)) < min(single)


def test_a_system_twice_shares_its_weight(rng):
    target, nontarget = overlapping(rng, 1)
    once = train_calibration(target, nontarget, LOGISTIC)
    twice = train_calibration(np.repeat(target, 2, axis=1), np.repeat(nontarget, 2, axis=1), LOGISTIC)
    np.testing.assert_allclose(twice.weights, [once.weights[0] / 2] * 2, rtol=1e-5)


def test_a_system_that_never_changes_has_no_weight(rng):
    target, nontarget = overlapping(rng, 1)
    alone = train_calibration(target, nontarget, LOGISTIC)
    fused = train_calibration(
        np.hstack([target, np.full_like(target, 0.1)]), np.hstack([nontarget, np.full_like(nontarget, 0.1)]), LOGISTIC
    )
    assert fused.weights[1] == 0
    np.testing.assert_allclose([fused.weights[0], fused.offset], [alone.weights[0], alone.offset], rtol=1e-9)


@pytest.mark.parametrize("method", ["logistic", "pav"])
def test_equal_weights_calibrate_the_sum(rng, method):
    target, nontarget = overlapping(rng, 3)
    fused = train_calibration(target, nontarget, CalibrationConfig(method=method, systems="equal"))
    of_sum = train_calibration(target.sum(axis=1), nontarget.sum(axis=1), CalibrationConfig(method=method))
    np.testing.assert_allclose(fused.apply(target), of_sum.apply(target.sum(axis=1)), rtol=1e-9, atol=1e-9)


def test_a_plain_sum_needs_no_training():
    assert LinearCalibration(weights=(1, 1)).apply([[1.0, 2.0], [3.0, -4.0]]).tolist() == [3.0, -1.0]


def test_side_information_mends_what_depends_on_it(rng):
    # scores that are high by twice the logarithm of the duration
    trials = [[llrs, rng.normal(0, 1, llrs.size)] for llrs in gaussian_llrs(rng, 3, 30_000, 30_000)]
    target, nontarget = (llrs + 2 * duration for llrs, duration in trials)
    side = trials[0][1], trials[1][1]
    with_side = train_calibration(target, nontarget, LOGISTIC, side=side)
    assert with_side.weights[0] == pytest.approx(1, abs=0.04)
    assert with_side.side_weights[0] == pytest.approx(-2, abs=0.08)
    llrs = [with_side.apply(*pair) for pair in zip((target, nontarget), side, strict=True)]
    assert cllr(*llrs) < held_out(train_calibration(target, nontarget, LOGISTIC), target, nontarget) - 0.05


def test_side_information_beside_a_sum_of_systems(rng):
    target, nontarget = overlapping(rng, 2)
    side = rng.normal(size=(40, 1)), rng.normal(size=(90, 1))
    found = train_calibration(target, nontarget, SUM, side=side)
    columns = [
        np.hstack([scores.sum(axis=1, keepdims=True), s]) for scores, s in zip((target, nontarget), side, strict=True)
    ]
    expected = train_calibration(*columns, LOGISTIC)
    np.testing.assert_allclose(found.apply(target, side[0]), expected.apply(columns[0]), rtol=1e-9)


# ---- pooling adjacent violators ----


@settings(deadline=None)
@given(few_scores, few_scores)
def test_pav_is_the_literal_twin(target, nontarget):
    found = train_calibration(target, nontarget, PAV)
    for score, llr in naive.pav_llrs(target, nontarget).items():
        assert found.apply([score])[0] == pytest.approx(llr, abs=1e-12)


def test_pav_agrees_with_scikit_learn(rng):
    target, nontarget = rng.normal(1, 1, 300).round(1), rng.normal(0, 1, 500).round(1)
    found = train_calibration(target, nontarget, PAV)
    scores = np.concatenate([[-99.0], target, nontarget, [99.0]])
    truth = np.repeat([1.0, 0.0], [301, 501])
    posterior = IsotonicRegression().fit(scores, truth).predict(target)
    expected = np.log(posterior / (1 - posterior)) - np.log(301 / 501)
    np.testing.assert_allclose(found.apply(target), expected, atol=1e-9)


def test_pav_on_its_own_trials_costs_little_more_than_the_least(rng):
    target, nontarget = gaussian_llrs(rng, 2, 3000, 20_000)
    least = min_cllr(target, nontarget)
    assert least < held_out(train_calibration(target, nontarget, PAV), target, nontarget) < least + 0.001


def test_pav_by_hand():
    # with those added at the ends, a pool of one target and one nontarget, and a pool of two targets and one nontarget
    found = train_calibration([2.0, 3.0], [1.0], PAV)
    assert found.scores == (1.0, 2.0, 3.0)
    np.testing.assert_allclose(found.llrs, np.log([1 / 1 * 2 / 3, 2 / 1 * 2 / 3, 2 / 1 * 2 / 3]))
    np.testing.assert_allclose(found.apply([-9.0, 1.5, 9.0]), [math.log(2 / 3), math.log(8 / 9) / 2, math.log(4 / 3)])


@settings(deadline=None)
@given(few_scores, few_scores, st.sampled_from([np.exp, lambda x: x**3 + x, lambda x: 1e6 * x - 3]))
def test_pav_depends_on_the_order_of_scores_only(target, nontarget, increasing):
    before = train_calibration(target, nontarget, PAV).apply(target)
    after = train_calibration(increasing(np.array(target)), increasing(np.array(nontarget)), PAV)
    np.testing.assert_array_equal(after.apply(increasing(np.array(target))), before)


@settings(deadline=None)
@given(few_scores, few_scores)
def test_pav_never_falls_and_is_bounded_by_the_counts(target, nontarget):
    llrs = train_calibration(target, nontarget, PAV).apply(np.linspace(-6, 6, 200))
    assert (np.diff(llrs) >= 0).all()
    assert llrs.min() >= -math.log(len(target) + 1) - 1e-12
    assert llrs.max() <= math.log(len(nontarget) + 1) + 1e-12


# ---- applying, writing and reading ----


@pytest.mark.parametrize("config", [SUM, CalibrationConfig(method="pav", systems="equal"), LOGISTIC])
def test_a_ratio_does_not_depend_on_what_else_is_calibrated(rng, config):
    target, nontarget = overlapping(rng, 5)
    found = train_calibration(target, nontarget, config)
    assert [found.apply(trial[None])[0] for trial in target] == found.apply(target).tolist()


@pytest.mark.parametrize("config", [SUM, CalibrationConfig(method="pav", systems="equal")])
def test_a_trial_without_a_score_has_no_ratio(rng, config):
    found = train_calibration(*overlapping(rng), config)
    llrs = found.apply([[1.0, 2.0], [np.nan, 2.0], [0.0, 0.0]])
    assert np.isnan(llrs).tolist() == [False, True, False]


@pytest.mark.parametrize("side", [None, (np.arange(40.0), np.arange(90.0))])
def test_a_linear_calibration_survives_json(rng, side):
    found = train_calibration(*overlapping(rng), LOGISTIC, side=side)
    assert load_calibration(json.loads(json.dumps(found.model_dump(mode="json")))) == found


def test_a_pav_calibration_survives_json(rng):
    found = train_calibration(*overlapping(rng, 1), PAV)
    assert load_calibration(json.loads(json.dumps(found.model_dump(mode="json")))) == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "quadratic"}, "quadratic"),
        ({"version": 2}, "version: Input should be 1"),
        ({"weights": [math.nan]}, "weights.0: Input should be a finite number"),
        ({"weights": ["1"]}, "weights.0: Input should be a valid number"),
        ({"weights": []}, "weights: Tuple should have at least 1 item"),
        ({"offset": math.inf}, "offset: Input should be a finite number"),
        ({"slope": 1.0}, "slope: Extra inputs are not permitted"),
        ({"kind": "pav"}, "pav"),
    ],
)
def test_data_that_are_no_calibration_are_refused(changes, message):
    data = LinearCalibration(weights=(1.0,)).model_dump(mode="json") | changes
    with pytest.raises(ValueError, match=f"not a calibration: .*{message}"):
        load_calibration(data)


@pytest.mark.parametrize("data", [None, [], {"version": 1}, "linear", 3.0])
def test_data_of_another_form_are_refused(data):
    with pytest.raises(ValueError, match="not a calibration: the whole"):
        load_calibration(data)


def test_data_without_a_version_are_refused():
    with pytest.raises(ValueError, match="not a calibration: no version"):
        load_calibration({"kind": "linear", "weights": [1.0]})


@pytest.mark.parametrize(("scores", "llrs"), [((1, 1), (0, 1)), ((1, 2), (1, 0)), ((1, 2), (1,)), ((), ())])
def test_points_that_are_no_map_are_refused(scores, llrs):
    with pytest.raises(ValidationError):
        PavCalibration(scores=scores, llrs=llrs)


@pytest.mark.parametrize(
    ("scores", "side", "message"),
    [
        ([1.0, 2.0], [1.0, 2.0], "scores: 1 columns, expected 2"),
        ([[1.0, 2.0]], None, "no side information, and the calibration takes 1 columns"),
        ([[1.0, 2.0]], [[1.0, 2.0]], "side information: 2 columns, expected 1"),
        ([[1.0, 2.0]], [1.0, 2.0], "side information: 2 trials, expected 1"),
        ([[1.0, np.inf]], [1.0], "scores: infinite in 1 of 1 trials, first 0"),
        (3.0, [1.0], r"scores: shape \(\), expected trials"),
    ],
)
def test_scores_that_a_calibration_does_not_fit_are_refused(scores, side, message):
    with pytest.raises(ValueError, match=message):
        LinearCalibration(weights=(1.0, 1.0), side_weights=(1.0,)).apply(scores, side)


def test_side_information_is_refused_where_there_is_none():
    with pytest.raises(ValueError, match="side information: 1 columns, expected 0"):
        PavCalibration(scores=(0.0,), llrs=(0.0,)).apply([1.0], [1.0])


# ---- trials that nothing can be learnt from ----


@pytest.mark.parametrize("config", [LOGISTIC, PAV])
@pytest.mark.parametrize(
    ("target", "nontarget", "message"),
    [
        ([], [1.0], "target scores: none, and calibration needs trials of both kinds"),
        ([1.0], [], "nontarget scores: none, and calibration needs trials of both kinds"),
        ([1.0, np.nan], [0.0], "target scores: NaN in 1 of 2 trials, first 1"),
        ([1.0], [-np.inf, 0.0], "nontarget scores: infinite in 1 of 2 trials, first 0"),
        ([[1.0, 2.0]], [0.0], "scores by 2 systems for targets and by 1 for nontargets"),
        ([[[1.0]]], [0.0], "target scores: shape"),
    ],
)
def test_trials_of_no_use_are_refused(target, nontarget, message, config):
    with pytest.raises(ValueError, match=message):
        train_calibration(target, nontarget, config)


@pytest.mark.parametrize(
    ("side", "message"),
    [
        (([1.0], [1.0]), "side information of targets: 1 trials, expected 2"),
        (([1.0, 2.0], [[1.0, 2.0]]), "side information of nontargets: 2 columns, expected 1"),
        (([1.0, np.nan], [1.0]), "side information of targets: NaN in 1 of 2"),
    ],
)
def test_side_information_that_does_not_fit_is_refused(side, message):
    with pytest.raises(ValueError, match=message):
        train_calibration([1.0, 2.0], [0.0], LOGISTIC, side=side)


def test_pav_takes_one_score_and_nothing_beside_it():
    with pytest.raises(ValueError, match="pav takes one score, and there are 2 systems"):
        train_calibration([[1.0, 2.0]], [[0.0, 0.0]], PAV)
    with pytest.raises(ValueError, match="side information is for the method logistic"):
        train_calibration([1.0], [0.0], PAV, side=([1.0], [1.0]))


@pytest.mark.parametrize("keys", [{"p_target": 0.0}, {"p_target": 1.0}, {"method": "pav", "p_target": 0.1}, {"x": 1}])
def test_configurations_without_a_meaning_are_refused(keys):
    with pytest.raises(ValidationError):
        CalibrationConfig(**keys)


# ---- who may be in both ----


def test_training_on_what_is_evaluated_is_refused():
    check_disjoint(["a", "b", "a"], {"c", "d"}, "calibration and evaluation")
    with pytest.raises(ValueError, match="calibration and evaluation share b, expected"):
        check_disjoint(["a", "b"], {"b", "c"}, "calibration and evaluation")
    with pytest.raises(ValueError, match="share 0, 1, 2, 3, 4 and 4 more"):
        check_disjoint("012345678", "876543210", "calibration and evaluation")
