"""How a gallery makes models of statistics, and scores tests against them: the three kinds of systems.

A model is made of the statistics of each of a speaker's recordings. The background model is adapted to them, by MAP or
by factors that leave out what changes between sessions; or they become vectors, which a back end compares.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.errors import GalleryError, ModelError
from speechgmm.gallery.config import SystemConfig
from speechgmm.gallery.layout import BACKEND_FILE, SUBSPACE_FILE
from speechgmm.gmm.adaptation import AdaptationConfig, map_adapt
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import SufficientStats, accumulate
from speechgmm.scoring.llr import ScoringConfig, score_matrix
from speechgmm.subspace.backend.chain import Backend
from speechgmm.subspace.backend.config import propagates_covariances
from speechgmm.subspace.backend.scorer import EnrolledVectors
from speechgmm.subspace.backend.storage import load_backend
from speechgmm.subspace.extraction import extract_vectors
from speechgmm.subspace.session.config import ISVConfig, JFAConfig
from speechgmm.subspace.session.enrolment import speaker_shift
from speechgmm.subspace.session.model import JointFactorModel
from speechgmm.subspace.session.scoring import session_llrs, session_scores
from speechgmm.subspace.session.storage import load_joint_factors
from speechgmm.subspace.statistics import RECORDINGS_AT_ONCE, StackedStats
from speechgmm.subspace.total_variability.model import TotalVariability
from speechgmm.subspace.total_variability.storage import load_total_variability
from speechgmm.subspace.vectors import IVectorConfig, SupervectorConfig, Vectors

GalleryModel = DiagonalGMM | EnrolledVectors
"""A speaker's model, of one kind for all speakers of a gallery."""

Model = TypeVar("Model")

ModelScorer = Callable[[Sequence[Model]], Float64Array]
"""Maps M models to their scores for U tests that were read before, shape (M, U)."""


class GallerySystem(Protocol[Model]):
    """A kind of models, with all that is needed to make and to score them."""

    def model(self, recordings: Sequence[SufficientStats], speaker: str | None = None) -> Model:
        """Make a model of one speaker's recordings; `speaker` is the name of one whom the background has, too."""

    def tests(self, frames: Sequence[FloatArray]) -> ModelScorer[Model]:
        """Read U tests, each of frames (T, D) with T >= 1, for any number of models to be scored against them."""


@dataclass(frozen=True, eq=False)
class AdaptedSystem:
    """The background model, adapted to the sum of a speaker's statistics."""

    ubm: DiagonalGMM
    adaptation: AdaptationConfig
    scoring: ScoringConfig

    def model(self, recordings: Sequence[SufficientStats], speaker: str | None = None) -> DiagonalGMM:  # noqa: ARG002
        """Adapt the background model."""
        config = self.adaptation
        return map_adapt(
            self.ubm,
            reduce(add, recordings),
            relevance_factor=config.factor_of,
            alpha=config.alpha,
            adapt=config.adapt,
        )

    def tests(self, frames: Sequence[FloatArray]) -> ModelScorer[DiagonalGMM]:
        """Compare models with the background model on the frames."""
        return lambda models: score_matrix(models, self.ubm, frames, self.scoring)


@dataclass(frozen=True, eq=False)
class SessionSystem:
    """The background model, its means shifted by what a speaker's recordings have apart from their sessions."""

    ubm: DiagonalGMM
    factors: JointFactorModel
    scoring: ScoringConfig

    def model(self, recordings: Sequence[SufficientStats], speaker: str | None = None) -> DiagonalGMM:  # noqa: ARG002
        """Shift the means of the background model."""
        return DiagonalGMM(
            self.ubm.weights, self.ubm.means + speaker_shift(self.factors, recordings), self.ubm.variances
        )

    def tests(self, frames: Sequence[FloatArray]) -> ModelScorer[DiagonalGMM]:
        """Compare models with the background model, both with the session of the test."""
        if self.scoring.method == "linear":
            statistics = self._statistics(frames)
            return lambda models: session_scores(self.factors, self._shifts(models), statistics)
        top, weights = self.scoring.top_components, self.ubm.weights
        return lambda models: session_llrs(self.factors, weights, self._shifts(models), frames, top_components=top)

    def _shifts(self, models: Sequence[DiagonalGMM]) -> Float64Array:
        """Return how far the means of models are from those of the background model, shape (M, C, D)."""
        return np.stack([model.means - self.ubm.means for model in models])

    def _statistics(self, frames: Sequence[FloatArray]) -> StackedStats:
        """Accumulate the statistics of tests; those of the second order are dropped."""
        accumulated = (accumulate(self.ubm, each) for each in frames)
        zeroth, first, n_frames = zip(*((each.zeroth, each.first, each.n_frames) for each in accumulated), strict=True)
        return StackedStats(np.stack(zeroth), np.stack(first), np.array(n_frames, np.intp))


