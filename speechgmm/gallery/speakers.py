"""An enrolled speaker and the file that holds one: statistics of each recording, and where they are from.

A speaker's model is made from statistics under the background model alone, and statistics add up: recordings can be
added and removed without the others. A digest in the file's header covers all of it, and the same recordings give the
same bytes; see `speechgmm.tensors` for the container.
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechgmm.configuration import Configuration
from speechgmm.errors import GalleryError
from speechgmm.gallery.audio import HeardAudio
from speechgmm.gmm.statistics import SufficientStats
from speechgmm.tensors import Arrays, FileFormat, content_digest, load_arrays, load_header, refuse_damage, save_arrays

SPEAKER_FORMAT = FileFormat(
    "enrolled speaker",
    GalleryError,
    unreadable="damaged, or not an enrolled speaker",
    foreign="damaged, or not an enrolled speaker",
    digest=content_digest,
)
KIND = "enrolled"

COPIES = "copies."
"""How the names of the arrays of augmented copies begin; their rows are those of the recordings, one after another."""

STATISTICS = ("zeroth", "first", "second", "log_likelihood", "n_frames", "skipped")
"""Arrays of a speaker's file under the first background model; those under the others have its number added."""

LONGEST_NAME = 200
"""Bytes of a name in UTF-8; a file name may have 255, and a suffix and a temporary prefix are added."""

UNKNOWN = "unknown"
"""Name of a speaker who is not enrolled, in answers."""

_NOT_IN_NAMES = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, ends of lines and paragraphs


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording of a speaker: statistics of its speech, and where they are from."""

    file: str  # name of the audio file, without folders
    digest: str  # SHA-256 of the audio file, or of the samples of one in an archive; 64 hexadecimal digits
    seconds: float  # length of the audio
    speech_seconds: float  # length of its speech
    statistics: tuple[SufficientStats, ...]  # of its speech frames, under each background model of the gallery
    copies: tuple[tuple[SufficientStats, ...], ...] = ()  # the same of its augmented copies
    bandwidth: float = math.inf  # up to which frequency there is sound, in Hz; infinite if that was not stored
    audio: HeardAudio | None = None  # how its audio was read; not stored, so None for an enrolled recording

    @property
    def content(self) -> tuple[int, str]:
        """What is equal for the same samples in files of any format: the frames, and their log-likelihood."""
        first = self.statistics[0]
        return first.n_frames, f"{first.log_likelihood:.9g}"


@dataclass(frozen=True, eq=False)
class EnrolledSpeaker:
    """A speaker, and the recordings that the speaker's model is made of."""

    name: str  # as `safe_name` returns it
    recordings: tuple[Recording, ...]  # at least one, in the order in which they were enrolled

    @property
    def speech_seconds(self) -> float:
        """Seconds of speech in all recordings."""
        return sum(recording.speech_seconds for recording in self.recordings)


def safe_name(name: str) -> str:
    """Return a speaker's name in Unicode's composed form (NFC), in which the same letters are the same characters.

    A name that could not name a file on every system raises a GalleryError: an empty one, one of more than
    `LONGEST_NAME` bytes, with a dot at its start, slashes, control characters or white space around it, or bytes that
    are no text; so does `UNKNOWN`.
    """
    composed = unicodedata.normalize("NFC", name)
    reason = None
    if not composed:
        reason = "empty"
    elif bad := next((char for char in composed if char in "/\\" or unicodedata.category(char) in _NOT_IN_NAMES), None):
        reason = f"{bad!r} in it; expected neither slashes nor control characters"
    elif composed.startswith("."):
        reason = "begins with a dot"
    elif composed != composed.strip():
        reason = "white space at an end of it"
    elif composed.casefold() == UNKNOWN:
        reason = "that is what a speaker who is not enrolled is called"
    elif (size := len(composed.encode())) > LONGEST_NAME:
        reason = f"{size} bytes; expected {LONGEST_NAME} at most"
    if reason:
        raise GalleryError(f"speaker name {name if name.isprintable() else ascii(name)!r}: {reason}")
    return composed


def save_speaker(path: Path, speaker: EnrolledSpeaker, background: str) -> None:
    """Write a speaker's file in one step, so that a crash leaves the old file or the new one.

    `background` is the digest of the front ends and the background models that the statistics depend on.
    """
    arrays = _arrays([recording.statistics for recording in speaker.recordings])
    if copies := [copy for recording in speaker.recordings for copy in recording.copies]:
        arrays |= {
            f"{COPIES}{name}": array if name.startswith("n_frames") else array.astype(np.float32)
            for name, array in _arrays(copies).items()
        }
    header = {
        "background": background,
        "name": speaker.name,
        "recordings": [_provenance(recording) for recording in speaker.recordings],
    }
    save_arrays(path, SPEAKER_FORMAT, header, arrays, kind=KIND, durably=True)


