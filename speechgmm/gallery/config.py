"""The settings of a gallery, ``gallery.json``: front end, adaptation, scoring, and how decisions are made."""

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, ValidationError

from speechgmm.configuration import Configuration, fingerprint
from speechgmm.errors import GalleryError, ModelError
from speechgmm.features.extract import FeatureConfig
from speechgmm.gallery.layout import CALIBRATION_FILE, COHORT_FILE, UBM_FILE
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.storage import read_header
from speechgmm.scoring.calibration import Calibration, load_calibration
from speechgmm.scoring.identification import IdentificationConfig
from speechgmm.scoring.llr import ScoringConfig
from speechgmm.scoring.normalisation import ScoreNormalisationConfig
from speechgmm.scoring.thresholds import CostsConfig

FORMAT_VERSION = 1

NO_ITERATIONS = "expected 1, as a gallery keeps statistics under the background model and no frames"


class DecisionConfig(Configuration):
    """How a gallery decides; this section of ``gallery.json`` may be edited.

    Parameters
    ----------
    min_speech : float >= 0, seconds
        Speakers and tests with less speech than this are flagged; they are scored all the same.
    identification : section
        Prior probability of a speaker who is not enrolled, and a threshold that replaces it.
    threshold : float, unit of the scores, or None
        Verification accepts scores of at least this.
    costs : section
        Costs of errors in verification; without a threshold, calibrated scores are compared with the Bayes threshold
        of these costs.
    """

    min_speech: float = Field(2.0, ge=0)
    identification: IdentificationConfig = IdentificationConfig()
    threshold: float | None = None
    costs: CostsConfig = CostsConfig()

    def is_short(self, speech_seconds: float) -> bool:
        """Check whether a test, or all recordings of a speaker, have less speech than `min_speech`."""
        return speech_seconds < self.min_speech


class GalleryConfig(Configuration):
    """The content of ``gallery.json``.

    Parameters
    ----------
    format_version : 1
        Version of the folder's format.
    front_end : dict
        The `FeatureConfig` that the background model was trained with, as the model's file gives it.
    fingerprint : str
        Fingerprint of the front end.
    channel : "mean", "loudest" or None
        What is taken of a recording of several channels: their mean, or the one of the greatest mean power. None:
        such recordings are refused.
    resample : bool
        Whether recordings of another rate are resampled to the front end's; otherwise they are refused.
    adaptation : section
        How a speaker's model is adapted from the statistics.
    scoring : section
        How a test is scored.
    normalisation : section
        How scores are normalised by the cohort; method "none" without a cohort.
    decisions : section
        When a speaker is accepted, and how much speech is too little.
    digests : dict of str to str
        SHA-256 of the other files that the whole gallery depends on.
    """

    format_version: Literal[1] = 1
    front_end: dict[str, JsonValue]
    fingerprint: str
    channel: Literal["mean", "loudest"] | None = "mean"
    resample: bool = True
    adaptation: AdaptationConfig
    scoring: ScoringConfig
    normalisation: ScoreNormalisationConfig = ScoreNormalisationConfig()
    decisions: DecisionConfig = DecisionConfig()
    digests: dict[str, str]

    @property
    def calibrated(self) -> bool:
        """Whether scores are calibrated log-likelihood ratios."""
        return CALIBRATION_FILE in self.digests

    @property
    def has_cohort(self) -> bool:
        """Whether scores are normalised by a cohort."""
        return COHORT_FILE in self.digests

    @property
    def background(self) -> str:
        """Digest of the front end and the background model, which the speakers' statistics depend on."""
        return fingerprint([self.fingerprint, self.digests.get(UBM_FILE)])

    @property
    def score_quantity(self) -> str:
        """What scores are, as messages name it."""
        return "score" if self.has_cohort and not self.calibrated else "log-likelihood ratio"

    @property
    def score_unit(self) -> str:
        """The unit of scores, as messages name it."""
        if self.calibrated:
            return "nats, calibrated"
        if self.has_cohort:
            return "deviations of the cohort's scores, not calibrated"
        return "nats per frame, not calibrated"


def read_config(path: Path) -> GalleryConfig:
    """Read ``gallery.json``.

    A file that is missing, damaged or in a newer format raises a GalleryError that names the key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise GalleryError(f"{path.parent}: not a gallery: no {path.name} in it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise GalleryError(f"{path}: not readable ({error})") from error
    try:
        version = json.loads(text).get("format_version")
    except (ValueError, AttributeError, RecursionError) as error:
        raise GalleryError(f"{path}: damaged ({error})") from error
    if version != FORMAT_VERSION:
        raise GalleryError(f"{path}: gallery of format version {version!r}; this speechgmm reads {FORMAT_VERSION}")
    try:
        config = GalleryConfig.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise GalleryError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if _has_other_fingerprint(config):
        raise GalleryError(f"{path}: front_end does not match fingerprint; a gallery's front end cannot be changed")
    if config.adaptation.n_iterations > 1:
        raise GalleryError(f"{path}: adaptation.n_iterations {config.adaptation.n_iterations}: {NO_ITERATIONS}")
    return config


def _has_other_fingerprint(config: GalleryConfig) -> bool:
    """Check whether a front end was changed; infinity and NaN, which have no fingerprint, were never in one."""
    try:
        return fingerprint(config.front_end) != config.fingerprint
    except ValueError:
        return True


def front_end_of(path: Path, front_end: dict[str, JsonValue]) -> FeatureConfig:
    """Build the front end that the file `path` describes as JSON data.

    Keys or values that this version does not know raise a GalleryError.
    """
    try:
        return FeatureConfig.model_validate_json(json.dumps(front_end))
    except ValidationError as error:
        first = error.errors()[0]
        raise GalleryError(f"{path}: front end: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def model_front_end(path: Path) -> dict[str, JsonValue]:
    """Read from a model's file the front end that made its training frames, as JSON data.

    A file that is no model, or does not hold its front end, raises a ModelError.
    """
    front_end = read_header(path).front_end
    if front_end is None:
        raise ModelError(f"{path}: does not say which front end its frames came from; save it with front_end")
    return dict(front_end)


def read_calibration(path: Path) -> Calibration:
    """Read the calibration of one system's scores, as a run writes it.

    It is JSON: ``calibration``, whether its side information is the ``duration``, and the numbers of trials that it was
    trained on, ``n_target`` and ``n_nontarget``. A damaged file, a calibration of several systems or of other side
    information, or one trained without trials of one kind, raises a GalleryError.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ModelError("not a calibration: expected keys and values")
        calibration = load_calibration(data.get("calibration"))
    except ModelError as error:
        raise GalleryError(f"{path}: {error}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise GalleryError(f"{path}: not readable as a calibration ({error})") from error
    for key in ("n_target", "n_nontarget"):
        if data.get(key) == 0:
            raise GalleryError(f"{path}: trained on no {key[2:]} trials; calibration needs trials of both kinds")
    if calibration.n_systems > 1:
        raise GalleryError(f"{path}: takes the scores of {calibration.n_systems} systems; a gallery has one")
    if calibration.n_sides > 1 or (calibration.n_sides and data.get("duration") is not True):
        raise GalleryError(f"{path}: takes {calibration.n_sides} numbers beside the score; expected durations at most")
    return calibration
