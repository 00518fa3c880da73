"""Calibration and fusion: from scores of any scale to log-likelihood ratios that mean what they say.

A calibration is trained on scores of target and nontarget trials of speakers who are not those evaluated, and is then a
frozen value that is applied to any scores. Ratios are natural logarithms.
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

DEFAULT_P_TARGET = 0.5

PENALTY = 1e-9
"""Weight of half the squared norm of the logistic weights (of scores with unit deviation) beside the mean cost in nats:
enough to keep them finite when a threshold parts targets from nontargets, too little to move them otherwise."""

TOLERANCE = 1e-12
"""Largest slope of the objective where the search ends."""

NAMED = 5

Floats = Annotated[tuple[float, ...], Field(strict=False)]
Sides = tuple[npt.ArrayLike, npt.ArrayLike]


class CalibrationConfig(Configuration):
    """How scores become log-likelihood ratios.

    Parameters
    ----------
    method : "logistic" or "pav"
        Prior-weighted logistic regression, which is a scale for each system and an offset; or the best map that never
        falls, by pooling adjacent violators, which needs many trials of both kinds.
    p_target : float, 0 < p_target < 1
        Prior of a target trial at which "logistic" is at its best, whatever the share of targets in training; 0.5 makes
        Cllr least.
    systems : "trained" or "equal"
        Whether each system has a weight of its own, or the scores of all are added up before calibration.
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
    """A weighted sum of scores, of side information and of an offset.

    Parameters
    ----------
    weights : tuple of S floats, nats for each unit of the system's score
        One for each system. A negative one says that in training a lower score spoke for "same speaker".
    side_weights : tuple of Q floats, nats for each unit
        One for each column of side information.
    offset : float, nats
        What is added.
    """

    kind: Literal["linear"] = "linear"
    version: Literal[1] = 1
    weights: Floats = Field(min_length=1)
    side_weights: Floats = ()
    offset: float = 0.0

    @property
    def n_systems(self) -> int:
        """Systems that it takes a score of."""
        return len(self.weights)

    @property
    def n_sides(self) -> int:
        """Columns of side information that it takes."""
        return len(self.side_weights)

    def apply(self, scores: npt.ArrayLike, side: npt.ArrayLike | None = None) -> Float64Array:
        """Turn scores into log-likelihood ratios.

        Parameters
        ----------
        scores : array_like, shape (n,) or (n, S)
            Scores of n trials by S systems; NaN where a trial has none.
        side : array_like, shape (n,) or (n, Q), optional
            Side information, such as the logarithm of the duration; needed where the calibration has been trained so.

        Returns
        -------
        np.ndarray, shape (n,), nats
            ``sum_s weights_s scores_s + sum_q side_weights_q side_q + offset``; NaN where anything that goes in is.

        Raises
        ------
        ValueError
            If there are not S systems and Q columns of n trials each, or a value is infinite.
        """
        columns = _columns("scores", scores, n_columns=len(self.weights))
        beside = _beside(side, len(columns), len(self.side_weights))
        llrs = np.full(len(columns), self.offset)
        # one column after the other, so that a trial's ratio does not depend on how many there are
        for weight, column in zip((*self.weights, *self.side_weights), (*columns.T, *beside.T), strict=True):
            llrs += weight * column
        return llrs


