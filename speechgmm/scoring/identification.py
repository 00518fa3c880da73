"""Who speaks: the enrolled speakers in order of their probability, and an answer that may be "none of them"."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.special import softmax

from speechgmm.configuration import Configuration
from speechgmm.errors import ModelError


class IdentificationConfig(Configuration):
    """How a speaker is identified.

    Parameters
    ----------
    p_unknown : float, 0 <= p_unknown < 1
        Prior probability that the speaker is not enrolled; what is left is shared equally by those who are. 0 is a
        closed set, in which somebody is always the answer.
    threshold : float, nats, or None
        The best speaker is the answer where the log-likelihood ratio is this or more. Without one, where no other
        answer, "none of them" included, is more probable.
    """

    p_unknown: float = Field(0.5, ge=0, lt=1)
    threshold: float | None = None


class Candidate(NamedTuple):
    """One enrolled speaker: the name, the log-likelihood ratio in nats, and the posterior probability."""

    name: str
    llr: float
    posterior: float


@dataclass(frozen=True)
class Identification:
    """The answer for one test.

    Parameters
    ----------
    answer : str or None
        The best candidate's name, or None for a speaker who is unknown.
    candidates : tuple of Candidate
        All enrolled speakers, the best first; those who are equal in everything in the order of their names.
    p_unknown : float
        Posterior probability that the speaker is none of them.
    """

    answer: str | None
    candidates: tuple[Candidate, ...]
    p_unknown: float


def identify(
    llrs: npt.ArrayLike, names: Sequence[str], config: IdentificationConfig, *, ranks: npt.ArrayLike | None = None
) -> Identification:
    """Rank the enrolled speakers for one test, and say who it is.

    Parameters
    ----------
    llrs : array_like, shape (M,), finite, nats
        Calibrated log-likelihood ratio of each speaker's model for the test. Scores that are not calibrated have the
        same order and, with a threshold of their own scale, the same answer, but their posteriors mean nothing.
    names : sequence of M str
        The speakers, each once, at least one.
    config : IdentificationConfig
        Prior and threshold.
    ranks : array_like, shape (M,), finite, optional
        Scores from before calibration: they rank speakers whose ratios a calibration such as pav has made equal.

    Returns
    -------
    Identification
        With the ratio r_m of speaker m against "none of them", the posteriors are proportional to
        ``(1 - p_unknown) / M e^r_m`` and, for "none of them", to ``p_unknown``. They sum to 1.

    Raises
    ------
    ValueError
        If there is nobody, a name is there twice, there are not as many ratios as names, or a ratio is not finite.

    References
    ----------
    Brümmer, van Leeuwen (2006), Odyssey, "On calibration of language recognition scores": posteriors of several classes
    from log-likelihoods, here with the background as the class of which the log-likelihood is 0.
    """
    ratios = _checked(llrs, names)
    with np.errstate(divide="ignore"):  # the logarithm of no prior
        log_priors = np.log([(1 - config.p_unknown) / len(names), config.p_unknown])
    posteriors = softmax([*(ratios + log_priors[0]), log_priors[1]])
    unknown = float(posteriors[-1])
    candidates = [*map(Candidate, names, ratios.tolist(), posteriors.tolist())]
    second = ratios if ranks is None else _checked(ranks, names)
    order = sorted(range(len(names)), key=lambda number: (-ratios[number], -second[number], names[number]))
    ranked = [candidates[number] for number in order]
    best = ranked[0]
    known = best.posterior >= unknown if config.threshold is None else best.llr >= config.threshold
    return Identification(best.name if known else None, tuple(ranked), unknown)


def _checked(llrs: npt.ArrayLike, names: Sequence[str]) -> np.ndarray:
    """Turn ratios into float64, one for each of the names, or say whose is missing."""
    ratios = np.asarray(llrs, dtype=np.float64)
    if len(names) == 0:
        raise ModelError("there is nobody to identify, expected at least one enrolled speaker")
    if len(set(names)) != len(names):
        twice = next(name for number, name in enumerate(names) if name in names[:number])
        raise ModelError(f"speaker {twice} is there more than once")
    if ratios.shape != (len(names),):
        raise ModelError(f"ratios: shape {ratios.shape}, expected {(len(names),)}, one for each speaker")
    if not np.isfinite(ratios).all():
        first = int(np.argmin(np.isfinite(ratios)))
        raise ModelError(f"ratio of speaker {names[first]}: {ratios[first]}, expected a finite number")
    return ratios
