"""What is known of a calibration before its trials: a normal distribution of its weights and its offset.

Few speakers say little about how sure a score may be, however many trials they make. The prior is what holds where they
say nothing; their trials move the calibration from there by Bayes' rule.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from speechgmm.arrays import Float64Array, read_only
from speechgmm.errors import ModelError

EVIDENCE_OF_SPEAKER = 2.0
"""Trials of independent speakers, half of them targets, that the trials of one speaker are worth."""

WIDE_WEIGHT = 4.0
"""Standard deviation of the weight of a wide prior, in nats per deviation of the nontarget scores."""

WIDE_OFFSET = 4.0
"""Standard deviation of a wide prior's log-likelihood ratio half-way between targets and nontargets, in nats."""


@dataclass(frozen=True, eq=False)
class CalibrationPrior:
    """A normal distribution of the Q weights of columns of scores, and of the offset.

    Parameters
    ----------
    mean : np.ndarray, shape (Q + 1,)
        The most probable weights, and last the offset, in nats.
    precision : np.ndarray, shape (Q + 1, Q + 1)
        The inverse of their covariance: symmetric, positive semidefinite.

    Raises
    ------
    ValueError
        If shapes do not fit, a value is not finite, or the precision is not symmetric.
    """

    mean: Float64Array
    precision: Float64Array

    def __post_init__(self) -> None:
        mean, precision = (np.asarray(each, np.float64) for each in (self.mean, self.precision))
        if mean.ndim != 1 or precision.shape != (len(mean), len(mean)):
            raise ModelError(f"prior: a mean of shape {mean.shape}, a precision of {precision.shape}; expected to fit")
        if not (np.isfinite(mean).all() and np.isfinite(precision).all() and np.array_equal(precision, precision.T)):
            raise ModelError("prior: expected a finite mean and a finite, symmetric precision")
        object.__setattr__(self, "mean", read_only(mean))
        object.__setattr__(self, "precision", read_only(precision))

    @classmethod
    def of_one_column(cls, weight: float, offset: float, covariance: Float64Array) -> Self:
        """Return the prior of one column, from its most probable weight and offset and their covariance (2, 2)."""
        inverse = np.linalg.inv(covariance)
        return cls(np.array([weight, offset]), 0.5 * (inverse + inverse.T))

    @classmethod
    def wide(cls, targets: Float64Array, nontargets: Float64Array) -> Self:
        """Return a prior that knows the scale of scores alone, (N, Q) and (M, Q): its weights are 0, give or take.

        A column has its zero half-way between the means of both kinds of trials, and the deviation of its nontargets as
        its unit; a column that does not vary has no weight.
        """
        centre = 0.5 * (targets.mean(axis=0) + nontargets.mean(axis=0))
        unit = nontargets.std(axis=0)
        unit[unit == 0] = 1.0
        # weights per unit w' and offset b' at the centre: w = w' / unit, b = b' - w centre
        n_columns = len(unit)
        to_unit = np.zeros((n_columns + 1, n_columns + 1))
        to_unit[np.arange(n_columns), np.arange(n_columns)] = unit / WIDE_WEIGHT
        to_unit[-1, :-1], to_unit[-1, -1] = centre / WIDE_OFFSET, 1 / WIDE_OFFSET
        return cls(np.zeros(n_columns + 1), to_unit.T @ to_unit)


def fit_with_prior(
    targets: Float64Array,
    nontargets: Float64Array,
    p_target: float,
    prior: CalibrationPrior,
    n_speakers: int,
    *,
    smooth: bool,
) -> tuple[Float64Array, float]:
    """Find the most probable weights (Q,) and offset, given scores (N, Q) and (M, Q) of so many speakers' trials.

    The mean cost in nats, at the prior probability of a target, counts `EVIDENCE_OF_SPEAKER` times for each speaker.
    With `smooth`, labels are those of Platt (1999): as if there were one trial more at each side, of the other kind.
    Without speakers, or without trials of both kinds, the prior is all that is known.

    References
    ----------
    Platt (1999), "Probabilistic outputs for support vector machines", in: Advances in Large Margin Classifiers.
    """
    n, m = len(targets), len(nontargets)
    if len(prior.mean) != targets.shape[1] + 1:
        raise ModelError(
            f"a prior of {len(prior.mean) - 1} weights, and {targets.shape[1]} columns of scores; expected as many"
        )
    if not (n_speakers and n and m):
        return prior.mean[:-1].copy(), float(prior.mean[-1])
    columns = np.concatenate([targets, nontargets])
    columns = np.column_stack([columns, np.ones(len(columns))])
    labels = np.repeat([1 - smooth / (n + 2), smooth / (m + 2)], [n, m])
    shares = EVIDENCE_OF_SPEAKER * n_speakers * np.repeat([p_target / n, (1 - p_target) / m], [n, m])
    odds = logit(p_target)

    def cost(parameters: Float64Array) -> tuple[float, Float64Array]:
        """Return the cost of parameters, and its gradient."""
        logits, apart = columns @ parameters + odds, parameters - prior.mean
        pull = prior.precision @ apart
        value = shares @ (np.logaddexp(0, logits) - labels * logits) + 0.5 * apart @ pull
        return float(value), (shares * (expit(logits) - labels)) @ columns + pull

    def curvature(parameters: Float64Array) -> Float64Array:
        """Return the matrix of second derivatives."""
        chance: Float64Array = expit(columns @ parameters + odds)
        curved: Float64Array = (columns.T * (shares * chance * (1 - chance))) @ columns + prior.precision
        return curved

    found = minimize(cost, prior.mean, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-8})
    return np.asarray(found.x[:-1]), float(found.x[-1])
