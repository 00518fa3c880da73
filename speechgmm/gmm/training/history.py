"""What EM did, iteration by iteration, and whether it has converged."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import TypeAdapter


@dataclass(frozen=True)
class Iteration:
    """One EM iteration, as the history shows it.

    Parameters
    ----------
    number : int >= 1
        Which one, among the early ones or among those over all frames.
    early : bool
        Whether it was one over a sample of the frames.
    n_components : int >= 1
        Of the model that it made.
    log_likelihood : float, nats
        Mean log-likelihood per frame under the model that the iteration started from.
    held_out : float or None, nats
        Mean log-likelihood per frame that was held out, under the model that it made.
    n_floored, n_ceiled : int
        Variances, of C x D, that the floor held up, and that the ceiling held down.
    n_starving : int
        Components with too few frames.
    n_revived, n_removed : int
        Those of them that were put elsewhere, and that were removed.
    skipped : float, frames
        Not less than the sum of the posteriors that were left out.
    settled : bool
        Whether it gained less than the tolerance.
    seconds : float
        How long it took.
    """

    number: int
    early: bool
    n_components: int
    log_likelihood: float
    held_out: float | None = None
    n_floored: int = 0
    n_ceiled: int = 0
    n_starving: int = 0
    n_revived: int = 0
    n_removed: int = 0
    skipped: float = 0.0
    settled: bool = False
    seconds: float = 0.0


HISTORY = TypeAdapter(list[Iteration])


def best_held_out(history: Sequence[Iteration]) -> float:
    """Give the highest log-likelihood of held-out frames."""
    return max((each.held_out for each in history if each.held_out is not None), default=-np.inf)


def converged(history: Sequence[Iteration], spread: float, tolerance: float) -> bool:
    """Tell whether the last iteration gained too little; one beside a revival or removal says nothing about that.

    Parameters
    ----------
    history : sequence of Iteration
        Over the same frames.
    spread : float, nats
        Log of the volume of a standard deviation of the features, which their units add to a log-likelihood.
    tolerance : float >= 0
        Share of the log-likelihood; 0 is never.

    Returns
    -------
    bool
        Of the held-out frames, where there are any, also when they lost.
    """
    if len(history) < 2 or tolerance == 0 or any(each.n_revived or each.n_removed for each in history[-2:]):
        return False
    first, second = history[-2:]
    if first.held_out is not None and second.held_out is not None:
        return second.held_out - first.held_out < tolerance * abs(first.held_out + spread)
    return abs(second.log_likelihood - first.log_likelihood) < tolerance * abs(first.log_likelihood + spread)
