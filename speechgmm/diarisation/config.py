"""Settings of diarisation."""

from typing import Self

from pydantic import Field, model_validator

from speechgmm.configuration import Configuration


class DiarisationConfig(Configuration):
    """How the speakers of a recording are found. The defaults were chosen on made meetings of 2 to 5 speakers.

    Parameters
    ----------
    window : float > 0, seconds
        Length of the overlapping windows that are compared with each other.
    hop : float > 0, seconds, at most `window`
        Distance from one window to the next: how finely the ends of turns are placed.
    merge_above : float, nats
        Clusters of windows are joined as long as the mean log-likelihood ratio between two of them is above this. It
        should leave too many clusters rather than too few: those that are not needed disappear afterwards.
    window_weight : float, 0 < window_weight <= 1
        Share of its log-likelihood that a window counts with, as overlapping windows hold the same frames.
    speaker_cost : float > 0
        How much evidence a speaker needs: a larger number finds fewer speakers.
    turn : float, seconds, above `hop`
        Mean length of a turn.
    pause : float >= 0, seconds
        Longest pause within a segment.

    References
    ----------
    Landini, Profant, Diez, Burget (2022), Computer Speech & Language 71, 101254: `window_weight` is F_A, and
    `speaker_cost` F_B.

    Examples
    --------
    >>> from speechgmm import DiarisationConfig
    >>> DiarisationConfig(turn=3.0).hop
    0.25
    """

    window: float = Field(1.5, gt=0)
    hop: float = Field(0.25, gt=0)
    merge_above: float = 2.0
    window_weight: float = Field(0.1, gt=0, le=1)
    speaker_cost: float = Field(4.0, gt=0)
    turn: float = Field(8.0, gt=0)
    pause: float = Field(0.5, ge=0)

    @model_validator(mode="after")
    def _lengths_fit(self) -> Self:
        """Refuse a hop that leaves gaps, or that a turn is shorter than."""
        if self.hop > self.window:
            raise ValueError(f"hop {self.hop:g} s is longer than window {self.window:g} s; expected at most that")
        if self.turn <= self.hop:
            raise ValueError(f"turn {self.turn:g} s is not longer than hop {self.hop:g} s; expected more")
        return self
