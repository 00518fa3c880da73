"""Normalisation of scores against those of a cohort: Z, T, ZT, TZ, S and adaptive S.

What is a high score for one model or one test is a low one for another. Scores that nobody earned by being the right
speaker tell how high is high: those of the model against the utterances of a cohort (Z), those of the test against the
models of a cohort (T), or both.

Every row of statistics is computed by itself, so that a score depends on its model, its test and the cohort, and not on
what else is scored.
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

LEAST_MEMBERS = 2
"""Scores of the cohort without which there is no spread."""

VARIES = 1e-9
"""Scores of a cohort vary where their spread is more than this share of the largest of them."""

NOBODY = -1

LABELS = {"models": "model", "tests": "test", "z_cohort": "cohort utterance", "t_cohort": "cohort model"}

MAD_OF_NORMAL = float(ndtri(0.75))
"""Median absolute deviation of a standard normal variable: 1 / 1.4826."""


class ScoreNormalisationConfig(Configuration):
    """How scores are normalised.

    Parameters
    ----------
    method : "none", "z", "t", "zt", "tz", "s" or "as"
        What a score is normalised by: the model's scores against the cohort's utterances (z), the test's scores against
        the cohort's models (t), z and then t of scores that were all put through z (zt), t and then z of scores that
        were all put through t (tz), the mean of z and t (s), or that mean over the cohort scores that are the highest
        (as, the AS-norm1 of Matějka et al.: each side chooses by its own cohort scores).
    top_n : int >= 2
        How many cohort scores of each side "as" takes; all where there are fewer.
    statistics : "mean", "trimmed" or "median"
        Centre and spread of cohort scores. "mean": mean and standard deviation (of the population). "trimmed": the same
        without the lowest and the highest share of the scores, the deviation divided by what trimming makes of that of
        normal scores. "median": median and 1.4826 times the median absolute deviation. All three are the mean and the
        standard deviation of normal scores.
    trimmed_share : float, 0 <= trimmed_share < 0.5
        Share of the scores that "trimmed" leaves out at each end, rounded down to whole scores.

    References
    ----------
    Auckenthaler, Carey, Lloyd-Thomas (2000), Digital Signal Processing 10, 42-54: Z and T.
    Kenny (2010), Odyssey, "Bayesian speaker verification with heavy-tailed priors": S.
    Cumani et al. (2011), Interspeech, "Comparison of speaker recognition approaches for real applications", and
    Matějka et al. (2017), Interspeech, "Analysis of score normalization in multilingual speaker recognition": "as".
    """

    method: Literal["none", "z", "t", "zt", "tz", "s", "as"] = "none"
    top_n: int = Field(DEFAULT_TOP_N, ge=LEAST_MEMBERS)
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
    """Who is who, so that nobody is in a cohort of their own.

    Parameters
    ----------
    models : sequence of M str
        The speaker of each model.
    z_cohort : sequence of K str, optional
        The speaker of each utterance of the cohort; needed by every method but "t".
    t_cohort : sequence of L str, optional
        The speaker of each model of the cohort; needed by every method but "z".
    tests : sequence of U str, optional
        The true speaker of each test, where that may be known: among the speakers that a system is developed on, but
        never where it is evaluated.
    """

    models: Sequence[str]
    z_cohort: Sequence[str] | None = None
    t_cohort: Sequence[str] | None = None
    tests: Sequence[str] | None = None


class _Axis(NamedTuple):
    """What each row or column of a matrix of scores is called, and its speaker as a number from 0 on, or NOBODY."""

    label: str
    names: Sequence[str]
    speakers: IntArray


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
    """Normalise a matrix of scores against those of a cohort.

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
        Where given, the cohort of a trial holds neither the speaker of its model nor, if told, that of its test. Scores
        of the cohort that are normalised themselves ("zt", "tz") are so by the same rule.
    test_names : sequence of U str, optional
        What to call the tests in messages; by their number when not given.

    Returns
    -------
    np.ndarray, shape (M, U), float64, standard deviations of the cohort's scores
        The normalised scores; a copy of the scores for the method "none".

    Raises
    ------
    ValueError
        If a matrix that the method needs is missing, has another shape or is not finite; if speakers are missing or not
        as many; or if the cohort of a trial has fewer than 2 scores that can be used, or scores that do not vary.

    References
    ----------
    See `ScoreNormalisationConfig`; S is the mean of the two as in Matějka et al. (2017), adaptive S their AS-norm1.
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
            return _z(matrix, z, models, tests, z_cohort, config)
        case "t":
            return _t(matrix, t, models, tests, t_cohort, config)
        case "zt":
            of_cohort = _z(t, both, t_cohort, tests, z_cohort, config)
            return _t(_z(matrix, z, models, tests, z_cohort, config), of_cohort, models, tests, t_cohort, config)
        case "tz":
            of_cohort = _t(z, both, models, z_cohort, t_cohort, config)
            return _z(_t(matrix, t, models, tests, t_cohort, config), of_cohort, models, tests, z_cohort, config)
        case "s" | "as":
            by_model = _z(matrix, z, models, tests, z_cohort, config)
            by_test = _t(matrix, t, models, tests, t_cohort, config)
            return 0.5 * (by_model + by_test)


def _z(
    scores: Float64Array,
    cohort: Float64Array,
    rows: _Axis,
    columns: _Axis,
    members: _Axis,
    config: ScoreNormalisationConfig,
) -> Float64Array:
    """Normalise scores (R, C) by each row's scores against the members of a cohort (R, K)."""
    normalised = np.empty_like(scores)
    others = _in_cohort(columns, members)
    for other in np.unique(others):
        chosen = others == other
        centre, spread = _statistics(cohort, rows, members, other, config)
        normalised[:, chosen] = (scores[:, chosen] - centre[:, None]) / spread[:, None]
    return normalised


