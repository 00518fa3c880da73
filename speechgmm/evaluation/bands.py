"""How sure a detection error trade-off curve is: a band around it, from drawing the speakers as `bootstrap` does."""

from typing import Final, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from speechgmm.arrays import Float64Array, IntArray
from speechgmm.evaluation.bootstrap import TrialGroup
from speechgmm.evaluation.operating_points import OperatingPoints, error_rates

N_POINTS: Final = 200
"""False-alarm rates at which a band has its edges."""


class Band(NamedTuple):
    """Between which miss rates a curve may lie.

    Parameters
    ----------
    p_fa : np.ndarray, shape (G,), increasing
        Rates of false alarms, fractions of 1.
    low, high : np.ndarray, shape (G,)
        The lowest and the highest rate of misses at each.
    confidence : float, 0 < confidence < 1
        Share of experiments with other speakers that the band should hold, at any one rate of false alarms.
    """

    p_fa: Float64Array
    low: Float64Array
    high: Float64Array
    confidence: float


def det_band(
    target: TrialGroup,
    nontarget: TrialGroup,
    rng: np.random.Generator,
    *,
    n_resamples: int = 200,
    confidence: float = 0.95,
) -> Band | None:
    """Compute a pointwise percentile band of the miss rate over the false-alarm rate.

    Parameters
    ----------
    target, nontarget : TrialGroup
        The trials.
    rng : numpy.random.Generator
        Draws the speakers: the same draws as those of `speechgmm.evaluation.bootstrap.intervals`.
    n_resamples : int >= 1
        How many times to draw them.
    confidence : float, 0 < confidence < 1
        See `Band`.

    Returns
    -------
    Band or None
        At `N_POINTS` false-alarm rates, evenly spaced as normal deviates, from half an error on. The miss rate of a
        draw is the lowest of any threshold that accepts no more nontarget trials than that, or the straight line
        between two where scores of both kinds are equal. Draws that leave out all trials of a kind do not count; None
        if half of them or more are such.

    Raises
    ------
    ValueError
        If a side is empty, scores are NaN, or lengths differ.
    """
    for name, side in (("target", target), ("nontarget", nontarget)):
        if not np.shape(side.scores) == np.shape(side.models) == np.shape(side.tests):
            raise ValueError(
                f"{name} trials: {[np.size(each) for each in side]} scores, models and tests, expected as many"
            )
    points = error_rates(target.scores, nontarget.scores)
    groups = _groups(points)
    columns = [np.asarray(each) for side in (target, nontarget) for each in side[1:]]
    present, numbers = np.unique(np.concatenate(columns), return_inverse=True)
    rows = np.split(numbers, np.cumsum([len(each) for each in columns])[:-1])
    sides = [
        _Grouped.of(groups[np.searchsorted(points.thresholds, side.scores)], models, tests, len(present))
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


class _Grouped(NamedTuple):
    """A side's trials, by increasing score."""

    groups: IntArray
    models: IntArray  # rows of a draw
    tests: IntArray  # rows of a draw; the one after the last, which is 1, where the speaker is the model's

    @classmethod
    def of(cls, groups: IntArray, models: IntArray, tests: IntArray, n_speakers: int) -> "_Grouped":
        """Sort them."""
        order = np.argsort(groups, kind="stable")
        return cls(groups[order], models[order], np.where(models == tests, n_speakers, tests)[order])

    def counts_below(self, draw: Float64Array, n_groups: int) -> Float64Array:
        """Count the trials before each group, and all of them, each as often as its speakers were drawn."""
        repeats = draw[self.models] * draw[self.tests]
        return np.append(0.0, np.cumsum(np.bincount(self.groups, repeats, n_groups)))


def _groups(points: OperatingPoints) -> IntArray:
    """Put successive distinct scores of one kind, (K,), into groups: inside of one, the curve has no corner."""
    kinds = np.where(np.diff(points.p_miss) > 0, 1, 0) + np.where(np.diff(points.p_fa) < 0, 2, 0)
    numbers: IntArray = np.cumsum(np.append(False, (kinds[1:] != kinds[:-1]) | (kinds[1:] == 3)))
    return numbers
