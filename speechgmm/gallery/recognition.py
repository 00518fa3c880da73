"""Whose voice it is: tests scored against the speakers of a gallery, and what follows from the scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.errors import GalleryError
from speechgmm.evaluation.costs import Costs, bayes_threshold
from speechgmm.gallery.cohort import Cohort
from speechgmm.gallery.gallery import Gallery
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.scoring.calibration import duration_side
from speechgmm.scoring.identification import Identification, IdentificationConfig, identify
from speechgmm.scoring.llr import score_matrix
from speechgmm.scoring.normalisation import Speakers, normalise_scores


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of tests against the enrolled speakers.

    Parameters
    ----------
    names : tuple of M str
        The speakers whose files can be used.
    matrix : np.ndarray, shape (M, U), float64
        In the unit that the gallery says: calibrated log-likelihood ratios or, without a calibration, mean
        log-likelihood ratios of a frame, normalised where there is a cohort.
    raw : np.ndarray, shape (M, U), float64
        What they were before calibration.
    damaged : dict of str to str
        What is wrong with each speaker's file that cannot be used, by its path.
    """

    names: tuple[str, ...]
    matrix: Float64Array
    raw: Float64Array
    damaged: Mapping[str, str]


@dataclass(frozen=True)
class Verification:
    """The answer to whether a recording is of one enrolled speaker.

    Parameters
    ----------
    score : float
        As in `Scores`.
    threshold : float or None, unit of the score
        From where on the speaker is accepted; None where there is neither a calibration nor a threshold of its own.
    """

    score: float
    threshold: float | None

    @property
    def accepted(self) -> bool | None:
        """Whether it is the speaker; None where nothing says from which score on."""
        return None if self.threshold is None else self.score >= self.threshold


def score_tests(gallery: Gallery, tests: Sequence[FloatArray]) -> Scores:
    """Score tests against all speakers of a gallery.

    Parameters
    ----------
    gallery : Gallery
        The speakers.
    tests : sequence of U np.ndarray, each of shape (T, D), T >= 1
        Frames of the gallery's front end, as its `read` gives them.

    Returns
    -------
    Scores
        Of M speakers for U tests.

    Raises
    ------
    ValueError
        If nobody is enrolled, or no speaker's file can be used; if frames have other features; or if a file that all
        speakers rest on is damaged.
    """
    models, damaged = gallery.models()
    raw = _scored(gallery, models, tests)
    return Scores(tuple(models), _calibrated(gallery, raw, tests), raw, damaged)


def identify_speaker(
    gallery: Gallery, frames: FloatArray, config: IdentificationConfig | None = None
) -> Identification:
    """Say who of the enrolled speakers it is, if any.

    Parameters
    ----------
    gallery : Gallery
        The speakers.
    frames : np.ndarray, shape (T, D), T >= 1
        Of the test.
    config : IdentificationConfig, optional
        Prior and threshold; the gallery's own when not given.

    Returns
    -------
    Identification
        All speakers, ranked, with an answer. Without a calibration the posteriors mean nothing.

    Raises
    ------
    ValueError
        As for `score_tests` and `check_decidable`.
    """
    config = gallery.config.decisions.identification if config is None else config
    check_decidable(gallery, config)
    scores = score_tests(gallery, [frames])
    return identify(scores.matrix[:, 0], scores.names, config, ranks=scores.raw[:, 0])


def check_decidable(gallery: Gallery, config: IdentificationConfig) -> None:
    """Refuse to tell speakers who are enrolled from others by scores without a meaning.

    Parameters
    ----------
    gallery : Gallery
        The speakers.
    config : IdentificationConfig
        Prior and threshold.

    Raises
    ------
    GalleryError
        If the set is open, there is no threshold, and the gallery has no calibration.
    """
    if not is_decidable(gallery, config):
        raise GalleryError(f"{gallery.folder}: not calibrated; expected a threshold, or a closed set (p_unknown 0)")


def is_decidable(gallery: Gallery, config: IdentificationConfig) -> bool:
    """Tell whether there is anything to tell enrolled speakers from others by, if that is asked.

    Parameters
    ----------
    gallery : Gallery
        The speakers.
    config : IdentificationConfig
        Prior and threshold.

    Returns
    -------
    bool
        Whether the set is closed, there is a threshold, or the gallery has a calibration.
    """
    return gallery.calibrated or config.threshold is not None or config.p_unknown == 0


def verify_speaker(gallery: Gallery, name: str, frames: FloatArray, threshold: float | None = None) -> Verification:
    """Say whether a test is of one enrolled speaker.

    Parameters
    ----------
    gallery : Gallery
        Where the speaker is enrolled.
    name : str
        Of the speaker.
    frames : np.ndarray, shape (T, D), T >= 1
        Of the test.
    threshold : float, optional, unit of the score
        When not given, the gallery's own or, without one, that at which decisions cost least by the gallery's costs, if
        scores are calibrated.

    Returns
    -------
    Verification
        Score and decision. Files of other speakers make no difference.

    Raises
    ------
    ValueError
        If nobody of that name is enrolled; if frames have other features; or if a file that it rests on is damaged.
    """
    raw = _scored(gallery, {name: gallery.model(name)}, [frames])
    score = float(_calibrated(gallery, raw, [frames])[0, 0])
    decisions = gallery.config.decisions
    threshold = decisions.threshold if threshold is None else threshold
    if threshold is None and gallery.calibrated:
        threshold = bayes_threshold(Costs(**decisions.costs.model_dump()))
    return Verification(score, threshold)


def _scored(gallery: Gallery, models: Mapping[str, DiagonalGMM], tests: Sequence[FloatArray]) -> Float64Array:
    """Score tests against models, and normalise the scores where there is a cohort."""
    scoring = gallery.config.scoring
    matrix = score_matrix(list(models.values()), gallery.ubm, tests, scoring)
    if gallery.cohort is not None:
        matrix = _normalised(gallery, gallery.cohort, models, tests, matrix)
    return matrix


def _calibrated(gallery: Gallery, matrix: Float64Array, tests: Sequence[FloatArray]) -> Float64Array:
    """Calibrate scores (M, U), where there is a calibration."""
    calibration = gallery.calibration
    if calibration is None:
        return matrix
    durations = np.broadcast_to(duration_side([len(frames) for frames in tests]), matrix.shape)
    side = durations.ravel() if calibration.n_sides else None
    return calibration.apply(matrix.ravel(), side).reshape(matrix.shape)


def _normalised(
    gallery: Gallery,
    cohort: Cohort,
    models: Mapping[str, DiagonalGMM],
    tests: Sequence[FloatArray],
    matrix: Float64Array,
) -> Float64Array:
    """Normalise scores by those of the cohort."""
    config, others = gallery.config.normalisation, gallery.cohort_models
    both = config.method in ("zt", "tz")
    return normalise_scores(
        matrix,
        config,
        z_scores=np.stack([gallery.against_cohort(model) for model in models.values()]),
        t_scores=score_matrix(list(others.values()), gallery.ubm, tests, gallery.config.scoring),
        cohort_scores=np.stack([gallery.against_cohort(model) for model in others.values()]) if both else None,
        speakers=Speakers(tuple(models), cohort.speakers, tuple(others)),
    )
