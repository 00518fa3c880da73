"""The numbers of one trial list, as `metrics.json` holds them."""

from copy import deepcopy
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from speechgmm.arrays import BoolArray, Float64Array, IntArray
from speechgmm.configuration import Configuration
from speechgmm.evaluation.bootstrap import Interval, Side, intervals
from speechgmm.evaluation.metrics import act_dcf, cllr, eer, min_cllr, min_dcf


class EvaluationConfig(Configuration):
    """What is computed from the scores.

    Parameters
    ----------
    dcf : list of "sre08", "sre10", "sre16", "voxceleb"
        Detection costs, by the evaluation whose costs they take.
    bootstrap : int >= 0
        Times that the speakers are drawn for the intervals of the numbers; 0 for no intervals.
    confidence : float, 0 < confidence < 1
        Share of experiments with other speakers in which an interval should hold the true number.
    """

    dcf: Annotated[tuple[Literal["sre08", "sre10", "sre16", "voxceleb"], ...], Field(strict=False)] = (
        "sre08",
        "voxceleb",
    )
    bootstrap: int = Field(1000, ge=0)
    confidence: float = Field(0.95, gt=0, lt=1)


def summarise(
    llrs: Float64Array,
    target: BoolArray,
    config: EvaluationConfig,
    *,
    ranks: Float64Array | None = None,
) -> dict[str, object]:
    """Compute the numbers of one trial list.

    Parameters
    ----------
    llrs : np.ndarray, shape (n,), nats
        The score of each trial, taken as a log-likelihood ratio; NaN where there is none.
    target : np.ndarray, shape (n,), bool
        Which trials are target trials.
    config : EvaluationConfig
        Which detection costs.
    ranks : np.ndarray, shape (n,), optional
        Numbers in the order of the trials, where a calibration has made equal what was not; otherwise `llrs`. What
        depends on nothing but the order is computed from these.

    Returns
    -------
    dict
        ``n_target`` and ``n_nontarget`` count the trials with a score, ``n_unscored`` those without; ``eer`` is a
        fraction of 1, ``min_dcf`` and ``act_dcf`` normalised, by preset, ``cllr`` and ``min_cllr`` in bits. Where one
        kind of trial has no score, the numbers that need both are None.
    """
    scored = ~np.isnan(llrs)
    sides = llrs[scored & target], llrs[scored & ~target]
    ordered = sides if ranks is None else (ranks[scored & target], ranks[scored & ~target])
    counts: dict[str, object] = {
        "n_target": len(sides[0]),
        "n_nontarget": len(sides[1]),
        "n_unscored": int(np.count_nonzero(~scored)),
    }
    if min(map(len, sides)) == 0:
        none = dict.fromkeys(config.dcf)
        return counts | {"eer": None, "min_dcf": none, "act_dcf": none, "cllr": None, "min_cllr": None}
    return counts | {
        "eer": eer(*ordered),
        "min_dcf": {preset: min_dcf(*ordered, preset) for preset in config.dcf},
        "act_dcf": {preset: act_dcf(*sides, preset) for preset in config.dcf},
        "cllr": cllr(*sides),
        "min_cllr": min_cllr(*ordered),
    }


def error_shares(llrs: Float64Array, target: BoolArray, threshold: float) -> dict[str, float | None]:
    """Count the errors of decisions.

    Parameters
    ----------
    llrs : np.ndarray, shape (n,), nats
        The score of each trial; NaN where there is none, and no decision.
    target : np.ndarray, shape (n,), bool
        Which trials are target trials.
    threshold : float, nats
        From which score on a trial is accepted.

    Returns
    -------
    dict
        ``p_miss``, the share of the target trials that are rejected, and ``p_fa``, that of the nontarget trials that
        are accepted, fractions of 1; None where no trial of the kind has a score.
    """
    scored = ~np.isnan(llrs)
    rejected, accepted = llrs[scored & target] < threshold, llrs[scored & ~target] >= threshold
    return {
        name: float(np.mean(errors)) if len(errors) else None
        for name, errors in (("p_miss", rejected), ("p_fa", accepted))
    }


def uncertainty(
    llrs: Float64Array,
    target: BoolArray,
    speakers: tuple[IntArray, IntArray],
    config: EvaluationConfig,
    rng: np.random.Generator,
    *,
    ranks: Float64Array | None = None,
) -> dict[str, object] | None:
    """Compute the intervals of the numbers of one trial list.

    Parameters
    ----------
    llrs, target, ranks
        As for `summarise`.
    speakers : two np.ndarrays of int, shape (n,), >= 0
        The speaker of the model and the one in the test, of each trial, by number.
    config : EvaluationConfig
        Which detection costs, how many draws, and how sure.
    rng : numpy.random.Generator
        Draws the speakers; see `speechgmm.evaluation.bootstrap`.

    Returns
    -------
    dict or None
        Low and high of each number, under the names of `summarise`; None where most draws leave out a kind of trial.
        None altogether if none are asked for, or a kind has no scores.
    """
    scored = ~np.isnan(llrs)
    kinds = target & scored, ~target & scored
    if config.bootstrap == 0 or not all(kind.any() for kind in kinds):
        return None

    def of(scores: Float64Array, rng: np.random.Generator) -> dict[str, Interval | None]:
        """Compute the intervals of scores."""
        return intervals(
            *(Side(scores[kind], speakers[0][kind], speakers[1][kind]) for kind in kinds),
            presets=config.dcf,
            n_resamples=config.bootstrap,
            confidence=config.confidence,
            rng=rng,
        )

    ordered = of(llrs if ranks is None else ranks, deepcopy(rng))
    absolute = ordered if ranks is None or np.array_equal(ranks, llrs, equal_nan=True) else of(llrs, rng)
    of_costs = {"min_dcf": ordered, "act_dcf": absolute}
    return {
        "eer": _listed(ordered["eer"]),
        **{
            number: {preset: _listed(flat[f"{number}.{preset}"]) for preset in config.dcf}
            for number, flat in of_costs.items()
        },
        "cllr": _listed(absolute["cllr"]),
        "min_cllr": _listed(ordered["min_cllr"]),
    }


def _listed(interval: Interval | None) -> list[float] | None:
    """Give an interval as JSON has it."""
    return None if interval is None else list(interval)
