"""A recogniser: systems whose scores are fused and calibrated together, read from the files of a gallery.

Systems of one front end share its frames, and those of one background model its statistics.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.audio.condition import Condition
from speechgmm.errors import GalleryError, SpeechGMMError
from speechgmm.features.extract import FeatureConfig
from speechgmm.files import file_digest
from speechgmm.gallery.cohort import Cohort, load_cohort
from speechgmm.gallery.config import (
    RecogniserConfig,
    SystemConfig,
    front_end_of,
    read_calibration,
    read_decision_errors,
    read_scales,
    read_sides,
)
from speechgmm.gallery.layout import CALIBRATION_FILE, COHORT_FILE, UBM_FILE
from speechgmm.gallery.normalisation import CohortNormaliser
from speechgmm.gallery.systems import GalleryModel, GallerySystem, ModelScorer, load_system
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats, accumulate
from speechgmm.gmm.storage import load_gmm
from speechgmm.scoring.calibration import Calibration, PavCalibration
from speechgmm.scoring.decision_errors import DecisionErrors
from speechgmm.scoring.side_information import SideKind, side_columns

Test = Mapping[str, FloatArray]
"""Frames of speech (T, D) of a recording or a piece of one, by the fingerprint of the front end."""

SpeakerModels = tuple[GalleryModel, ...]
"""A speaker's model in each system of a recogniser."""


@dataclass(frozen=True)
class ModelFolder:
    """A folder of files whose digests are known."""

    path: Path
    settings: Path  # the file that says what is in it, for messages
    error: type[SpeechGMMError] = GalleryError  # raised for a file that is not as it was
    damaged: str = "damaged, or another file than this gallery was made with"  # what it says of such a file
    advice: str = ""  # what it says to do, after a semicolon

    def intact(self, name: str, digest: str | None) -> Path:
        """Return the path of a file, if it is there and its digest is the one in the settings."""
        path = self.path / name
        try:
            found = file_digest(path)
        except OSError as error:
            raise self.error(f"{path}: not readable ({error.strerror}){self.advice}") from error
        if found != digest:
            raise self.error(f"{path}: {self.damaged}{self.advice}")
        return path

    def sub(self, name: str) -> "ModelFolder":
        """Return the folder of this name in it; itself for an empty name."""
        return replace(self, path=self.path / name)


class StoredSystem:
    """One system of a recogniser; its files are read when they are first needed."""

    def __init__(self, folder: ModelFolder, config: SystemConfig) -> None:
        self._folder = folder
        self.config = config

    @cached_property
    def front_end(self) -> FeatureConfig:
        """The front end of the background model."""
        return front_end_of(self._folder.settings, self.config.front_end)

    @cached_property
    def ubm(self) -> DiagonalGMM:
        """The background model."""
        return load_gmm(self.file(UBM_FILE))

    @cached_property
    def kind(self) -> GallerySystem[Any]:
        """What makes models and scores tests against them; see `speechgmm.gallery.systems`."""
        return load_system(self.config, self.ubm, self.file)

    @cached_property
    def cohort(self) -> Cohort | None:
        """The utterances that scores are normalised by, if there are any."""
        return load_cohort(self.file(COHORT_FILE)) if self.config.has_cohort else None

    @cached_property
    def normaliser(self) -> CohortNormaliser[Any] | None:
        """The normalisation of scores by the cohort, if there is one."""
        if self.cohort is None:
            return None
        return CohortNormaliser(self.cohort, self.ubm, self.kind, self.config.normalisation)

    def file(self, name: str) -> Path:
        """Return the path of one of the system's files, if its content is what it was."""
        return self._folder.intact(name, self.config.digests.get(name))

    def score(self, models: Mapping[str, GalleryModel], tests: Sequence[FloatArray]) -> Float64Array:
        """Score U tests against M models by the speakers' names, (M, U); normalise if there is a cohort."""
        scored_by: ModelScorer[Any] = self.kind.tests(tests)
        matrix = scored_by(list(models.values()))
        return matrix if self.normaliser is None else self.normaliser.normalise(matrix, models, scored_by)


@dataclass(frozen=True, eq=False)
class FusedScores:
    """Scores of U tests against M speakers' models."""

    matrix: Float64Array  # (M, U), calibrated if there is a calibration
    raw: Float64Array  # (M, U), before calibration: of ties in `matrix`, the higher is the likelier


