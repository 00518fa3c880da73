"""The map from scores to log-likelihood ratios that was learnt on other corpora, and comes with the package.

It is of the log-likelihood ratios of models adapted by MAP, normalised or not, of one system or summed over several.
Such scores differ in scale and offset from corpus to corpus, and with the size of the background. In deviations of the
scores of unknown speakers, counted from their mean, they are alike: `Standard` measures these on trials that are
nontargets for sure.

``shipped_map.json`` has the map, and what it was learnt on; ``benchmarks/maps.py`` learns it.
"""

import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from speechgmm.arrays import Float64Array
from speechgmm.scoring.calibration_prior import CalibrationPrior


class Standard(NamedTuple):
    """Mean and standard deviation of the scores of nontarget trials: of each of S systems, and of their sum."""

    means: Float64Array  # (S,)
    deviations: Float64Array  # (S,), above 0
    sum_mean: float
    sum_deviation: float

    @classmethod
    def of(cls, nontargets: Float64Array) -> "Standard | None":
        """Measure the scores (M, S) of nontarget trials; None if they do not vary."""
        if len(nontargets) < 2:
            return None
        total = nontargets.sum(axis=1)
        standard = cls(nontargets.mean(axis=0), nontargets.std(axis=0), float(total.mean()), float(total.std()))
        return standard if standard.deviations.min() > 0 and standard.sum_deviation > 0 else None

    def convert(self, scores: Float64Array, other: "Standard") -> Float64Array:
        """Convert the scores (n, S) of systems of this standard to those of systems of another one."""
        return (scores - self.means) / self.deviations * other.deviations + other.means


class ShippedMap(NamedTuple):
    """A normal distribution of maps: ratio = weight times the standardised score + offset, in nats."""

    weight: float
    offset: float
    covariance: Float64Array  # of both, (2, 2)

    def prior(self, standard: Standard) -> CalibrationPrior:
        """Return what is known of the calibration of a sum of scores, given the standard of its nontargets."""
        # weight * (sum - mean) / deviation + offset
        to_sum = np.array([[1.0, 0.0], [-standard.sum_mean, standard.sum_deviation]]) / standard.sum_deviation
        return CalibrationPrior(to_sum @ (self.weight, self.offset), to_sum @ self.covariance @ to_sum.T)


@cache
def shipped_map() -> ShippedMap:
    """Read the map that comes with the package."""
    document = json.loads(files("speechgmm.scoring").joinpath("shipped_map.json").read_text(encoding="utf-8"))
    return ShippedMap(document["weight"], document["offset"], np.array(document["covariance"]))
