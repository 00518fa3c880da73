"""Files of segments: NIST's RTTM, CSV, Audacity's labels and JSON."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from speechgmm.errors import GalleryError
from speechgmm.features.frames.label_formats import read_rttm as read_labels_of_rttm
from speechgmm.files import numbered_lines, read_number, write_bytes
from speechgmm.gallery.segments import Segment

CSV_COLUMNS: Final = ("start", "end", "speaker", "score", "posterior")
"""Columns of a table of segments."""


def write_segments(path: Path, segments: Sequence[Segment], recording: Path, facts: Mapping[str, Any]) -> None:
    """Write segments to a file in the format of its suffix, one of `SUFFIXES`; `facts` are for JSON alone."""
    check_segment_file(path)
    write_bytes(path, FORMATTERS[path.suffix.lower()](segments, recording, facts).encode())


def check_segment_file(path: Path) -> None:
    """Refuse a file whose suffix is not in `SUFFIXES`."""
    if path.suffix.lower() not in FORMATTERS:
        raise GalleryError(f"{path}: suffix {path.suffix!r}; segments are written to {', '.join(SUFFIXES)}")


def rttm_name(name: str) -> str:
    """Write a name as one field of RTTM: white space, which separates fields, becomes an underscore."""
    return re.sub(r"\s", "_", name)


def rttm_names(names: Iterable[str]) -> dict[str, str]:
    """Return what RTTM calls speakers; two who would have one name there raise a GalleryError."""
    written: dict[str, str] = {}
    for name in dict.fromkeys(names):
        field = rttm_name(name)
        if other := next((known for known, same in written.items() if same == field), None):
            raise GalleryError(f"{other} and {name} are both {field} in RTTM, whose names have no spaces; use .csv")
        written[name] = field
    return written


def format_rttm(segments: Sequence[Segment], recording: Path, _: Mapping[str, Any]) -> str:
    """Format segments as RTTM: a line SPEAKER of 10 fields each, the posterior as the confidence.

    The recording's id is the file's name without its suffix, written as `rttm_name` writes it.

    References
    ----------
    NIST (2009), The 2009 (RT-09) rich transcription meeting recognition evaluation plan, appendix A.
    """
    names = rttm_names(segment.speaker for segment in segments)
    lines = []
    for segment in segments:
        start, stop = round(segment.start, 3), round(segment.stop, 3)
        confidence = "<NA>" if segment.posterior is None else f"{segment.posterior:.3f}"
        name = names[segment.speaker]
        times = f"{start:.3f} {stop - start:.3f}"
        lines.append(f"SPEAKER {rttm_name(recording.stem)} 1 {times} <NA> <NA> {name} {confidence} <NA>\n")
    return "".join(lines)


def format_csv(segments: Sequence[Segment], _: Path, __: Mapping[str, Any]) -> str:
    """Format segments as a table of `CSV_COLUMNS`; numbers that are not known are empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for start, stop, speaker, *numbers in segments:
        known = ["" if number is None else f"{number:.4f}" for number in numbers]
        writer.writerow([f"{start:.3f}", f"{stop:.3f}", speaker, *known])
    return text.getvalue()


def format_audacity(segments: Sequence[Segment], _: Path, __: Mapping[str, Any]) -> str:
    """Format segments as a label track of Audacity: start, end and speaker between tabs."""
    return "".join(f"{segment.start:.6f}\t{segment.stop:.6f}\t{segment.speaker}\n" for segment in segments)


def format_json(segments: Sequence[Segment], recording: Path, facts: Mapping[str, Any]) -> str:
    """Format segments as one JSON document, after the recording's file and the facts."""
    data = {"recording": str(recording), **facts, "segments": [segment_data(segment) for segment in segments]}
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def segment_data(segment: Segment) -> dict[str, Any]:
    """Convert a segment to plain data."""
    start, stop, speaker, score, posterior = segment
    return {
        "start": round(start, 3),
        "end": round(stop, 3),
        "speaker": speaker,
        "score": score,
        "posterior": posterior,
    }


FORMATTERS: Final[Mapping[str, Callable[[Sequence[Segment], Path, Mapping[str, Any]], str]]] = {
    ".rttm": format_rttm,
    ".csv": format_csv,
    ".txt": format_audacity,
    ".json": format_json,
}

SUFFIXES: Final = tuple(FORMATTERS)
"""Suffixes of the files that segments are written to: RTTM, a table, Audacity's labels, JSON."""


def read_segments(path: Path) -> dict[str, tuple[Segment, ...]]:
    """Read the segments of a file of RTTM or, with the suffix .csv, a table of segments, by recording.

    A table does not name its recording, which is "" there. A file that is not readable, or a malformed line, raises a
    ValueError with file and line.
    """
    return {"": read_csv(path)} if path.suffix.lower() == ".csv" else read_rttm(path)


def read_rttm(path: Path) -> dict[str, tuple[Segment, ...]]:
    """Read the segments of RTTM by recording, in the order of the file; errors are those of `read_segments`."""
    segments: dict[str, list[Segment]] = {}
    for label in read_labels_of_rttm(path):
        if label.start < label.stop:
            segments.setdefault(label.recording, []).append(Segment(label.start, label.stop, label.text))
    return {recording: tuple(each) for recording, each in segments.items()}


def read_csv(path: Path) -> tuple[Segment, ...]:
    """Read the segments of a table with the columns start, end and speaker; errors are those of `read_segments`."""
    rows = csv.reader(line for _, line in numbered_lines(path))
    numbers = [number for number, _ in numbered_lines(path)]
    head = next(rows, [])
    if not {"start", "end", "speaker"} <= set(head):
        raise GalleryError(f"{path}: columns {', '.join(head) or 'missing'}; expected start, end and speaker")
    segments = []
    for number, row in zip(numbers[1:], rows, strict=False):
        fields = dict(zip(head, row, strict=False))
        start, stop = (read_number(fields.get(key, "")) for key in ("start", "end"))
        if len(row) != len(head) or not 0 <= start < stop < float("inf") or not fields["speaker"]:
            raise GalleryError(
                f"{path}:{number}: {','.join(row)!r}; expected start, a later end, in seconds, and speaker"
            )
        score, posterior = (_optional(fields.get(key, "")) for key in ("score", "posterior"))
        segments.append(Segment(start, stop, fields["speaker"], score, posterior))
    return tuple(segments)


def _optional(text: str) -> float | None:
    """Read a number that may be missing."""
    return read_number(text) if text else None
