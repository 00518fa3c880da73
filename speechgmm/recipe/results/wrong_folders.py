"""What a path holds that is not what a command expects: the message names both."""

import os
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from speechgmm.files import is_audio, is_file, kinds_of_files
from speechgmm.gallery.layout import CONFIG_FILE as GALLERY_FILE
from speechgmm.recipe.layout import METRICS_FILE, RECIPE_FILE, SERIES_FILE, UBM_FILE

RESULTS = Path("results")
"""Where results folders are by default."""

MOST_FILES = 10_000
"""Files of a folder that are looked at."""


def not_results(path: Path) -> str:
    """Format the message for a path that is not the results folder of a run."""
    found = _found(path)
    within = _results_in(path)
    example = within[0] if within else (*_results_in(RESULTS), RESULTS / "NAME")[0]
    return f"{path}: no results folder ({found}); expected the folder of a run, such as {example}"


def not_gallery(path: Path) -> str:
    """Format the message for a path that is not a gallery."""
    hint = "a gallery's folder, as speechgmm gallery create makes it"
    if _is_results(path):
        hint = f"a gallery made from it: speechgmm gallery create {path} --out DIR"
    return f"{path}: no gallery ({_found(path)}); expected {hint}"


def _found(path: Path) -> str:
    """Describe what a path holds."""
    if not path.is_dir():
        return "a file" if os.path.lexists(path) else f"no such folder{_nearest(path)}"
    for name, kind in (
        (GALLERY_FILE, "a gallery"),
        (METRICS_FILE, "a results folder"),
        (SERIES_FILE, "a series, with a results folder for each experiment"),
        ("wav.scp", "a Kaldi data directory"),
        ("index.json", "a feature store"),
    ):
        if is_file(path / name):
            return kind
    if within := _results_in(path):
        names = [each.name for each in within]
        return f"it holds the results {', '.join(names[:3])}{' and others' * (len(names) > 3)}"
    names = list(islice(_names_below(path), MOST_FILES))
    n_audio = sum(map(is_audio, names))
    if len(names) == MOST_FILES:
        return f"it holds {len(names):,} files or more{f', {n_audio:,} of them audio' if n_audio else ''}"
    if n_audio:
        return f"it holds {n_audio:,} audio file{'s' * (n_audio > 1)}"
    return f"it holds {kinds_of_files(names)}" if names else "it is empty"


def _nearest(path: Path) -> str:
    """Name the folder beside a path whose name is nearest to its name, as a question."""
    try:
        beside = [each.name for each in path.absolute().parent.iterdir() if each.is_dir()]
    except OSError:
        return ""
    close = get_close_matches(path.name, beside, n=1)
    return f"; did you mean {path.parent / close[0]}?" if close else ""


def _is_results(path: Path) -> bool:
    """Check whether a folder is that of a run, complete or not."""
    return is_file(path / RECIPE_FILE) and (is_file(path / METRICS_FILE) or is_file(path / UBM_FILE))


def _results_in(folder: Path) -> list[Path]:
    """List the results folders in a folder."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and _is_results(path))
    except OSError:
        return []


def _names_below(folder: Path) -> Iterator[str]:
    """Go through the names of the files below a folder that are not hidden."""
    for _, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (name for name in names if not name.startswith("."))
