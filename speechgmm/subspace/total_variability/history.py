"""The history of the training of a total-variability model, iteration by iteration."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter


@dataclass(frozen=True)
class FactorIteration:
    """One EM iteration."""

    number: int  # from 1
    objective: float  # nats: mean log-likelihood a frame, under the model that the iteration started from
    n_floored: int  # variances, of C x D, held by the floor
    n_kept: int  # components with too few frames, whose loadings and variances are kept
    n_regularised: int  # components whose equations are singular in double precision, and are solved with a small ridge
    standardised: bool  # whether minimum divergence made the factors standard normal, if it was asked to
    explained: float  # 0 to 1: share of the variance that the factors explain, in the updated model
    seconds: float  # how long it took


HISTORY = TypeAdapter(list[FactorIteration])


def history_warnings(history: Sequence[FactorIteration]) -> list[str]:
    """Say what in a history should not be there."""
    warnings = []
    regularised = [step for step in history if step.n_regularised]
    if regularised:
        warnings.append(
            f"up to {max(step.n_regularised for step in regularised)} components had singular equations in "
            f"{len(regularised)} of {len(history)} iterations, and a ridge was added: the recordings do not determine "
            "that many factors; use a lower rank or more recordings"
        )
    failed = sum(not step.standardised for step in history)
    if failed:
        warnings.append(
            f"in {failed} of {len(history)} iterations the covariance of the factors was not positive definite, and "
            "minimum divergence was left out: use a lower rank or more recordings"
        )
    return warnings
