"""PLDA as the last step of a back end: fitting it to the background, enrolling speakers, scoring tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from speechgmm.arrays import Float64Array
from speechgmm.errors import ModelError
from speechgmm.parallel.threads import one_thread
from speechgmm.subspace.backend.config import PldaConfig
from speechgmm.subspace.backend.plda_adaptation import adapt_plda
from speechgmm.subspace.backend.plda_model import Plda, plda_llrs, smooth_plda
from speechgmm.subspace.backend.plda_training import train_plda
from speechgmm.subspace.backend.plda_uncertainty import (
    enrol_uncertain,
    known_covariances,
    train_uncertain_plda,
    uncertain_llrs,
)
from speechgmm.subspace.backend.scorer import Arrays, EnrolledVectors
from speechgmm.subspace.vectors import Vectors


@dataclass(frozen=True, eq=False)
class PldaScorer:
    """Scores by the log-likelihood ratio of one speaker to two, in nats."""

    config: PldaConfig
    model: Plda

    @classmethod
    def from_arrays(cls, config: PldaConfig, arrays: Arrays) -> Self:
        """Make the scorer of which `arrays` are. ModelError if one is missing or invalid."""
        missing = [name for name in ("mean", "transform", "psi") if name not in arrays]
        if missing:
            raise ModelError(f"PLDA: no {' or '.join(missing)} among {', '.join(arrays) or 'no arrays'}; expected all")
        return cls(config, Plda(arrays["mean"], arrays["transform"], arrays["psi"]))

    @property
    def arrays(self) -> Arrays:
        """What it was fitted to: mean (R,), transform (R, R) and psi (R,)."""
        return {"mean": self.model.mean, "transform": self.model.transform, "psi": self.model.psi}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was odd about the background; nothing after `from_arrays`."""
        return self.model.warnings

    def enrol(self, vectors: Vectors, speaker: str | None = None) -> EnrolledVectors:  # noqa: ARG002
        """Make one model of the vectors of one speaker: their mean with its count, and with uncertainty its covariance.

        ModelError if there are no vectors, or covariances are missing.
        """
        if not len(vectors):
            raise ModelError("PLDA: no vectors to enrol; expected one or more")
        self._check(vectors)
        counts, offsets = np.array([len(vectors)]), np.zeros(1)
        if not self.config.uncertainty:
            return EnrolledVectors(vectors.values.mean(axis=0)[None], counts, offsets)
        with one_thread():
            mean, covariance = enrol_uncertain(self.model, vectors)
        return EnrolledVectors(mean[None], counts, offsets, covariance[None])

    def score(self, models: EnrolledVectors, tests: Vectors) -> Float64Array:
        """Score U tests against M models, shape (M, U), in nats; a column has the same bits whatever the others are.

        ModelError if dimensions differ, or covariances are missing.
        """
        self._check(tests)
        with one_thread():
            if not self.config.uncertainty:
                return plda_llrs(self.model, models.values, models.counts, tests.values, self.config.length)
            enrolled = Vectors(models.values, models.covariances)
            return uncertain_llrs(self.model, enrolled, models.counts, tests, self.config.length)

    def _check(self, vectors: Vectors) -> None:
        """Refuse vectors of another dimension, or without the covariances that are propagated."""
        if vectors.dimension != self.model.dimension:
            raise ModelError(f"vectors of {vectors.dimension} dimensions for PLDA of {self.model.dimension}")
        if self.config.uncertainty:
            known_covariances(vectors)


def fit_plda(
    config: PldaConfig, vectors: Vectors, speakers: Sequence[str], adaptation: Vectors | None = None
) -> PldaScorer:
    """Train PLDA on the background, adapt it to vectors of unknown speakers, and smooth it, in this order.

    The order is that of Kaldi's recipes: ivector-compute-plda, ivector-adapt-plda, ivector-copy-plda --smoothing.
    ModelError if the background does not allow a model, or vectors that the configuration asks for are missing.
    """
    if config.adaptation is not None and adaptation is None:
        raise ModelError("PLDA: adaptation without vectors to adapt to; expected those of the enrolment")
    if config.uncertainty:
        model = train_uncertain_plda(vectors, speakers, config.n_iterations)
    else:
        model = train_plda(vectors.values, speakers, config.n_iterations)
    if config.adaptation is not None and adaptation is not None:
        model = adapt_plda(model, adaptation.values, config.adaptation)
    return PldaScorer(config, smooth_plda(model, config.smoothing))
