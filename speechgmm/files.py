"""Writing files so that a reader never sees half of one, and reading lists by numbered lines."""

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speechgmm.errors import CorpusError


def _umask() -> int:
    """Read the process's file mode mask, which can only be done by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


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
    handle, name = tempfile.mkstemp(prefix=".writing-", suffix=path.suffix, dir=path.parent)
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
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise CorpusError(f"{path}: not readable ({error.strerror})") from error
    except UnicodeDecodeError as error:
        place = error.object[: error.start].count(b"\n") + 1
        raise CorpusError(f"{path}:{place}: not UTF-8 text") from error
    except ValueError as error:  # a name that no file can have
        raise CorpusError(f"{str(path)!r}: not readable ({error})") from error
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.strip()
