"""The numbers of one trial list, as `metrics.json` holds them."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import Field

from speechgmm.arrays import BoolArray, Float64Array, IntArray
from speechgmm.configuration import Configuration
from speechgmm.evaluation.bootstrap import (
    ABSOLUTE,
    Answers,
    Interval,
    TrialGroup,
    identification_intervals,
    intervals,
)
from speechgmm.evaluation.identification import cmc, detection_identification_rate, identification_rate, true_ranks
from speechgmm.evaluation.metrics import act_dcf, cllr
from speechgmm.evaluation.operating_points import error_rates, ordered_numbers

MOST_RANKS: Final = 20
"""Ranks that a cumulative match characteristic is told of."""

OPEN_SET_FALSE_ALARMS: Final = (0.01, 0.1)
"""Shares of the tests of unknown speakers that may be answered by a model, where speakers are identified."""


class EvaluationConfig(Configuration):
    """What is computed from the scores.

    Parameters
    ----------
    dcf : list of "sre08", "sre10", "sre16", "voxceleb"
        Detection costs, by the evaluation whose costs they take.
    false_alarm_rates : list of float, 0 < rate < 1
        Shares of nontarget trials that may be accepted, at which the misses are told.
    bootstrap : int, 0 <= bootstrap <= 100,000
        Times that the speakers are drawn for the intervals of the numbers; 0 for no intervals.
    confidence : float, 0 < confidence < 1
        Share of experiments with other speakers in which an interval should hold the true number.
    """

    dcf: Annotated[tuple[Literal["sre08", "sre10", "sre16", "voxceleb"], ...], Field(strict=False)] = (
        "sre08",
        "voxceleb",
    )
    false_alarm_rates: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(strict=False)] = (0.01, 0.001)
    bootstrap: int = Field(1000, ge=0, le=100_000)
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
        ``n_target`` and ``n_nontarget`` count the trials with a score, ``n_unscored`` those without,
        ``n_certain_errors`` those that are certain and wrong: targets that score -inf, nontargets that score +inf.
        ``eer``, ``eer_hull`` and ``auc`` are fractions of 1, and so is ``p_miss_at_fa``, by false-alarm rate;
        ``min_dcf`` and ``act_dcf`` normalised, by preset, ``cllr`` and ``min_cllr`` in bits. Where one kind of trial
        has no score, the numbers that need both are None; ``cllr`` is None as well where it is infinite, which
        certain errors make it.
    """
    scored = ~np.isnan(llrs)
    sides = llrs[scored & target], llrs[scored & ~target]
    counts: dict[str, object] = {
        "n_target": len(sides[0]),
        "n_nontarget": len(sides[1]),
        "n_unscored": int(np.count_nonzero(~scored)),
        "n_certain_errors": int(np.count_nonzero(sides[0] == -np.inf) + np.count_nonzero(sides[1] == np.inf)),
    }
    if min(map(len, sides)) == 0:
        return counts | _nested({}, config)
    ordered = sides if ranks is None else (ranks[scored & target], ranks[scored & ~target])
    numbers: dict[str, float | None] = {**ordered_numbers(error_rates(*ordered), config.dcf, config.false_alarm_rates)}
    numbers |= {f"act_dcf.{preset}": act_dcf(*sides, preset) for preset in config.dcf}
    with np.errstate(over="ignore"):  # of scores of 1e308
        cost = cllr(*sides)
    numbers["cllr"] = cost if np.isfinite(cost) else None
    return counts | _nested(numbers, config)


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
        Low and high of each number, under the names of `summarise`; None where most draws leave out a kind of trial, or
        where one of them is infinite. None altogether if none are asked for, or a kind has no scores.
    """
    scored = ~np.isnan(llrs)
    kinds = target & scored, ~target & scored
    if config.bootstrap == 0 or not all(kind.any() for kind in kinds):
        return None

    def of(scores: Float64Array, rng: np.random.Generator) -> dict[str, Interval | None]:
        """Compute the intervals of scores."""
        return intervals(
            *(TrialGroup(scores[kind], speakers[0][kind], speakers[1][kind]) for kind in kinds),
            presets=config.dcf,
            false_alarm_rates=config.false_alarm_rates,
            n_resamples=config.bootstrap,
            confidence=config.confidence,
            rng=rng,
        )

    ordered = of(llrs if ranks is None else ranks, deepcopy(rng))
    absolute = ordered if ranks is None or np.array_equal(ranks, llrs, equal_nan=True) else of(llrs, rng)
    return _nested(ordered | {name: absolute[name] for name in absolute if name.startswith(ABSOLUTE)}, config)


def summarise_identification(
    known: tuple[Float64Array, IntArray, IntArray],
    unknown: tuple[Float64Array, IntArray],
    config: EvaluationConfig,
    rng: np.random.Generator,
) -> dict[str, object]:
    """Compute the numbers of identification, and their intervals.

    Parameters
    ----------
    known : np.ndarrays, shapes (M, U), (U,) and (U,)
        Scores of M models for U >= 1 tests of their speakers, the index of the right model of each test, and the
        speaker in it, by number.
    unknown : np.ndarrays, shapes (M, V) and (V,)
        Scores for V >= 0 tests of speakers without a model, and the speaker in each.
    config : EvaluationConfig
        How many draws, and how sure.
    rng : numpy.random.Generator
        Draws the speakers of the tests.

    Returns
    -------
    dict
        ``rate``, the identification rate; ``cmc``, the shares of tests whose model is among the best k, from 1 to
        `MOST_RANKS` or all models; ``open_set`` with ``n_known`` and ``n_unknown`` tests and ``dir_at_fa``, by
        false-alarm rate, or None if no speaker is unknown; ``intervals`` of ``rate`` and ``dir_at_fa``, or None if none
        are asked for. All are fractions of 1.
    """
    matrix, truth, speakers = known
    n_unknown = len(unknown[1])
    found: dict[str, object] = {
        "rate": identification_rate(matrix, truth),
        "cmc": cmc(matrix, truth)[:MOST_RANKS].tolist(),
        "open_set": None,
        "intervals": None,
    }
    if n_unknown:
        rates = {
            str(rate): detection_identification_rate(matrix, truth, unknown[0], rate) for rate in OPEN_SET_FALSE_ALARMS
        }
        found["open_set"] = {"n_known": len(truth), "n_unknown": n_unknown, "dir_at_fa": rates}
    if config.bootstrap:
        flat = identification_intervals(
            Answers(true_ranks(matrix, truth) == 1, matrix.max(axis=0), speakers),
            Answers(np.zeros(n_unknown, np.bool_), unknown[0].max(axis=0), unknown[1]) if n_unknown else None,
            false_alarm_rates=OPEN_SET_FALSE_ALARMS,
            n_resamples=config.bootstrap,
            confidence=config.confidence,
            rng=rng,
        )
        of_rates = {str(rate): flat.get(f"dir_at_fa.{rate}") for rate in OPEN_SET_FALSE_ALARMS}
        found["intervals"] = {"rate": flat["rate"], "dir_at_fa": of_rates}
    return found


def _nested(flat: Mapping[str, object], config: EvaluationConfig) -> dict[str, object]:
    """Lay out numbers, or intervals of them, as JSON has them; None for those that there are not."""

    def of(name: str, keys: Sequence[object]) -> dict[str, object]:
        """Give the numbers of one name by what they are for."""
        return {str(key): flat.get(f"{name}.{key}") for key in keys}

    return {
        **{name: flat.get(name) for name in ("eer", "eer_hull", "auc")},
        "p_miss_at_fa": of("p_miss_at_fa", config.false_alarm_rates),
        "min_dcf": of("min_dcf", config.dcf),
        "act_dcf": of("act_dcf", config.dcf),
        **{name: flat.get(name) for name in ("cllr", "min_cllr")},
    }
