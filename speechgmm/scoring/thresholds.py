"""Where to put the threshold of a decision: from what errors cost, or from trials whose truth is known.

A trial is accepted when its score is at the threshold or above, as in `speechgmm.evaluation.metrics`.
"""

from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from speechgmm.configuration import Configuration
from speechgmm.evaluation.costs import Costs, bayes_threshold, detection_cost
from speechgmm.evaluation.metrics import eer_threshold
from speechgmm.evaluation.operating_points import error_rates


class CostsConfig(Configuration):
    """What errors cost.

    Parameters
    ----------
    c_miss, c_fa : float > 0
        Cost of rejecting a target trial, and of accepting a nontarget trial.
    p_target : float, 0 < p_target < 1
        Prior probability of a target trial where the decisions will be made.
    """

    c_miss: float = Field(1.0, gt=0)
    c_fa: float = Field(1.0, gt=0)
    p_target: float = Field(0.01, gt=0, lt=1)


class ThresholdConfig(Configuration):
    """How the threshold is found.

    Parameters
    ----------
    method : "bayes", "min_dcf", "eer" or "p_fa"
        From the costs alone, for scores that are calibrated; or from trials whose truth is known, where the detection
        cost is least, where the two error rates are most nearly equal, or where so many false alarms are left.
    costs : section of c_miss, c_fa and p_target
        For "bayes" and "min_dcf".
    p_fa : float, 0 <= p_fa < 1, or None
        For "p_fa": the largest share of nontarget trials that may be accepted.
    """

    method: Literal["bayes", "min_dcf", "eer", "p_fa"] = "bayes"
    costs: CostsConfig = CostsConfig()
    p_fa: float | None = Field(None, ge=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse keys that are missing or have no effect."""
        if (self.method == "p_fa") != (self.p_fa is not None):
            raise ValueError(
                "method p_fa without p_fa; expected the share of nontargets that may be accepted, as in p_fa: 0.001"
                if self.p_fa is None
                else f"p_fa {self.p_fa} for method {self.method}; expected it for method p_fa alone"
            )
        if self.costs != CostsConfig() and self.method not in ("bayes", "min_dcf"):
            raise ValueError(f"costs are for methods bayes and min_dcf, and method is {self.method}")
        return self


def min_dcf_threshold(target: npt.ArrayLike, nontarget: npt.ArrayLike, costs: Costs) -> float:
    """Find the threshold at which decisions on these very trials cost least.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores of any scale.
    costs : Costs
        What errors cost.

    Returns
    -------
    float
        One of the scores, or the number just above the highest where it is best to accept nothing; of several that cost
        the same, the lowest.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN; if `costs` have no meaning.
    """
    thresholds, p_miss, p_fa = error_rates(target, nontarget)
    best = np.argmin(detection_cost(p_miss, p_fa, costs))
    return float(thresholds[best] if best < len(thresholds) - 1 else np.nextafter(thresholds[-2], np.inf))


def p_fa_threshold(target: npt.ArrayLike, nontarget: npt.ArrayLike, p_fa: float) -> float:
    """Find the lowest threshold at which no more than a share of these nontarget trials is accepted.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores of any scale; the threshold depends on those of nontarget trials only.
    p_fa : float, 0 <= p_fa < 1
        The largest share; what is less than 1 / M is nothing.

    Returns
    -------
    float
        The number just above the score of a nontarget trial, the highest that has to be rejected.

    Raises
    ------
    ValueError
        If a side is empty, is not one-dimensional or contains NaN; if `p_fa` is not a share below 1.
    """
    if not 0 <= p_fa < 1:
        raise ValueError(f"p_fa = {p_fa}: expected a share from 0 to 1, 1 excluded")
    thresholds, _, accepted = error_rates(target, nontarget)
    return float(np.nextafter(thresholds[np.argmax(accepted <= p_fa) - 1], np.inf))


def find_threshold(target: npt.ArrayLike, nontarget: npt.ArrayLike, config: ThresholdConfig) -> float:
    """Find the threshold that a configuration asks for.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores of trials whose truth is known, not those evaluated; they make no difference to the method "bayes".
    config : ThresholdConfig
        Method.

    Returns
    -------
    float, unit of the scores
        For "eer" that of `speechgmm.evaluation.metrics.eer_threshold`; otherwise that of the method's function.

    Raises
    ------
    ValueError
        As for the method's function.
    """
    costs = Costs(**config.costs.model_dump())
    match config.method:
        case "bayes":
            return bayes_threshold(costs)
        case "min_dcf":
            return min_dcf_threshold(target, nontarget, costs)
        case "eer":
            return eer_threshold(target, nontarget)
        case "p_fa":
            assert config.p_fa is not None  # the configuration's own check
            return p_fa_threshold(target, nontarget, config.p_fa)


def threshold_meaning(config: ThresholdConfig) -> str:
    """Say in words what a threshold is.

    Parameters
    ----------
    config : ThresholdConfig
        How it is found.

    Returns
    -------
    str
        To stand behind its value.
    """
    costs = f"c_miss {config.costs.c_miss:g}, c_fa {config.costs.c_fa:g}, p_target {config.costs.p_target:g}"
    known = "the trials that calibration was trained on"
    match config.method:
        case "bayes":
            return f"where log-likelihood ratios decide best, log(c_fa (1 - p_target) / (c_miss p_target)); {costs}"
        case "min_dcf":
            return f"where decisions cost least on {known}; {costs}"
        case "eer":
            return f"where misses and false alarms are most nearly as frequent on {known}"
        case "p_fa":
            return f"where at most {config.p_fa:g} of the nontargets are accepted of {known}"
