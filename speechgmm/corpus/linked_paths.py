"""Places of files that lists name relative to a root, which may be a link."""

import os.path
from pathlib import Path, PurePath

from speechgmm.audio.reading import audio_file


def list_path(root: Path, name: str) -> Path:
    """Join the path of a list to the root, without ``..`` where that means the same file.

    Behind a linked folder, ``..`` means the folder that holds the link if nothing is there beside the linked one.
    """
    path = root / name
    plain = Path(_without_parents(path))
    return plain if not _exists(path) or (_exists(plain) and path.samefile(plain)) else path


def audio_path(root: Path, name: str) -> str:
    """Join the path of an audio file, or a place in an archive, to the root; ``..`` means what it does for lists."""
    path = root / name
    as_it_is = ".." not in PurePath(name).parts or _exists(audio_file(str(path)))
    return str(path) if as_it_is else _without_parents(path)


def _without_parents(path: Path) -> str:
    """Return a path in which ``..`` has taken back the part before it, whether or not that is a link."""
    return os.path.normpath(path) if ".." in path.parts else str(path)


def _exists(path: Path) -> bool:
    """Check whether something is there; False for a name that no file can have."""
    return os.path.exists(path)  # noqa: PTH110  # which never fails, whatever the name
