"""Writing files in one step, so that a reader never sees half of one, and reading lists by numbered lines."""

import csv
import errno
import hashlib
import io
import json
import math
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from speechgmm.errors import CorpusError


def _umask() -> int:
    """Read the file mode mask of the process, which is possible only by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


AUDIO_SUFFIXES = (
    *(
        ".wav",
        ".wave",
        ".bwf",
        ".w64",
        ".rf64",
        ".flac",
        ".ogg",
        ".oga",
        ".opus",
        ".mp3",
        ".mp2",
        ".sph",
        ".nist",
        ".aiff",
    ),
    *(".aif", ".aifc", ".au", ".snd", ".caf", ".voc", ".paf", ".svx", ".sf", ".ircam", ".pvf", ".avr", ".wve"),
)
"""Suffixes of the audio files that libsndfile reads."""

MEDIA_SUFFIXES = (
    *(".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".aac", ".webm", ".mkv", ".mka", ".wma", ".wmv", ".asf"),
    *(".amr", ".awb", ".ac3", ".eac3", ".ape", ".wv", ".tta", ".spx", ".avi", ".mpg", ".mpeg", ".flv", ".shn"),
)
"""Suffixes of the other files that hold sound: read by the extra ``media``, or listed as unusable."""

RAW_SUFFIXES = (".raw", ".pcm")
"""Suffixes of files of samples without a header."""

TABLE_SUFFIXES = (".csv", ".tsv")
"""Suffixes of tables with column names."""

RECIPE_SUFFIXES = (".yaml", ".yml")
"""Suffixes of recipes."""

NUMBER = re.compile(r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|nan)", re.IGNORECASE)
"""A number as programs write it: neither Python's ``1_000`` and ``infinity`` nor digits of other scripts."""

WRITING = ".writing-"
"""Prefix of the names of temporary files, which are not whole yet."""

UMASK = _umask()
"""Read once, because setting it would race with other threads."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it into place when the block ends without an error.

    The temporary file has the suffix of `path`, because some writers choose a format by it. The folder is created if it
    does not exist. Errors of the system name `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=WRITING, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~UMASK)
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # the user has never seen the temporary one
        raise
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a file in one step.

    Libraries that write files themselves do not give the reason of a failure; Python does.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write a plain array to a `.npy` file in one step."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    write_bytes(path, stream.getbuffer())


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    A CorpusError names the file, and the line that is not text.
    """
    try:
        data = path.read_bytes()
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except OSError as error:
        raise CorpusError(f"{path}: not readable ({error.strerror})") from error
    except UnicodeDecodeError as error:
        place = error.object[: error.start].count(b"\n") + 1
        raise CorpusError(f"{path}:{place}: not UTF-8 text") from error
    except ValueError as error:  # a name that no file can have
        raise CorpusError(f"{str(path)!r}: not readable ({error})") from error


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read the lines of a text file that are not blank, stripped and with their numbers from 1."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            yield number, line.strip()


def read_number(text: str) -> float:
    """Read a number in a text file, or NaN if it is none; ``inf`` is infinity, as C writes it."""
    return float(text) if NUMBER.fullmatch(text) else math.nan


def is_file(path: Path) -> bool:
    """Check whether a path is a file or a link to one; False for one that cannot be looked at, or no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def check_readable(path: Path) -> None:
    """Open a file, because Python's error gives the reason of a failure; safetensors calls each such file missing.

    A path that is missing, unreadable or no regular file raises an OSError, and one that no file can have a ValueError.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a file", str(path))
    path.open("rb").close()


def files_below(folder: Path) -> list[str]:
    """List the files below a folder that are not hidden, entering no folder twice, however it is linked.

    The paths are relative to the folder, with ``/``, and sorted, so that the file system's order does not matter.
    """
    entered: set[str] = set()
    paths = []
    for here, folders, names in os.walk(folder, onerror=_fail, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if os.path.realpath(here) in entered:
            folders.clear()
            continue
        entered.add(os.path.realpath(here))
        paths += [Path(here, name).relative_to(folder).as_posix() for name in names if not name.startswith(".")]
    return sorted(paths)


def is_audio(name: str) -> bool:
    """Check by its suffix, in capitals or not, whether a file holds sound, whether or not it can be read here."""
    return Path(name).suffix.lower() in (*AUDIO_SUFFIXES, *MEDIA_SUFFIXES)


def kinds_of_files(names: Sequence[str]) -> str:
    """Count files by suffix, the most frequent first, as in ``12 .txt, 3 .json, 1 without a suffix (README)``.

    A kind with one file shows its name. Beyond five kinds, the others are counted together.
    """
    by_suffix: dict[str, list[str]] = {}
    for name in names:
        by_suffix.setdefault(Path(name).suffix.lower() or "without a suffix", []).append(name)
    kinds = sorted(by_suffix.items(), key=lambda item: (-len(item[1]), item[0]))
    shown = [
        f"{len(files):,} {suffix}" + (f" ({printable_name(files[0])})" if len(files) == 1 else "")
        for suffix, files in kinds[:5]
    ]
    if len(kinds) > 5:
        shown.append(f"{sum(len(files) for _, files in kinds[5:]):,} of other kinds")
    return ", ".join(shown)


def printable_name(name: str) -> str:
    """Format the name of a file as text that any list can hold, the same in every locale.

    Characters that are not printable, and bytes that are not UTF-8, are written as in an address: ``%0A``.
    """
    text = os.fsencode(name).decode(errors="surrogateescape")
    return "".join(char if char.isprintable() else quote(char.encode(errors="surrogateescape")) for char in text)


def _fail(error: OSError) -> None:
    """Raise an error that os.walk would ignore."""
    raise error


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table in one step; bytes of paths that are not text are written as escapes."""
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write indented JSON in one step; a NaN raises a ValueError."""
    with replacing(path) as temporary:
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")  # of paths that are no text


def write_durably(path: Path, data: bytes) -> None:
    """Write a file in one step that a loss of power does not undo."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make what was written, renamed or removed in a folder survive a loss of power, on systems that can."""
    if os.name == "posix":  # elsewhere a folder cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def file_digest(path: Path) -> str:
    """Compute the SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
