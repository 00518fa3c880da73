"""Writing files so that a reader never sees half of one, and reading lists by numbered lines."""

import csv
import errno
import hashlib
import io
import json
import os
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
    """Read the process's file mode mask, which can only be done by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


AUDIO_SUFFIXES = (
    *(".wav", ".wave", ".bwf", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".sph", ".nist", ".aiff"),
    *(".aif", ".aifc", ".au", ".snd", ".caf", ".voc", ".paf", ".svx", ".sf", ".ircam", ".pvf", ".avr", ".wve"),
)
"""Files with these suffixes, in capitals or not, are taken for audio in a folder."""

WRITING = ".writing-"
"""What the name of a file begins with that is not whole yet."""

UMASK = _umask()
"""Read once, because setting it would race with other threads."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, and rename it into place when the block ends without an error.

    Parameters
    ----------
    path : Path
        The file to write; its folder is made if it does not exist. An existing file is replaced.

    Yields
    ------
    Path
        Where to write. It has the suffix of `path`, because some writers go by it.

    Raises
    ------
    OSError
        If the folder cannot be made or written; it names `path`.
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
        error.filename = str(path)  # nobody knows the temporary one
        raise
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write a file in one step.

    Parameters
    ----------
    path : Path
        The file to write or replace.
    data : bytes
        All that it holds. Libraries that write files themselves don't say why they could not; Python does.

    Raises
    ------
    OSError
        If it cannot be written, as when the disk is full.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_array(path: Path, array: npt.NDArray[Any]) -> None:
    """Write a `.npy` file in one step.

    Parameters
    ----------
    path : Path
        The file to write or replace.
    array : np.ndarray
        Any plain array.

    Raises
    ------
    OSError
        If it cannot be written, as when the disk is full.
    """
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    write_bytes(path, stream.getbuffer())


def read_text(path: Path) -> str:
    """Read a list as text.

    Parameters
    ----------
    path : Path
        A text file in UTF-8, with a byte order mark or without.

    Returns
    -------
    str
        All of it.

    Raises
    ------
    CorpusError
        If the file cannot be read; the message names it, and the line that is no text.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CorpusError(f"{path}: not readable ({error.strerror})") from error
    except UnicodeDecodeError as error:
        place = error.object[: error.start].count(b"\n") + 1
        raise CorpusError(f"{path}:{place}: not UTF-8 text") from error
    except ValueError as error:  # a name that no file can have
        raise CorpusError(f"{str(path)!r}: not readable ({error})") from error


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read the lines of a list that are not blank.

    Parameters
    ----------
    path : Path
        A text file in UTF-8, with a byte order mark or without.

    Yields
    ------
    number : int >= 1
        Of the line.
    line : str
        What it says, without white space around it.

    Raises
    ------
    CorpusError
        If the file cannot be read; the message names it, and the line that is no text.
    """
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            yield number, line.strip()


def is_file(path: Path) -> bool:
    """Tell whether there is a file, or a link to one, and never fail.

    Parameters
    ----------
    path : Path
        Of any name, too long for a file's or with a NUL in it.

    Returns
    -------
    bool
        False of a folder, and of what cannot be looked at.
    """
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def check_readable(path: Path) -> None:
    """Open a file, for the sake of the reason why it cannot be; safetensors calls each such file missing.

    Parameters
    ----------
    path : Path
        A file that somebody is about to read.

    Raises
    ------
    OSError
        If it is not there, or no file, or may not be read.
    ValueError
        If no file can have that name.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a file", str(path))
    path.open("rb").close()


def files_below(folder: Path) -> list[str]:
    """List the files below a folder that are not hidden, entering no folder twice, however it is linked.

    Parameters
    ----------
    folder : Path
        Where to look, at any depth and through links.

    Returns
    -------
    list of str
        Their paths from the folder on, with ``/``, sorted: the file system's own order has no say.

    Raises
    ------
    OSError
        If a folder cannot be read.
    """
    entered: set[str] = set()
    found = []
    for here, folders, names in os.walk(folder, onerror=_fail, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if os.path.realpath(here) in entered:
            folders.clear()
            continue
        entered.add(os.path.realpath(here))
        found += [Path(here, name).relative_to(folder).as_posix() for name in names if not name.startswith(".")]
    return sorted(found)


def is_audio(name: str) -> bool:
    """Tell by its name whether a file is audio.

    Parameters
    ----------
    name : str
        Of the file, with a path or without.

    Returns
    -------
    bool
        Whether it ends as `AUDIO_SUFFIXES` do.
    """
    return Path(name).suffix.lower() in AUDIO_SUFFIXES


def printable_name(name: str) -> str:
    """Give the name of a file as text that any list can hold, the same in every locale.

    Parameters
    ----------
    name : str
        As the system gives it.

    Returns
    -------
    str
        UTF-8 text; what is not printable in it, and bytes that are no text, are written as in an address: ``%0A``.
    """
    text = os.fsencode(name).decode(errors="surrogateescape")
    return "".join(each if each.isprintable() else quote(each.encode(errors="surrogateescape")) for each in text)


def _fail(error: OSError) -> None:
    """Raise what os.walk would pass over."""
    raise error


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table.

    Parameters
    ----------
    path : Path
        Replaced in one step if it exists.
    header, rows : sequences of str
        The columns' names, and the lines; bytes of paths that are no text are written as escapes.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON, for people too; a NaN in it would be a bug.

    Parameters
    ----------
    path : Path
        Replaced in one step if it exists.
    data : mapping
        Plain values.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with replacing(path) as temporary:
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")  # of paths that are no text


def write_durably(path: Path, data: bytes) -> None:
    """Write a file in one step that a loss of power does not undo.

    Parameters
    ----------
    path : Path
        The file to write or replace.
    data : bytes
        All that it holds.

    Raises
    ------
    OSError
        If it cannot be written, as when the disk is full.
    """
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make what was written, renamed or removed in a folder outlast a loss of power, where systems can.

    Parameters
    ----------
    folder : Path
        The folder.

    Raises
    ------
    OSError
        If the disk fails.
    """
    if os.name == "posix":  # elsewhere a folder cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def file_digest(path: Path) -> str:
    """Digest a file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        64 hexadecimal digits: SHA-256.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
