"""What is known of a calibration before its trials: a normal distribution of its weights and its offset.

Few speakers say little about how sure a score may be, however many trials they make. The prior is what holds where they
say nothing; their trials move the calibration from there by Bayes' rule.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from speechgmm.arrays import Float64Array, read_only
from speechgmm.errors import ModelError
from speechgmm.parallel.threads import one_thread

EVIDENCE_OF_SPEAKER = 2.0
"""How many trials of independent speakers, half of them targets, the trials of one speaker are worth."""

WIDE_WEIGHT = 4.0
"""Standard deviation of a weight by the wide prior, in nats per deviation of the nontarget scores."""

WIDE_OFFSET = 4.0
"""Standard deviation of the ratio half-way between targets and nontargets by the wide prior, in nats."""

LEAST_SPREAD = 1e-9
"""Scores vary if their deviation exceeds this share of their range."""

TOLERANCE = 1e-10
"""Gradient of the objective at which the optimiser stops, for parameters in deviations of the prior."""


@dataclass(frozen=True, eq=False)
class CalibrationPrior:
    """What is known of a linear calibration before its trials: a normal distribution of its weights and its offset.

    Parameters
    ----------
    mean : np.ndarray, shape (Q + 1,)
        The most probable weights of Q columns of scores, and last the offset, in nats.
    covariance : np.ndarray, shape (Q + 1, Q + 1)
        Their covariance: symmetric and positive definite.

    Raises
    ------
    ValueError
        If the shapes do not fit, a value is not finite, or the covariance is not symmetric and positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import CalibrationConfig, CalibrationPrior, train_calibration
    >>> prior = CalibrationPrior(mean=np.array([1.0, 0.0]), covariance=np.diag([0.25, 1.0]))
    >>> rng = np.random.default_rng(0)
    >>> target, nontarget = rng.normal(2, 1, 500), rng.normal(0, 1, 5000)  # their ratio is 2 score - 2
    >>> for n_speakers in (0, 10, 1000):  # the more speakers, the more their trials count
    ...     found = train_calibration(target, nontarget, CalibrationConfig(), prior=prior, n_speakers=n_speakers)
    ...     print(round(found.weights[0], 2), round(found.offset, 2))
    1.0 0.0
    1.2 -0.91
    1.92 -1.89
    """

    mean: Float64Array
    covariance: Float64Array

    def __post_init__(self) -> None:
        mean, covariance = (np.asarray(each, np.float64) for each in (self.mean, self.covariance))
        if mean.ndim != 1 or len(mean) < 2 or covariance.shape != (len(mean), len(mean)):
            raise ModelError(
                f"prior: mean of shape {mean.shape}, covariance of shape {covariance.shape}; expected (Q + 1,) and "
                "(Q + 1, Q + 1) for Q weights and an offset"
            )
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise ModelError("prior: a value of its mean or covariance is not finite; expected finite numbers")
        if not np.allclose(covariance, covariance.T, rtol=1e-9, atol=0):
            raise ModelError("prior: the covariance is not symmetric; expected equal values on both sides")
        try:
            np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError as error:
            raise ModelError("prior: the covariance is not positive definite; expected that of a normal law") from error
        object.__setattr__(self, "mean", read_only(mean))
        object.__setattr__(self, "covariance", read_only(covariance))


Prior = CalibrationPrior | Literal["wide"]
"""A prior, or the wide one, which knows the scale of the scores alone."""


@one_thread()
def fit_with_prior(
    targets: Float64Array, nontargets: Float64Array, p_target: float, prior: Prior, n_speakers: int
) -> tuple[Float64Array, float]:
    """Find the most probable weights (Q,) and offset, given scores (N, Q) and (M, Q) of so many speakers' trials.

    By the wide prior all weights are 0, give or take `WIDE_WEIGHT`, of columns whose zero is half-way between the means
    of both kinds of trials, and whose unit is the deviation of the nontargets. It says nothing against great certainty,
    so labels are smoothed: one trial more at each side, of the other kind (Platt 1999, in: Advances in Large Margin
    Classifiers).
    """
    if isinstance(prior, CalibrationPrior):
        return _most_probable(targets, nontargets, p_target, prior, n_speakers, n_smooth=0)
    centre, unit = 0.5 * (targets.mean(axis=0) + nontargets.mean(axis=0)), _units(targets, nontargets)
    variances = np.append(np.full(len(unit), WIDE_WEIGHT**2), WIDE_OFFSET**2)
    wide = CalibrationPrior(np.zeros(len(variances)), np.diag(variances))
    of_targets, of_nontargets = ((scores - centre) / unit for scores in (targets, nontargets))
    weights, offset = _most_probable(of_targets, of_nontargets, p_target, wide, n_speakers, n_smooth=1)
    weights = weights / unit
    return weights, offset - float(weights @ centre)


def _units(targets: Float64Array, nontargets: Float64Array) -> Float64Array:
    """Compute the deviation of the nontargets in each column; where these are all the same, the range of all scores."""
    both = np.concatenate([targets, nontargets])
    lowest = both.min(axis=0)
    reach = both.max(axis=0) - lowest
    reach[reach == 0] = 1.0
    spread = ((nontargets - lowest) / reach).std(axis=0)
    units: Float64Array = np.where(spread > LEAST_SPREAD, spread * reach, reach)
    return units


def _most_probable(
    targets: Float64Array,
    nontargets: Float64Array,
    p_target: float,
    prior: CalibrationPrior,
    n_speakers: int,
    *,
    n_smooth: int,
) -> tuple[Float64Array, float]:
    """Find the weights (Q,) and the offset with the least sum of the trials' cost and half the squared distance.

    The mean cost in nats, at the prior probability of a target, counts `EVIDENCE_OF_SPEAKER` times for each speaker;
    labels are as if there were `n_smooth` trials more at each side, of the other kind. The distance is that to the mean
    of the prior, in its deviations, and so are the parameters here.
    """
    n, m = len(targets), len(nontargets)
    if len(prior.mean) != targets.shape[1] + 1:
        raise ModelError(
            f"a prior of {len(prior.mean) - 1} weights, and {targets.shape[1]} columns of scores; expected as many"
        )
    root = np.linalg.cholesky(prior.covariance)
    columns = np.column_stack([np.concatenate([targets, nontargets]), np.ones(n + m)])
    at_mean, deviations = columns @ prior.mean + logit(p_target), columns @ root
    labels = np.repeat([1 - n_smooth / (n + 2), n_smooth / (m + 2)], [n, m])
    evidence = EVIDENCE_OF_SPEAKER * n_speakers
    of_prior = 1 / (1 + evidence)  # the objective is divided by this sum, so that the tolerance fits any evidence
    shares = of_prior * evidence * np.repeat([p_target / n, (1 - p_target) / m], [n, m])

    def cost(parameters: Float64Array) -> tuple[float, Float64Array]:
        """Return the cost of parameters, and its gradient."""
        logits = at_mean + deviations @ parameters
        value = shares @ (np.logaddexp(0, logits) - labels * logits) + 0.5 * of_prior * (parameters @ parameters)
        return float(value), (shares * (expit(logits) - labels)) @ deviations + of_prior * parameters

    def curvature(parameters: Float64Array) -> Float64Array:
        """Return the matrix of second derivatives."""
        chance = expit(at_mean + deviations @ parameters)
        of_trials: Float64Array = (deviations.T * (shares * chance * (1 - chance))) @ deviations
        return of_trials + of_prior * np.eye(len(parameters))

    found = minimize(
        cost, np.zeros(len(root)), jac=True, hess=curvature, method="trust-exact", options={"gtol": TOLERANCE}
    )
    weights = prior.mean + root @ found.x
    return weights[:-1], float(weights[-1])
