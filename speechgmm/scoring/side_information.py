"""Numbers beside the scores of a test that a calibration may weigh: how long the test is, and how it sounds."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from speechgmm.arrays import Float64Array
from speechgmm.audio.condition import CLEAN_SNR, Condition

SideKind = Literal["duration", "condition"]

N_COLUMNS: Final[dict[SideKind, int]] = {"duration": 1, "condition": 3}
"""The kinds of side information, in the order of their columns, and how many each has."""


def side_columns(
    kinds: Sequence[SideKind], n_frames: Sequence[int], conditions: Sequence[Condition | None], top: float = np.inf
) -> Float64Array:
    """Return the side information of n tests, shape (n, Q): the columns of each kind asked for.

    It is the natural logarithm of the number of speech frames (>= 1), and the ratio of speech to noise in dB, where the
    band ends in kHz, up to `top` Hz, and the share of holes. A test that was not measured counts as clean up to `top`.
    """
    columns: list[Float64Array] = []
    if "duration" in kinds:
        columns.append(np.log(np.asarray(n_frames, np.float64))[:, np.newaxis])
    if "condition" in kinds:
        columns.append(np.array([_numbers_of(each, top) for each in conditions], np.float64).reshape(-1, 3))
    return np.hstack(columns) if columns else np.empty((len(n_frames), 0))


def n_columns(kinds: Sequence[SideKind]) -> int:
    """Return the number of columns of side information of some kinds."""
    return sum(N_COLUMNS[kind] for kind in kinds)


def _numbers_of(condition: Condition | None, top: float) -> tuple[float, float, float]:
    """Return what counts of a condition: noise, band and holes."""
    if condition is None:
        return CLEAN_SNR, top / 1000, 0.0
    return min(condition.snr, CLEAN_SNR), min(condition.high, top) / 1000, condition.holes or 0.0
