"""Calibration and fusion: scores of any scale become log-likelihood ratios.

A calibration is trained on target and nontarget scores of speakers who are not evaluated. It is then a frozen value
that applies to any scores. Ratios are natural logarithms.
"""

from collections.abc import Collection
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from scipy.optimize import isotonic_regression
from scipy.special import logit

from speechgmm.arrays import Float64Array
from speechgmm.configuration import Configuration
from speechgmm.errors import CorpusError, ModelError
from speechgmm.scoring.calibration_prior import Prior, fit_with_prior

DEFAULT_P_TARGET = 0.5

PENALTY = 1e-9
"""L2 penalty on the logistic weights, for scores of unit deviation: half their squared norm times this is added to the
mean cost in nats. It keeps the weights finite where a threshold separates targets from nontargets, and is too small to
move them otherwise."""

SCALES_KEY = "scales"
"""The key of a calibration's file under which stand the deviations that the systems' scores are divided by."""

TOLERANCE = 1e-12
"""Gradient of the objective at which the optimiser stops."""

MOST_NAMED = 5
"""Names that an error message lists."""

Floats = Annotated[tuple[float, ...], Field(strict=False)]
SideInformation = tuple[npt.ArrayLike, npt.ArrayLike]


class CalibrationConfig(Configuration):
    """How scores become log-likelihood ratios.

    Parameters
    ----------
    method : "logistic" or "pav"
        "logistic": prior-weighted logistic regression, a weight for each system and an offset. "pav": the best
        non-decreasing map, by pooling adjacent violators; it needs many trials of both kinds.
    p_target : float, 0 < p_target < 1
        For "logistic": the prior of a target trial at which the calibration is best, whatever the share of targets in
        the training trials. 0.5 minimises Cllr.
    systems : "trained" or "equal"
        "trained": each system has a weight of its own. "equal": the scores of all systems are summed before
        calibration.

    Examples
    --------
    >>> from speechgmm import CalibrationConfig
    >>> CalibrationConfig(method="logistic", p_target=0.01).systems
    'trained'
    """

    method: Literal["logistic", "pav"] = "logistic"
    p_target: float = Field(DEFAULT_P_TARGET, gt=0, lt=1)
    systems: Literal["trained", "equal"] = "trained"

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse a key that has no effect."""
        if self.method == "pav" and self.p_target != DEFAULT_P_TARGET:
            raise ValueError(f"p_target {self.p_target} is for method logistic; pav is best at every prior at once")
        return self


class LinearCalibration(Configuration):
    """A weighted sum of scores and of side information, plus an offset.

    Parameters
    ----------
    weights : tuple of S floats, nats per unit of the system's score
        One for each system. A negative weight means that in training lower scores indicated the same speaker.
    side_weights : tuple of Q floats, nats per unit
        One for each column of side information.
    offset : float, nats
        Added to the weighted sum.
    """

    kind: Literal["linear"] = "linear"
    version: Literal[1] = 1
    weights: Floats = Field(min_length=1)
    side_weights: Floats = ()
    offset: float = 0.0

    @property
    def n_systems(self) -> int:
        """Number of systems whose scores it takes."""
        return len(self.weights)

    @property
    def n_sides(self) -> int:
        """Number of columns of side information it takes."""
        return len(self.side_weights)

    def apply(self, scores: npt.ArrayLike, side: npt.ArrayLike | None = None) -> Float64Array:
        """Convert the scores of n trials, shape (n,) or (n, S), to log-likelihood ratios, shape (n,), in nats.

        The ratio is ``sum_s weights_s scores_s + sum_q side_weights_q side_q + offset``; NaN where a score or a value
        of side information, shape (n,) or (n, Q), is NaN. ValueError if the numbers of systems, columns or trials do
        not fit, or a value is infinite.
        """
        columns = _columns("scores", scores, n_columns=len(self.weights))
        side_columns = _side_columns(side, len(columns), len(self.side_weights))
        llrs = np.full(len(columns), self.offset)
        # column by column, so that the ratio of a trial does not depend on the number of trials
        for weight, column in zip((*self.weights, *self.side_weights), (*columns.T, *side_columns.T), strict=True):
            llrs += weight * column
        return llrs


class PavCalibration(Configuration):
    """A non-decreasing map of the sum of the systems' scores: linear between points, constant beyond them.

    Parameters
    ----------
    scores : tuple of K floats, increasing
        Scores at the points.
    llrs : tuple of K floats, non-decreasing, nats
        Log-likelihood ratios at the points.
    n_systems : int >= 1
        Number of systems whose scores are summed.
    """

    kind: Literal["pav"] = "pav"
    version: Literal[1] = 1
    scores: Floats = Field(min_length=1)
    llrs: Floats
    n_systems: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse points that are not a non-decreasing map."""
        if len(self.scores) != len(self.llrs):
            raise ValueError(f"{len(self.llrs)} llrs for {len(self.scores)} scores")
        if (np.diff(self.scores) <= 0).any() or (np.diff(self.llrs) < 0).any():
            raise ValueError("expected scores that increase and llrs that never fall")
        return self

    @property
    def n_sides(self) -> int:
        """Number of columns of side information it takes: none."""
        return 0

    def apply(self, scores: npt.ArrayLike, side: npt.ArrayLike | None = None) -> Float64Array:
        """Convert the scores of n trials, shape (n,) or (n, S), to log-likelihood ratios, shape (n,), in nats.

        NaN where a score is NaN. ValueError if the number of systems does not fit, a value is infinite, or there is
        side information.
        """
        columns = _columns("scores", scores, n_columns=self.n_systems)
        _side_columns(side, len(columns), 0)
        return np.interp(_sum_systems(columns)[:, 0], self.scores, self.llrs)


