"""The settings of a gallery: its recognisers, their systems, and how decisions are made."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, JsonValue, ValidationError, field_validator

from speechgmm.audio.seen import SeenConditions
from speechgmm.augmentation.config import AugmentConfig
from speechgmm.configuration import Configuration, fingerprint
from speechgmm.errors import GalleryError, ModelError
from speechgmm.features.extract import FeatureConfig
from speechgmm.gallery.layout import BACKEND_FILE, COHORT_FILE, SUBSPACE_FILE, UBM_FILE
from speechgmm.gmm.adaptation import AdaptationConfig
from speechgmm.gmm.storage import read_header
from speechgmm.scoring.calibration import SCALES_KEY, Calibration, load_calibration
from speechgmm.scoring.decision_errors import ERRORS_KEY, DecisionErrors
from speechgmm.scoring.identification import IdentificationConfig
from speechgmm.scoring.llr import ScoringConfig
from speechgmm.scoring.normalisation import ScoreNormalisationConfig
from speechgmm.scoring.side_information import N_COLUMNS, SideKind, n_columns
from speechgmm.scoring.thresholds import EQUAL_ERRORS, CostsConfig
from speechgmm.subspace.session.config import ISVConfig, JFAConfig
from speechgmm.subspace.vectors import IVectorConfig, SupervectorConfig

UNITS: Final = {"cosine": "cosines", "svm": "margins of support-vector machines", "plda": "nats"}
"""What scores of back ends are, by the step that scores."""

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
        of these costs. By default a miss and a false alarm count the same.
    """

    min_speech: float = Field(2.0, ge=0)
    identification: IdentificationConfig = IdentificationConfig()
    threshold: float | None = None
    costs: CostsConfig = EQUAL_ERRORS

    def is_short(self, speech_seconds: float) -> bool:
        """Check whether a test, or all recordings of a speaker, have less speech than `min_speech`."""
        return speech_seconds < self.min_speech


class SystemConfig(Configuration):
    """One system of a recogniser: a front end, a background model, and how models are made and scored.

    Parameters
    ----------
    front_end : dict
        The `FeatureConfig` that the background model was trained with, as the model's file gives it.
    fingerprint : str
        Fingerprint of the front end.
    adaptation : section or None
        How a speaker's model is adapted from the statistics; None if models are made by the section `speakers` or
        `vectors`.
    speakers : section or None
        The factors of sessions and speakers by which models are made.
    vectors : section or None
        The vectors that recordings become, and of which models are made.
    scorer : "cosine", "svm", "plda" or None
        The last step of the back end, by which vectors are scored.
    scoring : section or None
        How a test is scored against a model; None for vectors, which the back end scores.
    normalisation : section
        How scores are normalised by the cohort; method "none" without a cohort.
    digests : dict of str to str
        SHA-256 of the system's files, by their names.
    """

    front_end: dict[str, JsonValue]
    fingerprint: str
    adaptation: AdaptationConfig | None = None
    speakers: Annotated[ISVConfig | JFAConfig, Field(discriminator="method")] | None = None
    vectors: Annotated[IVectorConfig | SupervectorConfig, Field(discriminator="kind")] | None = None
    scorer: Literal["cosine", "svm", "plda"] | None = None
    scoring: ScoringConfig | None = None
    normalisation: ScoreNormalisationConfig = ScoreNormalisationConfig()
    digests: dict[str, str]

    @property
    def has_cohort(self) -> bool:
        """Whether scores are normalised by a cohort."""
        return COHORT_FILE in self.digests

    @property
    def background(self) -> str:
        """Digest of the front end and the background model, which the speakers' statistics depend on."""
        return fingerprint([self.fingerprint, self.digests.get(UBM_FILE)])

    @property
    def are_ratios(self) -> bool:
        """Whether scores are log-likelihood ratios, if not calibrated ones."""
        is_linear = self.scoring is not None and self.scoring.method == "linear"
        return not (self.has_cohort or is_linear or self.scorer in ("cosine", "svm"))

    @property
    def unit(self) -> str:
        """The unit of scores, as messages name it."""
        if self.has_cohort:
            return "deviations of the cohort's scores"
        return UNITS[self.scorer] if self.scorer else "nats per frame"

    @property
    def contradiction(self) -> str | None:
        """What keeps sections and files from being those of one system that a gallery can use; None if nothing does."""
        sections = [name for name in ("adaptation", "speakers", "vectors") if getattr(self, name) is not None]
        if len(sections) != 1:
            return f"models by {' and '.join(sections) or 'nothing'}; expected one of adaptation, speakers and vectors"
        if self.adaptation is not None and self.adaptation.n_iterations > 1:
            return f"adaptation.n_iterations {self.adaptation.n_iterations}: {NO_ITERATIONS}"
        if self.scoring is None and self.vectors is None:
            return f"{sections[0]} without scoring; expected the section that says how models are scored"
        if self.scoring is not None and self.vectors is not None:
            return "scoring beside vectors; expected none, as the back end scores them"
        if (self.scorer is None) != (BACKEND_FILE not in self.digests):
            return f"scorer {self.scorer}; expected the last step of the back end, or none without a back end"
        return self._unfit_files

    @property
    def _unfit_files(self) -> str | None:
        """Which file of the system is missing, or is one too many."""
        made_by, factors, backend = "adaptation", False, False
        if self.speakers is not None:
            made_by, factors = f"speakers of method {self.speakers.method}", True
        if self.vectors is not None:
            made_by, factors, backend = f"vectors of kind {self.vectors.kind}", self.vectors.kind == "ivector", True
        for name, argument, needed in ((SUBSPACE_FILE, "factors", factors), (BACKEND_FILE, "backend", backend)):
            if needed and name not in self.digests:
                return f"{made_by} without {argument}; expected the file {name} of the run that trained them"
            if not needed and name in self.digests:
                return f"{argument} beside {made_by}, which need none; expected the section that uses them"
        return None


