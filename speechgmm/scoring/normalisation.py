"""Score normalisation by a cohort: Z, T, ZT, TZ, S and adaptive S.

A score that is high for one model or test is low for another. Impostor scores show what is high: those of the model
against the utterances of a cohort (Z), those of the test against the models of a cohort (T), or both.

The statistics of each row are computed on their own, so that a normalised score depends only on its model, its test and
the cohort, not on what else is scored.
"""

from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from scipy.special import ndtri

from speechgmm.arrays import Float64Array, IntArray
from speechgmm.configuration import Configuration
from speechgmm.errors import ModelError

DEFAULT_TOP_N = 200
DEFAULT_TRIMMED_SHARE = 0.1

MIN_COHORT_SCORES = 2
"""Fewest cohort scores that have a spread."""

LEAST_SPREAD = 1e-9
"""Cohort scores vary if their spread exceeds this share of the largest absolute score."""

NO_SPEAKER = -1
"""Number of a speaker who is unknown, or not in the cohort."""

LABELS = {"models": "model", "tests": "test", "z_cohort": "cohort utterance", "t_cohort": "cohort model"}

MAD_OF_NORMAL = float(ndtri(0.75))
"""Median absolute deviation of a standard normal variable: 1 / 1.4826."""


class ScoreNormalisationConfig(Configuration):
    """How scores are normalised.

    Parameters
    ----------
    method : "none", "z", "t", "zt", "tz", "s" or "as"
        What a score is normalised by. "z": the model's scores against the cohort's utterances. "t": the test's scores
        against the cohort's models. "zt": z, then t with cohort scores that are z-normalised too. "tz": t, then z with
        cohort scores that are t-normalised too. "s": the mean of z and t. "as": that mean over the highest cohort
        scores only (AS-norm1 of Matějka et al.: model and test each select by their own cohort scores).
    top_n : int >= 2
        For "as": how many of the highest cohort scores the model and the test each use; all if there are fewer.
    statistics : "mean", "trimmed" or "median"
        Centre and spread of the cohort scores. "mean": mean and population standard deviation. "trimmed": the same
        without the lowest and highest scores, the deviation corrected for the trimming as for normal scores. "median":
        median and 1.4826 times the median absolute deviation. For normal scores, all three estimate the mean and the
        standard deviation.
    trimmed_share : float, 0 <= trimmed_share < 0.5
        For "trimmed": the share of the scores left out at each end, rounded down to whole scores.

    References
    ----------
    Auckenthaler, Carey, Lloyd-Thomas (2000), Digital Signal Processing 10, 42-54: Z and T.
    Kenny (2010), Odyssey, "Bayesian speaker verification with heavy-tailed priors": S.
    Cumani et al. (2011), Interspeech, "Comparison of speaker recognition approaches for real applications", and
    Matějka et al. (2017), Interspeech, "Analysis of score normalization in multilingual speaker recognition": "as".

    Examples
    --------
    >>> from speechgmm import ScoreNormalisationConfig
    >>> ScoreNormalisationConfig(method="as", top_n=300).statistics
    'mean'
    """

    method: Literal["none", "z", "t", "zt", "tz", "s", "as"] = "none"
    top_n: int = Field(DEFAULT_TOP_N, ge=MIN_COHORT_SCORES)
    statistics: Literal["mean", "trimmed", "median"] = "mean"
    trimmed_share: float = Field(DEFAULT_TRIMMED_SHARE, ge=0, lt=0.5)

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse keys that have no effect because of others."""
        if self.top_n != DEFAULT_TOP_N and self.method != "as":
            raise ValueError(f"top_n {self.top_n} is for method as, and method is {self.method}")
        if self.trimmed_share != DEFAULT_TRIMMED_SHARE and self.statistics != "trimmed":
            raise ValueError(f"trimmed_share {self.trimmed_share} is for trimmed statistics, not for {self.statistics}")
        return self


class Speakers(NamedTuple):
    """The speakers of models, tests and cohort, so that a trial's own speakers are left out of its cohort."""

    models: Sequence[str]  # the speaker of each of M models
    z_cohort: Sequence[str] | None = None  # of each of K cohort utterances; every method but "t" needs them
    t_cohort: Sequence[str] | None = None  # of each of L cohort models; every method but "z" needs them
    tests: Sequence[str] | None = None  # the true speaker of each of U tests: for development only, never in evaluation