class PavCalibration(Configuration):
    """A map that never falls, straight between points and flat beyond them, of the sum of the systems' scores.

    Parameters
    ----------
    scores : tuple of K floats, increasing
        Scores at the points.
    llrs : tuple of K floats, never falling, nats
        Log-likelihood ratios at the points.
    n_systems : int >= 1
        Systems whose scores are added up.
    """

    kind: Literal["pav"] = "pav"
    version: Literal[1] = 1
    scores: Floats = Field(min_length=1)
    llrs: Floats
    n_systems: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse points that are no such map."""
        if len(self.scores) != len(self.llrs):
            raise ValueError(f"{len(self.llrs)} llrs for {len(self.scores)} scores")
        if (np.diff(self.scores) <= 0).any() or (np.diff(self.llrs) < 0).any():
            raise ValueError("expected scores that increase and llrs that never fall")
        return self

    @property
    def n_sides(self) -> int:
        """Columns of side information that it takes: none."""
        return 0

    def apply(self, scores: npt.ArrayLike, side: npt.ArrayLike | None = None) -> Float64Array:
        """Turn scores into log-likelihood ratios.

        Parameters
        ----------
        scores : array_like, shape (n,) or (n, S)
            Scores of n trials by S systems; NaN where a trial has none.
        side : None
            There is no side information in such a map.

        Returns
        -------
        np.ndarray, shape (n,), nats
            The map at the sum of each trial's scores; NaN where one of them is.

        Raises
        ------
        ValueError
            If there are not S systems, a value is infinite, or there is side information.
        """
        columns = _columns("scores", scores, n_columns=self.n_systems)
        _beside(side, len(columns), 0)
        return np.interp(_added(columns)[:, 0], self.scores, self.llrs)


Calibration = LinearCalibration | PavCalibration


def duration_side(n_frames: npt.ArrayLike) -> Float64Array:
    """Turn durations of tests into side information.

    Parameters
    ----------
    n_frames : array_like, shape (n,), >= 1
        Frames of speech in each test, which are as far apart in training as they are later.

    Returns
    -------
    np.ndarray, shape (n,)
        Their natural logarithms.
    """
    return np.log(np.asarray(n_frames, np.float64))


def load_calibration(data: object) -> Calibration:
    """Check and take a calibration from plain data; ``calibration.model_dump(mode="json")`` is the way back.

    Parameters
    ----------
    data : dict
        As read from JSON.

    Returns
    -------
    Calibration
        The same value as was dumped.

    Raises
    ------
    ModelError
        If it is of an unknown kind or version, or has missing, unknown, malformed or non-finite values.
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
    target: npt.ArrayLike, nontarget: npt.ArrayLike, config: CalibrationConfig, *, side: Sides | None = None
) -> Calibration:
    """Learn from trials whose truth is known how scores become log-likelihood ratios.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,), or (N, S) and (M, S), finite
        Scores of S systems for trials of the two kinds, at least one of each.
    config : CalibrationConfig
        Method, prior and fusion.
    side : pair of array_like, shapes (N, Q) and (M, Q), finite, optional
        Side information of the same trials, such as the logarithm of the duration; for the method "logistic" only.

    Returns
    -------
    Calibration
        For "logistic" the unique minimum, to 12 digits of the slope. Scores and side information are given unit
        deviation inside, so their scale makes no difference, and a column that never changes has weight 0. Where scores
        part targets from nontargets without an error, the likelihood has no maximum, and `PENALTY` alone holds the
        weights: the ratios are then finite, 10 to 20 nats on either side of a wide gap between the scores, and much
        surer than the trials can make anybody.

        For "pav" the points are the first and last score of each pool. One more target is put below all scores and one
        more nontarget above all, so that no ratio is infinite: with N target and M nontarget trials they are between
        -log(N + 1) and log(M + 1).

        Scores that are all equal give ratios of 0, which say nothing.

    Raises
    ------
    ValueError
        If a kind of trial is missing, numbers of systems or trials differ, a value is not finite, or "pav" is asked for
        with side information or trained weights of several systems.

    References
    ----------
    Brümmer et al. (2007), IEEE Trans. Audio, Speech and Language Processing 15, 2072-2084, for linear fusion by the
    prior-weighted objective. Brümmer, du Preez (2006), Computer Speech and Language 20, for PAV. The trials that are
    added at the ends are in the way of Laplace's rule of succession.
    """
    targets, nontargets = _training("target scores", target), _training("nontarget scores", nontarget)
    n_systems = targets.shape[1]
    if nontargets.shape[1] != n_systems:
        raise ModelError(f"scores by {n_systems} systems for targets and by {nontargets.shape[1]} for nontargets")
    if config.systems == "equal":
        targets, nontargets = _added(targets), _added(nontargets)
    if config.method == "logistic":
        return _linear(targets, nontargets, side, config, n_systems)
    if side is not None:
        raise ModelError("side information is for the method logistic, and the method is pav")
    if targets.shape[1] > 1:
        raise ModelError(f"pav takes one score, and there are {n_systems} systems: add them up, with systems: equal")
    return _pav(targets[:, 0], nontargets[:, 0], n_systems)


def check_disjoint(first: Collection[str], second: Collection[str], what: str) -> None:
    """Refuse two lists of speakers, or of trials, that share some.

    Parameters
    ----------
    first, second : collection of str
        Names; how often a name is listed makes no difference.
    what : str
        What the two are, for the message: "calibration and evaluation".

    Raises
    ------
    CorpusError
        If a name is in both; the message has the first few.
    """
    shared = sorted(set(first) & set(second))
    if shared:
        more = f" and {len(shared) - NAMED} more" if len(shared) > NAMED else ""
        raise CorpusError(f"{what} share {', '.join(shared[:NAMED])}{more}, expected nothing in common")


