"""Speech activity from label files, NIST's RTTM and Kaldi's segments, and the frames that they mark."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from speechgmm.arrays import BoolArray
from speechgmm.audio.reading import Channel
from speechgmm.errors import CorpusError
from speechgmm.features.frames.vad import FRAME_ROUNDING, check_shift
from speechgmm.files import numbered_lines

OTHER_RTTM_TYPES = frozenset(
    {"SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH", "FILLER", "EDIT", "IP", "SU", "CB"}
    | {"A/P", "SPKR-INFO"}
)
"""Types of lines in NIST's format that hold no speech activity."""


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


def read_rttm(path: str | Path, *, channel: Channel = None) -> dict[str, tuple[tuple[float, float], ...]]:
    """Read the stretches of speech of each recording, whoever speaks, from a file in NIST's RTTM format.

    Lines hold type, recording, channel, start, duration and 4 or 5 more fields; only type SPEAKER counts, and the
    other types of the format, blank lines and comments (``;;``) are skipped. `channel` selects the lines of one
    channel, whose number in the file is one more, or of all ("mean"). The stretches are (start, stop) in seconds,
    sorted; those that overlap or touch are merged.

    Raises CorpusError, with file and line, for an unreadable file, a malformed line, or a recording with lines of
    several channels where none was chosen.

    NIST (2009), The 2009 (RT-09) rich transcription meeting recognition evaluation plan, appendix A.
    """
    stretches: dict[str, list[tuple[float, float]]] = {}
    channels: dict[str, str] = {}
    for number, line in numbered_lines(Path(path)):
        fields = line.split()
        if line.startswith(";;") or fields[0] in OTHER_RTTM_TYPES:
            continue
        start, duration = _two_numbers(fields[3:5])
        if fields[0] != "SPEAKER" or len(fields) not in (9, 10) or not (start >= 0 and duration >= 0):
            raise CorpusError(
                f"{path}:{number}: {line!r}; expected SPEAKER, recording, channel, start, duration, "
                "and 4 or 5 fields more, times in seconds"
            )
        recording, channel_name = fields[1:3]
        if channel is None and channels.setdefault(recording, channel_name) != channel_name:
            raise CorpusError(
                f"{path}:{number}: {recording} has channels {channels[recording]} and {channel_name}; choose one"
            )
        if channel in (None, "mean") or channel_name == str(int(channel) + 1):
            stretches.setdefault(recording, []).append((start, start + duration))
    return {recording: _merge_overlapping(pairs) for recording, pairs in stretches.items()}


def read_segments(path: str | Path) -> dict[str, dict[str, tuple[float, float]]]:
    """Read the ``segments`` file of a Kaldi data directory: (start, stop) in seconds, by recording and utterance.

    They keep the order of the file and may overlap. A stop of -1, the end of the recording, becomes infinity, as
    `labels_to_frames` accepts it. Raises CorpusError, with file and line, for an unreadable file, a malformed line, or
    a repeated utterance.
    """
    recordings: dict[str, dict[str, tuple[float, float]]] = {}
    seen: dict[str, int] = {}
    for number, line in numbered_lines(Path(path)):
        fields = line.split()
        start, stop = _two_numbers(fields[2:4])
        stop = math.inf if stop == -1 else stop
        if len(fields) != 4 or not 0 <= start < stop:
            raise CorpusError(
                f"{path}:{number}: {line!r}; expected utterance, recording, start and a later stop (or -1), in seconds"
            )
        utterance, recording = fields[:2]
        if utterance in seen:
            raise CorpusError(f"{path}:{number}: {utterance} stands on line {seen[utterance]} already")
        seen[utterance] = number
        recordings.setdefault(recording, {})[utterance] = start, stop
    return recordings


def _merge_overlapping(pairs: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Sort stretches, and merge those that overlap or touch."""
    merged: list[tuple[float, float]] = []
    for start, stop in sorted(pairs):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        else:
            merged.append((start, stop))
    return tuple(merged)


def _two_numbers(fields: list[str]) -> tuple[float, float]:
    """Parse two finite numbers; anything else gives NaN, which no comparison accepts."""
    try:
        first, second = (float(field) for field in fields)
    except ValueError:
        return math.nan, math.nan
    return (first, second) if math.isfinite(first) and math.isfinite(second) else (math.nan, math.nan)