Calibration = LinearCalibration | PavCalibration


def load_calibration(data: object) -> Calibration:
    """Read a calibration from plain data, the inverse of ``calibration.model_dump(mode="json")``.

    ModelError if its kind or version is unknown, or a value is missing, unknown, malformed or not finite.
    """
    if isinstance(data, dict) and "version" not in data:
        raise ModelError("not a calibration: no version")
    adapter: TypeAdapter[Calibration] = TypeAdapter(Annotated[Calibration, Field(discriminator="kind")])
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise ModelError(f"not a calibration: {place}: {first['msg']}") from error


def train_calibration(
    target: npt.ArrayLike,
    nontarget: npt.ArrayLike,
    config: CalibrationConfig,
    *,
    side: SideInformation | None = None,
    prior: Prior | None = None,
    n_speakers: int | None = None,
) -> Calibration:
    """Train a calibration on the scores of target and nontarget trials.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,), or (N, S) and (M, S), finite
        Scores of S systems for trials of each kind, at least one of each.
    config : CalibrationConfig
        Method, prior probability of a target, and fusion.
    side : pair of array_like, shapes (N, Q) and (M, Q), finite, optional
        Side information of the same trials, such as the logarithm of the duration; for the method "logistic" only.
    prior : CalibrationPrior or "wide", optional
        What is known before the trials, for the method "logistic": a normal distribution of the weights of the scores
        (of their sum, where `systems` is "equal"), then of the side information, and of the offset. "wide" knows the
        scale of the scores alone. By default, nothing is known, and the trials decide alone.
    n_speakers : int >= 0, optional
        With a prior, which needs it: of how many speakers the trials are. They count as evidence by this number.

    Returns
    -------
    Calibration
        Its method `apply` converts scores to log-likelihood ratios.

        For "logistic" it is the unique minimum of the objective, to a gradient of 1e-12. Scores and side information
        are scaled to unit deviation internally, so their scale makes no difference, and a constant column has weight 0.
        Where a threshold separates targets from nontargets without an error, the likelihood has no maximum and only
        `PENALTY` bounds the weights: the ratios are then finite, 10 to 20 nats on either side of a wide gap between the
        scores, and much larger than the number of trials justifies.

        With a prior, it is the most probable one given the trials. Few speakers leave it close to the prior, also where
        their trials are separated without an error.

        For "pav" the points are the first and last score of each pool. One target is added below all scores and one
        nontarget above all, so that no ratio is infinite: with N target and M nontarget trials, ratios are between
        -log(N + 1) and log(M + 1).

        If all scores are equal, every ratio is 0.

    Raises
    ------
    ValueError
        If a kind of trial is missing, numbers of systems or trials differ, a value is not finite, a prior has another
        number of weights or no number of speakers, or "pav" is combined with a prior, with side information or with
        trained weights of several systems.

    References
    ----------
    Brümmer et al. (2007), IEEE Trans. Audio, Speech and Language Processing 15, 2072-2084, for linear fusion by the
    prior-weighted objective. Brümmer, du Preez (2006), Computer Speech and Language 20, for PAV. The added trials
    follow Laplace's rule of succession.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import CalibrationConfig, train_calibration
    >>> rng = np.random.default_rng(0)
    >>> target, nontarget = rng.normal(2, 1, 500), rng.normal(0, 1, 5000)
    >>> calibration = train_calibration(target, nontarget, CalibrationConfig())
    >>> calibration.apply([0.0, 2.0, 4.0]).round(1)  # for these normal scores the true ratio is 2 score - 2
    array([-1.9,  2. ,  5.9])
    """
    targets, nontargets = _training_columns("target scores", target), _training_columns("nontarget scores", nontarget)
    n_systems = targets.shape[1]
    if nontargets.shape[1] != n_systems:
        raise ModelError(f"scores by {n_systems} systems for targets and by {nontargets.shape[1]} for nontargets")
    if config.systems == "equal":
        targets, nontargets = _sum_systems(targets), _sum_systems(nontargets)
    if config.method == "logistic":
        n_scores = targets.shape[1]
        if side is not None:
            targets, nontargets = _with_side(targets, nontargets, side)
        if prior is None:
            weights, offset = _fit_logistic(targets, nontargets, config.p_target)
        else:
            n_speakers = _check_evidence(n_speakers)
            weights, offset = fit_with_prior(targets, nontargets, config.p_target, prior, n_speakers)
        system_weights = np.broadcast_to(weights[:n_scores], n_systems)
        return LinearCalibration(weights=tuple(system_weights), side_weights=tuple(weights[n_scores:]), offset=offset)
    if prior is not None:
        raise ModelError("a prior is for the method logistic, and the method is pav")
    if side is not None:
        raise ModelError("side information is for the method logistic, and the method is pav")
    if targets.shape[1] > 1:
        raise ModelError(f"pav takes one score, and there are {n_systems} systems: add them up, with systems: equal")
    return _train_pav(targets[:, 0], nontargets[:, 0], n_systems)