def _arrays(rows: Sequence[Sequence[SufficientStats]]) -> dict[str, npt.NDArray[Any]]:
    """Stack statistics: rows are recordings, each with its statistics under every background model."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for number, statistics in enumerate(zip(*rows, strict=True)):
        names = _array_names(number)
        arrays |= {
            names["zeroth"]: np.stack([stats.zeroth for stats in statistics]),
            names["first"]: np.stack([stats.first for stats in statistics]),
            names["second"]: np.stack([stats.second for stats in statistics]),
            names["log_likelihood"]: np.array([stats.log_likelihood for stats in statistics]),
            names["n_frames"]: np.array([stats.n_frames for stats in statistics], np.int64),
            names["skipped"]: np.array([stats.skipped for stats in statistics]),
        }
    return arrays


def load_speaker(path: Path, background: str) -> EnrolledSpeaker:
    """Read a speaker that `save_speaker` wrote, bit for bit; `background` is the digest in use.

    A missing file raises FileNotFoundError. One that may not be read, is damaged, of another kind, name or background,
    or in a newer format, raises a GalleryError.
    """
    header, arrays = load_arrays(path, SPEAKER_FORMAT, kind=KIND)
    with refuse_damage(GalleryError, f"{path}: damaged header"):
        enrolled_with, name = header["background"], header["name"]
        speaker = EnrolledSpeaker(name, _recordings(header["recordings"], arrays))
    if enrolled_with != background:
        raise GalleryError(f"{path}: enrolled with another front end or background model than this gallery's")
    if unicodedata.normalize("NFC", path.stem) != speaker.name:
        raise GalleryError(f"{path}: holds the speaker {speaker.name!r}; files are not to be renamed")
    return speaker


def load_provenance(path: Path) -> tuple["Provenance", ...]:
    """Read where a speaker's recordings are from, without their statistics; errors are those of `load_speaker`."""
    with refuse_damage(GalleryError, f"{path}: damaged header"):
        return tuple(Provenance(**entry) for entry in load_header(path, SPEAKER_FORMAT)["recordings"])


class Provenance(Configuration):
    """The header's entry of a recording, as in `Recording`."""

    file: str
    digest: str
    seconds: float
    speech_seconds: float
    bandwidth: float = math.inf
    n_copies: int = 0


def _provenance(recording: Recording) -> dict[str, Any]:
    """Return the header's entry of a recording; JSON has no infinity, so an unknown bandwidth is left out."""
    entry = {key: getattr(recording, key) for key in Provenance.model_fields if key != "n_copies"}
    if recording.copies:
        entry["n_copies"] = len(recording.copies)
    return {key: value for key, value in entry.items() if value != math.inf}


def _recordings(provenance: Sequence[Mapping[str, Any]], arrays: Arrays) -> tuple[Recording, ...]:
    """Join the header's recordings with their rows of statistics, and with those of their copies."""
    entries = [Provenance(**entry) for entry in provenance]
    own = _rows({name: array for name, array in arrays.items() if not name.startswith(COPIES)}, np.float64)
    of_copies = {name.removeprefix(COPIES): array for name, array in arrays.items() if name.startswith(COPIES)}
    copies = _rows(of_copies, np.float32) if of_copies else []
    if not entries or len(own) != len(entries) or len(copies) != sum(entry.n_copies for entry in entries):
        raise ValueError(f"{len(entries)} recordings; expected one or more, and statistics of each")
    recordings, start = [], 0
    for entry, statistics in zip(entries, own, strict=True):
        stop = start + entry.n_copies
        values = entry.model_dump(exclude={"n_copies"})
        recordings.append(Recording(**values, statistics=statistics, copies=tuple(copies[start:stop])))
        start = stop
    return tuple(recordings)


def _rows(arrays: Arrays, kind: type[np.floating]) -> list[tuple[SufficientStats, ...]]:
    """Return the rows of statistics under every background model; refuse arrays of other types or lengths."""
    for key, array in arrays.items():
        if array.dtype != (np.int64 if key.startswith("n_frames") else kind):
            raise TypeError(f"{key} of type {array.dtype}")
    n_backgrounds, rest = divmod(len(arrays), len(STATISTICS))
    if rest or not n_backgrounds:
        raise ValueError(f"{len(arrays)} arrays; expected {len(STATISTICS)} for each background model")
    (n_rows,) = {len(array) for array in arrays.values()}
    names = [_array_names(number) for number in range(n_backgrounds)]
    return [tuple(_statistics(arrays, each, row) for each in names) for row in range(n_rows)]


def _array_names(number: int) -> dict[str, str]:
    """Return the names of the arrays of the statistics under the background model of this number."""
    return {key: f"{key}.{number}" if number else key for key in STATISTICS}


def _statistics(arrays: Arrays, names: Mapping[str, str], row: int) -> SufficientStats:
    """Return the statistics of one recording under one background model."""
    return SufficientStats(
        arrays[names["zeroth"]][row],
        arrays[names["first"]][row],
        arrays[names["second"]][row],
        float(arrays[names["log_likelihood"]][row]),
        int(arrays[names["n_frames"]][row]),
        float(arrays[names["skipped"]][row]),
    )
