"""An enrolled speaker and the file that holds one: statistics of each recording, and where they are from.

Statistics under the background model are all that a speaker's model is made of, and they add up: recordings can be
added and taken out again without the others. The file is a safetensors file, which cannot run code. A digest in its
header covers all of it, and the same recordings give the same bytes.
"""

import hashlib
import json
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save

from speechgmm.configuration import Configuration
from speechgmm.errors import GalleryError
from speechgmm.files import check_readable, write_durably
from speechgmm.gmm.statistics import SufficientStats
from speechgmm.gmm.storage import DAMAGE
from speechgmm.version import __version__

FORMAT_VERSION = 1

LONGEST_NAME = 200
"""Bytes of a name in UTF-8; with what is put around it, a file name may have 255."""

UNKNOWN = "unknown"
"""What a speaker is called who is none of those enrolled."""


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording of a speaker.

    Parameters
    ----------
    file : str
        Name of its file, without folders.
    digest : str
        SHA-256 of the file, 64 hexadecimal digits.
    seconds, speech_seconds : float, seconds
        Length of the audio, and what of it is speech.
    statistics : SufficientStats
        Of its speech frames under the background model.
    """

    file: str
    digest: str
    seconds: float
    speech_seconds: float
    statistics: SufficientStats


@dataclass(frozen=True, eq=False)
class EnrolledSpeaker:
    """A speaker, and the recordings that the speaker's model is made of.

    Parameters
    ----------
    name : str
        As `safe_name` gives it.
    recordings : tuple of Recording, at least one
        In the order in which they were enrolled.
    """

    name: str
    recordings: tuple[Recording, ...]

    @property
    def speech_seconds(self) -> float:
        """Seconds of speech in all recordings."""
        return sum(each.speech_seconds for each in self.recordings)

    @property
    def statistics(self) -> SufficientStats:
        """Statistics of all recordings."""
        total = self.recordings[0].statistics
        for each in self.recordings[1:]:
            total = total + each.statistics
        return total


def safe_name(name: str) -> str:
    """Check that a speaker's name can name a file on any system.

    Parameters
    ----------
    name : str
        Any.

    Returns
    -------
    str
        The name in Unicode's composed form (NFC), in which the same letters are the same characters.

    Raises
    ------
    GalleryError
        If it is empty, longer than `LONGEST_NAME` bytes, begins with a dot, has slashes, control characters or white
        space around it, is no text, or is what an unknown speaker is called.
    """
    composed = unicodedata.normalize("NFC", name)
    reason = None
    if not composed:
        reason = "empty"
    elif bad := next((each for each in composed if each in "/\\" or unicodedata.category(each) in _NOT_IN_NAMES), None):
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
    """Write a speaker to a file, so that it is there in whole, before and after a crash, or not at all.

    Parameters
    ----------
    path : Path
        Where to; replaced in one step if it exists.
    speaker : EnrolledSpeaker
        The speaker.
    background : str
        Digest of the front end and the background model that the statistics rest on.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    statistics = [each.statistics for each in speaker.recordings]
    tensors = {
        "zeroth": np.stack([each.zeroth for each in statistics]),
        "first": np.stack([each.first for each in statistics]),
        "second": np.stack([each.second for each in statistics]),
        "log_likelihood": np.array([each.log_likelihood for each in statistics]),
        "n_frames": np.array([each.n_frames for each in statistics], np.int64),
        "skipped": np.array([each.skipped for each in statistics]),
    }
    header = {
        "format_version": FORMAT_VERSION,
        "kind": "enrolled",
        "package_version": __version__,
        "background": background,
        "name": speaker.name,
        "recordings": [{key: getattr(each, key) for key in _Provenance.model_fields} for each in speaker.recordings],
    }
    header["digest"] = _digest(header, tensors)
    write_durably(path, save(tensors, {"speechgmm": _canonical(header)}))


def load_speaker(path: Path, background: str) -> EnrolledSpeaker:
    """Read a speaker that `save_speaker` wrote.

    Parameters
    ----------
    path : Path
        The file, named after the speaker.
    background : str
        Digest of the front end and the background model in use.

    Returns
    -------
    EnrolledSpeaker
        The speaker, bit for bit.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    GalleryError
        If the file may not be read, is damaged, of another kind or name, in a newer format, or rests on another
        background.
    """
    try:
        check_readable(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise GalleryError(f"{path}: not readable ({error.strerror})") from error
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        header = json.loads(metadata["speechgmm"])
        version, kind = header["format_version"], header["kind"]
    except FileNotFoundError:
        raise
    except DAMAGE as error:
        raise GalleryError(f"{path}: damaged, or not an enrolled speaker ({error})") from error
    if (version, kind) != (FORMAT_VERSION, "enrolled"):
        raise GalleryError(f"{path}: {kind!r} of format version {version}; expected 'enrolled' of {FORMAT_VERSION}")
    try:
        if header.pop("digest") != _digest(header, tensors):
            raise GalleryError(f"{path}: damaged: its digest is not that of its content")
        rests_on, name = header["background"], header["name"]
        speaker = EnrolledSpeaker(name, _recordings(header["recordings"], tensors))
    except GalleryError:
        raise
    except DAMAGE as error:
        raise GalleryError(f"{path}: damaged header ({error})") from error
    if rests_on != background:
        raise GalleryError(f"{path}: enrolled with another front end or background model than this gallery's")
    if unicodedata.normalize("NFC", path.stem) != speaker.name:
        raise GalleryError(f"{path}: holds the speaker {speaker.name!r}; files are not to be renamed")
    return speaker


_NOT_IN_NAMES = ("Cc", "Cs", "Zl", "Zp")  # control characters, halves of characters, ends of lines and paragraphs


class _Provenance(Configuration):
    """What a header says of a recording."""

    file: str
    digest: str
    seconds: float
    speech_seconds: float


def _recordings(provenance: list[dict[str, Any]], tensors: dict[str, npt.NDArray[Any]]) -> tuple[Recording, ...]:
    """Put each recording's statistics to where they are from."""
    if not provenance or {len(array) for array in tensors.values()} != {len(provenance)}:
        raise ValueError(f"{len(provenance)} recordings; expected one or more, and statistics of each")
    for key, array in tensors.items():
        if array.dtype != (np.int64 if key == "n_frames" else np.float64):
            raise TypeError(f"{key} of type {array.dtype}")
    return tuple(
        Recording(
            **_Provenance(**each).model_dump(),
            statistics=SufficientStats(
                tensors["zeroth"][row],
                tensors["first"][row],
                tensors["second"][row],
                float(tensors["log_likelihood"][row]),
                int(tensors["n_frames"][row]),
                float(tensors["skipped"][row]),
            ),
        )
        for row, each in enumerate(provenance)
    )


def _canonical(data: dict[str, Any]) -> str:
    """Write data as text, in one way."""
    return json.dumps(data, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _digest(header: dict[str, Any], tensors: dict[str, npt.NDArray[Any]]) -> str:
    """Digest all that a file says."""
    digest = hashlib.sha256(_canonical(header).encode())
    for key in sorted(tensors):
        digest.update(f"{key} {tensors[key].dtype.str} {tensors[key].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[key]).data)
    return digest.hexdigest()
