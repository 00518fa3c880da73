"""Speech activity: which frames hold speech."""

from typing import Literal

import numpy as np
from pydantic import Field

from speechgmm.arrays import BoolArray, Float32Array
from speechgmm.configuration import Configuration

DECIBELS_PER_NEPER_OF_POWER = 10 / np.log(10)


class VadConfig(Configuration):
    """Which frames are kept.

    Parameters
    ----------
    method : "percentile" or "none"
        `percentile`: frames whose energy is above a level taken from the utterance's own distribution;
        `none`: all frames.
    range_db : float > 0, dB
        Frames more than this below the loud ones (95th percentile) are not speech.
    margin_db : float >= 0, dB
        Nor are frames less than this above the quiet ones (5th percentile).
    """

    method: Literal["percentile", "none"] = "percentile"
    range_db: float = Field(40.0, gt=0)
    margin_db: float = Field(3.0, ge=0)


def speech_frames(log_energy: Float32Array, config: VadConfig) -> BoolArray:
    """Mark the frames that hold speech.

    Parameters
    ----------
    log_energy : np.ndarray, shape (T,), nats of power
        Log energy of each frame.
    config : VadConfig
        The rule.

    Returns
    -------
    np.ndarray, shape (T,), bool
        True where there is speech.
    """
    if config.method == "none" or len(log_energy) == 0:
        return np.ones(len(log_energy), np.bool_)
    decibels = log_energy * DECIBELS_PER_NEPER_OF_POWER
    quiet, loud = np.percentile(decibels, [5, 95])
    threshold = max(loud - config.range_db, quiet + config.margin_db)
    speech: BoolArray = decibels > threshold
    return speech
