"""Score normalisation by a cohort: Z, T, ZT, TZ, S and adaptive S.

A score that is high for one model or test is low for another. Impostor scores show what is high: those of the model
against the utterances of a cohort (Z), those of the test against the models of a cohort (T), or both.

The statistics of each row are computed on their own, so that a normalised score depends only on its model, its test and
the cohort, not on what else is scored.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from scipy.special import ndtri

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.configuration import Configuration
from speechgmm.errors import ModelError
from speechgmm.scoring.cohort_speakers import (
    NO_SPEAKER,
    Axis,
    Speakers,
    are_others,
    cohort_speakers,
    count_speakers,
    number_speakers,
)

DEFAULT_TOP_N = 200
DEFAULT_TRIMMED_SHARE = 0.1
DEFAULT_SHRINKAGE = 10.0

SHRINKING_METHODS = ("z", "t", "zt", "s")
"""The methods that draw the statistics of few cohort speakers towards those of all."""

MIN_COHORT_SCORES = 2
"""Fewest cohort scores that have a spread."""

LEAST_SPREAD = 1e-9
"""Cohort scores vary if their spread exceeds this share of the largest absolute score."""

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
    shrinkage : float >= 0, speakers
        For "z", "t", "zt" and "s": how far the centre of a model's or a test's cohort scores, and the logarithm of
        their spread, are drawn towards the means over the cohort's own models and utterances. They keep the weight
        ``n / (n + shrinkage)`` with n cohort speakers. 10 by default; 0 for the plain statistics, and for "tz" and
        "as", which have no others.

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
    shrinkage: float = Field(DEFAULT_SHRINKAGE, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _shrinkage_of_method(cls, data: Any) -> Any:
        """Let the method choose the shrinkage where none is set.

        There was none in earlier versions, whose results and galleries state all keys but this one.
        """
        if not isinstance(data, Mapping) or "shrinkage" in data:
            return data
        is_earlier = {"method", "top_n", "statistics", "trimmed_share"} == {*data}
        if is_earlier or data.get("method", "none") not in SHRINKING_METHODS:
            return {"shrinkage": 0.0, **data}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse keys that have no effect because of others."""
        if self.top_n != DEFAULT_TOP_N and self.method != "as":
            raise ValueError(f"top_n {self.top_n} is for method as, and method is {self.method}")
        if self.trimmed_share != DEFAULT_TRIMMED_SHARE and self.statistics != "trimmed":
            raise ValueError(f"trimmed_share {self.trimmed_share} is for trimmed statistics, not for {self.statistics}")
        if self.shrinkage and self.method not in SHRINKING_METHODS:
            raise ValueError(
                f"shrinkage {self.shrinkage:g} is for methods {', '.join(SHRINKING_METHODS)}, "
                f"and method is {self.method}"
            )
        return self


class _Reference(NamedTuple):
    """The centre and the logarithm of the spread that few cohort scores are drawn towards."""

    centre: float
    log_spread: float


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
        Score of each model of the cohort for each of its utterances; needed by "zt" and "tz", and by shrinkage. But for
        "tz", some utterances are enough: those of `speakers.cohort_tests`.
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
    >>> plain = ScoreNormalisationConfig(method="z", shrinkage=0)
    >>> normalise_scores(scores, plain, z_scores=z_scores).round(2)
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
    if config.method in ("zt", "tz") or config.shrinkage:
        if cohort_scores is None and config.method not in ("zt", "tz"):
            raise ModelError(f"cohort_scores: not given, and shrinkage {config.shrinkage:g} needs them; 0 needs none")
        n_utterances = z.shape[1] if config.method == "tz" else None
        both = _matrix("cohort_scores", cohort_scores, None if config.method == "z" else len(t), n_utterances)
    sizes = {"models": n_models, "tests": n_tests, "z_cohort": z.shape[1], "t_cohort": len(both) or len(t)}
    axes = number_speakers(speakers, test_names, sizes | {"cohort_tests": both.shape[1]})
    models, tests, z_cohort, t_cohort, cohort_tests = axes
    z_step = _Step(z_cohort, config, _reference(both, t_cohort, cohort_tests, config))
    match config.method:
        case "z":
            return _z_norm(matrix, z, models, tests, z_step)
        case "t":
            t_step = _Step(t_cohort, config, _reference(both.T, cohort_tests, t_cohort, config))
            return _t_norm(matrix, t, models, tests, t_step)
        case "zt":
            cohort_step = z_step._replace(members=cohort_tests)
            unknown = cohort_tests._replace(speakers=np.full(len(cohort_tests.speakers), NO_SPEAKER))
            normalised_both = _z_norm(both, both, t_cohort, unknown, cohort_step)
            t_step = _Step(t_cohort, config, _reference(normalised_both.T, cohort_tests, t_cohort, config))
            normalised_cohort = _z_norm(t, both, t_cohort, tests, cohort_step)
            return _t_norm(_z_norm(matrix, z, models, tests, z_step), normalised_cohort, models, tests, t_step)
        case "tz":
            t_step = _Step(t_cohort, config, None)
            normalised_cohort = _t_norm(z, both, models, z_cohort, t_step)
            return _z_norm(_t_norm(matrix, t, models, tests, t_step), normalised_cohort, models, tests, z_step)
        case "s" | "as":
            t_step = _Step(t_cohort, config, _reference(both.T, cohort_tests, t_cohort, config))
            by_model = _z_norm(matrix, z, models, tests, z_step)
            by_test = _t_norm(matrix, t, models, tests, t_step)
            return 0.5 * (by_model + by_test)