class _Axis(NamedTuple):
    """The rows or the columns of a score matrix: what they are, their names for messages, and their speakers."""

    label: str  # what a row or column is, for messages
    names: Sequence[str]
    speakers: IntArray  # a number for each row or column, or NO_SPEAKER


def normalise_scores(
    scores: npt.ArrayLike,
    config: ScoreNormalisationConfig,
    *,
    z_scores: npt.ArrayLike | None = None,
    t_scores: npt.ArrayLike | None = None,
    cohort_scores: npt.ArrayLike | None = None,
    speakers: Speakers | None = None,
    test_names: Sequence[str] | None = None,
) -> Float64Array:
    """Normalise a matrix of scores by those of a cohort.

    Parameters
    ----------
    scores : array_like, shape (M, U), finite
        Score of each of M models for each of U tests.
    config : ScoreNormalisationConfig
        Method and statistics.
    z_scores : array_like, shape (M, K), finite, optional
        Score of each model for each of K utterances of the cohort; needed by every method but "none" and "t".
    t_scores : array_like, shape (L, U), finite, optional
        Score of each of L models of the cohort for each test; needed by every method but "none" and "z".
    cohort_scores : array_like, shape (L, K), finite, optional
        Score of each model of the cohort for each of its utterances; needed by "zt" and "tz".
    speakers : Speakers, optional
        If given, the cohort of a trial leaves out the speaker of its model and, where `speakers.tests` is given, that
        of its test. The same rule holds for cohort scores that are normalised themselves ("zt", "tz").
    test_names : sequence of U str, optional
        Names of the tests for error messages; their numbers by default.

    Returns
    -------
    np.ndarray, shape (M, U), float64, standard deviations of the cohort's scores
        The normalised scores; a copy of the scores for the method "none".

    Raises
    ------
    ValueError
        If a matrix that the method needs is missing, has another shape or is not finite; if speakers are missing or not
        as many; or if the cohort of a trial has fewer than 2 usable scores, or scores that do not vary.

    References
    ----------
    See `ScoreNormalisationConfig`; S is the mean of the two as in Matějka et al. (2017), adaptive S their AS-norm1.

    Examples
    --------
    >>> import numpy as np
    >>> from speechgmm import ScoreNormalisationConfig, normalise_scores
    >>> scores = [[3.0, 1.0]]  # one model, two tests
    >>> z_scores = [[0.0, 1.0, -1.0, 0.5, -0.5]]  # the same model against five cohort utterances
    >>> normalise_scores(scores, ScoreNormalisationConfig(method="z"), z_scores=z_scores).round(2)
    array([[4.24, 1.41]])
    """
    matrix = _matrix("scores", scores, None, None)
    if config.method == "none":
        return matrix.copy()
    n_models, n_tests = matrix.shape
    z, t, both = np.empty((n_models, 0)), np.empty((0, n_tests)), np.empty((0, 0))
    if config.method != "t":
        z = _matrix("z_scores", z_scores, n_models, None)
    if config.method != "z":
        t = _matrix("t_scores", t_scores, None, n_tests)
    if config.method in ("zt", "tz"):
        both = _matrix("cohort_scores", cohort_scores, len(t), z.shape[1])
    models, tests, z_cohort, t_cohort = _axes(speakers, test_names, n_models, n_tests, z.shape[1], len(t))
    match config.method:
        case "z":
            return _z_norm(matrix, z, models, tests, z_cohort, config)
        case "t":
            return _t_norm(matrix, t, models, tests, t_cohort, config)
        case "zt":
            normalised_cohort = _z_norm(t, both, t_cohort, tests, z_cohort, config)
            return _t_norm(
                _z_norm(matrix, z, models, tests, z_cohort, config), normalised_cohort, models, tests, t_cohort, config
            )
        case "tz":
            normalised_cohort = _t_norm(z, both, models, z_cohort, t_cohort, config)
            return _z_norm(
                _t_norm(matrix, t, models, tests, t_cohort, config), normalised_cohort, models, tests, z_cohort, config
            )
        case "s" | "as":
            by_model = _z_norm(matrix, z, models, tests, z_cohort, config)
            by_test = _t_norm(matrix, t, models, tests, t_cohort, config)
            return 0.5 * (by_model + by_test)


