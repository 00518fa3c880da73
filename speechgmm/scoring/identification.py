"""Speaker identification: the enrolled speakers ranked by probability, and an answer that may be "unknown"."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.special import softmax

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.configuration import Configuration
from speechgmm.errors import ModelError

TIE = 1e-6
"""Speakers are equal whose scores differ by at most this, or by this share of them: rounding makes smaller differences.

Two names with the same recordings are the usual reason.
"""


class IdentificationConfig(Configuration):
    """How a speaker is identified.

    Parameters
    ----------
    p_unknown : float, 0 <= p_unknown < 1
        Prior probability that the speaker is not enrolled; the enrolled speakers share the rest equally. 0 is a closed
        set, where the answer is always an enrolled speaker unless several are equal.
    threshold : float, nats, or None
        The best speaker is the answer if its log-likelihood ratio is at least this. None: if no other answer, including
        "unknown", has a higher posterior.

    Examples
    --------
    >>> from speechgmm import IdentificationConfig
    >>> IdentificationConfig(p_unknown=0.1)
    IdentificationConfig(p_unknown=0.1, threshold=None)
    """

    p_unknown: float = Field(0.5, ge=0, lt=1)
    threshold: float | None = None


class Candidate(NamedTuple):
    """One enrolled speaker with log-likelihood ratio and posterior probability."""

    name: str
    llr: float  # nats
    posterior: float


@dataclass(frozen=True)
class Identification:
    """The answer for one test, with every enrolled speaker ranked."""

    answer: str | None  # the best candidate's name; None for an unknown speaker, or if several are best
    candidates: tuple[Candidate, ...]  # all enrolled speakers, best first; complete ties are in the order of names
    p_unknown: float  # posterior probability that the speaker is not enrolled
    tied: tuple[str, ...] = ()  # in order, the names that would be the answer if they were not equal


def identify(
    llrs: npt.ArrayLike, names: Sequence[str], config: IdentificationConfig, *, ranks: npt.ArrayLike | None = None
) -> Identification:
    """Identify the speaker of one test among the enrolled speakers.

    Parameters
    ----------
    llrs : array_like, shape (M,), finite, nats
        Calibrated log-likelihood ratio of each speaker's model for the test. Uncalibrated scores give the same order
        and, with a threshold on their own scale, the same answer, but meaningless posteriors.
    names : sequence of M str
        The speakers, each once, at least one.
    config : IdentificationConfig
        Prior and threshold.
    ranks : array_like, shape (M,), finite, optional
        Uncalibrated scores, which rank the speakers whose ratios a calibration such as PAV has made equal.

    Returns
    -------
    Identification
        Answer, ranked candidates and the posterior of "unknown". With the ratio r_m of speaker m against "unknown", the
        posteriors are proportional to ``(1 - p_unknown) / M e^r_m`` and, for "unknown", to ``p_unknown``. They sum to
        1. If several speakers are best, because they differ by no more than rounding, `tied` names them and there is
        no answer, not even in a closed set.

    Raises
    ------
    ValueError
        If there are no names, a name is repeated, numbers of ratios and names differ, or a ratio is not finite.

    References
    ----------
    Brümmer, van Leeuwen (2006), Odyssey, "On calibration of language recognition scores": posteriors of several classes
    from log-likelihoods, here with the background as the class of which the log-likelihood is 0.

    Examples
    --------
    >>> from speechgmm import IdentificationConfig, identify
    >>> found = identify([4.0, -2.0, 1.0], ["ann", "bob", "eve"], IdentificationConfig(p_unknown=0.5))
    >>> found.answer
    'ann'
    >>> [(candidate.name, round(candidate.posterior, 3)) for candidate in found.candidates]
    [('ann', 0.903), ('eve', 0.045), ('bob', 0.002)]
    >>> identify([-4.0, -2.0, -3.0], ["ann", "bob", "eve"], IdentificationConfig()).answer is None
    True
    """
    ratios = _finite_ratios(llrs, names)
    with np.errstate(divide="ignore"):  # log(0), where p_unknown is 0
        log_priors = np.log([(1 - config.p_unknown) / len(names), config.p_unknown])
    posteriors = softmax([*(ratios + log_priors[0]), log_priors[1]])
    unknown = float(posteriors[-1])
    candidates = [*map(Candidate, names, ratios.tolist(), posteriors.tolist())]
    second = ratios if ranks is None else _finite_ratios(ranks, names)
    order = sorted(range(len(names)), key=lambda number: (-ratios[number], -second[number], names[number]))
    ranked = [candidates[number] for number in order]
    best, first = ranked[0], order[0]
    equal = _is_near(ratios, ratios[first]) & _is_near(second, second[first])
    known = best.posterior >= unknown if config.threshold is None else best.llr >= config.threshold
    answers = sorted(name for name, is_best in zip(names, equal, strict=True) if known and is_best)
    tied = tuple(answers) if len(answers) > 1 else ()
    return Identification(answers[0] if len(answers) == 1 else None, tuple(ranked), unknown, tied)


def _is_near(scores: Float64Array, score: float) -> BoolArray:
    """Check which scores differ from one by no more than rounding."""
    near: BoolArray = np.abs(scores - score) <= TIE * max(1.0, abs(score))
    return near


def _finite_ratios(llrs: npt.ArrayLike, names: Sequence[str]) -> Float64Array:
    """Convert ratios to float64, one for each name; refuse repeated names and values that are missing or not finite."""
    ratios = np.asarray(llrs, dtype=np.float64)
    if len(names) == 0:
        raise ModelError("no enrolled speakers to identify; expected at least one")
    if len(set(names)) != len(names):
        repeated = next(name for number, name in enumerate(names) if name in names[:number])
        raise ModelError(f"speaker {repeated} is enrolled more than once; expected each name once")
    if ratios.shape != (len(names),):
        raise ModelError(f"ratios: shape {ratios.shape}, expected {(len(names),)}, one for each speaker")
    if not np.isfinite(ratios).all():
        first = int(np.argmin(np.isfinite(ratios)))
        raise ModelError(f"ratio of speaker {names[first]}: {ratios[first]}, expected a finite number")
    return ratios
