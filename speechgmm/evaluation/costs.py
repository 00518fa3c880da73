"""The costs of errors: parameters of detection costs, and the threshold with the lowest expected cost."""

import math
from typing import Final, NamedTuple

import numpy as np

from speechgmm.arrays import Float64Array


class Costs(NamedTuple):
    """The parameters of a detection cost."""

    c_miss: float  # > 0: cost of rejecting a target trial
    c_fa: float  # > 0: cost of accepting a nontarget trial
    p_target: float  # 0 to 1, excluded: prior of a target trial where decisions are made, not its share in the list


# The speaker recognition evaluation plans of NIST for 2008, 2010 (core condition) and 2016 (without the equal
# weighting of that evaluation's data partitions), and Nagrani, Chung, Zisserman (2017), Interspeech, for VoxCeleb.
# The minimum cost of a preset of several costs is the mean of their minima.
PRESETS: Final[dict[str, tuple[Costs, ...]]] = {
    "sre08": (Costs(c_miss=10.0, c_fa=1.0, p_target=0.01),),
    "sre10": (Costs(c_miss=1.0, c_fa=1.0, p_target=0.001),),
    "sre16": (Costs(c_miss=1.0, c_fa=1.0, p_target=0.01), Costs(c_miss=1.0, c_fa=1.0, p_target=0.005)),
    "voxceleb": (Costs(c_miss=1.0, c_fa=1.0, p_target=0.01),),
}


def several_costs(costs: Costs | str) -> tuple[Costs, ...]:
    """Return the costs of a preset by its name, or the given costs alone; ValueError for an unknown preset."""
    if isinstance(costs, Costs):
        return (costs,)
    if costs not in PRESETS:
        raise ValueError(f"costs {costs!r}: expected Costs or one of {', '.join(PRESETS)}")
    return PRESETS[costs]


def detection_cost(p_miss: Float64Array, p_fa: Float64Array, costs: Costs) -> Float64Array:
    """Compute the normalised detection cost of error rates, shape (K,).

    ``(c_miss p_target P_miss + c_fa (1 - p_target) P_fa) / min(c_miss p_target, c_fa (1 - p_target))``: 1 is the cost
    of the better of "accept everything" and "accept nothing". ValueError if a cost is not positive and finite, or
    `p_target` is not between 0 and 1.

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
    """Compute the Bayes threshold of calibrated log-likelihood ratios, in nats.

    ``log(c_fa (1 - p_target) / (c_miss p_target))``, where decisions cost least. ValueError as for `detection_cost`.

    References
    ----------
    Brümmer, du Preez (2006), Computer Speech and Language 20, for the Bayes decision.
    """
    detection_cost(np.zeros(1), np.zeros(1), costs)  # refuses costs out of range
    return math.log(costs.c_fa) + math.log1p(-costs.p_target) - math.log(costs.c_miss) - math.log(costs.p_target)