def _z_norm(
    scores: Float64Array,
    cohort: Float64Array,
    rows: _Axis,
    columns: _Axis,
    members: _Axis,
    config: ScoreNormalisationConfig,
) -> Float64Array:
    """Normalise scores (R, C) by the scores of each row against the members of a cohort, (R, K)."""
    normalised = np.empty_like(scores)
    column_speakers = _cohort_speakers(columns, members)
    for speaker in np.unique(column_speakers):
        chosen = column_speakers == speaker
        centre, spread = _statistics(cohort, rows, members, speaker, config)
        normalised[:, chosen] = (scores[:, chosen] - centre[:, None]) / spread[:, None]
    return normalised


def _t_norm(
    scores: Float64Array,
    cohort: Float64Array,
    rows: _Axis,
    columns: _Axis,
    members: _Axis,
    config: ScoreNormalisationConfig,
) -> Float64Array:
    """Normalise scores (R, C) by the scores of a cohort's members against each column, (K, C)."""
    return _z_norm(scores.T, cohort.T, columns, rows, members, config).T


def _cohort_speakers(axis: _Axis, members: _Axis) -> IntArray:
    """Return the speakers of an axis, NO_SPEAKER for those outside the cohort, who share its statistics."""
    return np.where(np.isin(axis.speakers, members.speakers), axis.speakers, NO_SPEAKER)


def _statistics(
    cohort: Float64Array, rows: _Axis, members: _Axis, column_speaker: int, config: ScoreNormalisationConfig
) -> tuple[Float64Array, Float64Array]:
    """Compute centre and spread (R,) of each row's cohort scores, without the speakers of the row and of the column."""
    centre, spread = np.empty((2, len(cohort)))
    row_speakers = _cohort_speakers(rows, members)
    for speaker in np.unique(row_speakers):
        chosen = np.flatnonzero(row_speakers == speaker)
        is_other = (members.speakers != speaker) & (members.speakers != column_speaker)
        included = (members.speakers == NO_SPEAKER) | is_other
        # in increasing order, so that the order of the cohort makes no difference even to the last bit
        values, factor = _selected_scores(np.sort(np.ascontiguousarray(cohort[chosen][:, included]), axis=1), config)
        if values.shape[1] < MIN_COHORT_SCORES:
            name = f"{rows.label} {rows.names[chosen[0]]}"
            raise ModelError(
                f"{name}: {values.shape[1]} of its {included.size} scores against {members.label}s can be used; "
                f"expected at least {MIN_COHORT_SCORES}"
            )
        centre[chosen], spread[chosen] = _centre_and_spread(values, factor, config)
        constant = spread[chosen] <= LEAST_SPREAD * np.abs(values).max(axis=1)
        if constant.any():
            name = f"{rows.label} {rows.names[chosen[np.argmax(constant)]]}"
            raise ModelError(
                f"{name}: its {values.shape[1]} scores against {members.label}s have no spread "
                f"by the statistics {config.statistics!r}; expected scores that vary"
            )
    return centre, spread


def _selected_scores(values: Float64Array, config: ScoreNormalisationConfig) -> tuple[Float64Array, float]:
    """Select the sorted scores (R, K) that count; return the deviation of normal scores after this trimming, too."""
    if config.method == "as":
        values = values[:, -config.top_n :]
    n_scores = values.shape[1]
    n_trimmed = int(config.trimmed_share * n_scores + 1e-9)  # 0.29 * 100 is not quite 29
    if config.statistics != "trimmed" or n_trimmed == 0:
        return values, 1.0
    # variance of a standard normal variable between its quantiles -q and q
    q = -ndtri(n_trimmed / n_scores)
    density = np.exp(-0.5 * q**2) / np.sqrt(2.0 * np.pi)
    variance = 1.0 - 2.0 * q * density / (1.0 - 2.0 * n_trimmed / n_scores)
    return values[:, n_trimmed:-n_trimmed], float(np.sqrt(variance))


