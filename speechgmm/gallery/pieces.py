"""Enrolment with pieces of a recording: those in which a file of segments says that one speaker speaks."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from speechgmm.errors import GalleryError
from speechgmm.features.frames.labels import merge_overlapping
from speechgmm.gallery.audio import extract_recording
from speechgmm.gallery.gallery import Gallery, record_heard
from speechgmm.gallery.segment_files import read_segments, rttm_name
from speechgmm.gallery.segments import Segment
from speechgmm.gallery.speakers import Recording

Pieces = tuple[tuple[float, float], ...]
"""Pieces of a recording, from start to stop in seconds: in order and apart."""


def record_speaker(gallery: Gallery, path: Path, timeline: Path, label: str) -> Recording:
    """Compute the statistics of the pieces of a recording that a file of segments gives to a speaker alone.

    `label` is the speaker's name in the file. A recording or a speaker who is not in it, or who never speaks alone,
    raises a GalleryError; other errors are those of `read_segments` and of the gallery's `record`.
    """
    return record_pieces(gallery, path, pieces_of(read_segments(timeline), path, label, timeline))


def pieces_of(segments: Mapping[str, Sequence[Segment]], recording: Path, label: str, file: Path) -> Pieces:
    """Choose the pieces of a recording in which one speaker speaks alone, from the segments of a file, by recording."""
    own = next((segments[name] for name in ("", recording.stem, rttm_name(recording.stem)) if name in segments), None)
    if own is None:
        raise GalleryError(f"{file}: of {', '.join(segments) or 'no recording'}; expected {rttm_name(recording.stem)}")
    labels = {segment.speaker for segment in own}
    meant = label if label in labels else rttm_name(label)
    if meant not in labels:
        known = ", ".join(sorted(labels)) or "none"
        raise GalleryError(f"{file}: no speaker {label}; expected --speaker with one of {known}")
    spoken = merge_overlapping((each.start, each.stop) for each in own if each.speaker == meant)
    others = merge_overlapping((each.start, each.stop) for each in own if each.speaker != meant)
    alone = _without(spoken, others)
    if not alone:
        raise GalleryError(f"{file}: {meant} never speaks alone; expected pieces without other speakers")
    return alone


def record_pieces(gallery: Gallery, path: Path, pieces: Pieces) -> Recording:
    """Compute the statistics of pieces of a recording, as the gallery's `record` does of a whole one.

    Lengths are those of the pieces, and the digest is of the recording's and of the pieces, to a millisecond.
    """
    extraction = extract_recording(path, gallery.config, gallery.front_ends, pieces=pieces, enrolled=True)
    whole = record_heard(gallery, path, extraction)
    places = " ".join(f"{start:.3f}-{stop:.3f}" for start, stop in pieces)
    return replace(whole, digest=hashlib.sha256(f"{whole.digest} {places}".encode()).hexdigest())


def _without(pieces: Pieces, others: Pieces) -> Pieces:
    """Remove from pieces what is in others as well; all are in order and apart."""
    left = []
    for start, stop in pieces:
        for other_start, other_stop in others:
            if other_stop <= start or other_start >= stop:
                continue
            if start < other_start:
                left.append((start, other_start))
            start = max(start, other_stop)
        if start < stop:
            left.append((start, stop))
    return tuple(left)
