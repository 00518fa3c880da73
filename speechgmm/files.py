"""Writing files so that a reader never sees half of one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


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
        If the folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".writing-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~UMASK)
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