def _centre_and_spread(
    values: Float64Array, factor: float, config: ScoreNormalisationConfig
) -> tuple[Float64Array, Float64Array]:
    """Compute centre and spread (R,) of the selected scores (R, K)."""
    if config.statistics == "median":
        centre = np.median(values, axis=1)
        return centre, np.median(np.abs(values - centre[:, None]), axis=1) / MAD_OF_NORMAL
    return values.mean(axis=1), values.std(axis=1) / factor


def _matrix(name: str, values: npt.ArrayLike | None, n_rows: int | None, n_columns: int | None) -> Float64Array:
    """Convert scores to a float64 matrix of the expected shape; refuse what is missing or not finite, by name."""
    if values is None:
        raise ModelError(f"{name}: not given, and the method needs them")
    matrix = np.asarray(values, dtype=np.float64)
    expected = tuple("any number" if n is None else n for n in (n_rows, n_columns))
    if matrix.ndim != 2 or any(
        n not in (None, size) for n, size in zip((n_rows, n_columns), matrix.shape, strict=True)
    ):
        raise ModelError(f"{name}: shape {matrix.shape}, expected {expected[0]} x {expected[1]}")
    if not np.isfinite(matrix).all():
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        raise ModelError(f"{name}: {matrix[row, column]} in row {row}, column {column}; expected finite scores")
    return matrix


def _axes(
    speakers: Speakers | None, test_names: Sequence[str] | None, n_models: int, n_tests: int, n_z: int, n_t: int
) -> list[_Axis]:
    """Assign numbers to the speakers of models, tests and both cohorts; an unused cohort has size 0."""
    sizes = {"models": n_models, "tests": n_tests, "z_cohort": n_z, "t_cohort": n_t}
    numbers: dict[str, int] = {}
    axes = []
    for side, size in sizes.items():
        names = getattr(speakers, side, None)
        shown = test_names if side == "tests" else names
        if side == "z_cohort" and names is not None:
            shown = [f"{number} of {name}" for number, name in enumerate(names)]
        shown = [str(number) for number in range(size)] if shown is None else shown
        if size == 0 or (names is None and (speakers is None or side == "tests")):
            axes.append(_Axis(LABELS[side], shown, np.full(size, NO_SPEAKER)))
        elif names is None or len(names) != size:
            given = "no names" if names is None else f"{len(names)} names"
            raise ModelError(f"speakers.{side}: {given}, expected {size}, one for each {LABELS[side]}")
        else:
            speaker_numbers = np.array([numbers.setdefault(name, len(numbers)) for name in names])
            axes.append(_Axis(LABELS[side], shown, speaker_numbers))
    return axes


def check_cohort(models: Collection[str], cohort: Sequence[str], config: ScoreNormalisationConfig) -> None:
    """Refuse a cohort that is too small for the method, before anything is scored.

    `models` are the speakers of the models, `cohort` the speaker of each cohort utterance. ModelError if the cohort of
    a model, without its own speaker, has too few utterances or speakers.
    """
    if config.method == "none":
        return
    n_needed = {"z": 1, "tz": MIN_COHORT_SCORES + 1}.get(config.method, MIN_COHORT_SCORES)
    needed = dict.fromkeys(models, n_needed)
    if config.method == "zt":  # each cohort model is normalised by the utterances of the other speakers
        needed = dict.fromkeys(cohort, 1) | needed
    for model, n_speakers in needed.items():
        others = [speaker for speaker in cohort if speaker != model]
        if len(others) < MIN_COHORT_SCORES or len({*others}) < n_speakers:
            raise ModelError(
                f"normalisation.method {config.method}: the cohort of {model} has {len(others)} utterances of "
                f"{len({*others})} speakers; expected at least {MIN_COHORT_SCORES} of {n_speakers}"
            )
