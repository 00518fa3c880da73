"""What follows after the end of a recording: another one, behind tags of text or not."""

import re
from collections.abc import Sequence

from speechgmm.audio.mpeg import Data, after_tags, starts_frames

RECORDING = re.compile(
    rb"RIFF.{4}WAVE|RIFX.{4}WAVE|RF64.{4}WAVE|BW64.{4}WAVE|riff\x2e\x91\xcf\x11|FORM.{4}(AIF[FC]|8SVX|16SV)"
    rb"|fLaC[\0\x80]\0\0\x22|OggS\0\x02|caff\0\x01\0\0|\.snd\0\0|dns\..{2}\0\0|NIST_1A\n|#!AMR"
    rb"|\0\0.{2}ftyp|\x1aE\xdf\xa3.{1,8}B\x86\x81|0&\xb2u\x8ef\xcf\x11",
    re.DOTALL,
)
"""First bytes of files that hold sound; those of MPEG audio say too little."""

FRAME_START = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][\x10-\xef]")
"""First bytes of a frame of MPEG audio, and of much else."""

MARKS = (b"RIFF", b"RF64", b"riff\x2e\x91", b"FORM", b"fLaC", b"OggS\0\x02", b"caff\0\x01", b"ftyp", b"ID3")
"""Bytes to look for where the end of a recording is not known; what stands there is looked at then."""


def recording_at(data: Data, position: int) -> bool:
    """Check whether a recording begins at a position, or behind the tags of text there."""
    start = after_tags(data, position)
    return RECORDING.match(data, start) is not None or starts_frames(data, start)


def find_recording(data: Data, start: int, marks: Sequence[bytes] = MARKS) -> int | None:
    """Find the first recording that begins from a position on, by its marks; None if there is none."""
    places = []
    for mark in marks:
        place = start
        while (place := data.find(mark, place)) >= 0:
            first = place - 4 * (mark == b"ftyp")
            if recording_at(data, first):
                places.append(first)
                break
            place += 1
    return min(places, default=None)


def find_frames(data: Data, start: int) -> int | None:
    """Find the first frames of MPEG audio from a position on; None if there are none."""
    places = (found.start() for found in FRAME_START.finditer(data, start))
    return next((place for place in places if starts_frames(data, place)), None)


def joined_warning(n_bytes: int) -> str:
    """Describe a recording of `n_bytes` that follows, and is not read."""
    return f"another recording of {n_bytes:,} bytes follows after its end (files joined?); only the first is read"
