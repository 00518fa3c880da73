"""Calibration from a prior. Expected values come from the literal objective, limits and invariance."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize

import naive
from speechgmm.scoring.calibration import CalibrationConfig, LinearCalibration, train_calibration
from speechgmm.scoring.calibration_prior import EVIDENCE_OF_SPEAKER, CalibrationPrior

ONE = CalibrationPrior(np.array([2.0, -4.0]), np.array([[0.5, -0.5], [-0.5, 2.0]]))
TWO = CalibrationPrior(np.array([2.0, 0.5, -4.0]), np.array([[0.5, 0.1, -0.5], [0.1, 0.3, 0.0], [-0.5, 0.0, 2.0]]))


def overlapping(rng, n_columns):
    """A few trials that no threshold can part."""
    return rng.normal(1, 2, (40, n_columns)), rng.normal(-1, 1, (90, n_columns))


def parameters(found):
    return np.array([*found.weights, *found.side_weights, found.offset])


def literal_optimum(target, nontarget, p_target, n_speakers, mean, covariance, n_smooth=0):
    """Where the literal objective is least, by an optimiser that knows no gradient."""
    arguments = (target, nontarget, p_target, EVIDENCE_OF_SPEAKER * n_speakers, mean, covariance, n_smooth)
    options = {"xatol": 1e-9, "fatol": 1e-13, "maxiter": 20_000}
    found = minimize(naive.posterior_cost, mean, arguments, method="Nelder-Mead", options=options)
    assert found.success
    return found.x


# ---- the most probable calibration ----


@pytest.mark.parametrize("n_speakers", [1, 30])
@pytest.mark.parametrize("p_target", [0.5, 0.01])
@pytest.mark.parametrize("prior", [ONE, TWO])
def test_the_most_probable_calibration_is_that_of_the_literal_objective(rng, prior, p_target, n_speakers):
    target, nontarget = overlapping(rng, len(prior.mean) - 1)
    config = CalibrationConfig(p_target=p_target)
    found = train_calibration(target, nontarget, config, prior=prior, n_speakers=n_speakers)
    expected = literal_optimum(target, nontarget, p_target, n_speakers, prior.mean, prior.covariance)
    np.testing.assert_allclose(parameters(found), expected, atol=2e-5)


@pytest.mark.parametrize("n_speakers", [1, 30])
@pytest.mark.parametrize("n_columns", [1, 2])
def test_the_wide_prior_is_the_literal_one(rng, n_columns, n_speakers):
    target, nontarget = overlapping(rng, n_columns)
    found = train_calibration(target, nontarget, CalibrationConfig(), prior="wide", n_speakers=n_speakers)
    expected = literal_optimum(target, nontarget, 0.5, n_speakers, *naive.wide_prior(target, nontarget), 1)
    np.testing.assert_allclose(parameters(found), expected, atol=2e-5)


def test_the_slope_of_the_literal_objective_is_0_with_side_information_and_a_sum_of_systems(rng):
    target, nontarget = overlapping(rng, 3)
    side = rng.normal(3, 1, 40), rng.normal(3, 1, 90)
    config = CalibrationConfig(systems="equal", p_target=0.2)
    found = train_calibration(target, nontarget, config, side=side, prior=TWO, n_speakers=12)
    assert len(set(found.weights)) == 1
    columns = [
        np.stack([scores.sum(axis=1), own], axis=1) for scores, own in zip((target, nontarget), side, strict=True)
    ]
    at = [found.weights[0], *found.side_weights, found.offset]
    evidence = EVIDENCE_OF_SPEAKER * 12
    slope = approx_fprime(at, naive.posterior_cost, 1e-6, *columns, 0.2, evidence, TWO.mean, TWO.covariance)
    assert np.abs(slope).max() < 1e-3  # a thousandth of a nat for each nat


# ---- its limits ----


@pytest.mark.parametrize("systems", ["trained", "equal"])
def test_without_speakers_the_prior_is_all_that_is_known(rng, systems):
    target, nontarget = overlapping(rng, 2)
    prior = TWO if systems == "trained" else ONE
    found = train_calibration(target, nontarget, CalibrationConfig(systems=systems), prior=prior, n_speakers=0)
    assert found.weights == (2.0, 0.5 if systems == "trained" else 2.0)
    assert found.offset == -4.0
    of_wide = train_calibration(target, nontarget, CalibrationConfig(systems=systems), prior="wide", n_speakers=0)
    assert of_wide == LinearCalibration(weights=(0.0, 0.0))


@pytest.mark.parametrize("prior", [ONE, "wide"])
def test_very_many_speakers_leave_nothing_of_the_prior(rng, prior):
    # of targets with smoothed labels, as the wide prior has them, n + 1 count as targets and 1 as a nontarget
    target, nontarget = overlapping(rng, 1)
    found = train_calibration(target, nontarget, CalibrationConfig(), prior=prior, n_speakers=10**9)
    n, m = len(target), len(nontarget)
    odd = float(prior == "wide")
    weights = np.concatenate([np.full(n, (1 - odd / (n + 2)) / n), np.full(m, odd / (m + 2) / m)])
    others = np.concatenate([np.full(n, odd / (n + 2) / n), np.full(m, (1 - odd / (m + 2)) / m)])
    scores = np.concatenate([target, nontarget])[:, 0]

    def cost(at):
        llrs = at[0] * scores + at[1]
        return weights @ np.log1p(np.exp(-llrs)) + others @ np.log1p(np.exp(llrs))

    np.testing.assert_allclose(parameters(found), minimize(cost, [0.0, 0.0], tol=1e-10).x, atol=1e-4)


@pytest.mark.parametrize("prior", [ONE, "wide"])
def test_the_more_speakers_the_farther_from_the_prior(rng, prior):
    target, nontarget = rng.normal(30, 10, 40), rng.normal(0, 10, 90)
    distances = []
    for n_speakers in (0, 1, 4, 16, 64, 1000):
        found = train_calibration(target, nontarget, CalibrationConfig(), prior=prior, n_speakers=n_speakers)
        if prior == "wide":
            distances.append(found.weights[0])
        else:  # in deviations of the prior
            apart = parameters(found) - prior.mean
            distances.append(apart @ np.linalg.inv(prior.covariance) @ apart)
    assert (np.diff(distances) > 0).all()


SEPARABLE = [([3.0, 4.0], [1.0, 2.0]), ([5.0] * 50, [-5.0] * 60), ([1.0], [0.0])]


@pytest.mark.parametrize("prior", [CalibrationPrior(np.zeros(2), np.eye(2)), "wide"])
@pytest.mark.parametrize(("target", "nontarget"), SEPARABLE)
def test_trials_without_an_error_make_few_speakers_a_little_sure_and_many_more_so(target, nontarget, prior):
    highest = []
    for n_speakers in (1, 5, 25, 125):
        found = train_calibration(target, nontarget, CalibrationConfig(), prior=prior, n_speakers=n_speakers)
        assert np.isfinite(parameters(found)).all()
        assert found.apply(target).min() > found.apply(nontarget).max()
        highest.append(found.apply(target).max())
    assert (np.diff(highest) > 0).all()
    assert highest[-1] < train_calibration(target, nontarget, CalibrationConfig()).apply(target).max() / 2


@pytest.mark.parametrize("n_speakers", [1, 5, 25])
@pytest.mark.parametrize(("target", "nontarget"), SEPARABLE)
def test_no_trials_move_a_ratio_farther_than_their_speakers_are_evidence(target, nontarget, n_speakers):
    # All ratios 0 cost log 2 for each unit of evidence. The optimum costs no more, so half its squared distance from
    # there is below that; a ratio of score s moves sqrt(s^2 + 1) for each deviation of the prior.
    prior = CalibrationPrior(np.zeros(2), np.eye(2))
    found = train_calibration(target, nontarget, CalibrationConfig(), prior=prior, n_speakers=n_speakers)
    farthest = np.sqrt(2 * EVIDENCE_OF_SPEAKER * n_speakers * np.log(2) * (np.square(target) + 1))
    assert (np.abs(found.apply(target)) < farthest).all()


# ---- what makes no difference ----


@pytest.mark.parametrize(("scale", "offset"), [(1e-120, 3e-118), (1e-3, 40.0), (1.0, 1e5), (1e150, 1e151)])
def test_scale_and_offset_of_scores_make_no_difference_to_the_wide_prior(rng, scale, offset):
    target, nontarget = overlapping(rng, 2)
    found, moved = (
        train_calibration(*trials, CalibrationConfig(), prior="wide", n_speakers=7)
        for trials in ((target, nontarget), (scale * target + offset, scale * nontarget + offset))
    )
    np.testing.assert_allclose(moved.apply(scale * target + offset), found.apply(target), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(np.array(moved.weights) * scale, found.weights, rtol=1e-6)


def test_a_prior_of_other_units_is_another_prior_of_the_same_knowledge(rng):
    # scores that are 10 times as large, minus 3: w' = w / 10, b' = b + 3 w / 10
    target, nontarget = overlapping(rng, 1)
    change = np.array([[0.1, 0.0], [0.3, 1.0]])
    other = CalibrationPrior(change @ ONE.mean, change @ ONE.covariance @ change.T)
    found = train_calibration(target, nontarget, CalibrationConfig(), prior=ONE, n_speakers=7)
    moved = train_calibration(10 * target - 3, 10 * nontarget - 3, CalibrationConfig(), prior=other, n_speakers=7)
    np.testing.assert_allclose(moved.apply(10 * target - 3), found.apply(target), atol=1e-7)


def test_shares_of_trials_make_no_difference_but_by_smoothing(rng):
    target, nontarget = rng.normal(1, 2, 4000), rng.normal(-1, 1, 9000)
    once, more = (
        train_calibration(target, np.tile(nontarget, n), CalibrationConfig(), prior=ONE, n_speakers=50) for n in (1, 7)
    )
    np.testing.assert_allclose(parameters(more), parameters(once), atol=2e-3)


def test_a_second_run_gives_the_same_bits(rng):
    target, nontarget = overlapping(rng, 2)
    runs = [train_calibration(target, nontarget, CalibrationConfig(), prior=TWO, n_speakers=9) for _ in range(2)]
    assert runs[0] == runs[1]


def test_a_column_that_never_changes_has_no_weight_by_the_wide_prior(rng):
    target, nontarget = overlapping(rng, 1)
    alone = train_calibration(target, nontarget, CalibrationConfig(), prior="wide", n_speakers=9)
    more = [np.hstack([scores, np.full_like(scores, 0.1)]) for scores in (target, nontarget)]
    fused = train_calibration(*more, CalibrationConfig(), prior="wide", n_speakers=9)
    assert abs(fused.weights[1]) < 1e-12
    np.testing.assert_allclose([fused.weights[0], fused.offset], parameters(alone), rtol=1e-7)


def test_nontargets_that_are_all_the_same_have_the_unit_of_all_scores():
    found, moved = (
        train_calibration([1.0 * by, 2.0 * by], [0.1 * by] * 3, CalibrationConfig(), prior="wide", n_speakers=3)
        for by in (1, 1000)
    )
    assert 0 < found.weights[0] < 10
    assert found.weights[0] == pytest.approx(1000 * moved.weights[0])


# ---- what is refused ----


@pytest.mark.parametrize(
    ("mean", "covariance", "message"),
    [
        ([1.0, 0.0], np.eye(3), r"mean of shape \(2,\), covariance of shape \(3, 3\); expected \(Q \+ 1,\)"),
        ([[1.0, 0.0]], np.eye(2), r"mean of shape \(1, 2\)"),
        ([1.0], np.eye(1), r"mean of shape \(1,\)"),
        ([np.nan, 0.0], np.eye(2), "not finite"),
        ([1.0, 0.0], np.diag([1.0, np.inf]), "not finite"),
        ([1.0, 0.0], [[1.0, 0.1], [0.2, 1.0]], "the covariance is not symmetric"),
        ([1.0, 0.0], [[1.0, 2.0], [2.0, 1.0]], "the covariance is not positive definite"),
        ([1.0, 0.0], np.diag([1.0, 0.0]), "the covariance is not positive definite"),
    ],
)
def test_what_is_no_normal_distribution_is_refused(mean, covariance, message):
    with pytest.raises(ValueError, match=f"prior: .*{message}"):
        CalibrationPrior(np.array(mean), np.array(covariance))


def test_a_prior_cannot_be_changed():
    mean = np.array([1.0, 0.0])
    prior = CalibrationPrior(mean, np.eye(2))
    mean[0] = 5.0
    assert prior.mean[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        prior.covariance[0, 0] = 2.0


def test_trials_that_a_prior_does_not_fit_are_refused():
    logistic, pav = CalibrationConfig(), CalibrationConfig(method="pav")
    with pytest.raises(ValueError, match="a prior of 2 weights, and 1 columns of scores; expected as many"):
        train_calibration([1.0], [0.0], logistic, prior=TWO, n_speakers=3)
    with pytest.raises(ValueError, match="a prior of 1 weights, and 2 columns of scores"):
        train_calibration([1.0], [0.0], logistic, prior=ONE, n_speakers=3, side=([1.0], [1.0]))
    for n_speakers in (None, -1):
        with pytest.raises(ValueError, match=f"n_speakers {n_speakers}: a prior needs the number of speakers"):
            train_calibration([1.0], [0.0], logistic, prior=ONE, n_speakers=n_speakers)
    for prior in (ONE, "wide"):
        with pytest.raises(ValueError, match="a prior is for the method logistic, and the method is pav"):
            train_calibration([1.0], [0.0], pav, prior=prior, n_speakers=3)
    with pytest.raises(ValueError, match="target scores: none"):
        train_calibration([], [0.0], logistic, prior=ONE, n_speakers=3)
