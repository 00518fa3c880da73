"""The numbers of one trial list, as `metrics.json` holds them."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from speechgmm.arrays import Float64Array
from speechgmm.configuration import Configuration
from speechgmm.evaluation.metrics import act_dcf, cllr, eer, min_cllr, min_dcf


class EvaluationConfig(Configuration):
    """What is computed from the scores.

    Parameters
    ----------
    dcf : list of "sre08", "sre10", "sre16", "voxceleb"
        Detection costs, by the evaluation whose costs they take.
    """

    dcf: Annotated[tuple[Literal["sre08", "sre10", "sre16", "voxceleb"], ...], Field(strict=False)] = (
        "sre08",
        "voxceleb",
    )


def summarise(scores: Float64Array, target: np.ndarray, config: EvaluationConfig) -> dict[str, object]:
    """Compute the numbers of one trial list.

    Parameters
    ----------
    scores : np.ndarray, shape (n,), nats
        The score of each trial; NaN where there is none.
    target : np.ndarray, shape (n,), bool
        Which trials are target trials.
    config : EvaluationConfig
        Which detection costs.

    Returns
    -------
    dict
        ``n_target`` and ``n_nontarget`` count the trials with a score, ``n_unscored`` those without; ``eer`` is a
        fraction of 1, ``min_dcf`` and ``act_dcf`` normalised, by preset, ``cllr`` and ``min_cllr`` in bits. Where one
        kind of trial has no score, the numbers that need both are None.
    """
    scored = ~np.isnan(scores)
    sides = scores[scored & target], scores[scored & ~target]
    counts: dict[str, object] = {
        "n_target": len(sides[0]),
        "n_nontarget": len(sides[1]),
        "n_unscored": int(np.count_nonzero(~scored)),
    }
    if min(map(len, sides)) == 0:
        none = dict.fromkeys(config.dcf)
        return counts | {"eer": None, "min_dcf": none, "act_dcf": none, "cllr": None, "min_cllr": None}
    return counts | {
        "eer": eer(*sides),
        "min_dcf": {preset: min_dcf(*sides, preset) for preset in config.dcf},
        "act_dcf": {preset: act_dcf(*sides, preset) for preset in config.dcf},
        "cllr": cllr(*sides),
        "min_cllr": min_cllr(*sides),
    }
