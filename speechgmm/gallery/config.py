"""What a gallery's own file says: front end, adaptation, scoring, and what decisions rest on."""

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, ValidationError

from speechgmm.configuration import Configuration, fingerprint
from speechgmm.errors import GalleryError, ModelError
from speechgmm.features.extract import FeatureConfig
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.storage import read_header
from speechgmm.scoring.calibration import Calibration, load_calibration
from speechgmm.scoring.identification import IdentificationConfig
from speechgmm.scoring.llr import ScoringConfig
from speechgmm.scoring.normalisation import ScoreNormalisationConfig
from speechgmm.scoring.thresholds import CostsConfig

FORMAT_VERSION = 1


class DecisionConfig(Configuration):
    """What a gallery's decisions rest on; this section of ``gallery.json`` may be edited.

    Parameters
    ----------
    min_speech : float >= 0, seconds
        With less speech than this, what is enrolled or tested is scored all the same, and flagged.
    identification : section
        Prior of a speaker who is not enrolled, and a threshold in place of it.
    threshold : float, unit of the scores, or None
        From which score on verification accepts.
    costs : section
        What errors of verification cost; without a threshold it follows from this, where scores are calibrated.
    """

    min_speech: float = Field(2.0, ge=0)
    identification: IdentificationConfig = IdentificationConfig()
    threshold: float | None = None
    costs: CostsConfig = CostsConfig()


class GalleryConfig(Configuration):
    """What ``gallery.json`` says.

    Parameters
    ----------
    format_version : 1
        Of the folder.
    front_end : dict
        The `FeatureConfig` that the background model was trained with, as its file says it.
    fingerprint : str
        Of the front end.
    channel : "mean", optional
        The mean of a recording's channels is read; when not given, one of several channels is not read.
    adaptation : section
        How a speaker's model is made from the statistics.
    scoring : section
        How a test is scored.
    normalisation : section
        How scores are normalised by the cohort; method "none" where there is none.
    decisions : section
        When a speaker is accepted, and what is too short.
    digests : dict of str to str
        SHA-256 of the other files that all speakers rest on.
    """

    format_version: Literal[1] = 1
    front_end: dict[str, JsonValue]
    fingerprint: str
    channel: Literal["mean"] | None = None
    adaptation: AdaptationConfig
    scoring: ScoringConfig
    normalisation: ScoreNormalisationConfig = ScoreNormalisationConfig()
    decisions: DecisionConfig = DecisionConfig()
    digests: dict[str, str]


def read_config(path: Path) -> GalleryConfig:
    """Read a gallery's own file.

    Parameters
    ----------
    path : Path
        ``gallery.json``.

    Returns
    -------
    GalleryConfig
        What it says.

    Raises
    ------
    GalleryError
        If there is none, or it is damaged or in a newer format; the message has the key.
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
        raise GalleryError(f"{path}: front_end is not the one of the fingerprint; it cannot be changed")
    if config.adaptation.n_iterations > 1:
        raise GalleryError(f"{path}: adaptation.n_iterations {config.adaptation.n_iterations}: {NO_ITERATIONS}")
    return config


def _has_other_fingerprint(config: GalleryConfig) -> bool:
    """Tell whether a front end was changed; infinity and NaN, which have no fingerprint, were never in one."""
    try:
        return fingerprint(config.front_end) != config.fingerprint
    except ValueError:
        return True


NO_ITERATIONS = "expected 1, as a gallery keeps statistics under the background model and no frames"


def front_end_of(path: Path, front_end: dict[str, JsonValue]) -> FeatureConfig:
    """Take a front end from what a model's file says of it.

    Parameters
    ----------
    path : Path
        The file, for messages.
    front_end : dict
        JSON data.

    Returns
    -------
    FeatureConfig
        The front end.

    Raises
    ------
    GalleryError
        If it has keys or values that this version does not know.
    """
    try:
        return FeatureConfig.model_validate_json(json.dumps(front_end))
    except ValidationError as error:
        first = error.errors()[0]
        raise GalleryError(f"{path}: front end: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def model_front_end(path: Path) -> dict[str, JsonValue]:
    """Read the front end that a model's frames came from.

    Parameters
    ----------
    path : Path
        The model's file.

    Returns
    -------
    dict
        JSON data.

    Raises
    ------
    ModelError
        If the file is no model, or does not say.
    """
    front_end = read_header(path).front_end
    if front_end is None:
        raise ModelError(f"{path}: does not say which front end its frames came from; save it with front_end")
    return dict(front_end)


def read_calibration(path: Path) -> Calibration:
    """Read the calibration of one system's scores.

    Parameters
    ----------
    path : Path
        JSON, as a run leaves it: ``calibration``, and beside it whether its side information is the ``duration`` and
        what it was trained on, of which ``n_target`` and ``n_nontarget`` are the numbers of trials.

    Returns
    -------
    Calibration
        What maps a score to a log-likelihood ratio.

    Raises
    ------
    GalleryError
        If the file is damaged, the calibration takes more than one score or more than durations beside it, or it was
        trained without trials of a kind.
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
