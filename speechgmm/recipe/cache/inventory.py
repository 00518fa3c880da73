"""What the cache of stages holds, which results use it, and removing what none does."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from speechgmm.errors import ResultsError
from speechgmm.recipe.cache.outputs import LOCKS, RUNNING, STAGE_FILE, UNFINISHED
from speechgmm.recipe.layout import CACHE, PROVENANCE_FILE, RESULTS_LOCK


@dataclass(frozen=True)
class CacheEntry:
    """A folder of the cache.

    Parameters
    ----------
    stage : str
        The stage.
    folder : Path
        Where it is.
    state : "whole", "unfinished" or "broken"
        The output of a stage; what one may go on from, or was writing when it was stopped; or neither.
    size : int, bytes
        Of its files.
    made_at : str
        Date and time; empty where it is not whole.
    used_by : tuple of str
        The results that rest on it.
    """

    stage: str
    folder: Path
    state: str
    size: int
    made_at: str
    used_by: tuple[str, ...]


def list_stored(results: str | Path = "results") -> tuple[CacheEntry, ...]:
    """List what the cache holds.

    Parameters
    ----------
    results : str or Path
        The folder of results, whose cache it is.

    Returns
    -------
    tuple of CacheEntry
        By stage, the oldest first.

    Raises
    ------
    OSError
        If the cache, a stage in it, or what results rest on may not be read.
    """
    results = Path(results)
    users = _users(results)
    listed = []
    stages = [stage for stage in _folders(results / CACHE) if stage.name != LOCKS]
    for folder in (folder for stage in stages for folder in _folders(stage)):
        made_at, digest = _made(folder)
        state = "whole" if made_at else "unfinished" if folder.name.startswith((RUNNING, UNFINISHED)) else "broken"
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        listed.append(CacheEntry(folder.parent.name, folder, state, size, made_at, tuple(users.get(digest, ()))))
    return tuple(sorted(listed, key=lambda each: (each.stage, each.made_at)))


def prune(stored: Sequence[CacheEntry]) -> tuple[CacheEntry, ...]:
    """Remove what no results rest on, and what was never finished, unless a run is making it.

    Parameters
    ----------
    stored : sequence of CacheEntry
        What there is.

    Returns
    -------
    tuple of CacheEntry
        What was removed.

    Raises
    ------
    ResultsError
        If a run is under way: its results don't say yet what they rest on.
    OSError
        If something cannot be removed.
    """
    for locks in {each.folder.parent.parent / LOCKS for each in stored}:
        _check_idle(locks)
    removed = []
    for each in stored:
        if each.state == "whole" and each.used_by:
            continue
        digest = each.folder.name.removeprefix(RUNNING).removeprefix(UNFINISHED)
        lock = FileLock(each.folder.parent.parent / LOCKS / digest)
        lock_folder = Path(lock.lock_file).parent
        lock_folder.mkdir(exist_ok=True)
        try:
            with lock.acquire(timeout=0):
                if not each.folder.is_dir():  # it has become whole meanwhile
                    continue
                shutil.rmtree(each.folder)
        except Timeout:
            continue  # a run is at it
        removed.append(each)
    return tuple(removed)


def _check_idle(locks: Path) -> None:
    """Refuse to go on while a run holds the lock of its results."""
    for path in sorted(locks.glob(f"{RESULTS_LOCK}*")):
        try:
            with FileLock(path).acquire(timeout=0):
                pass
        except Timeout as error:
            run = path.name.removeprefix(RESULTS_LOCK)
            raise ResultsError(f"{run}: a run is writing these results; prune when it has ended") from error


def _folders(folder: Path) -> list[Path]:
    """List the folders in one, if it is there; unlike glob, say if it may not be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _users(results: Path) -> dict[str, list[str]]:
    """Find the results that name each digest in their provenance."""
    users: dict[str, list[str]] = {}
    for path in sorted(results.glob(f"*/**/{PROVENANCE_FILE}")):
        try:
            stages = json.loads(path.read_text(encoding="utf-8"))["stages"]
            digests = {stage["digest"][:32] for stage in stages}
        except PermissionError:
            raise  # prune would take what these results rest on for unused
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not ours
        for digest in digests:
            users.setdefault(digest, []).append(path.parent.relative_to(results).as_posix())
    return users


def _made(folder: Path) -> tuple[str, str]:
    """Give when a whole output was made, and its digest; empty for others."""
    if folder.name.startswith("."):
        return "", ""
    try:
        return str(json.loads((folder / STAGE_FILE).read_text(encoding="utf-8"))["made_at"]), folder.name
    except (OSError, ValueError, KeyError, TypeError):
        return "", ""