def _t(
    scores: Float64Array,
    cohort: Float64Array,
    rows: _Axis,
    columns: _Axis,
    members: _Axis,
    config: ScoreNormalisationConfig,
) -> Float64Array:
    """Normalise scores (R, C) by the scores of a cohort's members against each column (K, C)."""
    return _z(scores.T, cohort.T, columns, rows, members, config).T


def _in_cohort(axis: _Axis, members: _Axis) -> IntArray:
    """Give the speakers of an axis, NOBODY for those who are not in the cohort: they share its statistics."""
    return np.where(np.isin(axis.speakers, members.speakers), axis.speakers, NOBODY)


def _statistics(
    cohort: Float64Array, rows: _Axis, members: _Axis, other: int, config: ScoreNormalisationConfig
) -> tuple[Float64Array, Float64Array]:
    """Find centre and spread (R,) of each row, of the members who are neither its speaker nor the other one."""
    centre, spread = np.empty((2, len(cohort)))
    owners = _in_cohort(rows, members)
    for owner in np.unique(owners):
        chosen = np.flatnonzero(owners == owner)
        kept = (members.speakers == NOBODY) | ((members.speakers != owner) & (members.speakers != other))
        # in increasing order, so that the order of the cohort makes no difference even to the last bit
        values, factor = _counted(np.sort(np.ascontiguousarray(cohort[chosen][:, kept]), axis=1), config)
        if values.shape[1] < LEAST_MEMBERS:
            name = f"{rows.label} {rows.names[chosen[0]]}"
            raise ModelError(
                f"{name}: {values.shape[1]} scores against a {members.label} count, of {kept.size}; "
                f"expected at least {LEAST_MEMBERS}"
            )
        centre[chosen], spread[chosen] = _centre_and_spread(values, factor, config)
        still = spread[chosen] <= VARIES * np.abs(values).max(axis=1)
        if still.any():
            name = f"{rows.label} {rows.names[chosen[np.argmax(still)]]}"
            raise ModelError(
                f"{name}: its {values.shape[1]} scores against a {members.label} have no spread "
                f"by the statistics {config.statistics!r}, expected scores that vary"
            )
    return centre, spread


def _counted(values: Float64Array, config: ScoreNormalisationConfig) -> tuple[Float64Array, float]:
    """Choose what counts of sorted scores (R, K), and say what that makes of the deviation of normal scores."""
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
    """Find centre and spread (R,) of what counts of the scores (R, K)."""
    if config.statistics == "median":
        centre = np.median(values, axis=1)
        return centre, np.median(np.abs(values - centre[:, None]), axis=1) / MAD_OF_NORMAL
    return values.mean(axis=1), values.std(axis=1) / factor


def _matrix(name: str, values: npt.ArrayLike | None, n_rows: int | None, n_columns: int | None) -> Float64Array:
    """Turn scores into a float64 matrix of so many rows and columns, or raise an error that names it."""
    if values is None:
        raise ModelError(f"{name}: not given, and the method needs them")
    matrix = np.asarray(values, dtype=np.float64)
    expected = tuple("any number" if n is None else n for n in (n_rows, n_columns))
    if matrix.ndim != 2 or any(
        n not in (None, found) for n, found in zip((n_rows, n_columns), matrix.shape, strict=True)
    ):
        raise ModelError(f"{name}: shape {matrix.shape}, expected {expected[0]} x {expected[1]}")
    if not np.isfinite(matrix).all():
        row, column = np.argwhere(~np.isfinite(matrix))[0]
        raise ModelError(f"{name}: {matrix[row, column]} in row {row}, column {column}; expected finite scores")
    return matrix


def _axes(
    speakers: Speakers | None, test_names: Sequence[str] | None, n_models: int, n_tests: int, n_z: int, n_t: int
) -> list[_Axis]:
    """Give each side's speakers a number, the same for the same speaker; a cohort that is not in use has size 0."""
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
            axes.append(_Axis(LABELS[side], shown, np.full(size, NOBODY)))
        elif names is None or len(names) != size:
            found = "no names" if names is None else f"{len(names)} names"
            raise ModelError(f"speakers.{side}: {found}, expected {size}, one for each {LABELS[side]}")
        else:
            owners = np.array([numbers.setdefault(name, len(numbers)) for name in names])
            axes.append(_Axis(LABELS[side], shown, owners))
    return axes


def check_cohort(models: Collection[str], cohort: Sequence[str], config: ScoreNormalisationConfig) -> None:
    """Refuse a cohort that is too small, before anything is scored.

    Parameters
    ----------
    models : collection of str
        The speakers of the models.
    cohort : sequence of str
        The speaker of each utterance of the cohort.
    config : ScoreNormalisationConfig
        The method.

    Raises
    ------
    ModelError
        If the cohort of a model, which is without its own speaker, has too few utterances or speakers for the method.
    """
    if config.method == "none":
        return
    n_needed = {"z": 1, "tz": LEAST_MEMBERS + 1}.get(config.method, LEAST_MEMBERS)
    needed = dict.fromkeys(models, n_needed)
    if config.method == "zt":  # the cohort's own models are normalised by the others' utterances
        needed = dict.fromkeys(cohort, 1) | needed
    for model, n_speakers in needed.items():
        others = [speaker for speaker in cohort if speaker != model]
        if len(others) < LEAST_MEMBERS or len({*others}) < n_speakers:
            raise ModelError(
                f"normalisation.method {config.method}: the cohort of {model} has {len(others)} utterances of "
                f"{len({*others})} speakers; expected at least {LEAST_MEMBERS} of {n_speakers}"
            )
