"""Maps from S-normed scores to log-likelihood ratios that were learnt on other corpora, and come with the package.

They are of systems whose models are adapted by MAP, and whose scores are log-likelihood ratios with S-norm and the
default shrinkage: their scores are on one scale wherever the cohort is the corpus's own background. The smaller that
background, the better its model fits the cohort itself, and the larger are the scores of everybody else; `Scale` takes
that back. ``shipped_maps.json`` says what the maps were learnt on; ``benchmarks/maps.py`` learns them.
"""

import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from speechgmm.arrays import Float64Array
from speechgmm.scoring.calibration_prior import CalibrationPrior
from speechgmm.scoring.normalisation import DEFAULT_SHRINKAGE

OFFSET_OF_SMALL_COHORTS = 2.0
"""Mean score of speakers unknown to a background of a single speaker, less that of many, on the common scale."""


class ShippedMap(NamedTuple):
    """A normal distribution of maps: ratio = weight times the systems' mean score on the common scale + offset."""

    weight: float
    offset: float
    covariance: Float64Array  # of both, (2, 2)


class Scale(NamedTuple):
    """How S-normed scores by a cohort come to the common scale: factor times the score, plus the offset."""

    factor: float
    offset: float

    @classmethod
    def of_cohort(cls, n_speakers: int) -> "Scale":
        """Return the scale of scores whose cohort, and background model, is of so many speakers."""
        factor = n_speakers / (n_speakers + DEFAULT_SHRINKAGE)
        return cls(factor, -OFFSET_OF_SMALL_COHORTS * (1 - factor))

    def convert(self, scores: Float64Array, other: "Scale") -> Float64Array:
        """Convert scores on this scale to another cohort's."""
        return (self.factor * scores + self.offset - other.offset) / other.factor


def shipped_prior(n_systems: int, n_cohort: int) -> CalibrationPrior:
    """Return what is known of the calibration of a sum of S-normed scores by a cohort of so many speakers."""
    maps = load_maps()
    known = maps[min(n_systems, max(maps))]
    scale = Scale.of_cohort(n_cohort)
    # weight * (factor * sum / S + scale.offset) + offset
    to_sum = np.array([[scale.factor / n_systems, 0.0], [scale.offset, 1.0]])
    weight, offset = to_sum @ (known.weight, known.offset)
    return CalibrationPrior.of_one_column(weight, offset, to_sum @ known.covariance @ to_sum.T)


@cache
def load_maps() -> dict[int, ShippedMap]:
    """Read the maps that come with the package, by the number of systems."""
    document = json.loads(files("speechgmm.scoring").joinpath("shipped_maps.json").read_text(encoding="utf-8"))
    return {
        int(n_systems): ShippedMap(each["weight"], each["offset"], np.array(each["covariance"]))
        for n_systems, each in document["maps"].items()
    }