class Recogniser:
    """Systems that make models of speakers, score tests against them, and fuse and calibrate the scores."""

    def __init__(self, folder: ModelFolder, config: RecogniserConfig) -> None:
        self._folder = folder
        self.config = config
        self.systems = tuple(StoredSystem(folder.sub(name), system) for name, system in config.systems.items())

    @cached_property
    def front_ends(self) -> dict[str, FeatureConfig]:
        """The systems' front ends by their fingerprints."""
        return {system.config.fingerprint: system.front_end for system in self.systems}

    @cached_property
    def top_frequency(self) -> float:
        """The highest frequency that a front end uses, in Hz."""
        return max(front_end.top_frequency for front_end in self.front_ends.values())

    @cached_property
    def backgrounds(self) -> dict[str, StoredSystem]:
        """The first system with each background model, by the model's digest: what statistics are accumulated by."""
        first: dict[str, StoredSystem] = {}
        for system in self.systems:
            first.setdefault(system.config.background, system)
        return first

    @cached_property
    def calibration(self) -> Calibration | None:
        """The calibration that maps scores to log-likelihood ratios, if there is one."""
        path = self._calibration_file
        return None if path is None else read_calibration(path, len(self.systems))

    @cached_property
    def scales(self) -> Float64Array:
        """What the systems' scores are divided by before they are calibrated, shape (S,)."""
        path, n_systems = self._calibration_file, len(self.systems)
        return np.array((() if path is None else read_scales(path, n_systems)) or np.ones(n_systems))

    @cached_property
    def sides(self) -> tuple[SideKind, ...]:
        """The side information of tests that the calibration weighs."""
        path = self._calibration_file
        return () if path is None else read_sides(path)

    @cached_property
    def decision_errors(self) -> DecisionErrors | None:
        """The error rates of decisions on the trials of the calibration, by threshold, if they are known."""
        path = self._calibration_file
        return None if path is None else read_decision_errors(path)

    @property
    def _calibration_file(self) -> Path | None:
        """The file of the calibration, if there is one."""
        digest = self.config.calibration
        return None if digest is None else self._folder.intact(CALIBRATION_FILE, digest)

    def system(self, name: str) -> StoredSystem:
        """Return the system of a name."""
        return self.systems[list(self.config.systems).index(name)]

    def load(self) -> None:
        """Read what makes models, so that its damage is not taken for that of the speakers' files."""
        for system in self.systems:
            system.kind  # noqa: B018 - read when first needed

    def statistics(self, test: Test) -> tuple[SufficientStats, ...]:
        """Accumulate the statistics of a recording under each background model."""
        return tuple(accumulate(system.ubm, test[system.config.fingerprint]) for system in self.backgrounds.values())

    def model(self, recordings: Sequence[Sequence[SufficientStats]]) -> SpeakerModels:
        """Make a speaker's model in each system, from the statistics of each recording."""
        place = {background: number for number, background in enumerate(self.backgrounds)}
        return tuple(
            system.kind.model([each[place[system.config.background]] for each in recordings]) for system in self.systems
        )

    def score(
        self, models: Mapping[str, SpeakerModels], tests: Sequence[Test], conditions: Sequence[Condition | None]
    ) -> FusedScores:
        """Score tests, recorded in conditions that may be unknown, against the models of speakers, at least one."""
        by_system = np.stack(
            [
                system.score(
                    {name: each[number] for name, each in models.items()},
                    [test[system.config.fingerprint] for test in tests],
                )
                for number, system in enumerate(self.systems)
            ]
        )
        calibration = self.calibration
        if calibration is None:
            return FusedScores(by_system[0], by_system[0])
        by_system = by_system / self.scales[:, np.newaxis, np.newaxis]
        first = self.systems[0]
        n_frames = [len(test[first.config.fingerprint]) for test in tests]
        side = None
        if self.sides:
            of_tests = side_columns(self.sides, n_frames, conditions, first.front_end.sample_rate / 2)
            side = np.tile(of_tests, (len(models), 1))
        columns = by_system.reshape(len(self.systems), -1).T
        matrix = calibration.apply(columns, side).reshape(by_system.shape[1:])
        if len(self.systems) == 1:
            return FusedScores(matrix, by_system[0])
        return FusedScores(matrix, by_system.sum(axis=0) if isinstance(calibration, PavCalibration) else matrix)
