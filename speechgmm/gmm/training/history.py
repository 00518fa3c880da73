"""The history of EM, iteration by iteration, and whether it has converged."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import TypeAdapter


@dataclass(frozen=True)
class Iteration:
    """One EM iteration, as training.csv and the report show it."""

    number: int  # from 1, counted separately for early iterations and for those over all frames
    early: bool  # whether it is over a sample of the frames only
    n_components: int  # of the updated model
    log_likelihood: float  # nats: mean per frame, under the model that the iteration started from
    held_out: float | None = None  # nats: mean per held-out frame, under the updated model
    n_floored: int = 0  # variances, of C x D, held by the floor
    n_ceiled: int = 0  # and by the ceiling
    n_starving: int = 0  # components with too few frames
    n_revived: int = 0  # of these, components that were reseeded
    n_removed: int = 0  # and components that were removed
    skipped: float = 0.0  # frames: upper bound on the sum of the posteriors left out
    settled: bool = False  # whether training has converged with this iteration
    seconds: float = 0.0  # how long it took


HISTORY = TypeAdapter(list[Iteration])


def best_held_out(history: Sequence[Iteration]) -> float:
    """Return the highest log-likelihood of held-out frames, in nats per frame; -inf without any."""
    return max((iteration.held_out for iteration in history if iteration.held_out is not None), default=-np.inf)


def converged(history: Sequence[Iteration], spread: float, tolerance: float) -> bool:
    """Check whether the last iteration gained less than a share of the log-likelihood; with a tolerance of 0, never.

    Held-out frames decide where there are any, and a loss on them converges too. `spread` is the log of the volume of
    one standard deviation of the features, in nats, which their units add to a log-likelihood. Two iterations are not
    comparable if a component was reseeded or removed in either.
    """
    if len(history) < 2 or tolerance == 0 or any(step.n_revived or step.n_removed for step in history[-2:]):
        return False
    first, second = history[-2:]
    if first.held_out is not None and second.held_out is not None:
        return second.held_out - first.held_out < tolerance * abs(first.held_out + spread)
    return abs(second.log_likelihood - first.log_likelihood) < tolerance * abs(first.log_likelihood + spread)
