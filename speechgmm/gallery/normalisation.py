"""Normalisation of a gallery's scores by its cohort."""

from collections.abc import Mapping, Sequence
from typing import Generic
from weakref import WeakKeyDictionary

import numpy as np

from speechgmm.arrays import Float32Array, Float64Array
from speechgmm.gallery.cohort import Cohort
from speechgmm.gallery.systems import GallerySystem, Model, ModelScorer
from speechgmm.gmm.model import DiagonalGMM
from speechgmm.gmm.statistics import accumulate
from speechgmm.scoring.cohort_speakers import Speakers
from speechgmm.scoring.normalisation import ScoreNormalisationConfig, normalise_scores


class CohortNormaliser(Generic[Model]):
    """Normalises scores by a cohort; each model is scored against the cohort once, for as long as it is in memory."""

    def __init__(
        self, cohort: Cohort, ubm: DiagonalGMM, system: GallerySystem[Model], config: ScoreNormalisationConfig
    ) -> None:
        self._speakers, self._config = cohort.speakers, config
        self._models = model_cohort(cohort, ubm, system)
        self._scored_by = system.tests(cohort.frames)
        self._scores: WeakKeyDictionary[Model, Float64Array] = WeakKeyDictionary()
        tests: Sequence[int] = ()  # the utterances that the cohort scores by itself, as far as the method needs them
        if config.shrinkage:
            tests = _first_of_each_speaker(cohort)
        elif config.method in ("zt", "tz"):
            tests = range(len(cohort.speakers))
        self._cohort_tests = [cohort.speakers[number] for number in tests]
        self._by_itself: Float64Array | None = None
        if tests:
            self._by_itself = system.tests([cohort.frames[number] for number in tests])(list(self._models.values()))

    def normalise(
        self, matrix: Float64Array, models: Mapping[str, Model], scored_by: ModelScorer[Model]
    ) -> Float64Array:
        """Normalise the scores (M, U) of M speakers' models for U tests, by which any models are scored."""
        return normalise_scores(
            matrix,
            self._config,
            z_scores=self._against_cohort(list(models.values())),
            t_scores=scored_by(list(self._models.values())),
            cohort_scores=self._by_itself,
            speakers=Speakers(
                tuple(models),
                self._speakers,
                tuple(self._models),
                cohort_tests=self._cohort_tests,
            ),
        )

    def _against_cohort(self, models: Sequence[Model]) -> Float64Array:
        """Score M models against the K utterances of the cohort, (M, K): together those that are new."""
        if new := [model for model in models if model not in self._scores]:
            self._scores.update(zip(new, self._scored_by(new), strict=True))
        return np.stack([self._scores[model] for model in models])


def model_cohort(cohort: Cohort, ubm: DiagonalGMM, system: GallerySystem[Model]) -> dict[str, Model]:
    """Make a model of each speaker of a cohort, from all of the speaker's utterances.

    The models are in the order of the speakers' first utterances.
    """
    frames_of: dict[str, list[Float32Array]] = {}
    for speaker, frames in zip(cohort.speakers, cohort.frames, strict=True):
        frames_of.setdefault(speaker, []).append(frames)
    return {
        speaker: system.model([accumulate(ubm, frames) for frames in utterances], speaker)
        for speaker, utterances in frames_of.items()
    }


def _first_of_each_speaker(cohort: Cohort) -> list[int]:
    """Return the number of each speaker's first utterance, as the cohort's scores by itself need no more."""
    first: dict[str, int] = {}
    for number, speaker in enumerate(cohort.speakers):
        first.setdefault(speaker, number)
    return list(first.values())
