"""What errors cost: the parameters of detection costs, and the decisions that cost least."""

import math
from typing import Final, NamedTuple

import numpy as np

from speechgmm.arrays import Float64Array


class Costs(NamedTuple):
    """What errors cost, and how often a target trial is expected: the parameters of a detection cost.

    Parameters
    ----------
    c_miss : float > 0
        Cost of rejecting a target trial.
    c_fa : float > 0
        Cost of accepting a nontarget trial.
    p_target : float, 0 < p_target < 1
        Prior probability of a target trial where the decisions will be made; not the share in the trial list.
    """

    c_miss: float
    c_fa: float
    p_target: float


# The speaker recognition evaluation plans of NIST for 2008, 2010 (core condition) and 2016 (without the equal
# weighting of that evaluation's data partitions), and Nagrani, Chung, Zisserman (2017), Interspeech, for VoxCeleb.
# A preset of several is the mean of their minima.
PRESETS: Final[dict[str, tuple[Costs, ...]]] = {
    "sre08": (Costs(c_miss=10.0, c_fa=1.0, p_target=0.01),),
    "sre10": (Costs(c_miss=1.0, c_fa=1.0, p_target=0.001),),
    "sre16": (Costs(c_miss=1.0, c_fa=1.0, p_target=0.01), Costs(c_miss=1.0, c_fa=1.0, p_target=0.005)),
    "voxceleb": (Costs(c_miss=1.0, c_fa=1.0, p_target=0.01),),
}


def several_costs(costs: Costs | str) -> tuple[Costs, ...]:
    """Look up the costs that go by a name.

    Parameters
    ----------
    costs : Costs or a name in `PRESETS`
        One, or the preset's.

    Returns
    -------
    tuple of Costs
        At least one.

    Raises
    ------
    ValueError
        If the preset is unknown.
    """
    if isinstance(costs, Costs):
        return (costs,)
    if costs not in PRESETS:
        raise ValueError(f"costs {costs!r}: expected Costs or one of {', '.join(PRESETS)}")
    return PRESETS[costs]


def detection_cost(p_miss: Float64Array, p_fa: Float64Array, costs: Costs) -> Float64Array:
    """Weigh error rates into the normalised detection cost.

    Parameters
    ----------
    p_miss, p_fa : ndarray, shape (K,)
        Error rates, fractions of 1.
    costs : Costs
        What they cost.

    Returns
    -------
    ndarray, shape (K,), >= 0
        (c_miss p_target P_miss + c_fa (1 - p_target) P_fa) / min(c_miss p_target, c_fa (1 - p_target)): 1 is
        the cost of the better of "accept everything" and "accept nothing".

    Raises
    ------
    ValueError
        If a cost is not positive and finite, or `p_target` is not between 0 and 1.

    References
    ----------
    NIST (2008), Year 2008 Speaker Recognition Evaluation Plan, for the cost and its normalisation.
    """
    for name, cost in (("c_miss", costs.c_miss), ("c_fa", costs.c_fa)):
        if not 0.0 < cost < np.inf:
            raise ValueError(f"{name} = {cost}: expected a positive finite cost")
    if not 0.0 < costs.p_target < 1.0:
        raise ValueError(f"p_target = {costs.p_target}: expected a probability between 0 and 1, both excluded")
    miss, false_alarm = costs.c_miss * costs.p_target, costs.c_fa * (1.0 - costs.p_target)
    return (miss * p_miss + false_alarm * p_fa) / min(miss, false_alarm)


def bayes_threshold(costs: Costs) -> float:
    """Find the threshold of calibrated log-likelihood ratios at which decisions cost least.

    Parameters
    ----------
    costs : Costs
        What errors cost, and how often a target trial is expected.

    Returns
    -------
    float, nats
        ``log(c_fa (1 - p_target) / (c_miss p_target))``.

    Raises
    ------
    ValueError
        If a cost is not positive and finite, or `p_target` is not between 0 and 1.

    References
    ----------
    Brümmer, du Preez (2006), Computer Speech and Language 20, for the Bayes decision.
    """
    detection_cost(np.zeros(1), np.zeros(1), costs)  # refuses costs without a meaning
    return math.log(costs.c_fa) + math.log1p(-costs.p_target) - math.log(costs.c_miss) - math.log(costs.p_target)