def _linear(
    targets: Float64Array, nontargets: Float64Array, side: Sides | None, config: CalibrationConfig, n_systems: int
) -> LinearCalibration:
    """Train on scores (N, S) and (M, S), or sums of scores (N, 1) and (M, 1), and side information."""
    n_scores = targets.shape[1]
    if side is not None:
        beside = _training("side information of targets", side[0], len(targets))
        targets = np.hstack([targets, beside])
        beside = _training("side information of nontargets", side[1], len(nontargets), beside.shape[1])
        nontargets = np.hstack([nontargets, beside])
    weights, offset = _logistic(targets, nontargets, config.p_target)
    of_systems = np.broadcast_to(weights[:n_scores], n_systems)
    return LinearCalibration(weights=tuple(of_systems), side_weights=tuple(weights[n_scores:]), offset=offset)


def _logistic(targets: Float64Array, nontargets: Float64Array, p_target: float) -> tuple[Float64Array, float]:
    """Find the weights (S,) and the offset that make the prior-weighted cost of the log-likelihood ratios least."""
    from sklearn.linear_model import LogisticRegression

    columns = np.concatenate([targets, nontargets])
    is_target = np.arange(len(columns)) < len(targets)
    # p / N sum_targets log(1 + e^-(llr + logit p)) + (1 - p) / M sum_nontargets log(1 + e^(llr + logit p))
    shares = np.where(is_target, p_target / len(targets), (1 - p_target) / len(nontargets))
    lowest = columns.min(axis=0)
    reach = columns.max(axis=0) - lowest
    reach[reach == 0] = 1.0  # of a column that never changes: it stays 0 and so does its weight
    columns = (columns - lowest) / reach
    centre, spread = columns.mean(axis=0), columns.std(axis=0)
    spread[spread == 0] = 1.0
    regression = LogisticRegression(C=1 / PENALTY, solver="newton-cholesky", tol=TOLERANCE, max_iter=1000)
    regression.fit((columns - centre) / spread, is_target, sample_weight=shares)
    weights = regression.coef_[0] / (spread * reach)
    offset = regression.intercept_[0] - logit(p_target) - regression.coef_[0] @ (centre / spread) - weights @ lowest
    return weights, float(offset)


def _pav(targets: Float64Array, nontargets: Float64Array, n_systems: int) -> PavCalibration:
    """Pool adjacent violators, with one target below all scores and one nontarget above all."""
    levels, of_trial = np.unique(np.concatenate([targets, nontargets]), return_inverse=True)
    n_targets = np.bincount(of_trial[: len(targets)], minlength=len(levels))
    n_nontargets = np.bincount(of_trial[len(targets) :], minlength=len(levels))
    n_targets, n_nontargets = np.r_[1, n_targets, 0], np.r_[0, n_nontargets, 1]
    n_trials = n_targets + n_nontargets
    edges = isotonic_regression(n_targets / n_trials, weights=n_trials).blocks
    # every pool has both kinds: the lowest the target that was added, and so all above it nontargets, and vice versa
    odds = np.add.reduceat(n_targets, edges[:-1]) / np.add.reduceat(n_nontargets, edges[:-1])
    llrs = np.log(odds * (len(nontargets) + 1) / (len(targets) + 1))
    firsts, lasts = np.maximum(edges[:-1] - 1, 0), np.minimum(edges[1:] - 2, len(levels) - 1)
    points = np.unique([firsts, lasts])
    return PavCalibration(
        scores=tuple(levels[points]),
        llrs=tuple(llrs[np.searchsorted(firsts, points, side="right") - 1]),
        n_systems=n_systems,
    )


def _added(columns: Float64Array) -> Float64Array:
    """Add up each trial's scores (n, S) into (n, 1), one system after the other, whatever the number of trials."""
    total = columns[:, :1].copy()
    for system in range(1, columns.shape[1]):
        total += columns[:, system : system + 1]
    return total


def _training(
    name: str, values: npt.ArrayLike, n_trials: int | None = None, n_columns: int | None = None
) -> Float64Array:
    """Turn what is known of trials into columns, at least one trial and nothing missing."""
    columns = _columns(name, values, n_trials, n_columns)
    if len(columns) == 0:
        raise ModelError(f"{name}: none, and calibration needs trials of both kinds")
    missing = np.isnan(columns).any(axis=1)
    if missing.any():
        raise ModelError(f"{name}: NaN in {missing.sum()} of {missing.size} trials, first {missing.argmax()}")
    return columns


def _beside(side: npt.ArrayLike | None, n_trials: int, n_columns: int) -> Float64Array:
    """Turn side information into as many columns as a calibration takes, which may be none."""
    if side is None:
        if n_columns > 0:
            raise ModelError(f"no side information, and the calibration takes {n_columns} columns of it")
        return np.empty((n_trials, 0))
    return _columns("side information", side, n_trials, n_columns)


def _columns(
    name: str, values: npt.ArrayLike, n_trials: int | None = None, n_columns: int | None = None
) -> Float64Array:
    """Turn numbers into columns (n, k) of float64, of the numbers expected and none infinite."""
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
