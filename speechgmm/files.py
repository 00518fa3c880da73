"""Writing files so that a reader never sees half of one."""

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


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
