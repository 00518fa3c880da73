"""What decisions get wrong: error rates by threshold on trials whose truth is known, and words for them."""

from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from speechgmm.arrays import BoolArray, Float64Array
from speechgmm.configuration import Configuration

Floats = Annotated[tuple[float, ...], Field(strict=False)]
Shares = Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(strict=False)]

ERRORS_KEY = "decision_errors"
"""The key under which a calibration's file has the errors of decisions on the trials that it was trained on."""

THRESHOLDS = tuple(number / 2 for number in range(-20, 21))
"""Thresholds of log-likelihood ratios at which errors are counted, in nats."""


class DecisionErrors(Configuration):
    """Error rates by threshold, as decisions on trials whose truth is known have shown them.

    Parameters
    ----------
    thresholds : tuple of K floats, increasing, nats
        A trial is accepted if its log-likelihood ratio is at least the threshold.
    p_miss, p_fa : tuple of K floats, 0 to 1
        Share of the target trials that are rejected, and of the nontarget trials that are accepted.
    """

    thresholds: Floats = Field(min_length=1)
    p_miss: Shares
    p_fa: Shares

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse rates that are not those of increasing thresholds."""
        if not len(self.thresholds) == len(self.p_miss) == len(self.p_fa):
            raise ValueError(f"{len(self.p_miss)} and {len(self.p_fa)} rates for {len(self.thresholds)} thresholds")
        if (np.diff(self.thresholds) <= 0).any() or (np.diff(self.p_miss) < 0).any() or (np.diff(self.p_fa) > 0).any():
            raise ValueError("expected thresholds that increase, p_miss that never falls and p_fa that never rises")
        return self

    def at(self, threshold: float) -> tuple[float, float] | None:
        """Return P_miss and P_fa at a threshold, linear between those of the table; None beyond its ends."""
        if not self.thresholds[0] <= threshold <= self.thresholds[-1]:
            return None
        p_miss, p_fa = (float(np.interp(threshold, self.thresholds, shares)) for shares in (self.p_miss, self.p_fa))
        return p_miss, p_fa


def count_errors(llrs: Float64Array, target: BoolArray) -> DecisionErrors | None:
    """Count the errors of decisions on n trials, from their log-likelihood ratios (n,) and truth (n,).

    None if a kind of trial is missing.
    """
    if target.all() or not target.any():
        return None
    rejected = llrs < np.array(THRESHOLDS)[:, None]
    p_miss, p_fa = rejected[:, target].mean(axis=1), (~rejected[:, ~target]).mean(axis=1)
    return DecisionErrors(thresholds=THRESHOLDS, p_miss=tuple(p_miss.tolist()), p_fa=tuple(p_fa.tolist()))


def errors_in_words(p_miss: float, p_fa: float) -> str:
    """Say how many of a hundred decisions of each kind are wrong."""
    rejected, accepted = _of_hundred(p_miss, "rejected"), _of_hundred(p_fa, "accepted")
    return f"of 100 recordings of the right speaker {rejected}, of 100 of others {accepted}"


def _of_hundred(share: float, what: str) -> str:
    """Say how many of a hundred a share is, and what they are."""
    if share < 0.01:
        return f"fewer than 1 is {what}"
    if share > 0.99:
        return f"more than 99 are {what}"
    number = round(100 * share)
    return f"about {number} {'is' if number == 1 else 'are'} {what}"
