"""Normalisation of a gallery's scores by its cohort."""

from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

import numpy as np

from speechgmm.arrays import Float64Array, FloatArray
from speechgmm.gallery.cohort import Cohort, adapt_cohort
from speechgmm.gallery.config import GalleryConfig
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.scoring.llr import score_matrix
from speechgmm.scoring.normalisation import Speakers, normalise_scores


class CohortNormaliser:
    """Normalises scores by a cohort; each model is scored against the cohort once, for as long as it is in memory."""

    def __init__(self, cohort: Cohort, ubm: DiagonalGMM, config: GalleryConfig) -> None:
        self._cohort, self._ubm, self._config = cohort, ubm, config
        self._models = adapt_cohort(cohort, ubm, config.adaptation)
        self._scores: WeakKeyDictionary[DiagonalGMM, Float64Array] = WeakKeyDictionary()

    def normalise(
        self, matrix: Float64Array, models: Mapping[str, DiagonalGMM], tests: Sequence[FloatArray]
    ) -> Float64Array:
        """Normalise the scores (M, U) of M speakers' models for U tests, given by their frames."""
        config = self._config.normalisation
        both = config.method in ("zt", "tz")
        return normalise_scores(
            matrix,
            config,
            z_scores=np.stack([self._against_cohort(model) for model in models.values()]),
            t_scores=score_matrix(list(self._models.values()), self._ubm, tests, self._config.scoring),
            cohort_scores=np.stack([self._against_cohort(model) for model in self._models.values()]) if both else None,
            speakers=Speakers(tuple(models), self._cohort.speakers, tuple(self._models)),
        )

    def _against_cohort(self, model: DiagonalGMM) -> Float64Array:
        """Score a model against the K utterances of the cohort, (K,) in nats per frame."""
        if model not in self._scores:
            self._scores[model] = score_matrix([model], self._ubm, self._cohort.frames, self._config.scoring)[0]
        return self._scores[model]
