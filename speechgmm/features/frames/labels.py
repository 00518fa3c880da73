"""Labelled stretches of speech, and the frames that they mark."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from speechgmm.arrays import BoolArray
from speechgmm.features.frames.vad import FRAME_ROUNDING, check_shift


class Label(NamedTuple):
    """A labelled stretch of a recording."""

    line: int
    recording: str  # "" in a file of one recording, which does not name it
    channel: str  # as the file calls it; "" if it does not
    start: float  # seconds
    stop: float  # seconds; perhaps infinity
    text: str  # what is there; in Kaldi's segments, the utterance's id


def labels_to_frames(
    segments: Iterable[tuple[float, float]],
    n_frames: int,
    *,
    frame_shift: float = 0.010,
    first_centre: float = 0.005,
) -> BoolArray:
    """Mark the frames (n_frames,) whose centre lies in a segment: at or after its start, and before its stop.

    Segments are (start, stop) in seconds, in any order; they may overlap and extend beyond the frames, and a stop may
    be infinite. A centre within a millionth of `frame_shift` of a boundary lies on it. `first_centre` is the centre of
    the first frame: half a shift where edges are mirrored, half a frame where they are snipped, 0 where frames are
    centred on their shifts. Raises ValueError for a segment that stops before it starts or is not a number, or another
    argument out of range.
    """
    check_shift(frame_shift)
    if not math.isfinite(first_centre) or n_frames < 0:
        raise ValueError(f"first_centre {first_centre}, n_frames {n_frames}: expected seconds, and 0 or more frames")
    speech = np.zeros(n_frames, np.bool_)
    for start, stop in segments:
        if not (math.isfinite(start) and start <= stop):
            raise ValueError(f"segment from {start} to {stop} s: expected a start, and a stop that is not before it")
        # The first frame centred at or after each boundary; clipped before rounding, because a stop may be infinite.
        begin, end = (
            math.ceil(min(max((boundary - first_centre) / frame_shift - FRAME_ROUNDING, 0), n_frames))
            for boundary in (start, stop)
        )
        speech[begin:end] = True
    return speech


def merge_overlapping(stretches: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Sort stretches (start, stop), and merge those that overlap or touch."""
    merged: list[tuple[float, float]] = []
    for start, stop in sorted(stretches):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return tuple(merged)
