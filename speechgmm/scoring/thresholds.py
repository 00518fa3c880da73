"""The threshold of a decision: from the costs of errors, or from trials whose truth is known.

A trial is accepted if its score is at least the threshold, as in `speechgmm.evaluation.metrics`.
"""

from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from speechgmm.configuration import Configuration
from speechgmm.evaluation.costs import PRESETS, Costs, bayes_threshold, detection_cost
from speechgmm.evaluation.metrics import eer_threshold
from speechgmm.evaluation.operating_points import error_rates


class CostsConfig(Configuration):
    """The costs of errors; without this section, a recipe decides by those of the first preset of ``evaluation.dcf``.

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

    @property
    def in_words(self) -> str:
        """The three values, as messages list them."""
        return f"c_miss {self.c_miss:g}, c_fa {self.c_fa:g}, p_target {self.p_target:g}"


EQUAL_ERRORS = CostsConfig(p_target=0.5)
"""The costs by which a miss and a false alarm count the same: the Bayes threshold is 0."""


class ThresholdConfig(Configuration):
    """How the decision threshold is chosen.

    Parameters
    ----------
    method : "bayes", "min_dcf", "eer" or "p_fa"
        "bayes": from the costs alone, for calibrated scores. The others use trials whose truth is known. "min_dcf":
        where the detection cost is lowest. "eer": where miss rate and false-alarm rate are most nearly equal. "p_fa":
        the lowest threshold with at most the false-alarm rate `p_fa`.
    costs : section of c_miss, c_fa and p_target, or None
        For "bayes" and "min_dcf". None: in a recipe the costs of the first preset of ``evaluation.dcf`` (the first ones
        of a preset of several); in `find_threshold` c_miss 1, c_fa 1 and p_target 0.01.
    p_fa : float, 0 <= p_fa < 1, or None
        For "p_fa": the largest share of nontarget trials that may be accepted.

    Examples
    --------
    >>> from speechgmm import ThresholdConfig
    >>> ThresholdConfig(method="p_fa", p_fa=0.001).method
    'p_fa'
    """

    method: Literal["bayes", "min_dcf", "eer", "p_fa"] = "bayes"
    costs: CostsConfig | None = None
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
        if self.has_own_costs and not self.uses_costs:
            raise ValueError(f"costs are for methods bayes and min_dcf, and method is {self.method}")
        return self

    @property
    def uses_costs(self) -> bool:
        """Whether the method chooses the threshold by costs."""
        return self.method in ("bayes", "min_dcf")

    @property
    def has_own_costs(self) -> bool:
        """Whether costs are given, other than the default that earlier versions wrote into every resolved recipe."""
        return self.costs not in (None, CostsConfig())


def min_dcf_threshold(target: npt.ArrayLike, nontarget: npt.ArrayLike, costs: Costs) -> float:
    """Find the threshold with the lowest detection cost on these trials, whose scores may have any scale.

    One of the scores, the lowest of several with the same cost; or the number just above the highest score, where it is
    best to accept nothing. ValueError as for `speechgmm.evaluation.metrics.min_dcf`.
    """
    thresholds, p_miss, p_fa = error_rates(target, nontarget)
    best = np.argmin(detection_cost(p_miss, p_fa, costs))
    return float(thresholds[best] if best < len(thresholds) - 1 else np.nextafter(thresholds[-2], np.inf))


def p_fa_threshold(target: npt.ArrayLike, nontarget: npt.ArrayLike, p_fa: float) -> float:
    """Find the lowest threshold that accepts no more than the share `p_fa` of these nontarget trials, 0 <= p_fa < 1.

    The number just above the highest nontarget score that has to be rejected; a share below 1 / M accepts none of M.
    ValueError if a kind of trial has no scores or contains NaN, or `p_fa` is out of range.
    """
    if not 0 <= p_fa < 1:
        raise ValueError(f"p_fa = {p_fa}: expected a share from 0 to 1, 1 excluded")
    thresholds, _, accepted = error_rates(target, nontarget)
    return float(np.nextafter(thresholds[np.argmax(accepted <= p_fa) - 1], np.inf))


def find_threshold(target: npt.ArrayLike, nontarget: npt.ArrayLike, config: ThresholdConfig) -> float:
    """Find the decision threshold by the configured method.

    Parameters
    ----------
    target, nontarget : array_like, shapes (N,) and (M,)
        Scores of trials whose truth is known and that are not evaluated; "bayes" does not use them.
    config : ThresholdConfig
        Method, with its costs or false-alarm rate.

    Returns
    -------
    float, unit of the scores
        A trial is accepted if its score is at least this. "eer" is `speechgmm.evaluation.metrics.eer_threshold`.

    Raises
    ------
    ValueError
        If a kind of trial has no scores, is not one-dimensional or contains NaN, except for "bayes".

    Examples
    --------
    >>> from speechgmm import ThresholdConfig, find_threshold
    >>> target, nontarget = [1.5, 2.0, 3.0, 4.0], [-1.0, 0.0, 0.5, 1.0, 2.0]
    >>> find_threshold(target, nontarget, ThresholdConfig(method="eer"))
    2.0
    >>> round(find_threshold(target, nontarget, ThresholdConfig(method="bayes")), 3)  # p_target 0.01
    4.595
    """
    costs = Costs(**(config.costs or CostsConfig()).model_dump())
    match config.method:
        case "bayes":
            return bayes_threshold(costs)
        case "min_dcf":
            return min_dcf_threshold(target, nontarget, costs)
        case "eer":
            return eer_threshold(target, nontarget)
        case "p_fa":
            assert config.p_fa is not None  # the configuration has checked it
            return p_fa_threshold(target, nontarget, config.p_fa)


def with_preset_costs(config: ThresholdConfig, presets: Sequence[str]) -> ThresholdConfig:
    """Fill in the costs of the first of the evaluation's presets, where the method needs costs and none are given."""
    if config.costs is not None or not config.uses_costs or not presets:
        return config
    return config.model_copy(update={"costs": CostsConfig(**PRESETS[presets[0]][0]._asdict())})


def threshold_meaning(config: ThresholdConfig, presets: Sequence[str] = ()) -> str:
    """Describe a threshold in words, to follow its value in reports and in ``metrics.json``.

    `presets` are the evaluation's, of which the first gives the costs that `config` leaves open.
    """
    costs = (with_preset_costs(config, presets).costs or CostsConfig()).in_words
    if config.costs is None and presets:
        costs += f": the costs of {presets[0]}, the evaluation's first preset"
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