def check_disjoint(first: Collection[str], second: Collection[str], what: str) -> None:
    """Refuse two lists of names that share any, with a CorpusError; `what` they are opens its message."""
    shared = sorted(set(first) & set(second))
    if shared:
        more = f" and {len(shared) - MOST_NAMED} more" if len(shared) > MOST_NAMED else ""
        raise CorpusError(f"{what} share {', '.join(shared[:MOST_NAMED])}{more}, expected nothing in common")


def _check_evidence(n_speakers: int | None) -> int:
    """Refuse a prior without the number of speakers that the trials are of."""
    if n_speakers is None or n_speakers < 0:
        raise ModelError(f"n_speakers {n_speakers}: a prior needs the number of speakers of the trials, 0 or more")
    return n_speakers


def _with_side(
    targets: Float64Array, nontargets: Float64Array, side: SideInformation
) -> tuple[Float64Array, Float64Array]:
    """Put the side information of both kinds of trials beside their scores."""
    of_targets = _training_columns("side information of targets", side[0], len(targets))
    of_nontargets = _training_columns("side information of nontargets", side[1], len(nontargets), of_targets.shape[1])
    return np.hstack([targets, of_targets]), np.hstack([nontargets, of_nontargets])


def _fit_logistic(targets: Float64Array, nontargets: Float64Array, p_target: float) -> tuple[Float64Array, float]:
    """Find the weights (S,) and the offset that minimise the prior-weighted cost of the log-likelihood ratios."""
    from sklearn.linear_model import LogisticRegression

    columns = np.concatenate([targets, nontargets])
    is_target = np.arange(len(columns)) < len(targets)
    # p / N sum_targets log(1 + e^-(llr + logit p)) + (1 - p) / M sum_nontargets log(1 + e^(llr + logit p))
    shares = np.where(is_target, p_target / len(targets), (1 - p_target) / len(nontargets))
    lowest = columns.min(axis=0)
    reach = columns.max(axis=0) - lowest
    reach[reach == 0] = 1.0  # a constant column becomes 0, and so does its weight
    columns = (columns - lowest) / reach
    centre, spread = columns.mean(axis=0), columns.std(axis=0)
    spread[spread == 0] = 1.0
    regression = LogisticRegression(C=1 / PENALTY, solver="newton-cholesky", tol=TOLERANCE, max_iter=1000)
    regression.fit((columns - centre) / spread, is_target, sample_weight=shares)
    weights = regression.coef_[0] / (spread * reach)
    offset = regression.intercept_[0] - logit(p_target) - regression.coef_[0] @ (centre / spread) - weights @ lowest
    return weights, float(offset)


