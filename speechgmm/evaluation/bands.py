"""Confidence bands of detection error trade-off curves, by resampling speakers as in `bootstrap`."""

from typing import Final, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from speechgmm.arrays import Float64Array, IntArray
from speechgmm.evaluation.bootstrap import TrialGroup
from speechgmm.evaluation.operating_points import OperatingPoints, error_rates

N_POINTS: Final = 200
"""Number of false-alarm rates at which a band is computed."""


class Band(NamedTuple):
    """A confidence band of the miss rate over the false-alarm rate."""

    p_fa: Float64Array  # (G,), increasing false-alarm rates, fractions of 1
    low: Float64Array  # (G,), the lowest miss rate at each
    high: Float64Array  # (G,), the highest
    confidence: float  # share of experiments with other speakers whose miss rate lies in the band, at any one p_fa


def det_band(
    target: TrialGroup,
    nontarget: TrialGroup,
    rng: np.random.Generator,
    *,
    n_resamples: int = 200,
    confidence: float = 0.95,
) -> Band | None:
    """Compute a pointwise percentile band of the miss rate over the false-alarm rate.

    The band has `N_POINTS` false-alarm rates, evenly spaced as normal deviates, from half an error up. The miss rate of
    a resample is the lowest of any threshold that accepts no more nontarget trials than that, interpolated where scores
    of both kinds are equal. Speakers are drawn as in `speechgmm.evaluation.bootstrap.intervals`. Resamples without
    trials of a kind do not count; None if half of them or more are such. ValueError if a kind of trial has no scores,
    scores are NaN, or lengths differ.
    """
    for name, side in (("target", target), ("nontarget", nontarget)):
        if not np.shape(side.scores) == np.shape(side.models) == np.shape(side.tests):
            raise ValueError(
                f"{name} trials: {[np.size(column) for column in side]} scores, models and tests, expected as many"
            )
    points = error_rates(target.scores, nontarget.scores)
    groups = _group_scores(points)
    columns = [np.asarray(speakers) for side in (target, nontarget) for speakers in side[1:]]
    present, numbers = np.unique(np.concatenate(columns), return_inverse=True)
    rows = np.split(numbers, np.cumsum([len(column) for column in columns])[:-1])
    sides = [
        _GroupedTrials.sort(groups[np.searchsorted(points.thresholds, side.scores)], models, tests, len(present))
        for side, models, tests in ((target, rows[0], rows[1]), (nontarget, rows[2], rows[3]))
    ]
    end = ndtri(0.5 / len(columns[-1]))
    p_fa = ndtr(np.linspace(end, -end, N_POINTS))
    curves = []
    for _ in range(n_resamples):
        draw = rng.multinomial(len(present), np.full(len(present), 1.0 / len(present)))
        below, accepted = (side.counts_below(np.append(draw, 1.0), groups[-1] + 1) for side in sides)
        if below[-1] > 0 and accepted[-1] > 0:
            curves.append(np.interp(p_fa, 1.0 - accepted[::-1] / accepted[-1], below[::-1] / below[-1]))
    if 2 * len(curves) <= n_resamples:
        return None
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(curves, (tail, 1.0 - tail), axis=0, method="inverted_cdf")
    return Band(p_fa, low, high, confidence)


class _GroupedTrials(NamedTuple):
    """The trials of one kind, by increasing score."""

    groups: IntArray
    models: IntArray  # rows of a draw
    tests: IntArray  # rows of a draw; the row after the last, always 1, where the speaker is the model's

    @classmethod
    def sort(cls, groups: IntArray, models: IntArray, tests: IntArray, n_speakers: int) -> "_GroupedTrials":
        """Sort trials by the group of their score."""
        order = np.argsort(groups, kind="stable")
        return cls(groups[order], models[order], np.where(models == tests, n_speakers, tests)[order])

    def counts_below(self, draw: Float64Array, n_groups: int) -> Float64Array:
        """Count the trials before each group, and all trials, weighted by how often their speakers were drawn."""
        repeats = draw[self.models] * draw[self.tests]
        return np.append(0.0, np.cumsum(np.bincount(self.groups, repeats, n_groups)))


def _group_scores(points: OperatingPoints) -> IntArray:
    """Group successive distinct scores of one kind, (K,): within a group, the curve has no corner."""
    kinds = np.where(np.diff(points.p_miss) > 0, 1, 0) + np.where(np.diff(points.p_fa) < 0, 2, 0)
    numbers: IntArray = np.cumsum(np.append(False, (kinds[1:] != kinds[:-1]) | (kinds[1:] == 3)))
    return numbers
