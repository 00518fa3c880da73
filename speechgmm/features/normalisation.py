"""Normalisation of an utterance's features against its channel and level."""

from typing import Literal

import numpy as np
from pydantic import Field

from speechgmm.arrays import BoolArray, Float32Array
from speechgmm.configuration import Configuration


class NormalisationConfig(Configuration):
    """What is subtracted from an utterance's features.

    Parameters
    ----------
    mean : float, 0 to 1
        Share of the mean that is subtracted: 1 removes a fixed channel wholly (and some of the speaker with it),
        0 keeps both; 0.5 is safe where it is not known whether the channel changes.
    over : "speech" or "all"
        The frames that the mean is taken over.
    """

    mean: float = Field(0.5, ge=0, le=1)
    over: Literal["speech", "all"] = "speech"


def subtract_mean(frames: Float32Array, speech: BoolArray, config: NormalisationConfig) -> Float32Array:
    """Subtract a share of the utterance's mean.

    Parameters
    ----------
    frames : np.ndarray, shape (T, D), float32
        Features.
    speech : np.ndarray, shape (T,), bool
        The frames with speech, at least one.
    config : NormalisationConfig
        Which share, over which frames.

    Returns
    -------
    np.ndarray, shape (T, D), float32
        ``frames - mean * mean(frames)``.
    """
    if config.mean == 0:
        return frames
    counted = frames[speech] if config.over == "speech" else frames
    shift = config.mean * counted.mean(axis=0, dtype=np.float64)
    normalised: Float32Array = (frames - shift).astype(np.float32)
    return normalised
