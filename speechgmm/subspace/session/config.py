"""Settings of models that separate what a speaker and what a session changes."""

from typing import Literal

from pydantic import Field

from speechgmm.configuration import Configuration


class ISVConfig(Configuration):
    """Inter-session variability: a speaker's means, MAP-adapted, apart from what changes between recordings.

    The means of a recording are m + U x + d z: x is the session's, z the speaker's, and d is fixed by the relevance
    factor.

    Parameters
    ----------
    method : "isv"
        As opposed to ``map`` adaptation, which takes the session for part of the speaker.
    rank : int >= 1
        Number of session factors, the columns of U.
    relevance_factor : float > 0, frames
        Frames of evidence at which a speaker's recordings and the background model weigh the same.
    n_iterations : int >= 1
        Iterations of EM for U.

    Examples
    --------
    >>> from speechgmm import ISVConfig
    >>> ISVConfig(rank=40).relevance_factor
    4.0
    """

    method: Literal["isv"] = "isv"
    rank: int = Field(50, ge=1)
    relevance_factor: float = Field(4.0, gt=0, le=1e12)
    n_iterations: int = Field(10, ge=1)


class JFAConfig(Configuration):
    """Joint factor analysis: factors of the speaker, factors of the session, and what is left of the speaker.

    The means of a recording are m + V y + U x + d z: x is the session's, y and z are the speaker's.

    Parameters
    ----------
    method : "jfa"
        As opposed to ``map`` adaptation, which takes the session for part of the speaker.
    speaker_rank : int >= 1
        Number of speaker factors, the columns of V.
    rank : int >= 1
        Number of session factors, the columns of U.
    relevance_factor : float > 0, frames
        Sets d before it is trained, as for ``isv``.
    n_iterations : int >= 1
        Iterations of EM for each of V, U and d, one after the other.

    Examples
    --------
    >>> from speechgmm import JFAConfig
    >>> JFAConfig(speaker_rank=20).rank
    50
    """

    method: Literal["jfa"] = "jfa"
    speaker_rank: int = Field(50, ge=1)
    rank: int = Field(50, ge=1)
    relevance_factor: float = Field(4.0, gt=0, le=1e12)
    n_iterations: int = Field(10, ge=1)
