"""The history of a training of speaker and session factors, iteration by iteration."""

from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

FactorName = Literal["speaker", "session", "residual"]


@dataclass(frozen=True)
class SessionIteration:
    """One EM iteration, as logs and reports show it."""

    factors: FactorName  # trained in this iteration: V, U or d
    number: int  # from 1, counted separately for V, U and d
    gain: float  # nats a frame: what the factors add to the log-likelihood, under the model that it started from
    n_starving: int = 0  # components with too few frames, which keep their loadings
    seconds: float = 0.0  # how long it took


HISTORY = TypeAdapter(list[SessionIteration])
