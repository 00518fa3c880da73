"""Single precision against double, for features at any offset and on any scale."""

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture

from helpers.models import draw, random_gmm
from speechgmm import DiagonalGMM, accumulate, log_likelihood, posteriors, train
from speechgmm.gmm.training.config import TrainingConfig
from speechgmm.gmm.training.update import ml_update

N_COMPONENTS, N_FEATURES, N_FRAMES = 8, 12, 1200
UNHINDERED = TrainingConfig(
    n_components=N_COMPONENTS, n_iterations=11, tolerance=0, variance_floor=0, weight_floor=0, min_occupancy=0
)


def everywhere(test):
    """Run a test for every offset (in standard deviations), every scale, and both types that frames are stored in."""
    for name, values in (
        ("stored", [np.float32, np.float64]),
        ("scale", [1e-3, 1.0, 1e3]),
        ("offset", [0.0, 1e2, 1e4]),
    ):
        test = pytest.mark.parametrize(name, values)(test)
    return test


KERNELS = pytest.mark.parametrize("kernel", ["numpy", "numba"])
"""Run a test for everything that computes an exact E step."""


class Problem:
    """Overlapping components, and frames of them in double precision about their own mean: `frames` less `centre`.

    What is stored is the truth: a frame at 10,000 standard deviations has lost digits in single precision before
    anything is computed, and what is compared here has nothing to do with them.
    """

    def __init__(self, offset, scale, stored):
        rng = np.random.default_rng(12)
        truth = random_gmm(rng, N_COMPONENTS, N_FEATURES)
        plain = draw(rng, DiagonalGMM(truth.weights, 0.5 * truth.means, truth.variances), N_FRAMES)
        plain /= plain.std(axis=0)
        self.frames = ((plain + offset) * scale).astype(stored)
        self.centre = np.full(N_FEATURES, offset * scale)
        self.centred = self.frames.astype(np.float64) - self.centre
        self.sd = self.centred.std(axis=0)
        means = self.centred[rng.choice(N_FRAMES, N_COMPONENTS, replace=False)] / 2
        start = np.full(N_COMPONENTS, 1 / N_COMPONENTS), means, np.tile(self.sd**2, (N_COMPONENTS, 1))
        self.start = start
        self.model = self.moved(start)

    def moved(self, parameters):
        """Give the model of parameters about the centre."""
        weights, means, variances = parameters
        return DiagonalGMM(weights, means + self.centre, variances)

    def about_centre(self, gmm):
        return gmm.weights, gmm.means - self.centre, gmm.variances


def literal_log_joint(centred, parameters):
    """log(w_c N(x_t; c)) from differences, in double precision and without expanding any square."""
    weights, means, variances = parameters
    distances = (centred[:, None] - means) ** 2 / variances + np.log(2 * np.pi * variances)
    return np.log(weights) - 0.5 * distances.sum(axis=2)


def literal_em(centred, parameters, n_iterations):
    """EM with variances about the new means: Reynolds and Rose (1995), eqs. 6-8."""
    for _ in range(n_iterations):
        joint = literal_log_joint(centred, parameters)
        gamma = np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        occupancy = gamma.sum(axis=0)
        means = gamma.T @ centred / occupancy[:, None]
        spread = (centred[:, None] - means) ** 2
        parameters = occupancy / len(centred), means, np.einsum("tc,tcd->cd", gamma, spread) / occupancy[:, None]
    return parameters


def assert_same_model(found, expected, sd, tolerance):
    """Compare parameters: a mean may be zero, so that its error counts in standard deviations of the feature."""
    np.testing.assert_allclose(found[0], expected[0], rtol=tolerance)
    np.testing.assert_allclose(found[1] / sd, expected[1] / sd, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found[2], expected[2], rtol=tolerance)


