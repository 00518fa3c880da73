"""Speech activity from outside: NIST's RTTM and Kaldi's segments, and the frames that they mark."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from speechgmm.arrays import BoolArray
from speechgmm.audio.reading import Channel
from speechgmm.errors import CorpusError
from speechgmm.features.frames.vad import ROUNDING, check_shift
from speechgmm.files import numbered_lines

OTHER_RTTM_TYPES = frozenset(
    {"SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH", "FILLER", "EDIT", "IP", "SU", "CB"}
    | {"A/P", "SPKR-INFO"}
)
"""Types of lines in NIST's format that don't say who spoke when."""


def labels_to_frames(
    segments: Iterable[tuple[float, float]],
    n_frames: int,
    *,
    frame_shift: float = 0.010,
    first_centre: float = 0.005,
) -> BoolArray:
    """Mark the frames whose centre lies in a segment: at or after its start, and before its stop.

    Parameters
    ----------
    segments : iterable of (start, stop), seconds
        In any order; they may overlap, and reach beyond the frames. A stop may be infinite: up to the end.
    n_frames : int >= 0
        Frames to mark, T.
    frame_shift : float > 0, seconds
        The front end's.
    first_centre : float, seconds
        Where the front end's first frame is centred: half a shift where edges are mirrored, half a frame where they
        are snipped, 0 where frames are centred on their shifts.

    Returns
    -------
    np.ndarray, shape (T,), bool
        True in the segments. A centre within a millionth of `frame_shift` of a boundary lies on it.

    Raises
    ------
    ValueError
        If a segment stops before it starts or is not a number, or another argument is out of its range.
    """
    check_shift(frame_shift)
    if not math.isfinite(first_centre) or n_frames < 0:
        raise ValueError(f"first_centre {first_centre}, n_frames {n_frames}: expected seconds, and 0 or more frames")
    speech = np.zeros(n_frames, np.bool_)
    for start, stop in segments:
        if not (math.isfinite(start) and start <= stop):
            raise ValueError(f"segment from {start} to {stop} s: expected a start, and a stop that is not before it")
        # The first frame centred at or after each boundary; clipped before rounding, for a stop may be infinite.
        begin, end = (
            math.ceil(min(max((boundary - first_centre) / frame_shift - ROUNDING, 0), n_frames))
            for boundary in (start, stop)
        )
        speech[begin:end] = True
    return speech


def read_rttm(path: str | Path, *, channel: Channel = None) -> dict[str, tuple[tuple[float, float], ...]]:
    """Read when somebody speaks from a file in NIST's rich transcription time marked format.

    Parameters
    ----------
    path : str or Path
        Lines of type, recording, channel, start, duration and 4 or 5 fields more. Those of type SPEAKER count,
        whoever the speaker; the format's other types, blank lines and comments (``;;``) don't.
    channel : int >= 0, or "mean", optional
        Count one channel's lines only, whose number in the file is one more; or those of all channels. When not given,
        a recording with lines of several channels is refused.

    Returns
    -------
    dict from str to tuple of (start, stop), seconds
        For each recording, its stretches of speech in the order of time; those that overlap or touch are one.

    Raises
    ------
    CorpusError
        If the file cannot be read, a line is malformed, or a recording has several channels of which none was chosen;
        the message names file and line.

    References
    ----------
    NIST (2009), The 2009 (RT-09) rich transcription meeting recognition evaluation plan, appendix A.
    """
    stretches: dict[str, list[tuple[float, float]]] = {}
    channels: dict[str, str] = {}
    for number, line in numbered_lines(Path(path)):
        fields = line.split()
        if line.startswith(";;") or fields[0] in OTHER_RTTM_TYPES:
            continue
        start, duration = _numbers(fields[3:5])
        if fields[0] != "SPEAKER" or len(fields) not in (9, 10) or not (start >= 0 and duration >= 0):
            raise CorpusError(
                f"{path}:{number}: {line!r}; expected SPEAKER, recording, channel, start, duration, "
                "and 4 or 5 fields more, times in seconds"
            )
        recording, side = fields[1:3]
        if channel is None and channels.setdefault(recording, side) != side:
            raise CorpusError(f"{path}:{number}: {recording} has channels {channels[recording]} and {side}; choose one")
        if channel in (None, "mean") or side == str(int(channel) + 1):
            stretches.setdefault(recording, []).append((start, start + duration))
    return {recording: _united(pairs) for recording, pairs in stretches.items()}


def read_segments(path: str | Path) -> dict[str, dict[str, tuple[float, float]]]:
    """Read the ``segments`` file of a Kaldi data directory.

    Parameters
    ----------
    path : str or Path
        Lines of utterance, recording, start and stop; a stop of -1 is the end of the recording.

    Returns
    -------
    dict from str to dict from str to (start, stop), seconds
        For each recording, its utterances by their ids, as they stand: in the order of the file, and perhaps
        overlapping. A stop of -1 is infinity, as `labels_to_frames` takes it.

    Raises
    ------
    CorpusError
        If the file cannot be read, a line is malformed, or an utterance is there twice; the message names file
        and line.
    """
    recordings: dict[str, dict[str, tuple[float, float]]] = {}
    seen: dict[str, int] = {}
    for number, line in numbered_lines(Path(path)):
        fields = line.split()
        start, stop = _numbers(fields[2:4])
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


def _united(pairs: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Order stretches and join those that overlap or touch."""
    united: list[tuple[float, float]] = []
    for start, stop in sorted(pairs):
        if united and start <= united[-1][1]:
            united[-1] = united[-1][0], max(stop, united[-1][1])
        else:
            united.append((start, stop))
    return tuple(united)


def _numbers(fields: list[str]) -> tuple[float, float]:
    """Read two finite numbers; what is none becomes NaN, which no comparison accepts."""
    try:
        first, second = (float(field) for field in fields)
    except ValueError:
        return math.nan, math.nan
    return (first, second) if math.isfinite(first) and math.isfinite(second) else (math.nan, math.nan)