class RecogniserFacts(Configuration):
    """What a recogniser's models were made from.

    Parameters
    ----------
    synthetic : bool
        Whether the background is of synthetic talkers, so that scores mean nothing for real voices.
    enrolment_copies : section or None
        The augmented copies of each enrolled recording that models are made of, beside the recording itself.
    recorded, trained : section or None
        The conditions of the background's recordings, and the same with the augmented copies that models were trained
        on, as `speechgmm.audio.seen.SeenConditions.to_json` writes them. Recordings unlike the first get a warning, and
        those far from the second weaker ratios.
    """

    synthetic: bool = False
    enrolment_copies: AugmentConfig | None = None
    recorded: dict[str, JsonValue] | None = None
    trained: dict[str, JsonValue] | None = None

    @field_validator("recorded", "trained")
    @classmethod
    def _can_be_read(cls, value: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        """Refuse conditions that are not those of `SeenConditions`."""
        if value is not None:
            try:
                SeenConditions.from_json(value)
            except (KeyError, TypeError) as error:
                raise ValueError(f"not a summary of conditions ({error})") from error
        return value


class RecogniserConfig(RecogniserFacts):
    """Systems whose scores are fused and calibrated together.

    Parameters
    ----------
    systems : dict of str to section
        The systems by name; their files are in folders of these names. The name of a gallery's only system may be
        empty: its files are in the gallery's folder.
    calibration : str or None
        SHA-256 of the calibration's file; None if scores are not calibrated.
    """

    systems: dict[str, SystemConfig] = Field(min_length=1)
    calibration: str | None = None

    @property
    def facts(self) -> RecogniserFacts:
        """What the models were made from."""
        return RecogniserFacts(**{name: getattr(self, name) for name in RecogniserFacts.model_fields})

    @property
    def score_quantity(self) -> str:
        """What scores are, as messages name it."""
        is_ratio = self.calibration is not None or all(system.are_ratios for system in self.systems.values())
        return "log-likelihood ratio" if is_ratio else "score"

    @property
    def score_unit(self) -> str:
        """The unit of scores, as messages name it."""
        if self.calibration is not None:
            return "nats, calibrated"
        return f"{next(iter(self.systems.values())).unit}, not calibrated"

    @property
    def contradiction(self) -> str | None:
        """What keeps the systems from being used together; None if nothing does."""
        if len(self.systems) > 1 and self.calibration is None:
            return f"{len(self.systems)} systems without a calibration; expected the calibration that fuses them"
        for name, system in self.systems.items():
            if system.contradiction:
                return f"{name}: {system.contradiction}" if name else system.contradiction
        return None


class GalleryConfig(Configuration):
    """The content of ``gallery.json``.

    Parameters
    ----------
    format_version : 2
        Version of the folder's format. A gallery of one system in its own folder is written as version 1, which earlier
        versions read too.
    channel : "mean", "loudest" or None
        What is taken of a recording of several channels: their mean, or the one of the greatest mean power. None:
        such recordings are refused.
    resample : bool
        Whether recordings of another rate are resampled to the front end's; otherwise they are refused.
    decisions : section
        When a speaker is accepted, and how much speech is too little.
    recognisers : dict of str to section
        What recordings are compared by, the one of the widest band first. A recording and a speaker are compared by
        the first that both have all frequencies of. The name of the only one may be empty.
    """

    format_version: Literal[2] = 2
    channel: Literal["mean", "loudest"] | None = "mean"
    resample: bool = True
    decisions: DecisionConfig = DecisionConfig()
    recognisers: dict[str, RecogniserConfig] = Field(min_length=1)

    @property
    def first_recogniser(self) -> RecogniserConfig:
        """The recogniser of the widest band."""
        return next(iter(self.recognisers.values()))

    @property
    def calibrated(self) -> bool:
        """Whether scores are calibrated log-likelihood ratios."""
        return all(each.calibration is not None for each in self.recognisers.values())

    @property
    def background(self) -> str:
        """Digest of the front ends and background models, which the speakers' statistics depend on."""
        backgrounds = [system.background for each in self.recognisers.values() for system in each.systems.values()]
        distinct = list(dict.fromkeys(backgrounds))
        return distinct[0] if len(distinct) == 1 else fingerprint([*distinct])

    @property
    def score_quantity(self) -> str:
        """What scores are, as messages name it."""
        return self.first_recogniser.score_quantity

    @property
    def score_unit(self) -> str:
        """The unit of scores, as messages name it."""
        return self.first_recogniser.score_unit

    @property
    def knows_conditions(self) -> bool:
        """Whether it is known how the background was recorded, so that recordings unlike it are noticed."""
        return self.first_recogniser.recorded is not None

    @property
    def synthetic(self) -> bool:
        """Whether a background is of synthetic talkers."""
        return any(each.synthetic for each in self.recognisers.values())

    @property
    def contradiction(self) -> str | None:
        """What keeps the recognisers from being used together; None if nothing does."""
        if len(self.recognisers) > 1 and not self.calibrated:
            return f"{len(self.recognisers)} recognisers, not all calibrated; expected a calibration of each"
        for name, each in self.recognisers.items():
            if each.contradiction:
                return f"{name}: {each.contradiction}" if name else each.contradiction
        return None


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


def read_calibration(path: Path, n_systems: int = 1) -> Calibration:
    """Read the calibration of the scores of so many systems, as a run writes it.

    It is JSON: ``calibration``, whether ``duration`` and ``condition`` are its side information, the numbers of trials
    that it was trained on, ``n_target`` and ``n_nontarget``, and the ``prior`` that it was trained from, if any. A
    damaged file, a calibration of another number of systems or of other side information, or one trained without trials
    of one kind that is not the shipped prior, raises a GalleryError.
    """
    data = _read_calibration_data(path)
    try:
        calibration = load_calibration(data.get("calibration"))
    except ModelError as error:
        raise GalleryError(f"{path}: {error}") from error
    for key in ("n_target", "n_nontarget"):
        if data.get(key) == 0 and data.get("prior") != "shipped":
            raise GalleryError(f"{path}: trained on no {key[2:]} trials; calibration needs trials of both kinds")
    if calibration.n_systems != n_systems:
        raise GalleryError(f"{path}: takes the scores of {calibration.n_systems} systems; this gallery has {n_systems}")
    if calibration.n_sides != (expected := n_columns(kinds := _sides_of(data))):
        raise GalleryError(
            f"{path}: takes {calibration.n_sides} numbers beside the score; expected {expected}, for "
            f"{' and '.join(kinds) or 'no side information'}"
        )
    return calibration


def read_scales(path: Path, n_systems: int) -> tuple[float, ...]:
    """Read what a calibration divides the scores of each system by; nothing where it takes them as they are.

    A damaged file, or numbers that are not those of so many systems, raise a GalleryError.
    """
    scales = _read_calibration_data(path).get(SCALES_KEY, [])
    is_list = isinstance(scales, list) and all(isinstance(each, int | float) and each > 0 for each in scales)
    if not is_list or len(scales) not in (0, n_systems):
        raise GalleryError(f"{path}: scales {scales}; expected a number above 0 for each of {n_systems} systems")
    return tuple(map(float, scales))


def read_sides(path: Path) -> tuple[SideKind, ...]:
    """Read which kinds of side information a calibration takes; a damaged file raises a GalleryError."""
    return _sides_of(_read_calibration_data(path))


def _sides_of(data: Mapping[str, Any]) -> tuple[SideKind, ...]:
    """Return the kinds of side information that a calibration's file names."""
    return tuple(kind for kind in N_COLUMNS if data.get(kind) is True)


def read_decision_errors(path: Path) -> DecisionErrors | None:
    """Read what a calibration's file says of the errors of decisions; None if an earlier version wrote it.

    A damaged file raises a GalleryError.
    """
    data = _read_calibration_data(path).get(ERRORS_KEY)
    try:
        return None if data is None else DecisionErrors.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, (ERRORS_KEY, *first["loc"])))
        raise GalleryError(f"{path}: {place}: {first['msg']}") from error


def _read_calibration_data(path: Path) -> dict[str, Any]:
    """Read the keys and values of a calibration's file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise GalleryError(f"{path}: not readable as a calibration ({error})") from error
    if not isinstance(data, dict):
        raise GalleryError(f"{path}: not a calibration: expected keys and values")
    return data