def _train_pav(targets: Float64Array, nontargets: Float64Array, n_systems: int) -> PavCalibration:
    """Pool adjacent violators, with one target added below all scores and one nontarget above all."""
    levels, level_of_trial = np.unique(np.concatenate([targets, nontargets]), return_inverse=True)
    n_targets = np.bincount(level_of_trial[: len(targets)], minlength=len(levels))
    n_nontargets = np.bincount(level_of_trial[len(targets) :], minlength=len(levels))
    n_targets, n_nontargets = np.r_[1, n_targets, 0], np.r_[0, n_nontargets, 1]
    n_trials = n_targets + n_nontargets
    edges = isotonic_regression(n_targets / n_trials, weights=n_trials).blocks
    # every pool has trials of both kinds: the added target makes the share of targets in the lowest pool positive, and
    # shares increase; the added nontarget makes that in the highest less than 1
    odds = np.add.reduceat(n_targets, edges[:-1]) / np.add.reduceat(n_nontargets, edges[:-1])
    llrs = np.log(odds * (len(nontargets) + 1) / (len(targets) + 1))
    firsts, lasts = np.maximum(edges[:-1] - 1, 0), np.minimum(edges[1:] - 2, len(levels) - 1)
    points = np.unique([firsts, lasts])
    return PavCalibration(
        scores=tuple(levels[points]),
        llrs=tuple(llrs[np.searchsorted(firsts, points, side="right") - 1]),
        n_systems=n_systems,
    )


def _sum_systems(columns: Float64Array) -> Float64Array:
    """Sum each trial's scores, (n, S) to (n, 1), in the order of the systems whatever the number of trials."""
    total = columns[:, :1].copy()
    for system in range(1, columns.shape[1]):
        total += columns[:, system : system + 1]
    return total


def _training_columns(
    name: str, values: npt.ArrayLike, n_trials: int | None = None, n_columns: int | None = None
) -> Float64Array:
    """Convert scores or side information of training trials to columns; refuse NaN, or no trials."""
    columns = _columns(name, values, n_trials, n_columns)
    if len(columns) == 0:
        raise ModelError(f"{name}: none, and calibration needs trials of both kinds")
    missing = np.isnan(columns).any(axis=1)
    if missing.any():
        raise ModelError(f"{name}: NaN in {missing.sum()} of {missing.size} trials, first {missing.argmax()}")
    return columns


def _side_columns(side: npt.ArrayLike | None, n_trials: int, n_columns: int) -> Float64Array:
    """Convert side information to the columns that a calibration takes, (n, Q); Q may be 0."""
    if side is None:
        if n_columns > 0:
            raise ModelError(f"no side information, and the calibration takes {n_columns} columns of it")
        return np.empty((n_trials, 0))
    return _columns("side information", side, n_trials, n_columns)


def _columns(
    name: str, values: npt.ArrayLike, n_trials: int | None = None, n_columns: int | None = None
) -> Float64Array:
    """Convert numbers to float64 columns (n, k) of the expected size, none infinite."""
    columns = np.asarray(values, dtype=np.float64)
    if columns.ndim == 1:
        columns = columns[:, None]
    if columns.ndim != 2 or columns.shape[1] == 0:
        raise ModelError(f"{name}: shape {columns.shape}, expected trials, or trials x columns")
    if n_columns is not None and columns.shape[1] != n_columns:
        raise ModelError(f"{name}: {columns.shape[1]} columns, expected {n_columns}")
    if n_trials is not None and len(columns) != n_trials:
        raise ModelError(f"{name}: {len(columns)} trials, expected {n_trials}")
    infinite = np.isinf(columns).any(axis=1)
    if infinite.any():
        raise ModelError(f"{name}: infinite in {infinite.sum()} of {infinite.size} trials, first {infinite.argmax()}")
    return columns