@dataclass(frozen=True, eq=False)
class VectorSystem:
    """Vectors of recordings, which a back end compares."""

    ubm: DiagonalGMM
    config: IVectorConfig | SupervectorConfig
    factors: TotalVariability | None  # of i-vectors
    backend: Backend

    def model(self, recordings: Sequence[SufficientStats], speaker: str | None = None) -> EnrolledVectors:
        """Enrol the vectors of the recordings, or the one of all together; the background's own are left out."""
        pooled = isinstance(self.config, IVectorConfig) and self.config.pooled
        return self.backend.enrol(self._vectors([reduce(add, recordings)] if pooled else recordings), speaker)

    def tests(self, frames: Sequence[FloatArray]) -> ModelScorer[EnrolledVectors]:
        """Compare models with the vectors of the tests."""
        if not all(map(len, frames)):
            raise ModelError("an utterance of no frames has no score")
        blocks = [frames[start : start + RECORDINGS_AT_ONCE] for start in range(0, len(frames), RECORDINGS_AT_ONCE)]
        parts = [self._vectors([accumulate(self.ubm, each) for each in block]) for block in blocks]
        covariances = [part.covariances for part in parts if part.covariances is not None]
        vectors = Vectors(
            np.concatenate([part.values for part in parts]), np.concatenate(covariances) if covariances else None
        )
        return lambda models: self.backend.score(EnrolledVectors.stack(models), vectors)

    def _vectors(self, statistics: Sequence[SufficientStats]) -> Vectors:
        """Extract the vector of each recording, with its covariance where the back end propagates that."""
        model, covariances = self.factors or self.ubm, propagates_covariances(self.backend.configs)
        return extract_vectors(self.config, model, statistics, covariances=covariances)


def load_system(config: SystemConfig, ubm: DiagonalGMM, file_of: Callable[[str], Path]) -> GallerySystem[Any]:
    """Read the files of a gallery's system; `file_of` finds a file by its name in the gallery's folder.

    Factors that are not of this background model or configuration raise a GalleryError, and files that cannot be read,
    or are of another kind, a ModelError.
    """
    if config.vectors is not None:
        factors = None
        if isinstance(config.vectors, IVectorConfig):
            factors = load_total_variability(path := file_of(SUBSPACE_FILE))
            _check_factors(path, factors, ubm, {"rank": (factors.rank, config.vectors.rank)})
        return VectorSystem(ubm, config.vectors, factors, _backend(file_of(BACKEND_FILE), config))
    assert config.scoring is not None
    if config.speakers is not None:
        return SessionSystem(ubm, _joint_factors(file_of(SUBSPACE_FILE), config.speakers, ubm), config.scoring)
    assert config.adaptation is not None
    return AdaptedSystem(ubm, config.adaptation, config.scoring)


def check_system(system: GallerySystem[Any], ubm: DiagonalGMM) -> None:
    """Make a model of a recording without frames; ModelError if the parts of a system do not fit one another."""
    nothing = np.zeros(ubm.means.shape)
    system.model([SufficientStats(nothing[:, 0], nothing, nothing, 0.0, 0, 0.0)])


def _joint_factors(path: Path, config: ISVConfig | JFAConfig, ubm: DiagonalGMM) -> JointFactorModel:
    """Read the factors of sessions and speakers."""
    factors = load_joint_factors(path)
    speaker_rank = config.speaker_rank if isinstance(config, JFAConfig) else 0
    ranks = {"rank": (factors.session_rank, config.rank), "speaker_rank": (factors.speaker_rank, speaker_rank)}
    _check_factors(path, factors, ubm, ranks)
    if not (np.array_equal(factors.means, ubm.means) and np.array_equal(factors.variances, ubm.variances)):
        raise GalleryError(f"{path}: factors of another background model; expected those trained with this one")
    return factors


def _check_factors(
    path: Path, factors: JointFactorModel | TotalVariability, ubm: DiagonalGMM, ranks: dict[str, tuple[int, int]]
) -> None:
    """Refuse factors of another shape than the background model, or of other ranks, found and expected by their key."""
    if factors.means.shape != ubm.means.shape:
        found, expected = (
            f"{len(means)} components over {means.shape[1]} features" for means in (factors.means, ubm.means)
        )
        raise GalleryError(f"{path}: factors of {found}; expected {expected}, as the background model has")
    for key, (found_rank, rank) in ranks.items():
        if found_rank != rank:
            raise GalleryError(f"{path}: factors of {key} {found_rank}; expected {rank}, as the settings say")


def _backend(path: Path, config: SystemConfig) -> Backend:
    """Read the back end."""
    backend = load_backend(path)
    if (found := backend.configs[-1].step) != config.scorer:
        raise GalleryError(f"{path}: a back end that ends in {found}; expected {config.scorer}, as the settings say")
    return backend
