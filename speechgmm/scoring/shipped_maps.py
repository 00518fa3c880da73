"""Maps from normalised scores to log-likelihood ratios that were learnt on other corpora, and come with the package.

They are of the log-likelihood ratios of models adapted by MAP, normalised by the corpus's own background. Such scores
are on one scale but for the size of that background: the smaller it is, the better its model fits the cohort itself,
and the larger are the scores of everybody else. `ShippedMap.scale` takes that back.

``shipped_maps.json`` has the maps, and what they were learnt on; ``benchmarks/maps.py`` learns them.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from speechgmm.arrays import Float64Array
from speechgmm.scoring.calibration_prior import CalibrationPrior
from speechgmm.scoring.normalisation import ScoreNormalisationConfig

SMALL_COHORT = 10
"""Number of speakers of a cohort for which scores are twice as large as for a cohort without limit."""


class Scale(NamedTuple):
    """How normalised scores by some cohort come to the common scale: factor times the score, plus the offset."""

    factor: float
    offset: float

    def convert(self, scores: Float64Array, other: "Scale") -> Float64Array:
        """Convert scores on this scale to another cohort's."""
        return (self.factor * scores + self.offset - other.offset) / other.factor


@dataclass(frozen=True, eq=False)
class ShippedMap:
    """A normal distribution of maps: ratio = weight times the systems' mean score on the common scale + offset."""

    method: str  # of the normalisation
    shrinkage: float
    n_systems: int
    rise: float  # mean score on the common scale of speakers whom a background of one speaker does not know
    weight: float
    offset: float
    covariance: Float64Array  # of weight and offset, (2, 2)

    def scale(self, n_cohort: int) -> Scale:
        """Return the scale of scores whose cohort, and background model, is of so many speakers."""
        factor = n_cohort / (n_cohort + SMALL_COHORT)
        return Scale(factor, -self.rise * (1 - factor))

    def prior(self, n_systems: int, n_cohort: int) -> CalibrationPrior:
        """Return what is known of the calibration of a sum of scores by a cohort of so many speakers."""
        scale = self.scale(n_cohort)
        # the ratio is weight * (scale.factor * sum / n_systems + scale.offset) + offset
        to_sum = np.array([[scale.factor / n_systems, 0.0], [scale.offset, 1.0]])
        weight, offset = to_sum @ (self.weight, self.offset)
        return CalibrationPrior.of_one_column(weight, offset, to_sum @ self.covariance @ to_sum.T)


def shipped_map(normalisation: ScoreNormalisationConfig, n_systems: int) -> ShippedMap | None:
    """Find the map of a sum of so many systems' scores, or of the most systems that there is one for."""
    alike = [each for each in shipped_maps() if (each.method, each.shrinkage) == _kind(normalisation)]
    fitting = [each for each in alike if each.n_systems <= n_systems]
    return max(fitting, key=lambda each: each.n_systems, default=None)


def _kind(normalisation: ScoreNormalisationConfig) -> tuple[str, float] | None:
    """Return what maps are found by; None for a normalisation that none is of."""
    is_plain = normalisation.statistics == "mean"
    return (normalisation.method, normalisation.shrinkage) if is_plain else None


@cache
def shipped_maps() -> tuple[ShippedMap, ...]:
    """Read the maps that come with the package."""
    document = json.loads(files("speechgmm.scoring").joinpath("shipped_maps.json").read_text(encoding="utf-8"))
    return tuple(ShippedMap(**each | {"covariance": np.array(each["covariance"])}) for each in document["maps"])