def test_the_literal_iterations_are_scikit_learns():
    problem = Problem(0.0, 1.0, np.float64)
    weights, means, variances = problem.start
    other = GaussianMixture(
        N_COMPONENTS,
        covariance_type="diag",
        max_iter=10,
        tol=0,
        reg_covar=0,
        weights_init=weights,
        means_init=means,
        precisions_init=1 / variances,
    )
    with pytest.warns(match="did not converge"):
        other.fit(problem.centred)
    expected = other.weights_, other.means_, other.covariances_
    assert_same_model(literal_em(problem.centred, problem.start, 10), expected, problem.sd, 1e-9)


def test_the_components_overlap():
    problem = Problem(0.0, 1.0, np.float64)
    joint = literal_log_joint(problem.centred, literal_em(problem.centred, problem.start, 10))
    best = np.exp(joint.max(axis=1) - logsumexp(joint, axis=1))
    assert np.mean(best < 0.9) > 0.25


@KERNELS
@everywhere
def test_one_pass_in_single_precision_keeps_five_digits_of_the_log_likelihood(offset, scale, stored, kernel):
    problem = Problem(offset, scale, stored)
    joint = literal_log_joint(problem.centred, problem.start)
    exact = logsumexp(joint, axis=1)
    single, double = (
        accumulate(problem.model, problem.frames, dtype=each, kernel=kernel) for each in (np.float32, np.float64)
    )
    assert single.log_likelihood == pytest.approx(exact.sum(), rel=1e-5)
    assert single.log_likelihood == pytest.approx(double.log_likelihood, rel=1e-5)
    # The unit of a log-density is arbitrary: a frame whose value happens to be near 0 is held to that of one nat.
    np.testing.assert_allclose(log_likelihood(problem.model, problem.frames), exact, rtol=1e-5, atol=1e-5)
    gamma = np.exp(joint - exact[:, None])
    np.testing.assert_allclose(posteriors(problem.model, problem.frames), gamma, rtol=0, atol=1e-5)


@everywhere
def test_double_precision_is_the_literal_formula(offset, scale, stored):
    problem = Problem(offset, scale, stored)
    exact = logsumexp(literal_log_joint(problem.centred, problem.start), axis=1)
    # Parameters at 10,000 standard deviations have themselves lost four digits of sixteen.
    found = log_likelihood(problem.model, problem.frames, dtype=np.float64)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-10 if offset < 1e4 else 1e-8)


@KERNELS
@everywhere
def test_ten_iterations_in_single_precision_keep_three_digits_of_the_parameters(offset, scale, stored, kernel):
    problem = Problem(offset, scale, stored)
    exact = literal_em(problem.centred, problem.start, 10)
    models = {}
    for dtype in (np.float32, np.float64):
        gmm = problem.model
        for _ in range(10):
            gmm = ml_update(accumulate(gmm, problem.frames, dtype=dtype, kernel=kernel), gmm, UNHINDERED)
        models[dtype] = problem.about_centre(gmm)
    assert_same_model(models[np.float32], exact, problem.sd, 1e-3)
    assert_same_model(models[np.float32], models[np.float64], problem.sd, 1e-3)
    # Raw second moments at 10,000 standard deviations keep eight digits, of which iterations lose some.
    assert_same_model(models[np.float64], exact, problem.sd, 1e-9 if offset == 0 else 1e-5)


@KERNELS
@everywhere
def test_training_goes_where_the_literal_iterations_go(offset, scale, stored, kernel):
    problem = Problem(offset, scale, stored)
    first, last = (
        train([problem.frames], UNHINDERED.model_copy(update={"n_iterations": n_iterations, "kernel": kernel}))
        for n_iterations in (1, 11)
    )
    exact = literal_em(problem.centred, problem.about_centre(first.gmm), 10)
    assert_same_model(problem.about_centre(last.gmm), exact, problem.sd, 1e-3)
    before = literal_em(problem.centred, problem.about_centre(first.gmm), 9)
    expected = logsumexp(literal_log_joint(problem.centred, before), axis=1).mean()
    assert last.history[-1].log_likelihood == pytest.approx(expected, rel=1e-5)
