"""The inventory of the cache: its entries, the results that use them, and the removal of unused ones."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from speechgmm.errors import ResultsError
from speechgmm.recipe.cache.outputs import LOCKS, RUNNING, STAGE_FILE, UNFINISHED
from speechgmm.recipe.layout import CACHE, PROVENANCE_FILE, RESULTS_LOCK_PREFIX


@dataclass(frozen=True)
class CacheEntry:
    """A folder of the cache: the output of a stage, or what an unfinished stage has left."""

    stage: str
    folder: Path
    state: str  # "whole", "unfinished" (a stage may resume from it, or was writing it), or "broken"
    size: int  # of its files, in bytes
    made_at: str  # date and time; empty if the entry is not whole
    used_by: tuple[str, ...]  # the results that use it


def list_entries(results: str | Path = "results") -> tuple[CacheEntry, ...]:
    """List the entries of the cache in a folder of results, by stage and from the oldest on.

    Raises OSError if the cache, a stage in it, or the provenance of results may not be read.
    """
    results = Path(results)
    users = _users(results)
    entries = []
    stages = [stage for stage in _folders(results / CACHE) if stage.name != LOCKS]
    for folder in (folder for stage in stages for folder in _folders(stage)):
        made_at, digest = _time_and_digest(folder)
        state = "whole" if made_at else "unfinished" if folder.name.startswith((RUNNING, UNFINISHED)) else "broken"
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        entries.append(CacheEntry(folder.parent.name, folder, state, size, made_at, tuple(users.get(digest, ()))))
    return tuple(sorted(entries, key=lambda entry: (entry.stage, entry.made_at)))


def prune(entries: Sequence[CacheEntry]) -> tuple[CacheEntry, ...]:
    """Remove the entries that no results use and those that are not whole, unless a run is making them.

    Returns the entries that were removed. Raises ResultsError while a run is under way, because its results do not list
    yet what they use, and OSError if an entry cannot be removed.
    """
    for locks in {entry.folder.parent.parent / LOCKS for entry in entries}:
        _check_idle(locks)
    removed = []
    for entry in entries:
        if entry.state == "whole" and entry.used_by:
            continue
        digest = entry.folder.name.removeprefix(RUNNING).removeprefix(UNFINISHED)
        lock = FileLock(entry.folder.parent.parent / LOCKS / digest)
        lock_folder = Path(lock.lock_file).parent
        lock_folder.mkdir(exist_ok=True)
        try:
            with lock.acquire(timeout=0):
                if not entry.folder.is_dir():  # it has become whole meanwhile
                    continue
                shutil.rmtree(entry.folder)
        except Timeout:
            continue  # a run is making it
        removed.append(entry)
    return tuple(removed)


def _check_idle(locks: Path) -> None:
    """Refuse to continue while a run holds the lock of its results."""
    for path in sorted(locks.glob(f"{RESULTS_LOCK_PREFIX}*")):
        try:
            with FileLock(path).acquire(timeout=0):
                pass
        except Timeout as error:
            run = path.name.removeprefix(RESULTS_LOCK_PREFIX)
            raise ResultsError(f"{run}: a run is writing these results; prune when it has ended") from error


def _folders(folder: Path) -> list[Path]:
    """List the folders in a folder, none if it does not exist; unlike glob, raise OSError if it may not be read."""
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
            raise  # else prune would remove what these results use
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not the provenance of a run
        for digest in digests:
            users.setdefault(digest, []).append(path.parent.relative_to(results).as_posix())
    return users


def _time_and_digest(folder: Path) -> tuple[str, str]:
    """Return when a whole output was made, and its digest; empty strings for others."""
    if folder.name.startswith("."):
        return "", ""
    try:
        return str(json.loads((folder / STAGE_FILE).read_text(encoding="utf-8"))["made_at"]), folder.name
    except (OSError, ValueError, KeyError, TypeError):
        return "", ""