class _Step(NamedTuple):
    """One normalisation: the members of its cohort, its statistics, and what these are drawn towards, if anything."""

    members: Axis
    config: ScoreNormalisationConfig
    reference: _Reference | None


def _z_norm(scores: Float64Array, cohort: Float64Array, rows: Axis, columns: Axis, step: _Step) -> Float64Array:
    """Normalise scores (R, C) by the scores of each row against the members of a cohort, (R, K)."""
    normalised = np.empty_like(scores)
    column_speakers = cohort_speakers(columns, step.members)
    for speaker in np.unique(column_speakers):
        chosen = column_speakers == speaker
        centre, spread = _statistics(cohort, rows, speaker, step)
        normalised[:, chosen] = (scores[:, chosen] - centre[:, None]) / spread[:, None]
    return normalised


def _t_norm(scores: Float64Array, cohort: Float64Array, rows: Axis, columns: Axis, step: _Step) -> Float64Array:
    """Normalise scores (R, C) by the scores of a cohort's members against each column, (K, C)."""
    return _z_norm(scores.T, cohort.T, columns, rows, step).T


def _statistics(
    cohort: Float64Array, rows: Axis, column_speaker: int, step: _Step
) -> tuple[Float64Array, Float64Array]:
    """Compute centre and spread (R,) of each row's cohort scores, without the speakers of the row and of the column."""
    members, config, reference = step
    centre, spread = np.empty((2, len(cohort)))
    row_speakers = cohort_speakers(rows, members)
    for speaker in np.unique(row_speakers):
        chosen = np.flatnonzero(row_speakers == speaker)
        included = are_others(members, speaker, column_speaker)
        # in increasing order, so that the order of the cohort makes no difference even to the last bit
        values, factor = _selected_scores(np.sort(np.ascontiguousarray(cohort[chosen][:, included]), axis=1), config)
        if values.shape[1] < MIN_COHORT_SCORES:
            name = f"{rows.label} {rows.names[chosen[0]]}"
            raise ModelError(
                f"{name}: {values.shape[1]} of its {included.size} scores against {members.label}s can be used; "
                f"expected at least {MIN_COHORT_SCORES}"
            )
        centre[chosen], spread[chosen] = _centre_and_spread(values, factor, config)
        constant = _is_constant(values, spread[chosen])
        if constant.any():
            name = f"{rows.label} {rows.names[chosen[np.argmax(constant)]]}"
            raise ModelError(
                f"{name}: its {values.shape[1]} scores against {members.label}s have no spread "
                f"by the statistics {config.statistics!r}; expected scores that vary"
            )
        if reference is not None:
            n_speakers = count_speakers(members.speakers[included])
            weight = n_speakers / (n_speakers + config.shrinkage)
            centre[chosen] = weight * centre[chosen] + (1 - weight) * reference.centre
            spread[chosen] = np.exp(weight * np.log(spread[chosen]) + (1 - weight) * reference.log_spread)
    return centre, spread


def _reference(cohort: Float64Array, rows: Axis, members: Axis, config: ScoreNormalisationConfig) -> _Reference | None:
    """Average centres, and logarithms of spreads, of the cohort's own rows (R, K), each without its speaker.

    None without shrinkage, or if no row has scores that vary.
    """
    if not config.shrinkage:
        return None
    found = []
    for row, speaker in zip(cohort, rows.speakers, strict=True):
        values, factor = _selected_scores(np.sort(row[are_others(members, speaker, NO_SPEAKER)])[None], config)
        if values.shape[1] >= MIN_COHORT_SCORES:
            centre, spread = _centre_and_spread(values, factor, config)
            if not _is_constant(values, spread).any():
                found.append((centre[0], np.log(spread[0])))
    return _Reference(*map(float, np.mean(np.sort(found, axis=0), axis=0))) if found else None


def _is_constant(values: Float64Array, spread: Float64Array) -> BoolArray:
    """Tell which rows of scores (R, K), of these spreads (R,), do not vary."""
    constant: BoolArray = spread <= LEAST_SPREAD * np.abs(values).max(axis=1)
    return constant


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


def check_cohort(
    models: Collection[str], cohort: Sequence[str], config: ScoreNormalisationConfig, key: str = "normalisation"
) -> None:
    """Refuse a cohort that is too small for the method, before anything is scored.

    `models` are the speakers of the models, `cohort` the speaker of each cohort utterance, and `key` is where a recipe
    has the method. ModelError if the cohort of
    a model, without its own speaker, has too few utterances or speakers.
    """
    if config.method == "none":
        return
    n_needed = {"z": 1, "tz": MIN_COHORT_SCORES + 1}.get(config.method, MIN_COHORT_SCORES)
    needed = dict.fromkeys(models, n_needed)
    if config.method == "zt":  # each cohort model is normalised by the utterances of the other speakers
        needed = dict.fromkeys(cohort, MIN_COHORT_SCORES if config.shrinkage else 1) | needed
    for model, n_speakers in needed.items():
        others = [speaker for speaker in cohort if speaker != model]
        if len(others) < MIN_COHORT_SCORES or len({*others}) < n_speakers:
            raise ModelError(
                f"{key}.method {config.method}: the cohort of {model} has {len(others)} utterances of "
                f"{len({*others})} speakers; expected at least {MIN_COHORT_SCORES} of {n_speakers}: add background "
                f"speakers, or --set {key}.method=none"
            )
